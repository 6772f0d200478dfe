/*
 * request.c - what a client sends: one table of messages, small functions.
 *
 * Each handler says how much of its message it has taken; the rest of the body streams behind it without being collected.
 * Nothing is recorded as sent before it has been handed to the gather, and nothing is sent without being recorded.
 */
#include "session/client.h"

#include "session/lost.h"
#include "session/prepare.h"
#include "session/request.h"
#include "wire/msg.h"
#include "wire/sqlscan.h"

#include <stdlib.h>
#include <string.h>

#define SCAN_WHOLE_MAX 65536	     /* a longer Query streams, and only its beginning is looked at */
#define PARSE_MAX (16 * 1024 * 1024) /* of a Parse that must be kept */
#define NAMES_MAX (SCRATCH_SIZE)     /* portal and statement names of a Bind */

/* ---- passing on ---- */

static void gather_rest(struct message_in *m, size_t from)
{
	size_t n = MIN((size_t)m->frame.length, m->avail);

	gather_slice(m->g, m->bytes + from, n - from);
}

/* The message as it is; what isn't here yet follows by itself. */
static enum step pass(struct client *c, struct message_in *m)
{
	gather_rest(m, 0);
	c->body_to = BODY_FORWARD;
	return STEP_TAKEN;
}

static enum step discard(struct client *c, struct message_in *m)
{
	(void)m;
	c->body_to = BODY_DISCARD;
	return STEP_TAKEN;
}

static struct gather *to_server(struct client *c, struct message_in *m)
{
	m->g->to = &c->server->stream;
	return m->g;
}

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

static bool is_whole(const struct message_in *m)
{
	return m->avail >= m->frame.length;
}

static struct reader body_of(const struct message_in *m)
{
	size_t n = MIN((size_t)m->frame.length, m->avail);

	return reader_over(m->bytes + FRAME_HEADER_SIZE, n - FRAME_HEADER_SIZE);
}

static enum step fatal(struct client *c, const char *sqlstate, const char *message)
{
	client_fatal(c, sqlstate, message);
	return STEP_GONE;
}

/* Linked, and the gather points at the server. False: wait, or it's gone. */
static bool link_server(struct client *c, struct message_in *m)
{
	if (!client_get_server(c))
		return false;
	to_server(c, m);
	return true;
}

/*
 * A name whose Parse is in an earlier batch and still unanswered may turn out not to exist: then it can be
 * neither replaced nor taken away, since the error would undo what never was.
 */
static bool is_uncertain(const struct client *c, const struct client_statement *cs)
{
	return cs && !cs->is_confirmed && cs->batch != c->batch;
}

struct name_look {
	const struct client *c;
	const char *name;
	bool found;
};

static void look_for_removal(void *ctx, struct pending_entry *e)
{
	const struct prepared_note *note = e->ref;
	struct name_look *look = ctx;

	if (note && note->removes_name && note->batch != look->c->batch && strcmp(note->name->name, look->name) == 0)
		look->found = true;
}

/* A name that it hasn't got: taken away in an earlier batch, which may still fail before that. */
static bool may_come_back(const struct client *c, const char *name)
{
	struct name_look look = { .c = c, .name = name };

	if (!c->removals_due || !c->server || client_statements_find(&c->statements, name))
		return false;
	pending_each(&c->server->pending, look_for_removal, &look);
	return look.found;
}

/* The same for the unnamed statement, which every Query and Parse changes. */
static bool is_unnamed_unclear(const struct client *c, const char *name)
{
	return !*name && c->is_tracked && c->unnamed_due && c->unnamed_batch != c->batch && c->server &&
		c->server->pending.copy == COPY_NONE && pending_head(&c->server->pending);
}

static enum step barrier(struct client *c)
{
	client_pause(c, PAUSE_BARRIER);
	return STEP_WAIT;
}

static void answer_locals(struct client *c);

/* Whether this client still has the name depends on a DEALLOCATE ALL that is on its way. */
static bool is_unclear(const struct client *c, const char *name)
{
	struct pending *p = c->server ? &c->server->pending : NULL;

	return p && c->is_forgetting && *name && p->copy == COPY_NONE && pending_head(p) &&
		client_statements_find(&c->statements, name);
}

