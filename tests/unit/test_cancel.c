#include "pool/cancel.h"

#include "session/client.h"
#include "unit.h"
#include "world.h"

static void serve(struct world *w)
{
	world_serve(w, 0, -1);
	world_rounds(w, WORLD_MANY);
}

static void start(struct world *w, const char *settings)
{
	world_start(w, settings);
	world_client(w);
	world_rounds(w, WORLD_MANY);
	serve(w);
	ck_assert_str_eq(world_heard(w, 0), "S K ZI");
}

static void cancel(struct world *w)
{
	world_cancel(w, 0);
	world_rounds(w, WORLD_MANY);
}

/* What has arrived on the nth connection: a whole CancelRequest, or nothing. -1: there is no such connection. */
static int requests(struct world *w, int n)
{
	struct world_server *s = &w->servers[n];

	if (n >= w->n_servers)
		return -1;
	world_receive_(s);
	ck_assert(s->in.len == 0 || (s->in.len == 16 && load_be32(s->in.data + 4) == CANCEL_REQUEST_CODE));
	return s->in.len == 16;
}

/* PostgreSQL has sent the signal, and closes. */
static void close_cancel(struct world *w, int n)
{
	world_close(&w->servers[n].fd);
	world_rounds(w, WORLD_MANY);
}

/* Does the server get this, as the next Query? */
static bool gets(struct world *w, const char *sql)
{
	struct world_server *s = &w->servers[0];
	bool is_it;

	world_receive_(s);
	is_it = s->in.len > FRAME_HEADER_SIZE && s->in.data[0] == MSG_QUERY &&
		strcmp((const char *)s->in.data + FRAME_HEADER_SIZE, sql) == 0;
	ck_assert(is_it || s->in.len == 0);
	return is_it;
}

START_TEST(orders_that_come_together_are_one_request)
{
	struct world w;

	start(&w, "");
	world_say(&w, 0, MSG_QUERY, "select 1");
	world_cancel(&w, 0);
	cancel(&w);
	ck_assert_int_eq(requests(&w, 1), 1);
	serve(&w);
	ck_assert_str_eq(world_heard(&w, 0), "C=OK ZI");
	close_cancel(&w, 1);
	ck_assert_int_eq(w.n_servers, 2);
	world_check(&w);
	world_end(&w);
}
END_TEST

/* The first may have reached PostgreSQL before the query did. */
START_TEST(an_order_after_the_request_leads_to_another)
{
	struct world w;

	start(&w, "");
	world_say(&w, 0, MSG_QUERY, "select 1");
	cancel(&w);
	for (int i = 0; i < 5; i++)
		cancel(&w);
	ck_assert_int_eq(w.n_servers, 2); /* not while that one is on its way */
	close_cancel(&w, 1);
	ck_assert_int_eq(requests(&w, 2), 1);
	close_cancel(&w, 2);
	ck_assert_int_eq(w.n_servers, 3); /* nobody has asked since */
	serve(&w);
	ck_assert_str_eq(world_heard(&w, 0), "C=OK ZI");
	world_check(&w);
	world_end(&w);
}
END_TEST

/* .. but not when the query that it was for has ended, whatever the client does now on the same server. */
START_TEST(an_order_is_for_one_request)
{
	struct world w;

	start(&w, "");
	world_say(&w, 0, MSG_QUERY, "begin");
	cancel(&w);
	cancel(&w);
	serve(&w);
	ck_assert_str_eq(world_heard(&w, 0), "C=OK ZT");
	world_say(&w, 0, MSG_QUERY, "select 2");
	close_cancel(&w, 1);
	ck_assert_int_eq(w.n_servers, 2);
	cancel(&w); /* this one is for it */
	ck_assert_int_eq(requests(&w, 2), 1);
	close_cancel(&w, 2);
	world_check(&w);
	world_end(&w);
}
END_TEST

