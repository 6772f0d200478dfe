#include "storm/arrival.h"

#include "unit.h"

#define N 10000

/* How many of N come in each tenth of the window, the eleventh being what comes later. */
static void count_tenths(enum arrival kind, uint64_t seed, unsigned tenths[11])
{
	struct arrivals a = { .kind = kind, .n = N, .window = USEC_PER_SEC };
	struct world *w = xcalloc(1, sizeof(*w));

	w->random = seed;
	for (unsigned i = 0; i < N; i++) {
		usec_t tenth = arrivals_next(&a, w) / (USEC_PER_SEC / 10);

		tenths[MIN(tenth, 10)]++;
	}
	free(w);
}

START_TEST(a_burst_is_even_and_ends_with_its_window)
{
	unsigned tenths[11] = { 0 };

	count_tenths(ARRIVAL_BURST, 5, tenths);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_lt(tenths[i] - 850, 300);
	ck_assert_uint_eq(tenths[10], 0);
}
END_TEST

START_TEST(a_ramp_grows)
{
	unsigned tenths[11] = { 0 };

	count_tenths(ARRIVAL_RAMP, 5, tenths);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_uint_eq(tenths[i], N / 100 * (2 * i + 1)); /* the area below a straight line */
	ck_assert_uint_eq(tenths[10], 0);
}
END_TEST

START_TEST(poisson_has_its_rate_and_repeats_with_its_seed)
{
	unsigned tenths[11] = { 0 }, again[11] = { 0 }, other[11] = { 0 };

	count_tenths(ARRIVAL_POISSON, 5, tenths);
	count_tenths(ARRIVAL_POISSON, 5, again);
	count_tenths(ARRIVAL_POISSON, 6, other);
	ck_assert_mem_eq(tenths, again, sizeof(tenths));
	ck_assert_mem_ne(tenths, other, sizeof(tenths));
	for (int i = 0; i < 9; i++)
		ck_assert_uint_lt(tenths[i] - 850, 300);
}
END_TEST

/* In an exponential distribution 1 - 1/e of the gaps are shorter than the mean; even ones would have half. */
START_TEST(gaps_of_poisson_are_exponential)
{
	struct arrivals a = { .kind = ARRIVAL_POISSON, .n = N, .window = N * USEC_PER_MSEC };
	struct world *w = xcalloc(1, sizeof(*w));
	usec_t before = 0;
	unsigned shorter = 0;

	w->random = 77;
	for (unsigned i = 0; i < N; i++) {
		usec_t at = arrivals_next(&a, w);

		ck_assert_uint_ge(at, before);
		shorter += at - before < USEC_PER_MSEC;
		before = at;
	}
	ck_assert_uint_gt(shorter, 6100);
	ck_assert_uint_lt(shorter, 6550);
	free(w);
}
END_TEST

START_TEST(no_window_is_one_instant)
{
	struct arrivals a = { .kind = (enum arrival)_i, .n = 5, .window = 0 };
	struct world *w = xcalloc(1, sizeof(*w));

	w->random = 1;
	for (int i = 0; i < 5; i++)
		ck_assert_uint_eq(arrivals_next(&a, w), 0);
	free(w);
}
END_TEST

UNIT_MAIN("storm arrival", {
	tcase_add_test(tc, a_burst_is_even_and_ends_with_its_window);
	tcase_add_test(tc, a_ramp_grows);
	tcase_add_test(tc, poisson_has_its_rate_and_repeats_with_its_seed);
	tcase_add_test(tc, gaps_of_poisson_are_exponential);
	tcase_add_loop_test(tc, no_window_is_one_instant, 0, 3);
})