/* As barrier(), for an answer in this very batch: the server is asked to send what it has. */
static enum step flush_barrier(struct client *c, struct message_in *m)
{
	answer_locals(c); /* those at the head wait for nothing */
	client_pause(c, PAUSE_BARRIER);
	if (pending_head(&c->server->pending))
		gather_copy(to_server(c, m), "H\0\0\0\4", FRAME_HEADER_SIZE);
	else
		client_unpause(c, PAUSE_BARRIER); /* it looks again at once */
	return STEP_WAIT;
}

/* PostgreSQL says what is wrong with it, and goes on after the next Sync. */
static enum step pass_malformed(struct client *c, struct message_in *m, enum pending_type type)
{
	if (!link_server(c, m))
		return STEP_WAIT;
	request_sent(c, type, false, 0, NULL);
	return pass(c, m);
}

static enum step fail_and_discard(
	struct client *c, struct message_in *m, enum fail_reason reason, struct prepared_note *note)
{
	prepare_fail(c, m->g, reason, note);
	return discard(c, m);
}

/* ---- what would pin it ---- */

static bool is_pool_full_of_pins(const struct client *c)
{
	return !c->pins &&
		atomic_load_explicit(&c->pool->shared->pinned, memory_order_relaxed) >= c->pool->max_pinned;
}

/* A statement that makes these (enum scan_flag) may not run: why not. NULL: it may. */
static struct prepared_note *refuse_pin(const struct client *c, unsigned makes, enum fail_reason *reason)
{
	unsigned pins = makes ? pins_of_scan(makes) : 0;
	struct prepared_note *note;
	enum pin pin;

	if (!pins || c->mode == POOL_SESSION || c->pool->features == FEATURES_IGNORE)
		return NULL;
	if (c->pool->features == FEATURES_PIN && !is_pool_full_of_pins(c))
		return NULL;
	pin = (enum pin)(pins & -pins);
	if (c->pool->features == FEATURES_ERROR) {
		*reason = FAIL_FEATURE;
		note = prepare_note(xasprintf("sessions can't have %s here", pin_text(pin)));
		note->detail = xstrdup(
			"Server connections are shared transaction by transaction, and session_features is \"error\".");
	} else {
		*reason = FAIL_PINNED;
		note = prepare_note(
			xasprintf("too many sessions keep a server connection of their own (max_pinned)"));
		note->detail = xasprintf(
			"%d of the pool's server connections are kept by their clients, and this statement asks for %s.",
			atomic_load_explicit(&c->pool->shared->pinned, memory_order_relaxed), pin_text(pin));
	}
	note->hint = pin_hint(pin);
	return note;
}

/* A Query that isn't sent: what fails in its place is a Bind, and its ReadyForQuery is a Sync's. */
static enum step refuse_query(
	struct client *c, struct message_in *m, enum fail_reason reason, struct prepared_note *note)
{
	prepare_fail(c, m->g, reason, note);
	gather_copy(m->g, "S\0\0\0\4", FRAME_HEADER_SIZE);
	c->batch++;
	statement_unref(&c->unnamed);
	statement_unref(&c->unnamed_kept);
	request_sent(c, PEND_SYNC, false, 0, NULL);
	return discard(c, m);
}

/*
 * What it is about to send makes this its unnamed statement. The number is for the pending entry of that, and so is the note, if there is one: only where
 * an earlier change is still on its way.
 */
static uint16_t change_unnamed(struct client *c, struct statement *st, struct prepared_note **note)
{
	*note = NULL;
	if (c->unnamed_due++) {
		*note = xcalloc(1, sizeof(**note));
		(*note)->is_unnamed = true;
		(*note)->unnamed_before = c->unnamed;
		c->unnamed = NULL;
	}
	statement_unref(&c->unnamed);
	c->unnamed = statement_ref(st);
	c->unnamed_batch = c->batch;
	if (++c->unnamed_number == 0)
		c->unnamed_number = 1;
	return c->unnamed_number;
}

static void sent_unnamed(struct client *c, enum pending_type type, struct statement *st)
{
	struct prepared_note *note;
	uint16_t number = change_unnamed(c, st, &note);

	request_sent(c, type, false, number, note);
}

/* ---- Query and FunctionCall ---- */

