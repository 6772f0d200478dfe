#include "unit.h"
#include "wire/sqlshape.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *sql, *shape;
} shapes[] = {
	{ "", "" },
	{ "select 1", "select ?" },
	{ "SELECT  *\n FROM t WHERE a='x' AND b = 1.5e-3;", "select * from t where a=? and b = ?" },
	{ "select 'it''s', E'a\\'b', B'01', x'ff', N'n', $$ $1 $$, $q$ ' $$ $q$", "select ?" },
	{ "select 'a', b, 2", "select ?, b, ?" },
	{ "insert into t values (1, 'two', 3, $1, null)", "insert into t values (?, $1, null)" },
	{ "select * from t where id in (1,2 , 3)", "select * from t where id in (?)" },
	{ "select 1, 2 from t", "select ? from t" },
	{ "/* a /* b */ secret */ select a -- secret\n , b", "select a, b" },
	{ "select \"Na me\", T1.x9, $12", "select \"Na me\", t1.x9, $12" },
	{ "select a, .5, 0x1F, 12junk", "select a, ?" },
	{ "alter user bob password 'hunter2'", "alter user bob password ?" },
	{ "SET app.token = hunter2", "set app.token = ?" },
	{ "set app.token to 'a', hunter2; select 1;;", "set app.token to ?; select ?" },
	{ "SET LOCAL x TO \"hun;ter2\";select 2", "set local x to ?; select ?" },
	{ "update t set a = b, c = 'x' where d", "update t set a = b, c = ? where d" },
	{ "begin; select 1; commit", "begin; select ?; commit" },
	{ "; ;select 1", "select ?" },
	{ "select 'a\\", "select ?" },
	{ "select 'a\\' , hunter2 '", "select ?..." },
	{ "select E'\xe4\\' hunter2 ", "select ?..." },
	{ "select 'hunter2", "select ?" },
	{ "select $x$hunter2", "select ?" },
	{ "select /* hunter2", "select" },
	{ "select \"open", "select \"open" },
	{ "select 'a'\n 'b'", "select ? ?" },
	{ "select a::int, b->>'k', c[1]", "select a::int, b->>?, c[?]" },
	{ "select ?, ?", "select ?, ?" },
	{ "select U&'d\\0061'", "select u&?" },
	{ "select f( 1 )", "select f(?)" },
	{ "set x = e'it\\'s hunter2'; select 1", "set x = ?; select ?" },
	{ "select 1,", "select ?," },
	{ "select 1,;select 2", "select ?,; select ?" },
};

START_TEST(a_shape_has_no_literal)
{
	char got[SQL_SHAPE_SIZE];

	sql_shape(shapes[_i].sql, strlen(shapes[_i].sql), got, sizeof(got));
	ck_assert_str_eq(got, shapes[_i].shape);
}
END_TEST

START_TEST(fingerprints_are_those_of_the_shape)
{
	char out[SQL_SHAPE_SIZE];

#define PRINT(text) sql_shape(text, strlen(text), out, sizeof(out))
	ck_assert_uint_eq(PRINT("select 1"), PRINT("SELECT  'x' ;"));
	ck_assert_uint_eq(PRINT("select 1"), UINT64_C(0x2fb7a5a1a5a9a58)); /* the same in all processes */
	ck_assert_uint_ne(PRINT("select 1"), PRINT("select a"));
#undef PRINT
}
END_TEST

START_TEST(a_long_one_is_cut_between_characters_and_hashed_whole)
{
	char sql[2048], other[2048], a[32], b[32];
	uint64_t x, y;

	for (size_t i = 0; i < 500; i++)
		memcpy(sql + 2 * i, "\xc3\xa4", 2);
	memcpy(other, sql, 1000);
	memcpy(sql + 1000, "1", 2);
	memcpy(other + 1000, "2", 2);
	x = sql_shape(sql, strlen(sql), a, sizeof(a));
	y = sql_shape(other, strlen(other), b, sizeof(b));
	ck_assert_str_eq(a, b);
	ck_assert_uint_ne(x, y);
	ck_assert_str_eq(a + strlen(a) - 3, "...");
	ck_assert_uint_eq(strlen(a) % 2, 1);
	ck_assert_uint_lt(strlen(a), sizeof(a));
}
END_TEST

START_TEST(no_more_is_read_than_the_limit)
{
	char *sql = xmalloc(SQL_SHAPE_INPUT_MAX + 10), out[SQL_SHAPE_SIZE];

	memset(sql, ' ', SQL_SHAPE_INPUT_MAX + 10);
	memcpy(sql, "select", 6);
	memcpy(sql + SQL_SHAPE_INPUT_MAX, "more", 4);
	sql_shape(sql, SQL_SHAPE_INPUT_MAX + 4, out, sizeof(out));
	ck_assert_str_eq(out, "select...");
	free(sql);
}
END_TEST

UNIT_MAIN("sqlshape", {
	tcase_add_loop_test(tc, a_shape_has_no_literal, 0, N_ELEMENTS(shapes));
	tcase_add_test(tc, fingerprints_are_those_of_the_shape);
	tcase_add_test(tc, a_long_one_is_cut_between_characters_and_hashed_whole);
	tcase_add_test(tc, no_more_is_read_than_the_limit);
})
