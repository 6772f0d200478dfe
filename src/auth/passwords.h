/*
 * passwords.h - passwords for servers that come from a file or a command, and change: rotated ones, tokens that live for minutes.
 *
 * A password serves for its ttl, or until the server refuses it: then it's asked for anew, at once the first time, and after a pause
 * that doubles when the new one is refused as well, or is the same as before. A source that fails leaves the password that it gave
 * before in use.
 *
 * Commands:  run by /bin/sh -c, as the administrator wrote them, with PGHOST, PGPORT, PGUSER and PGDATABASE in their environment, no
 *            input, and their standard error thrown away. The first line of the output is the password, if they end with
 *            status 0 within PASSWORD_TIME. A command that takes longer is killed, with all that it started.
 * Threads:   find, ask and the rest from any. Files and commands are read by a few threads of its own, made at the first need; a
 *            herd that needs the same password reads it once.
 * Limits:    a password has up to CREDENTIAL_SECRET_MAX bytes; PASSWORD_THREADS sources are read at once, PASSWORD_ENTRIES kept.
 * Secrecy:   errors name the source and what went wrong, never what was read. Buffers are wiped.
 * Ownership: a request is theirs from passwords_ask() until it's delivered.
 */
#ifndef PGWEIR_PASSWORDS_H
#define PGWEIR_PASSWORDS_H

#include "auth/credential.h"
#include "net/mailbox.h"

#define PASSWORD_TIME (10 * USEC_PER_SEC)
#define PASSWORD_THREADS 4
#define PASSWORD_ENTRIES 65536
#define PASSWORD_ERROR_MAX 256

struct passwords;

struct password_source {	    /* borrowed */
	const char *file, *command; /* one of them is NULL */
	const char *user, *host, *database;
	int port;
};

enum password_state {
	PASSWORD_KNOWN,	  /* *c is a reference to what to use */
	PASSWORD_UNKNOWN, /* passwords_ask() */
	PASSWORD_FAILING, /* its source failed a moment ago: error says why, and it's too early to ask again */
	PASSWORD_REFUSED, /* the same, and it's the server that doesn't take what the source gives */
};

struct password_request {
	struct message message; /* posted to reply_to with deliver and discard as the caller set them */
	struct mailbox *reply_to;
	struct credential *credential; /* the answer: a reference; NULL: error says why */
	bool is_refused;	       /* .. and it's that the server doesn't take it */
	char error[PASSWORD_ERROR_MAX];
	struct password_request *next_;
};

struct passwords *passwords_new(void);
/* Kills commands that run and joins the threads; requests left over are discarded. */
void passwords_free(struct passwords **p);

enum password_state passwords_find(struct passwords *p, const struct password_source *s, usec_t ttl,
	usec_t now, struct credential **c, char error[PASSWORD_ERROR_MAX]);
void passwords_ask(struct passwords *p, const struct password_source *s, struct password_request *r);
/* The server has refused c. True: there is, or may be, another one, so it's worth trying again at once. */
bool passwords_refused(struct passwords *p, const struct password_source *s, struct credential *c, usec_t now);
void passwords_accepted(struct passwords *p, const struct password_source *s, struct credential *c);

#endif
