#include "storm/stats.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	uint32_t values[6];
	size_t n;
	double percent;
	usec_t want;
} percentiles[] = {
	{ "no samples", { 0 }, 0, 50, 0 },
	{ "one sample is every percentile", { 7 }, 1, 1, 7 },
	{ "the median of an odd number", { 30, 10, 20 }, 3, 50, 20 },
	{ "the median of an even number is the lower one", { 40, 10, 30, 20 }, 4, 50, 20 },
	{ "just above a rank is the next", { 40, 10, 30, 20 }, 4, 50.1, 30 },
	{ "a high percentile of few is the greatest", { 5, 1, 4, 2, 3 }, 5, 95, 5 },
	{ "100 is the greatest", { 5, 1, 4, 2, 3 }, 5, 100, 5 },
	{ "0 is the smallest", { 5, 1, 4, 2, 3 }, 5, 0, 1 },
};

START_TEST(percentile_is_the_nearest_rank)
{
	struct samples s = { 0 };

	for (size_t i = 0; i < percentiles[_i].n; i++)
		samples_add(&s, percentiles[_i].values[i]);
	ck_assert_msg(samples_percentile(&s, percentiles[_i].percent) == percentiles[_i].want, "%s",
		percentiles[_i].name);
	samples_free(&s);
}
END_TEST

START_TEST(a_sample_after_a_percentile_counts)
{
	struct samples s = { 0 };

	samples_add(&s, 10);
	samples_add(&s, 5);
	ck_assert_uint_eq(samples_percentile(&s, 100), 10);
	samples_add(&s, 1);
	ck_assert_uint_eq(samples_percentile(&s, 0), 1);
	samples_free(&s);
}
END_TEST

START_TEST(a_sample_too_long_counts_as_the_longest)
{
	struct samples s = { 0 };

	samples_add(&s, UINT64_MAX);
	ck_assert_uint_eq(samples_percentile(&s, 50), UINT32_MAX);
	samples_free(&s);
}
END_TEST

START_TEST(a_percentile_is_within_half_a_percent_of_the_value)
{
	static const double percents[] = { 1, 50, 90, 99, 99.9 };
	struct samples s = { 0 };
	const usec_t n = 2000000;

	for (usec_t i = 1; i <= n; i++)
		samples_add(&s, i * 7 % n + 1); /* each of 1 to n once */
	for (size_t i = 0; i < N_ELEMENTS(percents); i++) {
		double exact = percents[i] / 100 * (double)n, got = (double)samples_percentile(&s, percents[i]);

		ck_assert_msg(got > exact * 0.995 && got < exact * 1.005, "p%g: %g for %g", percents[i], got, exact);
	}
	ck_assert_uint_eq(samples_percentile(&s, 0), 1);
	ck_assert_uint_eq(samples_percentile(&s, 100), n);
	samples_free(&s);
}
END_TEST

/* Of every size: neighbours never change places, and no value is shown more than 0.4 % away from itself. */
START_TEST(every_value_has_its_place)
{
	for (uint64_t v = 0; v <= UINT32_MAX; v = v < 1000 ? v + 1 : v + v / 61) {
		struct samples s = { 0 };
		double got;

		samples_add(&s, 0);
		samples_add(&s, v);
		samples_add(&s, UINT32_MAX);
		got = (double)samples_percentile(&s, 50);
		ck_assert_msg(got >= (double)v * 0.996 && got <= (double)v * 1.004, "%g for %g", got, (double)v);
		samples_free(&s);
	}
}
END_TEST

START_TEST(merged_samples_are_as_if_counted_together)
{
	struct samples all = { 0 }, parts[2] = { 0 };

	for (usec_t i = 0; i < 10000; i++) {
		samples_add(&all, i * i);
		samples_add(&parts[i % 2], i * i);
	}
	samples_merge(&parts[0], &parts[1]);
	ck_assert_uint_eq(parts[0].n, all.n);
	for (int half = 0; half <= 200; half++)
		ck_assert_uint_eq(samples_percentile(&parts[0], half / 2.0), samples_percentile(&all, half / 2.0));
	samples_free(&all);
	samples_free(&parts[0]);
	samples_free(&parts[1]);
}
END_TEST

static const struct {
	const char *name, *in, *want;
	size_t size;
} texts[] = {
	{ "plain text stays", "too many clients", "too many clients", 64 },
	{ "escape sequences lose their escape", "a\033[2Jb", "a?[2Jb", 64 },
	{ "line ends too", "a\r\nb\t\x7f", "a??b??", 64 },
	{ "UTF-8 stays", "größe \xe2\x82\xac \xf0\x9f\x90\x98", "größe \xe2\x82\xac \xf0\x9f\x90\x98", 64 },
	{ "C1 controls go",
		"a\xc2\x9b"
		"b",
		"a??b", 64 },
	{ "a lone continuation byte goes",
		"a\x80"
		"b",
		"a?b", 64 },
	{ "a cut character goes", "a\xe2\x82", "a??", 64 },
	{ "overlong forms go", "\xc0\xaf\xe0\x80\xaf", "?????", 64 },
	{ "surrogates go", "\xed\xa0\x80", "???", 64 },
	{ "beyond Unicode goes", "\xf4\x90\x80\x80", "????", 64 },
	{ "long text is cut", "abcdef", "abc", 4 },
	{ "never within a character", "ab\xc3\xa9", "ab", 4 },
};

START_TEST(copy_printable_keeps_what_a_terminal_may_see)
{
	char out[64];

	copy_printable(out, texts[_i].size, texts[_i].in);
	ck_assert_msg(strcmp(out, texts[_i].want) == 0, "%s: %s", texts[_i].name, out);
}
END_TEST

