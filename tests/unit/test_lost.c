#include "session/lost.h"

#include "unit.h"
#include "world.h"

static void say(struct world *w, uint8_t type, const char *text)
{
	world_say(w, 0, type, text);
}

static const char *heard(struct world *w)
{
	return world_heard(w, 0);
}

static void start(struct world *w)
{
	world_start(w, "");
	world_client(w);
	world_rounds(w, WORLD_MANY);
	world_serve(w, 0, -1);
	world_rounds(w, WORLD_MANY);
	ck_assert_str_eq(heard(w), "S K ZI");
}

static void serve(struct world *w)
{
	world_serve(w, w->n_servers - 1, -1);
	world_rounds(w, WORLD_MANY);
}

/* A client in a block whose server dies under a query. */
static void lose(struct world *w)
{
	start(w);
	say(w, MSG_QUERY, "begin");
	serve(w);
	ck_assert_str_eq(heard(w), "C=OK ZT");
	say(w, MSG_QUERY, "select 1");
	world_close(&w->servers[0].fd);
	world_rounds(w, WORLD_MANY);
	ck_assert_str_eq(heard(w), "E=08006 ZE");
	world_check(w);
}

static const struct {
	const char *sql;
	bool ends;
} statements[] = {
	{ "rollback", true },
	{ "ROLLBACK;", true },
	{ "Commit", true },
	{ "abort", true },
	{ "end", true },
	{ "  rollback  work ; ", true },
	{ "commit transaction", true },
	{ "END\nTRANSACTION\t;\n", true },
	{ "select 1", false },
	{ "/* a /* nested */ comment */ rollback -- the end", true },
	{ "commit /*key=value*/", true },
	{ "/* rollback", false },
	{ "rollback to a", false },
	{ "rollback to savepoint a", false },
	{ "rollback and chain", false },
	{ "commit and chain", false },
	{ "commit prepared 'a'", false },
	{ "rollback work work", false },
	{ "rollback work transaction", false },
	{ "rollbacks", false },
	{ "rollback_", false },
	{ "rollback1", false },
	{ "end work_", false },
	{ "rollback; select 1", false },
	{ "select 1; rollback", false },
	{ "rollback;;", false },
	{ "begin", false },
	{ "roll", false },
};

START_TEST(nothing_to_do_is_answered_as_such)
{
	static const char *const nothing[] = { "", ";", " /* c */ ; -- d" };
	struct world w;

	lose(&w);
	say(&w, MSG_QUERY, nothing[_i]);
	ck_assert_str_eq(heard(&w), "I ZE");
	world_check(&w);
	world_end(&w);
}
END_TEST

START_TEST(only_the_end_of_the_transaction_ends_it)
{
	struct world w;

	lose(&w);
	say(&w, MSG_QUERY, statements[_i].sql);
	ck_assert_msg(strcmp(heard(&w), statements[_i].ends ? "C=ROLLBACK ZI" : "E=25P02 ZE") == 0, "\"%s\"",
		statements[_i].sql);
	world_check(&w);
	world_end(&w);
}
END_TEST

START_TEST(every_statement_fails_until_then_and_works_afterwards)
{
	struct world w;

	lose(&w);
	for (int i = 0; i < 3; i++) {
		say(&w, MSG_QUERY, "select 1");
		ck_assert_str_eq(heard(&w), "E=25P02 ZE");
	}
	say(&w, MSG_FUNCTION_CALL, NULL);
	ck_assert_str_eq(heard(&w), "E=25P02 ZE");
	say(&w, MSG_QUERY, "rollback");
	ck_assert_str_eq(heard(&w), "C=ROLLBACK ZI");
	say(&w, MSG_QUERY, "select 1");
	serve(&w); /* a new server's login .. */
	serve(&w); /* .. and the query */
	ck_assert_str_eq(heard(&w), "C=OK ZI");
	world_check(&w);
	world_end(&w);
}
END_TEST

/* A Parse has a name, a text and the number of types; a Bind two names and three numbers. */
static void parse(struct world *w, const char *sql)
{
	struct writer m = { 0 };

	msg_begin(&m, MSG_PARSE);
	write_cstring(&m, "");
	write_cstring(&m, sql);
	write_u16(&m, 0);
	msg_end(&m);
	msg_begin(&m, MSG_BIND);
	write_bytes(&m, "\0\0\0\0\0\0\0\0", 8);
	msg_end(&m);
	msg_begin(&m, MSG_DESCRIBE);
	write_bytes(&m, "P", 2);
	msg_end(&m);
	msg_begin(&m, MSG_EXECUTE);
	write_bytes(&m, "\0\0\0\0\0", 5);
	msg_end(&m);
	ck_assert_int_eq(send(w->clients[0], m.data, m.len, MSG_NOSIGNAL), (ssize_t)m.len);
	writer_free(&m);
	world_rounds(w, WORLD_MANY);
}

START_TEST(a_batch_can_end_it_too)
{
	struct world w;

	lose(&w);
	parse(&w, "select 1");
	ck_assert_str_eq(heard(&w), "E=25P02"); /* once a batch */
	say(&w, MSG_SYNC, NULL);
	ck_assert_str_eq(heard(&w), "ZE");
	parse(&w, "commit");
	ck_assert_str_eq(heard(&w), "1 2 n C=ROLLBACK");
	say(&w, MSG_SYNC, NULL);
	ck_assert_str_eq(heard(&w), "ZI");
	world_check(&w);
	world_end(&w);
}
END_TEST