static void scan(struct client *c, const struct message_in *m, struct scan_result *out)
{
	struct scan_options o = { .standard_conforming_strings = c->strings_conform,
		.is_truncated = !is_whole(m),
		.suspects = c->worker->suspects };
	struct reader r = body_of(m);
	size_t len = reader_left(&r);

	sqlscan((const char *)r.pos, is_whole(m) && len ? len - 1 : len, &o, out);
}

/* DEALLOCATE of a name that exists only here: ours to answer, in its turn. NULL: it's none. */
static struct client_statement *find_own_deallocated(struct client *c, const struct scan_result *r)
{
	const struct pending *p = &c->server->pending;

	if (p->is_batch_open || p->is_skipping || pending_may_copy(p) || !c->is_tracked ||
		!r->is_deallocate || r->is_deallocate_all)
		return NULL;
	return client_statements_find(&c->statements, r->name);
}

#define MAY_SET (SCAN_SET | SCAN_OPAQUE | SCAN_SUSPECT | SCAN_TRUNCATED)
#define HIDES_NAMES (SCAN_OPAQUE | SCAN_SUSPECT | SCAN_TRUNCATED)

/*
 * currval() and lastval(). The first time that a pool sees one, what others have left on the server goes now (not in the middle of a
 * transaction: there it's the transaction's own); from then on whenever a server changes hands.
 */
static void note_sequences(struct client *c)
{
	c->pool->uses_sequences = c->asks_sequences = true;
	if (!c->has_sent)
		client_own_sequences(c);
}

static void note_stateful(struct client *c, unsigned flags, const void *text, size_t len)
{
	if ((flags & MAY_SET) && probe_collect_names(&c->custom_names, text, len) != RES_OK)
		c->server->close_reason = "too many custom settings";
	/* currval() and lastval() only read; what they read can't be probed for. */
	if (flags & ~(unsigned)(SCAN_TRANSACTION | SCAN_SEQUENCE)) {
		if (c->is_stateful)
			client_forget_only_setting(c);
		c->is_stateful = true;
	}
	if (flags & HIDES_NAMES)
		c->is_opaque = true;
	if (flags & SCAN_LISTEN)
		c->listens = true;
	if (flags & SCAN_SEQUENCE)
		note_sequences(c);
	c->seen |= flags;
}

/* A SET alone in its transaction, in a session without pins: if it works, it is committed, and nothing else has changed. */
static void note_only_setting(struct client *c, const struct scan_result *r)
{
	if (*r->setting && !c->is_stateful && !c->pins && pending_is_idle(&c->server->pending) &&
		c->worker->config->session_probe == PROBE_SUSPECT)
		c->only_setting = xstrdup(r->setting);
}

/* It may deallocate what the server has prepared: what comes behind it can't count on that. */
static bool deallocates_all(const struct scan_result *r)
{
	return (r->flags & (SCAN_DISCARD | SCAN_TRUNCATED)) ||
		((r->flags & SCAN_PREPARE) && (r->is_deallocate_all || r->statements > 1));
}

/* Where its sequences have values, if nobody else has used that server since. */
static void prefer_last_server(struct client *c, unsigned flags)
{
	c->waiter.prefers = flags & SCAN_SEQUENCE ? c->last_server : 0;
}

static enum step on_query(struct client *c, struct message_in *m)
{
	struct client_statement *own;
	struct prepared_note *refused;
	enum fail_reason reason;
	struct scan_result r;

	if (c->worker->config->disable_pqexec)
		return fatal(c, "08P01", "PQexec disallowed");
	if (!is_whole(m) && m->frame.length <= SCAN_WHOLE_MAX)
		return STEP_MORE;
	if (c->pool->uses_sequences && c->state == CLIENT_IDLE) {
		scan(c, m, &r);
		prefer_last_server(c, r.flags);
	}
	if (!link_server(c, m))
		return STEP_WAIT;
	scan(c, m, &r);
	own = find_own_deallocated(c, &r);
	if (is_uncertain(c, own) || (r.is_deallocate && !own && may_come_back(c, r.name)))
		return barrier(c);
	refused = refuse_pin(c, r.makes, &reason);
	if (refused)
		return refuse_query(c, m, reason, refused);
	if (own) {
		struct prepared_note *note = xcalloc(1, sizeof(*note));

		statement_unref(&c->unnamed);
		statement_unref(&c->unnamed_kept);
		prepare_take_name(c, own, note);
		request_sent(c, PEND_LOCAL, false, LOCAL_DEALLOCATE, note);
		m->must_answer = true;
		return discard(c, m);
	}
	note_only_setting(c, &r);
	note_stateful(c, r.flags, body_of(m).pos, MIN((size_t)m->frame.length, m->avail) - FRAME_HEADER_SIZE);
	if (deallocates_all(&r)) {
		server_statements_expire(&c->server->statements);
		c->is_forgetting = true;
	}
	c->server->has_unnamed = false;
	c->ends_block = is_whole(m) &&
		lost_would_end(c, (const char *)m->bytes + FRAME_HEADER_SIZE, m->frame.length - FRAME_HEADER_SIZE);
	sent_unnamed(c, PEND_QUERY, NULL);
	return pass(c, m);
}

