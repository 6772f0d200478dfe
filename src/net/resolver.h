/*
 * resolver.h - names to addresses on a thread of its own, since getaddrinfo blocks.
 *
 * Answers, with all the addresses of a name, are cached for dns_max_ttl, failures for dns_nxdomain_ttl; whoever couldn't reach the old addresses
 * asks for a fresh answer. One name is looked up once at a time, and up to RESOLVER_THREADS different ones, so that a name server
 * which doesn't answer for one of them holds up the others no longer than it must.
 * Ownership: the request belongs to the resolver from resolver_ask() until its message is delivered.
 * Threads:   resolver_ask() from any.
 */
#ifndef PGWEIR_RESOLVER_H
#define PGWEIR_RESOLVER_H

#include "net/address.h"
#include "net/mailbox.h"

struct resolver;

#define RESOLVE_HOST_MAX 256
#define RESOLVE_ADDRESSES_MAX 8
#define RESOLVER_THREADS 4
#define RESOLVE_FRESH                                                                                        \
	USEC_PER_SEC /* is_fresh: an answer that is younger will do, since a herd may be asking */

struct resolve_request {
	struct message message; /* posted to reply_to with deliver and discard as the caller set them */
	struct mailbox *reply_to;
	char host[RESOLVE_HOST_MAX];
	int port;
	bool is_fresh;					 /* not from the cache */
	struct address addresses[RESOLVE_ADDRESSES_MAX]; /* the answer, in the order in which they are to be tried */
	int n_addresses;				 /* 0: failed */
	char error[128];
	struct resolve_request *next_;
};

struct resolver *resolver_start(void);
void resolver_set_ttl(struct resolver *r, usec_t max_ttl, usec_t nxdomain_ttl);
void resolver_ask(struct resolver *r, struct resolve_request *q);
/* What is in the cache, under the resolver's lock: fn looks and calls nothing of the resolver's. address is NULL for a failure. */
typedef void resolver_name_fn(void *ctx, const char *host, usec_t expires, const struct address *address);
void resolver_each(struct resolver *r, resolver_name_fn *fn, void *ctx);
void resolver_stop(struct resolver *r); /* waits for a lookup that is under way; requests left over are discarded */

#endif
