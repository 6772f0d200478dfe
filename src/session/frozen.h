/*
 * frozen.h - clients that have gone silent, and how their server is taken from them: see pool/reclaim.h.
 *
 * A transaction may be reclaimed while its client owes the next message: it has all its answers, or the server waits for its COPY. It must end
 * with a ROLLBACK and leave nothing of its client's behind that a ROLLBACK doesn't take back: then the client would have lost more than its transaction,
 * without being told. The client keeps its connection (session/lost.h).
 *
 * A client that doesn't read its result (client_write_timeout) loses its server in the same way: what it does is cancelled and rolled back. It gets
 * the rest of the message that was cut, and an error behind it. If that rest is long, or it would lose more than its transaction, it is closed.
 * Threads: the worker's.
 */
#ifndef PGWEIR_FROZEN_H
#define PGWEIR_FROZEN_H

#include "pool/reclaim.h"
#include "session/client.h"

usec_t frozen_since(struct pool *p); /* since when the one that has been silent for longest has; 0: none */
void frozen_reclaim(struct pool *p,
	const struct reclaim_cause *why); /* no-op if none has been silent for idle_in_transaction_grace */
void frozen_stalled(struct client *c); /* it has a server, and hasn't read what that has sent for client_write_timeout */
/* What its server sends once is_stalled is set: how much was taken. */
size_t frozen_finish_message(struct client *c, const uint8_t *bytes, size_t len);

#endif
