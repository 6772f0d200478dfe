/*
 * keys.h - which cancel key is whose.
 *
 *	pid     1 bit 0, 7 bits the worker, 24 bits the client's slot there and one
 *	secret  4 random bytes, 32 from protocol 3.2 on
 *
 * With a peer_id the slot's place has PgBouncer's layout, so that any process behind the same port can tell whose it is: 14 bits peer id in
 * bytes 1 and 2, low byte first, and in the low two bits of byte 7 how many times a request may be passed on. Such a key, and that of a
 * client who has it from another process, is found by a table.
 *
 * Threads: the worker's; session_cancel_worker() and session_cancel_peer() from any.
 */
#ifndef PGWEIR_KEYS_H
#define PGWEIR_KEYS_H

#include "pool/worker.h"
#include "session/newcomer.h"

void session_key_take(struct client *c, uint32_t protocol);
void session_key_keep(struct client *c, const struct cancel_key *k); /* the one that it has already, after session_key_take() */
void session_key_return(struct client *c);

void session_cancel(struct message *m, void *owner); /* deliver() of a cancel_request */
void session_cancel_discard(struct message *m);
int session_cancel_worker(const struct cancel_key *k);
int session_cancel_peer(const struct cancel_key *k); /* means something only where peer_id is set */
bool session_cancel_hop(struct cancel_key *k); /* to be passed on; false: it has been passed on often enough */

#endif
