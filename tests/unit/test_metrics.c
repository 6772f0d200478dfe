#include "unit.h"

#include "http/exposition.h"
#include "http/metrics.h"
#include "http/pool_groups.h"

#include <stdio.h>
#include <string.h>

/* ---- the table ---- */

static const struct metric table[] = {
#define ROW(type, name, unit, samples, help) { METRIC_##type, name, unit, help },
	METRIC_TABLE(ROW)
#undef ROW
};

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

START_TEST(names_are_as_openmetrics_wants_them)
{
	const struct metric *m = &table[_i];
	static const char *const reserved[] = { "_total", "_created", "_bucket", "_count", "_sum", "_info" };
	char unit[32];

	ck_assert_msg(strncmp(m->name, "pgweir_", 7) == 0 || strncmp(m->name, "process_", 8) == 0, "%s", m->name);
	ck_assert_msg(strspn(m->name, "abcdefghijklmnopqrstuvwxyz_") == strlen(m->name), "%s", m->name);
	for (size_t i = 0; i < N_ELEMENTS(reserved); i++)
		ck_assert_msg(!ends_with(m->name, reserved[i]), "%s", m->name);
	snprintf(unit, sizeof(unit), "_%s", m->unit);
	ck_assert_msg(!*m->unit || ends_with(m->name, unit), "%s", m->name);
	ck_assert_msg(*m->unit || (!ends_with(m->name, "_seconds") && !ends_with(m->name, "_bytes")), "%s",
		m->name);
	ck_assert_msg(*m->help && !ends_with(m->help, "."), "%s", m->name);
	ck_assert_ptr_null(strpbrk(m->help, "\\\n"));
	for (size_t i = 0; i < (size_t)_i; i++)
		ck_assert_str_ne(table[i].name, m->name);
}
END_TEST

/* ---- the text ---- */

static const char *text_of(struct exposition *e)
{
	static char text[1024];

	ck_assert_uint_lt(e->out.len, sizeof(text));
	memcpy(text, e->out.data, e->out.len);
	text[e->out.len] = '\0';
	exposition_free(e);
	return text;
}

static const struct metric counter = { METRIC_COUNTER, "a_bytes", "bytes", "Help" };
static const struct metric info = { METRIC_INFO, "b", "", "Help" };

static void write_both(struct exposition *e)
{
	exposition_family(e, &counter);
	labels_add(e, "database", "a\"b\\c\nd\xff");
	labels_add(e, "user", "\xc3\xa4");
	sample(e, 7);
	labels_clear(e);
	sample_usec(e, 1500000);
	exposition_family(e, &info);
	sample(e, 1);
	exposition_end(e);
}

START_TEST(openmetrics_and_prometheus_differ_where_they_must)
{
	struct exposition e = { .is_openmetrics = true };

	write_both(&e);
	ck_assert_str_eq(text_of(&e),
		"# HELP a_bytes Help\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\n"
		"a_bytes_total{database=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\",user=\"\xc3\xa4\"} 7\na_bytes_total 1.5\n"
		"# HELP b Help\n# TYPE b info\nb_info 1\n# EOF\n");
	e = (struct exposition){ .is_openmetrics = false };
	write_both(&e);
	ck_assert_str_eq(text_of(&e),
		"# HELP a_bytes_total Help\n# TYPE a_bytes_total counter\n"
		"a_bytes_total{database=\"a\\\"b\\\\c\\nd\xef\xbf\xbd\",user=\"\xc3\xa4\"} 7\na_bytes_total 1.5\n"
		"# HELP b_info Help\n# TYPE b_info gauge\nb_info 1\n");
}
END_TEST

static const struct {
	uint64_t usec;
	const char *want;
} times[] = {
	{ 0, "0.0" },
	{ 1, "0.000001" },
	{ 10, "0.00001" },
	{ 2000000, "2.0" },
	{ 12345678, "12.345678" },
	{ UINT64_MAX, "18446744073709.551615" },
};

START_TEST(times_are_in_seconds)
{
	char text[32];

	ck_assert_str_eq(seconds_text(times[_i].usec, text), times[_i].want);
}
END_TEST

/* ---- groups ---- */

static struct pool_row row(struct report *r, const char *database, const char *user, bool is_past, unsigned n)
{
	struct pool_row p = { .is_past = is_past, .clients = n, .oldest_wait = n, .counters.xacts = n };

