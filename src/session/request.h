/* request.h - what the handlers of a client's messages share (request.c, extended.c, prepare.c, lost.c): a message, and what became of it. */
#ifndef PGWEIR_REQUEST_H
#define PGWEIR_REQUEST_H

#include "session/client.h"

struct message_in {
	struct frame frame;
	const uint8_t *bytes; /* from its header on */
	size_t avail;	      /* from there to the end of the chunk: may be less than the message, or more */
	struct gather *g;
	bool must_answer; /* our own answers in the queue are due now */
};

enum step {
	STEP_TAKEN, /* the whole message, as far as it is here; the rest of its body goes to body_to */
	STEP_MORE,  /* wait for more bytes of it */
	STEP_WAIT,  /* not now: it is offered again when the client is unpaused */
	STEP_GONE,  /* the client is closing */
};

enum local_answer {
	LOCAL_PARSE_COMPLETE,
	LOCAL_CLOSE_COMPLETE,
	LOCAL_DEALLOCATE,
	LOCAL_ASK_FIRST /* ask.c has those from here on */
};
#define LOCAL_ASK_QUERIES 16 /* .. the first so many of which answer a Query, with its ReadyForQuery */

enum fail_reason {
	FAIL_DUPLICATE,
	FAIL_NO_STATEMENT,
	FAIL_TOO_MANY,
	FAIL_FEATURE,
	FAIL_PINNED,
	FAIL_RESULT_TYPE,
	FAIL_VALUE,
	FAIL_READ_ONLY,
};

/* Recorded in the server's queue, behind the bytes. Takes note. */
void request_sent(
	struct client *c, enum pending_type type, bool is_ours, uint16_t detail, struct prepared_note *note);

static inline bool request_is_whole(const struct message_in *m)
{
	return m->avail >= m->frame.length;
}

static inline struct reader request_body(const struct message_in *m) /* as far as it is here */
{
	size_t n = MIN((size_t)m->frame.length, m->avail);

	return reader_over(m->bytes + FRAME_HEADER_SIZE, n - FRAME_HEADER_SIZE);
}

static inline struct gather *request_to_server(struct client *c, struct message_in *m)
{
	m->g->to = &c->server->stream;
	return m->g;
}

static inline void request_gather_rest(struct message_in *m, size_t from)
{
	size_t n = MIN((size_t)m->frame.length, m->avail);

	gather_slice(m->g, m->bytes + from, n - from);
}

/* The message as it is; what isn't here yet follows by itself. */
static inline enum step request_pass(struct client *c, struct message_in *m)
{
	request_gather_rest(m, 0);
	c->body_to = BODY_FORWARD;
	return STEP_TAKEN;
}

static inline enum step request_discard(struct client *c, struct message_in *m)
{
	(void)m;
	c->body_to = BODY_DISCARD;
	return STEP_TAKEN;
}

static inline enum step request_fatal(struct client *c, const char *sqlstate, const char *message)
{
	client_fatal(c, sqlstate, message);
	return STEP_GONE;
}

/* Linked, and the gather points at the server. False: wait, or it's gone. */
bool request_link(struct client *c, struct message_in *m);
enum step request_barrier(struct client *c); /* it is offered again after the next answers */
/* The same for an answer in this very batch: the server is asked to send what it has. */
enum step request_flush_barrier(struct client *c, struct message_in *m);
/* A Query that isn't sent: it fails in its place. Takes note. */
enum step request_refuse_query(
	struct client *c, struct message_in *m, enum fail_reason reason, struct prepared_note *note);

#endif
