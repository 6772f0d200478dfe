/*
 * function.h - one function's life: it wakes, logs in, runs transactions, and ends as it was told to. No I/O, no clock.
 *
 * The herd (herd.h) calls one of function_timer(), function_connected(), function_input(), function_lost(), and then
 * brings the outside into line with what the function wants: a socket or none (function_link()), bytes sent (out), and
 * function_timer() called again at function_timer_at().
 *
 * Failure:   an attempt that fails is counted by its SQLSTATE or a word of ours, and is repeated after a pause as often as
 *            the plan allows; after an ERROR that left the connection alive, the repetition uses the same connection.
 * Limits:    messages that it must read are bounded; the body of all others is skipped, whatever their length.
 * Ownership: plan and world outlive all functions. A function owns its buffers until function_free().
 */
#ifndef PGWEIR_STORM_FUNCTION_H
#define PGWEIR_STORM_FUNCTION_H

#include "storm/keys.h"
#include "storm/stats.h"

enum after { AFTER_CLOSE, AFTER_IDLE, AFTER_FREEZE, AFTER_DROP };

/* What all functions of a herd do. */
struct plan {
	const char *user, *database, *password;			  /* password NULL: none */
	const char *options, *application_name, *client_encoding; /* startup parameters; NULL: not sent */
	const char *sql;
	bool is_simple; /* sql alone in one Query, instead of BEGIN, sql, COMMIT in three */
	enum after after;
	unsigned invocations, retries;			 /* retries: for each invocation */
	usec_t think, backoff, timeout, connect_timeout; /* connect_timeout 0: none but timeout */
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
	FUNCTION_FROZEN,     /* served; never reads or writes again, in the middle of its transaction */
	FUNCTION_DONE,	     /* served or failed, no connection */
};

struct function {
	enum function_state state;
	bool has_woken, was_connected, is_failing; /* is_failing: an ERROR came, ReadyForQuery hasn't */
	unsigned retries, invocations; /* repetitions of this invocation so far; invocations served */
	usec_t woke_at, invoked_at, attempt_at, begin_at;
	usec_t next_at, dies_at; /* the state's own timer and the end of the whole life; 0: none */
	struct scram *scram;	 /* while SCRAM goes on */
	bool is_verified;	 /* the server has proved that it knows the password */
	struct writer out;	 /* what is to be sent */
	struct writer partial;	 /* the beginning of a message that we must read */
	size_t skip;		 /* bytes of the current message that nobody needs */
};

enum function_link {
	LINK_NONE,
	LINK_OPEN,
	LINK_FROZEN, /* keep the socket and don't touch it */
};

void function_init(struct function *f, usec_t wake_at);
void function_free(struct function *f);

enum function_link function_link(const struct function *f);
usec_t function_timer_at(const struct function *f); /* 0: never */

void function_timer(struct function *f, struct world *w, usec_t now); /* may come early: then it does nothing */
void function_connected(struct function *f, struct world *w, usec_t now);
void function_input(struct function *f, struct world *w, usec_t now, const uint8_t *data, size_t len);
void function_lost(struct function *f, struct world *w, usec_t now, const char *key, const char *message);
/* The run ends: a function that is neither served nor failed has failed. Its link is LINK_NONE afterwards. */
void function_end(struct function *f, struct world *w, usec_t now);

#endif
