#include "unit.h"

#include "admin/commands.h"
#include "admin/rows.h"
#include "admin/show.h"
#include "admin/stats.h"
#include "pool/paused.h"
#include "wire/msg.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- commands ---- */

static const struct {
	const char *text, *word, *name, *value;
	uint64_t number;
} good[] = {
	{ "SHOW POOLS", "SHOW", "POOLS", "", 0 },
	{ "show pools;", "SHOW", "pools", "", 0 },
	{ " \n SHOW\tStats_Totals ; ; ", "SHOW", "Stats_Totals", "", 0 },
	{ "SELECT version", "SELECT", "version", "", 0 },
	{ "-- ping\nSHOW /* nested /* deep */ */ \"version\"-- bye", "SHOW", "version", "", 0 },
	{ "SHOW TimeZone", "SHOW", "TimeZone", "", 0 },
	{ "PAUSE", "PAUSE", "", "", 0 },
	{ "pause app", "PAUSE", "app", "", 0 },
	{ "PAUSE \"a \"\"b\"\" ;\";", "PAUSE", "a \"b\" ;", "", 0 },
	{ "RESUME my-db.x", "RESUME", "my-db.x", "", 0 },
	{ "KILL_CLIENT 17", "KILL_CLIENT", "", "", 17 },
	{ "KILL_CLIENT 0x1f;", "KILL_CLIENT", "", "", 31 },
	{ "SHUTDOWN", "SHUTDOWN", "", "", 0 },
	{ "shutdown wait_for_servers", "SHUTDOWN", "wait_for_servers", "", 0 },
	{ "SET default_pool_size = 5", "SET", "default_pool_size", "5", 0 },
	{ "SET a='it''s; x'", "SET", "a", "it's; x", 0 },
	{ "SET a=''", "SET", "a", "", 0 },
	{ "set verbose to 2;", "SET", "verbose", "2", 0 },
	{ "SET admin_users = a,b", "SET", "admin_users", "a,b", 0 },
	{ "SET datestyle TO ISO, MDY;", "SET", "datestyle", "ISO,", 0 },
	{ "BEGIN ISOLATION LEVEL SERIALIZABLE;", "BEGIN", "", "", 0 },
	{ "rollback", "ROLLBACK", "", "", 0 },
};

START_TEST(commands_are_read)
{
	struct command c;
	struct command_error error;

	ck_assert_msg(command_parse(good[_i].text, &c, &error) == RES_OK, "%s: %s", good[_i].text, error.message);
	ck_assert_ptr_nonnull(c.spec);
	ck_assert_str_eq(c.spec->word, good[_i].word);
	ck_assert_str_eq(c.name, good[_i].name);
	ck_assert_str_eq(c.value, good[_i].value);
	ck_assert_uint_eq(c.number, good[_i].number);
	if (c.spec->args == ARGS_VIEW || c.spec->args == ARGS_SELECT)
		ck_assert_int_eq((c.view != NULL) + (c.fake != NULL), 1);
}
END_TEST

static const char *const bad[] = {
	"x",
	"SHOW",
	"SHOW nothing",
	"SHOW pools stats",
	"SHOW pools; SHOW pools",
	"'SHOW' pools",
	"SHOW 'pools'",
	"SHOW \"pools",
	"SHOW pools 'x",
	"\"SHOW\" pools",
	"PAUSE a b",
	"PAUSE ''",
	"PAUSE \"\"",
	"PAUSE =",
	"RELOAD now",
	"KILL_CLIENT",
	"KILL_CLIENT x",
	"KILL_CLIENT -1",
	"KILL_CLIENT 1x",
	"KILL_CLIENT 9999999999999999999",
	"KILL_CLIENT 1 2",
	"SHUTDOWN later",
	"SET",
	"SET a",
	"SET a =",
	"SET = b",
	"SET a = b c",
	"SET a b",
	"BEGIN; COMMIT",
	"SHOW pools /* open",
	"SUSPEND x",
	"DISABLE a b",
	"\xff\xfe",
};

