#include "session/ask.h"

#include "session/prepare.h"
#include "wire/duration.h"

#include <stdlib.h>
#include <string.h>

#define STATEMENT_MAX 256 /* a longer message isn't one */
#define TEXT_OID 25
#define QUERY_WAIT "pgweir.query_wait"

enum ask_what { ASK_QUERY, ASK_BIND, ASK_DESCRIBE_STATEMENT, ASK_DESCRIBE_PORTAL, ASK_EXECUTE };

/* The detail of a PEND_LOCAL: beyond those of enum local_answer. */
#define DETAIL(what, kind) ((uint16_t)(LOCAL_ASK_FIRST + (unsigned)(what)*16 + (unsigned)(kind)))

struct asked {
	UT_hash_handle hh;
	struct own_statement statement;
	char key[]; /* 'S' or 'P' and the name */
};

static const char *const names[] = {
	[OWN_SHOW_LAST_WAIT] = "pgweir.last_wait", [OWN_SHOW_QUERY_WAIT] = QUERY_WAIT, [OWN_SHOW_SERVER] = "pgweir.server"
};

static bool is_show(enum own_kind kind)
{
	return kind == OWN_SHOW_LAST_WAIT || kind == OWN_SHOW_QUERY_WAIT || kind == OWN_SHOW_SERVER;
}

/* ---- what there is to say ---- */

static struct server *find_server(const struct list *l, uint64_t id)
{
	LIST_FOREACH(l, n, next) {
		struct server *s = CONTAINER_OF(n, struct server, node);

		if (s->id == id)
			return s;
	}
	return NULL;
}

/* The server that it has, or had last. */
static void server_text(const struct client *c, char *out, size_t size)
{
	const struct server *s = c->server;
	char addr[ADDRESS_TEXT_MAX];

	if (!s && c->last_server)
		s = find_server(&c->pool->idle, c->last_server);
	if (!s && c->last_server)
		s = find_server(&c->pool->servers, c->last_server);
	if (!s) {
		snprintf(out, size, c->last_server ? "id=%llu, which this thread has no more" : "none",
			(unsigned long long)c->last_server);
		return;
	}
	address_text(&s->address, addr);
	snprintf(out, size, "%s pid=%u id=%llu", addr, s->cancel_pid, (unsigned long long)s->id);
}

static void show_text(const struct client *c, enum own_kind kind, char *out, size_t size)
{
	if (kind == OWN_SHOW_SERVER)
		server_text(c, out, size);
	else if (kind == OWN_SHOW_QUERY_WAIT)
		duration_text(c->waiter.wait_max, out);
	else
		snprintf(out, size, "%.3fms", (double)c->waiter.last_wait / USEC_PER_MSEC);
}

static void write_describe(struct writer *w, enum own_kind kind)
{
	msg_begin(w, is_show(kind) ? MSG_ROW_DESCRIPTION : MSG_NO_DATA);
	if (is_show(kind)) {
		write_u16(w, 1);
		write_cstring(w, names[kind]);
		write_u32(w, 0); /* of no table */
		write_u16(w, 0);
		write_u32(w, TEXT_OID);
		write_u16(w, UINT16_MAX); /* of any length */
		write_u32(w, UINT32_MAX);
		write_u16(w, 0);
	}
	msg_end(w);
}

static void write_answer(const struct client *c, struct writer *w, enum own_kind kind)
{
	char text[ADDRESS_TEXT_MAX + 64];

	if (!is_show(kind)) {
		write_command_complete(w, kind == OWN_SET_QUERY_WAIT ? "SET" : "RESET");
		return;
	}
	show_text(c, kind, text, sizeof(text));
	msg_begin(w, MSG_DATA_ROW);
	write_u16(w, 1);
	write_u32(w, (uint32_t)strlen(text));
	write_bytes(w, text, strlen(text));
	msg_end(w);
	write_command_complete(w, "SHOW");
}

static void write_empty(struct writer *w, uint8_t type)
{
	msg_begin(w, type);
	msg_end(w);
}

static const struct error_info aborted = { .severity = "ERROR",
	.sqlstate = "25P02",
	.message = "current transaction is aborted, commands ignored until end of transaction block" };

static void write_query_answer(const struct client *c, struct writer *w, enum own_kind kind)
{
	uint8_t tx_status = c->server ? c->server->pending.tx_status : TX_IDLE;

	if (tx_status == TX_FAILED) {
		write_error(w, &aborted);
	} else {
		if (is_show(kind))
			write_describe(w, kind);
		write_answer(c, w, kind);
	}
	write_ready_for_query(w, tx_status);
}

