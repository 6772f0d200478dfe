#include "storm/options.h"

#include "unit.h"

static bool parse(struct options *o, const char *const *args, char *error, size_t size)
{
	char *argv[16] = { (char *)(uintptr_t) "pgweir-storm" };
	int argc = 1;

	for (; args[argc - 1]; argc++)
		argv[argc] = (char *)(uintptr_t)args[argc - 1]; /* getopt only moves the pointers */
	return options_parse_args(o, argc, argv, error, size);
}

static const struct phase *only_phase(struct options *o)
{
	char error[256] = "";

	ck_assert_msg(scenario_finish(&o->scenario, error, sizeof(error)), "%s", error);
	ck_assert_uint_eq(o->scenario.n_phases, 1);
	return &o->scenario.phases[0];
}

START_TEST(without_options_a_thousand_wake_in_a_tenth_of_a_second)
{
	struct options o;
	const struct phase *p;
	char error[256];

	ck_assert(parse(&o, (const char *const[]){ "postgresql://h/d", NULL }, error, sizeof(error)));
	p = only_phase(&o);
	ck_assert_str_eq(p->target, "postgresql://h/d");
	ck_assert_str_eq(p->sql, "select pg_sleep(0.002)");
	ck_assert_uint_eq(p->functions, 1000);
	ck_assert_uint_eq(p->window, 100000);
	ck_assert_uint_eq(p->timeout, 10 * USEC_PER_SEC);
	ck_assert_uint_eq(o.scenario.deadline, 120 * USEC_PER_SEC);
	ck_assert_uint_eq(p->retries, 0);
	ck_assert_int_eq(p->after, AFTER_CLOSE);
	ck_assert_int_eq(p->work, WORK_TRANSACTION);
	scenario_free(&o.scenario);
}
END_TEST

START_TEST(options_may_come_before_and_after_the_uri)
{
	static const char *const args[] = { "-n", "5", "h", "--after=freeze", "--backoff=0.25", "--watch",
		"w", "-j-", "--html=x", "-c", "--seed=7", NULL };
	struct options o;
	const struct phase *p;
	char error[256];

	ck_assert(parse(&o, args, error, sizeof(error)));
	p = only_phase(&o);
	ck_assert_str_eq(p->target, "h");
	ck_assert_str_eq(o.scenario.watch, "w");
	ck_assert_str_eq(o.scenario.json, "-");
	ck_assert_str_eq(o.scenario.html, "x");
	ck_assert_uint_eq(o.scenario.seed, 7);
	ck_assert(o.wants_check);
	ck_assert_uint_eq(p->functions, 5);
	ck_assert_uint_eq(p->backoff, 250000);
	ck_assert_int_eq(p->after, AFTER_FREEZE);
	ck_assert_int_eq(p->at, AT_TRANSACTION);
	scenario_free(&o.scenario);
}
END_TEST

START_TEST(a_scenario_may_come_anywhere_and_needs_no_uri)
{
	struct options o;
	char error[256];

	ck_assert(parse(&o, (const char *const[]){ "--hold=1", "--scenario=f", NULL }, error, sizeof(error)));
	ck_assert_str_eq(o.file, "f");
	ck_assert_uint_eq(o.scenario.hold, USEC_PER_SEC);
	scenario_free(&o.scenario);
}
END_TEST

static const struct {
	const char *args[6], *error;
} refused[] = {
	{ { NULL }, "where to? a URI or conninfo string is missing" },
	{ { "a", "b", NULL }, "one URI is enough" },
	{ { "--functions=0", "h", NULL }, "--functions can't be '0'" },
	{ { "--functions=100001", "h", NULL }, "--functions can't be '100001'" },
	{ { "-n", "7x", "h", NULL }, "--functions can't be '7x'" },
	{ { "--window=-1", "h", NULL }, "--window can't be '-1'" },
	{ { "--window=nan", "h", NULL }, "--window can't be 'nan'" },
	{ { "--timeout=0", "h", NULL }, "--timeout can't be '0'" },
	{ { "--deadline=1e9", "h", NULL }, "--deadline can't be '1e9'" },
	{ { "--after=explode", "h", NULL }, "--after can't be 'explode'" },
	{ { "--sql=", "h", NULL }, "--sql can't be ''" },
	{ { "--jitter=1.5", "h", NULL }, "--jitter can't be '1.5'" },
	{ { "--rate=inf", "h", NULL }, "--rate can't be 'inf'" },
	{ { "--what", "h", NULL }, "unknown option --what" },
	{ { "--target=x", "h", NULL }, "unknown option --target=x" },
	{ { "h", "--json", NULL }, "a value is missing after --json" },
	{ { "--scenario=f", "-n5", NULL }, "--functions belongs into the scenario's file" },
	{ { "--simple", "--scenario=f", NULL }, "--work belongs into the scenario's file" },
};

START_TEST(wrong_usage_is_told)
{
	struct options o;
	char error[256] = "";

	ck_assert(!parse(&o, refused[_i].args, error, sizeof(error)));
	ck_assert_str_eq(error, refused[_i].error);
	scenario_free(&o.scenario);
}
END_TEST

START_TEST(help_needs_no_uri)
{
	struct options o;
	char error[256];

	ck_assert(parse(&o, (const char *const[]){ "--help", NULL }, error, sizeof(error)));
	ck_assert(o.wants_help);
	scenario_free(&o.scenario);
}
END_TEST

UNIT_MAIN("storm options", {
	tcase_add_test(tc, without_options_a_thousand_wake_in_a_tenth_of_a_second);
	tcase_add_test(tc, options_may_come_before_and_after_the_uri);
	tcase_add_test(tc, a_scenario_may_come_anywhere_and_needs_no_uri);
	tcase_add_loop_test(tc, wrong_usage_is_told, 0, N_ELEMENTS(refused));
	tcase_add_test(tc, help_needs_no_uri);
})
