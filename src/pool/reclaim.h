/*
 * reclaim.h - a transaction whose client has gone silent gives its server back when somebody needs it.
 *
 * When the longest waiting client of a pool has waited for reclaim_after, the longest-silent transaction of that pool, at whichever worker it is,
 * is ended. One at a time, over all workers: its server goes to the head of the queue, and often serves all who wait there.
 *
 * Which transaction has been silent for longest at a worker is looked up at the ticks of those that have servers, while somebody waits; the path of a query
 * knows nothing of it. What silent means, and what becomes of the client, is the session's: worker->silent_since and worker->reclaim.
 *
 * Threads: the pool's worker. Another worker's transaction is asked for by message; it decides by itself whether it still is to be ended.
 */
#ifndef PGWEIR_RECLAIM_H
#define PGWEIR_RECLAIM_H

#include "pool/pool.h"

struct reclaim_cause {
	unsigned waiting; /* clients, over all workers */
	usec_t waited;	  /* the longest of them */
};

void reclaim_tick(struct pool *p);

#endif
