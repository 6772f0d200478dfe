#include "storm/function.h"

#include "unit.h"
#include "wire/msg.h"

#include <stdio.h>

#define NOW (10 * USEC_PER_SEC)

/* One function and the world around it; time stands still except where a test moves it. */
struct lab {
	struct plan plan;
	struct world world;
	struct function fn;
	usec_t now;
};

static void lab_init(struct lab *lab, struct plan plan)
{
	*lab = (struct lab){ .plan = plan, .now = NOW };
	lab->plan.user = "app";
	lab->plan.database = "db";
	lab->plan.sql = "select 1";
	lab->plan.invocations = MAX(plan.invocations, 1);
	lab->plan.timeout = plan.timeout ? plan.timeout : USEC_PER_SEC;
	lab->plan.jitter = 0.5;
	lab->world.plan = &lab->plan;
	lab->world.random = 1;
	lab->world.began = NOW;
	function_init(&lab->fn, NOW);
}

static void lab_free(struct lab *lab)
{
	function_free(&lab->fn);
	stats_free(&lab->world.stats);
}

static void hear(struct lab *lab, const struct writer *w)
{
	function_input(&lab->fn, &lab->world, lab->now, w->data, w->len);
}

static void hear_ready(struct lab *lab, uint8_t tx_status)
{
	struct writer w = { 0 };

	write_ready_for_query(&w, tx_status);
	hear(lab, &w);
	writer_free(&w);
}

static void hear_error(struct lab *lab, const char *severity, const char *sqlstate)
{
	struct writer w = { 0 };

	write_error(&w, &(struct error_info){ .severity = severity, .sqlstate = sqlstate, .message = "m" });
	hear(lab, &w);
	writer_free(&w);
}

static void hear_auth(struct lab *lab, uint32_t request)
{
	struct writer w = { 0 };

	msg_begin(&w, MSG_AUTHENTICATION);
	write_u32(&w, request);
	msg_end(&w);
	hear(lab, &w);
	writer_free(&w);
}

/* What the function has written since the last look: "Q BEGIN", "X", "p secret"; startup packets are told apart by their length. */
static const char *said(struct lab *lab)
{
	static char text[256];
	struct writer *out = &lab->fn.out;
	size_t used = 0;

	for (size_t at = 0; at < out->len;) {
		uint32_t len = load_be32(out->data + at + 1);
		const char *body = len > 4 ? (const char *)out->data + at + 5 : "";

		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%c%s%s", used ? ", " : "",
			out->data[at], *body ? " " : "", body);
		at += len + 1;
	}
	text[used] = '\0';
	out->len = 0;
	return text;
}

static void wake_and_connect(struct lab *lab)
{
	function_timer(&lab->fn, &lab->world, lab->now);
	ck_assert_int_eq(lab->fn.state, FUNCTION_CONNECTING);
	ck_assert_int_eq(function_link(&lab->fn), LINK_OPEN);
	function_connected(&lab->fn, &lab->world, lab->now);
}

static void log_in(struct lab *lab)
{
	wake_and_connect(lab);
	lab->fn.out.len = 0; /* the startup packet has a test of its own */
	hear_auth(lab, AUTH_OK);
	hear_ready(lab, TX_IDLE);
}

START_TEST(startup_packet_names_what_the_plan_has)
{
	static const char want[] =
		"\0\0\0\x4a\0\3\0\0user\0app\0database\0db\0application_name\0a\0options\0-c statement_timeout=1\0";
	struct lab lab;

	lab_init(&lab, (struct plan){ .options = "-c statement_timeout=1", .application_name = "a" });
	wake_and_connect(&lab);
	ck_assert_uint_eq(lab.fn.out.len, load_be32(lab.fn.out.data));
	ck_assert_uint_eq(lab.fn.out.len, sizeof(want));
	ck_assert(memcmp(lab.fn.out.data + 4, want + 4, sizeof(want) - 4) == 0);
	lab_free(&lab);
}
END_TEST

START_TEST(a_transaction_takes_three_round_trips)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .after = AFTER_CLOSE });
	lab.now += 2000;
	log_in(&lab);
	ck_assert_str_eq(said(&lab), "Q BEGIN");
	hear_ready(&lab, TX_BLOCK);
	ck_assert_str_eq(said(&lab), "Q select 1");
	lab.now += 5000;
	hear_ready(&lab, TX_BLOCK);
	ck_assert_str_eq(said(&lab), "Q COMMIT");
	ck_assert_uint_eq(lab.world.stats.served, 0);
	hear_ready(&lab, TX_IDLE);
	ck_assert_str_eq(said(&lab), "X");
	ck_assert_int_eq(lab.fn.state, FUNCTION_DONE);
	ck_assert_uint_eq(lab.world.stats.served, 1);
	ck_assert_uint_eq(samples_percentile(&lab.world.stats.transaction, 50), 5000);
	ck_assert_uint_eq(samples_percentile(&lab.world.stats.total, 50), 7000); /* it woke 2 ms late, and that counts */
	ck_assert_uint_eq(function_timer_at(&lab.fn), 0);
	lab_free(&lab);
}
END_TEST

