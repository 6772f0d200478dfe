/*
 * Who waits for how long, and who is refused (pool/admission.h): one worker whose time is the test's, with servers that are logged in to the
 * world's. Those who wait are nobody's clients.
 */
#include "unit.h"
#include "world.h"

#include "pool/admission.h"

#define MS USEC_PER_MSEC
#define S USEC_PER_SEC
#define SERVERS 4
#define BORROWERS 8192

struct borrower {
	struct waiter waiter;
	struct server *server; /* NULL: it has none */
	usec_t until, answered;
	bool is_refused;
	char sqlstate[6], severity[8], message[128], detail[400];
};

struct rig {
	struct world world;
	struct pool *pool;
	struct borrower *borrowers;
	int n;
	usec_t held; /* by those who are granted a server */
};

static struct rig rig;

static usec_t *now(void)
{
	return &rig.world.worker.loop.now;
}

static void no_loss(struct server *s, const struct error_info *e)
{
	((struct borrower *)s->client)->server = NULL;
	(void)e;
}

static const struct server_link link_ = { .lost = no_loss };

static void lend(struct borrower *b, struct server *s)
{
	b->server = s;
	b->until = *now() + rig.held;
	server_link(s, b, &link_);
	ck_assert(server_sync(s, NULL));
}

static void on_granted(struct waiter *w, struct server **s)
{
	lend(CONTAINER_OF(w, struct borrower, waiter), *s);
	*s = NULL;
}

static void on_refused(struct waiter *w, const struct error_info *e)
{
	struct borrower *b = CONTAINER_OF(w, struct borrower, waiter);

	b->is_refused = true;
	snprintf(b->sqlstate, sizeof(b->sqlstate), "%s", e->sqlstate);
	snprintf(b->severity, sizeof(b->severity), "%s", e->severity);
	snprintf(b->message, sizeof(b->message), "%s", e->message);
	snprintf(b->detail, sizeof(b->detail), "%s", e->detail ? e->detail : "");
}

static void on_delayed(struct waiter *w)
{
	(void)w;
}

static const struct waiter_ops waiter_ops = { .granted = on_granted, .refused = on_refused, .delayed = on_delayed };

static struct borrower *borrow_as(usec_t wait_max, uint64_t flow, bool is_priority)
{
	struct borrower *b = &rig.borrowers[rig.n++];
	struct server *s;

	ck_assert_int_lt(rig.n, BORROWERS);
	b->waiter = (struct waiter){
		.ops = &waiter_ops, .wait_max = wait_max, .flow_key = flow, .is_priority = is_priority
	};
	s = pool_request(rig.pool, &b->waiter);
	if (s)
		lend(b, s);
	return b;
}

static struct borrower *borrow(void)
{
	return borrow_as(0, 0, false);
}

static void give_back(struct borrower *b)
{
	struct server *s = b->server;

	b->server = NULL;
	b->answered = *now();
	server_unlink(s, false);
}

static void tick(void)
{
	struct loop *l = &rig.world.worker.loop;

	l->tick(l->owner);
}

/* All servers of the pool are open, and lent to the first borrowers. */
static void start(const char *more)
{
	char settings[256];

	memset(&rig, 0, sizeof(rig));
	rig.borrowers = xcalloc(BORROWERS, sizeof(*rig.borrowers));
	snprintf(settings, sizeof(settings), "default_pool_size = %d\nquery_wait_timeout_action = error\n%s",
		SERVERS, more);
	world_start(&rig.world, settings);
	rig.pool = pool_get(&rig.world.worker, "world", "bob");
	*now() = clock_now();
	for (int i = 0; i < SERVERS; i++)
		borrow();
	for (int n = 0; n < WORLD_MANY; n++) {
		world_rounds(&rig.world, 1);
		for (int s = 0; s < rig.world.n_servers; s++)
			world_serve(&rig.world, s, -1);
	}
	for (int i = 0; i < SERVERS; i++)
		ck_assert_ptr_nonnull(rig.borrowers[i].server);
}

static void end(void)
{
	for (int i = 0; i < rig.n; i++) {
		pool_withdraw(rig.pool, &rig.borrowers[i].waiter);
		if (rig.borrowers[i].server)
			give_back(&rig.borrowers[i]);
	}
	world_check(&rig.world);
	world_end(&rig.world);
	free(rig.borrowers);
}

/* The pool's servers were held for so long, often enough to know. */
static void learn(usec_t held)
{
	for (int i = 0; i < FORECAST_MIN; i++)
		forecast_note(&rig.pool->forecast, held, *now());
}

/* ---- deadlines ---- */

static const struct {
	const char *name, *settings;
	usec_t own, refused_after; /* by whom: */
	const char *whose, *severity;
} deadlines[] = {
	{ "the pool's", "query_wait_timeout = 2", 0, 2 * S, "query_wait_timeout:", "ERROR" },
	{ "its own, shorter", "query_wait_timeout = 2", S, S, "pgweir.query_wait:", "ERROR" },
	{ "its own is longer", "query_wait_timeout = 2", 3 * S, 2 * S, "query_wait_timeout:", "ERROR" },
	{ "its own alone", "query_wait_timeout = 0", S, S, "pgweir.query_wait:", "ERROR" },
	{ "the pool's disconnects", "query_wait_timeout = 2\nquery_wait_timeout_action = disconnect", 0,
		2 * S, "query_wait_timeout:", "FATAL" },
	{ "its own never does", "query_wait_timeout = 2\nquery_wait_timeout_action = disconnect", S, S,
		"pgweir.query_wait:", "ERROR" },
};

