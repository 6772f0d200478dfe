#include "storm/herd.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#define RECEIVE_SIZE 65536

struct member {
	struct function fn;
	struct herd *herd;
	struct event io, timer;
	int fd;
	short events;	  /* what io waits for; 0: io isn't added */
	unsigned address; /* the one being tried */
	usec_t timer_at;  /* what timer is set to; 0: it isn't */
	bool is_finished; /* counted in herd->n_finished */
};

struct herd {
	struct event_base *base;
	struct world *world;
	const struct target *target;
	struct herd_options options;
	struct member *members;
	unsigned n_finished;
	usec_t finished_at; /* 0: somebody is still at it */
	struct event *end;  /* the deadline, or the end of the hold */
	uint8_t received[RECEIVE_SIZE];
};

static void settle(struct member *m);

struct event_base *herd_event_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	ASSERT(config);
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NO_CACHE_TIME);
	base = event_base_new_with_config(config);
	event_config_free(config);
	if (base)
		event_base_priority_init(base, 2);
	return base;
}

/* The socket. */

static void on_io(evutil_socket_t fd, short what, void *ctx);

static void wait_for(struct member *m, short events)
{
	if (m->events == events)
		return;
	if (m->events)
		event_del(&m->io);
	m->events = events;
	if (!events)
		return;
	event_assign(&m->io, m->herd->base, m->fd, events | EV_PERSIST, on_io, m);
	event_priority_set(&m->io, 1);
	event_add(&m->io, NULL);
}

static void close_socket(struct member *m)
{
	wait_for(m, 0);
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
}

static void lost(struct member *m, int error)
{
	const char *name = strerrorname_np(error);

	function_lost(&m->fn, m->herd->world, clock_now(), name ? name : "system", strerror(error));
}

static void connected(struct member *m)
{
	function_connected(&m->fn, m->herd->world, clock_now());
	wait_for(m, EV_READ);
}

/* 0, EINPROGRESS or what went wrong. */
static int connect_to(struct member *m, const struct address *to)
{
	int one = 1;

	m->fd = socket(to->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (m->fd < 0)
		return errno;
	if (to->addr.ss_family != AF_UNIX)
		setsockopt(m->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return connect(m->fd, (const struct sockaddr *)&to->addr, to->len) == 0 ? 0 : errno;
}

/* Tries the host's addresses from the current one on; only the last one's error counts, as in libpq. */
static void open_socket(struct member *m)
{
	const struct target *t = m->herd->target;
	int error = ENOENT;

	for (; m->address < t->n_addresses; m->address++) {
		error = connect_to(m, &t->addresses[m->address]);
		if (error == 0) {
			connected(m);
			return;
		}
		if (error == EINPROGRESS) {
			wait_for(m, EV_WRITE);
			return;
		}
		close_socket(m);
	}
	lost(m, error);
}

static void finish_connecting(struct member *m)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(m->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error == 0) {
		connected(m);
		return;
	}
	close_socket(m);
	if (m->address + 1 < m->herd->target->n_addresses) {
		m->address++;
		open_socket(m);
	} else {
		lost(m, error);
	}
}

static void send_out(struct member *m)
{
	struct writer *out = &m->fn.out;
	ssize_t n = out->len ? send(m->fd, out->data, out->len, MSG_NOSIGNAL) : 0;

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		n = (ssize_t)out->len; /* why it's gone is what we read next: the server's last words may be waiting */
	if (n > 0) {
		memmove(out->data, out->data + n, out->len - (size_t)n);
		out->len -= (size_t)n;
	}
}

static void receive(struct member *m)
{
	struct herd *h = m->herd;
	ssize_t n = recv(m->fd, h->received, sizeof(h->received), 0);

	if (n > 0)
		function_input(&m->fn, h->world, clock_now(), h->received, (size_t)n);
	else if (n == 0)
		function_lost(&m->fn, h->world, clock_now(), "closed",
			"the server closed the connection without a word");
	else if (errno != EAGAIN && errno != EINTR)
		lost(m, errno);
}

static void on_io(evutil_socket_t fd, short what, void *ctx)
{
	struct member *m = ctx;

	ASSERT(fd == m->fd);
	if (m->fn.state == FUNCTION_CONNECTING)
		finish_connecting(m);
	else if (what & EV_READ)
		receive(m);
	settle(m);
}

/* The timer. */

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct member *m = ctx;

	(void)fd, (void)what;
	m->timer_at = 0;
	function_timer(&m->fn, m->herd->world, clock_now());
	settle(m);
}

static struct timeval until(usec_t at)
{
	usec_t now = clock_now(), left = at > now ? at - now : 0;

