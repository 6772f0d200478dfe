/*
 * latency.h - a pool's histograms: what is measured, over the last 10 seconds, the last minute and since the start.
 *
 * Time is cut into slices of 10 s. "10 s" is the slice in hand and the one before it, "1 min" that one and six before: never less than what
 * they say, and up to a slice more. An observation costs a comparison and four additions; the time is the caller's, from its round.
 *
 * Memory:  a measure has 8 kB from its first observation on; before that a pointer.
 * Threads: the worker's. Reports get copies.
 */
#ifndef PGWEIR_LATENCY_H
#define PGWEIR_LATENCY_H

#include "stats/histogram.h"

/* X(constant, name in SHOW LATENCY) */
#define MEASURES(X)                                                                                          \
	X(MEASURE_WAIT, "wait")		      /* for a server; 0 for who got one at once */                  \
	X(MEASURE_QUERY, "query")	      /* from what a client sent to its ReadyForQuery */             \
	X(MEASURE_TRANSACTION, "transaction") /* on a server, from its first message to its end */           \
	X(MEASURE_LOGIN, "login")	      /* of clients: from accept to their first ReadyForQuery */     \
	X(MEASURE_CONNECT, "server_connect")  /* of servers: from the start of connecting to being usable */

#define MEASURE_CONSTANT(constant, name) constant,
enum measure { MEASURES(MEASURE_CONSTANT) MEASURES_N };
#undef MEASURE_CONSTANT

enum window { WINDOW_10S, WINDOW_1MIN, WINDOW_START, WINDOWS_N };

#define LATENCY_SLICE (10 * USEC_PER_SEC)
#define LATENCY_SLICES 7

struct latency_slice {
	uint64_t sum, max;
	uint32_t count, buckets[HISTOGRAM_BUCKETS];
};

struct latency_measured {
	usec_t slice_ends; /* of slices[at] */
	unsigned at;
	struct latency_slice slices[LATENCY_SLICES]; /* a ring; those before at are older */
	struct histogram before;		     /* of slices that are gone */
};

struct latency {
	struct latency_measured *measured[MEASURES_N]; /* NULL: never */
};

void latency_turn_(struct latency *l, enum measure m, usec_t now);

static inline void latency_observe(struct latency *l, enum measure m, usec_t took, usec_t now)
{
	struct latency_slice *s;

	if (UNLIKELY(!l->measured[m] || now >= l->measured[m]->slice_ends))
		latency_turn_(l, m, now);
	s = &l->measured[m]->slices[l->measured[m]->at];
	s->count++;
	s->sum += took;
	s->max = MAX(s->max, took);
	s->buckets[histogram_bucket(took)]++;
}

/* False, and *out is untouched: nothing was ever measured. Else adds to *out. */
bool latency_read(struct latency *l, enum measure m, enum window w, usec_t now, struct histogram *out);
void latency_free(struct latency *l);
const char *measure_name(enum measure m);
const char *window_name(enum window w);

#endif
