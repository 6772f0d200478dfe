/*
 * extended.c - Parse, Bind, Describe, Close and Execute from a client: its names get their servers' names, and what the server lacks is
 * prepared there first. Like all handlers they record what they send, in that order.
 */
#include "session/extended.h"

#include "session/lost.h"
#include "session/names.h"
#include "session/prepare.h"
#include "session/slow.h"
#include "session/stateful.h"
#include "wire/msg.h"
#include "wire/sqlscan.h"

#include <stdlib.h>
#include <string.h>

#define PARSE_MAX (16 * 1024 * 1024) /* of a Parse that must be kept */
#define NAMES_MAX (SCRATCH_SIZE)     /* portal and statement names of a Bind */

/* PostgreSQL says what is wrong with it, and goes on after the next Sync. */
static enum step pass_malformed(struct client *c, struct message_in *m, enum pending_type type)
{
	if (!request_link(c, m))
		return STEP_WAIT;
	request_sent(c, type, false, 0, NULL);
	return request_pass(c, m);
}

static enum step fail_and_discard(
	struct client *c, struct message_in *m, enum fail_reason reason, struct prepared_note *note)
{
	prepare_fail(c, m->g, reason, note);
	return request_discard(c, m);
}

/* ---- Parse ---- */

static enum step parse_unnamed(struct client *c, struct message_in *m, struct statement *st)
{
	prepare_note_unnamed(c, st);
	c->is_unnamed_looked_at = false;
	c->pool->counters.server_parses++;
	unnamed_sent(c, PEND_PARSE, st);
	if (!st->deallocates)
		return request_pass(c, m);
	prepare_gather_parse(m->g, "", st);
	return request_discard(c, m);
}

static enum step parse_named(struct client *c, struct message_in *m, const char *name, struct statement *st)
{
	struct prepared_note *note = xcalloc(1, sizeof(*note));
	struct client_statement *cs = client_statement_new(name, st);

	cs->batch = c->batch;
	cs->parsed_at = c->worker->loop.now;
	client_statements_add(&c->statements, cs);
	note->adds_name = true;
	note->name = cs;
	if (prepare_has(c, m->g, st, cs->parsed_at) && !pending_may_copy(&c->server->pending))
		request_sent(c, PEND_LOCAL, false, LOCAL_PARSE_COMPLETE, note);
	else
		prepare_parse(c, m->g, st, note, name);
	return request_discard(c, m);
}

/*
 * A named statement that a server has parsed before needs no server now: whoever binds it will bring it along. So a cold
 * function's first Parse doesn't wait, and a client that prepares while others hold all servers doesn't either.
 */
static bool parse_without_server(struct client *c, const char *name, struct statement *st)
{
	struct client_statement *cs;

	if (c->state != CLIENT_IDLE || !*name || !st->is_good || client_statements_find(&c->statements, name) ||
		client_statements_count(&c->statements) >= CLIENT_STATEMENTS_MAX)
		return false;
	cs = client_statement_new(name, st);
	cs->is_confirmed = true;
	cs->batch = c->batch;
	cs->parsed_at = c->worker->loop.now;
	client_statements_add(&c->statements, cs);
	stream_send_bytes(&c->stream, "1\0\0\0\4", 5);
	return true;
}

/* Passed on as it is: session pooling, or too long to be kept (then it can only be used in its own batch). */
static enum step parse_untracked(struct client *c, struct message_in *m)
{
	struct reader r = request_body(m);

	if (c->is_tracked && reader_left(&r) == 0)
		return STEP_MORE;
	if (c->is_tracked && *r.pos != '\0')
		return request_fatal(c, "54000", "a named prepared statement is too long");
	if (!request_link(c, m))
		return STEP_WAIT;
	c->server->has_unnamed = false;
	stateful_note(c, SCAN_TRUNCATED, r.pos, reader_left(&r));
	unnamed_sent(c, PEND_PARSE, NULL);
	return request_pass(c, m);
}

void extended_scan(const struct client *c, struct statement *st)
{
	struct scan_options o = { .standard_conforming_strings = c->strings_conform,
		.suspects = c->worker->suspects };
	struct scan_result r;

	if (st->scanned_for == c->worker->n_snapshots)
		return;
	sqlscan((const char *)st->body, strnlen((const char *)st->body, st->len), &o, &r);
	st->scan_flags = r.flags;
	st->makes = r.makes;
	free(st->deallocates);
	st->deallocates_all = stateful_deallocates_all(&r);
	st->deallocates = r.is_deallocate && !r.is_deallocate_all ? xstrdup(r.name) : NULL;
	st->scanned_for = c->worker->n_snapshots;
}

