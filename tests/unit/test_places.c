/*
 * Poolers that share a PostgreSQL, simulated: time is the test's, a login takes LOGIN, a transaction WORK, and everybody always wants more.
 */
#include "pool/places.h"
#include "unit.h"

#define STEP (10 * USEC_PER_MSEC)
#define WORK (20 * USEC_PER_MSEC) /* after so long a server comes free and can be closed */
#define CENSUS (10 * USEC_PER_SEC)
#define POOLERS 3

struct pooler {
	struct places places;
	int size, have, to_give;
	usec_t free_at;
	bool is_idle;
	uint64_t opened, refused, held; /* held: servers x steps */
};

struct town {
	struct pooler poolers[POOLERS];
	int n, places;
	usec_t now;
};

static int used(const struct town *t)
{
	int n = 0;

	for (int i = 0; i < t->n; i++)
		n += t->poolers[i].have;
	return n;
}

static struct town town_of(int places, int n, int size)
{
	struct town t = { .n = n, .places = places, .now = 1000 * USEC_PER_SEC };

	for (int i = 0; i < n; i++)
		t.poolers[i] = (struct pooler){ .size = size };
	return t;
}

static bool open_one(struct town *t, struct pooler *p)
{
	enum places_answer a = places_may_open(&p->places, p->have, t->now);

	if (p->have >= p->size || a == PLACES_NO)
		return false;
	if (a == PLACES_TRY) {
		places_trying(&p->places, p->have);
		p->to_give = 0;
	}
	if (used(t) < t->places) {
		p->have++;
		p->opened++;
		places_opened(&p->places, p->have, t->now);
		return true;
	}
	p->refused++;
	p->to_give += places_refused(&p->places, p->have, t->now);
	return false;
}

static void step(struct town *t, struct pooler *p)
{
	if (p->is_idle)
		return;
	while (p->to_give && t->now >= p->free_at) {
		p->have--;
		p->to_give--;
		p->free_at = t->now + WORK / (usec_t)p->have;
	}
	while (open_one(t, p))
		;
	if (p->have == p->size && places_wants_census(&p->places, p->have, t->now, CENSUS))
		p->to_give += places_census(&p->places, p->have, used(t) >= t->places, t->now);
	p->held += (uint64_t)p->have;
}

static void run(struct town *t, usec_t time)
{
	for (usec_t end = t->now + time; t->now < end; t->now += STEP)
		for (int i = 0; i < t->n; i++)
			step(t, &t->poolers[(i + (int)(t->now / STEP)) % t->n]);
}

/* Runs on and gives the means over that time. */
static void means(struct town *t, usec_t time, double out[POOLERS])
{
	uint64_t before[POOLERS] = { 0 };

	ck_assert_int_le(t->n, POOLERS);
	for (int i = 0; i < t->n; i++)
		before[i] = t->poolers[i].held;
	run(t, time);
	for (int i = 0; i < t->n; i++)
		out[i] = (double)(t->poolers[i].held - before[i]) * (double)STEP / (double)time;
}

START_TEST(without_a_refusal_there_is_no_limit)
{
	struct town t = town_of(40, 1, 30);

	run(&t, STEP);
	ck_assert_int_eq(t.poolers[0].have, 30);
	run(&t, 600 * USEC_PER_SEC);
	ck_assert_int_eq(t.poolers[0].have, 30);
	ck_assert_uint_eq(t.poolers[0].opened, 30);
	ck_assert(!t.poolers[0].places.is_limited);
}
END_TEST

START_TEST(few_places_are_used_fully)
{
	struct town t = town_of(5, 1, 20);
	double m[POOLERS] = { 0 };

	srandom((unsigned)_i);
	run(&t, STEP);
	ck_assert_int_eq(t.poolers[0].have, 5);
	means(&t, 300 * USEC_PER_SEC, m);
	ck_assert_double_gt(m[0], 4.9);
	ck_assert_uint_lt(t.poolers[0].refused, 600 + 1); /* a try takes at least PLACES_TRY_MIN */
	t.places = 12;					  /* more come: all are found within a try */
	run(&t, 2 * USEC_PER_SEC + PLACES_LEFT_ALONE);
	ck_assert_int_ge(t.poolers[0].have, 10); /* but for what it gives just now */
	t.places = 40;
	run(&t, 2 * USEC_PER_SEC + PLACES_LEFT_ALONE);
	ck_assert_int_eq(t.poolers[0].have, 20);
}
END_TEST

START_TEST(no_place_at_all_is_asked_for_again)
{
	struct town t = town_of(0, 1, 20);

	run(&t, 60 * USEC_PER_SEC);
	ck_assert_int_eq(t.poolers[0].have, 0);
	ck_assert_uint_ge(t.poolers[0].refused, 60);
	ck_assert_uint_le(t.poolers[0].refused, 121);
	t.places = 1;
	run(&t, PLACES_TRY_MAX + STEP);
	ck_assert_int_eq(t.poolers[0].have, 1);
	run(&t, 600 * USEC_PER_SEC); /* the last one isn't given back */
	ck_assert_uint_eq(t.poolers[0].opened, 1);
}
END_TEST

/* The first had taken all that its size allows before the second came. */
START_TEST(two_poolers_come_to_the_same_size)
{
	struct town t = town_of(37, 2, 30);
	double m[POOLERS] = { 0 };

	srandom((unsigned)_i);
	t.poolers[1].is_idle = true;
	run(&t, 30 * USEC_PER_SEC);
	ck_assert_int_eq(t.poolers[0].have, 30);
	t.poolers[1].is_idle = false;
	run(&t, 90 * USEC_PER_SEC);
	means(&t, 60 * USEC_PER_SEC, m);
	ck_assert_msg(m[0] > 11 && m[0] < 25 && m[1] > 11 && m[1] < 25, "%.1f and %.1f", m[0], m[1]);
	ck_assert_double_gt(m[0] + m[1], 34.5);

	t.poolers[0].is_idle = true; /* it stops */
	t.poolers[0].have = 0;
	run(&t, 5 * USEC_PER_SEC);
	ck_assert_int_ge(t.poolers[1].have, 29);
}
END_TEST

START_TEST(three_poolers_too)
{
	struct town t = town_of(40, 3, 100);
	double m[POOLERS] = { 0 };

	srandom((unsigned)_i + 100);
	run(&t, 120 * USEC_PER_SEC);
	means(&t, 60 * USEC_PER_SEC, m);
	for (int i = 0; i < 3; i++)
		ck_assert_msg(m[i] > 6 && m[i] < 23, "%d: %.1f", i, m[i]);
	ck_assert_double_gt(m[0] + m[1] + m[2], 36.5); /* what is given back is out of use for a moment only */
}
END_TEST

UNIT_MAIN("places", {
	tcase_add_test(tc, without_a_refusal_there_is_no_limit);
	tcase_add_loop_test(tc, few_places_are_used_fully, 0, 20);
	tcase_add_test(tc, no_place_at_all_is_asked_for_again);
	tcase_add_loop_test(tc, two_poolers_come_to_the_same_size, 0, 50);
	tcase_add_loop_test(tc, three_poolers_too, 0, 20);
})
