/*
 * How servers move between workers (pool.h, "Lending"): two workers in one thread, whose time is the test's. Servers are real ones that log in
 * to the world's; those who wait for them are nobody's clients: what is lent is held until it's given back.
 */
#include "unit.h"
#include "world.h"

#include <sched.h>
#include <sys/timerfd.h>

enum { ASKER, GIVER }; /* workers, by what they do in most cases here */
#define BORROWERS 16
#define MS USEC_PER_MSEC

struct borrower {
	struct waiter waiter;
	struct server *server; /* NULL: it has none */
	struct pool *pool;
};

struct rig {
	struct world world;
	struct pool *pools[WORLD_WORKERS];
	struct borrower borrowers[BORROWERS];
	usec_t now;
};

/* ---- borrowers ---- */

static void no_loss(struct server *s, const struct error_info *e)
{
	((struct borrower *)s->client)->server = NULL;
	(void)e;
}

static const struct server_link link_ = { .lost = no_loss };

static void lend(struct borrower *b, struct server *s)
{
	ck_assert_ptr_null(b->server);
	b->server = s;
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
	(void)w;
	ck_abort_msg("refused: %s", e->message);
}

static void on_delayed(struct waiter *w)
{
	(void)w;
}

static const struct waiter_ops waiter_ops = { .granted = on_granted, .refused = on_refused, .delayed = on_delayed };

static struct borrower *borrow(struct rig *r, int worker, int number)
{
	struct borrower *b = &r->borrowers[number];
	struct server *s;

	*b = (struct borrower){ .waiter.ops = &waiter_ops, .pool = r->pools[worker] };
	s = pool_request(b->pool, &b->waiter);
	if (s)
		lend(b, s);
	return b;
}

static void give_back(struct borrower *b)
{
	struct server *s = b->server;

	b->server = NULL;
	server_unlink(s, false);
}

static bool is_waiting(const struct borrower *b)
{
	return list_is_linked(&b->waiter.node);
}

/* ---- the rig ---- */

static struct worker *worker(struct rig *r, int i)
{
	return r->world.peers[i];
}

static struct worker_view *view_of(struct rig *r, int i)
{
	return &r->pools[i]->shared->views[i];
}

static unsigned view_servers(struct rig *r, int i)
{
	return atomic_load(&view_of(r, i)->servers);
}

static size_t mail(struct rig *r, int i)
{
	size_t n = 0;

	for (struct message *m = atomic_load(&worker(r, i)->loop.mailbox.head); m; m = m->next)
		n++;
	return n;
}

static void reap(struct loop *l)
{
	struct list_node *n;

	while ((n = list_pop_front(&l->doomed))) {
		struct doomed *d = CONTAINER_OF(n, struct doomed, node);

		d->free(d);
	}
}

/* As loop_run() has it, but for the sockets: nothing comes from them here. */
static void round_of(struct rig *r, int i)
{
	struct loop *l = &worker(r, i)->loop;

	l->now = r->now;
	mailbox_deliver(&l->mailbox);
	l->round_end(l->owner);
	reap(l);
}

static usec_t tick(struct rig *r, int i)
{
	struct loop *l = &worker(r, i)->loop;

	l->now = r->now;
	return l->tick(l->owner);
}

/* Both have a round at this time, and time has passed. */
static void pass(struct rig *r, usec_t time)
{
	r->now += time;
	for (int i = 0; i < r->world.n_workers; i++)
		round_of(r, i);
}

static void start_workers(struct rig *r, int n_workers, const char *settings)
{
	memset(r->borrowers, 0, sizeof(r->borrowers));
	world_start_workers(&r->world, settings, n_workers);
	for (int i = 0; i < n_workers; i++)
		r->pools[i] = pool_get(worker(r, i), "world", "bob");
	r->now = clock_now() + USEC_PER_SEC;
}

/* Opens servers for borrowers from..to-1, who have them then. The time is the real one meanwhile. */
static void open_servers(struct rig *r, int i, int from, int to)
{
	for (int n = from; n < to; n++)
		borrow(r, i, n);
	for (int n = 0; n < WORLD_MANY; n++) {
		world_rounds(&r->world, 1);
		for (int s = 0; s < r->world.n_servers; s++)
			world_serve(&r->world, s, -1);
	}
	for (int n = from; n < to; n++)
		ck_assert_ptr_nonnull(r->borrowers[n].server);
	r->now = MAX(r->now, clock_now()) + USEC_PER_SEC;
	pass(r, 0);
}

