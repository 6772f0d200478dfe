/*
 * server_login.h - what server_reach.c and server_login.c share: a login to PostgreSQL while it lasts.
 *
 * server_reach.c gets as far as the startup packet, server_login.c goes on from there. One deadline covers all of it.
 * Threads: the worker's; what goes to others comes back by message, and finds its server through a pointer that dies with the server.
 */
#ifndef PGWEIR_SERVER_LOGIN_H
#define PGWEIR_SERVER_LOGIN_H

#include "auth/scram.h"
#include "pool/server.h"

enum login_step {
	LOGIN_PASSWORD,	 /* a file or a command has been asked for the password */
	LOGIN_RESOLVING, /* the resolver has been asked */
	LOGIN_ASKING,	 /* connecting, or the SSLRequest is sent: one byte comes next */
	LOGIN_HANDSHAKE, /* of TLS */
	LOGIN_AUTH, /* connecting, or the startup packet is sent: an authentication request or the OK comes next */
	LOGIN_SCRAM_FIRST, /* the server's challenge comes next */
	LOGIN_DERIVING,	   /* a login thread computes keys; the server waits for us */
	LOGIN_SCRAM_LAST,  /* the server's signature comes next */
	LOGIN_ANSWERED, /* what was asked has been answered: only the OK may come, and nobody is told a second secret */
	LOGIN_STARTING, /* authenticated: parameters, the cancel key, ReadyForQuery */
	LOGIN_ROLE,	/* it was asked whether it is what target_session_attrs wants */
	LOGIN_CONNECT_QUERY,
};

struct resolving { /* with the resolver; comes back to the worker in any case */
	struct resolve_request request;
	struct server *server; /* the worker's: NULL once the server is gone */
};

struct asking { /* with the passwords; comes back in any case */
	struct password_request request;
	struct server *server; /* the worker's */
};

struct deriving { /* with a login thread; comes back as well */
	struct message message;
	struct mailbox *reply_to;
	struct server *server; /* the worker's */
	struct credential *credential;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint32_t iterations;
	struct scram_keys keys;
	bool is_ok;
};

struct server_login {
	enum login_step step;
	struct credential *credential; /* a reference; NULL: none is known */
	struct scram scram;
	struct asking *asking;
	bool is_bound, is_proved; /* by SCRAM-PLUS: which the server has carried through */
	struct resolving *resolving;
	struct address addresses[RESOLVE_ADDRESSES_MAX]; /* of the host's name; those from next_address on are still to be tried */
	int n_addresses, next_address;
	usec_t connecting_since;
	struct deriving *deriving;
};

/* server_login.c */
void server_login_end(struct server *s, enum host_outcome outcome, const char *sqlstate, const char *message);
/* server_reach.c */
void server_take_tls_answer(struct server *s, const uint8_t *bytes, size_t len); /* to an SSLRequest */
bool server_may_have_newer_password(struct server *s, const char *sqlstate);
void server_accept_password(struct server *s); /* it works */

#endif
