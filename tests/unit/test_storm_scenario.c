#include "storm/scenario.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static bool read_text(struct scenario *s, const char *text, char *error, size_t size)
{
	return scenario_read_text(s, "f.ini", text, strlen(text), error, size) && scenario_finish(s, error, size);
}

static const char two_phases[] = "[storm]\n"
				 "target = host=a user=u\n"
				 "retries = 3\n"
				 "hold = 1.5\n"
				 "[phase steady]\n"
				 "functions = 20\n"
				 "pace = 100\n"
				 "duration = 4\n"
				 "sql = select 1; -- a ; in it\n"
				 "[phase cold start]\n"
				 "; a comment\n"
				 "start = 1\n"
				 "rate = 500\n"
				 "window = 2\n"
				 "arrival = poisson\n"
				 "retries = 0\n"
				 "target = host=b user=u\n";

START_TEST(phases_inherit_from_storm_and_have_their_own)
{
	struct scenario s;
	char error[256] = "";

	scenario_init(&s);
	ck_assert_msg(read_text(&s, two_phases, error, sizeof(error)), "%s", error);
	ck_assert_uint_eq(s.n_phases, 2);
	ck_assert_uint_eq(s.hold, 1500000);
	ck_assert_str_eq(s.phases[0].name, "steady");
	ck_assert_str_eq(s.phases[0].target, "host=a user=u");
	ck_assert_str_eq(s.phases[0].sql, "select 1; -- a ; in it");
	ck_assert_uint_eq(s.phases[0].retries, 3);
	ck_assert_uint_eq(s.phases[0].invocations, 400);
	ck_assert_str_eq(s.phases[1].name, "cold start");
	ck_assert_str_eq(s.phases[1].target, "host=b user=u");
	ck_assert_uint_eq(s.phases[1].retries, 0);
	ck_assert_uint_eq(s.phases[1].functions, 1000);
	ck_assert_uint_eq(s.phases[1].start, USEC_PER_SEC);
	ck_assert_int_eq(s.phases[1].arrival, ARRIVAL_POISSON);
	scenario_free(&s);
}
END_TEST

START_TEST(the_command_line_goes_before_the_file)
{
	struct scenario s;
	char error[256] = "";

	scenario_init(&s);
	ck_assert(scenario_set(&s, "hold", "9", error, sizeof(error)));
	ck_assert(scenario_set(&s, "target", "host=mine user=u", error, sizeof(error)));
	ck_assert_msg(read_text(&s, two_phases, error, sizeof(error)), "%s", error);
	ck_assert_uint_eq(s.hold, 9 * USEC_PER_SEC);
	ck_assert_str_eq(s.phases[0].target, "host=mine user=u");
	ck_assert_str_eq(s.phases[1].target, "host=b user=u"); /* what a phase has of its own stays */
	scenario_free(&s);
}
END_TEST

#define T "target=host=a user=u\n"

