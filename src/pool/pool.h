/*
 * pool.h - one worker's part of a pool: servers of one (database, user), lent to clients.
 *
 * admission.c is the part in which they wait: who may, for how long, and what those are told who may not.
 *
 * Lending:   pool_request() gives an idle server at once or queues the waiter; a server that becomes free goes to the longest
 *            waiting client, without passing through the idle list: the local head, unless another worker's oldest is in need and has
 *            waited for much longer. Then, or when nobody waits here, the server itself moves (doc/ARCHITECTURE.md, "Lending").
 * Order:     queue.h's. A waiter leaves exactly once: granted, refused or withdrawn. None is granted after its deadline.
 * Limits:    the pool's size and those of its database and user, exact over all workers (shared.h).
 * Opening:   as many servers at once as clients wait, within what the limits and the hosts allow (opening.c, host.h).
 * Ownership: a server belongs to the pool except while it is linked to a client; pool_put_server() gives it back.
 * Threads:   its worker's.
 */
#ifndef PGWEIR_POOL_H
#define PGWEIR_POOL_H

#include "config/host_list.h"
#include "pool/forecast.h"
#include "pool/host.h"
#include "pool/queue.h"
#include "pool/worker.h"
#include "stats/counters.h"
#include "stats/latency.h"

#define POOL_KNOWN 64

struct pool {
	UT_hash_handle hh;
	struct worker *worker;
	struct pool_shared *shared;
	const struct config_database *database; /* NULL: removed by a reload */
	const struct config_user *user;
	struct slot_limits limits; /* without the reserve */
	int reserve, min_size, max_pinned;
	enum session_features features;
	struct settings *startup; /* replication: what its client came with, which goes into the server's startup packet */
	bool uses_sequences;	       /* somebody has asked for currval or lastval */
	struct settings *custom_names; /* names of custom settings that were found to exist */
	enum pool_mode mode;
	usec_t query_wait_timeout, server_lifetime;

	struct list idle;    /* last in, first out */
	struct list servers; /* all others: in login, linked, cleaning, closing */
	struct queue queue;  /* of those who wait for a server */
	struct forecast forecast;
	bool is_full;	      /* no slot could be had when one was wanted last */
	struct list greeting; /* of struct waiter: newcomers for whom the pool's parameters aren't known yet */
	unsigned n_login, n_testing; /* servers that will be free soon */
	usec_t evict_asked, handed_over_at, census_look;
	unsigned n_clients, n_lingering; /* those that are closing aren't among n_clients */
	struct settings *welcome_reported, *welcome_startup,
		*welcome_told;		    /* the last client's: the next one's are likely the same */
	struct host_pool *hosts[HOSTS_MAX]; /* references, in the database's order */
	size_t n_hosts;
	unsigned turn;	   /* of the hosts, round-robin */
	char *fingerprint; /* of what decides where and as whom servers log in */
	bool is_paused;
	usec_t unused_since;	    /* 0: in use */
	uint64_t known[POOL_KNOWN]; /* hashes of settings that a server has taken without complaint */
	usec_t reconnect_at; /* servers opened until then are closed when they are free; 0: never asked for */
	struct counters counters;
	struct latency latency;
};

struct pool *pool_get(struct worker *w, const char *database, const char *user);
struct pool *pool_get_by_shared(struct worker *w, struct pool_shared *shared);	     /* moves the reference */
struct pool *pool_get_own(struct worker *w, const char *database, const char *user); /* see shared.h */
/* For one replication client; id is its. Its server has these settings from the start. */
struct pool *pool_get_replication(struct worker *w, const char *database, const char *user,
	enum replication replication, uint64_t id, struct settings *startup);
void pool_free(struct pool *p);				       /* nothing may be left in it */
void pool_configure(struct pool *p);			       /* after a new snapshot */
struct server *pool_request(struct pool *p, struct waiter *w); /* NULL: it waits, or has been refused already */
struct server *pool_take_idle(struct pool *p, const struct settings *wants); /* NULL: none is at hand; never waits */
/* Has a server of this pool taken these values? A small memory: false may just mean forgotten. */
bool pool_knows_settings(const struct pool *p, const struct settings *s);
void pool_know_settings(struct pool *p, const struct settings *s);
void pool_request_greeting(struct pool *p, struct waiter *w);
void pool_withdraw(struct pool *p, struct waiter *w); /* no-op if it isn't waiting */
/* Its deadline is over, although it has been granted a server, and hasn't used it yet: it is refused as in the queue. */
bool pool_is_late(const struct pool *p, const struct waiter *w);
void pool_refuse_late(struct pool *p, struct waiter *w);
void pool_put_server(struct pool *p, struct server **s); /* SERVER_IDLE, in no list: to whoever waits, or to the idle list */
void pool_adopt_server(struct pool *p, struct server **s); /* it came from another worker */
void pool_publish_servers(struct pool *p);		   /* how many it has at this worker has changed */
void pool_kick(struct pool *p);		 /* something changed: grant, open servers, ask other workers */
void pool_tick(struct pool *p);		 /* deadlines, lifetimes, minimum size */
void pool_look(struct pool *p);		 /* greets whom it can, then pool_kick() */
void pool_send_moving(struct worker *w); /* at the end of a round */
void pool_login_done(struct pool *p, struct server *s);
void pool_login_waits(struct pool *p, const char *sqlstate, const char *message);
void pool_login_failed(struct pool *p, const char *sqlstate, const char *message, bool is_final);
/* opening.c */
void pool_configure_hosts(struct pool *p);
void pool_drop_hosts(struct pool *p);
bool pool_is_on_hold(const struct pool *p); /* all its hosts are */
bool pool_open_server(struct pool *p);	    /* one more login has begun; false: something speaks against it */
unsigned pool_count(const struct pool *p, int state); /* servers in an enum server_state */
bool pool_is_drained(const struct pool *p); /* no server is linked or being cleaned: PAUSE may answer */
usec_t pool_oldest_wait(const struct pool *p, usec_t now);
const char *pool_wait_reason(const struct pool *p); /* why whoever waits can't be served: for people */

#endif
