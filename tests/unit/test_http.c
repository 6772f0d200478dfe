#include "unit.h"

#include "http/http_private.h"
#include "rounds.h"
#include "world.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEC USEC_PER_SEC
#define HOST " HTTP/1.1\r\nHost: localhost\r\n"
#define ASK "GET /api/workers.json" HOST "\r\n"

/* A server whose one worker is driven by hand, and whose clients are socket pairs. */
struct site {
	struct world world;
	struct loop loop;
	struct console_host daemon;
	struct http *http;
	bool is_draining;
};

static struct snapshot *site_snapshot(void *ctx)
{
	struct site *s = ctx;

	return s->world.snapshot;
}

static bool site_is_draining(void *ctx)
{
	struct site *s = ctx;

	return s->is_draining;
}

static size_t site_logins(void *ctx)
{
	(void)ctx;
	return 3;
}

static void start(struct site *s)
{
	char error[256];

	memset(s, 0, sizeof(*s));
	world_start(&s->world, "");
	rounds_init(&s->loop);
	s->daemon = (struct console_host){ .ctx = s,
		.loop = &s->loop,
		.workers = s->world.peers,
		.n_workers = 1,
		.registry = s->world.registry,
		.snapshot = site_snapshot,
		.login_count = site_logins,
		.is_shutting_down = site_is_draining };
	s->http = http_open(s->world.snapshot->config, error, sizeof(error));
	ck_assert_ptr_nonnull(s->http);
	s->http->token = xstrdup("");
	http_start(s->http, &(struct http_host){ .loop = &s->loop, .daemon = &s->daemon });
}

static void stop(struct site *s)
{
	http_free(&s->http);
	world_rounds(&s->world, 2);
	loop_destroy(&s->loop);
	world_end(&s->world);
}

static int come(struct site *s, const char *request)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	http_adopt(s->http, fds[0]);
	ck_assert_int_eq(write(fds[1], request, strlen(request)), (ssize_t)strlen(request));
	rounds_run(&s->loop, 2);
	return fds[1];
}

/* "200", "503", "..." for nothing yet, "end"; what was read is gone. */
static const char *heard(int fd)
{
	static char text[65536];
	ssize_t n = read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return n == 0 ? "end" : "...";
	text[n] = '\0';
	ck_assert(strncmp(text, "HTTP/1.1 ", 9) == 0);
	text[12] = '\0';
	return text + 9;
}

static void pass(struct site *s, usec_t time)
{
	rounds_run(&s->loop, 1);
	s->loop.now += time;
	http_tick(s->http);
	rounds_run(&s->loop, 1);
}

START_TEST(workers_are_asked_and_the_connection_goes_on)
{
	char text[8192];
	struct site s;
	ssize_t n;
	int fd;

	start(&s);
	fd = come(&s, ASK "GET /healthz" HOST "\r\n");
	ck_assert_str_eq(heard(fd), "..."); /* also the second waits for its turn */
	world_rounds(&s.world, 1);
	rounds_run(&s.loop, 3);
	ck_assert_uint_eq(s.http->counts.answers[2], 2);
	n = read(fd, text, sizeof(text) - 1);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert(strncmp(text, "HTTP/1.1 200 OK\r\n", 17) == 0 && strstr(text, "\"view\":\"workers\""));
	ck_assert_str_eq(text + n - 7, "\r\n\r\nok\n");
	close(fd);
	rounds_run(&s.loop, 2);
	ck_assert_uint_eq(s.http->conns.count, 0);
	stop(&s);
}
END_TEST

START_TEST(one_question_serves_all_who_ask_meanwhile)
{
	struct site s;
	int a, b, c;

	start(&s);
	a = come(&s, ASK);
	b = come(&s, ASK);
	c = come(&s, "GET /api/pins.json" HOST "\r\n");
	ck_assert_uint_eq(s.http->next_asking, 2); /* pins were not among what the first asked for */
	close(b);
	world_rounds(&s.world, 1);
	rounds_run(&s.loop, 2);
	ck_assert_str_eq(heard(a), "200");
	ck_assert_str_eq(heard(c), "200");
	ck_assert(list_is_empty(&s.http->askings));
	close(a);
	close(c);
	stop(&s);
}
END_TEST

