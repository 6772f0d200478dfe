#include "pool/pool.h"

#include "pool/admission.h"
#include "pool/evict.h"
#include "pool/reclaim.h"
#include "pool/server.h"
#include "wire/msg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PREFER_DEPTH 8 /* how far to look for an idle server that has the right settings already */
#define UNUSED_POOL_TTL                                                                                      \
	(60 * USEC_PER_SEC) /* of a database that the configuration names; for those made from "*": autodb_idle_timeout */
#define HANDOVER_EVERY USEC_PER_MSEC
/* Servers for questions of our own: as many as keep up with a herd, and in all so few that made-up databases don't hurt PostgreSQL. */
#define OWN_POOL_SIZE 4
#define OWN_SERVERS_MAX 32

static struct worker_view *view(const struct pool *p, int worker)
{
	return &p->shared->views[worker];
}

static struct worker_view *own_view(const struct pool *p)
{
	return view(p, p->worker->index);
}

static void publish_idle(struct pool *p)
{
	atomic_store(&own_view(p)->idle, (unsigned)p->idle.count);
}

void pool_publish_servers(struct pool *p)
{
	atomic_store_explicit(&own_view(p)->servers,
		(unsigned)(p->idle.count + p->servers.count - p->n_login), memory_order_relaxed);
}

/* ---- making and configuring ---- */

static char *fingerprint(const struct config_database *db, const struct tls_set *tls)
{
	const char *print = db ? tls_set_database(tls, db->name)->print : NULL;

	return db ? xasprintf("%s|%s|%s|%s|%s|%s|%d|%d|%d|%d", db->host ? db->host : "",
			    db->port ? db->port : "", db->dbname ? db->dbname : "", db->user ? db->user : "",
			    db->connect_query ? db->connect_query : "", print ? print : "", db->channel_binding,
			    db->max_protocol_version, db->load_balance_hosts, db->target_session_attrs)
		  : NULL;
}

static void close_all(struct pool *p, const char *reason)
{
	LIST_FOREACH(&p->idle, n, next)
		server_close(CONTAINER_OF(n, struct server, node), reason);
	LIST_FOREACH(&p->servers, n, next)
		server_close_when_free(CONTAINER_OF(n, struct server, node), reason);
}

/*
 * As the configuration has it. What clients came with stays where it has nothing: only they can know. An own pool's user is
 * auth_file's, or the database's if it names that very user.
 */
static void configure_credential(struct pool *p)
{
	struct snapshot *s = p->worker->snapshot;
	bool is_forced = p->database && str_equal(p->database->user, p->shared->user);
	struct credential *c = is_forced ? snapshot_database_credential(s, p->database) : NULL;

	if (!c)
		c = userlist_find(s->userlist, p->shared->user);
	if (c || p->shared->is_own)
		shared_set_credential(p->shared, c);
}

static void configure_own(struct pool *p)
{
	p->user = NULL;
	p->limits = (struct slot_limits){ .pool = OWN_POOL_SIZE, .user = OWN_SERVERS_MAX };
	p->reserve = p->min_size = 0;
	p->mode = POOL_TRANSACTION;
	p->query_wait_timeout = 0;
}

static void configure_replication(struct pool *p)
{
	p->limits.pool = 1;
	p->reserve = p->min_size = 0;
	p->mode = POOL_SESSION;
}

void pool_configure(struct pool *p)
{
	const struct config *c = p->worker->config;
	char *print;

	p->database = config_database(c, p->shared->database);
	p->user = config_user(c, p->shared->user);
	p->limits.pool = config_pool_size(c, p->database, p->user);
	p->limits.database = config_max_db_connections(c, p->database);
	p->limits.user = config_max_user_connections(c, p->user);
	p->reserve = config_reserve_pool_size(c, p->database, p->user);
	p->min_size = MIN(config_min_pool_size(c, p->database), p->limits.pool);
	p->mode = config_pool_mode(c, p->database, p->user);
	p->features = config_session_features(c, p->database);
	p->max_pinned = config_max_pinned(c, p->database, p->user);
	p->query_wait_timeout = config_query_wait_timeout(c, p->database, p->user);
	p->server_lifetime = config_server_lifetime(c, p->database);
	print = fingerprint(p->database, p->worker->snapshot->tls);
	if (p->fingerprint && !str_equal(print, p->fingerprint))
		close_all(p, p->database ? "database configuration changed" : "database removed");
	if (p->fingerprint)
		shared_forget_failure(p->shared);
	free(p->fingerprint);
	p->fingerprint = print ? print : xstrdup("");
	pool_configure_hosts(p);
	if (p->shared->is_own)
		configure_own(p);
	if (p->shared->replication)
		configure_replication(p);
	configure_credential(p);
}

