#include "admin/show_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void rows_fingerprint(struct rows *r, uint64_t id)
{
	char text[24];

	snprintf(text, sizeof(text), "%016" PRIx64, id);
	rows_text(r, text);
}

/* ---- who waits ---- */

static const struct column queue_columns[] = { TEXT("database"), TEXT("user"), INT8("client"), TEXT("addr"),
	INT4("port"), TEXT("application_name"), TEXT("since"), INT8("wait_us"), INT8("left_us"),
	TEXT("reason"), TEXT("detail"), TEXT("statement"), TEXT("fingerprint") };

struct waiting {
	const struct report *report;
	const struct wait_row *row;
};

static usec_t waited(const struct waiting *w)
{
	return w->report->now > w->row->since ? w->report->now - w->row->since : 0;
}

static int by_pool_and_age(const void *a, const void *b)
{
	const struct waiting *x = a, *y = b;
	int order = strcmp(report_text(x->report, x->row->database), report_text(y->report, y->row->database));

	if (!order)
		order = strcmp(report_text(x->report, x->row->user), report_text(y->report, y->row->user));
	return order ? order : (waited(x) < waited(y)) - (waited(x) > waited(y));
}

static void rows_left(struct rows *r, usec_t deadline, usec_t now)
{
	if (deadline)
		rows_number(r, deadline > now ? deadline - now : 0);
	else
		rows_text(r, NULL);
}

static void queue_row(struct rows *rows, const struct waiting *w)
{
	const struct report *r = w->report;
	const struct wait_row *row = w->row;
	const char *statement = report_text(r, row->statement);

	rows_begin(rows);
	rows_text(rows, report_text(r, row->database));
	rows_text(rows, report_text(r, row->user));
	rows_number(rows, row->client);
	rows_address(rows, &row->peer);
	rows_text(rows, report_text(r, row->application_name));
	rows_time(rows, row->since, r->now);
	rows_number(rows, waited(w));
	rows_left(rows, row->deadline, r->now);
	rows_text(rows, row->reason);
	rows_text(rows, report_text(r, row->detail));
	rows_text(rows, *statement ? statement : NULL);
	if (*statement)
		rows_fingerprint(rows, row->fingerprint);
	else
		rows_text(rows, NULL);
	rows_end(rows);
}

static void fill_queue(const struct show *s)
{
	struct waiting *all;
	size_t size = 1, n = 0;

	for (int i = 0; i < s->n_reports; i++)
		size += s->reports[i]->n_waits;
	all = xcalloc(size, sizeof(*all));
	for (int i = 0; i < s->n_reports; i++) {
		for (size_t k = 0; k < s->reports[i]->n_waits; k++)
			all[n++] = (struct waiting){ s->reports[i], &s->reports[i]->waits[k] };
	}
	qsort(all, n, sizeof(*all), by_pool_and_age);
	for (size_t i = 0; i < n; i++)
		queue_row(s->rows, &all[i]);
	free(all);
}

const struct view view_queue = { "QUEUE", COLUMNS(queue_columns), WANT_QUEUE, fill_queue };

/* ---- who holds servers ---- */

static const struct column holders_columns[] = { TEXT("database"), TEXT("user"), TEXT("state"), INT8("client"),
	TEXT("addr"), INT4("port"), TEXT("application_name"), INT8("server"), INT4("server_pid"),
	INT8("transaction_us"), TEXT("statement_time"), INT8("statement_us"), INT8("idle_us"), TEXT("pins") };

static void rows_age(struct rows *r, usec_t since, usec_t now)
{
	if (since)
		rows_number(r, now > since ? now - since : 0);
	else
		rows_text(r, NULL);
}