static void put(struct client *c, struct writer *w)
{
	if (c->gather)
		gather_copy(c->gather, w->data, w->len);
	else
		stream_send_bytes(&c->stream, w->data, w->len);
	writer_free(w);
}

static void act(struct client *c, enum own_kind kind, const char *value)
{
	if (kind == OWN_SET_QUERY_WAIT)
		duration_parse(value, &c->waiter.wait_max);
	else if (kind == OWN_RESET_QUERY_WAIT)
		c->waiter.wait_max = c->startup_wait_max;
}

/* value: of a SET */
static void answer(struct client *c, enum ask_what what, enum own_kind kind, const char *value)
{
	struct writer w = { 0 };

	switch (what) {
	case ASK_QUERY:
		act(c, kind, value);
		write_query_answer(c, &w, kind);
		break;
	case ASK_EXECUTE:
		act(c, kind, value);
		write_answer(c, &w, kind);
		break;
	case ASK_BIND: write_empty(&w, MSG_BIND_COMPLETE); break;
	case ASK_DESCRIBE_STATEMENT:
		msg_begin(&w, MSG_PARAMETER_DESCRIPTION);
		write_u16(&w, 0);
		msg_end(&w);
		write_describe(&w, kind);
		break;
	case ASK_DESCRIBE_PORTAL: write_describe(&w, kind); break;
	}
	put(c, &w);
}

void ask_answer(struct client *c, const struct pending_entry *e)
{
	unsigned detail = (unsigned)e->detail - LOCAL_ASK_FIRST;
	const struct prepared_note *note = e->ref;

	answer(c, (enum ask_what)(detail / 16), (enum own_kind)(detail % 16), note ? note->text : "");
}

/* ---- what it says ---- */

static enum step taken(struct client *c)
{
	c->body_to = BODY_DISCARD;
	return STEP_TAKEN;
}

/* At once, or when its turn comes. */
static enum step ask(struct client *c, struct message_in *m, enum ask_what what, const struct own_statement *s)
{
	struct prepared_note *note = NULL;

	if (c->state != CLIENT_ACTIVE) {
		answer(c, what, s->kind, s->value);
		return taken(c);
	}
	if (s->kind == OWN_SET_QUERY_WAIT && (what == ASK_QUERY || what == ASK_EXECUTE))
		note = prepare_note(xstrdup(s->value));
	request_sent(c, PEND_LOCAL, false, DETAIL(what, s->kind), note);
	m->must_answer = true;
	return taken(c);
}

/* As for the simple messages that exist already. */
static enum step empty(struct client *c, struct message_in *m, uint8_t type, enum local_answer local)
{
	struct writer w = { 0 };

	if (c->state == CLIENT_ACTIVE) {
		request_sent(c, PEND_LOCAL, false, (uint16_t)local, NULL);
		m->must_answer = true;
		return taken(c);
	}
	write_empty(&w, type);
	put(c, &w);
	return taken(c);
}

/* Why it can't be executed; NULL: it can. */
static struct prepared_note *complaint(const struct own_statement *s, enum fail_reason *reason)
{
	struct prepared_note *note;
	usec_t ignored;

	*reason = FAIL_VALUE;
	if (s->kind == OWN_SET_QUERY_WAIT && !duration_parse(s->value, &ignored)) {
		note = prepare_note(xasprintf("invalid value for parameter \"" QUERY_WAIT "\": \"%s\"", s->value));
		note->hint = DURATION_HINT;
		return note;
	}
	*reason = FAIL_READ_ONLY;
	return s->kind == OWN_SET_READ_ONLY ? prepare_note(xstrdup("this parameter cannot be changed")) : NULL;
}

static enum step fail_here(struct client *c, bool is_query, enum fail_reason reason, struct prepared_note *note)
{
	client_error(c,
		&(struct error_info){ .severity = "ERROR",
			.sqlstate = reason == FAIL_VALUE ? "22023" : "55P02",
			.message = note->text,
			.hint = note->hint });
	server_note_free(&note);
	if (is_query)
		client_ready(c);
	else
		c->discard = DISCARD_TO_SYNC;
	return taken(c);
}

static enum step execute(struct client *c, struct message_in *m, bool is_query, const struct own_statement *s)
{
	enum fail_reason reason;
	struct prepared_note *note = complaint(s, &reason);

