#include "wire/startup.h"
#include "wire/msg.h"

#include "unit.h"

#include <stdio.h>

/* A packet as bytes; the length is filled in unless the case is about a wrong one. */
#define PACKET(body) body, sizeof(body) - 1
#define V3 "\0\3\0\0"

static size_t packet(uint8_t *to, const char *body, size_t len)
{
	store_be32(to, (uint32_t)len + 4);
	memcpy(to + 4, body, len);
	return len + 4;
}

static const struct {
	const char *name, *bytes;
	size_t len;
	enum result want;
	size_t used; /* 0: don't care */
} firsts[] = {
	{ "nothing", PACKET(""), RES_MORE, 4 },
	{ "three bytes", PACKET("\0\0\0"), RES_MORE, 4 },
	{ "a length", PACKET("\0\0\0\x08"), RES_MORE, 8 },
	{ "all but one", PACKET("\0\0\0\x08\x04\xd2\x16"), RES_MORE, 8 },
	{ "the longest packet", PACKET("\0\0\x27\x14"), RES_MORE, 10004 },
	{ "one byte more", PACKET("\0\0\x27\x15"), RES_PROTOCOL, 0 },
	{ "length 0", PACKET("\0\0\0\0"), RES_PROTOCOL, 0 },
	{ "length 4", PACKET("\0\0\0\x04"), RES_PROTOCOL, 0 },
	{ "length 7", PACKET("\0\0\0\x07\0\0\0"), RES_PROTOCOL, 0 },
	{ "length 2^30", PACKET("\x40\0\0\0"), RES_PROTOCOL, 0 },
	{ "length -1", PACKET("\xff\xff\xff\xff"), RES_PROTOCOL, 0 },
	{ "HTTP", PACKET("GET / HTTP/1.1\r\n"), RES_PROTOCOL, 0 },
	{ "TLS", PACKET("\x16\x03\x01\x02\0\x01"), RES_PROTOCOL, 0 },
	{ "short cancel", PACKET("\0\0\0\x0c\x04\xd2\x16\x2e\0\0\0\1"), RES_PROTOCOL, 0 },
	{ "long cancel", PACKET("\0\0\0\x11\x04\xd2\x16\x2e\0\0\0\1\0\0\0\2\3"), RES_PROTOCOL, 0 },
	{ "long SSLRequest", PACKET("\0\0\0\x09\x04\xd2\x16\x2f\0"), RES_PROTOCOL, 0 },
};

START_TEST(first_bytes_that_are_not_ours_are_refused_without_a_word)
{
	struct startup s;
	struct startup_error e = { .sqlstate = "unset" };
	size_t used = 0;
	uint8_t *exact = xmalloc(firsts[_i].len);

	memcpy(exact, firsts[_i].bytes, firsts[_i].len); /* so that ASan sees a byte too many */
	ck_assert_msg(startup_parse(exact, firsts[_i].len, &s, &used, &e) == firsts[_i].want, "%s",
		firsts[_i].name);
	if (firsts[_i].want == RES_PROTOCOL) {
		ck_assert_ptr_null(e.sqlstate);
		ck_assert_int_gt((int)strlen(e.message), 10);
	}
	if (firsts[_i].used)
		ck_assert_uint_eq(used, firsts[_i].used);
	free(exact);
}
END_TEST

START_TEST(a_tls_record_and_text_are_told_apart_in_the_log)
{
	struct startup s;
	struct startup_error e;
	size_t used;

	startup_parse((const uint8_t *)"\x16\x03\x01\x02", 4, &s, &used, &e);
	ck_assert_str_eq(e.message, "first bytes are a TLS handshake");
	startup_parse((const uint8_t *)"GET ", 4, &s, &used, &e);
	ck_assert_str_eq(e.message, "first bytes are text, not a startup packet");
}
END_TEST

