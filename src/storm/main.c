/*
 * main.c - pgweir-storm: a herd of functions falls upon PostgreSQL or a pooler, and a report says how it went.
 */
#include "storm/herd.h"
#include "storm/html.h"
#include "storm/options.h"
#include "storm/report.h"
#include "storm/watch.h"

#include <errno.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_ALL_SERVED, EXIT_NOT_ALL_SERVED, EXIT_USAGE };

#define DESCRIPTORS_OF_OURS 32 /* epoll, timers, standard streams, the watch */
#define ERROR_SIZE 1024

struct storm {
	struct options options;
	struct group *groups; /* one for each phase */
	struct stats total;
	struct event_base *base;
	struct herd *herd;
	struct watch *watch;
	struct event *progress, *interrupt, *terminate;
	bool is_interrupted;
};

static int complain(const char *what)
{
	fprintf(stderr, "pgweir-storm: %s\n", what);
	return EXIT_USAGE;
}

static unsigned count_functions(const struct scenario *s)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->n_phases; i++)
		n += s->phases[i].functions;
	return n;
}

static void raise_descriptor_limit(unsigned functions)
{
	rlim_t want = functions + DESCRIPTORS_OF_OURS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= want)
		return;
	if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){ want, MAX(want, limit.rlim_max) }) == 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < want)
		fprintf(stderr,
			"pgweir-storm: only %llu files may be open here: no more functions than that are connected at a time\n",
			(unsigned long long)limit.rlim_cur);
}

/* Getting ready. */

static struct plan plan_of(const struct phase *p, const struct target *t)
{
	return (struct plan){ .user = t->user,
		.database = t->database,
		.password = t->password,
		.options = t->options,
		.application_name = t->application_name,
		.client_encoding = t->client_encoding,
		.sql = p->sql,
		.work = p->work,
		.after = p->after,
		.at = p->at,
		.invocations = p->invocations,
		.retries = p->retries,
		.think = p->think,
		.period = p->pace > 0 ? MAX((usec_t)(USEC_PER_SEC / p->pace + 0.5), 1) : 0,
		.thaw = p->thaw,
		.jitter = p->jitter,
		.backoff = p->backoff,
		.timeout = p->timeout,
		.connect_timeout = t->connect_timeout };
}

static bool crash_is_refused(const struct phase *p, const struct target *t, char *error, size_t error_size)
{
	if (p->after != AFTER_CRASH)
		return false;
	if (t->addresses[0].addr.ss_family == AF_UNIX)
		snprintf(error, error_size,
			"after=crash is about lost packets: it needs TCP, and %s is a Unix socket", t->name);
	else if (!crash_is_possible())
		snprintf(error, error_size,
			"after=crash needs the capability CAP_NET_ADMIN, to close a connection without telling the peer: run it as root");
	else
		return false;
	return true;
}

static bool prepare_group(struct group *g, const struct phase *p, uint64_t seed, char *error, size_t error_size)
{
	char why[ERROR_SIZE - 100];
	bool ok;

	g->phase = p;
	ok = target_parse(&g->target, p->target, p->sslnegotiation, why, sizeof(why)) == RES_OK &&
		target_resolve(&g->target, why, sizeof(why)) == RES_OK &&
		!crash_is_refused(p, &g->target, why, sizeof(why));
	if (!ok) {
		snprintf(error, error_size, "%s%s%s", p->where ? p->where : "", p->where ? ": " : "", why);
		return false;
	}
	g->plan = plan_of(p, &g->target);
	g->world.plan = &g->plan;
	g->world.random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1; /* seeds that follow each other must look unlike */
	return true;
}

static unsigned choose_seed(const struct scenario *s)
{
	unsigned seed = s->seed;

	while (seed == 0) {
		ASSERT(RAND_bytes((unsigned char *)&seed, sizeof(seed)) == 1);
		seed &= 0x7fffffff;
	}
	return seed;
}

static bool prepare_groups(struct storm *s, char *error, size_t error_size)
{
	struct scenario *sc = &s->options.scenario;

	sc->seed = choose_seed(sc);
	s->groups = xcalloc(sc->n_phases, sizeof(*s->groups));
	for (size_t i = 0; i < sc->n_phases; i++)
		if (!prepare_group(&s->groups[i], &sc->phases[i], ((uint64_t)sc->seed << 8) + i, error, error_size))
			return false;
	return true;
}

static bool is_mixed(const struct scenario *s)
{
	size_t paced = 0;

	for (size_t i = 0; i < s->n_phases; i++)
		paced += s->phases[i].pace > 0;
	return paced > 0 && paced < s->n_phases;
}

static int prepare(struct storm *s)
{
	struct scenario *sc = &s->options.scenario;
	char error[ERROR_SIZE];

	if ((s->options.file && !scenario_read_file(sc, s->options.file, error, sizeof(error))) ||
		!scenario_finish(sc, error, sizeof(error)) || !prepare_groups(s, error, sizeof(error)))
		return complain(error);
	if (s->options.wants_check)
		return EXIT_SUCCESS;
	raise_descriptor_limit(count_functions(sc));
	s->base = herd_event_base(is_mixed(sc));
	if (!s->base)
		return complain("libevent can't start");
	if (sc->watch && !(s->watch = watch_open(s->base, sc->watch, error, sizeof(error)))) {
		fprintf(stderr, "pgweir-storm: watch: %s\n", error);
		return EXIT_USAGE;
	}
	return EXIT_SUCCESS;
}

/* Running. */