/* The request in hand is the newer one's by now. */
START_TEST(the_newest_order_counts)
{
	struct world w;

	start(&w, "");
	world_say(&w, 0, MSG_QUERY, "begin");
	cancel(&w);
	serve(&w);
	world_heard(&w, 0);
	world_say(&w, 0, MSG_QUERY, "select 2");
	cancel(&w); /* while the first, for begin, is still on its way */
	ck_assert_int_eq(w.n_servers, 2);
	close_cancel(&w, 1);
	ck_assert_int_eq(requests(&w, 2), 1);
	world_check(&w);
	world_end(&w);
}
END_TEST

static struct server *lent(struct world *w)
{
	return CONTAINER_OF(list_first(&w->worker.clients), struct client, node)->server;
}

static void let_repeat(struct world *w)
{
	if (lent(w)->cancel_at)
		lent(w)->cancel_at = 1;
	loop_tick_soon(&w->worker.loop);
	world_rounds(w, WORLD_MANY);
}

START_TEST(it_is_sent_once_more_if_the_query_still_runs)
{
	struct world w;

	start(&w, "");
	world_say(&w, 0, MSG_QUERY, "begin");
	cancel(&w);
	close_cancel(&w, 1);
	ck_assert_int_eq(w.n_servers, 2); /* not at once */
	let_repeat(&w);
	ck_assert_int_eq(requests(&w, 2), 1);
	close_cancel(&w, 2);
	let_repeat(&w);
	ck_assert_int_eq(w.n_servers, 3);
	serve(&w);
	world_heard(&w, 0);
	world_say(&w, 0, MSG_QUERY, "select 1");
	cancel(&w);
	close_cancel(&w, 3);
	serve(&w); /* it had come in time */
	world_say(&w, 0, MSG_QUERY, "select 2");
	let_repeat(&w);
	ck_assert_int_eq(w.n_servers, 4);
	world_check(&w);
	world_end(&w);
}
END_TEST

START_TEST(the_callers_are_hung_up_on_when_they_are_served)
{
	int fds[3][2];
	char byte;
	struct world w;

	start(&w, "");
	world_say(&w, 0, MSG_QUERY, "select 1");
	for (int i = 0; i < 3; i++) {
		struct tls *none = NULL;

		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds[i]), 0);
		cancel_start(lent(&w), fds[i][1], &none);
		world_rounds(&w, WORLD_MANY);
	}
	close_cancel(&w, 1);
	ck_assert_int_eq(recv(fds[0][0], &byte, 1, 0), 0); /* its request was the first; the others' is the second */
	for (int i = 1; i < 3; i++)
		ck_assert_int_eq(recv(fds[i][0], &byte, 1, 0), -1);
	close_cancel(&w, 2);
	for (int i = 1; i < 3; i++) {
		ck_assert_int_eq(recv(fds[i][0], &byte, 1, 0), 0);
		close(fds[i][0]);
	}
	close(fds[0][0]);
	world_check(&w);
	world_end(&w);
}
END_TEST

/* What we send to clean a server isn't hit by what its client had asked for. */
START_TEST(cleaning_waits_for_a_cancel)
{
	struct world w;

	start(&w, "default_pool_size = 1\n");
	world_say(&w, 0, MSG_QUERY, "begin");
	serve(&w);
	world_say(&w, 0, MSG_QUERY, "select 1");
	cancel(&w);
	serve(&w);
	world_close(&w.clients[0]);
	world_rounds(&w, WORLD_MANY);
	ck_assert(!gets(&w, "ROLLBACK"));
	close_cancel(&w, 1);
	ck_assert(gets(&w, "ROLLBACK"));
	serve(&w);
	world_check(&w);
	ck_assert_int_eq(w.n_servers, 2);
	world_end(&w);
}
END_TEST