START_TEST(cancel_and_encryption_requests_are_recognised)
{
	struct startup s;
	struct startup_error e;
	size_t used;

	ck_assert_int_eq(startup_parse((const uint8_t *)"\0\0\0\x10\x04\xd2\x16\x2e\1\2\3\4\5\6\7\x08Q", 17,
				 &s, &used, &e),
		RES_OK);
	ck_assert(s.kind == STARTUP_CANCEL && s.cancel.pid == 0x01020304 && s.cancel.len == 4 &&
		!memcmp(s.cancel.secret, "\5\6\7\x8", 4) && used == 16);
	ck_assert_int_eq(startup_parse((const uint8_t *)"\0\0\0\x08\x04\xd2\x16\x2f", 8, &s, &used, &e), RES_OK);
	ck_assert(s.kind == STARTUP_SSL && used == 8);
	ck_assert_int_eq(startup_parse((const uint8_t *)"\0\0\0\x08\x04\xd2\x16\x30", 8, &s, &used, &e), RES_OK);
	ck_assert(s.kind == STARTUP_GSSENC && used == 8);
}
END_TEST

START_TEST(a_cancel_key_is_short_or_long)
{
	for (uint32_t len = 0; len <= CANCEL_SECRET_MAX; len++) {
		uint8_t bytes[12 + CANCEL_SECRET_MAX] = { 0 };
		bool is_ours = len == CANCEL_SECRET_SHORT || len == CANCEL_SECRET_LONG;
		struct startup s;
		struct startup_error e;
		size_t used;

		store_be32(bytes, 12 + len);
		store_be32(bytes + 4, CANCEL_REQUEST_CODE);
		store_be32(bytes + 8, 7);
		memset(bytes + 12, 'k', len);
		ck_assert_int_eq(startup_parse(bytes, 12 + len, &s, &used, &e), is_ours ? RES_OK : RES_PROTOCOL);
		ck_assert(!is_ours ||
			(s.cancel.pid == 7 && s.cancel.len == len && s.cancel.secret[len - 1] == 'k'));
		ck_assert(is_ours || !e.sqlstate);
	}
}
END_TEST

#define LAYOUT "invalid startup packet layout: expected terminator as last byte"
#define NO_USER "no PostgreSQL user name specified in startup packet"

static const struct {
	const char *name, *body;
	size_t len;
	const char *sqlstate, *message; /* NULL: it's fine */
} bodies[] = {
	{ "user alone", PACKET(V3 "user\0bob\0\0"), NULL, NULL },
	{ "version 3.2", PACKET("\0\3\0\2user\0bob\0\0"), NULL, NULL },
	{ "empty database", PACKET(V3 "user\0bob\0database\0\0\0"), NULL, NULL },
	{ "no terminator", PACKET(V3 "user\0bob\0"), "08P01", LAYOUT },
	{ "a value without NUL", PACKET(V3 "user\0bob"), "08P01", LAYOUT },
	{ "a name without NUL", PACKET(V3 "user"), "08P01", LAYOUT },
	{ "a name without value", PACKET(V3 "user\0"), "08P01", LAYOUT },
	{ "nothing", PACKET(V3), "08P01", LAYOUT },
	{ "bytes behind the terminator", PACKET(V3 "user\0bob\0\0x"), "08P01", LAYOUT },
	{ "a NUL behind the terminator", PACKET(V3 "user\0bob\0\0\0"), "08P01", LAYOUT },
	{ "no user", PACKET(V3 "database\0db\0\0"), "28000", NO_USER },
	{ "empty user", PACKET(V3 "user\0\0\0"), "28000", NO_USER },
	{ "no parameters", PACKET(V3 "\0"), "28000", NO_USER },
	{ "version 2.0", PACKET("\0\2\0\0"), "0A000",
		"unsupported frontend protocol 2.0: server supports 3.0 to 3.2" },
	{ "version 4.0", PACKET("\0\4\0\0user\0bob\0\0"), "0A000",
		"unsupported frontend protocol 4.0: server supports 3.0 to 3.2" },
	{ "version 0", PACKET("\0\0\0\0"), "0A000", "unsupported frontend protocol 0.0: server supports 3.0 to 3.2" },
	{ "an unknown request code", PACKET("\x04\xd2\x16\x31"), "0A000",
		"unsupported frontend protocol 1234.5681: server supports 3.0 to 3.2" },
};