/* Two workers and this many servers at each, which borrowers of these numbers have: first the asker's. */
static void start(struct rig *r, int at_asker, int at_giver, const char *more)
{
	char settings[256];

	snprintf(settings, sizeof(settings), "default_pool_size = %d\n%s", at_asker + at_giver, more);
	start_workers(r, 2, settings);
	open_servers(r, ASKER, 0, at_asker);
	open_servers(r, GIVER, at_asker, at_asker + at_giver);
	ck_assert_uint_eq(view_servers(r, ASKER), (unsigned)at_asker);
	ck_assert_uint_eq(view_servers(r, GIVER), (unsigned)at_giver);
	ck_assert_uint_eq(mail(r, ASKER) + mail(r, GIVER), 0);
}

static void end(struct rig *r)
{
	for (int n = 0; n < BORROWERS; n++) {
		struct borrower *b = &r->borrowers[n];

		if (b->pool)
			pool_withdraw(b->pool, &b->waiter);
		if (b->server)
			give_back(b);
	}
	pass(r, 0);
	pass(r, 0);
	world_check(&r->world);
	world_end(&r->world);
}

/* ---- who is in need ---- */

START_TEST(without_servers_a_client_gets_an_idle_one_at_once)
{
	static struct rig r;
	struct borrower *b;

	start(&r, 0, 1, "");
	give_back(&r.borrowers[0]);
	ck_assert_uint_eq(atomic_load(&view_of(&r, GIVER)->idle), 1);
	b = borrow(&r, ASKER, 1);
	ck_assert_uint_eq(mail(&r, GIVER), 1);
	round_of(&r, GIVER);
	ck_assert_uint_eq(atomic_load(&view_of(&r, ASKER)->incoming), 1);
	round_of(&r, ASKER);
	ck_assert_ptr_nonnull(b->server); /* no time has passed */
	ck_assert_ptr_eq(b->server->pool, r.pools[ASKER]);
	ck_assert_uint_eq(atomic_load(&view_of(&r, ASKER)->incoming), 0);
	ck_assert_uint_eq(worker(&r, ASKER)->n_moved, 1);
	end(&r);
}
END_TEST

START_TEST(without_servers_a_client_gets_the_next_that_comes_free_at_once)
{
	static struct rig r;
	struct borrower *b;

	start(&r, 0, 1, "");
	b = borrow(&r, ASKER, 1);
	ck_assert_uint_eq(mail(&r, GIVER), 0); /* nobody to ask: none is idle */
	give_back(&r.borrowers[0]);
	ck_assert_uint_eq(atomic_load(&view_of(&r, GIVER)->idle), 0);
	round_of(&r, GIVER);
	round_of(&r, ASKER);
	ck_assert_ptr_nonnull(b->server);
	end(&r);
}
END_TEST

START_TEST(no_more_servers_move_than_clients_wait)
{
	static struct rig r;

	start(&r, 0, 3, "");
	borrow(&r, ASKER, 3);
	borrow(&r, ASKER, 4);
	for (int n = 0; n < 3; n++)
		give_back(&r.borrowers[n]);
	ck_assert_uint_eq(atomic_load(&view_of(&r, ASKER)->incoming), 2);
	ck_assert_uint_eq(atomic_load(&view_of(&r, GIVER)->idle), 1);
	round_of(&r, GIVER);
	round_of(&r, ASKER);
	ck_assert(r.borrowers[3].server && r.borrowers[4].server);
	end(&r);
}
END_TEST

/*
 * The client waits at a worker that has a server, too, which somebody has. The other's server is idle all the time, or comes free when the time has passed.
 * rounds: of the asker's, after each of which its tick runs; the time passes in equal parts.
 */
