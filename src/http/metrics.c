#include "http/metrics.h"

#include "base/events.h"
#include "http/exposition.h"
#include "http/http_private.h"
#include "http/pool_groups.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define DATABASES_MAX 500
#define HOSTS_SHOWN_MAX 200
#define PLACES_SHOWN_MAX 500

struct database_use {
	char *name;
	int servers, clients;
};

struct host_use {
	char *name, port[16];
	bool is_up;
	int servers, logins;
	uint64_t failed;
};

struct place_use {
	char *host, *database, *user, port[16];
	int limit;
};

struct scrape { /* what all samples are made of */
	struct exposition e;
	const struct http *h;
	const struct console_host *d;
	const struct config *c;
	const struct show *show;
	struct pool_groups pools, histograms;
	bool is_by_pool;
	struct database_use databases[DATABASES_MAX + 1]; /* the last one is all others */
	size_t n_databases;
	struct host_use hosts[HOSTS_SHOWN_MAX];
	size_t n_hosts;
	struct place_use places[PLACES_SHOWN_MAX];
	size_t n_places;
};

/* ---- the process's life ---- */

static void build(struct scrape *s)
{
	labels_add(&s->e, "version", PGWEIR_VERSION);
	sample(&s->e, 1);
}

static void ready(struct scrape *s)
{
	char why[100];

	sample(&s->e, http_is_ready(s->h, why, sizeof(why)));
}

static void draining(struct scrape *s)
{
	sample(&s->e, s->d->is_shutting_down(s->d->ctx));
}

static void away(struct scrape *s)
{
	sample_usec(&s->e, s->h->away_since ? s->show->now - s->h->away_since : 0);
}

static void clients(struct scrape *s)
{
	sample(&s->e, (uint64_t)MAX(atomic_load(&s->d->registry->clients), 0));
}

static void clients_limit(struct scrape *s)
{
	sample(&s->e, (uint64_t)s->c->max_client_conn);
}

static void clients_accepted(struct scrape *s)
{
	sample(&s->e, atomic_load(&s->d->registry->clients_ever));
}

static void logins(struct scrape *s)
{
	sample(&s->e, s->d->login_count(s->d->ctx));
}

/* ---- pools ---- */

static void label_pool(struct scrape *s, const struct pool_group *g)
{
	labels_clear(&s->e);
	labels_add(&s->e, "database", g->database);
	labels_add(&s->e, "user", g->user);
}

static void sample_state(struct scrape *s, const char *label, const char *state, uint64_t n)
{
	size_t had = s->e.labels.len;

	labels_add(&s->e, label, state);
	sample(&s->e, n);
	s->e.labels.len = had;
}

/* The next pool that has more than a past, labels set; NULL: none. */
static const struct pool_group *next_pool(struct scrape *s, size_t *at)
{
	while (*at < s->pools.n) {
		const struct pool_group *g = &s->pools.items[(*at)++];

		if (g->has_past_only)
			continue;
		label_pool(s, g);
		return g;
	}
	return NULL;
}

static void pool_clients(struct scrape *s)
{
	const struct pool_group *g;

	for (size_t at = 0; (g = next_pool(s, &at));) {
		const unsigned *servers = g->row.servers;
		unsigned linked = servers[SERVER_ACTIVE] + servers[SERVER_SYNCING] + servers[SERVER_PROBING];
		unsigned active = MIN(linked, g->row.clients);

		sample_state(s, "state", "active", active);
		sample_state(s, "state", "idle", g->row.clients - active);
		sample_state(s, "state", "waiting", g->row.waiting);
	}
}

static void pool_longest_wait(struct scrape *s)
{
	const struct pool_group *g;

	for (size_t at = 0; (g = next_pool(s, &at));)
		sample_usec(&s->e, g->row.oldest_wait);
}

