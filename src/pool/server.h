/*
 * server.h - a connection to PostgreSQL and its state machine.
 *
 * Between login and close a server is idle, lent to a client, or busy with our own clean-up. What it was sent and still owes is
 * in its pending queue, whatever the state.
 *
 * Lending:   server_link() lends it; the link's functions are the way up to the session. server_unlink() takes it back: at once
 *            if the release rule allows it, after cleaning otherwise. The rule is server_may_release(), row by row in tests/unit/test_server.c.
 * Ownership: the pool's worker; a server moves to another worker only when idle (detached, by message).
 * Errors:    a server that fails is closed; whoever uses it learns why through link->lost().
 * Threads:   its worker's.
 * Source:    PostgreSQL's manual, "Message Flow", "Terminating", "Canceling Requests in Progress".
 */
#ifndef PGWEIR_SERVER_H
#define PGWEIR_SERVER_H

#include "base/log.h"
#include "net/address.h"
#include "net/stream.h"
#include "pool/pool.h"
#include "state/pending.h"
#include "state/probe.h"

enum server_state {
	SERVER_LOGIN,	 /* resolving, connecting, authenticating */
	SERVER_IDLE,	 /* in its pool's idle list, or just on its way into a client's hands */
	SERVER_TESTING,	 /* it was idle for long: server_check_query is on its way */
	SERVER_SYNCING,	 /* lent, and the client's settings are being set */
	SERVER_ACTIVE,	 /* lent */
	SERVER_PROBING,	 /* lent; its client has its answer, and we ask what it has left behind */
	SERVER_CLEANING, /* its client is gone: the rest of the answers, ROLLBACK, reset */
	SERVER_HELD,	 /* clean, but a cancel is still on its way to it */
	SERVER_MOVING,	 /* to another worker */
	SERVER_CLOSING,	 /* freed when the round ends */
	SERVER_STATES,
};

struct server_link { /* the session's side; called while SERVER_SYNCING, SERVER_ACTIVE or SERVER_PROBING */
	size_t (*data)(struct server *s, const uint8_t *bytes, size_t len);
	void (*drained)(struct server *s);
	void (*synced)(struct server *s,
		const struct error_info *e); /* NULL: now SERVER_ACTIVE; else the settings were refused */
	void (*lost)(struct server *s, const struct error_info *e); /* the server is being closed: forget it */
	void (*probed)(struct server *s, bool is_ok); /* SERVER_ACTIVE again; s->probe has what was found */
	void (*dropped)(struct server *s, const struct pending_entry *e); /* an error made the server skip it */
	void (*notified)(struct server *s, const uint8_t *bytes, size_t len); /* while SERVER_PROBING; a slice */
};

enum { SHAPES_NONE, SHAPES_NAMED, SHAPES_UNNAMED };

struct prepared_note { /* what a pending Parse, Describe or Close will have changed */
	struct hash128 id;
	bool adds, removes;		  /* the statement on the server */
	uint32_t number;		  /* adds, shapes: of its server_statement, or of the unnamed one */
	bool adds_name, removes_name;	  /* of the client */
	struct client_statement *name;	  /* removes_name: owned */
	uint32_t batch;			  /* removes_name: of the client */
	bool is_unnamed;		  /* of a Parse, Query or Close that changes the unnamed statement */
	struct statement *unnamed_before; /* owned */
	char *text, *detail;		  /* what the client is told instead of the server's error; owned */
	const char *hint;
	uint8_t shapes; /* enum: of a Describe that tells a shape */
	struct statement *statement; /* shapes: owned; its shape is told, too. NULL: the schema has changed since it was prepared */
	char *target; /* .. and this name of the client's; owned */
	uint8_t *parameters; /* what the client is told in front of the error: a ParameterDescription's body; owned */
	size_t parameters_len;
};

enum login_failure {
	LOGIN_HOST_DOWN,  /* or full: whoever tries that host would fare the same */
	LOGIN_POOL_FAILS, /* for now, and it has to do with this user or database */
	LOGIN_REFUSED,	  /* for good: clients are told at once */
};

enum server_question { /* of our own, to a server that is free */
	ASK_NOTHING,
	ASK_CENSUS, /* are all of PostgreSQL's places taken? */
	ASK_ROLE,   /* it said that it is read-only: is it still what target_session_attrs wants? */
};

