#include "storm/arrival.h"

#include <math.h>

usec_t arrivals_next(struct arrivals *a, struct world *w)
{
	double window = (double)a->window, n = a->n;

	ASSERT(a->done < a->n);
	a->done++;
	switch (a->kind) {
	case ARRIVAL_BURST: return (usec_t)(world_random(w) * window);
	case ARRIVAL_RAMP: return (usec_t)(window * sqrt((a->done - 0.5) / n));
	case ARRIVAL_POISSON: a->at -= log(1 - world_random(w)) * window / n; return (usec_t)a->at;
	}
	return 0;
}
