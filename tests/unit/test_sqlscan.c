#include "wire/sqlscan.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const suspects[] = { "my_func", "other", NULL };
static const struct scan_options standard = { .standard_conforming_strings = true, .suspects = suspects };
static const struct scan_options backslashes = { .standard_conforming_strings = false };

/* Scans an exact copy, so that AddressSanitizer sees a read behind the end. */
static struct scan_result scan(const char *sql, size_t len, const struct scan_options *o)
{
	struct scan_result r;
	char *exact = xmalloc(len);

	memcpy(exact, sql, len);
	sqlscan(exact, len, o, &r);
	free(exact);
	return r;
}

#define SET SCAN_SET
#define PREP SCAN_PREPARE
#define TEMP SCAN_TEMP
#define SEQ SCAN_SEQUENCE
#define ADV SCAN_ADVISORY
#define TX SCAN_TRANSACTION
#define FUNCS (SCAN_SET | SCAN_TEMP | SCAN_ADVISORY | SCAN_SEQUENCE | SCAN_SUSPECT)

static const struct {
	const char *sql;
	unsigned flags, statements;
} cases[] = {
	/* nothing to see */
	{ "", 0, 0 },
	{ ";", 0, 0 },
	{ " ;; \n;", 0, 0 },
	{ "-- set x = 1", 0, 0 },
	{ "/* set x = 1 */", 0, 0 },
	{ "select 1", 0, 1 },
	{ "select 1; select 2", 0, 2 },
	{ "SELECT * FROM t WHERE a = $1 AND b = 'x'", 0, 1 },
	{ "insert into temp values (1)", 0, 1 },
	{ "update t set a = 1", 0, 1 },
	{ "alter system set work_mem = 1", 0, 1 },
	{ "alter role bob set work_mem = 1", 0, 1 },
	{ "create function f() returns int language sql set work_mem = '1MB' as $$ set x = 1; $$", 0, 1 },
	{ "create table reset (load int)", 0, 1 },
	{ "commit; rollback; end; abort", 0, 4 },
	{ "savepoint a; release a", 0, 2 },
	{ "copy t from stdin", 0, 1 },
	{ "notify ch, 'x'", 0, 1 },
	{ "select discard, listen, load, do, call from set", 0, 1 },
	/* SET and RESET */
	{ "set x = 1", SET, 1 },
	{ "SET X TO 1", SET, 1 },
	{ "  \tset\nx = 1", SET, 1 },
	{ "set session x = 1", SET, 1 },
	{ "set time zone 'UTC'", SET, 1 },
	{ "set names 'utf8'", SET, 1 },
	{ "set role bob", SET, 1 },
	{ "set session authorization bob", SET, 1 },
	{ "set session characteristics as transaction read only", SET, 1 },
	{ "set local x = 1", 0, 1 },
	{ "set/**/local/**/x = 1", 0, 1 },
	{ "set local \"x\" = 1", 0, 1 },
	{ "SET LOCAL ROLE bob", 0, 1 },
	{ "set transaction isolation level serializable", 0, 1 },
	{ "set transaction snapshot '1'", 0, 1 },
	{ "set constraints all deferred", 0, 1 },
	{ "set local.x = 1", SET, 1 },
	{ "set local = 1", SET, 1 },
	{ "set transaction . x = 1", SET, 1 },
	{ "set constraints.x = 1", SET, 1 },
	{ "set localx = 1", SET, 1 },
	{ "set \"local\" x", SET, 1 },
	{ "set local", SET, 1 },
	{ "set", SET, 1 },
	{ "reset x", SET, 1 },
	{ "reset all", SET, 1 },
	{ "settings", 0, 1 },
	{ "\"set\" x = 1", 0, 1 },
	{ "(set x = 1)", 0, 1 },
	{ "select 1; set x = 1", SET, 2 },
	{ "begin; set local x = 1; commit", TX, 3 },
	{ "/* a */ -- b\n set x = 1", SET, 1 },
	{ "set x = 1; set local y = 2", SET, 2 },
	/* set_config */
	{ "select set_config('a', 'b', false)", SET, 1 },
	{ "select set_config('a', 'b', true)", 0, 1 },
	{ "select pg_catalog.set_config('a', $1, TRUE)", 0, 1 },
	{ "select SET_CONFIG ('a','b','t'), set_config('c', f('x,)', 1), 'on' )", 0, 1 },
	{ "select set_config('a','b','1'), set_config('a','b','yes'), set_config('a','b','y')", 0, 1 },
	{ "select set_config('a','b','true') /* x */", 0, 1 },
	{ "select set_config('a', 'b', /* , */ true -- )\n)", 0, 1 },
	{ "select set_config('a', 'b', true), set_config('a', 'b', false)", SET, 1 },
	{ "select set_config('a', set_config('c','d',false), true)", SET, 1 },
	{ "select set_config('a', set_config('c','d',true), true)", 0, 1 },
	{ "select set_config('a', array['b','c'][1], true)", 0, 1 },
	{ "select set_config('a', 'b', $3)", SET, 1 },
	{ "select set_config('a', 'b', not true)", SET, 1 },
	{ "select set_config('a', 'b', true = x)", SET, 1 },
	{ "select set_config('a', 'b', true", SET, 1 },
	{ "select set_config('a', true)", SET, 1 },
	{ "select set_config(", SET, 1 },
	{ "select set_config('a', 'b', is_local => true)", SET, 1 },
	{ "select set_config('a'; true, true, true)", SET, 2 },
	{ "select \"set_config\"('a','b',false)", SET, 1 },
	{ "select pg_catalog.\"set_config\" /* */ ('a','b',false)", SET, 1 },
	{ "select set_config from t", 0, 1 },
	{ "select 'set_config(1,2,false)'", 0, 1 },
	{ "select my_set_config('a','b',false)", 0, 1 },
	{ "select U&\"set\\005fconfig\"('a','b',false)", FUNCS, 1 },
	/* other statements */
	{ "discard all", SCAN_DISCARD, 1 },
	{ "DISCARD temp", SCAN_DISCARD, 1 },
	{ "listen a", SCAN_LISTEN, 1 },
	{ "unlisten *", SCAN_LISTEN, 1 },
	{ "prepare a as select 1", PREP, 1 },
	{ "prepare a (int) as select set_config('x','y',false)", PREP | SET, 1 },
	{ "prepare transaction 'x'", 0, 1 },
	{ "prepare transaction as select 1", PREP, 1 },
	{ "prepare transaction(int) as select 1", PREP, 1 },
	{ "execute a", PREP, 1 },
	{ "deallocate a", PREP, 1 },
	{ "deallocate all", PREP, 1 },
	{ "explain execute a", PREP, 1 },
	{ "explain (analyze) execute a", PREP, 1 },
	{ "explain analyze create temp table x as select 1", TEMP, 1 },
	{ "create table x as execute a", PREP, 1 },
	{ "create trigger x after insert on t execute function f()", 0, 1 },
	{ "load 'x'", SCAN_LOAD, 1 },
	{ "do $$ begin end $$", SCAN_OPAQUE, 1 },
	{ "do 'x'", SCAN_OPAQUE, 1 },
	{ "call p(1)", SCAN_OPAQUE, 1 },
	{ "insert into t values (1) on conflict do nothing", 0, 1 },
	{ "begin", TX, 1 },
	{ "start transaction", TX, 1 },
	{ "BEGIN; SELECT 1; COMMIT;", TX, 3 },
	/* cursors */
	{ "declare c cursor for select 1", 0, 1 },
	{ "declare c cursor with hold for select 1", SCAN_HOLD, 1 },
	{ "declare \"c\" binary scroll cursor WITH/**/HOLD for select 1", SCAN_HOLD, 1 },
	{ "declare c cursor without hold for select 1", 0, 1 },
	{ "declare c cursor for select 1; select 2 with hold", 0, 2 },
	{ "declare c cursor for select 1; (select 1) with hold", 0, 2 },
	{ "declare hold cursor for with x as (select 1) table x", 0, 1 },
	/* temporary things */
	{ "create temp table x (a int)", TEMP, 1 },
	{ "create temporary table x (a int)", TEMP, 1 },
	{ "create local temp table x (a int)", TEMP, 1 },
	{ "create global temporary table x (a int)", TEMP, 1 },
	{ "create or replace temp view v as select 1", TEMP, 1 },
	{ "create /* x */ temp sequence s", TEMP, 1 },
	{ "create table pg_temp.x (a int)", TEMP, 1 },
	{ "create table \"pg_temp\".x (a int)", TEMP, 1 },
	{ "create table pg_temp_3.x (a int)", TEMP, 1 },
	{ "create table temp (a int)", 0, 1 },
	{ "create table temporary.x (a int)", 0, 1 },
	{ "create view v as select temp from weather", 0, 1 },
	{ "select 1 into temp x", TEMP, 1 },
	{ "select 1 into temporary table x", TEMP, 1 },
	{ "select 1 into local temp x", TEMP, 1 },
	{ "with a as (select 1) select * into global temp x from a", TEMP, 1 },
	{ "(select 1 into temp x)", TEMP, 1 },
	{ "select 1into temp x", TEMP, 1 },
	{ "select 1 into x", 0, 1 },
	{ "select 1 into \"temp\" from temp", 0, 1 },
	{ "merge into temp using x on true", 0, 1 },
	/* functions */
	{ "select pg_advisory_lock(1)", ADV, 1 },
	{ "select pg_advisory_lock_shared(1)", ADV, 1 },
	{ "select pg_try_advisory_lock(1)", ADV, 1 },
	{ "select PG_TRY_ADVISORY_LOCK_SHARED (1)", ADV, 1 },
	{ "select pg_advisory_unlock(1)", ADV, 1 },
	{ "select pg_advisory_unlock_shared(1)", ADV, 1 },
	{ "select pg_catalog . pg_advisory_unlock_all --\n ()", ADV, 1 },
	{ "select pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(1), pg_advisory_xact_lock_shared(1)", 0, 1 },
	{ "select currval('s')", SEQ, 1 },
	{ "select lastval()", SEQ, 1 },
	{ "insert into t values (currval('s'))", SEQ, 1 },
	{ "select nextval('s'), setval('s', 1)", 0, 1 },
	{ "select lastval from t", 0, 1 },
	{ "select \"lastval\"()", SEQ, 1 },
	{ "select my_func(1)", SCAN_SUSPECT, 1 },
	{ "select a.OTHER (1)", SCAN_SUSPECT, 1 },
	{ "select my_func", 0, 1 },
	{ "select my_funcs(1)", 0, 1 },
	{ "select my_fun(1)", 0, 1 },
	/* strings */
	{ "select ';set x = 1'", 0, 1 },
	{ "select 'a'';set x = 1'", 0, 1 },
	{ "select 'a\\'; set x = 1 --'", SET, 2 },
	{ "select e'a\\'; set x = 1 --'", 0, 1 },
	{ "select E'a\\\\'; set x = 1", SET, 2 },
	{ "select E'a''b\\'; set x = 1 --'", 0, 1 },
	{ "select E'a'\n'b\\'; set x = 1 --'", 0, 1 },
	{ "select E'a' -- c\n -- d\r\n 'b\\'; set x = 1 --'", 0, 1 },
	{ "select E'a'\r'b\\'; set x = 1 --'", 0, 1 },
	{ "select E'a' 'b\\'; set x = 1 --'", SET, 2 },
	{ "select b'1\\'; set x = 1 --'", SET, 2 },
	{ "select x'1\\'; set x = 1 --'", SET, 2 },
	{ "select n'1\\'; set x = 1 --'", SET, 2 },
	{ "select U&'1\\'; set x = 1 --'", SET, 2 },
	{ "select U&'a' uescape '\\'; set x = 1", SET, 2 },
	{ "select u & 'a'; set x = 1", SET, 2 },
	{ "select fe'a\\'; set x = 1 --'", SET, 2 },
	{ "select E'\x95\\'; set x = 1 --'", SCAN_OPAQUE, 1 },
	{ "select '\x95\\'; set x = 1", SET, 2 },
	{ "select 'open; set x = 1", 0, 1 },
	{ "select E'open\\", 0, 1 },
	{ "select 'a''", 0, 1 },
	/* quoted identifiers */
	{ "select \";set x = 1\"", 0, 1 },
	{ "select \"a\"\";set x = 1\"", 0, 1 },
	{ "select \"a\\\"; set x = 1", SET, 2 },
	{ "select \"open; set x = 1", 0, 1 },
	{ "select \"\"; set x = 1", SET, 2 },
	/* dollar quotes */
	{ "select $$;set x = 1$$", 0, 1 },
	{ "select $a$;set x = 1$$;$b$;$a$", 0, 1 },
	{ "select $a$x$a$$a$;set x = 1$a$", 0, 1 },
	{ "select $$a$$; set x = 1", SET, 2 },
	{ "select $a$ $b$a$; set x = 1", SET, 2 },
	{ "select $1; set x = 1; select $1", SET, 3 },
	{ "select $1$$; set x = 1; $$", 0, 1 },
	{ "select a$$; set x = 1; select a$$", SET, 3 },
	{ "select $1a$; set x = 1; select $1a$", SET, 3 },
	{ "select $\xc3\xa4$;set x = 1$\xc3\xa4$", 0, 1 },
	{ "select $a b$; set x = 1", SET, 2 },
	{ "select $a$open; set x = 1", 0, 1 },
	{ "select 1 $", 0, 1 },
	/* comments */
	{ "select 1 -- ; set x = 1", 0, 1 },
	{ "select 1 -- x\r; set x = 1", SET, 2 },
	{ "select 1 /* ; set x = 1 */", 0, 1 },
	{ "select 1 /* /* */ ; set x = 1 */", 0, 1 },
	{ "select 1 /* /* */ */ ; set x = 1", SET, 2 },
	{ "select 1 /*/ ; set x = 1 */", 0, 1 },
	{ "select 1 /**/; set x = 1", SET, 2 },
	{ "select 1 /* ' */; set x = 1 --'", SET, 2 },
	{ "select 2+--1\n3; set x = 1", SET, 2 },
	{ "select 4*/*2*/2; set x = 1", SET, 2 },
	{ "select 4 - 2 / 1; set x = 1", SET, 2 },
	{ "/* open; set x = 1", 0, 0 },
	{ "/* /* */ set x = 1", 0, 0 },
	{ "select 1 /", 0, 1 },
	{ "-", 0, 1 },
};