static const struct {
	const char *name, *settings;
	usec_t waits;
	int rounds;
	bool is_helped;
} needs[] = {
	{ "at once", "", 0, 1, false },
	{ "nearly as long as handoff_tolerance", "", 2 * MS - 1, 1, false },
	{ "for handoff_tolerance", "", 2 * MS, 1, true },
	{ "for long, and its worker is at work", "", USEC_PER_SEC, 100, true },
	{ "for long, but its worker hasn't been at work", "", USEC_PER_SEC, 0, false },
	{ "for less than a higher tolerance", "handoff_tolerance = 0.1", 100 * MS - 1, 50, false },
	{ "for a higher tolerance", "handoff_tolerance = 0.1", 100 * MS, 50, true },
	{ "at once, without a tolerance", "handoff_tolerance = 0", 0, 1, true },
};

static void wait_for_need(struct rig *r, int row)
{
	int n = needs[row].rounds;
	usec_t end = r->now + needs[row].waits;

	for (; n > 0; n--) {
		r->now += (end - r->now) / (usec_t)n;
		round_of(r, ASKER);
		tick(r, ASKER);
	}
	r->now = end;
}

START_TEST(with_servers_it_gets_an_idle_one_only_in_need)
{
	static struct rig r;
	struct borrower *b;

	start(&r, 1, 1, needs[_i].settings);
	give_back(&r.borrowers[1]);
	b = borrow(&r, ASKER, 2);
	wait_for_need(&r, _i);
	ck_assert_msg((mail(&r, GIVER) > 0) == needs[_i].is_helped, "%s", needs[_i].name);
	round_of(&r, GIVER);
	ck_assert_uint_eq(atomic_load(&view_of(&r, GIVER)->idle), !needs[_i].is_helped);
	if (needs[_i].rounds)
		round_of(&r, ASKER);
	ck_assert_msg((b->server != NULL) == needs[_i].is_helped, "%s", needs[_i].name);
	end(&r);
}
END_TEST

START_TEST(with_servers_it_gets_one_that_comes_free_only_in_need)
{
	static struct rig r;

	start(&r, 1, 1, needs[_i].settings);
	borrow(&r, ASKER, 2);
	wait_for_need(&r, _i);
	worker(&r, GIVER)->loop.now = r.now;
	give_back(&r.borrowers[1]);
	ck_assert_msg(atomic_load(&view_of(&r, GIVER)->idle) == !needs[_i].is_helped, "%s", needs[_i].name);
	ck_assert_msg(atomic_load(&view_of(&r, ASKER)->incoming) == needs[_i].is_helped, "%s", needs[_i].name);
	end(&r);
}
END_TEST

START_TEST(a_worker_that_had_no_time_looks_at_its_own_servers_first)
{
	static struct rig r;
	struct borrower *b;

	start(&r, 1, 1, "");
	give_back(&r.borrowers[1]);
	b = borrow(&r, ASKER, 2);
	r.now += USEC_PER_SEC;
	tick(&r, ASKER); /* the first thing in the round: the server's answer is there, but hasn't been read yet */
	give_back(&r.borrowers[0]);
	round_of(&r, ASKER);
	ck_assert_ptr_nonnull(b->server);
	ck_assert_uint_eq(mail(&r, GIVER), 0);
	end(&r);
}
END_TEST

/* ---- two queues ---- */

/* A server of the giver's comes free when its own oldest client has waited for `own`, and the asker's for `other`. */
static const struct {
	const char *name, *settings;
	usec_t own, other;
	bool moves;
} ages[] = {
	{ "the same", "", 10 * MS, 10 * MS, false },
	{ "ours has waited longer", "", 10 * MS, 1 * MS, false },
	{ "longer by the tolerance", "", 0, 2 * MS, false },
	{ "longer by more than the tolerance", "", 0, 2 * MS + 1, true },
	{ "by the tolerance and a sixteenth", "", 80 * MS, 87 * MS, false },
	{ "by more than the tolerance and a sixteenth", "", 80 * MS, 87 * MS + 1, true },
	{ "by a sixteenth without a tolerance", "handoff_tolerance = 0", 80 * MS, 85 * MS, false },
	{ "by more than a sixteenth without a tolerance", "handoff_tolerance = 0", 80 * MS, 85 * MS + 1, true },
	{ "by a higher tolerance", "handoff_tolerance = 0.5", 80 * MS, 585 * MS, false },
	{ "by more than a higher tolerance", "handoff_tolerance = 0.5", 80 * MS, 585 * MS + 1, true },
};