static const struct {
	enum after after;
	const char *last_words;
	enum function_link link;
	unsigned trips;
} endings[] = {
	{ AFTER_CLOSE, "X", LINK_NONE, 3 },
	{ AFTER_DROP, "", LINK_NONE, 3 },
	{ AFTER_IDLE, "", LINK_OPEN, 3 },
	{ AFTER_FREEZE, "", LINK_FROZEN, 2 },
	{ AFTER_CRASH, "", LINK_CRASHED, 3 },
};

START_TEST(the_ending_is_the_planned_one)
{
	struct lab lab;

	lab_init(&lab,
		(struct plan){ .after = endings[_i].after,
			.at = endings[_i].after == AFTER_FREEZE ? AT_TRANSACTION : AT_END });
	log_in(&lab);
	for (unsigned i = 1; i <= endings[_i].trips; i++) {
		said(&lab);
		hear_ready(&lab, i == 3 ? TX_IDLE : TX_BLOCK);
	}
	ck_assert_str_eq(said(&lab), endings[_i].last_words);
	ck_assert_int_eq(function_link(&lab.fn), endings[_i].link);
	ck_assert_uint_eq(lab.world.stats.served, 1);
	ck_assert_uint_eq(function_timer_at(&lab.fn), 0);
	function_end(&lab.fn, &lab.world, lab.now);
	ck_assert_str_eq(said(&lab), endings[_i].after == AFTER_IDLE ? "X" : "");
	ck_assert_int_eq(lab.fn.state, FUNCTION_DONE);
	ck_assert_uint_eq(lab.world.stats.failed, 0);
	lab_free(&lab);
}
END_TEST

START_TEST(simple_is_one_round_trip)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .work = WORK_QUERY });
	log_in(&lab);
	ck_assert_str_eq(said(&lab), "Q select 1");
	hear_ready(&lab, TX_IDLE);
	ck_assert_uint_eq(lab.world.stats.served, 1);
	lab_free(&lab);
}
END_TEST

START_TEST(invocations_share_a_connection_and_think_between)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .work = WORK_QUERY, .invocations = 2, .think = 3000 });
	log_in(&lab);
	hear_ready(&lab, TX_IDLE);
	said(&lab);
	ck_assert_int_eq(lab.fn.state, FUNCTION_RESTING);
	ck_assert_uint_eq(lab.world.stats.served, 0);
	ck_assert_uint_eq(function_timer_at(&lab.fn), NOW + 3000);
	function_timer(&lab.fn, &lab.world, NOW + 2999);
	ck_assert_str_eq(said(&lab), "");
	lab.now += 3000;
	function_timer(&lab.fn, &lab.world, lab.now);
	ck_assert_str_eq(said(&lab), "Q select 1");
	hear_ready(&lab, TX_IDLE);
	ck_assert_uint_eq(lab.world.stats.transactions, 2);
	ck_assert_uint_eq(samples_percentile(&lab.world.stats.total, 100), 0); /* the think time isn't the server's */
	ck_assert_uint_eq(lab.world.stats.served, 1);
	lab_free(&lab);
}
END_TEST

START_TEST(an_error_in_a_block_is_rolled_back_and_repeated_on_the_same_connection)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .retries = 1, .backoff = 1000 });
	log_in(&lab);
	hear_ready(&lab, TX_BLOCK);
	said(&lab);
	hear_error(&lab, "ERROR", "40001");
	ck_assert_int_eq(lab.fn.state, FUNCTION_WORKING);
	hear_ready(&lab, TX_FAILED);
	ck_assert_str_eq(said(&lab), "Q ROLLBACK");
	hear_ready(&lab, TX_IDLE);
	ck_assert_int_eq(lab.fn.state, FUNCTION_RESTING);
	ck_assert_int_eq(function_link(&lab.fn), LINK_OPEN);
	lab.now += 2000;
	function_timer(&lab.fn, &lab.world, lab.now);
	ck_assert_str_eq(said(&lab), "Q BEGIN");
	ck_assert_uint_eq(lab.world.stats.retries, 1);
	ck_assert_str_eq(lab.world.stats.errors[0].key, "40001");
	lab_free(&lab);
}
END_TEST

START_TEST(an_error_without_retries_says_goodbye)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .retries = 0 });
	log_in(&lab);
	said(&lab);
	hear_error(&lab, "ERROR", "53300"); /* a pooler that refuses BEGIN */
	hear_ready(&lab, TX_IDLE);
	ck_assert_str_eq(said(&lab), "X");
	ck_assert_int_eq(lab.fn.state, FUNCTION_DONE);
	ck_assert_uint_eq(lab.world.stats.failed, 1);
	lab_free(&lab);
}
END_TEST

