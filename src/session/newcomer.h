/*
 * newcomer.h - a client on its way from a login thread to the thread that will own it.
 *
 * The message's deliver() is set by whoever routes it (a worker's or the console's); from the post on the sender keeps no
 * pointer. newcomer_free() closes the descriptor if it is still there.
 */
#ifndef PGWEIR_NEWCOMER_H
#define PGWEIR_NEWCOMER_H

#include "auth/credential.h"
#include "net/address.h"
#include "net/mailbox.h"
#include "net/tls.h"
#include "state/settings.h"
#include "wire/startup.h"

#define CANCEL_HOPS_MASK 3 /* in the secret's fourth byte */

struct moved;

struct newcomer {
	struct message message;
	uint64_t id;	   /* unique in the process */
	int fd;		   /* -1 once taken */
	struct tls *tls;   /* goes with fd; NULL: plain text */
	uint32_t protocol; /* what it speaks: 3.0 to 3.2 */
	enum replication replication;
	struct address peer;
	char *database, *user;	       /* as the client said; database is never empty */
	char *server_user;	       /* the pool's user: the database's forced user, else user */
	struct settings *settings;     /* from startup parameters and options */
	struct credential *credential; /* of server_user: what servers are logged in with; may be NULL */
	struct writer greeting; /* goes in front of the welcome: NegotiateProtocolVersion, SASL's last word, AuthenticationOk */
	uint8_t *early; /* read behind the login already */
	size_t early_len;
	struct moved *moved; /* NULL: it has just logged in; else it comes from another process: move.h */
	usec_t since;	     /* when it was accepted: the login timeout goes on until the welcome */
	bool is_admin, may_admin; /* console: database pgweir or pgbouncer; may_admin: in admin_users, else only SHOW */
	bool is_origin_counted; /* counts for its address, likewise */
	bool is_counted;	/* counts in max_client_conn: whoever frees it decrements */
};

void newcomer_free(struct newcomer **n);

void cancel_key_make(struct cancel_key *k, uint32_t pid, uint32_t protocol); /* long from 3.2 on; random */
/* Of a process with a peer_id: where PgBouncer has them, the id, and how often a request may be passed on. See session/keys.h. */
void cancel_key_mark(struct cancel_key *k, int peer_id);
bool cancel_key_same(const struct cancel_key *a, const struct cancel_key *b); /* of the secrets in constant time */
bool cancel_key_same_but_hops(const struct cancel_key *a, const struct cancel_key *b); /* one may have been passed on */
void write_cancel_key(struct writer *w, const struct cancel_key *k);		       /* BackendKeyData */

/* A CancelRequest on its way to the worker that gave out the key. The descriptor is closed when the cancel has been dealt with. */
struct cancel_request {
	struct message message;
	int fd;
	struct tls *tls; /* goes with fd */
	struct cancel_key key;
};

#endif
