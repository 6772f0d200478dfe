#include "net/stream.h"

#include "net/address.h"
#include "net/stream_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READS_PER_ROUND 16 /* a megabyte, then it's somebody else's turn */
/* What one read of sealed bytes, and an incomplete record before it, can become fits the scratch buffer. */
#define SEALED_SIZE (SCRATCH_SIZE - TLS_RECORD_MAX)
#define SEAL_AT_ONCE 65536 /* plain text; then it is sent */

struct sealing { /* a loop's buffers for TLS */
	uint8_t in[SEALED_SIZE];
	uint8_t slices[TLS_CLIENT_RECORD]; /* small ones are put together, so that they share a record */
	struct writer out;
};

static void send_sealed(struct stream *s, const struct iovec *iov, int n);
static void read_sealed(struct stream *s);
static void open_rest(struct stream *s, const uint8_t *bytes, size_t len);
static void say_goodbye(struct stream *s);

/*
 * In a program with threads glibc makes recv() and send() a place where the thread may be cancelled, which costs two atomic
 * operations a call; nobody here cancels threads. Three in a hundred of a transaction's time.
 */
static ssize_t sys_recv(int fd, void *bytes, size_t len)
{
	return syscall(SYS_recvfrom, fd, bytes, len, 0, NULL, NULL);
}

static ssize_t sys_send(int fd, const void *bytes, size_t len)
{
	return syscall(SYS_sendto, fd, bytes, len, MSG_NOSIGNAL, NULL, 0);
}

static ssize_t sys_sendmsg(int fd, const struct msghdr *msg)
{
	return syscall(SYS_sendmsg, fd, msg, MSG_NOSIGNAL);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	(void)fd;
	if (what & (EV_READ | EV_CLOSED))
		s->is_readable = true;
	if (what & EV_CLOSED)
		s->is_peer_shut = true;
	if ((what & (EV_READ | EV_CLOSED)) || stream_backlog(s) || s->is_connecting)
		stream_kick(s);
}

void stream_init(struct stream *s, const struct stream_ops *ops, int fd, bool is_first)
{
	memset(s, 0, sizeof(*s));
	s->ops = ops;
	s->fd = fd;
	s->is_first = is_first;
}

void stream_attach_unwatched(struct stream *s, struct loop *l)
{
	ASSERT(!s->loop && s->fd >= 0);
	s->loop = l;
	event_assign(&s->event, l->base, s->fd, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_event, s);
	s->is_readable = true;
	stream_kick(s);
}

void stream_watch(struct stream *s)
{
	if (s->loop)
		event_add(&s->event, NULL); /* epoll reports what is ready already as the first edge */
}

void stream_attach(struct stream *s, struct loop *l)
{
	ASSERT(!s->loop && s->fd >= 0);
	s->loop = l;
	event_assign(&s->event, l->base, s->fd, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_event, s);
	stream_watch(s);
	if (s->held_len || s->is_retry)
		stream_kick(s);
}

void stream_detach(struct stream *s)
{
	if (!s->loop)
		return;
	event_del(&s->event);
	list_remove(s->is_first ? &s->loop->ready_first : &s->loop->ready, &s->ready_node);
	s->loop = NULL;
}

static void free_out(struct stream *s)
{
	free(s->out);
	s->out = NULL;
	s->out_pos = s->out_len = s->out_cap = 0;
	s->stalled_since = 0;
}

static void free_held(struct stream *s)
{
	free(s->held);
	s->held = NULL;
	s->held_len = s->held_cap = 0;
}

int stream_release(struct stream *s)
{
	int fd = s->fd;

	stream_detach(s);
	s->fd = -1;
	free_out(s);
	free_held(s);
	tls_free(&s->tls);
	return fd;
}

void stream_close(struct stream *s)
{
	if (s->fd < 0)
		return;
	if (s->tls)
		say_goodbye(s);
	close(stream_release(s));
}

void stream_kick(struct stream *s)
{
	if (s->loop && !list_is_linked(&s->ready_node))
		list_push_back(s->is_first ? &s->loop->ready_first : &s->loop->ready, &s->ready_node);
}

void stream_recheck(struct stream *s)
{
	s->is_readable = s->is_rechecked = true;
	stream_kick(s);
}

void stream_expect_silence(struct stream *s)
{
	int none = 0;

	/* Fails on what isn't TCP, which has no such limit. */
	setsockopt(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &none, sizeof(none));
}

void stream_pause(struct stream *s)
{
	s->is_paused = true;
}