START_TEST(fatal_means_a_new_connection_after_a_pause_that_doubles)
{
	struct lab lab;
	usec_t pause = 1000;

	lab_init(&lab, (struct plan){ .retries = 4, .backoff = pause });
	for (int i = 0; i < 4; i++, pause *= 2) {
		usec_t at;

		wake_and_connect(&lab);
		hear_error(&lab, "FATAL", "53300");
		ck_assert_int_eq(lab.fn.state, FUNCTION_ASLEEP);
		ck_assert_int_eq(function_link(&lab.fn), LINK_NONE);
		at = function_timer_at(&lab.fn);
		ck_assert_uint_ge(at, lab.now + pause / 2);
		ck_assert_uint_lt(at, lab.now + pause * 3 / 2);
		lab.now = at;
	}
	wake_and_connect(&lab);
	hear_error(&lab, "FATAL", "53300");
	ck_assert_int_eq(lab.fn.state, FUNCTION_DONE);
	ck_assert_uint_eq(lab.world.stats.attempts, 5);
	ck_assert_uint_eq(lab.world.stats.errors[0].count, 5);
	ck_assert_uint_eq(lab.world.stats.failed, 1);
	lab_free(&lab);
}
END_TEST

START_TEST(a_lost_connection_is_counted_by_its_cause)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .retries = 0 });
	log_in(&lab);
	function_lost(&lab.fn, &lab.world, lab.now, "ECONNRESET", "Connection reset by peer");
	ck_assert_int_eq(lab.fn.state, FUNCTION_DONE);
	ck_assert_str_eq(lab.world.stats.errors[0].key, "ECONNRESET");
	ck_assert_str_eq(said(&lab), "");
	lab_free(&lab);
}
END_TEST

START_TEST(one_who_is_idle_and_hung_up_on_was_served_and_is_lost)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .work = WORK_QUERY, .after = AFTER_IDLE });
	log_in(&lab);
	hear_ready(&lab, TX_IDLE);
	hear_error(&lab, "FATAL", "57P01");
	ck_assert_int_eq(lab.fn.state, FUNCTION_DONE);
	ck_assert_uint_eq(lab.world.stats.served, 1);
	ck_assert_uint_eq(lab.world.stats.lost, 1);
	ck_assert_uint_eq(lab.world.stats.failed, 0);
	lab_free(&lab);
}
END_TEST

START_TEST(timeout_ends_the_whole_life_even_with_retries_left)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .timeout = 5000, .retries = 9, .backoff = 1000 });
	log_in(&lab);
	ck_assert_uint_eq(function_timer_at(&lab.fn), NOW + 5000);
	function_timer(&lab.fn, &lab.world, NOW + 5000);
	ck_assert_int_eq(lab.fn.state, FUNCTION_DONE);
	ck_assert_str_eq(lab.world.stats.errors[0].key, "timeout");
	ck_assert_str_eq(lab.world.stats.errors[0].message,
		"not served in 0.005 s, the first one while waiting for the answer to BEGIN");
	lab_free(&lab);
}
END_TEST

START_TEST(connect_timeout_covers_the_login_and_is_retried)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .connect_timeout = 2000, .retries = 1, .backoff = 1000 });
	wake_and_connect(&lab);
	hear_auth(&lab, AUTH_OK);
	ck_assert_uint_eq(function_timer_at(&lab.fn), NOW + 2000);
	function_timer(&lab.fn, &lab.world, NOW + 2000);
	ck_assert_int_eq(lab.fn.state, FUNCTION_ASLEEP);
	ck_assert_str_eq(lab.world.stats.errors[0].key, "connect_timeout");
	lab_free(&lab);
}
END_TEST

START_TEST(the_end_of_the_run_fails_whoever_is_still_at_it)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .retries = 9 });
	log_in(&lab);
	function_end(&lab.fn, &lab.world, lab.now);
	ck_assert_uint_eq(lab.world.stats.failed, 1);
	ck_assert_str_eq(lab.world.stats.errors[0].key, "deadline");
	ck_assert_int_eq(function_link(&lab.fn), LINK_NONE);
	lab_free(&lab);
}
END_TEST

/* A whole conversation, with rows and notices between what matters, cut at every possible place. */
static const char conversation[] = "R\0\0\0\x08\0\0\0\0"
				   "S\0\0\0\x08"
				   "a\0b\0"
				   "Z\0\0\0\5I"
				   "C\0\0\0\x0a"
				   "BEGIN\0"
				   "Z\0\0\0\5T"
				   "T\0\0\0\6\0\0"
				   "D\0\0\0\x0a\0\1\xff\xff\xff\xff"
				   "D\0\0\0\6\0\0"
				   "N\0\0\0\5\0"
				   "C\0\0\0\x0d"
				   "SELECT 2\0"
				   "Z\0\0\0\5T"
				   "C\0\0\0\x0b"
				   "COMMIT\0"
				   "Z\0\0\0\5I";