struct server_login;
struct cancel;

struct server {
	struct stream stream;
	struct doomed doomed;
	struct message message; /* SERVER_MOVING */
	int move_to;
	struct pool_shared *moving_pool; /* a reference */
	struct registry *registry;
	struct list_node node; /* in pool->idle, pool->servers or worker->moving */
	enum server_state state;
	struct pool *pool;
	struct host_pool *host; /* a reference */
	struct host_login host_login;
	bool takes_any;		   /* prefer-standby, and there is none */
	enum server_question asks; /* SERVER_TESTING */
	bool is_role_doubtful, has_answer, answer;
	uint64_t id;
	void *client; /* struct client while lent */
	const struct server_link *link;
	usec_t lent_at;	   /* when a client got it; 0: none has since it was free last */
	uint64_t flow_key; /* .. and of which flow that one is, and what it was charged: queue.h */
	usec_t charged;
	uint64_t lending; /* counts the times it was lent: a cancel is for one of them */

	struct pending pending;
	size_t body_left; /* of a message from the server that we're in the middle of */
	bool body_pass;	  /* .. and whether it goes on to the client */

	struct settings *settings; /* what we have set */
	uint64_t opaque_client; /* that may have made custom settings of names that nobody knows; 0: none */
	uint64_t last_client;	/* that has used it */
	bool has_foreign_sequences; /* currval and lastval may be those of clients before */
	bool has_unknown_settings;  /* a server_reset_query did who knows what */
	struct settings *syncing;   /* .. and will have when our SET is answered */
	unsigned sync_tries;
	struct settings *reported; /* by ParameterStatus */
	struct probe probe;
	bool is_touched; /* its client may have left something that no setting says: to be reset before anybody else gets it */
	struct server_statements statements;
	struct hash128 unnamed; /* the unnamed statement, or what it will be */
	bool has_unnamed;
	uint32_t unnamed_batch; /* of the client whose batch its Parse was in */
	bool is_unnamed_confirmed;
	bool is_unnamed_renewed; /* its Parse was ours, after a schema change: it isn't the one that its client has prepared */
	bool is_unnamed_shape_due;
	uint32_t unnamed_number; /* counts its Parses */
	uint64_t unnamed_shape;
	uint64_t parameters_shape, shape; /* of the Describe that is being answered, or was last */
	uint8_t *parameters;		  /* .. its ParameterDescription's body */
	size_t parameters_len;
	bool has_ddl; /* the schema may have changed: others see it when the transaction ends */

	bool has_failed;   /* a query of ours got an error: kept in our_error */
	bool is_error_due; /* a FATAL ended the extended batch in hand; the client hasn't been told yet */
	bool is_reset;	   /* cleaning: server_reset_query has been sent */
	bool is_rolled_back;
	bool is_cut;	    /* half a message was sent: it can only be closed */
	bool is_cancelling; /* cleaning: a cancel of our own was sent */
	bool is_unwanted;   /* cleaning: what it does is cancelled at once */
	bool is_goodbye;    /* cleaning: the client said Terminate, so what it asked for may finish */
	char *fingerprint;  /* the pool's when it was opened */
	usec_t lifetime_jitter;
	const char *close_reason; /* set: close it when it comes free */
	char our_sqlstate[6], our_message[LOGIN_ERROR_MAX], our_detail[LOGIN_ERROR_MAX], our_hint[LOGIN_ERROR_MAX];
	size_t drained_bytes;

	uint32_t cancel_pid;
	uint8_t *cancel_secret; /* 4 bytes, up to 256 by protocol 3.2 */
	size_t cancel_secret_len;
	bool has_cancel_key;
	bool is_direct_tls;    /* its TLS began without a question */
	struct cancel *cancel; /* on its way to it */
	struct address address;
	struct server_login *login;	/* SERVER_LOGIN only */
	usec_t cancel_at, cancel_pause; /* what it does is cancelled once more then; 0: it isn't */
	uint32_t cancelled_answered;	/* .. lent: if this is still pending.n_answered */
	usec_t recheck_at;
	usec_t connected_at, used_at, request_at, xact_at, deadline;
};