START_TEST(errors_are_postgresqls)
{
	struct startup s;
	struct startup_error e;
	size_t used, len = bodies[_i].len + 4;
	uint8_t *exact = xmalloc(len);
	enum result res;

	packet(exact, bodies[_i].body, bodies[_i].len);
	for (size_t n = 0; n < len; n++) /* wherever TCP cuts */
		ck_assert_int_eq(startup_parse(exact, n, &s, &used, &e), RES_MORE);
	res = startup_parse(exact, len, &s, &used, &e);
	if (bodies[_i].sqlstate) {
		ck_assert_msg(res == RES_PROTOCOL, "%s", bodies[_i].name);
		ck_assert_str_eq(e.sqlstate, bodies[_i].sqlstate);
		ck_assert_str_eq(e.message, bodies[_i].message);
	} else {
		ck_assert_msg(res == RES_OK, "%s", bodies[_i].name);
		ck_assert_uint_eq(used, len);
		ck_assert_str_eq(s.user, "bob");
		ck_assert_str_eq(s.database, "bob");
	}
	free(exact);
}
END_TEST

START_TEST(parameters_are_sorted_into_their_places)
{
	static const char body[] =
		"\0\3\0\2"
		"database\0app\0user\0bob\0DateStyle\0ISO\0application_name\0web\0"
		"options\0-c a=b\0_pq_.x\0y\0replication\0true\0datestyle\0German\0_pq_.X\0z\0user\0eve\0";
	uint8_t bytes[sizeof(body) + 4];
	struct startup s;
	struct startup_error e;
	size_t used;

	ck_assert_int_eq(startup_parse(bytes, packet(bytes, body, sizeof(body)), &s, &used, &e), RES_OK);
	ck_assert_uint_eq(s.version, 0x00030002);
	ck_assert_str_eq(s.user, "eve"); /* the last one wins */
	ck_assert_str_eq(s.database, "app");
	ck_assert_str_eq(s.application_name, "web");
	ck_assert_str_eq(s.options, "-c a=b");
	ck_assert_str_eq(s.replication, "true");
	ck_assert_uint_eq(s.n_params, 3);
	ck_assert_str_eq(s.params[0].name, "datestyle");
	ck_assert_str_eq(s.params[0].value, "German");
	ck_assert_str_eq(s.params[1].name, "_pq_.x");
	ck_assert_str_eq(s.params[2].name, "_pq_.X");
}
END_TEST

START_TEST(names_may_be_long_and_parameters_many_but_not_too_many)
{
	static uint8_t bytes[STARTUP_MAX];
	struct startup s;
	struct startup_error e;
	struct writer w = { 0 };
	size_t used;
	char name[201];

	memset(name, 'u', 200);
	name[200] = '\0';
	write_u32(&w, PROTOCOL_3_0);
	write_cstring(&w, "user");
	write_cstring(&w, name);
	for (int i = 0; i < STARTUP_PARAMS_MAX + _i; i++) {
		char param[16];

		snprintf(param, sizeof(param), "p%d", i);
		write_cstring(&w, param);
		write_cstring(&w, "1");
	}
	write_u8(&w, 0);
	enum result res = startup_parse(bytes, packet(bytes, (const char *)w.data, w.len), &s, &used, &e);
	if (_i == 0) {
		ck_assert_int_eq(res, RES_OK);
		ck_assert_str_eq(s.user, name);
		ck_assert_uint_eq(s.n_params, STARTUP_PARAMS_MAX);
	} else {
		ck_assert_int_eq(res, RES_LIMIT);
		ck_assert_str_eq(e.sqlstate, "54000");
	}
	writer_free(&w);
}
END_TEST