START_TEST(where_tcp_cuts_does_not_matter)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .after = AFTER_CLOSE });
	wake_and_connect(&lab);
	lab.fn.out.len = 0;
	function_input(&lab.fn, &lab.world, lab.now, (const uint8_t *)conversation, (size_t)_i);
	for (size_t i = (size_t)_i; i < sizeof(conversation) - 1; i++)
		function_input(&lab.fn, &lab.world, lab.now, (const uint8_t *)conversation + i, 1);
	ck_assert_str_eq(said(&lab), "Q BEGIN, Q select 1, Q COMMIT, X");
	ck_assert_uint_eq(lab.world.stats.served, 1);
	lab_free(&lab);
}
END_TEST

static const struct {
	const char *name, *bytes;
	size_t len;
	const char *key;
} hostile[] = {
	{ "HTTP", "HTTP/1.1 400 Bad Request\r\n", 26, "protocol" },
	{ "a length below itself", "R\0\0\0\3", 5, "protocol" },
	{ "a length beyond 2 GiB", "R\xff\xff\xff\xff", 5, "protocol" },
	{ "an authentication message of 1 MB", "R\0\x10\0\0", 5, "protocol" },
	{ "an error of 1 MB", "E\0\x10\0\0", 5, "protocol" },
	{ "rows before authentication", "D\0\0\0\6\0\0", 7, "protocol" },
	{ "ready before authentication", "Z\0\0\0\5I", 6, "protocol" },
	{ "an authentication message without a request", "R\0\0\0\4", 5, "protocol" },
	{ "authentication twice", "R\0\0\0\x08\0\0\0\0R\0\0\0\x08\0\0\0\0", 18, "protocol" },
	{ "ready without a status", "R\0\0\0\x08\0\0\0\0Z\0\0\0\4", 14, "protocol" },
	{ "SCRAM's end before its beginning", "R\0\0\0\x0a\0\0\0\x0cv=", 11, "authentication" },
	{ "Kerberos", "R\0\0\0\x08\0\0\0\x07", 9, "authentication" },
	{ "SASL with nothing we know", "R\0\0\0\x0b\0\0\0\x0aOP\0", 12, "authentication" },
	{ "md5 without its salt", "R\0\0\0\x08\0\0\0\5", 9, "protocol" },
	{ "an error without code and text", "E\0\0\0\5\0", 6, "?" },
};

START_TEST(what_no_server_says_ends_the_attempt)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .password = "p" });
	wake_and_connect(&lab);
	function_input(&lab.fn, &lab.world, lab.now, (const uint8_t *)hostile[_i].bytes, hostile[_i].len);
	ck_assert_msg(lab.fn.state == FUNCTION_DONE, "%s", hostile[_i].name);
	ck_assert_str_eq(lab.world.stats.errors[0].key, hostile[_i].key);
	lab_free(&lab);
}
END_TEST

START_TEST(copy_is_refused)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .work = WORK_QUERY });
	log_in(&lab);
	function_input(&lab.fn, &lab.world, lab.now, (const uint8_t *)"G\0\0\0\7\0\0\0", 8);
	ck_assert_int_eq(lab.fn.state, FUNCTION_DONE);
	ck_assert_str_eq(lab.world.stats.errors[0].key, "copy");
	lab_free(&lab);
}
END_TEST

START_TEST(a_password_is_sent_as_asked_for)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .password = "secret" });
	wake_and_connect(&lab);
	lab.fn.out.len = 0;
	hear_auth(&lab, AUTH_CLEARTEXT_PASSWORD);
	ck_assert_str_eq(said(&lab), "p secret");
	function_input(&lab.fn, &lab.world, lab.now, (const uint8_t *)"R\0\0\0\x0c\0\0\0\5\1\2\3\4", 13);
	/* "md5" + md5(md5("secret" + "app") + "\1\2\3\4"), from md5sum */
	ck_assert_str_eq(said(&lab), "p md5911f527656472583a006e7727877b33e");
	lab_free(&lab);
}
END_TEST

START_TEST(no_password_is_told)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .password = NULL });
	wake_and_connect(&lab);
	hear_auth(&lab, AUTH_CLEARTEXT_PASSWORD);
	ck_assert_int_eq(lab.fn.state, FUNCTION_DONE);
	ck_assert_str_eq(lab.world.stats.errors[0].key, "authentication");
	lab_free(&lab);
}
END_TEST

static void hear_sasl(struct lab *lab, uint32_t request, const struct writer *data)
{
	struct writer w = { 0 };

	msg_begin(&w, MSG_AUTHENTICATION);
	write_u32(&w, request);
	write_bytes(&w, data->data, data->len);
	msg_end(&w);
	hear(lab, &w);
	writer_free(&w);
}

