#include "pool/cancel.h"

#include "wire/msg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALLERS_MAX 16
#define CANCEL_PAUSE                                                                                         \
	(50 * USEC_PER_MSEC) /* a query that was sent has begun by then, and one that is to end has ended */

struct cancel {
	struct stream stream;
	struct doomed doomed;
	struct list_node node; /* in worker->cancels */
	struct worker *worker;
	struct server *target; /* NULL: it's gone */
	uint64_t lending;      /* of the target, when the order came */
	uint32_t n_answered;   /* .. by the target then; the newest order's */
	bool is_own, is_sent, is_over;
	bool is_second;	 /* of the same order */
	bool is_asking;	 /* the SSLRequest is sent */
	bool is_waiting; /* all is ready, but now it would hit the wrong query */
	struct caller {
		int fd;
		struct tls *tls;
	} callers[CALLERS_MAX];
	int n_callers, n_served; /* the first n_served came before it was written */
	bool is_again;		 /* an order came after that */
	usec_t deadline;
};

static void free_cancel(struct doomed *d)
{
	free(CONTAINER_OF(d, struct cancel, doomed));
}

/* Is what was to be cancelled still what the server is doing? */
static bool is_still_meant(const struct cancel *c)
{
	struct server *s = c->target;

	if (!s || s->lending != c->lending || !s->pending.count)
		return false;
	if (c->is_own)
		return s->state == SERVER_CLEANING;
	return s->state == SERVER_ACTIVE && s->pending.n_answered == c->n_answered;
}

static void follow(struct cancel *before, struct server *s);

static void repeat_later(const struct cancel *c, struct server *s)
{
	s->cancel_at = c->worker->loop.now + CANCEL_PAUSE;
	s->cancelled_answered = c->n_answered;
	worker_tick_fast(c->worker);
}

static void finish(struct cancel *c)
{
	struct server *target = c->target;
	bool is_meant = is_still_meant(c), is_again = is_meant && c->is_again;
	bool must_repeat = is_meant && c->is_sent && !c->is_own && !c->is_second;

	if (c->is_over)
		return;
	c->is_over = true;
	c->target = NULL;
	stream_close(&c->stream);
	list_remove(&c->worker->cancels, &c->node);
	loop_doom(&c->worker->loop, &c->doomed);
	if (target)
		target->cancel = NULL;
	if (is_again)
		follow(c, target);
	else if (must_repeat)
		repeat_later(c, target);
	for (int i = 0; i < c->n_callers; i++)
		stream_hang_up(c->callers[i].fd, &c->callers[i].tls);
	if (target && !target->cancel)
		server_cancel_done(target);
}

/* A short query of our own is in front of the client's: it would be hit in its place. */
static bool must_wait(struct cancel *c)
{
	const struct pending_entry *head = pending_head(&c->target->pending);

	return !c->is_own && head && head->is_ours && head->type == PEND_QUERY;
}

static void send_request(struct cancel *c)
{
	struct writer w = { 0 };

	if (!is_still_meant(c)) {
		finish(c);
		return;
	}
	c->is_waiting = must_wait(c);
	if (c->is_waiting) /* for cancel_tick() */
		return;
	msg_begin(&w, 0);
	write_u32(&w, CANCEL_REQUEST_CODE);
	write_u32(&w, c->target->cancel_pid);
	write_bytes(&w, c->target->cancel_secret, c->target->cancel_secret_len);
	msg_end(&w);
	stream_send_bytes(&c->stream, w.data, w.len);
	writer_free(&w);
	c->is_sent = true;
	c->n_served = c->n_callers;
}

/* As the server's own connection was made: the key is no less secret here. */
static void start_tls(struct cancel *c)
{
	struct tls *t = tls_connect_like(c->target->stream.tls);

	stream_start_tls(&c->stream, &t);
}

static void ask_for_tls(struct cancel *c)
{
	struct writer w = { 0 };

	msg_begin(&w, 0);
	write_u32(&w, SSL_REQUEST_CODE);
	msg_end(&w);
	stream_send_bytes(&c->stream, w.data, w.len);
	writer_free(&w);
	c->is_asking = true;
}

static void on_connected(struct stream *st)
{
	struct cancel *c = CONTAINER_OF(st, struct cancel, stream);

	if (!is_still_meant(c))
		finish(c);
	else if (!c->target->stream.tls)
		send_request(c);
	else if (c->target->is_direct_tls)
		start_tls(c);
	else
		ask_for_tls(c);
}

static void on_handshake(struct stream *st)
{
	struct cancel *c = CONTAINER_OF(st, struct cancel, stream);

	if (tls_is_up(st->tls) && !c->is_sent && !c->is_waiting)
		send_request(c);
}

