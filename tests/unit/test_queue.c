#include "pool/queue.h"

#include "unit.h"

#include <string.h>

#define MS USEC_PER_MSEC
#define MANY 64

struct rig {
	struct queue q;
	struct waiter w[MANY];
	usec_t now;
};

static void setup(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	queue_init(&r->q);
	queue_set_quantum(&r->q, 10 * MS);
	r->now = 1000 * MS;
}

static struct waiter *push(struct rig *r, int i, uint64_t flow)
{
	struct waiter *w = &r->w[i];

	w->since = r->now++;
	w->flow_key = flow;
	queue_push(&r->q, w, w->since);
	return w;
}

static int number(const struct rig *r, const struct waiter *w)
{
	return w ? (int)(w - r->w) : -1;
}

/* Serves whose turn it is, for so long. Its number. */
static int serve(struct rig *r, usec_t used)
{
	usec_t charged;
	struct waiter *next = queue_next(&r->q), *w = queue_take(&r->q, r->now, &charged);

	ck_assert_ptr_eq(w, next);
	r->now += used;
	if (w)
		queue_charge(&r->q, w->flow_key, charged, used);
	return number(r, w);
}

static void finish(struct rig *r)
{
	while (queue_next(&r->q))
		queue_remove(&r->q, queue_next(&r->q));
	ck_assert_uint_eq(r->q.count, 0);
	ck_assert_uint_eq(queue_since(&r->q), 0);
	ck_assert_uint_eq(queue_oldest(&r->q), 0);
	queue_free(&r->q);
}

START_TEST(first_come_first_served)
{
	struct rig r;

	setup(&r);
	for (int i = 0; i < 5; i++)
		push(&r, i, 0);
	queue_remove(&r.q, &r.w[2]);
	queue_remove(&r.q, &r.w[2]);
	ck_assert_uint_eq(queue_since(&r.q), r.w[0].since);
	for (int i = 0; i < 5; i++)
		if (i != 2)
			ck_assert_int_eq(serve(&r, MS), i);
	ck_assert_int_eq(serve(&r, MS), -1);
	finish(&r);
}
END_TEST

START_TEST(priority_goes_before_everybody)
{
	static const int order[] = { 2, 3, 0, 1 };
	struct rig r;

	setup(&r);
	push(&r, 0, 0);
	push(&r, 1, 7);
	r.w[2].is_priority = r.w[3].is_priority = true;
	push(&r, 2, 7);
	push(&r, 3, 0);
	ck_assert_uint_lt(queue_since(&r.q), r.w[0].since); /* other workers see that, too */
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(serve(&r, MS), order[i]);
	finish(&r);
}
END_TEST

/* How many of n grants each of two flows gets, that always have somebody waiting and whose uses take so long. */
static void compete(struct rig *r, const unsigned weights[2], const usec_t uses[2], int n, usec_t got[2])
{
	setup(r);
	got[0] = got[1] = 0;
	for (int i = 0; i < 8; i++) {
		r->w[i].weight = (uint16_t)weights[i % 2];
		push(r, i, 1 + (uint64_t)i % 2);
	}
	for (int i = 0; i < n; i++) {
		usec_t use = uses[number(r, queue_next(&r->q)) % 2];
		int who = serve(r, use);

		got[who % 2] += use;
		push(r, who, 1 + (uint64_t)who % 2);
	}
	finish(r);
}

static const struct {
	const char *name;
	unsigned weights[2];
	usec_t uses[2];
	double share; /* of server time, the second's over the first's */
} contests[] = {
	{ "alike", { 1, 1 }, { 10 * MS, 10 * MS }, 1 },
	{ "no weight is one", { 0, 1 }, { 10 * MS, 10 * MS }, 1 },
	{ "short ones get more turns", { 1, 1 }, { 40 * MS, 10 * MS }, 1 },
	{ "much shorter than a quantum", { 1, 1 }, { 2 * MS, 1 * MS }, 1 },
	{ "three times the weight", { 1, 3 }, { 10 * MS, 10 * MS }, 3 },
	{ "weight and length", { 1, 3 }, { 10 * MS, 50 * MS }, 3 },
};

START_TEST(flows_share_server_time_by_weight)
{
	struct rig r;
	usec_t got[2];
	double share;

	compete(&r, contests[_i].weights, contests[_i].uses, 4000, got);
	share = (double)got[1] / (double)got[0];
	ck_assert_msg(share > contests[_i].share * 0.9 && share < contests[_i].share * 1.1, "%s: %.2f",
		contests[_i].name, share);
}
END_TEST

START_TEST(one_of_a_small_flow_waits_for_one_turn_of_the_crowd)
{
	struct rig r;

	setup(&r);
	for (int i = 0; i < 50; i++)
		push(&r, i, 1);
	ck_assert_int_eq(serve(&r, 10 * MS), 0);
	push(&r, 50, 2);
	ck_assert_uint_eq(queue_ahead(&r.q, &r.w[50]), 3); /* once more: behind itself and two turns of the crowd */
	for (int i = 1; serve(&r, 10 * MS) != 50; i++)
		ck_assert_int_lt(i, 3);
	finish(&r);
}
END_TEST

