/*
 * stats.h - counters by database, summed over pools and workers, and what they were per second over the last stats_period.
 *
 * Averages: counts and bytes per second; xact_time per transaction and query_time per query; wait_time per second. As PgBouncer's.
 * Sums never go back: workers keep what ended pools have counted.
 */
#ifndef PGWEIR_STATS_H
#define PGWEIR_STATS_H

#include "admin/report.h"

struct database_stats {
	char *name;
	struct counters total, average;
};

struct stats {
	struct database_stats *items; /* sorted by name, as of the period's end */
	size_t n;
	struct counters average; /* of all of them together: times are per transaction and query, so no sum of the averages */
	usec_t period_from; /* when the period that runs now began; 0: none yet */
	bool is_asking;	    /* the period is over, answers are due */
};

struct stats stats_sum(struct report *const *reports, int n, const struct counters *console); /* averages are zero */
void stats_free(struct stats *s);
const struct database_stats *stats_find(const struct stats *s, const char *name);
struct counters counters_average(const struct counters *now, const struct counters *before, usec_t elapsed);
struct counters stats_all(const struct stats *s); /* the sum of the totals */
/* now is the sum at the end of a period: *s becomes it, with averages against what *s was. */
void stats_turn(struct stats *s, struct stats *now, usec_t at);

#endif
