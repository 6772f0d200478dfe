/*
 * frozen.h - clients that have gone silent in a transaction, and how it is taken from them: see pool/reclaim.h.
 *
 * A transaction may be reclaimed while its client owes the next message: it has all its answers, or the server waits for its COPY. It must end
 * with a ROLLBACK and leave nothing of its client's behind that a ROLLBACK doesn't take back: then the client would have lost more than its transaction,
 * without being told. The client keeps its connection (session/lost.h).
 * Threads: the worker's.
 */
#ifndef PGWEIR_FROZEN_H
#define PGWEIR_FROZEN_H

#include "pool/reclaim.h"

usec_t frozen_since(struct pool *p); /* since when the one that has been silent for longest has; 0: none */
void frozen_reclaim(struct pool *p,
	const struct reclaim_cause *why); /* no-op if none has been silent for idle_in_transaction_grace */

#endif
