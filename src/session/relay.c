/*
 * relay.c - what a server sends to its client: whole slices of the chunk, except for the answers that aren't the client's, and with
 * our own answers where their turn is. One write per chunk.
 */
#include "session/client.h"

#include "session/frozen.h"
#include "session/request.h"
#include "wire/msg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- answers of our own ---- */

static void put(struct client *c, const struct writer *w)
{
	if (c->gather)
		gather_copy(c->gather, w->data, w->len);
	else
		stream_send_bytes(&c->stream, w->data, w->len);
}

static void put_empty_message(struct client *c, uint8_t type)
{
	struct writer w = { 0 };

	msg_begin(&w, type);
	msg_end(&w);
	put(c, &w);
	writer_free(&w);
}

static void put_error(struct client *c, const struct error_info *e)
{
	struct writer w = { 0 };

	write_error(&w, e);
	put(c, &w);
	writer_free(&w);
}

static const struct error_info aborted = { .severity = "ERROR",
	.sqlstate = "25P02",
	.message = "current transaction is aborted, commands ignored until end of transaction block" };

static void answer_deallocate(struct client *c)
{
	uint8_t tx_status = c->server->pending.tx_status;
	struct writer w = { 0 };

	if (tx_status == TX_FAILED)
		write_error(&w, &aborted);
	else
		write_command_complete(&w, "DEALLOCATE");
	write_ready_for_query(&w, tx_status);
	put(c, &w);
	writer_free(&w);
}

/* A Parse or Close of the unnamed statement, or a Query, which takes it away. */
static bool changes_unnamed(const struct pending_entry *e)
{
	return !e->is_ours && e->detail &&
		(e->type == PEND_PARSE || e->type == PEND_QUERY || e->type == PEND_CLOSE);
}

struct next_change {
	uint16_t number;
	struct statement *before; /* a reference for its note */
	bool is_done;
};

static void set_before(void *ctx, struct pending_entry *e)
{
	struct next_change *next = ctx;
	struct prepared_note *note = e->ref;

	if (next->is_done || !note || !changes_unnamed(e) || (uint16_t)(e->detail - next->number) > UINT16_MAX / 2)
		return;
	statement_unref(&note->unnamed_before);
	note->unnamed_before = next->before;
	next->before = NULL;
	next->is_done = true;
}

/* A change that isn't the newest has failed or was skipped: the one behind it has built on that. Takes before. */
static void correct_next(struct client *c, uint16_t number, struct statement *before)
{
	struct next_change next = { .number = (uint16_t)(number + 1), .before = before };

	if (c->server)
		pending_each(&c->server->pending, set_before, &next);
	statement_unref(&next.before);
}

static void confirm_unnamed(struct client *c, const struct pending_entry *e, bool is_error)
{
	bool is_newest = e->detail == c->unnamed_number;

	c->unnamed_due--;
	if (is_error && is_newest)
		statement_unref(&c->unnamed);
	else if (is_error)
		correct_next(c, e->detail, NULL);
	statement_unref(&c->unnamed_kept);
	if (is_newest)
		c->unnamed_kept = statement_ref(c->unnamed);
}

static struct statement *take_before(struct client *c, struct prepared_note *note)
{
	struct statement *st = note ? note->unnamed_before : statement_ref(c->unnamed_kept);

	if (note)
		note->unnamed_before = NULL;
	return st;
}

/* It was skipped, and what the client had before stays. Drops come newest first. */
static void undo_unnamed(struct client *c, const struct pending_entry *e)
{
	struct statement *before = take_before(c, e->ref);

	c->unnamed_due--;
	if (e->detail != c->unnamed_number) {
		correct_next(c, e->detail, before);
		return;
	}
	statement_unref(&c->unnamed);
	c->unnamed = before;
	if (--c->unnamed_number == 0)
		c->unnamed_number = UINT16_MAX;
	if (!c->unnamed_due) { /* what an earlier change led to is known for good */
		statement_unref(&c->unnamed_kept);
		c->unnamed_kept = statement_ref(c->unnamed);
	}
}

/* By its name, not by a pointer: it may have been replaced or deallocated since. */
static void take_shape(struct client *c, const struct prepared_note *note)
{
	struct client_statement *cs = client_statements_find(&c->statements, note->target);

	if (cs && cs->shape == SHAPE_UNKNOWN && hash128_equal(cs->statement->id, note->id))
		cs->shape = c->server->shape;
}

