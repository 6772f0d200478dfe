/*
 * login.h - how a function proves who it is: its answers to the server's Authentication messages. No I/O, no clock.
 *
 * Methods: password, MD5, SCRAM-SHA-256; the last one asks the server for its own proof, too.
 * Costs:   PBKDF2 runs once for each salt (keys.h).
 * Errors:  RES_PROTOCOL and RES_REFUSED, with a word to count them by and a text for people.
 */
#ifndef PGWEIR_STORM_LOGIN_H
#define PGWEIR_STORM_LOGIN_H

#include "storm/keys.h"

struct login { /* zeroed: nothing was asked yet */
	struct scram *scram;
	bool is_verified; /* the server has proved that it knows the password */
};

struct login_failure {
	const char *key, *message;
};

/* body: of an Authentication message. RES_OK: logged in; RES_MORE: out has what is to be answered, if anything. */
enum result login_answer(struct login *l, const char *user, const char *password, struct key_cache *keys,
	struct reader body, struct writer *out, struct login_failure *why);
void login_forget(struct login *l);

#endif
