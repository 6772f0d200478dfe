#include "session/request.h"

#include "wire/sqlscan.h"

#include "unit.h"
#include "world.h"

/* A client that has been welcomed, and a server that is idle. */
static void start(struct world *w)
{
	world_start(w, "max_prepared_statements = 2");
	world_client(w);
	world_rounds(w, WORLD_MANY);
	world_serve(w, 0, -1);
	world_rounds(w, WORLD_MANY);
	ck_assert_str_eq(world_heard(w, 0), "S K ZI");
}

static void serve(struct world *w, int fails_at)
{
	world_serve(w, 0, fails_at);
	world_rounds(w, WORLD_MANY);
	world_check(w);
}

static void put_parse(struct writer *m, const char *name, const char *sql)
{
	msg_begin(m, MSG_PARSE);
	write_cstring(m, name);
	write_cstring(m, sql);
	write_u16(m, 0);
	msg_end(m);
}

static void put_bind(struct writer *m, const char *name)
{
	msg_begin(m, MSG_BIND);
	write_cstring(m, "");
	write_cstring(m, name);
	write_bytes(m, "\0\0\0\0\0\0", 6);
	msg_end(m);
}

static void put_text(struct writer *m, uint8_t type, const char *text)
{
	msg_begin(m, type);
	write_bytes(m, text, strlen(text));
	write_u8(m, 0);
	msg_end(m);
}

static void put_sync(struct writer *m)
{
	msg_begin(m, MSG_SYNC);
	msg_end(m);
}

static void put_close(struct writer *m)
{
	put_text(m, MSG_CLOSE, "Sa"), put_sync(m);
}
static void put_deallocate(struct writer *m)
{
	put_text(m, MSG_QUERY, "deallocate a");
}
static void put_parse_again(struct writer *m)
{
	put_parse(m, "a", "select 2"), put_sync(m);
}

static void put_deallocate_extended(struct writer *m)
{
	put_parse(m, "", "deallocate a");
	put_bind(m, "");
	msg_begin(m, MSG_EXECUTE); /* it takes the name away when it is executed */
	write_cstring(m, "");
	write_u32(m, 0);
	msg_end(m);
	put_sync(m);
}

static void put_late_copy_and_close(struct writer *m)
{
	put_text(m, MSG_COPY_DATA, "late");
	put_close(m);
}

static const struct {
	const char *name;
	void (*put)(struct writer *m);
	const char *works, *fails; /* what follows when the Parse works, and when it fails */
} uncertain[] = {
	{ "Close", put_close, "3 ZI", "3 ZI" },
	{ "DEALLOCATE", put_deallocate, "C=DEALLOCATE ZI", "C=OK ZI" }, /* the server answers what isn't ours */
	{ "DEALLOCATE by a batch", put_deallocate_extended, "1 2 I ZI", "1 2 I ZI" },
	{ "Parse", put_parse_again, "E=42P05 ZI", "1 ZI" },
	{ "Close behind late CopyData", put_late_copy_and_close, "3 ZI", "3 ZI" },
};

static void ask(struct world *w, int i)
{
	struct writer m = { 0 };

	put_parse(&m, "a", "select 1");
	put_sync(&m);
	uncertain[i].put(&m);
	world_say_bytes(w, 0, &m);
	writer_free(&m);
}

/* What the client has got, when the server has answered in three goes. */
static void check(int i, const char *first, int fails_at, const char *second)
{
	char got[512] = "", want[512];
	struct world w;

	start(&w);
	ask(&w, i);
	for (int n = 0; n < 3; n++) {
		serve(&w, n ? -1 : fails_at);
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s ", world_heard(&w, 0));
	}
	snprintf(want, sizeof(want), "%s %s ", first, second);
	ck_assert_msg(strncmp(got, want, strlen(want)) == 0, "%s: %s", uncertain[i].name, got);
	world_end(&w);
}

START_TEST(a_name_is_taken_away_only_when_its_parse_has_worked)
{
	check(_i, "1 ZI", -1, uncertain[_i].works);
}
END_TEST

START_TEST(a_name_whose_parse_failed_was_never_there)
{
	check(_i, "E=22012 ZI", 0, uncertain[_i].fails);
}
END_TEST

static void put_query(struct writer *m)
{
	put_text(m, MSG_QUERY, "select 1");
}

static void put_flush(struct writer *m)
{
	msg_begin(m, MSG_FLUSH);
	msg_end(m);
}

static void put_query_and_deallocate(struct writer *m)
{
	put_query(m);
	put_deallocate(m);
}

static void put_bind_close_and_flush(struct writer *m)
{
	put_bind(m, "a");
	put_text(m, MSG_CLOSE, "Sa");
	put_flush(m);
}

static void put_query_close_and_query(struct writer *m)
{
	put_query(m);
	put_deallocate(m);
	put_query(m);
}

static const struct {
	const char *name;
	void (*put)(struct writer *m);
	const char *want;
} locals[] = {
	{ "alone", put_deallocate, "C=DEALLOCATE ZI" },
	{ "behind the server's last answer", put_query_and_deallocate, "C=OK ZI C=DEALLOCATE ZI" },
	{ "behind it, in a batch that was flushed", put_bind_close_and_flush, "2 3" },
	{ "between answers", put_query_close_and_query, "C=OK ZI C=DEALLOCATE ZI C=OK ZI" },
};

