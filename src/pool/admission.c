#include "pool/admission.h"

#include "pool/server.h"
#include "wire/msg.h"

#include <stdio.h>

#define COLD __attribute__((noinline)) /* its large variables aren't to cost those who don't come by */
#define MARGIN 8		       /* one part in so many of a deadline */

static struct worker_view *own_view(const struct pool *p)
{
	return &p->shared->views[p->worker->index];
}

/* Publish first, then look at the others: see shared.h. */
static void publish_waiting(struct pool *p)
{
	atomic_store(&own_view(p)->waiting, (unsigned)p->queue.count);
	atomic_store(&own_view(p)->oldest, queue_since(&p->queue));
}

/* ---- what they are told ---- */

#define DETAIL_SIZE 400

struct refusal {
	struct error_info e;
	char detail[DETAIL_SIZE], sqlstate[6];
};

static unsigned in_transaction(const struct pool *p)
{
	unsigned n = 0;

	for (int i = 0; i < p->worker->n_workers; i++)
		n += atomic_load_explicit(&p->shared->views[i].in_transaction, memory_order_relaxed);
	return n;
}

static unsigned idle_servers(const struct pool *p)
{
	unsigned n = 0;

	for (int i = 0; i < p->worker->n_workers; i++)
		n += atomic_load_explicit(&p->shared->views[i].idle, memory_order_relaxed);
	return n;
}

static unsigned busy_servers(const struct pool *p)
{
	int open = atomic_load(&p->shared->servers), idle = (int)idle_servers(p);

	return open > idle ? (unsigned)(open - idle) : 0;
}

static double seconds(usec_t t)
{
	return (double)t / (double)USEC_PER_SEC;
}

/* Numbers of this moment, over all workers. */
static void begin_refusal(const struct pool *p, struct refusal *r, const char *severity, const char *message)
{
	snprintf(r->detail, sizeof(r->detail),
		"%d clients wait for this pool; of at most %d server connections %u are busy, of these %u idle in a "
		"transaction and %d pinned.",
		atomic_load(&p->shared->waiting), p->limits.pool, busy_servers(p), in_transaction(p),
		atomic_load(&p->shared->pinned));
	r->e = (struct error_info){ .severity = severity,
		.sqlstate = "53300",
		.message = message,
		.detail = r->detail,
		.hint = "Retry on the same connection, or raise default_pool_size if PostgreSQL can bear it." };
}

static const char *severity_of_limits(const struct pool *p)
{
	return p->worker->config->query_wait_timeout_action == TIMEOUT_DISCONNECT ? "FATAL" : "ERROR";
}

static bool is_own_deadline(const struct waiter *w)
{
	return w->wait_max && w->deadline == w->since + w->wait_max;
}

/* Its login would have been the one to tell. */
static void tell_login_error(const struct pool *p, struct waiter *w, struct refusal *r)
{
	char message[LOGIN_ERROR_MAX];
	bool is_final;

	if (!shared_login_error(p->shared, r->sqlstate, message, &is_final))
		return;
	snprintf(r->detail, sizeof(r->detail), "The login to the server has been failing: %.300s", message);
	r->e.hint = NULL;
	if (w->is_greeting)
		r->e.sqlstate = r->sqlstate;
}

void pool_refuse_late(struct pool *p, struct waiter *w)
{
	struct refusal r = { 0 };
	bool is_own = is_own_deadline(w);

	begin_refusal(p, &r, is_own ? "ERROR" : severity_of_limits(p),
		is_own ? "pgweir.query_wait: no server connection became available in time"
		       : "query_wait_timeout: no server connection became available in time");
	tell_login_error(p, w, &r);
	if (w->is_greeting)
		r.e.severity = "FATAL";
	w->ops->refused(w, &r.e);
}

static void refuse_late(struct pool *p, struct waiter *w)
{
	admission_leave(p, w);
	pool_refuse_late(p, w);
}

static void refuse_with_login_error(struct waiter *w, const char *sqlstate, const char *message)
{
	struct error_info e = {
		.severity = w->is_greeting ? "FATAL" : "ERROR", .sqlstate = sqlstate, .message = message
	};

	w->ops->refused(w, &e);
}

