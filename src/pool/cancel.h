/*
 * cancel.h - CancelRequests towards PostgreSQL: to the right query or to none.
 *
 * One connection of its own carries each request, outside all pools' limits. The request is written only if at that moment the server is
 * still lent to the same client and works on the request that the order was for; nothing of our own is sent to the server, and it isn't lent to anybody else,
 * until PostgreSQL has closed the cancelling connection, since until then the signal may be on its way.
 *
 * At most one cancel is under way per server. Orders that come before it is written are served by it; if others came after that, and what they were
 * for still runs when it has ended, another one follows. Callers' sockets are closed when the one that serves them has ended, as PostgreSQL does.
 * A cancel may reach PostgreSQL before the query does, and be ignored: if the query still runs a moment after it, it is sent once more.
 * Threads: the worker that owns the client and the server.
 * Source:  PostgreSQL's manual, "Canceling Requests in Progress".
 */
#ifndef PGWEIR_CANCEL_H
#define PGWEIR_CANCEL_H

#include "pool/server.h"

/* For the client that holds s, by its order. fd and *tls are the caller's and are closed in the end; -1: none. */
void cancel_start(struct server *s, int fd, struct tls **tls);
void cancel_repeat(struct server *s, usec_t now); /* at each of its server's ticks */
void cancel_start_own(struct server *s);	  /* while cleaning: what nobody waits for any more */
void cancel_target_gone(struct server *s);
void cancel_tick(struct worker *w);
void cancel_close_all(struct worker *w);

#endif
