#include "session/frozen.h"

#include "session/client.h"
#include "session/move.h"
#include "unit.h"
#include "world.h"

#define SOME_SERVERS                                                                                         \
	"default_pool_size = 1\nsession_features = pin\nreclaim_after = 1\nidle_in_transaction_grace = 1\n"

static struct client *nth(struct world *w, int n)
{
	LIST_FOREACH(&w->worker.clients, node, next) {
		if (n-- == 0)
			return CONTAINER_OF(node, struct client, node);
	}
	return NULL;
}

static void start(struct world *w, const char *settings)
{
	char lines[256];

	snprintf(lines, sizeof(lines), SOME_SERVERS "%s", settings);
	world_start(w, lines);
	for (int i = 0; i < 2; i++)
		world_client(w);
	world_rounds(w, WORLD_MANY);
	world_serve(w, 0, -1);
	world_rounds(w, WORLD_MANY);
	for (int i = 0; i < 2; i++)
		ck_assert_str_eq(world_heard(w, i), "S K ZI");
}

static void serve(struct world *w)
{
	world_serve(w, 0, -1);
	world_rounds(w, WORLD_MANY);
}

/* Client 0 has been silent for so long, client 1 has waited for so long. */
static void pass(struct world *w, usec_t silent, usec_t waited)
{
	nth(w, 0)->idle_since -= silent;
	if (list_is_linked(&nth(w, 1)->waiter.node)) {
		nth(w, 1)->waiter.since -= waited;
		atomic_store(&nth(w, 1)->pool->shared->views[0].oldest, nth(w, 1)->waiter.since);
	}
	w->worker.next_sweep = 0;
	loop_tick_soon(&w->worker.loop);
	world_rounds(w, WORLD_MANY);
}

static void say_batch(struct world *w)
{
	struct writer m = { 0 };

	msg_begin(&m, MSG_PARSE);
	write_bytes(&m, "\0insert\0\0", 10);
	msg_end(&m);
	msg_begin(&m, MSG_BIND);
	write_bytes(&m, "\0\0\0\0\0\0\0\0", 8);
	msg_end(&m);
	msg_begin(&m, MSG_EXECUTE);
	write_bytes(&m, "\0\0\0\0\0", 5);
	msg_end(&m);
	world_say_bytes(w, 0, &m);
	writer_free(&m);
}

/* Half of a CopyData. */
static void say_half(struct world *w)
{
	struct writer m = { 0 };

	write_bytes(&m, "d\0\0\1\0row", 8);
	world_say_bytes(w, 0, &m);
	writer_free(&m);
}

/* In letters: what client 0 says before it freezes. */
static void say_all(struct world *w, const char *script)
{
	for (const char *s = script; *s; s++) {
		switch (*s) {
		case 'b': world_say(w, 0, MSG_QUERY, "begin"); break;
		case 'c': world_say(w, 0, MSG_QUERY, "commit"); break;
		case 'q': world_say(w, 0, MSG_QUERY, "select 1"); break;
		case 'f': world_say(w, 0, MSG_QUERY, "fail"); break;
		case 's': world_say(w, 0, MSG_QUERY, "set work_mem = '5MB'"); break;
		case 'a': world_say(w, 0, MSG_QUERY, "select pg_advisory_lock(1)"); break;
		case 'd': world_say(w, 0, MSG_QUERY, "do $$ begin end $$"); break;
		case 'y': world_say(w, 0, MSG_QUERY, "copy t from stdin"); break;
		case 'x': say_batch(w); break;
		case 'h': say_half(w); break;
		case '.': serve(w); break;
		default: ck_abort();
		}
	}
}

static const struct {
	const char *script;
	const char *told;      /* when it is reclaimed; NULL: it isn't */
	const char *statement; /* .. and the answer to its next statement */
	const char *rollback;
} cases[] = {
	{ "b.", "", "E=25P03 ZE", "C=ROLLBACK ZI" }, { "b.q.", "", "E=25P03 ZE", "C=ROLLBACK ZI" },
	{ "b.f.", "", "E=25P03 ZE", "C=ROLLBACK ZI" }, { "b.s.", "", "E=25P03 ZE", "C=ROLLBACK ZI" },
	{ "b.y.", "E=25P03 ZE", "E=25P03 ZE", "C=ROLLBACK ZI" }, { "b.y.h", "E=25P03 ZE", NULL, NULL },
	{ "y.", "E=25P03 ZI", NULL, NULL }, { "x.", "E=25P03", NULL, NULL },
	{ "b.q", NULL, NULL, NULL },  /* the server owes the answer */
	{ "b.x", NULL, NULL, NULL },  /* .. or may be at work */
	{ "b.a.", NULL, NULL, NULL }, /* the lock would be gone without its knowing */
	{ "b.d.", NULL, NULL, NULL },
	{ "bsc"
	  "b.",
		NULL, NULL, NULL }, /* what a pipeline has committed isn't known yet */
};

