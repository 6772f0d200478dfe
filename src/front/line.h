/*
 * line.h - who has been accepted while all of login_concurrency's places were taken, first come, first served.
 *
 * The kernel's own queue (listen_backlog, bounded by net.core.somaxconn) drops what doesn't fit, and who is dropped tries again after a
 * second: a herd that finds it full takes seconds instead of moments. So connections are taken out of it at once and wait here, where one costs a few
 * dozen bytes and isn't read.
 *
 * Limits:    the caller's: it counts those who stand here among its places.
 * Ownership: descriptors belong to the line until line_take().
 * Threads:   one.
 */
#ifndef PGWEIR_LINE_H
#define PGWEIR_LINE_H

#include "base/list.h"
#include "base/slab.h"
#include "net/address.h"

struct line {
	struct list waiting;
	struct slab slab;
};

struct arrival {
	struct list_node node;
	int fd;
	bool is_unix;
	usec_t since;
	struct short_address peer;
};

void line_init(struct line *l);
void line_add(struct line *l, int fd, bool is_unix, const struct address *peer, usec_t now);
bool line_take(struct line *l, struct arrival *out); /* false: nobody stands here */
/* Closes those who have come before that moment, and says when the first of those left has; 0: nobody is left. */
usec_t line_expire(struct line *l, usec_t before);
void line_free(struct line *l); /* and closes them */

static inline size_t line_count(const struct line *l)
{
	return l->waiting.count;
}

#endif