static enum step on_function_call(struct client *c, struct message_in *m)
{
	if (!link_server(c, m))
		return STEP_WAIT;
	note_stateful(c, SCAN_OPAQUE, body_of(m).pos, MIN((size_t)m->frame.length, m->avail) - FRAME_HEADER_SIZE);
	c->ends_block = false;
	request_sent(c, PEND_FUNCTION, false, 0, NULL);
	return pass(c, m);
}

/* ---- Parse ---- */

/* Its Parse goes to the server now; whether that isn't skipped only its answer tells. */
static void note_unnamed(struct client *c, const struct statement *st)
{
	c->server->unnamed = st->id;
	c->server->has_unnamed = true;
	c->server->unnamed_batch = c->batch;
	c->server->is_unnamed_confirmed = false;
}

static enum step parse_unnamed(struct client *c, struct message_in *m, struct statement *st)
{
	note_unnamed(c, st);
	c->pool->counters.server_parses++;
	sent_unnamed(c, PEND_PARSE, st);
	if (!st->deallocates)
		return pass(c, m);
	prepare_gather_parse(m->g, "", st);
	return discard(c, m);
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
		prepare_parse(c, m->g, st, note);
	return discard(c, m);
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
	struct reader r = body_of(m);

	if (c->is_tracked && reader_left(&r) == 0)
		return STEP_MORE;
	if (c->is_tracked && *r.pos != '\0')
		return fatal(c, "54000", "a named prepared statement is too long");
	if (!link_server(c, m))
		return STEP_WAIT;
	c->server->has_unnamed = false;
	note_stateful(c, SCAN_TRUNCATED, r.pos, reader_left(&r));
	sent_unnamed(c, PEND_PARSE, NULL);
	return pass(c, m);
}

static struct statement *intern(struct client *c, struct reader body)
{
	uint64_t schema = atomic_load_explicit(&c->pool->shared->by_database->schema, memory_order_relaxed);
	struct hash128 context = statement_version(c->context, schema);
	struct statement *st;
	struct scan_options o = { .standard_conforming_strings = c->strings_conform,
		.suspects = c->worker->suspects };
	struct scan_result r;

	if (statement_is(c->unnamed, body.pos, reader_left(&body), context) &&
		c->unnamed->scanned_for == c->worker->n_snapshots) /* the same query again: the usual case */
		return statement_ref(c->unnamed);
	st = statement_intern(&c->worker->statements, body.pos, reader_left(&body), context);
	if (st->scanned_for != c->worker->n_snapshots) {
		sqlscan((const char *)st->body, strnlen((const char *)st->body, st->len), &o, &r);
		st->scan_flags = r.flags;
		st->makes = r.makes;
		free(st->deallocates);
		st->deallocates_all = deallocates_all(&r);
		st->deallocates = r.is_deallocate && !r.is_deallocate_all ? xstrdup(r.name) : NULL;
		st->scanned_for = c->worker->n_snapshots;
	}
	return st;
}

static enum step parse_linked(struct client *c, struct message_in *m, const char *name, struct statement *st)
{
	if (st->scan_flags & SCAN_SEQUENCE)
		note_sequences(c);
	if (client_statements_find(&c->statements, name)) {
		if (!prepare_has(c, m->g, st, c->worker->loop.now)) /* what is wrong with its text comes first */
			prepare_parse(c, m->g, st, NULL);
		return fail_and_discard(c, m, FAIL_DUPLICATE,
			prepare_note(xasprintf("prepared statement \"%s\" already exists", name)));
	}
	if (*name && client_statements_count(&c->statements) >= CLIENT_STATEMENTS_MAX)
		return fail_and_discard(c, m, FAIL_TOO_MANY,
			prepare_note(xasprintf("too many prepared statements (limit %d)", CLIENT_STATEMENTS_MAX)));
	return *name ? parse_named(c, m, name, st) : parse_unnamed(c, m, st);
}