static void show_progress(const struct storm *s)
{
	struct stats sum = { 0 };

	for (size_t i = 0; i < s->options.scenario.n_phases; i++) {
		const struct stats *one = &s->groups[i].world.stats;

		sum.functions += one->functions;
		sum.woke += one->woke;
		sum.connected += one->connected;
		sum.served += one->served;
		sum.failed += one->failed;
	}
	fputc('\r', stderr);
	report_progress(stderr, &sum, herd_elapsed(s->herd));
	fputs("\033[K", stderr);
	fflush(stderr);
}

static void on_progress(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	show_progress(ctx);
}

static void on_interrupt(evutil_socket_t fd, short what, void *ctx)
{
	struct storm *s = ctx;

	(void)fd, (void)what;
	s->is_interrupted = true;
	herd_stop(s->herd);
}

static struct event *add_event(struct event *e, const struct timeval *delay)
{
	ASSERT(e);
	event_priority_set(e, 0);
	event_add(e, delay);
	return e;
}

static void run(struct storm *s)
{
	const struct scenario *sc = &s->options.scenario;
	bool is_live = !sc->is_quiet && isatty(STDERR_FILENO);

	s->herd = herd_new(s->base, s->groups, sc->n_phases, sc->hold, sc->deadline);
	s->interrupt = add_event(evsignal_new(s->base, SIGINT, on_interrupt, s), NULL);
	s->terminate = add_event(evsignal_new(s->base, SIGTERM, on_interrupt, s), NULL);
	if (is_live)
		s->progress = add_event(event_new(s->base, -1, EV_PERSIST, on_progress, s),
			&(struct timeval){ .tv_usec = 100000 });
	if (s->watch)
		watch_begin(s->watch, herd_began(s->herd));
	herd_run(s->herd);
	if (is_live)
		fputs("\r\033[K", stderr);
}

/* Reporting. */

typedef void write_fn(FILE *out, const struct report *r);

/* Returns false, with a complaint, where it can't be written. */
static bool write_to(const char *path, write_fn *write, const struct report *r)
{
	bool is_stdout = strcmp(path, "-") == 0, ok;
	FILE *out = is_stdout ? stdout : fopen(path, "w");

	if (out)
		write(out, r);
	ok = out && fflush(out) == 0 && !ferror(out);
	if (out && !is_stdout)
		ok = fclose(out) == 0 && ok;
	if (!ok)
		fprintf(stderr, "pgweir-storm: can't write %s: %s\n", path, strerror(errno));
	return ok;
}

static void describe_connections(const struct storm *s, struct report *r)
{
	r->is_watched = !watch_is_broken(s->watch);
	r->connections_before = watch_before(s->watch);
	r->connections_max = watch_max(s->watch);
	r->connections_limit = watch_limit(s->watch);
	r->course = watch_course(s->watch);
	if (!r->is_watched)
		fputs("pgweir-storm: the watching connection broke, so nobody counted server connections\n", stderr);
}

static struct report make_report(struct storm *s)
{
	const struct scenario *sc = &s->options.scenario;
	struct report r = { .n_phases = sc->n_phases,
		.total = &s->total,
		.elapsed = herd_elapsed(s->herd),
		.seed = sc->seed,
		.phases = xcalloc(sc->n_phases, sizeof(*r.phases)) };

	for (size_t i = 0; i < sc->n_phases; i++) {
		struct group *g = &s->groups[i];

		stats_merge(&s->total, &g->world.stats);
		r.phases[i] = (struct report_phase){ .phase = g->phase,
			.target = g->target.name,
			.stats = &g->world.stats,
			.elapsed = group_elapsed(g, clock_now()) };
	}
	if (s->watch)
		describe_connections(s, &r);
	return r;
}

static int report(struct storm *s)
{
	const struct scenario *sc = &s->options.scenario;
	struct report r = make_report(s);
	bool ok = true;

	if (sc->json)
		ok = write_to(sc->json, report_json, &r);
	if (sc->html)
		ok = write_to(sc->html, report_html, &r) && ok;
	if ((!sc->json || strcmp(sc->json, "-") != 0) && (!sc->html || strcmp(sc->html, "-") != 0))
		report_table(stdout, &r);
	free(r.phases);
	if (s->is_interrupted)
		fputs("pgweir-storm: interrupted\n", stderr);
	return ok && s->total.served == s->total.functions ? EXIT_ALL_SERVED : EXIT_NOT_ALL_SERVED;
}

static void free_groups(struct storm *s)
{
	for (size_t i = 0; s->groups && i < s->options.scenario.n_phases; i++) {
		keys_wipe(&s->groups[i].world.keys);
		stats_free(&s->groups[i].world.stats);
		target_free(&s->groups[i].target);
	}
	free(s->groups);
}

static void clean_up(struct storm *s)
{
	if (s->herd)
		herd_free(&s->herd);
	if (s->progress)
		event_free(s->progress);
	if (s->interrupt)
		event_free(s->interrupt);
	if (s->terminate)
		event_free(s->terminate);
	watch_close(&s->watch);
	if (s->base)
		event_base_free(s->base);
	free_groups(s);
	stats_free(&s->total);
	scenario_free(&s->options.scenario);
}

int main(int argc, char **argv)
{
	struct storm *s = xcalloc(1, sizeof(*s));
	char error[ERROR_SIZE];
	int status;

	if (!options_parse_args(&s->options, argc, argv, error, sizeof(error))) {
		status = complain(error);
		fputs("Try pgweir-storm --help.\n", stderr);
	} else if (s->options.wants_help) {
		status = fputs(options_usage, stdout) < 0;
	} else if (s->options.wants_version) {
		status = printf("pgweir-storm %s\n", PGWEIR_VERSION) < 0;
	} else if ((status = prepare(s)) == EXIT_SUCCESS && !s->options.wants_check) {
		run(s);
		status = report(s);
	}
	clean_up(s);
	free(s);
	return status;
}