/* One after the other starts to wait, so that at the end both have waited as long as they should. */
static void wait_in_both(struct rig *r, int asker_number, usec_t other, int giver_number, usec_t own)
{
	usec_t first = MAX(own, other), second = MIN(own, other);
	bool is_own_first = own > other;

	pass(r, 0);
	borrow(r, is_own_first ? GIVER : ASKER, is_own_first ? giver_number : asker_number);
	pass(r, first - second);
	borrow(r, is_own_first ? ASKER : GIVER, is_own_first ? asker_number : giver_number);
	pass(r, second);
}

START_TEST(between_two_queues_it_moves_to_who_has_waited_for_much_longer)
{
	static struct rig r;
	int at_asker = _i % 2; /* whether the other worker has servers doesn't matter then */
	struct borrower *others = &r.borrowers[4], *own = &r.borrowers[5];

	_i /= 2;
	start(&r, at_asker, 1, ages[_i].settings);
	wait_in_both(&r, 4, ages[_i].other, 5, ages[_i].own);
	give_back(&r.borrowers[at_asker]);
	ck_assert_msg((own->server == NULL) == ages[_i].moves, "%s", ages[_i].name);
	ck_assert_msg(is_waiting(own) == ages[_i].moves, "%s", ages[_i].name);
	pass(&r, 0);
	pass(&r, 0);
	ck_assert_msg((others->server != NULL) == ages[_i].moves, "%s", ages[_i].name);
	end(&r);
}
END_TEST

START_TEST(between_two_queues_time_is_what_the_other_worker_has_come_to)
{
	static struct rig r;

	start(&r, 1, 1, "");
	wait_in_both(&r, 4, 10 * MS, 5, 0);
	r.now -= 10 * MS; /* as if the asker's last round had been when its client began to wait */
	round_of(&r, ASKER);
	r.now += 10 * MS;
	give_back(&r.borrowers[1]);
	ck_assert_ptr_nonnull(r.borrowers[5].server);
	end(&r);
}
END_TEST

START_TEST(between_two_queues_one_moves_in_a_millisecond)
{
	static struct rig r;
	static const struct {
		usec_t after;
		bool moves;
	} steps[] = { { 0, true }, { 1, false }, { MS - 2, false }, { 1, true }, { MS, true } };
	unsigned moved = 0;

	start(&r, 0, 5, "");
	for (int n = 5; n < 8; n++)
		borrow(&r, ASKER, n); /* three that move, */
	pass(&r, USEC_PER_SEC);
	for (int n = 0; n < (int)N_ELEMENTS(steps); n++) {
		struct borrower *own; /* and one at home each time, who has waited for a moment only */

		pass(&r, steps[n].after);
		own = borrow(&r, GIVER, 8 + n);
		give_back(&r.borrowers[n]);
		moved += steps[n].moves;
		ck_assert_msg(is_waiting(own) == steps[n].moves, "step %d", n);
		pool_withdraw(r.pools[GIVER], &own->waiter);
	}
	pass(&r, 0);
	pass(&r, 0);
	ck_assert_uint_eq(worker(&r, ASKER)->n_moved, moved);
	end(&r);
}
END_TEST

/* ---- they don't miss each other ---- */

#define RACES 20000

/* Whose turn it is, and how long each side dawdles: that way what they do meets in all ways. */
struct race {
	struct rig *rig;
	atomic_int began, done;
};

static void dawdle(int n)
{
	for (volatile int i = 0; i < n; i++)
		;
}

static void await(atomic_int *counter, int n)
{
	for (int spins = 0; atomic_load(counter) < n; spins++)
		if (spins > 1000)
			sched_yield();
}

/* The giver's thread: puts its server, which is about to be idle, once in each race. */
static void *put_each_time(void *arg)
{
	struct race *race = arg;

	for (int n = 1; n <= RACES; n++) {
		await(&race->began, n);
		worker(race->rig, GIVER)->loop.thread = pthread_self();
		dawdle(n % 97 * 4);
		give_back(&race->rig->borrowers[0]);
		atomic_store(&race->done, n);
	}
	return NULL;
}