START_TEST(flags_and_statements_are_found)
{
	struct scan_result r = scan(cases[_i].sql, strlen(cases[_i].sql), &standard);

	ck_assert_msg(r.flags == cases[_i].flags, "%s: flags %#x, not %#x", cases[_i].sql, r.flags, cases[_i].flags);
	ck_assert_msg(r.statements == cases[_i].statements, "%s: %u statements", cases[_i].sql, r.statements);
}
END_TEST

START_TEST(blanks_and_comments_in_front_change_nothing)
{
	static const char *const fronts[] = { " ", "\n", "-- x\n", "/* ' /* */ \" */", ";" };
	char text[400];

	for (size_t i = 0; i < N_ELEMENTS(fronts); i++) {
		struct scan_result r;

		snprintf(text, sizeof(text), "%s%s", fronts[i], cases[_i].sql);
		r = scan(text, strlen(text), &standard);
		ck_assert_msg(r.flags == cases[_i].flags && r.statements == cases[_i].statements, "%s", text);
	}
}
END_TEST

START_TEST(upper_case_is_the_same)
{
	char text[400];
	size_t len = strlen(cases[_i].sql);

	for (size_t i = 0; i <= len; i++)
		text[i] = cases[_i].sql[i] >= 'a' && cases[_i].sql[i] <= 'z' ? (char)(cases[_i].sql[i] - 32)
									     : cases[_i].sql[i];
	ck_assert_msg(scan(text, len, &standard).flags == cases[_i].flags, "%s", text);
}
END_TEST

