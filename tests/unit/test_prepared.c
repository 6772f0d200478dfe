#include "state/prepared.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static const struct hash128 no_context = { 0, 0 };

/* A Parse's body behind the name: the query, its NUL, and no parameter types. */
static struct statement *intern(struct statement_table *t, const char *sql, struct hash128 context)
{
	uint8_t body[64] = { 0 };
	size_t n = strlen(sql) + 1;

	memcpy(body, sql, n);
	return statement_intern(t, body, n + 2, context);
}

START_TEST(equal_statements_are_one)
{
	struct statement_table t = { NULL };
	struct statement *a = intern(&t, "select 1", no_context), *b = intern(&t, "select 1", no_context);

	ck_assert_ptr_eq(a, b);
	ck_assert_int_eq(a->refs, 2);
	ck_assert_uint_eq(a->len, 11);
	ck_assert_str_eq((char *)a->body, "select 1");
	statement_unref(&a);
	ck_assert_ptr_null(a);
	ck_assert_ptr_nonnull(t.by_id);
	statement_unref(&b);
	ck_assert_ptr_null(t.by_id);
}
END_TEST

static const struct {
	const char *name, *a, *b;
	size_t a_len, b_len;
	struct hash128 a_context, b_context;
} different[] = {
	{ "another text", "select 1\0\0\0", "select 2\0\0\0", 11, 11, { 0, 0 }, { 0, 0 } },
	{ "a type more", "select $1\0\0\0", "select $1\0\0\1\0\0\0\x17", 12, 16, { 0, 0 }, { 0, 0 } },
	{ "another type", "select $1\0\0\1\0\0\0\x17", "select $1\0\0\1\0\0\0\x19", 16, 16, { 0, 0 }, { 0, 0 } },
	{ "another context", "select 1\0\0\0", "select 1\0\0\0", 11, 11, { 0, 0 }, { 0, 1 } },
	{ "the other half of a context", "select 1\0\0\0", "select 1\0\0\0", 11, 11, { 1, 0 }, { 0, 1 } },
};

START_TEST(different_statements_stay_apart)
{
	struct statement_table t = { NULL };
	struct statement *a = statement_intern(
		&t, (const uint8_t *)different[_i].a, different[_i].a_len, different[_i].a_context);
	struct statement *b = statement_intern(
		&t, (const uint8_t *)different[_i].b, different[_i].b_len, different[_i].b_context);

	ck_assert_msg(a != b && !hash128_equal(a->id, b->id), "%s", different[_i].name);
	statement_unref(&a);
	statement_unref(&b);
	ck_assert_ptr_null(t.by_id);
}
END_TEST

START_TEST(who_has_no_statement_may_drop_it)
{
	struct statement *none = NULL;

	statement_unref(&none);
	ck_assert_ptr_null(statement_ref(NULL));
}
END_TEST

static const struct {
	struct hash128 id;
	const char *want;
} names[] = {
	{ { 0, 0 }, "pgweir_00000000000000000000000000000000" },
	{ { 1, 0 }, "pgweir_00000000000000000000000000000001" },
	{ { 0, 1 }, "pgweir_00000000000000010000000000000000" },
	{ { UINT64_MAX, UINT64_MAX }, "pgweir_ffffffffffffffffffffffffffffffff" },
};

START_TEST(a_server_name_spells_the_whole_id)
{
	char got[STATEMENT_NAME_SIZE];

	statement_server_name(names[_i].id, got);
	ck_assert_str_eq(got, names[_i].want);
}
END_TEST

static struct settings *set(const char *name, const char *value)
{
	struct settings *s = NULL;

	ck_assert_int_eq(settings_put(&s, name, value), RES_OK);
	return s;
}

static const struct {
	const char *name, *a, *a_value, *b, *b_value;
	bool want;
} contexts[] = {
	{ "the same path", "search_path", "a", "search_path", "a", true },
	{ "another path", "search_path", "a", "search_path", "b", false },
	{ "a role", "role", "a", "role", "b", false },
	{ "a session's user", "session_authorization", "a", "session_authorization", "b", false },
	{ "string syntax", "standard_conforming_strings", "on", "standard_conforming_strings", "off", false },
	{ "an encoding", "client_encoding", "UTF8", "client_encoding", "LATIN1", false },
	{ "case of a name", "search_path", "a", "SEARCH_PATH", "a", true },
	{ "the same value under another name", "search_path", "a", "role", "a", false },
	{ "an empty value isn't none", "search_path", "", "application_name", "", false },
	{ "what changes no meaning", "application_name", "a", "statement_timeout", "1s", true },
};

START_TEST(the_context_is_what_changes_a_meaning)
{
	struct settings *a = set(contexts[_i].a, contexts[_i].a_value),
			*b = set(contexts[_i].b, contexts[_i].b_value);

	ck_assert_msg(hash128_equal(statement_context(a, "db", "user"), statement_context(b, "db", "user")) ==
			contexts[_i].want,
		"%s", contexts[_i].name);
	settings_unref(&a);
	settings_unref(&b);
}
END_TEST

