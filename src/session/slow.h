/*
 * slow.h - transactions and waits that took longer than log_min_duration_* get a line in the log, with the shape of their statement.
 *
 * A shape has no literals (wire/sqlshape.h). What a client sends is kept, in part, only while log_min_duration_transaction asks for it and only
 * for the length of a transaction. Of those with the same fingerprint one is logged in REPEATS_EVERY.
 * Threads: the worker's.
 */
#ifndef PGWEIR_SLOW_H
#define PGWEIR_SLOW_H

#include "session/client.h"

/* The text that a waiting client's next message is about; NULL: none is known. */
const char *client_held_text(const struct client *c, size_t *len);

void slow_note(struct client *c, const void *text, size_t len); /* a statement */
void slow_transaction(struct client *c, usec_t took);		/* it is over */
void slow_forget(struct client *c);				/* the client is idle, or goes */
void slow_wait(struct client *c, usec_t waited); /* it has a server now, and its next message hasn't been read */

#endif
