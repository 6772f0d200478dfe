#include "session/prepare.h"

#include "wire/msg.h"

#include <stdio.h>
#include <string.h>

void prepare_gather_parse(struct gather *g, const char *name, const struct statement *st)
{
	char decoy[STATEMENT_NAME_SIZE], text[STATEMENT_NAME_SIZE + 16];

	if (!st->deallocates) {
		gather_header(g, MSG_PARSE, strlen(name) + 1 + st->len);
		gather_string(g, name);
		gather_big(g, st->body, st->len);
		return;
	}
	statement_server_name(STATEMENT_DECOY, decoy);
	snprintf(text, sizeof(text), "DEALLOCATE %s", decoy);
	gather_header(g, MSG_PARSE, strlen(name) + 1 + strlen(text) + 3);
	gather_string(g, name);
	gather_string(g, text);
	gather_copy(g, "\0\0", 2);
}

static void close_on_server(struct client *c, struct gather *g, struct hash128 id)
{
	struct prepared_note *note = xcalloc(1, sizeof(*note));
	char name[STATEMENT_NAME_SIZE];

	note->id = id;
	note->removes = true;
	statement_server_name(id, name);
	gather_header(g, MSG_CLOSE, 1 + strlen(name) + 1);
	gather_copy(g, "S", 1);
	gather_string(g, name);
	server_statements_remove(&c->server->statements, id);
	request_sent(c, PEND_CLOSE, true, 0, note);
}

static void make_room(struct client *c, struct gather *g)
{
	size_t max = (size_t)c->worker->config->max_prepared_statements;
	struct hash128 oldest;

	while (server_statements_count(&c->server->statements) >= max &&
		server_statements_oldest(&c->server->statements, &oldest))
		close_on_server(c, g, oldest);
}

static uint64_t schema_now(const struct client *c)
{
	return atomic_load_explicit(&c->pool->shared->by_database->schema, memory_order_relaxed);
}

struct prepared_note *prepare_shape_note(struct client *c, struct statement *st)
{
	struct prepared_note *note = xcalloc(1, sizeof(*note));

	note->shapes = SHAPES_UNNAMED;
	note->number = c->server->unnamed_number;
	if (schema_now(c) == st->schema)
		note->statement = statement_ref(st);
	c->server->is_unnamed_shape_due = true;
	return note;
}

static void gather_describe(struct gather *g, const char *name)
{
	gather_header(g, MSG_DESCRIBE, 1 + strlen(name) + 1);
	gather_copy(g, "S", 1);
	gather_string(g, name);
}

static void describe_unnamed(struct client *c, struct gather *g, struct statement *st)
{
	gather_describe(g, "");
	request_sent(c, PEND_DESCRIBE, true, 0, prepare_shape_note(c, st));
}

static void describe_named(struct client *c, struct gather *g, struct statement *st,
	struct server_statement *ss, const char *name)
{
	struct prepared_note *note = xcalloc(1, sizeof(*note));

	note->shapes = SHAPES_NAMED;
	note->id = st->id;
	note->number = ss->number;
	note->target = name ? xstrdup(name) : NULL;
	if (schema_now(c) == st->schema)
		note->statement = statement_ref(st);
	ss->is_shape_due = true;
	gather_describe(g, st->server_name);
	request_sent(c, PEND_DESCRIBE, true, 0, note);
}

void prepare_parse(struct client *c, struct gather *g, struct statement *st, struct prepared_note *note,
	const char *name)
{
	struct server_statement *ss;
	bool is_ours = !note;

	make_room(c, g);
	if (!note)
		note = xcalloc(1, sizeof(*note));
	note->id = st->id;
	note->adds = true;
	prepare_gather_parse(g, st->server_name, st);
	server_statements_add(&c->server->statements, st->id);
	ss = server_statements_find(&c->server->statements, st->id);
	ss->batch = c->batch;
	ss->parsed_at = c->worker->loop.now;
	note->number = ss->number;
	c->pool->counters.server_parses++;
	request_sent(c, PEND_PARSE, is_ours, 0, note);
	describe_named(c, g, st, ss, name);
}

bool prepare_has(struct client *c, struct gather *g, const struct statement *st, usec_t since)
{
	struct server_statement *ss = server_statements_find(&c->server->statements, st->id);

	if (ss && (ss->is_stale || ss->parsed_at < since)) {
		close_on_server(c, g, st->id);
		return false;
	}
	return ss != NULL;
}