START_TEST(settings_that_change_no_meaning_are_as_good_as_none)
{
	struct settings *s = set("application_name", "a");

	ck_assert(hash128_equal(statement_context(s, "db", "user"), statement_context(NULL, "db", "user")));
	ck_assert(!hash128_equal(statement_context(s, "db", "user"), statement_context(s, "db2", "user")));
	ck_assert(!hash128_equal(statement_context(s, "db", "user"), statement_context(s, "db", "user2")));
	settings_unref(&s);
}
END_TEST

/* Clients' names */

static struct client_statement *add(struct client_statements *t, const char *name, struct statement *st)
{
	struct client_statement *cs = client_statement_new(name, st);

	client_statements_add(t, cs);
	return cs;
}

START_TEST(names_belong_to_their_client)
{
	struct statement_table t = { NULL };
	struct statement *st = intern(&t, "select 1", no_context);
	struct client_statements one = { .by_name = NULL }, two = { .by_name = NULL };
	struct client_statement *a = add(&one, "a", st), *b = add(&one, "", st);

	ck_assert_int_eq(st->refs, 3);
	ck_assert_ptr_eq(client_statements_find(&one, "a"), a);
	ck_assert_ptr_eq(client_statements_find(&one, ""), b);
	ck_assert_ptr_null(client_statements_find(&one, "A"));
	ck_assert_ptr_null(client_statements_find(&two, "a"));
	ck_assert_uint_eq(client_statements_count(&one), 2);
	ck_assert_uint_eq(client_statements_count(&two), 0);
	statement_unref(&st);
	client_statements_clear(&one, false);
	ck_assert_uint_eq(client_statements_count(&one), 0);
	ck_assert_ptr_null(t.by_id);
}
END_TEST

START_TEST(a_name_that_is_removed_can_be_used_again)
{
	struct statement_table t = { NULL };
	struct statement *st = intern(&t, "select 1", no_context);
	struct client_statements names_of = { .by_name = NULL };
	struct client_statement *a = add(&names_of, "a", st), *again;

	client_statements_remove(&names_of, a);
	ck_assert_ptr_null(client_statements_find(&names_of, "a"));
	ck_assert_str_eq(a->name, "a");
	ck_assert_ptr_eq(a->statement, st);
	again = add(&names_of, "a", st);
	client_statement_free(&a);
	ck_assert_ptr_null(a);
	ck_assert_ptr_eq(client_statements_find(&names_of, "a"), again);
	client_statement_free(&a);
	client_statements_clear(&names_of, false);
	statement_unref(&st);
	ck_assert_ptr_null(t.by_id);
}
END_TEST

START_TEST(clearing_confirmed_names_spares_the_others)
{
	struct statement_table t = { NULL };
	struct statement *st = intern(&t, "select 1", no_context);
	struct client_statements names_of = { .by_name = NULL };

	add(&names_of, "old", st)->is_confirmed = true;
	add(&names_of, "new", st);
	add(&names_of, "older", st)->is_confirmed = true;
	statement_unref(&st);
	client_statements_clear(&names_of, true);
	ck_assert_uint_eq(client_statements_count(&names_of), 1);
	ck_assert_ptr_nonnull(client_statements_find(&names_of, "new"));
	client_statements_clear(&names_of, false);
	ck_assert_ptr_null(t.by_id);
}
END_TEST

/* What a server has */

/* The LRU, oldest first, by the low halves of the ids. */
static const char *order(const struct server_statements *t)
{
	static char buf[32];
	size_t n = 0;

	LIST_FOREACH(&t->lru, node, next)
		buf[n++] = (char)CONTAINER_OF(node, struct server_statement, lru_node)->id.lo;
	buf[n] = '\0';
	ck_assert_uint_eq(server_statements_count(t), n);
	return buf;
}

static struct hash128 id(char c)
{
	return (struct hash128){ (uint64_t)c, 0 };
}

static const struct {
	const char *name, *does,
		*want; /* +a add, ?a find, !a find nothing, -a remove, =a confirm, * clear confirmed, 0 clear all */
} uses[] = {
	{ "nothing", "", "" },
	{ "in the order of adding", "+a+b+c", "abc" },
	{ "added again", "+a+b+a", "ab" },
	{ "a use goes to the end", "+a+b+c?a", "bca" },
	{ "the newest used", "+a+b?b", "ab" },
	{ "the only one used", "+a?a?a", "a" },
	{ "not there", "+a!b", "a" },
	{ "removed", "+a+b+c-b!b", "ac" },
	{ "removed and added", "+a+b-a+a", "ba" },
	{ "what isn't there removed", "+a-b", "a" },
	{ "confirmed ones cleared", "+a+b+c=a=c*", "b" },
	{ "none is confirmed", "+a+b*", "ab" },
	{ "to confirm isn't to use", "+a+b=a", "ab" },
	{ "what isn't there confirmed", "=a+a*", "a" },
	{ "added again, still confirmed", "+a=a+a*", "" },
	{ "all cleared", "+a+b=a0", "" },
	{ "and filled again", "+a+b0+c", "c" },
};

