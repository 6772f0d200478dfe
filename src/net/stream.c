#include "net/stream.h"

#include "net/address.h"
#include "net/stream_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READS_PER_ROUND 16 /* a megabyte, then it's somebody else's turn */

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

void stream_attach(struct stream *s, struct loop *l)
{
	ASSERT(!s->loop && s->fd >= 0);
	s->loop = l;
	event_assign(&s->event, l->base, s->fd, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, on_event, s);
	event_add(&s->event, NULL); /* epoll reports what is ready already as the first edge */
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
	return fd;
}

void stream_close(struct stream *s)
{
	if (s->fd >= 0)
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
	if (taken < len)
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
		} else if (n == 0) {
			end(s, STREAM_EOF);
		} else {
			take_read_error(s, errno);
		}
	}
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
