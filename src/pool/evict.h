/*
 * evict.h - pools under the same limit of a database or a user, or at the same full PostgreSQL: a slot of one for those who wait in another.
 *
 * Idle servers are given up for whoever waits, at this worker at once, at others by message. Servers at work go on, first come, first served
 * being each pool's own affair; except with queue_fairness = user, where a pool has a user's share of max_db_connections: one that has more servers
 * for its weight than another would have with one more gives up the next that comes free, and one without any is always given one.
 *
 * Threads: the worker's. For pool.c, opening.c and server_login.c.
 */
#ifndef PGWEIR_EVICT_H
#define PGWEIR_EVICT_H

#include "pool/pool.h"

/* There is no slot for p, by this limit. True: there is one now; otherwise there may be one later. */
bool evict_for(struct pool *p, enum slot_result full);
/*
 * PostgreSQL has no place for p, says a login that is still counted. One that has no server at all there is helped out; others aren't,
 * since the limit may be their role's or database's own.
 */
void evict_at(struct pool *p, struct host_pool *host);
bool evict_owes(struct pool *p);	   /* its server that is free now must be closed for another pool */
bool evict_may_open(const struct pool *p); /* false: the next free slot is another pool's */
void evict_opened(struct pool *p);	   /* it has taken a slot */

#endif