/* The function against the server's half of scram.h; the secret's salt is fixed, so the second login derives nothing. */
static void scram_login(struct lab *lab, const struct scram_secret *secret)
{
	struct writer mechanisms = { 0 }, answer = { 0 };
	struct scram server = { 0 };
	struct reader r;

	write_cstring(&mechanisms, "SCRAM-SHA-256-PLUS");
	write_cstring(&mechanisms, "SCRAM-SHA-256");
	write_u8(&mechanisms, 0);
	lab->fn.out.len = 0;
	hear_sasl(lab, AUTH_SASL, &mechanisms);
	r = reader_over(lab->fn.out.data + FRAME_HEADER_SIZE, lab->fn.out.len - FRAME_HEADER_SIZE);
	ck_assert_str_eq(read_cstring(&r), "SCRAM-SHA-256");
	ck_assert_uint_eq(read_u32(&r), reader_left(&r));
	ck_assert_int_eq(scram_server_first(&server, r, secret, false, &answer), RES_OK);
	lab->fn.out.len = 0;
	hear_sasl(lab, AUTH_SASL_CONTINUE, &answer);
	answer.len = 0;
	r = reader_over(lab->fn.out.data + FRAME_HEADER_SIZE, lab->fn.out.len - FRAME_HEADER_SIZE);
	ck_assert_int_eq(scram_server_final(&server, r, &answer, NULL), RES_OK);
	lab->fn.out.len = 0;
	hear_sasl(lab, AUTH_SASL_FINAL, &answer);
	writer_free(&mechanisms);
	writer_free(&answer);
	scram_wipe(&server);
}

static void make_secret(struct scram_secret *secret, const char *password)
{
	struct scram_keys keys;

	*secret = (struct scram_secret){ .iterations = 4096, .salt_len = 4, .salt = "salt" };
	scram_derive(password, secret->salt, secret->salt_len, secret->iterations, &keys);
	scram_stored_key(keys.client_key, secret->stored_key);
	memcpy(secret->server_key, keys.server_key, SCRAM_KEY_SIZE);
}

START_TEST(scram_logs_in_and_derives_its_keys_once)
{
	struct lab lab;
	struct scram_secret secret;

	make_secret(&secret, "secret");
	lab_init(&lab, (struct plan){ .password = "secret", .retries = 1, .backoff = 1000 });
	for (int i = 0; i < 2; i++) {
		wake_and_connect(&lab);
		scram_login(&lab, &secret);
		hear_auth(&lab, AUTH_OK);
		ck_assert_int_eq(lab.fn.state, FUNCTION_STARTING);
		hear_error(&lab, "FATAL", "57P03");
		lab.now = function_timer_at(&lab.fn);
	}
	ck_assert_uint_eq(lab.world.keys.derivations, 1);
	lab_free(&lab);
}
END_TEST

START_TEST(a_server_that_skips_its_proof_is_not_trusted)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .password = "secret" });
	wake_and_connect(&lab);
	function_input(&lab.fn, &lab.world, lab.now, (const uint8_t *)"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0", 24);
	ck_assert_int_eq(lab.fn.state, FUNCTION_LOGGING_IN);
	hear_auth(&lab, AUTH_OK);
	ck_assert_int_eq(lab.fn.state, FUNCTION_DONE);
	ck_assert_str_eq(lab.world.stats.errors[0].key, "authentication");
	lab_free(&lab);
}
END_TEST

START_TEST(without_backoff_a_retry_comes_at_once)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .retries = 1, .backoff = 0 });
	wake_and_connect(&lab);
	hear_error(&lab, "FATAL", "53300");
	ck_assert_int_eq(lab.fn.state, FUNCTION_ASLEEP);
	ck_assert_uint_eq(function_timer_at(&lab.fn), lab.now);
	wake_and_connect(&lab);
	lab_free(&lab);
}
END_TEST

START_TEST(without_jitter_a_pause_is_what_the_plan_says)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .retries = 1, .backoff = 1000 });
	lab.plan.jitter = 0;
	wake_and_connect(&lab);
	hear_error(&lab, "FATAL", "53300");
	ck_assert_uint_eq(function_timer_at(&lab.fn), lab.now + 1000);
	lab_free(&lab);
}
END_TEST

START_TEST(one_who_only_logs_in_says_nothing_more)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .work = WORK_LOGIN });
	log_in(&lab);
	ck_assert_str_eq(said(&lab), "X");
	ck_assert_uint_eq(lab.world.stats.served, 1);
	ck_assert_uint_eq(lab.world.stats.transactions, 0);
	lab_free(&lab);
}
END_TEST

/* Where it ends, what has left for the server by then, and what is held back. */
static const struct {
	enum at at;
	const char *heard;
	size_t held;
} places[] = {
	{ AT_MESSAGE, "Q select 1", 7 }, /* of 14 */
	{ AT_QUERY, "Q select 1", 0 },
	{ AT_TRANSACTION, "Q select 1", 0 },
};