struct pool *pool_get_by_shared(struct worker *w, struct pool_shared *shared)
{
	struct pool *p;

	ASSERT_ON_WORKER(w);
	HASH_FIND_PTR(w->pools, &shared, p);
	if (p) {
		registry_drop_pool(w->registry, &shared);
		return p;
	}
	p = xcalloc(1, sizeof(*p));
	p->worker = w;
	p->shared = shared;
	list_init(&p->idle);
	list_init(&p->servers);
	queue_init(&p->queue);
	list_init(&p->greeting);
	p->is_paused = paused_has(&w->paused, shared->database);
	HASH_ADD_PTR(w->pools, shared, p);
	pool_configure(p);
	return p;
}

struct pool *pool_get(struct worker *w, const char *database, const char *user)
{
	return pool_get_by_shared(w, registry_pool(w->registry, database, user));
}

struct pool *pool_get_own(struct worker *w, const char *database, const char *user)
{
	return pool_get_by_shared(w, registry_own_pool(w->registry, database, user));
}

struct pool *pool_get_replication(struct worker *w, const char *database, const char *user,
	enum replication replication, uint64_t id, struct settings *startup)
{
	struct pool *p =
		pool_get_by_shared(w, registry_replication_pool(w->registry, database, user, replication, id));

	settings_unref(&p->startup);
	p->startup = settings_ref(startup);
	return p;
}

void pool_free(struct pool *p)
{
	ASSERT(!p->queue.count && !p->greeting.count && !p->n_clients && !p->n_lingering && !p->idle.count &&
		!p->servers.count);
	HASH_DEL(p->worker->pools, p);
	if (!p->shared->is_own && !p->shared->replication)
		worker_keep_counters(p->worker, p->shared->database, &p->counters, &p->latency);
	latency_free(&p->latency);
	settings_unref(&p->welcome_reported);
	settings_unref(&p->welcome_startup);
	settings_unref(&p->welcome_told);
	settings_unref(&p->custom_names);
	settings_unref(&p->startup);
	pool_drop_hosts(p);
	registry_drop_pool(p->worker->registry, &p->shared);
	queue_free(&p->queue);
	free(p->fingerprint);
	free(p);
}

/* ---- idle servers ---- */

static struct server *idle_at(struct list_node *n)
{
	return n ? CONTAINER_OF(n, struct server, node) : NULL;
}

static bool needs_test(const struct pool *p, const struct server *s)
{
	const struct config *c = p->worker->config;

	return c->server_check_delay && *c->server_check_query &&
		p->worker->loop.now - s->used_at > c->server_check_delay;
}

static void start_test(struct pool *p, struct server *s)
{
	const char *query = p->worker->config->server_check_query;

	list_push_back(&p->servers, &s->node);
	server_set_state(s, SERVER_TESTING);
	p->n_testing++;
	s->deadline = server_patience(s);
	server_query(s, strcmp(query, "<empty>") == 0 ? "" : query);
	worker_tick_fast(p->worker);
}

static struct server *find_idle(const struct pool *p, uint64_t id, struct server *otherwise)
{
	for (struct list_node *n = list_first(&p->idle); n; n = list_next(&p->idle, n))
		if (idle_at(n)->id == id)
			return idle_at(n);
	return otherwise;
}

/* An idle server, best with the settings that are wanted. One that has been idle for long is tested first. */
static struct server *take_idle(struct pool *p, const struct settings *wants, uint64_t prefers)
{
	struct list_node *n = p->worker->config->server_round_robin ? list_last(&p->idle) : list_first(&p->idle);
	struct server *best = idle_at(n);
	int depth = 0;

	if (!best)
		return NULL;
	for (; n && depth < PREFER_DEPTH && !p->worker->config->server_round_robin;
		n = list_next(&p->idle, n), depth++) {
		if (settings_same(idle_at(n)->settings, wants)) {
			best = idle_at(n);
			break;
		}
	}
	if (prefers)
		best = find_idle(p, prefers, best);
	list_remove(&p->idle, &best->node);
	publish_idle(p);
	if (!needs_test(p, best))
		return best;
	start_test(p, best);
	return NULL;
}

