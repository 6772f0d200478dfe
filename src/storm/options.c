#include "storm/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define SECONDS_MAX 3600

const char *const after_names[] = {
	[AFTER_CLOSE] = "close", [AFTER_IDLE] = "idle", [AFTER_FREEZE] = "freeze", [AFTER_DROP] = "drop"
};

const char options_usage[] =
	"Usage: pgweir-storm [OPTION]... URI\n"
	"\n"
	"A herd of functions wakes, connects to PostgreSQL or a pooler at URI (or conninfo), and runs\n"
	"a short transaction each. Prints who was served, how fast, and what failed.\n"
	"\n"
	"  -n, --functions=N      how many (default 1000)\n"
	"  -w, --window=SECONDS   they wake within this time (default 0.1)\n"
	"  -s, --sql=STATEMENT    in their transaction (default: select pg_sleep(0.002))\n"
	"      --simple           the statement alone, without BEGIN and COMMIT\n"
	"  -a, --after=WHAT       then close, idle (stay connected), freeze (in the middle of the\n"
	"                         transaction), drop (no Terminate message) (default close)\n"
	"      --hold=SECONDS     how long the idle and frozen stay, from when all others are done\n"
	"                         (default 5)\n"
	"  -k, --invocations=K    transactions of each function (default 1)\n"
	"      --think=SECONDS    between them (default 0)\n"
	"  -r, --retries=N        after a failure (default 0), for each invocation\n"
	"      --backoff=SECONDS  before the first retry, doubled for each, with jitter (default 0.1)\n"
	"  -t, --timeout=SECONDS  of a function's whole life until it is served (default 10)\n"
	"      --deadline=SECONDS of the whole run (default 120)\n"
	"      --watch=URI        count the server's connections there (PostgreSQL itself)\n"
	"  -j, --json=FILE        write the result as JSON, - for standard output instead of the table\n"
	"      --no-progress      no progress line\n"
	"  -h, --help             this text\n"
	"  -V, --version          the version\n"
	"\n"
	"Exit status: 0 all were served, 1 not all were, 2 wrong usage.\n";

enum { OPT_SIMPLE = 256, OPT_HOLD, OPT_THINK, OPT_BACKOFF, OPT_DEADLINE, OPT_WATCH, OPT_NO_PROGRESS };

static const struct option long_options[] = {
	{ "functions", required_argument, NULL, 'n' },
	{ "window", required_argument, NULL, 'w' },
	{ "sql", required_argument, NULL, 's' },
	{ "simple", no_argument, NULL, OPT_SIMPLE },
	{ "after", required_argument, NULL, 'a' },
	{ "hold", required_argument, NULL, OPT_HOLD },
	{ "invocations", required_argument, NULL, 'k' },
	{ "think", required_argument, NULL, OPT_THINK },
	{ "retries", required_argument, NULL, 'r' },
	{ "backoff", required_argument, NULL, OPT_BACKOFF },
	{ "timeout", required_argument, NULL, 't' },
	{ "deadline", required_argument, NULL, OPT_DEADLINE },
	{ "watch", required_argument, NULL, OPT_WATCH },
	{ "json", required_argument, NULL, 'j' },
	{ "no-progress", no_argument, NULL, OPT_NO_PROGRESS },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static bool parse_count(const char *text, unsigned min, unsigned max, unsigned *out)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || end == text || *end || v < (long)min || v > (long)max)
		return false;
	*out = (unsigned)v;
	return true;
}

static bool parse_seconds(const char *text, double min, usec_t *out)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(text, &end);
	if (errno || end == text || *end || !(v >= min && v <= SECONDS_MAX)) /* NaN compares false */
		return false;
	*out = (usec_t)(v * USEC_PER_SEC + 0.5);
	return true;
}

static bool parse_after(const char *text, enum after *out)
{
	for (size_t i = 0; i < 4; i++)
		if (strcmp(text, after_names[i]) == 0) {
			*out = (enum after)i;
			return true;
		}
	return false;
}

static bool parse_text(const char *text, const char **out)
{
	*out = text;
	return *text != '\0';
}

static bool set_flag(bool *flag)
{
	return *flag = true;
}

static bool take_option(struct options *o, int which, const char *arg)
{
	switch (which) {
	case 'n': return parse_count(arg, 1, FUNCTIONS_MAX, &o->functions);
	case 'w': return parse_seconds(arg, 0, &o->window);
	case 's': return parse_text(arg, &o->sql);
	case 'a': return parse_after(arg, &o->after);
	case 'k': return parse_count(arg, 1, TRANSACTIONS_MAX, &o->invocations);
	case 'r': return parse_count(arg, 0, 1000, &o->retries);
	case 't': return parse_seconds(arg, 0.001, &o->timeout);
	case 'j': return parse_text(arg, &o->json);
	case 'h': return set_flag(&o->wants_help);
	case 'V': return set_flag(&o->wants_version);
	case OPT_SIMPLE: return set_flag(&o->is_simple);
	case OPT_HOLD: return parse_seconds(arg, 0, &o->hold);
	case OPT_THINK: return parse_seconds(arg, 0, &o->think);
	case OPT_BACKOFF: return parse_seconds(arg, 0, &o->backoff);
	case OPT_DEADLINE: return parse_seconds(arg, 0.001, &o->deadline);
	case OPT_WATCH: return parse_text(arg, &o->watch);
	case OPT_NO_PROGRESS: return set_flag(&o->is_quiet);
	default: return false;
	}
}

static const char *contradiction(const struct options *o)
{
	if (o->wants_help || o->wants_version)
		return NULL;
	if (!o->target)
		return "where to? a URI or conninfo string is missing";
	if (o->is_simple && o->after == AFTER_FREEZE)
		return "--simple opens no transaction in which --after=freeze could freeze";
	if ((uint64_t)o->functions * o->invocations > TRANSACTIONS_MAX)
		return "--functions times --invocations is more than 10000000";
	return NULL;
}

static const char *option_name(int which)
{
	for (const struct option *p = long_options; p->name; p++)
		if (p->val == which)
			return p->name;
	return "?";
}

bool options_parse_args(struct options *o, int argc, char **argv, char *error, size_t error_size)
{
	const char *problem;
	int which;

	*o = (struct options){ .sql = "select pg_sleep(0.002)",
		.functions = 1000,
		.invocations = 1,
		.window = USEC_PER_SEC / 10,
		.backoff = USEC_PER_SEC / 10,
		.timeout = 10 * USEC_PER_SEC,
		.hold = 5 * USEC_PER_SEC,
		.deadline = 120 * USEC_PER_SEC };
	optind = 0; /* glibc: start over, also when a test calls this twice */
	opterr = 0;
	while ((which = getopt_long(argc, argv, ":n:w:s:a:k:r:t:j:hV", long_options, NULL)) != -1) {
		if (which == '?' || which == ':') {
			snprintf(error, error_size, "%s %s",
				which == '?' ? "unknown option" : "a value is missing after", argv[optind - 1]);
			return false;
		}
		if (!take_option(o, which, optarg)) {
			snprintf(error, error_size, "--%s can't be '%s'", option_name(which), optarg);
			return false;
		}
	}
	if (optind < argc)
		o->target = argv[optind++];
	problem = optind < argc ? "one URI is enough" : contradiction(o);
	if (problem)
		snprintf(error, error_size, "%s", problem);
	return !problem;
}
