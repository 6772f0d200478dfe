/*
 * worker.h - one worker: a thread with its own loop, clients, servers, pools and counters. Shared-nothing.
 *
 * A worker's structures are touched by its own thread only (ASSERT_ON_WORKER). What other threads want of it comes as a message. The thread
 * itself is started by core/daemon.c.
 */
#ifndef PGWEIR_WORKER_H
#define PGWEIR_WORKER_H

#include "auth/passwords.h"
#include "auth/snapshot.h"
#include "base/repeats.h"
#include "base/slab.h"
#include "net/resolver.h"
#include "pool/paused.h"
#include "pool/shared.h"
#include "state/probe.h"
#include "state/prepared.h"
#include "stats/counters.h"
#include "stats/latency.h"
#include "net/loop.h"

#define ARENA_SIZE 32768
#define WORKER_SLOTS_MAX (1u << 24)

struct pool;
struct client;
struct auth_query;
struct worker_key;
struct reclaim_cause;

struct worker_slot {	       /* what a cancel key's number points at */
	struct client *client; /* NULL: free */
	uint32_t next_free;
};

struct past_counters { /* of pools that are gone, so that a database's sums never go back */
	UT_hash_handle hh;
	char *database;
	struct counters counters;
	struct histogram *latency[MEASURES_N]; /* since the start; NULL: never measured */
};

struct worker {
	/* fixed before the thread starts */
	int index, n_workers;
	struct worker **peers; /* all workers, this one too */
	struct registry *registry;
	struct resolver *resolver;
	struct mailbox *slow;	     /* a login thread's: PBKDF2 is done there */
	struct passwords *passwords; /* set like slow, after worker_init() */

	/* its own thread only */
	struct loop loop;
	struct snapshot *snapshot;
	const struct config *config;   /* the snapshot's */
	const char **suspects;	       /* suspect_functions */
	unsigned n_snapshots;	       /* which one: what was decided by an older one is decided anew */
	uint64_t pins_made[PINS_N];    /* for each reason, since the start */
	struct pool *pools;	       /* hash by shared part */
	uint64_t n_moved;	       /* servers that came from other workers */
	unsigned n_waiting;	       /* over all pools; published in registry->worker_waiting */
	struct paused paused;	       /* pools of these are made paused */
	struct past_counters *past;    /* hash by database */
	struct list moving;	       /* servers that leave at the end of the round */
	struct auth_query *auth_query; /* NULL: nobody has asked yet */
	struct list clients;
	struct list lingering;	 /* of the clients those that are closing: their last word is on its way */
	struct slab client_slab; /* the session's */
	struct settings_table settings; /* what clients came with, and were told */
	struct list cancels;
	struct statement_table statements;
	struct worker_slot *slots;
	struct worker_key *keys;     /* cancel keys that don't name a slot: session/keys.h */
	uint32_t n_slots, free_slot; /* free_slot: index + 1 of the first free one, 0: none */
	bool must_look;		     /* at the end of the round: see worker_look() */
	usec_t tick_every;
	usec_t next_sweep; /* of what needs no more than a look a second */
	bool is_suspended; /* by SUSPEND: nothing is read from clients */
	bool is_stopping;  /* no new work: clients are told to go when they are between transactions */
	usec_t stop_at;	   /* 0: not ending; else when the thread ends at the latest */
	bool is_leaving;   /* .. or just waited for; set together with is_stopping or alone */
	struct mailbox *drained_to;
	struct message *drained;     /* posted to the main thread when the last client has gone */
	struct repeats slow_repeats; /* of lines about slow transactions and waits */
	uint8_t arena[ARENA_SIZE];

	/* set by the layers above */
	void (*on_clients_tick)(struct worker *w);
	usec_t (*silent_since)(struct pool *p); /* the longest-silent transaction that may be reclaimed; 0: none */
	void (*reclaim)(struct pool *p, const struct reclaim_cause *why);
};

#define ASSERT_ON_WORKER(w) loop_assert_own(&(w)->loop)

void worker_init(struct worker *w, int index, struct worker **peers, int n_workers, struct registry *r,
	struct resolver *resolver, struct mailbox *slow, struct snapshot *snapshot);
void worker_destroy(struct worker *w);
void worker_set_snapshot(struct worker *w, struct snapshot **snapshot); /* moves; pools take up their new limits */
/*
 * A slot is free, or a pool's parameters are known: whoever waits, here or at another worker, looks again at the end of the round.
 */
void worker_look_again(struct worker *w);
void worker_count_waiting(struct worker *w, int change);
/* Of a pool that ends. */
void worker_keep_counters(struct worker *w, const char *database, const struct counters *c, struct latency *l);
void worker_warm_pools(struct worker *w); /* at the thread's start */
#define TICK_FAST (50 * USEC_PER_MSEC)
void worker_tick_fast(struct worker *w); /* deadlines are near */
void worker_tick_within(struct worker *w, usec_t in);

#endif
