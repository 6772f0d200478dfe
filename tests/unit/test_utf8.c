#include "base/utf8.h"
#include "unit.h"

static const struct {
	const char *what, *bytes;
	size_t want;
} characters[] = {
	{ "the end", "", 0 },
	{ "ASCII", "a", 1 },
	{ "a control character is one", "\x01", 1 },
	{ "two bytes", "\xc3\xa4", 2 },
	{ "three", "\xe2\x82\xac", 3 },
	{ "four", "\xf0\x9f\x98\x80", 4 },
	{ "the last one", "\xf4\x8f\xbf\xbf", 4 },
	{ "Latin-1", "\xe4 ", 0 },
	{ "half a character", "\xc3", 0 },
	{ "its end alone", "\xa4", 0 },
	{ "three quarters", "\xf0\x9f\x98", 0 },
	{ "longer than needed", "\xc1\xa4", 0 },
	{ "longer than needed", "\xe0\x82\xa4", 0 },
	{ "longer than needed", "\xf0\x82\x82\xa4", 0 },
	{ "a surrogate", "\xed\xa0\x80", 0 },
	{ "behind the last", "\xf4\x90\x80\x80", 0 },
	{ "no lead byte", "\xff\xbf\xbf\xbf", 0 },
};

START_TEST(a_character_is_well_formed_or_none)
{
	ck_assert_msg(utf8_char(characters[_i].bytes) == characters[_i].want, "%s: %zu", characters[_i].what,
		utf8_char(characters[_i].bytes));
}
END_TEST

UNIT_MAIN("utf8", { tcase_add_loop_test(tc, a_character_is_well_formed_or_none, 0, N_ELEMENTS(characters)); })
