#include "storm/chart.h"

#include "unit.h"

#include <math.h>
#include <string.h>

static char *drawing(const struct chart *c)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	chart_write(out, c, 3);
	fclose(out);
	return text;
}

static const struct {
	double max, tick;
} ticks[] = { { 1, 0.2 }, { 5, 1 }, { 5.1, 2 }, { 9, 2 }, { 11, 5 }, { 24, 5 }, { 26, 10 }, { 5000, 1000 },
	{ 0.003, 0.001 }, { 1e9, 2e8 } };

START_TEST(ticks_are_round_and_few)
{
	ck_assert_double_eq_tol(chart_tick(ticks[_i].max), ticks[_i].tick, ticks[_i].tick * 1e-9);
}
END_TEST

START_TEST(a_gap_breaks_the_line_and_the_table_says_so)
{
	static const double values[] = { 0, 10, NAN, 5 }, others[] = { NAN, NAN, NAN, 1 };
	char *text = drawing(&(struct chart){ .title = "a <b>",
		.unit = "ms",
		.step = 0.5,
		.n = 4,
		.lines = { { "one & all", values }, { "two", others } } });

	/* 2 s are 346 wide from 46 on; 10 ms are 166 high above 176 */
	ck_assert_ptr_nonnull(strstr(text, "<path class=\"l0\" d=\"M132.5 176.0h0L219.0 10.0M392.0 93.0h0\"/>"));
	ck_assert_ptr_nonnull(strstr(text, "<path class=\"l1\" d=\"M392.0 159.4h0\"/>"));
	ck_assert_ptr_nonnull(strstr(text, "a &lt;b&gt;"));
	ck_assert_ptr_nonnull(strstr(text, "one &amp; all"));
	ck_assert_ptr_nonnull(strstr(text, "aria-labelledby=\"c3\"><title id=\"c3\">"));
	ck_assert_ptr_nonnull(strstr(text, "<tr><th scope=\"row\">1.000</th><td>10</td><td>–</td></tr>"));
	ck_assert_ptr_null(strstr(text, "<th scope=\"row\">1.500</th>")); /* nobody measured anything then */
	free(text);
}
END_TEST

START_TEST(nothing_but_zeros_can_be_drawn)
{
	static const double values[] = { 0, 0 };
	char *text = drawing(
		&(struct chart){ .title = "t", .unit = "ms", .step = 1, .n = 2, .lines = { { "z", values } } });

	ck_assert_ptr_null(strstr(text, "nan"));
	ck_assert_ptr_null(strstr(text, "inf"));
	free(text);
}
END_TEST

UNIT_MAIN("storm chart", {
	tcase_add_loop_test(tc, ticks_are_round_and_few, 0, N_ELEMENTS(ticks));
	tcase_add_test(tc, a_gap_breaks_the_line_and_the_table_says_so);
	tcase_add_test(tc, nothing_but_zeros_can_be_drawn);
})