START_TEST(one_may_vanish_in_the_middle)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .after = AFTER_CRASH, .at = places[_i].at });
	log_in(&lab);
	said(&lab);
	hear_ready(&lab, TX_BLOCK);
	ck_assert_uint_eq(lab.fn.held, places[_i].held);
	ck_assert_str_eq(said(&lab), places[_i].heard);
	if (places[_i].at == AT_TRANSACTION)
		hear_ready(&lab, TX_BLOCK);
	ck_assert_str_eq(said(&lab), "");
	ck_assert_int_eq(function_link(&lab.fn), LINK_CRASHED);
	ck_assert_uint_eq(lab.world.stats.vanished, 1);
	ck_assert_uint_eq(lab.world.stats.served, 1);
	ck_assert_uint_eq(lab.world.stats.transactions, 0);
	lab_free(&lab);
}
END_TEST

static void freeze(struct lab *lab, enum at at, unsigned retries)
{
	lab_init(lab, (struct plan){ .after = AFTER_FREEZE, .at = at, .thaw = 500000, .retries = retries });
	log_in(lab);
	hear_ready(lab, TX_BLOCK);
	said(lab);
	if (at == AT_TRANSACTION)
		hear_ready(lab, TX_BLOCK);
	ck_assert_int_eq(function_link(&lab->fn), LINK_FROZEN);
	ck_assert(!function_is_finished(&lab->fn));
	ck_assert_uint_eq(function_timer_at(&lab->fn), NOW + 500000);
	lab->now += 500000;
	function_timer(&lab->fn, &lab->world, lab->now);
	ck_assert_int_eq(function_link(&lab->fn), LINK_OPEN);
}

START_TEST(after_a_thaw_it_goes_on_over_the_same_connection)
{
	struct lab lab;

	freeze(&lab, AT_TRANSACTION, 0);
	ck_assert_str_eq(said(&lab), "Q COMMIT");
	lab.now += 2000;
	hear_ready(&lab, TX_IDLE);
	ck_assert_str_eq(said(&lab), "X");
	ck_assert_uint_eq(lab.world.stats.thawed, 1);
	ck_assert_uint_eq(lab.world.stats.served, 1);
	ck_assert_uint_eq(lab.world.stats.attempts, 1);
	ck_assert_uint_eq(samples_percentile(&lab.world.stats.resume, 100), 2000);
	ck_assert_uint_eq(samples_percentile(&lab.world.stats.total, 100), 2000); /* the freeze is its own doing */
	lab_free(&lab);
}
END_TEST

START_TEST(a_transaction_that_was_reclaimed_is_repeated)
{
	struct lab lab;

	freeze(&lab, AT_TRANSACTION, 1);
	said(&lab);
	hear_error(&lab, "ERROR", "25P03");
	hear_ready(&lab, TX_IDLE);
	ck_assert_int_eq(lab.fn.state, FUNCTION_RESTING);
	ck_assert_str_eq(lab.world.stats.errors[0].key, "25P03");
	ck_assert_uint_eq(lab.world.stats.resume.n, 1);
	lab.now = function_timer_at(&lab.fn);
	function_timer(&lab.fn, &lab.world, lab.now);
	hear_ready(&lab, TX_BLOCK);
	hear_ready(&lab, TX_BLOCK); /* it doesn't freeze again */
	ck_assert_str_eq(said(&lab), "Q BEGIN, Q select 1, Q COMMIT");
	hear_ready(&lab, TX_IDLE);
	ck_assert_uint_eq(lab.world.stats.served, 1);
	ck_assert_uint_eq(lab.world.stats.attempts, 1);
	lab_free(&lab);
}
END_TEST

START_TEST(half_a_message_has_its_other_half_after_a_thaw)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .work = WORK_QUERY, .after = AFTER_FREEZE, .at = AT_MESSAGE, .thaw = 1000 });
	log_in(&lab);
	ck_assert_int_eq(function_link(&lab.fn), LINK_FROZEN);
	ck_assert_uint_gt(lab.fn.held, 0);
	function_timer(&lab.fn, &lab.world, NOW + 1000);
	ck_assert_int_eq(function_link(&lab.fn), LINK_OPEN);
	ck_assert_uint_eq(lab.fn.held, 0);
	hear_ready(&lab, TX_IDLE);
	ck_assert_uint_eq(lab.world.stats.served, 1);
	lab_free(&lab);
}
END_TEST

/* Schedules: every 1000 us, queries alone; chance moves the first one, and no more. */

