#include "pool/server.h"

#include "unit.h"
#include "wire/msg.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Notes and names come back through here when an error drops a request. */
static void on_drop(void *ctx, const struct pending_entry *e)
{
	(void)ctx, (void)e;
}

static struct limit_shared database;
static struct pool_shared shared = { .by_database = &database };
static struct pool pool = { .shared = &shared };

static void make(struct server *s)
{
	memset(s, 0, sizeof(*s));
	s->stream.fd = -1;
	s->state = SERVER_ACTIVE;
	s->pool = &pool;
	pending_init(&s->pending, on_drop, s);
	server_statements_init(&s->statements);
}

static void unmake(struct server *s)
{
	pending_clear(&s->pending);
	server_statements_clear(&s->statements, false);
	settings_unref(&s->reported);
	settings_unref(&s->settings);
}

/* The release rule. Each of these alone keeps the server with its client, and any of them together. */

static void owe(struct server *s)
{
	pending_sent(&s->pending, PEND_SYNC, false, 0, NULL);
}
static void owe_ours(struct server *s)
{
	pending_sent(&s->pending, PEND_QUERY, true, 0, NULL);
}
static void owe_local(struct server *s)
{
	pending_sent(&s->pending, PEND_LOCAL, false, 0, NULL);
}
static void be_in_batch(struct server *s)
{
	s->pending.is_batch_open = true;
}
static void be_skipping(struct server *s)
{
	s->pending.is_skipping = true;
}
static void be_in_copy(struct server *s)
{
	s->pending.copy = COPY_IN;
}
static void be_at_its_end(struct server *s)
{
	s->pending.copy = COPY_IN_ENDING;
}
static void be_in_block(struct server *s)
{
	s->pending.tx_status = TX_BLOCK;
}
static void have_failed(struct server *s)
{
	s->pending.tx_status = TX_FAILED;
}
static void be_in_message(struct server *s)
{
	s->body_left = 1;
}
static void be_cut(struct server *s)
{
	s->is_cut = true;
}
static void be_ambiguous(struct server *s)
{
	s->pending.is_ambiguous = true;
}

static void (*const ties[])(struct server *s) = {
	owe,
	owe_ours,
	owe_local,
	be_in_batch,
	be_skipping,
	be_in_copy,
	be_at_its_end,
	be_in_block,
	have_failed,
	be_in_message,
	be_cut,
	be_ambiguous,
};

START_TEST(only_a_server_that_nothing_ties_is_released)
{
	struct server s;

	for (unsigned row = 0; row < 1u << N_ELEMENTS(ties); row++) { /* a bit for each tie */
		make(&s);
		for (unsigned i = 0; i < N_ELEMENTS(ties); i++) {
			if (row & (1u << i))
				ties[i](&s);
		}
		ck_assert_msg(server_may_release(&s) == (row == 0), "row %x", row);
		unmake(&s);
	}
}
END_TEST

static const struct {
	const char *name;
	uint8_t type;
	bool want;
} leftovers[] = {
	{ "CopyData that came too late", PEND_COPY_DATA, true },
	{ "a CopyDone that came too late", PEND_COPY_END, true },
	{ "a query", PEND_QUERY, false },
	{ "a function call", PEND_FUNCTION, false },
	{ "an answer of our own", PEND_LOCAL, false },
	{ "half a batch", PEND_PARSE, false },
};

START_TEST(what_nothing_is_due_for_ties_nobody)
{
	struct server s;

	make(&s);
	pending_sent(&s.pending, leftovers[_i].type, false, 0, NULL);
	ck_assert_msg(server_may_release(&s) == leftovers[_i].want, "%s", leftovers[_i].name);
	unmake(&s);
}
END_TEST

START_TEST(a_batch_is_released_at_its_last_answer)
{
	struct pending_entry popped;
	struct server s;

	make(&s);
	ck_assert(server_may_release(&s));
	pending_sent(&s.pending, PEND_PARSE, false, 0, NULL);
	ck_assert(!server_may_release(&s));
	pending_answer(&s.pending, MSG_PARSE_COMPLETE, 0, &popped);
	ck_assert(!server_may_release(&s)); /* its Sync may yet come */
	pending_sent(&s.pending, PEND_SYNC, false, 0, NULL);
	ck_assert(!server_may_release(&s));
	pending_answer(&s.pending, MSG_READY_FOR_QUERY, TX_IDLE, &popped);
	ck_assert(server_may_release(&s));
	unmake(&s);
}
END_TEST

/* The machine */

static const struct {
	enum server_state from;
	const char *to; /* the first letters of the states, as in names[] */
} moves[] = {
	{ SERVER_LOGIN, "IX" },
	{ SERVER_IDLE, "TSAMX" },
	{ SERVER_TESTING, "IX" },
	{ SERVER_SYNCING, "ACX" },
	{ SERVER_ACTIVE, "ISPCHX" },
	{ SERVER_PROBING, "ACX" },
	{ SERVER_CLEANING, "IHX" },
	{ SERVER_HELD, "IX" },
	{ SERVER_MOVING, "IX" },
	{ SERVER_CLOSING, "" },
};
static const char letters[] = "LITSAPCHMX"; /* enum server_state */

