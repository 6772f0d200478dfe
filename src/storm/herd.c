#include "storm/herd.h"

#include <event2/event_struct.h>
#include <stdlib.h>

#define AT_A_TIME 8 /* functions without a pace that are looked after before those with one are asked again */
#define WAKES_AT_A_TIME                                                                                      \
	32 /* functions that are woken before those who are awake have their turn: 1 ms of connect() */

enum { PRIORITY_OURS, PRIORITY_PACED, PRIORITY_HERD, PRIORITIES };

struct member {
	struct function fn;
	struct herd *herd;
	struct group *group;
	struct connection connection;
	struct event io, timer;
	short events;	  /* what io waits for; 0: io isn't added */
	usec_t timer_at;  /* what timer is set to; 0: it isn't */
	bool is_finished; /* counted in herd->n_finished */
};

struct herd {
	struct event_base *base;
	struct group *groups;
	size_t n_groups;
	usec_t hold, deadline, began;
	struct member *members;
	struct member **wakes; /* in the order in which they wake */
	unsigned n_members, n_woken, n_finished;
	struct event *waker;
	usec_t finished_at; /* 0: somebody is still at it */
	struct event *end;  /* the deadline, or the end of the hold */
	struct scratch scratch;
};

static void settle(struct member *m);

struct event_base *herd_event_base(bool is_mixed)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	ASSERT(config);
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NO_CACHE_TIME);
	if (is_mixed)
		event_config_set_max_dispatch_interval(config, NULL, AT_A_TIME, PRIORITY_HERD);
	base = event_base_new_with_config(config);
	event_config_free(config);
	if (base)
		event_base_priority_init(base, PRIORITIES);
	return base;
}

static int priority_of(const struct member *m)
{
	return m->group->plan.period ? PRIORITY_PACED : PRIORITY_HERD;
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
	event_assign(&m->io, m->herd->base, m->connection.fd, events | EV_PERSIST, on_io, m);
	event_priority_set(&m->io, priority_of(m));
	event_add(&m->io, NULL);
}

static void lose(struct member *m, const char *key, const char *message)
{
	wait_for(m, 0);
	function_lost(&m->fn, &m->group->world, clock_now(), key, message);
}

static void take_event(struct member *m, enum connection_event event)
{
	struct herd *h = m->herd;

	switch (event) {
	case CONNECTION_NOTHING: break;
	case CONNECTION_READY: function_connected(&m->fn, &m->group->world, clock_now()); break;
	case CONNECTION_DATA:
		function_input(&m->fn, &m->group->world, clock_now(), h->scratch.plain, h->scratch.len);
		break;
	case CONNECTION_ENDED: lose(m, "closed", "the server closed the connection without a word"); break;
	case CONNECTION_FAILED: lose(m, m->connection.key, m->connection.message); break;
	}
}

static void send_out(struct member *m)
{
	struct writer *out = &m->fn.out;
	size_t n = connection_send(&m->connection, out->data, out->len - m->fn.held);

	if (n == 0)
		return;
	memmove(out->data, out->data + n, out->len - n);
	out->len -= n;
	if (out->len == 0)
		writer_free(out); /* an idle one owns no buffer */
}

/* A connect() that goes on to the next address has another socket, of which libevent must be told. */
static void on_io(evutil_socket_t fd, short what, void *ctx)
{
	struct member *m = ctx;
	enum connection_event event;

	(void)what;
	ASSERT(fd == m->connection.fd);
	if (m->connection.state == CONNECTION_REACHING)
		wait_for(m, 0);
	event = connection_io(&m->connection, &m->group->target, &m->herd->scratch);
	take_event(m, event);
	settle(m);
}

/* The timer. */

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct member *m = ctx;

	(void)fd, (void)what;
	m->timer_at = 0;
	function_timer(&m->fn, &m->group->world, clock_now());
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

static bool anybody_stays(const struct herd *h)
{
	for (unsigned i = 0; i < h->n_members; i++)
		if (function_link(&h->members[i].fn) != LINK_NONE)
			return true;
	return false;
}

static void all_finished(struct herd *h)
{
	usec_t now = clock_now();
	struct timeval delay;

	h->finished_at = now;
	if (h->hold == 0 || !anybody_stays(h)) {
		event_base_loopbreak(h->base);
		return;
	}
	delay = until(MIN(now + h->hold, h->began + h->deadline));
	event_add(h->end, &delay);
}

static void note_finished(struct member *m)
{
	struct herd *h = m->herd;

	if (m->is_finished || !function_is_finished(&m->fn))
		return;
	m->is_finished = true;
	if (++m->group->n_finished == m->group->phase->functions)
		m->group->finished_at = clock_now();
	if (++h->n_finished == h->n_members)
		all_finished(h);
}

static void hang_up(struct member *m, enum function_link link)
{
	wait_for(m, 0);
	if (link == LINK_CRASHED)
		connection_crash(&m->connection);
	else
		connection_close(&m->connection);
}

static short events_of(const struct member *m)
{
	const struct connection *c = &m->connection;
	size_t unsent = c->state == CONNECTION_UP ? m->fn.out.len - m->fn.held : 0;

	if (c->state == CONNECTION_REACHING)
		return EV_WRITE;
	return connection_wants_write(c) || unsent ? EV_READ | EV_WRITE : EV_READ;
}

