/*
 * options.h - pgweir-storm's command line: a whole scenario of one phase, or the file of a scenario and what goes before it.
 *
 * Nothing is read but argv. Errors: false, and why. Strings are argv's own, those inside scenario its own.
 */
#ifndef PGWEIR_STORM_OPTIONS_H
#define PGWEIR_STORM_OPTIONS_H

#include "storm/scenario.h"

struct options {
	const char *file; /* of the scenario; NULL: the command line says it all */
	bool wants_check, wants_help, wants_version;
	struct scenario scenario; /* not finished yet */
};

extern const char options_usage[];

/* scenario_free() is the caller's, also after false. */
bool options_parse_args(struct options *o, int argc, char **argv, char *error, size_t error_size);

#endif
