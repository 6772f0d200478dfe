#include "core/ebb.h"

#include "unit.h"

#define LOOKS 6

static const struct {
	const char *name;
	struct {
		uint64_t clients, ever;
	} looks[LOOKS];
	int want; /* at which look it's the time; -1: never */
} courses[] = {
	{ "nobody", { { 0, 0 } }, -1 },
	{ "a storm that ends", { { 5000, 5000 }, { 3000, 5000 }, { 0, 5000 }, { 0, 5000 } }, 3 },
	{ "still going",
		{ { 5000, 5000 }, { 3000, 5000 }, { 2000, 5000 }, { 1000, 5000 }, { 500, 5000 }, { 0, 5000 } }, -1 },
	{ "they came and went between two looks", { { 0, 0 }, { 0, 5000 }, { 0, 5000 } }, 2 },
	{ "a few remain, and come and go", { { 5000, 5000 }, { 40, 5000 }, { 60, 5020 }, { 30, 5040 } }, 2 },
	{ "as many come as go",
		{ { 100, 1000 }, { 100, 1200 }, { 100, 1400 }, { 100, 1600 }, { 100, 1800 }, { 100, 2000 } }, -1 },
	{ "all remain", { { 5000, 5000 } }, -1 },
	{ "too few to matter", { { 255, 255 }, { 0, 255 }, { 0, 255 } }, -1 },
	{ "just enough", { { 256, 256 }, { 0, 256 }, { 0, 256 } }, 2 },
	{ "one read before, one after a login", { { 0, 0 }, { 10, 9 }, { 0, 10 } }, -1 },
};

START_TEST(the_time_is_when_many_have_left_and_it_is_quiet)
{
	struct ebb e = { 0 };
	int last = LOOKS - 1;

	while (last > 0 && courses[_i].looks[last].ever == 0)
		last--;
	for (int i = 0; i <= last; i++)
		ck_assert_msg(ebb_look(&e, courses[_i].looks[i].clients, courses[_i].looks[i].ever) ==
				(i == courses[_i].want),
			"%s: look %d", courses[_i].name, i);
}
END_TEST

START_TEST(each_storm_ends_once)
{
	struct ebb e = { 0 };

	for (uint64_t storm = 1; storm < 4; storm++) {
		ck_assert(!ebb_look(&e, 1000, 1000 * storm));
		ck_assert(!ebb_look(&e, 0, 1000 * storm));
		ck_assert(ebb_look(&e, 0, 1000 * storm));
		ck_assert(!ebb_look(&e, 0, 1000 * storm));
	}
}
END_TEST

UNIT_MAIN("ebb", {
	tcase_add_loop_test(tc, the_time_is_when_many_have_left_and_it_is_quiet, 0, N_ELEMENTS(courses));
	tcase_add_test(tc, each_storm_ends_once);
})
