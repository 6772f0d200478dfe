/*
 * snapshot.h - what one load of the configuration gave: the settings, the user list, the rules of HBA and ident files,
 * and the databases' own credentials.
 *
 * Immutable; every thread holds a reference to the one it works with, and gets the next by message. A login
 * keeps the one that it began with, so that a reload never changes the rules under it.
 *
 * Ownership: atomic reference count; config, userlist and credentials live as long as the snapshot.
 * Threads:   make it on the main thread, use it from any.
 */
#ifndef PGWEIR_SNAPSHOT_H
#define PGWEIR_SNAPSHOT_H

#include "auth/credential.h"
#include "auth/rules.h"
#include "config/config.h"
#include "net/tls_set.h"

struct snapshot {
	int refs_;
	struct config *config;
	struct userlist *userlist;
	struct auth_rules *rules; /* NULL: auth_type needs none */
	struct tls_set *tls;	  /* NULL: without TLS */
	char **disabled;	  /* databases that DISABLE named, ended by NULL; NULL: none */
	struct database_credential *credentials_;
};

/*
 * Moves config and userlist. Credentials that old (may be NULL) has, too, are taken over with their derived keys, and so are its rules and TLS
 * until snapshot_take_rules() and snapshot_take_tls() say otherwise, and what is disabled.
 */
struct snapshot *snapshot_new(struct config **config, struct userlist **userlist, const struct snapshot *old);
void snapshot_take_rules(struct snapshot *s, struct auth_rules **r); /* moves it; before anybody else has the snapshot */
void snapshot_take_tls(struct snapshot *s, struct tls_set **tls); /* moves it; before anybody else has the snapshot */
/* Before anybody else has the snapshot. */
void snapshot_disable(struct snapshot *s, const char *database, bool is_disabled);
bool snapshot_has_disabled(const struct snapshot *s, const char *database);
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot **s); /* NULL inside is fine */

/* Of the forced user of a database that has a password in the configuration; else NULL. Borrowed. */
struct credential *snapshot_database_credential(const struct snapshot *s, const struct config_database *db);
/* What servers are logged in with: the forced user's credential, else the client's own. Borrowed; NULL: unknown. */
struct credential *snapshot_server_credential(
	const struct snapshot *s, const struct config_database *db, const char *user);

#endif
