/*
 * stats.h - what a storm counted: samples with exact percentiles, errors by SQLSTATE. No clock, no I/O.
 *
 * Samples: every one is kept (4 bytes each), so percentiles are exact; the caller bounds how many there are.
 * Errors:  a key is a SQLSTATE as the server sent it, or a word of ours ("timeout", "ECONNREFUSED"). The first message
 *          of each key is kept as its example, with control characters and broken UTF-8 replaced: it came from a stranger.
 * Threads: one; nothing is locked.
 */
#ifndef PGWEIR_STORM_STATS_H
#define PGWEIR_STORM_STATS_H

#include "base/base.h"

struct samples { /* zeroed: empty */
	uint32_t *usec;
	size_t n, cap;
	bool is_sorted;
};

void samples_add(struct samples *s, usec_t value); /* values above 2^32-1 us (71 minutes) count as that */
usec_t samples_percentile(struct samples *s, double percent); /* nearest rank: a value that occurred; 0 if there are none */
void samples_free(struct samples *s);

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
	unsigned frozen;	  /* of those served */
	unsigned lost;		  /* served, idle, and then the server hung up */
	uint64_t attempts, retries, transactions;
	struct samples connect, transaction, total; /* durations */
	struct samples served_at, failed_at;	    /* since the storm began */
	struct error_count errors[ERROR_KINDS_MAX]; /* the last one collects what doesn't fit, with the key "other" */
	size_t n_errors;
};

void stats_error(struct stats *s, const char *key, const char *message);
void stats_sort_errors(struct stats *s); /* most frequent first */
void stats_free(struct stats *s);

/* Copies text as far as it fits; what isn't printable UTF-8 becomes '?'. */
void copy_printable(char *out, size_t size, const char *text);

/* Completion times in buckets of one width: 1, 2 or 5 times a power of ten milliseconds. */
#define HISTOGRAM_BUCKETS 200

struct histogram {
	usec_t width;
	size_t n; /* buckets in use */
	uint32_t served[HISTOGRAM_BUCKETS], failed[HISTOGRAM_BUCKETS];
};

void histogram_build(struct histogram *h, const struct stats *s);

#endif