static const struct {
	const char *text, *error;
} refused[] = {
	{ "", "f.ini:1: there is no section [phase NAME]" },
	{ "[storm]\n" T, "f.ini:1: there is no section [phase NAME]" },
	{ "functions = 1\n", "f.ini:1: a section [storm] or [phase NAME] must come first" },
	{ "[phases]\n", "f.ini:1: a section is [storm] or [phase NAME]" },
	{ "[phase ]\n", "f.ini:1: a phase's name has 1 to 40 letters, digits, blanks, _ . or -, as in [phase cold start]" },
	{ "[phase a<b]\n",
		"f.ini:1: a phase's name has 1 to 40 letters, digits, blanks, _ . or -, as in [phase cold start]" },
	{ "[phase a]\n" T "[phase a]\n", "f.ini:3: there is a phase of this name already" },
	{ "[phase a]\n" T "[storm]\n", "f.ini:3: [storm] holds defaults: it comes before the first phase" },
	{ "[phase a]\n\nfunction = 5\n", "f.ini:3: unknown key function" },
	{ "[phase a]\nno-progress = 1\n", "f.ini:2: unknown key no-progress" },
	{ "[phase a]\nfunctions = 5\nfunctions = 6\n", "f.ini:3: functions was said before in this section" },
	{ "[phase a]\nfunctions = many\n", "f.ini:2: functions can't be 'many'" },
	{ "[phase a]\nafter = \x1b[2J\n", "f.ini:2: after can't be '?[2J'" },
	{ "[phase a]\nhold = 5\n", "f.ini:2: hold belongs to [storm]" },
	{ "[phase a]\nfunctions = 5\n", "f.ini:1: where to? a target (URI or conninfo string) is missing" },
	{ "[storm]\n" T "[phase a]\nfunctions=5\nwindow=1\nrate=5\n",
		"f.ini:3: two of functions, window and rate are enough: the third follows" },
	{ "[phase a]\n" T "rate = 0.001\n", "f.ini:1: at this rate the last function comes after more than an hour" },
	{ "[phase a]\n" T "rate = 100000\nwindow=60\n", "f.ini:1: rate times window must give 1 to 100000 functions" },
	{ "[phase a]\n" T "pace = 5\n", "f.ini:1: a pace needs either a duration or a number of invocations" },
	{ "[phase a]\n" T "duration = 5\n", "f.ini:1: duration is for functions with a pace" },
	{ "[phase a]\n" T "pace = 5\nduration=1\nthink=1\n",
		"f.ini:1: with a pace there is nothing to think: the next transaction is due when it's due" },
	{ "[phase a]\n" T "thaw = 5\n", "f.ini:1: thaw is for after=freeze" },
	{ "[phase a]\n" T "at = query\n", "f.ini:1: only after=freeze, drop or crash can come in the middle (at)" },
	{ "[phase a]\n" T "after = freeze\nat = end\n",
		"f.ini:1: after=freeze is for the middle of something: at=transaction, query or message" },
	{ "[phase a]\n" T "after = freeze\nwork = query\n",
		"f.ini:1: work=query or login opens no transaction in which to freeze or vanish" },
	{ "[phase a]\n" T "work = login\nafter = drop\nat = message\n",
		"f.ini:1: work=login sends no query in which to freeze or vanish" },
	{ "[phase a]\n" T "work = login\ninvocations = 2\n",
		"f.ini:1: work=login is done once: it has neither pace nor invocations" },
	{ "[phase a]\n" T "start = 200\n", "f.ini:1: it would go on beyond the deadline of the run" },
	{ "[storm]\n" T "[phase a]\nfunctions=60000\n[phase b]\nfunctions=60000\n",
		"f.ini:5: up to this phase there are more than 100000 functions" },
};

START_TEST(a_mistake_is_told_with_its_line)
{
	struct scenario s;
	char error[256] = "";

	scenario_init(&s);
	ck_assert_msg(!read_text(&s, refused[_i].text, error, sizeof(error)), "%s", refused[_i].text);
	ck_assert_str_eq(error, refused[_i].error);
	scenario_free(&s);
}
END_TEST

START_TEST(a_target_is_never_shown)
{
	struct scenario s;
	char error[512] = "", *text = xasprintf("[phase a]\ntarget = secret%070000d\n", 0);

	scenario_init(&s);
	ck_assert(!read_text(&s, text, error, sizeof(error)));
	ck_assert_str_eq(error, "f.ini:2: target is too long");
	scenario_free(&s);
	free(text);
}
END_TEST

START_TEST(phases_are_bounded)
{
	struct scenario s;
	char error[256] = "", text[2048] = "";

	for (int i = 0; i <= PHASES_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "[phase p%d]\n", i);
	scenario_init(&s);
	ck_assert(!read_text(&s, text, error, sizeof(error)));
	ck_assert_str_eq(error, "f.ini:33: there are more than 32 phases");
	scenario_free(&s);
}
END_TEST

UNIT_MAIN("storm scenario", {
	tcase_add_test(tc, phases_inherit_from_storm_and_have_their_own);
	tcase_add_test(tc, the_command_line_goes_before_the_file);
	tcase_add_loop_test(tc, a_mistake_is_told_with_its_line, 0, N_ELEMENTS(refused));
	tcase_add_test(tc, a_target_is_never_shown);
	tcase_add_test(tc, phases_are_bounded);
})
