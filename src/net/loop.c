#include "net/loop.h"

#include "net/stream.h"
#include "net/stream_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TICK_MAX USEC_PER_SEC

static void on_mailbox(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd, (void)what; /* edge-triggered: the counter needs no reading */
	l->now = clock_now();
	l->messages += mailbox_deliver(&l->mailbox);
}

static void arm_tick(struct loop *l, usec_t in)
{
	usec_t t = MAX(in, 1); /* 0 would disarm it */
	struct itimerspec when = { .it_value = { .tv_sec = (time_t)(t / USEC_PER_SEC),
					   .tv_nsec = (long)(t % USEC_PER_SEC) * 1000 } };

	timerfd_settime(l->tick_fd, 0, &when, NULL);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	usec_t in;

	(void)fd, (void)what; /* edge-triggered: setting it anew is enough, the counter needs no reading */
	l->now = clock_now();
	in = l->tick(l->owner); /* not inside MIN(), which would call it twice */
	arm_tick(l, MIN(in, TICK_MAX));
}

void loop_tick_in(struct loop *l, usec_t in)
{
	arm_tick(l, in);
}

void loop_tick_soon(struct loop *l)
{
	arm_tick(l, 0);
}

void loop_init(struct loop *l, void *owner, usec_t (*tick)(void *owner))
{
	struct event_config *cfg = event_config_new();

	ASSERT(cfg);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK); /* one thread each; others come through the mailbox */
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NO_CACHE_TIME); /* now is ours: libevent needn't read the clock */
	event_config_require_features(cfg, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
	memset(l, 0, sizeof(*l));
	l->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	ASSERT(l->base);
	l->owner = owner;
	l->tick = tick;
	l->now = clock_now();
	l->thread = pthread_self();
	list_init(&l->ready_first);
	list_init(&l->ready);
	list_init(&l->doomed);
	l->scratch = xmalloc(SCRATCH_SIZE);
	mailbox_init(&l->mailbox, owner);
	event_assign(&l->mailbox_event, l->base, l->mailbox.wake_fd, EV_READ | EV_PERSIST | EV_ET, on_mailbox, l);
	event_add(&l->mailbox_event, NULL);
	l->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	ASSERT(l->tick_fd >= 0);
	event_assign(&l->tick_event, l->base, l->tick_fd, EV_READ | EV_PERSIST | EV_ET, on_tick, l);
	event_add(&l->tick_event, NULL);
	if (tick)
		arm_tick(l, 0);
}

/* Those that are ready now: whoever becomes ready meanwhile goes behind, and what is left after count waits a round. */
static void serve(struct list *ready)
{
	for (size_t n = ready->count; n > 0; n--) {
		struct list_node *node = list_pop_front(ready);

		if (!node)
			break;
		stream_serve_(CONTAINER_OF(node, struct stream, ready_node));
	}
}

static void reap(struct loop *l)
{
	struct list_node *node;

	while ((node = list_pop_front(&l->doomed))) {
		struct doomed *d = CONTAINER_OF(node, struct doomed, node);

		d->free(d);
	}
}

void loop_run(struct loop *l)
{
	l->thread = pthread_self();
	while (!l->is_stopped) {
		bool is_busy = !list_is_empty(&l->ready_first) || !list_is_empty(&l->ready);

		event_base_loop(l->base, EVLOOP_ONCE | (is_busy ? EVLOOP_NONBLOCK : 0));
		l->now = clock_now();
		l->rounds++;
		serve(&l->ready_first);
		serve(&l->ready);
		if (l->round_end)
			l->round_end(l->owner);
		reap(l);
	}
}

void loop_stop(struct loop *l)
{
	l->is_stopped = true;
}

void loop_doom(struct loop *l, struct doomed *d)
{
	list_push_back(&l->doomed, &d->node);
}

void loop_destroy(struct loop *l)
{
	mailbox_discard(&l->mailbox);
	reap(l);
	event_del(&l->mailbox_event);
	event_del(&l->tick_event);
	close(l->tick_fd);
	mailbox_destroy(&l->mailbox);
	event_base_free(l->base);
	stream_free_sealing_(l);
	free(l->scratch);
}
