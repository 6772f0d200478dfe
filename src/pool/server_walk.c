/* server_walk.c - what a server says, message by message: whose it is, and what it tells of the server itself. */
#include "pool/server.h"
#include "wire/msg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_NEEDED_MAX 65536 /* a longer message is passed on unread */

void server_undo_parse(struct server *s, const struct prepared_note *note)
{
	if (!note || note->is_unnamed)
		s->has_unnamed = false;
	else if (note->adds)
		server_statements_remove(&s->statements, note->id);
}

static void confirm_parse(struct server *s, const struct prepared_note *note)
{
	if (!note || note->is_unnamed)
		s->is_unnamed_confirmed = true;
	else if (note->adds)
		server_statements_confirm(&s->statements, note->id, note->number);
}

static void desync(struct server *s, const char *what)
{
	server_lost(s, "08P01", what);
}

static bool needs_body(const struct server *s, uint8_t type)
{
	switch (type) {
	case MSG_DATA_ROW: return s->state == SERVER_PROBING || s->asks;
	case MSG_READY_FOR_QUERY:
	case MSG_PARAMETER_DESCRIPTION:
	case MSG_ROW_DESCRIPTION:
	case MSG_COMMAND_COMPLETE:
	case MSG_ERROR_RESPONSE:
	case MSG_PARAMETER_STATUS: return true;
	default: return false;
	}
}

static void take_parameter(struct server *s, struct reader r)
{
	const char *name = read_cstring(&r), *value = read_cstring(&r);

	if (!r.bad && settings_put(&s->reported, name, value) != RES_OK)
		s->close_reason = "too many parameters";
	if (strcmp(name, "in_hot_standby") == 0) /* promoted */
		server_doubt_role(s);
}

/* Also what may run anything inside. A function that a SELECT calls isn't seen: see prepared.h. */
static bool changes_schema(const char *tag)
{
	static const char *const words[] = { "CREATE ", "ALTER ", "DROP ", "DO", "CALL", "IMPORT ", "SELECT INTO" };

	for (size_t i = 0; i < N_ELEMENTS(words); i++)
		if (*tag == *words[i] && strncmp(tag, words[i], strlen(words[i])) == 0)
			return true;
	return false;
}

static void note_schema(struct server *s)
{
	atomic_fetch_add_explicit(&s->pool->shared->by_database->schema, 1, memory_order_relaxed);
}

static void take_tag(struct server *s, struct reader r)
{
	const char *tag = read_cstring(&r);

	if (changes_schema(tag)) {
		note_schema(s);
		s->has_ddl = true;
	}
	if (tag[0] != 'D')
		return;
	if (strcmp(tag, "DISCARD ALL") == 0) {
		server_statements_clear(&s->statements, true);
		settings_unref(&s->settings);
		s->has_unknown_settings = s->has_foreign_sequences = false;
		s->opaque_client = 0;
		s->has_unnamed = false;
	} else if (strcmp(tag, "DISCARD SEQUENCES") == 0) {
		s->has_foreign_sequences = false;
	} else if (strcmp(tag, "DEALLOCATE ALL") == 0) {
		server_statements_clear(&s->statements, true);
	}
}

static void take_error(struct server *s, const struct server_message *m)
{
	struct error_info e;

	if (!m->body)
		return;
	error_parse(reader_over(m->body, m->body_len), &e);
	if (strcmp(e.severity, "FATAL") == 0 || strcmp(e.severity, "PANIC") == 0 ||
		(m->verdict == PENDING_OURS && (s->state != SERVER_ACTIVE || s->pool->shared->is_own))) {
		snprintf(s->our_sqlstate, sizeof(s->our_sqlstate), "%s", *e.sqlstate ? e.sqlstate : "XX000");
		snprintf(s->our_message, sizeof(s->our_message), "%s", e.message);
		snprintf(s->our_detail, sizeof(s->our_detail), "%s", e.detail);
		snprintf(s->our_hint, sizeof(s->our_hint), "%s", e.hint);
		s->has_failed = true;
	}
	if (strcmp(e.sqlstate, "25006") == 0) /* it may be a standby by now; or the client itself has said READ ONLY */
		server_doubt_role(s);
	/*
	 * A statement whose result type has changed fails for ever, as on a direct connection; who prepares it after that gets a new
	 * one. One that a function has deallocated is prepared anew at the next use.
	 */
	if (strcmp(e.sqlstate, "0A000") == 0 && strcmp(e.routine, "RevalidateCachedQuery") == 0)
		note_schema(s);
	else if (strcmp(e.sqlstate, "26000") == 0 && m->verdict == PENDING_CLIENT && strstr(e.message, "pgweir_"))
		server_statements_expire(&s->statements);
}

