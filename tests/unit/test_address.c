#include "net/address.h"

#include "unit.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct {
	const char *host;
	int port;
	const char *text, *host_text; /* NULL: it's a name */
} numerics[] = {
	{ "127.0.0.1", 5432, "127.0.0.1:5432", "127.0.0.1" },
	{ "0.0.0.0", 0, "0.0.0.0:0", "0.0.0.0" },
	{ "255.255.255.255", 65535, "255.255.255.255:65535", "255.255.255.255" },
	{ "::1", 6432, "[::1]:6432", "::1" },
	{ "::", 1, "[::]:1", "::" },
	{ "2001:DB8:0:0:0:0:0:1", 5432, "[2001:db8::1]:5432", "2001:db8::1" },
	{ "::ffff:10.0.0.5", 5432, "[::ffff:10.0.0.5]:5432", "::ffff:10.0.0.5" },
	{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	{ "localhost", 1, NULL, NULL },
	{ "", 1, NULL, NULL },
	{ "127.0.0.1 ", 1, NULL, NULL },
	{ "127.1", 1, NULL, NULL },
	{ "256.0.0.1", 1, NULL, NULL },
	{ "[::1]", 1, NULL, NULL },
	{ "::1%lo", 1, NULL, NULL },
	{ "/tmp", 1, NULL, NULL },
};

static int option_of(int fd, int level, int option)
{
	socklen_t len = sizeof(int);
	int value = -1;

	ck_assert_int_eq(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

/* Linux hands them on; we rely on it. */
static void check_accepted(int listener, const struct tcp_options *want, const struct tcp_options *kernels)
{
	const struct tcp_options none = { 0 };
	struct address a;
	bool in_progress;
	int client, fd;

	address_local(listener, &a);
	client = socket_connect(&a, &none, &in_progress);
	ck_assert_int_ge(client, 0);
	do
		fd = accept(listener, NULL, NULL);
	while (fd < 0); /* the handshake is the kernel's, and takes a moment */
	ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	ck_assert_int_eq(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), want->keepalive);
	ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), want->user_timeout);
	ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), want->keepcnt ? want->keepcnt : kernels->keepcnt);
	ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE),
		want->keepidle ? want->keepidle : kernels->keepidle);
	ck_assert_int_eq(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL),
		want->keepintvl ? want->keepintvl : kernels->keepintvl);
	close(fd);
	close(client);
}

START_TEST(what_a_listener_accepts_has_its_options)
{
	const struct tcp_options all = { true, 7, 111, 13, 4321, 0 }, none = { 0 },
				 other = { true, 0, 222, 0, 0, 0 };
	int fresh = socket(AF_INET, SOCK_STREAM, 0), fd;
	struct tcp_options kernels = { .keepcnt = option_of(fresh, IPPROTO_TCP, TCP_KEEPCNT),
		.keepidle = option_of(fresh, IPPROTO_TCP, TCP_KEEPIDLE),
		.keepintvl = option_of(fresh, IPPROTO_TCP, TCP_KEEPINTVL) };
	struct address a;

	close(fresh);
	ck_assert(address_numeric(&a, "127.0.0.1", 0));
	fd = socket_listen(&a, 5, false, &all);
	ck_assert_int_ge(fd, 0);
	check_accepted(fd, &all, &kernels);
	socket_tune_listener(fd, &other); /* as a reload does; what is 0 now becomes the kernel's again */
	check_accepted(fd, &other, &kernels);
	socket_tune_listener(fd, &none);
	check_accepted(fd, &none, &kernels);
	close(fd);
}
END_TEST

START_TEST(numbers_are_addresses_and_names_are_not)
{
	struct address a;
	char text[ADDRESS_TEXT_MAX];
	bool is_numeric = address_numeric(&a, numerics[_i].host, numerics[_i].port);

	ck_assert_msg(is_numeric == (numerics[_i].text != NULL), "%s", numerics[_i].host);
	if (!is_numeric)
		return;
	address_text(&a, text);
	ck_assert_str_eq(text, numerics[_i].text);
	address_host(&a, text);
	ck_assert_str_eq(text, numerics[_i].host_text);
	ck_assert_int_eq(address_port(&a), numerics[_i].port);
	ck_assert(!address_is_unix(&a));
}
END_TEST

