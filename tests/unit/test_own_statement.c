#include "wire/own_statement.h"

#include "unit.h"

#include <string.h>

static const struct {
	const char *sql;
	enum own_kind kind;
	const char *value;
} statements[] = {
	{ "SHOW pgweir.last_wait", OWN_SHOW_LAST_WAIT, "" },
	{ " show  PGWEIR.Server ;; ", OWN_SHOW_SERVER, "" },
	{ "\nshow pgweir.query_wait", OWN_SHOW_QUERY_WAIT, "" },
	{ "show pgweir.nothing", OWN_NONE, "" },
	{ "show pgweir.last_waits", OWN_NONE, "" },
	{ "showpgweir.last_wait", OWN_NONE, "" },
	{ "show pgweir.last_wait; select 1", OWN_NONE, "" },
	{ "show all", OWN_NONE, "" },
	{ "select 1", OWN_NONE, "" },
	{ "", OWN_NONE, "" },
	{ "set", OWN_NONE, "" },
	{ "SET pgweir.query_wait = '2s'", OWN_SET_QUERY_WAIT, "2s" },
	{ "SET pgweir.query_wait='2s';", OWN_SET_QUERY_WAIT, "2s" },
	{ "set session pgweir.query_wait to 250", OWN_SET_QUERY_WAIT, "250" },
	{ "set pgweir.query_wait to -1", OWN_SET_QUERY_WAIT, "-1" },
	{ "set pgweir.query_wait = 1.5", OWN_SET_QUERY_WAIT, "1.5" },
	{ "set pgweir.query_wait = 'it''s'", OWN_SET_QUERY_WAIT, "it's" },
	{ "set pgweir.query_wait = ''", OWN_SET_QUERY_WAIT, "" },
	{ "set pgweir.query_wait = default", OWN_RESET_QUERY_WAIT, "default" },
	{ "set pgweir.query_wait = 'default'", OWN_SET_QUERY_WAIT, "default" },
	{ "set pgweir.query_wait", OWN_NONE, "" },
	{ "set pgweir.query_wait =", OWN_NONE, "" },
	{ "set pgweir.query_wait = '2s", OWN_NONE, "" },
	{ "set pgweir.query_wait = '2\\s'", OWN_NONE, "" },
	{ "set pgweir.query_wait = '2s' x", OWN_NONE, "" },
	{ "set pgweir.query_wait = 1, 2", OWN_NONE, "" },
	{ "set local pgweir.query_wait = '2s'", OWN_NONE, "" },
	{ "set pgweir.server = 'x'", OWN_SET_READ_ONLY, "x" },
	{ "reset pgweir.last_wait", OWN_SET_READ_ONLY, "" },
	{ "reset pgweir.query_wait", OWN_RESET_QUERY_WAIT, "" },
	{ "RESET ALL", OWN_RESET_ALL, "" },
	{ "reset role", OWN_NONE, "" },
};

START_TEST(only_statements_about_our_own_settings_are_ours)
{
	const char *sql = statements[_i].sql;
	struct own_statement s;
	bool is_one = own_statement_parse(sql, strlen(sql), &s);

	ck_assert_msg(is_one == (statements[_i].kind != OWN_NONE), "%s", sql);
	ck_assert_msg(s.kind == statements[_i].kind, "%s: %d", sql, s.kind);
	ck_assert_msg(strcmp(s.value, statements[_i].value) == 0, "%s: %s", sql, s.value);
	ck_assert_msg(!is_one || own_statement_may_be((const uint8_t *)sql, strlen(sql)), "%s", sql);
}
END_TEST

START_TEST(a_long_value_is_cut)
{
	char sql[300] = "set pgweir.query_wait = '";
	struct own_statement s;

	memset(sql + strlen(sql), '7', 200);
	strcat(sql, "'");
	ck_assert(own_statement_parse(sql, strlen(sql), &s));
	ck_assert_uint_eq(strlen(s.value), OWN_VALUE_MAX - 1);
}
END_TEST

UNIT_MAIN("own_statement", {
	tcase_add_loop_test(tc, only_statements_about_our_own_settings_are_ours, 0, N_ELEMENTS(statements));
	tcase_add_test(tc, a_long_value_is_cut);
})