START_TEST(the_shorter_deadline_counts)
{
	struct borrower *b;

	start(deadlines[_i].settings);
	b = borrow_as(deadlines[_i].own, 0, false);
	*now() += deadlines[_i].refused_after - 1;
	tick();
	ck_assert_msg(!b->is_refused, "%s", deadlines[_i].name);
	*now() += 1;
	tick();
	ck_assert_msg(b->is_refused, "%s", deadlines[_i].name);
	ck_assert_msg(strstr(b->message, deadlines[_i].whose) != NULL, "%s: %s", deadlines[_i].name, b->message);
	ck_assert_str_eq(b->severity, deadlines[_i].severity);
	ck_assert_str_eq(b->sqlstate, "53300");
	ck_assert_ptr_nonnull(strstr(b->detail, "of at most 4 server connections 4 are busy"));
	end();
}
END_TEST

START_TEST(who_is_late_is_passed_over_even_before_the_tick)
{
	struct borrower *late, *next;

	start("query_wait_timeout = 5");
	late = borrow_as(S, 0, false);
	next = borrow();
	*now() += S;
	give_back(&rig.borrowers[0]);
	ck_assert(late->is_refused && !late->server);
	ck_assert_ptr_nonnull(next->server);
	ck_assert_uint_eq(next->waiter.last_wait, S);
	end();
}
END_TEST

START_TEST(when_all_are_late_the_server_is_idle)
{
	struct borrower *late;

	start("query_wait_timeout = 5");
	late = borrow_as(S, 0, false);
	*now() += S;
	give_back(&rig.borrowers[0]);
	ck_assert(late->is_refused);
	ck_assert_uint_eq(rig.pool->idle.count, 1);
	end();
}
END_TEST

/* ---- the forecast ---- */

static const struct {
	const char *name;
	usec_t limit, held; /* 0: not known */
	int before;	    /* who wait already */
	usec_t own;
	bool is_off, is_priority, is_paused, is_growing, grows_elsewhere, is_failing, is_on_hold;
	bool is_refused;
} forecasts[] = {
	/* one of 4 servers comes free each 100 ms, 17 of them in 1.75 s */
	{ .name = "in time", .limit = 2 * S, .held = 400 * MS, .before = 16 },
	{ .name = "hopeless", .limit = 2 * S, .held = 400 * MS, .before = 17, .is_refused = true },
	{ .name = "off", .limit = 2 * S, .held = 400 * MS, .before = 40, .is_off = true },
	{ .name = "no limit", .held = 400 * MS, .before = 40 },
	{ .name = "its own limit", .held = 400 * MS, .before = 17, .own = 2 * S, .is_refused = true },
	{ .name = "nothing is known", .limit = 2 * S, .before = 40 },
	{ .name = "priority", .limit = 2 * S, .held = 400 * MS, .before = 40, .is_priority = true },
	{ .name = "paused", .limit = 2 * S, .held = 400 * MS, .before = 40, .is_paused = true },
	{ .name = "the pool grows", .limit = 2 * S, .held = 400 * MS, .before = 40, .is_growing = true },
	{ .name = "it grows at another worker", .limit = 2 * S, .held = 400 * MS, .before = 40, .grows_elsewhere = true },
	{ .name = "its logins fail", .limit = 2 * S, .held = 400 * MS, .before = 40, .is_failing = true },
	{ .name = "the host is on hold", .limit = 2 * S, .held = 400 * MS, .before = 40, .is_on_hold = true },
	{ .name = "nobody waits", .limit = 2 * S, .held = 40 * S },
};

START_TEST(who_would_wait_in_vain_is_refused_at_once)
{
	struct borrower *b;
	char settings[128];

	snprintf(settings, sizeof(settings), "query_wait_prediction = %d\nquery_wait_timeout = %u",
		!forecasts[_i].is_off, (unsigned)(forecasts[_i].limit / S));
	start(settings);
	for (int i = 0; i < forecasts[_i].before; i++)
		borrow_as(60 * S, 0, false);
	if (forecasts[_i].held)
		learn(forecasts[_i].held);
	rig.pool->is_paused = forecasts[_i].is_paused;
	if (forecasts[_i].is_growing)
		rig.pool->is_full = false;
	if (forecasts[_i].is_failing)
		atomic_store(&rig.pool->shared->next_try, *now() + S);
	if (forecasts[_i].is_on_hold)
		rig.pool->hosts[0]->host->state = HOST_HOLD;
	atomic_fetch_add(&rig.pool->shared->logins, forecasts[_i].grows_elsewhere);
	b = borrow_as(forecasts[_i].own, 0, forecasts[_i].is_priority);
	ck_assert_msg(b->is_refused == forecasts[_i].is_refused, "%s: %s", forecasts[_i].name, b->detail);
	if (b->is_refused) {
		ck_assert_str_eq(b->sqlstate, "53300");
		ck_assert_str_eq(b->severity, "ERROR");
		ck_assert_ptr_nonnull(strstr(b->detail, "number 18 in the queue"));
		ck_assert_ptr_nonnull(strstr(b->detail, "The expected wait is 1.800 s, the limit 2.000 s"));
	}
	rig.pool->is_paused = false;
	atomic_store(&rig.pool->shared->next_try, 0);
	atomic_fetch_sub(&rig.pool->shared->logins, forecasts[_i].grows_elsewhere);
	rig.pool->hosts[0]->host->state = HOST_UP;
	end();
}
END_TEST