/* It is cancelled again and again, since the first may have come too early. */
START_TEST(what_is_left_behind_is_cancelled_until_it_ends)
{
	struct client *c;
	struct server *s;
	struct world w;

	start(&w, "default_pool_size = 1\n");
	world_say(&w, 0, MSG_QUERY, "select 1");
	c = CONTAINER_OF(list_first(&w.worker.clients), struct client, node);
	s = c->server;
	world_close(&w.clients[0]);
	world_rounds(&w, WORLD_MANY);
	c->peer_shut_at -= 60 * USEC_PER_SEC; /* it might have closed one direction only */
	loop_tick_soon(&w.worker.loop);
	world_rounds(&w, WORLD_MANY);
	for (int i = 1; i < 4; i++) {
		ck_assert_int_eq(requests(&w, i), 1);
		close_cancel(&w, i);
		ck_assert_int_eq(w.n_servers, i + 1);
		s->cancel_at = 1;
		loop_tick_soon(&w.worker.loop);
		world_rounds(&w, WORLD_MANY);
	}
	close_cancel(&w, 4);
	serve(&w); /* it ends */
	ck_assert_int_eq(s->state, SERVER_IDLE);
	world_check(&w);
	world_end(&w);
}
END_TEST

/* DISCARD SEQUENCES stands in front of the client's query: a cancel would hit that, and a value of somebody else's would stay. */
START_TEST(a_query_of_our_own_is_let_pass)
{
	struct world w;

	start(&w, "default_pool_size = 1\nsession_features = pin\n");
	world_client(&w);
	world_rounds(&w, WORLD_MANY);
	world_say(&w, 1, MSG_QUERY, "select currval('s')");
	for (int i = 0; i < 4; i++)
		serve(&w);
	world_say(&w, 0, MSG_QUERY, "select 1");
	world_receive_(&w.servers[0]);
	ck_assert_int_eq(load_be32(w.servers[0].in.data + 1), 4 + sizeof("DISCARD SEQUENCES"));
	cancel(&w);
	ck_assert_int_eq(requests(&w, 1), 0);
	w.servers[0].in.len = 0; /* that much is answered, the query isn't */
	ck_assert_int_eq(send(w.servers[0].fd, "C\0\0\0\6OKZ\0\0\0\5I", 13, 0), 13);
	world_rounds(&w, WORLD_MANY);
	loop_tick_soon(&w.worker.loop);
	world_rounds(&w, WORLD_MANY);
	ck_assert_int_eq(requests(&w, 1), 1);
	close_cancel(&w, 1);
	world_check(&w);
	world_end(&w);
}
END_TEST

static const struct {
	const char *timeout;
	usec_t passed;
	bool is_closed;
} limits[] = {
	{ "cancel_wait_timeout = 10\n", 11 * USEC_PER_SEC, true },
	{ "cancel_wait_timeout = 10\n", 5 * USEC_PER_SEC, false },
	{ "cancel_wait_timeout = 0\n", 3600 * USEC_PER_SEC, false },
};

START_TEST(zero_is_no_limit)
{
	struct server *s;
	struct world w;

	start(&w, limits[_i].timeout);
	world_say(&w, 0, MSG_QUERY, "select 1");
	s = lent(&w);
	cancel(&w);
	serve(&w);
	ck_assert_str_eq(world_heard(&w, 0), "C=OK ZI");
	ck_assert_int_eq(s->state, SERVER_HELD);
	if (s->deadline)
		s->deadline -= limits[_i].passed;
	loop_tick_soon(&w.worker.loop);
	world_rounds(&w, WORLD_MANY);
	ck_assert_int_eq(atomic_load(&w.registry->pools->servers) == 0, limits[_i].is_closed);
	world_end(&w);
}
END_TEST

UNIT_MAIN("cancel", {
	tcase_add_test(tc, orders_that_come_together_are_one_request);
	tcase_add_test(tc, an_order_after_the_request_leads_to_another);
	tcase_add_test(tc, an_order_is_for_one_request);
	tcase_add_test(tc, the_newest_order_counts);
	tcase_add_test(tc, it_is_sent_once_more_if_the_query_still_runs);
	tcase_add_test(tc, the_callers_are_hung_up_on_when_they_are_served);
	tcase_add_test(tc, cleaning_waits_for_a_cancel);
	tcase_add_test(tc, what_is_left_behind_is_cancelled_until_it_ends);
	tcase_add_test(tc, a_query_of_our_own_is_let_pass);
	tcase_add_loop_test(tc, zero_is_no_limit, 0, N_ELEMENTS(limits));
})
