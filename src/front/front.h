/*
 * front.h - the front desk: a login thread with its own loop, which takes clients from accept to handoff.
 *
 * Storms:  login_concurrency logins at a time: a login begun is finished before new ones are let in, and the rest of the herd
 *          waits in the backlog, first come, first served. A login has a place from accept on and for 50 ms after each step
 *          that it takes; one that waits longer for its client costs a descriptor and a line in a list, until
 *          client_login_timeout. Bytes that complete nothing are no step. The thread runs at a lower priority than workers. At most
 *          16 connections are accepted a round. Without descriptors it pauses for a moment.
 * Lookups: a login that waits for an answer from elsewhere isn't read, has no place among those, and has the deadline of every
 *          login. Answers that come too late are freed.
 * Limits:  max_client_conn + 1000 logins at once; client_login_timeout for each, and only a few seconds
 *          while all places are taken. Failed ones are read from for at most a second more, so that the
 *          last word arrives.
 * Guesses: who didn't prove who it is waits for the answer as slowdown.h says, and costs no turn meanwhile.
 * Up:      finished logins and cancels go to ops, at the end of a round, on this thread. ops may be called
 *          from several fronts at once.
 * Owner:   front duplicates the descriptors that it listens on. Newcomers and cancel requests belong to
 *          whom they are given.
 * Threads: every function from the main thread.
 */
#ifndef PGWEIR_FRONT_H
#define PGWEIR_FRONT_H

#include "auth/lookup.h"
#include "front/listener.h"
#include "pool/shared.h"
#include "session/newcomer.h"

struct front;

struct front_ops {
	void (*deliver)(void *ctx, struct newcomer *n); /* a console's (is_admin) or a worker's */
	void (*cancel)(void *ctx, const struct config *c, struct cancel_request *r);
	/*
	 * Takes a place in max_client_conn, max_db_client_connections and max_user_client_connections, or in
	 * max_client_conn_per_addr. False: *why is what the client is told.
	 */
	bool (*count_client)(void *ctx, const struct config *c, const char *database, const char *user,
		struct limit_reached *why);
	void (*uncount_client)(void *ctx, const char *database, const char *user);
	bool (*count_origin)(
		void *ctx, const struct config *c, const struct address_origin *o, struct limit_reached *why);
	void (*uncount_origin)(void *ctx, const struct address_origin *o);
	void (*ask)(void *ctx, struct lookup *q); /* moves q, which must be answered unless everything ends */
};

struct front_options {
	const struct listener *listener;
	struct snapshot *snapshot; /* the front takes a reference of its own */
	const struct front_ops *ops;
	void *ctx;
	uint64_t first_id, id_step; /* clients' numbers: first_id, first_id + id_step, ..; unique among fronts */
};

enum front_door {
	FRONT_OPEN,
	FRONT_CLOSED,	    /* nobody is accepted: clients wait in the backlog; logins begun go on */
	FRONT_CONSOLE_ONLY, /* for good: TCP is closed, and only console logins get in */
};

struct front *front_start(const struct front_options *o);
void front_set_snapshot(struct front *f, struct snapshot *s); /* for logins from now on; takes its own reference */
void front_set_door(struct front *f, enum front_door door);
struct mailbox *front_mailbox(struct front *f); /* for work that would hold up a worker: PBKDF2. Any thread may post */
size_t front_login_count(const struct front *f); /* logins in progress */
void front_stop(struct front **f);		 /* ends what is in progress, joins the thread */

#endif
