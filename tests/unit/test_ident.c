#include "auth/ident.h"

#include "unit.h"

#include <string.h>

static const struct {
	const char *text, *map, *system_name, *user;
	bool want;
} maps[] = {
	{ "", NULL, "bob", "bob", true },
	{ "", NULL, "bob", "Bob", false },
	{ "", "", "bob", "bob", true },
	{ "", "m", "bob", "bob", false }, /* a map that isn't there lets nobody in */
	{ "m bob robert", NULL, "bob", "robert", false },
	{ "m bob robert", "m", "bob", "robert", true },
	{ "m bob robert", "m", "bob", "bob", false },
	{ "m bob robert", "n", "bob", "robert", false },
	{ "m bob robert\nm bob bob", "m", "bob", "bob", true },
	{ "m bob all", "m", "bob", "anybody", true },
	{ "m bob all", "m", "eve", "anybody", false },
	{ "m bob \"all\"", "m", "bob", "anybody", false },
	{ "m bob \"all\"", "m", "bob", "all", true },
	{ "m \"b b\" \"a a\"", "m", "b b", "a a", true },
	{ "m /^(.*)@example\\.com$ \\1", "m", "bob@example.com", "bob", true },
	{ "m /^(.*)@example\\.com$ \\1", "m", "bob@example.com", "eve", false },
	{ "m /^(.*)@example\\.com$ \\1", "m", "bob@example.com\n", "bob", false },
	{ "m /^(.*)@example\\.com$ \\1", "m", "bob@exampleXcom", "bob", false },
	{ "m /^(.*)@example\\.com$ \\1", "m", "all@example.com", "bob", false }, /* a name, no keyword */
	{ "m /^(.*)@example\\.com$ \\1", "m", "/.*@example.com", "bob", false },
	{ "m /^(.*)@x$ db_\\1_ro", "m", "bob@x", "db_bob_ro", true },
	{ "m /^(.*)@x$ db_\\1_\\1", "m", "bob@x", "db_bob_\\1", true }, /* only the first, as in PostgreSQL */
	{ "m /^(x)?bob$ a\\1b", "m", "bob", "ab", true },
	{ "m /@x$ guest", "m", "bob@x", "guest", true },
	{ "m bob /^app_", "m", "bob", "app_1", true },
	{ "m bob /^app_", "m", "bob", "zapp_1", false },
	{ "m /^(a+)+$ all", "m", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "bob", false },
	{ "m /.* all", "m", "\xff", "bob", false },
};

START_TEST(maps_say_who_may_be_whom)
{
	char error[256] = "";
	struct ident *i = ident_parse("ident", maps[_i].text, strlen(maps[_i].text), error, sizeof(error));

	ck_assert_msg(i != NULL, "%s", error);
	ck_assert_msg(ident_allows(i, maps[_i].map, maps[_i].system_name, maps[_i].user) == maps[_i].want,
		"%d: %s: %s as %s", _i, maps[_i].text, maps[_i].system_name, maps[_i].user);
	ident_free(&i);
}
END_TEST

START_TEST(without_a_file_only_equal_names_are_let_in)
{
	ck_assert(ident_allows(NULL, NULL, "bob", "bob"));
	ck_assert(!ident_allows(NULL, "m", "bob", "bob"));
}
END_TEST

static const struct {
	const char *text, *error;
} mistakes[] = {
	{ "m bob", "ident:1: expected a map, a system's name and a user" },
	{ "m bob bob bob", "ident:1: expected a map, a system's name and a user" },
	{ "\nm bob,eve bob", "ident:2: multiple values in ident field" },
	{ "m /( bob", "ident:1: invalid regular expression at byte 2: missing closing parenthesis" },
	{ "m bob /(", "ident:1: invalid regular expression at byte 2: missing closing parenthesis" },
	{ "m /^bob$ \\1", "ident:1: the regular expression has no group for \\1" },
	{ "m bob +admins", "ident:1: +role needs PostgreSQL's roles, which are not known here" },
};

START_TEST(mistakes_are_told_with_their_line)
{
	char error[256] = "";

	ck_assert_ptr_null(
		ident_parse("ident", mistakes[_i].text, strlen(mistakes[_i].text), error, sizeof(error)));
	ck_assert_str_eq(error, mistakes[_i].error);
}
END_TEST

UNIT_MAIN("ident", {
	tcase_add_loop_test(tc, maps_say_who_may_be_whom, 0, N_ELEMENTS(maps));
	tcase_add_test(tc, without_a_file_only_equal_names_are_let_in);
	tcase_add_loop_test(tc, mistakes_are_told_with_their_line, 0, N_ELEMENTS(mistakes));
})
