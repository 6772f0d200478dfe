#include "core/worker_thread.h"

#include "core/handover.h"

#include "pool/auth_query.h"
#include "pool/cancel.h"
#include "session/client.h"
#include "session/frozen.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define STOP_GRACE USEC_PER_SEC

struct order {
	struct message message;
	struct snapshot *snapshot;
	enum stop_mode mode;
	struct message *drained;
	struct mailbox *reply_to;
};

static void discard_order(struct message *m)
{
	struct order *o = CONTAINER_OF(m, struct order, message);

	snapshot_unref(&o->snapshot);
	free(o);
}

static struct order *new_order(void (*deliver)(struct message *m, void *owner))
{
	struct order *o = xcalloc(1, sizeof(*o));

	o->message.deliver = deliver;
	o->message.discard = discard_order;
	return o;
}

static void take_snapshot(struct message *m, void *owner)
{
	struct order *o = CONTAINER_OF(m, struct order, message);

	worker_set_snapshot(owner, &o->snapshot);
	discard_order(m);
}

void worker_order_snapshot(struct worker *w, struct snapshot *s)
{
	struct order *o = new_order(take_snapshot);

	o->snapshot = snapshot_ref(s);
	mailbox_post(&w->loop.mailbox, &o->message);
}

static void close_servers(struct worker *w)
{
	struct pool *p, *next;

	HASH_ITER(hh, w->pools, p, next) {
		LIST_FOREACH(&p->idle, n, after)
			server_close(CONTAINER_OF(n, struct server, node), "pgweir is shutting down");
		LIST_FOREACH(&p->servers, n, after)
			server_close(CONTAINER_OF(n, struct server, node), "pgweir is shutting down");
	}
	LIST_FOREACH(&w->moving, n, after)
		server_close(CONTAINER_OF(n, struct server, node), "pgweir is shutting down");
}

/* Is PostgreSQL still to be told to stop working for somebody who has gone? */
static bool has_cancels(const struct worker *w)
{
	return w->cancels.count > 0;
}

static void end_thread(struct worker *w)
{
	auth_query_stop(w);
	close_servers(w);
	cancel_close_all(w);
	loop_stop(&w->loop);
}

/* Everybody is told. Running statements are cancelled, so that PostgreSQL doesn't work on alone; that may take a moment. */
static void stop_now(struct worker *w)
{
	w->is_stopping = true;
	LIST_FOREACH(&w->clients, n, next) {
		struct client *c = CONTAINER_OF(n, struct client, node);

		if (c->server)
			c->server->is_unwanted = true;
		client_fatal(c, "57P01", "terminating connection due to administrator command");
	}
	LIST_FOREACH(&w->lingering, n, next)
		client_close(CONTAINER_OF(n, struct client, node), "pgweir is shutting down");
	w->drained = NULL; /* nobody waits for that any more */
	w->stop_at = w->loop.now + STOP_GRACE;
	if (!has_cancels(w))
		end_thread(w);
	worker_tick_fast(w);
}

static void take_stop(struct message *m, void *owner)
{
	struct order *o = CONTAINER_OF(m, struct order, message);
	struct worker *w = owner;

	if (o->mode == STOP_NOW) {
		stop_now(w);
	} else {
		w->is_stopping = w->is_stopping || o->mode == STOP_AT_BOUNDARIES;
		w->is_leaving = true;
		w->drained = o->drained;
		w->drained_to = o->reply_to;
		loop_tick_soon(&w->loop);
	}
	discard_order(m);
}

void worker_order_stop(struct worker *w, enum stop_mode mode, struct message *drained, struct mailbox *reply_to)
{
	struct order *o = new_order(take_stop);

	o->mode = mode;
	o->drained = drained;
	o->reply_to = reply_to;
	mailbox_post(&w->loop.mailbox, &o->message);
}

/* ---- giving clients to another process ---- */

void given_free(struct given *g)
{
	if (g->fd >= 0)
		close(g->fd);
	g->fd = -1;
	OPENSSL_cleanse(g->state.data, g->state.len);
	writer_free(&g->state);
}

static void give_client(struct client *c, struct give *g)
{
	struct given *to = &g->clients[g->n];
	struct tls *tls;

	write_u8(&to->state, HANDOVER_CLIENT);
	if (!move_write(c, &to->state)) {
		writer_free(&to->state);
		return; /* it has too many statements: it stays as long as it may */
	}
	to->fd = client_release(c, &tls);
	tls_free(&tls);
	g->n++;
}

static void close_unused_servers(struct worker *w)
{
	struct pool *p, *next;

	HASH_ITER(hh, w->pools, p, next) {
		LIST_FOREACH(&p->idle, n, after)
			server_close(CONTAINER_OF(n, struct server, node), "another process has taken over");
	}
}

static void take_give(struct message *m, void *owner)
{
	struct give *g = CONTAINER_OF(m, struct give, message);
	struct worker *w = owner;

	LIST_FOREACH(&w->clients, n, next) {
		struct client *c = CONTAINER_OF(n, struct client, node);

		if (g->n < GIVE_MAX && move_is_ready(c))
			give_client(c, g);
	}
	close_unused_servers(w);
	g->n_left = w->clients.count;
	g->message.deliver = g->deliver;
	mailbox_post(g->reply_to, &g->message);
}

static void discard_give(struct message *m)
{
	struct give *g = CONTAINER_OF(m, struct give, message);

	for (size_t i = 0; i < g->n; i++)
		given_free(&g->clients[i]);
	free(g);
}

void worker_order_give(struct worker *w, struct give *g)
{
	g->message.deliver = take_give;
	g->message.discard = discard_give;
	g->n = 0;
	mailbox_post(&w->loop.mailbox, &g->message);
}

static void take_look(struct message *m, void *owner)
{
	struct worker *w = owner;

	w->must_look = true;
	discard_order(m);
}

void worker_order_look(struct worker *w)
{
	mailbox_post(&w->loop.mailbox, &new_order(take_look)->message);
}

void worker_clients_tick(struct worker *w)
{
	session_tick(w);
	if (w->stop_at && (!has_cancels(w) || w->loop.now >= w->stop_at)) {
		end_thread(w);
		return;
	}
	if (!w->is_leaving || !w->drained)
		return;
	w->tick_every = MIN(w->tick_every, 50 * USEC_PER_MSEC);
	if (w->clients.count == 0 && w->lingering.count == 0) {
		mailbox_post(w->drained_to, w->drained);
		w->drained = NULL;
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	char name[16];

	snprintf(name, sizeof(name), "worker %d", w->index);
	prctl(PR_SET_NAME, name);
	w->loop.thread = pthread_self();
	worker_warm_pools(w);
	loop_run(&w->loop);
	return NULL;
}

void worker_set_callbacks(struct worker *w)
{
	w->on_clients_tick = worker_clients_tick;
	w->silent_since = frozen_since;
	w->reclaim = frozen_reclaim;
}

void worker_thread_start(struct worker *w, pthread_t *thread)
{
	int e;

	worker_set_callbacks(w);
	e = pthread_create(thread, NULL, worker_main, w);
	ASSERT(e == 0);
}
