/*
 * arrival.h - when the functions of a phase wake, one after the other, as times since its start. No clock.
 *
 * burst:   each at a random moment within the window; a window of 0 is one instant.
 * ramp:    their rate grows evenly from nothing, so half of them come in the last 29 % of the window.
 * poisson: each independently of all others, window / n apart on average; the last ones may come after the window.
 */
#ifndef PGWEIR_STORM_ARRIVAL_H
#define PGWEIR_STORM_ARRIVAL_H

#include "storm/function.h"

enum arrival { ARRIVAL_BURST, ARRIVAL_RAMP, ARRIVAL_POISSON };

struct arrivals {
	enum arrival kind;
	unsigned n; /* how many there will be */
	usec_t window;
	unsigned done;
	double at; /* poisson: the last one */
};

usec_t arrivals_next(struct arrivals *a, struct world *w);

#endif