static void holder_row(struct rows *rows, const struct report *r, const struct holder_row *h)
{
	rows_begin(rows);
	rows_text(rows, report_text(r, h->database));
	rows_text(rows, report_text(r, h->user));
	rows_text(rows, h->state);
	if (h->client) {
		rows_number(rows, h->client);
		rows_address(rows, &h->peer);
		rows_text(rows, report_text(r, h->application_name));
	} else {
		for (int i = 0; i < 4; i++)
			rows_text(rows, NULL);
	}
	rows_number(rows, h->server);
	rows_number(rows, h->server_pid);
	rows_age(rows, h->transaction_at, r->now);
	if (h->statement_at)
		rows_time(rows, h->statement_at, r->now);
	else
		rows_text(rows, NULL);
	rows_age(rows, h->statement_at, r->now);
	rows_age(rows, h->idle_since, r->now);
	rows_reasons(rows, h->pins);
	rows_end(rows);
}

static void fill_holders(const struct show *s)
{
	for (int i = 0; i < s->n_reports; i++) {
		for (size_t k = 0; k < s->reports[i]->n_holders; k++)
			holder_row(s->rows, s->reports[i], &s->reports[i]->holders[k]);
	}
}

const struct view view_holders = { "HOLDERS", COLUMNS(holders_columns), WANT_HOLDERS, fill_holders };

/* ---- prepared statements ---- */

static const struct column prepared_columns[] = { TEXT("name"), TEXT("statement"), TEXT("fingerprint"),
	INT4("parameter_types"), INT4("clients"), INT4("servers"), INT8("binds") };

static int prepared_by_name(const void *a, const void *b)
{
	const struct prepared_row *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static int prepared_by_use(const void *a, const void *b)
{
	const struct prepared_row *const *x = a, *const *y = b;

	return ((*x)->binds < (*y)->binds) - ((*x)->binds > (*y)->binds);
}

/* Workers that have the same statement become one row. */
static size_t merge_prepared(struct prepared_row **rows, size_t n)
{
	size_t out = 0;

	qsort(rows, n, sizeof(struct prepared_row *), prepared_by_name);
	for (size_t i = 0; i < n; i++) {
		if (out && strcmp(rows[out - 1]->name, rows[i]->name) == 0) {
			rows[out - 1]->binds += rows[i]->binds;
			rows[out - 1]->clients += rows[i]->clients;
			rows[out - 1]->servers += rows[i]->servers;
		} else {
			rows[out++] = rows[i];
		}
	}
	qsort(rows, out, sizeof(struct prepared_row *), prepared_by_use);
	return out;
}

static const char *statement_of(const struct show *s, const struct prepared_row *row)
{
	for (int i = 0; i < s->n_reports; i++) {
		const struct report *r = s->reports[i];

		if (row >= r->prepared && row < r->prepared + r->n_prepared)
			return report_text(r, row->statement);
	}
	return "";
}

static void prepared_row(const struct show *s, const struct prepared_row *row)
{
	rows_begin(s->rows);
	rows_text(s->rows, row->name);
	rows_text(s->rows, statement_of(s, row));
	rows_fingerprint(s->rows, row->fingerprint);
	rows_number(s->rows, row->parameters);
	rows_number(s->rows, row->clients);
	rows_number(s->rows, row->servers);
	rows_number(s->rows, row->binds);
	rows_end(s->rows);
}

static void fill_prepared(const struct show *s)
{
	struct prepared_row **rows;
	size_t size = 1, n = 0;

	for (int i = 0; i < s->n_reports; i++)
		size += s->reports[i]->n_prepared;
	rows = xcalloc(size, sizeof(struct prepared_row *));
	for (int i = 0; i < s->n_reports; i++) {
		for (size_t k = 0; k < s->reports[i]->n_prepared; k++)
			rows[n++] = &s->reports[i]->prepared[k];
	}
	n = merge_prepared(rows, n);
	for (size_t i = 0; i < n; i++)
		prepared_row(s, rows[i]);
	free(rows);
}

const struct view view_prepared = { "PREPARED", COLUMNS(prepared_columns), WANT_PREPARED, fill_prepared };
