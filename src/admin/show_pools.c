#include "admin/show_private.h"

#include <stdlib.h>
#include <string.h>

static const struct column pools_columns[] = {
	TEXT("database"),
	TEXT("user"),
	INT4("cl_active"),
	INT4("cl_waiting"),
	INT4("cl_active_cancel_req"),
	INT4("cl_waiting_cancel_req"),
	INT4("sv_active"),
	INT4("sv_active_cancel"),
	INT4("sv_being_canceled"),
	INT4("sv_idle"),
	INT4("sv_used"),
	INT4("sv_tested"),
	INT4("sv_login"),
	INT4("maxwait"),
	INT4("maxwait_us"),
	TEXT("pool_mode"),
	TEXT("load_balance_hosts"),
};

static int by_pool(const void *a, const void *b)
{
	const struct pool_sum *x = a, *y = b;
	int order = strcmp(x->database, y->database);

	return order ? order : strcmp(x->user, y->user);
}

static void add_latency(struct pool_row *to, const struct pool_row *r)
{
	for (int m = 0; m < MEASURES_N; m++) {
		if (!to->latency[m])
			to->latency[m] = r->latency[m];
		else if (r->latency[m])
			for (int w = 0; w < WINDOWS_N; w++)
				histogram_merge(&to->latency[m][w], &r->latency[m][w]);
	}
}

static void add_pool_row(struct pool_row *to, const struct pool_row *r)
{
	to->clients += r->clients;
	to->waiting += r->waiting;
	to->cancels += r->cancels;
	for (int i = 0; i < SERVER_STATES; i++)
		to->servers[i] += r->servers[i];
	to->oldest_wait = MAX(to->oldest_wait, r->oldest_wait);
	add_latency(to, r);
}

struct pool_sum *sum_pools(const struct show *s, size_t *n)
{
	struct pool_sum *sums;
	size_t size = 1, have = 0;

	for (int i = 0; i < s->n_reports; i++)
		size += s->reports[i]->n_pools;
	sums = xcalloc(size, sizeof(*sums));
	*n = 0;
	for (int i = 0; i < s->n_reports; i++) {
		const struct report *r = s->reports[i];

		for (size_t k = 0; k < r->n_pools; k++) {
			if (!r->pools[k].is_past)
				sums[have++] = (struct pool_sum){ report_text(r, r->pools[k].database),
					report_text(r, r->pools[k].user), r->pools[k] };
		}
	}
	qsort(sums, have, sizeof(*sums), by_pool);
	for (size_t i = 0; i < have; i++) {
		if (*n && by_pool(&sums[*n - 1], &sums[i]) == 0)
			add_pool_row(&sums[*n - 1].row, &sums[i].row);
		else
			sums[(*n)++] = sums[i];
	}
	return sums;
}

static void pool_row(
	struct rows *r, const char *database, const char *user, const struct pool_row *p, const char *balance)
{
	rows_begin(r);
	rows_text(r, database);
	rows_text(r, user);
	rows_number(r, p->clients);
	rows_number(r, p->waiting);
	rows_number(r, p->cancels); /* each of ours has its own connection at once: none waits */
	rows_number(r, 0);
	rows_number(r, p->servers[SERVER_ACTIVE] + p->servers[SERVER_SYNCING]);
	rows_number(r, p->cancels);
	rows_number(r, p->servers[SERVER_HELD]);
	rows_number(r, p->servers[SERVER_IDLE]);
	rows_number(r, p->servers[SERVER_CLEANING]);
	rows_number(r, p->servers[SERVER_TESTING]);
	rows_number(r, p->servers[SERVER_LOGIN]);
	rows_number(r, p->oldest_wait / USEC_PER_SEC);
	rows_number(r, p->oldest_wait % USEC_PER_SEC);
	rows_text(r, mode_name(p->mode));
	rows_text(r, balance);
	rows_end(r);
}

static void fill_pools(const struct show *s)
{
	struct pool_row own = { .clients = (unsigned)s->console->clients.count, .mode = POOL_STATEMENT };
	size_t n;
	struct pool_sum *sums = sum_pools(s, &n);

	for (size_t i = 0; i < n; i++)
		pool_row(s->rows, sums[i].database, sums[i].user, &sums[i].row,
			balance_name(config_database(console_config(s->console), sums[i].database)));
	pool_row(s->rows, CONSOLE_DATABASE, CONSOLE_DATABASE, &own, NULL);
	free(sums);
}

const struct view view_pools = { "POOLS", COLUMNS(pools_columns), WANT_POOLS, fill_pools };
