/*
 * client.h - a client between login and goodbye, and its state machine.
 *
 * client.c    its life: adoption from a login thread, welcome, lending, release, goodbye
 * timeouts.c  what ends it when nothing happens
 * pins.c      what only its server has
 * request.c   what it sends: one table of messages
 * extended.c  .. of which those of the extended protocol: prepared statements get their servers' names here
 * stateful.c  .. and what a statement may leave in its session
 * relay.c     what its server sends
 * flow.c      which share of the servers is its
 * ask.c       what it asks pgweir itself
 * lost.c      its answers when it loses its server, and the virtual failed transaction afterwards
 * frozen.c    who loses it for having gone silent
 * keys.c      which cancel key is whose
 * move.c      its way into another process
 *
 * Invariants: it has a server exactly in CLIENT_SYNCING and CLIENT_ACTIVE (SYNCING before it is welcomed: its startup's values are tried). It's in the admission queue exactly in CLIENT_WAITING
 *             (and, for the pool's parameters only, CLIENT_NEW). Messages are handled in IDLE, ACTIVE and TX_LOST only.
 * Errors:     client_error() and we go on, client_fatal() and it's over; both carry a SQLSTATE.
 * Threads:    its worker's, from adoption to the end.
 */
#ifndef PGWEIR_CLIENT_H
#define PGWEIR_CLIENT_H

#include "base/log.h"
#include "pool/server.h"
#include "session/gather.h"
#include "session/newcomer.h"

enum client_state {
	CLIENT_NEW,	/* logged in; the pool's parameters aren't known yet, so it can't be welcomed */
	CLIENT_IDLE,	/* no server; the last thing it got was ReadyForQuery with TX_IDLE */
	CLIENT_WAITING, /* in the admission queue; we've stopped reading from it */
	CLIENT_SYNCING, /* has a server on which its settings are being set */
	CLIENT_ACTIVE,	/* linked to a server */
	CLIENT_TX_LOST, /* its server died in a transaction, or the transaction was reclaimed: errors until ROLLBACK or COMMIT */
	CLIENT_CLOSING, /* reading on for a moment so that its last message arrives, then freed */
	CLIENT_STATES,
};

enum client_pause {	   /* why we don't read from it */
	PAUSE_STATE = 1,   /* CLIENT_NEW, WAITING, SYNCING */
	PAUSE_BACKLOG = 2, /* the server takes no more */
	PAUSE_FULL = 4,	   /* too many requests without an answer */
	PAUSE_PROBE = 16,  /* SERVER_PROBING */
	PAUSE_BARRIER = 8, /* what comes next depends on answers that are due */
	PAUSE_PINS = 32, /* max_pinned is reached, and somebody's server is being asked whether it still is pinned */
	PAUSE_SUSPENDED = 64, /* SUSPEND */
};

enum client_discard {
	DISCARD_NONE,
	DISCARD_REQUEST, /* the next message is refused: alone if it's a Query, with its batch if it's an extended one */
	DISCARD_TO_SYNC, /* an error of ours has been sent: everything up to the Sync is skipped, as PostgreSQL does */
};

enum body_to { BODY_FORWARD, BODY_DISCARD };

struct client {
	struct stream stream;
	struct doomed doomed;
	struct list_node node; /* in worker->clients, or lingering if CLIENT_CLOSING */
	enum client_state state;
	struct worker *worker;
	struct pool *pool;
	struct server *server;
	struct waiter waiter;
	uint64_t id;
	uint32_t slot;
	struct cancel_key key;
	const char *database, *user; /* the pool's; user is owned if is_own_user */
	struct short_address peer;

	struct settings *startup;  /* what it came with; DISCARD ALL goes back to it */
	struct settings *settings; /* what its session should be */
	struct settings *told;	   /* by ParameterStatus */
	bool strings_conform;	   /* .. of which the lexer wants to know */
	struct hash128 context;	   /* of settings, for statements */

	struct client_statements statements;
	struct statement *unnamed; /* as of what was sent; NULL: it has none */
	struct statement *unnamed_kept; /* .. as of what was answered, while one change is on its way; for more see unnamed_before */
	uint16_t unnamed_number; /* of the change that led to unnamed, in the detail of its pending entry: a Parse, Query or Close */
	uint16_t unnamed_due;	/* changes that are on their way */
	uint32_t unnamed_batch; /* .. the newest one's */
	uint32_t removals_due;	/* names that it has no more if what is on its way comes to pass */
	uint32_t batch;		/* counts Syncs */

