/*
 * pending.h - what was sent to a server and not yet answered: one queue, in the order of sending.
 *
 * It follows what PostgreSQL does with each request: answers it, skips it after an error until the next Sync, or swallows it while it is in
 * COPY. Answers to messages of our own (is_ours) aren't the client's; local entries are answers that we make ourselves, which must come exactly where
 * a server's would.
 *
 * Order:     entries leave at the front: answered, or dropped by an error. Dropped ones are reported newest first, so that each can
 *            undo what its sending had assumed.
 * Release:   pending_is_idle() is the part of the release rule that the protocol decides.
 * Ownership: ref is the sender's; it comes back in exactly one of: popped, dropped, pending_clear().
 * Limits:    the caller stops sending while pending_is_full().
 * Threads:   those of the server that embeds it. No I/O.
 * Source:    PostgreSQL's manual, "Message Flow": extended query, COPY operations, pipelining; what COPY swallows is
 *            in src/backend/commands/copyfromparse.c of PostgreSQL, CopyGetData().
 */
#ifndef PGWEIR_PENDING_H
#define PGWEIR_PENDING_H

#include "base/base.h"

enum pending_type {
	PEND_NONE,
	PEND_QUERY,
	PEND_FUNCTION,
	PEND_PARSE,
	PEND_BIND,
	PEND_DESCRIBE,
	PEND_EXECUTE,
	PEND_CLOSE,
	PEND_FAIL, /* ours: a Bind made to fail, so that the server aborts as it would have for the client's own mistake */
	PEND_SYNC,
	PEND_COPY_DATA, /* some CopyData, recorded only as long as we don't know that the server is in COPY */
	PEND_COPY_END,	/* CopyDone or CopyFail */
	PEND_LOCAL,	/* nothing was sent: we answer when its turn comes */
};

struct pending_entry {
	uint8_t type;
	bool is_ours;
	uint16_t detail; /* the sender's */
	void *ref;
};

enum pending_verdict {
	PENDING_CLIENT, /* an answer to the client's own request */
	PENDING_OURS,	/* an answer to ours: the client must not see it */
	PENDING_ASYNC,	/* belongs to no request: a notice, a notification, a changed parameter */
	PENDING_FATAL,	/* an ErrorResponse nobody asked for: the server is about to close */
	PENDING_DESYNC, /* the server and we don't agree on what comes next */
};

enum copy_state {
	COPY_NONE,
	COPY_IN,	/* the server wants CopyData; it swallows Sync and Flush */
	COPY_IN_ENDING, /* the end was sent, its answer is due */
};

typedef void pending_drop_fn(void *ctx, const struct pending_entry *e);

struct pending {
	struct pending_entry *ring; /* cap is a power of two */
	uint32_t head, count, cap;
	uint32_t n_ready, n_marks; /* of its entries: those that a ReadyForQuery answers, and COPY_DATA and COPY_END */
	uint32_t n_answered; /* ReadyForQuerys for the client so far: which request is it that runs? */
	uint8_t tx_status;
	uint8_t copy; /* enum copy_state */
	bool is_skipping; /* after an error: the server ignores everything up to the next Sync, and that isn't sent yet */
	bool is_batch_open; /* extended messages were sent since the last Sync */
	bool has_portal;    /* .. a Bind or an Execute among them, or what fails in their place */
	bool is_ambiguous; /* a Sync was sent so close to a failing COPY that nobody can tell if it was swallowed: close the server afterwards */
	uint16_t swallowed; /* Syncs that the server must have swallowed if it has read anything since it began to COPY */
	pending_drop_fn *on_drop;
	void *ctx;
};

#define PENDING_FULL 4096

void pending_init(struct pending *p, pending_drop_fn *on_drop, void *ctx);
void pending_clear(struct pending *p); /* everything that is left goes through on_drop; frees the ring */

/* Records a request that has just been sent (or, for PEND_LOCAL, isn't). False: the server will skip it, on_drop was called. */
bool pending_sent(struct pending *p, enum pending_type type, bool is_ours, uint16_t detail, void *ref);
/* The server is in COPY and would swallow a Sync or a Flush: don't send it, nothing is due for it. */
static inline bool pending_swallows_sync(const struct pending *p)
{
	return p->copy == COPY_IN;
}

/*
 * A message came from the server. *popped is the entry that it answers for good, type PEND_NONE if none. tx_status is the byte of a
 * ReadyForQuery, otherwise ignored. After each call the caller drains pending_pop_local().
 */
enum pending_verdict pending_answer(
	struct pending *p, uint8_t msg_type, uint8_t tx_status, struct pending_entry *popped);
bool pending_passes_rows(const struct pending *p); /* DataRow and CopyData are answers to the client's own request now */
bool pending_pop_local(struct pending *p, struct pending_entry *e); /* the next due answer is one of ours: make it now */
const struct pending_entry *pending_head(struct pending *p); /* whose turn it is; NULL: nobody's */

/* Whatever is sent now may be read by a COPY, which fails of it: it must be sent, not answered by us. */
bool pending_may_copy(const struct pending *p);

static inline bool pending_is_full(const struct pending *p)
{
	return p->count >= PENDING_FULL;
}
typedef void pending_each_fn(void *ctx, struct pending_entry *e);
void pending_each(struct pending *p, pending_each_fn *fn, void *ctx);	   /* oldest first */
void pending_each_back(struct pending *p, pending_each_fn *fn, void *ctx); /* newest first */
/* Does the server owe a ReadyForQuery? If not, and it isn't idle, the client owes the next message. */
static inline bool pending_awaits_ready(const struct pending *p)
{
	return p->n_ready && p->copy != COPY_IN; /* in COPY it's the client who must go on */
}
/* All is answered of a batch that has only prepared, described and closed: a Sync would end it, and nothing would be lost. */
bool pending_is_between(struct pending *p);
/* Nothing outstanding, no batch begun, no COPY, no transaction. */
bool pending_is_idle(struct pending *p);

#endif
