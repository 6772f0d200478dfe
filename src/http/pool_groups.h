/*
 * pool_groups.h - what the workers reported of pools, summed: per pool, per database, or all together.
 *
 * Threads: the main thread's. Names point into the reports.
 */
#ifndef PGWEIR_POOL_GROUPS_H
#define PGWEIR_POOL_GROUPS_H

#include "admin/report.h"

enum grouping { GROUP_POOLS, GROUP_DATABASES, GROUP_ALL };
#define GROUP_NAME_ALL "(all)"

struct pool_group {
	const char *database, *user;
	bool has_past_only;		       /* only counters, of pools that are gone */
	struct pool_row row;		       /* without its histograms */
	struct histogram *latency[MEASURES_N]; /* since the start, also of pools that are gone; NULL: nothing was measured */
};

struct pool_groups { /* sorted by database and user */
	struct pool_group *items;
	size_t n;
};

struct pool_groups pool_groups_make(struct report *const *reports, int n_reports, enum grouping g);
/* The same reports and grouping again: they had WANT_LATENCY. */
void pool_groups_add_latency(
	struct pool_groups *g, struct report *const *reports, int n_reports, enum grouping grouping);
void pool_groups_free(struct pool_groups *g);

#endif
