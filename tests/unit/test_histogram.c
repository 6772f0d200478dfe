#include "stats/histogram.h"
#include "stats/latency.h"
#include "unit.h"

#include <string.h>

#define S USEC_PER_SEC

START_TEST(buckets_cover_all_values_without_gap_or_overlap)
{
	uint64_t from = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t end = histogram_bucket_end(i);

		ck_assert_uint_ge(end, from);
		ck_assert_uint_eq(histogram_bucket(from), i);
		ck_assert_uint_eq(histogram_bucket(end), i);
		ck_assert_uint_le((end - from) * 8, from); /* an eighth, and nothing where from is small */
		from = end + 1;
	}
	ck_assert_uint_eq(from, UINT64_C(1) << HISTOGRAM_VALUE_BITS);
	ck_assert_uint_eq(histogram_bucket(from), HISTOGRAM_BUCKETS - 1);
	ck_assert_uint_eq(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}
END_TEST

static const struct {
	const char *what;
	struct {
		uint64_t value, times;
	} values[4];
	double q;
	uint64_t want;
} quantiles[] = {
	{ "nothing was measured", { { 0, 0 } }, 0.5, 0 },
	{ "one value is every quantile", { { 1000, 1 } }, 0.001, 1000 },
	{ "one value is every quantile", { { 1000, 1 } }, 0.999, 1000 },
	{ "zeros", { { 0, 10 }, { 7, 1 } }, 0.9, 0 },
	{ "half of three is two", { { 1, 1 }, { 2, 1 }, { 3, 1 } }, 0.5, 2 },
	{ "half of four is two", { { 1, 1 }, { 2, 1 }, { 3, 1 }, { 4, 1 } }, 0.5, 2 },
	{ "the last of a thousand", { { 5, 999 }, { 12, 1 } }, 0.999, 5 },
	{ "the last two of a thousand", { { 5, 998 }, { 12, 2 } }, 0.999, 12 },
	{ "a bucket's end, which is an eighth too much at most", { { 1000, 1 }, { 5000, 1 } }, 0.5, 1023 },
	{ "never more than the maximum", { { 1000, 2 } }, 0.5, 1000 },
	{ "the last bucket has no end", { { UINT64_C(1) << 40, 3 } }, 0.5, UINT64_C(1) << 40 },
};

START_TEST(quantiles_are_never_too_little)
{
	struct histogram h = { 0 };

	for (size_t i = 0; i < N_ELEMENTS(quantiles[_i].values); i++) {
		for (uint64_t n = 0; n < quantiles[_i].values[i].times; n++)
			histogram_add(&h, quantiles[_i].values[i].value);
	}
	ck_assert_msg(histogram_quantile(&h, quantiles[_i].q) == quantiles[_i].want, "%s: %lu",
		quantiles[_i].what, (unsigned long)histogram_quantile(&h, quantiles[_i].q));
}
END_TEST

START_TEST(a_sum_of_histograms_is_one_of_all_values)
{
	struct histogram a = { 0 }, b = { 0 }, both = { 0 };

	for (uint64_t v = 1; v < 100000; v += v / 3 + 1) {
		histogram_add(v % 2 ? &a : &b, v);
		histogram_add(&both, v);
	}
	histogram_merge(&a, &b);
	ck_assert_mem_eq(&a, &both, sizeof(a));
	ck_assert_uint_eq(histogram_at_most(&a, UINT64_MAX), a.count);
	ck_assert_uint_eq(histogram_at_most(&a, 0), 0);
	ck_assert_uint_eq(histogram_at_most(&a, 1), 1);
}
END_TEST

/* ---- windows ---- */