bool admission_refuse_by_last_error(struct pool *p, struct waiter *w)
{
	usec_t next_try = atomic_load(&p->shared->next_try);
	char sqlstate[6], message[LOGIN_ERROR_MAX];
	bool is_final;

	if (!next_try || p->worker->loop.now >= next_try || atomic_load(&p->shared->servers) > 0)
		return false;
	if (!shared_login_error(p->shared, sqlstate, message, &is_final) || !is_final)
		return false;
	refuse_with_login_error(w, sqlstate, message);
	return true;
}

static struct waiter *first_greeting(const struct pool *p)
{
	struct list_node *n = list_first(&p->greeting);

	return n ? CONTAINER_OF(n, struct waiter, node) : NULL;
}

void admission_refuse_all(struct pool *p, const char *sqlstate, const char *message)
{
	struct waiter *w;

	while ((w = first_greeting(p)) || (w = queue_next(&p->queue))) {
		admission_leave(p, w);
		refuse_with_login_error(w, sqlstate, message);
	}
}

/* ---- the forecast ---- */

/* Of those who wait for this pool at all workers, in the proportion of our own. */
static size_t ahead_everywhere(const struct pool *p, const struct waiter *w)
{
	size_t here = queue_ahead(&p->queue, w), all = (size_t)MAX(atomic_load(&p->shared->waiting), 0);

	if (p->worker->n_workers == 1 || w->is_priority || !p->queue.count || all <= p->queue.count)
		return here;
	return here * all / p->queue.count;
}

/* Servers that serve one client after another. */
static unsigned serving(const struct pool *p)
{
	int n = atomic_load(&p->shared->servers) - atomic_load(&p->shared->pinned);

	return n > 0 ? (unsigned)n : 0;
}

/* Can nothing but the servers at hand shorten the wait? Logins: at whichever worker, they are the pool's. */
static bool is_steady(const struct pool *p)
{
	return p->is_full && !atomic_load(&p->shared->logins) && !p->n_testing && !p->is_paused &&
		!atomic_load(&p->shared->next_try) && p->database;
}

COLD static bool is_hopeless(const struct pool *p, const struct waiter *w, size_t *ahead, usec_t *wait)
{
	usec_t limit = w->deadline - w->since;

	if (!is_steady(p))
		return false;
	*ahead = ahead_everywhere(p, w);
	return forecast_wait(&p->forecast, *ahead, serving(p), w->since, wait) &&
		*wait > limit - limit / MARGIN && !pool_is_on_hold(p); /* last, since it takes locks */
}

COLD static void refuse_hopeless(struct pool *p, struct waiter *w, size_t ahead, usec_t wait)
{
	struct refusal r = { 0 };

	begin_refusal(p, &r, "ERROR", "no server connection would become available in time");
	snprintf(r.detail, sizeof(r.detail),
		"It would be number %zu in the queue; of at most %d server connections %u are busy, of these %u idle in a "
		"transaction and %d pinned. The expected wait is %.3f s, the limit %.3f s (%s).",
		ahead + 1, p->limits.pool, busy_servers(p), in_transaction(p),
		atomic_load(&p->shared->pinned), seconds(wait), seconds(w->deadline - w->since),
		is_own_deadline(w) ? "pgweir.query_wait" : "query_wait_timeout");
	r.e.hint = "Retry later on the same connection, allow for a longer wait, or raise default_pool_size if "
		   "PostgreSQL can bear it.";
	w->ops->refused(w, &r.e);
}

COLD static void refuse_full(struct pool *p, struct waiter *w)
{
	struct refusal r = { 0 };

	begin_refusal(p, &r, severity_of_limits(p), "too many clients are waiting (max_waiting_clients)");
	w->ops->refused(w, &r.e);
}

/* ---- coming and going ---- */

bool admission_enter(struct pool *p, struct waiter *w)
{
	bool is_bounded = !p->shared->is_own && !w->is_priority;
	size_t ahead = 0;
	usec_t wait = 0;

	if (w->deadline && p->queue.count && p->worker->config->query_wait_prediction &&
		is_hopeless(p, w, &ahead, &wait)) {
		refuse_hopeless(p, w, ahead, wait);
		return false;
	}
	if (!take_one(&p->shared->waiting, is_bounded ? p->worker->config->max_waiting_clients : 0)) {
		refuse_full(p, w);
		return false;
	}
	queue_push(&p->queue, w, w->since);
	worker_count_waiting(p->worker, 1);
	publish_waiting(p);
	return true;
}

