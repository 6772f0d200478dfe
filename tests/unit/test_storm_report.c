#include "storm/report.h"

#include "unit.h"

#include <string.h>

/* Two of three were served, one refused with a text that tries to break out of the JSON. */
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
	}
	samples_add(&s->failed_at, 0);
	stats_error(s, "53300", "say \"no\"\\\n");
}

static struct report report_of(struct stats *s)
{
	return (struct report){ .target = "u@h:1/d",
		.after = "close",
		.stats = s,
		.elapsed = 500000,
		.window = 100000,
		.is_watched = true,
		.connections_before = 1,
		.connections_max = 20,
		.connections_limit = 50 };
}

typedef void report_fn(FILE *out, struct report *r);

static char *text_of(report_fn *fn, struct report *r)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(out);
	fn(out, r);
	fclose(out);
	return text;
}

START_TEST(json_holds_everything_and_escapes)
{
	static const char want[] =
		"{\"target\":\"u@h:1/d\",\"after\":\"close\",\"window_s\":0.1,\"functions\":3,\"woke\":3,\"connected\":2,"
		"\"served\":2,\"failed\":1,\"frozen\":0,\"lost\":0,\"attempts\":3,\"retries\":0,\"transactions\":2,"
		"\"wall_s\":0.500000,\"transactions_per_s\":4.000,\"server_connections\":{\"before\":1,\"max\":20,\"limit\":50},"
		"\"ms\":{\"connect\":{\"count\":2,\"p50\":1.500,\"p95\":3.000,\"p99\":3.000,\"max\":3.000},"
		"\"transaction\":{\"count\":2,\"p50\":2.500,\"p95\":5.000,\"p99\":5.000,\"max\":5.000},"
		"\"total\":{\"count\":2,\"p50\":4.000,\"p95\":8.000,\"p99\":8.000,\"max\":8.000}},"
		"\"errors\":[{\"key\":\"53300\",\"count\":1,\"message\":\"say \\\"no\\\"\\\\?\"}],"
		"\"histogram\":{\"bucket_ms\":1,\"served\":[0,1,1],\"failed\":[1,0,0]}}\n";
	struct stats s;
	struct report r = report_of(&s);
	char *text;

	fill(&s);
	text = text_of(report_json, &r);
	ck_assert_str_eq(text, want);
	free(text);
	stats_free(&s);
}
END_TEST

START_TEST(json_says_null_for_what_nobody_measured)
{
	struct stats s = { .functions = 1, .failed = 1 };
	struct report r = report_of(&s);
	char *text;

	r.is_watched = false;
	r.elapsed = 0;
	text = text_of(report_json, &r);
	ck_assert_ptr_nonnull(strstr(text, "\"server_connections\":null"));
	ck_assert_ptr_nonnull(
		strstr(text, "\"connect\":{\"count\":0,\"p50\":null,\"p95\":null,\"p99\":null,\"max\":null}"));
	ck_assert_ptr_nonnull(strstr(text, "\"transactions_per_s\":0.000"));
	free(text);
	stats_free(&s);
}
END_TEST

static const char *const lines[] = {
	"u@h:1/d: 3 functions woke within 0.1 s, then close\n",
	"  served                         2\n",
	"  failed                         1\n",
	"  wall time                   0.50 s\n",
	"  throughput                     4 transactions/s\n",
	"  server connections            20 at most, 1 before (max_connections 50)\n",
	"  ms                           p50         p95         p99         max\n",
	"  wait and transaction         2.5         5.0         5.0         5.0\n",
	"  53300                          1  say \"no\"\\?\n",
};

START_TEST(table_has_the_line)
{
	struct stats s;
	struct report r = report_of(&s);
	char *text;

	fill(&s);
	text = text_of(report_table, &r);
	ck_assert_msg(strstr(text, lines[_i]) != NULL, "%s isn't in\n%s", lines[_i], text);
	free(text);
	stats_free(&s);
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
	tcase_add_test(tc, json_holds_everything_and_escapes);
	tcase_add_test(tc, json_says_null_for_what_nobody_measured);
	tcase_add_loop_test(tc, table_has_the_line, 0, N_ELEMENTS(lines));
	tcase_add_test(tc, progress_is_one_line);
})
