#include "core/link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".upgrade"
#define BACKLOG 4

static bool put_name(struct address *out, const char *text)
{
	size_t len = strlen(text);

	memset(out, 0, sizeof(*out));
	if (len + 1 > sizeof(out->un.sun_path))
		return false;
	out->un.sun_family = AF_UNIX;
	memcpy(out->un.sun_path, text, len);
	if (text[0] == '@')
		out->un.sun_path[0] = '\0';
	out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (text[0] != '@'));
	return true;
}

bool link_address(const struct config *c, struct address *out)
{
	char text[sizeof(out->un.sun_path) + 32];
	int n;

	if (*c->unix_socket_dir)
		n = snprintf(text, sizeof(text), "%s/.s.PGSQL.%d" SUFFIX, c->unix_socket_dir, c->listen_port);
	else if (*c->pidfile)
		n = snprintf(text, sizeof(text), "%s" SUFFIX, c->pidfile);
	else
		return false;
	return n > 0 && (size_t)n < sizeof(text) && put_name(out, text);
}

static bool is_process_of(int fd, uid_t uid, bool or_root)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
		(peer.uid == uid || (or_root && peer.uid == 0));
}

static int new_socket(void)
{
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int link_connect(const struct address *a, uid_t uid, int *error_number)
{
	int fd = new_socket();

	*error_number = errno;
	if (fd < 0)
		return -1;
	if (connect(fd, &a->sa, a->len) == 0) {
		*error_number = EPERM;
		if (is_process_of(fd, uid, false))
			return fd;
	} else {
		*error_number = errno;
	}
	close(fd);
	return -1;
}

static bool clear_stale(const struct address *a, char *error, size_t error_size)
{
	const char *path = a->un.sun_path;
	struct stat st;
	int e, fd;

	if (!*path || lstat(path, &st) < 0)
		return true;
	fd = S_ISSOCK(st.st_mode) ? link_connect(a, geteuid(), &e) : -1;
	if (fd >= 0)
		close(fd);
	if (fd < 0 && S_ISSOCK(st.st_mode) && e == ECONNREFUSED && unlink(path) == 0)
		return true;
	snprintf(error, error_size, "%s is in use", path);
	return false;
}

int link_listen(const struct address *a, char *error, size_t error_size)
{
	mode_t had;
	int fd;
	bool is_ok;

	if (!clear_stale(a, error, error_size))
		return -1;
	fd = new_socket();
	had = umask(0177); /* there is no other thread yet */
	is_ok = fd >= 0 && bind(fd, &a->sa, a->len) == 0 && listen(fd, BACKLOG) == 0;
	if (!is_ok)
		snprintf(error, error_size, "cannot listen for a successor: %s", strerror(errno));
	umask(had);
	if (!is_ok && fd >= 0)
		close(fd);
	return is_ok ? fd : -1;
}

int link_accept(int listening)
{
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 && !is_process_of(fd, geteuid(), true)) {
		close(fd);
		return -1;
	}
	return fd;
}

bool link_wait(int fd, int msec)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, msec) > 0;
}

union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * HANDOVER_FDS_MAX)];
};

static bool may_pass(int e)
{
	return e == EAGAIN || e == ENOBUFS || e == EINTR || e == ETOOMANYREFS;
}

enum result link_send(int fd, const void *bytes, size_t len, const int *fds, size_t n_fds)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control = { .bytes = { 0 } };
	struct cmsghdr *c;

	ASSERT(n_fds <= HANDOVER_FDS_MAX);
	if (n_fds) {
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	if (sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return RES_OK;
	return may_pass(errno) ? RES_MORE : RES_SYSTEM;
}

void link_close_fds(struct link_frame *f)
{
	for (size_t i = 0; i < f->n_fds; i++)
		if (f->fds[i] >= 0)
			close(f->fds[i]);
	f->n_fds = 0;
}

static void take_fds(struct msghdr *m, struct link_frame *f)
{
	f->n_fds = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(&f->fds[f->n_fds], CMSG_DATA(c), MIN(n, HANDOVER_FDS_MAX - f->n_fds) * sizeof(int));
		f->n_fds += MIN(n, HANDOVER_FDS_MAX - f->n_fds);
	}
}

enum result link_receive(int fd, struct link_frame *f)
{
	struct iovec iov = { .iov_base = f->bytes, .iov_len = sizeof(f->bytes) };
	union control control;
	struct msghdr m = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes) };
	ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	f->len = f->n_fds = 0;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? RES_MORE : RES_SYSTEM;
	take_fds(&m, f);
	f->len = (size_t)n;
	if (n > 0 && !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return RES_OK;
	link_close_fds(f);
	return n == 0 ? RES_SYSTEM : RES_PROTOCOL;
}
