#include "pool/auth_query.h"

#include "auth/auth_cache.h"
#include "auth/credential_private.h"
#include "unit.h"
#include "world.h"

/* A worker that asks, a PostgreSQL that answers what the test says, and the mailbox of a login thread. */
struct rig {
	struct world world;
	struct mailbox mailbox;
	struct config *config; /* the snapshot's, which is ours alone */
	char heard[256];       /* of each answer a letter and its text: "+secret ", "-cause ", "!57P03 " */
};

static void deliver(struct message *m, void *owner)
{
	struct lookup *q = lookup_of(m);
	struct rig *r = owner;
	char *end = r->heard + strlen(r->heard);
	size_t room = (size_t)(r->heard + sizeof(r->heard) - end);

	switch (q->answer) {
	case LOOKUP_FOUND: snprintf(end, room, "+%s ", credential_secret(q->credential)); break;
	case LOOKUP_REFUSED: snprintf(end, room, "-%s ", q->text); break;
	case LOOKUP_FAILED: snprintf(end, room, "!%s ", q->sqlstate); break;
	case LOOKUP_ACCEPTED: ck_abort_msg("nobody is let in by auth_query itself");
	}
	lookup_free(&q);
}

static void rig_start(struct rig *r, usec_t ttl)
{
	memset(r, 0, sizeof(*r));
	world_start(&r->world, "auth_user = bob\nauth_query = ask $1");
	r->config = r->world.snapshot->config;
	r->config->auth_query_cache_ttl = ttl;
	mailbox_init(&r->mailbox, r);
}

static void rig_end(struct rig *r)
{
	auth_query_stop(&r->world.worker);
	mailbox_discard(&r->mailbox);
	mailbox_destroy(&r->mailbox);
	world_end(&r->world);
}

static struct lookup *question(struct rig *r, const char *user)
{
	struct lookup *q = lookup_new(LOOKUP_SECRET, 1, r->world.snapshot, "world", user, NULL, "addr");

	q->asked_in = xstrdup("world");
	q->reply_to = &r->mailbox;
	q->deliver = deliver;
	return q;
}

static void send_question(struct rig *r, struct lookup *q)
{
	q->message.deliver = auth_query_ask;
	mailbox_post(&r->world.worker.loop.mailbox, &q->message);
	world_rounds(&r->world, WORLD_MANY);
}

static void ask(struct rig *r, const char *user)
{
	send_question(r, question(r, user));
}

static void ask_anew(struct rig *r, const char *user)
{
	struct lookup *q = question(r, user);

	q->is_refresh = true;
	send_question(r, q);
}

/* What has been answered since the last look. */
static const char *heard(struct rig *r)
{
	static char last[sizeof(r->heard)];

	mailbox_deliver(&r->mailbox);
	strcpy(last, r->heard);
	if (*last)
		last[strlen(last) - 1] = '\0';
	r->heard[0] = '\0';
	return last;
}

static struct world_server *server(struct rig *r)
{
	return &r->world.servers[r->world.n_servers - 1];
}

/* Logs the newest server in. */
static void log_in(struct rig *r)
{
	world_serve(&r->world, r->world.n_servers - 1, -1);
	world_rounds(&r->world, WORLD_MANY);
}

/* How many questions have come since the last look; they are thrown away, unanswered. */
static int asked(struct rig *r)
{
	struct world_server *s = server(r);
	struct reader in;
	struct frame f;
	int n = 0;

	world_receive_(s);
	in = reader_over(s->in.data, s->in.len);
	while (frame_peek(&in, &f) == RES_OK && read_bytes(&in, f.length))
		n += f.type == MSG_PARSE;
	s->in.len = 0;
	return n;
}

static void send_all(struct rig *r, const struct writer *w)
{
	ssize_t n = send(server(r)->fd, w->data, w->len, MSG_NOSIGNAL);

	ck_assert_int_eq(n, (ssize_t)w->len);
	world_rounds(&r->world, WORLD_MANY);
}

static void write_empty(struct writer *w, uint8_t type)
{
	msg_begin(w, type);
	msg_end(w);
}

static void write_row(struct writer *w, const char *user, const char *secret)
{
	msg_begin(w, MSG_DATA_ROW);
	write_u16(w, 2);
	write_u32(w, (uint32_t)strlen(user));
	write_bytes(w, user, strlen(user));
	write_u32(w, (uint32_t)strlen(secret));
	write_bytes(w, secret, strlen(secret));
	msg_end(w);
}

/* secret NULL: no row */
static void answer(struct rig *r, const char *user, const char *secret)
{
	struct writer w = { 0 };

	write_empty(&w, MSG_PARSE_COMPLETE);
	write_empty(&w, MSG_BIND_COMPLETE);
	if (secret)
		write_row(&w, user, secret);
	write_command_complete(&w, "SELECT 1");
	write_ready_for_query(&w, TX_IDLE);
	send_all(r, &w);
	writer_free(&w);
}

