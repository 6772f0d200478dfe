/*
 * report.h - what a person or a program reads about a storm: progress line, table, JSON. html.h has the page.
 *
 * Everything is written to a FILE that the caller opened; nothing is kept. JSON is one object, always valid UTF-8,
 * and holds everything that the table does; its keys are in the manual page pgweir-storm(1).
 */
#ifndef PGWEIR_STORM_REPORT_H
#define PGWEIR_STORM_REPORT_H

#include "storm/scenario.h"
#include "storm/watch.h"

#include <stdio.h>

struct report_phase {
	const struct phase *phase;
	const char *target; /* where the herd went, without its password */
	struct stats *stats;
	usec_t elapsed; /* from its start until the last function was served or had failed */
};

struct report {
	struct report_phase *phases; /* at least one */
	size_t n_phases;
	struct stats *total; /* of all phases */
	usec_t elapsed; /* from the first possible wake-up until the last function was served or had failed */
	unsigned seed;
	bool is_watched;
	int connections_before, connections_max; /* server connections that PostgreSQL saw */
	int connections_limit;			 /* PostgreSQL's max_connections */
	const struct course *course;		 /* of them; NULL: not watched */
};

struct series { /* durations that a report shows, by name */
	const char *key, *title;
	size_t offset; /* in struct stats */
};

extern const struct series report_series[]; /* ends with a key of NULL */
const struct samples *series_of(const struct stats *s, const struct series *which);

#define REPORT_PERCENTS 5
extern const double report_percents[REPORT_PERCENTS];
extern const char *const report_percent_names[REPORT_PERCENTS];

void report_progress(FILE *out, const struct stats *s, usec_t elapsed); /* without a line end */
void report_table(FILE *out, const struct report *r);
void report_json(FILE *out, const struct report *r);

/* "1000 functions woke within 0.1 s, then close": what a phase is, in words. */
void report_describe(FILE *out, const struct phase *p);

#endif