static void take_note(struct server *s, const struct server_message *m)
{
	if (m->frame.type == MSG_PARAMETER_STATUS && m->body)
		take_parameter(s, reader_over(m->body, m->body_len));
	else if (m->frame.type == MSG_COMMAND_COMPLETE && m->body)
		take_tag(s, reader_over(m->body, m->body_len));
	else if (m->frame.type == MSG_ERROR_RESPONSE)
		take_error(s, m);
}

/* Also at the end of a chunk: nothing more may come from the server until they are given. */
static void give_locals(struct server *s, const struct server_walk *walk, void *ctx)
{
	struct pending_entry local;

	while (!s->body_left && pending_pop_local(&s->pending, &local))
		walk->local(s, &local, ctx);
}

/* One message whose header is here, and its body if it's needed. False: the server is gone. */
static bool take_message(struct server *s, struct server_message *m, const struct server_walk *walk, void *ctx)
{
	uint8_t tx_status = m->body && m->body_len == 1 ? m->body[0] : 0;

	give_locals(s, walk, ctx);
	m->verdict = pending_answer(&s->pending, m->frame.type, tx_status, &m->popped);
	if (m->verdict == PENDING_DESYNC) {
		desync(s, "unexpected message from the server");
		return false;
	}
	take_note(s, m);
	if (tx_status == TX_IDLE && s->has_ddl && m->frame.type == MSG_READY_FOR_QUERY) {
		s->has_ddl = false;
		note_schema(s);
	}
	if (m->popped.type == PEND_PARSE && m->frame.type == MSG_PARSE_COMPLETE)
		confirm_parse(s, m->popped.ref);
	if (m->popped.type == PEND_PARSE && m->frame.type == MSG_ERROR_RESPONSE)
		server_undo_parse(s, m->popped.ref);
	if (m->frame.type == MSG_PARAMETER_DESCRIPTION || m->popped.type == PEND_DESCRIBE)
		server_take_shape(s, m);
	s->body_pass = walk->message(s, m, ctx);
	return s->state != SERVER_CLOSING;
}

static bool is_row(uint8_t type)
{
	return type == MSG_DATA_ROW || type == MSG_COPY_DATA;
}

/*
 * A result is rows for the most part, and nothing is to be decided about one in the midst of the client's own: so many bytes from
 * here on are whole rows.
 */
static size_t walk_rows(
	struct server *s, const uint8_t *bytes, size_t len, const struct server_walk *walk, void *ctx)
{
	size_t n = 0;

	while (len - n >= FRAME_HEADER_SIZE && is_row(bytes[n])) {
		uint32_t size = load_be32(bytes + n + 1);

		if (size < 4 || size >= len - n) /* malformed or cut: the usual way */
			break;
		n += size + 1;
	}
	if (n)
		walk->slice(s, bytes, n, ctx);
	return n;
}

size_t server_walk(struct server *s, const uint8_t *bytes, size_t len, const struct server_walk *walk, void *ctx)
{
	size_t pos = 0;

	while (pos < len) {
		struct server_message m = { .body = NULL };
		struct reader r = reader_over(bytes + pos, len - pos);
		size_t n;

		if (!s->body_left && s->state == SERVER_ACTIVE && is_row(bytes[pos]) &&
			pending_passes_rows(&s->pending) &&
			(n = walk_rows(s, bytes + pos, len - pos, walk, ctx)) > 0) {
			pos += n;
			continue;
		}

		if (s->body_left) {
			n = MIN(s->body_left, len - pos);
			if (s->body_pass)
				walk->slice(s, bytes + pos, n, ctx);
			s->body_left -= n;
			pos += n;
			continue;
		}
		switch (frame_peek(&r, &m.frame)) {
		case RES_OK: break;
		case RES_MORE: return pos;
		case RES_PROTOCOL:
		case RES_LIMIT:
		case RES_REFUSED:
		case RES_SYSTEM: desync(s, "invalid message length from the server"); return len;
		}
		if (needs_body(s, m.frame.type) && m.frame.length <= BODY_NEEDED_MAX) {
			if (m.frame.length > len - pos)
				return pos;
			m.body = bytes + pos + FRAME_HEADER_SIZE;
			m.body_len = m.frame.length - FRAME_HEADER_SIZE;
		}
		if (!take_message(s, &m, walk, ctx))
			return len;
		n = MIN(m.frame.length, len - pos);
		if (s->body_pass)
			walk->slice(s, bytes + pos, n, ctx);
		s->body_left = m.frame.length - n;
		pos += n;
	}
	give_locals(s, walk, ctx);
	return pos;
}