	if (!note)
		return ask(c, m, is_query ? ASK_QUERY : ASK_EXECUTE, s);
	if (c->state != CLIENT_ACTIVE)
		return fail_here(c, is_query, reason, note);
	m->g->to = &c->server->stream;
	if (is_query)
		return request_refuse_query(c, m, reason, note);
	prepare_fail(c, m->g, reason, note);
	return taken(c);
}

/* ---- names ---- */

static struct asked *find(const struct client *c, char kind, const char *name)
{
	struct asked *a, *next;

	HASH_ITER(hh, c->asked, a, next) { /* there is one or two */
		if (a->key[0] == kind && strcmp(a->key + 1, name) == 0)
			return a;
	}
	return NULL;
}

static void forget(struct client *c, char kind, const char *name)
{
	struct asked *a = c->asked ? find(c, kind, name) : NULL;

	if (!a)
		return;
	HASH_DEL(c->asked, a);
	free(a);
}

bool ask_forget_statement(struct client *c, const char *name)
{
	bool is_one = find(c, 'S', name);

	forget(c, 'S', name);
	return is_one;
}

void ask_forget(struct client *c)
{
	struct asked *a, *next;

	HASH_ITER(hh, c->asked, a, next) {
		HASH_DEL(c->asked, a);
		free(a);
	}
}

static bool remember(struct client *c, char kind, const char *name, const struct own_statement *s)
{
	size_t size = strlen(name) + 2;
	struct asked *a;

	forget(c, kind, name);
	if (HASH_COUNT(c->asked) >= ASKED_MAX)
		return false;
	a = xcalloc(1, sizeof(*a) + size);
	a->statement = *s;
	a->key[0] = kind;
	memcpy(a->key + 1, name, size - 1);
	HASH_ADD(hh, c->asked, key[0], size, a);
	return true;
}

/* ---- names on their way: u8 count, then cstring name, u8 kind, cstring value each ---- */

size_t ask_names_size(const struct client *c)
{
	size_t n = 1;
	struct asked *a, *next;

	HASH_ITER(hh, c->asked, a, next)
		n += strlen(a->key) + OWN_VALUE_MAX + 2;
	return n;
}

void ask_write_names(const struct client *c, struct writer *w)
{
	struct asked *a, *next;
	uint8_t n = 0;

	HASH_ITER(hh, c->asked, a, next)
		n += a->key[0] == 'S';
	write_u8(w, n);
	HASH_ITER(hh, c->asked, a, next) {
		if (a->key[0] != 'S')
			continue;
		write_cstring(w, a->key + 1);
		write_u8(w, (uint8_t)a->statement.kind);
		write_cstring(w, a->statement.value);
	}
}

static const char *read_name(struct reader *r, struct own_statement *s)
{
	const char *name = read_cstring(r), *value;
	uint8_t kind = read_u8(r);

	value = read_cstring(r);
	if (r->bad || kind <= OWN_NONE || kind >= OWN_RESET_ALL || strlen(value) >= sizeof(s->value))
		return NULL;
	s->kind = (enum own_kind)kind;
	memcpy(s->value, value, strlen(value) + 1);
	return name;
}

enum result ask_check_names(struct reader *r)
{
	size_t n = read_u8(r);
	struct own_statement s;

	if (n > ASKED_MAX)
		return RES_LIMIT;
	for (size_t i = 0; i < n; i++)
		if (!read_name(r, &s))
			return RES_PROTOCOL;
	return r->bad ? RES_PROTOCOL : RES_OK;
}

void ask_take_names(struct client *c, struct reader r)
{
	size_t n = read_u8(&r);

	for (size_t i = 0; i < n; i++) {
		struct own_statement s;
		const char *name = read_name(&r, &s);

		if (name)
			remember(c, 'S', name, &s);
	}
}

/* ---- messages ---- */

static struct reader body_of(const struct message_in *m)
{
	size_t n = MIN((size_t)m->frame.length, m->avail);

	return reader_over(m->bytes + FRAME_HEADER_SIZE, n - FRAME_HEADER_SIZE);
}

/* PostgreSQL's own state comes first: what a COPY reads, and what is refused in a failed transaction. */
static bool is_ours_to_answer(const struct client *c)
{
	const struct pending *p;

	if (c->state != CLIENT_ACTIVE || !c->server)
		return c->state == CLIENT_IDLE;
	p = &c->server->pending;
	return !p->is_skipping && !pending_may_copy(p) && p->tx_status != TX_FAILED;
}

