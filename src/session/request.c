/*
 * request.c - what a client sends: one table of messages, small functions. Those of the extended protocol are in extended.c.
 *
 * Each handler says how much of its message it has taken; the rest of the body streams behind it without being collected.
 * Nothing is recorded as sent before it has been handed to the gather, and nothing is sent without being recorded.
 */
#include "session/client.h"

#include "session/ask.h"
#include "session/extended.h"
#include "session/lost.h"
#include "session/names.h"
#include "session/prepare.h"
#include "session/request.h"
#include "session/slow.h"
#include "session/stateful.h"
#include "wire/msg.h"
#include "wire/sqlscan.h"

#include <stdlib.h>
#include <string.h>

#define KEPT_MAX 65536	     /* of a message, before any of it is passed on */
#define SCAN_WHOLE_MAX 65536 /* a longer Query streams, and only its beginning is looked at */

/* ---- what handlers share ---- */

void request_sent(
	struct client *c, enum pending_type type, bool is_ours, uint16_t detail, struct prepared_note *note)
{
	struct pending *p = &c->server->pending;

	if (!pending_awaits_ready(p))
		c->request_at = c->worker->loop.now;
	if (pending_is_idle(p))
		c->server->xact_at = c->worker->loop.now; /* a transaction begins */
	c->has_sent = true;
	/* DROP and CLOSE don't look stateful; they may be what ends a pin. */
	if (c->pins & (PIN_TEMP | PIN_CURSOR))
		c->is_stateful = true;
	if (c->worker->config->session_probe == PROBE_ALWAYS && type != PEND_LOCAL)
		c->is_stateful = c->is_opaque = true;
	pending_sent(p, type, is_ours, detail, note);
}

bool request_link(struct client *c, struct message_in *m)
{
	if (!client_get_server(c))
		return false;
	request_to_server(c, m);
	return true;
}

enum step request_barrier(struct client *c)
{
	client_pause(c, PAUSE_BARRIER);
	return STEP_WAIT;
}

static void answer_locals(struct client *c);

enum step request_flush_barrier(struct client *c, struct message_in *m)
{
	answer_locals(c); /* those at the head wait for nothing */
	client_pause(c, PAUSE_BARRIER);
	if (pending_head(&c->server->pending))
		gather_copy(request_to_server(c, m), "H\0\0\0\4", FRAME_HEADER_SIZE);
	else
		client_unpause(c, PAUSE_BARRIER); /* it looks again at once */
	return STEP_WAIT;
}

/* A Query that isn't sent: what fails in its place is a Bind, and its ReadyForQuery is a Sync's. */
enum step request_refuse_query(
	struct client *c, struct message_in *m, enum fail_reason reason, struct prepared_note *note)
{
	prepare_fail(c, m->g, reason, note);
	gather_copy(m->g, "S\0\0\0\4", FRAME_HEADER_SIZE);
	c->batch++;
	statement_unref(&c->unnamed);
	statement_unref(&c->unnamed_kept);
	request_sent(c, PEND_SYNC, false, 0, NULL);
	return request_discard(c, m);
}

/* ---- Query and FunctionCall ---- */

static void scan(struct client *c, const struct message_in *m, struct scan_result *out)
{
	struct scan_options o = { .standard_conforming_strings = c->strings_conform,
		.is_truncated = !request_is_whole(m),
		.suspects = c->worker->suspects };
	struct reader r = request_body(m);
	size_t len = reader_left(&r);

	sqlscan((const char *)r.pos, request_is_whole(m) && len ? len - 1 : len, &o, out);
}

/* DEALLOCATE of a name that exists only here is ours to answer, in its turn. */
static bool may_deallocate(const struct client *c, const struct scan_result *r)
{
	const struct pending *p = &c->server->pending;

	return r->is_deallocate && !r->is_deallocate_all && !p->is_batch_open && !p->is_skipping && !pending_may_copy(p);
}

/* NULL: it's none. */
static struct client_statement *find_own_deallocated(struct client *c, const struct scan_result *r)
{
	return c->is_tracked && may_deallocate(c, r) ? client_statements_find(&c->statements, r->name) : NULL;
}