START_TEST(a_cut_text_is_marked_and_read_to_its_end_only)
{
	struct scan_options cut = standard;

	cut.is_truncated = true;
	for (size_t len = 0; len <= strlen(cases[_i].sql); len++) {
		struct scan_result r = scan(cases[_i].sql, len, &cut);

		ck_assert(r.flags & SCAN_TRUNCATED);
		ck_assert(!r.is_deallocate);
	}
}
END_TEST

static const struct {
	const char *sql;
	unsigned flags;
} old_strings[] = {
	{ "select 'a\\'; set x = 1 --'", 0 },
	{ "select 'a\\\\'; set x = 1", SET },
	{ "select n'a\\'; set x = 1 --'", 0 },
	{ "select b'1\\'; set x = 1 --'", SET },
	{ "select x'1\\'; set x = 1 --'", SET },
	{ "select b'1'\n'1\\'; set x = 1 --'", SET },
	{ "select $$a\\$$; set x = 1", SET },
	{ "select \"a\\\"; set x = 1", SET },
	{ "select '\x95\\'; set x = 1 --'", SCAN_OPAQUE },
	{ "select set_config('a', 'b\\', true)', false)", SET },
	{ "select my_func(1)", 0 },
};

START_TEST(without_standard_conforming_strings_a_backslash_escapes)
{
	struct scan_result r = scan(old_strings[_i].sql, strlen(old_strings[_i].sql), &backslashes);

	ck_assert_msg(r.flags == old_strings[_i].flags, "%s: %#x", old_strings[_i].sql, r.flags);
}
END_TEST

