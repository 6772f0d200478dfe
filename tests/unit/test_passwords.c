#include "auth/passwords.h"

#include "auth/credential_private.h"
#include "auth/password_read.h"
#include "base/log.h"
#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TTL (600 * USEC_PER_SEC)
#define FAR (1000000 * USEC_PER_SEC) /* behind any pause */

/* Lines */

static char line_too_long[CREDENTIAL_SECRET_MAX + 2], line_just_right[CREDENTIAL_SECRET_MAX + 3];

static const struct {
	const char *name, *text;
	size_t len;
	const char *want; /* NULL: none */
} lines[] = {
	{ "a line", "secret\n", 7, "secret" },
	{ "a line without an end", "secret", 6, "secret" },
	{ "a line from Windows", "secret\r\n", 8, "secret" },
	{ "the first of two", "secret\nmore\n", 12, "secret" },
	{ "blanks belong to it", " a b \n", 6, " a b " },
	{ "nothing", "", 0, NULL },
	{ "an empty first line", "\nsecret\n", 8, NULL },
	{ "an end alone", "\r\n", 2, NULL },
	{ "a zero byte", "se\0cret\n", 8, NULL },
	{ "a zero byte behind it", "secret\n\0", 8, "secret" },
	{ "64 KiB", line_just_right, CREDENTIAL_SECRET_MAX + 2, line_too_long + 1 },
	{ "more than 64 KiB", line_too_long, CREDENTIAL_SECRET_MAX + 1, NULL },
};

START_TEST(the_first_line_is_the_password)
{
	char why[PASSWORD_ERROR_MAX] = "", *got;

	memset(line_too_long, 'x', CREDENTIAL_SECRET_MAX + 1);
	memset(line_just_right, 'x', CREDENTIAL_SECRET_MAX);
	memcpy(line_just_right + CREDENTIAL_SECRET_MAX, "\r\n", 3);
	got = password_first_line(lines[_i].text, lines[_i].len, why);
	ck_assert_msg(str_equal(got, lines[_i].want), "%s", lines[_i].name);
	ck_assert_msg((*why == '\0') == (got != NULL), "%s: %s", lines[_i].name, why);
	secure_free(&got);
}
END_TEST

/* Sources */

static const struct {
	const char *command, *want; /* NULL: fails .. */
	const char *why;	    /* .. and says this */
} commands[] = {
	{ "echo secret", "secret", "" },
	{ "printf 'secret\\nmore\\n'", "secret", "" },
	{ "printf %s \"$PGUSER-$PGHOST-$PGPORT-$PGDATABASE\"", "bob-db.local-5433-app", "" },
	{ "cat", NULL, "the first line is empty" }, /* it has no input */
	{ "echo secret; exit 3", NULL, "it ended with status 3" },
	{ "echo secret; kill -9 $$", NULL, "it was ended by signal 9" },
	{ "/nowhere/at/all", NULL, "it ended with status 127" },
	{ "echo secret >&2", NULL, "the first line is empty" },
	{ "echo secret; exec >&-; exit 0", "secret", "" },
	{ "ls /proc/self/fd | grep -v '^[0-3]$' | wc -l | tr -d ' '", "0", "" }, /* ls has 3 itself: nothing of ours */
	{ "trap", NULL, "the first line is empty" },
};

static char *run(const struct password_source *s, usec_t time, char why[PASSWORD_ERROR_MAX])
{
	static const atomic_bool never;

	return password_read(s, time, &never, why);
}

START_TEST(a_command_gives_its_first_line)
{
	struct password_source s = {
		.command = commands[_i].command, .user = "bob", .host = "db.local", .port = 5433, .database = "app"
	};
	char why[PASSWORD_ERROR_MAX] = "", want[PASSWORD_ERROR_MAX], *got = run(&s, PASSWORD_TIME, why);

	snprintf(want, sizeof(want), "password_command for user \"bob\" failed: %s", commands[_i].why);
	ck_assert_msg(str_equal(got, commands[_i].want), "%s: %s, %s", commands[_i].command, got, why);
	ck_assert_str_eq(why, commands[_i].want ? "" : want);
	ck_assert_msg(!strstr(why, "secret"), "%s", why);
	secure_free(&got);
}
END_TEST