static void pool_servers(struct scrape *s)
{
	static const enum server_state states[] = { SERVER_LOGIN, SERVER_IDLE, SERVER_TESTING, SERVER_SYNCING,
		SERVER_ACTIVE, SERVER_PROBING, SERVER_CLEANING, SERVER_HELD };
	static const char *const names[] = { "login", "idle", "testing", "syncing", "active", "probing",
		"cleaning", "held" };
	const struct pool_group *g;

	_Static_assert(N_ELEMENTS(states) == N_ELEMENTS(names), "a name for each state");
	_Static_assert(N_ELEMENTS(states) == SERVER_STATES - 2,
		"all but those that are on their way out or to another worker");
	for (size_t at = 0; (g = next_pool(s, &at));)
		for (size_t i = 0; i < N_ELEMENTS(states); i++)
			sample_state(s, "state", names[i], g->row.servers[states[i]]);
}

static void pool_limit(struct scrape *s)
{
	const struct pool_group *g;

	for (size_t at = 0; s->is_by_pool && (g = next_pool(s, &at));) {
		const struct config_database *db = config_database(s->c, g->database);
		const struct config_user *user = config_user(s->c, g->user);

		if (!db) /* a reload has removed it */
			continue;
		sample_state(s, "kind", "size", (uint64_t)config_pool_size(s->c, db, user));
		sample_state(s, "kind", "reserve", (uint64_t)config_reserve_pool_size(s->c, db, user));
	}
}

static void pool_cancels(struct scrape *s)
{
	const struct pool_group *g;

	for (size_t at = 0; (g = next_pool(s, &at));)
		sample(&s->e, g->row.cancels);
}

/* Counters of pools that are gone, too: their database's sum never goes back. */
#define POOL_COUNTER(field, sample_fn)                                                                       \
	static void pool_##field(struct scrape *s)                                                           \
	{                                                                                                    \
		for (size_t i = 0; i < s->pools.n; i++) {                                                    \
			label_pool(s, &s->pools.items[i]);                                                   \
			sample_fn(&s->e, s->pools.items[i].row.counters.field);                              \
		}                                                                                            \
	}
POOL_COUNTER(xacts, sample)
POOL_COUNTER(queries, sample)
POOL_COUNTER(server_assignments, sample)
POOL_COUNTER(received, sample)
POOL_COUNTER(sent, sample)
POOL_COUNTER(xact_time, sample_usec)
POOL_COUNTER(query_time, sample_usec)
POOL_COUNTER(wait_time, sample_usec)
POOL_COUNTER(client_parses, sample)
POOL_COUNTER(server_parses, sample)
POOL_COUNTER(binds, sample)
_Static_assert(COUNTERS_N == 11, "a metric for each counter");

/* ---- histograms ---- */

#define LE_FIRST 8 /* 2^8 us; whole microseconds below it are in its bucket */
#define LE_LAST 25 /* 33 s */

static void sample_histogram(struct exposition *e, const struct histogram *h)
{
	char le[64], number[24], text[32];

	for (unsigned bit = LE_FIRST; bit <= LE_LAST; bit++) {
		snprintf(le, sizeof(le), "le=\"%s\"", seconds_text(UINT64_C(1) << bit, text));
		snprintf(number, sizeof(number), "%" PRIu64, histogram_at_most(h, (UINT64_C(1) << bit) - 1));
		sample_text(e, "_bucket", le, number);
	}
	snprintf(number, sizeof(number), "%" PRIu64, h->count);
	sample_text(e, "_bucket", "le=\"+Inf\"", number);
	sample_text(e, "_count", NULL, number);
	sample_text(e, "_sum", NULL, seconds_text(h->sum, text));
}

static void sample_measure(struct scrape *s, enum measure m)
{
	for (size_t i = 0; i < s->histograms.n; i++) {
		const struct pool_group *g = &s->histograms.items[i];

		if (!g->latency[m])
			continue;
		label_pool(s, g);
		sample_histogram(&s->e, g->latency[m]);
	}
}

#define MEASURE_METRIC(name, measure)                                                                        \
	static void name(struct scrape *s)                                                                   \
	{                                                                                                    \
		sample_measure(s, measure);                                                                  \
	}
