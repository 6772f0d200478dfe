/*
 * What a process says that takes another one's place, or is replaced: a frame is taken only as it would be written again, what it holds lies
 * inside it, and a client's state that can be read is complete.
 */
#include "core/handover.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *s, const uint8_t *frame, size_t size)
{
	ASSERT((const uint8_t *)s > frame && (const uint8_t *)s + strlen(s) < frame + size);
}

static void check_same(struct writer *w, const uint8_t *frame, size_t size)
{
	ASSERT(w->len == size && memcmp(w->data, frame, size) == 0);
}

static void check_slots(struct reader r, struct writer *w)
{
	const char *database, *user;
	bool replicates;
	int n;

	handover_begin_slots(w);
	while (handover_next_slots(&r, &database, &user, &replicates, &n)) {
		ASSERT(*database && *user && n >= 0);
		handover_slots(w, database, user, replicates, n);
	}
	ASSERT(!r.bad);
}

static void check_client(const struct handover_frame *f)
{
	struct reader rest = f->rest;
	struct newcomer *n;
	enum result r = move_read(rest.pos, reader_left(&rest), &n);

	ASSERT((r == RES_OK) == (n != NULL) && (r == RES_OK || r == RES_PROTOCOL || r == RES_LIMIT));
	if (!n)
		return;
	ASSERT(*n->database && *n->user && *n->server_user && n->moved && n->fd == -1);
	ASSERT(move_worker(n, 3) >= 0 && move_worker(n, 3) < 3);
	newcomer_free(&n);
	if (reader_left(&rest) > 1) /* each byte of it was needed */
		ASSERT(move_read(rest.pos, reader_left(&rest) - 1, &n) != RES_OK && !n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct handover_frame f;
	struct writer w = { 0 };

	if (handover_read(data, size, &f) != RES_OK)
		return 0;
	ASSERT(size && data[0] == (uint8_t)f.type);
	switch (f.type) {
	case HANDOVER_HELLO:
		if (f.version == HANDOVER_VERSION) {
			handover_hello(&w);
			check_same(&w, data, size);
		}
		break;
	case HANDOVER_WELCOME:
		check_text(f.notify, data, size);
		handover_welcome(&w, f.hash_key, f.notify, f.watchdog);
		check_same(&w, data, size);
		break;
	case HANDOVER_REFUSED:
		check_text(f.reason, data, size);
		handover_refused(&w, f.reason);
		check_same(&w, data, size);
		break;
	case HANDOVER_SLOTS:
		check_slots(f.rest, &w);
		check_same(&w, data, size);
		break;
	case HANDOVER_READY:
		handover_ready(&w, f.pid);
		check_same(&w, data, size);
		break;
	case HANDOVER_CANCEL:
		handover_cancel(&w, &f.cancel);
		check_same(&w, data, size);
		break;
	case HANDOVER_CLIENT: check_client(&f); break;
	case HANDOVER_START:
	case HANDOVER_DONE: ASSERT(size == 1); break;
	}
	writer_free(&w);
	return 0;
}