static void answer_error(struct rig *r, const char *sqlstate)
{
	struct writer w = { 0 };

	write_error(&w, &(struct error_info){ .severity = "ERROR", .sqlstate = sqlstate, .message = "it said no" });
	write_ready_for_query(&w, TX_IDLE);
	send_all(r, &w);
	writer_free(&w);
}

/* As if so much time had passed. */
static void wait_and_tick(struct rig *r, usec_t time)
{
	struct worker *w = &r->world.worker;

	w->loop.now = clock_now() + time;
	auth_query_tick(w);
}

#define LONG (3600 * USEC_PER_SEC)

START_TEST(a_herd_asks_once)
{
	struct rig r;

	rig_start(&r, LONG);
	for (int i = 0; i < 5; i++)
		ask(&r, "far");
	log_in(&r);
	ck_assert_int_eq(asked(&r), 1);
	ask(&r, "far"); /* while it is on its way */
	ck_assert_int_eq(asked(&r), 0);
	ck_assert_str_eq(heard(&r), "");
	answer(&r, "far", "s");
	ck_assert_str_eq(heard(&r), "+s +s +s +s +s +s");
	ask(&r, "far"); /* known now */
	ck_assert_str_eq(heard(&r), "+s");
	ck_assert_int_eq(asked(&r), 0);
	ask(&r, "farther");
	ck_assert_int_eq(asked(&r), 1);
	answer(&r, "farther", NULL);
	ck_assert_str_eq(heard(&r), "-no such user, says auth_query");
	ck_assert_int_eq(r.world.n_servers, 1);
	rig_end(&r);
}
END_TEST

START_TEST(without_a_ttl_each_is_asked)
{
	struct rig r;

	rig_start(&r, 0);
	ask(&r, "far");
	log_in(&r);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(asked(&r), 1);
		answer(&r, "far", i % 2 ? "s" : "t");
		ck_assert_str_eq(heard(&r), i % 2 ? "+s" : "+t");
		ask(&r, "far");
	}
	rig_end(&r);
}
END_TEST

START_TEST(a_failed_password_asks_anew_but_not_each_time)
{
	struct rig r;

	rig_start(&r, LONG);
	ask(&r, "far");
	log_in(&r);
	asked(&r);
	answer(&r, "far", "s");
	ck_assert_str_eq(heard(&r), "+s");
	ask_anew(&r, "far");
	ck_assert_int_eq(asked(&r), 1);
	answer(&r, "far", "t");
	ck_assert_str_eq(heard(&r), "+t");
	for (int i = 0; i < 10; i++)
		ask_anew(&r, "far");
	ck_assert_int_eq(asked(&r), 0);
	ck_assert_str_eq(heard(&r), "+t +t +t +t +t +t +t +t +t +t");
	rig_end(&r);
}
END_TEST

static const struct {
	const char *sqlstate;
	const char *want;	/* without anything known */
	const char *want_known; /* .. and when an old answer is */
} errors[] = {
	{ "42501", "-auth_query failed: it said no (42501)", "-auth_query failed: it said no (42501)" },
	{ "22012", "-auth_query failed: it said no (22012)", "-auth_query failed: it said no (22012)" },
	{ "08P01", "-auth_query failed: it said no (08P01)", "-auth_query failed: it said no (08P01)" },
	{ "57014", "!57P03", "+s" },
	{ "53200", "!57P03", "+s" },
	{ "XX000", "!57P03", "+s" },
};

START_TEST(errors_of_the_query_and_of_the_server_differ)
{
	struct rig r;

	rig_start(&r, 0);
	ask(&r, "far");
	log_in(&r);
	asked(&r);
	answer_error(&r, errors[_i].sqlstate);
	ck_assert_str_eq(heard(&r), errors[_i].want);
	ask(&r, "far");
	answer(&r, "far", "s");
	ck_assert_str_eq(heard(&r), "+s");
	ask(&r, "far");
	answer_error(&r, errors[_i].sqlstate);
	ck_assert_str_eq(heard(&r), errors[_i].want_known);
	ck_assert_int_eq(r.world.n_servers, 1); /* it serves on */
	rig_end(&r);
}
END_TEST

START_TEST(a_reload_asks_anew)
{
	struct snapshot *same;
	struct rig r;

	rig_start(&r, LONG);
	ask(&r, "far");
	log_in(&r);
	asked(&r);
	answer(&r, "far", "s");
	same = snapshot_ref(r.world.snapshot);
	worker_set_snapshot(&r.world.worker, &same);
	ask(&r, "far");
	ck_assert_int_eq(asked(&r), 1);
	ck_assert_str_eq(heard(&r), "+s");
	answer(&r, "far", "t");
	ck_assert_str_eq(heard(&r), "+t");
	ask(&r, "far");
	ck_assert_int_eq(asked(&r), 0);
	rig_end(&r);
}
END_TEST

