/*
 * lookup.h - a question that a login asks elsewhere; the answer comes back by mailbox.
 *
 * A login that can't decide by itself fills one in and lets go of it (login_env.ask). Whoever answers (a worker that runs
 * auth_query, a thread that asks PAM or LDAP) fills in the answer and calls lookup_reply() from any thread. The login
 * thread finds the login by its number, so one that is gone meanwhile is just not found: nothing needs to be cancelled.
 *
 * Ownership: whoever has it, has it alone: asker, answerer, the asker's mailbox. lookup_free() wipes the password.
 * Deadline:  an answerer may drop its work at deadline, when the login has failed by itself. It must still reply.
 * Threads:   none of its own: what is handed over was written before.
 */
#ifndef PGWEIR_LOOKUP_H
#define PGWEIR_LOOKUP_H

#include "auth/snapshot.h"
#include "base/list.h"
#include "net/mailbox.h"

enum lookup_kind {
	LOOKUP_SECRET,	 /* what is this user's secret? auth_query */
	LOOKUP_PASSWORD, /* is the password right? LDAP or PAM, as the rule says */
	LOOKUP_PEER,	 /* may the system's user peer_uid be this user? */
	LOOKUP_KINDS,
};

enum lookup_answer {
	LOOKUP_FAILED,	 /* couldn't find out: the client is told sqlstate and text */
	LOOKUP_FOUND,	 /* credential is what to check the client against */
	LOOKUP_ACCEPTED, /* the user may come in */
	LOOKUP_REFUSED,	 /* no such user, or a wrong password; text is the cause, for the log only */
};

#define LOOKUP_TEXT_MAX 256

struct lookup {
	struct message message; /* private to asker and answerer, in turn */
	struct list_node node;	/* the answerer's */
	struct mailbox *reply_to;
	void (*deliver)(struct message *m, void *owner); /* the asker's: with the answer in it */

	/* the question */
	uint64_t login;
	enum lookup_kind kind;
	struct snapshot *snapshot;		 /* a reference: the one that the login began with */
	char *database, *user, *password, *addr; /* database: NULL for the console; password: where none is needed */
	usec_t deadline;			 /* 0: none */
	const struct hba_rule *rule;		 /* lives as long as the snapshot */
	struct address peer;			 /* the client's; len 0: not known */
	int64_t peer_uid;			 /* LOOKUP_PEER */
	char *asked_in;	 /* LOOKUP_SECRET: the database that is asked, which needn't be the client's */
	bool is_refresh; /* LOOKUP_SECRET: what the last one said has just failed the client */

	/* the answer */
	enum lookup_answer answer;
	struct credential *credential; /* a reference */
	char sqlstate[6], text[LOOKUP_TEXT_MAX];
};

struct lookup *lookup_new(enum lookup_kind kind, uint64_t login, struct snapshot *snapshot,
	const char *database, const char *user, const char *password, const char *addr);
void lookup_free(struct lookup **q);
struct lookup *lookup_of(struct message *m);
void lookup_discard(struct message *m); /* for message.discard */

/* Each is the last that the answerer does with it. */
void lookup_found(struct lookup **q, struct credential *c); /* takes a reference of its own */
void lookup_accept(struct lookup **q);
void lookup_refuse(struct lookup **q, const char *cause);
void lookup_fail(struct lookup **q, const char *sqlstate, const char *text);

#endif
