/*
 * upgrade.h - a process takes another one's place, and nobody who is connected notices (handover.h has their words).
 *
 * Taking:  pgweir -R. upgrade_take() before anything else is opened: the key of the hashes must be the old one's, since ids of statements are
 *          made with it. A start that fails afterwards ends the link, and the old process goes on as if nothing had been.
 * Giving:  from READY on nobody is accepted. Clients move, a batch at a time, as soon as they have nothing on their way; servers that
 *          nobody needs are closed. Who can't move keeps its server, until drain_timeout. If the link breaks, what hasn't been
 *          given stays here, and the doors are opened again.
 * Limits:  servers that the old process still has take their slots in the new one, too. While it is told that, a moment, the sum may be
 *          more than a pool's size by the few that are opened meanwhile for clients that can't move.
 * Threads: the main thread's. upgrade_take() and upgrade_slots() before the others start; they wait up to UPGRADE_PATIENCE.
 */
#ifndef PGWEIR_UPGRADE_H
#define PGWEIR_UPGRADE_H

#include "core/link.h"
#include "front/listener.h"

#define UPGRADE_PATIENCE_MSEC 10000

struct upgrade;

struct upgrade_host { /* what the daemon does for it */
	void *ctx;
	struct loop *loop;
	struct registry *registry;
	struct worker **workers;
	int n_workers;

	/* the old one's side */
	size_t (*sockets)(void *ctx, int *fds, size_t max); /* that it listens on */
	const char *(*objection)(void *ctx);		    /* to being replaced now; NULL: none */
	void (*replaced)(void *ctx, int pid); /* by this process, which serves now: accept nobody */
	void (*resumed)(void *ctx);	      /* it is gone: go on */
	size_t (*logins)(void *ctx);	      /* that are still under way */
	void (*left)(void *ctx);	      /* the last client has gone */
	void (*cancel)(void *ctx, const struct cancel_key *k);

	/* the new one's side */
	void (*adopt)(void *ctx, struct newcomer *n); /* takes it */
};

/* What a taker knows before it is a daemon. */
struct upgrade_taken {
	int link;      /* -1: there is no old process */
	int listening; /* for the next one; -1: none came */
	uint8_t hash_key[HANDOVER_KEY];
	struct listen_given given;
	char notify[HANDOVER_TEXT_MAX + 1];
	usec_t watchdog;
};

/* Of a process of user uid. RES_OK: link is set; RES_MORE: nobody is there to be replaced; else error says why it can't be. */
enum result upgrade_take(const struct config *c, uid_t uid, struct upgrade_taken *t, char *error, size_t error_size);
void upgrade_listen(const struct config *c, struct upgrade_taken *t); /* for a successor; why it can't be is logged */
void upgrade_drop(struct upgrade_taken *t);			      /* what upgrade_new() hasn't taken */

/* Takes what t has. */
struct upgrade *upgrade_new(const struct upgrade_host *host, const struct config *c, struct upgrade_taken *t,
	const uint8_t hash_key[HANDOVER_KEY]);
void upgrade_tell(struct upgrade *u, const char *notify, usec_t watchdog); /* for a successor */
bool upgrade_slots(struct upgrade *u, char *error, size_t error_size); /* of the old process; true where there is none */
void upgrade_ready(struct upgrade *u);				       /* this one serves */
bool upgrade_is_giving(const struct upgrade *u);
/* What hasn't been given by now won't be: left() follows once the new process has all that is on its way. No-op for who doesn't give. */
void upgrade_end(struct upgrade *u);
void upgrade_cancel(struct upgrade *u, const struct cancel_key *k); /* may be for a client that the old one still has */
/* For login threads: is there an old process that may know a key? */
bool upgrade_is_taking(const struct upgrade *u);
void upgrade_free(struct upgrade **u); /* after the loop has stopped */

#endif