static bool on_query(struct client *c, struct message_in *m, enum step *step)
{
	struct reader r = body_of(m);
	struct own_statement s;

	if (m->frame.length > STATEMENT_MAX || !own_statement_may_be(r.pos, reader_left(&r)))
		return false;
	if (m->avail < m->frame.length || c->worker->config->disable_pqexec ||
		!own_statement_parse((const char *)r.pos, reader_left(&r) - 1, &s))
		return false; /* it comes again when it is whole */
	if (s.kind == OWN_RESET_ALL)
		c->waiter.wait_max = c->startup_wait_max;
	if (s.kind == OWN_RESET_ALL || !is_ours_to_answer(c) || (c->server && c->server->pending.is_batch_open))
		return false;
	*step = execute(c, m, true, &s);
	return true;
}

static bool on_parse(struct client *c, struct message_in *m, enum step *step)
{
	struct reader r = body_of(m);
	const char *name = read_cstring(&r), *sql = (const char *)r.pos;
	struct own_statement s;

	if (r.bad || (!c->asked && !own_statement_may_be(r.pos, reader_left(&r))))
		return false;
	forget(c, 'S', name);
	if (m->frame.length > STATEMENT_MAX || m->avail < m->frame.length)
		return false;
	read_cstring(&r);
	if (r.bad || !own_statement_parse(sql, strlen(sql), &s) || !is_ours_to_answer(c))
		return false;
	if (s.kind == OWN_RESET_ALL) {
		c->waiter.wait_max = c->startup_wait_max;
		return false;
	}
	if (client_statements_find(&c->statements, name) || !remember(c, 'S', name, &s))
		return false; /* PostgreSQL complains, of one thing or another */
	*step = empty(c, m, MSG_PARSE_COMPLETE, LOCAL_PARSE_COMPLETE);
	return true;
}

static bool on_bind(struct client *c, struct message_in *m, enum step *step)
{
	struct reader r = body_of(m);
	const char *portal = read_cstring(&r), *name = read_cstring(&r);
	struct asked *a = r.bad ? NULL : find(c, 'S', name);

	if (r.bad)
		return false;
	forget(c, 'P', portal);
	if (!a || !is_ours_to_answer(c) || !remember(c, 'P', portal, &a->statement))
		return false;
	*step = ask(c, m, ASK_BIND, &a->statement);
	return true;
}

static bool on_describe_or_close(struct client *c, struct message_in *m, enum step *step)
{
	struct reader r = body_of(m);
	char kind = (char)read_u8(&r);
	const char *name = read_cstring(&r);
	struct asked *a = r.bad ? NULL : find(c, kind, name);

	if (!a || !is_ours_to_answer(c))
		return false;
	if (m->frame.type == MSG_CLOSE) {
		forget(c, kind, name);
		*step = empty(c, m, MSG_CLOSE_COMPLETE, LOCAL_CLOSE_COMPLETE);
	} else {
		*step = ask(c, m, kind == 'S' ? ASK_DESCRIBE_STATEMENT : ASK_DESCRIBE_PORTAL, &a->statement);
	}
	return true;
}

static bool on_execute(struct client *c, struct message_in *m, enum step *step)
{
	struct reader r = body_of(m);
	const char *portal = read_cstring(&r);
	struct asked *a = r.bad ? NULL : find(c, 'P', portal);

	if (!a || !is_ours_to_answer(c))
		return false;
	*step = execute(c, m, false, &a->statement);
	return true;
}

bool ask_request(struct client *c, struct message_in *m, enum step *step)
{
	switch (m->frame.type) {
	case MSG_QUERY: return on_query(c, m, step);
	case MSG_PARSE: return on_parse(c, m, step);
	case MSG_BIND: return on_bind(c, m, step);
	case MSG_DESCRIBE:
	case MSG_CLOSE: return on_describe_or_close(c, m, step);
	case MSG_EXECUTE: return on_execute(c, m, step);
	default: return false;
	}
}

/* ---- settings that PostgreSQL has been told ---- */

void ask_take_settings(struct client *c, struct settings **s)
{
	const char *value = settings_get(*s, QUERY_WAIT);

	if (!value)
		return;
	duration_parse(value, &c->waiter.wait_max); /* by set_config(): there is nobody to complain to */
	settings_put(s, QUERY_WAIT, NULL);
}