void stream_resume(struct stream *s)
{
	if (!s->is_paused)
		return;
	s->is_paused = false;
	s->is_retry = true; /* also for bytes that data() is about to leave */
	stream_kick(s);
}

static void append(uint8_t **buf, size_t *len, size_t *cap, const void *bytes, size_t n)
{
	if (*cap - *len < n) {
		*cap = MAX(*len + n, *cap * 2);
		*buf = xrealloc(*buf, *cap);
	}
	memcpy(*buf + *len, bytes, n);
	*len += n;
}

void stream_hold(struct stream *s, const void *bytes, size_t len)
{
	if (!len)
		return;
	append(&s->held, &s->held_len, &s->held_cap, bytes, len);
	s->is_retry = true;
	stream_kick(s);
}

/* The peer may have said why before it went: read on until the socket ends, then report. */
static void write_failed(struct stream *s)
{
	s->is_write_failed = true;
	s->is_readable = true;
	free_out(s);
	stream_kick(s);
}

void stream_send(struct stream *s, const struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };
	size_t taken = 0;

	if (s->fd < 0 || s->is_write_failed || n == 0)
		return;
	if (UNLIKELY(s->tls)) {
		send_sealed(s, iov, n);
		return;
	}
	if (!stream_backlog(s) && !s->is_connecting) {
		ssize_t sent;

		do
			sent = n == 1 ? sys_send(s->fd, iov->iov_base, iov->iov_len) : sys_sendmsg(s->fd, &msg);
		while (sent < 0 && errno == EINTR);
		if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
			write_failed(s);
			return;
		}
		taken = sent > 0 ? (size_t)sent : 0;
	}
	for (int i = 0; i < n; i++) {
		size_t skip = MIN(taken, iov[i].iov_len);

		taken -= skip;
		if (iov[i].iov_len > skip)
			append(&s->out, &s->out_len, &s->out_cap, (const uint8_t *)iov[i].iov_base + skip,
				iov[i].iov_len - skip);
	}
	if (stream_backlog(s) && !s->stalled_since)
		s->stalled_since = s->loop ? s->loop->now : clock_now();
}

void stream_send_bytes(struct stream *s, const void *bytes, size_t len)
{
	stream_send(s, &(struct iovec){ .iov_base = (void *)(uintptr_t)bytes, .iov_len = len }, len ? 1 : 0);
}

static void flush(struct stream *s)
{
	while (stream_backlog(s)) {
		ssize_t n = sys_send(s->fd, s->out + s->out_pos, stream_backlog(s));

		if (n < 0) {
			int e = errno;

			if (e == EINTR)
				continue;
			if (e != EAGAIN && e != EWOULDBLOCK)
				write_failed(s);
			return;
		}
		s->out_pos += (size_t)n;
		s->stalled_since = s->loop->now;
	}
	free_out(s);
	if (s->ops->drained)
		s->ops->drained(s);
}

/* Offers what is held; afterwards only what wasn't taken remains. */
static void offer_held(struct stream *s)
{
	size_t taken;

	s->is_retry = false;
	taken = s->ops->data(s, s->held, s->held_len);
	if (s->fd < 0)
		return;
	ASSERT(taken <= s->held_len);
	if (UNLIKELY(s->is_turning)) {
		open_rest(s, s->held + taken, s->held_len - taken);
		free_held(s);
		return;
	}
	s->held_len -= taken;
	if (!s->held_len)
		free_held(s);
	else if (taken)
		memmove(s->held, s->held + taken, s->held_len);
}

static void offer(struct stream *s, const uint8_t *bytes, size_t len)
{
	size_t taken;

	if (s->held_len) {
		append(&s->held, &s->held_len, &s->held_cap, bytes, len);
		offer_held(s);
		return;
	}
	taken = s->ops->data(s, bytes, len);
	if (s->fd < 0)
		return;
	ASSERT(taken <= len);
	if (UNLIKELY(s->is_turning))
		open_rest(s, bytes + taken, len - taken);
	else if (taken < len)
		append(&s->held, &s->held_len, &s->held_cap, bytes + taken, len - taken);
}

static void end(struct stream *s, enum stream_end why)
{
	if (s->is_ended)
		return;
	s->is_ended = true;
	s->ops->closed(s, why);
}

static bool may_read(const struct stream *s)
{
	return s->fd >= 0 && s->is_readable && !s->is_paused && !s->is_ended;
}