static uint32_t number_of(const struct server_statements *t, struct hash128 id) /* which is no use of it */
{
	LIST_FOREACH(&t->lru, n, next) {
		const struct server_statement *ss = CONTAINER_OF(n, struct server_statement, lru_node);

		if (hash128_equal(ss->id, id))
			return ss->number;
	}
	return 0;
}

START_TEST(an_answer_to_an_older_parse_confirms_nothing)
{
	struct server_statements t;
	uint32_t first;

	server_statements_init(&t);
	server_statements_add(&t, id('a'));
	first = number_of(&t, id('a'));
	server_statements_remove(&t, id('a'));
	server_statements_add(&t, id('a'));
	server_statements_confirm(&t, id('a'), first);
	ck_assert(!server_statements_find(&t, id('a'))->is_confirmed);
	server_statements_confirm(&t, id('a'), number_of(&t, id('a')));
	ck_assert(server_statements_find(&t, id('a'))->is_confirmed);
	server_statements_clear(&t, false);
}
END_TEST

START_TEST(names_on_servers_lead_back_to_their_ids)
{
	char name[STATEMENT_NAME_SIZE], before[64];
	struct hash128 found;

	statement_server_name(id('a'), name);
	ck_assert(statement_id_of_name(name, &found) && hash128_equal(found, id('a')));
	for (size_t n = 0; n + 1 < sizeof(name); n++) {
		snprintf(before, sizeof(before), "%.*s", (int)n, name);
		ck_assert(!statement_id_of_name(before, &found));
	}
	ck_assert(!statement_id_of_name("pgweir_refused", &found));
	name[10] = 'g';
	ck_assert(!statement_id_of_name(name, &found));
}
END_TEST

START_TEST(the_least_recently_used_is_first)
{
	struct server_statements t;
	struct hash128 oldest;

	server_statements_init(&t);
	for (const char *p = uses[_i].does; *p; p++) {
		switch (*p) {
		case '+': server_statements_add(&t, id(*++p)); break;
		case '-': server_statements_remove(&t, id(*++p)); break;
		case '=':
			p++;
			server_statements_confirm(&t, id(*p), number_of(&t, id(*p)));
			break;
		case '?':
			ck_assert(hash128_equal(server_statements_find(&t, id(p[1]))->id, id(p[1])));
			p++;
			break;
		case '!': ck_assert_ptr_null(server_statements_find(&t, id(*++p))); break;
		case '*': server_statements_clear(&t, true); break;
		default: server_statements_clear(&t, false); break;
		}
	}
	ck_assert_msg(strcmp(order(&t), uses[_i].want) == 0, "%s: %s", uses[_i].name, order(&t));
	ck_assert_int_eq(server_statements_oldest(&t, &oldest), *uses[_i].want != '\0');
	if (*uses[_i].want)
		ck_assert_int_eq((char)oldest.lo, *uses[_i].want);
	server_statements_clear(&t, false);
	ck_assert_str_eq(order(&t), "");
}
END_TEST

START_TEST(ids_differ_in_either_half)
{
	struct server_statements t;

	server_statements_init(&t);
	server_statements_add(&t, (struct hash128){ 1, 2 });
	ck_assert_ptr_null(server_statements_find(&t, (struct hash128){ 1, 3 }));
	ck_assert_ptr_null(server_statements_find(&t, (struct hash128){ 2, 2 }));
	ck_assert_ptr_nonnull(server_statements_find(&t, (struct hash128){ 1, 2 }));
	server_statements_clear(&t, false);
}
END_TEST

UNIT_MAIN("prepared", {
	tcase_add_test(tc, an_answer_to_an_older_parse_confirms_nothing);
	tcase_add_test(tc, names_on_servers_lead_back_to_their_ids);
	tcase_add_test(tc, equal_statements_are_one);
	tcase_add_loop_test(tc, different_statements_stay_apart, 0, N_ELEMENTS(different));
	tcase_add_test(tc, who_has_no_statement_may_drop_it);
	tcase_add_loop_test(tc, a_server_name_spells_the_whole_id, 0, N_ELEMENTS(names));
	tcase_add_loop_test(tc, the_context_is_what_changes_a_meaning, 0, N_ELEMENTS(contexts));
	tcase_add_test(tc, settings_that_change_no_meaning_are_as_good_as_none);
	tcase_add_test(tc, names_belong_to_their_client);
	tcase_add_test(tc, a_name_that_is_removed_can_be_used_again);
	tcase_add_test(tc, clearing_confirmed_names_spares_the_others);
	tcase_add_loop_test(tc, the_least_recently_used_is_first, 0, N_ELEMENTS(uses));
	tcase_add_test(tc, ids_differ_in_either_half);
})