START_TEST(other_texts_are_refused_in_pgbouncers_words)
{
	struct command c;
	struct command_error error;
	char want[COMMAND_ERROR_MAX];

	ck_assert_msg(command_parse(bad[_i], &c, &error) == RES_PROTOCOL, "%s", bad[_i]);
	snprintf(want, sizeof(want), "invalid command '%s', use SHOW HELP;", bad[_i]);
	ck_assert_str_eq(error.message, want);
	ck_assert_str_eq(error.sqlstate, "08P01");
	ck_assert_ptr_null(c.spec);
}
END_TEST

static const char *const empty[] = { "", " ", ";", " ; ;\n", "-- ping", "/* ping */;" };

START_TEST(an_empty_query_is_no_mistake)
{
	struct command c;
	struct command_error error;

	ck_assert_int_eq(command_parse(empty[_i], &c, &error), RES_OK);
	ck_assert_ptr_null(c.spec);
}
END_TEST

START_TEST(what_is_too_long_is_refused_and_the_error_cut_between_characters)
{
	struct command c;
	struct command_error error;
	char text[COMMAND_VALUE_MAX + 64];

	snprintf(text, sizeof(text), "PAUSE %0*d", COMMAND_NAME_MAX, 1);
	ck_assert_int_eq(command_parse(text, &c, &error), RES_OK);
	snprintf(text, sizeof(text), "PAUSE %0*d", COMMAND_NAME_MAX + 1, 1);
	ck_assert_int_eq(command_parse(text, &c, &error), RES_PROTOCOL);
	snprintf(text, sizeof(text), "SET a = %0*d", COMMAND_VALUE_MAX, 1);
	ck_assert_int_eq(command_parse(text, &c, &error), RES_OK);
	snprintf(text, sizeof(text), "SET a = %0*d", COMMAND_VALUE_MAX + 1, 1);
	ck_assert_int_eq(command_parse(text, &c, &error), RES_PROTOCOL);
	snprintf(text, sizeof(text), "SET a = '%0*d'", COMMAND_VALUE_MAX + 1, 1);
	ck_assert_int_eq(command_parse(text, &c, &error), RES_PROTOCOL);
	memset(text, 'x', 199);
	strcpy(text + 199, "\xc3\xa4\xc3\xa4");
	ck_assert_int_eq(command_parse(text, &c, &error), RES_PROTOCOL);
	ck_assert_str_eq(error.message + 17 + 199, "', use SHOW HELP;");
}
END_TEST

