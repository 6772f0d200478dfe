/*
 * rules.h - what auth_type comes down to: for each client the one rule by which it proves who it is.
 *
 * auth_type hba reads auth_hba_file and auth_ident_file, ldap takes its rule out of auth_ldap_options, every other type is one
 * rule for everybody. any has none: see login.c.
 * Ownership: immutable, shared by an atomic reference count; part of a snapshot.
 * Threads:   load on the main thread, ask from any.
 * Errors:    auth_rules_load() gives NULL and what is wrong where, as hba.h does.
 */
#ifndef PGWEIR_RULES_H
#define PGWEIR_RULES_H

#include "auth/hba.h"
#include "auth/ident.h"
#include "config/config.h"

struct auth_rules;

struct auth_rules *auth_rules_load(const struct config *c, char *error, size_t error_size);
struct auth_rules *auth_rules_ref(struct auth_rules *r);
void auth_rules_unref(struct auth_rules **r); /* NULL inside is fine */
/* NULL: nobody like that is let in. r may be NULL where the type is one rule for everybody. */
const struct hba_rule *auth_rules_find(
	const struct auth_rules *r, enum auth_type type, const struct hba_client *c);
/* May somebody whom the system knows as system_name be this user? */
bool auth_rules_allow(
	const struct auth_rules *r, const struct hba_rule *rule, const char *system_name, const char *user);

#endif
