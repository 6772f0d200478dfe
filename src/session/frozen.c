#include "session/frozen.h"

#include "session/lost.h"
#include "wire/sqlscan.h"

#include <stdio.h>
#include <stdlib.h>

/* What these have done stays when the transaction is rolled back, or nobody knows what they have done. */
#define LASTING                                                                                              \
	(SCAN_DISCARD | SCAN_PREPARE | SCAN_LOAD | SCAN_OPAQUE | SCAN_ADVISORY | SCAN_SUSPECT | SCAN_TRUNCATED)

#define REST_MAX (256 * 1024) /* of a message, kept for a client that may never read it */

static bool leaves_traces(const struct client *c)
{
	return c->pins || c->has_loaded || c->is_unasked ||
		(c->is_stateful && (c->is_opaque || (c->seen & LASTING)));
}

/* It has stopped in the middle of a message, and the server has nothing else to do. */
static bool is_cut(const struct client *c, const struct pending *p)
{
	return c->body_left && c->body_to == BODY_FORWARD && (!p->n_ready || p->count == 1);
}

/* Nothing is under way between it and the server: what comes next is its own. */
static bool owes_next(const struct client *c, struct server *s)
{
	const struct pending_entry *head = pending_head(&s->pending);

	if (c->pauses || stream_backlog(&c->stream) || stream_backlog(&s->stream) || s->body_left ||
		s->pending.is_ambiguous)
		return false;
	return (!head || s->pending.copy == COPY_IN || is_cut(c, &s->pending)) && !pending_is_idle(&s->pending);
}

static bool is_silent(const struct client *c)
{
	return c->state == CLIENT_ACTIVE && c->server->state == SERVER_ACTIVE && c->mode != POOL_SESSION &&
		!c->peer_shut_at && owes_next(c, c->server) && !leaves_traces(c);
}

static struct client *longest_silent(struct pool *p)
{
	struct client *first = NULL;

	LIST_FOREACH(&p->servers, n, next) {
		struct server *s = CONTAINER_OF(n, struct server, node);
		struct client *c = s->client;

		if (s->link == &client_link && is_silent(c) && (!first || c->idle_since < first->idle_since))
			first = c;
	}
	return first;
}

usec_t frozen_since(struct pool *p)
{
	struct client *c = longest_silent(p);

	return c ? c->idle_since : 0;
}

void frozen_reclaim(struct pool *p, const struct reclaim_cause *why)
{
	struct client *c = longest_silent(p);
	usec_t now = p->worker->loop.now;
	struct log_who who;
	char addr[ADDRESS_TEXT_MAX], *text;

	if (!c || now < c->idle_since + p->worker->config->idle_in_transaction_grace)
		return;
	text = xasprintf("the transaction was rolled back: it had been idle for %.1f s while %u client%s waited for a server "
			 "connection, for up to %.1f s",
		(double)(now - c->idle_since) / USEC_PER_SEC, why->waiting, why->waiting == 1 ? "" : "s",
		(double)why->waited / USEC_PER_SEC);
	client_describe(c, &who, addr);
	log_warning(&who, "%s", text);
	lost_reclaim(c, "25P03", text);
}

/* ---- those that don't read ---- */

static void close_stalled(struct client *c)
{
	c->server->is_unwanted = true;
	client_close(c, "client_write_timeout");
}

static void take_server(struct client *c)
{
	char *text = xasprintf("canceling statement because its result wasn't read for %g s (client_write_timeout)",
		(double)c->worker->config->client_write_timeout / USEC_PER_SEC);
	struct log_who who;
	char addr[ADDRESS_TEXT_MAX];

	client_describe(c, &who, addr);
	log_warning(&who, "%s", text);
	c->is_stalled = false;
	c->server->is_unwanted = true;
	stream_expect_silence(&c->stream); /* it costs nobody anything now, and may read on in an hour */
	lost_reclaim(c, "57014", text);
}

void frozen_stalled(struct client *c)
{
	struct server *s = c->server;

	if (c->is_stalled || s->state == SERVER_PROBING) /* soon */
		return;
	if (c->state != CLIENT_ACTIVE || c->mode == POOL_SESSION || c->peer_shut_at ||
		pending_is_idle(&s->pending) || leaves_traces(c) || s->body_left > REST_MAX) {
		close_stalled(c);
	} else if (s->body_left && s->body_pass) {
		c->is_stalled = true; /* the server's next bytes are the rest of a message: without it no other can follow */
		stream_resume(&s->stream);
	} else {
		take_server(c);
	}
}

size_t frozen_finish_message(struct client *c, const uint8_t *bytes, size_t len)
{
	struct server *s = c->server;
	size_t n = MIN(len, s->body_left);

	stream_send_bytes(&c->stream, bytes, n);
	s->body_left -= n;
	if (!s->body_left)
		take_server(c);
	return s->state == SERVER_CLOSING ? len : n;
}
