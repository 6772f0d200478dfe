/*
 * watch.h - how many connections PostgreSQL has, asked over a connection of our own that doesn't count.
 *
 * watch_open() connects before the storm and blocks (PostgreSQL's slots may all be taken later); after that everything
 * goes on inside the event loop: one question every 50 ms, the next one not before the answer.
 * Errors: watch_open() gives NULL and why. A connection that breaks during the storm ends the counting; watch_is_broken() tells.
 */
#ifndef PGWEIR_STORM_WATCH_H
#define PGWEIR_STORM_WATCH_H

#include "base/base.h"

#include <event2/event.h>

#define COURSE_SPANS 256

struct course { /* the most connections in each span of time; the width doubles whenever they don't suffice */
	usec_t width;
	size_t n;
	int max[COURSE_SPANS]; /* -1: nobody looked then */
};

struct watch;

struct watch *watch_open(struct event_base *base, const char *conninfo, char *error, size_t error_size);
int watch_before(const struct watch *w);		  /* client backends when it opened */
int watch_max(const struct watch *w);			  /* the most that were seen so far */
int watch_limit(const struct watch *w);			  /* max_connections */
const struct course *watch_course(const struct watch *w); /* since watch_begin() */
void watch_begin(struct watch *w, usec_t now);
bool watch_is_broken(const struct watch *w);
void course_note(struct course *c, usec_t since_began, int count);
void watch_close(struct watch **w); /* NULL inside is fine */

#endif
