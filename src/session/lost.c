#include "session/lost.h"

#include "wire/msg.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ENDING_TEXT_MAX 1024

/* ---- the moment itself ---- */

/* What the client is owed for requests that the server took with it: an error and a ReadyForQuery for each. */
struct debts {
	struct client *c;
	const struct error_info *e;
	uint8_t tx_status; /* for the ReadyForQuerys: failed if a block was open */
	size_t n_ready;	   /* so many are still to come */
	bool ends_block;   /* .. and the last of them is for a COMMIT or the like */
	bool is_told;	   /* the batch in hand has had its error */
	struct writer w;
};

static void tell(struct debts *d)
{
	if (!d->is_told)
		write_error(&d->w, d->e);
	d->is_told = true;
}

static bool wants_ready(const struct pending_entry *e)
{
	return !e->is_ours &&
		(e->type == PEND_QUERY || e->type == PEND_FUNCTION || e->type == PEND_SYNC ||
			(e->type == PEND_LOCAL && e->detail >= LOCAL_DEALLOCATE &&
				e->detail < LOCAL_ASK_FIRST + LOCAL_ASK_QUERIES));
}

static void count_ready(void *ctx, struct pending_entry *e)
{
	((struct debts *)ctx)->n_ready += wants_ready(e);
}

static void settle(void *ctx, struct pending_entry *e)
{
	struct debts *d = ctx;

	if (e->is_ours || e->type == PEND_COPY_DATA || e->type == PEND_COPY_END)
		return;
	tell(d);
	if (wants_ready(e)) {
		d->n_ready--;
		write_ready_for_query(&d->w, d->ends_block && !d->n_ready ? TX_IDLE : d->tx_status);
		d->is_told = false;
	}
}

/* True if the client waits for something, or is in the middle of a batch. */
static bool owes_or_is_owed(const struct server *s)
{
	return s->pending.count || s->pending.is_batch_open || s->pending.is_skipping || s->is_error_due;
}

static void settle_debts(struct client *c, struct server *s, const struct error_info *e, bool in_block)
{
	struct debts d = { .c = c, .e = e, .tx_status = in_block ? TX_FAILED : TX_IDLE, .ends_block = c->ends_block };
	bool is_batch_left;

	if (s->is_error_due)
		tell(&d);
	else if (s->pending.is_skipping)
		d.is_told = true; /* by the server itself, before it went */
	is_batch_left = s->pending.is_batch_open || s->pending.is_skipping;
	pending_each(&s->pending, count_ready, &d);
	pending_each(&s->pending, settle, &d);
	if (is_batch_left) {
		tell(&d);
		c->discard = DISCARD_TO_SYNC;
	}
	if (c->gather) {
		gather_flush(c->gather);
		c->gather = NULL;
	}
	stream_send_bytes(&c->stream, d.w.data, d.w.len);
	writer_free(&d.w);
}

static void forget_why(struct client *c)
{
	free(c->lost_why);
	c->lost_why = NULL;
	c->is_reclaimed = false;
}

/* What it has set or holds there went with the server: it may not go on as if it still had that. */
static bool has_lost_state(const struct client *c, const struct server *s)
{
	return c->mode == POOL_SESSION || c->pins || c->has_loaded || c->is_unasked || s->state == SERVER_PROBING;
}

/* It has no server any more, and what is left of its message is skipped. */
static void go_on(struct client *c, bool in_block)
{
	c->body_to = BODY_DISCARD;
	c->is_ending = c->is_forgetting = c->is_stalled = false;
	c->is_stateful = c->is_opaque = c->is_unasked = c->has_loaded = false; /* all of that was the server's */
	c->idle_since = c->worker->loop.now;
	c->probe_tries = 0;
	client_forget_only_setting(c);
	settings_unref(&c->custom_names);
	client_set_state(c, in_block ? CLIENT_TX_LOST : CLIENT_IDLE);
	c->pauses &= (uint8_t)~PAUSE_STATE;
	client_unpause(c, PAUSE_BACKLOG);
	client_unpause(c, PAUSE_FULL);
	client_unpause(c, PAUSE_BARRIER);
	client_unpause(c, PAUSE_PROBE);
	client_unpause(c, PAUSE_PINS);
}

static void lose_while_active(struct client *c, struct server *s, const struct error_info *e)
{
	bool in_block = s->pending.tx_status != TX_IDLE;

	if (s->body_left && s->body_pass) { /* it would read the bytes of an error as data */
		client_close(c, "server closed the connection in the middle of a message");
		return;
	}
	/* As on a direct connection. (Between transactions, with nothing due, it has lost nothing and goes on.) */
	if (has_lost_state(c, s) || (!owes_or_is_owed(s) && (in_block || c->is_stateful))) {
		client_end(c, c->mode == POOL_SESSION && s->has_failed ? NULL : e); /* there its FATAL was passed on */
		return;
	}
	settle_debts(c, s, e, in_block);
	in_block = in_block && !(c->ends_block && owes_or_is_owed(s));
	pending_clear(&s->pending); /* while the link stands: names of statements that were never prepared are free again */
	go_on(c, in_block);
}