static bool deallocate_asked(struct client *c, struct message_in *m, const struct scan_result *r)
{
	if (!c->asked || !may_deallocate(c, r) || c->server->pending.tx_status == TX_FAILED ||
		!ask_forget_statement(c, r->name))
		return false;
	request_sent(c, PEND_LOCAL, false, LOCAL_DEALLOCATE, NULL);
	m->must_answer = true;
	return true;
}

static enum step on_query(struct client *c, struct message_in *m)
{
	struct client_statement *own;
	struct prepared_note *refused;
	enum fail_reason reason;
	struct scan_result r;

	if (c->worker->config->disable_pqexec)
		return request_fatal(c, "08P01", "PQexec disallowed");
	if (!request_is_whole(m) && m->frame.length <= SCAN_WHOLE_MAX)
		return STEP_MORE;
	if (c->pool->uses_sequences && c->state == CLIENT_IDLE) {
		scan(c, m, &r);
		stateful_prefer_server(c, r.flags);
	}
	if (!request_link(c, m))
		return STEP_WAIT;
	scan(c, m, &r);
	if (deallocate_asked(c, m, &r))
		return request_discard(c, m);
	own = find_own_deallocated(c, &r);
	if (name_is_uncertain(c, own) || (r.is_deallocate && !own && name_may_come_back(c, r.name)))
		return request_barrier(c);
	if (stateful_must_wait(c, r.makes))
		return STEP_WAIT;
	refused = stateful_refuse(c, r.makes, &reason);
	if (refused)
		return request_refuse_query(c, m, reason, refused);
	if (own) {
		struct prepared_note *note = xcalloc(1, sizeof(*note));

		statement_unref(&c->unnamed);
		statement_unref(&c->unnamed_kept);
		prepare_take_name(c, own, note);
		request_sent(c, PEND_LOCAL, false, LOCAL_DEALLOCATE, note);
		m->must_answer = true;
		return request_discard(c, m);
	}
	stateful_note_only_setting(c, &r);
	stateful_note(c, r.flags, request_body(m).pos, MIN((size_t)m->frame.length, m->avail) - FRAME_HEADER_SIZE);
	slow_note(c, request_body(m).pos, MIN((size_t)m->frame.length, m->avail) - FRAME_HEADER_SIZE);
	if (stateful_deallocates_all(&r)) {
		server_statements_expire(&c->server->statements);
		c->is_forgetting = true;
	}
	c->server->has_unnamed = false;
	c->ends_block = request_is_whole(m) &&
		lost_would_end(c, (const char *)m->bytes + FRAME_HEADER_SIZE, m->frame.length - FRAME_HEADER_SIZE);
	unnamed_sent(c, PEND_QUERY, NULL);
	return request_pass(c, m);
}

static enum step on_function_call(struct client *c, struct message_in *m)
{
	if (!request_link(c, m))
		return STEP_WAIT;
	stateful_note(c, SCAN_OPAQUE, request_body(m).pos,
		MIN((size_t)m->frame.length, m->avail) - FRAME_HEADER_SIZE);
	c->ends_block = false;
	request_sent(c, PEND_FUNCTION, false, 0, NULL);
	return request_pass(c, m);
}

/* ---- Sync, Flush, CopyData, Terminate ---- */

#define QUIET_MAX (1 * USEC_PER_SEC)

void client_end_quiet_batch(struct client *c)
{
	struct server *s = c->server;

	if (c->state != CLIENT_ACTIVE || s->state != SERVER_ACTIVE || c->mode == POOL_SESSION || c->pins ||
		c->body_left || s->body_left || !pending_is_between(&s->pending))
		return;
	if (!atomic_load_explicit(&c->pool->shared->waiting, memory_order_relaxed) &&
		c->worker->loop.now - c->idle_since < QUIET_MAX)
		return;
	stream_send_bytes(&s->stream, "S\0\0\0\4", FRAME_HEADER_SIZE);
	c->batch++;
	pending_sent(&s->pending, PEND_SYNC, true, 0, NULL);
}

static enum step on_sync(struct client *c, struct message_in *m)
{
	if (c->state != CLIENT_ACTIVE) { /* nothing was begun: nothing to end */
		client_ready(c);
		return request_discard(c, m);
	}
	request_to_server(c, m);
	if (pending_swallows_sync(&c->server->pending))
		return request_discard(c, m);
	if (c->unnamed && c->is_tracked)
		prepare_look_at_unnamed(c, m->g);
	c->batch++;
	request_sent(c, PEND_SYNC, false, 0, NULL);
	return request_pass(c, m);
}

