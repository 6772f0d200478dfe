#include "pool/host.h"
#include "unit.h"

#include <string.h>

#define RETRY_MAX USEC_PER_SEC
#define MS USEC_PER_MSEC
#define CONCURRENCY 8

struct rig {
	struct hosts hosts;
	struct host_pool *a, *b; /* two pools at one host */
	usec_t now;
};

static void setup(struct rig *r)
{
	hosts_init(&r->hosts);
	r->a = host_pool_get(&r->hosts, "h", 5432, "app", "bob", HOST_POOL_CLIENTS);
	r->b = host_pool_get(&r->hosts, "h", 5432, "app", "ann", HOST_POOL_CLIENTS);
	r->now = clock_now();
}

static void teardown(struct rig *r)
{
	host_pool_drop(&r->a);
	host_pool_drop(&r->b);
	hosts_destroy(&r->hosts);
}

static enum host_verdict begin(struct rig *r, struct host_pool *hp, struct host_login *l)
{
	return host_login_begin(hp, CONCURRENCY, r->now, l);
}

static void end(struct rig *r, struct host_pool *hp, struct host_login *l, enum host_outcome outcome)
{
	host_login_end(hp, l, outcome, outcome == HOST_FULL ? "53300" : "57P03", "a reason", r->now, RETRY_MAX);
	if (outcome != HOST_OK)
		host_server_closed(hp);
}

static void fail_once(struct rig *r, struct host_pool *hp)
{
	struct host_login l;

	ck_assert_int_eq(begin(r, hp, &l), HOST_GO);
	end(r, hp, &l, HOST_DOWN);
}

static void close_all(struct host_pool *hp)
{
	while (atomic_load(&hp->servers))
		host_server_closed(hp);
}

START_TEST(one_failure_holds_all_pools)
{
	struct host_login l, m;
	struct rig r;

	setup(&r);
	fail_once(&r, r.a);
	ck_assert_int_eq(begin(&r, r.b, &l), HOST_AWAY);
	r.now = r.a->host->next_try;
	ck_assert_int_eq(begin(&r, r.b, &l), HOST_GO);
	ck_assert(l.is_probe);
	ck_assert_int_eq(begin(&r, r.a, &m), HOST_AWAY); /* one decides for all */
	end(&r, r.b, &l, HOST_OK);
	ck_assert_int_eq(r.a->host->state, HOST_RAMP);
	ck_assert_int_eq(begin(&r, r.a, &m), HOST_GO);
	ck_assert(!m.is_probe);
	end(&r, r.a, &m, HOST_OK);
	close_all(r.a);
	close_all(r.b);
	teardown(&r);
}
END_TEST

START_TEST(the_ramp_doubles)
{
	struct host_login l[64];
	int at_once = 2;
	struct rig r;

	setup(&r);
	fail_once(&r, r.a);
	r.now += RETRY_MAX;
	ck_assert_int_eq(begin(&r, r.a, &l[0]), HOST_GO);
	end(&r, r.a, &l[0], HOST_OK);
	for (; at_once <= CONCURRENCY; at_once *= 2) {
		int n = 0;

		while (begin(&r, r.a, &l[n]) == HOST_GO)
			n++;
		ck_assert_int_eq(n, at_once);
		for (int i = 0; i < n; i++)
			end(&r, r.a, &l[i], HOST_OK);
	}
	ck_assert_int_eq(begin(&r, r.a, &l[0]), HOST_GO);
	ck_assert_int_eq(r.a->host->state, HOST_UP);
	end(&r, r.a, &l[0], HOST_OK);
	close_all(r.a);
	teardown(&r);
}
END_TEST

START_TEST(the_pause_doubles_up_to_the_limit_and_begins_anew_after_a_success)
{
	static const usec_t pauses[] = { 100 * MS, 200 * MS, 400 * MS, 800 * MS, RETRY_MAX, RETRY_MAX };
	struct host_login l;
	struct rig r;

	setup(&r);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < N_ELEMENTS(pauses); i++) {
			usec_t pause;

			fail_once(&r, r.a);
			pause = r.a->host->next_try - r.now;
			ck_assert_uint_le(pause, pauses[i]);
			ck_assert_uint_ge(pause, pauses[i] * 3 / 4);
			r.now = r.a->host->next_try;
		}
		ck_assert_int_eq(begin(&r, r.a, &l), HOST_GO);
		end(&r, r.a, &l, round ? HOST_ANSWERED : HOST_OK); /* a wrong password is an answer, too */
		r.now += USEC_PER_SEC;
	}
	ck_assert_int_eq(r.a->host->failures, 0);
	close_all(r.a);
	teardown(&r);
}
END_TEST

