/*
 * lost.h - the virtual failed transaction: what a client gets whose server died inside a transaction block.
 *
 * Until it says ROLLBACK or COMMIT every statement is answered with 25P02, as in a failed transaction of PostgreSQL, without a
 * server. COMMIT answers ROLLBACK, as there.
 */
#ifndef PGWEIR_LOST_H
#define PGWEIR_LOST_H

#include "session/request.h"

enum step lost_request(struct client *c, struct message_in *m);

#endif
