#include "pool/peer.h"

#include "base/log.h"
#include "wire/msg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAITING_MAX 1000 /* over all peers */

enum forward_state {
	FORWARD_WAITING,    /* the peer has pool_size of them already */
	FORWARD_RESOLVING,  /* its name has been asked for */
	FORWARD_CONNECTING, /* .. */
	FORWARD_SENT,	    /* the other process closes it when it's done */
};

struct resolving { /* with the resolver; comes back in any case */
	struct resolve_request request;
	struct forward *forward; /* NULL: it's over */
};

struct forward {
	struct stream stream;
	struct doomed doomed;
	struct list_node node; /* in peers->forwards */
	struct peers *peers;
	enum forward_state state;
	int peer_id, port, pool_size;
	char *host;
	struct cancel_key key;
	int fd; /* the caller's; -1: none */
	struct tls *tls;
	struct resolving *resolving;
	usec_t deadline; /* 0: none */
	bool is_attached;
};

struct peers {
	struct loop *loop;
	struct resolver *resolver;
	struct list forwards; /* in the order in which they came */
};

struct peers *peers_new(struct loop *l, struct resolver *r)
{
	struct peers *p = xcalloc(1, sizeof(*p));

	p->loop = l;
	p->resolver = r;
	list_init(&p->forwards);
	return p;
}

static void free_forward(struct doomed *d)
{
	free(CONTAINER_OF(d, struct forward, doomed));
}

static void start_waiting(struct peers *p, int peer_id);

static void finish(struct forward *f, const char *why)
{
	struct peers *p = f->peers;

	if (why)
		log_debug(NULL, "a cancel request could not be passed to peer %d: %s", f->peer_id, why);
	if (f->resolving)
		f->resolving->forward = NULL;
	if (f->is_attached)
		stream_close(&f->stream);
	if (f->fd >= 0)
		stream_hang_up(f->fd, &f->tls);
	free(f->host);
	f->host = NULL;
	list_remove(&p->forwards, &f->node);
	loop_doom(p->loop, &f->doomed);
	start_waiting(p, f->peer_id);
}

/* ---- its connection ---- */

static void send_request(struct forward *f)
{
	struct writer w = { 0 };

	msg_begin(&w, 0);
	write_u32(&w, CANCEL_REQUEST_CODE);
	write_u32(&w, f->key.pid);
	write_bytes(&w, f->key.secret, f->key.len);
	msg_end(&w);
	f->state = FORWARD_SENT;
	stream_send_bytes(&f->stream, w.data, w.len);
	writer_free(&w);
}

static void on_connected(struct stream *st)
{
	send_request(CONTAINER_OF(st, struct forward, stream));
}

static size_t on_data(struct stream *st, const uint8_t *bytes, size_t len)
{
	(void)st, (void)bytes;
	return len; /* nobody answers these */
}

static void on_closed(struct stream *st, enum stream_end why)
{
	struct forward *f = CONTAINER_OF(st, struct forward, stream);

	finish(f, f->state == FORWARD_SENT && why == STREAM_EOF ? NULL : strerror(st->error ? st->error : ECONNRESET));
}

static const struct stream_ops ops = { .data = on_data, .closed = on_closed, .connected = on_connected };

static void connect_to(struct forward *f, const struct address *a)
{
	const struct tcp_options none = { 0 };
	bool in_progress;
	int fd = socket_connect(a, &none, &in_progress);

	if (fd < 0) {
		finish(f, strerror(errno));
		return;
	}
	f->state = FORWARD_CONNECTING;
	stream_init(&f->stream, &ops, fd, false);
	f->stream.is_connecting = in_progress;
	f->is_attached = true;
	stream_attach(&f->stream, f->peers->loop);
	if (!in_progress)
		send_request(f);
}

static void take_answer(struct message *m, void *owner)
{
	struct resolve_request *q = CONTAINER_OF(m, struct resolve_request, message);
	struct resolving *r = CONTAINER_OF(q, struct resolving, request);
	struct forward *f = r->forward;

	(void)owner;
	if (f) {
		f->resolving = NULL;
		if (q->n_addresses)
			connect_to(f, &q->addresses[0]);
		else
			finish(f, q->error);
	}
	free(r);
}

