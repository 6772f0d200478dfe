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
	struct address address; /* port 0 */
	char error[128];
	usec_t expires;
	UT_hash_handle hh;
};

struct resolver {
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows; a leaf */
	pthread_cond_t wake;
	struct resolve_request *first, **last;
	usec_t max_ttl, nxdomain_ttl;
	bool is_stopping;
	struct cached *cache; /* changed by its thread only, under the lock */
};

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
		if (c->expires <= now || HASH_COUNT(r->cache) >= CACHE_MAX)
			cache_drop(r, c);
	}
}

static void look_up(struct cached *c)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *found = NULL;
	int e = getaddrinfo(c->host, NULL, &hints, &found);

	if (e == 0 && found && found->ai_addrlen <= sizeof(c->address.storage)) {
		c->address.len = found->ai_addrlen;
		memcpy(&c->address.storage, found->ai_addr, found->ai_addrlen);
	} else {
		snprintf(c->error, sizeof(c->error), "%s", e ? gai_strerror(e) : "no address");
	}
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

static void answer(struct resolver *r, struct resolve_request *q, usec_t max_ttl, usec_t nxdomain_ttl)
{
	struct cached *c;

	pthread_mutex_lock(&r->lock);
	cache_expire(r, clock_now());
	pthread_mutex_unlock(&r->lock);
	HASH_FIND_STR(r->cache, q->host, c);
	if (!c) {
		c = xcalloc(1, sizeof(*c));
		c->host = xstrdup(q->host);
		look_up(c);
		c->expires = clock_now() + (c->address.len ? max_ttl : nxdomain_ttl);
		pthread_mutex_lock(&r->lock);
		HASH_ADD_KEYPTR(hh, r->cache, c->host, strlen(c->host), c);
		pthread_mutex_unlock(&r->lock);
	}
	q->address = c->address;
	snprintf(q->error, sizeof(q->error), "%s", c->error);
	set_port(&q->address, q->port);
	mailbox_post(q->reply_to, &q->message);
}

static struct resolve_request *take(struct resolver *r)
{
	struct resolve_request *q = r->first;

	if (q && !(r->first = q->next_))
		r->last = &r->first;
	return q;
}

static void *resolver_main(void *arg)
{
	struct resolver *r = arg;

	pthread_mutex_lock(&r->lock);
	while (!r->is_stopping) {
		struct resolve_request *q = take(r);
		usec_t max_ttl = r->max_ttl, nxdomain_ttl = r->nxdomain_ttl;

		if (!q) {
			pthread_cond_wait(&r->wake, &r->lock);
			continue;
		}
		pthread_mutex_unlock(&r->lock);
		answer(r, q, max_ttl, nxdomain_ttl);
		pthread_mutex_lock(&r->lock);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

struct resolver *resolver_start(void)
{
	struct resolver *r = xcalloc(1, sizeof(*r));
	int e;

	r->last = &r->first;
	r->max_ttl = r->nxdomain_ttl = 15 * USEC_PER_SEC;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->wake, NULL);
	e = pthread_create(&r->thread, NULL, resolver_main, r);
	ASSERT(e == 0);
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
	HASH_ITER(hh, r->cache, c, next)
		fn(ctx, c->host, c->expires, c->address.len ? &c->address : NULL);
	pthread_mutex_unlock(&r->lock);
}

void resolver_stop(struct resolver *r)
{
	struct resolve_request *q;
	struct cached *c, *next;

	pthread_mutex_lock(&r->lock);
	r->is_stopping = true;
	pthread_cond_signal(&r->wake);
	pthread_mutex_unlock(&r->lock);
	pthread_join(r->thread, NULL);
	while ((q = take(r)))
		q->message.discard(&q->message);
	HASH_ITER(hh, r->cache, c, next)
		cache_drop(r, c);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
