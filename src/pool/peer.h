/*
 * peer.h - cancel requests for another process behind the same port: [peers] says where it is.
 *
 * With so_reuseport or a load balancer a CancelRequest may reach any of several processes. The key says whose client it is for; this passes it
 * on, over a connection of its own, which is closed when the other process has closed it: then the request has been dealt with, and the caller's
 * connection is closed as well.
 *
 * Limits:  pool_size connections to a peer at a time, the rest wait; cancel_wait_timeout for each, from the moment it came.
 * Failure: is silent, as a cancel request has no answer; it is logged at debug level.
 * Threads: the main thread's.
 * Source:  PgBouncer's config.md, "Section [peers]".
 */
#ifndef PGWEIR_PEER_H
#define PGWEIR_PEER_H

#include "config/config.h"
#include "net/resolver.h"
#include "net/stream.h"
#include "wire/startup.h"

struct peers;

struct peer_counts {	/* as SHOW PEER_POOLS has them */
	int waiting;	/* requests without a connection */
	int active;	/* .. with one */
	int sent;	/* of these connections: the request is sent */
	int connecting; /* .. not yet */
};

struct peers *peers_new(struct loop *l, struct resolver *r);
void peers_free(struct peers **p);
/* Takes fd and *tls, which are the caller's connection; -1: none. The key is sent as it is. */
void peers_forward(struct peers *p, const struct config *c, int peer_id, const struct cancel_key *key, int fd,
	struct tls **tls);
void peers_tick(struct peers *p); /* now and then: deadlines */
void peers_count(const struct peers *p, int peer_id, struct peer_counts *out);

#endif
