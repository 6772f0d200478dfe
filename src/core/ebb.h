/*
 * ebb.h - notices that a storm is over, so that what it took can be given back to the system.
 *
 * malloc keeps what was freed for whoever comes next; only malloc_trim() gives back the pages in the middle of its arenas. While it
 * runs, who allocates waits: less than a millisecond when there is little to give, some after thousands of clients. So its
 * time is when EBB_CLIENTS have left since the last one, and hardly any come or go now.
 *
 * Threads: its owner's. Time: it is looked at about once a second.
 */
#ifndef PGWEIR_EBB_H
#define PGWEIR_EBB_H

#include "base/base.h"

#define EBB_CLIENTS 256

struct ebb {		       /* zeroed */
	uint64_t ever, left;   /* at the last look */
	uint64_t left_at_trim; /* at the last time */
};

/* How many clients there are, and how many there ever were. True, once: it's the time. */
bool ebb_look(struct ebb *e, uint64_t clients, uint64_t ever);

#endif
