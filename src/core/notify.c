#include "core/notify.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_SOCKET 3 /* SD_LISTEN_FDS_START */
#define TEXT_MAX 512

/* Digits only; -1: something else. */
static int64_t read_number(const char *text)
{
	char *end;
	long long n;

	if (!text || *text < '0' || *text > '9')
		return -1;
	errno = 0;
	n = strtoll(text, &end, 10);
	return *end || errno ? -1 : (int64_t)n;
}

static bool address_of(const char *path, struct address *out)
{
	size_t len = strlen(path);

	memset(out, 0, sizeof(*out));
	if (len < 2 || len >= sizeof(out->un.sun_path) || (path[0] != '/' && path[0] != '@'))
		return false;
	out->un.sun_family = AF_UNIX;
	memcpy(out->un.sun_path, path, len);
	if (path[0] == '@')
		out->un.sun_path[0] = '\0';
	out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (path[0] == '/'));
	return true;
}

static usec_t watchdog_of(const char *usec, const char *pid)
{
	int64_t n = read_number(usec);

	if (!usec || (pid && read_number(pid) != (int64_t)getpid()))
		return 0;
	return n > 0 ? (usec_t)n : 0;
}

void notify_open(struct notify *n, const char *path, const char *watchdog_usec, const char *watchdog_pid)
{
	*n = (struct notify){ .fd = -1 };
	if (!path || !*path)
		return;
	if (!address_of(path, &n->to)) {
		log_warning(NULL,
			"NOTIFY_SOCKET can't be used: it is neither a path nor an abstract name: %s", path);
		return;
	}
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd < 0)
		return;
	snprintf(n->path, sizeof(n->path), "%s", path);
	n->watchdog = watchdog_of(watchdog_usec, watchdog_pid);
}

void notify_close(struct notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}

void notify_say(const struct notify *n, const char *format, ...)
{
	char text[TEXT_MAX];
	va_list ap;
	int len;

	if (n->fd < 0)
		return;
	va_start(ap, format);
	len = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (len > 0)
		(void)!sendto(n->fd, text, MIN((size_t)len, sizeof(text) - 1), 0, &n->to.sa, n->to.len);
}

void notify_reloading(const struct notify *n)
{
	notify_say(n, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)clock_now());
}

bool beats_are_alive(const struct worker_beat *beats, int n, usec_t now, usec_t limit)
{
	for (int i = 0; i < n; i++) {
		usec_t at = atomic_load_explicit(&beats[i].at, memory_order_relaxed);

		if (at && now > at && now - at > limit)
			return false;
	}
	return true;
}

enum result notify_take_sockets(
	const char *pid, const char *count, struct listen_given *out, char *error, size_t error_size)
{
	int64_t n = read_number(count);

	*out = (struct listen_given){ 0 };
	if (!pid || !count || read_number(pid) != (int64_t)getpid() || n == 0)
		return RES_OK;
	if (n < 0 || n > LISTEN_GIVEN_MAX) {
		snprintf(error, error_size, "LISTEN_FDS is \"%.20s\": at most %d sockets can be taken over",
			count, LISTEN_GIVEN_MAX);
		return RES_LIMIT;
	}
	for (int fd = FIRST_SOCKET; fd < FIRST_SOCKET + (int)n; fd++) {
		if (!listen_given_add(out, fd, error, error_size))
			return RES_SYSTEM;
	}
	out->is_all = true;
	return RES_OK;
}
