#include "admin/show_private.h"

#include <stdio.h>
#include <stdlib.h>

#define TOTAL_COLUMN(field, total, avg, plain) NUMERIC(total),
#define AVERAGE_COLUMN(field, total, avg, plain) NUMERIC(avg),
#define PLAIN_COLUMN(field, total, avg, plain) NUMERIC(plain),
static const struct column stats_columns[] = { TEXT("database"),
	COUNTER_TABLE(TOTAL_COLUMN) COUNTER_TABLE(AVERAGE_COLUMN) };
static const struct column totals_columns[] = { TEXT("database"), COUNTER_TABLE(PLAIN_COLUMN) };
static const struct column averages_columns[] = {
	TEXT("database"),
	NUMERIC("server_assignment_count"),
	NUMERIC("xact_count"),
	NUMERIC("query_count"),
	NUMERIC("bytes_received"),
	NUMERIC("bytes_sent"),
	NUMERIC("xact_time"),
	NUMERIC("query_time"),
	NUMERIC("wait_time"),
	/* PgBouncer says avg_ in these three only */
	NUMERIC("avg_client_parse_count"),
	NUMERIC("avg_server_parse_count"),
	NUMERIC("avg_bind_count"),
};

static void counters_row(struct rows *r, const struct counters *c)
{
#define COUNTER_VALUE(field, total, avg, plain) rows_number(r, c->field);
	COUNTER_TABLE(COUNTER_VALUE)
#undef COUNTER_VALUE
}

enum { SHOW_TOTALS = 1, SHOW_AVERAGES = 2 };

static void fill_databases_stats(const struct show *s, unsigned what)
{
	static const struct counters none;
	struct stats now = stats_sum(s->reports, s->n_reports, &s->console->counters);

	for (size_t i = 0; i < now.n; i++) {
		const struct database_stats *d = &now.items[i], *period = stats_find(&s->console->stats, d->name);

		rows_begin(s->rows);
		rows_text(s->rows, d->name);
		if (what & SHOW_TOTALS)
			counters_row(s->rows, &d->total);
		if (what & SHOW_AVERAGES)
			counters_row(s->rows, period ? &period->average : &none);
		rows_end(s->rows);
	}
	stats_free(&now);
}

static void fill_stats(const struct show *s)
{
	fill_databases_stats(s, SHOW_TOTALS | SHOW_AVERAGES);
}

static void fill_stats_totals(const struct show *s)
{
	fill_databases_stats(s, SHOW_TOTALS);
}

static void fill_stats_averages(const struct show *s)
{
	fill_databases_stats(s, SHOW_AVERAGES);
}

static const struct column all_columns[] = { TEXT("name"), NUMERIC("value") };

static void named_counters(struct rows *r, const char *prefix, const struct counters *c)
{
	static const char *const names[] = { "server_assignment_count", "xact_count", "query_count",
		"client_bytes", "server_bytes", "xact_time", "query_time", "wait_time",
		"ps_client_parse_count", "ps_server_parse_count", "ps_bind_count" };
	size_t i = 0;
	char name[64];

	_Static_assert(N_ELEMENTS(names) == COUNTERS_N, "a name for each counter");
#define NAMED_COUNTER(field, total, avg, plain)                                                              \
	snprintf(name, sizeof(name), "%s%s", prefix, names[i++]);                                            \
	rows_begin(r), rows_text(r, name), rows_number(r, c->field), rows_end(r);
	COUNTER_TABLE(NAMED_COUNTER)
#undef NAMED_COUNTER
}

static void fill_totals(const struct show *s)
{
	struct stats now = stats_sum(s->reports, s->n_reports, &s->console->counters);
	struct counters total = stats_all(&now);

	named_counters(s->rows, "total_", &total);
	named_counters(s->rows, "avg_", &s->console->stats.average);
	stats_free(&now);
}
const struct view view_stats = { "STATS", COLUMNS(stats_columns), WANT_POOLS, fill_stats };
const struct view view_stats_totals = { "STATS_TOTALS", COLUMNS(totals_columns), WANT_POOLS, fill_stats_totals };
const struct view view_stats_averages = { "STATS_AVERAGES", COLUMNS(averages_columns), WANT_POOLS,
	fill_stats_averages };
const struct view view_totals = { "TOTALS", COLUMNS(all_columns), WANT_POOLS, fill_totals };