START_TEST(what_is_left_of_a_copy_is_skipped)
{
	struct world w;

	lose(&w);
	say(&w, MSG_COPY_DATA, "row");
	say(&w, MSG_COPY_DONE, NULL);
	say(&w, MSG_FLUSH, NULL);
	ck_assert_str_eq(heard(&w), "");
	say(&w, MSG_SYNC, NULL);
	ck_assert_str_eq(heard(&w), "ZE");
	say(&w, MSG_TERMINATE, NULL);
	ck_assert_str_eq(heard(&w), "eof");
	world_end(&w);
}
END_TEST

START_TEST(outside_a_block_only_the_query_is_lost)
{
	struct world w;

	start(&w);
	say(&w, MSG_QUERY, "select 1");
	world_close(&w.servers[0].fd);
	world_rounds(&w, WORLD_MANY);
	ck_assert_str_eq(heard(&w), "E=08006 ZI");
	world_check(&w);
	world_end(&w);
}
END_TEST

START_TEST(each_request_that_was_owed_is_settled)
{
	struct world w;

	start(&w);
	parse(&w, "select 1");
	say(&w, MSG_SYNC, NULL);
	say(&w, MSG_QUERY, "select 2");
	parse(&w, "select 3"); /* its Sync comes later */
	world_close(&w.servers[0].fd);
	world_rounds(&w, WORLD_MANY);
	ck_assert_str_eq(heard(&w), "E=08006 ZI E=08006 ZI E=08006");
	say(&w, MSG_SYNC, NULL);
	ck_assert_str_eq(heard(&w), "ZI");
	world_check(&w);
	world_end(&w);
}
END_TEST

/* In a pipeline: the SET was committed, and nobody has asked yet what has come of it. */
START_TEST(a_client_that_has_set_something_is_closed)
{
	struct writer m = { 0 };
	struct world w;

	start(&w);
	say(&w, MSG_QUERY, "set work_mem = '5MB'");
	say(&w, MSG_QUERY, "select 1");
	write_command_complete(&m, "SET");
	write_ready_for_query(&m, TX_IDLE);
	ck_assert_int_eq(write(w.servers[0].fd, m.data, m.len), (ssize_t)m.len);
	writer_free(&m);
	world_rounds(&w, WORLD_MANY);
	ck_assert_str_eq(heard(&w), "C=SET ZI");
	world_close(&w.servers[0].fd);
	world_rounds(&w, WORLD_MANY);
	ck_assert_str_eq(heard(&w), "E=08006");
	ck_assert_uint_eq(w.worker.clients.count, 0);
	world_check(&w);
	world_end(&w);
}
END_TEST

/* KILL, a timeout: the end must not be read as the rest of a row. */
START_TEST(an_end_in_the_middle_of_a_row_has_no_words)
{
	static const char part[] = "D\0\0\1\0row";
	char got[512];
	struct list_node *n;
	struct world w;

	start(&w);
	say(&w, MSG_QUERY, "select 1");
	ck_assert_int_eq(write(w.servers[0].fd, part, sizeof(part) - 1), sizeof(part) - 1);
	world_rounds(&w, WORLD_MANY);
	n = list_first(&w.worker.clients);
	client_fatal(CONTAINER_OF(n, struct client, node), "57P01", "terminating connection due to administrator command");
	world_rounds(&w, WORLD_MANY);
	ck_assert_int_eq(read(w.clients[0], got, sizeof(got)), sizeof(part) - 1);
	ck_assert_mem_eq(got, part, sizeof(part) - 1);
	world_check(&w);
	world_end(&w);
}
END_TEST

START_TEST(a_client_that_waits_for_nothing_in_a_block_is_closed)
{
	struct world w;

	start(&w);
	say(&w, MSG_QUERY, "begin");
	serve(&w);
	heard(&w);
	world_close(&w.servers[0].fd);
	world_rounds(&w, WORLD_MANY);
	ck_assert_str_eq(heard(&w), "E=08006");
	ck_assert_str_eq(heard(&w), "eof");
	world_check(&w);
	world_end(&w);
}
END_TEST

UNIT_MAIN("lost", {
	tcase_add_loop_test(tc, only_the_end_of_the_transaction_ends_it, 0, N_ELEMENTS(statements));
	tcase_add_loop_test(tc, nothing_to_do_is_answered_as_such, 0, 3);
	tcase_add_test(tc, every_statement_fails_until_then_and_works_afterwards);
	tcase_add_test(tc, a_batch_can_end_it_too);
	tcase_add_test(tc, what_is_left_of_a_copy_is_skipped);
	tcase_add_test(tc, outside_a_block_only_the_query_is_lost);
	tcase_add_test(tc, each_request_that_was_owed_is_settled);
	tcase_add_test(tc, an_end_in_the_middle_of_a_row_has_no_words);
	tcase_add_test(tc, a_client_that_has_set_something_is_closed);
	tcase_add_test(tc, a_client_that_waits_for_nothing_in_a_block_is_closed);
})
