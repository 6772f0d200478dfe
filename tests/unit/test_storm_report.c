#include "storm/html.h"

#include "unit.h"

#include <string.h>

/* Two of three were served, one refused with a text that tries to break out of the JSON and the page. */
static void fill(struct stats *s)
{
	*s = (struct stats){
		.functions = 3, .woke = 3, .connected = 2, .served = 2, .failed = 1, .attempts = 3, .transactions = 2
	};
	for (usec_t t = 1; t <= 2; t++) {
		samples_add(&s->connect, t * 1500);
		samples_add(&s->transaction, t * 2500);
		samples_add(&s->total, t * 4000);
		samples_add(&s->served_at, t * 1000);
		timeline_at(&s->timeline, t * 1000)->served++;
		samples_add(&timeline_at(&s->timeline, t * 1000)->total, t * 4000);
	}
	timeline_at(&s->timeline, 0)->arrived = 3;
	timeline_at(&s->timeline, 0)->failed = 1;
	stats_error(s, "53300", "say \"no\"\\\n<script>alert('&')</script>");
}

struct lab {
	struct stats stats, total;
	struct phase phase;
	struct report_phase phases[2];
	struct course course;
	struct report r;
};

static void lab_init(struct lab *lab, size_t phases)
{
	memset(lab, 0, sizeof(*lab));
	fill(&lab->stats);
	lab->phase = (struct phase){ .name = (char *)(uintptr_t) "herd", .window = 100000, .functions = 3 };
	for (size_t i = 0; i < 2; i++)
		lab->phases[i] = (struct report_phase){
			.phase = &lab->phase, .target = "u@h:1/d", .stats = &lab->stats, .elapsed = 500000
		};
	for (size_t i = 0; i < phases; i++)
		stats_merge(&lab->total, &lab->stats);
	course_note(&lab->course, 0, 1);
	course_note(&lab->course, 60000, 20);
	lab->r = (struct report){ .phases = lab->phases,
		.n_phases = phases,
		.total = &lab->total,
		.elapsed = 500000,
		.seed = 7,
		.is_watched = true,
		.connections_before = 1,
		.connections_max = 20,
		.connections_limit = 50,
		.course = &lab->course };
}

static void lab_free(struct lab *lab)
{
	stats_free(&lab->stats);
	stats_free(&lab->total);
}

typedef void report_fn(FILE *out, const struct report *r);

static char *text_of(report_fn *fn, const struct report *r)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(out);
	fn(out, r);
	fclose(out);
	return text;
}

static const char *const json_parts[] = {
	"{\"target\":\"u@h:1/d\",\"after\":\"close\",\"window_s\":0.1,\"seed\":7,\"functions\":3,\"woke\":3,\"connected\":2,"
	"\"served\":2,\"failed\":1,\"frozen\":0,\"thawed\":0,\"vanished\":0,\"lost\":0,\"attempts\":3,\"retries\":0,"
	"\"transactions\":2,\"due\":0,\"on_time\":0,\"missed\":0,\"wall_s\":0.500000,\"transactions_per_s\":4.000,",
	",\"server_connections\":{\"before\":1,\"max\":20,\"limit\":50,\"bucket_ms\":50,\"seen\":[1,20]}",
	"\"ms\":{\"connect\":{\"count\":2,\"p50\":1.500,\"p95\":3.000,\"p99\":3.000,\"p999\":3.000,\"max\":3.000},"
	"\"wait\":{\"count\":0,\"p50\":null,\"p95\":null,\"p99\":null,\"p999\":null,\"max\":null},"
	"\"transaction\":{\"count\":2,\"p50\":2.500,",
	"\"served_at_ms\":{\"first\":1.000,\"p50\":1.000,\"last\":2.000}",
	"\"errors\":[{\"key\":\"53300\",\"count\":1,\"message\":\"say \\\"no\\\"\\\\?<script>alert('&')</script>\"}]",
	("\"histogram\":{\"bucket_ms\":1,\"arrived\":[3,0,0],\"served\":[0,1,1],\"failed\":[1,0,0],"
	 "\"total_p50_ms\":[null,4.000,8.000],"),
	"\"phases\":[{\"name\":\"herd\",\"target\":\"u@h:1/d\",\"after\":\"close\",\"start_s\":0,\"window_s\":0.1,\"pace\":0,",
};

