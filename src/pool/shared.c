#include "pool/shared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_FIRST (100 * USEC_PER_MSEC)

struct registry *registry_new(int n_workers)
{
	struct registry *r = xcalloc(1, sizeof(*r));

	ASSERT(n_workers >= 1 && n_workers <= WORKERS_MAX);
	r->n_workers = n_workers;
	pthread_mutex_init(&r->lock, NULL);
	atomic_store(&r->next_id, 1);
	hosts_init(&r->hosts);
	r->own.refs = 1; /* the registry's: it is in no table */
	return r;
}

static void free_pool(struct registry *r, struct pool_shared *p);
static void drop_origin(struct registry *r, struct origin_shared *o);

static void free_limits(struct limit_shared **table)
{
	struct limit_shared *l, *next;

	HASH_ITER(hh, *table, l, next) {
		HASH_DEL(*table, l);
		free(l->name);
		free(l);
	}
}

void registry_free(struct registry *r)
{
	struct origin_shared *o, *next_origin;
	struct pool_shared *p, *next;

	HASH_ITER(hh, r->pools, p, next)
		free_pool(r, p);
	HASH_ITER(hh, r->origins, o, next_origin)
		drop_origin(r, o);
	free_limits(&r->databases); /* of clients that never reached their worker */
	free_limits(&r->users);
	hosts_destroy(&r->hosts);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

uint64_t registry_id(struct registry *r)
{
	return atomic_fetch_add_explicit(&r->next_id, 1, memory_order_relaxed);
}

/* Under the lock. */
static struct limit_shared *limit_get(struct limit_shared **table, const char *name)
{
	struct limit_shared *l;

	HASH_FIND_STR(*table, name, l);
	if (!l) {
		l = xcalloc(1, sizeof(*l));
		l->name = xstrdup(name);
		HASH_ADD_KEYPTR(hh, *table, l->name, strlen(l->name), l);
	}
	l->refs++;
	return l;
}

static void limit_drop(struct limit_shared **table, struct limit_shared *l)
{
	if (--l->refs)
		return;
	HASH_DEL(*table, l);
	free(l->name);
	free(l);
}

static void free_pool(struct registry *r, struct pool_shared *p)
{
	HASH_DEL(r->pools, p);
	limit_drop(&r->databases, p->by_database);
	limit_drop(&r->users, p->by_user);
	settings_unref(&p->reported);
	credential_unref(&p->credential);
	pthread_mutex_destroy(&p->lock);
	free(p->key);
	free(p);
}

/* The first alone is limited by its size, the second by what all own pools have together. */
static void take_own_limits(struct registry *r, struct pool_shared *p)
{
	p->own.refs = 2; /* one is its own, so it's never freed */
	p->by_database = &p->own;
	r->own.refs++;
	p->by_user = &r->own;
}

struct pool_kind {
	bool is_own;
	enum replication replication;
	uint64_t id;
};

static struct pool_shared *get_pool(struct registry *r, const char *database, const char *user, struct pool_kind kind)
{
	size_t db_size = strlen(database) + 1, user_end = db_size + strlen(user) + 1,
	       size = user_end + 1 + sizeof(kind.id);
	char *key = xmalloc(size);
	struct pool_shared *p;

	memcpy(key, database, db_size);
	memcpy(key + db_size, user, user_end - db_size);
	key[user_end] = kind.is_own;
	memcpy(key + user_end + 1, &kind.id, sizeof(kind.id)); /* 0 but for replication */
	pthread_mutex_lock(&r->lock);
	HASH_FIND(hh, r->pools, key, size, p);
	if (!p) {
		size_t bytes = sizeof(*p) + (size_t)r->n_workers * sizeof(p->views[0]);

		p = aligned_alloc(64, (bytes + 63) / 64 * 64);
		ASSERT(p);
		memset(p, 0, bytes);
		p->key = key;
		p->database = key;
		p->user = key + db_size;
		p->is_own = kind.is_own;
		p->replication = kind.replication;
		if (kind.is_own) {
			take_own_limits(r, p);
		} else {
			p->by_database = limit_get(&r->databases, database);
			p->by_user = limit_get(&r->users, user);
		}
		pthread_mutex_init(&p->lock, NULL);
		HASH_ADD_KEYPTR(hh, r->pools, p->key, size, p);
		key = NULL;
	}
	p->refs++;
	pthread_mutex_unlock(&r->lock);
	free(key);
	return p;
}

struct pool_shared *registry_pool(struct registry *r, const char *database, const char *user)
{
	return get_pool(r, database, user, (struct pool_kind){ 0 });
}

struct pool_shared *registry_own_pool(struct registry *r, const char *database, const char *user)
{
	return get_pool(r, database, user, (struct pool_kind){ .is_own = true });
}

struct pool_shared *registry_replication_pool(
	struct registry *r, const char *database, const char *user, enum replication replication, uint64_t id)
{
	return get_pool(r, database, user, (struct pool_kind){ .replication = replication, .id = id });
}

struct pool_shared *registry_ref_pool(struct registry *r, struct pool_shared *p)
{
	pthread_mutex_lock(&r->lock);
	p->refs++;
	pthread_mutex_unlock(&r->lock);
	return p;
}

void registry_drop_pool(struct registry *r, struct pool_shared **pp)
{
	struct pool_shared *p = *pp;

	*pp = NULL;
	pthread_mutex_lock(&r->lock);
	if (--p->refs == 0)
		free_pool(r, p);
	pthread_mutex_unlock(&r->lock);
}

bool take_one(atomic_int *n, int max)
{
	int have = atomic_load_explicit(n, memory_order_relaxed);

	do {
		if (max > 0 && have >= max)
			return false;
	} while (!atomic_compare_exchange_weak(n, &have, have + 1));
	return true;
}

static void reach(struct limit_reached *why, const char *message, int n, int max, const char *of)
{
	why->message = message;
	snprintf(why->detail, sizeof(why->detail), "%d of at most %d client connections%s are open.", n, max, of);
}

static bool take_place(struct registry *r, const struct client_limits *l, struct limit_reached *why)
{
	int max = l->all - l->reserved;

	if (!l->all)
		return take_one(&r->clients, 0);
	if (max > 0 && take_one(&r->clients, max))
		return true;
	reach(why, "no more connections allowed (max_client_conn)", atomic_load(&r->clients), l->all, "");
	if (l->reserved)
		snprintf(why->detail + strlen(why->detail), sizeof(why->detail) - strlen(why->detail),
			" %d are reserved (reserved_client_conn).", l->reserved);
	return false;
}

bool registry_count_client(struct registry *r, const char *database, const char *user,
	const struct client_limits *l, struct limit_reached *why)
{
	struct limit_shared *d, *u;
	bool is_ok = false;

	if (!take_place(r, l, why))
		return false;
	pthread_mutex_lock(&r->lock);
	d = limit_get(&r->databases, database);
	u = limit_get(&r->users, user);
	if (!take_one(&d->clients, l->database)) {
		reach(why, "client connections exceeded (max_db_client_connections)",
			atomic_load(&d->clients), l->database, " of this database");
	} else if (!take_one(&u->clients, l->user)) {
		atomic_fetch_sub(&d->clients, 1);
		reach(why, "client connections exceeded (max_user_client_connections)",
			atomic_load(&u->clients), l->user, " of this user");
	} else {
		is_ok = true;
		atomic_fetch_add(&r->clients_ever, 1);
	}
	if (!is_ok) {
		atomic_fetch_sub(&r->clients, 1);
		limit_drop(&r->databases, d);
		limit_drop(&r->users, u);
	}
	pthread_mutex_unlock(&r->lock);
	return is_ok;
}

/* Under the lock. */
static struct origin_shared *find_origin(struct registry *r, const struct address_origin *o)
{
	struct origin_shared *found;

	HASH_FIND(hh, r->origins, o, sizeof(*o), found);
	return found;
}

static void drop_origin(struct registry *r, struct origin_shared *o)
{
	HASH_DEL(r->origins, o);
	free(o);
}

bool registry_count_origin(struct registry *r, const struct address_origin *o, int max, struct limit_reached *why)
{
	struct origin_shared *found;
	bool is_in;

	pthread_mutex_lock(&r->lock);
	found = find_origin(r, o);
	is_in = !max || !found || found->clients < max;
	if (!is_in)
		reach(why, "no more connections allowed from this address (max_client_conn_per_addr)",
			found->clients, max, " from this address");
	if (is_in && !found) {
		found = xcalloc(1, sizeof(*found));
		found->origin = *o;
		HASH_ADD(hh, r->origins, origin, sizeof(found->origin), found);
	}
	if (is_in)
		found->clients++;
	pthread_mutex_unlock(&r->lock);
	return is_in;
}

void registry_uncount_origin(struct registry *r, const struct address_origin *o)
{
	struct origin_shared *found;

	pthread_mutex_lock(&r->lock);
	found = find_origin(r, o);
	ASSERT(found && found->clients > 0);
	if (--found->clients == 0)
		drop_origin(r, found);
	pthread_mutex_unlock(&r->lock);
}

void registry_uncount_client(struct registry *r, const char *database, const char *user)
{
	struct limit_shared *d, *u;

	pthread_mutex_lock(&r->lock);
	HASH_FIND_STR(r->databases, database, d);
	HASH_FIND_STR(r->users, user, u);
	ASSERT(d && u);
	atomic_fetch_sub(&d->clients, 1);
	atomic_fetch_sub(&u->clients, 1);
	limit_drop(&r->databases, d);
	limit_drop(&r->users, u);
	pthread_mutex_unlock(&r->lock);
	atomic_fetch_sub(&r->clients, 1);
}

static void each_limit(struct registry *r, struct limit_shared **table, registry_limit_fn *fn, void *ctx)
{
	struct limit_shared *l, *next;

	pthread_mutex_lock(&r->lock);
	HASH_ITER(hh, *table, l, next)
		fn(ctx, l->name, atomic_load(&l->servers), atomic_load(&l->clients));
	pthread_mutex_unlock(&r->lock);
}

void registry_each_database(struct registry *r, registry_limit_fn *fn, void *ctx)
{
	each_limit(r, &r->databases, fn, ctx);
}

int registry_pooled_servers(struct registry *r, const char *database)
{
	struct limit_shared *l, *next;
	int n = 0;

	pthread_mutex_lock(&r->lock);
	HASH_ITER(hh, r->databases, l, next) {
		if (!database || strcmp(database, l->name) == 0)
			n += atomic_load(&l->servers) - atomic_load(&l->replicating);
	}
	pthread_mutex_unlock(&r->lock);
	return n;
}

void registry_each_user(struct registry *r, registry_limit_fn *fn, void *ctx)
{
	each_limit(r, &r->users, fn, ctx);
}

void registry_each_pool(struct registry *r, registry_pool_fn *fn, void *ctx)
{
	struct pool_shared *p, *next;

	pthread_mutex_lock(&r->lock);
	HASH_ITER(hh, r->pools, p, next) {
		if (!p->is_own)
			fn(ctx, p->database, p->user, p->replication != REPLICATION_NONE, atomic_load(&p->servers));
	}
	pthread_mutex_unlock(&r->lock);
}

void slots_elsewhere(struct pool_shared *p, int from, int to)
{
	atomic_fetch_add(&p->servers, to - from);
	atomic_fetch_add(&p->by_database->servers, to - from);
	atomic_fetch_add(&p->by_user->servers, to - from);
	if (p->replication)
		atomic_fetch_add(&p->by_database->replicating, to - from);
}

enum slot_result slot_take(struct pool_shared *p, const struct slot_limits *l)
{
	if (!take_one(&p->servers, l->pool))
		return SLOT_POOL_FULL;
	if (!take_one(&p->by_database->servers, l->database)) {
		atomic_fetch_sub(&p->servers, 1);
		return SLOT_DATABASE_FULL;
	}
	if (!take_one(&p->by_user->servers, l->user)) {
		atomic_fetch_sub(&p->by_database->servers, 1);
		atomic_fetch_sub(&p->servers, 1);
		return SLOT_USER_FULL;
	}
	if (p->replication)
		atomic_fetch_add(&p->by_database->replicating, 1);
	return SLOT_TAKEN;
}

void slot_give_back(struct pool_shared *p)
{
	if (p->replication)
		atomic_fetch_sub(&p->by_database->replicating, 1);
	atomic_fetch_sub(&p->by_user->servers, 1);
	atomic_fetch_sub(&p->by_database->servers, 1);
	atomic_fetch_sub(&p->servers, 1);
}

void shared_login_ok(struct pool_shared *p, struct settings *reported)
{
	pthread_mutex_lock(&p->lock);
	p->failures = 0;
	p->sqlstate[0] = '\0';
	if (!settings_same(p->reported, reported)) {
		settings_unref(&p->reported);
		p->reported = settings_ref(reported);
	}
	pthread_mutex_unlock(&p->lock);
	atomic_store(&p->next_try, 0);
}

usec_t shared_login_failed(struct pool_shared *p, usec_t now, usec_t retry_max, const char *sqlstate,
	const char *message, bool is_final)
{
	usec_t wait = BACKOFF_FIRST, next;

	if (!retry_max) /* "at once" would be a busy loop against a server that refuses */
		retry_max = BACKOFF_FIRST;
	pthread_mutex_lock(&p->lock);
	for (int i = 0; i < p->failures && wait < retry_max; i++)
		wait *= 2;
	wait = MIN(wait, retry_max);
	wait -= (usec_t)random() % (wait / 4 + 1); /* so that many poolers don't come back in step */
	p->failures++;
	p->is_final = is_final;
	snprintf(p->sqlstate, sizeof(p->sqlstate), "%s", sqlstate);
	snprintf(p->message, sizeof(p->message), "%s", message);
	next = now + wait;
	atomic_store(&p->next_try, next);
	pthread_mutex_unlock(&p->lock);
	return next;
}

void shared_note_failure(struct pool_shared *p, const char *sqlstate, const char *message)
{
	pthread_mutex_lock(&p->lock);
	p->is_final = false;
	snprintf(p->sqlstate, sizeof(p->sqlstate), "%s", sqlstate);
	snprintf(p->message, sizeof(p->message), "%s", message);
	pthread_mutex_unlock(&p->lock);
}

void shared_forget_failure(struct pool_shared *p)
{
	pthread_mutex_lock(&p->lock);
	p->failures = 0;
	p->sqlstate[0] = '\0';
	pthread_mutex_unlock(&p->lock);
	atomic_store(&p->next_try, 0);
}

bool shared_login_error(struct pool_shared *p, char sqlstate[6], char message[LOGIN_ERROR_MAX], bool *is_final)
{
	bool has;

	pthread_mutex_lock(&p->lock);
	has = p->sqlstate[0] != '\0';
	*is_final = p->is_final;
	memcpy(sqlstate, p->sqlstate, sizeof(p->sqlstate));
	memcpy(message, p->message, sizeof(p->message));
	pthread_mutex_unlock(&p->lock);
	return has;
}

struct settings *shared_reported(struct pool_shared *p)
{
	struct settings *s;

	pthread_mutex_lock(&p->lock);
	s = settings_ref(p->reported);
	pthread_mutex_unlock(&p->lock);
	return s;
}

/* A password that came again, from LDAP or PAM: the keys that were derived from it are worth keeping. */
static bool is_known_password(const struct credential *had, const struct credential *c)
{
	return had && c && credential_kind(c) == SECRET_PLAIN && credential_same(had, c);
}

void shared_set_credential(struct pool_shared *p, struct credential *c)
{
	struct credential *old;
	bool is_other;

	pthread_mutex_lock(&p->lock);
	if (is_known_password(p->credential, c))
		c = p->credential;
	old = p->credential;
	p->credential = c ? credential_ref(c) : NULL;
	pthread_mutex_unlock(&p->lock);
	is_other = old && c && !credential_same(old, c);
	credential_unref(&old);
	if (is_other)
		shared_forget_failure(p);
}

struct credential *shared_credential(struct pool_shared *p)
{
	struct credential *c;

	pthread_mutex_lock(&p->lock);
	c = p->credential ? credential_ref(p->credential) : NULL;
	pthread_mutex_unlock(&p->lock);
	return c;
}
