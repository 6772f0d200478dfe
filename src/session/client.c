#include "session/client.h"

#include "pool/cancel.h"
#include "session/ask.h"
#include "session/flow.h"
#include "session/keys.h"
#include "session/move.h"
#include "session/slow.h"
#include "wire/msg.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LINGER (1 * USEC_PER_SEC)
#define PADDING 4096

#define TO(s) (1u << (s))
static const unsigned client_moves[CLIENT_STATES] = {
	/* nothing leaves CLIENT_CLOSING */
	[CLIENT_NEW] = TO(CLIENT_IDLE) | TO(CLIENT_SYNCING) | TO(CLIENT_CLOSING),
	[CLIENT_IDLE] = TO(CLIENT_WAITING) | TO(CLIENT_SYNCING) | TO(CLIENT_ACTIVE) | TO(CLIENT_CLOSING),
	[CLIENT_WAITING] = TO(CLIENT_SYNCING) | TO(CLIENT_ACTIVE) | TO(CLIENT_IDLE) | TO(CLIENT_CLOSING),
	[CLIENT_SYNCING] = TO(CLIENT_ACTIVE) | TO(CLIENT_IDLE) | TO(CLIENT_CLOSING),
	[CLIENT_ACTIVE] = TO(CLIENT_IDLE) | TO(CLIENT_TX_LOST) | TO(CLIENT_CLOSING),
	[CLIENT_TX_LOST] = TO(CLIENT_IDLE) | TO(CLIENT_CLOSING),
};

void client_set_state(struct client *c, enum client_state next)
{
	ASSERT(client_moves[c->state] & TO(next));
	c->state = next;
}

const char *client_state_name(const struct client *c)
{
	switch (c->state) {
	case CLIENT_NEW:
	case CLIENT_WAITING:
	case CLIENT_SYNCING: return "waiting";
	case CLIENT_IDLE:
	case CLIENT_TX_LOST: return "idle";
	case CLIENT_ACTIVE:
	case CLIENT_CLOSING:
	case CLIENT_STATES: break;
	}
	return "active";
}

void client_describe(const struct client *c, struct log_who *who, char addr[ADDRESS_TEXT_MAX])
{
	struct address peer;

	address_restore(&c->peer, &peer);
	address_text(&peer, addr);
	*who = (struct log_who){
		.kind = "client", .id = c->id, .database = c->database, .user = c->user, .addr = addr
	};
}

void client_pause(struct client *c, enum client_pause why)
{
	c->pauses |= (uint8_t)why;
	stream_pause(&c->stream);
}

void client_unpause(struct client *c, enum client_pause why)
{
	if (!(c->pauses & why))
		return;
	c->pauses &= (uint8_t)~why;
	if (!c->pauses)
		stream_resume(&c->stream);
}

/* ---- saying something of our own ---- */

void client_error(struct client *c, const struct error_info *e)
{
	struct writer w = { 0 };

	write_error(&w, e);
	stream_send_bytes(&c->stream, w.data, w.len);
	writer_free(&w);
}

uint8_t client_tx_status(const struct client *c)
{
	return c->state == CLIENT_TX_LOST ? TX_FAILED : TX_IDLE;
}

void client_ready(struct client *c)
{
	struct writer w = { 0 };

	write_ready_for_query(&w, client_tx_status(c));
	stream_send_bytes(&c->stream, w.data, w.len);
	writer_free(&w);
}

void client_set_settings(struct client *c, struct settings *s)
{
	struct settings *old = c->settings;

	c->settings = settings_ref(s);
	settings_unref(&old);
	c->classified_for = 0; /* it may have another application_name */
	c->context = statement_context(c->settings, c->pool->shared->database, c->pool->shared->user);
}

void client_set_told(struct client *c, struct settings *s)
{
	struct settings *old = c->told;
	const char *scs;

	if (s == old)
		return;
	c->told = settings_ref(s);
	settings_unref(&old);
	scs = settings_get(s, "standard_conforming_strings");
	c->strings_conform = !scs || strcmp(scs, "off") != 0;
}

/* ---- the end ---- */

static void free_client(struct doomed *d)
{
	struct client *c = CONTAINER_OF(d, struct client, doomed);

	writer_free(&c->greeting);
	free(c->only_setting);
	slow_forget(c);
	free(c->lost_why);
	free(c->deallocate_portal);
	free(c->deallocates);
	if (c->is_own_user)
		free((char *)(uintptr_t)c->user);
	slab_free(&c->worker->client_slab, c);
}