	p.database = (uint32_t)r->text.len;
	write_cstring(&r->text, database);
	p.user = (uint32_t)r->text.len;
	write_cstring(&r->text, user);
	return p;
}

static const struct {
	enum grouping grouping;
	const char *want; /* database user clients oldest xacts, * for a past alone */
} groupings[] = {
	{ GROUP_POOLS, "a  0 0 5*;a u 3 2 3;a v 4 4 4;b u 1 1 1;" },
	{ GROUP_DATABASES, "a (all) 7 4 12;b (all) 1 1 1;" },
	{ GROUP_ALL, "(all) (all) 8 4 13;" },
};

START_TEST(pools_are_summed_over_workers)
{
	struct report one = { .n_pools = 0 }, two = { .n_pools = 0 };
	struct pool_row first[] = { row(&one, "a", "u", false, 1), row(&one, "b", "u", false, 1),
		row(&one, "a", "", true, 5) };
	struct pool_row second[] = { row(&two, "a", "v", false, 4), row(&two, "a", "u", false, 2) };
	struct report *reports[] = { &one, &two };
	struct pool_groups g;
	char got[256] = "";
	size_t len = 0;

	first[2].clients = 0; /* as workers report a past */
	first[2].oldest_wait = 0;
	one.pools = first, one.n_pools = N_ELEMENTS(first);
	two.pools = second, two.n_pools = N_ELEMENTS(second);
	g = pool_groups_make(reports, 2, groupings[_i].grouping);
	for (size_t i = 0; i < g.n; i++)
		len += (size_t)snprintf(got + len, sizeof(got) - len, "%s %s %u %u %u%s;", g.items[i].database,
			g.items[i].user, g.items[i].row.clients, (unsigned)g.items[i].row.oldest_wait,
			(unsigned)g.items[i].row.counters.xacts, g.items[i].has_past_only ? "*" : "");
	ck_assert_str_eq(got, groupings[_i].want);
	pool_groups_free(&g);
	writer_free(&one.text);
	writer_free(&two.text);
}
END_TEST

START_TEST(histograms_are_summed_over_workers)
{
	struct report one = { .n_pools = 0 }, two = { .n_pools = 0 };
	struct pool_row rows[] = { row(&one, "a", "u", false, 1), row(&one, "a", "", true, 0) },
			more[] = { row(&two, "a", "u", false, 1) };
	struct histogram first[WINDOWS_N] = { 0 }, past[WINDOWS_N] = { 0 }, second[WINDOWS_N] = { 0 };
	struct report *reports[] = { &one, &two };
	struct pool_groups g;

	histogram_add(&first[WINDOW_START], 10);
	histogram_add(&first[WINDOW_10S], 7);
	histogram_add(&past[WINDOW_START], 20);
	histogram_add(&second[WINDOW_START], 40);
	rows[0].latency[MEASURE_WAIT] = first;
	rows[1].latency[MEASURE_WAIT] = past;
	more[0].latency[MEASURE_WAIT] = second;
	one.pools = rows, one.n_pools = 2;
	two.pools = more, two.n_pools = 1;
	for (enum grouping by = GROUP_POOLS; by <= GROUP_ALL; by++) {
		const struct histogram *h;

		g = pool_groups_make(reports, 2, by);
		pool_groups_add_latency(&g, reports, 2, by);
		h = g.items[by == GROUP_POOLS ? 1 : 0].latency[MEASURE_WAIT]; /* the past comes first */
		ck_assert_uint_eq(h->count, by == GROUP_POOLS ? 2 : 3);
		ck_assert_uint_eq(h->sum, by == GROUP_POOLS ? 50 : 70);
		ck_assert_ptr_null(g.items[0].latency[MEASURE_QUERY]);
		pool_groups_free(&g);
	}
	ck_assert_uint_eq(first[WINDOW_START].count, 1);
	writer_free(&one.text);
	writer_free(&two.text);
}
END_TEST

UNIT_MAIN("metrics", {
	tcase_add_test(tc, histograms_are_summed_over_workers);
	tcase_add_loop_test(tc, names_are_as_openmetrics_wants_them, 0, N_ELEMENTS(table));
	tcase_add_test(tc, openmetrics_and_prometheus_differ_where_they_must);
	tcase_add_loop_test(tc, times_are_in_seconds, 0, N_ELEMENTS(times));
	tcase_add_loop_test(tc, pools_are_summed_over_workers, 0, N_ELEMENTS(groupings));
})