/* What it has started goes with it: the pipe that all of them hold ends. */
START_TEST(a_command_that_hangs_is_killed_with_its_children)
{
	struct password_source s = { .user = "bob" };
	char why[PASSWORD_ERROR_MAX] = "", command[128];
	struct pollfd p = { .events = POLLIN };
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	snprintf(command, sizeof(command), "exec 9>/proc/%d/fd/%d; sleep 1000 & sleep 1000", (int)getpid(),
		fds[1]);
	s.command = command;
	ck_assert_ptr_null(run(&s, 200 * USEC_PER_MSEC, why));
	ck_assert_ptr_nonnull(strstr(why, "it took more than"));
	close(fds[1]);
	p.fd = fds[0];
	ck_assert_int_eq(poll(&p, 1, 10000), 1);
	ck_assert_int_eq(p.revents & POLLIN, 0); /* the end, and nothing else */
	close(fds[0]);
}
END_TEST

START_TEST(a_command_is_stopped_from_another_thread)
{
	struct password_source s = { .user = "bob", .command = "sleep 1000" };
	const atomic_bool stop = true;
	char why[PASSWORD_ERROR_MAX];

	ck_assert_ptr_null(password_read(&s, 1000 * USEC_PER_SEC, &stop, why));
}
END_TEST

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

START_TEST(a_file_gives_its_first_line)
{
	char path[] = "/tmp/pgweir-password-XXXXXX", why[PASSWORD_ERROR_MAX] = "", *got;
	struct password_source s = { .file = path, .user = "bob" };

	close(mkstemp(path));
	write_file(path, "secret\n");
	got = run(&s, 0, why);
	ck_assert_str_eq(got, "secret");
	secure_free(&got);
	unlink(path);
	ck_assert_ptr_null(run(&s, 0, why));
	ck_assert_str_eq(
		why, "password_file for user \"bob\" failed: could not open file: No such file or directory");
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_ptr_null(run(&s, 0, why)); /* and it doesn't wait for a writer */
	ck_assert_ptr_nonnull(strstr(why, "not a regular file"));
	unlink(path);
}
END_TEST

/* The keeper */

struct rig {
	struct passwords *passwords;
	struct mailbox mailbox;
	char path[32], log[32];
	struct password_source source;
	struct credential *got;
	char error[PASSWORD_ERROR_MAX];
	bool is_refused;
	int n_got;
};

static void deliver(struct message *m, void *owner)
{
	struct password_request *q = CONTAINER_OF(m, struct password_request, message);
	struct rig *r = owner;

	credential_unref(&r->got);
	r->got = q->credential;
	r->is_refused = q->is_refused;
	snprintf(r->error, sizeof(r->error), "%s", q->error);
	r->n_got++;
	free(q);
}

static void discard(struct message *m)
{
	struct password_request *q = CONTAINER_OF(m, struct password_request, message);

	credential_unref(&q->credential);
	free(q);
}

static void rig_start(struct rig *r, const char *password)
{
	static const struct log_options quiet = { .file = "/dev/null" };

	memset(r, 0, sizeof(*r));
	log_open(&quiet, r->error, sizeof(r->error));
	r->error[0] = '\0';
	strcpy(r->path, "/tmp/pgweir-password-XXXXXX");
	close(mkstemp(r->path));
	write_file(r->path, password);
	r->source = (struct password_source){ .file = r->path, .user = "bob", .database = "app", .port = 5432 };
	r->passwords = passwords_new();
	mailbox_init(&r->mailbox, r);
}

static void rig_end(struct rig *r)
{
	passwords_free(&r->passwords);
	mailbox_discard(&r->mailbox);
	mailbox_destroy(&r->mailbox);
	credential_unref(&r->got);
	unlink(r->path);
}

