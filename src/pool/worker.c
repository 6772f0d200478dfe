#include "pool/worker.h"

#include "pool/auth_query.h"
#include "pool/pool.h"
#include "wire/sqlscan.h"

#include <stdlib.h>
#include <string.h>

#define TICK_SLOW USEC_PER_SEC

static usec_t worker_tick(void *owner)
{
	struct worker *w = owner;
	struct pool *p, *next;

	w->tick_every = TICK_SLOW;
	HASH_ITER(hh, w->pools, p, next)
		pool_tick(p);
	auth_query_tick(w);
	if (w->on_clients_tick)
		w->on_clients_tick(w);
	return w->tick_every;
}

void worker_tick_fast(struct worker *w)
{
	if (w->tick_every <= TICK_FAST)
		return;
	w->tick_every = TICK_FAST;
	loop_tick_soon(&w->loop);
}

void worker_tick_within(struct worker *w, usec_t in)
{
	if (w->tick_every <= in)
		return;
	w->tick_every = in;
	loop_tick_in(&w->loop, in);
}

static void look(struct worker *w)
{
	struct pool *p, *next;

	HASH_ITER(hh, w->pools, p, next)
		pool_look(p);
}

static void deliver_poke(struct message *m, void *owner)
{
	struct worker *w = owner;

	free(m);
	atomic_store(&w->registry->poked[w->index], false);
	w->must_look = true;
}

static void discard_poke(struct message *m)
{
	free(m);
}

static void poke_others(struct worker *w)
{
	for (int i = 0; i < w->n_workers; i++) {
		struct message *m;

		if (i == w->index || !atomic_load(&w->registry->worker_waiting[i]) ||
			atomic_exchange(&w->registry->poked[i], true))
			continue;
		m = xcalloc(1, sizeof(*m));
		m->deliver = deliver_poke;
		m->discard = discard_poke;
		mailbox_post(&w->peers[i]->loop.mailbox, m);
	}
}

void worker_look_again(struct worker *w)
{
	w->must_look = true;
	poke_others(w);
}

static void round_end(void *owner)
{
	struct worker *w = owner;

	atomic_store_explicit(&w->registry->beats[w->index].at, w->loop.now, memory_order_relaxed);
	if (w->must_look) {
		w->must_look = false;
		look(w);
	}
	pool_send_moving(w);
}

void worker_count_waiting(struct worker *w, int change)
{
	w->n_waiting = (unsigned)((int)w->n_waiting + change);
	atomic_store(&w->registry->worker_waiting[w->index], w->n_waiting);
}

static bool is_unused(const struct counters *c, const struct latency *l)
{
	static const struct counters no_counters;
	static const struct latency no_latency;

	return memcmp(c, &no_counters, sizeof(*c)) == 0 && memcmp(l, &no_latency, sizeof(*l)) == 0;
}

static void keep_latency(struct past_counters *p, struct latency *l, usec_t now)
{
	for (int m = 0; m < MEASURES_N; m++) {
		if (!l->measured[m])
			continue;
		if (!p->latency[m])
			p->latency[m] = xcalloc(1, sizeof(*p->latency[m]));
		latency_read(l, (enum measure)m, WINDOW_START, now, p->latency[m]);
	}
}

void worker_keep_counters(struct worker *w, const char *database, const struct counters *c, struct latency *l)
{
	struct past_counters *p;

	if (is_unused(c, l))
		return; /* nobody ever did anything there: names that only a client made up aren't kept */
	HASH_FIND_STR(w->past, database, p);
	if (!p) {
		p = xcalloc(1, sizeof(*p));
		p->database = xstrdup(database);
		HASH_ADD_KEYPTR(hh, w->past, p->database, strlen(p->database), p);
	}
	counters_add(&p->counters, c);
	keep_latency(p, l, w->loop.now);
}

static void free_past(struct worker *w)
{
	struct past_counters *p, *next;

	HASH_ITER(hh, w->past, p, next) {
		HASH_DEL(w->past, p);
		for (int m = 0; m < MEASURES_N; m++)
			free(p->latency[m]);
		free(p->database);
		free(p);
	}
}

/* Databases with a forced user have one pool each that is known without a client: min_pool_size keeps it warm from the start. */
void worker_warm_pools(struct worker *w)
{
	for (const struct config_database *db = w->config->databases; db; db = db->next) {
		if (!db->user || strcmp(db->name, "*") == 0 || config_min_pool_size(w->config, db) <= 0)
			continue;
		if (hash64(db->name, strlen(db->name)) % (unsigned)w->n_workers == (unsigned)w->index)
			pool_get(w, db->name, db->user);
	}
}

static void take_config(struct worker *w, const struct config *c)
{
	w->config = c;
	free(w->suspects);
	w->suspects = scan_suspects(c->suspect_functions);
	w->n_snapshots++;
}

void worker_init(struct worker *w, int index, struct worker **peers, int n_workers, struct registry *r,
	struct resolver *resolver, struct mailbox *slow, struct snapshot *snapshot)
{
	memset(w, 0, sizeof(*w));
	w->index = index;
	w->peers = peers;
	w->n_workers = n_workers;
	w->registry = r;
	w->resolver = resolver;
	w->slow = slow;
	w->snapshot = snapshot_ref(snapshot);
	take_config(w, snapshot->config);
	list_init(&w->moving);
	list_init(&w->clients);
	list_init(&w->lingering);
	list_init(&w->cancels);
	loop_init(&w->loop, w, worker_tick);
	w->loop.round_end = round_end;
}

void worker_set_snapshot(struct worker *w, struct snapshot **snapshot)
{
	struct snapshot *old = w->snapshot;
	struct pool *p, *next;

	w->snapshot = *snapshot;
	*snapshot = NULL;
	take_config(w, w->snapshot->config);
	HASH_ITER(hh, w->pools, p, next)
		pool_configure(p);
	snapshot_unref(&old); /* only now: pools pointed into it */
	auth_query_reload(w);
	worker_warm_pools(w);
	w->must_look = true;
	w->next_sweep = 0; /* clients may have lost their database */
	loop_tick_soon(&w->loop);
}

void worker_destroy(struct worker *w)
{
	struct pool *p, *next;

	auth_query_free(w);
	HASH_ITER(hh, w->pools, p, next)
		pool_free(p);
	free_past(w);
	paused_free(&w->paused);
	loop_destroy(&w->loop);
	settings_table_free(&w->settings);
	if (w->client_slab.size)
		slab_destroy(&w->client_slab);
	snapshot_unref(&w->snapshot);
	free(w->suspects);
	ASSERT(!w->statements.by_id);
	free(w->slots);
}
