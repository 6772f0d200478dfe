#include "pool/server.h"

#include "pool/cancel.h"
#include "wire/msg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_MAX (1024 * 1024) /* of answers that nobody wants */
#define DRAIN_FLOOD                                                                                          \
	(64 * 1024 * 1024) /* so much, cancelled or not: the connection is closed; the kernel's buffers hold less */
#define DRAIN_GRACE (1 * USEC_PER_SEC)	  /* .. or this long: then the query is cancelled */
#define DRAIN_GOODBYE (60 * USEC_PER_SEC) /* after a Terminate: what was asked for may finish */
#define DRAIN_LIMIT (5 * USEC_PER_SEC)	  /* after the cancel: then the connection is closed */

#define CANCEL_PAUSE                                                                                         \
	(100 * USEC_PER_MSEC) /* between two cancels of what was left behind; twice as long each time */

#define SYNC_TRIES 20

#define TO(s) (1u << (s))
static const unsigned server_moves[SERVER_STATES] = {
	/* nothing leaves SERVER_CLOSING */
	[SERVER_LOGIN] = TO(SERVER_IDLE) | TO(SERVER_CLOSING),
	[SERVER_IDLE] = TO(SERVER_TESTING) | TO(SERVER_SYNCING) | TO(SERVER_ACTIVE) | TO(SERVER_MOVING) |
		TO(SERVER_CLOSING),
	[SERVER_TESTING] = TO(SERVER_IDLE) | TO(SERVER_CLOSING),
	[SERVER_SYNCING] = TO(SERVER_ACTIVE) | TO(SERVER_CLEANING) | TO(SERVER_CLOSING),
	[SERVER_ACTIVE] = TO(SERVER_IDLE) | TO(SERVER_SYNCING) | TO(SERVER_PROBING) | TO(SERVER_CLEANING) |
		TO(SERVER_HELD) | TO(SERVER_CLOSING),
	[SERVER_PROBING] = TO(SERVER_ACTIVE) | TO(SERVER_CLEANING) | TO(SERVER_CLOSING),
	[SERVER_CLEANING] = TO(SERVER_IDLE) | TO(SERVER_HELD) | TO(SERVER_CLOSING),
	[SERVER_HELD] = TO(SERVER_IDLE) | TO(SERVER_CLOSING),
	[SERVER_MOVING] = TO(SERVER_IDLE) | TO(SERVER_CLOSING),
};

void server_set_state(struct server *s, enum server_state next)
{
	ASSERT(server_moves[s->state] & TO(next));
	s->state = next;
}

const char *server_state_name(enum server_state s)
{
	static const char *const names[SERVER_STATES] = {
		[SERVER_LOGIN] = "new",
		[SERVER_IDLE] = "idle",
		[SERVER_TESTING] = "tested",
		[SERVER_SYNCING] = "active",
		[SERVER_ACTIVE] = "active",
		[SERVER_CLEANING] = "used",
		[SERVER_PROBING] = "active",
		[SERVER_HELD] = "being_canceled",
		[SERVER_MOVING] = "idle",
		[SERVER_CLOSING] = "closing",
	};

	return names[s];
}

void server_describe(const struct server *s, struct log_who *who, char addr[ADDRESS_TEXT_MAX])
{
	address_text(&s->address, addr);
	*who = (struct log_who){ .kind = "server",
		.id = s->id,
		.database = s->pool ? s->pool->shared->database : NULL,
		.user = s->pool ? s->pool->shared->user : NULL,
		.addr = addr };
}

static struct worker *worker_of(const struct server *s)
{
	return s->pool->worker;
}

static usec_t now_of(const struct server *s)
{
	return s->pool->worker->loop.now;
}

/* ---- the pending queue's undo ---- */

void server_note_free(struct prepared_note **np)
{
	struct prepared_note *n = *np;

	*np = NULL;
	if (!n)
		return;
	if (n->removes_name)
		client_statement_free(&n->name);
	statement_unref(&n->unnamed_before);
	statement_unref(&n->statement);
	free(n->target);
	free(n->parameters);
	free(n->text);
	free(n->detail);
	free(n);
}

/* The server skipped a request: what its sending had assumed isn't so. */
static void on_drop(void *ctx, const struct pending_entry *e)
{
	struct server *s = ctx;
	struct prepared_note *note = e->ref;

	if (e->type == PEND_PARSE)
		server_undo_parse(s, note);
	if (note && note->removes)
		server_statements_restore(&s->statements, note->id);
	if (note && note->shapes)
		server_forget_shape(s, note);
	if (s->link)
		s->link->dropped(s, e);
	server_note_free(&note);
}

