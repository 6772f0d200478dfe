/*
 * cancel.h - CancelRequests towards PostgreSQL: to the right query or to none.
 *
 * One connection of its own carries each request, outside all pools' limits. The request is written only if the server is
 * still lent to the same client for the same lending at that moment; the server isn't lent to anybody else until PostgreSQL has closed the
 * cancelling connection, since until then the signal may be on its way.
 *
 * At most one cancel is under way per server: further ones for the same query are served by it. Their callers' sockets are closed when it has ended, as
 * PostgreSQL does.
 * Threads: the worker that owns the client and the server.
 * Source:  PostgreSQL's manual, "Canceling Requests in Progress".
 */
#ifndef PGWEIR_CANCEL_H
#define PGWEIR_CANCEL_H

#include "pool/server.h"

/* For the client that holds s, by its order. fd and *tls are the caller's and are closed in the end; -1: none. */
void cancel_start(struct server *s, int fd, struct tls **tls);
void cancel_start_own(struct server *s); /* while cleaning: what nobody waits for any more */
void cancel_target_gone(struct server *s);
void cancel_tick(struct worker *w);
void cancel_close_all(struct worker *w);

#endif
