/*
 * fuzz_storm_scenario.c - a scenario's file is refused with its name and line, or becomes phases within all limits, and then reading
 * it once more gives the same. What it says of a target is in no error.
 */
#include "storm/scenario.h"

#include <stdlib.h>
#include <string.h>

#define SECRET "geheim"

static bool read_scenario(struct scenario *s, const uint8_t *data, size_t size, char *error, size_t error_size)
{
	scenario_init(s);
	*error = '\0';
	return scenario_set(s, "target", "host=h password=" SECRET, error, error_size) &&
		scenario_read_text(s, "f", (const char *)data, size, error, error_size) &&
		scenario_finish(s, error, error_size);
}

static void check_phase(const struct phase *p)
{
	ASSERT(p->name[0] && strlen(p->name) <= PHASE_NAME_MAX && !strpbrk(p->name, "<>&\"'\n"));
	ASSERT(p->target[0] && p->sql[0]);
	ASSERT(p->functions >= 1 && p->invocations >= 1 && p->jitter >= 0 && p->jitter <= 1);
	ASSERT(p->start + p->window + p->duration <= SECONDS_MAX * USEC_PER_SEC && p->timeout > 0);
	ASSERT(p->at == AT_END || p->after >= AFTER_FREEZE);
	ASSERT(p->at != AT_TRANSACTION || p->work == WORK_TRANSACTION);
	ASSERT((p->after == AFTER_FREEZE) <= (p->at != AT_END));
	ASSERT(p->thaw == 0 || p->after == AFTER_FREEZE);
}

static void check_scenario(const struct scenario *s)
{
	uint64_t functions = 0;

	ASSERT(s->n_phases >= 1 && s->n_phases <= PHASES_MAX);
	for (size_t i = 0; i < s->n_phases; i++) {
		check_phase(&s->phases[i]);
		functions += s->phases[i].functions;
	}
	ASSERT(functions <= FUNCTIONS_MAX);
}

static void check_same(const struct scenario *a, const struct scenario *b)
{
	ASSERT(a->n_phases == b->n_phases && a->deadline == b->deadline && a->given == b->given);
	for (size_t i = 0; i < a->n_phases; i++) {
		const struct phase *p = &a->phases[i], *q = &b->phases[i];

		ASSERT(str_equal(p->name, q->name) && str_equal(p->sql, q->sql) && str_equal(p->target, q->target));
		ASSERT(p->given == q->given && p->functions == q->functions && p->window == q->window);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scenario a, b;
	char error[512], other[512];
	bool ok = read_scenario(&a, data, size, error, sizeof(error));

	ASSERT(read_scenario(&b, data, size, other, sizeof(other)) == ok);
	ASSERT(strcmp(error, other) == 0);
	if (ok) {
		check_scenario(&a);
		check_same(&a, &b);
	} else {
		ASSERT(strchr(error, ':') && (memmem(data, size, "include", 7) || strncmp(error, "f:", 2) == 0));
		ASSERT(!strstr(error, SECRET) || memmem(data, size, SECRET, strlen(SECRET)));
	}
	scenario_free(&a);
	scenario_free(&b);
	return 0;
}
