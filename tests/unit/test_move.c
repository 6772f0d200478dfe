#include "session/move.h"

#include "session/stateful.h"

#include "unit.h"
#include "world.h"

static void put_parse(struct writer *m, const char *name, const char *sql)
{
	msg_begin(m, MSG_PARSE);
	write_cstring(m, name);
	write_cstring(m, sql);
	write_u16(m, 1);
	write_u32(m, 23);
	msg_end(m);
}

static void put_run(struct writer *m, const char *name)
{
	msg_begin(m, MSG_BIND);
	write_cstring(m, "");
	write_cstring(m, name);
	write_bytes(m, "\0\0\0\0\0\0", 6);
	msg_end(m);
	msg_begin(m, MSG_EXECUTE);
	write_bytes(m, "\0\0\0\0\0", 5);
	msg_end(m);
}

static void put_sync(struct writer *m)
{
	msg_begin(m, MSG_SYNC);
	msg_end(m);
}

static void say(struct world *w, struct writer *m)
{
	world_say_bytes(w, 0, m);
	writer_free(m);
	for (int i = 0; i < 5; i++) { /* it may need a server of its own first, and its settings on it */
		for (int k = 0; k < w->n_servers; k++)
			world_serve(w, k, -1);
		world_rounds(w, WORLD_MANY);
	}
	world_check(w);
}

static struct client *client_of(struct worker *w)
{
	struct list_node *first = list_first(&w->clients);

	ASSERT(first);
	return CONTAINER_OF(first, struct client, node);
}

/* A client at the first of two workers that has named a statement and an unnamed one. */
static void start(struct world *w)
{
	struct writer m = { 0 };

	world_start_workers(w, "max_prepared_statements = 10", 2);
	world_client_named(w, "mover");
	world_rounds(w, WORLD_MANY);
	world_serve(w, 0, -1);
	world_rounds(w, WORLD_MANY);
	ck_assert_str_eq(world_heard(w, 0), "S K ZI");
	put_parse(&m, "mine", "select 1 + $1");
	put_parse(&m, "", "select 2 + $1");
	put_sync(&m);
	say(w, &m);
	ck_assert_str_eq(world_heard(w, 0), "1 1 ZI");
}

static void write_state(struct world *w, struct writer *state)
{
	struct client *c = client_of(&w->worker);

	ck_assert(move_is_ready(c));
	ck_assert(move_write(c, state));
}

/* Out of one worker as out of a process, into the other as into another one. */
static void move(struct world *w)
{
	struct client *c = client_of(&w->worker);
	struct writer state = { 0 };
	struct newcomer *n;
	struct tls *tls;
	int fd;

	write_state(w, &state);
	fd = client_release(c, &tls);
	ck_assert_ptr_null(tls);
	ck_assert_int_eq(move_read(state.data, state.len, &n), RES_OK);
	n->fd = fd;
	n->id = 1000;
	n->message.deliver = session_adopt;
	n->message.discard = session_discard;
	atomic_fetch_add(&w->registry->worker_clients[1], 1);
	mailbox_post(&w->other.loop.mailbox, &n->message);
	writer_free(&state);
	world_rounds(w, WORLD_MANY);
	ck_assert_uint_eq(w->worker.clients.count, 0);
	ck_assert_uint_eq(w->other.clients.count, 1);
}

START_TEST(RL_08_it_goes_on_where_it_was)
{
	struct cancel_key key;
	struct writer m = { 0 };
	struct world w;

	start(&w);
	key = client_of(&w.worker)->key;
	move(&w);
	ck_assert_str_eq(world_heard(&w, 0), ""); /* not a word */
	ck_assert(cancel_key_same(&client_of(&w.other)->key, &key));
	ck_assert_str_eq(settings_get(client_of(&w.other)->startup, "application_name"), "mover");
	ck_assert_str_eq(settings_get(client_of(&w.other)->told, "server_version"), "15.0");
	put_run(&m, "mine");
	put_run(&m, "");
	put_sync(&m);
	say(&w, &m);
	ck_assert_str_eq(world_heard(&w, 0), "2 I 2 I ZI");
	world_end(&w);
}
END_TEST

