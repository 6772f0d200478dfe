#include "state/settings.h"

#include "unit.h"
#include "wire/msg.h"

#include <stdio.h>
#include <string.h>

/* "name=value name=value"; a value of - removes the name. */
static struct settings *make(const char *text)
{
	struct settings *s = NULL;
	char *copy = strdup(text), *rest = copy, *word;

	while ((word = strsep(&rest, " "))) {
		char *value = strchr(word, '=');

		if (!value)
			continue;
		*value++ = '\0';
		ck_assert_int_eq(settings_put(&s, word, strcmp(value, "-") == 0 ? NULL : value), RES_OK);
	}
	free(copy);
	return s;
}

static const char *text_of(const struct settings *s)
{
	static char buf[512];
	size_t n = 0;

	buf[0] = '\0';
	for (size_t i = 0; s && i < s->n; i++)
		n += (size_t)snprintf(buf + n, sizeof(buf) - n, "%s%s=%s", i ? " " : "", s->items[i].name,
			s->items[i].value);
	return buf;
}

static const struct {
	const char *name, *puts, *want;
} puts_[] = {
	{ "nothing", "", "" },
	{ "one", "a=1", "a=1" },
	{ "sorted by name, whatever the case", "c=1 B=2 a=3 D=4", "a=3 B=2 c=1 D=4" },
	{ "replaced", "a=1 b=2 a=3", "a=3 b=2" },
	{ "replaced by the same", "a=1 a=1", "a=1" },
	{ "another case is the same name, and the first spelling stays", "TimeZone=a timezone=b TIMEZONE=c",
		"TimeZone=c" },
	{ "an empty value is a value", "a=", "a=" },
	{ "the first removed", "a=1 b=2 c=3 a=-", "b=2 c=3" },
	{ "the middle one removed", "a=1 b=2 c=3 B=-", "a=1 c=3" },
	{ "the last removed", "a=1 b=2 c=3 c=-", "a=1 b=2" },
	{ "the only one removed", "a=1 a=-", "" },
	{ "what isn't there removed", "a=1 b=-", "a=1" },
	{ "removed from nothing", "a=-", "" },
};

START_TEST(put_sets_replaces_and_removes)
{
	struct settings *s = make(puts_[_i].puts);

	ck_assert_msg(strcmp(text_of(s), puts_[_i].want) == 0, "%s: %s", puts_[_i].name, text_of(s));
	ck_assert_msg((s == NULL) == (*puts_[_i].want == '\0'), "%s: the empty set is NULL", puts_[_i].name);
	settings_unref(&s);
	ck_assert_ptr_null(s);
}
END_TEST

static const struct {
	const char *a, *b;
	bool want;
} same[] = {
	{ "", "", true },
	{ "a=1", "", false },
	{ "", "a=1", false },
	{ "a=1 b=2", "b=2 a=1", true },
	{ "a=1 b=2 c=3", "c=x b=2 a=1 c=3", true },
	{ "a=1 b=2", "a=1 b=2 c=3 c=-", true },
	{ "TimeZone=UTC", "timezone=UTC", true },
	{ "a=x", "a=X", false },
	{ "a=1 b=2", "a=2 b=1", false },
	{ "a=1", "a=1 b=", false },
	{ "a=bc", "ab=c", false },
	{ "a=b c=d", "a=bc=d", false },
};

START_TEST(equal_sets_have_the_same_id)
{
	struct settings *a = make(same[_i].a), *b = make(same[_i].b);

	ck_assert_msg(settings_same(a, b) == same[_i].want, "\"%s\" and \"%s\"", same[_i].a, same[_i].b);
	if (a && b)
		ck_assert(hash128_equal(a->id, b->id) == same[_i].want);
	settings_unref(&a);
	settings_unref(&b);
}
END_TEST

START_TEST(a_set_never_changes_under_who_shares_it)
{
	struct settings *mine = make("a=1"), *theirs = settings_ref(mine);

	ck_assert_ptr_eq(mine, theirs);
	ck_assert_int_eq(settings_put(&mine, "a", "2"), RES_OK);
	ck_assert_str_eq(settings_get(theirs, "a"), "1");
	ck_assert_str_eq(settings_get(mine, "A"), "2");
	ck_assert_ptr_null(settings_get(mine, "b"));
	ck_assert_ptr_null(settings_get(NULL, "a"));
	ck_assert_ptr_null(settings_ref(NULL));
	settings_unref(&theirs);
	settings_unref(&mine);
}
END_TEST