static void confirm(struct client *c, const struct pending_entry *e)
{
	struct prepared_note *note = e->ref;

	if (note && note->target)
		take_shape(c, note);
	if (note && note->adds_name) {
		note->name->is_confirmed = true;
		note->name->statement->is_good = true;
	} else if (note && note->removes_name) {
		c->removals_due--;
	}
	server_note_free(&note);
}

void relay_local(struct client *c, const struct pending_entry *e)
{
	switch ((enum local_answer)e->detail) {
	case LOCAL_PARSE_COMPLETE: put_empty_message(c, MSG_PARSE_COMPLETE); break;
	case LOCAL_CLOSE_COMPLETE: put_empty_message(c, MSG_CLOSE_COMPLETE); break;
	case LOCAL_DEALLOCATE: answer_deallocate(c); break;
	}
	confirm(c, e);
}

/* PostgreSQL finds out after it has told them. */
static void put_parameters(struct client *c, const struct prepared_note *note)
{
	struct writer w = { 0 };

	msg_begin(&w, MSG_PARAMETER_DESCRIPTION);
	write_bytes(&w, note->parameters, note->parameters_len);
	msg_end(&w);
	put(c, &w);
	writer_free(&w);
}

static void answer_fail(struct client *c, const struct pending_entry *e)
{
	static const char *const states[] = {
		[FAIL_DUPLICATE] = "42P05",
		[FAIL_NO_STATEMENT] = "26000",
		[FAIL_TOO_MANY] = "54000",
		[FAIL_FEATURE] = "0A000",
		[FAIL_PINNED] = "53400",
		[FAIL_RESULT_TYPE] = "0A000",
	};
	struct prepared_note *note = e->ref;
	struct error_info info = { .severity = "ERROR",
		.sqlstate = states[e->detail],
		.message = note->text,
		.detail = note->detail,
		.hint = note->hint };

	if (note->parameters && c->server->pending.tx_status != TX_FAILED)
		put_parameters(c, note);
	/* A Bind of an unknown statement is told so even then, a Parse isn't. */
	put_error(c, c->server->pending.tx_status == TX_FAILED && e->detail != FAIL_NO_STATEMENT ? &aborted : &info);
}

/* ---- the server's messages ---- */

static bool is_tag(const struct server_message *m, const char *tag)
{
	return m->body_len == strlen(tag) + 1 && memcmp(m->body, tag, m->body_len) == 0;
}

static void on_tag(struct client *c, const struct server_message *m)
{
	if (!m->body || !m->body_len)
		return;
	if (m->body[0] == 'C' && c->is_stateful && is_tag(m, "COMMIT"))
		c->is_unasked = true; /* also where it goes on: COMMIT AND CHAIN */
	if (m->body[0] != 'D' && m->body[0] != 'L')
		return;
	if (is_tag(m, "LOAD"))
		c->has_loaded = true;
	else if (is_tag(m, "DISCARD SEQUENCES"))
		c->wants_sequences = false;
	else if (is_tag(m, "DEALLOCATE ALL"))
		client_statements_clear(&c->statements, true);
	if (!is_tag(m, "DISCARD ALL"))
		return;
	client_statements_clear(&c->statements, true); /* its settings: see client_probed() */
	c->wants_sequences = false;
}

/* Not at the release: a pipeline holds many transactions, and in session mode there is none. */
static void count_transaction(struct client *c, struct server *s)
{
	usec_t now = c->worker->loop.now;

	c->pool->counters.xacts++;
	c->pool->counters.xact_time += now - s->xact_at;
	latency_observe(&c->pool->latency, MEASURE_TRANSACTION, now - s->xact_at, now);
	s->xact_at = now; /* the next one's begin, if it has been sent already */
}

static void on_ready(struct client *c, struct server *s, const struct server_message *m)
{
	usec_t now = c->worker->loop.now;

	if (m->body && m->body_len == 1 && m->body[0] == TX_IDLE) {
		count_transaction(c, s);
		c->is_unasked = c->is_unasked || c->is_stateful;
	}
	if (c->pins && c->is_stateful && pending_is_idle(&s->pending))
		client_will_ask(c);
	c->pool->counters.queries++;
	if (c->request_at) {
		c->pool->counters.query_time += now - c->request_at;
		latency_observe(&c->pool->latency, MEASURE_QUERY, now - c->request_at, now);
	}
	c->request_at = now;
	c->idle_since = now;
}

