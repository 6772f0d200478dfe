#include "pool/cancel.h"

#include "wire/msg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CALLERS_MAX 16

struct cancel {
	struct stream stream;
	struct doomed doomed;
	struct list_node node; /* in worker->cancels */
	struct worker *worker;
	struct server *target; /* NULL: it's gone */
	uint64_t lending;      /* of the target, when the order came */
	bool is_own, is_sent, is_over;
	bool is_asking; /* the SSLRequest is sent */
	struct caller {
		int fd;
		struct tls *tls;
	} callers[CALLERS_MAX];
	int n_callers;
	usec_t deadline;
};

static void free_cancel(struct doomed *d)
{
	free(CONTAINER_OF(d, struct cancel, doomed));
}

static void finish(struct cancel *c)
{
	struct server *target = c->target;

	if (c->is_over)
		return;
	c->is_over = true;
	c->target = NULL;
	stream_close(&c->stream);
	for (int i = 0; i < c->n_callers; i++)
		stream_hang_up(c->callers[i].fd, &c->callers[i].tls);
	list_remove(&c->worker->cancels, &c->node);
	loop_doom(&c->worker->loop, &c->doomed);
	if (target)
		server_cancel_done(target);
}

/* Is what was to be cancelled still what the server is doing? */
static bool is_still_meant(const struct cancel *c)
{
	struct server *s = c->target;

	if (!s || s->lending != c->lending || !s->pending.count)
		return false;
	return s->state == (c->is_own ? SERVER_CLEANING : SERVER_ACTIVE);
}

static void send_request(struct cancel *c)
{
	struct writer w = { 0 };

	if (!is_still_meant(c)) {
		finish(c);
		return;
	}
	msg_begin(&w, 0);
	write_u32(&w, CANCEL_REQUEST_CODE);
	write_u32(&w, c->target->cancel_pid);
	write_bytes(&w, c->target->cancel_secret, c->target->cancel_secret_len);
	msg_end(&w);
	stream_send_bytes(&c->stream, w.data, w.len);
	writer_free(&w);
	c->is_sent = true;
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

	if (tls_is_up(st->tls) && !c->is_sent)
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

static void start(struct server *s, int fd, struct tls **tls, bool is_own)
{
	struct worker *w = s->pool->worker;
	const struct config *conf = w->config;
	struct tcp_options tcp = { .keepalive = conf->tcp_keepalive };
	struct cancel *c;
	bool in_progress;
	int sock;

	if (s->cancel) {
		add_caller(s->cancel, fd, tls);
		return;
	}
	sock = s->has_cancel_key ? socket_connect(&s->address, &tcp, &in_progress) : -1;
	if (sock < 0) {
		if (fd >= 0)
			stream_hang_up(fd, tls);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->worker = w;
	c->target = s;
	c->lending = s->lending;
	c->is_own = is_own;
	c->doomed.free = free_cancel;
	c->deadline = w->loop.now + conf->cancel_wait_timeout;
	add_caller(c, fd, tls);
	s->cancel = c;
	list_push_back(&w->cancels, &c->node);
	stream_init(&c->stream, &ops, sock, true);
	c->stream.is_connecting = in_progress;
	stream_attach(&c->stream, &w->loop);
	if (!in_progress)
		on_connected(&c->stream);
	worker_tick_fast(w);
}

void cancel_start(struct server *s, int fd, struct tls **tls)
{
	start(s, fd, tls, false);
}

void cancel_start_own(struct server *s)
{
	struct tls *none = NULL;

	start(s, -1, &none, true);
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
		if (!c->deadline || w->loop.now < c->deadline)
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