START_TEST(a_value_may_come_out_of_the_set_itself)
{
	struct settings *s = make("a=1 b=2");

	ck_assert_int_eq(settings_put(&s, "c", settings_get(s, "b")), RES_OK);
	ck_assert_int_eq(settings_put(&s, settings_get(s, "a") - 2, "3"), RES_OK); /* the name in front of its value */
	ck_assert_str_eq(text_of(s), "a=3 b=2 c=2");
	settings_unref(&s);
}
END_TEST

START_TEST(there_is_room_for_so_many_names)
{
	struct settings *s = NULL;
	char name[16];

	for (int i = 0; i < SETTINGS_MAX; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		ck_assert_int_eq(settings_put(&s, name, ""), RES_OK);
	}
	ck_assert_int_eq(settings_put(&s, "one more", ""), RES_LIMIT);
	ck_assert_uint_eq(s->n, SETTINGS_MAX);
	ck_assert_int_eq(settings_put(&s, "N7", "replaced"), RES_OK);
	ck_assert_int_eq(settings_put(&s, "n8", NULL), RES_OK);
	ck_assert_int_eq(settings_put(&s, "one more", ""), RES_OK);
	settings_unref(&s);
}
END_TEST

static const struct {
	size_t value_len;
	enum result want;
} sizes[] = {
	{ SETTINGS_BYTES_MAX - 3, RES_OK }, /* "a", two NULs */
	{ SETTINGS_BYTES_MAX - 2, RES_LIMIT },
	{ 10 * SETTINGS_BYTES_MAX, RES_LIMIT },
};

START_TEST(there_is_room_for_so_many_bytes)
{
	struct settings *s = NULL;
	char *value = malloc(sizes[_i].value_len + 1);

	memset(value, 'v', sizes[_i].value_len);
	value[sizes[_i].value_len] = '\0';
	ck_assert_int_eq(settings_put(&s, "a", value), sizes[_i].want);
	ck_assert((s != NULL) == (sizes[_i].want == RES_OK));
	settings_unref(&s);
	free(value);
}
END_TEST

START_TEST(beyond_the_limit_the_set_stays_as_it_was)
{
	struct settings *s = make("a=1"), *before = s;
	char *value = calloc(1, SETTINGS_BYTES_MAX + 1);

	memset(value, 'v', SETTINGS_BYTES_MAX);
	ck_assert_int_eq(settings_put(&s, "a", value), RES_LIMIT);
	ck_assert_ptr_eq(s, before);
	ck_assert_str_eq(text_of(s), "a=1");
	settings_unref(&s);
	free(value);
}
END_TEST

static const struct {
	const char *base, *top, *want;
} overlays[] = {
	{ "", "", "" },
	{ "", "a=1", "" },
	{ "a=1", "", "a=1" },
	{ "a=1 b=2", "b=3 c=4", "a=1 b=3" },
	{ "TimeZone=UTC", "timezone=CET", "TimeZone=CET" },
	{ "a=1", "a=1", "a=1" },
};

START_TEST(an_overlay_changes_values_and_adds_no_names)
{
	struct settings *base = make(overlays[_i].base), *top = make(overlays[_i].top);
	struct settings *got = settings_overlay(base, top);

	ck_assert_msg(strcmp(text_of(got), overlays[_i].want) == 0, "%d: %s", _i, text_of(got));
	ck_assert_str_eq(text_of(base), overlays[_i].base);
	settings_unref(&base);
	ck_assert_str_eq(text_of(got), overlays[_i].want);
	settings_unref(&top);
	settings_unref(&got);
}
END_TEST

#define SET(name, value) "SELECT pg_catalog.set_config(E'" name "',E'" value "',false);"