static void start_schedule_of(struct lab *lab, unsigned invocations, unsigned retries)
{
	lab_init(lab,
		(struct plan){ .work = WORK_QUERY,
			.period = 1000,
			.invocations = invocations,
			.retries = retries,
			.timeout = 5000 });
	log_in(lab);
	ck_assert_str_eq(said(lab), "");
	ck_assert_uint_lt(function_timer_at(&lab->fn), NOW + 1000);
	lab->now = function_timer_at(&lab->fn);
	function_timer(&lab->fn, &lab->world, lab->now);
	ck_assert_str_eq(said(lab), "Q select 1");
}

START_TEST(a_slow_answer_makes_the_next_ones_late_and_that_counts)
{
	struct lab lab;
	usec_t first;

	start_schedule_of(&lab, 4, 0);
	first = lab.now;
	lab.now += 2500;
	hear_ready(&lab, TX_IDLE); /* 2500: two more are due by now */
	for (int i = 1; i <= 2; i++) {
		ck_assert_uint_eq(function_timer_at(&lab.fn), lab.now);
		function_timer(&lab.fn, &lab.world, lab.now);
		lab.now += 100;
		hear_ready(&lab, TX_IDLE); /* 1600 and 700 after they were due */
	}
	ck_assert_uint_eq(function_timer_at(&lab.fn), first + 3000); /* back on schedule */
	lab.now = first + 3000;
	function_timer(&lab.fn, &lab.world, lab.now);
	lab.now += 200;
	hear_ready(&lab, TX_IDLE);
	ck_assert_uint_eq(lab.world.stats.served, 1);
	ck_assert_uint_eq(lab.world.stats.due, 4);
	ck_assert_uint_eq(lab.world.stats.on_time, 2);
	ck_assert_uint_eq(samples_percentile(&lab.world.stats.total, 0), 200);
	ck_assert_uint_eq(samples_percentile(&lab.world.stats.total, 100), 2500);
	ck_assert_uint_eq(lab.world.stats.missed, 0);
	lab_free(&lab);
}
END_TEST

START_TEST(one_that_fails_on_schedule_is_missed_and_the_next_has_its_turn)
{
	struct lab lab;
	usec_t first;

	start_schedule_of(&lab, 2, 0);
	first = lab.now;
	hear_error(&lab, "ERROR", "53300");
	hear_ready(&lab, TX_IDLE);
	ck_assert_int_eq(lab.fn.state, FUNCTION_RESTING);
	ck_assert_uint_eq(function_timer_at(&lab.fn), first + 1000);
	lab.now = first + 1000;
	function_timer(&lab.fn, &lab.world, lab.now);
	hear_ready(&lab, TX_IDLE);
	ck_assert_str_eq(said(&lab), "Q select 1, X");
	ck_assert_uint_eq(lab.world.stats.missed, 1);
	ck_assert_uint_eq(lab.world.stats.due, 2);
	ck_assert_uint_eq(lab.world.stats.transactions, 1);
	ck_assert_uint_eq(lab.world.stats.served, 0);
	ck_assert_uint_eq(lab.world.stats.failed, 1); /* not all that it had to do was done */
	lab_free(&lab);
}
END_TEST

START_TEST(a_lost_connection_on_schedule_is_made_anew_when_the_next_is_due)
{
	struct lab lab;
	usec_t first;

	start_schedule_of(&lab, 3, 0);
	first = lab.now;
	function_lost(&lab.fn, &lab.world, lab.now, "ECONNRESET", "reset");
	ck_assert_int_eq(function_link(&lab.fn), LINK_NONE);
	ck_assert_uint_eq(function_timer_at(&lab.fn), first + 1000);
	lab.now = first + 1000;
	log_in(&lab);
	ck_assert_str_eq(said(&lab), "Q select 1");
	hear_ready(&lab, TX_IDLE);
	function_lost(&lab.fn, &lab.world, lab.now, "closed", "while it rests");
	ck_assert_uint_eq(lab.world.stats.missed, 1);
	lab.now = first + 2000;
	log_in(&lab);
	lab.now += 300;
	hear_ready(&lab, TX_IDLE);
	ck_assert_uint_eq(lab.world.stats.missed, 1);
	ck_assert_uint_eq(lab.world.stats.transactions, 2);
	ck_assert_uint_eq(samples_percentile(&lab.world.stats.total, 100), 300); /* from when it was due: the login is in it */
	lab_free(&lab);
}
END_TEST

START_TEST(a_timeout_on_schedule_is_each_invocations_own)
{
	struct lab lab;
	usec_t first;

	start_schedule_of(&lab, 3, 9);
	first = lab.now;
	ck_assert_uint_eq(function_timer_at(&lab.fn), first + 5000);
	lab.now = first + 6500;
	function_timer(&lab.fn, &lab.world, lab.now);
	ck_assert_int_eq(lab.fn.state, FUNCTION_ASLEEP);
	function_timer(&lab.fn, &lab.world, lab.now); /* due at 1000: too late for it, too */
	function_timer(&lab.fn, &lab.world, lab.now);
	ck_assert_uint_eq(lab.world.stats.missed, 2);
	function_timer(&lab.fn, &lab.world, lab.now); /* due at 2000: half a millisecond is left */
	ck_assert_int_eq(lab.fn.state, FUNCTION_CONNECTING);
	ck_assert_uint_eq(function_timer_at(&lab.fn), first + 7000);
	function_end(&lab.fn, &lab.world, lab.now);
	ck_assert_uint_eq(lab.world.stats.due, 3);
	ck_assert_uint_eq(lab.world.stats.missed, 3);
	ck_assert_uint_eq(lab.world.stats.failed, 1);
	lab_free(&lab);
}
END_TEST