START_TEST(only_who_may_admin_changes_anything)
{
	static const char *const for_all[] = { "SHOW", "SELECT", "SET" /* a setting of ours: run_set() looks */,
		"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "DISCARD", "RESET" };

	for (size_t i = 0; i < n_command_specs; i++) {
		bool is_for_all = false;

		for (size_t k = 0; k < N_ELEMENTS(for_all); k++)
			is_for_all |= strcmp(command_specs[i].word, for_all[k]) == 0;
		ck_assert_msg(command_specs[i].is_admin == !is_for_all, "%s", command_specs[i].word);
	}
}
END_TEST

/* ---- views: PgBouncer 1.25.2's columns, t text, i int4, q int8, N numeric ---- */

#define LINK                                                                                                                           \
	"type t user t database t replication t state t addr t port i local_addr t local_port i connect_time t request_time t wait i " \
	"wait_us i close_needed i ptr t link t remote_pid i tls t application_name t prepared_statements i id i"
#define SOCKET LINK " recv_pos i pkt_pos i pkt_remain i send_pos i send_remain i pkt_avail i send_avail i"
static const struct {
	const char *view, *columns;
} columns[] = {
	{ "STATS",
		"database t total_server_assignment_count N total_xact_count N total_query_count N total_received N total_sent N "
		"total_xact_time N total_query_time N total_wait_time N total_client_parse_count N total_server_parse_count N "
		"total_bind_count N avg_server_assignment_count N avg_xact_count N avg_query_count N avg_recv N avg_sent N avg_xact_time N "
		"avg_query_time N avg_wait_time N avg_client_parse_count N avg_server_parse_count N avg_bind_count N" },
	{ "STATS_TOTALS",
		"database t server_assignment_count N xact_count N query_count N bytes_received N bytes_sent N xact_time N "
		"query_time N wait_time N client_parse_count N server_parse_count N bind_count N" },
	{ "STATS_AVERAGES",
		"database t server_assignment_count N xact_count N query_count N bytes_received N bytes_sent N xact_time N "
		"query_time N wait_time N avg_client_parse_count N avg_server_parse_count N avg_bind_count N" },
	{ "TOTALS", "name t value N" },
	{ "POOLS",
		"database t user t cl_active i cl_waiting i cl_active_cancel_req i cl_waiting_cancel_req i sv_active i sv_active_cancel i "
		"sv_being_canceled i sv_idle i sv_used i sv_tested i sv_login i maxwait i maxwait_us i pool_mode t load_balance_hosts t" },
	{ "DATABASES",
		"name t host t port i database t force_user t pool_size i min_pool_size i reserve_pool_size i server_lifetime i "
		"pool_mode t load_balance_hosts t max_connections i current_connections i max_client_connections i "
		"current_client_connections i paused i disabled i" },
	{ "CLIENTS", LINK },
	{ "SERVERS", LINK },
	{ "SOCKETS", SOCKET },
	{ "ACTIVE_SOCKETS", SOCKET },
	{ "USERS",
		"name t pool_size t reserve_pool_size t pool_mode t max_user_connections i current_connections i "
		"max_user_client_connections i current_client_connections i" },
	{ "LISTS", "list t items i" },
	{ "CONFIG", "key t value t default t changeable t" },
	{ "STATE", "key t value t" },
	{ "MEM", "name t size i used i free i memtotal i" },
	{ "PEERS", "peer_id i host t port i pool_size i" },
	{ "PEER_POOLS", "peer_id i cl_active_cancel_req i cl_waiting_cancel_req i sv_active_cancel i sv_login i" },
	{ "DNS_HOSTS", "hostname t ttl q addrs t" },
	{ "FDS",
		"fd i task t user t database t addr t port i cancel q link i client_encoding t std_strings t datestyle t timezone t "
		"password t scram_client_key b scram_server_key b" },
	{ "DNS_ZONES", "zonename t serial q count i" },
	{ "VERSION", "version t" },
	/* pgweir's own */
	{ "PINS", "database t user t addr t port i client q server q server_pid i reasons t statement t since t seconds q" },
	{ "PIN_COUNTS", "reason t pinned q total q" },
	{ "HOSTS",
		"host t port i address t state t since t seconds q servers i logins i failures i failures_total q "
		"sqlstate t why t next_try_ms q limits t" },
	{ "LIMITS",
		"database t user t host t port i servers i pool_size i limit i role t since t seconds q sqlstate t why t "
		"next_try_ms q giving_back i" },
	{ "WORKERS", "worker i clients q waiting q servers q idle q rounds q messages q servers_received q cpu_us q" },
	{ "EVENTS", "number q kind t first_time t last_time t times q event t" },
	{ "QUEUE", "database t user t client q addr t port i application_name t since t wait_us q left_us q reason t detail t statement t fingerprint t" },
	{ "HOLDERS", "database t user t state t client q addr t port i application_name t server q server_pid i transaction_us q statement_time t statement_us q idle_us q pins t" },
	{ "PREPARED", "name t statement t fingerprint t parameter_types i clients i servers i binds q" },
	{ "LATENCY", "database t user t measure t window t count q avg_us q p50_us q p90_us q p99_us q p999_us q max_us q" },
	{ "HELP", "" },
};

static char letter(enum column_type type)
{
	switch (type) {
	case COLUMN_TEXT: return 't';
	case COLUMN_INT4: return 'i';
	case COLUMN_INT8: return 'q';
	case COLUMN_NUMERIC: return 'N';
	case COLUMN_BYTEA: break;
	}
	return 'b';
}

START_TEST(views_have_the_columns_of_pgbouncer)
{
	const struct view *v = view_find(columns[_i].view);
	char text[2048] = "";
	size_t len = 0;

	ck_assert_msg(v != NULL, "%s", columns[_i].view);
	for (size_t i = 0; i < v->n_columns; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s %c", i ? " " : "",
			v->columns[i].name, letter(v->columns[i].type));
	ck_assert_str_eq(text, columns[_i].columns);
	ck_assert_uint_le(v->n_columns, COLUMNS_MAX);
}
END_TEST

START_TEST(every_view_is_in_the_list)
{
	ck_assert_uint_eq(n_views, N_ELEMENTS(columns)); /* whose names are all found, see above */
}
END_TEST

/* ---- the manual page; the tests run at the repository's top ---- */

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = xcalloc(1, 1 << 16);

	ck_assert_msg(f != NULL, "%s", path);
	ck_assert_uint_lt(fread(text, 1, (1 << 16) - 1, f), (1 << 16) - 1);
	fclose(f);
	return text;
}

