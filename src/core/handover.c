#include "core/handover.h"

static const char magic[] = "pgweir handover";

#define SLOTS_PER_POOL_MAX 1000000
#define SLOTS_OF_REPLICATION 0x80000000u /* beside their number */

/* A process of another version may have more to say behind its number. */
static enum result read_hello(struct reader *r, struct handover_frame *out)
{
	const char *said = read_cstring(r);

	if (r->bad || strcmp(said, magic) != 0)
		return RES_PROTOCOL;
	out->version = read_u32(r);
	if (r->bad || (out->version == HANDOVER_VERSION && reader_left(r)))
		return RES_PROTOCOL;
	return RES_OK;
}

static enum result read_welcome(struct reader *r, struct handover_frame *out)
{
	uint64_t high;

	out->hash_key = read_bytes(r, HANDOVER_KEY);
	out->notify = read_cstring(r);
	high = read_u32(r);
	out->watchdog = high << 32 | read_u32(r);
	return r->bad || reader_left(r) || strlen(out->notify) > HANDOVER_TEXT_MAX ? RES_PROTOCOL : RES_OK;
}

static enum result read_refused(struct reader *r, struct handover_frame *out)
{
	out->reason = read_cstring(r);
	return r->bad || reader_left(r) || strlen(out->reason) > HANDOVER_TEXT_MAX ? RES_PROTOCOL : RES_OK;
}

static enum result read_cancel(struct reader *r, struct handover_frame *out)
{
	struct cancel_key *k = &out->cancel;
	const uint8_t *secret;

	k->pid = read_u32(r);
	k->len = (uint16_t)reader_left(r);
	if (r->bad || (k->len != CANCEL_SECRET_SHORT && k->len != CANCEL_SECRET_LONG))
		return RES_PROTOCOL;
	secret = read_bytes(r, k->len);
	memcpy(k->secret, secret, k->len);
	return RES_OK;
}

static enum result read_ready(struct reader *r, struct handover_frame *out)
{
	uint32_t pid = read_u32(r);

	out->pid = (int)pid;
	return r->bad || reader_left(r) || pid == 0 || pid > INT32_MAX ? RES_PROTOCOL : RES_OK;
}

bool handover_next_slots(
	struct reader *r, const char **database, const char **user, bool *replicates, int *servers)
{
	uint32_t n;

	if (r->bad || !reader_left(r))
		return false;
	*database = read_cstring(r);
	*user = read_cstring(r);
	n = read_u32(r);
	*replicates = n & SLOTS_OF_REPLICATION;
	n &= ~SLOTS_OF_REPLICATION;
	r->bad = r->bad || n > SLOTS_PER_POOL_MAX || !**database || !**user;
	*servers = (int)n;
	return !r->bad;
}

static enum result check_slots(struct reader r)
{
	const char *database, *user;
	bool replicates;
	int servers;

	while (handover_next_slots(&r, &database, &user, &replicates, &servers))
		;
	return r.bad ? RES_PROTOCOL : RES_OK;
}

enum result handover_read(const uint8_t *bytes, size_t len, struct handover_frame *out)
{
	struct reader r = reader_over(bytes, len);

	memset(out, 0, sizeof(*out));
	if (len > HANDOVER_MAX)
		return RES_PROTOCOL;
	out->type = (enum handover_type)read_u8(&r);
	if (r.bad)
		return RES_PROTOCOL;
	out->rest = r;
	switch (out->type) {
	case HANDOVER_HELLO: return read_hello(&r, out);
	case HANDOVER_WELCOME: return read_welcome(&r, out);
	case HANDOVER_REFUSED: return read_refused(&r, out);
	case HANDOVER_CANCEL: return read_cancel(&r, out);
	case HANDOVER_SLOTS: return check_slots(r);
	case HANDOVER_READY: return read_ready(&r, out);
	case HANDOVER_START:
	case HANDOVER_DONE: return reader_left(&r) ? RES_PROTOCOL : RES_OK;
	case HANDOVER_CLIENT: return RES_OK; /* move_read() looks at it */
	}
	return RES_PROTOCOL;
}

void handover_hello(struct writer *w)
{
	write_u8(w, HANDOVER_HELLO);
	write_cstring(w, magic);
	write_u32(w, HANDOVER_VERSION);
}

void handover_welcome(struct writer *w, const uint8_t hash_key[HANDOVER_KEY], const char *notify, usec_t watchdog)
{
	write_u8(w, HANDOVER_WELCOME);
	write_bytes(w, hash_key, HANDOVER_KEY);
	write_cstring(w, notify);
	write_u32(w, (uint32_t)(watchdog >> 32));
	write_u32(w, (uint32_t)watchdog);
}

void handover_refused(struct writer *w, const char *reason)
{
	write_u8(w, HANDOVER_REFUSED);
	write_cstring(w, reason);
}

void handover_begin_slots(struct writer *w)
{
	write_u8(w, HANDOVER_SLOTS);
}

void handover_slots(struct writer *w, const char *database, const char *user, bool replicates, int servers)
{
	if (w->len + strlen(database) + strlen(user) + 8 > HANDOVER_MAX)
		return; /* thousands of pools: the rest isn't told */
	write_cstring(w, database);
	write_cstring(w, user);
	write_u32(w, (uint32_t)servers | (replicates ? SLOTS_OF_REPLICATION : 0));
}

void handover_ready(struct writer *w, int pid)
{
	write_u8(w, HANDOVER_READY);
	write_u32(w, (uint32_t)pid);
}

void handover_cancel(struct writer *w, const struct cancel_key *k)
{
	write_u8(w, HANDOVER_CANCEL);
	write_u32(w, k->pid);
	write_bytes(w, k->secret, k->len);
}