/* One of two hosts has no place for more: what the other one's state makes of it. */
static const struct {
	enum host_state other;
	int logins; /* on their way there */
	bool is_full;
} hosts_full[] = { { HOST_UP, 100, false }, { HOST_PROBING, 0, false }, { HOST_UP, -1, true } };

START_TEST(a_pool_is_full_when_all_its_hosts_are)
{
	struct pool *p;
	struct host_pool *other;

	start("query_wait_timeout = 0");
	p = rig.pool;
	other = host_pool_get(&rig.world.registry->hosts, "@elsewhere", 5432, "world", "bob", HOST_POOL_CLIENTS);
	p->hosts[p->n_hosts++] = other;
	p->limits.pool++;
	for (size_t i = 0; i < p->n_hosts; i++)
		p->hosts[i]->places = (struct places){ .next_try = *now() + S,
			.is_limited = i == 0 || hosts_full[_i].logins < 0 };
	other->host->state = hosts_full[_i].other;
	other->host->logins = MAX(hosts_full[_i].logins, 0);
	borrow();
	ck_assert_int_eq(p->is_full, hosts_full[_i].is_full);
	ck_assert_int_eq(p->n_login, 0);
	other->host->logins = 0;
	other->host->state = HOST_UP;
	p->limits.pool--;
	p->hosts[0]->places = (struct places){ 0 };
	p->n_hosts--;
	host_pool_drop(&other);
	end();
}
END_TEST

/* ---- three times what the pool can bear ---- */

struct outcome {
	int answered, in_time, late_starts, refused;
};

#define HELD (20 * MS)
#define LIMIT (2 * S)
#define EACH (HELD / SERVERS / 3) /* three arrive while one is served */
#define LASTS (10 * S)

static void serve(void)
{
	for (int i = 0; i < rig.n; i++) {
		struct borrower *b = &rig.borrowers[i];

		if (b->server && b->until <= *now())
			give_back(b);
	}
}

static struct outcome overload(const char *settings, usec_t seed)
{
	struct outcome o = { 0 };
	usec_t began, next_tick = 0;

	start(settings);
	began = *now();
	for (usec_t t = 0; t < LASTS; t += EACH) {
		*now() = began + t;
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		rig.held = HELD / 2 + (seed >> 33) % HELD; /* from 10 to 30 ms */
		serve();
		if (*now() >= next_tick) {
			tick();
			next_tick = *now() + 50 * MS;
		}
		borrow_as(LIMIT, 0, false);
	}
	for (int i = SERVERS; i < rig.n; i++) {
		const struct borrower *b = &rig.borrowers[i];
		usec_t granted = b->waiter.since + b->waiter.last_wait;

		o.refused += b->is_refused;
		if (!b->answered)
			continue;
		o.answered++;
		o.in_time += b->answered <= b->waiter.since + LIMIT;
		o.late_starts += granted >= b->waiter.since + LIMIT;
	}
	end();
	return o;
}

START_TEST(overload_leaves_the_capacity_to_answers_in_time)
{
	const int capacity = (int)(LASTS / HELD) * SERVERS;
	struct outcome with = overload("query_wait_prediction = 1\nquery_wait_timeout = 60", 1);
	struct outcome without = overload("query_wait_prediction = 0\nquery_wait_timeout = 60", 1);

	ck_assert_msg(with.in_time >= capacity * 9 / 10, "%d of %d", with.in_time, capacity);
	ck_assert_msg(without.in_time < capacity / 2, "%d of %d", without.in_time, capacity);
	ck_assert_int_ge(without.answered, capacity * 9 / 10); /* as busy, in vain */
	ck_assert_int_eq(with.late_starts + without.late_starts, 0);
}
END_TEST

UNIT_MAIN("admission", {
	tcase_add_loop_test(tc, the_shorter_deadline_counts, 0, N_ELEMENTS(deadlines));
	tcase_add_test(tc, who_is_late_is_passed_over_even_before_the_tick);
	tcase_add_test(tc, when_all_are_late_the_server_is_idle);
	tcase_add_loop_test(tc, who_would_wait_in_vain_is_refused_at_once, 0, N_ELEMENTS(forecasts));
	tcase_add_loop_test(tc, a_pool_is_full_when_all_its_hosts_are, 0, N_ELEMENTS(hosts_full));
	tcase_add_test(tc, overload_leaves_the_capacity_to_answers_in_time);
})