/* Many logins that were under way fail together: that is one piece of news. */
START_TEST(logins_that_fail_together_count_once)
{
	struct host_login l[CONCURRENCY];
	struct rig r;

	setup(&r);
	for (int i = 0; i < CONCURRENCY; i++)
		ck_assert_int_eq(begin(&r, r.a, &l[i]), HOST_GO);
	for (int i = 0; i < CONCURRENCY; i++)
		end(&r, r.a, &l[i], HOST_DOWN);
	ck_assert_int_eq(r.a->host->failures, 1);
	ck_assert_uint_eq(r.a->host->failed_ever, CONCURRENCY);
	ck_assert_uint_le(r.a->host->next_try - r.now, 100 * MS);
	teardown(&r);
}
END_TEST

/* SF-07: PAUSE, RECONNECT or a client that leaves may close a login. */
START_TEST(a_login_that_we_drop_is_no_failure)
{
	struct host_login l;
	struct rig r;

	setup(&r);
	ck_assert_int_eq(begin(&r, r.a, &l), HOST_GO);
	end(&r, r.a, &l, HOST_DROPPED);
	ck_assert_int_eq(r.a->host->state, HOST_UP);
	fail_once(&r, r.a);
	r.now = r.a->host->next_try;
	ck_assert_int_eq(begin(&r, r.a, &l), HOST_GO);
	end(&r, r.a, &l, HOST_DROPPED); /* the probe: the next one is tried at once */
	ck_assert_int_eq(r.a->host->failures, 1);
	ck_assert_int_eq(begin(&r, r.b, &l), HOST_GO);
	ck_assert(l.is_probe);
	end(&r, r.b, &l, HOST_DOWN);
	ck_assert_int_eq(r.a->host->failures, 2);
	teardown(&r);
}
END_TEST

/* SF-07: "Back-off survives pool re-creation". */
START_TEST(a_hold_outlives_those_who_know_of_it)
{
	struct host_login l;
	struct rig r;

	setup(&r);
	fail_once(&r, r.a);
	r.now = r.a->host->next_try;
	fail_once(&r, r.a);
	host_pool_drop(&r.a);
	host_pool_drop(&r.b);
	r.a = host_pool_get(&r.hosts, "h", 5432, "app", "bob", HOST_POOL_CLIENTS);
	r.b = host_pool_get(&r.hosts, "h", 5433, "app", "bob", HOST_POOL_CLIENTS);
	ck_assert_int_eq(begin(&r, r.a, &l), HOST_AWAY);
	ck_assert_int_eq(r.a->host->failures, 2);
	ck_assert_int_eq(begin(&r, r.b, &l), HOST_GO); /* another port is another host */
	end(&r, r.b, &l, HOST_OK);
	close_all(r.b);
	teardown(&r);
}
END_TEST

/* SF-06: A login that hangs keeps neither the others' places nor the probe's. */
START_TEST(a_slow_login_is_in_nobodys_way)
{
	struct host_login slow[CONCURRENCY], l;
	struct rig r;

	setup(&r);
	for (int i = 0; i < CONCURRENCY; i++)
		ck_assert_int_eq(begin(&r, r.a, &slow[i]), HOST_GO);
	ck_assert_int_eq(begin(&r, r.b, &l), HOST_BUSY);
	host_login_slow(r.a, &slow[0], r.now);
	host_login_slow(r.a, &slow[0], r.now);
	ck_assert_int_eq(begin(&r, r.b, &l), HOST_GO);
	end(&r, r.b, &l, HOST_OK);
	for (int i = 0; i < CONCURRENCY; i++)
		end(&r, r.a, &slow[i], HOST_DOWN);
	ck_assert_int_eq(r.a->host->logins, 0);

	r.now = r.a->host->next_try;
	ck_assert_int_eq(begin(&r, r.a, &slow[0]), HOST_GO);
	host_login_slow(r.a, &slow[0], r.now);
	ck_assert_int_eq(begin(&r, r.b, &l), HOST_GO);
	ck_assert(l.is_probe);
	end(&r, r.a, &slow[0], HOST_DOWN); /* late: the other one decides */
	ck_assert_int_eq(r.a->host->state, HOST_PROBING);
	end(&r, r.b, &l, HOST_OK);
	ck_assert_int_eq(r.a->host->state, HOST_RAMP);
	ck_assert_int_eq(r.a->host->logins, 0);
	close_all(r.b);
	teardown(&r);
}
END_TEST