/* What PostgreSQL 15 did with these in PGOPTIONS; error: what it answered. */
#define BAD(arg) "invalid command-line argument for server process: " arg

static const struct {
	const char *options, *want, *error;
} options[] = {
	{ "", "", NULL },
	{ "  \t\n", "", NULL },
	{ "-c work_mem=5MB", "work_mem=5MB;", NULL },
	{ "-cwork_mem=5MB", "work_mem=5MB;", NULL },
	{ "--work_mem=5MB", "work_mem=5MB;", NULL },
	{ "--work-mem=5MB", "work_mem=5MB;", NULL },
	{ "-c work-mem=5-MB", "work_mem=5-MB;", NULL },
	{ "-c a=b -c a=c", "a=b;a=c;", NULL },
	{ "-c search_path=x\\ -c\\ role=admin", "search_path=x -c role=admin;", NULL },
	{ "-c search_path=a\\\\b", "search_path=a\\b;", NULL },
	{ "-c\\ a=b", " a=b;", NULL },
	{ "-c search_path=", "search_path=;", NULL },
	{ "-c =x", "=x;", NULL },
	{ "-c a=b=c", "a=b=c;", NULL },
	{ "-c search_path", "", "-c search_path requires a value" },
	{ "--search-path", "", "--search-path requires a value" },
	{ "-c a=b -c", "a=b;", BAD("-c") },
	{ "-c -e", "", "-c -e requires a value" },
	{ "-xe", "", BAD("postgres") },
	{ "-ex", "datestyle=euro;", BAD("-ex") },
	{ "-exy", "datestyle=euro;", BAD("postgres") },
	{ "-e -xe", "datestyle=euro;", BAD("-e") },
	{ "-e -exe", "datestyle=euro;datestyle=euro;", BAD("-e") },
	{ "-x", "", BAD("-x") },
	{ "-ex -c a=b", "datestyle=euro;", BAD("-ex") },
	{ "-c work_mem=5MB -xe", "work_mem=5MB;", BAD("work_mem=5MB") },
	{ "-ec work_mem=5MB", "datestyle=euro;work_mem=5MB;", NULL },
	{ "foo", "", BAD("foo") },
	{ "foo -c work_mem=5MB", "work_mem=5MB;", BAD("foo") },
	{ "foo -xe", "", BAD("foo") },
	{ "foo -c work_mem=5MB -xe", "work_mem=5MB;", BAD("foo") },
	{ "foo -c a=b bar -xe", "a=b;", BAD("bar") },
	{ "--", "", NULL },
	{ "-e -- ", "datestyle=euro;", NULL },
	{ "-e -- foo", "datestyle=euro;", BAD("foo") },
	{ "-- -x", "", BAD("-x") },
	{ "foo -- bar", "", BAD("foo") },
	{ "-", "", BAD("-") },
	{ "\\", "", BAD("") },
	{ "\t-e\t-f\ts", "datestyle=euro;enable_seqscan=false;", NULL },
	{ "-d 3", "log_min_messages=debug3;log_statement=all;debug_print_parse=true;", NULL },
	{ "-d5", "log_min_messages=debug5;log_statement=all;debug_print_parse=true;debug_print_plan=true;debug_print_rewritten=true;",
		NULL },
	{ "-d 1", "log_min_messages=debug1;", NULL },
	{ "-d 0", "log_min_messages=notice;", NULL },
	{ "-d xyz", "log_min_messages=notice;", NULL },
	{ "-d 99999999999999999999",
		"log_min_messages=debug6;log_statement=all;debug_print_parse=true;debug_print_plan=true;debug_print_rewritten=true;",
		NULL },
	{ "-fn -f m -fh -ft -fb -fo -fi",
		"enable_nestloop=false;enable_mergejoin=false;enable_hashjoin=false;enable_tidscan=false;"
		"enable_bitmapscan=false;enable_indexonlyscan=false;enable_indexscan=false;",
		NULL },
	{ "-f z", "", BAD("z") },
	{ "-fz", "", BAD("-fz") },
	{ "-efx foo", "datestyle=euro;", BAD("-efx") },
	{ "-tpa -t pl -te", "log_parser_stats=true;log_planner_stats=true;log_executor_stats=true;", NULL },
	{ "-tx", "", BAD("-tx") },
	{ "-S 5000 -B 1000 -N5 -p 5 -h x -k y -W 1",
		"work_mem=5000;shared_buffers=1000;max_connections=5;port=5;listen_addresses=x;unix_socket_directories=y;"
		"post_auth_delay=1;",
		NULL },
	{ "-OPsFil",
		"allow_system_table_mods=true;ignore_system_indexes=true;log_statement_stats=true;fsync=false;"
		"listen_addresses=*;ssl=true;",
		NULL },
	{ "-b -C x -D y -E -j -n -r /tmp/x -T -v 3", "", NULL },
	{ "-T x", "", BAD("x") },
	{ "-o x", "", BAD("-o") },
};

