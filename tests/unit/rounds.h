/* rounds.h - a loop that a test drives round by round: no round ever waits. */
#ifndef PGWEIR_ROUNDS_H
#define PGWEIR_ROUNDS_H

#include "net/loop.h"

static inline void rounds_stop_(void *owner)
{
	loop_stop(owner);
}

static inline void rounds_deliver_(struct message *m, void *owner)
{
	(void)m, (void)owner;
}

static inline void rounds_discard_(struct message *m)
{
	(void)m;
}

/* The loop's owner is the loop. */
static inline void rounds_init(struct loop *l)
{
	loop_init(l, l, NULL);
	l->round_end = rounds_stop_;
}

/* A message wakes each round; what the kernel has ready is served with it. */
static inline void rounds_run(struct loop *l, int n)
{
	for (int i = 0; i < n; i++) {
		struct message wake = { .deliver = rounds_deliver_, .discard = rounds_discard_ };

		mailbox_post(&l->mailbox, &wake);
		l->is_stopped = false;
		loop_run(l);
	}
}

#endif