/* Where the entry of this view begins, and where the next one of its list does. */
static const char *entry_of(const char *page, const char *view, const char **end)
{
	for (const char *p = page; (p = strstr(p, "\n.It Ic ")); p++) {
		char line[128];

		snprintf(line, sizeof(line), "%.*s ", (int)strcspn(p + 1, "\n"), p + 1);
		for (const char *w = line; (w = strstr(w, view)); w++) {
			if (w[-1] != ' ' || w[strlen(view)] != ' ')
				continue;
			*end = strstr(p + 1, "\n.It Ic ");
			if (!*end || *end > strstr(p + 1, "\n.Sh "))
				*end = strstr(p + 1, "\n.Sh ");
			return p;
		}
	}
	return NULL;
}

static bool tells_of(const char *entry, const char *end, const char *column)
{
	for (const char *p = entry; p < end; p += strcspn(p + 1, "\n") + 1) {
		char line[256];

		snprintf(line, sizeof(line), "%.*s ", (int)strcspn(p + 1, "\n"), p + 1);
		if (strncmp(line, ".Va ", 4) != 0 && strncmp(line, ".It Va ", 7) != 0)
			continue;
		for (const char *w = line; (w = strstr(w, column)); w++) {
			if (w[-1] == ' ' && w[strlen(column)] == ' ')
				return true;
		}
	}
	return false;
}

START_TEST(the_manual_page_has_every_column)
{
	char *page = slurp("man/pgweir-console.7");

	for (size_t i = 0; i < n_views; i++) {
		const char *end, *entry = entry_of(strstr(page, "\n.Sh VIEWS"), views[i]->name, &end);

		ck_assert_msg(entry != NULL, "%s", views[i]->name);
		for (size_t k = 0; k < views[i]->n_columns; k++)
			ck_assert_msg(tells_of(entry, end, views[i]->columns[k].name), "%s: %s",
				views[i]->name, views[i]->columns[k].name);
	}
	free(page);
}
END_TEST

/* Is word on a line that begins with prefix? */
static bool has_entry(const char *page, const char *prefix, const char *word)
{
	for (const char *p = page; (p = strstr(p, prefix)); p++) {
		char line[128];

		snprintf(line, sizeof(line), "%.*s ", (int)strcspn(p + 1, "\n"), p + 1);
		for (const char *w = line; (w = strstr(w, word)); w++) {
			if (w[-1] == ' ' && w[strlen(word)] == ' ')
				return true;
		}
	}
	return false;
}

START_TEST(the_manual_page_has_every_command_and_view)
{
	char *page = slurp("man/pgweir-console.7");

	for (size_t i = 0; i < n_command_specs; i++)
		ck_assert_msg(has_entry(page, "\n.It Ic ", command_specs[i].word) ||
				has_entry(page, "\n.Ic ", command_specs[i].word),
			"%s", command_specs[i].word);
	for (size_t i = 0; i < n_views; i++)
		ck_assert_msg(has_entry(page, "\n.It Ic ", views[i]->name), "%s", views[i]->name);
	free(page);
}
END_TEST

/* ---- rows ---- */

