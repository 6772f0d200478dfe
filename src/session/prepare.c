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

void prepare_parse(struct client *c, struct gather *g, struct statement *st, struct prepared_note *note)
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

static void prepare_decoy(struct client *c, struct gather *g)
{
	struct prepared_note *parse = xcalloc(1, sizeof(*parse));
	char decoy[STATEMENT_NAME_SIZE];

	parse->adds = true;
	parse->id = STATEMENT_DECOY;
	statement_server_name(STATEMENT_DECOY, decoy);
	gather_header(g, MSG_PARSE, strlen(decoy) + 4);
	gather_string(g, decoy);
	gather_copy(g, "\0\0\0", 3);
	server_statements_add(&c->server->statements, STATEMENT_DECOY);
	parse->number = server_statements_find(&c->server->statements, STATEMENT_DECOY)->number;
	request_sent(c, PEND_PARSE, true, 0, parse);
}

static void close_quietly(struct client *c, struct gather *g, char kind, const char *name)
{
	gather_header(g, MSG_CLOSE, 1 + strlen(name) + 1);
	gather_copy(g, &kind, 1);
	gather_string(g, name);
	request_sent(c, PEND_CLOSE, true, 0, NULL);
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
	if (!server_statements_find(&c->server->statements, STATEMENT_DECOY))
		prepare_decoy(c, g);
	note = xcalloc(1, sizeof(*note));
	prepare_take_name(c, target, note);
	return note;
}