static void discard_answer(struct message *m)
{
	free(CONTAINER_OF(CONTAINER_OF(m, struct resolve_request, message), struct resolving, request));
}

static void resolve(struct forward *f)
{
	struct resolving *r = xcalloc(1, sizeof(*r));

	r->forward = f;
	r->request.message.deliver = take_answer;
	r->request.message.discard = discard_answer;
	r->request.reply_to = &f->peers->loop->mailbox;
	r->request.port = f->port;
	snprintf(r->request.host, sizeof(r->request.host), "%s", f->host);
	f->resolving = r;
	f->state = FORWARD_RESOLVING;
	resolver_ask(f->peers->resolver, &r->request);
}

static void reach(struct forward *f)
{
	struct address a;

	if (f->host[0] == '/' || f->host[0] == '@') {
		if (address_unix(&a, f->host, f->port))
			connect_to(f, &a);
		else
			finish(f, "the path of its Unix socket is too long");
	} else if (address_numeric(&a, f->host, f->port)) {
		connect_to(f, &a);
	} else {
		resolve(f);
	}
}

/* ---- whose turn it is ---- */

static int connections(const struct peers *p, int peer_id)
{
	struct peer_counts n;

	peers_count(p, peer_id, &n);
	return n.active;
}

/* The first that waits for this peer, if it may begin now. */
static void start_waiting(struct peers *p, int peer_id)
{
	LIST_FOREACH(&p->forwards, node, next) {
		struct forward *f = CONTAINER_OF(node, struct forward, node);

		if (f->peer_id != peer_id || f->state != FORWARD_WAITING)
			continue;
		if (connections(p, peer_id) < f->pool_size)
			reach(f);
		return;
	}
}

void peers_forward(struct peers *p, const struct config *c, int peer_id, const struct cancel_key *key, int fd,
	struct tls **tls)
{
	const struct config_peer *peer = config_peer(c, peer_id);
	struct forward *f;

	if (!peer || p->forwards.count >= WAITING_MAX) {
		log_debug(NULL, "a cancel request for peer %d is dropped: %s", peer_id,
			peer ? "too many wait" : "it isn't configured");
		if (fd >= 0)
			stream_hang_up(fd, tls);
		return;
	}
	f = xcalloc(1, sizeof(*f));
	f->peers = p;
	f->doomed.free = free_forward;
	f->peer_id = peer_id;
	f->host = xstrdup(peer->host);
	f->port = peer->port;
	f->pool_size = peer->pool_size > 0 ? peer->pool_size : c->default_pool_size;
	f->key = *key;
	f->fd = fd;
	f->tls = *tls;
	*tls = NULL;
	f->deadline = c->cancel_wait_timeout ? p->loop->now + c->cancel_wait_timeout : 0;
	list_push_back(&p->forwards, &f->node);
	start_waiting(p, peer_id);
}

void peers_tick(struct peers *p)
{
	LIST_FOREACH(&p->forwards, node, next) {
		struct forward *f = CONTAINER_OF(node, struct forward, node);

		if (f->deadline && p->loop->now >= f->deadline)
			finish(f, "cancel_wait_timeout");
	}
}

void peers_count(const struct peers *p, int peer_id, struct peer_counts *out)
{
	*out = (struct peer_counts){ 0 };
	LIST_FOREACH(&p->forwards, node, next) {
		const struct forward *f = CONTAINER_OF(node, struct forward, node);

		if (f->peer_id != peer_id)
			continue;
		out->waiting += f->state == FORWARD_WAITING;
		out->active += f->state != FORWARD_WAITING;
		out->sent += f->state == FORWARD_SENT;
		out->connecting += f->state == FORWARD_RESOLVING || f->state == FORWARD_CONNECTING;
	}
}

void peers_free(struct peers **pp)
{
	struct peers *p = *pp;
	struct list_node *node;

	*pp = NULL;
	if (!p)
		return;
	LIST_FOREACH(&p->forwards, n, next) {
		CONTAINER_OF(n, struct forward, node)->peer_id = -1; /* nobody's turn comes any more */
	}
	while ((node = list_first(&p->forwards))) {
		struct forward *f = CONTAINER_OF(node, struct forward, node);

		f->state = FORWARD_SENT;
		finish(f, NULL);
	}
	free(p);
}
