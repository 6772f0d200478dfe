/*
 * herd.h - all functions of a storm on one event loop: their sockets, their timers, the end.
 *
 * Groups:   one for each phase, with what its functions share. Functions with a pace go before all others, so that the herd beside
 *           them costs them as little of our own time as can be; what it does cost is part of their times.
 * The end:  herd_run() returns when the storm is over: everybody was served or has failed, and the idle and frozen stayed for
 *           hold; or the deadline passed, or herd_stop() was called. All connections are closed then.
 * Threads:  one.
 */
#ifndef PGWEIR_STORM_HERD_H
#define PGWEIR_STORM_HERD_H

#include "storm/connection.h"
#include "storm/scenario.h"

#include <event2/event.h>

struct herd;

struct group {
	const struct phase *phase;
	struct target target;
	struct plan plan;
	struct world world;
	unsigned n_finished;
	usec_t finished_at; /* 0: somebody is still at it */
};

/* Precise timers; priorities: 0 goes first, functions have 1 (with a pace) and 2. */
struct event_base *herd_event_base(bool is_mixed);
struct herd *herd_new(struct event_base *base, struct group *groups, size_t n_groups, usec_t hold, usec_t deadline);
void herd_run(struct herd *h);
void herd_stop(struct herd *h);
usec_t herd_began(const struct herd *h);
usec_t herd_elapsed(const struct herd *h); /* since it began; it stands still once everybody was served or has failed */
/* From when its phase starts; 0: not yet. */
usec_t group_elapsed(const struct group *g, usec_t now);
void herd_free(struct herd **h);

#endif