START_TEST(a_full_postgresql_limits_one_pool_and_holds_nobody)
{
	struct host_login l[6], m;
	struct rig r;

	setup(&r);
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(begin(&r, r.a, &l[i]), HOST_GO);
	for (int i = 0; i < 5; i++)
		end(&r, r.a, &l[i], HOST_OK);
	end(&r, r.a, &l[5], HOST_FULL);
	ck_assert_int_eq(r.a->places.limit, 5);
	ck_assert_str_eq(r.a->why, "a reason");
	ck_assert_int_eq(begin(&r, r.a, &m), HOST_NO_PLACE);
	ck_assert_int_eq(r.a->host->state, HOST_UP);
	ck_assert_int_eq(begin(&r, r.b, &m), HOST_GO);
	end(&r, r.b, &m, HOST_OK);
	host_server_closed(r.a); /* below its limit it may open one at once */
	ck_assert_int_eq(begin(&r, r.a, &m), HOST_GO);
	end(&r, r.a, &m, HOST_OK);
	r.now += PLACES_TRY_MAX;
	ck_assert_int_eq(begin(&r, r.a, &m), HOST_GO);
	ck_assert(m.is_try);
	ck_assert_int_eq(begin(&r, r.a, &l[0]), HOST_NO_PLACE); /* one at a time */
	end(&r, r.a, &m, HOST_DROPPED);
	ck_assert_int_eq(begin(&r, r.a, &m), HOST_GO); /* .. and that was none */
	end(&r, r.a, &m, HOST_OK);
	ck_assert_int_eq(r.a->places.limit, 6);
	close_all(r.a);
	close_all(r.b);
	teardown(&r);
}
END_TEST

START_TEST(what_is_to_be_given_is_given_once)
{
	struct rig r;

	setup(&r);
	ck_assert(!host_pool_gives(r.a));
	atomic_store(&r.a->to_give, 2);
	ck_assert(host_pool_gives(r.a));
	ck_assert(host_pool_gives(r.a));
	ck_assert(!host_pool_gives(r.a));
	teardown(&r);
}
END_TEST

START_TEST(a_host_of_the_wrong_role_is_left_for_a_while)
{
	struct host_login l;
	struct rig r;

	setup(&r);
	ck_assert_int_eq(host_pool_role(r.a, r.now), ROLE_UNKNOWN);
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(begin(&r, r.a, &l), HOST_GO);
		end(&r, r.a, &l, HOST_UNFIT);
		ck_assert_int_eq(host_pool_role(r.a, r.now), ROLE_UNFIT);
		ck_assert_uint_le(r.a->unfit_until, r.now + USEC_PER_SEC);
		r.now = r.a->unfit_until;
		ck_assert_int_eq(host_pool_role(r.a, r.now), ROLE_UNKNOWN);
	}
	ck_assert_int_eq(r.a->host->state, HOST_UP); /* others may want just that */
	ck_assert_int_eq(begin(&r, r.a, &l), HOST_GO);
	end(&r, r.a, &l, HOST_OK);
	ck_assert_int_eq(host_pool_role(r.a, r.now), ROLE_FITS);
	host_pool_turned(r.a, r.now);
	ck_assert_int_eq(host_pool_role(r.a, r.now), ROLE_UNFIT);
	close_all(r.a);
	teardown(&r);
}
END_TEST

UNIT_MAIN("host", {
	tcase_add_test(tc, one_failure_holds_all_pools);
	tcase_add_test(tc, the_ramp_doubles);
	tcase_add_test(tc, the_pause_doubles_up_to_the_limit_and_begins_anew_after_a_success);
	tcase_add_test(tc, logins_that_fail_together_count_once);
	tcase_add_test(tc, a_login_that_we_drop_is_no_failure);
	tcase_add_test(tc, a_hold_outlives_those_who_know_of_it);
	tcase_add_test(tc, a_slow_login_is_in_nobodys_way);
	tcase_add_test(tc, a_full_postgresql_limits_one_pool_and_holds_nobody);
	tcase_add_test(tc, what_is_to_be_given_is_given_once);
	tcase_add_test(tc, a_host_of_the_wrong_role_is_left_for_a_while);
})