START_TEST(what_was_used_too_much_is_remembered_and_then_forgotten)
{
	struct rig r;

	setup(&r);
	push(&r, 0, 1);
	ck_assert_int_eq(serve(&r, 100 * MS), 0); /* ten turns' worth */
	for (int i = 1; i < 20; i++)
		push(&r, i, 2);
	push(&r, 0, 1);
	for (int i = 1; i < 9; i++)
		ck_assert_int_eq(serve(&r, 10 * MS), i);
	while (serve(&r, 10 * MS) != 0)
		;
	queue_forget(&r.q, r.now + USEC_PER_SEC / 2);
	ck_assert_uint_eq(queue_flows(&r.q), 2);
	while (queue_next(&r.q))
		queue_remove(&r.q, queue_next(&r.q));
	queue_forget(&r.q, r.now + 2 * USEC_PER_SEC);
	ck_assert_uint_eq(queue_flows(&r.q), 0);
	queue_charge(&r.q, 1, 0, MS); /* of a flow that is forgotten */
	finish(&r);
}
END_TEST

START_TEST(a_debt_is_bounded)
{
	struct rig r;
	int n = 0;

	setup(&r);
	push(&r, 0, 1);
	serve(&r, 3600 * USEC_PER_SEC);
	push(&r, 0, 1);
	for (int i = 1; i < 3; i++)
		push(&r, i, 2);
	for (int who; (who = serve(&r, 10 * MS)) != 0; n++)
		push(&r, who, 2);
	ck_assert_int_gt(n, 50);
	ck_assert_int_lt(n, 70);
	finish(&r);
}
END_TEST

START_TEST(a_queue_says_since_when_its_next_has_gone_without)
{
	struct rig r;
	usec_t served;

	setup(&r);
	for (int i = 0; i < 4; i++)
		push(&r, i, 1);
	ck_assert_uint_eq(queue_since(&r.q), r.w[0].since);
	served = r.now;
	serve(&r, MS);
	ck_assert_uint_eq(queue_since(&r.q), served); /* although the next one has waited for longer */
	ck_assert_uint_eq(queue_oldest(&r.q), r.w[1].since);
	finish(&r);
}
END_TEST

struct seen {
	struct queue *q;
	unsigned n;
};

static bool remove_it(void *ctx, struct waiter *w)
{
	struct seen *s = ctx;

	queue_remove(s->q, w);
	s->n++;
	return true;
}

static bool count_it(void *ctx, struct waiter *w)
{
	struct seen *s = ctx;

	(void)w;
	s->n++;
	return true;
}

START_TEST(deadlines_are_found_in_whatever_order_they_come)
{
	static const usec_t deadlines[] = { 50, 10, 0, 30, 20, 40 };
	struct rig r;
	struct seen s = { .q = &r.q };

	setup(&r);
	for (int i = 0; i < 6; i++) {
		r.w[i].deadline = deadlines[i] ? r.now + deadlines[i] * USEC_PER_SEC : 0;
		r.w[i].is_priority = i == 4;
		push(&r, i, i == 5 ? 3 : 0);
	}
	for (unsigned i = 0; i < 7; i++) {
		queue_expired(&r.q, r.now + (5 + i * 10) * USEC_PER_SEC, remove_it, &s);
		ck_assert_uint_eq(s.n, MIN(i, 5));
	}
	ck_assert_int_eq(number(&r, queue_next(&r.q)), 2);
	ck_assert_uint_eq(r.q.next_deadline, 0);
	finish(&r);
}
END_TEST

START_TEST(those_who_have_waited_for_long_are_told_apart)
{
	struct rig r;
	struct seen s = { .q = &r.q };

	setup(&r);
	for (int i = 0; i < 10; i++)
		push(&r, i, (uint64_t)i % 3);
	queue_each_since(&r.q, r.w[6].since, count_it, &s);
	ck_assert_uint_eq(s.n, 7);
	queue_each(&r.q, count_it, &s);
	ck_assert_uint_eq(s.n, 17);
	finish(&r);
}
END_TEST

UNIT_MAIN("queue", {
	tcase_add_test(tc, first_come_first_served);
	tcase_add_test(tc, priority_goes_before_everybody);
	tcase_add_loop_test(tc, flows_share_server_time_by_weight, 0, N_ELEMENTS(contests));
	tcase_add_test(tc, one_of_a_small_flow_waits_for_one_turn_of_the_crowd);
	tcase_add_test(tc, what_was_used_too_much_is_remembered_and_then_forgotten);
	tcase_add_test(tc, a_debt_is_bounded);
	tcase_add_test(tc, a_queue_says_since_when_its_next_has_gone_without);
	tcase_add_test(tc, deadlines_are_found_in_whatever_order_they_come);
	tcase_add_test(tc, those_who_have_waited_for_long_are_told_apart);
})
