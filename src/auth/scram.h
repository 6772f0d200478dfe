/*
 * scram.h - SCRAM-SHA-256, server's and client's side, as state machines over messages. No I/O.
 *
 * Costs:     PBKDF2 runs only in scram_derive(). Everything else is a few HMACs. Callers keep what it yields (see credential.h), so that
 *            neither a login storm nor a reconnect pays for it again.
 * Ownership: a struct scram is embedded in a login and wiped by scram_wipe(); out buffers are the caller's writers.
 * Limits:    messages up to SCRAM_MESSAGE_MAX; iterations 1 .. 10,000,000 are accepted from a server; salts up to 1024 bytes.
 * Threads:   no shared state.
 * Source:    RFC 5802, RFC 7677, RFC 4013 (SASLprep through libidn); PostgreSQL's manual "SASL Authentication": the user
 *            name inside the exchange is ignored. Channel binding: 'n' and 'y' are accepted as long as no -PLUS was offered; 'p' is refused.
 */
#ifndef PGWEIR_SCRAM_H
#define PGWEIR_SCRAM_H

#include "wire/bytes.h"

#define SCRAM_KEY_SIZE 32
#define SCRAM_SALT_MAX 1024
#define SCRAM_MESSAGE_MAX 8192

/* A SCRAM secret as PostgreSQL stores it: SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey> */
struct scram_secret {
	uint32_t iterations;
	uint16_t salt_len;
	uint8_t salt[SCRAM_SALT_MAX];
	uint8_t stored_key[SCRAM_KEY_SIZE], server_key[SCRAM_KEY_SIZE];
};

/* What a client needs to log in; client_key is as good as the password. */
struct scram_keys {
	uint8_t client_key[SCRAM_KEY_SIZE], server_key[SCRAM_KEY_SIZE];
};

bool scram_secret_parse(const char *text, struct scram_secret *out); /* false: it isn't one, or is malformed */
/* PBKDF2 of the SASLprep'd password (raw bytes where SASLprep refuses, as PostgreSQL does). Milliseconds of CPU. */
void scram_derive(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations, struct scram_keys *out);
void scram_stored_key(const uint8_t client_key[SCRAM_KEY_SIZE], uint8_t out[SCRAM_KEY_SIZE]);

struct scram {
	int state; /* private, like the rest */
	char *client_first_bare, *server_first, *nonce;
	char gs2_flag;
	struct scram_secret secret; /* server's side: what we verify against */
	bool is_mock;
	struct scram_keys keys;
};

void scram_wipe(struct scram *s);

/* Server's side: we verify a client. With mock the exchange always ends in RES_REFUSED, after the same messages and the same work. */
enum result scram_server_first(struct scram *s, struct reader client_first, const struct scram_secret *secret, bool is_mock,
			       struct writer *out); /* out: data of AuthenticationSASLContinue */
/* RES_OK: out is the data of AuthenticationSASLFinal and client_key (32 bytes, may be NULL) is what the client proved to know. RES_REFUSED: wrong password. */
enum result scram_server_final(struct scram *s, struct reader client_final, struct writer *out, uint8_t *client_key);
/* A secret for a user that doesn't exist: stable per name and process, so that asking twice shows nothing. */
void scram_mock_secret(const char *user, uint32_t iterations, struct scram_secret *out);

/* Client's side: we log in to a server. */
void scram_client_first(struct scram *s, struct writer *out); /* data of SASLInitialResponse */
/* Reads the server's first message: salt and iterations are in s->secret afterwards. Then the caller derives or finds the keys. */
enum result scram_client_challenge(struct scram *s, struct reader server_first);
enum result scram_client_final(struct scram *s, const struct scram_keys *keys, struct writer *out);
enum result scram_client_verify(struct scram *s, struct reader server_final); /* RES_REFUSED: the server doesn't know the password */

#endif
