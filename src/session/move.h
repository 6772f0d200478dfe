/*
 * move.h - a client on its way into another process: what it is as bytes, and back.
 *
 * Moves:    only a client that has nothing on its way: welcomed, between transactions, without a server, a pin, a half message, or
 *           anything that waits in either direction; with TLS 1.3, or in plain text. What its socket still holds goes along.
 * Carries:  names, startup parameters, settings, what it was told, prepared statements, its cancel key and its times; what servers are
 *           logged in with; the keys of its TLS connection. So the bytes are a secret: who holds them wipes them.
 * Contexts: of statements go as they are: both processes hash with the same key (core/upgrade.h).
 * Reading:  from a process of our own user, and still nothing is believed: everything is limited and checked before it is used.
 * Threads:  move_is_ready(), move_write() and move_adopt() the worker's; the rest any.
 */
#ifndef PGWEIR_MOVE_H
#define PGWEIR_MOVE_H

#include "session/client.h"

#define MOVE_MAX (160 * 1024) /* a client with more than that stays where it is */

struct moved;

bool move_is_ready(const struct client *c);
/* False: it is too much to be moved; w is as it was. */
bool move_write(const struct client *c, struct writer *w);
/* RES_OK: *out is a newcomer without descriptor and number. RES_PROTOCOL, RES_LIMIT: *out is NULL. */
enum result move_read(const uint8_t *bytes, size_t len, struct newcomer **out);
/* Which worker its cancel key names, of n. */
int move_worker(const struct newcomer *n, int n_workers);
void move_adopt(struct worker *w, struct newcomer **n);
void moved_free(struct moved **m);

#endif
