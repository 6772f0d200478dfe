/*
 * chart.h - a line chart over time as inline SVG, and the same figures as a table for those who can't see it.
 *
 * No script, no outside resource, no colour alone: lines differ by their dashes, too. Colours come from the page's style (html.c).
 * Everything that isn't ours is escaped. Values that nobody measured are NAN: the line has a gap there.
 */
#ifndef PGWEIR_STORM_CHART_H
#define PGWEIR_STORM_CHART_H

#include "base/base.h"

#include <stdio.h>

#define CHART_LINES 3

struct chart_line {
	const char *name; /* NULL: there are no more */
	const double *values;
};

struct chart {
	const char *title, *unit; /* unit: of the values */
	double step; /* seconds from one value to the next; the first one stands for the first step */
	size_t n;
	struct chart_line lines[CHART_LINES];
};

void chart_write(FILE *out, const struct chart *c, unsigned number); /* number: another one for each chart of a page */
void html_text(FILE *out, const char *text);

/* The smallest of 1, 2 or 5 times a power of ten that divides 0 .. max into at most five pieces; max > 0. */
double chart_tick(double max);

#endif
