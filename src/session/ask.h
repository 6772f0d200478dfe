/*
 * ask.h - what a client asks pgweir itself, by statements that look like PostgreSQL's: SHOW pgweir.last_wait, SHOW pgweir.server, and
 * SHOW, SET and RESET of pgweir.query_wait, by the simple and the extended protocol.
 *
 * Nothing of it is sent to PostgreSQL. A client without a server needs none for it; one that has a server is answered when it's its turn.
 * Not transactional: a SET isn't undone by ROLLBACK, and isn't answered by us in a failed transaction.
 * Names:    of statements and portals that mean such a statement are the client's own, and are kept beside its others: up to ASKED_MAX.
 * Settings: pgweir.query_wait may also come in the startup packet, by set_config() or in a text with several statements. Then PostgreSQL
 *           has it as a custom setting for a moment, and ask_take_settings() takes it from what was found.
 */
#ifndef PGWEIR_ASK_H
#define PGWEIR_ASK_H

#include "session/request.h"
#include "wire/msg.h"
#include "wire/own_statement.h"

#define ASKED_MAX 64

/* True: the message was about it, and *step says how it went. */
bool ask_request(struct client *c, struct message_in *m, enum step *step);
/* Could it be? On the path of each message, most of which are neither, or begin with another word. */
static inline bool ask_may_be(const struct client *c, const struct message_in *m)
{
	size_t at = FRAME_HEADER_SIZE + (m->frame.type == MSG_PARSE);

	if (m->frame.type == MSG_PARSE && m->avail > FRAME_HEADER_SIZE && m->bytes[FRAME_HEADER_SIZE])
		return true; /* a name: less often */
	if (m->frame.type == MSG_QUERY || m->frame.type == MSG_PARSE)
		return c->asked || (m->avail > at && own_statement_may_be(m->bytes + at, m->avail - at));
	return c->asked;
}
void ask_answer(struct client *c, const struct pending_entry *e); /* a PEND_LOCAL of ours is due */
void ask_forget(struct client *c);				  /* all names */
bool ask_forget_statement(struct client *c, const char *name);	  /* false: there's none of this name */
/* Names of statements (those of portals end with the transaction) as bytes, on the way to another process: session/move.h. */
size_t ask_names_size(const struct client *c); /* at most */
void ask_write_names(const struct client *c, struct writer *w);
enum result ask_check_names(struct reader *r); /* .. and steps over them */
void ask_take_names(struct client *c, struct reader r);
/* pgweir.query_wait is taken out of the set, and holds for this client from now on. */
void ask_take_settings(struct client *c, struct settings **s);

#endif