#define S63 "sixty_three_bytes_are_what_a_name_of_postgresql_can_be_long_123"
#define S62 "sixty_two_bytes_and_then_a_character_of_two_bytes_is_one_too_m"

static const struct {
	const char *sql, *name; /* NULL: it isn't one */
	bool all;
} deallocates[] = {
	{ "deallocate a", "a", false },
	{ " DEALLOCATE  PREPARE A_b$1 ; -- x", "a_b$1", false },
	{ "deallocate all", "", true },
	{ "deallocate prepare ALL;", "", true },
	{ "deallocate \"all\"", "all", false },
	{ "deallocate \"A \"\"b\"", "A \"b", false },
	{ "deallocate/**/\"a\"/**/;;", "a", false },
	{ "deallocate prepare", "prepare", false },
	{ "deallocate prepare;", "prepare", false },
	{ "deallocate prepare prepare", "prepare", false },
	{ "deallocate \"prepare\"", "prepare", false },
	{ "deallocate u", "u", false },
	{ "deallocate " S63, S63, false },
	{ "deallocate " S63 "4", S63, false },
	{ "deallocate " S62 "\xc3\xa4", S62, false },
	{ "deallocate \"" S62 "\xe2\x82\xac\"", S62, false },
	{ "deallocate \"" S63 "\"\"\"", S63, false },
	{ "deallocate", NULL, false },
	{ "deallocate;", NULL, false },
	{ "deallocate a b", NULL, false },
	{ "deallocate a; select 1", NULL, false },
	{ "select 1; deallocate a", NULL, false },
	{ "deallocate a; deallocate b", NULL, false },
	{ "deallocate \"a\"b", NULL, false },
	{ "deallocate prepare \"a", NULL, false },
	{ "deallocate \"a", NULL, false },
	{ "deallocate \"a\"\"", NULL, false },
	{ "deallocate \"\"", NULL, false },
	{ "deallocate \"", NULL, false },
	{ "deallocate u&\"a\"", NULL, false },
	{ "deallocate 'a'", NULL, false },
	{ "deallocate e'a'", NULL, false },
	{ "deallocate 1", NULL, false },
	{ "deallocate a.b", NULL, false },
	{ "deallocated a", NULL, false },
	{ "\"deallocate\" a", NULL, false },
	{ "prepare a", NULL, false },
	{ "", NULL, false },
};

