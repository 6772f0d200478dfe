#include "storm/report.h"

#include <inttypes.h>

static const double percents[] = { 50, 95, 99, 100 };
static const char *const percent_names[] = { "p50", "p95", "p99", "max" };

static double in_ms(usec_t t)
{
	return (double)t / USEC_PER_MSEC;
}

static double in_seconds(usec_t t)
{
	return (double)t / USEC_PER_SEC;
}

static double throughput(const struct report *r)
{
	return r->elapsed ? (double)r->stats->transactions / in_seconds(r->elapsed) : 0;
}

void report_progress(FILE *out, const struct stats *s, usec_t elapsed)
{
	fprintf(out, "%6.1f s  woke %u/%u  connected %u  served %u  failed %u", in_seconds(elapsed), s->woke,
		s->functions, s->connected, s->served, s->failed);
}

static void table_row(FILE *out, const char *name, struct samples *s)
{
	fprintf(out, "  %-20s", name);
	for (size_t i = 0; i < N_ELEMENTS(percents); i++) {
		if (s->n)
			fprintf(out, " %11.1f", in_ms(samples_percentile(s, percents[i])));
		else
			fprintf(out, " %11s", "-");
	}
	fputc('\n', out);
}

static void table_errors(FILE *out, struct stats *s)
{
	for (size_t i = 0; i < s->n_errors; i++)
		fprintf(out, "  %-20s %11" PRIu64 "  %s\n", s->errors[i].key, s->errors[i].count,
			s->errors[i].message);
}

void report_table(FILE *out, struct report *r)
{
	struct stats *s = r->stats;

	stats_sort_errors(s);
	fprintf(out, "%s: %u functions woke within %g s, then %s\n\n", r->target, s->woke,
		in_seconds(r->window), r->after);
	fprintf(out, "  %-20s %11u\n  %-20s %11u\n", "functions", s->functions, "served", s->served);
	fprintf(out, "  %-20s %11u\n", "failed", s->failed);
	if (s->lost)
		fprintf(out, "  %-20s %11u\n", "lost while idle", s->lost);
	fprintf(out, "  %-20s %11" PRIu64 "\n", "retries", s->retries);
	fprintf(out, "  %-20s %11" PRIu64 "\n", "transactions", s->transactions);
	fprintf(out, "  %-20s %11.2f s\n", "wall time", in_seconds(r->elapsed));
	fprintf(out, "  %-20s %11.0f transactions/s\n", "throughput", throughput(r));
	if (r->is_watched)
		fprintf(out, "  %-20s %11d at most, %d before (max_connections %d)\n", "server connections",
			r->connections_max, r->connections_before, r->connections_limit);
	fprintf(out, "\n  %-20s", "ms");
	for (size_t i = 0; i < N_ELEMENTS(percents); i++)
		fprintf(out, " %11s", percent_names[i]);
	fputc('\n', out);
	table_row(out, "connect and log in", &s->connect);
	table_row(out, "wait and transaction", &s->transaction);
	table_row(out, "total", &s->total);
	if (s->n_errors)
		fprintf(out, "\n  %-20s %11s\n", "errors", "count");
	table_errors(out, s);
}

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

static void json_samples(FILE *out, const char *name, struct samples *s)
{
	fprintf(out, "\"%s\":{\"count\":%zu", name, s->n);
	for (size_t i = 0; i < N_ELEMENTS(percents); i++) {
		fprintf(out, ",\"%s\":", percent_names[i]);
		if (s->n)
			fprintf(out, "%.3f", in_ms(samples_percentile(s, percents[i])));
		else
			fputs("null", out);
	}
	fputc('}', out);
}

static void json_errors(FILE *out, const struct stats *s)
{
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

static void json_buckets(FILE *out, const char *name, const uint32_t *counts, size_t n)
{
	fprintf(out, ",\"%s\":[", name);
	for (size_t i = 0; i < n; i++)
		fprintf(out, "%s%" PRIu32, i ? "," : "", counts[i]);
	fputc(']', out);
}

static void json_histogram(FILE *out, const struct stats *s)
{
	struct histogram h;

	histogram_build(&h, s);
	fprintf(out, ",\"histogram\":{\"bucket_ms\":%g", in_ms(h.width));
	json_buckets(out, "served", h.served, h.n);
	json_buckets(out, "failed", h.failed, h.n);
	fputc('}', out);
}

static void json_server_connections(FILE *out, const struct report *r)
{
	if (r->is_watched)
		fprintf(out, ",\"server_connections\":{\"before\":%d,\"max\":%d,\"limit\":%d}",
			r->connections_before, r->connections_max, r->connections_limit);
	else
		fputs(",\"server_connections\":null", out);
}

void report_json(FILE *out, struct report *r)
{
	struct stats *s = r->stats;

	stats_sort_errors(s);
	fputs("{\"target\":", out);
	json_string(out, r->target);
	fprintf(out, ",\"after\":\"%s\",\"window_s\":%g", r->after, in_seconds(r->window));
	fprintf(out, ",\"functions\":%u,\"woke\":%u,\"connected\":%u", s->functions, s->woke, s->connected);
	fprintf(out, ",\"served\":%u,\"failed\":%u,\"frozen\":%u,\"lost\":%u", s->served, s->failed,
		s->frozen, s->lost);
	fprintf(out, ",\"attempts\":%" PRIu64 ",\"retries\":%" PRIu64 ",\"transactions\":%" PRIu64,
		s->attempts, s->retries, s->transactions);
	fprintf(out, ",\"wall_s\":%.6f,\"transactions_per_s\":%.3f", in_seconds(r->elapsed), throughput(r));
	json_server_connections(out, r);
	fputs(",\"ms\":{", out);
	json_samples(out, "connect", &s->connect);
	fputc(',', out);
	json_samples(out, "transaction", &s->transaction);
	fputc(',', out);
	json_samples(out, "total", &s->total);
	fputc('}', out);
	json_errors(out, s);
	json_histogram(out, s);
	fputs("}\n", out);
}
