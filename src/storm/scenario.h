/*
 * scenario.h - what a storm is made of: phases, each a herd of functions with a start of its own, and what holds for all of them.
 *
 * Keys:      one table for the command line and for files. A key is of a phase or of the whole run.
 * File:      the ini format of pgweir.ini: a section [storm] with keys of the run and defaults for the phases behind it, and a section
 *            [phase NAME] for each phase. What the command line has said goes before what the file says about the run.
 * Checking:  scenario_finish() works out what follows from what (functions, window, rate) and finds contradictions.
 * Limits:    PHASES_MAX phases, FUNCTIONS_MAX functions together, times of SECONDS_MAX.
 * Errors:    false and why, in a file as `file:line: what is wrong`. A target is never shown: it may hold a password.
 * Ownership: strings live until scenario_free().
 */
#ifndef PGWEIR_STORM_SCENARIO_H
#define PGWEIR_STORM_SCENARIO_H

#include "config/config.h"
#include "storm/arrival.h"

#define FUNCTIONS_MAX 100000
#define PHASES_MAX 32
#define SECONDS_MAX 3600
#define PHASE_NAME_MAX 40

struct phase {
	char *name, *where; /* where: file:line of its section; NULL: the command line */
	uint64_t given;	    /* keys that were said, as bits */
	char *target, *sql;
	enum tls_negotiation sslnegotiation;
	usec_t start, window, duration, think, backoff, timeout, thaw;
	unsigned functions, invocations, retries;
	double rate, pace, jitter; /* rate: functions per second; pace: transactions per second of each */
	enum arrival arrival;
	enum work work;
	enum after after;
	enum at at;
};

struct scenario {
	char *watch, *json, *html; /* NULL: not asked for */
	usec_t hold, deadline;
	unsigned seed; /* 0: another one each time */
	bool is_quiet;
	uint64_t given;
	struct phase defaults; /* it has no name */
	struct phase *phases;
	size_t n_phases;
};

enum key_scope { KEY_OF_RUN, KEY_OF_PHASE };

struct key_info {
	const char *name;
	char letter; /* on the command line; 0: none */
	bool is_flag;
	enum key_scope scope;
};

extern const char *const after_names[];

bool scenario_key(size_t i, struct key_info *out); /* false: there are no more */

void scenario_init(struct scenario *s);
void scenario_free(struct scenario *s);
/* From the command line: phase keys are defaults then. value: NULL for a flag. False: why says "can't be '...'" or the like. */
bool scenario_set(struct scenario *s, const char *key, const char *value, char *why, size_t why_size);
bool scenario_read_file(struct scenario *s, const char *path, char *error, size_t error_size);
bool scenario_read_text(
	struct scenario *s, const char *name, const char *text, size_t len, char *error, size_t error_size);
/* Without a phase there is one of the defaults alone. */
bool scenario_finish(struct scenario *s, char *error, size_t error_size);

#endif