/* Does the move pass its assertion? */
static bool may_move(enum server_state from, enum server_state to)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct server s = { .state = from };
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDERR_FILENO);
		server_set_state(&s, to);
		_exit(s.state == to ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(!WIFEXITED(status) || WEXITSTATUS(status) == 0);
	return WIFEXITED(status);
}

START_TEST(the_machine_moves_as_its_table_says)
{
	ck_assert_uint_eq(strlen(letters), SERVER_STATES);
	for (int to = 0; to < SERVER_STATES; to++)
		ck_assert_msg(may_move(moves[_i].from, (enum server_state)to) ==
				(strchr(moves[_i].to, letters[to]) != NULL),
			"from %c to %c", letters[moves[_i].from], letters[to]);
}
END_TEST

START_TEST(each_state_has_a_name)
{
	static const char *const names[SERVER_STATES] = { "new", "idle", "tested", "active", "active",
		"active", "used", "being_canceled", "idle", "closing" };

	ck_assert_str_eq(server_state_name((enum server_state)_i), names[_i]);
}
END_TEST

/* Walking what a server sends */

struct walked {
	char log[512], passed[512];
	size_t n_passed;
	const char *hides; /* types that aren't passed on */
	bool logs_rows;	   /* whole ones pass without being asked about */
};

static bool on_message(struct server *s, struct server_message *m, void *ctx)
{
	struct walked *w = ctx;
	size_t n = strlen(w->log);

	(void)s;
	if (m->frame.type == MSG_DATA_ROW && !w->logs_rows)
		return true;
	snprintf(w->log + n, sizeof(w->log) - n, "%c%s ", m->frame.type,
		m->verdict == PENDING_ASYNC	     ? "~"
			: m->verdict == PENDING_OURS ? "-"
						     : "");
	ck_assert(!m->body || m->body_len == m->frame.length - FRAME_HEADER_SIZE);
	return !strchr(w->hides, m->frame.type);
}

static void on_local(struct server *s, const struct pending_entry *e, void *ctx)
{
	(void)s, (void)e;
	strcat(((struct walked *)ctx)->log, "local ");
}

static void on_slice(struct server *s, const uint8_t *bytes, size_t len, void *ctx)
{
	struct walked *w = ctx;

	(void)s;
	ck_assert_uint_le(w->n_passed + len, sizeof(w->passed));
	memcpy(w->passed + w->n_passed, bytes, len);
	w->n_passed += len;
}

static const struct server_walk walk = { .message = on_message, .local = on_local, .slice = on_slice };

static void put(struct writer *w, uint8_t type, const char *body, size_t len)
{
	msg_begin(w, type);
	write_bytes(w, body, len);
	msg_end(w);
}

/* A query of ours, a batch of the client's with an answer of our own in its middle, and what may come at any time. */
static void converse(struct server *s, struct writer *w)
{
	pending_sent(&s->pending, PEND_QUERY, true, 0, NULL);
	pending_sent(&s->pending, PEND_LOCAL, false, 0, NULL);
	pending_sent(&s->pending, PEND_BIND, false, 0, NULL);
	pending_sent(&s->pending, PEND_EXECUTE, false, 0, NULL);
	pending_sent(&s->pending, PEND_LOCAL, false, 0, NULL);
	pending_sent(&s->pending, PEND_SYNC, false, 0, NULL);
	put(w, MSG_COMMAND_COMPLETE, "SET", 4);
	put(w, MSG_READY_FOR_QUERY, "I", 1);
	put(w, MSG_BIND_COMPLETE, "", 0);
	put(w, MSG_DATA_ROW, "\0\1\0\0\0\5hello", 11);
	put(w, MSG_PARAMETER_STATUS, "TimeZone\0UTC", 13);
	put(w, MSG_DATA_ROW, "\0\1\0\0\0\0", 6);
	put(w, MSG_NOTICE_RESPONSE, "SNOTICE\0", 9);
	put(w, MSG_COMMAND_COMPLETE, "SELECT 2", 9);
	put(w, MSG_READY_FOR_QUERY, "T", 1);
}

/* As a stream does it: what isn't taken is offered again with what follows. */
static void feed(struct server *s, const struct writer *w, size_t cut, struct walked *out)
{
	size_t used = server_walk(s, w->data, cut, &walk, out);

	ck_assert_uint_le(used, cut);
	used += server_walk(s, w->data + used, w->len - used, &walk, out);
	ck_assert_uint_eq(used, w->len);
}

