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

START_TEST(without_options_a_thousand_wake_in_a_tenth_of_a_second)
{
	struct options o;
	char error[256];

	ck_assert(parse(&o, (const char *const[]){ "postgresql://h/d", NULL }, error, sizeof(error)));
	ck_assert_str_eq(o.target, "postgresql://h/d");
	ck_assert_str_eq(o.sql, "select pg_sleep(0.002)");
	ck_assert_uint_eq(o.functions, 1000);
	ck_assert_uint_eq(o.window, 100000);
	ck_assert_uint_eq(o.timeout, 10 * USEC_PER_SEC);
	ck_assert_uint_eq(o.deadline, 120 * USEC_PER_SEC);
	ck_assert_uint_eq(o.retries, 0);
	ck_assert_int_eq(o.after, AFTER_CLOSE);
}
END_TEST

START_TEST(options_may_come_before_and_after_the_uri)
{
	static const char *const args[] = { "-n", "5", "h", "--after=freeze", "--backoff=0.25", "--watch",
		"w", "-j-", NULL };
	struct options o;
	char error[256];

	ck_assert(parse(&o, args, error, sizeof(error)));
	ck_assert_str_eq(o.target, "h");
	ck_assert_str_eq(o.watch, "w");
	ck_assert_str_eq(o.json, "-");
	ck_assert_uint_eq(o.functions, 5);
	ck_assert_uint_eq(o.backoff, 250000);
	ck_assert_int_eq(o.after, AFTER_FREEZE);
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
	{ { "--what", "h", NULL }, "unknown option --what" },
	{ { "h", "--json", NULL }, "a value is missing after --json" },
	{ { "h", "--simple", "--after=freeze", NULL },
		"--simple opens no transaction in which --after=freeze could freeze" },
	{ { "h", "-n100000", "-k1000", NULL }, "--functions times --invocations is more than 10000000" },
};

START_TEST(wrong_usage_is_told)
{
	struct options o;
	char error[256] = "";

	ck_assert(!parse(&o, refused[_i].args, error, sizeof(error)));
	ck_assert_str_eq(error, refused[_i].error);
}
END_TEST

START_TEST(help_needs_no_uri)
{
	struct options o;
	char error[256];

	ck_assert(parse(&o, (const char *const[]){ "--help", NULL }, error, sizeof(error)));
	ck_assert(o.wants_help);
}
END_TEST

UNIT_MAIN("storm options", {
	tcase_add_test(tc, without_options_a_thousand_wake_in_a_tenth_of_a_second);
	tcase_add_test(tc, options_may_come_before_and_after_the_uri);
	tcase_add_loop_test(tc, wrong_usage_is_told, 0, N_ELEMENTS(refused));
	tcase_add_test(tc, help_needs_no_uri);
})
