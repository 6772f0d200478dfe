/*
 * evict.h - pools under the same limit of a database or a user: a slot of one for those who wait in another.
 *
 * Idle servers are given up for whoever waits, at this worker at once, at others by message. Servers at work go on, first come, first served
 * being each pool's own affair; except with queue_fairness = user, where a pool has a user's share of max_db_connections: one that has more servers
 * for its weight than another would have with one more gives up the next that comes free, and one without any is always given one.
 *
 * Threads: the worker's. For pool.c and opening.c.
 */
#ifndef PGWEIR_EVICT_H
#define PGWEIR_EVICT_H

#include "pool/pool.h"

/* There is no slot for p, by this limit. True: there is one now; otherwise there may be one later. */
bool evict_for(struct pool *p, enum slot_result full);
bool evict_owes(struct pool *p);	   /* its server that is free now must be closed for another pool */
bool evict_may_open(const struct pool *p); /* false: the next free slot is another pool's */
void evict_opened(struct pool *p);	   /* it has taken a slot */

#endif
