#include "storm/watch.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WATCH_PERIOD_MS 50
#define COUNT_SQL                                                                                            \
	"select count(*), current_setting('max_connections')::int from pg_catalog.pg_stat_activity "         \
	"where backend_type = 'client backend' and pid <> pg_catalog.pg_backend_pid()"

struct watch {
	PGconn *conn;
	struct event *readable, *tick;
	int before, max, limit;
	usec_t began; /* 0: not yet */
	struct course course;
	bool is_asking, is_broken;
};

static bool read_int(const PGresult *result, int column, int *out)
{
	char *end;
	long v = strtol(PQgetvalue(result, 0, column), &end, 10);

	*out = (int)MIN(MAX(v, 0), INT32_MAX);
	return !*end;
}

static void halve(struct course *c)
{
	c->width *= 2;
	for (size_t i = 0; i < COURSE_SPANS; i++) {
		size_t from = 2 * i;

		c->max[i] = from + 1 < COURSE_SPANS ? MAX(c->max[from], c->max[from + 1]) : -1;
	}
}

void course_note(struct course *c, usec_t since_began, int count)
{
	size_t i;

	if (!c->width) {
		c->width = WATCH_PERIOD_MS * USEC_PER_MSEC;
		for (i = 0; i < COURSE_SPANS; i++)
			c->max[i] = -1;
	}
	while (since_began / c->width >= COURSE_SPANS)
		halve(c);
	i = (size_t)(since_began / c->width);
	c->max[i] = MAX(c->max[i], count);
	for (c->n = COURSE_SPANS; c->n > 0 && c->max[c->n - 1] < 0; c->n--)
		;
}

static bool take_count(struct watch *w, const PGresult *result)
{
	int count;

	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1 || PQnfields(result) != 2)
		return false;
	if (!read_int(result, 0, &count) || !read_int(result, 1, &w->limit))
		return false;
	w->max = MAX(w->max, count);
	if (w->began)
		course_note(&w->course, clock_now() - w->began, count);
	return true;
}

static void give_up(struct watch *w)
{
	w->is_broken = true;
	event_del(w->readable);
	event_del(w->tick);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct watch *w = ctx;
	PGresult *result;

	(void)fd, (void)what;
	if (!PQconsumeInput(w->conn)) {
		give_up(w);
		return;
	}
	while (w->is_asking && !PQisBusy(w->conn)) {
		result = PQgetResult(w->conn);
		if (!result)
			w->is_asking = false;
		else if (!take_count(w, result))
			w->is_broken = true;
		PQclear(result);
	}
	if (w->is_broken)
		give_up(w);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct watch *w = ctx;

	(void)fd, (void)what;
	if (w->is_asking)
		return;
	if (!PQsendQuery(w->conn, COUNT_SQL) || PQflush(w->conn) < 0)
		give_up(w);
	w->is_asking = true;
}

static PGconn *open_conn(const char *conninfo)
{
	static const char *const keywords[] = { "connect_timeout", "fallback_application_name", "dbname", NULL };
	const char *const values[] = { "5", "pgweir-storm watch", conninfo, NULL };

	return PQconnectdbParams(keywords, values, 1); /* what conninfo says about either comes later and wins */
}

struct watch *watch_open(struct event_base *base, const char *conninfo, char *error, size_t error_size)
{
	struct watch *w = xcalloc(1, sizeof(*w));
	struct timeval period = { .tv_usec = WATCH_PERIOD_MS * 1000 };
	PGresult *result;

	w->conn = open_conn(conninfo);
	result = PQexec(w->conn, COUNT_SQL);
	if (!take_count(w, result) || PQsetnonblocking(w->conn, 1) != 0) {
		snprintf(error, error_size, "%s", PQerrorMessage(w->conn));
		error[strcspn(error, "\n")] = '\0';
		PQclear(result);
		watch_close(&w);
		return NULL;
	}
	PQclear(result);
	w->before = w->max;
	w->readable = event_new(base, PQsocket(w->conn), EV_READ | EV_PERSIST, on_readable, w);
	w->tick = event_new(base, -1, EV_PERSIST, on_tick, w);
	ASSERT(w->readable && w->tick);
	event_priority_set(w->readable, 0);
	event_priority_set(w->tick, 0);
	event_add(w->readable, NULL);
	event_add(w->tick, &period);
	return w;
}

void watch_begin(struct watch *w, usec_t now)
{
	w->began = now;
	course_note(&w->course, 0, w->max);
}

const struct course *watch_course(const struct watch *w)
{
	return &w->course;
}

int watch_before(const struct watch *w)
{
	return w->before;
}

int watch_max(const struct watch *w)
{
	return w->max;
}

int watch_limit(const struct watch *w)
{
	return w->limit;
}

bool watch_is_broken(const struct watch *w)
{
	return w->is_broken;
}

void watch_close(struct watch **w)
{
	if (!*w)
		return;
	if ((*w)->readable)
		event_free((*w)->readable);
	if ((*w)->tick)
		event_free((*w)->tick);
	PQfinish((*w)->conn);
	free(*w);
	*w = NULL;
}
