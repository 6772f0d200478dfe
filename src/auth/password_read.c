#include "auth/password_read.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX (CREDENTIAL_SECRET_MAX + 2) /* and an end of line */
#define REAP_EVERY 5			       /* ms */
#define LOOK_EVERY 100			       /* ms: at the time, and whether we are to stop */

char *password_first_line(const char *text, size_t len, char why[PASSWORD_ERROR_MAX])
{
	const char *end = len ? memchr(text, '\n', len) : NULL;
	size_t n = end ? (size_t)(end - text) : len;

	if (n && text[n - 1] == '\r')
		n--;
	if (n == 0)
		snprintf(why, PASSWORD_ERROR_MAX, "the first line is empty");
	else if (n > CREDENTIAL_SECRET_MAX)
		snprintf(why, PASSWORD_ERROR_MAX, "the first line is longer than %d bytes", CREDENTIAL_SECRET_MAX);
	else if (memchr(text, 0, n))
		snprintf(why, PASSWORD_ERROR_MAX, "the first line contains a zero byte");
	else
		return xstrndup(text, n);
	return NULL;
}

static char *take_line(char *buffer, size_t len, char why[PASSWORD_ERROR_MAX])
{
	char *line = password_first_line(buffer, len, why);

	explicit_bzero(buffer, len);
	return line;
}

/* ---- a file ---- */

static bool fail_errno(char why[PASSWORD_ERROR_MAX], const char *what, int e)
{
	snprintf(why, PASSWORD_ERROR_MAX, "%s: %s", what, strerrordesc_np(e));
	return false;
}

