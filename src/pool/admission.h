/*
 * admission.h - who may wait for a server of a pool, for how long, and what those are told who may not.
 *
 * Refusal:  an ERROR 53300 with numbers; the client stays. With query_wait_timeout_action = disconnect the pool's own limits end it, as
 *           PgBouncer's do; not a deadline that it set itself, nor a forecast.
 * Deadline: the pool's query_wait_timeout, and the client's own (waiter.wait_max). Whoever's is over is refused within a tick of 50 ms, and in
 *           any case before it could be granted a server.
 * Forecast: where query_wait_prediction is on, whoever would most likely wait for too long is refused at once, while others whose turn
 *           comes in time are still served. An eighth of the time is kept back, for the answer and for chance. Nobody is refused for it while
 *           servers could still be opened, none has been held long enough to know, the server is in trouble or the pool is paused.
 * Threads:  the worker's. For pool.c alone; what else there is of it is in pool.h.
 */
#ifndef PGWEIR_ADMISSION_H
#define PGWEIR_ADMISSION_H

#include "pool/pool.h"

/* The time is that of w->since. False: it was refused. */
bool admission_enter(struct pool *p, struct waiter *w);
void admission_leave(struct pool *p, struct waiter *w);
struct waiter *admission_next(struct pool *p); /* who is granted a server next; refuses those before it who are late */
struct waiter *admission_take(struct pool *p, struct server *s); /* the same, who has it now; there must be one */
void admission_put(struct pool *p, struct server *s);		 /* s is free again */
void admission_lend(struct pool *p, struct waiter *w, struct server *s); /* s was taken without waiting */
/* The login error of a moment ago, if it is one that waiting won't mend and it isn't time yet to try again. */
bool admission_refuse_by_last_error(struct pool *p, struct waiter *w);
void admission_refuse_all(struct pool *p, const char *sqlstate, const char *message); /* by an error of the login's */
void admission_tick(struct pool *p, usec_t now);

#endif
