#include "pool/reclaim.h"

#include <stdlib.h>

#define RECLAIM_EVERY                                                                                        \
	(20 * USEC_PER_MSEC) /* for a pool: the last one's server has had the time to be rolled back and to serve somebody */

static _Atomic uint64_t *silent_at(const struct pool *p, int worker)
{
	return &p->shared->views[worker].silent;
}

/* Only while somebody waits: there are as many servers to be looked at as the pool has. */
static void publish(struct pool *p)
{
	struct worker *w = p->worker;
	usec_t since = atomic_load(&p->shared->waiting) && w->silent_since ? w->silent_since(p) : 0;

	if (atomic_load_explicit(silent_at(p, w->index), memory_order_relaxed) != since)
		atomic_store(silent_at(p, w->index), since);
}

/* The worker that has it; -1: none has been silent for long enough. */
static int longest_silent(const struct pool *p)
{
	usec_t grace = p->worker->config->idle_in_transaction_grace, first = 0;
	int best = -1;

	for (int i = 0; i < p->worker->n_workers; i++) {
		usec_t since = atomic_load(silent_at(p, i));

		if (since && (!first || since < first) && p->worker->loop.now >= since + grace) {
			first = since;
			best = i;
		}
	}
	return best;
}

static void reclaim_here(struct pool *p, const struct reclaim_cause *why)
{
	struct worker *w = p->worker;

	if (w->reclaim)
		w->reclaim(p, why);
	publish(p);
}

struct reclaim_request {
	struct message message;
	struct registry *registry;
	struct pool_shared *shared; /* a reference */
	struct reclaim_cause why;
};

static void discard_request(struct message *m)
{
	struct reclaim_request *r = CONTAINER_OF(m, struct reclaim_request, message);

	registry_drop_pool(r->registry, &r->shared);
	free(r);
}

static void deliver_request(struct message *m, void *owner)
{
	struct reclaim_request *r = CONTAINER_OF(m, struct reclaim_request, message);
	struct worker *w = owner;
	struct pool *p;

	HASH_FIND_PTR(w->pools, &r->shared, p);
	if (p)
		reclaim_here(p, &r->why);
	discard_request(m);
}

static void reclaim_elsewhere(struct pool *p, int worker, const struct reclaim_cause *why)
{
	struct reclaim_request *r = xcalloc(1, sizeof(*r));

	r->message.deliver = deliver_request;
	r->message.discard = discard_request;
	r->registry = p->worker->registry;
	r->shared = registry_ref_pool(r->registry, p->shared);
	r->why = *why;
	mailbox_post(&p->worker->peers[worker]->loop.mailbox, &r->message);
}

/* False: it isn't time yet, here or anywhere. */
static bool take_turn(struct pool *p)
{
	uint64_t last = atomic_load(&p->shared->reclaimed_at);
	usec_t now = p->worker->loop.now;

	return now >= last + RECLAIM_EVERY && atomic_compare_exchange_strong(&p->shared->reclaimed_at, &last, now);
}

static void tick_within(struct pool *p, usec_t in)
{
	p->worker->tick_every = MIN(p->worker->tick_every, MAX(in, USEC_PER_MSEC));
}

/* Servers that are being logged in will do for those who wait. */
static bool is_help_coming(const struct pool *p)
{
	return p->n_login + p->n_testing >= p->queue.count;
}

void reclaim_tick(struct pool *p)
{
	const struct config *conf = p->worker->config;
	struct reclaim_cause why;
	int worker;

	if (!conf->reclaim_after || p->shared->is_own)
		return;
	publish(p);
	if (!p->queue.count || p->is_paused || is_help_coming(p))
		return;
	why = (struct reclaim_cause){ .waiting = (unsigned)atomic_load(&p->shared->waiting),
		.waited = pool_oldest_wait(p, p->worker->loop.now) };
	if (why.waited < conf->reclaim_after) {
		tick_within(p, conf->reclaim_after - why.waited);
		return;
	}
	worker = longest_silent(p);
	if (worker < 0)
		return;
	tick_within(p, RECLAIM_EVERY);
	if (!take_turn(p))
		return;
	if (worker == p->worker->index)
		reclaim_here(p, &why);
	else
		reclaim_elsewhere(p, worker, &why);
}