static bool on_async(struct client *c, struct server *s, const struct server_message *m)
{
	if (m->frame.type == MSG_PARAMETER_STATUS)
		client_set_told(c, s->reported);
	/* Notifications go to whom asked for them, not to whoever happens to hold the server. */
	return m->frame.type != MSG_NOTIFICATION_RESPONSE || c->listens || c->mode == POOL_SESSION;
}

/* FATAL is held back: the client is told by lost.c, once, as an ERROR, and may go on. */
static bool is_last_word(const struct server_message *m)
{
	struct error_info e;

	if (!m->body)
		return false;
	error_parse(reader_over(m->body, m->body_len), &e);
	return strcmp(e.severity, "FATAL") == 0 || strcmp(e.severity, "PANIC") == 0;
}

struct named {
	struct hash128 id;
	uint16_t mark; /* of the name, if known: several may mean the same text */
	const char *name;
};

static void look_for_name(void *ctx, struct pending_entry *e)
{
	const struct prepared_note *note = e->ref;
	struct named *look = ctx;

	if (note && note->name && hash128_equal(note->name->statement->id, look->id) &&
		(!look->name || name_mark(note->name->name) == look->mark))
		look->name = note->name->name;
}

/* The error speaks of a statement: by the name that the client has for it. False: it may pass as it is. */
static bool put_renamed(struct client *c, const struct server_message *m)
{
	const uint8_t *at = m->body ? memmem(m->body, m->body_len, "pgweir_", strlen("pgweir_")) : NULL;
	struct named look;
	const char *name;
	struct hash128 id;
	struct writer w = { 0 };
	size_t before;

	/* A body that ends with its NUL, so there is an end to what is read here. */
	if (!at || m->body[m->body_len - 1] != '\0' || !statement_id_of_name((const char *)at, &id))
		return false;
	look = (struct named){ .id = id, .mark = m->popped.detail };
	look.name = client_statements_name(&c->statements, id, look.mark);
	if (!look.name || name_mark(look.name) != look.mark)
		pending_each(&c->server->pending, look_for_name, &look); /* a Close of it may be on its way */
	name = look.name;
	if (!name)
		return false;
	before = (size_t)(at - m->body);
	msg_begin(&w, MSG_ERROR_RESPONSE);
	write_bytes(&w, m->body, before);
	write_bytes(&w, name, strlen(name));
	before += STATEMENT_NAME_SIZE - 1;
	write_bytes(&w, m->body + before, m->body_len - before);
	msg_end(&w);
	put(c, &w);
	writer_free(&w);
	return true;
}

static bool has_sqlstate(const struct server_message *m, const char *sqlstate)
{
	struct error_info e;

	if (!m->body)
		return false;
	error_parse(reader_over(m->body, m->body_len), &e);
	return strcmp(e.sqlstate, sqlstate) == 0;
}

/* What the sending of a message had changed among the client's names, and the server didn't do. */
static void undo_name(struct client *c, struct prepared_note *note)
{
	if (!note || !note->name)
		return;
	if (note->adds_name) {
		client_statements_remove(&c->statements, note->name);
		client_statement_free(&note->name);
	} else if (note->removes_name) {
		client_statements_add(&c->statements, note->name);
		c->removals_due--;
		note->name = NULL;
	}
	note->adds_name = note->removes_name = false;
}

/* EXECUTE by SQL of a name that the protocol's Parse made: here that is the client's alone. */
static bool put_no_sql_name(struct client *c, const struct server_message *m)
{
	const struct client_statement *cs;
	struct error_info e;
	const char *end;
	char *name;

	if (!has_sqlstate(m, "26000") || m->popped.type == PEND_BIND || m->popped.type == PEND_DESCRIBE)
		return false;
	error_parse(reader_over(m->body, m->body_len), &e);
	name = strchr(e.message, '"');
	end = name ? strchr(name + 1, '"') : NULL;
	if (!end)
		return false;
	name = strndup(name + 1, (size_t)(end - name - 1));
	cs = client_statements_find(&c->statements, name);
	free(name);
	if (!cs || !cs->is_confirmed) /* not yet: its Parse may be behind that */
		return false;
	e.detail = "It was prepared by the protocol's Parse, and has another name on the server: connections are shared transaction by transaction.";
	e.hint = "Use Bind and Execute, as drivers do, or SQL's PREPARE in the place of Parse.";
	put_error(c, &e);
	return true;
}

