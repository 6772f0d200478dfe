#include "wire/duration.h"

#include "unit.h"

#define S USEC_PER_SEC
#define BAD UINT64_MAX

static const struct {
	const char *text;
	usec_t want;
} durations[] = { { "0", 0 }, { "250", 250 * USEC_PER_MSEC }, { "2s", 2 * S }, { " 2 s ", 2 * S },
	{ "+2s", 2 * S }, { "1.5min", 90 * S }, { ".5s", S / 2 }, { "1.s", S }, { "1h", 3600 * S },
	{ "1d", 86400 * S }, { "5us", 5 }, { "0.4us", 0 }, { "0.6us", 1 }, { "2147483647", DURATION_MAX },
	{ "2147483648", BAD }, { "25d", BAD }, { "24d", 24 * 86400 * S }, { "", BAD }, { "s", BAD }, { ".", BAD },
	{ "-1", BAD }, { "2 sec", BAD }, { "2S", BAD }, { "2s 3s", BAD }, { "1e3", BAD }, { "0x10", BAD },
	{ "inf", BAD }, { "nan", BAD }, { "99999999999999999999999999999999999999999999999999", BAD } };

START_TEST(a_duration_is_read_as_postgresql_would)
{
	usec_t got = BAD;
	bool is_good = duration_parse(durations[_i].text, &got);

	ck_assert_msg(is_good == (durations[_i].want != BAD), "\"%s\"", durations[_i].text);
	ck_assert_msg(got == durations[_i].want, "\"%s\"", durations[_i].text);
}
END_TEST

static const struct {
	usec_t time;
	const char *want;
} texts[] = { { 0, "0" }, { 1, "1us" }, { 1500, "1500us" }, { 2000, "2ms" }, { 2 * S, "2s" }, { 90 * S, "90s" },
	{ 120 * S, "2min" }, { 7200 * S, "2h" }, { 86400 * S, "1d" }, { DURATION_MAX, "2147483647ms" } };

START_TEST(a_duration_is_shown_in_its_largest_unit)
{
	char text[DURATION_TEXT_MAX];
	usec_t back = BAD;

	duration_text(texts[_i].time, text);
	ck_assert_str_eq(text, texts[_i].want);
	ck_assert(duration_parse(text, &back) && back == texts[_i].time);
}
END_TEST

UNIT_MAIN("duration", {
	tcase_add_loop_test(tc, a_duration_is_read_as_postgresql_would, 0, N_ELEMENTS(durations));
	tcase_add_loop_test(tc, a_duration_is_shown_in_its_largest_unit, 0, N_ELEMENTS(texts));
})
