#include "storm/report.h"

#include <inttypes.h>
#include <string.h>

const double report_percents[REPORT_PERCENTS] = { 50, 95, 99, 99.9, 100 };
const char *const report_percent_names[REPORT_PERCENTS] = { "p50", "p95", "p99", "p99.9", "max" };
static const char *const percent_keys[REPORT_PERCENTS] = { "p50", "p95", "p99", "p999", "max" };

#define SERIES(field) offsetof(struct stats, field)

const struct series report_series[] = {
	{ "connect", "connect and log in", SERIES(connect) },
	{ "wait", "wait for BEGIN", SERIES(wait) },
	{ "transaction", "wait and transaction", SERIES(transaction) },
	{ "total", "total", SERIES(total) },
	{ "resume", "answer after thaw", SERIES(resume) },
	{ NULL, NULL, 0 },
};

const struct samples *series_of(const struct stats *s, const struct series *which)
{
	return (const struct samples *)(const void *)((const char *)s + which->offset);
}

static double in_ms(usec_t t)
{
	return (double)t / USEC_PER_MSEC;
}

static double in_seconds(usec_t t)
{
	return (double)t / USEC_PER_SEC;
}

static double throughput(const struct stats *s, usec_t elapsed)
{
	return elapsed ? (double)s->transactions / in_seconds(elapsed) : 0;
}

void report_progress(FILE *out, const struct stats *s, usec_t elapsed)
{
	fprintf(out, "%6.1f s  woke %u/%u  connected %u  served %u  failed %u", in_seconds(elapsed), s->woke,
		s->functions, s->connected, s->served, s->failed);
}

/* The table. */

static const char *const end_words[] = { "at the end", "in a transaction", "in a query", "in a message" };

void report_describe(FILE *out, const struct phase *p)
{
	static const char *const how[] = { "woke within", "woke, ever more, within",
		"woke by chance, on average within" };

	fprintf(out, "%u functions %s %g s", p->functions, how[p->arrival], in_seconds(p->window));
	if (p->start)
		fprintf(out, ", %g s after the beginning", in_seconds(p->start));
	if (p->pace > 0)
		fprintf(out, ", %u transactions each at %g a second", p->invocations, p->pace);
	else if (p->invocations > 1)
		fprintf(out, ", %u transactions each", p->invocations);
	fprintf(out, ", then %s", after_names[p->after]);
	if (p->at != AT_END)
		fprintf(out, " %s", end_words[p->at]);
	if (p->thaw)
		fprintf(out, " for %g s", in_seconds(p->thaw));
}

static void table_count(FILE *out, const char *name, uint64_t count)
{
	fprintf(out, "  %-20s %11" PRIu64 "\n", name, count);
}

static void table_count_if(FILE *out, const char *name, uint64_t count)
{
	if (count)
		table_count(out, name, count);
}

static void table_row(FILE *out, const char *name, const struct samples *s)
{
	fprintf(out, "  %-20s", name);
	for (size_t i = 0; i < REPORT_PERCENTS; i++) {
		if (s->n)
			fprintf(out, " %11.1f", in_ms(samples_percentile(s, report_percents[i])));
		else
			fprintf(out, " %11s", "-");
	}
	fputc('\n', out);
}

static void table_times(FILE *out, const struct stats *s)
{
	fprintf(out, "\n  %-20s", "ms");
	for (size_t i = 0; i < REPORT_PERCENTS; i++)
		fprintf(out, " %11s", report_percent_names[i]);
	fputc('\n', out);
	for (const struct series *one = report_series; one->key; one++)
		if (series_of(s, one)->n || strcmp(one->key, "total") == 0)
			table_row(out, one->title, series_of(s, one));
}

static void table_errors(FILE *out, struct stats *s)
{
	stats_sort_errors(s);
	if (s->n_errors)
		fprintf(out, "\n  %-20s %11s\n", "errors", "count");
	for (size_t i = 0; i < s->n_errors; i++)
		fprintf(out, "  %-20s %11" PRIu64 "  %s\n", s->errors[i].key, s->errors[i].count,
			s->errors[i].message);
}