static void take_read_error(struct stream *s, int e)
{
	if (e == EINTR)
		return;
	if (e == EAGAIN || e == EWOULDBLOCK) {
		s->is_readable = s->is_rechecked = false;
		if (!s->is_write_failed)
			return;
		e = EPIPE;
	}
	s->error = e;
	end(s, STREAM_RESET);
}

static void read_some(struct stream *s)
{
	if (UNLIKELY(s->tls)) {
		read_sealed(s);
		return;
	}
	for (int reads = 0; may_read(s); reads++) {
		ssize_t n;

		if (reads == READS_PER_ROUND) {
			stream_kick(s);
			return;
		}
		n = sys_recv(s->fd, s->loop->scratch, SCRATCH_SIZE);
		if (n > 0) {
			if (n < SCRATCH_SIZE && !s->is_peer_shut && !s->is_write_failed && !s->is_rechecked)
				s->is_readable = false; /* drained: the next byte is a new edge */
			offer(s, s->loop->scratch, (size_t)n);
			if (UNLIKELY(s->tls)) { /* since just now */
				stream_kick(s);
				return;
			}
		} else if (n == 0) {
			end(s, STREAM_EOF);
		} else {
			take_read_error(s, errno);
		}
	}
}

/* ---- TLS ---- */

static struct sealing *sealing_of(struct loop *l)
{
	if (!l->sealing)
		l->sealing = xcalloc(1, sizeof(*l->sealing));
	return l->sealing;
}

void stream_free_sealing_(struct loop *l)
{
	if (l->sealing)
		writer_free(&l->sealing->out);
	free(l->sealing);
	l->sealing = NULL;
}

/* Sends what is in w, as stream_send() does with plain text, and empties it. */
static void transmit(struct stream *s, struct writer *w)
{
	size_t taken = 0;

	if (w->len && !stream_backlog(s) && !s->is_connecting) {
		ssize_t sent;

		do
			sent = send(s->fd, w->data, w->len, MSG_NOSIGNAL);
		while (sent < 0 && errno == EINTR);
		if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
			w->len = 0;
			write_failed(s);
			return;
		}
		taken = sent > 0 ? (size_t)sent : 0;
	}
	if (w->len > taken)
		append(&s->out, &s->out_len, &s->out_cap, w->data + taken, w->len - taken);
	w->len = 0;
	if (stream_backlog(s) && !s->stalled_since)
		s->stalled_since = s->loop ? s->loop->now : clock_now();
}

static void seal(struct stream *s, const uint8_t *bytes, size_t len, struct writer *out)
{
	while (len && !s->is_write_failed) {
		size_t n = MIN(len, SEAL_AT_ONCE);

		if (!tls_seal(s->tls, bytes, n, out)) {
			write_failed(s);
			return;
		}
		if (out->len >= SEAL_AT_ONCE)
			transmit(s, out);
		bytes += n;
		len -= n;
	}
}

/* Slices become records of a good size, and records one send. */
static void send_slices(struct stream *s, const struct iovec *iov, int n, struct sealing *b)
{
	size_t filled = 0;

	for (int i = 0; i < n; i++) {
		const uint8_t *p = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		while (left) {
			size_t part = MIN(left, sizeof(b->slices) - filled);

			if (filled == 0 && (left >= sizeof(b->slices) || i == n - 1)) {
				part = i == n - 1 ? left : left - left % sizeof(b->slices);
				seal(s, p, part, &b->out);
			} else {
				memcpy(b->slices + filled, p, part);
				filled += part;
			}
			if (filled == sizeof(b->slices)) {
				seal(s, b->slices, filled, &b->out);
				filled = 0;
			}
			p += part;
			left -= part;
		}
	}
	seal(s, b->slices, filled, &b->out);
}

static void send_sealed(struct stream *s, const struct iovec *iov, int n)
{
	struct sealing *own = s->loop ? sealing_of(s->loop) : xcalloc(1, sizeof(*own)); /* detached: it's being closed */

	if (tls_is_up(s->tls)) {
		send_slices(s, iov, n, own);
		if (!s->is_write_failed)
			transmit(s, &own->out);
		own->out.len = 0;
	}
	if (!s->loop) {
		writer_free(&own->out);
		free(own);
	}
}