/* ---- lending to other workers ---- */

static bool wants_server(const struct pool *p, int worker)
{
	return atomic_load(&view(p, worker)->waiting) > atomic_load(&view(p, worker)->incoming);
}

/* For how long a client that waits since then has waited, as of the time when its worker was at work last. */
static usec_t age_at(const struct pool *p, int worker, usec_t since)
{
	usec_t beat = atomic_load_explicit(&p->worker->registry->beats[worker].at, memory_order_relaxed);

	return beat > since ? beat - since : 0;
}

/*
 * A client that waits at a worker which has servers gets one of these in a moment: to send for another's would cost two threads a wake-up for each
 * short burst. One that has waited for longer than handoff_tolerance, or at a worker without servers, is helped out. That is its worker's time: what one that
 * lacks the CPU hasn't come to isn't need.
 */
static bool is_in_need(const struct pool *p, int worker, usec_t since)
{
	return atomic_load_explicit(&view(p, worker)->servers, memory_order_relaxed) == 0 ||
		age_at(p, worker, since) >= p->worker->config->handoff_tolerance;
}

/* The other worker with the longest waiting client; -1 if nobody is in need elsewhere. */
static int oldest_elsewhere(const struct pool *p, usec_t *since)
{
	int best = -1;

	if (p->worker->n_workers == 1)
		return -1;
	for (int i = 0; i < p->worker->n_workers; i++) {
		usec_t oldest = i == p->worker->index ? 0 : atomic_load(&view(p, i)->oldest);

		if (oldest && (best < 0 || oldest < *since) && wants_server(p, i) && is_in_need(p, i, oldest)) {
			best = i;
			*since = oldest;
		}
	}
	return best;
}

static void move_server(struct pool *p, struct server *s, int to)
{
	server_set_state(s, SERVER_MOVING);
	s->move_to = to;
	atomic_fetch_add(&view(p, to)->incoming, 1);
	list_push_back(&p->worker->moving, &s->node);
	pool_publish_servers(p);
}

static void deliver_server(struct message *m, void *owner)
{
	struct server *s = CONTAINER_OF(m, struct server, message);
	struct worker *w = owner;
	struct pool_shared *shared = s->moving_pool;
	struct pool *p = pool_get_by_shared(w, registry_ref_pool(w->registry, shared));

	s->moving_pool = NULL;
	w->n_moved++;
	atomic_fetch_sub(&shared->views[w->index].incoming, 1);
	registry_drop_pool(w->registry, &shared);
	pool_adopt_server(p, &s);
}

static void discard_server(struct message *m)
{
	struct server *s = CONTAINER_OF(m, struct server, message);

	/* Only when everything ends: the receiver is gone, its registry isn't. */
	s->pool = NULL;
	server_close(s, "pgweir is shutting down");
}

void pool_send_moving(struct worker *w)
{
	struct list_node *n;

	while ((n = list_pop_front(&w->moving))) {
		struct server *s = CONTAINER_OF(n, struct server, node);

		s->moving_pool = registry_ref_pool(w->registry, s->pool->shared);
		s->pool = NULL;
		stream_detach(&s->stream);
		s->message.deliver = deliver_server;
		s->message.discard = discard_server;
		mailbox_post(&w->peers[s->move_to]->loop.mailbox, &s->message);
	}
}

void pool_adopt_server(struct pool *p, struct server **sp)
{
	struct server *s = *sp;

	*sp = NULL;
	s->pool = p;
	stream_attach(&s->stream, &p->worker->loop);
	server_set_state(s, SERVER_IDLE);
	atomic_fetch_add_explicit(&own_view(p)->servers, 1, memory_order_relaxed); /* it is in no list yet */
	if (!p->database || !str_equal(s->fingerprint, p->fingerprint))
		s->close_reason = "database configuration changed";
	else if (s->connected_at <= p->reconnect_at) /* it was on its way when RECONNECT came */
		s->close_reason = "RECONNECT";
	pool_put_server(p, &s);
}

struct lend_request {
	struct message message;
	struct pool_shared *shared; /* a reference */
	struct registry *registry;
	int to;
};

