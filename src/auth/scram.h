/*
 * scram.h - SCRAM-SHA-256, server's and client's side, as state machines over messages. No I/O.
 *
 * Costs:     PBKDF2 runs only in scram_derive(). Everything else is a few HMACs. Callers keep what it yields (see
 *            credential.h), so that neither a login storm nor a reconnect pays for it again.
 * Ownership: a struct scram is zeroed at first, embedded in a login and wiped by scram_wipe(), after which it can be
 *            used again; out buffers are the caller's writers and stay untouched unless the result is RES_OK.
 * Errors:    RES_PROTOCOL: malformed, or not what comes now (also every message after a failure). RES_LIMIT: a
 *            message over SCRAM_MESSAGE_MAX, or a server's iterations or salt beyond the limits below. RES_REFUSED:
 *            the proof is wrong.
 * Threads:   no shared state but the own key of scram_mock_secret(), made once.
 * Source:    RFC 5802, RFC 7677, RFC 4013 (see saslprep.h); PostgreSQL's manual "SASL Authentication": the user name
 *            inside the exchange is ignored. An authorization identity and the extension m= are refused, other extensions
 *            are ignored.
 * Binding:   scram_bind() before the first message, where TLS has a tls-server-end-point. A client that says 'y' (it could bind,
 *            and thinks that we can't) has been lied to by somebody in between if -PLUS was offered: RES_REFUSED. So is one that is
 *            bound to another certificate: is_misbound.
 */
#ifndef PGWEIR_SCRAM_H
#define PGWEIR_SCRAM_H

#include "wire/bytes.h"

#define SCRAM_KEY_SIZE 32
#define SCRAM_SALT_MAX 1024
#define SCRAM_ITERATIONS_MAX 10000000
#define SCRAM_PASSWORD_MAX 65536
#define SCRAM_MESSAGE_MAX 8192

/* A SCRAM secret as PostgreSQL stores it: SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey> */
struct scram_secret {
	uint32_t iterations;
	uint16_t salt_len;
	uint8_t salt[SCRAM_SALT_MAX];
	uint8_t stored_key[SCRAM_KEY_SIZE], server_key[SCRAM_KEY_SIZE];
};

#define SCRAM_MECHANISM "SCRAM-SHA-256"
#define SCRAM_MECHANISM_PLUS "SCRAM-SHA-256-PLUS"
#define SCRAM_BINDING_MAX 64

enum scram_state {
	SCRAM_NEW,		 /* nothing was sent or read */
	SCRAM_SERVER_CHALLENGED, /* server's side: salt and nonce are out, the client's proof comes next */
	SCRAM_CLIENT_GREETED,	 /* client's side: our nonce is out, the server's challenge comes next */
	SCRAM_CLIENT_CHALLENGED, /* client's side: salt and iterations are known, our caller gets the keys */
	SCRAM_CLIENT_PROVED,	 /* client's side: our proof is out, the server's signature comes next */
	SCRAM_DONE,
	SCRAM_FAILED,
};

/* What a client needs to log in; client_key is as good as the password. */
struct scram_keys {
	uint8_t client_key[SCRAM_KEY_SIZE], server_key[SCRAM_KEY_SIZE];
};

bool scram_secret_parse(const char *text, struct scram_secret *out); /* false: it isn't one, or is malformed */
/*
 * PBKDF2 of the SASLprep'd password (raw bytes where SASLprep refuses, as PostgreSQL does). Milliseconds of CPU.
 * The password has at most SCRAM_PASSWORD_MAX bytes; salt and iterations are within the limits.
 */
void scram_derive(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
	struct scram_keys *out);
void scram_stored_key(const uint8_t client_key[SCRAM_KEY_SIZE], uint8_t out[SCRAM_KEY_SIZE]);

struct scram {
	enum scram_state state; /* private, like everything but secret */
	char gs2_flag;		/* what the client said about channel binding: 'n', 'y' or 'p' */
	bool is_mock, is_plus;
	bool is_misbound; /* server's side: refused for that */
	uint8_t binding[SCRAM_BINDING_MAX];
	size_t binding_len;			/* 0: nothing to bind to */
	char *client_first_bare, *server_first; /* the exchange so far: both proofs are over it */
	char *nonce;		    /* client's side before the challenge: ours; otherwise both halves */
	struct scram_secret secret; /* server's side: what we verify against; client's: salt and iterations */
	uint8_t server_signature[SCRAM_KEY_SIZE]; /* client's side: what the server must answer */
};

void scram_wipe(struct scram *s);
/* data: of the TLS connection; len 0: none. is_plus: -PLUS is the mechanism that the client chose. */
void scram_bind(struct scram *s, const uint8_t *data, size_t len, bool is_plus);

/*
 * Server's side: we verify a client. With is_mock the exchange always ends in RES_REFUSED, after the same messages
 * and the same work. out: the data of AuthenticationSASLContinue.
 */
enum result scram_server_first(struct scram *s, struct reader client_first, const struct scram_secret *secret,
	bool is_mock, struct writer *out);
/*
 * RES_OK: out is the data of AuthenticationSASLFinal and client_key (32 bytes, may be NULL) is what the client
 * proved to know. RES_REFUSED: wrong password.
 */
enum result scram_server_final(struct scram *s, struct reader client_final, struct writer *out, uint8_t *client_key);
/*
 * A secret for a user that doesn't exist: stable for a name and key (NULL: the process's own, random), so that asking twice shows
 * nothing.
 */
void scram_mock_secret(
	const uint8_t key[SCRAM_KEY_SIZE], const char *user, uint32_t iterations, struct scram_secret *out);

/* Client's side: we log in to a server. */
void scram_client_first(struct scram *s, struct writer *out); /* data of SASLInitialResponse */
/* Salt and iterations are in s->secret afterwards. Then the caller derives or finds the keys. */
enum result scram_client_challenge(struct scram *s, struct reader challenge);
enum result scram_client_final(struct scram *s, const struct scram_keys *keys, struct writer *out);
/* RES_REFUSED: the server doesn't know the password. */
enum result scram_client_verify(struct scram *s, struct reader server_final);

#endif
