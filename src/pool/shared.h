/*
 * shared.h - the part of a pool that all workers share: its slots, and who waits where.
 *
 * Slots:    a server connection of any state takes one slot in its pool, its database and its user, from before connect() until it is
 *           closed. slot_take() checks all three limits; they are exact across workers.
 * Waiting:  each worker publishes how many clients wait at it and since when the oldest does, and how many servers it has, in all and idle. A server that is put into an idle list and a
 *           client that starts to wait each publish first and look at the other side second (sequentially
 *           consistent), so at least one of them sees the other: no wake-up is lost.
 * Failures: when logging in to the server fails because of this pool's user or database, all workers hold off until next_try; the error is
 *           kept for those who ask meanwhile. What concerns the host is host.h's.
 * Own:      pools for questions of our own (auth_query) stand beside those of clients, of the same name or not. They take no slot of a
 *           database or a user, so a full pool can't keep anybody from logging in.
 * Replication: each client has a pool of its own, of one server that is closed with it. It counts for the database and the user.
 * Memory:   objects live as long as somebody holds a reference; the registry's lock guards its tables only, never the path of a query.
 * Threads:  any.
 */
#ifndef PGWEIR_SHARED_H
#define PGWEIR_SHARED_H

#include "auth/credential.h"
#include "base/table.h"
#include "net/address.h"
#include "pool/host.h"
#include "state/settings.h"
#include "wire/startup.h"

#include <pthread.h>
#include <stdatomic.h>

#define WORKERS_MAX                                                                                          \
	127 /* their numbers fit 7 bits of a cancel key's pid, with one to spare for the console */
#define LOGIN_ERROR_MAX 512

struct limit_shared { /* of a database or a user */
	UT_hash_handle hh;
	char *name;
	int refs; /* under the registry's lock */
	atomic_int servers, clients;
	atomic_int replicating; /* a database's: so many of its servers are replication clients' */
	/* Of a database, by evict.c: what the pool would have that lacks a slot most; until when it holds; whether one has been given up for it. */
	atomic_uint claim;
	_Atomic uint64_t claim_until;
	atomic_bool is_paid;
	_Atomic uint64_t schema; /* a database's: counts the changes that its servers told of */
};

struct origin_shared { /* clients from one address */
	UT_hash_handle hh;
	struct address_origin origin;
	int clients;
};

struct worker_view { /* what one worker lets the others know about a pool; a cache line each */
	_Alignas(64) atomic_uint waiting;
	_Atomic uint64_t oldest; /* usec_t; 0: nobody */
	atomic_uint idle;
	atomic_uint servers;  /* that it has, in use or not */
	atomic_uint incoming; /* servers on their way to it */
	_Atomic uint64_t silent; /* usec_t: since when its longest-silent transaction has been; 0: none. See reclaim.h */
	atomic_uint in_transaction; /* its servers whose clients are idle in one, as of its last tick; relaxed */
};

struct pool_shared {
	UT_hash_handle hh;
	char *key; /* database NUL user NUL, whether it's our own, and of a replication client its id */
	const char *database, *user;  /* inside key */
	bool is_own;		      /* for questions of our own: no client uses it, no view shows it */
	enum replication replication; /* the pool of one replication client: it has no other, and one server */
	int refs;		      /* under the registry's lock */
	struct limit_shared *by_database, *by_user;
	struct limit_shared own;		     /* is_own: in the place of the database */
	atomic_int servers, logins, waiting, pinned; /* logins: of the servers, those that aren't logged in yet */
	atomic_int pins_asked; /* of those that are pinned: whose servers are being asked whether they still are */
	_Atomic uint64_t next_try;     /* no login before this; 0: none failed */
	_Atomic uint64_t reclaimed_at; /* usec_t: when a transaction has been reclaimed last */
	pthread_mutex_t lock;	       /* guards what follows; a leaf */
	int failures;
	struct credential *credential; /* what servers are logged in with: the newest that a client came with, or the configuration has */
	bool is_final; /* the error won't go away by itself: tell clients at once */
	char sqlstate[6], message[LOGIN_ERROR_MAX];
	struct settings *reported; /* what the newest server said at login; NULL: none has logged in yet */
	struct worker_view views[];
};

struct worker_beat {
	_Alignas(64) _Atomic uint64_t at; /* usec_t */
};