static const struct {
	const char *what;
	usec_t at[3]; /* observations; 0: none */
	usec_t now;
	uint64_t want[WINDOWS_N];
} windows[] = {
	{ "at once", { 1001 * S }, 1001 * S, { 1, 1, 1 } },
	{ "ten seconds later", { 1001 * S }, 1011 * S, { 1, 1, 1 } },
	{ "in the slice after the next", { 1001 * S }, 1020 * S, { 0, 1, 1 } },
	{ "a minute later", { 1001 * S }, 1061 * S, { 0, 1, 1 } },
	{ "in the seventh slice after", { 1001 * S }, 1070 * S, { 0, 0, 1 } },
	{ "much later", { 1001 * S }, 90001 * S, { 0, 0, 1 } },
	{ "one in each window", { 1001 * S, 2000 * S, 2049 * S }, 2050 * S, { 1, 2, 3 } },
	{ "just before a slice ends", { 1009999999, 1010 * S }, 1010 * S, { 2, 2, 2 } },
	{ "the slice that turns the ring", { 1000 * S, 1069 * S, 1070 * S }, 1070 * S, { 2, 2, 3 } },
	{ "a clock that stands still", { 5, 5, 5 }, 5, { 3, 3, 3 } },
};

START_TEST(windows_hold_what_is_as_old_as_they_say)
{
	struct latency l = { { NULL } };

	for (size_t i = 0; i < N_ELEMENTS(windows[_i].at) && windows[_i].at[i]; i++)
		latency_observe(&l, MEASURE_QUERY, 100 * (i + 1), windows[_i].at[i]);
	for (int turn = 0; turn < 2; turn++) { /* reading changes nothing */
		for (int w = 0; w < WINDOWS_N; w++) {
			struct histogram h = { 0 };

			ck_assert(latency_read(&l, MEASURE_QUERY, (enum window)w, windows[_i].now, &h));
			ck_assert_msg(h.count == windows[_i].want[w], "%s, %s: %lu", windows[_i].what,
				window_name((enum window)w), (unsigned long)h.count);
			ck_assert_uint_eq(histogram_at_most(&h, UINT64_MAX), h.count);
		}
	}
	latency_free(&l);
}
END_TEST

START_TEST(measures_are_apart_and_cost_nothing_before_their_first)
{
	struct latency l = { { NULL } };
	struct histogram h = { 0 };

	latency_observe(&l, MEASURE_WAIT, 7, S);
	ck_assert(!latency_read(&l, MEASURE_LOGIN, WINDOW_START, S, &h));
	ck_assert_ptr_null(l.measured[MEASURE_LOGIN]);
	ck_assert(latency_read(&l, MEASURE_WAIT, WINDOW_START, S, &h));
	ck_assert_uint_eq(h.sum, 7);
	ck_assert_uint_eq(h.max, 7);
	latency_free(&l);
	ck_assert_ptr_null(l.measured[MEASURE_WAIT]);
}
END_TEST

START_TEST(nothing_is_lost_when_slices_go)
{
	struct latency l = { { NULL } };
	struct histogram h = { 0 };
	uint64_t sum = 0;

	for (uint64_t i = 0; i < 1000; i++) {
		latency_observe(&l, MEASURE_TRANSACTION, i * 37, i * 3 * S);
		sum += i * 37;
	}
	ck_assert(latency_read(&l, MEASURE_TRANSACTION, WINDOW_START, 3000 * S, &h));
	ck_assert_uint_eq(h.count, 1000);
	ck_assert_uint_eq(h.sum, sum);
	ck_assert_uint_eq(h.max, UINT64_C(999) * 37);
	latency_free(&l);
}
END_TEST

UNIT_MAIN("histogram", {
	tcase_add_test(tc, buckets_cover_all_values_without_gap_or_overlap);
	tcase_add_loop_test(tc, quantiles_are_never_too_little, 0, N_ELEMENTS(quantiles));
	tcase_add_test(tc, a_sum_of_histograms_is_one_of_all_values);
	tcase_add_loop_test(tc, windows_hold_what_is_as_old_as_they_say, 0, N_ELEMENTS(windows));
	tcase_add_test(tc, measures_are_apart_and_cost_nothing_before_their_first);
	tcase_add_test(tc, nothing_is_lost_when_slices_go);
})