static void leave_greeting(struct pool *p, struct waiter *w)
{
	list_remove(&p->greeting, &w->node);
	worker_count_waiting(p->worker, -1);
}

static void left(struct pool *p, const struct waiter *w)
{
	latency_observe(&p->latency, MEASURE_WAIT, p->worker->loop.now - w->since, p->worker->loop.now);
	worker_count_waiting(p->worker, -1);
	atomic_fetch_sub(&p->shared->waiting, 1);
	queue_next(&p->queue); /* whose turn is next decides since when */
	publish_waiting(p);
}

void admission_leave(struct pool *p, struct waiter *w)
{
	if (w->is_greeting) {
		leave_greeting(p, w);
		return;
	}
	queue_remove(&p->queue, w);
	left(p, w);
}

void pool_withdraw(struct pool *p, struct waiter *w)
{
	if (list_is_linked(&w->node))
		admission_leave(p, w);
}

bool pool_is_late(const struct pool *p, const struct waiter *w)
{
	return w->deadline && w->deadline <= p->worker->loop.now;
}

struct waiter *admission_next(struct pool *p)
{
	struct waiter *w;

	while ((w = queue_next(&p->queue)) && pool_is_late(p, w))
		refuse_late(p, w);
	return w;
}

void admission_lend(struct pool *p, struct waiter *w, struct server *s)
{
	s->lent_at = p->worker->loop.now;
	s->flow_key = w->flow_key;
	s->charged = 0;
	w->last_wait = 0;
}

struct waiter *admission_take(struct pool *p, struct server *s)
{
	usec_t now = p->worker->loop.now, charged;
	struct waiter *w = queue_take(&p->queue, now, &charged);

	ASSERT(w);
	left(p, w);
	admission_lend(p, w, s);
	s->charged = charged;
	w->last_wait = now - w->since;
	p->counters.wait_time += w->last_wait;
	return w;
}

void admission_put(struct pool *p, struct server *s)
{
	usec_t now = p->worker->loop.now, held = now - s->lent_at;

	if (!s->lent_at)
		return;
	s->lent_at = 0;
	forecast_note(&p->forecast, held, now);
	if (!s->flow_key)
		return;
	queue_set_quantum(&p->queue, forecast_held(&p->forecast));
	queue_charge(&p->queue, s->flow_key, s->charged, held);
}

/* ---- time ---- */

static bool expire(void *ctx, struct waiter *w)
{
	refuse_late(ctx, w);
	return true;
}

static bool notify(void *ctx, struct waiter *w)
{
	(void)ctx;
	if (!w->is_notified)
		w->ops->delayed(w);
	w->is_notified = true;
	return true;
}

static void tick_greeting(struct pool *p, usec_t now)
{
	LIST_FOREACH(&p->greeting, n, next) {
		struct waiter *w = CONTAINER_OF(n, struct waiter, node);

		if (w->deadline && now >= w->deadline)
			refuse_late(p, w);
	}
}

/* For the others to tell of, when somebody is refused. */
static void publish_in_transaction(struct pool *p)
{
	unsigned n = 0;

	LIST_FOREACH(&p->servers, node, next) {
		struct server *s = CONTAINER_OF(node, struct server, node);

		n += s->state == SERVER_ACTIVE && s->pending.tx_status != TX_IDLE &&
			!pending_awaits_ready(&s->pending);
	}
	atomic_store_explicit(&own_view(p)->in_transaction, n, memory_order_relaxed);
}

void admission_tick(struct pool *p, usec_t now)
{
	usec_t after = p->worker->config->query_wait_notify;

	queue_expired(&p->queue, now, expire, p);
	tick_greeting(p, now);
	if (after && now > after)
		queue_each_since(&p->queue, now - after, notify, p);
	queue_forget(&p->queue, now);
	publish_in_transaction(p);
}

usec_t pool_oldest_wait(const struct pool *p, usec_t now)
{
	usec_t since = queue_oldest(&p->queue);

	return since && now > since ? now - since : 0;
}

const char *pool_wait_reason(const struct pool *p)
{
	usec_t next_try = atomic_load(&p->shared->next_try);

	if (p->is_paused)
		return "the database is paused";
	if (pool_is_on_hold(p) || (next_try && next_try > p->worker->loop.now))
		return "the server can't be reached";
	return p->is_full && !p->n_login ? "all servers are in use" : "a server is being opened";
}