START_TEST(a_lone_deallocate_is_recognised_with_its_name)
{
	struct scan_result r = scan(deallocates[_i].sql, strlen(deallocates[_i].sql), &standard);

	ck_assert_msg(r.is_deallocate == (deallocates[_i].name != NULL), "%s", deallocates[_i].sql);
	ck_assert_str_eq(r.name, deallocates[_i].all || !deallocates[_i].name ? "" : deallocates[_i].name);
	ck_assert_msg(r.is_deallocate_all == deallocates[_i].all, "%s", deallocates[_i].sql);
}
END_TEST

START_TEST(a_nul_in_a_word_is_no_end_of_what_it_is_compared_with) /* reading on is AddressSanitizer's to tell */
{
	static const char quoted[] = "select \"prepare\0\0\0\0\0\0\0\0a\"", suspect[] = "select \"f\0\0\0\0\"()";
	struct scan_result r = scan(quoted, sizeof(quoted) - 1, &standard);

	ck_assert_uint_eq(r.flags, 0);
	r = scan(suspect, sizeof(suspect) - 1, &standard);
	ck_assert_uint_eq(r.flags, 0);
}
END_TEST

static const char *const repeated[] = {
	"set_config(",
	"set_config(1,2,true) ",
	"set_config('a',set_config('a','b',true),(",
	"/*",
	"lastval/*",
	"'",
	"''",
	"E'\\",
	"$$",
	"$a$b",
	"$a",
	"\"",
	"\"\"",
	"--",
	"-",
	"/",
	"e'a'\n",
	"'a' --\n",
	";",
	"set local ",
	"(",
	"pg_temp",
	"my_func /**/",
	"u&\"",
	"set_config(1,",
	"set_config(1,2,true",
	"set_config(a[",
};

