/*
 * lost.h - the virtual failed transaction: what a client gets that has lost its server inside a transaction block.
 *
 * Until it says ROLLBACK or COMMIT every statement is answered with an error, as in a failed transaction of PostgreSQL, without a
 * server: 25P02 if the server died, 25P03 if the transaction was reclaimed. COMMIT answers ROLLBACK, as there; there is no savepoint to go back to.
 */
#ifndef PGWEIR_LOST_H
#define PGWEIR_LOST_H

#include "session/request.h"

/*
 * Takes its server away, which is rolled back and goes to whoever waits. What the client is owed ends with this error; why is moved. In a block it gets
 * that with each statement if it is 25P03, else 25P02.
 */
void lost_reclaim(struct client *c, const char *sqlstate, char *why);
/*
 * Does this end the transaction of a client that has one open? A COMMIT that fails, for whatever reason, leaves no transaction: drivers count on
 * that, and some couldn't even say ROLLBACK afterwards.
 */
bool lost_would_end(const struct client *c, const char *sql, size_t len);
enum step lost_request(struct client *c, struct message_in *m);

#endif
