#include "admin/stats.h"

#include "admin/console_private.h"
#include "admin/show.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct database_stats *)a)->name, ((const struct database_stats *)b)->name);
}

const struct database_stats *stats_find(const struct stats *s, const char *name)
{
	struct database_stats key = { .name = (char *)(uintptr_t)name };

	return s->n ? bsearch(&key, s->items, s->n, sizeof(key), by_name) : NULL;
}

void stats_free(struct stats *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->items[i].name);
	free(s->items);
	s->items = NULL;
	s->n = 0;
}

/* Neighbours of the same name become one. */
static void merge(struct stats *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		if (n && strcmp(s->items[n - 1].name, s->items[i].name) == 0) {
			counters_add(&s->items[n - 1].total, &s->items[i].total);
			free(s->items[i].name);
		} else {
			s->items[n++] = s->items[i];
		}
	}
	s->n = n;
}

struct stats stats_sum(struct report *const *reports, int n, const struct counters *console)
{
	struct stats s = { .n = 0 };
	size_t size = 1;

	for (int i = 0; i < n; i++)
		size += reports[i]->n_pools;
	s.items = xcalloc(size, sizeof(*s.items));
	s.items[s.n++] = (struct database_stats){ .name = xstrdup(CONSOLE_DATABASE), .total = *console };
	for (int i = 0; i < n; i++) {
		const struct report *r = reports[i];

		for (size_t k = 0; k < r->n_pools; k++)
			s.items[s.n++] =
				(struct database_stats){ .name = xstrdup(report_text(r, r->pools[k].database)),
					.total = r->pools[k].counters };
	}
	qsort(s.items, s.n, sizeof(*s.items), by_name);
	merge(&s);
	return s;
}

/* A counter never goes back; if one did all the same, nothing happened. */
static uint64_t since(uint64_t now, uint64_t before)
{
	return now > before ? now - before : 0;
}

static uint64_t per_second(uint64_t n, usec_t elapsed)
{
	return (uint64_t)((double)n * (double)USEC_PER_SEC / (double)elapsed);
}

struct counters counters_average(const struct counters *now, const struct counters *before, usec_t elapsed)
{
	struct counters a, d;

	if (!elapsed)
		return (struct counters){ 0 };
#define DIFFERENCE(field, total, avg, plain)                                                                 \
	d.field = since(now->field, before->field), a.field = per_second(d.field, elapsed);
	COUNTER_TABLE(DIFFERENCE)
#undef DIFFERENCE
	a.xact_time = d.xacts ? d.xact_time / d.xacts : 0;
	a.query_time = d.queries ? d.query_time / d.queries : 0;
	return a;
}

struct counters stats_all(const struct stats *s)
{
	struct counters all = { 0 };

	for (size_t i = 0; i < s->n; i++)
		counters_add(&all, &s->items[i].total);
	return all;
}

void stats_turn(struct stats *s, struct stats *now, usec_t at)
{
	static const struct counters none;
	usec_t elapsed = s->period_from && at > s->period_from ? at - s->period_from : 0;
	struct counters before = stats_all(s), after = stats_all(now);

	s->average = counters_average(&after, &before, elapsed);
	for (size_t i = 0; i < now->n; i++) {
		const struct database_stats *had = stats_find(s, now->items[i].name);

		now->items[i].average = counters_average(&now->items[i].total, had ? &had->total : &none, elapsed);
	}
	stats_free(s);
	s->items = now->items;
	s->n = now->n;
	s->period_from = at;
	now->items = NULL;
	now->n = 0;
}

/* ---- the end of a period ---- */

static void log_stats(const struct counters *a)
{
	log_info(NULL,
		"stats: %" PRIu64 " xacts/s, %" PRIu64 " queries/s, %" PRIu64 " client parses/s, %" PRIu64
		" server parses/s, %" PRIu64 " binds/s, in %" PRIu64 " B/s, out %" PRIu64
		" B/s, xact %" PRIu64 " us, query %" PRIu64 " us, wait %" PRIu64 " us",
		a->xacts, a->queries, a->client_parses, a->server_parses, a->binds, a->received, a->sent,
		a->xact_time, a->query_time, a->wait_time);
}

static bool turn_step(struct job *j)
{
	struct console *c = j->console;
	struct stats now = stats_sum(j->reports, j->n_reports, &c->counters);
	bool is_first = !c->stats.period_from;

	stats_turn(&c->stats, &now, clock_now());
	c->stats.is_asking = false;
	if (!is_first && console_config(c)->log_stats)
		log_stats(&c->stats.average);
	return true;
}

void stats_tick(struct console *c, usec_t now)
{
	usec_t period = console_config(c)->stats_period;

	if (c->stats.is_asking || (c->stats.period_from && (!period || now < c->stats.period_from + period)))
		return;
	c->stats.is_asking = true;
	job_start(c, NULL, &(struct question){ .wants = WANT_POOLS }, turn_step);
}