/* What its client counts on, as far as we know it. SHAPE_UNKNOWN: nothing, or PostgreSQL itself sees to it. */
static uint64_t wanted_shape(const struct client *c, const struct client_statement *cs)
{
	const struct statement *st = cs->statement;

	if (pending_may_copy(&c->server->pending)) /* which ends the COPY, and all else */
		return SHAPE_UNKNOWN;
	if (cs->shape != SHAPE_UNKNOWN)
		return cs->shape;
	return schema_now(c) != st->schema ? st->shape : SHAPE_UNKNOWN;
}

static enum prepare_result prepare_anew(
	struct client *c, struct gather *g, struct client_statement *cs, uint64_t wanted)
{
	struct statement *st = cs->statement;
	struct server_statement *ss = server_statements_find(&c->server->statements, st->id);

	if (ss)
		close_on_server(c, g, st->id);
	prepare_parse(c, g, st, NULL, wanted == SHAPE_UNKNOWN ? cs->name : NULL);
	ss = server_statements_find(&c->server->statements, st->id);
	c->check_number = ss->number;
	return wanted == SHAPE_UNKNOWN ? PREPARE_DONE : PREPARE_WAIT;
}

enum prepare_result prepare_named(struct client *c, struct gather *g, struct client_statement *cs)
{
	struct server_statement *ss = server_statements_find(&c->server->statements, cs->statement->id);
	uint64_t wanted = wanted_shape(c, cs);
	bool is_same = ss && wanted != SHAPE_UNKNOWN && ss->shape == wanted;

	if (!ss || ss->is_stale)
		return prepare_anew(c, g, cs, wanted);
	if (wanted != SHAPE_UNKNOWN && ss->is_shape_due)
		return PREPARE_WAIT;
	if (wanted != SHAPE_UNKNOWN && ss->shape != SHAPE_UNKNOWN && !is_same) {
		if (ss->number != c->check_number) /* somebody else's, from another time */
			return prepare_anew(c, g, cs, wanted);
		ss->is_stale = true; /* the next time may find the tables as they were */
		return PREPARE_CHANGED;
	}
	/* However old it is, PostgreSQL runs it only if its result is the same. */
	if (!is_same && ss->parsed_at < cs->parsed_at)
		return prepare_anew(c, g, cs, wanted);
	if (cs->shape == SHAPE_UNKNOWN)
		cs->shape = ss->shape;
	return PREPARE_DONE;
}

void prepare_note_unnamed(struct client *c, const struct statement *st)
{
	struct server *s = c->server;

	s->unnamed = st->id;
	s->has_unnamed = true;
	s->unnamed_batch = c->batch;
	s->unnamed_number++;
	s->is_unnamed_confirmed = s->is_unnamed_renewed = s->is_unnamed_shape_due = false;
	s->unnamed_shape = SHAPE_UNKNOWN;
}

static bool has_unnamed(const struct client *c)
{
	const struct server *s = c->server;

	return s->has_unnamed && hash128_equal(s->unnamed, c->unnamed->id) &&
		(s->is_unnamed_confirmed || s->unnamed_batch == c->batch);
}

static void parse_unnamed_anew(struct client *c, struct gather *g)
{
	prepare_gather_parse(g, "", c->unnamed);
	prepare_note_unnamed(c, c->unnamed);
	c->pool->counters.server_parses++;
	request_sent(c, PEND_PARSE, true, 0, NULL);
}

enum prepare_result prepare_unnamed(struct client *c, struct gather *g)
{
	struct server *s = c->server;
	uint64_t wanted = SHAPE_UNKNOWN;

	if (schema_now(c) != c->unnamed->schema && !pending_may_copy(&s->pending))
		wanted = c->unnamed->shape;
	if (!has_unnamed(c)) {
		parse_unnamed_anew(c, g);
		if (wanted == SHAPE_UNKNOWN)
			return PREPARE_DONE;
		describe_unnamed(c, g, c->unnamed);
		s->is_unnamed_renewed = true;
		return PREPARE_WAIT;
	}
	if (wanted == SHAPE_UNKNOWN || !s->is_unnamed_renewed)
		return PREPARE_DONE;
	if (s->is_unnamed_shape_due)
		return PREPARE_WAIT;
	if (s->unnamed_shape == SHAPE_UNKNOWN || s->unnamed_shape == wanted)
		return PREPARE_DONE;
	s->has_unnamed = false;
	return PREPARE_CHANGED;
}

void prepare_look_at_unnamed(struct client *c, struct gather *g)
{
	struct pending *p = &c->server->pending;

	if (!c->unnamed || c->unnamed_batch != c->batch || c->is_unnamed_looked_at ||
		c->unnamed->shape != SHAPE_UNKNOWN || p->is_skipping || p->copy != COPY_NONE ||
		pending_may_copy(p) || !has_unnamed(c))
		return;
	describe_unnamed(c, g, c->unnamed);
}

