#include "auth/auth_cache.h"

#include "auth/credential_private.h"
#include "unit.h"

#include <stdio.h>

#define SECOND USEC_PER_SEC
#define START (1000 * SECOND)
#define TTL (8 * SECOND)

static const struct {
	const char *name, *secret;
	usec_t age;
	bool is_known, is_fresh;
} ages[] = {
	{ "new", "secret", 0, true, true },
	{ "almost a ttl old", "secret", TTL - 1, true, true },
	{ "a ttl old", "secret", TTL, true, false },
	{ "kept for bad times", "secret", AUTH_STALE_MAX, true, false },
	{ "too old", "secret", AUTH_STALE_MAX + 1, false, false },
	{ "a new no", NULL, 0, true, true },
	{ "a no for a quarter of the ttl", NULL, TTL / 4 - 1, true, true },
	{ "a no that is asked again", NULL, TTL / 4, true, false },
};

START_TEST(answers_age)
{
	struct auth_cache *c = auth_cache_new(10);
	usec_t now = START + ages[_i].age;
	struct auth_entry *e;

	auth_cache_put(c, "app", "bob", 1, ages[_i].secret, "no such user", START);
	e = auth_cache_find(c, "app", "bob", 1, now);
	ck_assert_msg((e != NULL) == ages[_i].is_known, "%s", ages[_i].name);
	if (e)
		ck_assert_msg(auth_entry_is_fresh(e, now, TTL) == ages[_i].is_fresh, "%s", ages[_i].name);
	auth_cache_free(&c);
}
END_TEST

START_TEST(a_ttl_of_0_is_never_fresh)
{
	struct auth_cache *c = auth_cache_new(10);

	ck_assert(!auth_entry_is_fresh(auth_cache_put(c, "app", "bob", 1, "secret", "", START), START, 0));
	auth_cache_free(&c);
}
END_TEST

static const struct {
	const char *database, *user;
	uint64_t source;
	bool is_found;
} keys[] = {
	{ "app", "bob", 1, true },
	{ "app", "bo", 1, false },
	{ "ap", "pbob", 1, false },
	{ "appb", "ob", 1, false },
	{ "bob", "app", 1, false },
	{ "app", "", 1, false },
	{ "app", "bob", 2, false },
};

START_TEST(an_answer_is_of_one_database_user_and_source)
{
	struct auth_cache *c = auth_cache_new(10);

	auth_cache_put(c, "app", "bob", 1, "secret", "", START);
	ck_assert_msg((auth_cache_find(c, keys[_i].database, keys[_i].user, keys[_i].source, START) != NULL) ==
			keys[_i].is_found,
		"%d", _i);
	auth_cache_free(&c);
}
END_TEST

START_TEST(the_same_secret_keeps_its_keys)
{
	struct auth_cache *c = auth_cache_new(10);
	struct auth_entry *e = auth_cache_put(c, "app", "bob", 1, "secret", "", START);
	struct credential *first = credential_ref(e->credential);

	e = auth_cache_put(c, "app", "bob", 1, "secret", "", START + 1);
	ck_assert_ptr_eq(e->credential, first);
	ck_assert_uint_eq(e->asked_at, START + 1);
	e = auth_cache_put(c, "app", "bob", 1, "other", "", START + 2);
	ck_assert_ptr_ne(e->credential, first);
	ck_assert_str_eq(credential_secret(e->credential), "other");
	e = auth_cache_put(c, "app", "bob", 1, NULL, "gone", START + 3);
	ck_assert_ptr_null(e->credential);
	ck_assert_str_eq(e->cause, "gone");
	ck_assert_uint_eq(auth_cache_count(c), 1);
	ck_assert_str_eq(credential_secret(first), "secret"); /* whoever has it, keeps it */
	credential_unref(&first);
	auth_cache_free(&c);
}
END_TEST

START_TEST(wrong_passwords_ask_anew_once_in_a_while)
{
	struct auth_cache *c = auth_cache_new(10);
	struct auth_entry *e = auth_cache_put(c, "app", "bob", 1, "secret", "", START);
	int asked = 0;

	for (usec_t at = START; at < START + 10 * AUTH_REFRESH_EVERY; at += AUTH_REFRESH_EVERY / 100) {
		if (auth_entry_may_refresh(e, at)) {
			asked++;
			e = auth_cache_put(c, "app", "bob", 1, "secret", "", at); /* the answer doesn't allow more */
		}
	}
	ck_assert_int_eq(asked, 10);
	auth_cache_free(&c);
}
END_TEST

START_TEST(the_least_recently_used_goes)
{
	struct auth_cache *c = auth_cache_new(100);
	char user[16];

	for (int i = 0; i < 1000; i++) {
		snprintf(user, sizeof(user), "user%d", i);
		auth_cache_put(c, "app", user, 1, "secret", "", START);
		ck_assert_uint_le(auth_cache_count(c), 100);
		ck_assert_msg(auth_cache_find(c, "app", "user0", 1, START) != NULL, "%d", i); /* in use */
	}
	ck_assert_ptr_null(auth_cache_find(c, "app", "user900", 1, START));
	ck_assert_ptr_nonnull(auth_cache_find(c, "app", "user901", 1, START));
	auth_cache_free(&c);
	ck_assert_ptr_null(c);
}
END_TEST

UNIT_MAIN("auth_cache", {
	tcase_add_loop_test(tc, answers_age, 0, N_ELEMENTS(ages));
	tcase_add_test(tc, a_ttl_of_0_is_never_fresh);
	tcase_add_loop_test(tc, an_answer_is_of_one_database_user_and_source, 0, N_ELEMENTS(keys));
	tcase_add_test(tc, the_same_secret_keeps_its_keys);
	tcase_add_test(tc, wrong_passwords_ask_anew_once_in_a_while);
	tcase_add_test(tc, the_least_recently_used_goes);
})
