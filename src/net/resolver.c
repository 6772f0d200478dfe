#include "net/resolver.h"

#include "base/table.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define CACHE_MAX 1024

struct cached {
	char *host;
	struct address addresses[RESOLVE_ADDRESSES_MAX]; /* port 0 */
	int n_addresses;
	char error[128];
	usec_t answered_at, expires;
	bool is_asking; /* a thread is at it: it's that thread's alone, but for the table */
	UT_hash_handle hh;
};

struct resolver {
	pthread_t threads[RESOLVER_THREADS];
	pthread_mutex_t lock; /* guards what follows; a leaf */
	pthread_cond_t wake;
	struct resolve_request *first, **last;
	usec_t max_ttl, nxdomain_ttl;
	bool is_stopping;
	struct cached *cache;
};

/* ---- the cache; under the lock ---- */

static void cache_drop(struct resolver *r, struct cached *c)
{
	HASH_DEL(r->cache, c);
	free(c->host);
	free(c);
}

static void cache_expire(struct resolver *r, usec_t now)
{
	struct cached *c, *next;

	HASH_ITER(hh, r->cache, c, next) {
		if (!c->is_asking && (c->expires <= now || HASH_COUNT(r->cache) >= CACHE_MAX))
			cache_drop(r, c);
	}
}

static struct cached *cache_find(struct resolver *r, const char *host)
{
	struct cached *c;

	HASH_FIND_STR(r->cache, host, c);
	return c;
}

static struct cached *cache_add(struct resolver *r, const char *host)
{
	struct cached *c = xcalloc(1, sizeof(*c));

	c->host = xstrdup(host);
	HASH_ADD_KEYPTR(hh, r->cache, c->host, strlen(c->host), c);
	return c;
}

static bool has_answer(const struct cached *c, const struct resolve_request *q, usec_t now)
{
	return c->answered_at && c->expires > now && !(q->is_fresh && now - c->answered_at >= RESOLVE_FRESH);
}

/* ---- looking up ---- */

/* Without the lock. */
static void look_up(struct cached *c)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *found = NULL;
	int e = getaddrinfo(c->host, NULL, &hints, &found);

	c->n_addresses = 0;
	for (struct addrinfo *a = found; a && c->n_addresses < RESOLVE_ADDRESSES_MAX; a = a->ai_next) {
		struct address *to = &c->addresses[c->n_addresses];

		if (a->ai_addrlen > sizeof(to->storage))
			continue;
		memset(to, 0, sizeof(*to));
		to->len = a->ai_addrlen;
		memcpy(&to->storage, a->ai_addr, a->ai_addrlen);
		c->n_addresses++;
	}
	if (!c->n_addresses)
		snprintf(c->error, sizeof(c->error), "%s", e ? gai_strerror(e) : "no address");
	if (found)
		freeaddrinfo(found);
}

static void set_port(struct address *a, int port)
{
	if (a->sa.sa_family == AF_INET)
		((struct sockaddr_in *)&a->storage)->sin_port = htons((uint16_t)port);
	else if (a->sa.sa_family == AF_INET6)
		((struct sockaddr_in6 *)&a->storage)->sin6_port = htons((uint16_t)port);
}

static void answer(struct resolve_request *q, const struct cached *c)
{
	q->n_addresses = c->n_addresses;
	memcpy(q->addresses, c->addresses, sizeof(q->addresses));
	for (int i = 0; i < q->n_addresses; i++)
		set_port(&q->addresses[i], q->port);
	snprintf(q->error, sizeof(q->error), "%s", c->n_addresses ? "" : c->error);
	mailbox_post(q->reply_to, &q->message);
}

/* The first that needs no lookup which another thread is at; NULL: none. */
static struct resolve_request *take(struct resolver *r)
{
	for (struct resolve_request **at = &r->first; *at; at = &(*at)->next_) {
		struct resolve_request *q = *at;
		struct cached *c = cache_find(r, q->host);

		if (c && c->is_asking)
			continue;
		*at = q->next_;
		if (!*at)
			r->last = at;
		return q;
	}
	return NULL;
}

/* Takes the lock's holder through one request; the lock is let go of meanwhile. */
static void serve(struct resolver *r, struct resolve_request *q)
{
	struct cached *c;

	cache_expire(r, clock_now());
	c = cache_find(r, q->host);
	if (!c)
		c = cache_add(r, q->host);
	if (!has_answer(c, q, clock_now())) {
		c->is_asking = true;
		pthread_mutex_unlock(&r->lock);
		look_up(c);
		pthread_mutex_lock(&r->lock);
		c->is_asking = false;
		c->answered_at = clock_now();
		c->expires = c->answered_at + (c->n_addresses ? r->max_ttl : r->nxdomain_ttl);
		pthread_cond_broadcast(&r->wake); /* others may wait for this very name */
	}
	answer(q, c);
}

static void *resolver_main(void *arg)
{
	struct resolver *r = arg;

	pthread_mutex_lock(&r->lock);
	while (!r->is_stopping) {
		struct resolve_request *q = take(r);

		if (q)
			serve(r, q);
		else
			pthread_cond_wait(&r->wake, &r->lock);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

struct resolver *resolver_start(void)
{
	struct resolver *r = xcalloc(1, sizeof(*r));

	r->last = &r->first;
	r->max_ttl = r->nxdomain_ttl = 15 * USEC_PER_SEC;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->wake, NULL);
	for (int i = 0; i < RESOLVER_THREADS; i++)
		ASSERT(pthread_create(&r->threads[i], NULL, resolver_main, r) == 0);
	return r;
}

void resolver_set_ttl(struct resolver *r, usec_t max_ttl, usec_t nxdomain_ttl)
{
	pthread_mutex_lock(&r->lock);
	r->max_ttl = max_ttl;
	r->nxdomain_ttl = nxdomain_ttl;
	pthread_mutex_unlock(&r->lock);
}

void resolver_ask(struct resolver *r, struct resolve_request *q)
{
	q->next_ = NULL;
	pthread_mutex_lock(&r->lock);
	*r->last = q;
	r->last = &q->next_;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
}

void resolver_each(struct resolver *r, resolver_name_fn *fn, void *ctx)
{
	struct cached *c, *next;

	pthread_mutex_lock(&r->lock);
	HASH_ITER(hh, r->cache, c, next) {
		if (!c->is_asking)
			fn(ctx, c->host, c->expires, c->n_addresses ? &c->addresses[0] : NULL);
	}
	pthread_mutex_unlock(&r->lock);
}

void resolver_stop(struct resolver *r)
{
	struct resolve_request *q;
	struct cached *c, *next;

	pthread_mutex_lock(&r->lock);
	r->is_stopping = true;
	pthread_cond_broadcast(&r->wake);
	pthread_mutex_unlock(&r->lock);
	for (int i = 0; i < RESOLVER_THREADS; i++)
		pthread_join(r->threads[i], NULL);
	while ((q = r->first)) {
		r->first = q->next_;
		q->message.discard(&q->message);
	}
	HASH_ITER(hh, r->cache, c, next)
		cache_drop(r, c);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
