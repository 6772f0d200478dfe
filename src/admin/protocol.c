#include "admin/console_private.h"
#include "admin/select.h"
#include "admin/show.h"
#include "base/log.h"
#include "wire/msg.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKLOG_MAX 65536

/* ---- saying something ---- */

static void send_ready(struct console_client *c)
{
	struct writer w = { 0 };

	write_ready_for_query(&w, TX_IDLE);
	client_send(c, &w);
	writer_free(&w);
}

static void send_empty_message(struct console_client *c, uint8_t type)
{
	struct writer w = { 0 };

	msg_begin(&w, type);
	msg_end(&w);
	client_send(c, &w);
	writer_free(&w);
}

static void send_error(struct console_client *c, const struct error_info *e)
{
	struct writer w = { 0 };
	char addr[ADDRESS_TEXT_MAX];
	struct log_who who;

	console_describe(c, &who, addr);
	if (console_config(c->console)->log_pooler_errors)
		log_info(&who, "pooler error: %s", e->message);
	write_error(&w, e);
	client_send(c, &w);
	writer_free(&w);
}

/* The message in hand is refused: a simple query alone, an extended one with its batch. */
static void refuse(struct console_client *c, bool is_simple, const char *sqlstate, const char *message,
	const char *detail)
{
	send_error(c,
		&(struct error_info){
			.severity = "ERROR", .sqlstate = sqlstate, .message = message, .detail = detail });
	if (is_simple)
		send_ready(c);
	else
		console_set_state(c, CONSOLE_SKIPPING);
}

static void refuse_command(struct console_client *c, bool is_simple, const struct command_error *e)
{
	send_error(c,
		&(struct error_info){
			.severity = "ERROR", .sqlstate = e->sqlstate, .message = e->message, .position = e->position });
	if (is_simple)
		send_ready(c);
	else
		console_set_state(c, CONSOLE_SKIPPING);
}

static void refuse_extended(struct console_client *c, const char *sqlstate, const char *format, ...)
	PRINTF_LIKE(3, 4);
static void refuse_extended(struct console_client *c, const char *sqlstate, const char *format, ...)
{
	char message[COMMAND_ERROR_MAX];
	va_list ap;

	va_start(ap, format);
	vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	refuse(c, false, sqlstate, message, NULL);
}

/* ---- statements and portals ---- */

static void free_statement(struct list *l, struct console_statement *s)
{
	if (!s)
		return;
	list_remove(l, &s->node);
	free(s->name);
	free(s);
}

static void free_portal(struct list *l, struct console_portal *p)
{
	if (!p)
		return;
	list_remove(l, &p->node);
	free(p->name);
	free(p->tag);
	writer_free(&p->rows);
	free(p);
}

