#include "pool/shared.h"

#include "unit.h"

#include <string.h>

#define MAX_NONE 0

/* Slots */

static const struct {
	const char *name;
	struct slot_limits limits;
	int pools[3]; /* slots already taken: of bob at app (the pool), of amy at app, of bob at web */
	enum slot_result want;
} slots[] = {
	{ "nothing taken", { 1, 0, 0 }, { 0, 0, 0 }, SLOT_TAKEN },
	{ "the last one of the pool", { 3, 0, 0 }, { 2, 0, 0 }, SLOT_TAKEN },
	{ "the pool is full", { 3, 0, 0 }, { 3, 0, 0 }, SLOT_POOL_FULL },
	{ "beyond a limit that was lowered", { 2, 0, 0 }, { 3, 0, 0 }, SLOT_POOL_FULL },
	{ "other pools don't matter without limits", { 1, 0, 0 }, { 0, 9, 9 }, SLOT_TAKEN },
	{ "the last one of the database", { 9, 4, 0 }, { 2, 1, 5 }, SLOT_TAKEN },
	{ "the database is full", { 9, 4, 0 }, { 2, 2, 0 }, SLOT_DATABASE_FULL },
	{ "the last one of the user", { 9, 0, 4 }, { 2, 5, 1 }, SLOT_TAKEN },
	{ "the user is full", { 9, 0, 4 }, { 2, 0, 2 }, SLOT_USER_FULL },
	{ "everything is full: the pool is named", { 1, 1, 1 }, { 1, 0, 0 }, SLOT_POOL_FULL },
	{ "database and user are full: the database is named", { 9, 1, 1 }, { 1, 0, 0 }, SLOT_DATABASE_FULL },
};

START_TEST(a_slot_counts_in_pool_database_and_user)
{
	static const char *const who[][2] = { { "app", "bob" }, { "app", "amy" }, { "web", "bob" } };
	static const struct slot_limits none = { 0, 0, 0 };
	struct registry *r = registry_new(2);
	struct pool_shared *p[3];
	bool is_taken;

	for (int i = 0; i < 3; i++) {
		p[i] = registry_pool(r, who[i][0], who[i][1]);
		for (int n = 0; n < slots[_i].pools[i]; n++)
			ck_assert_int_eq(slot_take(p[i], &none), SLOT_TAKEN);
	}
	is_taken = slots[_i].want == SLOT_TAKEN;
	ck_assert_msg(slot_take(p[0], &slots[_i].limits) == slots[_i].want, "%s", slots[_i].name);
	ck_assert_int_eq(atomic_load(&p[0]->servers), slots[_i].pools[0] + is_taken);
	ck_assert_int_eq(
		atomic_load(&p[0]->by_database->servers), slots[_i].pools[0] + slots[_i].pools[1] + is_taken);
	ck_assert_int_eq(atomic_load(&p[0]->by_user->servers), slots[_i].pools[0] + slots[_i].pools[2] + is_taken);
	if (is_taken)
		slot_give_back(p[0]);
	for (int i = 0; i < 3; i++) {
		for (int n = 0; n < slots[_i].pools[i]; n++)
			slot_give_back(p[i]);
		ck_assert_int_eq(atomic_load(&p[i]->servers), 0);
	}
	ck_assert_int_eq(atomic_load(&p[0]->by_database->servers) + atomic_load(&p[0]->by_user->servers), 0);
	for (int i = 0; i < 3; i++)
		registry_drop_pool(r, &p[i]);
	registry_free(r);
}
END_TEST

#define THREADS 8
#define ROUNDS 20000

struct stress {
	struct registry *registry;
	const char *database, *user;
	atomic_int *in_database, *in_user; /* our own count, to compare */
	const struct slot_limits *limits;
	int taken;
};

static void check_inside(atomic_int *n, int max)
{
	ck_assert_int_le(atomic_fetch_add(n, 1) + 1, max);
}

static void *take_and_give_back(void *arg)
{
	struct stress *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct pool_shared *p = registry_pool(s->registry, s->database, s->user);

		if (slot_take(p, s->limits) == SLOT_TAKEN) {
			s->taken++;
			check_inside(s->in_database, s->limits->database);
			check_inside(s->in_user, s->limits->user);
			atomic_fetch_sub(s->in_user, 1);
			atomic_fetch_sub(s->in_database, 1);
			slot_give_back(p);
		}
		registry_drop_pool(s->registry, &p);
	}
	return NULL;
}

