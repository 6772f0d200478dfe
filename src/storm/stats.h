/*
 * stats.h - what a storm counted: durations with percentiles, the course over time, errors by SQLSTATE. No clock, no I/O.
 *
 * Samples:  a histogram: a percentile is within 0.4 % of a value that occurred, up to 255 us it is that value. The smallest
 *           and the greatest are kept exactly. Memory is bounded (14 kB), however many there are.
 * Timeline: TIMELINE_SPANS pieces of time of one width, which doubles whenever the storm outlasts them.
 * Errors:   a key is a SQLSTATE as the server sent it, or a word of ours ("timeout", "ECONNREFUSED"). The first message
 *           of each key is kept as its example, with control characters and broken UTF-8 replaced: it came from a stranger.
 * Threads:  one; nothing is locked.
 */
#ifndef PGWEIR_STORM_STATS_H
#define PGWEIR_STORM_STATS_H

#include "base/base.h"

#define SAMPLES_STEPS 128 /* for each power of two */
#define SAMPLES_BLOCKS 26 /* the first two hold 0 to 255 */

struct samples { /* zeroed: empty */
	uint64_t n;
	uint32_t min, max;
	uint32_t *blocks[SAMPLES_BLOCKS]; /* SAMPLES_STEPS counts each; NULL: all 0 */
};

void samples_add(struct samples *s, usec_t value); /* values above 2^32-1 us (71 minutes) count as that */
void samples_merge(struct samples *into, const struct samples *from);
/* Nearest rank: 0 gives the smallest, 100 the greatest; 0 if there are none. */
usec_t samples_percentile(const struct samples *s, double percent);
void samples_free(struct samples *s);

#define TIMELINE_SPANS 256

struct timeline_span {
	uint32_t arrived, served, failed; /* invocations: when they were due, and how they ended */
	struct samples wait, total;	  /* of those served in it */
};

struct timeline { /* zeroed: empty */
	usec_t width;
	size_t n; /* spans in use */
	struct timeline_span *spans;
};

struct timeline_span *timeline_at(struct timeline *t, usec_t since_began);
void timeline_merge(struct timeline *into, const struct timeline *from);
void timeline_coarsen(struct timeline *t, size_t spans); /* until it has so many at most */
void timeline_free(struct timeline *t);

#define ERROR_KEY_SIZE 24
#define ERROR_MESSAGE_SIZE 200
#define ERROR_KINDS_MAX 32

struct error_count {
	char key[ERROR_KEY_SIZE], message[ERROR_MESSAGE_SIZE];
	uint64_t count;
};

struct stats {
	unsigned functions;	  /* in the herd */
	unsigned woke, connected; /* ever */
	unsigned served, failed;  /* the end of a function's life, one of the two */
	unsigned frozen, thawed;  /* ever */
	unsigned vanished;	  /* hung up without a goodbye, as planned */
	unsigned lost;		  /* served, idle, and then the server hung up */
	uint64_t attempts, retries, transactions;
	uint64_t due, on_time, missed; /* invocations on a schedule: on_time: done before the next one was due */
	/* durations; resume: from a thaw until the server has answered */
	struct samples connect, wait, transaction, total, resume;
	struct samples served_at; /* since the storm began */
	struct timeline timeline;
	struct error_count errors[ERROR_KINDS_MAX]; /* the last one collects what doesn't fit, with the key "other" */
	size_t n_errors;
};

void stats_error(struct stats *s, const char *key, const char *message);
void stats_sort_errors(struct stats *s); /* most frequent first */
void stats_merge(struct stats *into, const struct stats *from);
void stats_free(struct stats *s);

/* Copies text as far as it fits; what isn't printable UTF-8 becomes '?'. */
void copy_printable(char *out, size_t size, const char *text);

#endif
