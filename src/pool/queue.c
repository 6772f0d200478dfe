#include "pool/queue.h"

#include <stdlib.h>

#define QUANTUM_MIN (USEC_PER_MSEC / 10)
#define QUANTUM_MAX USEC_PER_SEC
#define DEBT_MAX 64 /* turns that a flow may have to wait for what it has used too much */
#define FLOW_TTL USEC_PER_SEC
#define PRIORITY_AHEAD (3600 * USEC_PER_SEC)

struct flow {
	UT_hash_handle hh;
	uint64_t key;
	struct list_node node; /* in the ring while it has waiters */
	struct list waiters;   /* oldest first */
	unsigned weight;
	bool is_in_turn;  /* its turn has begun: it has been allowed its quanta */
	int64_t deficit;  /* usec that it may still use in this turn; below 0: what it has used too much */
	usec_t served_at; /* when it was last given a server; 0: never */
	usec_t used_at;
};

static struct waiter *waiter_at(struct list_node *n)
{
	return n ? CONTAINER_OF(n, struct waiter, node) : NULL;
}

static struct flow *flow_at(struct list_node *n)
{
	return n ? CONTAINER_OF(n, struct flow, node) : NULL;
}

void queue_init(struct queue *q)
{
	*q = (struct queue){ .quantum = 10 * USEC_PER_MSEC };
	list_init(&q->priority);
	list_init(&q->plain);
	list_init(&q->ring);
}

static void free_flow(struct queue *q, struct flow *f)
{
	HASH_DEL(q->flows, f);
	free(f);
}

void queue_free(struct queue *q)
{
	struct flow *f, *next;

	ASSERT(!q->count);
	HASH_ITER(hh, q->flows, f, next)
		free_flow(q, f);
}

void queue_set_quantum(struct queue *q, usec_t average)
{
	q->quantum = MIN(MAX(average, QUANTUM_MIN), QUANTUM_MAX);
}

/* ---- flows ---- */

static struct flow *find_flow(const struct queue *q, uint64_t key)
{
	struct flow *f = NULL;

	if (key && q->flows)
		HASH_FIND(hh, q->flows, &key, sizeof(key), f);
	return f;
}

static struct flow *get_flow(struct queue *q, const struct waiter *w)
{
	struct flow *f = find_flow(q, w->flow_key);

	if (!f) {
		f = xcalloc(1, sizeof(*f));
		f->key = w->flow_key;
		f->weight = 1;
		list_init(&f->waiters);
		HASH_ADD(hh, q->flows, key, sizeof(f->key), f);
	}
	return f;
}

static void set_weight(struct queue *q, struct flow *f, unsigned weight)
{
	if (list_is_linked(&f->node))
		q->weights = q->weights - f->weight + weight;
	f->weight = weight;
}

static int64_t turn_of(const struct queue *q, const struct flow *f)
{
	return (int64_t)q->quantum * f->weight;
}

static void charge(const struct queue *q, struct flow *f, int64_t cost)
{
	int64_t most = list_is_linked(&f->node) ? turn_of(q, f) : 0; /* who doesn't wait saves nothing up */

	f->deficit = MIN(MAX(f->deficit - cost, -turn_of(q, f) * DEBT_MAX), most);
}

static void enter_ring(struct queue *q, struct flow *f)
{
	f->is_in_turn = false;
	list_push_back(&q->ring, &f->node);
	q->weights += f->weight;
}

static void leave_ring(struct queue *q, struct flow *f)
{
	list_remove(&q->ring, &f->node);
	q->weights -= f->weight;
	f->deficit = MIN(f->deficit, 0);
}

/* Whose turn it is. Each step pays off a quantum of somebody's debt, so what it costs was used before. */
static struct flow *turn(struct queue *q)
{
	struct flow *f;

	while ((f = flow_at(list_first(&q->ring)))) {
		if (!f->is_in_turn)
			f->deficit = MIN(f->deficit + turn_of(q, f), turn_of(q, f));
		f->is_in_turn = true;
		if (f->deficit > 0)
			break;
		f->is_in_turn = false;
		list_remove(&q->ring, &f->node);
		list_push_back(&q->ring, &f->node);
	}
	return f;
}

void queue_charge(struct queue *q, uint64_t flow_key, usec_t charged, usec_t used)
{
	struct flow *f = find_flow(q, flow_key);

	if (f)
		charge(q, f, (int64_t)used - (int64_t)charged);
}

size_t queue_flows(const struct queue *q)
{
	return HASH_COUNT(q->flows);
}

void queue_forget(struct queue *q, usec_t now)
{
	struct flow *f, *next;

	HASH_ITER(hh, q->flows, f, next) {
		if (list_is_empty(&f->waiters) && now - f->used_at > FLOW_TTL)
			free_flow(q, f);
	}
}

/* ---- waiting ---- */

static struct list *list_of(struct queue *q, const struct waiter *w)
{
	if (w->flow)
		return &w->flow->waiters;
	return w->is_priority ? &q->priority : &q->plain;
}