MEASURE_METRIC(wait, MEASURE_WAIT)
MEASURE_METRIC(query, MEASURE_QUERY)
MEASURE_METRIC(transaction, MEASURE_TRANSACTION)
MEASURE_METRIC(login, MEASURE_LOGIN)
MEASURE_METRIC(server_connect, MEASURE_CONNECT)
_Static_assert(MEASURES_N == 5, "a metric for each measure");

/* ---- databases ---- */

static void add_database(void *ctx, const char *name, int servers, int clients)
{
	struct scrape *s = ctx;
	struct database_use *d;

	if (s->n_databases <= DATABASES_MAX) {
		bool is_last = s->n_databases == DATABASES_MAX;

		d = &s->databases[s->n_databases++];
		*d = (struct database_use){ .name = xstrdup(is_last ? "(other)" : name) };
	} else {
		d = &s->databases[DATABASES_MAX];
	}
	d->servers += servers;
	d->clients += clients;
}

static void label_database(struct scrape *s, size_t i)
{
	labels_clear(&s->e);
	labels_add(&s->e, "database", s->databases[i].name);
}

static void database_servers(struct scrape *s)
{
	for (size_t i = 0; i < s->n_databases; i++) {
		label_database(s, i);
		sample(&s->e, (uint64_t)MAX(s->databases[i].servers, 0));
	}
}

static void database_clients(struct scrape *s)
{
	for (size_t i = 0; i < s->n_databases; i++) {
		label_database(s, i);
		sample(&s->e, (uint64_t)MAX(s->databases[i].clients, 0));
	}
}

typedef int limit_fn(const struct config *c, const struct config_database *db);

static void database_limit(struct scrape *s, limit_fn *limit_of)
{
	for (size_t i = 0; i < MIN(s->n_databases, DATABASES_MAX); i++) {
		const struct config_database *db = config_database(s->c, s->databases[i].name);
		int limit = db ? limit_of(s->c, db) : 0;

		if (limit <= 0)
			continue;
		label_database(s, i);
		sample(&s->e, (uint64_t)limit);
	}
}

static void database_servers_limit(struct scrape *s)
{
	database_limit(s, config_max_db_connections);
}

static void database_clients_limit(struct scrape *s)
{
	database_limit(s, config_max_db_client_connections);
}

/* ---- hosts: names are copied, as their lock is held only for that ---- */

static void add_host(void *ctx, const struct host *h)
{
	struct scrape *s = ctx;
	struct host_use *u;

	if (s->n_hosts == HOSTS_SHOWN_MAX)
		return;
	u = &s->hosts[s->n_hosts++];
	*u = (struct host_use){ .name = xstrdup(h->name),
		.is_up = host_is_up(h),
		.servers = h->servers,
		.logins = h->logins,
		.failed = h->failed_ever };
	snprintf(u->port, sizeof(u->port), "%d", h->port);
}

static void add_place(void *ctx, const struct host_pool *p)
{
	struct scrape *s = ctx;
	struct place_use *u;

	if (p->kind != HOST_POOL_CLIENTS || !p->places.is_limited || s->n_places == PLACES_SHOWN_MAX)
		return;
	u = &s->places[s->n_places++];
	*u = (struct place_use){ .host = xstrdup(p->host->name),
		.database = xstrdup(p->database),
		.user = xstrdup(p->user),
		.limit = p->places.limit };
	snprintf(u->port, sizeof(u->port), "%d", p->host->port);
}

#define HOST_METRIC(name_, value)                                                                            \
	static void host_##name_(struct scrape *s)                                                           \
	{                                                                                                    \
		for (size_t i = 0; i < s->n_hosts; i++) {                                                    \
			const struct host_use *u = &s->hosts[i];                                             \
                                                                                                             \
			labels_clear(&s->e);                                                                 \
			labels_add(&s->e, "host", u->name);                                                  \
			labels_add(&s->e, "port", u->port);                                                  \
			sample(&s->e, (uint64_t)(value));                                                    \
		}                                                                                            \
	}
HOST_METRIC(up, u->is_up)
HOST_METRIC(servers, u->servers)
HOST_METRIC(logins, u->logins)
HOST_METRIC(failures, u->failed)

