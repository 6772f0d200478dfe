/*
 * paused.h - which databases are paused: all of them, or those named.
 *
 * Pausing all and pausing one are two things, as in PgBouncer: resuming all leaves a database paused that was paused by its name.
 *
 * Ownership: names are copied. Threads: those of the owner.
 */
#ifndef PGWEIR_PAUSED_H
#define PGWEIR_PAUSED_H

#include "base/base.h"

struct paused {
	bool all;
	char **names;
	size_t n;
};

void paused_set(struct paused *p, const char *database, bool is_paused); /* NULL: all; idempotent */
bool paused_names(const struct paused *p, const char *database);	 /* by its name? */
static inline bool paused_has(const struct paused *p, const char *database)
{
	return p->all || paused_names(p, database);
}
void paused_free(struct paused *p);

#endif