	size_t body_left; /* of a message of its own that we're in the middle of */
	uint8_t body_type, body_to, discard, pauses;
	enum pool_mode mode; /* for life: a reload's new mode is for clients that come later */
	bool is_tracked;     /* protocol-level statements are renamed: transaction and statement pooling */
	bool must_recheck; /* it was read without an answer that would find out if it's gone: see stream_recheck() */
	bool has_sent; /* .. something to the server that it has now */
	bool is_stateful; /* it has sent something that may have changed its session's state since we asked last */
	struct settings *custom_names; /* .. among them names that may be of custom settings: only for these can be asked */
	char *deallocate_portal, *deallocates; /* a portal that was bound to DEALLOCATE, and of which name; NULL: none */
	bool is_unnamed_looked_at;	       /* since it was parsed, it was bound or described */
	uint32_t check_number; /* of the server_statement that was parsed anew to see whether it still has its shape */
	bool is_forgetting; /* a DEALLOCATE ALL or DISCARD ALL of its own is on its way: which names it has depends on the answer */
	uint8_t probe_tries; /* that failed */
	bool is_opaque;	     /* .. or something in which names of settings may hide */
	bool is_unasked; /* .. and a transaction has ended since: what it has changed isn't undone by a ROLLBACK */
	char *only_setting;    /* .. and it can only have changed this one; NULL: who knows */
	unsigned seen;	       /* scan flags of what it has sent since we asked last, for SHOW PINS */
	unsigned pins;	       /* enum pin: what only this server has */
	unsigned pinned_by;    /* scan flags of what made it pinned */
	bool is_pin_asked;     /* .. which is being asked for, or will be at once */
	usec_t pin_wait_since; /* PAUSE_PINS; 0: it didn't wait */
	usec_t pinned_since;
	bool has_loaded;      /* a library, on the server that it has now */
	bool asks_sequences;  /* it has sent currval or lastval */
	bool wants_sequences; /* .. which had no value: it'll expect one from now on */
	uint64_t last_server;
	bool listens;	   /* it has sent LISTEN */
	bool ends_block;   /* the last statement that was sent ends the block that was open then */
	bool bound_ends;   /* .. and so will an Execute of what was bound last */
	bool is_ending;	   /* CLIENT_TX_LOST: the statement in hand ends the transaction */
	bool is_stalled;   /* it doesn't read: its server is taken from it after the message in hand */
	bool is_reclaimed; /* CLIENT_TX_LOST: it was silent; each statement is told so */
	char *lost_why;	   /* CLIENT_TX_LOST: told with each error; NULL: its server died */
	bool is_counted, is_origin_counted, is_greeted, is_own_user;
	struct slow_text *slow_text; /* of slow.h; NULL: nothing is noted */
	struct worker_key *keyed;    /* its cancel key doesn't say its slot; NULL: it does */
	struct gather *gather;	     /* the one that is being filled for it, by relay.c */
	struct gather *out;	     /* .. and for its server, by request.c */
	unsigned classified_for;     /* which of the worker's snapshots: see flow.h; 0: anew */
	struct asked *asked;	     /* ask.c: names of statements that pgweir answers itself; mostly NULL */
	usec_t startup_wait_max; /* pgweir.query_wait as it came with the startup packet; what holds is waiter.wait_max */
	struct writer greeting; /* CLIENT_NEW: in front of the welcome */
	usec_t connected_at, request_at, idle_since, linger_until, peer_shut_at;
};

#define BACKLOG_MAX 65536
#define PADDING_MAX                                                                                          \
	(1024 * 1024) /* a longer rest of a message costs more than a new server: see client_leaves_half() */

void session_adopt(struct message *m, void *owner); /* deliver() of a newcomer */
void session_discard(struct message *m);	    /* discard() of one; also uncounts nobody: for teardown */
void session_tick(struct worker *w);		    /* timeouts; worker->on_clients_tick */

void client_error(struct client *c, const struct error_info *e); /* the message alone, in its place */
void client_fatal(struct client *c, const char *sqlstate, const char *message);
void client_end(struct client *c, const struct error_info *e); /* with its DETAIL and HINT, as FATAL; NULL: it has been told */
void client_close(struct client *c, const char *reason); /* without a word */
struct client *client_settle(
	struct worker *w, struct newcomer **n); /* its own thread has it now: CLIENT_NEW, and not read yet */
int client_release(struct client *c, struct tls **tls); /* its socket, to go on elsewhere; here it ends without a word */
void client_set_state(struct client *c, enum client_state next);
void client_pause(struct client *c, enum client_pause why);
void client_unpause(struct client *c, enum client_pause why);
void client_describe(const struct client *c, struct log_who *who, char addr[ADDRESS_TEXT_MAX]);
const char *client_state_name(const struct client *c); /* PgBouncer's: active, idle, waiting */

bool client_get_server(struct client *c); /* true: CLIENT_ACTIVE; false: wait, or it was refused */
void client_maybe_release(struct client *c);
/* Its server has got half a message of it and must be closed. False also if that could be completed, so that the server is whole, and does nothing of it. */
bool client_leaves_half(struct client *c);
void client_greet(struct client *c);				  /* from CLIENT_NEW or SYNCING to IDLE */
const char *client_reason_to_leave(const struct client *c);	  /* between transactions; NULL: none */
void client_refuse(struct client *c, const struct error_info *e); /* the request in hand */
void client_forget_only_setting(struct client *c);		  /* something else may have changed, too */
void client_own_sequences(struct client *c); /* values of sequences that others have left on its server are forgotten */
uint8_t client_tx_status(const struct client *c); /* for a ReadyForQuery of our own */
void client_ready(struct client *c);
void client_set_settings(struct client *c, struct settings *s); /* these two take references of their own */
void client_set_told(struct client *c, struct settings *s);

/* pins.c */
void client_ask_server(struct client *c); /* what its session has become; client_probed() will tell */
void client_will_ask(struct client *c); /* its ReadyForQuery is on its way: whoever acts on that finds a question under way */
void client_set_pins(struct client *c, unsigned pins);
/* request.c */
size_t client_data(struct stream *st, const uint8_t *bytes, size_t len);
/*
 * Parse, Describe, Flush, and then nothing (asyncpg's prepare(), say) would keep the server until its first use: once all is answered, a Sync of
 * our own ends the batch where somebody waits for a server, or after a while.
 */
void client_end_quiet_batch(struct client *c);
/* relay.c */
extern const struct server_link client_link;
void relay_local(struct client *c, const struct pending_entry *e);
/* of client_link, in client.c, pins.c and lost.c */
void client_synced(struct server *s, const struct error_info *e);
void client_probed(struct server *s, bool is_ok);
void client_on_lost(struct server *s, const struct error_info *e);

#endif
