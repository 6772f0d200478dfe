#include "session/slow.h"

#include "wire/msg.h"
#include "wire/sqlshape.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXT_KEPT 1024

struct slow_text {
	size_t len;
	char text[TEXT_KEPT];
};

const char *client_held_text(const struct client *c, size_t *len)
{
	struct reader r = reader_over(c->stream.held, c->stream.held_len);
	const struct client_statement *cs;
	struct frame f;
	const char *end;

	if (c->body_left || frame_peek(&r, &f) != RES_OK)
		return NULL;
	r = reader_over(c->stream.held, MIN(c->stream.held_len, f.length));
	read_bytes(&r, FRAME_HEADER_SIZE);
	if (f.type == MSG_PARSE || f.type == MSG_BIND)
		read_cstring(&r);
	if (f.type == MSG_BIND) {
		const char *name = read_cstring(&r);
		const struct statement *st;

		cs = r.bad || !c->is_tracked ? NULL : client_statements_find(&c->statements, name);
		st = cs ? cs->statement : r.bad || *name ? NULL : c->unnamed;
		*len = st ? strnlen((const char *)st->body, st->len) : 0;
		return st ? (const char *)st->body : NULL;
	}
	if (r.bad || (f.type != MSG_QUERY && f.type != MSG_PARSE))
		return NULL;
	end = memchr(r.pos, '\0', reader_left(&r));
	*len = end ? (size_t)(end - (const char *)r.pos) : reader_left(&r);
	return (const char *)r.pos;
}

/* It begins, ends or divides a transaction: who looks for what was slow learns nothing from that. */
static bool is_control(const char *text, size_t len)
{
	static const char *const words[] = { "begin", "start", "commit", "end", "rollback", "abort",
		"savepoint", "release" };
	const char *end = text + len;

	while (text < end && isspace((unsigned char)*text))
		text++;
	for (size_t i = 0; i < N_ELEMENTS(words); i++) {
		size_t n = strlen(words[i]);

		if ((size_t)(end - text) >= n && strncasecmp(text, words[i], n) == 0 &&
			((size_t)(end - text) == n || !isalnum((unsigned char)text[n])))
			return true;
	}
	return false;
}

void slow_note(struct client *c, const void *text, size_t len)
{
	if (!c->worker->config->log_min_duration_transaction ||
		(c->slow_text && c->slow_text->len && is_control(text, len)))
		return;
	if (!c->slow_text)
		c->slow_text = xmalloc(sizeof(*c->slow_text));
	c->slow_text->len = strnlen(text, MIN(len, TEXT_KEPT));
	memcpy(c->slow_text->text, text, c->slow_text->len);
}

void slow_forget(struct client *c)
{
	free(c->slow_text);
	c->slow_text = NULL;
}

static void log_slow(struct client *c, const char *what, usec_t took, const char *text, size_t len)
{
	char shape[SQL_SHAPE_SIZE] = "", addr[ADDRESS_TEXT_MAX], others[64] = "";
	uint64_t print = text ? sql_shape(text, len, shape, sizeof(shape)) : 0, held_back;
	struct log_who who;

	if (!repeats_pass(&c->worker->slow_repeats, print ^ (uint64_t)*what, c->worker->loop.now, &held_back))
		return;
	if (held_back)
		snprintf(others, sizeof(others), " (repeated %llu times since the last)",
			(unsigned long long)held_back);
	client_describe(c, &who, addr);
	if (text)
		log_info(&who, "slow %s: %.3f s, statement %016llx%s: %s", what, (double)took / USEC_PER_SEC,
			(unsigned long long)print, others, shape);
	else
		log_info(&who, "slow %s: %.3f s%s", what, (double)took / USEC_PER_SEC, others);
}

void slow_transaction(struct client *c, usec_t took)
{
	usec_t limit = c->worker->config->log_min_duration_transaction;
	struct slow_text *t = c->slow_text;

	if (limit && took >= limit)
		log_slow(c, "transaction", took, t && t->len ? t->text : NULL, t ? t->len : 0);
	if (t)
		t->len = 0;
}

void slow_wait(struct client *c, usec_t waited)
{
	usec_t limit = c->worker->config->log_min_duration_wait;
	const char *text;
	size_t len = 0;

	if (!limit || waited < limit)
		return;
	text = client_held_text(c, &len);
	log_slow(c, "wait", waited, text, len);
}
