/*
 * worker_thread.h - a worker's thread and the orders it takes from the main thread.
 *
 * Threads: the main thread's; orders travel by message.
 */
#ifndef PGWEIR_WORKER_THREAD_H
#define PGWEIR_WORKER_THREAD_H

#include "pool/worker.h"

enum stop_mode {
	STOP_NOW,	    /* every client is told 57P01, then the thread ends */
	STOP_AT_BOUNDARIES, /* clients are told 57P01 between transactions */
	STOP_WHEN_CLIENTS_LEAVE,
};

#define GIVE_MAX 32

/* An order to give clients away, and its own answer. */
struct give {
	struct message message;
	struct mailbox *reply_to;
	void (*deliver)(struct message *m, void *owner); /* of the answer */
	void *ctx;					 /* .. for which this is */
	size_t n;
	struct given {
		int fd;
		struct writer state; /* a frame CLIENT: a secret */
	} clients[GIVE_MAX];
	size_t n_left; /* clients that the worker still has */
};

void worker_clients_tick(struct worker *w); /* worker->on_clients_tick: timeouts, and the end of a worker that stops */
void worker_set_callbacks(struct worker *w); /* those of the layers above the pool; before the thread starts */
void worker_thread_start(struct worker *w, pthread_t *thread);
void worker_order_snapshot(struct worker *w, struct snapshot *s); /* takes a reference of its own */
/* drained is posted to reply_to when no client is left (not for STOP_NOW, which ends the thread). */
void worker_order_stop(struct worker *w, enum stop_mode mode, struct message *drained, struct mailbox *reply_to);

/* Posts give back with clients that could be moved at once. Servers that nobody uses are closed. */
void worker_order_give(struct worker *w, struct give *g);
void given_free(struct given *g);	  /* wipes the state; closes the socket if it is still there */
void worker_order_look(struct worker *w); /* a slot may be free */

#endif