struct prepared_note *prepare_changed(const struct client *c, bool with_parameters)
{
	struct prepared_note *note = prepare_note(xstrdup("cached plan must not change result type"));
	const struct server *s = c->server;

	if (with_parameters && s->parameters) {
		note->parameters = xmalloc(s->parameters_len + 1);
		memcpy(note->parameters, s->parameters, s->parameters_len);
		note->parameters_len = s->parameters_len;
	}
	return note;
}

bool prepare_may_be_skipped(struct client *c, const struct statement *st)
{
	struct pending *p = &c->server->pending;
	const struct server_statement *ss = st ? server_statements_find(&c->server->statements, st->id) : NULL;

	return ss && !ss->is_confirmed && !ss->is_stale && ss->batch != c->batch && p->copy == COPY_NONE &&
		pending_head(p);
}

struct prepared_note *prepare_note(char *text)
{
	struct prepared_note *note = xcalloc(1, sizeof(*note));

	note->text = text;
	return note;
}

void prepare_fail(struct client *c, struct gather *g, enum fail_reason reason, struct prepared_note *note)
{
	static const char name[] = "pgweir_refused";
	gather_header(g, MSG_BIND, 1 + sizeof(name) + 6);
	gather_copy(g, "", 1);
	gather_string(g, name);
	gather_copy(g, "\0\0\0\0\0\0", 6);
	request_sent(c, PEND_FAIL, true, (uint16_t)reason, note);
}

void prepare_take_name(struct client *c, struct client_statement *cs, struct prepared_note *note)
{
	client_statements_remove(&c->statements, cs);
	c->removals_due++;
	note->batch = c->batch;
	note->removes_name = true;
	note->name = cs;
}

struct statement *prepare_statement_of(const struct client *c, const char *name)
{
	struct client_statement *cs = *name ? client_statements_find(&c->statements, name) : NULL;

	return cs ? cs->statement : *name ? NULL : c->unnamed;
}

static void close_quietly(struct client *c, struct gather *g, char kind, const char *name)
{
	gather_header(g, MSG_CLOSE, 1 + strlen(name) + 1);
	gather_copy(g, &kind, 1);
	gather_string(g, name);
	request_sent(c, PEND_CLOSE, true, 0, NULL);
}

static void prepare_decoy(struct client *c, struct gather *g)
{
	char decoy[STATEMENT_NAME_SIZE];

	statement_server_name(STATEMENT_DECOY, decoy);
	close_quietly(c, g, 'S', decoy); /* an Execute that failed has left it */
	gather_header(g, MSG_PARSE, strlen(decoy) + 4);
	gather_string(g, decoy);
	gather_copy(g, "\0\0\0", 3);
	request_sent(c, PEND_PARSE, true, 0, xcalloc(1, sizeof(struct prepared_note)));
}

static void bind_plain(struct client *c, struct gather *g, const char *text, const char *portal)
{
	static const char once[] = "pgweir_once";

	close_quietly(c, g, 'S', once);
	close_quietly(c, g, 'P', portal);
	gather_header(g, MSG_PARSE, sizeof(once) + strlen(text) + 1 + 2);
	gather_string(g, once);
	gather_string(g, text);
	gather_copy(g, "\0\0", 2);
	request_sent(c, PEND_PARSE, true, 0, xcalloc(1, sizeof(struct prepared_note)));
	gather_header(g, MSG_BIND, strlen(portal) + 1 + sizeof(once) + 6);
	gather_string(g, portal);
	gather_string(g, once);
	gather_copy(g, "\0\0\0\0\0\0", 6);
	request_sent(c, PEND_BIND, true, 0, NULL);
}

static void bind_deallocate(struct client *c, struct gather *g, const char *name, const char *portal)
{
	struct writer w = { 0 };

	write_bytes(&w, "DEALLOCATE \"", strlen("DEALLOCATE \""));
	for (const char *p = name; *p; p++) {
		if (*p == '"')
			write_u8(&w, '"');
		write_u8(&w, (uint8_t)*p);
	}
	write_cstring(&w, "\"");
	bind_plain(c, g, (const char *)w.data, portal);
	writer_free(&w);
}

struct prepared_note *prepare_deallocate(struct client *c, struct gather *g, const char *name, const char *portal)
{
	struct client_statement *target = client_statements_find(&c->statements, name);
	struct prepared_note *note;

	if (!target) {
		bind_deallocate(c, g, name, portal);
		return NULL;
	}
	prepare_decoy(c, g);
	note = xcalloc(1, sizeof(*note));
	prepare_take_name(c, target, note);
	return note;
}