void client_on_lost(struct server *s, const struct error_info *e)
{
	struct client *c = s->client;

	c->server = NULL;
	if (c->out)
		c->out->n = 0; /* nowhere to go */
	if (!c->is_greeted) { /* its startup's values were being looked at: then they will be at their first use */
		client_greet(c);
		return;
	}
	if (!c->has_sent) { /* not a byte of the client's was sent: another server will do */
		client_set_state(c, CLIENT_IDLE);
		client_unpause(c, PAUSE_STATE);
		client_get_server(c);
		return;
	}
	lose_while_active(c, s, e);
}

/* The server will still answer it, to nobody; what the client thought would come of it doesn't. */
static void disown(void *ctx, struct pending_entry *e)
{
	struct server *s = ctx;
	struct prepared_note *note = e->ref;

	s->link->dropped(s, e);
	if (note)
		note->name = NULL;
	if (e->type != PEND_LOCAL)
		e->detail = 0;
}

#define RECLAIMED "25P03" /* idle_in_transaction_session_timeout */

void lost_reclaim(struct client *c, const char *sqlstate, char *why)
{
	struct server *s = c->server;
	bool in_block = s->pending.tx_status != TX_IDLE, is_cut = client_leaves_half(c);
	struct error_info e = { .severity = "ERROR", .sqlstate = sqlstate, .message = why };

	if (!in_block && s->pending.count)
		e.detail = "Whether what it had asked for was carried out isn't known.";
	settle_debts(c, s, &e, in_block);
	in_block = in_block && !(c->ends_block && owes_or_is_owed(s));
	pending_each_back(&s->pending, disown, s);
	s->is_touched = s->is_touched || c->is_stateful;
	c->server = NULL;
	if (s->stream.is_paused)
		stream_resume(&s->stream);
	server_unlink(s, is_cut);
	go_on(c, in_block);
	forget_why(c);
	c->is_reclaimed = strcmp(sqlstate, RECLAIMED) == 0;
	c->lost_why = why;
	if (!in_block)
		forget_why(c);
}

/* ---- afterwards ---- */

/* NULL: it has no end. */
static const char *skip_comment(const char *s, const char *end)
{
	int depth = 0;

	if (s[1] == '-') {
		while (s < end && *s != '\n')
			s++;
		return s;
	}
	do { /* they nest */
		if (end - s < 2)
			return NULL;
		if (s[0] == '/' && s[1] == '*')
			depth++, s += 2;
		else if (s[0] == '*' && s[1] == '/')
			depth--, s += 2;
		else
			s++;
	} while (depth);
	return s;
}

static const char *skip_blanks(const char *s, const char *end)
{
	const char *next = s;

	while (next && next < end) {
		s = next;
		if (isspace((unsigned char)*s))
			next = s + 1;
		else if (end - s >= 2 && (memcmp(s, "--", 2) == 0 || memcmp(s, "/*", 2) == 0))
			next = skip_comment(s, end);
		else
			return s;
	}
	return next ? next : s;
}

static bool take_word(const char **s, const char *end, const char *word)
{
	size_t n = strlen(word);
	const char *p = skip_blanks(*s, end);

	if ((size_t)(end - p) < n || strncasecmp(p, word, n) != 0 ||
		(p + n < end && (isalnum((unsigned char)p[n]) || p[n] == '_')))
		return false;
	*s = p + n;
	return true;
}

/* ROLLBACK, ABORT, COMMIT, END [WORK | TRANSACTION]; not ROLLBACK TO, not .. AND CHAIN, not .. PREPARED. */
static bool is_end(const char *sql, size_t len)
{
	const char *end = sql + len;

	if (!take_word(&sql, end, "rollback") && !take_word(&sql, end, "commit") &&
		!take_word(&sql, end, "abort") && !take_word(&sql, end, "end"))
		return false;
	if (!take_word(&sql, end, "work"))
		take_word(&sql, end, "transaction");
	sql = skip_blanks(sql, end);
	if (sql < end && *sql == ';')
		sql = skip_blanks(sql + 1, end);
	return sql == end;
}

bool lost_would_end(const struct client *c, const char *sql, size_t len)
{
	return c->server->pending.tx_status != TX_IDLE && len <= ENDING_TEXT_MAX &&
		is_end(sql, strnlen(sql, len));
}

static bool is_empty(const char *sql, size_t len)
{
	const char *end = sql + len;

	while ((sql = skip_blanks(sql, end)) < end && *sql == ';')
		sql++;
	return sql == end;
}

static void refuse_statement(struct client *c)
{
	struct error_info e = { .severity = "ERROR",
		.sqlstate = "25P02",
		.message = "current transaction is aborted, commands ignored until end of transaction block",
		.detail = "The server connection was lost in the middle of the transaction." };

	if (c->is_reclaimed)
		e = (struct error_info){ .severity = "ERROR",
			.sqlstate = RECLAIMED,
			.message = c->lost_why,
			.hint = "Say ROLLBACK, then run the transaction again on this connection." };
	else if (c->lost_why)
		e.detail = c->lost_why;
	client_error(c, &e);
}

