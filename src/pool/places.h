/*
 * places.h - how many servers a pool may have where PostgreSQL has no place for all that it wants: additive increase, multiplicative decrease.
 *
 * A refusal (53300) says that there are no more than we have: the limit. While clients wait, one login at a time, now and then, finds out
 * whether there are more; as long as they succeed, the next one follows at once. So free places are found within PLACES_TRY_MAX.
 *
 * Fair:     who only takes what is free never gets what others hold. So whoever knows that PostgreSQL is full gives an eighth of what it has
 *           back, from time to time, and leaves that alone for longer than others need to find it. The more one has, the more it gives, so
 *           those who share a PostgreSQL come to the same size without talking to each other. If nobody takes it (twice: others may
 *           just be giving themselves), nobody lacks anything: then the next time is twice as far away, up to PLACES_GAP_MAX.
 * Census:   a pool that has all that its own configuration allows is never refused. While clients wait for it, it asks PostgreSQL once in a while
 *           whether there are places left (the caller's part), and gives back like the others if there are none.
 * Time:     is passed in. Intervals have jitter, so that poolers don't act in step.
 * Threads:  no lock: the host's guards it.
 */
#ifndef PGWEIR_PLACES_H
#define PGWEIR_PLACES_H

#include "base/base.h"

#define PLACES_TRY_MIN (500 * USEC_PER_MSEC)
#define PLACES_TRY_MAX USEC_PER_SEC /* from one login beyond the limit to the next */
#define PLACES_LEFT_ALONE                                                                                    \
	USEC_PER_SEC /* what was given back, at least; more than PLACES_TRY_MAX with the jitter */
#define PLACES_GAP_MIN (3 * USEC_PER_SEC) /* between two times of giving back */
#define PLACES_GAP_MAX (60 * USEC_PER_SEC)
#define PLACES_FORGET (60 * USEC_PER_SEC) /* without a refusal: there is no limit any more */

struct places {
	bool is_limited;
	int limit;	/* is_limited: so many are known to be had */
	int goal;	/* what there was before something was given back; 0: nothing is given back now */
	int untaken;	/* gifts, one after the other, that came back whole */
	bool is_trying; /* a login beyond the limit is on its way */
	usec_t limited_since, refused_at, next_try, next_gift, gap, next_census;
};

enum places_answer {
	PLACES_YES,
	PLACES_TRY, /* yes, beyond the limit: is_trying must be reset by one of the functions below */
	PLACES_NO
};

/* have: servers, in login or logged in. */
enum places_answer places_may_open(const struct places *p, int have, usec_t now);
void places_trying(struct places *p, int have);		    /* a login begins on a PLACES_TRY */
void places_try_ended(struct places *p);		    /* .. and neither of the next two came of it */
void places_opened(struct places *p, int have, usec_t now); /* have: with the new one */
/* have: without the refused one. Gives how many to give back, as they come free. */
int places_refused(struct places *p, int have, usec_t now);

bool places_wants_census(struct places *p, int have, usec_t now, usec_t every); /* of a pool that has all it may have */
int places_census(struct places *p, int have, bool is_full, usec_t now); /* like places_refused() */
void places_no_census(struct places *p, usec_t now);			 /* the server can't be asked */

#endif
