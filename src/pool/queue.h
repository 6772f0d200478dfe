/*
 * queue.h - the queue in which clients wait for a server of one pool, at one worker.
 *
 * Order:     those with priority first; then, without fairness, first come, first served. With fairness those who wait belong to flows,
 *            served in turn by deficit round robin on the time that they have servers: each turn allows a flow its weight in quanta. What a
 *            server's use will cost isn't known before, so an average is charged at the grant and the difference when the server comes back.
 * Flows:     are known by a key, 0 being none: whoever has none goes before all flows. A flow without waiters is remembered for a second, since
 *            one that has just had a server for long is to wait for its next turns; debts are bounded.
 * Limits:    none of its own; deadlines are kept, and queue_expired() finds those that are over. A flow costs about 150 bytes, and there are no
 *            more of them than clients that waited within a second.
 * Ownership: the waiter is embedded in whoever waits; the queue links it and never frees it. Flows are the queue's.
 * Threads:   its worker's. Time is passed in.
 * Source:    Shreedhar and Varghese, "Efficient Fair Queuing using Deficit Round Robin"; surplus (debts) as in Adiseshu and others, "A Reliable
 *            and Scalable Striping Protocol".
 */
#ifndef PGWEIR_QUEUE_H
#define PGWEIR_QUEUE_H

#include "base/list.h"
#include "base/table.h"

struct server;
struct waiter;
struct settings;
struct error_info;

struct waiter_ops {
	void (*granted)(struct waiter *w,
		struct server **s); /* the server is SERVER_IDLE and in no list; it must be linked or put back */
	void (*delayed)(struct waiter *w); /* it has waited for query_wait_notify; once */
	void (*refused)(struct waiter *w, const struct error_info *e); /* e->severity FATAL: the client must go */
};

struct flow;

struct waiter { /* embedded in the client */
	struct list_node node;
	const struct waiter_ops *ops;
	usec_t since, deadline; /* deadline 0: none */
	usec_t wait_max;	/* its own limit, besides the pool's; 0: none */
	usec_t last_wait;	/* how long it waited for the server that it was given last */
	const struct settings *wants;
	uint64_t prefers;  /* this server, if it's idle; 0: any */
	uint64_t flow_key; /* 0: of no flow */
	struct flow *flow; /* while it waits; NULL: of none */
	uint16_t weight;   /* of its flow; 0 counts as 1 */
	bool is_priority;
	bool is_notified;
	bool is_greeting; /* doesn't want a server, only the pool's parameters */
};

struct queue {
	struct list priority, plain; /* of struct waiter, oldest first */
	struct list ring;	     /* of flows that have waiters; the first has its turn */
	struct flow *flows;	     /* hash by key: these, and those that are remembered */
	size_t count;		     /* of all who wait */
	unsigned weights;	     /* sum of those of flows in the ring */
	usec_t quantum;		     /* what a use of a server takes on average */
	usec_t next_deadline;	     /* none is over before; 0: nobody has one */
};

void queue_init(struct queue *q);
void queue_free(struct queue *q); /* nobody may wait */
void queue_push(struct queue *q, struct waiter *w, usec_t now);
void queue_remove(struct queue *q, struct waiter *w); /* no-op if it isn't in it */
struct waiter *queue_next(struct queue *q);	      /* whose turn it is, who stays; NULL: nobody waits */
/* Whose turn it is gets a server: *charge is what queue_charge() is to be told afterwards. Removes it. */
struct waiter *queue_take(struct queue *q, usec_t now, usec_t *charge);
/* The server that a flow was given has been used for so long; charged is queue_take()'s. */
void queue_charge(struct queue *q, uint64_t flow_key, usec_t charged, usec_t used);
void queue_set_quantum(struct queue *q, usec_t average);
/*
 * Since when the one whose turn it is has waited, for comparing queues: 0: nobody waits. With flows it is since when its flow has gone
 * without a server. One with priority looks as if it had waited for an hour longer.
 */
usec_t queue_since(const struct queue *q);
usec_t queue_oldest(const struct queue *q); /* the longest wait's begin; 0: nobody waits */
/* How many would be served before w if it were pushed now, the length of everybody's turn taken into account. */
size_t queue_ahead(const struct queue *q, const struct waiter *w);
/* In no particular order; fn may remove the waiter that it's given, and no other. False ends it. */
typedef bool queue_fn(void *ctx, struct waiter *w);
void queue_each(struct queue *q, queue_fn *fn, void *ctx);
/* Those who have waited since then or longer. */
void queue_each_since(struct queue *q, usec_t since, queue_fn *fn, void *ctx);
/* Calls fn for each whose deadline is over; fn must remove it. */
void queue_expired(struct queue *q, usec_t now, queue_fn *fn, void *ctx);
size_t queue_flows(const struct queue *q);	/* that are known, with or without waiters */
void queue_forget(struct queue *q, usec_t now); /* flows that nobody has used for a second */

#endif
