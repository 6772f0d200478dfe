/*
 * show.h - SHOW: one table of views, each with its columns as PgBouncer 1.25.2 has them, and the function that makes its rows.
 *
 * Names, order, count and types of columns are an interface for monitoring tools: what is new goes into a view of its own.
 * tests/unit/test_console.c holds the list against which they are checked.
 */
#ifndef PGWEIR_SHOW_H
#define PGWEIR_SHOW_H

#include "admin/report.h"
#include "admin/rows.h"

#define CONSOLE_DATABASE "pgbouncer" /* as tools expect it in rows */
#define COMPATIBLE_VERSION "1.25.2"  /* whose console this is */

struct console;

struct show {
	const struct console *console;
	struct rows *rows;
	struct report *const *reports; /* of all workers, with what the view wants */
	int n_reports;
	usec_t now;
};

struct view {
	const char *name;
	const struct column *columns;
	size_t n_columns; /* 0: no rows */
	unsigned wants;	  /* of enum report_wants */
	void (*fill)(const struct show *s);
};

extern const struct view *const views[];
extern const size_t n_views;

const struct view *view_find(const char *name);

#endif
