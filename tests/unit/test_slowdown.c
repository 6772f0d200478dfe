#include "front/slowdown.h"

#include "unit.h"

#include <stdio.h>

#define DELAY (USEC_PER_SEC / 2)

static usec_t fail_from(struct slowdown *s, const char *host, usec_t now)
{
	struct address a = { .len = sizeof(sa_family_t) };

	a.sa.sa_family = AF_UNIX;
	if (host)
		ck_assert(address_numeric(&a, host, 5123));
	return slowdown_failed(s, &a, DELAY, now);
}

START_TEST(each_failure_costs_twice_the_one_before)
{
	struct slowdown *s = slowdown_new();
	usec_t want = DELAY;

	for (int i = 0; i <= SLOWDOWN_STEPS; i++, want *= 2)
		ck_assert_uint_eq(fail_from(s, "10.0.0.1", USEC_PER_SEC), want);
	want /= 2;
	for (int i = 0; i < 100; i++) /* and no more than that */
		ck_assert_uint_eq(fail_from(s, "10.0.0.1", USEC_PER_SEC), want);
	slowdown_free(&s);
}
END_TEST

static const struct {
	const char *first, *second; /* NULL: a Unix socket */
	bool is_same;
} pairs[] = {
	{ "10.0.0.1", "10.0.0.1", true },
	{ "10.0.0.1", "10.0.0.2", false },
	{ "2001:db8::1", "2001:db8::2", true },
	{ "2001:db8::1", "2001:db8:0:1::1", false },
	{ "0.0.0.0", "::", false },
	{ NULL, NULL, true },
	{ NULL, "0.0.0.0", false },
};

START_TEST(addresses_pay_for_themselves)
{
	struct slowdown *s = slowdown_new();

	fail_from(s, pairs[_i].first, USEC_PER_SEC);
	ck_assert_uint_eq(fail_from(s, pairs[_i].second, USEC_PER_SEC), pairs[_i].is_same ? 2 * DELAY : DELAY);
	slowdown_free(&s);
}
END_TEST

START_TEST(a_quiet_minute_is_a_new_beginning)
{
	struct slowdown *s = slowdown_new();
	usec_t now = USEC_PER_SEC;

	fail_from(s, "10.0.0.1", now);
	now += SLOWDOWN_FORGET - 1;
	ck_assert_uint_eq(fail_from(s, "10.0.0.1", now), 2 * DELAY);
	now += SLOWDOWN_FORGET - 1; /* counted from the last one */
	ck_assert_uint_eq(fail_from(s, "10.0.0.1", now), 4 * DELAY);
	now += SLOWDOWN_FORGET;
	ck_assert_uint_eq(fail_from(s, "10.0.0.1", now), DELAY);
	slowdown_free(&s);
}
END_TEST

START_TEST(the_quietest_makes_room)
{
	struct slowdown *s = slowdown_new();
	char host[32];

	fail_from(s, "10.1.0.1", 1);
	fail_from(s, "10.1.0.2", 2);
	fail_from(s, "10.1.0.1", 3); /* no longer the quietest */
	for (int i = 0; i < SLOWDOWN_MAX - 1; i++) {
		snprintf(host, sizeof(host), "10.2.%d.%d", i / 256, i % 256);
		fail_from(s, host, 4);
	}
	ck_assert_uint_eq(slowdown_count(s), SLOWDOWN_MAX);
	ck_assert_uint_eq(fail_from(s, "10.1.0.1", 5), 4 * DELAY);
	ck_assert_uint_eq(fail_from(s, "10.1.0.2", 5), DELAY);
	ck_assert_uint_eq(slowdown_count(s), SLOWDOWN_MAX);
	slowdown_free(&s);
}
END_TEST

UNIT_MAIN("slowdown", {
	tcase_add_test(tc, each_failure_costs_twice_the_one_before);
	tcase_add_loop_test(tc, addresses_pay_for_themselves, 0, N_ELEMENTS(pairs));
	tcase_add_test(tc, a_quiet_minute_is_a_new_beginning);
	tcase_add_test(tc, the_quietest_makes_room);
})