static void host_places(struct scrape *s)
{
	for (size_t i = 0; i < s->n_places; i++) {
		const struct place_use *u = &s->places[i];

		labels_clear(&s->e);
		labels_add(&s->e, "host", u->host);
		labels_add(&s->e, "port", u->port);
		labels_add(&s->e, "database", u->database);
		labels_add(&s->e, "user", u->user);
		sample(&s->e, (uint64_t)MAX(u->limit, 0));
	}
}

/* ---- pins ---- */

static void pinned(struct scrape *s)
{
	for (unsigned pin = 0; pin < PINS_N; pin++) {
		uint64_t n = 0;

		for (int i = 0; i < s->show->n_reports; i++) {
			const struct report *r = s->show->reports[i];

			for (size_t k = 0; k < r->n_pins; k++)
				n += (r->pins[k].pins & 1u << pin) != 0;
		}
		sample_state(s, "reason", pin_name((enum pin)(1u << pin)), n);
	}
}

static void pins(struct scrape *s)
{
	for (unsigned pin = 0; pin < PINS_N; pin++) {
		uint64_t n = 0;

		for (int i = 0; i < s->show->n_reports; i++)
			n += s->show->reports[i]->pins_made[pin];
		sample_state(s, "reason", pin_name((enum pin)(1u << pin)), n);
	}
}

/* ---- workers ---- */

#define WORKER_METRIC(name, field, sample_fn)                                                                \
	static void worker_##name(struct scrape *s)                                                          \
	{                                                                                                    \
		for (int i = 0; i < s->show->n_reports; i++) {                                               \
			const struct report *r = s->show->reports[i];                                        \
			char number[16];                                                                     \
                                                                                                             \
			snprintf(number, sizeof(number), "%d", r->worker);                                   \
			labels_clear(&s->e);                                                                 \
			labels_add(&s->e, "worker", number);                                                 \
			sample_fn(&s->e, r->of_worker.field);                                                \
		}                                                                                            \
	}
WORKER_METRIC(clients, clients, sample)
WORKER_METRIC(waiting, waiting, sample)
WORKER_METRIC(servers, servers, sample)
WORKER_METRIC(idle, idle, sample)
WORKER_METRIC(rounds, rounds, sample)
WORKER_METRIC(messages, messages, sample)
WORKER_METRIC(moved, moved, sample)
WORKER_METRIC(cpu, cpu, sample_usec)

/* ---- events ---- */

static void events(struct scrape *s)
{
	for (int kind = 0; kind < EVENT_KINDS_N; kind++)
		sample_state(s, "kind", event_kind_name((enum event_kind)kind),
			events_total((enum event_kind)kind));
}

/* ---- this server ---- */

static void http_connections(struct scrape *s)
{
	sample(&s->e, s->h->counts.connections);
}

static void http_evicted(struct scrape *s)
{
	sample(&s->e, s->h->counts.evicted);
}

static void http_refused(struct scrape *s)
{
	sample(&s->e, s->h->counts.refused_tokens);
}

static void http_answers(struct scrape *s)
{
	static const char *const classes[] = { NULL, NULL, "2xx", NULL, "4xx", "5xx" };

	for (size_t i = 0; i < N_ELEMENTS(classes); i++)
		if (classes[i])
			sample_state(s, "code", classes[i], s->h->counts.answers[i]);
}

/* ---- the process, under the names that all exporters use ---- */

struct memory {
	uint64_t all, resident;
};

/* statm has both in pages, as its first two numbers. */
static struct memory memory_now(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct memory m = { 0, 0 };
	char line[256], *at = line;

	if (f && fgets(line, sizeof(line), f)) {
		m.all = strtoull(at, &at, 10) * page;
		m.resident = strtoull(at, &at, 10) * page;
	}
	if (f)
		fclose(f);
	return m;
}

static void process_resident(struct scrape *s)
{
	sample(&s->e, memory_now().resident);
}

static void process_virtual(struct scrape *s)
{
	sample(&s->e, memory_now().all);
}