/* What the server's queue still holds for this client: names are its own, and it is leaving. */
static void forget_name(void *ctx, struct pending_entry *e)
{
	struct prepared_note *note = e->ref;

	(void)ctx;
	if (!note || !note->name)
		return;
	if (note->removes_name)
		client_statement_free(&note->name);
	note->removes_name = note->adds_name = false;
	note->name = NULL;
}

/*
 * A COPY is made to fail, whatever its rows are. A Bind executes nothing. A Query without the NUL at its end, or with more than that, is refused
 * before it is looked at (pq_getmsgstring(), pq_getmsgend() in PostgreSQL).
 */
static bool may_be_completed(const struct client *c)
{
	return (c->body_type == MSG_COPY_DATA || c->body_type == MSG_QUERY || c->body_type == MSG_BIND) &&
		c->body_left <= PADDING_MAX;
}

bool client_leaves_half(struct client *c)
{
	char padding[PADDING];

	if (!c->body_left || c->body_to != BODY_FORWARD)
		return false;
	if (!may_be_completed(c))
		return true;
	memset(padding, 'x', sizeof(padding));
	for (size_t left = c->body_left, n; left; left -= n) {
		n = MIN(left, sizeof(padding));
		stream_send_bytes(&c->server->stream, padding, n);
	}
	return false;
}

static void leave_server(struct client *c)
{
	struct server *s = c->server;
	bool is_half;

	if (!s)
		return;
	if (c->out)
		gather_flush(c->out); /* it is on record as sent */
	is_half = client_leaves_half(c);
	c->server = NULL;
	pending_each(&s->pending, forget_name, NULL);
	if (c->mode == POOL_SESSION || c->is_stateful || c->pins)
		s->is_touched = true;
	if (c->has_loaded && c->pool->features != FEATURES_IGNORE)
		s->close_reason = "its client has loaded a library";
	if (s->stream.is_paused)
		stream_resume(&s->stream);
	server_unlink(s, is_half);
}

static void uncount(struct client *c)
{
	struct address_origin origin;
	struct address peer;

	if (c->is_counted)
		registry_uncount_client(c->worker->registry, c->database, c->user);
	if (!c->is_origin_counted)
		return;
	address_restore(&c->peer, &peer);
	address_origin(&peer, &origin);
	registry_uncount_origin(c->worker->registry, &origin);
}

/* Everything but the socket: from here on it costs nobody anything. */
static void leave(struct client *c)
{
	struct worker *w = c->worker;

	pool_withdraw(c->pool, &c->waiter);
	leave_server(c);
	client_set_pins(c, 0);
	session_key_return(c);
	client_statements_clear(&c->statements, false);
	ask_forget(c);
	statement_unref(&c->unnamed);
	statement_unref(&c->unnamed_kept);
	settings_unref(&c->startup);
	settings_unref(&c->settings);
	settings_unref(&c->told);
	settings_unref(&c->custom_names);
	c->pool->n_clients--;
	atomic_fetch_sub(&w->registry->worker_clients[w->index], 1);
	uncount(c);
	client_set_state(c, CLIENT_CLOSING);
	list_remove(&w->clients, &c->node);
	list_push_back(&w->lingering, &c->node);
	c->pool->n_lingering++; /* it stays as long as its names are used */
}

static void free_later(struct client *c)
{
	if (c->stream.fd < 0)
		return;
	stream_close(&c->stream);
	list_remove(&c->worker->lingering, &c->node);
	c->pool->n_lingering--;
	loop_doom(&c->worker->loop, &c->doomed);
}

int client_release(struct client *c, struct tls **tls)
{
	int fd;

	leave(c);
	*tls = stream_take_tls(&c->stream);
	fd = stream_release(&c->stream);
	list_remove(&c->worker->lingering, &c->node);
	c->pool->n_lingering--;
	loop_doom(&c->worker->loop, &c->doomed);
	return fd;
}

