#include "base/repeats.h"

#include "unit.h"

#define S USEC_PER_SEC

static const struct {
	const char *name;
	struct {
		uint64_t kind;
		usec_t at;
		bool passes;
		uint64_t held_back;
	} steps[6];
} courses[] = {
	{ "alone", { { 1, 5 * S, true, 0 } } },
	{ "again and again",
		{ { 1, 5 * S, true, 0 }, { 1, 6 * S, false, 0 }, { 1, 14 * S, false, 0 },
			{ 1, 15 * S, true, 2 }, { 1, 16 * S, false, 0 }, { 1, 26 * S, true, 1 } } },
	{ "of two kinds",
		{ { 1, 5 * S, true, 0 }, { 2, 5 * S, true, 0 }, { 1, 6 * S, false, 0 },
			{ 2, 15 * S, true, 0 }, { 1, 15 * S, true, 1 } } },
	{ "of two that share a place",
		{ { 1, 5 * S, true, 0 }, { 1 + REPEATS_KINDS, 6 * S, true, 0 }, { 1, 7 * S, true, 0 } } },
	{ "of kind 0", { { 0, 5 * S, true, 0 }, { 0, 6 * S, false, 0 } } },
};

START_TEST(one_in_a_while_gets_through)
{
	struct repeats r = { 0 };

	for (size_t i = 0; i < N_ELEMENTS(courses[_i].steps) && courses[_i].steps[i].at; i++) {
		uint64_t held_back;

		ck_assert_msg(repeats_pass(&r, courses[_i].steps[i].kind, courses[_i].steps[i].at, &held_back) ==
				courses[_i].steps[i].passes,
			"%s: %zu", courses[_i].name, i);
		ck_assert_uint_eq(held_back, courses[_i].steps[i].held_back);
	}
}
END_TEST

UNIT_MAIN("repeats", { tcase_add_loop_test(tc, one_in_a_while_gets_through, 0, N_ELEMENTS(courses)); })