/* Plain text, then the end: what was sealed may hold both. */
static void open_sealed(struct stream *s, const uint8_t *bytes, size_t len)
{
	struct sealing *b = sealing_of(s->loop);
	bool was_up = tls_is_up(s->tls);
	size_t n;
	enum tls_event e = tls_open(s->tls, bytes, len, s->loop->scratch, &n, &b->out);

	if (!s->is_write_failed)
		transmit(s, &b->out);
	b->out.len = 0;
	if (!was_up && e != TLS_BROKEN && s->ops->handshake)
		s->ops->handshake(s);
	if (n && s->fd >= 0)
		offer(s, s->loop->scratch, n);
	if (s->fd < 0 || e == TLS_OPEN)
		return;
	s->error = e == TLS_BROKEN ? EPROTO : 0;
	end(s, e == TLS_BROKEN ? STREAM_RESET : STREAM_EOF);
}

/* The bytes are in the loop's scratch buffer, or held: neither stays as it is. */
static void open_rest(struct stream *s, const uint8_t *bytes, size_t len)
{
	uint8_t *copy;

	s->is_turning = false;
	if (len == 0)
		return;
	copy = xmalloc(len);
	memcpy(copy, bytes, len);
	for (size_t at = 0; at < len && s->fd >= 0 && !s->is_ended; at += SEALED_SIZE)
		open_sealed(s, copy + at, MIN(len - at, SEALED_SIZE));
	free(copy);
}

static void read_sealed(struct stream *s)
{
	uint8_t *in = sealing_of(s->loop)->in;

	s->is_turning = false;
	for (int reads = 0; may_read(s); reads++) {
		ssize_t n;

		if (reads == READS_PER_ROUND) {
			stream_kick(s);
			return;
		}
		n = recv(s->fd, in, SEALED_SIZE, 0);
		if (n > 0) {
			if (n < SEALED_SIZE && !s->is_peer_shut && !s->is_write_failed && !s->is_rechecked)
				s->is_readable = false;
			open_sealed(s, in, (size_t)n);
		} else if (n == 0) {
			end(s, STREAM_EOF); /* without a goodbye, as many do; the protocol inside knows if something is missing */
		} else {
			take_read_error(s, errno);
		}
	}
}

void stream_start_tls(struct stream *s, struct tls **t)
{
	struct writer hello = { 0 };

	ASSERT(!s->tls && s->fd >= 0);
	s->tls = *t;
	*t = NULL;
	s->is_turning = true;
	tls_begin(s->tls, &hello);
	transmit(s, &hello);
	writer_free(&hello);
}

static void say_goodbye(struct stream *s)
{
	struct writer w = { 0 };

	if (s->is_write_failed || s->is_connecting)
		return;
	tls_goodbye(s->tls, &w);
	if (w.len)
		transmit(s, &w);
	writer_free(&w);
}

void stream_finish(struct stream *s)
{
	if (s->fd < 0)
		return;
	if (s->tls)
		say_goodbye(s);
	if (!stream_backlog(s))
		shutdown(s->fd, SHUT_WR);
}

struct tls *stream_take_tls(struct stream *s)
{
	struct tls *t = s->tls;

	s->tls = NULL;
	if (t)
		write_bytes(tls_unsent(t), s->out + s->out_pos, stream_backlog(s));
	return t;
}

void stream_give_tls(struct stream *s, struct tls **t)
{
	struct writer *unsent;

	s->tls = *t;
	*t = NULL;
	if (!s->tls)
		return;
	unsent = tls_unsent(s->tls);
	if (unsent->len)
		append(&s->out, &s->out_len, &s->out_cap, unsent->data, unsent->len);
	writer_free(unsent);
}

void stream_hang_up(int fd, struct tls **t)
{
	struct stream s = { .fd = fd };

	stream_give_tls(&s, t);
	stream_close(&s);
}

void stream_serve_(struct stream *s)
{
	if (s->fd < 0)
		return;
	if (s->is_connecting) {
		s->error = socket_error(s->fd);
		if (s->error) {
			end(s, STREAM_RESET);
			return;
		}
		s->is_connecting = false;
		if (s->ops->connected)
			s->ops->connected(s);
	}
	if (s->fd < 0)
		return;
	if (stream_backlog(s) && !s->is_write_failed)
		flush(s);
	if (s->fd >= 0 && s->is_retry && s->held_len && !s->is_paused)
		offer_held(s);
	read_some(s);
	if (s->fd < 0 || s->is_ended)
		return;
	if (s->is_write_failed && s->is_paused)
		end(s, STREAM_RESET);
	else if (s->is_peer_shut && s->is_paused && s->ops->hangup)
		s->ops->hangup(s);
}
