#include "front/line.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static const struct address nobody = { .storage = { .ss_family = AF_UNIX }, .len = sizeof(sa_family_t) };

static int open_one(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0 || errno != EBADF;
}

START_TEST(who_came_first_is_taken_first)
{
	struct line l;
	struct arrival a;
	int fds[3];

	line_init(&l);
	for (size_t i = 0; i < N_ELEMENTS(fds); i++)
		line_add(&l, fds[i] = open_one(), i == 1, &nobody, 100 + i);
	ck_assert_uint_eq(line_count(&l), 3);
	for (size_t i = 0; i < N_ELEMENTS(fds); i++) {
		ck_assert(line_take(&l, &a));
		ck_assert_int_eq(a.fd, fds[i]);
		ck_assert_uint_eq(a.since, 100 + i);
		ck_assert(a.is_unix == (i == 1));
		ck_assert(is_open(fds[i])); /* the taker's now */
		close(a.fd);
	}
	ck_assert(!line_take(&l, &a));
	line_free(&l);
}
END_TEST

START_TEST(who_has_waited_too_long_is_closed)
{
	int fds[3] = { open_one(), open_one(), open_one() };
	struct line l;

	line_init(&l);
	for (size_t i = 0; i < N_ELEMENTS(fds); i++)
		line_add(&l, fds[i], false, &nobody, 100 + i);
	ck_assert_uint_eq(line_expire(&l, 100), 100);
	ck_assert_uint_eq(line_count(&l), 3);
	ck_assert_uint_eq(line_expire(&l, 102), 102);
	ck_assert(!is_open(fds[0]) && !is_open(fds[1]) && is_open(fds[2]));
	ck_assert_uint_eq(line_expire(&l, 103), 0);
	ck_assert(!is_open(fds[2]));
	line_free(&l);
}
END_TEST

START_TEST(the_end_closes_who_is_left)
{
	int fd = open_one();
	struct line l;

	line_init(&l);
	line_add(&l, fd, false, &nobody, 1);
	line_free(&l);
	ck_assert(!is_open(fd));
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, who_came_first_is_taken_first);
	tcase_add_test(tc, who_has_waited_too_long_is_closed);
	tcase_add_test(tc, the_end_closes_who_is_left);
}

UNIT_MAIN("line", { add_tests(tc); })
