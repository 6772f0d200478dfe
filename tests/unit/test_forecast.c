#include "pool/forecast.h"

#include "unit.h"

#define MS USEC_PER_MSEC
#define S USEC_PER_SEC

static const struct {
	const char *name;
	unsigned uses;
	usec_t held, later;
	size_t ahead;
	unsigned servers;
	usec_t want; /* 0: not known */
} forecasts[] = {
	{ "nothing is known", 0, 0, 0, 10, 4, 0 },
	{ "too little", FORECAST_MIN - 1, 10 * MS, 0, 10, 4, 0 },
	{ "enough", FORECAST_MIN, 10 * MS, 0, 7, 4, 20 * MS },
	{ "the next in turn", 200, 10 * MS, 0, 0, 1, 10 * MS },
	{ "a long queue", 200, 20 * MS, 0, 1999, 20, 2 * S },
	{ "no server", 200, 20 * MS, 0, 10, 0, 0 },
	{ "long ago", 200, 20 * MS, FORECAST_TTL + 1, 10, 4, 0 },
	{ "just not long ago", 200, 20 * MS, FORECAST_TTL, 3, 4, 20 * MS },
};

START_TEST(a_wait_is_foretold_where_enough_is_known)
{
	struct forecast f = { 0 };
	usec_t now = 100 * S, wait = 0;
	bool is_known;

	for (unsigned i = 0; i < forecasts[_i].uses; i++)
		forecast_note(&f, forecasts[_i].held, now);
	is_known = forecast_wait(&f, forecasts[_i].ahead, forecasts[_i].servers, now + forecasts[_i].later, &wait);
	ck_assert_msg(is_known == (forecasts[_i].want != 0), "%s", forecasts[_i].name);
	ck_assert_msg(wait == forecasts[_i].want, "%s: %llu", forecasts[_i].name, (unsigned long long)wait);
}
END_TEST

START_TEST(the_average_follows_and_an_idle_pool_begins_anew)
{
	struct forecast f = { 0 };
	usec_t now = 100 * S;

	for (int i = 0; i < 1000; i++)
		forecast_note(&f, (i % 2 ? 5 : 15) * MS, now += MS);
	ck_assert_uint_ge(forecast_held(&f), 9 * MS);
	ck_assert_uint_le(forecast_held(&f), 11 * MS);
	for (int i = 0; i < 1000; i++)
		forecast_note(&f, 50 * MS, now += MS);
	ck_assert_uint_ge(forecast_held(&f), 49 * MS);
	now += FORECAST_TTL + 1;
	forecast_note(&f, MS, now);
	ck_assert_uint_eq(forecast_held(&f), MS);
	ck_assert_uint_eq(f.n, 1);
}
END_TEST

UNIT_MAIN("forecast", {
	tcase_add_loop_test(tc, a_wait_is_foretold_where_enough_is_known, 0, N_ELEMENTS(forecasts));
	tcase_add_test(tc, the_average_follows_and_an_idle_pool_begins_anew);
})