START_TEST(errors_count_by_key_and_keep_the_first_message)
{
	struct stats s = { 0 };

	stats_error(&s, "08006", "gone");
	stats_error(&s, "53300", "first");
	stats_error(&s, "53300", "second");
	stats_sort_errors(&s);
	ck_assert_uint_eq(s.n_errors, 2);
	ck_assert_str_eq(s.errors[0].key, "53300");
	ck_assert_str_eq(s.errors[0].message, "first");
	ck_assert_uint_eq(s.errors[0].count, 2);
	ck_assert_str_eq(s.errors[1].key, "08006");
}
END_TEST

START_TEST(a_key_from_a_stranger_is_cleaned)
{
	struct stats s = { 0 };

	stats_error(&s, "", "no code");
	stats_error(&s, "\033[1m5330053300533005330053300", "long");
	ck_assert_str_eq(s.errors[0].key, "?");
	ck_assert_str_eq(s.errors[1].key, "?[1m5330053300533005330");
}
END_TEST

START_TEST(ever_new_keys_end_up_in_one)
{
	struct stats s = { 0 };
	uint64_t sum = 0;
	char key[16];

	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "X%04d", i);
		stats_error(&s, key, "m");
	}
	ck_assert_uint_eq(s.n_errors, ERROR_KINDS_MAX);
	ck_assert_str_eq(s.errors[ERROR_KINDS_MAX - 1].key, "other");
	for (size_t i = 0; i < s.n_errors; i++)
		sum += s.errors[i].count;
	ck_assert_uint_eq(sum, 1000);
}
END_TEST

static const struct {
	usec_t longest, width;
	size_t n;
} widths[] = {
	{ 0, 1000, 1 },
	{ 255999, 1000, 256 },
	{ 256000, 2000, 129 },
	{ 1000000, 4000, 251 },
	{ 120 * USEC_PER_SEC, 512000, 235 },
	{ UINT64_MAX, 32768000, 132 },
};

START_TEST(a_timeline_has_few_spans_and_loses_nothing)
{
	struct timeline t = { 0 };
	uint64_t arrived = 0;

	for (usec_t at = 0; at < 1000; at++)
		timeline_at(&t, at * 200)->arrived++;
	samples_add(&timeline_at(&t, 0)->total, 5);
	timeline_at(&t, widths[_i].longest)->served++;
	if (widths[_i].longest >= 200000)
		ck_assert_uint_eq(t.n, widths[_i].n);
	ck_assert_uint_eq(t.width, widths[_i].width);
	ck_assert_uint_eq(t.spans[widths[_i].n - 1].served, 1);
	ck_assert_uint_eq(t.spans[0].total.n, 1);
	for (size_t i = 0; i < t.n; i++)
		arrived += t.spans[i].arrived;
	ck_assert_uint_eq(arrived, 1000);
	timeline_free(&t);
}
END_TEST

START_TEST(timelines_of_different_widths_are_merged)
{
	struct timeline a = { 0 }, b = { 0 };
	uint64_t arrived = 0;

	timeline_at(&a, 5000)->arrived = 1;
	timeline_at(&b, 5000)->arrived = 2;
	timeline_at(&b, 3000000)->arrived = 4;
	timeline_merge(&a, &b);
	ck_assert_uint_eq(a.width, b.width);
	ck_assert_uint_eq(a.spans[0].arrived, 3);
	ck_assert_uint_eq(a.spans[a.n - 1].arrived, 4);
	timeline_merge(&b, &(struct timeline){ 0 });
	timeline_coarsen(&a, 10);
	ck_assert_uint_le(a.n, 10);
	for (size_t i = 0; i < a.n; i++)
		arrived += a.spans[i].arrived;
	ck_assert_uint_eq(arrived, 7);
	timeline_free(&a);
	timeline_free(&b);
}
END_TEST

START_TEST(merged_stats_add_up)
{
	struct stats a = { .functions = 1, .due = 3 }, b = { .functions = 2, .due = 4, .on_time = 2 };

	stats_error(&a, "53300", "first");
	stats_error(&b, "53300", "second");
	stats_error(&b, "08006", "gone");
	samples_add(&b.wait, 9);
	stats_merge(&a, &b);
	ck_assert_uint_eq(a.functions, 3);
	ck_assert_uint_eq(a.due, 7);
	ck_assert_uint_eq(a.on_time, 2);
	ck_assert_uint_eq(a.wait.n, 1);
	ck_assert_uint_eq(a.n_errors, 2);
	ck_assert_str_eq(a.errors[0].message, "first");
	ck_assert_uint_eq(a.errors[0].count, 2);
	stats_free(&a);
	stats_free(&b);
}
END_TEST

UNIT_MAIN("storm stats", {
	tcase_add_loop_test(tc, percentile_is_the_nearest_rank, 0, N_ELEMENTS(percentiles));
	tcase_add_test(tc, a_sample_after_a_percentile_counts);
	tcase_add_test(tc, a_sample_too_long_counts_as_the_longest);
	tcase_add_test(tc, a_percentile_is_within_half_a_percent_of_the_value);
	tcase_add_test(tc, every_value_has_its_place);
	tcase_add_test(tc, merged_samples_are_as_if_counted_together);
	tcase_add_loop_test(tc, copy_printable_keeps_what_a_terminal_may_see, 0, N_ELEMENTS(texts));
	tcase_add_test(tc, errors_count_by_key_and_keep_the_first_message);
	tcase_add_test(tc, a_key_from_a_stranger_is_cleaned);
	tcase_add_test(tc, ever_new_keys_end_up_in_one);
	tcase_add_loop_test(tc, a_timeline_has_few_spans_and_loses_nothing, 0, N_ELEMENTS(widths));
	tcase_add_test(tc, timelines_of_different_widths_are_merged);
	tcase_add_test(tc, merged_stats_add_up);
})
