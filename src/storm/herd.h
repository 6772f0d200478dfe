/*
 * herd.h - all functions of a storm on one event loop: their sockets, their timers, the end.
 *
 * herd_run() returns when the storm is over: everybody was served or has failed, and the idle and frozen stayed for
 * hold; or the deadline passed, or herd_stop() was called. All connections are closed then.
 * Threads: one.
 */
#ifndef PGWEIR_STORM_HERD_H
#define PGWEIR_STORM_HERD_H

#include "storm/function.h"
#include "storm/target.h"

#include <event2/event.h>

struct herd;

struct herd_options {
	unsigned functions;
	usec_t window, hold, deadline;
};

struct event_base *herd_event_base(void); /* precise timers; two priorities: 0 goes first, the functions have 1 */
struct herd *herd_new(struct event_base *base, struct world *world, const struct target *target,
	const struct herd_options *o);
void herd_run(struct herd *h);
void herd_stop(struct herd *h);
usec_t herd_elapsed(const struct herd *h); /* since it began; it stands still once everybody was served or has failed */
void herd_free(struct herd **h);

#endif