START_TEST(a_megabyte_of_anything_takes_no_time) /* quadratic would be minutes: the test's time limit */
{
	size_t n = strlen(repeated[_i]), len = 0;
	char *text = xmalloc((1 << 20) + n);

	while (len < 1 << 20) {
		memcpy(text + len, repeated[_i], n);
		len += n;
	}
	scan(text, len, &standard);
	scan(text, len, &backslashes);
	free(text);
}
END_TEST

START_TEST(nested_set_configs_that_are_local_take_no_time_either)
{
	enum { DEPTH = 30000 };
	char *text = xmalloc(DEPTH * 40);
	size_t len = 0;

	for (int i = 0; i < DEPTH; i++)
		len += (size_t)sprintf(text + len, "set_config('a',");
	for (int i = 0; i < DEPTH; i++)
		len += (size_t)sprintf(text + len, "'',true)");
	ck_assert_uint_eq(scan(text, len, &standard).flags, SCAN_SET); /* it gives up to the safe side */
	free(text);
}
END_TEST

static const struct {
	const char *sql, *setting;
} sets[] = {
	{ "SET work_mem = '5MB'", "work_mem" },
	{ "set SESSION Work_Mem to 5;", "work_mem" },
	{ "set app.user_id='42'", "app.user_id" },
	{ "/* a */ set /* b */ search_path -- c\n = a, b", "search_path" },
	{ "set session = 1", "" },
	{ "set work_mem = DEFAULT", "" },
	{ "set work_mem", "" },
	{ "set work_mem '5MB'", "" },
	{ "set \"work_mem\" = 5", "" },
	{ "set role = x", "" },
	{ "set role x", "" },
	{ "set session_authorization = x", "" },
	{ "set session authorization x", "" },
	{ "set time zone 'UTC'", "" },
	{ "set names = x", "" },
	{ "set local work_mem = 5", "" },
	{ "set session characteristics as transaction read only", "" },
	{ "set transaction_read_only = on", "" },
	{ "set seed = 0.5", "" },
	{ "set work_mem = 5; select 1", "" },
	{ "set work_mem = 5; set work_mem = 6", "" },
	{ "select 1", "" },
	{ "reset work_mem", "" },
	{ "set a23456789012345678901234567890123456789012345678901234567890123 = 1",
		"a23456789012345678901234567890123456789012345678901234567890123" },
	{ "set a234567890123456789012345678901234567890123456789012345678901234 = 1", "" },
};