static enum step on_parse(struct client *c, struct message_in *m)
{
	struct reader r = body_of(m);
	struct statement *st;
	const char *name;
	enum step step = STEP_WAIT;

	if (!c->is_tracked || m->frame.length > PARSE_MAX)
		return parse_untracked(c, m);
	if (!is_whole(m))
		return STEP_MORE;
	name = read_cstring(&r);
	if (r.bad)
		return pass_malformed(c, m, PEND_PARSE);
	if (is_uncertain(c, client_statements_find(&c->statements, name)) || may_come_back(c, name))
		return barrier(c);
	if (is_unclear(c, name))
		return flush_barrier(c, m);
	st = intern(c, r);
	if (parse_without_server(c, name, st))
		step = discard(c, m);
	else if (prefer_last_server(c, st->scan_flags), link_server(c, m))
		step = *name && prepare_may_be_skipped(c, st) ? barrier(c) : parse_linked(c, m, name, st);
	if (step == STEP_TAKEN)
		c->pool->counters.client_parses++;
	statement_unref(&st);
	return step;
}

/* ---- Bind, Describe, Execute, Close ---- */

/* The statement behind a name goes to the server if it isn't there; its name there, NULL if we know none. */
static const char *resolve_name(struct client *c, struct gather *g, const char *name)
{
	struct client_statement *cs = client_statements_find(&c->statements, name);

	if (!cs)
		return NULL;
	note_stateful(c, cs->statement->scan_flags, cs->statement->body, cs->statement->len);
	if (!prepare_has(c, g, cs->statement, cs->parsed_at))
		prepare_parse(c, g, cs->statement, NULL);
	return cs->statement->server_name;
}

