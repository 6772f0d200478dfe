#include "core/process.h"
#include "unit.h"

#include <sched.h>

/* This thread, and what it asks for its process, may use so many of its CPUs. */
static void use_cpus(const cpu_set_t *all, int n)
{
	cpu_set_t few;

	CPU_ZERO(&few);
	for (int cpu = 0; n > 0 && cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, all)) {
			CPU_SET(cpu, &few);
			n--;
		}
	}
	ck_assert_int_eq(sched_setaffinity(0, sizeof(few), &few), 0);
}

START_TEST(a_configured_number_is_taken)
{
	ck_assert_int_eq(process_worker_count(3, 127), 3);
	ck_assert_int_eq(process_worker_count(200, 127), 127);
	ck_assert_int_eq(process_login_thread_count(3), 3);
}
END_TEST

START_TEST(auto_is_a_worker_for_each_cpu_and_a_login_thread_for_each_four)
{
	cpu_set_t all;
	int cpus;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	cpus = process_worker_count(0, 127); /* fewer than the set's where a control group has a quota */
	for (int n = 1; n <= cpus; n++) {
		use_cpus(&all, n);
		ck_assert_int_eq(process_worker_count(0, 127), n);
		ck_assert_int_eq(process_login_thread_count(0), n < 4 ? 1 : n / 4);
	}
	sched_setaffinity(0, sizeof(all), &all);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, a_configured_number_is_taken);
	tcase_add_test(tc, auto_is_a_worker_for_each_cpu_and_a_login_thread_for_each_four);
}

UNIT_MAIN("process", { add_tests(tc); })