START_TEST(an_answer_of_our_own_comes_in_its_turn)
{
	struct writer m = { 0 };
	struct world w;

	start(&w);
	put_parse(&m, "a", "select 1");
	put_sync(&m);
	world_say_bytes(&w, 0, &m);
	serve(&w, -1);
	ck_assert_str_eq(world_heard(&w, 0), "1 ZI");
	m.len = 0;
	locals[_i].put(&m);
	world_say_bytes(&w, 0, &m);
	serve(&w, -1);
	ck_assert_msg(strcmp(world_heard(&w, 0), locals[_i].want) == 0, "%s", locals[_i].name);
	writer_free(&m);
	world_end(&w);
}
END_TEST

static void put_parse_of_another(struct writer *m)
{
	put_parse(m, "c", "select 3");
}
static void put_parse_unnamed(struct writer *m)
{
	put_parse(m, "", "select 3");
}
static void put_bind_of_it(struct writer *m)
{
	put_bind(m, "a");
}
static void put_close_of_it(struct writer *m)
{
	put_text(m, MSG_CLOSE, "Sa");
}

static void (*const skipped[])(struct writer *m) = {
	put_parse_of_another,
	put_parse_unnamed,
	put_bind_of_it,
	put_close_of_it,
	put_query,
	put_deallocate,
	put_flush,
};

START_TEST(after_an_error_nothing_happens_before_the_sync)
{
	struct writer m = { 0 };
	struct world w;

	start(&w);
	put_parse(&m, "a", "select 1"); /* as many as the server may have */
	put_parse(&m, "b", "select 2");
	put_sync(&m);
	put_text(&m, MSG_DESCRIBE, "Pnone");
	put_flush(&m);
	world_say_bytes(&w, 0, &m);
	serve(&w, 5); /* each Parse has a Describe of ours behind it */
	ck_assert_str_eq(world_heard(&w, 0), "1 1 ZI E=22012");
	m.len = 0;
	skipped[_i](&m);
	world_say_bytes(&w, 0, &m);
	serve(&w, -1);
	ck_assert_str_eq(world_heard(&w, 0), "");
	m.len = 0;
	put_sync(&m);
	put_bind(&m, "a"); /* is still there */
	put_sync(&m);
	world_say_bytes(&w, 0, &m);
	serve(&w, -1);
	ck_assert_str_eq(world_heard(&w, 0), "ZI 2 ZI");
	writer_free(&m);
	world_end(&w);
}
END_TEST

/* psycopg 3 takes away what it has prepared like this. */
START_TEST(a_question_to_pgweir_is_deallocated_by_pgweir)
{
	struct writer m = { 0 };
	struct world w;

	start(&w);
	put_parse(&m, "q", "show pgweir.last_wait");
	put_sync(&m);
	put_text(&m, MSG_QUERY, "deallocate q");
	world_say_bytes(&w, 0, &m);
	writer_free(&m);
	ck_assert_str_eq(world_heard(&w, 0), "1 ZI C=DEALLOCATE ZI");
	put_bind(&m, "q");
	put_sync(&m);
	world_say_bytes(&w, 0, &m);
	writer_free(&m);
	serve(&w, -1);
	ck_assert_str_eq(world_heard(&w, 0), "2 ZI"); /* PostgreSQL's to answer now */
	world_end(&w);
}
END_TEST

START_TEST(a_reload_may_make_a_prepared_statement_suspect)
{
	struct writer m = { 0 };
	struct world w;
	const struct client *c;

	start(&w);
	put_parse(&m, "a", "select hidden_set(1)");
	put_sync(&m);
	world_say_bytes(&w, 0, &m);
	writer_free(&m);
	serve(&w, -1);
	world_heard(&w, 0);
	free(w.worker.suspects);
	w.worker.suspects = scan_suspects("hidden_set");
	w.worker.n_snapshots++;
	put_bind(&m, "a");
	world_say_bytes(&w, 0, &m);
	writer_free(&m);
	c = CONTAINER_OF(list_first(&w.worker.clients), struct client, node);
	ck_assert(c->is_stateful && c->is_opaque);
	world_end(&w);
}
END_TEST

UNIT_MAIN("request", {
	tcase_add_test(tc, a_reload_may_make_a_prepared_statement_suspect);
	tcase_add_test(tc, a_question_to_pgweir_is_deallocated_by_pgweir);
	tcase_add_loop_test(tc, after_an_error_nothing_happens_before_the_sync, 0, N_ELEMENTS(skipped));
	tcase_add_loop_test(tc, an_answer_of_our_own_comes_in_its_turn, 0, N_ELEMENTS(locals));
	tcase_add_loop_test(tc, a_name_is_taken_away_only_when_its_parse_has_worked, 0, N_ELEMENTS(uncertain));
	tcase_add_loop_test(tc, a_name_whose_parse_failed_was_never_there, 0, N_ELEMENTS(uncertain));
})