START_TEST(a_worker_that_is_silent_is_not_waited_for)
{
	struct site s;
	int fd;

	start(&s);
	fd = come(&s, ASK);
	pass(&s, 4 * SEC);
	ck_assert_str_eq(heard(fd), "...");
	pass(&s, 5 * SEC + 1);
	ck_assert_str_eq(heard(fd), "503");
	world_rounds(&s.world, 1); /* now it answers: to nobody */
	rounds_run(&s.loop, 2);
	ck_assert_str_eq(heard(fd), "...");
	ck_assert(list_is_empty(&s.http->askings));
	close(fd);
	stop(&s);
}
END_TEST

START_TEST(whoever_leaves_while_workers_are_asked_is_forgotten)
{
	struct site s;

	start(&s);
	close(come(&s, ASK));
	rounds_run(&s.loop, 2);
	world_rounds(&s.world, 1);
	rounds_run(&s.loop, 3);
	ck_assert_uint_eq(s.http->conns.count, 0);
	stop(&s);
}
END_TEST

static const struct {
	const char *name, *request;
	usec_t stays, goes;
} limits[] = {
	{ "nothing", "", 74 * SEC, 76 * SEC },
	{ "half a request", "GET / HT", 9 * SEC, 11 * SEC },
	{ "idle after an answer", "GET /healthz" HOST "\r\n", 74 * SEC, 76 * SEC },
	{ "after its last answer", "GET /healthz" HOST "Connection: close\r\n\r\n", SEC / 2, 2 * SEC },
	{ "after a refusal", "x\n\n", SEC / 2, 2 * SEC },
};

START_TEST(every_state_has_its_time)
{
	struct site s;
	int fd;

	start(&s);
	fd = come(&s, limits[_i].request);
	pass(&s, limits[_i].stays);
	ck_assert_msg(s.http->conns.count == 1, "%s: gone too early", limits[_i].name);
	pass(&s, limits[_i].goes);
	ck_assert_msg(s.http->conns.count == 0, "%s: still there", limits[_i].name);
	close(fd);
	stop(&s);
}
END_TEST

static void set_ages(struct site *s, usec_t step)
{
	usec_t now = s->loop.now, age = 0;

	LIST_FOREACH(&s->http->conns, n, next)
		CONTAINER_OF(n, struct http_conn, node)->since = now - (age += step);
}

START_TEST(the_slowest_gives_its_place_to_the_newest)
{
	int fds[HTTP_CONNECTIONS], one;
	struct site s;

	start(&s);
	for (size_t i = 0; i < HTTP_CONNECTIONS; i++)
		fds[i] = come(&s, i == HTTP_CONNECTIONS - 1 ? ASK : "GET /");
	set_ages(&s, 1000); /* the last has waited longest, but it is the worker that it waits for */
	one = come(&s, "GET /healthz" HOST "\r\n");
	ck_assert_str_eq(heard(one), "200");
	ck_assert_str_eq(heard(fds[HTTP_CONNECTIONS - 1]), "...");
	ck_assert_str_eq(heard(fds[HTTP_CONNECTIONS - 2]), "end");
	ck_assert_str_eq(heard(fds[0]), "...");
	ck_assert_uint_eq(s.http->counts.evicted, 1);
	ck_assert_uint_eq(s.http->conns.count, HTTP_CONNECTIONS);
	world_rounds(&s.world, 1);
	rounds_run(&s.loop, 2);
	ck_assert_str_eq(heard(fds[HTTP_CONNECTIONS - 1]), "200");
	for (size_t i = 0; i < HTTP_CONNECTIONS; i++)
		close(fds[i]);
	close(one);
	stop(&s);
}
END_TEST

START_TEST(where_all_wait_for_workers_nobody_more_comes_in)
{
	int fds[HTTP_CONNECTIONS], extra[2];
	struct site s;

	start(&s);
	for (size_t i = 0; i < HTTP_CONNECTIONS; i++)
		fds[i] = come(&s, ASK);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, extra), 0);
	http_adopt(s.http, extra[0]);
	ck_assert_str_eq(heard(extra[1]), "end");
	world_rounds(&s.world, 1);
	rounds_run(&s.loop, 2);
	for (size_t i = 0; i < HTTP_CONNECTIONS; i++) {
		ck_assert_str_eq(heard(fds[i]), "200");
		close(fds[i]);
	}
	close(extra[1]);
	stop(&s);
}
END_TEST