static void ask(struct rig *r)
{
	struct password_request *q = xcalloc(1, sizeof(*q));

	q->message.deliver = deliver;
	q->message.discard = discard;
	q->reply_to = &r->mailbox;
	passwords_ask(r->passwords, &r->source, q);
}

static void wait_for(struct rig *r, int n)
{
	struct pollfd p = { .fd = r->mailbox.wake_fd, .events = POLLIN };

	while (r->n_got < n) {
		ck_assert_int_eq(poll(&p, 1, 30000), 1);
		mailbox_deliver(&r->mailbox);
	}
}

static const char *ask_and_wait(struct rig *r)
{
	ask(r);
	wait_for(r, r->n_got + 1);
	return r->got ? credential_secret(r->got) : NULL;
}

static enum password_state find(struct rig *r, usec_t now)
{
	credential_unref(&r->got);
	return passwords_find(r->passwords, &r->source, TTL, now, &r->got, r->error);
}

START_TEST(a_password_serves_for_its_ttl)
{
	usec_t before = clock_now(), after;
	struct rig r;

	rig_start(&r, "first\n");
	ck_assert_int_eq(find(&r, before), PASSWORD_UNKNOWN);
	ck_assert_str_eq(ask_and_wait(&r), "first");
	after = clock_now();
	write_file(r.path, "second\n");
	ck_assert_int_eq(find(&r, before + TTL - 1), PASSWORD_KNOWN);
	ck_assert_str_eq(credential_secret(r.got), "first");
	ck_assert_int_eq(find(&r, after + TTL), PASSWORD_UNKNOWN);
	ck_assert_str_eq(ask_and_wait(&r), "second");
	rig_end(&r);
}
END_TEST

START_TEST(a_refused_password_is_read_anew_once_and_then_later)
{
	struct credential *first;
	usec_t now;
	struct rig r;

	rig_start(&r, "first\n");
	ask_and_wait(&r);
	first = credential_ref(r.got);
	now = clock_now();
	write_file(r.path, "second\n");
	ck_assert(passwords_refused(r.passwords, &r.source, first, now));
	ck_assert_int_eq(find(&r, now), PASSWORD_UNKNOWN);
	ck_assert(passwords_refused(r.passwords, &r.source, first, now)); /* another server's login with the same */
	ck_assert_str_eq(ask_and_wait(&r), "second");
	ck_assert(passwords_refused(r.passwords, &r.source, first, now)); /* one that is late: there is a newer one */
	ck_assert_int_eq(find(&r, now), PASSWORD_KNOWN);
	now = clock_now();
	ck_assert(!passwords_refused(r.passwords, &r.source, r.got, now)); /* the newer one, too: enough for now */
	ck_assert_int_eq(find(&r, now), PASSWORD_REFUSED);
	ck_assert_str_eq(r.error, "the server refuses the password of user \"bob\"");
	ck_assert_int_eq(find(&r, now + FAR), PASSWORD_UNKNOWN);
	credential_unref(&first);
	rig_end(&r);
}
END_TEST

START_TEST(the_same_password_again_is_not_tried_again)
{
	usec_t now;
	struct rig r;

	rig_start(&r, "first\n");
	ask_and_wait(&r);
	now = clock_now();
	ck_assert(passwords_refused(r.passwords, &r.source, r.got, now));
	ck_assert_ptr_null(ask_and_wait(&r));
	ck_assert(r.is_refused);
	ck_assert_str_eq(r.error,
		"the server refuses the password of user \"bob\", and its source gives the same again");
	ck_assert_int_eq(find(&r, now), PASSWORD_REFUSED);
	rig_end(&r);
}
END_TEST

START_TEST(what_the_server_took_is_forgiven)
{
	struct credential *first;
	struct rig r;

	rig_start(&r, "first\n");
	ask_and_wait(&r);
	first = credential_ref(r.got);
	for (int i = 0; i < 5; i++) { /* one refusal after the other, but each time the next one works */
		write_file(r.path, i % 2 ? "first\n" : "second\n");
		ck_assert_msg(passwords_refused(r.passwords, &r.source, r.got, clock_now()), "%d", i);
		ck_assert_str_eq(ask_and_wait(&r), i % 2 ? "first" : "second");
		passwords_accepted(r.passwords, &r.source, r.got);
	}
	passwords_accepted(r.passwords, &r.source, first); /* an old one says nothing about the newer */
	credential_unref(&first);
	rig_end(&r);
}
END_TEST