static const struct column mixed[] = {
	{ "t", COLUMN_TEXT },
	{ "i", COLUMN_INT4 },
	{ "q", COLUMN_INT8 },
	{ "n", COLUMN_NUMERIC },
	{ "x", COLUMN_TEXT },
};

static struct reader body_of(const struct writer *w, uint8_t type)
{
	struct reader r = reader_over(w->data, w->len);
	struct frame f;

	ck_assert_int_eq(frame_peek(&r, &f), RES_OK);
	ck_assert_uint_eq(f.type, type);
	ck_assert_uint_eq(f.length, w->len);
	read_bytes(&r, FRAME_HEADER_SIZE);
	return r;
}

START_TEST(a_row_description_names_types_and_formats)
{
	static const uint16_t sizes[] = { UINT16_MAX, 4, 8, UINT16_MAX, UINT16_MAX };
	struct writer w = { 0 };
	struct reader r;

	rows_describe(&w, mixed, N_ELEMENTS(mixed), 2);
	r = body_of(&w, MSG_ROW_DESCRIPTION);
	ck_assert_uint_eq(read_u16(&r), N_ELEMENTS(mixed));
	for (size_t i = 0; i < N_ELEMENTS(mixed); i++) {
		ck_assert_str_eq(read_cstring(&r), mixed[i].name);
		ck_assert_uint_eq(read_u32(&r), 0);
		ck_assert_uint_eq(read_u16(&r), 0);
		ck_assert_uint_eq(read_u32(&r), mixed[i].type);
		ck_assert_uint_eq(read_u16(&r), sizes[i]);
		ck_assert_uint_eq(read_u32(&r), UINT32_MAX);
		ck_assert_uint_eq(read_u16(&r), i == 1);
	}
	ck_assert(!r.bad && reader_left(&r) == 0);
	writer_free(&w);
}
END_TEST

static void check_value(struct reader *r, const char *want, size_t len)
{
	uint32_t n = read_u32(r);

	if (!want) {
		ck_assert_uint_eq(n, UINT32_MAX);
		return;
	}
	ck_assert_uint_eq(n, len);
	ck_assert_mem_eq(read_bytes(r, n), want, len);
}

static struct rows one_row(uint64_t binary, uint64_t number)
{
	struct rows rows = { .columns = mixed, .n_columns = N_ELEMENTS(mixed), .binary = binary };

	rows_begin(&rows);
	rows_text(&rows, NULL);
	rows_number(&rows, number);
	rows_number(&rows, number);
	rows_number(&rows, number);
	rows_number(&rows, number);
	rows_end(&rows);
	return rows;
}

static const struct {
	uint64_t number;
	const char *int4, *int8, *plain; /* text */
	const char *numeric;		 /* binary */
	size_t numeric_len;
} numbers[] = {
	{ 0, "0", "0", "0", "\0\0\0\0\0\0\0\0", 8 },
	{ 1, "1", "1", "1", "\0\1\0\0\0\0\0\0\0\1", 10 },
	{ 10000, "10000", "10000", "10000", "\0\2\0\1\0\0\0\0\0\1\0\0", 12 },
	{ UINT64_C(4294967296), "2147483647", "4294967296", "4294967296",
		"\0\3\0\2\0\0\0\0\0\x2a\x25\x18\x1c\x80", 14 },
	{ UINT64_MAX, "2147483647", "9223372036854775807", "18446744073709551615",
		"\0\5\0\4\0\0\0\0\x07\x34\x1a\x58\x02\xe1\x03\xbb\x06\x4f", 18 },
};