static void ensure_unnamed(struct client *c, struct gather *g)
{
	struct statement *st = c->unnamed;

	note_stateful(c, st->scan_flags, st->body, st->len);
	if (c->server->has_unnamed && hash128_equal(c->server->unnamed, st->id) &&
		(c->server->is_unnamed_confirmed || c->server->unnamed_batch == c->batch))
		return;
	prepare_gather_parse(g, "", st);
	note_unnamed(c, st);
	c->pool->counters.server_parses++;
	request_sent(c, PEND_PARSE, true, 0, NULL);
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

static enum step on_bind(struct client *c, struct message_in *m)
{
	struct reader r = body_of(m);
	const char *name, *renamed = NULL;
	const char *portal = read_cstring(&r);
	struct prepared_note *refused;
	enum fail_reason reason;
	struct statement *st;
	size_t portal_size, at;

	portal_size = (size_t)(r.pos - m->bytes) - FRAME_HEADER_SIZE;
	name = read_cstring(&r);
	at = (size_t)(r.pos - m->bytes);
	if (r.bad && !is_whole(m) && m->avail < NAMES_MAX)
		return STEP_MORE;
	if (r.bad)
		return pass_malformed(c, m, PEND_BIND);
	st = c->is_tracked ? prepare_statement_of(c, name) : NULL;
	if (st)
		prefer_last_server(c, st->scan_flags);
	if (!link_server(c, m))
		return STEP_WAIT;
	if (is_unclear(c, name))
		return flush_barrier(c, m);
	if (c->is_tracked && *name && prepare_may_be_skipped(c, prepare_statement_of(c, name)))
		return barrier(c);
	if (may_come_back(c, name) || is_unnamed_unclear(c, name))
		return barrier(c);
	st = c->is_tracked ? prepare_statement_of(c, name) : NULL; /* it may have changed while we waited */
	c->pool->counters.binds++;
	if (st)
		st->binds++;
	if (!has_statement(c, name))
		return fail_and_discard(c, m, FAIL_NO_STATEMENT, no_unnamed_note());
	refused = st ? refuse_pin(c, st->makes, &reason) : NULL;
	if (refused)
		return fail_and_discard(c, m, reason, refused);
	if (c->is_tracked && *name)
		renamed = resolve_name(c, m->g, name);
	else if (c->is_tracked)
		ensure_unnamed(c, m->g);
	note_portal(c, portal, st);
	if (st) /* set_config($1, ..): the name is a parameter */
		note_stateful(c, st->scan_flags & MAY_SET, body_of(m).pos,
			MIN((size_t)m->frame.length, m->avail) - FRAME_HEADER_SIZE);
	if (st && st->deallocates_all) {
		server_statements_expire(&c->server->statements);
		c->is_forgetting = true;
	}
	c->bound_ends = st && lost_would_end(c, (const char *)st->body, st->len);
	request_sent(c, PEND_BIND, false, renamed ? name_mark(name) : 0, NULL);
	if (!renamed)
		return pass(c, m);
	gather_header(m->g, MSG_BIND, m->frame.length - FRAME_HEADER_SIZE - strlen(name) + strlen(renamed));
	gather_slice(m->g, m->bytes + FRAME_HEADER_SIZE, portal_size);
	gather_string(m->g, renamed);
	gather_rest(m, at);
	c->body_to = BODY_FORWARD;
	return STEP_TAKEN;
}

/* 'S' or 'P' and a name: Describe and Close. */
/* False: more bytes are needed. A kind of 0: it's malformed. */
static bool read_target(const struct message_in *m, char *kind, const char **name)
{
	struct reader r = body_of(m);

	if (!is_whole(m) && m->frame.length <= NAMES_MAX)
		return false;
	*kind = (char)read_u8(&r);
	*name = read_cstring(&r);
	if (r.bad)
		*kind = 0;
	return true;
}

static enum step on_describe(struct client *c, struct message_in *m)
{
	char kind;
	const char *name, *renamed = NULL;

	if (!read_target(m, &kind, &name))
		return STEP_MORE;
	if (!kind)
		return pass_malformed(c, m, PEND_DESCRIBE);
	if (!link_server(c, m))
		return STEP_WAIT;
	if (kind == 'S' && is_unclear(c, name))
		return flush_barrier(c, m);
	if (c->is_tracked && kind == 'S' && *name && prepare_may_be_skipped(c, prepare_statement_of(c, name)))
		return barrier(c);
	if (kind == 'S' && (may_come_back(c, name) || is_unnamed_unclear(c, name)))
		return barrier(c);
	if (c->is_tracked && kind == 'S') {
		if (!has_statement(c, name))
			return fail_and_discard(c, m, FAIL_NO_STATEMENT, no_unnamed_note());
		if (*name)
			renamed = resolve_name(c, m->g, name);
		else
			ensure_unnamed(c, m->g);
	}
	request_sent(c, PEND_DESCRIBE, false, renamed ? name_mark(name) : 0, NULL);
	if (!renamed)
		return pass(c, m);
	gather_header(m->g, MSG_DESCRIBE, 1 + strlen(renamed) + 1);
	gather_copy(m->g, "S", 1);
	gather_string(m->g, renamed);
	return discard(c, m);
}

static enum step on_close(struct client *c, struct message_in *m)
{
	struct client_statement *cs;
	struct prepared_note *note;
	const char *name;
	char kind;

	if (!read_target(m, &kind, &name))
		return STEP_MORE;
	if (!kind)
		return pass_malformed(c, m, PEND_CLOSE);
	if (!link_server(c, m))
		return STEP_WAIT;
	if (kind == 'S' && is_unclear(c, name))
		return flush_barrier(c, m);
	cs = c->is_tracked && kind == 'S' ? client_statements_find(&c->statements, name) : NULL;
	if (is_uncertain(c, cs) || (kind == 'S' && may_come_back(c, name)))
		return barrier(c);
	if (!cs) {
		if (kind == 'S' && !*name) {
			c->server->has_unnamed = false;
			sent_unnamed(c, PEND_CLOSE, NULL);
		} else {
			request_sent(c, PEND_CLOSE, false, 0, NULL);
		}
		return pass(c, m);
	}
	note = xcalloc(1, sizeof(*note));
	prepare_take_name(c, cs, note);
	if (pending_may_copy(&c->server->pending)) { /* which ends the COPY */
		request_sent(c, PEND_CLOSE, false, 0, note);
		return pass(c, m);
	}
	request_sent(c, PEND_LOCAL, false, LOCAL_CLOSE_COMPLETE, note);
	return discard(c, m);
}

static enum step on_execute(struct client *c, struct message_in *m)
{
	struct prepared_note *note = NULL;
	struct reader r = body_of(m);
	const char *portal;

	if (c->deallocate_portal && !is_whole(m) && m->avail < NAMES_MAX)
		return STEP_MORE;
	if (!link_server(c, m))
		return STEP_WAIT;
	portal = read_cstring(&r);
	if (c->deallocate_portal && !r.bad && strcmp(c->deallocate_portal, portal) == 0) {
		if (is_uncertain(c, client_statements_find(&c->statements, c->deallocates)) ||
			may_come_back(c, c->deallocates))
			return barrier(c);
		if (is_unclear(c, c->deallocates))
			return flush_barrier(c, m);
		note = prepare_deallocate(c, m->g, c->deallocates, portal);
	}
	c->ends_block = c->bound_ends;
	request_sent(c, PEND_EXECUTE, false, 0, note);
	return pass(c, m);
}

/* ---- Sync, Flush, CopyData, Terminate ---- */

static enum step on_sync(struct client *c, struct message_in *m)
{
	if (c->state != CLIENT_ACTIVE) { /* nothing was begun: nothing to end */
		client_ready(c);
		return discard(c, m);
	}
	to_server(c, m);
	if (pending_swallows_sync(&c->server->pending))
		return discard(c, m);
	c->batch++;
	request_sent(c, PEND_SYNC, false, 0, NULL);
	return pass(c, m);
}

static enum step on_flush(struct client *c, struct message_in *m)
{
	if (c->state != CLIENT_ACTIVE)
		return discard(c, m);
	to_server(c, m);
	m->must_answer = true;
	return pending_swallows_sync(&c->server->pending) ? discard(c, m) : pass(c, m);
}

static enum step on_copy_data(struct client *c, struct message_in *m)
{
	if (c->state != CLIENT_ACTIVE)
		return discard(c, m); /* late: PostgreSQL ignores it, too */
	to_server(c, m);
	request_sent(c, PEND_COPY_DATA, false, 0, NULL);
	return pass(c, m);
}

static enum step on_copy_end(struct client *c, struct message_in *m)
{
	if (c->state != CLIENT_ACTIVE)
		return discard(c, m);
	to_server(c, m);
	request_sent(c, PEND_COPY_END, false, 0, NULL);
	return pass(c, m);
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
	[MSG_PARSE] = on_parse,
	[MSG_BIND] = on_bind,
	[MSG_DESCRIBE] = on_describe,
	[MSG_EXECUTE] = on_execute,
	[MSG_CLOSE] = on_close,
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
	return discard(c, m);
}

/* The server would ignore it: then nothing may be done for it here either. */
static bool is_skipped(const struct client *c, uint8_t type)
{
	if (c->state != CLIENT_ACTIVE)
		return false;
	ASSERT(c->server);
	return c->server->pending.is_skipping && type != MSG_SYNC && type != MSG_TERMINATE;
}

static enum step dispatch(struct client *c, struct message_in *m)
{
	if (!msg_is_from_client(m->frame.type)) {
		char text[64];

		snprintf(text, sizeof(text), "invalid frontend message type %u", m->frame.type);
		return fatal(c, "08P01", text);
	}
	if (m->frame.length > c->worker->config->max_packet_size)
		return fatal(c, "54000", "message is longer than max_packet_size");
	if (c->discard != DISCARD_NONE)
		return skip(c, m);
	if (c->state == CLIENT_TX_LOST && m->frame.type != MSG_TERMINATE)
		return lost_request(c, m);
	if (is_skipped(c, m->frame.type))
		return discard(c, m);
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
		default: step = fatal(c, "08P01", "invalid message length"); break;
		}
		if (step == STEP_GONE) {
			c->out = NULL;
			return len;
		}
		if (step != STEP_TAKEN)
			break;
		c->body_left = m.frame.length - MIN((size_t)m.frame.length, m.avail);
		pos += MIN((size_t)m.frame.length, m.avail);
		if (m.must_answer)
			answer_locals(c);
	}
	after_chunk(c, &g);
	return c->state == CLIENT_CLOSING ? len : pos;
}