START_TEST(limits_hold_when_threads_race)
{
	static const struct slot_limits limits = { 2, 2, 2 };
	atomic_int in_database[2] = { 0, 0 }, in_user[2] = { 0, 0 };
	struct registry *r = registry_new(THREADS);
	struct stress s[THREADS];
	pthread_t threads[THREADS];
	int taken = 0;

	for (int i = 0; i < THREADS; i++) {
		s[i] = (struct stress){ .registry = r,
			.database = i & 1 ? "app" : "web",
			.user = i & 4 ? "bob" : "amy",
			.in_database = &in_database[i & 1],
			.in_user = &in_user[i >> 2],
			.limits = &limits };
		ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_give_back, &s[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		taken += s[i].taken; /* the scheduler may leave any single one without luck */
	}
	ck_assert_int_gt(taken, 0);
	ck_assert_ptr_null(r->pools);
	ck_assert_ptr_null(r->databases);
	ck_assert_ptr_null(r->users);
	registry_free(r);
}
END_TEST

START_TEST(pools_are_shared_and_go_with_their_last_holder)
{
	struct registry *r = registry_new(1);
	struct pool_shared *a = registry_pool(r, "app", "bob"), *b = registry_pool(r, "app", "bob");
	struct pool_shared *other = registry_pool(r, "ap", "pbob"), *third;

	ck_assert_ptr_eq(a, b);
	ck_assert_ptr_ne(a, other);
	ck_assert_str_eq(a->database, "app");
	ck_assert_str_eq(a->user, "bob");
	third = registry_ref_pool(r, a);
	registry_drop_pool(r, &a);
	registry_drop_pool(r, &b);
	ck_assert_ptr_null(b);
	ck_assert_uint_eq(HASH_COUNT(r->pools), 2);
	registry_drop_pool(r, &third);
	registry_drop_pool(r, &other);
	ck_assert_ptr_null(r->pools);
	ck_assert_ptr_null(r->databases);
	registry_free(r);
}
END_TEST

START_TEST(each_replication_client_has_a_pool_of_its_own)
{
	static const struct slot_limits limits = { .pool = 1, .database = 3 };
	struct registry *r = registry_new(1);
	struct pool_shared *pool = registry_pool(r, "app", "bob");
	struct pool_shared *a = registry_replication_pool(r, "app", "bob", REPLICATION_PHYSICAL, 7);
	struct pool_shared *b = registry_replication_pool(r, "app", "bob", REPLICATION_LOGICAL, 8);

	ck_assert(a != b && a != pool && b != pool);
	ck_assert_int_eq(b->replication, REPLICATION_LOGICAL);
	ck_assert_int_eq(pool->replication, REPLICATION_NONE);
	ck_assert_int_eq(slot_take(a, &limits), SLOT_TAKEN);
	ck_assert_int_eq(slot_take(a, &limits), SLOT_POOL_FULL);
	ck_assert_int_eq(slot_take(pool, &limits), SLOT_TAKEN);
	ck_assert_int_eq(registry_pooled_servers(r, "app"), 1);
	ck_assert_int_eq(slot_take(b, &limits), SLOT_TAKEN);
	slot_give_back(pool);
	ck_assert_int_eq(slot_take(pool, &(struct slot_limits){ .pool = 1, .database = 2 }), SLOT_DATABASE_FULL);
	ck_assert_int_eq(registry_pooled_servers(r, NULL), 0);
	slot_give_back(a);
	slot_give_back(b);
	ck_assert_int_eq(registry_pooled_servers(r, NULL), 0);
	registry_drop_pool(r, &a);
	registry_drop_pool(r, &b);
	registry_drop_pool(r, &pool);
	ck_assert_ptr_null(r->pools);
	registry_free(r);
}
END_TEST

START_TEST(ids_are_unique)
{
	struct registry *r = registry_new(1);
	uint64_t first = registry_id(r);

	ck_assert_uint_ne(first, 0);
	ck_assert_uint_eq(registry_id(r), first + 1);
	registry_free(r);
}
END_TEST

/* Clients */

static const struct {
	const char *name;
	int all, database, user;
	int others[3];	  /* clients that are there: bob at app, amy at app, bob at web */
	const char *want; /* what the refusal names; NULL: gets in */
} clients[] = {
	{ "no limits", 0, 0, 0, { 5, 5, 5 }, NULL },
	{ "the last one", 4, 0, 0, { 1, 1, 1 }, NULL },
	{ "one too many", 3, 0, 0, { 1, 1, 1 }, "max_client_conn" },
	{ "the database's last", 0, 3, 0, { 1, 1, 7 }, NULL },
	{ "the database is full", 0, 2, 0, { 1, 1, 0 }, "max_db_client_connections" },
	{ "the user's last", 0, 0, 3, { 1, 7, 1 }, NULL },
	{ "the user is full", 0, 0, 2, { 1, 0, 1 }, "max_user_client_connections" },
	{ "all full", 1, 1, 1, { 1, 0, 0 }, "max_client_conn" },
};

static void count_many(struct registry *r, const int n[3], bool in)
{
	static const char *const who[][2] = { { "app", "bob" }, { "app", "amy" }, { "web", "bob" } };
	const char *why;

	for (int i = 0; i < 3; i++) {
		for (int k = 0; k < n[i]; k++) {
			if (in)
				ck_assert(registry_count_client(
					r, who[i][0], who[i][1], MAX_NONE, MAX_NONE, MAX_NONE, &why));
			else
				registry_uncount_client(r, who[i][0], who[i][1]);
		}
	}
}

START_TEST(clients_are_counted_three_times)
{
	struct registry *r = registry_new(1);
	int before = clients[_i].others[0] + clients[_i].others[1] + clients[_i].others[2];
	const char *why = "";
	bool is_in;

	count_many(r, clients[_i].others, true);
	is_in = registry_count_client(
		r, "app", "bob", clients[_i].all, clients[_i].database, clients[_i].user, &why);
	ck_assert_msg(is_in == !clients[_i].want, "%s", clients[_i].name);
	if (!is_in)
		ck_assert_msg(strstr(why, clients[_i].want) != NULL, "%s: %s", clients[_i].name, why);
	ck_assert_int_eq(atomic_load(&r->clients), before + is_in);
	if (is_in)
		registry_uncount_client(r, "app", "bob");
	count_many(r, clients[_i].others, false);
	ck_assert_int_eq(atomic_load(&r->clients), 0);
	ck_assert_ptr_null(r->databases);
	ck_assert_ptr_null(r->users);
	registry_free(r);
}
END_TEST

START_TEST(a_place_that_is_given_back_can_be_taken)
{
	struct registry *r = registry_new(1);
	const char *why;

	for (int i = 0; i < 3; i++) {
		ck_assert(registry_count_client(r, "app", "bob", 1, 1, 1, &why));
		ck_assert(!registry_count_client(r, "app", "bob", 1, 1, 1, &why));
		registry_uncount_client(r, "app", "bob");
	}
	registry_free(r);
}
END_TEST

/* Failed logins */

#define RETRY_MAX (15 * USEC_PER_SEC)
#define FIRST (100 * USEC_PER_MSEC)

static void login_fails(struct pool_shared *p, int n, usec_t now, usec_t retry_max)
{
	usec_t full = FIRST, next = shared_login_failed(p, now, retry_max, "08001", "no route", false);

	for (int i = 0; i < n && full < retry_max; i++)
		full *= 2;
	full = MIN(full, retry_max);
	ck_assert_msg(next - now <= full && next - now >= full - full / 4, "%d: %lu of %lu us", n,
		(unsigned long)(next - now), (unsigned long)full);
	ck_assert_uint_eq(atomic_load(&p->next_try), next);
}

START_TEST(each_failure_doubles_the_wait_up_to_the_limit)
{
	struct registry *r = registry_new(1);
	struct pool_shared *p = registry_pool(r, "app", "bob");

	for (int n = 0; n < 100; n++)
		login_fails(p, n, 1000 + (usec_t)n, RETRY_MAX);
	shared_login_ok(p, NULL);
	ck_assert_uint_eq(atomic_load(&p->next_try), 0);
	login_fails(p, 0, 5000, RETRY_MAX); /* a success begins again at the first */
	login_fails(p, 1, 5000, RETRY_MAX);
	registry_drop_pool(r, &p);
	registry_free(r);
}
END_TEST

START_TEST(a_limit_below_the_first_wait_holds)
{
	struct registry *r = registry_new(1);
	struct pool_shared *p = registry_pool(r, "app", "bob");

	ck_assert_uint_le(shared_login_failed(p, 0, 1000, "08001", "", false), 1000);
	ck_assert_uint_gt(shared_login_failed(p, 7, 0, "08001", "", false), 7 + 1000); /* 0 is no busy loop */
	registry_drop_pool(r, &p);
	registry_free(r);
}
END_TEST

START_TEST(the_last_error_is_kept_until_a_login_works)
{
	struct registry *r = registry_new(1);
	struct pool_shared *p = registry_pool(r, "app", "bob");
	char state[6], message[LOGIN_ERROR_MAX], longest[2 * LOGIN_ERROR_MAX];
	bool is_final;

	ck_assert(!shared_login_error(p, state, message, &is_final));
	shared_login_failed(p, 0, RETRY_MAX, "08001", "no route", false);
	shared_login_failed(p, 0, RETRY_MAX, "28P01", "wrong password", true);
	ck_assert(shared_login_error(p, state, message, &is_final));
	ck_assert_str_eq(state, "28P01");
	ck_assert_str_eq(message, "wrong password");
	ck_assert(is_final);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	shared_login_failed(p, 0, RETRY_MAX, "08001 and more", longest, false);
	ck_assert(shared_login_error(p, state, message, &is_final));
	ck_assert_str_eq(state, "08001");
	ck_assert_uint_eq(strlen(message), LOGIN_ERROR_MAX - 1);
	ck_assert(!is_final);
	shared_login_ok(p, NULL);
	ck_assert(!shared_login_error(p, state, message, &is_final));
	registry_drop_pool(r, &p);
	registry_free(r);
}
END_TEST

START_TEST(the_newest_servers_parameters_are_kept)
{
	struct registry *r = registry_new(1);
	struct pool_shared *p = registry_pool(r, "app", "bob");
	struct settings *old = NULL, *new = NULL, *got;

	ck_assert_ptr_null(shared_reported(p));
	settings_put(&old, "server_version", "15");
	settings_put(&new, "server_version", "16");
	shared_login_ok(p, old);
	shared_login_failed(p, 0, RETRY_MAX, "08001", "", false);
	got = shared_reported(p);
	ck_assert_ptr_eq(got, old); /* a failure takes nothing away */
	shared_login_ok(p, new);
	settings_unref(&old);
	ck_assert_str_eq(settings_get(got, "server_version"), "15");
	settings_unref(&got);
	got = shared_reported(p);
	ck_assert_str_eq(settings_get(got, "server_version"), "16");
	settings_unref(&got);
	settings_unref(&new);
	registry_drop_pool(r, &p);
	registry_free(r);
}
END_TEST

static const struct {
	const char *first, *second;
	bool keeps_first;
} secrets[] = {
	{ "secret", "secret", true }, /* with its derived keys */
	{ "secret", "another", false },
	{ "md50c452bf90f20934ffca22329dcc51ed8", "md50c452bf90f20934ffca22329dcc51ed8", false },
};

START_TEST(the_newest_credential_counts_but_a_known_password_is_kept)
{
	struct registry *r = registry_new(1);
	struct pool_shared *p = registry_pool(r, "app", "bob");
	struct credential *first = credential_new("bob", secrets[_i].first);
	struct credential *second = credential_new("bob", secrets[_i].second), *got;

	shared_set_credential(p, first);
	shared_set_credential(p, second);
	got = shared_credential(p);
	ck_assert_ptr_eq(got, secrets[_i].keeps_first ? first : second);
	credential_unref(&got);
	credential_unref(&first);
	credential_unref(&second);
	registry_drop_pool(r, &p);
	registry_free(r);
}
END_TEST

UNIT_MAIN("shared", {
	tcase_add_loop_test(tc, the_newest_credential_counts_but_a_known_password_is_kept, 0, N_ELEMENTS(secrets));
	tcase_add_loop_test(tc, a_slot_counts_in_pool_database_and_user, 0, N_ELEMENTS(slots));
	tcase_add_test(tc, limits_hold_when_threads_race);
	tcase_add_test(tc, pools_are_shared_and_go_with_their_last_holder);
	tcase_add_test(tc, each_replication_client_has_a_pool_of_its_own);
	tcase_add_test(tc, ids_are_unique);
	tcase_add_loop_test(tc, clients_are_counted_three_times, 0, N_ELEMENTS(clients));
	tcase_add_test(tc, a_place_that_is_given_back_can_be_taken);
	tcase_add_test(tc, each_failure_doubles_the_wait_up_to_the_limit);
	tcase_add_test(tc, a_limit_below_the_first_wait_holds);
	tcase_add_test(tc, the_last_error_is_kept_until_a_login_works);
	tcase_add_test(tc, the_newest_servers_parameters_are_kept);
})