/* ---- opening and closing ---- */

static void free_server(struct doomed *d)
{
	struct server *s = CONTAINER_OF(d, struct server, doomed);

	s->link = NULL;
	pending_clear(&s->pending);
	settings_unref(&s->settings);
	settings_unref(&s->syncing);
	settings_unref(&s->reported);
	probe_clear(&s->probe);
	server_statements_clear(&s->statements, false);
	server_login_free(s);
	free(s->cancel_secret);
	free(s->parameters);
	free(s->fingerprint);
	free(s);
}

usec_t server_patience(const struct server *s)
{
	usec_t timeout = worker_of(s)->config->server_connect_timeout;

	return timeout ? now_of(s) + timeout : 0;
}

void server_open(struct pool *p, struct host_pool *host, const struct host_login *login, bool takes_any)
{
	struct server *s = xcalloc(1, sizeof(*s));

	s->pool = p;
	s->host = host_pool_ref(host);
	s->host_login = *login;
	s->takes_any = takes_any;
	s->registry = p->worker->registry;
	s->doomed.free = free_server;
	s->state = SERVER_LOGIN;
	s->id = registry_id(p->worker->registry);
	s->stream.fd = -1;
	s->fingerprint = xstrdup(p->fingerprint);
	s->connected_at = p->worker->loop.now;
	s->lifetime_jitter =
		p->server_lifetime ? hash64(&s->id, sizeof(s->id)) % (p->server_lifetime / 10 + 1) : 0;
	s->deadline = server_patience(s);
	pending_init(&s->pending, on_drop, s);
	server_statements_init(&s->statements);
	list_push_back(&p->servers, &s->node);
	p->n_login++;
	atomic_fetch_add(&p->shared->logins, 1);
	worker_tick_fast(p->worker);
	server_login_start(s);
}

/* The place at the host, logged in or not. */
static void leave_host(struct server *s, usec_t now)
{
	host_login_end(s->host, &s->host_login, HOST_DROPPED, "", "", now, 0);
	host_server_closed(s->host);
	host_pool_drop(&s->host);
}

static void forget_in_pool(struct server *s)
{
	struct pool *p = s->pool;

	if (s->state == SERVER_LOGIN) {
		server_login_free(s); /* now: its address or its keys may arrive in this very round */
		p->n_login--;
		atomic_fetch_sub(&p->shared->logins, 1);
	}
	if (s->state == SERVER_TESTING)
		p->n_testing--;
	if (s->state == SERVER_IDLE) {
		list_remove(&p->idle, &s->node);
		atomic_store(&p->shared->views[p->worker->index].idle, (unsigned)p->idle.count);
	} else if (s->state == SERVER_MOVING) {
		list_remove(&p->worker->moving, &s->node);
		atomic_fetch_sub(&p->shared->views[s->move_to].incoming, 1);
	} else {
		list_remove(&p->servers, &s->node);
	}
	pool_publish_servers(p);
	leave_host(s, p->worker->loop.now);
	slot_give_back(p->shared);
	worker_look_again(p->worker);
}

void server_close(struct server *s, const char *reason)
{
	struct log_who who;
	char addr[ADDRESS_TEXT_MAX];

	if (s->state == SERVER_CLOSING)
		return;
	server_describe(s, &who, addr);
	log_debug(&who, "closing because: %s", reason);
	if (s->stream.fd >= 0 && s->state != SERVER_LOGIN && !s->is_cut && !stream_backlog(&s->stream))
		stream_send_bytes(&s->stream, "X\0\0\0\4", 5);
	stream_close(&s->stream);
	if (s->cancel)
		cancel_target_gone(s);
	if (!s->pool) { /* on its way between workers when everything ended */
		leave_host(s, 0);
		slot_give_back(s->moving_pool);
		registry_drop_pool(s->registry, &s->moving_pool);
		s->state = SERVER_CLOSING;
		free_server(&s->doomed);
		return;
	}
	forget_in_pool(s);
	server_set_state(s, SERVER_CLOSING);
	loop_doom(&worker_of(s)->loop, &s->doomed);
}

void server_close_when_free(struct server *s, const char *reason)
{
	if (s->state == SERVER_LOGIN || s->state == SERVER_IDLE || s->state == SERVER_TESTING)
		server_close(s, reason);
	else
		s->close_reason = reason;
}

