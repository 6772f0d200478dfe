/* Arbitrary sequences of what is sent and what a server says: each ref comes back once, and the queue never contradicts itself. */
#include "state/pending.h"

#include "wire/msg.h"

#include <string.h>

#define SENT_MAX 4096

static struct {
	struct pending p;
	uint8_t back[SENT_MAX]; /* how often the ref of the nth request came back */
	uint8_t has_ref[SENT_MAX];
	uintptr_t sent, last_drop; /* a ref is its request's number, from 1 on */
} fuzz;

static void take_back(const void *ref)
{
	if (ref)
		fuzz.back[(uintptr_t)ref - 1]++;
}

static void on_drop(void *ctx, const struct pending_entry *e)
{
	ASSERT(ctx == &fuzz && e->type != PEND_NONE);
	if (e->ref) {
		ASSERT((uintptr_t)e->ref < fuzz.last_drop); /* newest first */
		fuzz.last_drop = (uintptr_t)e->ref;
	}
	take_back(e->ref);
}

static void send_one(uint8_t choice)
{
	enum pending_type type = (enum pending_type)(choice % PEND_LOCAL + 1);
	bool has_ref = type != PEND_SYNC && type != PEND_COPY_DATA && type != PEND_COPY_END;
	bool was_skipping = fuzz.p.is_skipping;
	uintptr_t ref = ++fuzz.sent;

	fuzz.has_ref[ref - 1] = has_ref;
	if (pending_sent(&fuzz.p, type, choice & 0x40, 0, has_ref ? (void *)ref : NULL))
		ASSERT(!was_skipping || type == PEND_SYNC);
	else
		ASSERT(was_skipping && type != PEND_SYNC);
}

/* False: out of step, the server would be closed. */
static bool answer_one(uint8_t choice)
{
	static const char types[] = "ZZZCCD123nstTVIGHWcdENASR?";
	static const uint8_t statuses[] = { TX_IDLE, TX_BLOCK, TX_FAILED, 'x' };
	struct pending_entry popped = { .type = PEND_LOCAL };
	uint32_t before = fuzz.p.count;
	enum pending_verdict v = pending_answer(
		&fuzz.p, (uint8_t)types[choice % (sizeof(types) - 1)], statuses[choice / 32 % 4], &popped);

	/* a Sync that was taken for swallowed may be answered after all: it isn't in the queue any more, and had no ref */
	ASSERT(popped.type == PEND_NONE || fuzz.p.count < before || (popped.type == PEND_SYNC && !popped.ref));
	ASSERT(v == PENDING_CLIENT || v == PENDING_OURS || popped.type == PEND_NONE);
	if (popped.type != PEND_NONE) {
		ASSERT((v == PENDING_OURS) == popped.is_ours);
		take_back(popped.ref);
	}
	return v != PENDING_DESYNC;
}

static void check(void)
{
	const struct pending_entry *head = pending_head(&fuzz.p);
	struct pending_entry local;

	ASSERT(!pending_is_idle(&fuzz.p) || (!fuzz.p.count && !head && !pending_swallows_sync(&fuzz.p)));
	if (fuzz.p.copy != COPY_NONE)
		ASSERT(head && (head->type == PEND_QUERY || head->type == PEND_EXECUTE));
	ASSERT(!head || !pending_awaits_ready(&fuzz.p) || fuzz.p.count);
	while (pending_pop_local(&fuzz.p, &local)) {
		ASSERT(local.type == PEND_LOCAL);
		take_back(local.ref);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	memset(&fuzz, 0, sizeof(fuzz));
	pending_init(&fuzz.p, on_drop, &fuzz);
	for (size_t i = 0; i < size && i < SENT_MAX; i++) {
		fuzz.last_drop = UINTPTR_MAX;
		if (data[i] & 0x80)
			send_one(data[i] & 0x7f);
		else if (!answer_one(data[i]))
			break;
		check();
	}
	fuzz.last_drop = UINTPTR_MAX;
	pending_clear(&fuzz.p);
	for (uintptr_t i = 0; i < fuzz.sent; i++)
		ASSERT(fuzz.back[i] == fuzz.has_ref[i]);
	return 0;
}
