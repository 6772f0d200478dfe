#include "admin/show_private.h"

static const struct column workers_columns[] = {
	INT4("worker"),
	INT8("clients"),
	INT8("waiting"),
	INT8("servers"),
	INT8("idle"),
	INT8("rounds"),
	INT8("messages"),
	INT8("servers_received"),
	INT8("cpu_us"),
};

static const struct report *report_of(const struct show *s, int worker)
{
	for (int i = 0; i < s->n_reports; i++)
		if (s->reports[i]->worker == worker)
			return s->reports[i];
	return NULL;
}

/* They have answered in any order. */
static void fill_workers(const struct show *s)
{
	const struct report *r;

	for (int i = 0; (r = report_of(s, i)); i++) {
		const struct worker_row *w = &r->of_worker;
		const uint64_t numbers[] = { (uint64_t)i, w->clients, w->waiting, w->servers, w->idle,
			w->rounds, w->messages, w->moved, w->cpu };

		rows_begin(s->rows);
		for (size_t k = 0; k < N_ELEMENTS(numbers); k++)
			rows_number(s->rows, numbers[k]);
		rows_end(s->rows);
	}
}

const struct view view_workers = { "WORKERS", COLUMNS(workers_columns), WANT_WORKER, fill_workers };