START_TEST(where_tcp_cuts_doesnt_matter)
{
	struct walked whole = { .hides = "N" };
	struct writer w = { 0 };
	struct server s;

	make(&s);
	converse(&s, &w);
	feed(&s, &w, w.len, &whole);
	ck_assert_str_eq(whole.log, "C- Z- local 2 S~ N~ C local Z ");
	ck_assert_uint_eq(whole.n_passed, w.len - FRAME_HEADER_SIZE - 9); /* without the notice */
	for (size_t cut = 0; cut <= w.len; cut++) {
		struct walked got = { .hides = "N" };
		struct writer unused = { 0 };

		unmake(&s);
		make(&s);
		converse(&s, &unused);
		feed(&s, &w, cut, &got);
		ck_assert_msg(strcmp(got.log, whole.log) == 0, "cut at %zu: %s", cut, got.log);
		ck_assert_uint_eq(got.n_passed, whole.n_passed);
		ck_assert_mem_eq(got.passed, whole.passed, whole.n_passed);
		ck_assert_uint_eq(s.body_left, 0);
		ck_assert_int_eq(s.pending.tx_status, TX_BLOCK);
		ck_assert_str_eq(settings_get(s.reported, "timezone"), "UTC");
		ck_assert(!server_may_release(&s));
		writer_free(&unused);
	}
	writer_free(&w);
	unmake(&s);
}
END_TEST

START_TEST(a_long_row_is_passed_on_as_far_as_it_came)
{
	static const uint8_t head[] = { MSG_DATA_ROW, 0, 0, 1, 0, 'x', 'y' };
	struct walked got = { .hides = "", .logs_rows = true };
	struct server s;

	make(&s);
	pending_sent(&s.pending, PEND_QUERY, false, 0, NULL);
	ck_assert_uint_eq(server_walk(&s, head, 4, &walk, &got), 0); /* not even a header */
	ck_assert_uint_eq(server_walk(&s, head, sizeof(head), &walk, &got), sizeof(head));
	ck_assert_uint_eq(got.n_passed, 7);
	ck_assert_uint_eq(s.body_left, 257 - 7);
	ck_assert(!server_may_release(&s));
	for (int i = 0; i < 250; i++)
		ck_assert_uint_eq(server_walk(&s, (const uint8_t *)"z", 1, &walk, &got), 1);
	ck_assert_uint_eq(got.n_passed, 257);
	ck_assert_uint_eq(s.body_left, 0);
	ck_assert_str_eq(got.log, "D ");
	unmake(&s);
}
END_TEST

static const struct {
	const char *tag, *left; /* statements that are left of: confirmed, unconfirmed */
	bool has_settings, changes_schema;
} tags[] = {
	{ "DISCARD ALL", "u", false, false },
	{ "DEALLOCATE ALL", "u", true, false },
	{ "DEALLOCATE", "cu", true, false }, /* ours, of a decoy that isn't in the table */
	{ "DROP TABLE", "cu", true, true },
	{ "CREATE TABLE", "cu", true, true },
	{ "DO", "cu", true, true },
	{ "DISCARD TEMP", "cu", true, false },
	{ "DELETE 1", "cu", true, false },
	{ "SELECT 1", "cu", true, false },
	{ "", "cu", true, false },
};

START_TEST(some_tags_take_statements_and_settings_with_them)
{
	static const struct hash128 ids[] = { { 1, 0 }, { 2, 0 } };
	struct walked got = { .hides = "" };
	struct writer w = { 0 };
	struct server s;
	char left[4] = "";

	make(&s);
	atomic_store(&database.schema, 0);
	settings_put(&s.settings, "a", "1");
	for (size_t i = 0; i < N_ELEMENTS(ids); i++)
		server_statements_add(&s.statements, ids[i]);
	server_statements_confirm(&s.statements, ids[0], server_statements_find(&s.statements, ids[0])->number);
	pending_sent(&s.pending, PEND_QUERY, false, 0, NULL);
	put(&w, MSG_COMMAND_COMPLETE, tags[_i].tag, strlen(tags[_i].tag) + 1);
	server_walk(&s, w.data, w.len, &walk, &got);
	for (size_t i = 0; i < N_ELEMENTS(ids); i++) {
		if (server_statements_find(&s.statements, ids[i]))
			left[strlen(left)] = "cu"[i];
	}
	ck_assert_msg(strcmp(left, tags[_i].left) == 0, "%s: %s", tags[_i].tag, left);
	ck_assert_msg((s.settings != NULL) == tags[_i].has_settings, "%s", tags[_i].tag);
	ck_assert_msg((atomic_load(&database.schema) != 0) == tags[_i].changes_schema, "%s", tags[_i].tag);
	writer_free(&w);
	unmake(&s);
}
END_TEST

UNIT_MAIN("server", {
	tcase_add_test(tc, only_a_server_that_nothing_ties_is_released);
	tcase_add_loop_test(tc, what_nothing_is_due_for_ties_nobody, 0, N_ELEMENTS(leftovers));
	tcase_add_test(tc, a_batch_is_released_at_its_last_answer);
	tcase_add_loop_test(tc, the_machine_moves_as_its_table_says, 0, N_ELEMENTS(moves));
	tcase_add_loop_test(tc, each_state_has_a_name, 0, SERVER_STATES);
	tcase_add_test(tc, where_tcp_cuts_doesnt_matter);
	tcase_add_test(tc, a_long_row_is_passed_on_as_far_as_it_came);
	tcase_add_loop_test(tc, some_tags_take_statements_and_settings_with_them, 0, N_ELEMENTS(tags));
})
