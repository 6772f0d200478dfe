#include "auth/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct auth_rules {
	int refs; /* atomic */
	struct hba *hba;
	struct ident *ident; /* NULL: there are no maps */
};

static const struct hba_rule fixed[] = {
	[AUTH_TYPE_TRUST] = { .method = HBA_TRUST },
	[AUTH_TYPE_PLAIN] = { .method = HBA_PASSWORD },
	[AUTH_TYPE_MD5] = { .method = HBA_MD5 },
	[AUTH_TYPE_SCRAM] = { .method = HBA_SCRAM },
	[AUTH_TYPE_CERT] = { .method = HBA_CERT, .clientcert = HBA_CLIENTCERT_FULL },
	[AUTH_TYPE_PAM] = { .method = HBA_PAM },
};

static bool has_rules(enum auth_type type)
{
	return type == AUTH_TYPE_HBA || type == AUTH_TYPE_LDAP;
}

static bool load_hba(struct auth_rules *r, const struct config *c, char *error, size_t size)
{
	if (!*c->auth_hba_file) {
		snprintf(error, size, "auth_type hba needs auth_hba_file");
		return false;
	}
	r->hba = hba_load(c->auth_hba_file, error, size);
	if (r->hba && *c->auth_ident_file)
		r->ident = ident_load(c->auth_ident_file, error, size);
	return r->hba && (r->ident || !*c->auth_ident_file);
}

/* The options are those of an HBA line, so they are read as such. */
static bool load_ldap(struct auth_rules *r, const struct config *c, char *error, size_t size)
{
	const char *options = c->auth_ldap_options;
	char *lines = xasprintf("local all all ldap %s\nhost all all all ldap %s\n", options, options);

	r->hba = hba_parse("auth_ldap_options", lines, strlen(lines), NULL, 0, error, size);
	secure_free(&lines);
	return r->hba;
}

/* As PgBouncer: nobody could come in, and would only be told to show a certificate. */
static bool check_cert(const struct config *c, char *error, size_t size)
{
	const struct config_tls *tls = &c->client_tls;

	if (tls->mode >= TLS_VERIFY_CA || (tls->mode != TLS_DISABLE && tls->ca_file && *tls->ca_file))
		return true;
	snprintf(error, size,
		"auth_type cert needs certificates that are verified: client_tls_sslmode = verify-full, or client_tls_ca_file and a client_tls_sslmode other than disable");
	return false;
}

struct auth_rules *auth_rules_load(const struct config *c, char *error, size_t error_size)
{
	struct auth_rules *r = xcalloc(1, sizeof(*r));
	bool ok = true;

	r->refs = 1;
	if (c->auth_type == AUTH_TYPE_HBA)
		ok = load_hba(r, c, error, error_size);
	else if (c->auth_type == AUTH_TYPE_LDAP)
		ok = load_ldap(r, c, error, error_size);
	else if (c->auth_type == AUTH_TYPE_CERT)
		ok = check_cert(c, error, error_size);
	if (!ok)
		auth_rules_unref(&r);
	return r;
}

struct auth_rules *auth_rules_ref(struct auth_rules *r)
{
	__atomic_add_fetch(&r->refs, 1, __ATOMIC_RELAXED);
	return r;
}

void auth_rules_unref(struct auth_rules **rp)
{
	struct auth_rules *r = *rp;

	*rp = NULL;
	if (!r || __atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	hba_free(&r->hba);
	ident_free(&r->ident);
	free(r);
}

const struct hba_rule *auth_rules_find(const struct auth_rules *r, enum auth_type type, const struct hba_client *c)
{
	if (!has_rules(type))
		return &fixed[type];
	return r && r->hba ? hba_match(r->hba, c) : NULL;
}

bool auth_rules_allow(
	const struct auth_rules *r, const struct hba_rule *rule, const char *system_name, const char *user)
{
	return ident_allows(r ? r->ident : NULL, rule->map, system_name, user);
}