/* The server is gone: tell whoever uses it. */
void server_lost(struct server *s, const char *sqlstate, const char *message)
{
	struct error_info e = { .severity = "ERROR", .sqlstate = sqlstate, .message = message };
	const struct server_link *link = s->link;
	struct log_who who;
	char addr[ADDRESS_TEXT_MAX];

	if (message == s->our_message) {
		e.detail = *s->our_detail ? s->our_detail : NULL;
		e.hint = *s->our_hint ? s->our_hint : NULL;
	}
	if (s->state == SERVER_CLOSING)
		return;
	if (s->state == SERVER_LOGIN) {
		server_login_fail(s, sqlstate, message, LOGIN_HOST_DOWN);
		return;
	}
	server_describe(s, &who, addr);
	if (s->state != SERVER_IDLE)
		log_info(&who, "server connection lost: %s", message);
	if (link && (s->state == SERVER_ACTIVE || s->state == SERVER_SYNCING || s->state == SERVER_PROBING)) {
		link->lost(s, &e); /* it looks at the pending queue, so before the close */
		s->link = NULL;
		s->client = NULL;
	}
	server_close(s, message);
}

/* ---- without a client: tests, settings, cleaning ---- */

static void send_own_query(struct server *s, struct writer *message)
{
	s->has_failed = false;
	s->has_unnamed = false;
	stream_send_bytes(&s->stream, message->data, message->len);
	pending_sent(&s->pending, PEND_QUERY, true, 0, NULL);
	writer_free(message);
}

void server_query(struct server *s, const char *sql)
{
	struct writer w = { 0 };

	write_query(&w, sql);
	send_own_query(s, &w);
}

static void come_free(struct server *s)
{
	struct pool *p = s->pool;

	list_remove(&p->servers, &s->node);
	server_set_state(s, SERVER_IDLE);
	s->client = NULL;
	s->link = NULL;
	pool_put_server(p, &s);
}

/* What we send next would be hit by it. */
static void await_cancel(struct server *s)
{
	usec_t wait = worker_of(s)->config->cancel_wait_timeout;

	s->deadline = wait ? now_of(s) + wait : 0;
}

static void hold_or_free(struct server *s)
{
	if (!s->cancel) {
		come_free(s);
		return;
	}
	if (s->state != SERVER_HELD)
		server_set_state(s, SERVER_HELD);
	await_cancel(s);
}

static void send_sync(struct server *s)
{
	stream_send_bytes(&s->stream, "S\0\0\0\4", 5);
	pending_sent(&s->pending, PEND_SYNC, true, 0, NULL);
}

static void send_copy_fail(struct server *s)
{
	struct writer w = { 0 };

	msg_begin(&w, MSG_COPY_FAIL);
	write_cstring(&w, "client has gone");
	msg_end(&w);
	stream_send_bytes(&s->stream, w.data, w.len);
	pending_sent(&s->pending, PEND_COPY_END, true, 0, NULL);
	writer_free(&w);
}

static bool wants_reset(const struct server *s)
{
	const struct config *c = worker_of(s)->config;

	return !s->is_reset && *c->server_reset_query && (c->server_reset_query_always || s->is_touched);
}

static void quiet_local(struct server *s, const struct pending_entry *e, void *ctx)
{
	struct prepared_note *note = e->ref;

	(void)s, (void)ctx;
	server_note_free(&note);
}

/* An empty server_reset_query is an administrator's word in session pooling: what clients leave behind doesn't matter there. */
static bool must_close_instead(const struct server *s)
{
	return s->is_touched && !s->is_reset && s->pool->mode != POOL_SESSION &&
		!*worker_of(s)->config->server_reset_query;
}