/* As if it had been parsed there: what it does to its session is looked for, and what it takes away. */
START_TEST(what_a_statement_may_change_is_known_there)
{
	struct client_statement *cs;
	struct writer m = { 0 };
	struct world w;

	start(&w);
	put_parse(&m, "sets", "select set_config('work_mem', '1MB', false) -- $1");
	put_parse(&m, "goes", "deallocate mine");
	put_parse(&m, "pins", "listen x");
	put_parse(&m, "", "set work_mem = '1MB'");
	put_sync(&m);
	say(&w, &m);
	world_heard(&w, 0);
	move(&w);
	cs = client_statements_find(&client_of(&w.other)->statements, "sets");
	ck_assert(cs->statement->scan_flags & SCAN_MAY_SET);
	cs = client_statements_find(&client_of(&w.other)->statements, "goes");
	ck_assert_str_eq(cs->statement->deallocates, "mine");
	cs = client_statements_find(&client_of(&w.other)->statements, "pins");
	ck_assert(cs->statement->makes & SCAN_LISTEN);
	ck_assert(client_of(&w.other)->unnamed->scan_flags & SCAN_SET);
	world_end(&w);
}
END_TEST

/* Its result must go on being the one that its client knows: see prepared.h. */
START_TEST(what_a_statement_looked_like_is_known_there)
{
	struct client_statement *cs;
	struct statement *unnamed;
	struct writer m = { 0 };
	uint64_t shape, unnamed_shape;
	struct world w;

	start(&w);
	atomic_store(&client_of(&w.worker)->pool->shared->by_database->schema, 7);
	put_parse(&m, "later", "select 3 + $1");
	put_parse(&m, "", "select 4 + $1");
	put_sync(&m);
	say(&w, &m);
	world_heard(&w, 0);
	cs = client_statements_find(&client_of(&w.worker)->statements, "later");
	cs->shape = shape = 0x1234567890abcdef;
	cs->statement->shape = shape;
	client_of(&w.worker)->unnamed->shape = unnamed_shape = 0xfedcba0987654321;
	move(&w);
	cs = client_statements_find(&client_of(&w.other)->statements, "later");
	unnamed = client_of(&w.other)->unnamed;
	ck_assert_uint_eq(cs->shape, shape);
	ck_assert_uint_eq(cs->statement->shape, shape);
	ck_assert_uint_eq(cs->statement->schema, 7);
	ck_assert_uint_eq(unnamed->shape, unnamed_shape);
	ck_assert_uint_eq(unnamed->schema, 7);
	world_end(&w);
}
END_TEST

START_TEST(a_suspend_holds_for_who_comes)
{
	struct world w;

	start(&w);
	w.other.is_suspended = true;
	move(&w);
	ck_assert_uint_eq(client_of(&w.other)->pauses, PAUSE_SUSPENDED);
	w.other.is_suspended = false;
	client_unpause(client_of(&w.other), PAUSE_SUSPENDED);
	world_say(&w, 0, MSG_QUERY, "select 1");
	for (int i = 0; i < 5; i++) {
		for (int k = 0; k < w.n_servers; k++)
			world_serve(&w, k, -1);
		world_rounds(&w, WORLD_MANY);
	}
	ck_assert_ptr_nonnull(strchr(world_heard(&w, 0), 'Z'));
	world_end(&w);
}
END_TEST

START_TEST(its_questions_to_pgweir_go_along)
{
	struct writer m = { 0 };
	struct world w;

	start(&w);
	put_parse(&m, "asks", "show pgweir.query_wait");
	put_parse(&m, "sets", "set pgweir.query_wait = '7s'");
	put_parse(&m, "", "show pgweir.last_wait");
	put_run(&m, "asks"); /* its portal ends with the transaction */
	put_sync(&m);
	say(&w, &m);
	ck_assert_str_eq(world_heard(&w, 0), "1 1 1 2 D C=SHOW ZI");
	move(&w);
	put_run(&m, "sets");
	put_run(&m, "");
	put_sync(&m);
	say(&w, &m);
	ck_assert_str_eq(world_heard(&w, 0), "2 C=SET 2 D C=SHOW ZI");
	ck_assert_uint_eq(client_of(&w.other)->waiter.wait_max, 7 * USEC_PER_SEC);
	put_run(&m, "mine");
	put_sync(&m);
	say(&w, &m);
	ck_assert_str_eq(world_heard(&w, 0), "2 I ZI");
	world_end(&w);
}
END_TEST

