/*
 * credential.h - a user's secret, and the keys derived from it, each computed once.
 *
 * userlist:   auth_file, PgBouncer's format: "user" "secret" a line ('""' inside quotes is a quote), ; comments;
 *             what follows the secret is ignored. A user's last line counts. A quoted string ends on its line.
 *             Secrets are plain text, "md5" + 32 hex digits, or SCRAM-SHA-256$... . An immutable snapshot like the
 *             configuration; loading a new one keeps the credential objects (and so the derived keys) of users
 *             whose secret didn't change.
 * Ownership:  credentials are shared by reference count and wiped when the last reference goes.
 * Threads:    everything but loading may be called from any thread; a credential's lock guards its derived keys
 *             only and is a leaf, held for a copy. Derivations wait for each other under locks of their own: a herd
 *             that needs the same key computes it once.
 * Costs:      credential_verifier() and credential_server_keys() run PBKDF2 at their first call per (salt,
 *             iterations), credential_check_plain() at every call for a SCRAM secret: call them on a login thread,
 *             never on a worker. credential_find_server_keys() only looks.
 * Limits:     a secret has up to CREDENTIAL_SECRET_MAX bytes, a name in the file up to USERLIST_NAME_MAX, the file
 *             up to USERLIST_FILE_MAX. Keys are kept for the last few (salt, iterations) of a credential.
 * Errors:     userlist_load() gives NULL and `file:line: what is wrong`.
 */
#ifndef PGWEIR_CREDENTIAL_H
#define PGWEIR_CREDENTIAL_H

#include "auth/scram.h"

#define CREDENTIAL_SECRET_MAX SCRAM_PASSWORD_MAX
#define USERLIST_NAME_MAX 127 /* PgBouncer's; PostgreSQL cuts names at 63 */
#define USERLIST_FILE_MAX (64 << 20)

enum secret_kind { SECRET_NONE, SECRET_PLAIN, SECRET_MD5, SECRET_SCRAM };

struct credential;
struct userlist;

/* secret "", NULL or too long: SECRET_NONE */
struct credential *credential_new(const char *user, const char *secret);
struct credential *credential_ref(struct credential *c);
void credential_unref(struct credential **c); /* NULL inside is fine */
const char *credential_user(const struct credential *c);
enum secret_kind credential_kind(const struct credential *c);
const char *credential_secret(const struct credential *c); /* as it is written in the file; borrowed */
bool credential_same(const struct credential *a, const struct credential *b); /* same user, same secret */

/* Client's side. */
/* Works for every kind, in constant time. A password that fits a SCRAM secret teaches its client key. */
bool credential_check_plain(struct credential *c, const char *password);
/* False for SECRET_SCRAM. */
bool credential_check_md5(const struct credential *c, const uint8_t salt[4], const char *response);
/* The secret to verify SCRAM against. Plain text: derived once with a random salt. Others have none: false. */
bool credential_verifier(struct credential *c, uint32_t iterations, struct scram_secret *out);
/*
 * The client has just proved client_key against this SCRAM secret: kept, so that we can log in to the server with
 * it, and only to one that has the very same secret. A key that doesn't belong to it, or another kind: no-op.
 */
void credential_learn_client_key(struct credential *c, const uint8_t client_key[SCRAM_KEY_SIZE]);

bool credential_client_key(struct credential *c, uint8_t out[SCRAM_KEY_SIZE]); /* what was learnt; false: nothing */

/* What was learnt for another credential with the very same SCRAM secret, such as a forced user's: the secret doesn't depend on the name. */
void credential_learn_from(struct credential *c, struct credential *other);

/* Server's side. */
const char *credential_plain(const struct credential *c); /* NULL unless SECRET_PLAIN */
/* False unless plain or md5. */
bool credential_md5_response(const struct credential *c, const uint8_t salt[4], char out[36]);
/* False: not known (yet). For a SCRAM secret: known once learnt, if salt and iterations are the secret's own. */
bool credential_find_server_keys(struct credential *c, const uint8_t *salt, size_t salt_len,
	uint32_t iterations, struct scram_keys *out);
bool credential_server_keys(struct credential *c, const uint8_t *salt, size_t salt_len, uint32_t iterations,
	struct scram_keys *out);

/*
 * What is usual in a list, so that a user who isn't in it can be asked like one who is. key and iterations are the same in each process
 * that reads this list, and mostly stay when it changes: SCRAM secrets have salts that don't change either. Only these go into
 * the key: a password could be found out by trying.
 */
struct userlist_model {
	bool is_mostly_scram;
	uint32_t iterations; /* 0: nobody has a SCRAM secret, and there is no key */
	uint8_t key[SCRAM_KEY_SIZE];
};

struct userlist *userlist_load(const char *path, const struct userlist *old, char *error, size_t error_size);
struct userlist *userlist_empty(void);
struct userlist *userlist_ref(struct userlist *u);
void userlist_unref(struct userlist **u);
/* The file's text, for a test or a secret that comes from elsewhere; name stands for the file in errors. */
struct userlist *userlist_parse(const char *text, size_t len, const char *name, const struct userlist *old,
	char *error, size_t error_size);
/* In the file's order. */
void userlist_each(const struct userlist *u, void (*fn)(struct credential *c, void *arg), void *arg);
/* Borrowed: lives as long as the list. NULL: unknown. */
struct credential *userlist_find(const struct userlist *u, const char *user);
size_t userlist_count(const struct userlist *u);
const struct userlist_model *userlist_model(const struct userlist *u); /* borrowed */

#endif
