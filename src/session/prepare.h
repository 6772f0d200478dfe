/*
 * prepare.h - a client's prepared statements on the server that it is linked to: what request.c and extended.c have sent there for them.
 *
 * On the server a statement has a name made from its text, and stays behind when the client leaves. Each function hands
 * bytes to the gather, which points at the client's server, and records them there as sent.
 * Threads: the client's worker.
 */
#ifndef PGWEIR_PREPARE_H
#define PGWEIR_PREPARE_H

#include "session/request.h"

/*
 * What a client has prepared is to be used: it is sent to the server if it isn't there. What a client has been told of a statement's
 * result must hold, as it would on a direct connection: a copy that is parsed now, of a statement that was prepared before, is
 * described, and the client waits for that.
 */
enum prepare_result {
	PREPARE_DONE,	 /* it's there, or on its way there */
	PREPARE_WAIT,	 /* look again after the next answers; the server should be asked for them */
	PREPARE_CHANGED, /* its result is another now: prepare_changed() is the answer */
};
enum prepare_result prepare_named(struct client *c, struct gather *g, struct client_statement *cs);
enum prepare_result prepare_unnamed(struct client *c, struct gather *g); /* c->unnamed, which it has */
/* with_parameters: the client has asked for a description, and gets half of it. */
struct prepared_note *prepare_changed(const struct client *c, bool with_parameters);
void prepare_note_unnamed(struct client *c, const struct statement *st); /* the Parse of it is on its way */
/* A batch ends that has parsed an unnamed statement and not used it: what it looks like is asked for, a later batch may need to know. */
void prepare_look_at_unnamed(struct client *c, struct gather *g);
struct prepared_note *prepare_shape_note(struct client *c, struct statement *st); /* for the client's own Describe of it */

/* Is it there, or on its way there, parsed at `since` or later? One that is older, or whose plan went stale, is closed first. */
bool prepare_has(struct client *c, struct gather *g, const struct statement *st, usec_t since);
/* Its Parse is in an earlier batch and still unanswered: if that batch fails before it, the server won't have it. */
bool prepare_may_be_skipped(struct client *c, const struct statement *st);
/*
 * Sends a Parse under the server's name, and a Describe. Takes note, which is the client's own Parse's; NULL: this one is ours.
 * name: the client's statement of this name is told what it looks like; NULL: none.
 */
void prepare_parse(struct client *c, struct gather *g, struct statement *st, struct prepared_note *note,
	const char *name);
void prepare_gather_parse(struct gather *g, const char *name, const struct statement *st); /* the bytes alone */
/*
 * A mistake of the client's that only we can see: the server is made to fail in its place, so that the transaction fails as
 * it would. The note, which it takes, has what the client is told.
 */
void prepare_fail(struct client *c, struct gather *g, enum fail_reason reason, struct prepared_note *note);
struct prepared_note *prepare_note(char *text); /* takes text */

struct statement *prepare_statement_of(const struct client *c, const char *name); /* "": the unnamed one; NULL: none */
/* The client has the name no more; note has it until it's known whether that holds. */
void prepare_take_name(struct client *c, struct client_statement *cs, struct prepared_note *note);
/*
 * A DEALLOCATE of name is about to be executed: if the client has it, it goes into the note and there is a decoy to deallocate.
 * If not (NULL), it may be one that PREPARE made: the portal is bound anew, to the DEALLOCATE of that.
 */
struct prepared_note *prepare_deallocate(struct client *c, struct gather *g, const char *name, const char *portal);

#endif