static struct statement *intern(struct client *c, struct reader body)
{
	uint64_t schema = atomic_load_explicit(&c->pool->shared->by_database->schema, memory_order_relaxed);
	struct hash128 context = statement_version(c->context, schema);
	struct statement *st;

	if (statement_is(c->unnamed, body.pos, reader_left(&body), context) &&
		c->unnamed->scanned_for == c->worker->n_snapshots) /* the same query again: the usual case */
		return statement_ref(c->unnamed);
	st = statement_intern(&c->worker->statements, body.pos, reader_left(&body), context);
	st->schema = schema;
	extended_scan(c, st);
	return st;
}

static enum step parse_linked(struct client *c, struct message_in *m, const char *name, struct statement *st)
{
	if (st->scan_flags & SCAN_SEQUENCE)
		stateful_note_sequences(c);
	if (client_statements_find(&c->statements, name)) {
		if (!prepare_has(c, m->g, st, c->worker->loop.now)) /* what is wrong with its text comes first */
			prepare_parse(c, m->g, st, NULL, NULL);
		return fail_and_discard(c, m, FAIL_DUPLICATE,
			prepare_note(xasprintf("prepared statement \"%s\" already exists", name)));
	}
	if (*name && client_statements_count(&c->statements) >= CLIENT_STATEMENTS_MAX)
		return fail_and_discard(c, m, FAIL_TOO_MANY,
			prepare_note(xasprintf("too many prepared statements (limit %d)", CLIENT_STATEMENTS_MAX)));
	return *name ? parse_named(c, m, name, st) : parse_unnamed(c, m, st);
}

enum step extended_parse(struct client *c, struct message_in *m)
{
	struct reader r = request_body(m);
	struct statement *st;
	const char *name;
	enum step step = STEP_WAIT;

	if (!c->is_tracked || m->frame.length > PARSE_MAX)
		return parse_untracked(c, m);
	if (!request_is_whole(m))
		return STEP_MORE;
	name = read_cstring(&r);
	if (r.bad)
		return pass_malformed(c, m, PEND_PARSE);
	if (name_is_uncertain(c, client_statements_find(&c->statements, name)) || name_may_come_back(c, name))
		return request_barrier(c);
	if (name_is_unclear(c, name))
		return request_flush_barrier(c, m);
	st = intern(c, r);
	if (parse_without_server(c, name, st))
		step = request_discard(c, m);
	else if (stateful_prefer_server(c, st->scan_flags), request_link(c, m))
		step = *name && prepare_may_be_skipped(c, st) ? request_barrier(c) : parse_linked(c, m, name, st);
	if (step == STEP_TAKEN)
		c->pool->counters.client_parses++;
	statement_unref(&st);
	return step;
}

/* ---- Bind, Describe, Execute, Close ---- */

/* It goes to the server if it isn't there. *renamed: its name there, NULL if we know none. */
static enum prepare_result ensure_prepared(struct client *c, struct gather *g, const char *name, const char **renamed)
{
	struct client_statement *cs = *name ? client_statements_find(&c->statements, name) : NULL;
	struct statement *st = cs ? cs->statement : *name ? NULL : c->unnamed;

	*renamed = NULL;
	if (!c->is_tracked || !st)
		return PREPARE_DONE;
	stateful_note(c, st->scan_flags, st->body, st->len);
	slow_note(c, st->body, st->len);
	if (!cs)
		return prepare_unnamed(c, g);
	*renamed = st->server_name;
	return prepare_named(c, g, cs);
}

/* "" is fine if this client has an unnamed statement: another's must not run in its place. */
static bool has_statement(struct client *c, const char *name)
{
	return *name || c->unnamed || !c->is_tracked;
}

static struct prepared_note *no_unnamed_note(void)
{
	return prepare_note(xstrdup("unnamed prepared statement does not exist"));
}

/*
 * What a DEALLOCATE takes away is known when it is executed. One portal is remembered, the last that was bound to a DEALLOCATE.
 */
static void note_portal(struct client *c, const char *portal, const struct statement *st)
{
	bool is_same = c->deallocate_portal && strcmp(c->deallocate_portal, portal) == 0;

	if (!is_same && !(st && st->deallocates))
		return;
	free(c->deallocate_portal);
	free(c->deallocates);
	c->deallocate_portal = st && st->deallocates ? xstrdup(portal) : NULL;
	c->deallocates = c->deallocate_portal ? xstrdup(st->deallocates) : NULL;
}

