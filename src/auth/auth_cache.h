/*
 * auth_cache.h - what auth_query has answered, for a while: a table of (database, user). No I/O, no clock.
 *
 * An answer is a credential, or the reason why there is none. It is fresh for a ttl, one that says no for a shorter time, so that a
 * new role needn't wait. A stale one is kept, for when PostgreSQL can't be asked (see AUTH_STALE_MAX).
 *
 * Sources:   an answer counts only for the source that gave it: a hash of all that decides who is asked and what.
 * Keys:      a new answer with the same secret keeps the old credential, and so its derived and learnt keys.
 * Refresh:   a failed password may ask anew, but only once in AUTH_REFRESH_EVERY for each entry: trying passwords never
 *            becomes a query a try.
 * Limits:    as many entries as asked for; the least recently used goes first.
 * Ownership: the cache holds a reference to each credential; entries are borrowed until the next auth_cache_put().
 * Threads:   its owner's.
 */
#ifndef PGWEIR_AUTH_CACHE_H
#define PGWEIR_AUTH_CACHE_H

#include "auth/credential.h"

#define AUTH_REFRESH_EVERY USEC_PER_SEC
#define AUTH_STALE_MAX (600 * USEC_PER_SEC) /* an answer older than this serves nobody */
#define AUTH_NEGATIVE_PART 4		    /* one that says no is fresh for this part of the ttl */
#define AUTH_CAUSE_MAX 256

struct auth_cache;

struct auth_entry {
	struct credential *credential; /* NULL: nobody gets in by it, because of .. */
	char cause[AUTH_CAUSE_MAX];    /* .. for the log */
	usec_t asked_at;	       /* when the question was sent whose answer this is */
	usec_t refreshed_at;	       /* when a failed password last asked anew; 0: never */
};

struct auth_cache *auth_cache_new(size_t max);
void auth_cache_free(struct auth_cache **c);
/* NULL: nothing is known that isn't too old for anything. */
struct auth_entry *auth_cache_find(
	struct auth_cache *c, const char *database, const char *user, uint64_t source, usec_t now);
bool auth_entry_is_fresh(const struct auth_entry *e, usec_t now, usec_t ttl);
bool auth_entry_may_refresh(struct auth_entry *e, usec_t now); /* true: once, and not again for a while */
/* secret NULL: none, because of cause. Returns the entry. */
struct auth_entry *auth_cache_put(struct auth_cache *c, const char *database, const char *user,
	uint64_t source, const char *secret, const char *cause, usec_t asked_at);
size_t auth_cache_count(const struct auth_cache *c);

#endif
