/*
 * login.h - a client's life between accept and handoff, as a machine over bytes: no socket, no clock, no
 * thread.
 *
 * Bytes go in by login_feed(), what the client is to be sent collects in out. The caller sends and empties
 * out while the login goes on. In LOGIN_DONE out is the greeting, which goes with the newcomer; in
 * LOGIN_FAILED it is the last word, or empty where the peer doesn't speak our protocol.
 *
 * Methods:   the rule that fits the client (auth_type, or the HBA file's first line) is chosen once its names are known.
 * TLS:       in LOGIN_TLS the caller sends out, which is in plain text still, starts TLS with the clients' context and feeds
 *            nothing until login_secured(). What login_feed() left is the handshake's.
 * Secrecy:   an unknown user, one without a fitting secret and a wrong password get the same exchange and
 *            the same error; an unknown database is told only after the right password. The cause is in the
 *            log.
 * Limits:    a startup packet up to STARTUP_MAX, a password message up to LOGIN_PASSWORD_MAX; longer ones
 *            are refused by their header, so a caller never holds more than that.
 * Places:    count_client() is asked once, last, after the password; login_free() gives the place back
 *            unless a newcomer took it along.
 * Elsewhere: LOGIN_LOOKUP is for what can't be known at once: a secret that auth_query finds. A lookup is on its way, and
 *            only login_answer() or login_fail() ends the state. What a login waits for may come after its end.
 * Ownership: holds a reference to the snapshot that it began with; env is borrowed for life.
 * Errors:    are messages to the client; see the state. Threads: one.
 * Source:    PostgreSQL's manual, "Start-up", "SASL Authentication"; src/backend/postmaster/postmaster.c
 *            and libpq/auth.c for texts.
 */
#ifndef PGWEIR_LOGIN_H
#define PGWEIR_LOGIN_H

#include "auth/lookup.h"
#include "base/log.h"
#include "session/newcomer.h"
#include "wire/startup.h"

#define LOGIN_PASSWORD_MAX (CREDENTIAL_SECRET_MAX + 1) /* and its NUL */

enum login_state {
	LOGIN_STARTUP, /* waits for a startup packet; encryption requests come back here, refused or fulfilled */
	LOGIN_TLS,     /* waits for the end of the TLS handshake, which is its caller's */
	LOGIN_LOOKUP,	  /* asked elsewhere: waits for login_answer(), and takes no bytes meanwhile */
	LOGIN_CLEARTEXT,  /* asked for the password itself */
	LOGIN_MD5,	  /* asked for its MD5 with our salt */
	LOGIN_SASL,	  /* offered SCRAM-SHA-256: waits for SASLInitialResponse */
	LOGIN_SASL_FIRST, /* that one was empty: waits for the client's first SCRAM message */
	LOGIN_SASL_FINAL, /* waits for the client's proof */
	LOGIN_DONE,	  /* logged in: login_newcomer() */
	LOGIN_CANCEL,	  /* it was a CancelRequest: cancel */
	LOGIN_FAILED,	  /* out holds a FATAL, or nothing: send it and close */
};

struct login_env {
	void *ctx;
	bool (*count_client)(void *ctx, const struct config *c, const char *database, const char *user,
		const char **why); /* false: why is the message */
	void (*uncount_client)(void *ctx, const char *database, const char *user);
	void (*ask)(void *ctx, struct lookup *q); /* moves q: login_answer() gets it, later and never from inside */
	bool is_console_only;			  /* shutting down: only console logins get in */
};

struct login {
	enum login_state state;
	const struct login_env *env;
	struct snapshot *snapshot;
	struct log_who who; /* user and database point into packet */
	struct address peer;
	char addr[ADDRESS_TEXT_MAX];
	uint8_t *packet; /* the StartupMessage */
	size_t packet_len;
	struct credential *credential; /* what the client is checked against: its own, or a mock's */
	struct scram scram;
	struct tls_facts tls;					   /* is_on: what TLS knows of the client */
	char cause[LOOKUP_TEXT_MAX];				   /* why a mock, for the log */
	void (*answered)(struct login *l, const struct lookup *q); /* LOGIN_LOOKUP: what goes on with the answer */
	const struct hba_rule *rule; /* how this client proves who it is; the snapshot's. NULL: not chosen, or auth_type any */
	uint8_t salt[4];
	char *response; /* LOGIN_LOOKUP for a newer secret: a password or its MD5, to be checked against that */
	struct settings *settings;
	struct writer out;
	struct cancel_key cancel;
	uint32_t protocol; /* agreed on: 3.0 to 3.2 */
	enum replication replication;
	int64_t peer_uid;     /* on our Unix socket: whose process it is; -1: not known. Set by the caller */
	bool is_own_uid;      /* on our Unix socket by this process's own user */
	bool is_direct_tls;   /* it began without an SSLRequest */
	bool is_auth_failure; /* LOGIN_FAILED: who it is wasn't proved; the answer may be delayed */
	bool asked_ssl, asked_gssenc, is_console, is_mock, is_counted, is_looked_up, is_md5;
};

void login_init(struct login *l, const struct login_env *env, struct snapshot *snapshot, uint64_t id,
	const struct address *peer, bool is_own_uid);
void login_free(struct login *l); /* what it holds; the struct is the caller's */

/*
 * Takes whole messages; yields how many bytes. The rest is to come again with more behind it, or, in LOGIN_DONE, is the
 * client's first query.
 */
size_t login_feed(struct login *l, const uint8_t *bytes, size_t len);
/*
 * In LOGIN_LOOKUP, with what came back; moves *q. The login goes on: feed it again what it hasn't taken. Whoever has none in
 * that state frees the answer: the login has failed meanwhile.
 */
void login_answer(struct login *l, struct lookup **q);
/* From outside: timeout, shutdown. Not once it's over. */
void login_fail(struct login *l, const char *sqlstate, const char *message);

/* The handshake is done: out of LOGIN_TLS. Moves what *facts holds. */
void login_secured(struct login *l, struct tls_facts *facts);

/* In LOGIN_DONE, once: fd, tls and early, of which *early is moved, are the caller's to give. */
struct newcomer *login_newcomer(struct login *l, int fd, uint8_t **early, size_t early_len, usec_t since);

static inline bool login_is_over(const struct login *l)
{
	return l->state >= LOGIN_DONE;
}

#endif
