#include "pool/host.h"

#include "base/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_FIRST (100 * USEC_PER_MSEC)
#define UNFIT_MAX USEC_PER_SEC
#define REMEMBER (600 * USEC_PER_SEC) /* what nobody refers to */
#define CENSUS_SQLSTATE "53300"

void hosts_init(struct hosts *h)
{
	h->table = NULL;
	pthread_mutex_init(&h->lock, NULL);
}

/* ---- memory; all under the lock ---- */

static void free_pool(struct host_pool *hp)
{
	HASH_DEL(hp->host->pools, hp);
	free(hp->key);
	free(hp);
}

static void free_host(struct hosts *h, struct host *host)
{
	struct host_pool *hp, *next;

	HASH_ITER(hh, host->pools, hp, next)
		free_pool(hp);
	HASH_DEL(h->table, host);
	free(host->key);
	free(host);
}

void hosts_destroy(struct hosts *h)
{
	struct host *host, *next;

	HASH_ITER(hh, h->table, host, next)
		free_host(h, host);
	pthread_mutex_destroy(&h->lock);
}

static bool is_memorable(const struct host_pool *hp)
{
	return hp->places.is_limited || hp->role == ROLE_UNFIT;
}

/* What nobody has referred to for long. */
static void sweep(struct hosts *h, usec_t now)
{
	struct host *host, *next_host;
	struct host_pool *hp, *next;

	HASH_ITER(hh, h->table, host, next_host) {
		HASH_ITER(hh, host->pools, hp, next)
			if (!hp->refs && now - hp->unused_since > REMEMBER)
				free_pool(hp);
		if (!host->pools && now - host->since > REMEMBER)
			free_host(h, host);
	}
}

static struct host *get_host(struct hosts *h, const char *name, int port)
{
	size_t size = strlen(name) + 1 + sizeof(port);
	char *key = xmalloc(size);
	struct host *host;

	memcpy(key, name, strlen(name) + 1);
	memcpy(key + strlen(name) + 1, &port, sizeof(port));
	HASH_FIND(hh, h->table, key, size, host);
	if (host) {
		free(key);
		return host;
	}
	sweep(h, clock_now());
	host = xcalloc(1, sizeof(*host));
	host->hosts = h;
	host->key = key;
	host->name = key;
	host->port = port;
	host->since = clock_now();
	HASH_ADD_KEYPTR(hh, h->table, host->key, size, host);
	return host;
}

struct host_pool *host_pool_get(struct hosts *h, const char *name, int port, const char *database,
	const char *user, enum host_pool_kind kind)
{
	size_t db_size = strlen(database) + 1, size = db_size + strlen(user) + 2;
	char *key = xmalloc(size);
	struct host_pool *hp;
	struct host *host;

	memcpy(key, database, db_size);
	memcpy(key + db_size, user, size - db_size - 1);
	key[size - 1] = (char)kind;
	pthread_mutex_lock(&h->lock);
	host = get_host(h, name, port);
	HASH_FIND(hh, host->pools, key, size, hp);
	if (!hp) {
		hp = xcalloc(1, sizeof(*hp));
		hp->host = host;
		hp->key = key;
		hp->database = key;
		hp->user = key + db_size;
		hp->kind = kind;
		HASH_ADD_KEYPTR(hh, host->pools, hp->key, size, hp);
		key = NULL;
	}
	hp->refs++;
	pthread_mutex_unlock(&h->lock);
	free(key);
	return hp;
}

struct host_pool *host_pool_ref(struct host_pool *hp)
{
	pthread_mutex_lock(&hp->host->hosts->lock);
	hp->refs++;
	pthread_mutex_unlock(&hp->host->hosts->lock);
	return hp;
}

void host_pool_drop(struct host_pool **hpp)
{
	struct host_pool *hp = *hpp;
	struct hosts *h = hp->host->hosts;
	struct host *host = hp->host;

	*hpp = NULL;
	pthread_mutex_lock(&h->lock);
	if (--hp->refs == 0) {
		hp->unused_since = clock_now();
		if (!is_memorable(hp))
			free_pool(hp);
		if (!host->pools && host->state == HOST_UP)
			free_host(h, host);
	}
	pthread_mutex_unlock(&h->lock);
}