static const struct {
	const char *name, *from, *to, *want;
} sqls[] = {
	{ "nothing to nothing", "", "", "" },
	{ "the same", "a=1 b=2", "b=2 a=1", "" },
	{ "one more", "", "a=1", SET("a", "1") },
	{ "one other", "a=1", "a=2", SET("a", "2") },
	{ "one less", "a=1", "", "RESET \"a\";" },
	{ "resets come first", "a=1 z=1", "b=2", "RESET \"a\";RESET \"z\";" SET("b", "2") },
	{ "case of a name doesn't matter", "TimeZone=a", "timezone=a", "" },
	{ "RESET folds a name as PostgreSQL does", "TimeZone=a", "", "RESET \"timezone\";" },
	{ "set_config() folds it itself", "", "TimeZone=a", SET("TimeZone", "a") },
	{ "a quote", "", "a=it's", SET("a", "it''s") },
	{ "quotes that would end the literal", "", "a=');drop--", SET("a", "'');drop--") },
	{ "a backslash", "", "a=\\", SET("a", "\\\\") },
	{ "a backslash in front of a quote", "", "a=\\'", SET("a", "\\\\''") },
	{ "two bytes of UTF-8", "", "a=\xc3\xa4", SET("a", "\\xc3\\xa4") },
	{ "hex digits behind such a byte stay apart", "",
		"a=\xe4"
		"4f",
		SET("a", "\\xe44f") },
	{ "control characters", "", "a=\n\t\x7f", SET("a", "\\x0a\\x09\\x7f") },
	{ "a list", "", "search_path=a,\"B\"", SET("search_path", "a,\"B\"") },
	{ "a quote in a name", "", "a'b=1", SET("a''b", "1") },
	{ "a dotted name", "app.user=1", "", "RESET \"app\".\"user\";" },
	{ "a dotted name is set as it is", "", "app.user=1", SET("app.user", "1") },
	{ "a double quote in a name", "a\"b=1", "", "RESET \"a\"\"b\";" },
	{ "a name that would end the statement", "a;drop=1", "", "RESET \"a;drop\";" },
};

START_TEST(sql_turns_one_set_into_the_other)
{
	struct settings *from = make(sqls[_i].from), *to = make(sqls[_i].to);
	struct writer w = { 0 };

	settings_write_sql(&w, from, to);
	write_u8(&w, 0);
	ck_assert_msg(strcmp((char *)w.data, sqls[_i].want) == 0, "%s: %s", sqls[_i].name, (char *)w.data);
	writer_free(&w);
	settings_unref(&from);
	settings_unref(&to);
}
END_TEST

static const struct {
	const char *told, *now, *want;
} statuses[] = {
	{ "", "", "" },
	{ "", "a=1 b=2", "a=1 b=2 " },
	{ "a=1 b=2", "a=1 b=2", "" },
	{ "a=1 b=2", "a=1 b=3 c=4", "b=3 c=4 " },
	{ "a=1 b=2", "a=1", "" },
	{ "TimeZone=a", "timezone=a", "" },
	{ "a=", "a=-", "" },
};

START_TEST(a_client_is_told_what_differs)
{
	struct settings *told = make(statuses[_i].told), *now = make(statuses[_i].now);
	struct writer w = { 0 };
	struct reader r;
	char got[256] = "";
	struct frame f;

	settings_write_status(&w, told, now);
	r = reader_over(w.data, w.len);
	while (frame_peek(&r, &f) == RES_OK) {
		ck_assert_int_eq(f.type, MSG_PARAMETER_STATUS);
		read_bytes(&r, FRAME_HEADER_SIZE);
		strcat(got, read_cstring(&r));
		strcat(strcat(strcat(got, "="), read_cstring(&r)), " ");
	}
	ck_assert(!r.bad && !reader_left(&r));
	ck_assert_msg(strcmp(got, statuses[_i].want) == 0, "%d: %s", _i, got);
	writer_free(&w);
	settings_unref(&told);
	settings_unref(&now);
}
END_TEST

UNIT_MAIN("settings", {
	tcase_add_loop_test(tc, put_sets_replaces_and_removes, 0, N_ELEMENTS(puts_));
	tcase_add_loop_test(tc, equal_sets_have_the_same_id, 0, N_ELEMENTS(same));
	tcase_add_test(tc, a_set_never_changes_under_who_shares_it);
	tcase_add_test(tc, a_value_may_come_out_of_the_set_itself);
	tcase_add_test(tc, there_is_room_for_so_many_names);
	tcase_add_loop_test(tc, there_is_room_for_so_many_bytes, 0, N_ELEMENTS(sizes));
	tcase_add_test(tc, beyond_the_limit_the_set_stays_as_it_was);
	tcase_add_loop_test(tc, an_overlay_changes_values_and_adds_no_names, 0, N_ELEMENTS(overlays));
	tcase_add_loop_test(tc, sql_turns_one_set_into_the_other, 0, N_ELEMENTS(sqls));
	tcase_add_loop_test(tc, a_client_is_told_what_differs, 0, N_ELEMENTS(statuses));
})