static void table_counts(FILE *out, const struct stats *s, usec_t elapsed)
{
	table_count(out, "functions", s->functions);
	table_count(out, "served", s->served);
	table_count(out, "failed", s->failed);
	table_count_if(out, "lost while idle", s->lost);
	table_count_if(out, "frozen", s->frozen);
	table_count_if(out, "thawed", s->thawed);
	table_count_if(out, "vanished", s->vanished);
	table_count(out, "retries", s->retries);
	table_count(out, "transactions", s->transactions);
	if (s->due)
		fprintf(out, "  %-20s %11.1f %% of %" PRIu64 " due, %" PRIu64 " missed\n", "on time",
			100 * (double)s->on_time / (double)s->due, s->due, s->missed);
	fprintf(out, "  %-20s %11.2f s\n", "wall time", in_seconds(elapsed));
	fprintf(out, "  %-20s %11.0f transactions/s\n", "throughput", throughput(s, elapsed));
	if (s->served_at.n)
		fprintf(out, "  %-20s %11.1f ms first, %.1f half of them, %.1f last\n", "served after",
			in_ms(samples_percentile(&s->served_at, 0)), in_ms(samples_percentile(&s->served_at, 50)),
			in_ms(samples_percentile(&s->served_at, 100)));
}

static void table_connections(FILE *out, const struct report *r)
{
	if (r->is_watched)
		fprintf(out, "  %-20s %11d at most, %d before (max_connections %d)\n", "server connections",
			r->connections_max, r->connections_before, r->connections_limit);
}

void report_table(FILE *out, const struct report *r)
{
	for (size_t i = 0; i < r->n_phases; i++) {
		const struct report_phase *p = &r->phases[i];

		if (r->n_phases > 1)
			fprintf(out, "%s%s: ", i ? "\n" : "", p->phase->name);
		fprintf(out, "%s: ", p->target);
		report_describe(out, p->phase);
		fputs("\n\n", out);
		table_counts(out, p->stats, p->elapsed);
		if (r->n_phases == 1)
			table_connections(out, r);
		table_times(out, p->stats);
		table_errors(out, p->stats);
	}
	if (r->n_phases == 1)
		return;
	fprintf(out, "\nall together\n\n");
	table_counts(out, r->total, r->elapsed);
	table_connections(out, r);
}

/* JSON. */

static void json_string(FILE *out, const char *s)
{
	char clean[1024];

	copy_printable(clean, sizeof(clean), s);
	fputc('"', out);
	for (const char *p = clean; *p; p++) {
		if (*p == '"' || *p == '\\')
			fputc('\\', out);
		fputc(*p, out);
	}
	fputc('"', out);
}

static void json_ms(FILE *out, const struct samples *s, double percent)
{
	if (s->n)
		fprintf(out, "%.3f", in_ms(samples_percentile(s, percent)));
	else
		fputs("null", out);
}

static void json_samples(FILE *out, const char *name, const struct samples *s)
{
	fprintf(out, "\"%s\":{\"count\":%" PRIu64, name, s->n);
	for (size_t i = 0; i < REPORT_PERCENTS; i++) {
		fprintf(out, ",\"%s\":", percent_keys[i]);
		json_ms(out, s, report_percents[i]);
	}
	fputc('}', out);
}

static void json_times(FILE *out, const struct stats *s)
{
	fputs(",\"ms\":{", out);
	for (const struct series *one = report_series; one->key; one++) {
		if (one != report_series)
			fputc(',', out);
		json_samples(out, one->key, series_of(s, one));
	}
	fputs("},\"served_at_ms\":{\"first\":", out);
	json_ms(out, &s->served_at, 0);
	fputs(",\"p50\":", out);
	json_ms(out, &s->served_at, 50);
	fputs(",\"last\":", out);
	json_ms(out, &s->served_at, 100);
	fputc('}', out);
}

static void json_errors(FILE *out, struct stats *s)
{
	stats_sort_errors(s);
	fputs(",\"errors\":[", out);
	for (size_t i = 0; i < s->n_errors; i++) {
		fputs(i ? ",{\"key\":" : "{\"key\":", out);
		json_string(out, s->errors[i].key);
		fprintf(out, ",\"count\":%" PRIu64 ",\"message\":", s->errors[i].count);
		json_string(out, s->errors[i].message);
		fputc('}', out);
	}
	fputc(']', out);
}

static void json_counts_of_spans(FILE *out, const char *name, const struct timeline *t, size_t offset)
{
	fprintf(out, ",\"%s\":[", name);
	for (size_t i = 0; i < t->n; i++)
		fprintf(out, "%s%" PRIu32, i ? "," : "",
			*(const uint32_t *)(const void *)((const char *)&t->spans[i] + offset));
	fputc(']', out);
}