/* ---- the host's state; under the lock ---- */

static void set_state(struct host *h, enum host_state next, usec_t now)
{
	if (h->state != next)
		h->since = now;
	h->state = next;
}

static void hold(struct host *h, usec_t now, usec_t retry_max)
{
	usec_t wait = BACKOFF_FIRST;

	if (!retry_max) /* "at once" would be a busy loop against a host that refuses */
		retry_max = BACKOFF_FIRST;
	for (int i = 0; i < h->failures && wait < retry_max; i++)
		wait *= 2;
	wait = MIN(wait, retry_max);
	wait -= (usec_t)random() % (wait / 4 + 1); /* so that many poolers don't come back in step */
	h->failures++;
	h->next_try = now + wait;
	set_state(h, HOST_HOLD, now);
}

static void take_down(struct host *h, const struct host_login *l, const char *sqlstate, const char *message,
	usec_t now, usec_t retry_max)
{
	bool is_news = h->state == HOST_UP || h->state == HOST_RAMP;

	h->failed_ever++;
	snprintf(h->sqlstate, sizeof(h->sqlstate), "%s", sqlstate);
	snprintf(h->why, sizeof(h->why), "%s", message);
	if (is_news) {
		h->down_since = now;
		events_add(EVENT_HOLD, "%.64s:%d is on hold: %s (%s)", h->name, h->port, message, sqlstate);
	}
	if (is_news || (l->is_probe && !l->is_slow && h->state == HOST_PROBING)) /* others that had begun before tell nothing new */
		hold(h, now, retry_max);
}

static void take_up(struct host *h, usec_t now)
{
	h->failures = 0;
	h->next_try = 0;
	if (h->state == HOST_HOLD || h->state == HOST_PROBING) {
		events_add(EVENT_HOLD, "%.64s:%d is back after %.1f s", h->name, h->port,
			(double)(now - h->down_since) / (double)USEC_PER_SEC);
		h->ramp = 1;
		set_state(h, HOST_RAMP, now);
	}
	if (h->state == HOST_RAMP)
		h->ramp++; /* each success makes room for one more: it doubles with each round of logins */
}

/* ---- logins ---- */

static enum host_verdict may_log_in(struct host *h, int concurrency, usec_t now)
{
	switch (h->state) {
	case HOST_HOLD: return now >= h->next_try ? HOST_GO : HOST_AWAY;
	case HOST_PROBING: return HOST_AWAY;
	case HOST_RAMP:
		if (h->ramp >= concurrency)
			set_state(h, HOST_UP, now);
		return h->logins < MIN(h->ramp, concurrency) ? HOST_GO : HOST_BUSY;
	case HOST_UP: break;
	}
	return h->logins < concurrency ? HOST_GO : HOST_BUSY;
}

enum host_verdict host_login_begin(struct host_pool *hp, int concurrency, usec_t now, struct host_login *login)
{
	struct host *h = hp->host;
	enum host_verdict verdict;
	enum places_answer places;
	int have;

	pthread_mutex_lock(&h->hosts->lock);
	have = atomic_load(&hp->servers);
	places = places_may_open(&hp->places, have, now);
	verdict = may_log_in(h, concurrency, now);
	if (verdict == HOST_GO && places == PLACES_NO)
		verdict = HOST_NO_PLACE;
	if (verdict == HOST_GO) {
		*login = (struct host_login){
			.is_open = true, .is_probe = h->state == HOST_HOLD, .is_try = places == PLACES_TRY
		};
		if (login->is_probe)
			set_state(h, HOST_PROBING, now);
		if (login->is_try) {
			places_trying(&hp->places, have);
			atomic_store(&hp->to_give, 0);
		}
		h->logins++;
		h->servers++;
		atomic_fetch_add(&hp->servers, 1);
	}
	pthread_mutex_unlock(&h->hosts->lock);
	return verdict;
}