void client_close(struct client *c, const char *reason)
{
	struct log_who who;
	char addr[ADDRESS_TEXT_MAX];

	if (c->state != CLIENT_CLOSING) {
		client_describe(c, &who, addr);
		if (c->worker->config->log_disconnections)
			log_info(&who, "closing because: %s (age=%us)", reason,
				(unsigned)((c->worker->loop.now - c->connected_at) / USEC_PER_SEC));
		leave(c);
	}
	free_later(c);
}

void client_fatal(struct client *c, const char *sqlstate, const char *message)
{
	client_end(c, &(struct error_info){ .sqlstate = sqlstate, .message = message });
}

/* In the middle of a message of its server's: it would read the bytes of an error as data. */
static bool is_in_message(const struct client *c)
{
	return c->server && c->server->body_left && c->server->body_pass;
}

static void tell_end(struct client *c, const struct error_info *info)
{
	struct error_info e = *info;
	struct log_who who;
	char addr[ADDRESS_TEXT_MAX];

	client_describe(c, &who, addr);
	if (c->worker->config->log_pooler_errors)
		log_warning(&who, "pooler error: %s", e.message);
	if (is_in_message(c))
		return;
	e.severity = "FATAL";
	if (c->greeting.len)
		stream_send_bytes(&c->stream, c->greeting.data, c->greeting.len);
	client_error(c, &e);
}

/* Closing a socket with unread input would send a reset, and the client would lose the text: stop writing, read on, then close. */
void client_end(struct client *c, const struct error_info *e)
{
	if (c->state == CLIENT_CLOSING)
		return;
	if (c->gather)
		gather_flush(c->gather); /* what the server had said before */
	if (e)
		tell_end(c, e);
	leave(c);
	c->linger_until = c->worker->loop.now + LINGER;
	c->pauses = 0;
	stream_resume(&c->stream);
	stream_finish(&c->stream);
	worker_tick_fast(c->worker);
}

/* ---- lending ---- */

static void tell_parameters(struct client *c, struct server *s)
{
	struct writer w = { 0 };

	if (settings_same(c->told, s->reported))
		return;
	settings_write_status(&w, c->told, s->reported);
	if (w.len)
		stream_send_bytes(&c->stream, w.data, w.len);
	writer_free(&w);
	client_set_told(c, s->reported);
}

/* Who has used it, as far as PostgreSQL can't be asked: currval() and lastval() must never be another client's. */
static void use_server(struct client *c, struct server *s)
{
	if (s->last_client && s->last_client != c->id)
		s->has_foreign_sequences = true;
	s->last_client = c->id;
	c->last_server = s->id;
	if (c->pool->uses_sequences)
		client_own_sequences(c);
}

void client_own_sequences(struct client *c)
{
	struct server *s = c->server;

	if (c->mode == POOL_SESSION || !s->has_foreign_sequences || c->pool->features == FEATURES_IGNORE)
		return;
	s->has_foreign_sequences = false;
	server_query(s, "DISCARD SEQUENCES"); /* in front of what the client sends; nobody waits for its answer */
}

static void become_active(struct client *c)
{
	client_set_state(c, CLIENT_ACTIVE);
	c->server->xact_at = c->worker->loop.now;
	c->is_stateful = c->is_opaque = c->is_unasked = c->asks_sequences = c->wants_sequences = false;
	c->seen = 0;
	c->check_number = 0;
	c->waiter.prefers = 0;
	use_server(c, c->server);
	tell_parameters(c, c->server);
}

/* True: it can go on at once. */
static bool take_server(struct client *c, struct server *s)
{
	c->server = s;
	c->has_sent = false;
	server_link(s, c, &client_link);
	if (s->opaque_client && s->opaque_client != c->id)
		s->has_unknown_settings = true;
	if (server_sync(s, c->settings)) {
		become_active(c);
		return true;
	}
	client_set_state(c, CLIENT_SYNCING);
	client_pause(c, PAUSE_STATE);
	return false;
}

bool client_get_server(struct client *c)
{
	struct server *s;

	if (c->state == CLIENT_ACTIVE)
		return true;
	ASSERT(c->state == CLIENT_IDLE);
	c->waiter.wants = c->settings;
	flow_check(c);
	client_set_state(c, CLIENT_WAITING);
	client_pause(c, PAUSE_STATE);
	s = pool_request(c->pool, &c->waiter);
	if (!s)
		return false;
	if (!take_server(c, s))
		return false;
	c->pauses &= (uint8_t)~PAUSE_STATE; /* it never stopped */
	c->stream.is_paused = c->pauses != 0;
	return true;
}

