#include "pool/evict.h"

#include "pool/server.h"

#include <stdlib.h>

#define EVICT_EVERY (20 * USEC_PER_MSEC)
#define CLAIM_TTL (5 * EVICT_EVERY) /* who still needs it asks again */
#define SHARE_UNIT 1000		    /* a server for a weight of 1 */

/* Another pool under the same limit of a database or user may have an idle server to spare. */
static bool evict_here(struct worker *w, const struct pool_shared *needy, enum slot_result full)
{
	struct pool *other, *next;

	HASH_ITER(hh, w->pools, other, next) {
		bool is_same = full == SLOT_DATABASE_FULL ? other->shared->by_database == needy->by_database
							  : other->shared->by_user == needy->by_user;
		struct list_node *n = list_last(&other->idle);

		if (other->shared == needy || !is_same || !n ||
			atomic_load(&other->shared->servers) <= other->min_size)
			continue;
		server_close(CONTAINER_OF(n, struct server, node), "evicted for another pool");
		return true;
	}
	return false;
}

/* The same for a place at a host. */
static bool evict_at_here(struct worker *w, const struct pool_shared *needy, const struct host *h)
{
	struct pool *other, *next_pool;

	HASH_ITER(hh, w->pools, other, next_pool) {
		if (other->shared == needy || atomic_load(&other->shared->servers) <= other->min_size)
			continue;
		LIST_FOREACH(&other->idle, n, next) {
			struct server *s = CONTAINER_OF(n, struct server, node);

			if (s->host->host != h)
				continue;
			server_close(s, "evicted for another pool, which PostgreSQL has no place for");
			return true;
		}
	}
	return false;
}

struct evict_request {
	struct message message;
	struct registry *registry;
	struct pool_shared *shared; /* a reference */
	enum slot_result full;
	struct host_pool *host; /* a reference; NULL: it's about a slot */
};

static void discard_evict(struct message *m)
{
	struct evict_request *r = CONTAINER_OF(m, struct evict_request, message);

	registry_drop_pool(r->registry, &r->shared);
	if (r->host)
		host_pool_drop(&r->host);
	free(r);
}

static void deliver_evict(struct message *m, void *owner)
{
	struct evict_request *r = CONTAINER_OF(m, struct evict_request, message);

	if (r->host)
		evict_at_here(owner, r->shared, r->host->host);
	else
		evict_here(owner, r->shared, r->full);
	discard_evict(m);
}

static void evict_elsewhere(struct pool *p, enum slot_result full, struct host_pool *host)
{
	for (int i = 0; i < p->worker->n_workers; i++) {
		struct evict_request *r;

		if (i == p->worker->index)
			continue;
		r = xcalloc(1, sizeof(*r));
		r->message.deliver = deliver_evict;
		r->message.discard = discard_evict;
		r->registry = p->worker->registry;
		r->shared = registry_ref_pool(r->registry, p->shared);
		r->full = full;
		r->host = host ? host_pool_ref(host) : NULL;
		mailbox_post(&p->worker->peers[i]->loop.mailbox, &r->message);
	}
}

/* ---- shares of a database's limit ---- */

static bool has_shares(const struct pool *p)
{
	return p->worker->config->queue_fairness == FAIRNESS_USER && !p->shared->is_own;
}

static unsigned share(const struct pool *p, int servers)
{
	return (unsigned)servers * SHARE_UNIT / (unsigned)config_weight(p->user);
}

/* What it would have with one more; the less, the sooner it's its turn. */
static unsigned rank(const struct pool *p)
{
	int servers = atomic_load(&p->shared->servers);

	return servers > 0 ? share(p, servers + 1) : 1;
}

/* 0: nobody's, or nobody has asked again for a while. */
static unsigned claim_of(const struct pool *p)
{
	const struct limit_shared *l = p->shared->by_database;
	unsigned c = atomic_load_explicit(&l->claim, memory_order_relaxed);

	return c && atomic_load(&l->claim_until) > p->worker->loop.now ? c : 0;
}

/* The neediest pool's claim stays. */
static void claim(struct pool *p)
{
	struct limit_shared *l = p->shared->by_database;
	unsigned had = claim_of(p), mine = rank(p);

	if (had && had < mine)
		return;
	atomic_store(&l->claim, mine);
	atomic_store(&l->claim_until, p->worker->loop.now + CLAIM_TTL);
	atomic_store(&l->is_paid, false);
}

bool evict_owes(struct pool *p)
{
	unsigned want = has_shares(p) ? claim_of(p) : 0;

	return want && share(p, atomic_load(&p->shared->servers)) > want &&
		!atomic_exchange(&p->shared->by_database->is_paid, true);
}

bool evict_may_open(const struct pool *p)
{
	unsigned want = has_shares(p) ? claim_of(p) : 0;

	return !want || rank(p) <= want;
}

void evict_opened(struct pool *p)
{
	if (has_shares(p))
		atomic_store(&p->shared->by_database->claim, 0);
}

bool evict_for(struct pool *p, enum slot_result full)
{
	if (evict_here(p->worker, p->shared, full))
		return true;
	if (p->worker->loop.now - p->evict_asked < EVICT_EVERY)
		return false;
	p->evict_asked = p->worker->loop.now;
	if (full == SLOT_DATABASE_FULL && (p->queue.count || p->greeting.count) && has_shares(p))
		claim(p);
	evict_elsewhere(p, full, NULL);
	return false;
}

void evict_at(struct pool *p, struct host_pool *host)
{
	if (atomic_load(&host->servers) > 1 || (!p->queue.count && !p->greeting.count))
		return;
	if (!evict_at_here(p->worker, p->shared, host->host))
		evict_elsewhere(p, SLOT_TAKEN, host);
}
