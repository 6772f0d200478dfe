#include "core/process.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define CPUS_PER_LOGIN_THREAD 4
#define LOGIN_THREADS_MAX 256
#define SPARE_DESCRIPTORS 200 /* listeners, log, event loops, consoles, logins that will be refused */

static bool read_line(const char *path, char *line, int size)
{
	FILE *f = fopen(path, "re");
	bool is_read;

	if (!f)
		return false;
	is_read = fgets(line, size, f);
	fclose(f);
	return is_read;
}

static int quota_cpus(void)
{
	char line[64], *end;
	long quota, period;

	if (!read_line("/sys/fs/cgroup/cpu.max", line, sizeof(line)))
		return 0;
	quota = strtol(line, &end, 10);
	if (end == line) /* "max" */
		return 0;
	period = strtol(end, NULL, 10);
	return period > 0 ? (int)((quota + period - 1) / period) : 0;
}

int process_login_thread_count(int configured)
{
	int cpus = process_worker_count(0, LOGIN_THREADS_MAX * CPUS_PER_LOGIN_THREAD);

	return configured > 0 ? configured : MAX(cpus / CPUS_PER_LOGIN_THREAD, 1);
}

int process_worker_count(int configured, int max)
{
	cpu_set_t set;
	int n = configured, quota = quota_cpus();

	if (n <= 0) {
		n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
		if (quota > 0 && quota < n)
			n = quota;
	}
	return MIN(MAX(n, 1), max);
}

void process_raise_descriptors(const struct config *c)
{
	struct rlimit l;
	rlim_t want = (rlim_t)c->max_client_conn * 2 + SPARE_DESCRIPTORS; /* clients, and at worst a server for each */

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return;
	l.rlim_cur = l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) < 0)
		getrlimit(RLIMIT_NOFILE, &l);
	if (l.rlim_cur < (rlim_t)c->max_client_conn + SPARE_DESCRIPTORS)
		log_warning(NULL,
			"only %llu file descriptors may be open, max_client_conn = %d wants %llu; raise the limit (ulimit -n)",
			(unsigned long long)l.rlim_cur, c->max_client_conn, (unsigned long long)want);
}

static bool fail(char *error, size_t size, const char *what, const char *arg)
{
	snprintf(error, size, "%s%s%s: %s", what, *arg ? " " : "", arg, strerror(errno));
	return false;
}

static bool switch_user(const char *name, char *error, size_t size)
{
	struct passwd *pw = getpwnam(name);

	if (!pw) {
		snprintf(error, size, "unknown user \"%s\"", name);
		return false;
	}
	if (initgroups(name, pw->pw_gid) < 0 || setgid(pw->pw_gid) < 0 || setuid(pw->pw_uid) < 0)
		return fail(error, size, "cannot become user", name);
	return true;
}

static bool go_to_background(char *error, size_t size)
{
	int null;
	pid_t pid = fork();

	if (pid < 0)
		return fail(error, size, "fork", "");
	if (pid > 0)
		_exit(0);
	if (setsid() < 0)
		return fail(error, size, "setsid", "");
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return fail(error, size, "open", "/dev/null");
	for (int fd = 0; fd <= 2; fd++)
		dup2(null, fd);
	close(null);
	return true;
}

static long read_pid(const char *path)
{
	char line[64];

	return read_line(path, line, sizeof(line)) ? strtol(line, NULL, 10) : 0; /* 0, too, where no number is */
}

static bool pidfile_is_free(const char *path, char *error, size_t size)
{
	long pid = *path ? read_pid(path) : 0;

	if (pid <= 0 || pid == (long)getpid() || (kill((pid_t)pid, 0) < 0 && errno == ESRCH))
		return true;
	snprintf(error, size, "pidfile %s exists: process %ld is running", path, pid);
	return false;
}

static bool write_pidfile(const char *path, char *error, size_t size)
{
	FILE *f;

	if (!*path)
		return true;
	f = fopen(path, "we");
	if (!f)
		return fail(error, size, "cannot write", path);
	fprintf(f, "%ld\n", (long)getpid());
	return fclose(f) == 0 || fail(error, size, "cannot write", path);
}

bool process_write_pidfile(const struct config *c, char *error, size_t size)
{
	return write_pidfile(c->pidfile, error, size);
}

bool process_user(const struct config *c, const char *user, uid_t *out, char *error, size_t size)
{
	const char *name = user ? user : c->user;
	const struct passwd *pw;

	*out = geteuid();
	if (!*name || *out != 0)
		return true;
	pw = getpwnam(name);
	if (!pw) {
		snprintf(error, size, "unknown user \"%s\"", name);
		return false;
	}
	*out = pw->pw_uid;
	return true;
}

bool process_become(const struct config *c, const char *user, bool is_daemon, bool replaces, char *error, size_t size)
{
	const char *name = user ? user : c->user;

	if (is_daemon && (!*c->pidfile || (!*c->logfile && !c->syslog))) {
		snprintf(error, size, "-d needs pidfile, and logfile or syslog");
		return false;
	}
	if (!replaces && !pidfile_is_free(c->pidfile, error, size))
		return false;
	if (*name && geteuid() == 0 && !switch_user(name, error, size))
		return false;
	if (geteuid() == 0) {
		snprintf(error, size,
			"pgweir should not run as root: say user = NAME in the configuration, or -u NAME");
		return false;
	}
	prctl(PR_SET_DUMPABLE, 0); /* secrets are in this memory: no core, no ptrace by others */
	if (is_daemon && !go_to_background(error, size))
		return false;
	return replaces || write_pidfile(c->pidfile, error, size);
}

void process_remove_pidfile(const struct config *c)
{
	if (*c->pidfile && read_pid(c->pidfile) == (long)getpid())
		unlink(c->pidfile);
}