static void end_transaction(struct client *c)
{
	struct writer w = { 0 };

	write_command_complete(&w, "ROLLBACK");
	stream_send_bytes(&c->stream, w.data, w.len);
	writer_free(&w);
	forget_why(c);
	client_set_state(c, CLIENT_IDLE);
}

static void answer_empty(struct client *c, uint8_t type)
{
	uint8_t m[5] = { type, 0, 0, 0, 4 };

	stream_send_bytes(&c->stream, m, sizeof(m));
}

static enum step fail_batch(struct client *c)
{
	refuse_statement(c);
	c->discard = DISCARD_TO_SYNC;
	return STEP_TAKEN;
}

static const char *text_of(struct client *c, const char *name)
{
	struct client_statement *cs = *name ? client_statements_find(&c->statements, name) : NULL;
	struct statement *st = *name ? (cs ? cs->statement : NULL) : c->unnamed;

	return st ? (const char *)st->body : "";
}

static enum step lost_query(struct client *c, const struct message_in *m, size_t len)
{
	const char *sql = (const char *)m->bytes + FRAME_HEADER_SIZE;

	len = strnlen(sql, len);
	if (is_end(sql, len))
		end_transaction(c);
	else if (is_empty(sql, len))
		answer_empty(c, MSG_EMPTY_QUERY_RESPONSE);
	else
		refuse_statement(c);
	client_ready(c);
	return STEP_TAKEN;
}

/* Drivers may end the transaction by Parse, Bind, Execute, or by Bind of a statement they have prepared long ago. */
static enum step lost_parse(struct client *c, struct reader r)
{
	const char *name = read_cstring(&r), *sql = read_cstring(&r);
	struct client_statement *cs;
	struct statement *st;

	if (r.bad || !is_end(sql, strlen(sql)) || client_statements_find(&c->statements, name))
		return fail_batch(c);
	st = statement_intern(&c->worker->statements, (const uint8_t *)sql,
		(size_t)(r.end - (const uint8_t *)sql), c->context);
	if (*name) {
		cs = client_statement_new(name, st);
		cs->is_confirmed = true;
		client_statements_add(&c->statements, cs);
	} else {
		statement_unref(&c->unnamed);
		statement_unref(&c->unnamed_kept);
		c->unnamed = statement_ref(st);
		c->unnamed_kept = statement_ref(st);
	}
	statement_unref(&st);
	answer_empty(c, MSG_PARSE_COMPLETE);
	return STEP_TAKEN;
}

static enum step lost_bind(struct client *c, struct reader r)
{
	const char *sql;

	read_cstring(&r);
	sql = text_of(c, read_cstring(&r));
	c->is_ending = !r.bad && is_end(sql, strlen(sql));
	if (!c->is_ending)
		return fail_batch(c);
	answer_empty(c, MSG_BIND_COMPLETE);
	return STEP_TAKEN;
}

static enum step lost_execute(struct client *c)
{
	if (!c->is_ending)
		return fail_batch(c);
	end_transaction(c);
	c->is_ending = false;
	return STEP_TAKEN;
}

static enum step lost_describe(struct client *c, struct reader r)
{
	if (read_u8(&r) == 'S')
		stream_send_bytes(&c->stream, "t\0\0\0\6\0\0", 7);
	answer_empty(c, MSG_NO_DATA);
	return STEP_TAKEN;
}

static enum step lost_close(struct client *c, struct reader r)
{
	bool is_statement = read_u8(&r) == 'S';
	struct client_statement *cs =
		is_statement ? client_statements_find(&c->statements, read_cstring(&r)) : NULL;

	if (cs) {
		client_statements_remove(&c->statements, cs);
		client_statement_free(&cs);
	}
	answer_empty(c, MSG_CLOSE_COMPLETE);
	return STEP_TAKEN;
}

enum step lost_request(struct client *c, struct message_in *m)
{
	size_t have = MIN((size_t)m->frame.length, m->avail), len;
	struct reader body;

	if (have < m->frame.length && m->frame.length <= ENDING_TEXT_MAX)
		return STEP_MORE;
	len = have - FRAME_HEADER_SIZE;
	body = reader_over(m->bytes + FRAME_HEADER_SIZE, len);
	c->body_to = BODY_DISCARD;
	switch (m->frame.type) {
	case MSG_QUERY: return lost_query(c, m, len);
	case MSG_PARSE: return lost_parse(c, body);
	case MSG_BIND: return lost_bind(c, body);
	case MSG_EXECUTE: return lost_execute(c);
	case MSG_DESCRIBE: return lost_describe(c, body);
	case MSG_CLOSE: return lost_close(c, body);
	case MSG_FUNCTION_CALL:
		refuse_statement(c);
		client_ready(c);
		return STEP_TAKEN;
	case MSG_SYNC: client_ready(c); return STEP_TAKEN;
	default: return STEP_TAKEN; /* Flush, and what is left of a COPY */
	}
}
