/*
 * credential.h - a user's secret, and the keys derived from it, each computed once.
 *
 * userlist:   auth_file, PgBouncer's format: "user" "secret" a line ('""' inside quotes is a quote), ; comments. Secrets are plain text, "md5" + 32 hex
 *             digits, or SCRAM-SHA-256$... . An immutable snapshot like the configuration; loading a new one keeps the credential
 *             objects (and so the derived keys) of users whose secret didn't change.
 * Ownership:  credentials are shared by reference count and wiped when the last reference goes.
 * Threads:    everything but loading may be called from any thread; a credential's lock guards its derived keys only and is a leaf.
 * Costs:      credential_verifier() and credential_server_keys() run PBKDF2 at their first call per (salt, iterations): call them on a login
 *             thread, never on a worker. credential_find_server_keys() only looks.
 * Errors:     userlist_load() gives NULL and `file:line: what is wrong`.
 */
#ifndef PGWEIR_CREDENTIAL_H
#define PGWEIR_CREDENTIAL_H

#include "auth/scram.h"

enum secret_kind { SECRET_NONE, SECRET_PLAIN, SECRET_MD5, SECRET_SCRAM };

struct credential;
struct userlist;

struct credential *credential_new(const char *user, const char *secret); /* secret "" or NULL: SECRET_NONE */
struct credential *credential_ref(struct credential *c);
void credential_unref(struct credential **c); /* NULL inside is fine */
const char *credential_user(const struct credential *c);
enum secret_kind credential_kind(const struct credential *c);
bool credential_same(const struct credential *a, const struct credential *b); /* same user, same secret */

/* Client's side. */
bool credential_check_plain(struct credential *c, const char *password); /* works for every kind; constant time; PBKDF2 for SECRET_SCRAM */
bool credential_check_md5(const struct credential *c, const uint8_t salt[4], const char *response); /* false for SECRET_SCRAM */
/* The secret to verify SCRAM against. Plain text: derived once with a random salt. False for SECRET_MD5 and SECRET_NONE. */
bool credential_verifier(struct credential *c, uint32_t iterations, struct scram_secret *out);
/* The client has just proved client_key against this SCRAM secret: kept, so that we can log in to the server with it. */
void credential_learn_client_key(struct credential *c, const uint8_t client_key[SCRAM_KEY_SIZE]);

/* Server's side. */
const char *credential_plain(const struct credential *c); /* NULL unless SECRET_PLAIN */
bool credential_md5_response(const struct credential *c, const uint8_t salt[4], char out[36]); /* false unless plain or md5 */
bool credential_find_server_keys(struct credential *c, const uint8_t *salt, size_t salt_len, uint32_t iterations, struct scram_keys *out);
bool credential_server_keys(struct credential *c, const uint8_t *salt, size_t salt_len, uint32_t iterations, struct scram_keys *out);

struct userlist *userlist_load(const char *path, const struct userlist *old, char *error, size_t error_size);
struct userlist *userlist_empty(void);
struct userlist *userlist_ref(struct userlist *u);
void userlist_unref(struct userlist **u);
struct credential *userlist_find(const struct userlist *u, const char *user); /* borrowed: lives as long as the list; NULL: unknown */
size_t userlist_count(const struct userlist *u);

#endif