static enum step on_flush(struct client *c, struct message_in *m)
{
	if (c->state != CLIENT_ACTIVE)
		return request_discard(c, m);
	request_to_server(c, m);
	m->must_answer = true;
	return pending_swallows_sync(&c->server->pending) ? request_discard(c, m) : request_pass(c, m);
}

static enum step on_copy_data(struct client *c, struct message_in *m)
{
	if (c->state != CLIENT_ACTIVE)
		return request_discard(c, m); /* late: PostgreSQL ignores it, too */
	request_to_server(c, m);
	request_sent(c, PEND_COPY_DATA, false, 0, NULL);
	return request_pass(c, m);
}

static enum step on_copy_end(struct client *c, struct message_in *m)
{
	if (c->state != CLIENT_ACTIVE)
		return request_discard(c, m);
	request_to_server(c, m);
	request_sent(c, PEND_COPY_END, false, 0, NULL);
	return request_pass(c, m);
}

static enum step on_terminate(struct client *c, struct message_in *m)
{
	(void)m;
	if (c->server)
		c->server->is_goodbye = true;
	client_close(c, "client close request");
	return STEP_GONE;
}

typedef enum step request_fn(struct client *c, struct message_in *m);

static request_fn *const requests[256] = {
	[MSG_QUERY] = on_query,
	[MSG_FUNCTION_CALL] = on_function_call,
	[MSG_PARSE] = extended_parse,
	[MSG_BIND] = extended_bind,
	[MSG_DESCRIBE] = extended_describe,
	[MSG_EXECUTE] = extended_execute,
	[MSG_CLOSE] = extended_close,
	[MSG_SYNC] = on_sync,
	[MSG_FLUSH] = on_flush,
	[MSG_COPY_DATA] = on_copy_data,
	[MSG_COPY_DONE] = on_copy_end,
	[MSG_COPY_FAIL] = on_copy_end,
	[MSG_TERMINATE] = on_terminate,
};

/* ---- discarding after an error of our own ---- */

static bool is_extended(uint8_t type)
{
	return type == MSG_PARSE || type == MSG_BIND || type == MSG_DESCRIBE || type == MSG_EXECUTE ||
		type == MSG_CLOSE;
}

/* The refused request, and what PostgreSQL would skip after an error in it. */
static enum step skip(struct client *c, struct message_in *m)
{
	uint8_t type = m->frame.type;

	if (type == MSG_TERMINATE)
		return on_terminate(c, m);
	if (c->discard == DISCARD_REQUEST && is_extended(type)) {
		c->discard = DISCARD_TO_SYNC;
	} else if (c->discard == DISCARD_REQUEST || type == MSG_SYNC) {
		c->discard = DISCARD_NONE;
		client_ready(c);
	}
	return request_discard(c, m);
}

/* The server would ignore it: then nothing may be done for it here either. */
static bool is_skipped(const struct client *c, uint8_t type)
{
	if (c->state != CLIENT_ACTIVE)
		return false;
	ASSERT(c->server);
	return c->server->pending.is_skipping && type != MSG_SYNC && type != MSG_TERMINATE;
}

/*
 * A message is passed on when it is whole, a longer one from its first 64 kB on: a client that vanishes in the middle, or announces a gigabyte
 * and sends ten bytes, leaves no half message with a server. Half a CopyData is easily completed, unless its rest is too long.
 */
static bool is_kept(const struct message_in *m)
{
	if (m->avail >= MIN((size_t)m->frame.length, KEPT_MAX))
		return false;
	return m->frame.type != MSG_COPY_DATA || m->frame.length > PADDING_MAX;
}

static enum step dispatch(struct client *c, struct message_in *m)
{
	enum step step;

	if (!msg_is_from_client(m->frame.type)) {
		char text[64];

		snprintf(text, sizeof(text), "invalid frontend message type %u", m->frame.type);
		return request_fatal(c, "08P01", text);
	}
	if (m->frame.length > c->worker->config->max_packet_size)
		return request_fatal(c, "54000", "message is longer than max_packet_size");
	if (c->discard != DISCARD_NONE)
		return skip(c, m);
	if (c->state == CLIENT_TX_LOST && m->frame.type != MSG_TERMINATE)
		return lost_request(c, m);
	if (is_skipped(c, m->frame.type))
		return request_discard(c, m);
	if (UNLIKELY(is_kept(m)))
		return STEP_MORE;
	if (ask_may_be(c, m) && ask_request(c, m, &step))
		return step;
	return requests[m->frame.type](c, m);
}

