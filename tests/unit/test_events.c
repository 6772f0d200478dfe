#include "base/events.h"
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Each test is a process of its own: check forks. */

START_TEST(events_are_kept_in_order_over_all_kinds)
{
	static const enum event_kind kinds[] = { EVENT_RELOAD, EVENT_HOLD, EVENT_RELOAD, EVENT_STORM };
	struct noted_event *e;
	size_t n;

	ck_assert_ptr_null(events_copy(&n));
	ck_assert_uint_eq(n, 0);
	for (unsigned i = 0; i < N_ELEMENTS(kinds); i++)
		events_add(kinds[i], "number %u", i);
	e = events_copy(&n);
	ck_assert_uint_eq(n, N_ELEMENTS(kinds));
	for (unsigned i = 0; i < n; i++) {
		char want[16];

		snprintf(want, sizeof(want), "number %u", i);
		ck_assert_str_eq(e[i].text, want);
		ck_assert_int_eq(e[i].kind, kinds[i]);
		ck_assert_uint_eq(e[i].times, 1);
		ck_assert_uint_gt(e[i].first, UINT64_C(1700000000) * USEC_PER_SEC); /* not since the machine's start */
		ck_assert(!i || (e[i].number > e[i - 1].number && e[i].first >= e[i - 1].first));
	}
	free(e);
}
END_TEST

START_TEST(a_repeated_event_is_counted_where_it_is)
{
	struct noted_event *e;
	size_t n;

	for (int i = 0; i < 3; i++)
		events_add(EVENT_SHED, "pool app/bob");
	events_add(EVENT_HOLD, "a");
	events_add(EVENT_SHED, "pool app/bob"); /* another kind in between doesn't matter */
	events_add(EVENT_SHED, "pool app/eve");
	events_add(EVENT_SHED, "pool app/bob");
	e = events_copy(&n);
	ck_assert_uint_eq(n, 4);
	ck_assert_uint_eq(e[0].times, 4);
	ck_assert_uint_ge(e[0].last, e[0].first);
	ck_assert_str_eq(e[1].text, "a");
	ck_assert_str_eq(e[3].text, "pool app/bob");
	ck_assert_uint_eq(e[3].times, 1);
	ck_assert_uint_eq(events_total(EVENT_SHED), 6);
	ck_assert_uint_eq(events_total(EVENT_LIFE), 0);
	free(e);
}
END_TEST

START_TEST(a_flood_of_one_kind_drives_out_its_own_oldest_only)
{
	struct noted_event *e;
	size_t n;

	events_add(EVENT_RELOAD, "the one reload");
	for (unsigned i = 0; i < 3 * EVENTS_KEPT + 5; i++)
		events_add(EVENT_SHED, "%u", i);
	e = events_copy(&n);
	ck_assert_uint_eq(n, EVENTS_KEPT + 1);
	ck_assert_str_eq(e[0].text, "the one reload");
	for (unsigned i = 1; i < n; i++) {
		char want[16];

		snprintf(want, sizeof(want), "%u", 2 * EVENTS_KEPT + 5 + i - 1);
		ck_assert_str_eq(e[i].text, want);
	}
	free(e);
}
END_TEST

START_TEST(texts_are_tidied_and_cut_between_characters)
{
	char name[EVENT_TEXT_MAX * 2] = "";
	struct noted_event *e;
	size_t n;

	events_add(EVENT_COMMAND, "by %s", "a\nb\x01\x7f");
	for (size_t i = 0; i + 2 < sizeof(name); i += 2)
		memcpy(name + i, "\xc3\xa4", 2);
	events_add(EVENT_COMMAND, "%s", name);
	events_add(EVENT_COMMAND, "x%s", name);
	e = events_copy(&n);
	ck_assert_uint_eq(n, 3);
	ck_assert_str_eq(e[0].text, "by a?b??");
	ck_assert_uint_eq(strlen(e[1].text), EVENT_TEXT_MAX - 2);
	ck_assert_uint_eq(strlen(e[2].text), EVENT_TEXT_MAX - 3);
	free(e);
}
END_TEST

static void *shout(void *unused)
{
	(void)unused;
	for (int i = 0; i < 500; i++)
		events_add(EVENT_HOLD, "%d", i);
	return NULL;
}

START_TEST(threads_may_add_while_others_read)
{
	pthread_t threads[4];
	struct noted_event *e;
	size_t n;

	for (size_t i = 0; i < N_ELEMENTS(threads); i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, shout, NULL), 0);
	for (int i = 0; i < 50; i++) {
		e = events_copy(&n);
		for (size_t k = 1; k < n; k++)
			ck_assert_uint_lt(e[k - 1].number, e[k].number);
		free(e);
	}
	for (size_t i = 0; i < N_ELEMENTS(threads); i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(events_total(EVENT_HOLD), 2000);
}
END_TEST

START_TEST(every_kind_has_a_name_of_its_own)
{
	for (int i = 0; i < EVENT_KINDS_N; i++) {
		for (int k = 0; k < i; k++)
			ck_assert_str_ne(event_kind_name((enum event_kind)i), event_kind_name((enum event_kind)k));
	}
}
END_TEST

UNIT_MAIN("events", {
	tcase_add_test(tc, events_are_kept_in_order_over_all_kinds);
	tcase_add_test(tc, a_repeated_event_is_counted_where_it_is);
	tcase_add_test(tc, a_flood_of_one_kind_drives_out_its_own_oldest_only);
	tcase_add_test(tc, texts_are_tidied_and_cut_between_characters);
	tcase_add_test(tc, threads_may_add_while_others_read);
	tcase_add_test(tc, every_kind_has_a_name_of_its_own);
})
