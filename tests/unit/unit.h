/*
 * unit.h - what every unit test program shares: its main(). One program a module: tests/unit/test_x.c tests src/.../x.c.
 *
 *	START_TEST(what_it_claims) { ... } END_TEST
 *	UNIT_MAIN("x", { tcase_add_test(tc, what_it_claims); tcase_add_loop_test(tc, table_test, 0, N_ELEMENTS(cases)); })
 */
#ifndef PGWEIR_UNIT_H
#define PGWEIR_UNIT_H

#include <check.h>
#include <stdlib.h>

#define UNIT_MAIN(name, add)                                                                                 \
	int main(void)                                                                                       \
	{                                                                                                    \
		Suite *suite = suite_create(name);                                                           \
		TCase *tc = tcase_create(name);                                                              \
		SRunner *runner;                                                                             \
		int failed;                                                                                  \
		tcase_set_timeout(tc, 60);                                                                   \
		add suite_add_tcase(suite, tc);                                                              \
		runner = srunner_create(suite);                                                              \
		srunner_run_all(runner, CK_ENV);                                                             \
		failed = srunner_ntests_failed(runner);                                                      \
		srunner_free(runner);                                                                        \
		return failed ? EXIT_FAILURE : EXIT_SUCCESS;                                                 \
	}

#endif