static void collect(void *ctx, const char *name, const char *value)
{
	struct writer *w = ctx;

	write_bytes(w, name, strlen(name));
	write_u8(w, '=');
	write_bytes(w, value, strlen(value));
	write_u8(w, ';');
}

START_TEST(options_mean_what_they_mean_to_postgresql)
{
	struct writer w = { 0 };
	struct startup_error e = { .hint = NULL };
	char *buf = NULL;
	enum result res = options_parse(options[_i].options, &buf, collect, &w, &e);

	write_u8(&w, 0);
	ck_assert_str_eq((const char *)w.data, options[_i].want);
	ck_assert_msg(res == (options[_i].error ? RES_PROTOCOL : RES_OK), "%s", options[_i].options);
	if (options[_i].error) {
		ck_assert_str_eq(e.sqlstate, "42601");
		ck_assert_str_eq(e.message, options[_i].error);
		ck_assert(!strncmp(e.message, "invalid", 7) == (e.hint != NULL));
	}
	free(buf);
	writer_free(&w);
}
END_TEST

START_TEST(a_long_message_is_cut_between_characters)
{
	struct startup_error e;
	char *buf, text[300] = "ab";
	size_t len;

	for (int i = 0; i < 98; i++)
		strcat(text, "\xe2\x82\xac");
	ck_assert_int_eq(options_parse(text + _i, &buf, NULL, NULL, &e), RES_PROTOCOL);
	len = strlen(e.message);
	ck_assert(len > 120 && len < sizeof(e.message));
	ck_assert_str_eq(e.message + len - 3, "\xe2\x82\xac");
	free(buf);
}
END_TEST

UNIT_MAIN("startup", {
	tcase_add_loop_test(tc, first_bytes_that_are_not_ours_are_refused_without_a_word, 0, N_ELEMENTS(firsts));
	tcase_add_test(tc, a_tls_record_and_text_are_told_apart_in_the_log);
	tcase_add_test(tc, cancel_and_encryption_requests_are_recognised);
	tcase_add_test(tc, a_cancel_key_is_short_or_long);
	tcase_add_loop_test(tc, errors_are_postgresqls, 0, N_ELEMENTS(bodies));
	tcase_add_test(tc, parameters_are_sorted_into_their_places);
	tcase_add_loop_test(tc, names_may_be_long_and_parameters_many_but_not_too_many, 0, 2);
	tcase_add_loop_test(tc, options_mean_what_they_mean_to_postgresql, 0, N_ELEMENTS(options));
	tcase_add_loop_test(tc, a_long_message_is_cut_between_characters, 0, 3);
})
