#include "core/notify.h"

#include "base/log.h"

#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void be_quiet(void)
{
	static const struct log_options quiet = { .file = "/dev/null" };
	char error[256];

	ck_assert_int_eq(log_open(&quiet, error, sizeof(error)), RES_OK);
}

/* systemd's end, with an abstract name of its own. */
static int listen_as_systemd(char name[64])
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0), n;

	n = snprintf(name, 64, "@pgweir-notify-%d", (int)getpid());
	memcpy(a.sun_path + 1, name + 1, (size_t)n - 1);
	ck_assert_int_eq(
		bind(fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)), 0);
	return fd;
}

static const char *hear(int fd)
{
	static char text[1024];
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);

	text[MAX(n, 0)] = '\0';
	return text;
}

START_TEST(what_is_said_arrives_and_a_full_socket_stops_nobody)
{
	struct notify n;
	char name[64];
	int fd = listen_as_systemd(name);

	notify_open(&n, name, NULL, NULL);
	notify_say(&n, "READY=1\nMAINPID=%d", 7);
	ck_assert_str_eq(hear(fd), "READY=1\nMAINPID=7");
	notify_reloading(&n);
	ck_assert_int_eq(strncmp(hear(fd), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
	for (int i = 0; i < 100000; i++)
		notify_say(&n, "WATCHDOG=1");
	notify_close(&n);
	notify_say(&n, "WATCHDOG=1"); /* nobody wants to know */
	close(fd);
}
END_TEST

static const struct {
	const char *name, *path, *usec, *pid;
	bool is_open;
	usec_t watchdog;
} environments[] = {
	/* pid "own": this process's */
	{ "none", NULL, NULL, NULL, false, 0 },
	{ "empty", "", "30000000", NULL, false, 0 },
	{ "a path", "/run/systemd/notify", NULL, NULL, true, 0 },
	{ "no path", "notify", "30000000", NULL, false, 0 },
	{ "a watchdog", "/run/systemd/notify", "30000000", "own", true, 30000000 },
	{ "a watchdog for whoever it is", "/run/systemd/notify", "30000000", NULL, true, 30000000 },
	{ "another process's watchdog", "/run/systemd/notify", "30000000", "1", true, 0 },
	{ "no number", "/run/systemd/notify", "30s", NULL, true, 0 },
	{ "a negative one", "/run/systemd/notify", "-5", NULL, true, 0 },
	{ "too large a number", "/run/systemd/notify", "99999999999999999999", NULL, true, 0 },
	{ "too long a path",
		"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		NULL, NULL, false, 0 },
};

START_TEST(the_environment_is_read_and_nonsense_does_without)
{
	struct notify n;
	char own[16];
	const char *pid = environments[_i].pid;

	be_quiet();
	snprintf(own, sizeof(own), "%d", (int)getpid());
	notify_open(&n, environments[_i].path, environments[_i].usec, pid && strcmp(pid, "own") == 0 ? own : pid);
	ck_assert_msg((n.fd >= 0) == environments[_i].is_open, "%s", environments[_i].name);
	ck_assert_msg(n.watchdog == environments[_i].watchdog, "%s: %llu", environments[_i].name,
		(unsigned long long)n.watchdog);
	notify_close(&n);
}
END_TEST

static const struct {
	const char *name;
	usec_t at[3];
	bool want;
} beats[] = {
	/* now is 100 s, the limit 5 s */
	{ "nobody has begun", { 0, 0, 0 }, true },
	{ "all at work", { 99000000, 98000000, 100000000 }, true },
	{ "just in time", { 95000000, 100000000, 100000000 }, true },
	{ "one stands still", { 94999999, 100000000, 100000000 }, false },
	{ "the last one does", { 100000000, 100000000, 1 }, false },
	{ "a clock read later than ours", { 100000001, 100000000, 100000000 }, true },
};

START_TEST(one_worker_that_stands_still_is_noticed)
{
	static struct worker_beat b[3];

	for (int i = 0; i < 3; i++)
		atomic_store(&b[i].at, beats[_i].at[i]);
	ck_assert_msg(beats_are_alive(b, 3, 100 * USEC_PER_SEC, 5 * USEC_PER_SEC) == beats[_i].want, "%s",
		beats[_i].name);
}
END_TEST

static const struct {
	const char *name, *pid, *count;
	enum result want;
} given[] = {
	/* descriptor 3 and up are no sockets here */
	{ "none", NULL, NULL, RES_OK },
	{ "for another process", "1", "1", RES_OK },
	{ "none of them", "own", "0", RES_OK },
	{ "no pid", NULL, "1", RES_OK },
	{ "too many", "own", "65", RES_LIMIT },
	{ "no number", "own", "x", RES_LIMIT },
	{ "negative", "own", "-1", RES_LIMIT },
	{ "not a socket", "own", "1", RES_SYSTEM },
};

START_TEST(given_sockets_are_looked_at_before_they_are_trusted)
{
	struct listen_given g;
	char own[16], error[256];
	const char *pid = given[_i].pid;
	int null = open("/dev/null", O_RDONLY);

	ck_assert_int_eq(dup2(null, 3), 3);
	snprintf(own, sizeof(own), "%d", (int)getpid());
	ck_assert_msg(notify_take_sockets(pid && strcmp(pid, "own") == 0 ? own : pid, given[_i].count, &g,
			      error, sizeof(error)) == given[_i].want,
		"%s", given[_i].name);
	ck_assert_uint_eq(g.n, 0);
}
END_TEST

START_TEST(a_listening_socket_is_taken_and_closed_on_exec)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX }; /* no name: the kernel finds one */
	struct listen_given g = { 0 };
	char error[256];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	ck_assert(!listen_given_add(&g, fd, error, sizeof(error))); /* it doesn't listen yet */
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a.sun_family)), 0);
	ck_assert_int_eq(listen(fd, 1), 0);
	ck_assert(listen_given_add(&g, fd, error, sizeof(error)));
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
	listen_given_close(&g);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}
END_TEST

UNIT_MAIN("notify", {
	tcase_add_test(tc, what_is_said_arrives_and_a_full_socket_stops_nobody);
	tcase_add_loop_test(tc, the_environment_is_read_and_nonsense_does_without, 0, N_ELEMENTS(environments));
	tcase_add_loop_test(tc, one_worker_that_stands_still_is_noticed, 0, N_ELEMENTS(beats));
	tcase_add_loop_test(tc, given_sockets_are_looked_at_before_they_are_trusted, 0, N_ELEMENTS(given));
	tcase_add_test(tc, a_listening_socket_is_taken_and_closed_on_exec);
})
