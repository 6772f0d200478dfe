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

struct pool_groups pool_groups_make(struct report *const *reports, int n_reports, enum grouping grouping)
{
	struct pool_groups g = { .n = 0 };
	size_t size = 1;

	for (int i = 0; i < n_reports; i++)
		size += reports[i]->n_pools;
	g.items = xcalloc(size, sizeof(*g.items));
	for (int i = 0; i < n_reports; i++) {
		const struct report *r = reports[i];

		for (size_t k = 0; k < r->n_pools; k++) {
			const struct pool_row *row = &r->pools[k];

			g.items[g.n++] = (struct pool_group){
				.database = grouping == GROUP_ALL ? GROUP_NAME_ALL : report_text(r, row->database),
				.user = grouping == GROUP_POOLS ? report_text(r, row->user) : GROUP_NAME_ALL,
				.has_past_only = row->is_past,
				.row = *row,
			};
		}
	}
	merge(&g);
	return g;
}

void pool_groups_free(struct pool_groups *g)
{
	free(g->items);
	g->items = NULL;
	g->n = 0;
}