/* What the pool reports, with the client's own values where it came with some. */
static void tell_first(struct client *c)
{
	struct settings *reported = shared_reported(c->pool->shared);
	struct pool *p = c->pool;

	if (!p->welcome_told || !settings_same(p->welcome_reported, reported) ||
		!settings_same(p->welcome_startup, c->settings)) {
		settings_unref(&p->welcome_reported);
		settings_unref(&p->welcome_startup);
		settings_unref(&p->welcome_told);
		p->welcome_reported = settings_ref(reported);
		p->welcome_startup = settings_ref(c->settings);
		p->welcome_told = settings_overlay(reported, c->settings);
		settings_share(&c->worker->settings, &p->welcome_told);
	}
	client_set_told(c, p->welcome_told);
	settings_unref(&reported);
}

#define GREETING_SIZE 512 /* is enough for most: it needn't grow step by step */

void client_greet(struct client *c)
{
	struct writer *w = &c->greeting;

	if (!c->told) {
		tell_first(c);
	}
	writer_reserve(w, GREETING_SIZE);
	settings_write_status(w, NULL, c->told);
	write_cancel_key(w, &c->key);
	write_ready_for_query(w, TX_IDLE);
	stream_send_bytes(&c->stream, w->data, w->len);
	writer_free(w);
	c->is_greeted = true;
	c->idle_since = c->worker->loop.now;
	latency_observe(&c->pool->latency, MEASURE_LOGIN, c->idle_since - MIN(c->idle_since, c->connected_at),
		c->idle_since);
	client_set_state(c, CLIENT_IDLE);
	if (c->worker->is_suspended)
		client_pause(c, PAUSE_SUSPENDED);
	client_unpause(c, PAUSE_STATE);
}

static void end_check(struct client *c, const struct error_info *e)
{
	struct server *s = c->server;

	if (e) {
		client_end(c, e);
		return;
	}
	pool_know_settings(c->pool, c->settings);
	client_set_told(c, s->reported); /* as PostgreSQL spells the values */
	c->server = NULL;
	server_unlink(s, false);
	client_greet(c);
}

/* It has its own server from the start; that was told its settings at login. None: PAUSE took it away again. */
static void begin_replication(struct client *c)
{
	struct server *s = pool_take_idle(c->pool, c->settings);

	if (s)
		client_set_told(c, s->reported);
	client_greet(c);
	if (s)
		take_server(c, s);
}

/*
 * Wrong values in its startup packet are refused at login, as on a direct connection, if a server is at hand to ask. If none is they are
 * refused at the first use: nobody waits for that.
 */
static void check_startup(struct client *c)
{
	struct server *s = NULL;

	if (c->pool->shared->replication) {
		begin_replication(c);
		return;
	}
	if (c->settings && !pool_knows_settings(c->pool, c->settings))
		s = pool_take_idle(c->pool, c->settings);
	if (!s) {
		client_greet(c);
		return;
	}
	c->server = s;
	c->has_sent = false;
	server_link(s, c, &client_link);
	s->has_unknown_settings = s->has_unknown_settings || s->opaque_client;
	client_set_state(c, CLIENT_SYNCING);
	if (server_sync(s, c->settings))
		end_check(c, NULL);
}

static void on_granted(struct waiter *w, struct server **sp)
{
	struct client *c = CONTAINER_OF(w, struct client, waiter);
	struct server *s = *sp;

	*sp = NULL;
	slow_wait(c, c->worker->loop.now - w->since);
	if (c->state == CLIENT_NEW)
		check_startup(c);
	else if (take_server(c, s))
		client_unpause(c, PAUSE_STATE);
}

void client_refuse(struct client *c, const struct error_info *e)
{
	if (strcmp(e->severity, "FATAL") == 0) {
		client_end(c, e);
		return;
	}
	client_error(c, e);
	client_set_state(c, CLIENT_IDLE);
	c->discard = DISCARD_REQUEST;
	client_unpause(c, PAUSE_STATE);
}

static void on_refused(struct waiter *w, const struct error_info *e)
{
	client_refuse(CONTAINER_OF(w, struct client, waiter), e);
}

