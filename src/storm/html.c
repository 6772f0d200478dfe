#include "storm/html.h"

#include "storm/chart.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define POINTS 64 /* of a line: a percentile of few samples is noise */

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
	"<title>pgweir-storm</title>\n<style>\n"
	":root{color-scheme:light dark;--paper:#fff;--ink:#1d2530;--soft:#5a6675;--rule:#d9dfe6;--l0:#0b62c4;--l1:#c2410c;--l2:#6b21a8}\n"
	"@media(prefers-color-scheme:dark){:root{--paper:#12171e;--ink:#e6ebf1;--soft:#a3afbd;--rule:#33404e;--l0:#6cb2ff;--l1:#ff9b63;"
	"--l2:#d0a2ff}}\n"
	"body{margin:0 auto;max-width:70rem;padding:1rem;font:1rem/1.5 system-ui,sans-serif;background:var(--paper);color:var(--ink)}\n"
	"h1{font-size:1.5rem;line-height:1.2}h2{font-size:1.2rem;margin:2rem 0 .5rem;border-top:1px solid var(--rule);padding-top:1rem}\n"
	"p{margin:.4rem 0}.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\n"
	"th,td{padding:.2rem .8rem .2rem 0;text-align:right;white-space:nowrap}th:first-child{text-align:left;font-weight:normal}\n"
	"thead th{color:var(--soft);font-weight:normal}td.text{text-align:left;white-space:normal}\n"
	"tbody tr{border-top:1px solid var(--rule)}summary{color:var(--soft);cursor:pointer}\n"
	".charts{display:grid;gap:1.5rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,26rem),1fr))}\n"
	"figure{margin:0;min-width:0}figcaption{font-weight:600}svg{width:100%;height:auto}.legend svg{width:24px;height:8px}td svg{width:100px}\n"
	"svg text{font-size:12px;fill:var(--soft)}.grid{stroke:var(--rule)}.legend span{margin-right:1rem}\n"
	".l0,.l1,.l2{fill:none;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}.l0{stroke:var(--l0)}\n"
	".l1{stroke:var(--l1);stroke-dasharray:6 4}.l2{stroke:var(--l2);stroke-dasharray:1 4}.bar{fill:var(--l1)}\n"
	"h3{font-size:1rem;margin:1rem 0 0}.wide{margin-bottom:1rem}.bad{color:var(--l1);font-weight:600}\n"
	"</style></head><body><main>\n";

struct page {
	FILE *out;
	const struct report *r;
	unsigned charts;
};

static double in_ms(usec_t t)
{
	return (double)t / USEC_PER_MSEC;
}

static double in_seconds(usec_t t)
{
	return (double)t / USEC_PER_SEC;
}

/* Charts. */

static void draw(struct page *p, const struct chart *c)
{
	chart_write(p->out, c, ++p->charts);
}

/* How many had come, and how many were done: the distance between the lines is who is waiting. */
static void chart_arrivals(struct page *p, const struct timeline *t)
{
	double arrived[TIMELINE_SPANS], served[TIMELINE_SPANS], failed[TIMELINE_SPANS];
	double sums[3] = { 0 };

	for (size_t i = 0; i < t->n; i++) {
		arrived[i] = sums[0] += t->spans[i].arrived;
		served[i] = sums[1] += t->spans[i].served;
		failed[i] = sums[2] += t->spans[i].failed;
	}
	draw(p,
		&(struct chart){ .title = "Arrived and served",
			.unit = "invocations",
			.step = in_seconds(t->width),
			.n = t->n,
			.lines = { { "arrived", arrived }, { "served", served },
				{ sums[2] > 0 ? "failed" : NULL, failed } } });
}

static const struct samples *samples_in(const struct timeline_span *s, size_t offset)
{
	return (const struct samples *)(const void *)((const char *)s + offset);
}

static double ms_or_nothing(const struct samples *s, double percent)
{
	return s->n ? in_ms(samples_percentile(s, percent)) : NAN;
}

static void chart_times(struct page *p, const struct timeline *t, const char *title, size_t offset)
{
	double p50[TIMELINE_SPANS], p99[TIMELINE_SPANS];
	bool is_any = false;

	for (size_t i = 0; i < t->n; i++) {
		const struct samples *s = samples_in(&t->spans[i], offset);

		p50[i] = ms_or_nothing(s, 50);
		p99[i] = ms_or_nothing(s, 99);
		is_any = is_any || s->n;
	}
	if (is_any)
		draw(p,
			&(struct chart){ .title = title,
				.unit = "ms",
				.step = in_seconds(t->width),
				.n = t->n,
				.lines = { { "p50", p50 }, { "p99", p99 } } });
}

static void chart_connections(struct page *p)
{
	const struct course *course = p->r->course;
	double seen[COURSE_SPANS];

	for (size_t i = 0; i < course->n; i++)
		seen[i] = course->max[i] < 0 ? NAN : course->max[i];
	draw(p,
		&(struct chart){ .title = "Server connections that PostgreSQL saw",
			.unit = "connections",
			.step = in_seconds(course->width),
			.n = course->n,
			.lines = { { "connections", seen } } });
}

/* Tables. */

static void count_row(FILE *out, const char *name, uint64_t count, bool is_bad)
{
	fprintf(out, "<tr><th scope=\"row\">%s</th><td%s>%" PRIu64 "</td></tr>\n", name,
		is_bad && count ? " class=\"bad\"" : "", count);
}

static void count_row_if(FILE *out, const char *name, uint64_t count)
{
	if (count)
		count_row(out, name, count, false);
}