static struct console_statement *find_statement(struct console_client *c, const char *name)
{
	LIST_FOREACH(&c->statements, n, next) {
		struct console_statement *s = CONTAINER_OF(n, struct console_statement, node);

		if (strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

static struct console_portal *find_portal(struct console_client *c, const char *name)
{
	LIST_FOREACH(&c->portals, n, next) {
		struct console_portal *p = CONTAINER_OF(n, struct console_portal, node);

		if (strcmp(p->name, name) == 0)
			return p;
	}
	return NULL;
}

static void end_portals(struct console_client *c)
{
	LIST_FOREACH(&c->portals, n, next)
		free_portal(&c->portals, CONTAINER_OF(n, struct console_portal, node));
}

void client_forget(struct console_client *c)
{
	end_portals(c);
	LIST_FOREACH(&c->statements, n, next)
		free_statement(&c->statements, CONTAINER_OF(n, struct console_statement, node));
	writer_free(&c->rows.out);
}

/* ---- what a command gives ---- */

struct description {
	const struct column *columns;
	size_t n;
	struct column fake;   /* columns may be this one */
	struct select select; /* .. or in here */
};

static void describe(const struct command *cmd, struct description *d)
{
	struct select_error error;

	d->columns = NULL;
	d->n = 0;
	if (command_is_select(cmd)) {
		if (select_parse(cmd->value, &d->select, &error) != RES_OK)
			ASSERT(!"a query that was good before");
		d->columns = d->select.columns;
		d->n = d->select.n_items;
	} else if (cmd->spec && cmd->fake && cmd->spec->args != ARGS_ASSIGNMENT) {
		d->fake = (struct column){ cmd->fake->name, COLUMN_TEXT };
		d->columns = &d->fake;
		d->n = 1;
	} else if (cmd->spec && cmd->view) {
		d->columns = cmd->view->columns;
		d->n = cmd->view->n_columns;
	}
}

static void describe_command(struct console_client *c, const struct command *cmd, uint64_t binary)
{
	struct description d;
	struct writer w = { 0 };

	describe(cmd, &d);
	if (d.n || cmd->is_of_catalogs)
		rows_describe(&w, d.columns, d.n, binary);
	else
		msg_begin(&w, MSG_NO_DATA), msg_end(&w);
	client_send(c, &w);
	writer_free(&w);
}

/* ---- running a command, and its end ---- */

static void run(struct console_client *c, struct command *cmd, struct console_portal *portal)
{
	c->command = cmd;
	c->portal = portal;
	c->rows = (struct rows){ .binary = portal ? portal->binary : 0 };
	c->request_at = clock_now(); /* the round's time would count what came before it in a pipeline */
	c->console->counters.queries++;
	c->console->counters.xacts++;
	console_set_state(c, CONSOLE_BUSY);
	stream_pause(&c->stream);
	if (cmd->spec->is_admin && !c->may_admin)
		client_fail(c, "08P01", NULL, "admin access needed");
	else
		cmd->spec->run(c, cmd);
}

/* It may go on with its next message. */
static void finish(struct console_client *c, enum console_state next)
{
	c->console->counters.query_time += clock_now() - c->request_at;
	c->console->counters.xact_time += clock_now() - c->request_at;
	c->command = NULL;
	c->portal = NULL;
	writer_free(&c->rows.out);
	console_set_state(c, next);
	stream_resume(&c->stream);
}

static void send_complete(struct console_client *c, const char *tag)
{
	struct writer w = { 0 };

	write_command_complete(&w, tag);
	client_send(c, &w);
	writer_free(&w);
}

static void finish_simple(struct console_client *c, const char *tag)
{
	struct description d;

	describe(c->command, &d);
	if (d.n || c->command->is_of_catalogs)
		describe_command(c, c->command, 0);
	client_send(c, &c->rows.out);
	send_complete(c, tag);
	send_ready(c);
}

/* As many rows as are wanted, and how it ends. Other messages among the rows don't count. */
static void send_portal(struct console_client *c, struct console_portal *p, uint32_t max_rows)
{
	struct writer slice = { .data = p->rows.data + p->pos };
	uint32_t rows = 0;

	while (p->pos < p->rows.len && !(max_rows && rows == max_rows)) {
		struct reader r = reader_over(p->rows.data + p->pos, p->rows.len - p->pos);
		struct frame f;

		if (frame_peek(&r, &f) != RES_OK)
			ASSERT(!"rows that we wrote ourselves");
		rows += f.type == MSG_DATA_ROW;
		p->pos += f.length;
		slice.len += f.length;
	}
	if (slice.len)
		client_send(c, &slice);
	if (p->pos < p->rows.len)
		send_empty_message(c, MSG_PORTAL_SUSPENDED);
	else
		send_complete(c, p->tag);
}

void client_done(struct console_client *c, const char *tag)
{
	struct console_portal *p = c->portal;

	if (!p) {
		finish_simple(c, tag);
	} else {
		p->is_run = true;
		p->rows = c->rows.out;
		p->tag = xstrdup(tag);
		c->rows.out = (struct writer){ 0 };
		send_portal(c, p, c->max_rows);
	}
	finish(c, CONSOLE_READY);
}

void client_fail(struct console_client *c, const char *sqlstate, const char *detail, const char *format, ...)
{
	char message[512];
	bool is_simple = !c->portal;
	va_list ap;

	va_start(ap, format);
	vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	send_error(c,
		&(struct error_info){
			.severity = "ERROR", .sqlstate = sqlstate, .message = message, .detail = detail });
	if (is_simple)
		send_ready(c);
	finish(c, is_simple ? CONSOLE_READY : CONSOLE_SKIPPING);
}

/* ---- messages ---- */

static bool is_whole(const struct reader *r)
{
	return !r->bad && reader_left(r) == 0;
}

static void malformed(struct console_client *c)
{
	client_fatal_error(c, "08P01", "invalid message format");
}

static void on_query(struct console_client *c, struct reader r)
{
	const char *text = read_cstring(&r);
	struct command_error error;

	if (!is_whole(&r)) {
		malformed(c);
		return;
	}
	end_portals(c);
	if (command_parse(text, &c->simple, &error) != RES_OK) {
		refuse_command(c, true, &error);
	} else if (!c->simple.spec) {
		send_empty_message(c, MSG_EMPTY_QUERY_RESPONSE);
		send_ready(c);
	} else {
		run(c, &c->simple, NULL);
	}
}

static void on_parse(struct console_client *c, struct reader r)
{
	const char *name = read_cstring(&r), *text = read_cstring(&r);
	uint16_t n_types = read_u16(&r);
	struct console_statement *s, *had = find_statement(c, name);
	struct command_error error;

	read_bytes(&r, 4u * n_types); /* of parameters that no command has */
	if (!is_whole(&r)) {
		malformed(c);
		return;
	}
	if (had && *name) {
		refuse_extended(c, "42P05", "prepared statement \"%s\" already exists", name);
		return;
	}
	if (!had && c->statements.count >= CONSOLE_STATEMENTS_MAX) {
		refuse_extended(c, "54000", "too many prepared statements");
		return;
	}
	free_statement(&c->statements, had);
	s = xcalloc(1, sizeof(*s));
	s->name = xstrdup(name);
	list_push_back(&c->statements, &s->node);
	if (command_parse(text, &s->command, &error) == RES_OK) {
		send_empty_message(c, MSG_PARSE_COMPLETE);
		return;
	}
	free_statement(&c->statements, s);
	refuse_command(c, false, &error);
}

/* One code for all columns, or one each; more than there are columns don't matter. False: malformed. */
static bool read_formats(struct reader *r, uint64_t *binary)
{
	uint16_t n = read_u16(r);

	*binary = 0;
	for (unsigned i = 0; i < n && !r->bad; i++) {
		uint16_t format = read_u16(r);

		if (format > 1)
			return false;
		if (format && n == 1)
			*binary = UINT64_MAX;
		else if (format && i < COLUMNS_MAX)
			*binary |= UINT64_C(1) << i;
	}
	return !r->bad;
}

static void add_portal(struct console_client *c, const char *name, const struct console_statement *s, uint64_t binary)
{
	struct console_portal *p, *had = find_portal(c, name);

	if (had && *name) {
		refuse_extended(c, "42P03", "cursor \"%s\" already exists", name);
		return;
	}
	if (!had && c->portals.count >= CONSOLE_STATEMENTS_MAX) {
		refuse_extended(c, "54000", "too many portals");
		return;
	}
	free_portal(&c->portals, had);
	p = xcalloc(1, sizeof(*p));
	p->name = xstrdup(name);
	p->command = s->command;
	p->binary = binary;
	list_push_back(&c->portals, &p->node);
	send_empty_message(c, MSG_BIND_COMPLETE);
}

static void on_bind(struct console_client *c, struct reader r)
{
	const char *portal = read_cstring(&r), *statement = read_cstring(&r);
	uint16_t n_formats = read_u16(&r), n_values;
	struct console_statement *s = find_statement(c, statement);
	uint64_t binary;

	read_bytes(&r, 2u * n_formats);
	n_values = read_u16(&r);
	for (unsigned i = 0; i < n_values && !r.bad; i++) {
		uint32_t len = read_u32(&r);

		if (len != UINT32_MAX)
			read_bytes(&r, len);
	}
	if (!read_formats(&r, &binary) || !is_whole(&r))
		malformed(c);
	else if (!s)
		refuse_extended(c, "26000", "prepared statement \"%s\" does not exist", statement);
	else if (n_values)
		refuse_extended(c, "08P01", "the console's commands take no parameters");
	else
		add_portal(c, portal, s, binary);
}

static void describe_statement(struct console_client *c, const struct console_statement *s)
{
	struct writer w = { 0 };

	msg_begin(&w, MSG_PARAMETER_DESCRIPTION);
	write_u16(&w, 0);
	msg_end(&w);
	client_send(c, &w);
	writer_free(&w);
	describe_command(c, &s->command, 0);
}

static void on_describe(struct console_client *c, struct reader r)
{
	uint8_t kind = read_u8(&r);
	const char *name = read_cstring(&r);
	const struct console_statement *s = kind == 'S' ? find_statement(c, name) : NULL;
	const struct console_portal *p = kind == 'P' ? find_portal(c, name) : NULL;

	if (!is_whole(&r) || (kind != 'S' && kind != 'P'))
		malformed(c);
	else if (s)
		describe_statement(c, s);
	else if (p)
		describe_command(c, &p->command, p->binary);
	else if (kind == 'S')
		refuse_extended(c, "26000", "prepared statement \"%s\" does not exist", name);
	else
		refuse_extended(c, "34000", "portal \"%s\" does not exist", name);
}

static void on_execute(struct console_client *c, struct reader r)
{
	const char *name = read_cstring(&r);
	uint32_t max_rows = read_u32(&r);
	struct console_portal *p = find_portal(c, name);

	if (!is_whole(&r)) {
		malformed(c);
	} else if (!p) {
		refuse_extended(c, "34000", "portal \"%s\" does not exist", name);
	} else if (!p->command.spec) {
		send_empty_message(c, MSG_EMPTY_QUERY_RESPONSE);
	} else if (p->is_run) {
		send_portal(c, p, max_rows);
	} else {
		c->max_rows = max_rows;
		run(c, &p->command, p);
	}
}

static void on_close(struct console_client *c, struct reader r)
{
	uint8_t kind = read_u8(&r);
	const char *name = read_cstring(&r);

	if (!is_whole(&r) || (kind != 'S' && kind != 'P')) {
		malformed(c);
		return;
	}
	if (kind == 'S')
		free_statement(&c->statements, find_statement(c, name));
	else
		free_portal(&c->portals, find_portal(c, name));
	send_empty_message(c, MSG_CLOSE_COMPLETE);
}

static void on_sync(struct console_client *c, struct reader r)
{
	(void)r;
	end_portals(c);
	if (c->state == CONSOLE_SKIPPING)
		console_set_state(c, CONSOLE_READY);
	send_ready(c);
}

static void on_nothing(struct console_client *c, struct reader r)
{
	(void)c, (void)r; /* Flush: nothing is held back. COPY's messages outside COPY: PostgreSQL ignores them, too */
}

static void on_function_call(struct console_client *c, struct reader r)
{
	(void)r;
	refuse(c, true, "0A000", "the console has no functions to call", NULL);
}

static void on_terminate(struct console_client *c, struct reader r)
{
	(void)r;
	client_leave(c, "client close request");
}

static const struct handler {
	void (*ready)(struct console_client *c, struct reader body);
	bool while_skipping; /* the same there; else ignored */
} handlers[128] = {
	[MSG_QUERY] = { on_query, false },
	[MSG_PARSE] = { on_parse, false },
	[MSG_BIND] = { on_bind, false },
	[MSG_DESCRIBE] = { on_describe, false },
	[MSG_EXECUTE] = { on_execute, false },
	[MSG_CLOSE] = { on_close, false },
	[MSG_SYNC] = { on_sync, true },
	[MSG_FLUSH] = { on_nothing, true },
	[MSG_COPY_DATA] = { on_nothing, true },
	[MSG_COPY_DONE] = { on_nothing, true },
	[MSG_COPY_FAIL] = { on_nothing, true },
	[MSG_FUNCTION_CALL] = { on_function_call, false },
	[MSG_TERMINATE] = { on_terminate, true },
};

static void on_message(struct console_client *c, uint8_t type, struct reader body)
{
	const struct handler *h = type < N_ELEMENTS(handlers) ? &handlers[type] : NULL;
	char message[64];

	if (!h || !h->ready) {
		snprintf(message, sizeof(message), "invalid frontend message type %d", type);
		client_fatal_error(c, "08P01", message);
	} else if (c->state == CONSOLE_READY || h->while_skipping) {
		h->ready(c, body);
	}
}

static bool may_go_on(const struct console_client *c)
{
	return (c->state == CONSOLE_READY || c->state == CONSOLE_SKIPPING) &&
		stream_backlog(&c->stream) <= BACKLOG_MAX;
}

size_t console_data(struct stream *st, const uint8_t *bytes, size_t len)
{
	struct console_client *c = CONTAINER_OF(st, struct console_client, stream);
	size_t pos = 0;

	loop_assert_own(c->console->host.loop);
	while (may_go_on(c)) {
		struct reader r = reader_over(bytes + pos, len - pos);
		struct frame f;
		enum result res = frame_peek(&r, &f);

		if (res == RES_MORE)
			return pos;
		if (res != RES_OK || f.length > CONSOLE_MESSAGE_MAX) {
			client_fatal_error(c, "08P01", "invalid message length");
			return len;
		}
		if (f.length > len - pos)
			return pos;
		pos += f.length;
		c->console->counters.received += f.length;
		on_message(c, f.type,
			reader_over(bytes + pos - f.length + FRAME_HEADER_SIZE, f.length - FRAME_HEADER_SIZE));
	}
	if (c->state == CONSOLE_CLOSING)
		return len;
	stream_pause(st); /* until it has its answer, or has read what it got */
	return pos;
}