static void discard_lend(struct message *m)
{
	struct lend_request *r = CONTAINER_OF(m, struct lend_request, message);

	registry_drop_pool(r->registry, &r->shared);
	free(r);
}

static void deliver_lend(struct message *m, void *owner)
{
	struct lend_request *r = CONTAINER_OF(m, struct lend_request, message);
	struct worker *w = owner;
	struct pool *p;

	HASH_FIND_PTR(w->pools, &r->shared, p);
	if (p && !p->is_paused && !list_is_empty(&p->idle) && wants_server(p, r->to)) {
		struct server *s = idle_at(list_pop_front(&p->idle));

		publish_idle(p);
		move_server(p, s, r->to);
	}
	discard_lend(m);
}

static void ask_elsewhere(struct pool *p, size_t n)
{
	for (int i = 0; i < p->worker->n_workers && n > 0; i++) {
		struct lend_request *r;

		if (i == p->worker->index || !atomic_load(&view(p, i)->idle))
			continue;
		r = xcalloc(1, sizeof(*r));
		r->message.deliver = deliver_lend;
		r->message.discard = discard_lend;
		r->registry = p->worker->registry;
		r->shared = registry_ref_pool(r->registry, p->shared);
		r->to = p->worker->index;
		mailbox_post(&p->worker->peers[i]->loop.mailbox, &r->message);
		n--;
	}
}

/* ---- granting ---- */

static void grant(struct pool *p, struct server *s)
{
	struct waiter *w = admission_take(p, s);

	w->ops->granted(w, &s);
}

static bool is_too_old(const struct pool *p, const struct server *s)
{
	if (p->server_lifetime == 0)
		return s->lending > 0; /* each is used once, and not less */
	return p->worker->loop.now - s->connected_at > p->server_lifetime + s->lifetime_jitter;
}

static const char *reason_to_close(const struct pool *p, const struct server *s)
{
	if (s->close_reason)
		return s->close_reason;
	if (!p->database)
		return "database removed";
	if (is_too_old(p, s))
		return "server lifetime over";
	if (atomic_load(&p->shared->servers) > p->limits.pool + p->reserve)
		return "pool is smaller now";
	if (host_pool_gives(s->host))
		return "PostgreSQL has no place for more, and others may need one";
	return NULL;
}

/*
 * Has the other worker's client waited for so much longer than our own first one that the server moves? A sixteenth more than ours
 * has waited, since two queues never are of exactly the same age; and one server in a while, so that the difference has the time to show: the other worker
 * may just not have had the CPU for a moment.
 */
static bool is_handed_over(struct pool *p, usec_t other)
{
	usec_t now = p->worker->loop.now, own = now - queue_since(&p->queue);

	if (other <= own + p->worker->config->handoff_tolerance + own / 16 || now - p->handed_over_at < HANDOVER_EVERY)
		return false;
	p->handed_over_at = now;
	return true;
}

void pool_put_server(struct pool *p, struct server **sp)
{
	struct server *s = *sp;
	const char *reason = reason_to_close(p, s);
	struct waiter *first;
	usec_t since = 0;
	int elsewhere;

	*sp = NULL;
	ASSERT_ON_WORKER(p->worker);
	ASSERT(s->state == SERVER_IDLE && pending_is_idle(&s->pending) && !list_is_linked(&s->node));
	s->used_at = p->worker->loop.now;
	admission_put(p, s);
	if (reason) {
		server_close(s, reason);
		return;
	}
	if (p->is_paused) {
		server_close(s, "paused");
		return;
	}
	if (server_asks(s))
		return;
	if (s->lending && evict_owes(p)) { /* not before it has served anybody: it would be logged in for nothing */
		server_close(s, "given up for a user with less than its share");
		return;
	}
	first = admission_next(p);
	elsewhere = oldest_elsewhere(p, &since);
	if (first && !(elsewhere >= 0 && is_handed_over(p, age_at(p, elsewhere, since)))) {
		grant(p, s);
		return;
	}
	if (elsewhere < 0) {
		list_push_front(&p->idle, &s->node);
		publish_idle(p);
		elsewhere = oldest_elsewhere(p, &since); /* again, now that the others can see it */
		if (elsewhere < 0)
			return;
		list_remove(&p->idle, &s->node);
		publish_idle(p);
	}
	move_server(p, s, elsewhere);
}

