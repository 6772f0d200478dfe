#include "pool/reclaim.h"

#include "session/client.h"
#include "unit.h"
#include "world.h"

/* Who waits at the other worker. */
struct visitor {
	struct waiter waiter;
	struct pool *pool;
	int granted, refused;
};

static void on_granted(struct waiter *w, struct server **s)
{
	struct visitor *v = CONTAINER_OF(w, struct visitor, waiter);

	v->granted++;
	pool_put_server(v->pool, s);
}

static void on_refused(struct waiter *w, const struct error_info *e)
{
	(void)e;
	CONTAINER_OF(w, struct visitor, waiter)->refused++;
}

static void on_delayed(struct waiter *w)
{
	(void)w;
}

static const struct waiter_ops ops = { .granted = on_granted, .refused = on_refused, .delayed = on_delayed };

static struct client *first_client(struct world *w)
{
	return CONTAINER_OF(list_first(&w->worker.clients), struct client, node);
}

/* A pool of one: its server is in the hands of a client at the first worker, who has begun a transaction. */
static void start(struct world *w)
{
	world_start_workers(w,
		"default_pool_size = 1\nreclaim_after = 1\nidle_in_transaction_grace = 1\nhandoff_tolerance = 0\n",
		2);
	world_client(w);
	world_rounds(w, WORLD_MANY);
	world_serve(w, 0, -1);
	world_rounds(w, WORLD_MANY);
	world_say(w, 0, MSG_QUERY, "begin");
	world_serve(w, 0, -1);
	world_rounds(w, WORLD_MANY);
	ck_assert_str_eq(world_heard(w, 0), "S K ZI C=OK ZT");
}

static void wait_elsewhere(struct world *w, struct visitor *v)
{
	*v = (struct visitor){ .waiter.ops = &ops, .pool = pool_get(&w->other, "world", "bob") };
	ck_assert_ptr_null(pool_request(v->pool, &v->waiter));
}

/* So long ago that both are due, as far as the ticks go. */
static void pass(struct world *w, struct visitor *v, usec_t silent, usec_t waited)
{
	first_client(w)->idle_since -= silent;
	v->waiter.since -= waited;
	atomic_store(&v->pool->shared->views[1].oldest, v->waiter.since);
	for (int i = 0; i < 2; i++) { /* the first tells how long it has been silent, the second asks for it */
		loop_tick_soon(&w->worker.loop);
		loop_tick_soon(&w->other.loop);
		world_rounds(w, WORLD_MANY);
	}
}

START_TEST(a_waiter_at_another_worker_gets_the_server)
{
	struct visitor v;
	struct world w;

	start(&w);
	wait_elsewhere(&w, &v);
	pass(&w, &v, 2 * USEC_PER_SEC, 2 * USEC_PER_SEC);
	ck_assert_int_eq(first_client(&w)->state, CLIENT_TX_LOST);
	world_serve(&w, 0, -1); /* ROLLBACK */
	world_rounds(&w, WORLD_MANY);
	ck_assert_int_eq(v.granted, 1);
	ck_assert_int_eq(w.n_servers, 1);
	world_check(&w);
	world_end(&w);
}
END_TEST

START_TEST(nobody_is_reclaimed_for_a_client_that_waits_shortly)
{
	struct visitor v;
	struct world w;

	start(&w);
	wait_elsewhere(&w, &v);
	pass(&w, &v, 60 * USEC_PER_SEC, USEC_PER_SEC / 2);
	ck_assert_int_eq(first_client(&w)->state, CLIENT_ACTIVE);
	pool_withdraw(v.pool, &v.waiter);
	world_end(&w);
}
END_TEST

/* It isn't published while nobody waits, and not any more when nobody is left to be reclaimed. */
START_TEST(silence_is_told_while_somebody_waits)
{
	struct visitor v;
	struct world w;
	struct pool_shared *shared;

	start(&w);
	shared = first_client(&w)->pool->shared;
	loop_tick_soon(&w.worker.loop);
	world_rounds(&w, WORLD_MANY);
	ck_assert_uint_eq(atomic_load(&shared->views[0].silent), 0);
	wait_elsewhere(&w, &v);
	loop_tick_soon(&w.worker.loop);
	world_rounds(&w, WORLD_MANY);
	ck_assert_uint_eq(atomic_load(&shared->views[0].silent), first_client(&w)->idle_since);
	pass(&w, &v, 2 * USEC_PER_SEC, 2 * USEC_PER_SEC);
	ck_assert_uint_eq(atomic_load(&shared->views[0].silent), 0);
	pool_withdraw(v.pool, &v.waiter);
	world_end(&w);
}
END_TEST

/* One at a time: the second only when the first one's server has had the time to serve somebody. */
START_TEST(turns_are_taken_one_after_another)
{
	struct visitor v;
	struct world w;
	struct pool_shared *shared;

	start(&w);
	shared = first_client(&w)->pool->shared;
	wait_elsewhere(&w, &v);
	atomic_store(&shared->reclaimed_at, clock_now() + USEC_PER_SEC);
	pass(&w, &v, 2 * USEC_PER_SEC, 2 * USEC_PER_SEC);
	ck_assert_int_eq(first_client(&w)->state, CLIENT_ACTIVE);
	atomic_store(&shared->reclaimed_at, 0);
	pass(&w, &v, 0, 0);
	ck_assert_int_eq(first_client(&w)->state, CLIENT_TX_LOST);
	pool_withdraw(v.pool, &v.waiter);
	world_end(&w);
}
END_TEST

UNIT_MAIN("reclaim", {
	tcase_add_test(tc, a_waiter_at_another_worker_gets_the_server);
	tcase_add_test(tc, nobody_is_reclaimed_for_a_client_that_waits_shortly);
	tcase_add_test(tc, silence_is_told_while_somebody_waits);
	tcase_add_test(tc, turns_are_taken_one_after_another);
})
