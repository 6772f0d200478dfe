#include "admin/show_private.h"

#include <stdlib.h>

static const struct column latency_columns[] = { TEXT("database"), TEXT("user"), TEXT("measure"),
	TEXT("window"), INT8("count"), INT8("avg_us"), INT8("p50_us"), INT8("p90_us"), INT8("p99_us"),
	INT8("p999_us"), INT8("max_us") };
static const double quantiles[] = { 0.5, 0.9, 0.99, 0.999 };

/* Of nothing there is no quantile: NULL, since 0 would look like a good one. */
static void histogram_values(struct rows *r, const struct histogram *h)
{
	if (!h || !h->count) {
		rows_number(r, 0);
		for (size_t i = 0; i < N_ELEMENTS(quantiles) + 2; i++)
			rows_text(r, NULL);
		return;
	}
	rows_number(r, h->count);
	rows_number(r, h->sum / h->count);
	for (size_t i = 0; i < N_ELEMENTS(quantiles); i++)
		rows_number(r, histogram_quantile(h, quantiles[i]));
	rows_number(r, h->max);
}

static void latency_rows(const struct show *s, const struct pool_sum *p, enum measure m)
{
	for (int w = 0; w < WINDOWS_N; w++) {
		rows_begin(s->rows);
		rows_text(s->rows, p->database);
		rows_text(s->rows, p->user);
		rows_text(s->rows, measure_name(m));
		rows_text(s->rows, window_name((enum window)w));
		histogram_values(s->rows, p->row.latency[m] ? &p->row.latency[m][w] : NULL);
		rows_end(s->rows);
	}
}

static void fill_latency(const struct show *s)
{
	size_t n;
	struct pool_sum *sums = sum_pools(s, &n);

	for (size_t i = 0; i < n; i++) {
		for (int m = 0; m < MEASURES_N; m++)
			latency_rows(s, &sums[i], (enum measure)m);
	}
	free(sums);
}

const struct view view_latency = { "LATENCY", COLUMNS(latency_columns), WANT_POOLS | WANT_LATENCY, fill_latency };