	return (struct timeval){ .tv_sec = (time_t)(left / USEC_PER_SEC),
		.tv_usec = (suseconds_t)(left % USEC_PER_SEC) };
}

/* A timer that is early does no harm, so only an earlier time is worth moving it for. */
static void set_timer(struct member *m)
{
	usec_t at = function_timer_at(&m->fn);
	struct timeval delay;

	if (at && (!m->timer_at || at < m->timer_at)) {
		delay = until(at);
		m->timer_at = at;
		event_add(&m->timer, &delay);
	} else if (!at && m->timer_at) {
		m->timer_at = 0;
		event_del(&m->timer);
	}
}

/* The herd. */

static bool is_finished(const struct function *f)
{
	return f->state == FUNCTION_DONE || f->state == FUNCTION_IDLE || f->state == FUNCTION_FROZEN;
}

static bool anybody_stays(const struct herd *h)
{
	for (unsigned i = 0; i < h->options.functions; i++)
		if (function_link(&h->members[i].fn) != LINK_NONE)
			return true;
	return false;
}

static void all_finished(struct herd *h)
{
	usec_t began = h->world->began, now = clock_now(), end;
	struct timeval delay;

	h->finished_at = now;
	if (h->options.hold == 0 || !anybody_stays(h)) {
		event_base_loopbreak(h->base);
		return;
	}
	end = MIN(now + h->options.hold, began + h->options.deadline);
	delay = until(end);
	event_add(h->end, &delay);
}

static void note_finished(struct member *m)
{
	struct herd *h = m->herd;

	if (m->is_finished || !is_finished(&m->fn))
		return;
	m->is_finished = true;
	if (++h->n_finished == h->options.functions)
		all_finished(h);
}

/* Brings socket and timer into line with what the function wants now. */
static void settle(struct member *m)
{
	enum function_link link = function_link(&m->fn);

	if (link == LINK_OPEN && m->fd < 0) {
		m->address = 0;
		open_socket(m); /* may fail at once, and then nothing is open again */
		link = function_link(&m->fn);
	}
	if (m->fd >= 0)
		send_out(m);
	if (link == LINK_NONE)
		close_socket(m);
	else if (link == LINK_FROZEN)
		wait_for(m, 0);
	else if (m->fn.state != FUNCTION_CONNECTING)
		wait_for(m, m->fn.out.len ? EV_READ | EV_WRITE : EV_READ);
	set_timer(m);
	note_finished(m);
}

static void on_end(evutil_socket_t fd, short what, void *ctx)
{
	struct herd *h = ctx;

	(void)fd, (void)what;
	event_base_loopbreak(h->base);
}

struct herd *herd_new(struct event_base *base, struct world *world, const struct target *target,
	const struct herd_options *o)
{
	struct herd *h = xcalloc(1, sizeof(*h));

	h->base = base;
	h->world = world;
	h->target = target;
	h->options = *o;
	h->members = xcalloc(o->functions, sizeof(*h->members));
	h->end = event_new(base, -1, 0, on_end, h);
	ASSERT(h->end);
	event_priority_set(h->end, 0);
	world->stats.functions = o->functions;
	return h;
}

static void wake_everybody(struct herd *h)
{
	for (unsigned i = 0; i < h->options.functions; i++) {
		struct member *m = &h->members[i];

		m->herd = h;
		m->fd = -1;
		function_init(&m->fn,
			h->world->began + (usec_t)(world_random(h->world) * (double)h->options.window));
		evtimer_assign(&m->timer, h->base, on_timer, m);
		event_priority_set(&m->timer, 1);
		set_timer(m);
	}
}

static void end_everybody(struct herd *h)
{
	for (unsigned i = 0; i < h->options.functions; i++) {
		struct member *m = &h->members[i];

		function_end(&m->fn, h->world, clock_now());
		settle(m);
	}
}

void herd_run(struct herd *h)
{
	struct timeval delay;

	h->world->began = clock_now();
	wake_everybody(h);
	delay = until(h->world->began + h->options.deadline);
	event_add(h->end, &delay);
	event_base_dispatch(h->base);
	end_everybody(h);
}

void herd_stop(struct herd *h)
{
	event_base_loopbreak(h->base);
}

usec_t herd_elapsed(const struct herd *h)
{
	return (h->finished_at ? h->finished_at : clock_now()) - h->world->began;
}

void herd_free(struct herd **h)
{
	for (unsigned i = 0; i < (*h)->options.functions; i++) {
		close_socket(&(*h)->members[i]);
		function_free(&(*h)->members[i].fn);
	}
	event_free((*h)->end);
	free((*h)->members);
	free(*h);
	*h = NULL;
}