static void table_counts(FILE *out, const struct stats *s, usec_t elapsed)
{
	fputs("<div class=\"wide\" tabindex=\"0\"><table><tbody>\n", out);
	count_row(out, "functions", s->functions, false);
	count_row(out, "served", s->served, false);
	count_row(out, "failed", s->failed, true);
	count_row_if(out, "lost while idle", s->lost);
	count_row_if(out, "frozen", s->frozen);
	count_row_if(out, "thawed", s->thawed);
	count_row_if(out, "vanished", s->vanished);
	count_row(out, "retries", s->retries, false);
	count_row(out, "transactions", s->transactions, false);
	if (s->due)
		fprintf(out, "<tr><th scope=\"row\">on time, %% of %" PRIu64 " due</th><td>%.1f</td></tr>\n",
			s->due, 100 * (double)s->on_time / (double)s->due);
	fprintf(out, "<tr><th scope=\"row\">wall time, s</th><td>%.2f</td></tr>\n", in_seconds(elapsed));
	for (int percent = 0; s->served_at.n && percent <= 100; percent += 50)
		fprintf(out, "<tr><th scope=\"row\">%s served after, ms</th><td>%.1f</td></tr>\n",
			percent == 0		? "first"
				: percent == 50 ? "half of them"
						: "last",
			in_ms(samples_percentile(&s->served_at, percent)));
	fputs("</tbody></table></div>\n", out);
}

static void table_times(FILE *out, const struct stats *s)
{
	fputs("<div class=\"wide\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">ms</th>", out);
	for (size_t i = 0; i < REPORT_PERCENTS; i++)
		fprintf(out, "<th scope=\"col\">%s</th>", report_percent_names[i]);
	fputs("</tr></thead><tbody>\n", out);
	for (const struct series *one = report_series; one->key; one++) {
		const struct samples *values = series_of(s, one);

		if (!values->n)
			continue;
		fprintf(out, "<tr><th scope=\"row\">%s</th>", one->title);
		for (size_t i = 0; i < REPORT_PERCENTS; i++)
			fprintf(out, "<td>%.1f</td>", in_ms(samples_percentile(values, report_percents[i])));
		fputs("</tr>\n", out);
	}
	fputs("</tbody></table></div>\n", out);
}

static void table_errors(FILE *out, struct stats *s)
{
	stats_sort_errors(s);
	if (s->n_errors == 0)
		return;
	fputs("<h3>Errors by SQLSTATE</h3>\n<div class=\"wide\" tabindex=\"0\"><table><thead><tr><th scope=\"col\">code</th><th scope=\"col\">count</th>"
	      "<th scope=\"col\"></th><th scope=\"col\">the first one's message</th></tr></thead><tbody>\n",
		out);
	for (size_t i = 0; i < s->n_errors; i++) { /* the most frequent is the first */
		const struct error_count *e = &s->errors[i];

		fputs("<tr><th scope=\"row\">", out);
		html_text(out, e->key);
		fprintf(out,
			"</th><td>%" PRIu64
			"</td><td><svg viewBox=\"0 0 100 10\" width=\"100\" height=\"10\" aria-hidden=\"true\">"
			"<rect class=\"bar\" width=\"%.1f\" height=\"10\"/></svg></td><td class=\"text\">",
			e->count, MAX(100 * (double)e->count / (double)s->errors[0].count, 0.5));
		html_text(out, e->message);
		fputs("</td></tr>\n", out);
	}
	fputs("</tbody></table></div>\n", out);
}

/* The page. */

static void write_phase(struct page *p, const struct report_phase *phase)
{
	struct stats *s = phase->stats;
	struct timeline t = { 0 };

	timeline_merge(&t, &s->timeline);
	timeline_coarsen(&t, POINTS);
	fputs("<section><h2>", p->out);
	html_text(p->out, phase->phase->name);
	fputs("</h2>\n<p>", p->out);
	html_text(p->out, phase->target);
	fputs(": ", p->out);
	report_describe(p->out, phase->phase);
	fputs(".</p>\n", p->out);
	table_counts(p->out, s, phase->elapsed);
	table_times(p->out, s);
	table_errors(p->out, s);
	fputs("<div class=\"charts\">\n", p->out);
	if (t.n)
		chart_arrivals(p, &t);
	chart_times(p, &t, "From the intended start until served", offsetof(struct timeline_span, total));
	chart_times(p, &t, "Wait for the answer to BEGIN", offsetof(struct timeline_span, wait));
	fputs("</div></section>\n", p->out);
	timeline_free(&t);
}

static void write_summary(struct page *p)
{
	const struct report *r = p->r;
	const struct stats *s = r->total;

	fprintf(p->out, "<h1>%u of %u functions were served</h1>\n<p>In %.2f s, with %" PRIu64 " attempts",
		s->served, s->functions, in_seconds(r->elapsed), s->attempts);
	if (r->is_watched)
		fprintf(p->out, "; PostgreSQL saw at most %d server connections (%d before, max_connections %d)",
			r->connections_max, r->connections_before, r->connections_limit);
	fprintf(p->out, ". Chance began with %u.</p>\n", r->seed);
}

void report_html(FILE *out, const struct report *r)
{
	struct page p = { .out = out, .r = r };

	fputs(head, out);
	write_summary(&p);
	if (r->is_watched && r->course && r->course->n) {
		fputs("<div class=\"charts\">\n", out);
		chart_connections(&p);
		fputs("</div>\n", out);
	}
	for (size_t i = 0; i < r->n_phases; i++)
		write_phase(&p, &r->phases[i]);
	fputs("</main></body></html>\n", out);
}
