/*
 * loop.h - a thread's event loop: libevent says what is ready, the loop decides who goes first.
 *
 * A round: wait; callbacks only note what became ready; then every ready stream is served, servers before clients;
 * then what was closed in the round is freed. So nothing is freed while anybody up the stack still uses it, and a
 * server's answer goes out before new work comes in, without a second epoll_wait for the priority.
 *
 * Time:    loop->now is read once a round. One tick per loop sweeps deadlines; there are no timers per query.
 * Threads: everything belongs to the loop's own thread; mailbox_post(&loop->mailbox) is the way in.
 */
#ifndef PGWEIR_LOOP_H
#define PGWEIR_LOOP_H

#include "base/list.h"
#include "net/mailbox.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>

#define SCRATCH_SIZE 65536

struct sealing;

struct loop {
	struct event_base *base;
	usec_t now;
	struct list ready_first, ready; /* of struct stream */
	struct list doomed;		/* of struct doomed */
	uint8_t *scratch;	 /* SCRATCH_SIZE bytes; whoever reads a socket owns them until it returns */
	struct sealing *sealing; /* of streams with TLS; NULL: there has been none */
	struct mailbox mailbox;
	struct event mailbox_event, tick_event;
	int tick_fd; /* a timerfd: with a timer of its own libevent reads the clock three times a round */
	usec_t (*tick)(void *owner); /* returns when it wants to be called again: in that many microseconds */
	void (*round_end)(void *owner); /* may be NULL */
	void *owner;
	pthread_t thread;
	uint64_t rounds, messages; /* since the start */
	bool is_stopped;
};

struct doomed { /* embedded in what must outlive the round in which it was closed */
	struct list_node node;
	void (*free)(struct doomed *d);
};

void loop_init(struct loop *l, void *owner, usec_t (*tick)(void *owner));
void loop_run(struct loop *l); /* until loop_stop() */
void loop_stop(struct loop *l);
void loop_doom(struct loop *l, struct doomed *d);
void loop_destroy(struct loop *l);
void loop_tick_in(struct loop *l, usec_t in); /* instead of when it said */
void loop_tick_soon(struct loop *l); /* the tick runs in this round's follower rather than when it said */

static inline void loop_assert_own(const struct loop *l)
{
	ASSERT(pthread_equal(l->thread, pthread_self()));
}

#endif