static void note_limit(const struct host_pool *hp, bool was_limited)
{
	if (hp->places.is_limited && !was_limited)
		events_add(EVENT_LIMIT, "%.63s/%.63s at %.64s:%d: no place for more than %d: %s",
			hp->database, hp->user, hp->host->name, hp->host->port, hp->places.limit, hp->why);
	else if (!hp->places.is_limited && was_limited)
		events_add(EVENT_LIMIT, "%.63s/%.63s at %.64s:%d: no limit any more", hp->database, hp->user,
			hp->host->name, hp->host->port);
}

static void take_full(struct host_pool *hp, const char *sqlstate, const char *message, usec_t now)
{
	bool was_limited = hp->places.is_limited;

	snprintf(hp->sqlstate, sizeof(hp->sqlstate), "%s", sqlstate);
	snprintf(hp->why, sizeof(hp->why), "%s", message);
	atomic_fetch_add(&hp->to_give, places_refused(&hp->places, atomic_load(&hp->servers) - 1, now));
	note_limit(hp, was_limited);
}

static void take_unfit(struct host_pool *hp, usec_t now)
{
	usec_t wait = BACKOFF_FIRST << MIN(hp->unfit_times, 8u);

	hp->role = ROLE_UNFIT;
	hp->unfit_times++;
	hp->unfit_until = now + MIN(wait, UNFIT_MAX);
}

static void take_ok(struct host_pool *hp, usec_t now)
{
	bool was_limited = hp->places.is_limited;

	hp->role = ROLE_FITS;
	hp->unfit_times = 0;
	places_opened(&hp->places, atomic_load(&hp->servers), now);
	note_limit(hp, was_limited);
}

static void let_next_probe(struct host *h, const struct host_login *login, usec_t now)
{
	if (!login->is_probe || login->is_slow || h->state != HOST_PROBING)
		return;
	h->next_try = now;
	set_state(h, HOST_HOLD, now);
}

void host_login_slow(struct host_pool *hp, struct host_login *login, usec_t now)
{
	if (!login->is_open || login->is_slow)
		return;
	pthread_mutex_lock(&hp->host->hosts->lock);
	let_next_probe(hp->host, login, now);
	hp->host->logins--;
	login->is_slow = true;
	pthread_mutex_unlock(&hp->host->hosts->lock);
}

void host_login_end(struct host_pool *hp, struct host_login *login, enum host_outcome outcome,
	const char *sqlstate, const char *message, usec_t now, usec_t retry_max)
{
	struct host *h = hp->host;

	if (!login->is_open)
		return;
	login->is_open = false;
	pthread_mutex_lock(&h->hosts->lock);
	h->logins -= !login->is_slow;
	if (outcome == HOST_DOWN) {
		take_down(h, login, sqlstate, message, now, retry_max);
	} else if (outcome != HOST_DROPPED) {
		take_up(h, now);
	} else {
		let_next_probe(h, login, now);
	}
	if (outcome == HOST_OK)
		take_ok(hp, now);
	else if (outcome == HOST_FULL)
		take_full(hp, sqlstate, message, now);
	else if (login->is_try)
		places_try_ended(&hp->places);
	if (outcome == HOST_UNFIT)
		take_unfit(hp, now);
	pthread_mutex_unlock(&h->hosts->lock);
}

void host_login_at(struct host_pool *hp, const struct address *a)
{
	pthread_mutex_lock(&hp->host->hosts->lock);
	hp->host->address = *a;
	pthread_mutex_unlock(&hp->host->hosts->lock);
}

void host_server_closed(struct host_pool *hp)
{
	pthread_mutex_lock(&hp->host->hosts->lock);
	hp->host->servers--;
	atomic_fetch_sub(&hp->servers, 1);
	pthread_mutex_unlock(&hp->host->hosts->lock);
}

/* ---- what target_session_attrs wants ---- */

enum session_role host_pool_role(struct host_pool *hp, usec_t now)
{
	enum session_role role;

	pthread_mutex_lock(&hp->host->hosts->lock);
	role = hp->role == ROLE_UNFIT && now >= hp->unfit_until ? ROLE_UNKNOWN : hp->role;
	pthread_mutex_unlock(&hp->host->hosts->lock);
	return role;
}

