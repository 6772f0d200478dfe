#include "net/loop.h"

#include "unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

struct owner {
	struct loop loop;
	struct message message;
	struct doomed doomed[2];
	char log[128];
	int ticks;
	usec_t again;
};

static void note(struct owner *o, const char *what)
{
	snprintf(o->log + strlen(o->log), sizeof(o->log) - strlen(o->log), "%s ", what);
}

static usec_t tick(void *arg)
{
	struct owner *o = arg;

	note(o, "tick");
	if (++o->ticks == 3)
		loop_stop(&o->loop);
	return o->again;
}

static void round_end(void *arg)
{
	note(arg, "end");
}

static void free_first(struct doomed *d)
{
	struct owner *o = CONTAINER_OF(d, struct owner, doomed[0]);

	note(o, "freed");
	loop_doom(&o->loop, &o->doomed[1]); /* its end brings another's */
}

static void free_second(struct doomed *d)
{
	note(CONTAINER_OF(d, struct owner, doomed[1]), "freed");
}

static void deliver(struct message *m, void *arg)
{
	struct owner *o = arg;

	ck_assert_ptr_eq(m, &o->message);
	note(o, "message");
	o->doomed[0].free = free_first;
	o->doomed[1].free = free_second;
	loop_doom(&o->loop, &o->doomed[0]);
	loop_stop(&o->loop);
}

static void discard(struct message *m)
{
	note(CONTAINER_OF(m, struct owner, message), "discarded");
}

static void post(struct owner *o)
{
	o->message = (struct message){ .deliver = deliver, .discard = discard };
	mailbox_post(&o->loop.mailbox, &o->message);
}

START_TEST(the_tick_comes_again_as_it_asks)
{
	struct owner o = { .again = USEC_PER_MSEC };

	loop_init(&o.loop, &o, tick);
	loop_run(&o.loop);
	ck_assert_str_eq(o.log, "tick tick tick ");
	ck_assert_uint_ne(o.loop.now, 0);
	loop_destroy(&o.loop);
}
END_TEST

START_TEST(a_tick_can_be_called_early)
{
	struct owner o = { .again = USEC_PER_SEC };

	loop_init(&o.loop, &o, tick);
	for (int i = 0; i < 3; i++) { /* each would take a second otherwise */
		usec_t before = clock_now();

		loop_tick_soon(&o.loop);
		o.loop.is_stopped = false;
		o.ticks = 2; /* the next one stops */
		loop_run(&o.loop);
		ck_assert_uint_lt(clock_now() - before, USEC_PER_SEC / 2);
	}
	ck_assert_str_eq(o.log, "tick tick tick ");
	loop_destroy(&o.loop);
}
END_TEST

START_TEST(what_is_doomed_is_freed_when_the_round_has_ended)
{
	struct owner o = { .ticks = 0 };

	loop_init(&o.loop, &o, NULL);
	o.loop.round_end = round_end;
	post(&o);
	loop_run(&o.loop);
	ck_assert_str_eq(o.log, "message end freed freed ");
	loop_destroy(&o.loop);
}
END_TEST

START_TEST(teardown_discards_and_frees)
{
	struct owner o = { .ticks = 0 };

	loop_init(&o.loop, &o, NULL);
	post(&o);
	o.doomed[1].free = free_second;
	loop_doom(&o.loop, &o.doomed[1]);
	loop_destroy(&o.loop);
	ck_assert_str_eq(o.log, "discarded freed ");
}
END_TEST

static void *assert_own(void *loop)
{
	loop_assert_own(loop);
	return NULL;
}

START_TEST(it_belongs_to_the_thread_that_runs_it)
{
	struct owner o = { .ticks = 0 };

	loop_init(&o.loop, &o, NULL);
	loop_assert_own(&o.loop);
	loop_destroy(&o.loop);
}
END_TEST

START_TEST(another_thread_may_not_touch_it)
{
	struct owner o = { .ticks = 0 };
	pthread_t other;

	loop_init(&o.loop, &o, NULL);
	pthread_create(&other, NULL, assert_own, &o.loop);
	pthread_join(other, NULL);
}
END_TEST

UNIT_MAIN("loop", {
	tcase_add_test(tc, the_tick_comes_again_as_it_asks);
	tcase_add_test(tc, a_tick_can_be_called_early);
	tcase_add_test(tc, what_is_doomed_is_freed_when_the_round_has_ended);
	tcase_add_test(tc, teardown_discards_and_frees);
	tcase_add_test(tc, it_belongs_to_the_thread_that_runs_it);
	tcase_add_test_raise_signal(tc, another_thread_may_not_touch_it, SIGABRT);
})
