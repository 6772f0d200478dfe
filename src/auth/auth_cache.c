#include "auth/auth_cache.h"

#include "base/list.h"
#include "base/table.h"

#include <stdio.h>
#include <stdlib.h>

struct slot {
	struct auth_entry entry;
	char *key; /* source database NUL user NUL */
	size_t key_size;
	struct list_node node;
	UT_hash_handle hh;
};

struct auth_cache {
	size_t max;
	struct slot *slots;
	struct list by_use; /* the most recent first */
};

struct auth_cache *auth_cache_new(size_t max)
{
	struct auth_cache *c = xcalloc(1, sizeof(*c));

	ASSERT(max > 0);
	c->max = max;
	list_init(&c->by_use);
	return c;
}

static void drop(struct auth_cache *c, struct slot *s)
{
	HASH_DEL(c->slots, s);
	list_remove(&c->by_use, &s->node);
	credential_unref(&s->entry.credential);
	free(s->key);
	free(s);
}

void auth_cache_free(struct auth_cache **cp)
{
	struct auth_cache *c = *cp;
	struct list_node *n;

	*cp = NULL;
	if (!c)
		return;
	while ((n = list_first(&c->by_use)))
		drop(c, CONTAINER_OF(n, struct slot, node));
	free(c);
}

size_t auth_cache_count(const struct auth_cache *c)
{
	return c->by_use.count;
}

static char *make_key(const char *database, const char *user, uint64_t source, size_t *size)
{
	size_t database_size = strlen(database) + 1, user_size = strlen(user) + 1;
	char *key = xmalloc(sizeof(source) + database_size + user_size);

	memcpy(key, &source, sizeof(source));
	memcpy(key + sizeof(source), database, database_size);
	memcpy(key + sizeof(source) + database_size, user, user_size);
	*size = sizeof(source) + database_size + user_size;
	return key;
}

static struct slot *find(struct auth_cache *c, const char *key, size_t size)
{
	struct slot *s;

	HASH_FIND(hh, c->slots, key, size, s);
	if (s) {
		list_remove(&c->by_use, &s->node);
		list_push_front(&c->by_use, &s->node);
	}
	return s;
}

struct auth_entry *auth_cache_find(
	struct auth_cache *c, const char *database, const char *user, uint64_t source, usec_t now)
{
	size_t size;
	char *key = make_key(database, user, source, &size);
	struct slot *s = find(c, key, size);

	free(key);
	return s && now - s->entry.asked_at <= AUTH_STALE_MAX ? &s->entry : NULL;
}

bool auth_entry_is_fresh(const struct auth_entry *e, usec_t now, usec_t ttl)
{
	return now - e->asked_at < (e->credential ? ttl : ttl / AUTH_NEGATIVE_PART);
}

bool auth_entry_may_refresh(struct auth_entry *e, usec_t now)
{
	if (e->refreshed_at && now - e->refreshed_at < AUTH_REFRESH_EVERY)
		return false;
	e->refreshed_at = now;
	return true;
}

static struct slot *add(struct auth_cache *c, char **key, size_t size)
{
	struct slot *s = xcalloc(1, sizeof(*s));

	if (c->by_use.count == c->max)
		drop(c, CONTAINER_OF(list_last(&c->by_use), struct slot, node));
	s->key = *key;
	s->key_size = size;
	*key = NULL;
	list_push_front(&c->by_use, &s->node);
	HASH_ADD_KEYPTR(hh, c->slots, s->key, s->key_size, s);
	return s;
}

static void set_credential(struct auth_entry *e, const char *user, const char *secret)
{
	struct credential *c = secret ? credential_new(user, secret) : NULL;

	if (c && e->credential && credential_same(c, e->credential)) {
		credential_unref(&c);
		return;
	}
	credential_unref(&e->credential);
	e->credential = c;
}

struct auth_entry *auth_cache_put(struct auth_cache *c, const char *database, const char *user,
	uint64_t source, const char *secret, const char *cause, usec_t asked_at)
{
	size_t size;
	char *key = make_key(database, user, source, &size);
	struct slot *s = find(c, key, size);

	if (!s)
		s = add(c, &key, size);
	free(key);
	s->entry.asked_at = asked_at;
	set_credential(&s->entry, user, secret);
	snprintf(s->entry.cause, sizeof(s->entry.cause), "%s", cause);
	return &s->entry;
}