struct registry {
	int n_workers; /* fixed */
	pthread_mutex_t lock;
	struct pool_shared *pools;
	struct limit_shared *databases, *users;
	struct hosts hosts;
	struct origin_shared *origins;		 /* that have clients, or logins on the way */
	struct limit_shared own;		 /* of all own pools together, in the place of both */
	atomic_int clients;			 /* all but those of the console */
	_Atomic uint64_t clients_ever;		 /* those and all before them */
	_Atomic uint64_t next_id;		 /* of clients and servers, for the log and the console */
	atomic_int worker_clients[WORKERS_MAX];	 /* who has the fewest gets the next */
	atomic_uint worker_waiting[WORKERS_MAX]; /* over all pools: who must hear of a free slot */
	atomic_bool poked[WORKERS_MAX];		 /* .. and has been told already */
	struct worker_beat beats[WORKERS_MAX];	 /* when each has been at work last */
};

struct registry *registry_new(int n_workers);
void registry_free(struct registry *r);
uint64_t registry_id(struct registry *r);
struct pool_shared *registry_pool(struct registry *r, const char *database, const char *user); /* a reference */
struct pool_shared *registry_own_pool(struct registry *r, const char *database, const char *user);
/* id: the client's. */
struct pool_shared *registry_replication_pool(struct registry *r, const char *database, const char *user,
	enum replication replication, uint64_t id);
struct pool_shared *registry_ref_pool(struct registry *r, struct pool_shared *p);
void registry_drop_pool(struct registry *r, struct pool_shared **p);

struct client_limits { /* 0: none */
	int all;       /* of which .. */
	int reserved;  /* .. so many are for others than this client */
	int database, user;
};
#define LIMIT_DETAIL_MAX 200
struct limit_reached { /* what a client is told whom a limit keeps out */
	const char *message;
	char detail[LIMIT_DETAIL_MAX];
};
/* Takes a place for a client; false: *why names the limit. */
bool registry_count_client(struct registry *r, const char *database, const char *user,
	const struct client_limits *l, struct limit_reached *why);
void registry_uncount_client(struct registry *r, const char *database, const char *user);
/* The same for those from an address, from the startup packet on. max 0: they are counted only. */
bool registry_count_origin(struct registry *r, const struct address_origin *o, int max, struct limit_reached *why);
void registry_uncount_origin(struct registry *r, const struct address_origin *o);

/* Under the registry's lock: fn looks and calls nothing of the registry's. */
typedef void registry_limit_fn(void *ctx, const char *name, int servers, int clients);
void registry_each_database(struct registry *r, registry_limit_fn *fn, void *ctx);
int registry_pooled_servers(struct registry *r, const char *database); /* all but those of replication clients; NULL: of all */
void registry_each_user(struct registry *r, registry_limit_fn *fn, void *ctx);

bool take_one(atomic_int *n, int max); /* n + 1 if that stays within max; a max of 0 is none */

struct slot_limits {
	int pool, database, user; /* 0: none for the last two */
};
enum slot_result { SLOT_TAKEN, SLOT_POOL_FULL, SLOT_DATABASE_FULL, SLOT_USER_FULL };
enum slot_result slot_take(struct pool_shared *p, const struct slot_limits *l);
void slot_give_back(struct pool_shared *p);

/* Slots that another process uses, which this one is about to replace: from so many to so many. They count as if they were taken here. */
void slots_elsewhere(struct pool_shared *p, int from, int to);
typedef void registry_pool_fn(void *ctx, const char *database, const char *user, bool replicates, int servers);
void registry_each_pool(struct registry *r, registry_pool_fn *fn, void *ctx); /* but own ones; under the registry's lock */

void shared_login_ok(struct pool_shared *p, struct settings *reported);
/* final: the client's own error (wrong password, no such database); otherwise it may pass. Returns when to try again. */
usec_t shared_login_failed(struct pool_shared *p, usec_t now, usec_t retry_max, const char *sqlstate,
	const char *message, bool is_final);
void shared_note_failure(struct pool_shared *p, const char *sqlstate, const char *message); /* the text only */
void shared_forget_failure(struct pool_shared *p); /* a reload may have mended it */
bool shared_login_error(struct pool_shared *p, char sqlstate[6], char message[LOGIN_ERROR_MAX],
	bool *is_final);						 /* false: none */
struct settings *shared_reported(struct pool_shared *p);		 /* a reference, or NULL */
void shared_set_credential(struct pool_shared *p, struct credential *c); /* another secret forgets the failures of the last */
struct credential *shared_credential(struct pool_shared *p); /* a reference, or NULL */

#endif