void host_pool_turned(struct host_pool *hp, usec_t now)
{
	pthread_mutex_lock(&hp->host->hosts->lock);
	take_unfit(hp, now);
	pthread_mutex_unlock(&hp->host->hosts->lock);
}

/* ---- giving back ---- */

bool host_pool_take_gift(struct host_pool *hp)
{
	int n = atomic_load(&hp->to_give);

	while (n > 0)
		if (atomic_compare_exchange_weak(&hp->to_give, &n, n - 1))
			return true;
	return false;
}

bool host_pool_wants_census(struct host_pool *hp, usec_t now, usec_t every)
{
	bool wants;

	pthread_mutex_lock(&hp->host->hosts->lock);
	wants = places_wants_census(&hp->places, atomic_load(&hp->servers), now, every);
	pthread_mutex_unlock(&hp->host->hosts->lock);
	return wants;
}

void host_pool_census(struct host_pool *hp, bool is_full, usec_t now)
{
	bool was_limited;

	pthread_mutex_lock(&hp->host->hosts->lock);
	was_limited = hp->places.is_limited;
	if (is_full) {
		snprintf(hp->sqlstate, sizeof(hp->sqlstate), CENSUS_SQLSTATE);
		snprintf(hp->why, sizeof(hp->why), "PostgreSQL says that all its connections are in use");
	}
	atomic_fetch_add(&hp->to_give, places_census(&hp->places, atomic_load(&hp->servers), is_full, now));
	note_limit(hp, was_limited);
	pthread_mutex_unlock(&hp->host->hosts->lock);
}

void host_pool_no_census(struct host_pool *hp, usec_t now)
{
	pthread_mutex_lock(&hp->host->hosts->lock);
	places_no_census(&hp->places, now);
	pthread_mutex_unlock(&hp->host->hosts->lock);
}

/* ---- looking ---- */

bool host_pool_is_on_hold(struct host_pool *hp)
{
	bool is_held;

	pthread_mutex_lock(&hp->host->hosts->lock);
	is_held = hp->host->state == HOST_HOLD || hp->host->state == HOST_PROBING;
	pthread_mutex_unlock(&hp->host->hosts->lock);
	return is_held;
}

const char *host_pool_say(struct host_pool *hp, usec_t now, char *detail, size_t size)
{
	const struct host *h = hp->host;
	const char *word = "server_connect";

	pthread_mutex_lock(&h->hosts->lock);
	if (h->state == HOST_HOLD || h->state == HOST_PROBING) {
		word = "host_on_hold";
		snprintf(detail, size, "%.64s:%d, the next try is in %u ms: %s", h->name, h->port,
			(unsigned)(h->next_try > now ? (h->next_try - now) / USEC_PER_MSEC : 0), h->why);
	} else if (hp->places.is_limited) {
		word = "server_full";
		snprintf(detail, size, "PostgreSQL has no place for more than %d: %s", hp->places.limit, hp->why);
	} else {
		snprintf(detail, size, "%d servers of %.64s:%d are logging in", h->logins, h->name, h->port);
	}
	pthread_mutex_unlock(&h->hosts->lock);
	return word;
}

const char *host_state_name(enum host_state s)
{
	static const char *const names[] = {
		[HOST_UP] = "up", [HOST_HOLD] = "hold", [HOST_PROBING] = "probing", [HOST_RAMP] = "ramp"
	};

	return names[s];
}

void hosts_each(struct hosts *h, host_fn *fn, void *ctx)
{
	struct host *host, *next;

	pthread_mutex_lock(&h->lock);
	HASH_ITER(hh, h->table, host, next)
		fn(ctx, host);
	pthread_mutex_unlock(&h->lock);
}

void hosts_each_pool(struct hosts *h, host_pool_fn *fn, void *ctx)
{
	struct host *host, *next_host;
	struct host_pool *hp, *next;

	pthread_mutex_lock(&h->lock);
	HASH_ITER(hh, h->table, host, next_host)
		HASH_ITER(hh, host->pools, hp, next)
			fn(ctx, hp);
	pthread_mutex_unlock(&h->lock);
}
