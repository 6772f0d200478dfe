#include "front/listener.h"

#include "base/log.h"
#include "net/address.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFER_ACCEPT_SECONDS 45 /* as PgBouncer's */

struct opening {
	struct listener *l;
	const struct config *config;
	struct listen_given *given; /* may be NULL */
	char *error;
	size_t error_size;
};

static bool refuse(struct opening *o, const char *format, ...) PRINTF_LIKE(2, 3);
static bool refuse(struct opening *o, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(o->error, o->error_size, format, ap);
	va_end(ap);
	return false;
}

static void add(struct opening *o, int fd, const struct address *a)
{
	struct listener *l = o->l;
	char text[ADDRESS_TEXT_MAX];

	l->sockets = xrealloc(l->sockets, (l->n + 1) * sizeof(l->sockets[0]));
	l->sockets[l->n++] = (struct listen_socket){ .fd = fd, .is_unix = address_is_unix(a) };
	address_text(a, text);
	if (!address_is_unix(a))
		log_info(NULL, "listening on %s", text);
}

static struct tcp_options options_of(const struct config *c)
{
	return (struct tcp_options){ .keepalive = c->tcp_keepalive,
		.keepcnt = c->tcp_keepcnt,
		.keepidle = c->tcp_keepidle,
		.keepintvl = c->tcp_keepintvl,
		.user_timeout = c->tcp_user_timeout };
}

/* ---- sockets that are open already ---- */

static int option_of(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

bool listen_given_add(struct listen_given *g, int fd, char *error, size_t error_size)
{
	struct address a;
	int flags;

	if (g->n == LISTEN_GIVEN_MAX || option_of(fd, SO_TYPE) != SOCK_STREAM || option_of(fd, SO_ACCEPTCONN) != 1) {
		snprintf(error, error_size, "descriptor %d is no listening stream socket", fd);
		return false;
	}
	address_local(fd, &a);
	if (a.sa.sa_family != AF_INET && a.sa.sa_family != AF_INET6 && a.sa.sa_family != AF_UNIX) {
		snprintf(error, error_size, "descriptor %d listens to neither TCP nor a Unix socket", fd);
		return false;
	}
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		snprintf(error, error_size, "descriptor %d: %s", fd, strerror(errno));
		return false;
	}
	g->fds[g->n++] = fd;
	return true;
}

void listen_given_close(struct listen_given *g)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->fds[i] >= 0)
			close(g->fds[i]);
	g->n = 0;
}

/* Padding and flow information mustn't matter. */
static bool is_same_address(const struct address *a, const struct address *b)
{
	char at[ADDRESS_TEXT_MAX], bt[ADDRESS_TEXT_MAX];

	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (address_is_unix(a))
		return a->len == b->len && memcmp(&a->un, &b->un, a->len) == 0;
	address_text(a, at);
	address_text(b, bt);
	return strcmp(at, bt) == 0;
}

/* The one that listens there; NULL: none. */
static int *find_given(const struct opening *o, const struct address *a)
{
	for (size_t i = 0; o->given && i < o->given->n; i++) {
		struct address has;

		if (o->given->fds[i] < 0)
			continue;
		address_local(o->given->fds[i], &has);
		if (is_same_address(a, &has))
			return &o->given->fds[i];
	}
	return NULL;
}

static int listen_on(struct opening *o, const struct address *a)
{
	const struct tcp_options options = options_of(o->config);
	int *given = find_given(o, a), fd;

	if (given) {
		fd = *given;
		*given = -1;
		o->l->is_borrowed = true;
		listen(fd, o->config->listen_backlog); /* again: the new length */
		return fd;
	}
	fd = socket_listen(a, o->config->listen_backlog, o->config->so_reuseport, &options);
	if (fd >= 0 && !address_is_unix(a) && o->config->tcp_defer_accept) {
		int seconds = DEFER_ACCEPT_SECONDS; /* a silent peer doesn't even wake us */

		setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds));
	}
	return fd;
}

/* What this machine hasn't got is passed over, as long as the same name has an address that it has. */
static bool is_absence(int e)
{
	return e == EAFNOSUPPORT || e == EADDRNOTAVAIL;
}

static bool open_found(struct opening *o, const char *host, const struct addrinfo *found)
{
	size_t had = o->l->n;
	int absence = 0;

	for (; found; found = found->ai_next) {
		struct address a = { .len = found->ai_addrlen };
		int fd;

		if (found->ai_addrlen > sizeof(a.storage))
			continue;
		memcpy(&a.storage, found->ai_addr, found->ai_addrlen);
		fd = listen_on(o, &a);
		if (fd < 0 && !is_absence(errno))
			return refuse(o, "cannot listen on %s port %d: %s", host, o->config->listen_port,
				strerror(errno));
		if (fd < 0)
			absence = errno;
		else
			add(o, fd, &a);
	}
	return o->l->n > had ||
		refuse(o, "cannot listen on %s port %d: %s", host, o->config->listen_port, strerror(absence));
}

static bool open_host(struct opening *o, const char *host)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE },
			*found = NULL;
	bool is_any = strcmp(host, "*") == 0;
	char port[16];
	bool ok;
	int e;

	snprintf(port, sizeof(port), "%d", o->config->listen_port);
	e = getaddrinfo(is_any ? NULL : host, port, &hints, &found);
	if (e != 0)
		return refuse(o, "cannot look up listen_addr \"%s\": %s", host, gai_strerror(e));
	ok = open_found(o, host, found);
	freeaddrinfo(found);
	return ok;
}

static bool open_tcp(struct opening *o)
{
	char *list = xstrdup(o->config->listen_addr ? o->config->listen_addr : ""), *at = NULL;
	bool ok = true;

	for (char *host = strtok_r(list, ", \t", &at); ok && host; host = strtok_r(NULL, ", \t", &at))
		ok = open_host(o, host);
	free(list);
	return ok;
}

