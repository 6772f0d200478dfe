/*
 * events.h - the last notable things, for SHOW EVENTS: what somebody who comes after an incident wants to know first.
 *
 * Storms, hosts on hold and back, refused queries, reloads, pauses, certificates: seldom by nature, or said once per episode. What can
 * happen to every client (a wrong password, a timeout) is for the log.
 *
 * Bound:    EVENTS_KEPT of each kind, so that a flood of one kind drives out no other. One that says the same as the newest of its
 *           kind is counted there instead.
 * Secrets:  as for the log, callers pass none. Control characters become question marks; a longer text is cut.
 * Threads:  any; a mutex is held for a copy of one event, or of all of them where they are read. Not for the path of a query.
 * A process has one ring, as it has one log.
 */
#ifndef PGWEIR_EVENTS_H
#define PGWEIR_EVENTS_H

#include "base/base.h"

/* X(constant, name in SHOW EVENTS) */
#define EVENT_KINDS(X)                                                                                       \
	X(EVENT_LIFE, "life")		    /* started, draining, an upgrade */                              \
	X(EVENT_RELOAD, "reload")	    /* applied or refused, and why */                                \
	X(EVENT_COMMAND, "command")	    /* PAUSE, KILL, SET and the like, and by whom */                 \
	X(EVENT_STORM, "storm")		    /* of logins: it begins, it is over */                           \
	X(EVENT_HOLD, "hold")		    /* a host isn't asked for now, or is back */                     \
	X(EVENT_LIMIT, "limit")		    /* PostgreSQL is full: a pool's limit shrinks, grows */          \
	X(EVENT_SHED, "shed")		    /* queries are refused, since they would have waited too long */ \
	X(EVENT_RECLAIM, "reclaim")	    /* a server was taken from who sat on it */                      \
	X(EVENT_CERTIFICATE, "certificate") /* taken into use, refused, about to expire */                   \
	X(EVENT_SECRET, "secret")	    /* auth_file and passwords of databases: read anew, unreadable */

#define EVENT_CONSTANT(constant, name) constant,
enum event_kind { EVENT_KINDS(EVENT_CONSTANT) EVENT_KINDS_N };
#undef EVENT_CONSTANT

#define EVENTS_KEPT 64
#define EVENT_TEXT_MAX 240

struct noted_event {
	uint64_t number; /* in order of the first time, over all kinds */
	enum event_kind kind;
	uint64_t first, last; /* microseconds of the wall clock since 1970 */
	uint64_t times;
	char text[EVENT_TEXT_MAX];
};

void events_add(enum event_kind kind, const char *format, ...) PRINTF_LIKE(2, 3);
const char *event_kind_name(enum event_kind kind);
uint64_t events_total(enum event_kind kind); /* since the start */

/* All that are kept, oldest first. The caller frees the array; NULL, if there are none. */
struct noted_event *events_copy(size_t *n);

#endif