static size_t on_data(struct stream *st, const uint8_t *bytes, size_t len)
{
	struct cancel *c = CONTAINER_OF(st, struct cancel, stream);

	if (!c->is_asking)
		return len; /* an error from a full server: it closes by itself */
	c->is_asking = false;
	if (len == 1 && bytes[0] == 'S' && is_still_meant(c))
		start_tls(c);
	else
		finish(c);
	return len;
}

static void on_closed(struct stream *st, enum stream_end why)
{
	(void)why;
	finish(CONTAINER_OF(st, struct cancel, stream));
}

static const struct stream_ops ops = {
	.data = on_data, .closed = on_closed, .connected = on_connected, .handshake = on_handshake
};

static void add_caller(struct cancel *c, int fd, struct tls **tls)
{
	if (fd < 0)
		return;
	if (c->n_callers == CALLERS_MAX) {
		stream_hang_up(fd, tls);
		return;
	}
	c->callers[c->n_callers++] = (struct caller){ fd, *tls };
	*tls = NULL;
}

/* NULL: it can't even start. */
static struct cancel *make(struct server *s, bool is_own)
{
	struct worker *w = s->pool->worker;
	usec_t timeout = w->config->cancel_wait_timeout;
	struct tcp_options tcp = { .keepalive = w->config->tcp_keepalive };
	struct cancel *c;
	bool in_progress;
	int sock = s->has_cancel_key ? socket_connect(&s->address, &tcp, &in_progress) : -1;

	if (sock < 0)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->worker = w;
	c->target = s;
	c->lending = s->lending;
	c->n_answered = s->pending.n_answered;
	c->is_own = is_own;
	c->doomed.free = free_cancel;
	c->deadline = timeout ? w->loop.now + timeout : 0;
	s->cancel = c;
	list_push_back(&w->cancels, &c->node);
	stream_init(&c->stream, &ops, sock, true);
	c->stream.is_connecting = in_progress;
	stream_attach(&c->stream, &w->loop);
	worker_tick_fast(w);
	return c;
}

static void begin(struct cancel *c)
{
	if (!c->stream.is_connecting)
		on_connected(&c->stream);
}

/* What the orders were for that came after it was written still runs. */
static void follow(struct cancel *before, struct server *s)
{
	struct cancel *c = make(s, false);

	if (!c)
		return;
	for (int i = before->n_served; i < before->n_callers; i++)
		c->callers[c->n_callers++] = before->callers[i];
	before->n_callers = before->n_served;
	begin(c);
}

/* For what the server does now: the request that an earlier order was for has been answered, or it is the same. */
static void join(struct cancel *c, int fd, struct tls **tls)
{
	add_caller(c, fd, tls);
	c->n_answered = c->target->pending.n_answered;
	c->is_again = c->is_sent;
}

void cancel_start(struct server *s, int fd, struct tls **tls)
{
	struct cancel *c = s->cancel;

	if (c) {
		join(c, fd, tls);
	} else if ((c = make(s, false))) {
		add_caller(c, fd, tls);
		begin(c);
	} else if (fd >= 0) {
		stream_hang_up(fd, tls);
	}
}

void cancel_repeat(struct server *s, usec_t now)
{
	struct cancel *c;

	if (!s->cancel_at || now < s->cancel_at || s->cancel)
		return;
	s->cancel_at = 0;
	if (s->state != SERVER_ACTIVE || !s->pending.count || s->pending.n_answered != s->cancelled_answered)
		return;
	c = make(s, false);
	if (!c)
		return;
	c->is_second = true;
	begin(c);
}

void cancel_start_own(struct server *s)
{
	struct cancel *c = s->cancel ? NULL : make(s, true);

	if (c)
		begin(c);
}

void cancel_target_gone(struct server *s)
{
	struct cancel *c = s->cancel;

	s->cancel = NULL;
	c->target = NULL;
	if (!c->is_sent)
		finish(c);
}

void cancel_tick(struct worker *w)
{
	LIST_FOREACH(&w->cancels, n, next) {
		struct cancel *c = CONTAINER_OF(n, struct cancel, node);

		w->tick_every = MIN(w->tick_every, 50 * USEC_PER_MSEC);
		if (c->is_waiting)
			send_request(c);
		if (c->is_over || !c->deadline || w->loop.now < c->deadline)
			continue;
		if (c->is_sent && c->target) /* it may still arrive, and then hit somebody else */
			c->target->close_reason = "a cancel on its way to it took too long";
		finish(c);
	}
}

void cancel_close_all(struct worker *w)
{
	LIST_FOREACH(&w->cancels, n, next)
		finish(CONTAINER_OF(n, struct cancel, node));
}
