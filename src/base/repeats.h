/*
 * repeats.h - lets through one of many lines that say the same, and counts the others.
 *
 * Each kind, told by a hash, gets through once in REPEATS_EVERY. Kinds that fall into the same of its few places drive each other out, and
 * then get through: it is there to keep a flood out of the log, not to count.
 * Threads: its owner's. Time is passed in.
 */
#ifndef PGWEIR_REPEATS_H
#define PGWEIR_REPEATS_H

#include "base/base.h"

#define REPEATS_EVERY (10 * USEC_PER_SEC)
#define REPEATS_KINDS 64

struct repeats { /* zeroed */
	struct {
		uint64_t kind;
		usec_t since; /* when one got through; 0: the place is free */
		uint64_t held_back;
	} places[REPEATS_KINDS];
};

/* True: say it; *held_back is how many weren't since the last time. */
bool repeats_pass(struct repeats *r, uint64_t kind, usec_t now, uint64_t *held_back);

#endif