START_TEST(an_old_answer_serves_when_patience_is_over)
{
	struct rig r;

	rig_start(&r, 0);
	ask(&r, "far");
	log_in(&r);
	asked(&r);
	answer(&r, "far", "s");
	heard(&r);
	ask(&r, "far");
	wait_and_tick(&r, AUTH_QUERY_PATIENCE - 100 * USEC_PER_MSEC);
	ck_assert_str_eq(heard(&r), "");
	wait_and_tick(&r, AUTH_QUERY_PATIENCE);
	ck_assert_str_eq(heard(&r), "+s");
	ck_assert_int_eq(asked(&r), 1);
	answer(&r, "far", "t"); /* late, but heard */
	ask(&r, "far");
	wait_and_tick(&r, AUTH_QUERY_PATIENCE);
	ck_assert_str_eq(heard(&r), "+t");
	rig_end(&r);
}
END_TEST

START_TEST(a_login_is_told_at_its_deadline)
{
	struct lookup *q;
	struct rig r;

	rig_start(&r, 0);
	q = question(&r, "far");
	q->deadline = clock_now() + 5 * USEC_PER_SEC;
	send_question(&r, q);
	wait_and_tick(&r, 4 * USEC_PER_SEC);
	ck_assert_str_eq(heard(&r), "");
	wait_and_tick(&r, 5 * USEC_PER_SEC);
	ck_assert_str_eq(heard(&r), "!57P03");
	rig_end(&r);
}
END_TEST

START_TEST(a_query_that_takes_too_long_is_given_up)
{
	struct rig r;

	rig_start(&r, 0);
	ask(&r, "far");
	log_in(&r);
	ck_assert_int_eq(asked(&r), 1);
	wait_and_tick(&r, AUTH_QUERY_TIME);
	ck_assert_str_eq(heard(&r), "!57P03");
	rig_end(&r);
}
END_TEST

START_TEST(a_connection_that_dies_is_replaced_once)
{
	struct rig r;

	rig_start(&r, 0);
	ask(&r, "far");
	log_in(&r);
	for (int i = 0; i < 2; i++) {
		ck_assert_str_eq(heard(&r), "");
		ck_assert_int_eq(asked(&r), 1);
		world_close(&server(&r)->fd);
		world_rounds(&r.world, WORLD_MANY);
		if (i == 0)
			log_in(&r);
	}
	ck_assert_str_eq(heard(&r), "!57P03");
	rig_end(&r);
}
END_TEST

START_TEST(stopping_answers_everybody)
{
	struct rig r;

	rig_start(&r, 0);
	ask(&r, "far");
	ask(&r, "farther");
	auth_query_stop(&r.world.worker);
	ck_assert_str_eq(heard(&r), "!57P03 !57P03");
	ask(&r, "far");
	ck_assert_str_eq(heard(&r), "!57P03");
	rig_end(&r);
}
END_TEST

START_TEST(its_servers_take_no_place_of_clients)
{
	struct pool *p, *own;
	struct rig r;

	rig_start(&r, 0);
	ask(&r, "far");
	log_in(&r);
	own = pool_get_own(&r.world.worker, "world", "bob");
	p = pool_get(&r.world.worker, "world", "bob");
	ck_assert_ptr_ne(own, p);
	ck_assert_int_eq(atomic_load(&own->shared->servers), 1);
	ck_assert_int_eq(atomic_load(&p->shared->servers), 0);
	ck_assert_int_eq(atomic_load(&p->shared->by_database->servers), 0);
	ck_assert_int_eq(atomic_load(&p->shared->by_user->servers), 0);
	ck_assert_int_eq(atomic_load(&r.world.registry->own.servers), 1);
	answer(&r, "far", "s");
	ck_assert_int_eq((int)own->idle.count, 1);
	rig_end(&r);
}
END_TEST

static const struct {
	const char *user, *want;
} names[] = {
	{ "a2345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
	  "123456789012345678",
		"-the user's name is too long" },
};

START_TEST(names_are_limited_before_they_are_asked_for)
{
	struct rig r;

	rig_start(&r, 0);
	ask(&r, names[_i].user);
	ck_assert_str_eq(heard(&r), names[_i].want);
	ck_assert_int_eq(r.world.n_servers, 0);
	rig_end(&r);
}
END_TEST

UNIT_MAIN("auth_query", {
	tcase_add_test(tc, a_herd_asks_once);
	tcase_add_test(tc, without_a_ttl_each_is_asked);
	tcase_add_test(tc, a_failed_password_asks_anew_but_not_each_time);
	tcase_add_loop_test(tc, errors_of_the_query_and_of_the_server_differ, 0, N_ELEMENTS(errors));
	tcase_add_test(tc, a_reload_asks_anew);
	tcase_add_test(tc, an_old_answer_serves_when_patience_is_over);
	tcase_add_test(tc, a_login_is_told_at_its_deadline);
	tcase_add_test(tc, a_query_that_takes_too_long_is_given_up);
	tcase_add_test(tc, a_connection_that_dies_is_replaced_once);
	tcase_add_test(tc, stopping_answers_everybody);
	tcase_add_test(tc, its_servers_take_no_place_of_clients);
	tcase_add_loop_test(tc, names_are_limited_before_they_are_asked_for, 0, N_ELEMENTS(names));
})