void pool_kick(struct pool *p)
{
	size_t coming, want;
	struct waiter *w;
	struct server *s;

	if (p->is_paused)
		return;
	while (p->idle.count && (w = admission_next(p)) && (s = take_idle(p, w->wants, w->prefers)))
		grant(p, s);
	want = MAX(p->queue.count, p->greeting.count ? 1 : 0);
	coming = p->n_login + p->n_testing;
	while (coming < want && pool_open_server(p))
		coming = p->n_login + p->n_testing;
	if (p->n_login + p->n_testing < p->queue.count && p->worker->n_workers > 1 &&
		is_in_need(p, p->worker->index, queue_since(&p->queue)))
		ask_elsewhere(p, p->queue.count - p->n_login - p->n_testing);
}

static void greet_all(struct pool *p)
{
	struct list_node *n;

	while ((n = list_first(&p->greeting))) {
		struct waiter *w = CONTAINER_OF(n, struct waiter, node);
		struct server *none = NULL;

		admission_leave(p, w);
		w->ops->granted(w, &none);
	}
}

void pool_look(struct pool *p)
{
	if (p->greeting.count) {
		struct settings *reported = shared_reported(p->shared);

		if (reported)
			greet_all(p);
		settings_unref(&reported);
	}
	if (p->queue.count || p->greeting.count)
		pool_kick(p);
}

/* With other workers there is more to look after than deadlines: who has become in need. */
static usec_t wait_tick(const struct pool *p)
{
	usec_t tolerance = p->worker->config->handoff_tolerance;

	return p->worker->n_workers == 1 || !tolerance ? TICK_FAST : MIN(MAX(tolerance, USEC_PER_MSEC), TICK_FAST);
}

struct server *pool_request(struct pool *p, struct waiter *w)
{
	struct server *s;

	ASSERT_ON_WORKER(p->worker);
	w->since = p->worker->loop.now;
	w->deadline = admission_deadline(p, w);
	w->is_greeting = w->is_notified = false;
	p->counters.server_assignments++;
	if (!p->queue.count && !p->is_paused && (s = take_idle(p, w->wants, w->prefers))) {
		admission_lend(p, w, s);
		latency_observe(&p->latency, MEASURE_WAIT, 0, w->since);
		return s;
	}
	if ((!p->is_paused && admission_refuse_by_last_error(p, w)) || !admission_enter(p, w))
		return NULL;
	worker_tick_within(p->worker, wait_tick(p));
	pool_kick(p);
	return NULL;
}

struct server *pool_take_idle(struct pool *p, const struct settings *wants)
{
	return !p->queue.count && !p->is_paused ? take_idle(p, wants, 0) : NULL;
}

/* 0: any value of it is good. */
static uint64_t hash_setting(const struct setting *item)
{
	uint64_t parts[2];

	if (strcasecmp(item->name, "application_name") == 0)
		return 0;
	parts[0] = hash64(item->name, strlen(item->name));
	parts[1] = hash64(item->value, strlen(item->value));
	return hash64(parts, sizeof(parts)) | 1;
}

bool pool_knows_settings(const struct pool *p, const struct settings *s)
{
	for (size_t i = 0; s && i < s->n; i++) {
		uint64_t hash = hash_setting(&s->items[i]);

		if (hash && p->known[hash / 2 % POOL_KNOWN] != hash)
			return false;
	}
	return true;
}

void pool_know_settings(struct pool *p, const struct settings *s)
{
	for (size_t i = 0; s && i < s->n; i++) {
		uint64_t hash = hash_setting(&s->items[i]);

		if (hash)
			p->known[hash / 2 % POOL_KNOWN] = hash;
	}
}

void pool_request_greeting(struct pool *p, struct waiter *w)
{
	w->since = p->worker->loop.now;
	w->is_greeting = true;
	if (admission_refuse_by_last_error(p, w))
		return;
	list_push_back(&p->greeting, &w->node);
	worker_count_waiting(p->worker, 1);
	worker_tick_fast(p->worker);
	p->worker->must_look = true;
}