struct renaming {
	const char *name, *to;	/* NULL: it stays */
	size_t portal_size, at; /* what is in front of the name, and where it ends */
};

static enum step send_bind(struct client *c, struct message_in *m, const struct renaming *n, bool is_ours)
{
	request_sent(c, PEND_BIND, is_ours, n->to ? name_mark(n->name) : 0, NULL);
	if (!n->to)
		return request_pass(c, m);
	gather_header(m->g, MSG_BIND, m->frame.length - FRAME_HEADER_SIZE - strlen(n->name) + strlen(n->to));
	gather_slice(m->g, m->bytes + FRAME_HEADER_SIZE, n->portal_size);
	gather_string(m->g, n->to);
	request_gather_rest(m, n->at);
	c->body_to = BODY_FORWARD;
	return STEP_TAKEN;
}

/* What else is wrong with it PostgreSQL finds first. It runs nothing, and its portal goes with the error that follows. */
static enum step bind_changed(struct client *c, struct message_in *m, const struct renaming *n)
{
	if (!request_is_whole(m))
		return fail_and_discard(c, m, FAIL_RESULT_TYPE, prepare_changed(c, false));
	send_bind(c, m, n, true);
	prepare_fail(c, m->g, FAIL_RESULT_TYPE, prepare_changed(c, false));
	return STEP_TAKEN;
}

enum step extended_bind(struct client *c, struct message_in *m)
{
	struct reader r = request_body(m);
	const char *name, *renamed = NULL;
	const char *portal = read_cstring(&r);
	struct prepared_note *refused;
	enum fail_reason reason;
	struct statement *st;
	size_t portal_size, at;

	portal_size = (size_t)(r.pos - m->bytes) - FRAME_HEADER_SIZE;
	name = read_cstring(&r);
	at = (size_t)(r.pos - m->bytes);
	if (r.bad && !request_is_whole(m) && m->avail < NAMES_MAX)
		return STEP_MORE;
	if (r.bad)
		return pass_malformed(c, m, PEND_BIND);
	st = c->is_tracked ? prepare_statement_of(c, name) : NULL;
	if (st) {
		extended_scan(c, st); /* a reload may have made another function suspect */
		stateful_prefer_server(c, st->scan_flags);
	}
	if (!request_link(c, m))
		return STEP_WAIT;
	if (name_is_unclear(c, name))
		return request_flush_barrier(c, m);
	if (c->is_tracked && *name && prepare_may_be_skipped(c, prepare_statement_of(c, name)))
		return request_barrier(c);
	if (name_may_come_back(c, name) || unnamed_is_unclear(c, name))
		return request_barrier(c);
	st = c->is_tracked ? prepare_statement_of(c, name) : NULL; /* it may have changed while we waited */
	if (!has_statement(c, name))
		return fail_and_discard(c, m, FAIL_NO_STATEMENT, no_unnamed_note());
	if (st && stateful_must_wait(c, st->makes))
		return STEP_WAIT;
	refused = st ? stateful_refuse(c, st->makes, &reason) : NULL;
	if (refused)
		return fail_and_discard(c, m, reason, refused);
	switch (ensure_prepared(c, m->g, name, &renamed)) {
	case PREPARE_WAIT: return request_flush_barrier(c, m);
	case PREPARE_CHANGED: return bind_changed(c, m, &(struct renaming){ name, renamed, portal_size, at });
	case PREPARE_DONE: break;
	}
	c->is_unnamed_looked_at |= !*name;
	c->pool->counters.binds++;
	if (st)
		st->binds++;
	note_portal(c, portal, st);
	if (st) /* set_config($1, ..): the name is a parameter */
		stateful_note(c, st->scan_flags & SCAN_MAY_SET, request_body(m).pos,
			MIN((size_t)m->frame.length, m->avail) - FRAME_HEADER_SIZE);
	if (st && st->deallocates_all) {
		server_statements_expire(&c->server->statements);
		c->is_forgetting = true;
	}
	c->bound_ends = st && lost_would_end(c, (const char *)st->body, st->len);
	return send_bind(c, m, &(struct renaming){ name, renamed, portal_size, at }, false);
}

/* 'S' or 'P' and a name: Describe and Close. */
/* False: more bytes are needed. A kind of 0: it's malformed. */
static bool read_target(const struct message_in *m, char *kind, const char **name)
{
	struct reader r = request_body(m);

	if (!request_is_whole(m) && m->frame.length <= NAMES_MAX)
		return false;
	*kind = (char)read_u8(&r);
	*name = read_cstring(&r);
	if (r.bad)
		*kind = 0;
	return true;
}

