/* request.h - what request.c, prepare.c and lost.c share: a message from a client, and what became of it. */
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

enum local_answer { LOCAL_PARSE_COMPLETE, LOCAL_CLOSE_COMPLETE, LOCAL_DEALLOCATE, LOCAL_ASK_FIRST /* ask.c has those from here on */ };
#define LOCAL_ASK_QUERIES 16 /* .. the first so many of which answer a Query, with its ReadyForQuery */

enum fail_reason { FAIL_DUPLICATE, FAIL_NO_STATEMENT, FAIL_TOO_MANY, FAIL_FEATURE, FAIL_PINNED, FAIL_VALUE, FAIL_READ_ONLY };

/* Recorded in the server's queue, behind the bytes. Takes note. */
void request_sent(
	struct client *c, enum pending_type type, bool is_ours, uint16_t detail, struct prepared_note *note);

/* A Query that isn't sent: it fails in its place. Takes note. */
enum step request_refuse_query(
	struct client *c, struct message_in *m, enum fail_reason reason, struct prepared_note *note);

#endif
