#include "http/pool_groups.h"

#include <stdlib.h>
#include <string.h>

static int by_names(const void *a, const void *b)
{
	const struct pool_group *x = a, *y = b;
	int order = strcmp(x->database, y->database);

	return order ? order : strcmp(x->user, y->user);
}

static void add(struct pool_group *to, const struct pool_group *g)
{
	to->has_past_only &= g->has_past_only;
	to->row.clients += g->row.clients;
	to->row.waiting += g->row.waiting;
	to->row.cancels += g->row.cancels;
	for (int i = 0; i < SERVER_STATES; i++)
		to->row.servers[i] += g->row.servers[i];
	to->row.oldest_wait = MAX(to->row.oldest_wait, g->row.oldest_wait);
	counters_add(&to->row.counters, &g->row.counters);
}

/* Neighbours of the same names become one. */
static void merge(struct pool_groups *g)
{
	size_t n = 0;

	if (g->n)
		qsort(g->items, g->n, sizeof(*g->items), by_names);
	for (size_t i = 0; i < g->n; i++) {
		if (n && by_names(&g->items[n - 1], &g->items[i]) == 0)
			add(&g->items[n - 1], &g->items[i]);
		else
			g->items[n++] = g->items[i];
	}
	g->n = n;
}

static struct pool_group group_of(const struct report *r, const struct pool_row *row, enum grouping grouping)
{
	return (struct pool_group){
		.database = grouping == GROUP_ALL ? GROUP_NAME_ALL : report_text(r, row->database),
		.user = grouping == GROUP_POOLS ? report_text(r, row->user) : GROUP_NAME_ALL,
		.has_past_only = row->is_past,
		.row = *row,
	};
}

struct pool_groups pool_groups_make(struct report *const *reports, int n_reports, enum grouping grouping)
{
	struct pool_groups g = { .n = 0 };
	size_t size = 1;

	for (int i = 0; i < n_reports; i++)
		size += reports[i]->n_pools;
	g.items = xcalloc(size, sizeof(*g.items));
	for (int i = 0; i < n_reports; i++) {
		const struct report *r = reports[i];

		for (size_t k = 0; k < r->n_pools; k++)
			g.items[g.n++] = group_of(r, &r->pools[k], grouping);
	}
	merge(&g);
	return g;
}

static void add_latency(struct pool_group *g, const struct pool_row *row)
{
	for (int m = 0; m < MEASURES_N; m++) {
		if (!row->latency[m])
			continue;
		if (!g->latency[m])
			g->latency[m] = xcalloc(1, sizeof(*g->latency[m]));
		histogram_merge(g->latency[m], &row->latency[m][WINDOW_START]);
	}
}

void pool_groups_add_latency(
	struct pool_groups *g, struct report *const *reports, int n_reports, enum grouping grouping)
{
	for (int i = 0; i < n_reports; i++) {
		const struct report *r = reports[i];

		for (size_t k = 0; k < r->n_pools; k++) {
			const struct pool_group key = group_of(r, &r->pools[k], grouping);
			struct pool_group *found = bsearch(&key, g->items, g->n, sizeof(key), by_names);

			ASSERT(found);
			add_latency(found, &r->pools[k]);
		}
	}
}

void pool_groups_free(struct pool_groups *g)
{
	for (size_t i = 0; i < g->n; i++)
		for (int m = 0; m < MEASURES_N; m++)
			free(g->items[i].latency[m]);
	free(g->items);
	g->items = NULL;
	g->n = 0;
}
