/*
 * report.h - what a person or a program reads about a storm: progress line, table, JSON.
 *
 * Everything is written to a FILE that the caller opened; nothing is kept. JSON is one object, always valid UTF-8,
 * and holds everything that the table does; its keys are in the manual page pgweir-storm(1).
 */
#ifndef PGWEIR_STORM_REPORT_H
#define PGWEIR_STORM_REPORT_H

#include "storm/stats.h"

#include <stdio.h>

struct report {
	const char *target; /* where the herd went, without its password */
	const char *after;  /* close, idle, freeze, drop */
	struct stats *stats;
	usec_t elapsed; /* from the first possible wake-up until the last function was served or had failed */
	usec_t window;
	bool is_watched;
	int connections_before, connections_max; /* server connections that PostgreSQL saw */
	int connections_limit;			 /* PostgreSQL's max_connections */
};

void report_progress(FILE *out, const struct stats *s, usec_t elapsed); /* without a line end */
void report_table(FILE *out, struct report *r);
void report_json(FILE *out, struct report *r);

#endif