/* The client has gone: whatever it left behind, the next step towards a server as good as new. */
static void clean(struct server *s)
{
	struct pending *p = &s->pending;
	struct pending_entry local;

	while (pending_pop_local(p, &local))
		quiet_local(s, &local, NULL);
	if (s->pool->shared->replication) {
		server_close(s, "its replication client has gone");
	} else if (s->is_cut || s->close_reason || p->is_ambiguous) {
		server_close(s, s->close_reason ? s->close_reason : "its client left in the middle of a message");
	} else if (s->cancel) {
		if (!p->count)
			await_cancel(s);
	} else if (p->copy == COPY_IN) {
		send_copy_fail(s);
	} else if (p->is_batch_open && !p->is_skipping) {
		/* Not Sync: that would commit what nobody said to commit. A ROLLBACK ends the implicit transaction, too. */
		s->is_rolled_back = true;
		server_query(s, "ROLLBACK");
	} else if (p->is_skipping) {
		send_sync(s);
	} else if (p->count) {
		return; /* answers are due */
	} else if (p->tx_status != TX_IDLE) {
		if (s->is_rolled_back && s->has_failed) {
			server_close(s, "could not roll back");
			return;
		}
		s->is_rolled_back = true;
		server_query(s, "ROLLBACK");
	} else if (s->is_reset && s->has_failed) {
		server_close(s, "server_reset_query failed");
	} else if (must_close_instead(s)) {
		server_close(s, "its client left something behind, and there is no server_reset_query");
	} else if (wants_reset(s)) {
		s->is_reset = true;
		s->has_unknown_settings = true; /* unless it says DISCARD ALL */
		server_query(s, worker_of(s)->config->server_reset_query);
	} else {
		s->is_touched = false;
		hold_or_free(s);
	}
}

/* From scratch: also what connect_query had set is gone then. */
static void send_resets(struct server *s)
{
	const struct config_database *db = s->pool->database;

	server_query(s, SETTINGS_RESET_ALL);
	if (db && db->connect_query && *db->connect_query)
		server_query(s, db->connect_query);
}

static void send_settings(struct server *s)
{
	struct writer w = { 0 };

	if (s->has_unknown_settings)
		send_resets(s);
	msg_begin(&w, MSG_QUERY);
	settings_write_sql(&w, s->has_unknown_settings ? NULL : s->settings, s->syncing);
	write_u8(&w, 0);
	msg_end(&w);
	send_own_query(s, &w);
}

static void finish_sync(struct server *s)
{
	struct error_info e = { .severity = "ERROR", .sqlstate = s->our_sqlstate, .message = s->our_message };

	/* The statement_timeout of whoever had it before may be too short for us; a cancel may have come late. */
	if (s->has_failed && strcmp(s->our_sqlstate, "57014") == 0 && ++s->sync_tries < SYNC_TRIES) {
		send_settings(s);
		return;
	}
	if (!s->has_failed) {
		settings_unref(&s->settings);
		s->settings = s->syncing;
		s->syncing = NULL;
		if (s->has_unknown_settings)
			s->opaque_client = 0;
		s->has_unknown_settings = false;
		server_set_state(s, SERVER_ACTIVE);
		s->link->synced(s, NULL);
		return;
	}
	settings_unref(&s->syncing); /* one implicit transaction: all of it was rolled back, so s->settings still holds */
	s->link->synced(s, &e);
}

static void start_probe(struct server *s, struct writer *query)
{
	server_set_state(s, SERVER_PROBING);
	s->is_touched = true;
	s->deadline = server_patience(s);
	send_own_query(s, query);
	worker_tick_fast(worker_of(s));
}

void server_probe(struct server *s, const struct settings *names, unsigned tries)
{
	struct writer w = { 0 };

	probe_clear(&s->probe);
	probe_write_query(&w, names, s->settings, tries >= 2);
	start_probe(s, &w);
}

void server_probe_single(struct server *s, const char *name)
{
	struct writer w = { 0 };

	probe_clear(&s->probe);
	s->probe.settings = settings_ref(s->settings); /* the row is put on top */
	probe_write_single(&w, name);
	start_probe(s, &w);
}

static void finish_probe(struct server *s)
{
	bool is_ok = !s->has_failed && !s->probe.is_bad;

	s->is_touched = !is_ok || s->probe.pins;
	server_set_state(s, SERVER_ACTIVE);
	s->link->probed(s, is_ok);
}

static void finish_test(struct server *s)
{
	const char *why = s->asks ? server_judge_answer(s) : s->has_failed ? "test query failed" : NULL;

	if (why) {
		server_close(s, why);
		return;
	}
	s->pool->n_testing--;
	come_free(s);
}

/* Whatever state it's in, nothing more is due: go on. */
static void quiet_step(struct server *s)
{
	switch (s->state) {
	case SERVER_CLEANING: clean(s); break;
	case SERVER_SYNCING:
		if (!s->pending.count)
			finish_sync(s);
		break;
	case SERVER_TESTING:
		if (!s->pending.count)
			finish_test(s);
		break;
	case SERVER_PROBING:
		if (!s->pending.count)
			finish_probe(s);
		break;
	case SERVER_LOGIN:
	case SERVER_IDLE:
	case SERVER_ACTIVE:
	case SERVER_HELD:
	case SERVER_MOVING:
	case SERVER_CLOSING:
	case SERVER_STATES: break;
	}
}

