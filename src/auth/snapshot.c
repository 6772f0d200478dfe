#include "auth/snapshot.h"

#include "base/table.h"

#include <stdlib.h>
#include <string.h>

struct database_credential {
	const struct config_database *db; /* the key: lives as long as the snapshot's config */
	struct credential *credential;
	UT_hash_handle hh;
};

static struct credential *find_by_name(const struct snapshot *s, const char *name)
{
	struct database_credential *c, *next;

	HASH_ITER(hh, s->credentials_, c, next) {
		if (str_equal(c->db->name, name))
			return c->credential;
	}
	return NULL;
}

static void add_credential(struct snapshot *s, const struct config_database *db, const struct snapshot *old)
{
	struct database_credential *c = xcalloc(1, sizeof(*c));
	struct credential *had = old ? find_by_name(old, db->name) : NULL;

	c->db = db;
	c->credential = credential_new(db->user, db->password);
	if (had && credential_same(had, c->credential)) {
		credential_unref(&c->credential);
		c->credential = credential_ref(had);
	}
	HASH_ADD_PTR(s->credentials_, db, c);
}

struct snapshot *snapshot_new(struct config **config, struct userlist **userlist, const struct snapshot *old)
{
	struct snapshot *s = xcalloc(1, sizeof(*s));

	s->refs_ = 1;
	s->config = *config;
	s->userlist = *userlist;
	*config = NULL;
	*userlist = NULL;
	/* a new user list doesn't change who may come in how */
	s->rules = old && old->rules ? auth_rules_ref(old->rules) : NULL;
	s->tls = old && old->tls ? tls_set_ref(old->tls) : NULL;
	for (char **name = old ? old->disabled : NULL; name && *name; name++)
		snapshot_disable(s, *name, true);
	for (const struct config_database *db = s->config->databases; db; db = db->next) {
		if (db->user && db->password)
			add_credential(s, db, old);
	}
	return s;
}

void snapshot_take_rules(struct snapshot *s, struct auth_rules **r)
{
	auth_rules_unref(&s->rules);
	s->rules = *r;
	*r = NULL;
}

void snapshot_take_tls(struct snapshot *s, struct tls_set **tls)
{
	tls_set_unref(&s->tls);
	s->tls = *tls;
	*tls = NULL;
}

static size_t find_disabled(const struct snapshot *s, const char *database)
{
	size_t i = 0;

	while (s->disabled && s->disabled[i] && strcmp(s->disabled[i], database) != 0)
		i++;
	return i;
}

bool snapshot_has_disabled(const struct snapshot *s, const char *database)
{
	return s->disabled && s->disabled[find_disabled(s, database)];
}

void snapshot_disable(struct snapshot *s, const char *database, bool is_disabled)
{
	size_t at = find_disabled(s, database), n = at;
	bool was = s->disabled && s->disabled[at];

	if (was == is_disabled)
		return;
	while (was && s->disabled[n])
		n++;
	if (is_disabled) {
		s->disabled = xrealloc(s->disabled, (n + 2) * sizeof(*s->disabled));
		s->disabled[n] = xstrdup(database);
		s->disabled[n + 1] = NULL;
	} else {
		free(s->disabled[at]);
		s->disabled[at] = s->disabled[n - 1];
		s->disabled[n - 1] = NULL;
	}
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
	if (s)
		__atomic_add_fetch(&s->refs_, 1, __ATOMIC_RELAXED);
	return s;
}

void snapshot_unref(struct snapshot **sp)
{
	struct snapshot *s = *sp;
	struct database_credential *c, *next;

	*sp = NULL;
	if (!s || __atomic_sub_fetch(&s->refs_, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	HASH_ITER(hh, s->credentials_, c, next) {
		HASH_DEL(s->credentials_, c);
		credential_unref(&c->credential);
		free(c);
	}
	for (char **name = s->disabled; name && *name; name++)
		free(*name);
	free(s->disabled);
	userlist_unref(&s->userlist);
	auth_rules_unref(&s->rules);
	tls_set_unref(&s->tls);
	config_unref(&s->config);
	free(s);
}

struct credential *snapshot_database_credential(const struct snapshot *s, const struct config_database *db)
{
	struct database_credential *c;

	HASH_FIND_PTR(s->credentials_, &db, c);
	return c ? c->credential : NULL;
}

struct credential *snapshot_server_credential(
	const struct snapshot *s, const struct config_database *db, const char *user)
{
	struct credential *c = db ? snapshot_database_credential(s, db) : NULL;

	return c ? c : userlist_find(s->userlist, db && db->user ? db->user : user);
}