/* Its end is small; the answer isn't. */
START_TEST(an_answer_waits_for_its_reader_and_the_next_request_for_the_answer)
{
	int size = 4608, fd;
	size_t got = 0, want;
	char text[4096];
	struct site s;
	ssize_t n;

	start(&s);
	fd = come(&s, "");
	LIST_FOREACH(&s.http->conns, node, next) {
		struct http_conn *c = CONTAINER_OF(node, struct http_conn, node);

		setsockopt(c->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	for (int i = 0; i < 3; i++)
		ck_assert_int_gt(write(fd, "GET /" HOST "\r\n", strlen("GET /" HOST "\r\n")), 0);
	rounds_run(&s.loop, 4);
	ck_assert_int_eq(CONTAINER_OF(list_first(&s.http->conns), struct http_conn, node)->state, CONN_ANSWERING);
	ck_assert_uint_eq(s.http->counts.answers[2], 1);
	for (int i = 0; i < 1000; i++) {
		while ((n = read(fd, text, sizeof(text))) > 0)
			got += (size_t)n;
		rounds_run(&s.loop, 1);
	}
	ck_assert_uint_eq(s.http->counts.answers[2], 3);
	want = got / 3;
	ck_assert_uint_eq(got, want * 3);
	ck_assert_uint_gt(want, 20000);
	close(fd);
	stop(&s);
}
END_TEST

static const struct {
	const char *request, *want;
} secrets[] = {
	{ "GET /api.json" HOST "\r\n", "401" },
	{ "GET /api.json" HOST "Authorization: Bearer secret\r\n\r\n", "200" },
	{ "GET /api.json" HOST "Authorization: bearer  secret \r\n\r\n", "200" },
	{ "GET /api.json" HOST "Authorization: Bearer secre\r\n\r\n", "401" },
	{ "GET /api.json" HOST "Authorization: Bearer secrets\r\n\r\n", "401" },
	{ "GET /api.json" HOST "Authorization: Bearer\r\n\r\n", "401" },
	{ "GET /api.json" HOST "Authorization: Basic secret\r\n\r\n", "401" },
	{ "GET /api.json?token=secret" HOST "\r\n", "401" },
	{ "GET /nothing" HOST "\r\n", "401" },
	{ "GET /healthz" HOST "\r\n", "200" },
	{ "GET /readyz" HOST "\r\n", "200" },
	{ "HEAD /readyz" HOST "\r\n", "200" },
	{ "GET /" HOST "\r\n", "200" },
	{ "PUT /" HOST "\r\n", "405" },
};

START_TEST(the_token_opens)
{
	struct site s;
	int fd;

	start(&s);
	secure_free(&s.http->token);
	s.http->token = xstrdup("secret");
	fd = come(&s, secrets[_i].request);
	ck_assert_msg(strcmp(heard(fd), secrets[_i].want) == 0, "%s", secrets[_i].request);
	close(fd);
	secure_free(&s.http->token); /* it couldn't be read: nobody gets in, not even without one */
	fd = come(&s, "GET /api.json" HOST "Authorization: Bearer \r\n\r\n");
	ck_assert_str_eq(heard(fd), "401");
	close(fd);
	stop(&s);
}
END_TEST

START_TEST(whoever_drains_is_not_ready)
{
	struct site s;
	int fd;

	start(&s);
	s.is_draining = true;
	fd = come(&s, "GET /readyz" HOST "\r\n");
	ck_assert_str_eq(heard(fd), "503");
	close(fd);
	s.is_draining = false;
	s.http->away_since = s.loop.now - 29 * SEC;
	fd = come(&s, "GET /readyz" HOST "\r\n");
	ck_assert_str_eq(heard(fd), "200");
	close(fd);
	s.http->away_since = s.loop.now - 31 * SEC;
	fd = come(&s, "GET /readyz" HOST "\r\n");
	ck_assert_str_eq(heard(fd), "503");
	close(fd);
	stop(&s);
}
END_TEST

UNIT_MAIN("http", {
	tcase_add_test(tc, workers_are_asked_and_the_connection_goes_on);
	tcase_add_test(tc, one_question_serves_all_who_ask_meanwhile);
	tcase_add_test(tc, a_worker_that_is_silent_is_not_waited_for);
	tcase_add_test(tc, whoever_leaves_while_workers_are_asked_is_forgotten);
	tcase_add_loop_test(tc, every_state_has_its_time, 0, N_ELEMENTS(limits));
	tcase_add_test(tc, the_slowest_gives_its_place_to_the_newest);
	tcase_add_test(tc, where_all_wait_for_workers_nobody_more_comes_in);
	tcase_add_test(tc, an_answer_waits_for_its_reader_and_the_next_request_for_the_answer);
	tcase_add_loop_test(tc, the_token_opens, 0, N_ELEMENTS(secrets));
	tcase_add_test(tc, whoever_drains_is_not_ready);
})