enum step extended_describe(struct client *c, struct message_in *m)
{
	char kind;
	const char *name, *renamed = NULL;
	struct prepared_note *note = NULL;

	if (!read_target(m, &kind, &name))
		return STEP_MORE;
	if (!kind)
		return pass_malformed(c, m, PEND_DESCRIBE);
	if (!request_link(c, m))
		return STEP_WAIT;
	if (kind == 'S' && name_is_unclear(c, name))
		return request_flush_barrier(c, m);
	if (c->is_tracked && kind == 'S' && *name && prepare_may_be_skipped(c, prepare_statement_of(c, name)))
		return request_barrier(c);
	if (kind == 'S' && (name_may_come_back(c, name) || unnamed_is_unclear(c, name)))
		return request_barrier(c);
	if (c->is_tracked && kind == 'S') {
		if (!has_statement(c, name))
			return fail_and_discard(c, m, FAIL_NO_STATEMENT, no_unnamed_note());
		switch (ensure_prepared(c, m->g, name, &renamed)) {
		case PREPARE_WAIT: return request_flush_barrier(c, m);
		case PREPARE_CHANGED:
			return fail_and_discard(c, m, FAIL_RESULT_TYPE, prepare_changed(c, true));
		case PREPARE_DONE: break;
		}
		if (!*name && c->unnamed->shape == SHAPE_UNKNOWN && c->unnamed_batch == c->batch) {
			c->is_unnamed_looked_at = true;
			note = prepare_shape_note(c, c->unnamed);
		}
	}
	request_sent(c, PEND_DESCRIBE, false, renamed ? name_mark(name) : 0, note);
	if (!renamed)
		return request_pass(c, m);
	gather_header(m->g, MSG_DESCRIBE, 1 + strlen(renamed) + 1);
	gather_copy(m->g, "S", 1);
	gather_string(m->g, renamed);
	return request_discard(c, m);
}

enum step extended_close(struct client *c, struct message_in *m)
{
	struct client_statement *cs;
	struct prepared_note *note;
	const char *name;
	char kind;

	if (!read_target(m, &kind, &name))
		return STEP_MORE;
	if (!kind)
		return pass_malformed(c, m, PEND_CLOSE);
	if (!request_link(c, m))
		return STEP_WAIT;
	if (kind == 'S' && name_is_unclear(c, name))
		return request_flush_barrier(c, m);
	cs = c->is_tracked && kind == 'S' ? client_statements_find(&c->statements, name) : NULL;
	if (name_is_uncertain(c, cs) || (kind == 'S' && name_may_come_back(c, name)))
		return request_barrier(c);
	if (!cs) {
		if (kind == 'S' && !*name) {
			c->server->has_unnamed = false;
			unnamed_sent(c, PEND_CLOSE, NULL);
		} else {
			request_sent(c, PEND_CLOSE, false, 0, NULL);
		}
		return request_pass(c, m);
	}
	note = xcalloc(1, sizeof(*note));
	prepare_take_name(c, cs, note);
	if (pending_may_copy(&c->server->pending)) { /* which ends the COPY */
		request_sent(c, PEND_CLOSE, false, 0, note);
		return request_pass(c, m);
	}
	request_sent(c, PEND_LOCAL, false, LOCAL_CLOSE_COMPLETE, note);
	return request_discard(c, m);
}

enum step extended_execute(struct client *c, struct message_in *m)
{
	struct prepared_note *note = NULL;
	struct reader r = request_body(m);
	const char *portal;

	if (c->deallocate_portal && !request_is_whole(m) && m->avail < NAMES_MAX)
		return STEP_MORE;
	if (!request_link(c, m))
		return STEP_WAIT;
	portal = read_cstring(&r);
	if (c->deallocate_portal && !r.bad && strcmp(c->deallocate_portal, portal) == 0) {
		if (name_is_uncertain(c, client_statements_find(&c->statements, c->deallocates)) ||
			name_may_come_back(c, c->deallocates))
			return request_barrier(c);
		if (name_is_unclear(c, c->deallocates))
			return request_flush_barrier(c, m);
		note = prepare_deallocate(c, m->g, c->deallocates, portal);
	}
	c->ends_block = c->bound_ends;
	request_sent(c, PEND_EXECUTE, false, 0, note);
	return request_pass(c, m);
}