START_TEST(an_idle_server_and_who_begins_to_wait_meet)
{
	static struct rig r;
	struct race race = { .rig = &r };
	pthread_t giver;

	start(&r, 0, 1, "");
	ck_assert_int_eq(pthread_create(&giver, NULL, put_each_time, &race), 0);
	for (int n = 1; n <= RACES; n++) {
		atomic_store(&race.began, n);
		dawdle(n % 89 * 4);
		borrow(&r, ASKER, 1);
		await(&race.done, n);
		worker(&r, GIVER)->loop.thread = pthread_self();
		ck_assert_msg(mail(&r, GIVER) || worker(&r, GIVER)->moving.count,
			"race %d: they missed each other", n);
		world_check_view_(r.pools[GIVER]);
		round_of(&r, GIVER);
		round_of(&r, ASKER);
		ck_assert_ptr_nonnull(r.borrowers[1].server);
		give_back(&r.borrowers[1]);
		borrow(&r, GIVER, 0); /* back, for the next time */
		round_of(&r, ASKER);
		round_of(&r, GIVER);
		ck_assert_ptr_nonnull(r.borrowers[0].server);
	}
	pthread_join(giver, NULL);
	end(&r);
}
END_TEST

START_TEST(who_asks_for_one_that_is_gone_meanwhile_isnt_forgotten)
{
	static struct rig r;
	struct borrower *b;

	start(&r, 0, 1, "");
	give_back(&r.borrowers[0]);
	b = borrow(&r, ASKER, 1); /* asks .. */
	borrow(&r, GIVER, 0);	  /* .. but somebody was quicker */
	ck_assert_ptr_nonnull(r.borrowers[0].server);
	pass(&r, 0);
	ck_assert(is_waiting(b));
	give_back(&r.borrowers[0]);
	pass(&r, 0);
	pass(&r, 0);
	ck_assert_ptr_nonnull(b->server);
	end(&r);
}
END_TEST

/* ---- what doesn't concern others ---- */

START_TEST(with_nobody_waiting_elsewhere_nothing_crosses_threads)
{
	static struct rig r;

	start(&r, 1, 2, "");
	give_back(&r.borrowers[2]); /* the giver has an idle one all the time */
	for (int n = 0; n < 1000; n++) {
		struct borrower *has = &r.borrowers[n % 2 * 3], *waits = &r.borrowers[3 - n % 2 * 3];

		borrow(&r, ASKER, n % 2 ? 0 : 3); /* a short queue at the asker */
		pass(&r, MS / 2);
		give_back(has);
		ck_assert_ptr_nonnull(waits->server);
		give_back(&r.borrowers[1]); /* and a client after the other at the giver */
		borrow(&r, GIVER, 1);
		ck_assert_uint_eq(mail(&r, ASKER) + mail(&r, GIVER), 0);
		pass(&r, MS / 2);
		tick(&r, ASKER);
		tick(&r, GIVER);
	}
	ck_assert_uint_eq(worker(&r, ASKER)->n_moved + worker(&r, GIVER)->n_moved, 0);
	end(&r);
}
END_TEST

/* ---- what the others see ---- */

static void check_servers(struct rig *r, const char *when, unsigned asker, unsigned giver)
{
	ck_assert_msg(view_servers(r, ASKER) == asker && view_servers(r, GIVER) == giver,
		"%s: %u and %u instead of %u and %u", when, view_servers(r, ASKER), view_servers(r, GIVER),
		asker, giver);
	world_check(&r->world);
}