START_TEST(numbers_fit_their_columns_in_text_and_binary)
{
	struct rows text = one_row(0, numbers[_i].number), binary = one_row(UINT64_MAX, numbers[_i].number);
	struct reader r = body_of(&text.out, MSG_DATA_ROW);
	uint64_t n = MIN(numbers[_i].number, INT64_MAX);

	ck_assert_uint_eq(text.count, 1);
	ck_assert_uint_eq(read_u16(&r), N_ELEMENTS(mixed));
	check_value(&r, NULL, 0);
	check_value(&r, numbers[_i].int4, strlen(numbers[_i].int4));
	check_value(&r, numbers[_i].int8, strlen(numbers[_i].int8));
	check_value(&r, numbers[_i].plain, strlen(numbers[_i].plain));
	check_value(&r, numbers[_i].plain, strlen(numbers[_i].plain));
	ck_assert(!r.bad && reader_left(&r) == 0);

	r = body_of(&binary.out, MSG_DATA_ROW);
	read_u16(&r);
	check_value(&r, NULL, 0);
	ck_assert_uint_eq(read_u32(&r), 4);
	ck_assert_uint_eq(read_u32(&r), MIN(n, INT32_MAX));
	ck_assert_uint_eq(read_u32(&r), 8);
	ck_assert_uint_eq(read_u32(&r), n >> 32);
	ck_assert_uint_eq(read_u32(&r), n & UINT32_MAX);
	check_value(&r, numbers[_i].numeric, numbers[_i].numeric_len);
	check_value(&r, numbers[_i].plain, strlen(numbers[_i].plain));
	ck_assert(!r.bad && reader_left(&r) == 0);
	writer_free(&text.out);
	writer_free(&binary.out);
}
END_TEST

static const struct {
	const char *text, *want;
} texts[] = {
	{ "", "" },
	{ "plain", "plain" },
	{ "\xc3\xa4\xe2\x82\xac", "\xc3\xa4\xe2\x82\xac" },
	{ "Latin-\xe4 1", "Latin-? 1" },
	{ "half \xe2\x82", "half ??" },
};

START_TEST(texts_are_utf8)
{
	static const struct column column[] = { { "t", COLUMN_TEXT } };
	struct rows rows = { .columns = column, .n_columns = 1 };
	struct reader r;

	rows_begin(&rows);
	rows_text(&rows, texts[_i].text);
	rows_end(&rows);
	r = body_of(&rows.out, MSG_DATA_ROW);
	read_u16(&r);
	check_value(&r, texts[_i].want, strlen(texts[_i].want));
	writer_free(&rows.out);
}
END_TEST

/* ---- statistics ---- */

static const struct {
	const char *what;
	struct counters now, before;
	usec_t elapsed;
	struct counters want;
} averages[] = {
	{ "no time has passed", { .xacts = 5 }, { 0 }, 0, { 0 } },
	{ "counts are per second", { .xacts = 30, .sent = 10 }, { .xacts = 10 }, 2000000,
		{ .xacts = 10, .sent = 5 } },
	{ "times are per transaction and per query",
		{ .xacts = 4, .xact_time = 100, .queries = 10, .query_time = 50 }, { 0 }, 1000000,
		{ .xacts = 4, .xact_time = 25, .queries = 10, .query_time = 5 } },
	{ "nothing is divided by zero", { .xact_time = 100, .query_time = 50 }, { 0 }, 1000000, { 0 } },
	{ "waiting is per second", { .wait_time = 300 }, { .wait_time = 100 }, 500000, { .wait_time = 400 } },
	{ "a counter that went back is no flood", { .xacts = 1 }, { .xacts = 2 }, 1000000, { 0 } },
	{ "large ones don't overflow", { .received = UINT64_C(1) << 60 }, { 0 }, UINT64_C(1) << 20,
		{ .received = UINT64_C(1099511627776000000) } },
};

START_TEST(averages_are_pgbouncers)
{
	struct counters got = counters_average(&averages[_i].now, &averages[_i].before, averages[_i].elapsed);

	ck_assert_msg(memcmp(&got, &averages[_i].want, sizeof(got)) == 0, "%s: %" PRIu64 " %" PRIu64,
		averages[_i].what, got.xacts, got.received);
}
END_TEST

static uint32_t text_of(struct report *r, const char *text)
{
	size_t at = r->text.len;

	write_cstring(&r->text, text);
	return (uint32_t)at;
}