static bool read_file(int fd, char *buffer, size_t *len, char why[PASSWORD_ERROR_MAX])
{
	ssize_t n;

	*len = 0;
	do {
		n = read(fd, buffer + *len, OUTPUT_MAX - *len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno(why, "could not read file", errno);
		*len += (size_t)n;
	} while (n && *len < OUTPUT_MAX);
	return true;
}

static char *from_file(const char *path, char *buffer, char why[PASSWORD_ERROR_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not hold us up */
	char *line = NULL;
	struct stat st;
	size_t len;

	if (fd < 0) {
		fail_errno(why, "could not open file", errno);
		return NULL;
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		snprintf(why, PASSWORD_ERROR_MAX, "not a regular file");
	else if (read_file(fd, buffer, &len, why))
		line = take_line(buffer, len, why);
	close(fd);
	return line;
}

/* ---- a command ---- */

static char *env_line(const char *name, const char *value)
{
	return xasprintf("%s=%s", name, value ? value : "");
}

#define OUR_VARIABLES 4

static bool is_ours(const char *line)
{
	static const char *const names[OUR_VARIABLES] = { "PGHOST=", "PGPORT=", "PGUSER=", "PGDATABASE=" };

	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		if (strncmp(line, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

/* The first OUR_VARIABLES are owned. */
static char **make_environment(const struct password_source *s)
{
	size_t n = 0, have = 0;
	char **env, port[16];

	while (environ[have])
		have++;
	env = xcalloc(have + OUR_VARIABLES + 1, sizeof(*env));
	snprintf(port, sizeof(port), "%d", s->port);
	env[n++] = env_line("PGHOST", s->host);
	env[n++] = env_line("PGPORT", port);
	env[n++] = env_line("PGUSER", s->user);
	env[n++] = env_line("PGDATABASE", s->database);
	for (size_t i = 0; i < have; i++) {
		if (!is_ours(environ[i]))
			env[n++] = environ[i];
	}
	return env;
}

static void free_environment(char **env)
{
	for (size_t i = 0; i < OUR_VARIABLES; i++)
		free(env[i]);
	free(env);
}

/* A process group of its own, so that whatever it starts can be ended with it; no signal blocked, no descriptor of ours. */
static int spawn(const struct password_source *s, int out, pid_t *pid)
{
	char sh[] = "sh", c[] = "-c", *command = xstrdup(s->command), **env = make_environment(s);
	char *argv[] = { sh, c, command, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int e;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
	e = posix_spawn(pid, "/bin/sh", &actions, &attr, argv, env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	free_environment(env);
	secure_free(&command);
	return e;
}

struct patience {
	usec_t deadline;
	const atomic_bool *stop;
};

static bool is_over(const struct patience *p)
{
	return atomic_load(p->stop) || clock_now() >= p->deadline;
}

/* To its end: what is behind the first line is read and thrown away. False: time is up. */
static bool read_output(int fd, char *buffer, size_t *len, const struct patience *patience)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char rest[512];
	ssize_t n = 1;

	*len = 0;
	while (n != 0) {
		if (is_over(patience))
			return false;
		if (poll(&p, 1, LOOK_EVERY) <= 0)
			continue;
		if (*len < OUTPUT_MAX)
			n = read(fd, buffer + *len, OUTPUT_MAX - *len);
		else
			n = read(fd, rest, sizeof(rest));
		if (n > 0 && *len < OUTPUT_MAX)
			*len += (size_t)n;
	}
	explicit_bzero(rest, sizeof(rest));
	return true;
}

/* It may have closed its output and go on. False: time is up. It isn't reaped, so its number is still its own. */
static bool has_ended(pid_t pid, const struct patience *patience)
{
	siginfo_t info = { 0 };

	while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0) {
		if (is_over(patience))
			return false;
		poll(NULL, 0, REAP_EVERY);
	}
	return true;
}

static bool judge(int status, char why[PASSWORD_ERROR_MAX])
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (WIFEXITED(status))
		snprintf(why, PASSWORD_ERROR_MAX, "it ended with status %d", WEXITSTATUS(status));
	else
		snprintf(why, PASSWORD_ERROR_MAX, "it was ended by signal %d", WTERMSIG(status));
	return false;
}

static char *collect(
	pid_t pid, int fd, char *buffer, usec_t time, const atomic_bool *stop, char why[PASSWORD_ERROR_MAX])
{
	struct patience patience = { clock_now() + time, stop };
	char *line = NULL;
	size_t len;
	bool is_whole = read_output(fd, buffer, &len, &patience) && has_ended(pid, &patience);
	int status = 0;

	kill(-pid, SIGKILL); /* with whatever it has left behind */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!is_whole)
		snprintf(why, PASSWORD_ERROR_MAX, "it took more than %d s", (int)(time / USEC_PER_SEC));
	else if (judge(status, why))
		line = take_line(buffer, len, why);
	return line;
}

static char *from_command(const struct password_source *s, char *buffer, usec_t time, const atomic_bool *stop,
	char why[PASSWORD_ERROR_MAX])
{
	int fds[2], e;
	char *line;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0) {
		fail_errno(why, "could not make a pipe", errno);
		return NULL;
	}
	e = spawn(s, fds[1], &pid);
	close(fds[1]);
	if (e) {
		close(fds[0]);
		fail_errno(why, "could not start /bin/sh", e);
		return NULL;
	}
	line = collect(pid, fds[0], buffer, time, stop, why);
	close(fds[0]);
	return line;
}

char *password_read(
	const struct password_source *s, usec_t time, const atomic_bool *stop, char why[PASSWORD_ERROR_MAX])
{
	char *buffer = xcalloc(1, OUTPUT_MAX), *line, what[PASSWORD_ERROR_MAX - 64] = "";
	char cause[PASSWORD_ERROR_MAX] = "";

	line = s->command ? from_command(s, buffer, time, stop, cause) : from_file(s->file, buffer, cause);
	explicit_bzero(buffer, OUTPUT_MAX);
	free(buffer);
	if (line)
		return line;
	snprintf(what, sizeof(what), "%s", cause);
	snprintf(why, PASSWORD_ERROR_MAX, "%s for user \"%.40s\" failed: %s",
		s->command ? "password_command" : "password_file", s->user, what);
	return NULL;
}