START_TEST(json_holds_everything_and_escapes)
{
	struct lab lab;
	char *text;

	lab_init(&lab, 1);
	text = text_of(report_json, &lab.r);
	ck_assert_msg(strstr(text, json_parts[_i]) != NULL, "%s isn't in\n%s", json_parts[_i], text);
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
	free(text);
	lab_free(&lab);
}
END_TEST

START_TEST(json_says_null_for_what_nobody_measured)
{
	struct lab lab;
	char *text;

	lab_init(&lab, 1);
	lab.r.is_watched = false;
	lab.r.elapsed = 0;
	text = text_of(report_json, &lab.r);
	ck_assert_ptr_nonnull(strstr(text, "\"server_connections\":null"));
	ck_assert_ptr_nonnull(strstr(text, "\"transactions_per_s\":0.000"));
	free(text);
	lab_free(&lab);
}
END_TEST

static const char *const lines[] = {
	"u@h:1/d: 3 functions woke within 0.1 s, then close\n",
	"  served                         2\n",
	"  failed                         1\n",
	"  wall time                   0.50 s\n",
	"  throughput                     4 transactions/s\n",
	"  server connections            20 at most, 1 before (max_connections 50)\n",
	"  served after                 1.0 ms first, 1.0 half of them, 2.0 last\n",
	"  ms                           p50         p95         p99       p99.9         max\n",
	"  wait and transaction         2.5         5.0         5.0         5.0         5.0\n",
	"  53300                          1  say \"no\"\\?<script>",
};

START_TEST(table_has_the_line)
{
	struct lab lab;
	char *text;

	lab_init(&lab, 1);
	text = text_of(report_table, &lab.r);
	ck_assert_msg(strstr(text, lines[_i]) != NULL, "%s isn't in\n%s", lines[_i], text);
	ck_assert_ptr_null(strstr(text, "wait for BEGIN")); /* nobody measured that */
	free(text);
	lab_free(&lab);
}
END_TEST

START_TEST(several_phases_have_a_sum)
{
	struct lab lab;
	char *text;

	lab_init(&lab, 2);
	text = text_of(report_table, &lab.r);
	ck_assert_ptr_nonnull(strstr(text, "\nherd: u@h:1/d: 3 functions"));
	ck_assert_ptr_nonnull(strstr(text, "\nall together\n\n  functions                      6\n"));
	free(text);
	lab_free(&lab);
}
END_TEST

static const struct {
	enum arrival arrival;
	double pace;
	usec_t start, thaw;
	enum after after;
	enum at at;
	const char *want;
} phases[] = {
	{ ARRIVAL_RAMP, 0, 2 * USEC_PER_SEC, 0, AFTER_IDLE, AT_END,
		"3 functions woke, ever more, within 0.1 s, 2 s after the beginning, then idle" },
	{ ARRIVAL_POISSON, 0, 0, 0, AFTER_CRASH, AT_MESSAGE,
		"3 functions woke by chance, on average within 0.1 s, then crash in a message" },
	{ ARRIVAL_BURST, 10, 0, 500000, AFTER_FREEZE, AT_TRANSACTION,
		"3 functions woke within 0.1 s, 5 transactions each at 10 a second, then freeze in a transaction for 0.5 s" },
};