static bool on_error(struct client *c, struct server *s, struct server_message *m)
{
	struct prepared_note *note = m->popped.ref;
	bool pass = true;

	if (is_last_word(m) && c->mode != POOL_SESSION) {
		s->is_error_due = m->popped.type != PEND_NONE;
		pass = false;
	} else if (m->popped.type == PEND_FAIL) {
		answer_fail(c, &m->popped);
		pass = false;
	} else {
		pass = !put_renamed(c, m) && !put_no_sql_name(c, m);
	}
	if (changes_unnamed(&m->popped))
		confirm_unnamed(c, &m->popped, true);
	client_forget_only_setting(c);
	if (c->asks_sequences && has_sqlstate(m, "55000"))
		c->wants_sequences = c->is_stateful = true; /* client_probed() pins it */
	undo_name(c, note);
	server_note_free(&note);
	return pass;
}

static bool on_message(struct server *s, struct server_message *m, void *ctx)
{
	struct client *c = ctx;

	if (m->frame.type == MSG_ERROR_RESPONSE)
		return on_error(c, s, m);
	if (m->verdict == PENDING_ASYNC)
		return on_async(c, s, m);
	if (m->popped.type != PEND_NONE) {
		if (changes_unnamed(&m->popped))
			confirm_unnamed(c, &m->popped, false);
		confirm(c, &m->popped);
	}
	if (m->verdict == PENDING_OURS)
		return false;
	if (m->frame.type == MSG_READY_FOR_QUERY)
		on_ready(c, s, m);
	else if (m->frame.type == MSG_COMMAND_COMPLETE)
		on_tag(c, m);
	return true;
}

static void on_slice(struct server *s, const uint8_t *bytes, size_t len, void *ctx)
{
	struct client *c = ctx;

	(void)s;
	gather_slice(c->gather, bytes, len);
}

static void on_local(struct server *s, const struct pending_entry *e, void *ctx)
{
	(void)s;
	relay_local(ctx, e);
}

/* ---- after a chunk ---- */

static bool is_forbidden_block(const struct client *c, const struct server *s)
{
	return c->mode == POOL_STATEMENT && s->pending.tx_status != TX_IDLE;
}

static void after_chunk(struct client *c, struct server *s)
{
	if (stream_backlog(&c->stream) > BACKLOG_MAX)
		stream_pause(&s->stream);
	if (is_forbidden_block(c, s)) {
		client_fatal(c, "08P01", "transaction blocks not allowed in statement pooling mode");
		return;
	}
	if (!pending_head(&s->pending))
		c->is_forgetting = false;
	client_unpause(c, PAUSE_BARRIER); /* what it waits for may be answered: it looks again */
	if (!pending_is_full(&s->pending))
		client_unpause(c, PAUSE_FULL);
	client_end_quiet_batch(c);
	client_maybe_release(c);
	if (c->peer_shut_at && c->state != CLIENT_CLOSING &&
		!(c->server && pending_awaits_ready(&c->server->pending)))
		client_close(c, "client unexpected eof");
}

static size_t on_data(struct server *s, const uint8_t *bytes, size_t len)
{
	static const struct server_walk walk = { .message = on_message, .local = on_local, .slice = on_slice };
	struct client *c = s->client;
	struct gather g;
	size_t n;

	if (c->is_stalled)
		return frozen_finish_message(c, bytes, len);
	gather_init(&g, &c->stream, c->worker->arena, ARENA_SIZE);
	c->gather = &g;
	n = server_walk(s, bytes, len, &walk, c);
	if (c->gather) {
		gather_flush(&g);
		c->gather = NULL;
	}
	if (s->client == c && s->state == SERVER_ACTIVE && c->state == CLIENT_ACTIVE)
		after_chunk(c, s);
	return s->state == SERVER_CLOSING ? len : n;
}

static void on_notified(struct server *s, const uint8_t *bytes, size_t len)
{
	struct client *c = s->client;

	if (c->listens)
		stream_send_bytes(&c->stream, bytes, len);
}

static void on_drained(struct server *s)
{
	client_unpause(s->client, PAUSE_BACKLOG);
}

static void on_dropped(struct server *s, const struct pending_entry *e)
{
	struct client *c = s->client;
	struct prepared_note *note = e->ref;

	if (changes_unnamed(e))
		undo_unnamed(c, e);
	undo_name(c, note);
}

const struct server_link client_link = {
	.data = on_data,
	.drained = on_drained,
	.synced = client_synced,
	.probed = client_probed,
	.lost = client_on_lost,
	.dropped = on_dropped,
	.notified = on_notified,
};
