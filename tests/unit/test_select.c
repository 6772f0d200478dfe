#include "admin/select.h"

#include "admin/show.h"
#include "unit.h"
#include "wire/msg.h"

#include <stdio.h>
#include <string.h>

/* ---- what is read ---- */

static const struct {
	const char *sql, *sqlstate, *message;
	int position;
} bad[] = {
	{ "select", "42601", "syntax error at end of input", 7 },
	{ "select * ", "42601", "SELECT * with no view specified is not valid", 8 },
	{ "select * from", "42601", "syntax error at end of input", 14 },
	{ "select * from nosuch", "42P01", "the console has no view \"nosuch\"", 15 },
	{ "select * from help", "42P01", "the console has no view \"help\"", 15 },
	{ "select * from 'pools'", "42601", "syntax error at or near \"'pools'\"", 15 },
	{ "select x from pools", "42703", "column \"x\" does not exist", 8 },
	{ "select \"Database\" from pools", "42703", "column \"Database\" does not exist", 8 },
	{ "select database user_ pools", "42703", "column \"database\" does not exist", 8 },
	{ "select database, from pools", "42703", "column \"from\" does not exist", 18 },
	{ "select * from pools p", "42601", "syntax error at or near \"p\"", 21 },
	{ "select * from pools, stats", "0A000", "the console's SELECT is from one view", 20 },
	{ "select * from pools join stats", "0A000", "the console's SELECT has no join", 21 },
	{ "select * from pools group by 1", "0A000", "the console's SELECT has no group", 21 },
	{ "select distinct database from pools", "0A000", "the console's SELECT has no distinct", 8 },
	{ "select * from pools where", "42601", "syntax error at end of input", 26 },
	{ "select * from pools where cl_active", "42601", "syntax error at end of input", 36 },
	{ "select * from pools where cl_active = ", "42601", "syntax error at end of input", 39 },
	{ "select * from pools where cl_active = 'x'", "22P02", "invalid input syntax for a number: \"x\"", 39 },
	{ "select * from pools where cl_active = 1x", "42601", "trailing junk after a number at or near \"1\"", 39 },
	{ "select * from pools where cl_active = null", "0A000", "compare with IS NULL rather than with null", 39 },
	{ "select * from pools where database like 1", "42601", "syntax error at or near \"1\"", 41 },
	{ "select * from pools where database not = 'x'", "42601", "syntax error at or near \"=\"", 40 },
	{ "select * from pools where (cl_active = 1", "42601", "syntax error at end of input", 41 },
	{ "select * from pools where cl_active in ()", "42601", "syntax error at or near \")\"", 41 },
	{ "select * from pools where cl_active in (1, 'x')", "22P02",
		"invalid input syntax for a number: \"x\"", 44 },
	{ "select * from pools where cl_active = 1 order database", "42601",
		"syntax error at or near \"database\"", 47 },
	{ "select * from pools order by nosuch", "42703", "column \"nosuch\" does not exist", 30 },
	{ "select database from pools order by 2", "42P10", "ORDER BY position 2 is not in the list", 37 },
	{ "select * from pools order by 1 nulls", "42601", "syntax error at end of input", 37 },
	{ "select * from pools limit -1", "42601", "syntax error at or near \"-\"", 27 },
	{ "select * from pools limit 1 limit 2 limit 3", "42601", "syntax error at or near \"limit\"", 37 },
	{ "select * from pools; select 1", "42601", "syntax error at or near \"select\"", 22 },
	{ "select * from pools where database = 'open", "42601",
		"unterminated quoted string or comment at or near \"'open\"", 38 },
	{ "select * from pools /* open", "42601",
		"unterminated quoted string or comment at or near \"/* open\"", 21 },
	{ "select nosuch()", "42883", "function nosuch does not exist on the console", 8 },
	{ "select version(1)", "42601", "syntax error at or near \"1\"", 16 },
	{ "select count(database) from pools", "42601", "syntax error at or near \"database\"", 14 },
	{ "select database, count(*) from pools", "42803", "column \"database\" beside count(*)", 8 },
	{ "select 1.5", "22003", "a number in the list must be a whole one from 0 to 2147483647", 8 },
	{ "select -1", "22003", "a number in the list must be a whole one from 0 to 2147483647", 8 },
	{ "select 'ä', x", "42703", "column \"x\" does not exist", 13 },
	{ "select pg_catalog.quote_ident(c.relname) from pg_catalog.pg_class c", "0A000",
		"the console has no system catalogs, use SHOW HELP;", 0 },
	{ "select t.oid from pg_type t join pg_namespace n on true", "0A000",
		"the console has no system catalogs, use SHOW HELP;", 0 },
};