START_TEST(sums_are_by_database_over_workers_and_past_pools)
{
	struct pool_row rows[2][2] = { { { .counters = { .queries = 1 } }, { .counters = { .queries = 2 } } },
		{ { .counters = { .queries = 4 }, .is_past = true }, { .counters = { .queries = 8 } } } };
	struct report a = { .pools = rows[0], .n_pools = 2 }, b = { .pools = rows[1], .n_pools = 2 };
	struct report *const reports[] = { &a, &b };
	struct counters console = { .queries = 100 };
	struct stats s = { 0 }, now;

	rows[0][0].database = text_of(&a, "app");
	rows[0][1].database = text_of(&a, "zoo");
	rows[1][0].database = text_of(&b, "app");
	rows[1][1].database = text_of(&b, "app");
	now = stats_sum(reports, 2, &console);
	ck_assert_uint_eq(now.n, 3);
	ck_assert_uint_eq(stats_find(&now, "app")->total.queries, 13);
	ck_assert_uint_eq(stats_find(&now, "zoo")->total.queries, 2);
	ck_assert_uint_eq(stats_find(&now, "pgbouncer")->total.queries, 100);
	ck_assert_ptr_null(stats_find(&now, "none"));
	ck_assert_uint_eq(stats_all(&now).queries, 115);

	stats_turn(&s, &now, 1000000); /* the first period has no begin */
	ck_assert_uint_eq(stats_find(&s, "app")->average.queries, 0);
	rows[1][1].counters.queries += 20;
	now = stats_sum(reports, 2, &console);
	stats_turn(&s, &now, 3000000);
	ck_assert_uint_eq(stats_find(&s, "app")->average.queries, 10);
	ck_assert_uint_eq(stats_find(&s, "zoo")->average.queries, 0);
	ck_assert_uint_eq(s.average.queries, 10);
	stats_free(&s);
	writer_free(&a.text);
	writer_free(&b.text);
}
END_TEST

/* ---- who is paused ---- */

START_TEST(pausing_all_and_pausing_one_are_two_things)
{
	struct paused p = { .all = false };

	paused_set(&p, "a", true);
	paused_set(&p, "a", true);
	paused_set(&p, "b", true);
	ck_assert(paused_has(&p, "a") && paused_has(&p, "b") && !paused_has(&p, "c"));
	paused_set(&p, NULL, true);
	ck_assert(paused_has(&p, "c") && !paused_names(&p, "c"));
	paused_set(&p, NULL, false);
	ck_assert(paused_has(&p, "a") && !paused_has(&p, "c"));
	paused_set(&p, "a", false);
	paused_set(&p, "a", false);
	ck_assert(!paused_has(&p, "a") && paused_has(&p, "b"));
	paused_free(&p);
	ck_assert(!paused_has(&p, "b"));
}
END_TEST

UNIT_MAIN("console", {
	tcase_add_loop_test(tc, commands_are_read, 0, N_ELEMENTS(good));
	tcase_add_loop_test(tc, other_texts_are_refused_in_pgbouncers_words, 0, N_ELEMENTS(bad));
	tcase_add_loop_test(tc, an_empty_query_is_no_mistake, 0, N_ELEMENTS(empty));
	tcase_add_test(tc, what_is_too_long_is_refused_and_the_error_cut_between_characters);
	tcase_add_test(tc, only_who_may_admin_changes_anything);
	tcase_add_loop_test(tc, views_have_the_columns_of_pgbouncer, 0, N_ELEMENTS(columns));
	tcase_add_test(tc, every_view_is_in_the_list);
	tcase_add_test(tc, the_manual_page_has_every_command_and_view);
	tcase_add_test(tc, the_manual_page_has_every_column);
	tcase_add_test(tc, a_row_description_names_types_and_formats);
	tcase_add_loop_test(tc, numbers_fit_their_columns_in_text_and_binary, 0, N_ELEMENTS(numbers));
	tcase_add_loop_test(tc, texts_are_utf8, 0, N_ELEMENTS(texts));
	tcase_add_loop_test(tc, averages_are_pgbouncers, 0, N_ELEMENTS(averages));
	tcase_add_test(tc, sums_are_by_database_over_workers_and_past_pools);
	tcase_add_test(tc, pausing_all_and_pausing_one_are_two_things);
})