static void json_times_of_spans(FILE *out, const char *name, const struct timeline *t, size_t offset, double percent)
{
	fprintf(out, ",\"%s\":[", name);
	for (size_t i = 0; i < t->n; i++) {
		if (i)
			fputc(',', out);
		json_ms(out, (const struct samples *)(const void *)((const char *)&t->spans[i] + offset), percent);
	}
	fputc(']', out);
}

static void json_histogram(FILE *out, const struct timeline *t)
{
	fprintf(out, ",\"histogram\":{\"bucket_ms\":%g", in_ms(t->width));
	json_counts_of_spans(out, "arrived", t, offsetof(struct timeline_span, arrived));
	json_counts_of_spans(out, "served", t, offsetof(struct timeline_span, served));
	json_counts_of_spans(out, "failed", t, offsetof(struct timeline_span, failed));
	json_times_of_spans(out, "total_p50_ms", t, offsetof(struct timeline_span, total), 50);
	json_times_of_spans(out, "total_p99_ms", t, offsetof(struct timeline_span, total), 99);
	json_times_of_spans(out, "wait_p50_ms", t, offsetof(struct timeline_span, wait), 50);
	json_times_of_spans(out, "wait_p99_ms", t, offsetof(struct timeline_span, wait), 99);
	fputc('}', out);
}

static void json_stats(FILE *out, struct stats *s, usec_t elapsed)
{
	fprintf(out, ",\"functions\":%u,\"woke\":%u,\"connected\":%u", s->functions, s->woke, s->connected);
	fprintf(out, ",\"served\":%u,\"failed\":%u,\"frozen\":%u,\"thawed\":%u,\"vanished\":%u,\"lost\":%u",
		s->served, s->failed, s->frozen, s->thawed, s->vanished, s->lost);
	fprintf(out, ",\"attempts\":%" PRIu64 ",\"retries\":%" PRIu64 ",\"transactions\":%" PRIu64,
		s->attempts, s->retries, s->transactions);
	fprintf(out, ",\"due\":%" PRIu64 ",\"on_time\":%" PRIu64 ",\"missed\":%" PRIu64, s->due, s->on_time,
		s->missed);
	fprintf(out, ",\"wall_s\":%.6f,\"transactions_per_s\":%.3f", in_seconds(elapsed), throughput(s, elapsed));
	json_times(out, s);
	json_errors(out, s);
	json_histogram(out, &s->timeline);
}

static void json_server_connections(FILE *out, const struct report *r)
{
	if (!r->is_watched) {
		fputs(",\"server_connections\":null", out);
		return;
	}
	fprintf(out, ",\"server_connections\":{\"before\":%d,\"max\":%d,\"limit\":%d", r->connections_before,
		r->connections_max, r->connections_limit);
	if (r->course) {
		fprintf(out, ",\"bucket_ms\":%g,\"seen\":[", in_ms(r->course->width));
		for (size_t i = 0; i < r->course->n; i++)
			if (r->course->max[i] < 0)
				fputs(i ? ",null" : "null", out);
			else
				fprintf(out, "%s%d", i ? "," : "", r->course->max[i]);
		fputc(']', out);
	}
	fputc('}', out);
}

static void json_phase(FILE *out, const struct report_phase *p)
{
	fputs("{\"name\":", out);
	json_string(out, p->phase->name);
	fputs(",\"target\":", out);
	json_string(out, p->target);
	fprintf(out, ",\"after\":\"%s\",\"start_s\":%g,\"window_s\":%g,\"pace\":%g", after_names[p->phase->after],
		in_seconds(p->phase->start), in_seconds(p->phase->window), p->phase->pace);
	json_stats(out, p->stats, p->elapsed);
	fputc('}', out);
}

void report_json(FILE *out, const struct report *r)
{
	const struct report_phase *first = &r->phases[0];

	fputs("{\"target\":", out);
	json_string(out, first->target);
	fprintf(out, ",\"after\":\"%s\",\"window_s\":%g,\"seed\":%u", after_names[first->phase->after],
		in_seconds(first->phase->window), r->seed);
	json_stats(out, r->total, r->elapsed);
	json_server_connections(out, r);
	fputs(",\"phases\":[", out);
	for (size_t i = 0; i < r->n_phases; i++) {
		if (i)
			fputc(',', out);
		json_phase(out, &r->phases[i]);
	}
	fputs("]}\n", out);
}