static void join_flow(struct queue *q, struct waiter *w, usec_t now)
{
	struct flow *f = get_flow(q, w);

	w->flow = f;
	f->used_at = now;
	set_weight(q, f, w->weight ? w->weight : 1);
	if (list_is_empty(&f->waiters))
		enter_ring(q, f);
}

void queue_push(struct queue *q, struct waiter *w, usec_t now)
{
	w->flow = NULL;
	if (w->flow_key && !w->is_priority)
		join_flow(q, w, now);
	list_push_back(list_of(q, w), &w->node);
	q->count++;
	if (w->deadline && (!q->next_deadline || w->deadline < q->next_deadline))
		q->next_deadline = w->deadline;
}

void queue_remove(struct queue *q, struct waiter *w)
{
	if (!list_is_linked(&w->node))
		return;
	list_remove(list_of(q, w), &w->node);
	if (w->flow && list_is_empty(&w->flow->waiters))
		leave_ring(q, w->flow);
	w->flow = NULL;
	q->count--;
}

struct waiter *queue_next(struct queue *q)
{
	if (q->priority.count)
		return waiter_at(list_first(&q->priority));
	if (q->plain.count)
		return waiter_at(list_first(&q->plain));
	return q->ring.count ? waiter_at(list_first(&turn(q)->waiters)) : NULL;
}

struct waiter *queue_take(struct queue *q, usec_t now, usec_t *charged)
{
	struct waiter *w = queue_next(q);
	struct flow *f = w ? w->flow : NULL;

	*charged = 0;
	if (f) {
		*charged = q->quantum;
		f->served_at = f->used_at = now;
		charge(q, f, (int64_t)q->quantum);
	}
	if (w)
		queue_remove(q, w);
	return w;
}

/* ---- looking ---- */

usec_t queue_since(const struct queue *q)
{
	struct list_node *first;

	if ((first = list_first(&q->priority))) {
		usec_t since = waiter_at(first)->since;

		return since > PRIORITY_AHEAD ? since - PRIORITY_AHEAD : 1;
	}
	if ((first = list_first(&q->plain)))
		return waiter_at(first)->since;
	if ((first = list_first(&q->ring)))
		return MAX(waiter_at(list_first(&flow_at(first)->waiters))->since, flow_at(first)->served_at);
	return 0;
}

static usec_t older(usec_t oldest, const struct list *l)
{
	struct list_node *first = list_first(l);

	return first && (!oldest || waiter_at(first)->since < oldest) ? waiter_at(first)->since : oldest;
}

usec_t queue_oldest(const struct queue *q)
{
	usec_t oldest = older(older(0, &q->priority), &q->plain);

	LIST_FOREACH(&q->ring, n, next)
		oldest = older(oldest, &flow_at(n)->waiters);
	return oldest;
}

size_t queue_ahead(const struct queue *q, const struct waiter *w)
{
	size_t before = q->priority.count + q->plain.count;
	const struct flow *f = find_flow(q, w->flow_key);
	unsigned weight = w->weight ? w->weight : 1;
	size_t mine, others;

	if (w->is_priority)
		return q->priority.count;
	if (!w->flow_key)
		return before;
	mine = f ? f->waiters.count : 0;
	others = q->weights - (f && list_is_linked(&f->node) ? f->weight : 0);
	return MIN(q->count, before + mine + (mine / weight + 1) * others);
}

static bool each_in(struct list *l, usec_t since, queue_fn *fn, void *ctx)
{
	LIST_FOREACH(l, n, next) {
		if (waiter_at(n)->since > since)
			break;
		if (!fn(ctx, waiter_at(n)))
			return false;
	}
	return true;
}

void queue_each_since(struct queue *q, usec_t since, queue_fn *fn, void *ctx)
{
	if (!each_in(&q->priority, since, fn, ctx) || !each_in(&q->plain, since, fn, ctx))
		return;
	LIST_FOREACH(&q->ring, n, next) {
		if (!each_in(&flow_at(n)->waiters, since, fn, ctx))
			return;
	}
}

void queue_each(struct queue *q, queue_fn *fn, void *ctx)
{
	queue_each_since(q, UINT64_MAX, fn, ctx);
}

struct expiry {
	queue_fn *fn;
	void *ctx;
	usec_t now, next;
};

static bool expire(void *ctx, struct waiter *w)
{
	struct expiry *e = ctx;

	if (w->deadline && w->deadline <= e->now)
		return e->fn(e->ctx, w);
	if (w->deadline && (!e->next || w->deadline < e->next))
		e->next = w->deadline;
	return true;
}

void queue_expired(struct queue *q, usec_t now, queue_fn *fn, void *ctx)
{
	struct expiry e = { .fn = fn, .ctx = ctx, .now = now };

	if (!q->next_deadline || now < q->next_deadline)
		return;
	q->next_deadline = 0; /* whoever comes meanwhile sets it */
	queue_each(q, expire, &e);
	if (e.next && (!q->next_deadline || e.next < q->next_deadline))
		q->next_deadline = e.next;
}