static bool quiet_message(struct server *s, struct server_message *m, void *ctx)
{
	struct prepared_note *note = m->popped.ref;

	(void)ctx;
	server_note_free(&note);
	if (s->state == SERVER_PROBING && m->frame.type == MSG_DATA_ROW)
		probe_row(&s->probe, reader_over(m->body, m->body_len));
	if (s->asks && m->frame.type == MSG_DATA_ROW && m->body)
		server_take_answer(s, reader_over(m->body, m->body_len));
	if (m->verdict == PENDING_FATAL)
		server_lost(s, s->has_failed ? s->our_sqlstate : "08006",
			s->has_failed ? s->our_message : "server closed the connection");
	return s->state == SERVER_PROBING && m->frame.type == MSG_NOTIFICATION_RESPONSE;
}

/* A probe is ours, but what others tell its client meanwhile comes once and to it alone. */
static void quiet_slice(struct server *s, const uint8_t *bytes, size_t len, void *ctx)
{
	(void)ctx;
	if (s->state == SERVER_PROBING)
		s->link->notified(s, bytes, len);
}

static void cancel_drained(struct server *s)
{
	if (s->is_cancelling)
		return;
	s->is_cancelling = true;
	s->deadline = now_of(s) + DRAIN_LIMIT;
	s->cancel_pause = CANCEL_PAUSE;
	s->cancel_at = now_of(s) + s->cancel_pause;
	cancel_start_own(s);
	if (s->cancel) /* the result that it sends meanwhile needn't be read: it waits until it knows */
		stream_pause(&s->stream);
}

/* It may have come before the query did, or was for the first of several. */
static void cancel_again(struct server *s, usec_t now)
{
	if (s->state != SERVER_CLEANING) {
		cancel_repeat(s, now);
		return;
	}
	if (!s->is_cancelling || s->cancel || !s->pending.count || now < s->cancel_at)
		return;
	s->cancel_pause *= 2;
	s->cancel_at = now + s->cancel_pause;
	cancel_start_own(s);
}

static size_t quiet_data(struct server *s, const uint8_t *bytes, size_t len)
{
	static const struct server_walk walk = { .message = quiet_message, .local = quiet_local, .slice = quiet_slice };
	size_t n = server_walk(s, bytes, len, &walk, NULL);

	if (s->state == SERVER_CLOSING)
		return len;
	s->drained_bytes += n;
	quiet_step(s);
	if (s->state == SERVER_CLEANING && s->drained_bytes > DRAIN_FLOOD && s->pending.count)
		server_close(s, "what its client left behind doesn't end");
	else if (s->state == SERVER_CLEANING && s->drained_bytes > DRAIN_MAX && s->pending.count)
		cancel_drained(s);
	return s->state == SERVER_CLOSING ? len : n;
}

/* ---- lending ---- */

void server_link(struct server *s, void *client, const struct server_link *link)
{
	ASSERT(s->state == SERVER_IDLE && !list_is_linked(&s->node));
	list_push_back(&s->pool->servers, &s->node);
	s->client = client;
	s->link = link;
	s->lending++;
	s->is_reset = s->is_rolled_back = s->is_cancelling = s->is_goodbye = s->is_unwanted = s->has_failed =
		s->is_error_due = s->is_touched = false;
	s->drained_bytes = 0;
	s->cancel_at = 0;
	s->request_at = s->xact_at = 0;
}

bool server_sync(struct server *s, struct settings *to)
{
	if (!s->has_unknown_settings && settings_same(s->settings, to)) {
		server_set_state(s, SERVER_ACTIVE);
		return true;
	}
	server_set_state(s, SERVER_SYNCING);
	settings_unref(&s->syncing);
	s->syncing = settings_ref(to);
	s->sync_tries = 0;
	s->deadline = server_patience(s);
	send_settings(s);
	worker_tick_fast(worker_of(s));
	return false;
}

bool server_may_release(struct server *s)
{
	return pending_is_idle(&s->pending) && !s->body_left && !s->is_cut && !s->pending.is_ambiguous;
}