START_TEST(a_set_that_changes_one_setting_names_it)
{
	struct scan_options o = { .standard_conforming_strings = true };
	struct scan_result r;

	sqlscan(sets[_i].sql, strlen(sets[_i].sql), &o, &r);
	ck_assert_msg(strcmp(r.setting, sets[_i].setting) == 0, "%s: %s", sets[_i].sql, r.setting);
}
END_TEST

static const struct {
	const char *sql;
	unsigned flags, makes;
} makers[] = {
	{ "listen a", SCAN_LISTEN, SCAN_LISTEN },
	{ "unlisten a", SCAN_LISTEN, 0 },
	{ "prepare a as select 1", SCAN_PREPARE, SCAN_PREPARE },
	{ "execute a", SCAN_PREPARE, 0 },
	{ "deallocate a", SCAN_PREPARE, 0 },
	{ "create temp table a ()", SCAN_TEMP, SCAN_TEMP },
	{ "select 1 into temporary a", SCAN_TEMP, SCAN_TEMP },
	{ "drop table pg_temp.a", SCAN_TEMP, 0 },
	{ "declare a cursor with hold for select 1", SCAN_HOLD, SCAN_HOLD },
	{ "select pg_advisory_lock(1)", SCAN_ADVISORY, SCAN_ADVISORY },
	{ "select pg_advisory_unlock(1)", SCAN_ADVISORY, 0 },
	{ "select pg_advisory_unlock_all()", SCAN_ADVISORY, 0 },
	{ "unlisten a; listen b", SCAN_LISTEN, SCAN_LISTEN },
	{ "load 'a'", SCAN_LOAD, SCAN_LOAD },
};

START_TEST(what_ends_something_makes_nothing)
{
	struct scan_options o = { .standard_conforming_strings = true };
	struct scan_result r;

	sqlscan(makers[_i].sql, strlen(makers[_i].sql), &o, &r);
	ck_assert_msg(r.flags == makers[_i].flags && r.makes == makers[_i].makes, "%s: %x, %x",
		makers[_i].sql, r.flags, r.makes);
}
END_TEST

START_TEST(a_list_of_suspects_is_read)
{
	const char **names = scan_suspects(" a , Public.\"B\",,c.d.e, pg_temp. ");
	struct scan_options o = { .standard_conforming_strings = true, .suspects = names };
	struct scan_result r;

	ck_assert_str_eq(names[0], "a");
	ck_assert_str_eq(names[1], "b");
	ck_assert_str_eq(names[2], "e");
	ck_assert_ptr_null(names[3]);
	sqlscan("select x.E(1)", 13, &o, &r);
	ck_assert_uint_eq(r.flags, SCAN_SUSPECT);
	free(names);
	ck_assert_ptr_null(scan_suspects(" , "));
}
END_TEST

UNIT_MAIN("sqlscan", {
	tcase_add_loop_test(tc, a_set_that_changes_one_setting_names_it, 0, N_ELEMENTS(sets));
	tcase_add_loop_test(tc, what_ends_something_makes_nothing, 0, N_ELEMENTS(makers));
	tcase_add_test(tc, a_list_of_suspects_is_read);
	tcase_add_loop_test(tc, flags_and_statements_are_found, 0, N_ELEMENTS(cases));
	tcase_add_loop_test(tc, blanks_and_comments_in_front_change_nothing, 0, N_ELEMENTS(cases));
	tcase_add_loop_test(tc, upper_case_is_the_same, 0, N_ELEMENTS(cases));
	tcase_add_loop_test(tc, a_cut_text_is_marked_and_read_to_its_end_only, 0, N_ELEMENTS(cases));
	tcase_add_loop_test(
		tc, without_standard_conforming_strings_a_backslash_escapes, 0, N_ELEMENTS(old_strings));
	tcase_add_loop_test(tc, a_lone_deallocate_is_recognised_with_its_name, 0, N_ELEMENTS(deallocates));
	tcase_add_test(tc, a_nul_in_a_word_is_no_end_of_what_it_is_compared_with);
	tcase_add_loop_test(tc, a_megabyte_of_anything_takes_no_time, 0, N_ELEMENTS(repeated));
	tcase_add_test(tc, nested_set_configs_that_are_local_take_no_time_either);
})
