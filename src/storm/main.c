/*
 * main.c - pgweir-storm: a herd of functions falls upon PostgreSQL or a pooler, and a report says how it went.
 */
#include "storm/herd.h"
#include "storm/options.h"
#include "storm/report.h"
#include "storm/watch.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_ALL_SERVED, EXIT_NOT_ALL_SERVED, EXIT_USAGE };

#define DESCRIPTORS_OF_OURS 32 /* epoll, timers, standard streams, the watch */

struct storm {
	struct options options;
	struct target target;
	struct plan plan;
	struct world world;
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

static void make_plan(struct storm *s)
{
	const struct options *o = &s->options;
	const struct target *t = &s->target;

	s->plan = (struct plan){ .user = t->user,
		.database = t->database,
		.password = t->password,
		.options = t->options,
		.application_name = t->application_name,
		.client_encoding = t->client_encoding,
		.sql = o->sql,
		.is_simple = o->is_simple,
		.after = o->after,
		.invocations = o->invocations,
		.retries = o->retries,
		.think = o->think,
		.backoff = o->backoff,
		.timeout = o->timeout,
		.connect_timeout = t->connect_timeout };
	s->world.plan = &s->plan;
	s->world.random = clock_now() | 1;
}

static void show_progress(const struct storm *s)
{
	fputc('\r', stderr);
	report_progress(stderr, &s->world.stats, herd_elapsed(s->herd));
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
	struct herd_options o = { .functions = s->options.functions,
		.window = s->options.window,
		.hold = s->options.hold,
		.deadline = s->options.deadline };
	bool is_live = !s->options.is_quiet && isatty(STDERR_FILENO);

	s->herd = herd_new(s->base, &s->world, &s->target, &o);
	s->interrupt = add_event(evsignal_new(s->base, SIGINT, on_interrupt, s), NULL);
	s->terminate = add_event(evsignal_new(s->base, SIGTERM, on_interrupt, s), NULL);
	if (is_live)
		s->progress = add_event(event_new(s->base, -1, EV_PERSIST, on_progress, s),
			&(struct timeval){ .tv_usec = 100000 });
	herd_run(s->herd);
	if (is_live)
		fputs("\r\033[K", stderr);
}

/* Returns false, with a complaint, where the JSON can't be written. */
static bool write_json(const struct storm *s, struct report *r)
{
	bool is_stdout = strcmp(s->options.json, "-") == 0, ok;
	FILE *out = is_stdout ? stdout : fopen(s->options.json, "w");

	if (out)
		report_json(out, r);
	ok = out && fflush(out) == 0 && !ferror(out);
	if (out && !is_stdout)
		ok = fclose(out) == 0 && ok;
	if (!ok)
		fprintf(stderr, "pgweir-storm: can't write %s: %s\n", s->options.json, strerror(errno));
	return ok;
}

static int report(struct storm *s)
{
	const struct stats *st = &s->world.stats;
	struct report r = { .target = s->target.name,
		.after = after_names[s->options.after],
		.stats = &s->world.stats,
		.elapsed = herd_elapsed(s->herd),
		.window = s->options.window };
	bool ok = true;

	if (s->watch) {
		r.is_watched = !watch_is_broken(s->watch);
		r.connections_before = watch_before(s->watch);
		r.connections_max = watch_max(s->watch);
		r.connections_limit = watch_limit(s->watch);
		if (!r.is_watched)
			fputs("pgweir-storm: the watching connection broke, so nobody counted server connections\n",
				stderr);
	}
	if (s->options.json)
		ok = write_json(s, &r);
	if (!s->options.json || strcmp(s->options.json, "-") != 0)
		report_table(stdout, &r);
	if (s->is_interrupted)
		fputs("pgweir-storm: interrupted\n", stderr);
	return ok && st->served == st->functions ? EXIT_ALL_SERVED : EXIT_NOT_ALL_SERVED;
}

static int prepare(struct storm *s)
{
	char error[512];

	if (target_parse(&s->target, s->options.target, error, sizeof(error)) != RES_OK ||
		target_resolve(&s->target, error, sizeof(error)) != RES_OK)
		return complain(error);
	raise_descriptor_limit(s->options.functions);
	s->base = herd_event_base();
	if (!s->base)
		return complain("libevent can't start");
	if (s->options.watch && !(s->watch = watch_open(s->base, s->options.watch, error, sizeof(error)))) {
		fprintf(stderr, "pgweir-storm: --watch: %s\n", error);
		return EXIT_USAGE;
	}
	make_plan(s);
	return EXIT_SUCCESS;
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
	keys_wipe(&s->world.keys);
	stats_free(&s->world.stats);
	target_free(&s->target);
}

int main(int argc, char **argv)
{
	struct storm *s = xcalloc(1, sizeof(*s));
	char error[256];
	int status;

	if (!options_parse_args(&s->options, argc, argv, error, sizeof(error))) {
		status = complain(error);
		fputs("Try pgweir-storm --help.\n", stderr);
	} else if (s->options.wants_help) {
		status = fputs(options_usage, stdout) < 0;
	} else if (s->options.wants_version) {
		status = printf("pgweir-storm %s\n", PGWEIR_VERSION) < 0;
	} else if ((status = prepare(s)) == EXIT_SUCCESS) {
		run(s);
		status = report(s);
	}
	clean_up(s);
	free(s);
	return status;
}