START_TEST(a_view_counts_the_servers_that_a_worker_has)
{
	static struct rig r;
	struct borrower *b = &r.borrowers[0];

	start_workers(&r, 2, "default_pool_size = 2");
	check_servers(&r, "nothing", 0, 0);
	borrow(&r, GIVER, 0);
	check_servers(&r, "one in login", 0, 0);
	world_rounds(&r.world, 2);
	world_serve(&r.world, 0, -1);
	world_rounds(&r.world, 1);
	ck_assert_ptr_nonnull(b->server);
	check_servers(&r, "lent out after login", 0, 1);
	give_back(b);
	check_servers(&r, "idle", 0, 1);
	borrow(&r, GIVER, 0);
	borrow(&r, GIVER, 1);
	check_servers(&r, "one lent out, one in login", 0, 1);
	world_rounds(&r.world, 2);
	world_close(&r.world.servers[1].fd);
	world_rounds(&r.world, 2);
	check_servers(&r, "the login failed", 0, 1);
	pool_withdraw(r.pools[GIVER], &r.borrowers[1].waiter);
	borrow(&r, ASKER, 2);
	give_back(b);
	ck_assert_uint_eq(view_servers(&r, ASKER) + view_servers(&r, GIVER), 0); /* on its way: neither's */
	pass(&r, 0);
	check_servers(&r, "in the mail", 0, 0);
	pass(&r, 0);
	check_servers(&r, "moved, and lent out", 1, 0);
	ck_assert_ptr_nonnull(r.borrowers[2].server);
	borrow(&r, ASKER, 3);
	check_servers(&r, "one lent out, one in login again", 1, 0);
	server_close_when_free(r.borrowers[2].server, "test");
	check_servers(&r, "to be closed", 1, 0);
	give_back(&r.borrowers[2]);
	check_servers(&r, "closed, and one in login", 0, 0);
	end(&r);
}
END_TEST

START_TEST(a_server_that_is_closed_on_arrival_isnt_counted)
{
	static struct rig r;

	start(&r, 0, 1, "");
	borrow(&r, ASKER, 1);
	give_back(&r.borrowers[0]);
	r.pools[ASKER]->reconnect_at = r.now; /* RECONNECT came while it was on its way */
	pass(&r, 0);
	pool_withdraw(r.pools[ASKER], &r.borrowers[1].waiter);
	pass(&r, 0);
	ck_assert_uint_eq(worker(&r, ASKER)->n_moved, 1);
	check_servers(&r, "closed on arrival", 0, 0);
	end(&r);
}
END_TEST

START_TEST(a_server_that_dies_isnt_counted)
{
	static struct rig r;

	start(&r, 2, 1, "");
	give_back(&r.borrowers[0]);
	world_close(&r.world.servers[0].fd); /* the idle one, or the one that is lent out: */
	world_close(&r.world.servers[1].fd);
	world_rounds(&r.world, 2);
	check_servers(&r, "both have died", 0, 1);
	end(&r);
}
END_TEST

/* ---- the tick ---- */

/* While a client waits, and all servers are in use: how often its worker looks around. */
static const struct {
	const char *settings;
	int n_workers;
	usec_t every;
} ticks[] = {
	{ "", 1, TICK_FAST },
	{ "", 2, 2 * MS },
	{ "handoff_tolerance = 0.01", 2, 10 * MS },
	{ "handoff_tolerance = 0.0005", 2, 1 * MS },
	{ "handoff_tolerance = 0", 2, TICK_FAST },
	{ "handoff_tolerance = 1", 2, TICK_FAST },
	{ "handoff_tolerance = 0", 1, TICK_FAST },
};

static usec_t armed_for(struct rig *r, int i)
{
	struct itimerspec left;

	ck_assert_int_eq(timerfd_gettime(worker(r, i)->loop.tick_fd, &left), 0);
	return (usec_t)left.it_value.tv_sec * USEC_PER_SEC + (usec_t)left.it_value.tv_nsec / 1000;
}

START_TEST(ticks_are_short_only_between_workers_and_while_somebody_waits)
{
	static struct rig r;
	char settings[128];
	usec_t every = ticks[_i].every;

	snprintf(settings, sizeof(settings), "default_pool_size = 1\n%s", ticks[_i].settings);
	start_workers(&r, ticks[_i].n_workers, settings);
	open_servers(&r, 0, 0, 1);
	ck_assert_uint_eq(tick(&r, 0), TICK_FAST); /* a server is in use: its deadlines */
	loop_tick_in(&worker(&r, 0)->loop, USEC_PER_SEC);
	borrow(&r, 0, 1);
	ck_assert_uint_eq(worker(&r, 0)->tick_every, every);
	if (every < TICK_FAST)
		ck_assert_uint_le(armed_for(&r, 0), every);
	for (int n = 0; n < 3; n++)
		ck_assert_uint_eq(tick(&r, 0), every);
	give_back(&r.borrowers[0]);
	ck_assert_ptr_nonnull(r.borrowers[1].server);
	ck_assert_uint_eq(tick(&r, 0), TICK_FAST); /* nobody waits any longer */
	give_back(&r.borrowers[1]);
	ck_assert_uint_eq(tick(&r, 0), USEC_PER_SEC);
	borrow(&r, 0, 0); /* it doesn't wait */
	ck_assert_ptr_nonnull(r.borrowers[0].server);
	ck_assert_uint_ge(tick(&r, 0), TICK_FAST);
	end(&r);
}
END_TEST