void server_unlink(struct server *s, bool is_cut)
{
	s->is_cut = is_cut;
	s->client = NULL;
	s->link = NULL;
	if (s->state == SERVER_CLOSING)
		return;
	if (s->state == SERVER_ACTIVE && server_may_release(s) && !wants_reset(s) && !must_close_instead(s) &&
		!s->pool->shared->replication) {
		hold_or_free(s);
		return;
	}
	server_set_state(s, SERVER_CLEANING);
	s->deadline = now_of(s) + (s->is_goodbye ? DRAIN_GOODBYE : DRAIN_GRACE);
	worker_tick_fast(worker_of(s));
	clean(s);
	if (s->state == SERVER_CLEANING && s->is_unwanted && s->pending.count)
		cancel_drained(s);
}

void server_cancel_done(struct server *s)
{
	s->cancel = NULL;
	if (s->state == SERVER_CLEANING && s->stream.is_paused)
		stream_resume(&s->stream);
	if (s->state == SERVER_HELD) {
		come_free(s);
	} else if (s->state == SERVER_CLEANING) {
		if (!s->pending.count)
			s->deadline = now_of(s) + DRAIN_LIMIT;
		clean(s);
	}
}

/* ---- events ---- */

static struct server *of_stream(struct stream *st)
{
	struct server *s = CONTAINER_OF(st, struct server, stream);

	ASSERT_ON_WORKER(worker_of(s));
	return s;
}

static size_t on_data(struct stream *st, const uint8_t *bytes, size_t len)
{
	struct server *s = of_stream(st);
	size_t n = 0;

	s->pool->counters.sent += len;
	if (s->state == SERVER_LOGIN)
		return server_login_data(s, bytes, len);
	if (s->state == SERVER_ACTIVE)
		n = s->link->data(s, bytes, len);
	if (n < len && s->state != SERVER_ACTIVE) /* or it has been taken from its client in the middle of this */
		n += quiet_data(s, bytes + n, len - n);
	return n;
}

static void on_drained(struct stream *st)
{
	struct server *s = of_stream(st);

	if (s->link)
		s->link->drained(s);
}

static void on_handshake(struct stream *st)
{
	struct server *s = of_stream(st);

	if (s->state == SERVER_LOGIN)
		server_login_handshake(s);
}

static void on_closed(struct stream *st, enum stream_end why)
{
	struct server *s = of_stream(st);

	if (s->state == SERVER_LOGIN && st->tls && st->error == EPROTO) { /* a certificate, say: no waiting mends it */
		server_login_fail(s, "08001", tls_why(st->tls), LOGIN_REFUSED);
		return;
	}
	if (s->state == SERVER_LOGIN && st->is_connecting && server_login_next_address(s))
		return;
	if (s->has_failed) /* it said why before it went */
		server_lost(s, s->our_sqlstate, s->our_message);
	else
		server_lost(s, "08006",
			why == STREAM_RESET && s->state == SERVER_LOGIN
				? strerror(st->error)
				: "server closed the connection unexpectedly");
}

const struct stream_ops server_stream_ops = {
	.data = on_data, .drained = on_drained, .closed = on_closed, .handshake = on_handshake
};

/* An answer and a reset in one go give no event for the reset: see stream_recheck(). */
static void recheck(struct server *s, usec_t now)
{
	if (now < s->recheck_at || s->stream.is_connecting)
		return;
	s->recheck_at = now + USEC_PER_SEC;
	stream_recheck(&s->stream);
}

void server_tick(struct server *s, usec_t now)
{
	recheck(s, now);
	if (s->state == SERVER_LOGIN)
		server_login_tick(s, now);
	if (s->cancel_at)
		cancel_again(s, now);
	if (!s->deadline || now < s->deadline)
		return;
	switch (s->state) {
	case SERVER_LOGIN: server_login_late(s); break;
	case SERVER_TESTING: server_close(s, "test query timed out"); break;
	case SERVER_SYNCING:
	case SERVER_PROBING: server_lost(s, "08006", "server did not answer in time"); break;
	case SERVER_CLEANING:
		if (s->is_cancelling || !s->pending.count)
			server_close(s, "cleaning took too long");
		else
			cancel_drained(s);
		break;
	case SERVER_HELD: server_close(s, "cancel took too long"); break;
	case SERVER_IDLE:
	case SERVER_ACTIVE:
	case SERVER_MOVING:
	case SERVER_CLOSING:
	case SERVER_STATES: break;
	}
}