static void begin(struct world *w)
{
	world_say(w, 0, MSG_QUERY, "begin");
}
static void send_half(struct world *w)
{
	struct writer m = { 0 };

	write_bytes(&m, "Q\0\0\0\x20sel", 8);
	world_say_bytes(w, 0, &m);
	writer_free(&m);
}
static void parse_without_sync(struct world *w)
{
	struct writer m = { 0 };

	put_parse(&m, "other", "select 3");
	world_say_bytes(w, 0, &m);
	writer_free(&m);
}
static void pin(struct world *w)
{
	client_of(&w->worker)->pins = PIN_TEMP;
}
static void unpin(struct world *w)
{
	client_of(&w->worker)->pins = 0;
}
static void shut(struct world *w)
{
	client_of(&w->worker)->peer_shut_at = 1;
}

static void replicate(struct world *w)
{
	client_of(&w->worker)->pool->shared->replication = REPLICATION_PHYSICAL;
}
static void stop_replicating(struct world *w)
{
	client_of(&w->worker)->pool->shared->replication = REPLICATION_NONE;
}

static const struct {
	const char *name;
	void (*before)(struct world *w), (*after)(struct world *w);
} busy[] = {
	{ "in a transaction", begin, NULL },
	{ "half a message", send_half, NULL },
	{ "a batch without its Sync", parse_without_sync, NULL },
	{ "pinned", pin, unpin },
	{ "replicating, while PAUSE keeps its server from it", replicate, stop_replicating },
	{ "its writing half is shut", shut, NULL },
};

START_TEST(RL_08_who_has_something_on_its_way_stays)
{
	struct world w;

	start(&w);
	ck_assert(move_is_ready(client_of(&w.worker)));
	busy[_i].before(&w);
	ck_assert_msg(!move_is_ready(client_of(&w.worker)), "%s", busy[_i].name);
	if (busy[_i].after)
		busy[_i].after(&w);
	world_end(&w);
}
END_TEST

START_TEST(too_many_statements_stay)
{
	static char sql[MOVE_MAX];
	struct writer m = { 0 }, state = { 0 };
	struct world w;

	start(&w);
	memset(sql, ' ', sizeof(sql) - 1);
	put_parse(&m, "large", sql);
	put_sync(&m);
	say(&w, &m);
	for (int i = 0; i < 10; i++)
		say(&w, &m);
	ck_assert(!move_write(client_of(&w.worker), &state));
	ck_assert_uint_eq(state.len, 0);
	world_end(&w);
}
END_TEST

START_TEST(a_part_of_it_or_more_than_it_is_refused)
{
	struct writer state = { 0 };
	struct newcomer *n;
	struct world w;

	start(&w);
	write_state(&w, &state);
	for (size_t len = 0; len < state.len; len++)
		ck_assert_msg(move_read(state.data, len, &n) != RES_OK && !n, "%zu bytes", len);
	write_u8(&state, 0);
	ck_assert_int_ne(move_read(state.data, state.len, &n), RES_OK);
	writer_free(&state);
	world_end(&w);
}
END_TEST

UNIT_MAIN("move", {
	tcase_add_test(tc, RL_08_it_goes_on_where_it_was);
	tcase_add_test(tc, what_a_statement_may_change_is_known_there);
	tcase_add_test(tc, what_a_statement_looked_like_is_known_there);
	tcase_add_test(tc, a_suspend_holds_for_who_comes);
	tcase_add_test(tc, its_questions_to_pgweir_go_along);
	tcase_add_loop_test(tc, RL_08_who_has_something_on_its_way_stays, 0, N_ELEMENTS(busy));
	tcase_add_test(tc, too_many_statements_stay);
	tcase_add_test(tc, a_part_of_it_or_more_than_it_is_refused);
})