/* RESET has led to the server's own values: those of the client's startup have been set again. */
static void after_resync(struct client *c, const struct error_info *e)
{
	if (e) {
		client_end(c, e);
		return;
	}
	tell_parameters(c, c->server);
	client_maybe_release(c);
	client_unpause(c, PAUSE_PROBE);
}

/* The client's settings are set, or they were refused: then that is the answer to the request that waits. */
void client_synced(struct server *s, const struct error_info *e)
{
	struct client *c = s->client;

	if (!c->is_greeted) {
		end_check(c, e);
		return;
	}
	if (c->state == CLIENT_ACTIVE) {
		after_resync(c, e);
		return;
	}
	if (!e && !pool_is_late(c->pool, &c->waiter)) {
		become_active(c);
		client_unpause(c, PAUSE_STATE);
		return;
	}
	c->server = NULL;
	server_unlink(s, false);
	if (e)
		client_refuse(c, e);
	else
		pool_refuse_late(c->pool, &c->waiter);
}

static void on_delayed(struct waiter *w)
{
	client_error(CONTAINER_OF(w, struct client, waiter),
		&(struct error_info){ .severity = "NOTICE",
			.sqlstate = "00000",
			.message = "No server connection available in postgres backend, client being queued" });
}

static const struct waiter_ops waiter_ops = { .granted = on_granted, .delayed = on_delayed, .refused = on_refused };

const char *client_reason_to_leave(const struct client *c)
{
	if (!c->pool->database)
		return "database removed";
	return c->worker->is_stopping ? "terminating connection due to administrator command" : NULL;
}

/* What else a statement may have changed on the server, apart from what ParameterStatus tells: ask, before anybody else gets it. */
static bool needs_probe(const struct client *c)
{
	return c->is_stateful && c->mode != POOL_SESSION && c->server->state == SERVER_ACTIVE &&
		c->worker->config->session_probe != PROBE_OFF;
}

/* Nobody can tell what it will say next: it's given back as well, to be closed. */
static bool is_spent(struct server *s)
{
	return s->pending.is_ambiguous && pending_is_idle(&s->pending) && !s->body_left;
}

/* Gives the server back if nothing ties it to this client any more. */
void client_maybe_release(struct client *c)
{
	struct server *s = c->server;
	const char *reason;

	if (c->state != CLIENT_ACTIVE || (c->pauses & PAUSE_PINS) ||
		(c->body_left && c->body_to == BODY_FORWARD) || (!server_may_release(s) && !is_spent(s)))
		return;
	if (needs_probe(c) && !is_spent(s)) {
		c->is_stateful = c->is_unasked = false;
		client_pause(c, PAUSE_PROBE);
		client_ask_server(c);
		return;
	}
	reason = client_reason_to_leave(c);
	if (!reason && c->mode == POOL_SESSION && s->close_reason && c->worker->config->server_fast_close)
		reason = s->close_reason;
	if (c->pins && !reason)
		return;
	if (c->mode == POOL_SESSION && !reason)
		return;
	/* Not asked (session_probe = off): then it is cleaned. */
	s->is_touched = s->is_touched || c->mode == POOL_SESSION || c->is_stateful;
	if (c->has_loaded && c->pool->features != FEATURES_IGNORE)
		s->close_reason = "its client has loaded a library";
	client_set_pins(c, 0);
	c->server = NULL;
	c->idle_since = c->worker->loop.now;
	slow_forget(c);
	client_set_state(c, CLIENT_IDLE);
	if (s->stream.is_paused)
		stream_resume(&s->stream);
	server_unlink(s, false);
	if (reason) {
		client_fatal(c, "57P01", reason);
		return;
	}
	client_unpause(c, PAUSE_FULL);
	client_unpause(c, PAUSE_BACKLOG); /* late CopyData that the server ignores: its drained() comes to nobody now */
}

/* ---- events of the client's socket ---- */

static struct client *of_stream(struct stream *st)
{
	struct client *c = CONTAINER_OF(st, struct client, stream);

	ASSERT_ON_WORKER(c->worker);
	return c;
}

static size_t on_data(struct stream *st, const uint8_t *bytes, size_t len)
{
	struct client *c = of_stream(st);

	return c->state == CLIENT_CLOSING ? len : client_data(st, bytes, len);
}

static void on_drained(struct stream *st)
{
	struct client *c = of_stream(st);

	c->is_stalled = false;
	if (c->state == CLIENT_CLOSING)
		stream_finish(st);
	else if (c->server && c->server->stream.is_paused)
		stream_resume(&c->server->stream);
}