START_TEST(what_it_cant_is_refused_with_its_place)
{
	struct select_error e;
	struct select s;

	ck_assert_msg(select_parse(bad[_i].sql, &s, &e) == RES_PROTOCOL, "%s", bad[_i].sql);
	ck_assert_str_eq(e.message, bad[_i].message);
	ck_assert_str_eq(e.sqlstate, bad[_i].sqlstate);
	ck_assert_msg(e.position == bad[_i].position, "%s: %d", bad[_i].sql, e.position);
}
END_TEST

static void repeat(char *out, size_t size, const char *begin, const char *part, int times, const char *end)
{
	size_t n = (size_t)snprintf(out, size, "%s", begin);

	for (int i = 0; i < times; i++)
		n += (size_t)snprintf(out + n, size - n, "%s", part);
	snprintf(out + n, size - n, "%s", end);
}

START_TEST(everything_has_a_limit)
{
	char sql[4096];
	struct select_error e;
	struct select s;

	repeat(sql, sizeof(sql), "select 1", ",1", SELECT_ITEMS_MAX - 1, "");
	ck_assert_int_eq(select_parse(sql, &s, &e), RES_OK);
	repeat(sql, sizeof(sql), "select 1", ",1", SELECT_ITEMS_MAX, "");
	ck_assert_int_eq(select_parse(sql, &s, &e), RES_PROTOCOL);
	ck_assert_str_eq(e.sqlstate, "54011");
	repeat(sql, sizeof(sql), "select version()", ",version()", SELECT_ITEMS_MAX - 1, "");
	ck_assert_int_eq(select_parse(sql, &s, &e), RES_OK);
	repeat(sql, sizeof(sql), "select *", ",*", 4, " from clients");
	ck_assert_int_eq(select_parse(sql, &s, &e), RES_PROTOCOL);
	repeat(sql, sizeof(sql), "select * from mem where used=1", " or used=1", SELECT_NODES_MAX / 2 - 1, "");
	ck_assert_int_eq(select_parse(sql, &s, &e), RES_OK);
	repeat(sql, sizeof(sql), "select * from mem where used=1", " or used=1", SELECT_NODES_MAX / 2, "");
	ck_assert_int_eq(select_parse(sql, &s, &e), RES_PROTOCOL);
	ck_assert_str_eq(e.sqlstate, "54000");
	repeat(sql, sizeof(sql), "select * from mem where ", "(", SELECT_DEPTH_MAX, "used=1");
	repeat(sql + strlen(sql), sizeof(sql) - strlen(sql), "", ")", SELECT_DEPTH_MAX, "");
	ck_assert_int_eq(select_parse(sql, &s, &e), RES_OK);
	repeat(sql, sizeof(sql), "select * from mem where ", "(", SELECT_DEPTH_MAX + 1, "used=1");
	ck_assert_int_eq(select_parse(sql, &s, &e), RES_PROTOCOL);
	ck_assert_str_eq(e.sqlstate, "54000");
	repeat(sql, sizeof(sql), "select 1 -- ", "x", SELECT_TEXT_MAX - 12, "");
	ck_assert_int_eq(select_parse(sql, &s, &e), RES_OK);
	repeat(sql, sizeof(sql), "select 1 -- ", "x", SELECT_TEXT_MAX - 11, "");
	ck_assert_int_eq(select_parse(sql, &s, &e), RES_PROTOCOL);
}
END_TEST