START_TEST(silent_transactions_are_reclaimed)
{
	bool is_reclaimed = cases[_i].told;
	struct world w;

	start(&w, "");
	say_all(&w, cases[_i].script);
	world_heard(&w, 0);
	world_say(&w, 1, MSG_QUERY, "select 2");
	pass(&w, 2 * USEC_PER_SEC, USEC_PER_SEC);
	world_check(&w);
	ck_assert_int_eq(nth(&w, 0)->server == NULL, is_reclaimed);
	if (is_reclaimed) {
		ck_assert_str_eq(world_heard(&w, 0), cases[_i].told);
		for (int i = 0; i < 4; i++) /* the end of what it did, and the query of the one who waited */
			serve(&w);
		ck_assert_str_eq(world_heard(&w, 1), "C=OK ZI");
		ck_assert_int_eq(w.n_servers, 1);
	}
	if (cases[_i].statement) {
		world_say(&w, 0, MSG_QUERY, "select 1");
		ck_assert_str_eq(world_heard(&w, 0), cases[_i].statement);
		world_say(&w, 0, MSG_QUERY, "rollback to savepoint a");
		ck_assert_str_eq(world_heard(&w, 0), cases[_i].statement);
		world_say(&w, 0, MSG_QUERY, "rollback");
		ck_assert_str_eq(world_heard(&w, 0), cases[_i].rollback);
		ck_assert(move_is_ready(nth(&w, 0))); /* nothing of it is left */
		world_say(&w, 0, MSG_QUERY, "select 1");
		serve(&w);
		ck_assert_str_eq(world_heard(&w, 0), "C=OK ZI");
	}
	world_check(&w);
	world_end(&w);
}
END_TEST

static const struct {
	const char *name, *settings;
	usec_t silent, waited;
	bool is_reclaimed;
} times[] = {
	{ "both long enough", "", USEC_PER_SEC, USEC_PER_SEC, true },
	{ "not silent for long", "", USEC_PER_SEC / 2, 60 * USEC_PER_SEC, false },
	{ "nobody has waited for long", "", 60 * USEC_PER_SEC, USEC_PER_SEC / 2, false },
	{ "off", "reclaim_after = 0\n", 60 * USEC_PER_SEC, 60 * USEC_PER_SEC, false },
	{ "no grace", "idle_in_transaction_grace = 0\n", 0, USEC_PER_SEC, true },
	{ "session pooling", "pool_mode = session\n", 60 * USEC_PER_SEC, 60 * USEC_PER_SEC, false },
};

START_TEST(both_times_count)
{
	struct world w;

	start(&w, times[_i].settings);
	say_all(&w, "b.");
	world_heard(&w, 0);
	world_say(&w, 1, MSG_QUERY, "select 2");
	pass(&w, times[_i].silent, times[_i].waited);
	ck_assert_msg((nth(&w, 0)->state == CLIENT_TX_LOST) == times[_i].is_reclaimed, "%s", times[_i].name);
	world_check(&w);
	world_end(&w);
}
END_TEST

/* A batch that was begun: its error comes once, and the Sync has its answer. */
START_TEST(a_batch_is_skipped_to_its_sync)
{
	struct world w;

	start(&w, "");
	say_all(&w, "b.x.");
	world_heard(&w, 0);
	world_say(&w, 1, MSG_QUERY, "select 2");
	pass(&w, 2 * USEC_PER_SEC, USEC_PER_SEC);
	ck_assert_str_eq(world_heard(&w, 0), "E=25P03");
	say_batch(&w);
	ck_assert_str_eq(world_heard(&w, 0), "");
	world_say(&w, 0, MSG_SYNC, NULL);
	ck_assert_str_eq(world_heard(&w, 0), "ZE");
	say_batch(&w);
	world_say(&w, 0, MSG_SYNC, NULL);
	ck_assert_str_eq(world_heard(&w, 0), "E=25P03 ZE");
	world_check(&w);
	world_end(&w);
}
END_TEST

/* The rest of a CopyData that was cut is skipped, too: what is behind it is read as it is meant. */
START_TEST(half_a_copy_data_spoils_nothing)
{
	struct writer rest = { 0 };
	struct world w;

	start(&w, "");
	say_all(&w, "b.y.h");
	world_heard(&w, 0);
	world_say(&w, 1, MSG_QUERY, "select 2");
	pass(&w, 2 * USEC_PER_SEC, USEC_PER_SEC);
	ck_assert_str_eq(world_heard(&w, 0), "E=25P03 ZE");
	memset(writer_reserve(&rest, 253), 'r', 249);
	rest.len = 249;
	write_bytes(&rest, "c\0\0\0\4", 5);
	world_say_bytes(&w, 0, &rest);
	world_say(&w, 0, MSG_QUERY, "rollback");
	ck_assert_str_eq(world_heard(&w, 0), "C=ROLLBACK ZI");
	for (int i = 0; i < 3; i++)
		serve(&w);
	ck_assert_str_eq(world_heard(&w, 1), "C=OK ZI");
	ck_assert_int_eq(w.n_servers, 1);
	world_check(&w);
	world_end(&w);
	writer_free(&rest);
}
END_TEST

START_TEST(a_pinned_client_keeps_its_server)
{
	struct world w;

	start(&w, "");
	say_all(&w, "b.");
	world_heard(&w, 0);
	nth(&w, 0)->has_loaded = true;
	world_say(&w, 1, MSG_QUERY, "select 2");
	pass(&w, 60 * USEC_PER_SEC, 60 * USEC_PER_SEC);
	ck_assert_ptr_nonnull(nth(&w, 0)->server);
	world_end(&w);
}
END_TEST

UNIT_MAIN("frozen", {
	tcase_add_loop_test(tc, silent_transactions_are_reclaimed, 0, N_ELEMENTS(cases));
	tcase_add_loop_test(tc, both_times_count, 0, N_ELEMENTS(times));
	tcase_add_test(tc, a_batch_is_skipped_to_its_sync);
	tcase_add_test(tc, half_a_copy_data_spoils_nothing);
	tcase_add_test(tc, a_pinned_client_keeps_its_server);
})
