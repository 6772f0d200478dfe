#include "storm/connection.h"

#include "wire/msg.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void connection_init(struct connection *c)
{
	*c = (struct connection){ .fd = -1 };
}

void connection_close(struct connection *c)
{
	tls_free(&c->tls);
	writer_free(&c->unsent);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->state = CONNECTION_CLOSED;
}

/* Linux: a socket in repair mode is closed without FIN or RST, and what it still had to send is forgotten. */
static bool set_repair(int fd)
{
	int on = 1;

	return setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) == 0;
}

static bool swallow_all(int fd)
{
	static const struct sock_filter drop[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	struct sock_fprog program = { .len = N_ELEMENTS(drop), .filter = (struct sock_filter *)(uintptr_t)drop };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}

struct ends {
	struct sockaddr_storage ours, theirs;
	socklen_t ours_len, theirs_len;
};

/*
 * In repair mode connect() makes a connection of which the peer hears nothing. This one has nothing to send, and so never sends
 * again what wasn't acknowledged, as the one before it would; and without it the kernel would answer the peer by RST. Repair mode
 * also allows a port that others have; SO_REUSEADDR would take that back.
 */
static int make_tombstone(const struct ends *e)
{
	int fd = socket(e->ours.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && set_repair(fd) && swallow_all(fd) &&
		bind(fd, (const struct sockaddr *)&e->ours, e->ours_len) == 0 &&
		connect(fd, (const struct sockaddr *)&e->theirs, e->theirs_len) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

void connection_crash(struct connection *c)
{
	struct ends e = { .ours_len = sizeof(e.ours), .theirs_len = sizeof(e.theirs) };
	bool is_known;

	if (c->state == CONNECTION_VANISHED || c->fd < 0)
		return;
	is_known = getsockname(c->fd, (struct sockaddr *)&e.ours, &e.ours_len) == 0 &&
		getpeername(c->fd, (struct sockaddr *)&e.theirs, &e.theirs_len) == 0;
	swallow_all(c->fd); /* from now on nothing is acknowledged */
	set_repair(c->fd);
	connection_close(c);
	c->fd = is_known ? make_tombstone(&e) : -1;
	c->state = CONNECTION_VANISHED;
}

bool crash_is_possible(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_possible = fd >= 0 && set_repair(fd);

	if (fd >= 0)
		close(fd);
	return is_possible;
}

static enum connection_event fail(struct connection *c, const char *key, const char *message)
{
	c->key = key;
	snprintf(c->message, sizeof(c->message), "%s", message);
	connection_close(c);
	return CONNECTION_FAILED;
}

static enum connection_event fail_by_errno(struct connection *c, int error)
{
	const char *name = strerrorname_np(error);

	return fail(c, name ? name : "system", strerror(error));
}

/* Sends what waits. An error is left for recv() to tell: the server's last words may be waiting there. */
static void flush(struct connection *c)
{
	ssize_t n = c->unsent.len ? send(c->fd, c->unsent.data, c->unsent.len, MSG_NOSIGNAL) : 0;

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		n = (ssize_t)c->unsent.len;
	if (n <= 0)
		return;
	memmove(c->unsent.data, c->unsent.data + n, c->unsent.len - (size_t)n);
	c->unsent.len -= (size_t)n;
	if (c->unsent.len == 0)
		writer_free(&c->unsent);
}

static void shake(struct connection *c, const struct target *t)
{
	c->tls = tls_connect(t->context, t->tls_host, t->sslmode == TLS_VERIFY_FULL);
	c->state = CONNECTION_SHAKING;
	tls_begin(c->tls, &c->unsent);
	flush(c);
}

static enum connection_event reached(struct connection *c, const struct target *t)
{
	if (t->addresses[c->address].addr.ss_family == AF_UNIX || !t->context) {
		c->state = CONNECTION_UP;
		return CONNECTION_READY;
	}
	if (t->sslnegotiation == NEGOTIATE_DIRECT) {
		shake(c, t);
		return CONNECTION_NOTHING;
	}
	c->state = CONNECTION_ASKING;
	msg_begin(&c->unsent, 0);
	write_u32(&c->unsent, SSL_REQUEST_CODE);
	msg_end(&c->unsent);
	flush(c);
	return CONNECTION_NOTHING;
}

/* 0, EINPROGRESS or what went wrong. */
static int connect_to(struct connection *c, const struct address *to)
{
	int one = 1;

	c->fd = socket(to->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return errno;
	if (to->addr.ss_family != AF_UNIX)
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return connect(c->fd, (const struct sockaddr *)&to->addr, to->len) == 0 ? 0 : errno;
}

/* From the current address on. */
static enum connection_event reach(struct connection *c, const struct target *t)
{
	int error = ENOENT;

	for (; c->address < t->n_addresses; c->address++) {
		error = connect_to(c, &t->addresses[c->address]);
		if (error == 0)
			return reached(c, t);
		if (error == EINPROGRESS) {
			c->state = CONNECTION_REACHING;
			return CONNECTION_NOTHING;
		}
		connection_close(c);
	}
	return fail_by_errno(c, error);
}

enum connection_event connection_open(struct connection *c, const struct target *t)
{
	c->address = 0;
	return reach(c, t);
}

static enum connection_event finish_reaching(struct connection *c, const struct target *t)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error == 0)
		return reached(c, t);
	if (c->address + 1 == t->n_addresses)
		return fail_by_errno(c, error);
	connection_close(c);
	c->address++;
	return reach(c, t);
}

/* More than 0: bytes; 0: c has ended or failed, and *event says which, or nothing came. */
static size_t receive(struct connection *c, uint8_t *to, size_t size, enum connection_event *event)
{
	ssize_t n = recv(c->fd, to, size, 0);

	*event = CONNECTION_NOTHING;
	if (n > 0)
		return (size_t)n;
	if (n == 0)
		*event = CONNECTION_ENDED;
	else if (errno != EAGAIN && errno != EINTR)
		*event = fail_by_errno(c, errno);
	return 0;
}

/* Exactly one byte is read: what came behind it in plain text is the handshake's trouble. */
static enum connection_event hear_about_tls(struct connection *c, const struct target *t)
{
	enum connection_event event;
	uint8_t answer;

	if (!receive(c, &answer, 1, &event))
		return event;
	if (answer == 'S') {
		shake(c, t);
		return CONNECTION_NOTHING;
	}
	if (answer != 'N')
		return fail(c, "protocol", "the answer to SSLRequest is neither S nor N");
	if (t->sslmode > TLS_PREFER)
		return fail(c, "tls", "the server has no TLS");
	c->state = CONNECTION_UP;
	return CONNECTION_READY;
}

static enum connection_event open_sealed(struct connection *c, struct scratch *s, size_t n)
{
	bool was_up = c->state == CONNECTION_UP;
	enum tls_event e = tls_open(c->tls, s->sealed, n, s->plain, &s->len, &c->unsent);

	flush(c);
	if (e == TLS_BROKEN)
		return fail(c, "tls", tls_why(c->tls));
	if (!was_up && tls_is_up(c->tls)) {
		c->state = CONNECTION_UP; /* a server that speaks before it's asked is heard with its next bytes, if ever */
		return CONNECTION_READY;
	}
	if (s->len)
		return CONNECTION_DATA;
	return e == TLS_CLOSED ? CONNECTION_ENDED : CONNECTION_NOTHING;
}

enum connection_event connection_io(struct connection *c, const struct target *t, struct scratch *s)
{
	enum connection_event event;
	size_t n;

	switch (c->state) {
	case CONNECTION_REACHING: return finish_reaching(c, t);
	case CONNECTION_ASKING: flush(c); return hear_about_tls(c, t);
	case CONNECTION_SHAKING:
	case CONNECTION_UP: break;
	case CONNECTION_VANISHED:
	case CONNECTION_CLOSED: return CONNECTION_NOTHING;
	}
	flush(c);
	if (!c->tls) {
		s->len = receive(c, s->plain, CONNECTION_RECEIVES, &event);
		return s->len ? CONNECTION_DATA : event;
	}
	n = receive(c, s->sealed, sizeof(s->sealed), &event);
	return n ? open_sealed(c, s, n) : event;
}

size_t connection_send(struct connection *c, const void *data, size_t len)
{
	ssize_t n;

	if (c->state != CONNECTION_UP || len == 0)
		return 0;
	if (c->tls) {
		tls_seal(c->tls, data, len, &c->unsent); /* false: it's broken, which reading tells */
		flush(c);
		return len;
	}
	n = send(c->fd, data, len, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : len;
	return (size_t)n;
}

bool connection_wants_write(const struct connection *c)
{
	return c->state == CONNECTION_REACHING || c->unsent.len > 0;
}
