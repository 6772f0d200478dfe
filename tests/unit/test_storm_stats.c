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

START_TEST(samples_grow)
{
	struct samples s = { 0 };

	for (usec_t i = 1; i <= 10000; i++)
		samples_add(&s, 10001 - i);
	ck_assert_uint_eq(samples_percentile(&s, 99), 9900);
	samples_free(&s);
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
	{ 199999, 1000, 200 },
	{ 200000, 2000, 101 },
	{ 400000, 5000, 81 },
	{ 1000000, 10000, 101 },
	{ 120 * USEC_PER_SEC, 1000000, 121 },
	{ UINT32_MAX, 50000000, 86 },
};

START_TEST(histogram_has_few_buckets_of_a_round_width)
{
	struct stats s = { 0 };
	struct histogram h;

	samples_add(&s.served_at, widths[_i].longest);
	samples_add(&s.failed_at, 0);
	histogram_build(&h, &s);
	ck_assert_uint_eq(h.width, widths[_i].width);
	ck_assert_uint_eq(h.n, widths[_i].n);
	ck_assert_uint_eq(h.served[h.n - 1], 1);
	ck_assert_uint_eq(h.failed[0], 1);
	stats_free(&s);
}
END_TEST

UNIT_MAIN("storm stats", {
	tcase_add_loop_test(tc, percentile_is_the_nearest_rank, 0, N_ELEMENTS(percentiles));
	tcase_add_test(tc, a_sample_after_a_percentile_counts);
	tcase_add_test(tc, a_sample_too_long_counts_as_the_longest);
	tcase_add_test(tc, samples_grow);
	tcase_add_loop_test(tc, copy_printable_keeps_what_a_terminal_may_see, 0, N_ELEMENTS(texts));
	tcase_add_test(tc, errors_count_by_key_and_keep_the_first_message);
	tcase_add_test(tc, a_key_from_a_stranger_is_cleaned);
	tcase_add_test(tc, ever_new_keys_end_up_in_one);
	tcase_add_loop_test(tc, histogram_has_few_buckets_of_a_round_width, 0, N_ELEMENTS(widths));
})