START_TEST(the_tick_of_a_worker_without_waiters_stays_as_it_is)
{
	static struct rig r;

	start(&r, 1, 1, "");
	borrow(&r, ASKER, 2);
	ck_assert_uint_eq(tick(&r, ASKER), 2 * MS);
	ck_assert_uint_eq(tick(&r, GIVER), TICK_FAST);
	give_back(&r.borrowers[1]);
	ck_assert_uint_eq(tick(&r, GIVER), USEC_PER_SEC);
	end(&r);
}
END_TEST

START_TEST(deadlines_are_swept_however_high_the_tolerance_is)
{
	static struct rig r;

	start(&r, 0, 1, "handoff_tolerance = 1");
	borrow(&r, ASKER, 1);
	ck_assert_uint_eq(worker(&r, ASKER)->tick_every, TICK_FAST);
	ck_assert_uint_eq(tick(&r, ASKER), TICK_FAST); /* it has no server whose deadlines would need it */
	end(&r);
}
END_TEST

START_TEST(priority_counts_between_workers)
{
	static struct rig r;
	struct borrower *b;

	start(&r, 1, 1, "");
	borrow(&r, GIVER, 2);
	pass(&r, USEC_PER_SEC); /* who waits here has waited for long */
	r.borrowers[3] = (struct borrower){ .waiter = { .ops = &waiter_ops, .is_priority = true },
		.pool = r.pools[ASKER] };
	b = &r.borrowers[3];
	ck_assert_ptr_null(pool_request(b->pool, &b->waiter));
	give_back(&r.borrowers[1]);
	round_of(&r, GIVER);
	round_of(&r, ASKER);
	ck_assert_ptr_nonnull(b->server);
	ck_assert(is_waiting(&r.borrowers[2]));
	end(&r);
}
END_TEST

UNIT_MAIN("lending", {
	tcase_add_test(tc, priority_counts_between_workers);
	tcase_add_test(tc, without_servers_a_client_gets_an_idle_one_at_once);
	tcase_add_test(tc, without_servers_a_client_gets_the_next_that_comes_free_at_once);
	tcase_add_test(tc, no_more_servers_move_than_clients_wait);
	tcase_add_loop_test(tc, with_servers_it_gets_an_idle_one_only_in_need, 0, N_ELEMENTS(needs));
	tcase_add_loop_test(tc, with_servers_it_gets_one_that_comes_free_only_in_need, 0, N_ELEMENTS(needs));
	tcase_add_test(tc, a_worker_that_had_no_time_looks_at_its_own_servers_first);
	tcase_add_loop_test(
		tc, between_two_queues_it_moves_to_who_has_waited_for_much_longer, 0, 2 * N_ELEMENTS(ages));
	tcase_add_test(tc, between_two_queues_time_is_what_the_other_worker_has_come_to);
	tcase_add_test(tc, between_two_queues_one_moves_in_a_millisecond);
	tcase_add_test(tc, an_idle_server_and_who_begins_to_wait_meet);
	tcase_add_test(tc, who_asks_for_one_that_is_gone_meanwhile_isnt_forgotten);
	tcase_add_test(tc, with_nobody_waiting_elsewhere_nothing_crosses_threads);
	tcase_add_test(tc, a_view_counts_the_servers_that_a_worker_has);
	tcase_add_test(tc, a_server_that_is_closed_on_arrival_isnt_counted);
	tcase_add_test(tc, a_server_that_dies_isnt_counted);
	tcase_add_loop_test(
		tc, ticks_are_short_only_between_workers_and_while_somebody_waits, 0, N_ELEMENTS(ticks));
	tcase_add_test(tc, the_tick_of_a_worker_without_waiters_stays_as_it_is);
	tcase_add_test(tc, deadlines_are_swept_however_high_the_tolerance_is);
})
