#include "base/log.h"

#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int pipe_read, pipe_write;
static char path[64];

/* The log writes into a pipe, which the test reads. */
static void open_pipe(int verbose)
{
	struct log_options o = { .file = path, .verbose = verbose };
	int fds[2];
	char error[128];

	ck_assert_int_eq(pipe(fds), 0);
	pipe_read = fds[0], pipe_write = fds[1];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pipe_write);
	ck_assert_int_eq(log_open(&o, error, sizeof(error)), RES_OK);
}

/* Everything that is in the pipe now. */
static char *drain(void)
{
	static char buf[(1 << 16) + 1];
	ssize_t n;

	fcntl(pipe_read, F_SETFL, O_NONBLOCK);
	n = read(pipe_read, buf, sizeof(buf) - 1);
	buf[n < 0 ? 0 : n] = '\0';
	return buf;
}

/* What a line says behind its time and process, without the newline. */
static const char *after_pid(char *line)
{
	char *s = strstr(line, "] ");

	ck_assert_ptr_nonnull(s);
	ck_assert_ptr_eq(strchr(s, '\n'), line + strlen(line) - 1);
	line[strlen(line) - 1] = '\0';
	return s + 2;
}

static const struct log_who bob = { "client", 7, "app", "bob", "10.0.0.5:5123" };
static const struct log_who forger = { "client", 8, "a b", "x\n2026 addr=1.2.3.4", NULL };

static const struct {
	const char *name;
	enum log_level level;
	const struct log_who *who;
	const char *text, *want;
} lines[] = {
	{ "the daemon itself", LOG_LEVEL_INFO, NULL, "up", "LOG up" },
	{ "a client", LOG_LEVEL_WARNING, &bob, "slow", "WARNING client=7 db=app user=bob addr=10.0.0.5:5123: slow" },
	{ "names can't forge fields", LOG_LEVEL_ERROR, &forger, "no",
		"ERROR client=8 db=a\\x20b user=x\\x0a2026\\x20addr=1.2.3.4: no" },
	{ "control characters", LOG_LEVEL_INFO, NULL, "a\nb\x1b[0m\t\x7f", "LOG a\\x0ab\\x1b[0m\\x09\\x7f" },
	{ "UTF-8 passes", LOG_LEVEL_INFO, NULL, "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x98",
		"LOG gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x98" },
	{ "what isn't UTF-8 doesn't", LOG_LEVEL_INFO, NULL, "\xff \xc3 \xc0\xaf \xed\xa0\x80 \xf5\x80\x80\x80",
		"LOG \\xff \\xc3 \\xc0\\xaf \\xed\\xa0\\x80 \\xf5\\x80\\x80\\x80" },
	{ "C1 controls", LOG_LEVEL_INFO, NULL,
		"\xc2\x9b"
		"31m\xc2\xa0",
		"LOG \\xc2\\x9b31m\xc2\xa0" },
	{ "cut inside a character", LOG_LEVEL_INFO, NULL, "\xe2\x82", "LOG \\xe2\\x82" },
};

START_TEST(a_line_has_level_and_names_and_nothing_unprintable)
{
	open_pipe(2);
	log_write(lines[_i].level, lines[_i].who, "%s", lines[_i].text);
	ck_assert_msg(!strcmp(after_pid(drain()), lines[_i].want), "%s", lines[_i].name);
}
END_TEST

START_TEST(a_line_begins_with_the_time_and_the_process)
{
	int year, month, day, h, m, s, ms, pid;

	open_pipe(0);
	log_info(NULL, "x");
	ck_assert_int_eq(sscanf(drain(), "%4d-%2d-%2d %2d:%2d:%2d.%3d %*s [%d] LOG x", &year, &month, &day,
				 &h, &m, &s, &ms, &pid),
		8);
	ck_assert_int_eq(pid, (int)getpid());
}
END_TEST

START_TEST(a_long_line_is_cut_between_characters)
{
	char text[3001] = "";
	size_t len;

	open_pipe(0);
	for (int i = 0; i < 1500; i++)
		memcpy(text + (size_t)2 * i, "\xc3\xa4", 3);
	for (int shift = 0; shift < 2; shift++) {
		log_info(NULL, "%s%s", shift ? "x" : "", text);
		const char *s = after_pid(drain());

		len = strlen(s);
		ck_assert(len > 1900 && len < 2048);
		ck_assert_str_eq(s + len - 5, "\xc3\xa4\xe2\x80\xa6");
	}
}
END_TEST