/* ---- the chunk ---- */

static bool may_go_on(const struct client *c)
{
	return !c->pauses && (c->state == CLIENT_IDLE || c->state == CLIENT_ACTIVE || c->state == CLIENT_TX_LOST);
}

static size_t stream_body(struct client *c, struct gather *g, const uint8_t *bytes, size_t len)
{
	size_t n = MIN(c->body_left, len);

	if (c->body_to == BODY_FORWARD && c->server) {
		g->to = &c->server->stream;
		gather_slice(g, bytes, n);
	}
	c->body_left -= n;
	return n;
}

/* Answers of our own whose turn has come, when the client has asked for what there is. */
static void answer_locals(struct client *c)
{
	struct pending_entry e;

	while (c->server && pending_pop_local(&c->server->pending, &e))
		relay_local(c, &e);
}

static void after_chunk(struct client *c, struct gather *g)
{
	struct server *s = c->server;

	gather_flush(g);
	c->out = NULL;
	c->pool->counters.received += g->total;
	c->must_recheck = !s;
	if (!s)
		return;
	c->idle_since = c->worker->loop.now;
	if (stream_backlog(&s->stream) > BACKLOG_MAX)
		client_pause(c, PAUSE_BACKLOG);
	if (pending_is_full(&s->pending))
		client_pause(c, PAUSE_FULL);
	client_maybe_release(c);
}

/* The server is in COPY and reads on whatever comes: so many bytes from here on are whole CopyData. */
static size_t stream_copy(struct client *c, struct gather *g, const uint8_t *bytes, size_t len)
{
	uint32_t max = c->worker->config->max_packet_size;
	size_t n = 0;

	if (c->state != CLIENT_ACTIVE || !c->server || c->discard != DISCARD_NONE ||
		!pending_swallows_sync(&c->server->pending))
		return 0;
	while (len - n >= FRAME_HEADER_SIZE && bytes[n] == MSG_COPY_DATA) {
		uint32_t size = load_be32(bytes + n + 1);

		if (size < 4 || size >= len - n || size >= max) /* malformed, cut or too long: the usual way */
			break;
		n += size + 1;
	}
	if (n) {
		g->to = &c->server->stream;
		gather_slice(g, bytes, n);
		c->has_sent = true;
		c->request_at = c->worker->loop.now;
	}
	return n;
}

size_t client_data(struct stream *st, const uint8_t *bytes, size_t len)
{
	struct client *c = CONTAINER_OF(st, struct client, stream);
	struct gather g;
	size_t pos = 0, copied;

	gather_init(&g, c->server ? &c->server->stream : NULL, c->worker->arena, ARENA_SIZE);
	c->out = &g;
	while (pos < len && may_go_on(c)) {
		struct reader r = reader_over(bytes + pos, len - pos);
		struct message_in m = { .bytes = bytes + pos, .avail = len - pos, .g = &g };
		enum step step;

		if (c->body_left) {
			pos += stream_body(c, &g, bytes + pos, len - pos);
			continue;
		}
		if (bytes[pos] == MSG_COPY_DATA && (copied = stream_copy(c, &g, bytes + pos, len - pos)) > 0) {
			pos += copied;
			continue;
		}
		switch (frame_peek(&r, &m.frame)) {
		case RES_OK: step = dispatch(c, &m); break;
		case RES_MORE: step = STEP_MORE; break;
		case RES_PROTOCOL:
		case RES_LIMIT:
		case RES_REFUSED:
		case RES_SYSTEM:
		default: step = request_fatal(c, "08P01", "invalid message length"); break;
		}
		if (step == STEP_GONE) {
			c->out = NULL;
			return len;
		}
		if (step != STEP_TAKEN)
			break;
		c->body_left = m.frame.length - MIN((size_t)m.frame.length, m.avail);
		c->body_type = m.frame.type;
		pos += MIN((size_t)m.frame.length, m.avail);
		if (m.must_answer)
			answer_locals(c);
	}
	after_chunk(c, &g);
	return c->state == CLIENT_CLOSING ? len : pos;
}