START_TEST(a_phase_is_described)
{
	struct phase p = { .functions = 3,
		.window = 100000,
		.invocations = phases[_i].pace > 0 ? 5 : 1,
		.pace = phases[_i].pace,
		.arrival = phases[_i].arrival,
		.start = phases[_i].start,
		.thaw = phases[_i].thaw,
		.after = phases[_i].after,
		.at = phases[_i].at };
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	report_describe(out, &p);
	fclose(out);
	ck_assert_str_eq(text, phases[_i].want);
	free(text);
}
END_TEST

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	while ((text = strstr(text, what))) {
		text += strlen(what);
		n++;
	}
	return n;
}

START_TEST(the_page_is_whole_and_escapes)
{
	static const char *const pairs[] = { "table", "thead", "tbody", "tr", "th", "td", "figure", "svg",
		"text", "details", "section", "div", "p", "span", "main", "h1", "h2", "h3", "title", "style",
		"head", "body", "html", "figcaption", "summary" };
	struct lab lab;
	char *text, open[20], close[20];

	lab_init(&lab, 1);
	text = text_of(report_html, &lab.r);
	ck_assert_ptr_null(strstr(text, "<script"));
	ck_assert_ptr_nonnull(strstr(text, "&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;"));
	ck_assert_ptr_null(strstr(text, "http://"));
	ck_assert_ptr_null(strstr(text, "https://"));
	ck_assert_ptr_null(strstr(text, "nan"));
	for (size_t i = 0; i < N_ELEMENTS(pairs); i++) {
		unsigned opened;

		snprintf(open, sizeof(open), "<%s>", pairs[i]);
		opened = count(text, open);
		snprintf(open, sizeof(open), "<%s ", pairs[i]);
		opened += count(text, open);
		snprintf(close, sizeof(close), "</%s>", pairs[i]);
		ck_assert_msg(opened == count(text, close) && opened > 0, "%s", pairs[i]);
	}
	free(text);
	lab_free(&lab);
}
END_TEST

START_TEST(a_page_about_nothing_is_a_page)
{
	struct lab lab;
	char *text;

	lab_init(&lab, 1);
	lab.phases[0].stats = lab.r.total = &(struct stats){ .functions = 1, .failed = 1 };
	lab.r.course = NULL;
	text = text_of(report_html, &lab.r);
	ck_assert_ptr_nonnull(strstr(text, "0 of 1 functions were served"));
	ck_assert_ptr_nonnull(strstr(text, "</html>"));
	free(text);
	lab_free(&lab);
}
END_TEST

START_TEST(a_course_keeps_the_most_of_each_span)
{
	struct course c = { 0 };
	int max = 0;

	for (int i = 0; i < 10000; i++)
		course_note(&c, (usec_t)i * 50000, i == 7777 ? 99 : i % 10);
	ck_assert_uint_le(c.n, COURSE_SPANS);
	ck_assert_uint_eq(c.width, 50000 * 64);
	for (size_t i = 0; i < c.n; i++) {
		ck_assert_int_ge(c.max[i], 9);
		max = MAX(max, c.max[i]);
	}
	ck_assert_int_eq(max, 99);
}
END_TEST

START_TEST(progress_is_one_line)
{
	struct stats s;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fill(&s);
	report_progress(out, &s, 1230000);
	fclose(out);
	ck_assert_str_eq(text, "   1.2 s  woke 3/3  connected 2  served 2  failed 1");
	free(text);
	stats_free(&s);
}
END_TEST

UNIT_MAIN("storm report", {
	tcase_add_loop_test(tc, json_holds_everything_and_escapes, 0, N_ELEMENTS(json_parts));
	tcase_add_test(tc, json_says_null_for_what_nobody_measured);
	tcase_add_loop_test(tc, table_has_the_line, 0, N_ELEMENTS(lines));
	tcase_add_test(tc, several_phases_have_a_sum);
	tcase_add_loop_test(tc, a_phase_is_described, 0, N_ELEMENTS(phases));
	tcase_add_test(tc, the_page_is_whole_and_escapes);
	tcase_add_test(tc, a_page_about_nothing_is_a_page);
	tcase_add_test(tc, a_course_keeps_the_most_of_each_span);
	tcase_add_test(tc, progress_is_one_line);
})
