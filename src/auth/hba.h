/*
 * hba.h - who may come from where, and how they prove who they are: auth_hba_file, as PostgreSQL 16 reads its pg_hba.conf.
 *
 * Rules:     the first that fits decides. Connection types local, host, hostssl, hostnossl, hostgssenc (fits nobody) and
 *            hostnogssenc; databases all, sameuser, replication (only physical replication), names, /regex, @file; users all,
 *            names, /regex, @file; addresses all, samehost, samenet, address/bits, address and mask.
 * Not here:  what needs PostgreSQL's roles (+role, samerole, samegroup), host names, and the methods ident (but on local,
 *            where it is peer), gss, sspi, radius, bsd, oauth are refused when the file is loaded.
 * samehost:  and samenet mean the interfaces as they were when the file was loaded.
 * Ownership: immutable; part of a snapshot, which frees it.
 * Threads:   load on the main thread, match from any.
 * Errors:    NULL and `file:line: what is wrong`, never with an option's value, which may be a password.
 * Limits:    authfile.h's; HBA_RULES_MAX.
 * Source:    PostgreSQL's manual, "The pg_hba.conf File".
 */
#ifndef PGWEIR_HBA_H
#define PGWEIR_HBA_H

#include "auth/authfile.h"
#include "net/address.h"

#define HBA_RULES_MAX 10000

enum hba_method {
	HBA_TRUST,
	HBA_REJECT,
	HBA_PASSWORD, /* in clear text */
	HBA_MD5,      /* SCRAM for those who have a SCRAM secret */
	HBA_SCRAM,
	HBA_PEER,
	HBA_CERT,
	HBA_LDAP,
	HBA_PAM,
};

enum hba_clientcert { HBA_CLIENTCERT_NONE, HBA_CLIENTCERT_CA, HBA_CLIENTCERT_FULL };

struct ldap_options {	       /* texts are NULL where nothing is set */
	char *scheme, *server; /* "ldap" or "ldaps"; server: one or more hosts, blanks between */
	int port;	       /* 0: the scheme's */
	int scope;	       /* LDAP_SCOPE_.. */
	bool use_tls;	       /* StartTLS */
	char *binddn, *bindpasswd, *basedn, *searchattribute, *searchfilter; /* search and bind */
	char *prefix, *suffix;						     /* simple bind */
};

struct hba_rule {
	enum hba_method method;
	enum hba_clientcert clientcert;
	bool is_clientname_dn; /* of the certificate the whole name counts, not its common name */
	char *map;	       /* of auth_ident_file; NULL: names must be equal */
	char *pamservice;
	bool pam_use_hostname;
	struct ldap_options ldap;
	char *file;
	int line;
};

struct hba_client {
	const char *database, *user;
	const struct address *address;
	bool is_tls, is_replication;
};

struct hba_interface {
	struct address address, mask;
};

struct hba;

struct hba *hba_load(const char *path, char *error, size_t error_size);
/* Other files are refused in it; interfaces: what samehost and samenet mean. */
struct hba *hba_parse(const char *name, const char *text, size_t len, const struct hba_interface *interfaces,
	size_t n_interfaces, char *error, size_t error_size);
void hba_free(struct hba **h); /* NULL inside is fine */
/* NULL: none fits, or it can't be told (a regular expression gave up). */
const struct hba_rule *hba_match(const struct hba *h, const struct hba_client *c);
size_t hba_count(const struct hba *h);
const char *hba_method_name(enum hba_method m);

#endif
