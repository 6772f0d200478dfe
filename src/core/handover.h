/*
 * handover.h - what two processes say to each other while one takes the other's place: frames, and nothing else.
 *
 *	new			old
 *	HELLO		->			its version
 *			<-	WELCOME		the key of its hashes, systemd's socket; with it the listening sockets and the one of this link
 *			<-	SLOTS		how many server connections it has in which pool
 *			<-	START		everything is said that is needed to start
 *	READY		->			it serves; from here on the old one accepts nobody
 *			<-	CLIENT		a client (session/move.h), with its socket
 *			<-	SLOTS		again, when they have changed
 *	CANCEL		->			a cancel request that may be for a client that the old one still has
 *			<-	DONE		nobody is left
 *	REFUSED in answer to HELLO says why not; either side's end of the connection before DONE ends it without an effect on the other.
 *
 * A frame is one datagram of a Unix socket that keeps their bounds: one byte of type, then what follows. Everything is bounded by
 * HANDOVER_MAX and checked, whoever sent it.
 * Threads: no state.
 */
#ifndef PGWEIR_HANDOVER_H
#define PGWEIR_HANDOVER_H

#include "session/move.h"

#define HANDOVER_VERSION 1
#define HANDOVER_MAX (MOVE_MAX + 64)
#define HANDOVER_FDS_MAX 128
#define HANDOVER_KEY 16
#define HANDOVER_TEXT_MAX 256

enum handover_type {
	HANDOVER_HELLO = 'H',
	HANDOVER_WELCOME = 'W',
	HANDOVER_REFUSED = 'E',
	HANDOVER_SLOTS = 'S',
	HANDOVER_START = 'G',
	HANDOVER_READY = 'R',
	HANDOVER_CLIENT = 'C',
	HANDOVER_CANCEL = 'K',
	HANDOVER_DONE = 'D',
};

struct handover_frame { /* texts and bytes lie in the frame */
	enum handover_type type;
	unsigned version;	  /* HELLO */
	const uint8_t *hash_key;  /* WELCOME: HANDOVER_KEY bytes */
	const char *notify;	  /* .. or "" */
	usec_t watchdog;	  /* .. or 0 */
	const char *reason;	  /* REFUSED */
	int pid;		  /* READY: of who serves now */
	struct cancel_key cancel; /* CANCEL */
	struct reader rest;	  /* SLOTS, CLIENT */
};

/* RES_PROTOCOL: it isn't one of these frames, whole. A HELLO of another version is RES_OK: it is to be told so. */
enum result handover_read(const uint8_t *bytes, size_t len, struct handover_frame *out);
/* One of SLOTS; false: there is no more. handover_read() has looked at all of them. */
bool handover_next_slots(
	struct reader *r, const char **database, const char **user, bool *replicates, int *servers);

void handover_hello(struct writer *w);
void handover_welcome(struct writer *w, const uint8_t hash_key[HANDOVER_KEY], const char *notify, usec_t watchdog);
void handover_refused(struct writer *w, const char *reason);
void handover_begin_slots(struct writer *w);
void handover_slots(struct writer *w, const char *database, const char *user, bool replicates, int servers);
void handover_ready(struct writer *w, int pid);
void handover_cancel(struct writer *w, const struct cancel_key *k);

#endif
