#include "storm/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

const char options_usage[] =
	"Usage: pgweir-storm [OPTION]... URI\n"
	"       pgweir-storm --scenario=FILE [OPTION]... [URI]\n"
	"\n"
	"A herd of functions wakes, connects to PostgreSQL or a pooler at URI (or conninfo), and runs\n"
	"a short transaction each. Prints who was served, how fast, and what failed.\n"
	"\n"
	"Who comes, and when\n"
	"  -n, --functions=N      how many (default 1000)\n"
	"      --arrival=HOW      burst, ramp or poisson (default burst)\n"
	"  -w, --window=SECONDS   they wake within this time (default 0.1)\n"
	"      --rate=N           functions per second, in place of --functions or --window\n"
	"      --start=SECONDS    when the first may wake (default 0)\n"
	"      --seed=N           of chance, to repeat a run\n"
	"What they do\n"
	"      --work=WHAT        transaction (BEGIN, statement, COMMIT), query (the statement alone) or\n"
	"                         login (nothing) (default transaction); --simple is --work=query\n"
	"  -s, --sql=STATEMENT    (default: select pg_sleep(0.002))\n"
	"  -k, --invocations=K    transactions of each function (default 1)\n"
	"      --think=SECONDS    between them (default 0)\n"
	"      --pace=R           steady load: R transactions per second of each, on a schedule\n"
	"      --duration=SECONDS of the schedule\n"
	"How it ends\n"
	"  -a, --after=WHAT       close, idle (stay connected), freeze, drop (no Terminate message)\n"
	"                         or crash (not even a FIN; needs CAP_NET_ADMIN) (default close)\n"
	"      --at=WHERE         freeze, drop or crash at the end, or in the last transaction: in the\n"
	"                         middle of the transaction, the query or the message\n"
	"      --thaw=SECONDS     the frozen go on after this time\n"
	"      --hold=SECONDS     how long the idle and frozen stay, from when all others are done\n"
	"                         (default 5)\n"
	"  -t, --timeout=SECONDS  of a function's whole life until it is served, with --pace of each\n"
	"                         transaction (default 10)\n"
	"      --deadline=SECONDS of the whole run (default 120)\n"
	"  -r, --retries=N        after a failure (default 0), for each invocation\n"
	"      --backoff=SECONDS  before the first retry, doubled for each (default 0.1); 0: at once\n"
	"      --jitter=PART      a pause is so much longer or shorter at most (default 0.5)\n"
	"The rest\n"
	"      --scenario=FILE    phases with all of the above, one beside the other\n"
	"  -c, --check            say whether it all makes sense, and run nothing\n"
	"      --sslnegotiation=HOW  postgres or direct\n"
	"      --watch=URI        count the server's connections there (PostgreSQL itself)\n"
	"  -j, --json=FILE        write the result as JSON, - for standard output instead of the table\n"
	"      --html=FILE        write a page with charts\n"
	"      --no-progress      no progress line\n"
	"  -h, --help             this text\n"
	"  -V, --version          the version\n"
	"\n"
	"Exit status: 0 all were served, 1 not all were, 2 wrong usage.\n";

enum { OPT_SIMPLE = 256, OPT_SCENARIO, OPT_KEYS };

#define LONG_OPTIONS_MAX 64

struct command_line {
	struct option options[LONG_OPTIONS_MAX];
	char letters[64];
};

static void add_option(struct command_line *c, size_t *n, const char *name, int has_arg, int val)
{
	ASSERT(*n < LONG_OPTIONS_MAX - 1);
	c->options[(*n)++] = (struct option){ name, has_arg, NULL, val };
}

/* The table of keys, and what is no key. */
static void describe(struct command_line *c)
{
	struct key_info k;
	size_t n = 0;

	memset(c, 0, sizeof(*c));
	snprintf(c->letters, sizeof(c->letters), ":chV");
	for (size_t i = 0; scenario_key(i, &k); i++) {
		if (strcmp(k.name, "target") == 0) /* that's the URI without a name */
			continue;
		add_option(c, &n, k.name, k.is_flag ? no_argument : required_argument, OPT_KEYS + (int)i);
		if (k.letter)
			snprintf(c->letters + strlen(c->letters), sizeof(c->letters) - strlen(c->letters),
				"%c:", k.letter);
	}
	add_option(c, &n, "simple", no_argument, OPT_SIMPLE);
	add_option(c, &n, "scenario", required_argument, OPT_SCENARIO);
	add_option(c, &n, "check", no_argument, 'c');
	add_option(c, &n, "help", no_argument, 'h');
	add_option(c, &n, "version", no_argument, 'V');
}

static struct key_info key_of(int which)
{
	struct key_info k = { 0 };
	size_t i = 0;

	if (which >= OPT_KEYS)
		ASSERT(scenario_key((size_t)(which - OPT_KEYS), &k));
	else
		while (scenario_key(i, &k) && k.letter != which)
			i++;
	return k;
}

/* A phase's options say nothing in a scenario, which has its own for each phase. */
static bool is_misplaced(const struct options *o, const struct key_info *k, char *error, size_t error_size)
{
	if (!o->file || k->scope != KEY_OF_PHASE)
		return false;
	snprintf(error, error_size, "--%s belongs into the scenario's file", k->name);
	return true;
}

static bool take_key(struct options *o, struct key_info k, const char *value, char *error, size_t error_size)
{
	char why[256];

	if (is_misplaced(o, &k, error, error_size))
		return false;
	if (scenario_set(&o->scenario, k.name, value, why, sizeof(why)))
		return true;
	snprintf(error, error_size, "--%s", why);
	return false;
}

static bool take_option(struct options *o, int which, const char *arg, char *error, size_t error_size)
{
	switch (which) {
	case 'h': return o->wants_help = true;
	case 'V': return o->wants_version = true;
	case 'c': return o->wants_check = true;
	case OPT_SCENARIO: return true; /* read already */
	case OPT_SIMPLE:
		return take_key(o, (struct key_info){ .name = "work", .scope = KEY_OF_PHASE }, "query", error,
			error_size);
	default: return take_key(o, key_of(which), arg, error, error_size);
	}
}

/* One turn over all options. is_first: only the scenario's file is of interest, since it decides what the others may be. */
static bool take_options(struct options *o, int argc, char **argv, bool is_first, char *error, size_t error_size)
{
	struct command_line c;
	int which;

	describe(&c);
	optind = 0; /* glibc: start over */
	opterr = 0;
	while ((which = getopt_long(argc, argv, c.letters, c.options, NULL)) != -1) {
		if (which == '?' || which == ':') {
			snprintf(error, error_size, "%s %s",
				which == '?' ? "unknown option" : "a value is missing after", argv[optind - 1]);
			return false;
		}
		if (is_first && which == OPT_SCENARIO)
			o->file = optarg;
		else if (!is_first && !take_option(o, which, optarg, error, error_size))
			return false;
	}
	return true;
}

bool options_parse_args(struct options *o, int argc, char **argv, char *error, size_t error_size)
{
	*o = (struct options){ 0 };
	scenario_init(&o->scenario);
	if (!take_options(o, argc, argv, true, error, error_size) ||
		!take_options(o, argc, argv, false, error, error_size))
		return false;
	if (optind + 1 < argc) {
		snprintf(error, error_size, "one URI is enough");
		return false;
	}
	if (optind < argc)
		return scenario_set(&o->scenario, "target", argv[optind], error, error_size);
	if (!o->file && !o->wants_help && !o->wants_version) {
		snprintf(error, error_size, "where to? a URI or conninfo string is missing");
		return false;
	}
	return true;
}
