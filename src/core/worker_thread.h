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

void worker_clients_tick(struct worker *w); /* worker->on_clients_tick: timeouts, and the end of a worker that stops */
void worker_set_callbacks(struct worker *w); /* those of the layers above the pool; before the thread starts */
void worker_thread_start(struct worker *w, pthread_t *thread);
void worker_order_snapshot(struct worker *w, struct snapshot *s); /* takes a reference of its own */
/* drained is posted to reply_to when no client is left (not for STOP_NOW, which ends the thread). */
void worker_order_stop(struct worker *w, enum stop_mode mode, struct message *drained, struct mailbox *reply_to);

#endif