static void on_hangup(struct stream *st)
{
	struct client *c = of_stream(st);

	if (c->state == CLIENT_WAITING || c->state == CLIENT_NEW)
		client_close(c, "client left while it waited");
}

/* All its bytes were read. What it has asked for completely may finish, and is delivered if it still listens. */
static void on_closed(struct stream *st, enum stream_end why)
{
	struct client *c = of_stream(st);
	bool is_served = c->state == CLIENT_ACTIVE && pending_awaits_ready(&c->server->pending);

	if (why == STREAM_EOF && is_served && !c->body_left && !c->stream.held_len) {
		c->peer_shut_at = c->worker->loop.now; /* relay.c ends it at the last ReadyForQuery, tick_client() after a while */
		return;
	}
	client_close(c, why == STREAM_EOF ? "client unexpected eof" : "client connection lost");
}

static const struct stream_ops client_stream_ops = {
	.data = on_data, .drained = on_drained, .hangup = on_hangup, .closed = on_closed
};

/* ---- adoption ---- */

static void move_fields(struct client *c, struct newcomer *n)
{
	c->id = n->id;
	address_shorten(&n->peer, &c->peer);
	c->database = c->pool->shared->database;
	c->is_own_user = strcmp(n->user, c->pool->shared->user) != 0; /* the database has a forced one */
	c->user = c->is_own_user ? n->user : c->pool->shared->user;
	if (c->is_own_user)
		n->user = NULL;
	ask_take_settings(c, &n->settings);
	c->startup_wait_max = c->waiter.wait_max;
	settings_share(&c->worker->settings, &n->settings);
	c->startup = n->settings;
	c->greeting = n->greeting;
	c->is_counted = n->is_counted;
	c->is_origin_counted = n->is_origin_counted;
	c->connected_at = n->since;
	n->settings = NULL;
	n->is_counted = n->is_origin_counted = false;
	memset(&n->greeting, 0, sizeof(n->greeting));
}

struct client *client_settle(struct worker *w, struct newcomer **np)
{
	struct newcomer *n = *np;
	struct client *c;

	if (!w->client_slab.size)
		slab_init(&w->client_slab, sizeof(*c));
	c = slab_alloc(&w->client_slab);
	c->worker = w;
	c->doomed.free = free_client;
	c->state = CLIENT_NEW;
	c->pool = n->replication
		? pool_get_replication(w, n->database, n->server_user, n->replication, n->id, n->settings)
		: pool_get(w, n->database, n->server_user);
	c->pool->n_clients++;
	if (n->credential)
		shared_set_credential(c->pool->shared, n->credential);
	move_fields(c, n);
	client_set_settings(c, c->startup);
	c->mode = c->pool->mode;
	c->is_tracked = c->mode != POOL_SESSION && w->config->max_prepared_statements > 0;
	c->waiter.ops = &waiter_ops;
	session_key_take(c, n->protocol);
	list_push_back(&w->clients, &c->node);
	stream_init(&c->stream, &client_stream_ops, n->fd, false);
	stream_give_tls(&c->stream, &n->tls);
	n->fd = -1;
	client_pause(c, PAUSE_STATE);
	stream_hold(&c->stream, n->early, n->early_len);
	stream_attach(&c->stream, &w->loop);
	newcomer_free(np);
	return c;
}

void session_adopt(struct message *m, void *owner)
{
	struct newcomer *n = CONTAINER_OF(m, struct newcomer, message);
	struct worker *w = owner;
	struct client *c;
	struct settings *reported;

	if (n->moved) {
		move_adopt(w, &n);
		return;
	}
	c = client_settle(w, &n);
	c->waiter.deadline =
		w->config->client_login_timeout ? c->connected_at + w->config->client_login_timeout : 0;
	reported = shared_reported(c->pool->shared);
	if (w->is_stopping)
		client_fatal(c, "57P01", "terminating connection due to administrator command");
	else if (reported)
		check_startup(c);
	else
		pool_request_greeting(c->pool, &c->waiter);
	settings_unref(&reported);
}

void session_discard(struct message *m)
{
	struct newcomer *n = CONTAINER_OF(m, struct newcomer, message);

	newcomer_free(&n);
}