/* Is somebody behind this address? errno says why not. */
static bool answers(const struct address *a)
{
	const struct tcp_options none = { 0 };
	bool in_progress;
	int fd = socket_connect(a, &none, &in_progress);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno == EAGAIN; /* EAGAIN: its backlog is full */
}

static bool clear_path(struct opening *o, const struct address *a, const char *path)
{
	struct stat st;

	if (find_given(o, a))
		return true; /* it is ours already */
	if (lstat(path, &st) < 0)
		return errno == ENOENT || refuse(o, "cannot look at %s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return refuse(o, "%s is in the way: it is not a socket", path);
	if (answers(a))
		return refuse(o, "unix socket is in use: %s", path);
	if (errno != ECONNREFUSED && errno != ENOENT)
		return refuse(o, "cannot tell if %s is in use: %s", path, strerror(errno));
	if (unlink(path) < 0 && errno != ENOENT)
		return refuse(o, "cannot remove the stale socket %s: %s", path, strerror(errno));
	return true;
}

static bool set_group(struct opening *o, const char *path)
{
	const char *name = o->config->unix_socket_group;
	const struct group *g;
	char *end;
	gid_t gid;

	if (!name || !*name)
		return true;
	g = getgrnam(name);
	gid = g ? g->gr_gid : (gid_t)strtoul(name, &end, 10);
	if (!g && (*end || end == name))
		return refuse(o, "unix_socket_group \"%s\" does not exist", name);
	if (chown(path, (uid_t)-1, gid) < 0)
		return refuse(o, "cannot give %s to group \"%s\": %s", path, name, strerror(errno));
	return true;
}

/* umask, and not only chmod afterwards, so that the socket is never open to more than it should be. */
static int listen_with_mode(struct opening *o, const struct address *a)
{
	mode_t had = umask((mode_t)(~o->config->unix_socket_mode & 0777));
	int fd = listen_on(o, a), e = errno;

	umask(had);
	errno = e;
	return fd;
}

static bool remember_file(struct opening *o, const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return refuse(o, "cannot look at %s: %s", path, strerror(errno));
	o->l->unix_path = xstrdup(path);
	o->l->unix_dev = st.st_dev;
	o->l->unix_ino = st.st_ino;
	return true;
}

static bool open_unix(struct opening *o)
{
	const char *dir = o->config->unix_socket_dir;
	struct address a;
	bool is_file;
	int fd;

	if (!dir || !*dir)
		return true;
	if (!address_unix(&a, dir, o->config->listen_port))
		return refuse(o, "unix_socket_dir is too long: \"%s\"", dir);
	is_file = dir[0] != '@';
	if (is_file && !clear_path(o, &a, a.un.sun_path))
		return false;
	fd = listen_with_mode(o, &a);
	if (fd < 0 && errno == EADDRINUSE)
		return refuse(o, "unix socket is in use: %s/.s.PGSQL.%d", dir, o->config->listen_port);
	if (fd < 0)
		return refuse(o, "cannot listen in unix_socket_dir \"%s\": %s", dir, strerror(errno));
	add(o, fd, &a);
	log_info(NULL, "listening on unix:%s/.s.PGSQL.%d", dir, o->config->listen_port);
	return !is_file || (remember_file(o, a.un.sun_path) && set_group(o, a.un.sun_path));
}

static bool take_all(struct opening *o)
{
	for (size_t i = 0; i < o->given->n; i++) {
		struct address a;

		address_local(o->given->fds[i], &a);
		add(o, o->given->fds[i], &a);
		if (address_is_unix(&a))
			log_info(NULL, "listening on a Unix socket of systemd's");
		o->given->fds[i] = -1;
	}
	listener_tune(o->l, o->config);
	return true;
}

struct listener *listener_open(const struct config *config, struct listen_given *given, char *error, size_t error_size)
{
	struct listener *l = xcalloc(1, sizeof(*l));
	struct opening o = { .l = l, .config = config, .given = given, .error = error, .error_size = error_size };

	if (given && given->is_all)
		take_all(&o);
	else if (!open_unix(&o) || !open_tcp(&o) ||
		(l->n == 0 && !refuse(&o, "nowhere to listen: listen_addr and unix_socket_dir are empty")))
		listener_close(&l);
	return l;
}

void listener_tune(const struct listener *l, const struct config *config)
{
	const struct tcp_options options = options_of(config);

	for (size_t i = 0; i < l->n; i++)
		if (!l->sockets[i].is_unix)
			socket_tune_listener(l->sockets[i].fd, &options);
}

static void close_sockets(struct listener *l, bool unix_too)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (unix_too || !l->sockets[i].is_unix)
			close(l->sockets[i].fd);
		else
			l->sockets[kept++] = l->sockets[i];
	}
	l->n = kept;
}

void listener_close_tcp(struct listener *l)
{
	close_sockets(l, false);
}

/* By now another process may have put its own socket there. */
static void remove_file(const struct listener *l)
{
	struct stat st;

	if (!l->unix_path || l->is_borrowed || lstat(l->unix_path, &st) < 0)
		return;
	if (st.st_dev == l->unix_dev && st.st_ino == l->unix_ino)
		unlink(l->unix_path);
}

void listener_own(struct listener *l, bool is_ours)
{
	l->is_borrowed = !is_ours;
}

void listener_close(struct listener **lp)
{
	struct listener *l = *lp;

	*lp = NULL;
	if (!l)
		return;
	remove_file(l);
	close_sockets(l, true);
	free(l->sockets);
	free(l->unix_path);
	free(l);
}