START_TEST(a_source_that_fails_leaves_the_old_password)
{
	usec_t later;
	struct rig r;

	rig_start(&r, "first\n");
	ask_and_wait(&r);
	later = clock_now() + TTL;
	unlink(r.path);
	ck_assert_int_eq(find(&r, later), PASSWORD_UNKNOWN);
	ck_assert_str_eq(ask_and_wait(&r), "first");
	credential_unref(&r.got); /* and isn't asked again at once, old or not */
	ck_assert_int_eq(passwords_find(r.passwords, &r.source, 0, clock_now(), &r.got, r.error), PASSWORD_KNOWN);
	rig_end(&r);
}
END_TEST

START_TEST(a_source_that_fails_is_left_alone_for_a_moment)
{
	struct rig r;

	rig_start(&r, "\n");
	ck_assert_ptr_null(ask_and_wait(&r));
	ck_assert(!r.is_refused); /* the clients wait */
	ck_assert_ptr_nonnull(strstr(r.error, "the first line is empty"));
	ck_assert_int_eq(find(&r, clock_now()), PASSWORD_FAILING);
	ck_assert_int_eq(find(&r, clock_now() + FAR), PASSWORD_UNKNOWN);
	rig_end(&r);
}
END_TEST

/* Its output is how often it ran. It waits for the other end of a fifo, so all ask while it runs. */
START_TEST(a_herd_reads_once)
{
	char command[256], fifo[64];
	struct rig r;
	FILE *f;

	rig_start(&r, "");
	snprintf(fifo, sizeof(fifo), "%s.fifo", r.path);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	snprintf(command, sizeof(command), "echo x >>%s; read go <%s; wc -l <%s", r.path, fifo, r.path);
	r.source.file = NULL;
	r.source.command = command;
	for (int i = 0; i < 100; i++)
		ask(&r);
	f = fopen(fifo, "w");
	ck_assert_ptr_nonnull(f);
	fputs("go\n", f);
	fclose(f);
	wait_for(&r, 100);
	ck_assert_str_eq(credential_secret(r.got), "1");
	unlink(fifo);
	rig_end(&r);
}
END_TEST

START_TEST(ending_does_not_wait_for_commands)
{
	struct rig r;

	rig_start(&r, "");
	r.source.file = NULL;
	for (int i = 0; i < 20; i++) { /* more than there are threads */
		char command[64];

		snprintf(command, sizeof(command), "sleep 100%d", i);
		r.source.command = command;
		ask(&r);
	}
	rig_end(&r); /* the test's own time limit is the proof */
}
END_TEST

UNIT_MAIN("passwords", {
	tcase_add_loop_test(tc, the_first_line_is_the_password, 0, N_ELEMENTS(lines));
	tcase_add_loop_test(tc, a_command_gives_its_first_line, 0, N_ELEMENTS(commands));
	tcase_add_test(tc, a_command_that_hangs_is_killed_with_its_children);
	tcase_add_test(tc, a_command_is_stopped_from_another_thread);
	tcase_add_test(tc, a_file_gives_its_first_line);
	tcase_add_test(tc, a_password_serves_for_its_ttl);
	tcase_add_test(tc, a_refused_password_is_read_anew_once_and_then_later);
	tcase_add_test(tc, the_same_password_again_is_not_tried_again);
	tcase_add_test(tc, what_the_server_took_is_forgiven);
	tcase_add_test(tc, a_source_that_fails_leaves_the_old_password);
	tcase_add_test(tc, a_source_that_fails_is_left_alone_for_a_moment);
	tcase_add_test(tc, a_herd_reads_once);
	tcase_add_test(tc, ending_does_not_wait_for_commands);
})