/* Takes over a slot, and the login that the host has granted. */
void server_open(struct pool *p, struct host_pool *host, const struct host_login *login, bool takes_any);
void server_close(struct server *s, const char *reason); /* idempotent; tells PostgreSQL if it can; frees the slot */
void server_close_when_free(struct server *s, const char *reason);
void server_set_state(struct server *s, enum server_state next);

void server_link(struct server *s, void *client, const struct server_link *link);
/* Brings its settings to `to`: true if nothing had to be done (it's SERVER_ACTIVE), else link->synced() will tell. */
bool server_sync(struct server *s, struct settings *to);
/* names: of custom settings to ask for. tries: so many have failed; a short statement_timeout may be the cause. */
void server_probe(struct server *s, const struct settings *names, unsigned tries);
/* The same where nothing but this setting can have changed. */
void server_probe_single(struct server *s, const char *name);
bool server_may_release(struct server *s); /* nothing ties it to its client, as far as the server's side goes */
void server_unlink(struct server *s, bool is_cut); /* *s is the pool's from here on */

/* server_ask.c */
/* Before it is lent again. True: it has a question to answer, and comes back to its pool by itself, or is closed. */
bool server_asks(struct server *s);
void server_doubt_role(struct server *s); /* something speaks against its being what target_session_attrs wants: ask */
const char *server_role_query(const struct server *s); /* NULL: any server will do */
bool server_reports_role(const struct server *s, bool *answer); /* the answer without the question; false: it doesn't say */
const char *server_judge_role(const struct server *s, bool answer); /* why it isn't what is wanted, or NULL */
void server_take_answer(struct server *s, struct reader row);
const char *server_judge_answer(struct server *s); /* why it must be closed, or NULL */
usec_t server_patience(const struct server *s);	   /* until when something of ours may take; 0: for ever */

/* Sends our own query; its answers don't reach any client. */
void server_query(struct server *s, const char *sql);

/* Walks the messages in bytes; for each: verdict and bookkeeping of what concerns the server itself. */
struct server_message {
	struct frame frame;
	const uint8_t *body; /* whole, or NULL where only the header counts */
	size_t body_len;
	enum pending_verdict verdict;
	struct pending_entry popped;
};
struct server_walk {
	/* true: pass it on by slices. Whole rows that are the client's pass without being asked about. */
	bool (*message)(struct server *s, struct server_message *m, void *ctx);
	void (*local)(struct server *s, const struct pending_entry *e,
		void *ctx); /* an answer of our own is due now; e->ref is the callee's */
	void (*slice)(struct server *s, const uint8_t *bytes, size_t len, void *ctx);
};
/* server_walk.c */
void server_undo_parse(struct server *s, const struct prepared_note *note); /* NULL: of the unnamed statement */
size_t server_walk(struct server *s, const uint8_t *bytes, size_t len, const struct server_walk *walk, void *ctx);
void server_note_free(struct prepared_note **n);

void server_tick(struct server *s, usec_t now);
void server_cancel_done(struct server *s); /* s->cancel has ended */
void server_lost(struct server *s, const char *sqlstate, const char *message);
void server_describe(const struct server *s, struct log_who *who, char addr[ADDRESS_TEXT_MAX]);
const char *server_state_name(
	enum server_state s); /* PgBouncer's names: active, idle, used, tested, new, active_cancel, being_canceled */

extern const struct stream_ops server_stream_ops;
/* server_shape.c: answers to a Describe whose note says shapes */
void server_take_shape(struct server *s, const struct server_message *m);
void server_forget_shape(struct server *s, const struct prepared_note *note); /* it fails, or is skipped */
/* server_login.c */
void server_login_start(struct server *s);
size_t server_login_data(struct server *s, const uint8_t *bytes, size_t len);
void server_login_handshake(struct server *s); /* a step of TLS was taken */
void server_login_free(struct server *s);
void server_login_fail(struct server *s, const char *sqlstate, const char *message, enum login_failure why);
void server_login_tick(struct server *s, usec_t now);
void server_login_late(struct server *s);	  /* its deadline has come */
bool server_login_next_address(struct server *s); /* of the host's name; false: there is none left */

#endif
