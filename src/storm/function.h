/*
 * function.h - one function's life: it wakes, logs in, runs transactions, and ends as it was told to. No I/O, no clock.
 *
 * The herd (herd.h) calls one of function_timer(), function_connected(), function_input(), function_lost(), and then
 * brings the outside into line with what the function wants: a socket or none (function_link()), bytes sent (out, but for the last
 * held ones), and function_timer() called again at function_timer_at().
 *
 * Failure:   an attempt that fails is counted by its SQLSTATE or a word of ours, and is repeated after a pause as often as
 *            the plan allows; after an ERROR that left the connection alive, the repetition uses the same connection.
 * Schedule:  with a period the k-th invocation is due at the first login + k periods, however long the others took, and its duration
 *            is counted from there (an open loop). One that fails is missed, and the function goes on with the next.
 * Limits:    messages that it must read are bounded; the body of all others is skipped, whatever their length.
 * Ownership: plan and world outlive all functions. A function owns its buffers until function_free().
 */
#ifndef PGWEIR_STORM_FUNCTION_H
#define PGWEIR_STORM_FUNCTION_H

#include "storm/login.h"
#include "storm/stats.h"

enum work { WORK_TRANSACTION, WORK_QUERY, WORK_LOGIN };
enum after { AFTER_CLOSE, AFTER_IDLE, AFTER_FREEZE, AFTER_DROP, AFTER_CRASH };
enum at {
	AT_END,
	AT_TRANSACTION,
	AT_QUERY,
	AT_MESSAGE
}; /* where the last transaction breaks off, for freeze, drop and crash */

/* What all functions of a herd do. */
struct plan {
	const char *user, *database, *password;			  /* password NULL: none */
	const char *options, *application_name, *client_encoding; /* startup parameters; NULL: not sent */
	const char *sql;
	enum work work; /* WORK_QUERY: sql alone in one Query, instead of BEGIN, sql, COMMIT in three; WORK_LOGIN: nothing */
	enum after after;
	enum at at;
	unsigned invocations, retries;			 /* retries: for each invocation */
	usec_t think, backoff, timeout, connect_timeout; /* connect_timeout 0: none but timeout */
	usec_t period; /* of a schedule; 0: each invocation follows its predecessor */
	usec_t thaw;   /* how long a freeze lasts; 0: until the end of the run */
	double jitter; /* a pause is as much longer or shorter at most, as a part of it: 0 to 1 */
};

struct world { /* what all functions of a herd share and change */
	const struct plan *plan;
	struct stats stats;
	struct key_cache keys;
	uint64_t random; /* state of world_random(); not 0 */
	usec_t began;
};

double world_random(struct world *w); /* 0 <= x < 1; good enough for jitter */

enum function_state {
	FUNCTION_ASLEEP,     /* no connection: not awake yet, or pausing before the next attempt */
	FUNCTION_CONNECTING, /* waits for the socket */
	FUNCTION_LOGGING_IN, /* startup packet sent, until AuthenticationOk */
	FUNCTION_STARTING,   /* until the first ReadyForQuery */
	FUNCTION_RESTING,    /* connected, between two invocations or pausing before a repetition */
	FUNCTION_BEGINNING,  /* BEGIN sent */
	FUNCTION_WORKING,    /* the statement is sent */
	FUNCTION_COMMITTING, /* COMMIT sent */
	FUNCTION_UNDOING,    /* ROLLBACK sent, after an ERROR inside the transaction */
	FUNCTION_IDLE,	     /* served; stays connected until the end of the run */
	FUNCTION_FROZEN, /* doesn't read or write, in the middle of its transaction; for ever if it has no timer */
	FUNCTION_DONE, /* served or failed, no connection */
};

struct function {
	enum function_state state, before_freeze;
	bool has_woken, was_connected, is_failing; /* is_failing: an ERROR came, ReadyForQuery hasn't */
	bool is_between, has_thawed, is_crashing;  /* is_between: no invocation is under way */
	unsigned retries, invocations, missed; /* repetitions of this invocation so far; invocations served; given up */
	usec_t woke_at, invoked_at, attempt_at, begin_at, froze_at, thawed_at;
	usec_t schedule_from; /* when the first invocation is due; 0: not known yet */
	usec_t next_at, dies_at; /* the state's own timer and the end of the whole life, or of the invocation; 0: none */
	struct login login;
	struct writer out;     /* what is to be sent */
	size_t held;	       /* bytes at its end that are held back */
	struct writer partial; /* the beginning of a message that we must read */
	size_t skip;	       /* bytes of the current message that nobody needs */
};

enum function_link {
	LINK_NONE,
	LINK_OPEN,
	LINK_FROZEN,  /* keep the socket and don't touch it */
	LINK_CRASHED, /* the peer is told nothing, not even that the connection is closed */
};

void function_init(struct function *f, usec_t wake_at);
void function_free(struct function *f);

enum function_link function_link(const struct function *f);
usec_t function_timer_at(const struct function *f);  /* 0: never */
bool function_is_finished(const struct function *f); /* served or failed, and nothing is to come */

void function_timer(struct function *f, struct world *w, usec_t now); /* may come early: then it does nothing */
void function_connected(struct function *f, struct world *w, usec_t now);
void function_input(struct function *f, struct world *w, usec_t now, const uint8_t *data, size_t len);
void function_lost(struct function *f, struct world *w, usec_t now, const char *key, const char *message);
/* The run ends: a function that is neither served nor failed has failed. Its link is LINK_NONE afterwards. */
void function_end(struct function *f, struct world *w, usec_t now);

#endif
