/*
 * options.h - pgweir-storm's command line, checked.
 *
 * Nothing is read but argv. Errors: false, and why. Strings are argv's own.
 */
#ifndef PGWEIR_STORM_OPTIONS_H
#define PGWEIR_STORM_OPTIONS_H

#include "storm/function.h"

#define FUNCTIONS_MAX 100000
#define TRANSACTIONS_MAX 10000000 /* functions times invocations: every sample is kept */

struct options {
	const char *target, *watch, *json, *sql; /* target: URI or conninfo; watch, json: NULL when not asked for */
	unsigned functions, invocations, retries;
	usec_t window, think, backoff, timeout, hold, deadline;
	enum after after;
	bool is_simple, is_quiet, wants_help, wants_version;
};

extern const char *const after_names[];
extern const char options_usage[];

bool options_parse_args(struct options *o, int argc, char **argv, char *error, size_t error_size);

#endif