/* ---- what comes out, of SHOW MEM as if it had these rows ---- */

static const struct {
	const char *name;
	int size, used; /* -1: NULL */
} mem[] = { { "client", 100, 7 }, { "server", 20, 10 }, { NULL, 3, -1 }, { "a_b", 100, 9 }, { "Server%", 0, 10 } };

static const struct {
	const char *sql, *want;
} results[] = {
	{ "select 1", "?column?:23 = 1;" },
	{ "SELECT 1 AS one, 'it''s' two, 'x' \"T h\";", "one:23 two:25 T h:25 = 1,it's,x;" },
	{ "select version()", "version:25 = PgBouncer 1.25.2 (pgweir " PGWEIR_VERSION ");" },
	{ "select current_database(), current_user, session_user, pg_backend_pid(), pg_catalog.current_schema()",
		"current_database:25 current_user:25 session_user:25 pg_backend_pid:23 current_schema:25 = "
		"pgweir,bob,bob,42,public;" },
	{ "select count(*)", "count:20 = 1;" },
	{ "select name, used from mem", "name:25 used:23 = client,7;server,10;NULL,NULL;a_b,9;Server%,10;" },
	{ "select * from mem limit 1", "name:25 size:23 used:23 free:23 memtotal:23 = client,100,7,0,0;" },
	{ "/* */ select used from mem -- all\n order by used", "used:23 = 7;9;10;10;NULL;" },
	{ "select used from mem order by used desc", "used:23 = NULL;10;10;9;7;" },
	{ "select used from mem order by 1 desc nulls last", "used:23 = 10;10;9;7;NULL;" },
	{ "select used from mem order by used asc nulls first limit 2", "used:23 = NULL;7;" },
	{ "select name from mem order by size desc, name", "name:25 = a_b;client;server;NULL;Server%;" },
	{ "select name from mem order by name", "name:25 = Server%;a_b;client;server;NULL;" },
	{ "select name from mem limit 2 offset 3", "name:25 = a_b;Server%;" },
	{ "select name from mem offset 4 limit all", "name:25 = Server%;" },
	{ "select name from mem offset 9", "name:25 = " },
	{ "select name from mem limit 0", "name:25 = " },
	{ "select name from mem where used = 10", "name:25 = server;Server%;" },
	{ "select name from mem where used = '10'", "name:25 = server;Server%;" },
	{ "select name from mem where 9 < used", "name:25 = server;Server%;" },
	{ "select name from mem where used <> 10", "name:25 = client;a_b;" },
	{ "select name from mem where not used != 10", "name:25 = server;Server%;" },
	{ "select name from mem where used >= 9.5", "name:25 = server;Server%;" },
	{ "select name from mem where used > -1 and used<=9", "name:25 = client;a_b;" },
	{ "select name from mem where size < used", "name:25 = Server%;" },
	{ "select size from mem where name is null", "size:23 = 3;" },
	{ "select size from mem where name is not null and size is not null", "size:23 = 100;20;100;0;" },
	{ "select name from mem where name > 'b'", "name:25 = client;server;" },
	{ "select name from mem where name like 'ser%'", "name:25 = server;" },
	{ "select name from mem where name ilike 'SER%'", "name:25 = server;Server%;" },
	{ "select name from mem where name like '%r\\%'", "name:25 = Server%;" },
	{ "select name from mem where name like '_\\_b'", "name:25 = a_b;" },
	{ "select name from mem where name not like '%er%'", "name:25 = client;a_b;" },
	{ "select name from mem where name in ('client', 'a_b') or used = 10",
		"name:25 = client;server;a_b;Server%;" },
	{ "select name from mem where used not in (7, 9)", "name:25 = server;Server%;" },
	{ "select size from mem where used not in (7, 9) or used is null", "size:23 = 20;3;0;" },
	{ "select name from mem where used = 10 and name = 'server' or name = 'client'", "name:25 = client;server;" },
	{ "select name from mem where used = 10 and (name = 'server' or name = 'client')", "name:25 = server;" },
	{ "select name from mem where not (used = 10 or name = 'client')", "name:25 = a_b;" }, /* NULL: unknown */
	{ "select count(*) from mem", "count:20 = 5;" },
	{ "select count(*) as n, 'x' from mem where used = 10 limit 1", "n:20 ?column?:25 = 2,x;" },
	{ "select count(*) from mem where name = 'nobody'", "count:20 = 0;" },
	{ "select 'mem' kind, name from mem where used = 7", "kind:25 name:25 = mem,client;" },
	{ "select \"name\" from \"mem\" where \"used\" = 7", "name:25 = client;" },
};