static void process_fds(struct scrape *s)
{
	DIR *dir = opendir("/proc/self/fd");
	uint64_t n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	sample(&s->e, n > 3 ? n - 3 : 0); /* ".", "..", and the one that has just looked */
}

static void process_max_fds(struct scrape *s)
{
	struct rlimit limit = { 0 };

	getrlimit(RLIMIT_NOFILE, &limit);
	sample(&s->e, limit.rlim_cur);
}

static void process_start(struct scrape *s)
{
	sample(&s->e, (uint64_t)s->h->started);
}

static void process_cpu(struct scrape *s)
{
	struct timespec cpu = { 0 };

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	sample_usec(&s->e, (uint64_t)cpu.tv_sec * USEC_PER_SEC + (uint64_t)cpu.tv_nsec / 1000);
}

/* ---- all of them ---- */

static const struct {
	struct metric metric;
	void (*samples)(struct scrape *s);
} families[] = {
#define FAMILY(type, name, unit, samples, help) { { METRIC_##type, name, unit, help }, samples },
	METRIC_TABLE(FAMILY)
#undef FAMILY
};

static void write_all(struct scrape *s)
{
	for (size_t i = 0; i < N_ELEMENTS(families); i++) {
		exposition_family(&s->e, &families[i].metric);
		families[i].samples(s);
	}
	exposition_end(&s->e);
}

static void make_histograms(struct scrape *s, enum grouping from)
{
	for (enum grouping g = from; g <= GROUP_ALL; g++) {
		s->histograms = pool_groups_make(s->show->reports, s->show->n_reports, g);
		if (s->histograms.n <= METRICS_HISTOGRAM_POOLS_MAX) {
			pool_groups_add_latency(&s->histograms, s->show->reports, s->show->n_reports, g);
			return;
		}
		pool_groups_free(&s->histograms);
	}
}

/* As fine as it may be. */
static void write_fitting(struct scrape *s)
{
	for (enum grouping g = GROUP_POOLS; g <= GROUP_ALL; g++) {
		s->pools = pool_groups_make(s->show->reports, s->show->n_reports, g);
		s->is_by_pool = g == GROUP_POOLS;
		if (s->pools.n <= METRICS_POOLS_MAX) {
			s->e.out.len = 0;
			make_histograms(s, g);
			write_all(s);
			pool_groups_free(&s->histograms);
			if (s->e.out.len <= HTTP_BODY_MAX)
				return;
		}
		pool_groups_free(&s->pools);
	}
	s->e.out.len = 0;
}

static void scrape_free(struct scrape *s)
{
	for (size_t i = 0; i < s->n_databases; i++)
		free(s->databases[i].name);
	for (size_t i = 0; i < s->n_hosts; i++)
		free(s->hosts[i].name);
	for (size_t i = 0; i < s->n_places; i++) {
		free(s->places[i].host);
		free(s->places[i].database);
		free(s->places[i].user);
	}
	pool_groups_free(&s->pools);
	exposition_free(&s->e);
	free(s);
}

static void answer_metrics(struct http_conn *c, const struct show *show)
{
	struct scrape *s = xcalloc(1, sizeof(*s));

	s->h = c->http;
	s->d = c->http->host.daemon;
	s->c = http_config(c->http);
	s->show = show;
	s->e.is_openmetrics = c->wants_openmetrics;
	registry_each_database(s->d->registry, add_database, s);
	hosts_each(&s->d->registry->hosts, add_host, s);
	hosts_each_pool(&s->d->registry->hosts, add_place, s);
	write_fitting(s);
	if (s->e.out.len)
		conn_answer(c, 200, c->wants_openmetrics ? CONTENT_OPENMETRICS : CONTENT_METRICS,
			s->e.out.data, s->e.out.len);
	else
		conn_answer_text(c, 503, "the names of databases are too long for an answer\n");
	scrape_free(s);
}

void get_metrics(struct http_conn *c)
{
	http_ask_workers(c, WANT_POOLS | WANT_LATENCY_START | WANT_PINS | WANT_WORKER, answer_metrics);
}