void pool_login_done(struct pool *p, struct server *s)
{
	shared_login_ok(p->shared, s->reported);
	latency_observe(&p->latency, MEASURE_CONNECT, p->worker->loop.now - s->connected_at, p->worker->loop.now);
	worker_look_again(p->worker);
	server_set_state(s, SERVER_IDLE);
	list_remove(&p->servers, &s->node);
	atomic_fetch_add_explicit(&own_view(p)->servers, 1, memory_order_relaxed); /* it is in no list yet */
	pool_put_server(p, &s); /* first: it may be asked what newcomers have brought along */
	if (p->greeting.count)
		greet_all(p);
}

/* For now, and the host knows when it's time to try again: only the text is kept, for those whose own time is up. */
void pool_login_waits(struct pool *p, const char *sqlstate, const char *message)
{
	shared_note_failure(p->shared, sqlstate, message);
}

void pool_login_failed(struct pool *p, const char *sqlstate, const char *message, bool is_final)
{
	struct worker *w = p->worker;

	is_final = is_final || p->shared->replication; /* its client knows best when to come again */
	shared_login_failed(p->shared, w->loop.now, w->config->server_login_retry, sqlstate, message, is_final);
	if (!is_final)
		return;
	admission_refuse_all(p, sqlstate, message);
	worker_look_again(w); /* the other workers' clients get it, too: by trying */
}

/* ---- time ---- */

static void tick_idle(struct pool *p, usec_t now)
{
	usec_t timeout = p->worker->config->server_idle_timeout;

	LIST_FOREACH(&p->idle, n, next) {
		struct server *s = idle_at(n);
		const char *reason = reason_to_close(p, s);

		if (!reason && timeout && now - s->used_at > timeout && atomic_load(&p->shared->servers) > p->min_size)
			reason = "server idle timeout";
		if (reason)
			server_close(s, reason);
	}
	publish_idle(p);
}

/* A pool without clients is one worker's affair; with clients it is theirs who have them. */
static bool minds_minimum(const struct pool *p)
{
	bool is_mine = hash64(p->shared->database, strlen(p->shared->database)) % (unsigned)p->worker->n_workers ==
		(unsigned)p->worker->index;

	return p->n_clients > 0 || (is_mine && p->database->user);
}

static void tick_minimum(struct pool *p)
{
	if (!p->min_size || p->is_paused || !p->database || !minds_minimum(p))
		return;
	while (atomic_load(&p->shared->servers) < p->min_size && pool_open_server(p))
		;
}

static bool is_unused(const struct pool *p)
{
	return !p->n_clients && !p->n_lingering && !p->queue.count && !p->greeting.count && !p->idle.count &&
		!p->servers.count && !(p->database && p->database->user && p->min_size) && !p->is_paused;
}

static usec_t unused_ttl(const struct pool *p)
{
	usec_t ttl = p->worker->config->autodb_idle_timeout;
	bool is_auto = p->database && strcmp(p->database->name, "*") == 0;

	if (p->shared->is_own || p->shared->replication) /* clients that aren't logged in yet can make them up; nobody comes again */
		return 0;
	return is_auto ? (ttl ? ttl : UINT64_MAX) : UNUSED_POOL_TTL;
}

void pool_tick(struct pool *p)
{
	usec_t now = p->worker->loop.now;

	admission_tick(p, now);
	LIST_FOREACH(&p->servers, n, next)
		server_tick(CONTAINER_OF(n, struct server, node), now);
	tick_idle(p, now);
	tick_minimum(p);
	if (p->queue.count || p->greeting.count)
		pool_look(p);
	if (p->queue.count)
		p->worker->tick_every = MIN(p->worker->tick_every, wait_tick(p));
	reclaim_tick(p);
	if (p->greeting.count || p->servers.count)
		p->worker->tick_every = MIN(p->worker->tick_every, TICK_FAST);
	if (!is_unused(p)) {
		p->unused_since = 0;
	} else if (!p->unused_since) {
		p->unused_since = now;
	} else if (now - p->unused_since > unused_ttl(p)) {
		pool_free(p);
	}
}

/* ---- looking ---- */

unsigned pool_count(const struct pool *p, int state)
{
	unsigned n = 0;

	if (state == SERVER_IDLE)
		return (unsigned)p->idle.count;
	LIST_FOREACH(&p->servers, node, next)
		n += CONTAINER_OF(node, struct server, node)->state == (enum server_state)state;
	return n;
}

bool pool_is_drained(const struct pool *p)
{
	return atomic_load(&p->shared->servers) == 0; /* also none that is on its way between workers */
}