START_TEST(a_long_name_leaves_room_for_the_text)
{
	char name[5000];
	struct log_who who = { "client", 1, name, name, name };

	memset(name, '\n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	open_pipe(0);
	log_info(&who, "login failed");
	ck_assert_ptr_nonnull(strstr(drain(), "\xe2\x80\xa6: login failed\n"));
}
END_TEST

static const struct {
	const char *name;
	enum log_level level;
	const struct log_who *who;
	const char *text, *want;
} objects[] = {
	/* behind the pid */
	{ "the daemon itself", LOG_LEVEL_INFO, NULL, "up", "\"level\":\"LOG\",\"message\":\"up\"}" },
	{ "a client", LOG_LEVEL_WARNING, &bob, "slow",
		"\"level\":\"WARNING\",\"client\":7,\"db\":\"app\",\"user\":\"bob\",\"addr\":\"10.0.0.5:5123\",\"message\":\"slow\"}" },
	{ "names can't forge members", LOG_LEVEL_ERROR, &forger, "no",
		"\"level\":\"ERROR\",\"client\":8,\"db\":\"a b\",\"user\":\"x\\\\x0a2026 addr=1.2.3.4\",\"message\":\"no\"}" },
	{ "quotes and backslashes", LOG_LEVEL_INFO, NULL, "a \"b\" \\c\",\"x\":1",
		"\"level\":\"LOG\",\"message\":\"a \\\"b\\\" \\\\c\\\",\\\"x\\\":1\"}" },
	{ "what isn't UTF-8", LOG_LEVEL_INFO, NULL, "\xff gr\xc3\xbc",
		"\"level\":\"LOG\",\"message\":\"\\\\xff gr\xc3\xbc\"}" },
};

static void open_json_pipe(void)
{
	struct log_options o = { .file = path, .is_json = true };
	char error[128];

	open_pipe(0);
	ck_assert_int_eq(log_open(&o, error, sizeof(error)), RES_OK);
}

START_TEST(an_object_has_the_same_and_nothing_gets_out_of_its_quotes)
{
	char *line;
	const char *behind;

	open_json_pipe();
	log_write(objects[_i].level, objects[_i].who, "%s", objects[_i].text);
	line = drain();
	ck_assert_int_eq(strncmp(line, "{\"time\":\"20", 11), 0);
	behind = strstr(line, "\"level\"");
	ck_assert_ptr_nonnull(behind);
	line[strlen(line) - 1] = '\0';
	ck_assert_msg(!strcmp(behind, objects[_i].want), "%s: %s", objects[_i].name, behind);
}
END_TEST

START_TEST(an_object_that_is_cut_is_still_one)
{
	char text[5000], name[5000];
	struct log_who who = { "client", 1, name, name, name };
	const char *line;

	memset(text, '"', sizeof(text) - 1);
	memset(name, '\n', sizeof(name) - 1);
	text[sizeof(text) - 1] = name[sizeof(name) - 1] = '\0';
	open_json_pipe();
	log_info(&who, "login failed");
	ck_assert_ptr_nonnull(strstr(drain(), "\"message\":\"login failed\"}\n"));
	log_info(&who, "%s", text);
	line = drain();
	ck_assert(strlen(line) <= 2048);
	ck_assert_str_eq(line + strlen(line) - 8, "\\\"\xe2\x80\xa6\"}\n");
}
END_TEST

START_TEST(the_journal_gets_the_priority_instead_of_time_and_process)
{
	static const struct {
		bool is_json;
		const char *want;
	} cases[] = { { false, "<4>WARNING client=7" }, { true, "<4>{\"time\":" } };
	struct log_options o = { .is_json = cases[_i].is_json };
	char error[128], stream[64];
	struct stat st;

	open_pipe(0);
	ck_assert(dup2(pipe_write, STDERR_FILENO) >= 0 && fstat(STDERR_FILENO, &st) == 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	ck_assert_int_eq(log_open(&o, error, sizeof(error)), RES_OK);
	log_warning(&bob, "slow");
	ck_assert_int_eq(strncmp(drain(), cases[_i].want, strlen(cases[_i].want)), 0);
	setenv("JOURNAL_STREAM", "1:1", 1); /* somebody else's: it was redirected */
	ck_assert_int_eq(log_open(&o, error, sizeof(error)), RES_OK);
	log_warning(&bob, "slow");
	ck_assert_int_ne(*drain(), '<');
}
END_TEST

START_TEST(verbose_decides_which_levels_are_on)
{
	open_pipe(_i);
	ck_assert(log_is_on(LOG_LEVEL_ERROR) && log_is_on(LOG_LEVEL_INFO));
	ck_assert(log_is_on(LOG_LEVEL_DEBUG) == (_i >= 1));
	ck_assert(log_is_on(LOG_LEVEL_NOISE) == (_i >= 2));
	log_debug(NULL, "x");
	ck_assert((strstr(drain(), "DEBUG x") != NULL) == (_i >= 1));
}
END_TEST

START_TEST(a_failed_open_says_why_and_keeps_the_old_log)
{
	struct log_options bad = { .file = "/nonexistent/x.log", .verbose = 2 };
	struct log_options odd = { .syslog_ident = "pgweir", .syslog_facility = "local8" };
	char error[128];

	open_pipe(0);
	ck_assert_int_eq(log_open(&bad, error, sizeof(error)), RES_SYSTEM);
	ck_assert_str_eq(error, "could not open log file \"/nonexistent/x.log\": No such file or directory");
	ck_assert_int_eq(log_open(&odd, error, sizeof(error)), RES_SYSTEM);
	ck_assert_str_eq(error, "unknown syslog facility \"local8\"");
	ck_assert(!log_is_on(LOG_LEVEL_DEBUG));
	log_info(NULL, "still here");
	ck_assert_str_eq(after_pid(drain()), "LOG still here");
}
END_TEST

START_TEST(stop_writes_what_is_queued_in_order)
{
	char *text, want[32];

	open_pipe(0);
	log_start_thread();
	for (int i = 0; i < 500; i++)
		log_info(NULL, "line %d", i);
	log_stop();
	text = drain();
	for (int i = 0; i < 500; i++) {
		snprintf(want, sizeof(want), "LOG line %d\n", i);
		text = strstr(text, want);
		ck_assert_ptr_nonnull(text);
	}
	log_info(NULL, "after");
	ck_assert_str_eq(after_pid(drain()), "LOG after");
}
END_TEST

#define MANY 20000 /* of about 140 bytes: more than the queue and the pipe hold */

static void *log_many(void *arg)
{
	for (int i = 0; i < MANY / 4; i++)
		log_info(arg, "%0100d", i);
	return NULL;
}

/* Reads until the pipe has ended; counts lines, and those that the log says it lost. */
static void *count_lines(void *arg)
{
	unsigned long *counts = arg, lost;
	FILE *f = fdopen(pipe_read, "r");
	char line[4096];

	while (fgets(line, sizeof(line), f)) {
		char *s = strstr(line, "] WARNING ");

		if (s && sscanf(s, "] WARNING %lu log lines were lost", &lost) == 1)
			counts[1] += lost;
		else
			counts[0]++;
	}
	fclose(f);
	return NULL;
}

START_TEST(a_stuck_pipe_stops_nobody_and_lost_lines_are_counted)
{
	struct log_options elsewhere = { .file = "/dev/null" };
	pthread_t loggers[4], reader;
	unsigned long counts[2] = { 0, 0 };
	char error[128];

	open_pipe(0);
	log_start_thread();
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&loggers[i], NULL, log_many, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(loggers[i], NULL); /* nobody has read the pipe yet */
	ck_assert_int_eq(pthread_create(&reader, NULL, count_lines, counts), 0);
	log_stop();
	ck_assert_int_eq(log_open(&elsewhere, error, sizeof(error)), RES_OK);
	close(pipe_write);
	pthread_join(reader, NULL);
	ck_assert_uint_eq(counts[0] + counts[1], MANY);
	ck_assert_uint_gt(counts[0], 5000);
	ck_assert_uint_gt(counts[1], 5000);
}
END_TEST

START_TEST(stop_gives_a_stuck_pipe_up_and_the_loss_is_told_later)
{
	unsigned long written = 0, lost = 0;
	const char *report;

	open_pipe(0);
	log_start_thread();
	log_many(NULL);
	log_stop(); /* or the test's time is over */
	log_info(NULL, "lost as well, but back soon");
	for (const char *s = drain(); (s = strchr(s, '\n')); s++)
		written++;
	open_pipe(0);
	log_start_thread();
	log_info(NULL, "it moves again");
	log_stop();
	report = strstr(drain(), "WARNING ");
	ck_assert_ptr_nonnull(report);
	ck_assert_int_eq(sscanf(report, "WARNING %lu log lines were lost", &lost), 1);
	ck_assert_uint_eq(written + lost, MANY / 4 + 1);
}
END_TEST

START_TEST(a_switch_leaves_a_stuck_pipe)
{
	char file[] = "/tmp/pgweir-log-XXXXXX", error[128];
	struct log_options o = { .file = file };
	struct stat st = { 0 };
	int fd = mkstemp(file);

	ck_assert_int_ge(fd, 0);
	open_pipe(0);
	log_start_thread();
	log_many(NULL);
	ck_assert_int_eq(log_open(&o, error, sizeof(error)), RES_OK);
	do /* until what the pipe didn't take has moved on, or the test's time is over */
		ck_assert_int_eq(fstat(fd, &st), 0);
	while (st.st_size < 100000);
	log_stop();
	unlink(file);
}
END_TEST

START_TEST(opening_again_follows_a_rotated_file)
{
	char file[] = "/tmp/pgweir-log-XXXXXX", old[64], error[128];
	struct log_options o = { .file = file };
	struct stat before, after;

	close(mkstemp(file));
	snprintf(old, sizeof(old), "%s.1", file);
	ck_assert_int_eq(log_open(&o, error, sizeof(error)), RES_OK);
	if (_i)
		log_start_thread();
	log_info(NULL, "one");
	ck_assert_int_eq(rename(file, old), 0);
	ck_assert_int_eq(log_open(&o, error, sizeof(error)), RES_OK);
	log_info(NULL, "a second line");
	log_stop();
	ck_assert_int_eq(stat(old, &before), 0);
	ck_assert_int_eq(stat(file, &after), 0);
	ck_assert_int_gt(after.st_size, 0);
	ck_assert(_i || before.st_size > 0); /* the log's thread may have had the switch before the line */
	ck_assert_int_eq(after.st_mode & 07, 0); /* others don't read it */
	unlink(file);
	unlink(old);
}
END_TEST

UNIT_MAIN("log", {
	tcase_add_loop_test(tc, a_line_has_level_and_names_and_nothing_unprintable, 0, N_ELEMENTS(lines));
	tcase_add_test(tc, a_line_begins_with_the_time_and_the_process);
	tcase_add_test(tc, a_long_line_is_cut_between_characters);
	tcase_add_test(tc, a_long_name_leaves_room_for_the_text);
	tcase_add_loop_test(tc, an_object_has_the_same_and_nothing_gets_out_of_its_quotes, 0, N_ELEMENTS(objects));
	tcase_add_test(tc, an_object_that_is_cut_is_still_one);
	tcase_add_loop_test(tc, the_journal_gets_the_priority_instead_of_time_and_process, 0, 2);
	tcase_add_loop_test(tc, verbose_decides_which_levels_are_on, 0, 4);
	tcase_add_test(tc, a_failed_open_says_why_and_keeps_the_old_log);
	tcase_add_test(tc, stop_writes_what_is_queued_in_order);
	tcase_add_test(tc, a_stuck_pipe_stops_nobody_and_lost_lines_are_counted);
	tcase_add_test(tc, stop_gives_a_stuck_pipe_up_and_the_loss_is_told_later);
	tcase_add_test(tc, a_switch_leaves_a_stuck_pipe);
	tcase_add_loop_test(tc, opening_again_follows_a_rotated_file, 0, 2);
})