static const struct {
	const char *dir;
	int port;
	const char *path; /* NULL: too long; a leading @ stands for NUL */
} unixes[] = {
	{ "/tmp", 5432, "/tmp/.s.PGSQL.5432" },
	{ "/var/run/postgresql", 6432, "/var/run/postgresql/.s.PGSQL.6432" },
	{ "@pgweir", 5432, "@pgweir/.s.PGSQL.5432" },
	{ "/56789012345678901234567890123456789012345678901234567890123456789012345678901234567890123", 5432,
		"/56789012345678901234567890123456789012345678901234567890123456789012345678901234567890123/.s.PGSQL.5432" },
	{ "/567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567",
		54321, NULL },
	{ "/5678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
	  "1234567890123456789012345678901234567890",
		5432, NULL },
};

START_TEST(unix_sockets_are_named_as_postgresql_does)
{
	struct address a;
	char text[ADDRESS_TEXT_MAX];
	const char *path = unixes[_i].path;
	bool is_ok = address_unix(&a, unixes[_i].dir, unixes[_i].port), is_abstract;

	ck_assert_msg(is_ok == (path != NULL), "%s", unixes[_i].dir);
	if (!is_ok)
		return;
	is_abstract = *path == '@';
	ck_assert_int_eq(a.un.sun_path[0], is_abstract ? '\0' : '/');
	ck_assert_str_eq(a.un.sun_path + 1, path + 1);
	ck_assert_uint_eq(a.len, offsetof(struct sockaddr_un, sun_path) + strlen(path) + (is_abstract ? 0 : 1));
	ck_assert(address_is_unix(&a));
	ck_assert_int_eq(address_port(&a), 0);
	address_text(&a, text);
	ck_assert_str_eq(text, "unix");
	address_host(&a, text);
	ck_assert_str_eq(text, "unix");
}
END_TEST

START_TEST(no_address_is_a_dash)
{
	struct address a = { .len = 0 };
	char text[ADDRESS_TEXT_MAX];

	address_text(&a, text);
	ck_assert_str_eq(text, "-");
}
END_TEST

START_TEST(a_socket_that_is_none_has_no_address)
{
	struct address a = { .len = 7 };

	address_peer(-1, &a);
	ck_assert_uint_eq(a.len, 0);
	a.len = 7;
	address_local(-1, &a);
	ck_assert_uint_eq(a.len, 0);
	ck_assert_int_ne(socket_error(-1), 0);
}
END_TEST

START_TEST(both_ends_of_a_pair_are_unix_without_error)
{
	struct address local, peer;
	char text[ADDRESS_TEXT_MAX];
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	address_local(fds[0], &local);
	address_peer(fds[0], &peer);
	ck_assert(address_is_unix(&local) && address_is_unix(&peer));
	address_text(&peer, text);
	ck_assert_str_eq(text, "unix");
	ck_assert_int_eq(socket_error(fds[0]), 0);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

static const struct {
	const char *a, *b;
	bool is_same;
} origins[] = {
	{ "10.0.0.1", "10.0.0.1", true },
	{ "10.0.0.1", "10.0.0.2", false },
	{ "10.0.0.1", "::ffff:10.0.0.1", true },
	{ "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true },
	{ "2001:db8:1:2::1", "2001:db8:1:3::1", false },
	{ "a00:1::", "10.0.0.1", false },
};

START_TEST(a_machine_is_known_by_its_address)
{
	struct address a, b, unix_;
	struct address_origin x, y, none;

	ck_assert(address_numeric(&a, origins[_i].a, 1) && address_numeric(&b, origins[_i].b, 2));
	ck_assert(address_origin(&a, &x) && address_origin(&b, &y));
	ck_assert_msg((memcmp(&x, &y, sizeof(x)) == 0) == origins[_i].is_same, "%s %s", origins[_i].a,
		origins[_i].b);
	ck_assert(address_unix(&unix_, "/tmp", 1));
	ck_assert(!address_origin(&unix_, &none));
}
END_TEST

UNIT_MAIN("address", {
	tcase_add_loop_test(tc, a_machine_is_known_by_its_address, 0, N_ELEMENTS(origins));
	tcase_add_test(tc, what_a_listener_accepts_has_its_options);
	tcase_add_loop_test(tc, numbers_are_addresses_and_names_are_not, 0, N_ELEMENTS(numerics));
	tcase_add_loop_test(tc, unix_sockets_are_named_as_postgresql_does, 0, N_ELEMENTS(unixes));
	tcase_add_test(tc, no_address_is_a_dash);
	tcase_add_test(tc, a_socket_that_is_none_has_no_address);
	tcase_add_test(tc, both_ends_of_a_pair_are_unix_without_error);
})