static void number_or_null(struct rows *r, int n)
{
	if (n < 0)
		rows_text(r, NULL);
	else
		rows_number(r, (uint64_t)n);
}

static struct rows mem_rows(void)
{
	const struct view *v = view_find("mem");
	struct rows r = { .columns = v->columns, .n_columns = v->n_columns };
	struct error_info notice = { .severity = "NOTICE", .sqlstate = "00000", .message = "passed over" };

	write_error(&r.out, &notice);
	for (size_t i = 0; i < N_ELEMENTS(mem); i++) {
		rows_begin(&r);
		rows_text(&r, mem[i].name);
		number_or_null(&r, mem[i].size);
		number_or_null(&r, mem[i].used);
		rows_number(&r, 0);
		rows_number(&r, 0);
		rows_end(&r);
	}
	return r;
}

static void print_rows(FILE *f, const struct rows *rows)
{
	struct reader r = reader_over(rows->out.data, rows->out.len);

	while (reader_left(&r)) {
		uint8_t type = read_u8(&r);
		uint16_t n;

		ck_assert_uint_eq(type, MSG_DATA_ROW);
		read_u32(&r);
		n = read_u16(&r);
		for (unsigned i = 0; i < n; i++) {
			uint32_t len = read_u32(&r);
			const char *value = len == UINT32_MAX ? "NULL" : (const char *)read_bytes(&r, len);

			fprintf(f, "%s%.*s", i ? "," : "", len == UINT32_MAX ? 4 : (int)len, len ? value : "");
		}
		fputc(';', f);
	}
}

START_TEST(results_are_sqls)
{
	const struct select_session who = { "pgweir", "bob", 42 };
	struct rows from = mem_rows(), to = { .count = 0 };
	struct select_error e;
	struct select s;
	char *got;
	size_t len;
	FILE *f = open_memstream(&got, &len);

	ck_assert_msg(select_parse(results[_i].sql, &s, &e) == RES_OK, "%s: %s", results[_i].sql, e.message);
	to.columns = s.columns;
	to.n_columns = s.n_items;
	select_apply(&s, &from, &who, &to);
	for (size_t i = 0; i < s.n_items; i++)
		fprintf(f, "%s:%d ", s.columns[i].name, (int)s.columns[i].type);
	fputs("= ", f);
	print_rows(f, &to);
	fclose(f);
	ck_assert_str_eq(got, results[_i].want);
	free(got);
	writer_free(&from.out);
	writer_free(&to.out);
}
END_TEST

UNIT_MAIN("select", {
	tcase_add_loop_test(tc, what_it_cant_is_refused_with_its_place, 0, N_ELEMENTS(bad));
	tcase_add_test(tc, everything_has_a_limit);
	tcase_add_loop_test(tc, results_are_sqls, 0, N_ELEMENTS(results));
})