START_TEST(what_is_not_due_when_the_run_ends_is_not_missed)
{
	struct lab lab;
	usec_t first;

	start_schedule_of(&lab, 100, 0);
	first = lab.now;
	hear_ready(&lab, TX_IDLE);
	lab.now = first + 3500; /* nobody came to begin those of 1000, 2000 and 3000 */
	function_end(&lab.fn, &lab.world, lab.now);
	ck_assert_uint_eq(lab.world.stats.due, 4);
	ck_assert_uint_eq(lab.world.stats.missed, 3);
	lab_free(&lab);
}
END_TEST

START_TEST(who_never_logs_in_has_missed_it_all)
{
	struct lab lab;

	lab_init(&lab, (struct plan){ .work = WORK_QUERY, .period = 1000, .invocations = 50, .retries = 1 });
	for (int i = 0; i < 2; i++) {
		wake_and_connect(&lab);
		hear_error(&lab, "FATAL", "53300");
		lab.now = MAX(function_timer_at(&lab.fn), lab.now);
	}
	ck_assert_int_eq(lab.fn.state, FUNCTION_DONE);
	ck_assert_uint_eq(lab.world.stats.due, 50);
	ck_assert_uint_eq(lab.world.stats.missed, 50);
	lab_free(&lab);
}
END_TEST

UNIT_MAIN("storm function", {
	tcase_add_test(tc, startup_packet_names_what_the_plan_has);
	tcase_add_test(tc, a_transaction_takes_three_round_trips);
	tcase_add_loop_test(tc, the_ending_is_the_planned_one, 0, N_ELEMENTS(endings));
	tcase_add_test(tc, simple_is_one_round_trip);
	tcase_add_test(tc, invocations_share_a_connection_and_think_between);
	tcase_add_test(tc, an_error_in_a_block_is_rolled_back_and_repeated_on_the_same_connection);
	tcase_add_test(tc, an_error_without_retries_says_goodbye);
	tcase_add_test(tc, fatal_means_a_new_connection_after_a_pause_that_doubles);
	tcase_add_test(tc, a_lost_connection_is_counted_by_its_cause);
	tcase_add_test(tc, one_who_is_idle_and_hung_up_on_was_served_and_is_lost);
	tcase_add_test(tc, timeout_ends_the_whole_life_even_with_retries_left);
	tcase_add_test(tc, connect_timeout_covers_the_login_and_is_retried);
	tcase_add_test(tc, the_end_of_the_run_fails_whoever_is_still_at_it);
	tcase_add_loop_test(tc, where_tcp_cuts_does_not_matter, 0, sizeof(conversation));
	tcase_add_loop_test(tc, what_no_server_says_ends_the_attempt, 0, N_ELEMENTS(hostile));
	tcase_add_test(tc, copy_is_refused);
	tcase_add_test(tc, a_password_is_sent_as_asked_for);
	tcase_add_test(tc, no_password_is_told);
	tcase_add_test(tc, scram_logs_in_and_derives_its_keys_once);
	tcase_add_test(tc, a_server_that_skips_its_proof_is_not_trusted);
	tcase_add_loop_test(tc, one_may_vanish_in_the_middle, 0, N_ELEMENTS(places));
	tcase_add_test(tc, without_backoff_a_retry_comes_at_once);
	tcase_add_test(tc, without_jitter_a_pause_is_what_the_plan_says);
	tcase_add_test(tc, one_who_only_logs_in_says_nothing_more);
	tcase_add_test(tc, after_a_thaw_it_goes_on_over_the_same_connection);
	tcase_add_test(tc, a_transaction_that_was_reclaimed_is_repeated);
	tcase_add_test(tc, half_a_message_has_its_other_half_after_a_thaw);
	tcase_add_test(tc, a_slow_answer_makes_the_next_ones_late_and_that_counts);
	tcase_add_test(tc, one_that_fails_on_schedule_is_missed_and_the_next_has_its_turn);
	tcase_add_test(tc, a_lost_connection_on_schedule_is_made_anew_when_the_next_is_due);
	tcase_add_test(tc, a_timeout_on_schedule_is_each_invocations_own);
	tcase_add_test(tc, what_is_not_due_when_the_run_ends_is_not_missed);
	tcase_add_test(tc, who_never_logs_in_has_missed_it_all);
})