/* Brings socket and timer into line with what the function wants now. */
static void settle(struct member *m)
{
	enum function_link link = function_link(&m->fn);

	if (link == LINK_OPEN && m->connection.state == CONNECTION_CLOSED) {
		take_event(m, connection_open(&m->connection, &m->group->target)); /* may fail at once, and then nothing is open again */
		link = function_link(&m->fn);
	}
	send_out(m);
	if (link == LINK_NONE || link == LINK_CRASHED)
		hang_up(m, link);
	else
		wait_for(m, link == LINK_FROZEN ? 0 : events_of(m));
	set_timer(m);
	note_finished(m);
}

static void on_end(evutil_socket_t fd, short what, void *ctx)
{
	struct herd *h = ctx;

	(void)fd, (void)what;
	event_base_loopbreak(h->base);
}

/* Waking. All at one instant are thousands of connect(): the first must be served before the last one is there. */

static void set_waker(struct herd *h)
{
	struct timeval delay;

	if (h->n_woken == h->n_members)
		return;
	delay = until(function_timer_at(&h->wakes[h->n_woken]->fn));
	event_add(h->waker, &delay);
}

static void on_waker(evutil_socket_t fd, short what, void *ctx)
{
	struct herd *h = ctx;

	(void)fd, (void)what;
	for (unsigned i = 0; i < WAKES_AT_A_TIME && h->n_woken < h->n_members; i++) {
		struct member *m = h->wakes[h->n_woken];

		if (function_timer_at(&m->fn) > clock_now())
			break;
		h->n_woken++;
		function_timer(&m->fn, &m->group->world, clock_now());
		settle(m);
	}
	set_waker(h);
}

static int compare_wakes(const void *a, const void *b)
{
	const struct member *const *x = a, *const *y = b;
	usec_t at = function_timer_at(&(*x)->fn), other = function_timer_at(&(*y)->fn);

	return at != other ? (at > other) - (at < other) : (*x > *y) - (*x < *y);
}

static void prepare_group(struct herd *h, struct group *g, struct member *m)
{
	const struct phase *p = g->phase;
	struct arrivals a = { .kind = p->arrival, .n = p->functions, .window = p->window };

	for (unsigned i = 0; i < p->functions; i++, m++) {
		m->herd = h;
		m->group = g;
		connection_init(&m->connection);
		function_init(&m->fn, h->began + p->start + arrivals_next(&a, &g->world));
		evtimer_assign(&m->timer, h->base, on_timer, m);
		event_priority_set(&m->timer, priority_of(m));
		h->wakes[m - h->members] = m;
	}
}

struct herd *herd_new(struct event_base *base, struct group *groups, size_t n_groups, usec_t hold, usec_t deadline)
{
	struct herd *h = xcalloc(1, sizeof(*h));

	h->base = base;
	h->groups = groups;
	h->n_groups = n_groups;
	h->hold = hold;
	h->deadline = deadline;
	for (size_t i = 0; i < n_groups; i++) {
		groups[i].world.stats.functions = groups[i].phase->functions;
		h->n_members += groups[i].phase->functions;
	}
	h->members = xcalloc(h->n_members, sizeof(*h->members));
	h->wakes = xcalloc(h->n_members, sizeof(struct member *));
	h->end = event_new(base, -1, 0, on_end, h);
	h->waker = event_new(base, -1, 0, on_waker, h);
	ASSERT(h->end && h->waker);
	event_priority_set(h->end, PRIORITY_OURS);
	event_priority_set(h->waker, PRIORITY_HERD);
	h->began = clock_now();
	return h;
}

static void prepare_everybody(struct herd *h)
{
	struct member *m = h->members;

	for (size_t i = 0; i < h->n_groups; i++) {
		h->groups[i].world.began = h->began;
		prepare_group(h, &h->groups[i], m);
		m += h->groups[i].phase->functions;
	}
	qsort(h->wakes, h->n_members, sizeof(struct member *), compare_wakes);
}

static void end_everybody(struct herd *h)
{
	for (unsigned i = 0; i < h->n_members; i++) {
		struct member *m = &h->members[i];

		function_end(&m->fn, &m->group->world, clock_now());
		settle(m);
	}
}

void herd_run(struct herd *h)
{
	struct timeval delay;

	prepare_everybody(h);
	set_waker(h);
	delay = until(h->began + h->deadline);
	event_add(h->end, &delay);
	event_base_dispatch(h->base);
	end_everybody(h);
}

void herd_stop(struct herd *h)
{
	event_base_loopbreak(h->base);
}

usec_t herd_began(const struct herd *h)
{
	return h->began;
}

usec_t herd_elapsed(const struct herd *h)
{
	return (h->finished_at ? h->finished_at : clock_now()) - h->began;
}

usec_t group_elapsed(const struct group *g, usec_t now)
{
	usec_t end = g->finished_at ? g->finished_at : now, start = g->world.began + g->phase->start;

	return end > start ? end - start : 0;
}

void herd_free(struct herd **h)
{
	for (unsigned i = 0; i < (*h)->n_members; i++) {
		connection_close(&(*h)->members[i].connection);
		function_free(&(*h)->members[i].fn);
	}
	event_free((*h)->end);
	event_free((*h)->waker);
	free((*h)->wakes);
	free((*h)->members);
	free(*h);
	*h = NULL;
}
