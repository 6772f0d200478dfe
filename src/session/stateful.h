/*
 * stateful.h - statements that may change their session: what is noted of them before they run, and which may not run.
 *
 * Threads: the client's worker.
 */
#ifndef PGWEIR_STATEFUL_H
#define PGWEIR_STATEFUL_H

#include "session/request.h"
#include "wire/sqlscan.h"

#define SCAN_MAY_SET (SCAN_SET | SCAN_OPAQUE | SCAN_SUSPECT | SCAN_TRUNCATED)

/* Whether such a statement may run will be known in a moment: the client is paused until then. */
bool stateful_must_wait(struct client *c, unsigned makes);
/* A statement that makes these (enum scan_flag) may not run: why not. NULL: it may. */
struct prepared_note *stateful_refuse(const struct client *c, unsigned makes, enum fail_reason *reason);
/* flags: of enum scan_flag; names of custom settings are looked for in the text. */
void stateful_note(struct client *c, unsigned flags, const void *text, size_t len);
void stateful_note_sequences(struct client *c); /* currval() and lastval() */
/* A SET alone in its transaction, in a session without pins: if it works, it is committed, and nothing else has changed. */
void stateful_note_only_setting(struct client *c, const struct scan_result *r);
/* It may deallocate what the server has prepared: what comes behind it can't count on that. */
bool stateful_deallocates_all(const struct scan_result *r);
/* Where its sequences have values, if nobody else has used that server since. */
void stateful_prefer_server(struct client *c, unsigned flags);

#endif
