/*
 * host.h - what all workers know about a host of PostgreSQL: is it up, who may try it, and how many places each pool has there.
 *
 * Hold:     a login that fails because of the host (refused, reset, silent, 57P03) puts it on hold for all pools of all workers. Then one
 *           login at a time, with exponential backoff and jitter up to server_login_retry, finds out whether it is back. The first that
 *           PostgreSQL answers, be it with a refusal of its own, ends the hold; from there on the number of logins at once doubles up
 *           to server_connect_concurrency (the ramp).
 * Places:   a host_pool is one pool's part of a host: its limit where PostgreSQL has no place for more (places.h), and whether
 *           the host is what the pool wants (target_session_attrs).
 * Use:      host_login_begin() asks for leave and counts the login; host_login_end() must follow, once, whatever came of it; host_server_closed()
 *           when the server is gone, logged in or not.
 * Memory:   a host and its pools live as long as somebody refers to them, and on while something is worth remembering: so backoff and
 *           limits outlive pools and reloads.
 * Threads:  any. One lock guards everything, a leaf but for that of events; it is taken when a server is opened or fails, never on the path of a query: what
 *           that needs to know is atomic.
 */
#ifndef PGWEIR_HOST_H
#define PGWEIR_HOST_H

#include "base/table.h"
#include "net/address.h"
#include "pool/places.h"

#include <pthread.h>
#include <stdatomic.h>

#define HOST_WHY_MAX 512

enum host_state {
	HOST_UP,
	HOST_HOLD,    /* nobody tries it before next_try */
	HOST_PROBING, /* one login finds out */
	HOST_RAMP,    /* it has answered: ramp logins at once */
};

/* See shared.h. Walsenders have places of their own in PostgreSQL: what is known of one kind says nothing of another. */
enum host_pool_kind { HOST_POOL_CLIENTS, HOST_POOL_OWN, HOST_POOL_REPLICATION };

enum session_role { ROLE_UNKNOWN, ROLE_FITS, ROLE_UNFIT };

struct host {
	UT_hash_handle hh;
	char *key; /* name NUL port */
	const char *name;
	int port;
	struct hosts *hosts;
	struct host_pool *pools;
	enum host_state state;
	int servers, logins, failures, ramp;
	uint64_t failed_ever;
	usec_t since, next_try, down_since;
	char sqlstate[6], why[HOST_WHY_MAX]; /* of the last failure */
	struct address address;		     /* the one that was tried last */
};

struct host_pool {
	UT_hash_handle hh;
	char *key; /* database NUL user NUL kind */
	const char *database, *user;
	enum host_pool_kind kind;
	int refs;
	struct host *host;
	atomic_int to_give; /* servers that are to be closed as they come free */
	atomic_int servers; /* written under the lock */
	struct places places;
	enum session_role role;
	usec_t unfit_until;
	unsigned unfit_times;
	char sqlstate[6], why[HOST_WHY_MAX]; /* of the limit */
	usec_t unused_since;
};

struct hosts {
	pthread_mutex_t lock;
	struct host *table;
};

void hosts_init(struct hosts *h);
void hosts_destroy(struct hosts *h); /* nobody refers to any of them */

struct host_pool *host_pool_get(struct hosts *h, const char *name, int port, const char *database,
	const char *user, enum host_pool_kind kind);
struct host_pool *host_pool_ref(struct host_pool *hp);
void host_pool_drop(struct host_pool **hp);

/* ---- a login ---- */

enum host_verdict {
	HOST_GO,
	HOST_BUSY,     /* up, but no login more now */
	HOST_NO_PLACE, /* up, but PostgreSQL has no place for more of this pool's */
	HOST_AWAY,     /* on hold */
};
enum host_outcome {
	HOST_OK,
	HOST_ANSWERED, /* it failed, and not because of the host */
	HOST_FULL,     /* 53300 */
	HOST_DOWN,
	HOST_DROPPED, /* by us: it says nothing */
	HOST_UNFIT,   /* it works, but isn't what target_session_attrs wants */
};
struct host_login {
	bool is_open, is_probe, is_try, is_slow;
};

/* Is the host worth a try for this pool, after what the last login there showed? */
enum session_role host_pool_role(struct host_pool *hp, usec_t now);
enum host_verdict host_login_begin(struct host_pool *hp, int concurrency, usec_t now, struct host_login *login);
/* retry_max: server_login_retry. sqlstate and message: of a failure. No-op if it has ended. */
void host_login_end(struct host_pool *hp, struct host_login *login, enum host_outcome outcome,
	const char *sqlstate, const char *message, usec_t now, usec_t retry_max);
/* It takes long: others needn't wait for its end any more. */
void host_login_slow(struct host_pool *hp, struct host_login *login, usec_t now);
void host_login_at(struct host_pool *hp, const struct address *a); /* for those who look */
void host_server_closed(struct host_pool *hp);
void host_pool_turned(struct host_pool *hp, usec_t now); /* a server of it isn't any more what the pool wants */

/* Must a server that is free now be closed, since others lack places? Each one that is to be given is told once. */
bool host_pool_take_gift(struct host_pool *hp);
static inline bool host_pool_gives(struct host_pool *hp)
{
	return UNLIKELY(atomic_load_explicit(&hp->to_give, memory_order_relaxed) > 0) && host_pool_take_gift(hp);
}

bool host_pool_wants_census(struct host_pool *hp, usec_t now, usec_t every);
void host_pool_census(struct host_pool *hp, bool is_full, usec_t now);
void host_pool_no_census(struct host_pool *hp, usec_t now);

/* ---- looking ---- */

bool host_pool_is_on_hold(struct host_pool *hp);
/* What keeps the pool from opening a server there: a constant word, and its detail. */
const char *host_pool_say(struct host_pool *hp, usec_t now, char *detail, size_t size);
const char *host_state_name(enum host_state s);
/* Under the lock: fn looks and calls nothing of this module. */
typedef void host_fn(void *ctx, const struct host *h);
typedef void host_pool_fn(void *ctx, const struct host_pool *hp);
void hosts_each(struct hosts *h, host_fn *fn, void *ctx);
void hosts_each_pool(struct hosts *h, host_pool_fn *fn, void *ctx);

#endif
