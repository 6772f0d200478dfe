/*
 * names.h - what a client's statement names mean while answers are due that may change it.
 *
 * A name is changed when a message is sent and given back when the server skips it (pending.h). Where what comes next hangs on such an
 * answer these say so, and the client waits for it.
 * Threads: the client's worker.
 */
#ifndef PGWEIR_NAMES_H
#define PGWEIR_NAMES_H

#include "session/client.h"

/*
 * A name whose Parse is in an earlier batch and still unanswered may turn out not to exist: then it can be
 * neither replaced nor taken away, since the error would undo what never was.
 */
bool name_is_uncertain(const struct client *c, const struct client_statement *cs);
/* A name that it hasn't got: taken away in an earlier batch, which may still fail before that. */
bool name_may_come_back(const struct client *c, const char *name);
/* Whether this client still has the name depends on a DEALLOCATE ALL that is on its way. */
bool name_is_unclear(const struct client *c, const char *name);
/* name is that of the unnamed statement, which every Query and Parse changes, and an earlier batch does that. */
bool unnamed_is_unclear(const struct client *c, const char *name);
/* What has just been handed to the gather makes st its unnamed statement (NULL: it has none); recorded as sent. */
void unnamed_sent(struct client *c, enum pending_type type, struct statement *st);

#endif
