#include "unit.h"

#include "http/api.h"
#include "http/utf8.h"

#include <string.h>

static const struct {
	const char *text;
	size_t len;
	const char *want;
} texts[] = {
	{ "", 0, "\"\"" },
	{ "plain", 5, "\"plain\"" },
	{ "a\"b\\c", 5, "\"a\\\"b\\\\c\"" },
	{ "\n\t\x01\x7f", 4, "\"\\u000a\\u0009\\u0001\\u007f\"" },
	{ "a\0b", 3, "\"a\\u0000b\"" },
	{ "</script>", 9, "\"\\u003c/script>\"" },
	{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"" },
	{ "\xff", 1, "\"" UTF8_REPLACEMENT "\"" },
	{ "\xc3", 1, "\"" UTF8_REPLACEMENT "\"" },
	{ "\xc3(", 2, "\"" UTF8_REPLACEMENT "(\"" },
	{ "\xc0\xaf", 2, "\"" UTF8_REPLACEMENT UTF8_REPLACEMENT "\"" },
	{ "\xe0\x80\xaf", 3, "\"" UTF8_REPLACEMENT UTF8_REPLACEMENT UTF8_REPLACEMENT "\"" },
	{ "\xed\xa0\x80", 3, "\"" UTF8_REPLACEMENT UTF8_REPLACEMENT UTF8_REPLACEMENT "\"" },
	{ "\xf4\x90\x80\x80", 4, "\"" UTF8_REPLACEMENT UTF8_REPLACEMENT UTF8_REPLACEMENT UTF8_REPLACEMENT "\"" },
	{ "\xf0\x9f\x98", 3, "\"" UTF8_REPLACEMENT UTF8_REPLACEMENT UTF8_REPLACEMENT "\"" },
};

START_TEST(texts_are_json)
{
	struct writer w = { 0 };

	json_text(&w, texts[_i].text, texts[_i].len);
	ck_assert_uint_eq(w.len, strlen(texts[_i].want));
	ck_assert_mem_eq(w.data, texts[_i].want, w.len);
	writer_free(&w);
}
END_TEST

static const struct column columns[] = { { "t", COLUMN_TEXT }, { "i", COLUMN_INT4 }, { "b", COLUMN_INT8 },
	{ "n", COLUMN_NUMERIC } };

static void add_row(struct rows *r, const char *text, uint64_t n)
{
	rows_begin(r);
	rows_text(r, text);
	rows_number(r, n);
	rows_number(r, n);
	rows_number(r, n);
	rows_end(r);
}

static const char *json_of(const struct rows *r, size_t limit, size_t size_max, bool *is_cut)
{
	static char text[512];
	struct writer w = { 0 };

	json_rows(&w, r, limit, size_max, is_cut);
	ck_assert_uint_lt(w.len, sizeof(text));
	memcpy(text, w.data, w.len);
	text[w.len] = '\0';
	writer_free(&w);
	return text;
}

START_TEST(rows_keep_their_types)
{
	struct rows r = { .columns = columns, .n_columns = N_ELEMENTS(columns) };
	bool is_cut;

	ck_assert_str_eq(json_of(&r, 10, 1000, &is_cut), "[]");
	ck_assert(!is_cut);
	add_row(&r, "7", 8);
	add_row(&r, NULL, UINT64_MAX);
	ck_assert_str_eq(json_of(&r, 10, 1000, &is_cut),
		"[{\"t\":\"7\",\"i\":8,\"b\":8,\"n\":8},"
		"{\"t\":null,\"i\":2147483647,\"b\":9223372036854775807,\"n\":18446744073709551615}]");
	ck_assert(!is_cut);
	writer_free(&r.out);
}
END_TEST

START_TEST(too_much_is_cut_and_says_so)
{
	struct rows r = { .columns = columns, .n_columns = N_ELEMENTS(columns) };
	const char *one = "[{\"t\":\"a\",\"i\":1,\"b\":1,\"n\":1}]";
	bool is_cut;

	add_row(&r, "a", 1);
	add_row(&r, "b", 2);
	ck_assert_str_eq(json_of(&r, 1, 1000, &is_cut), one);
	ck_assert(is_cut);
	ck_assert_str_eq(json_of(&r, 10, strlen(one) + 3, &is_cut), one);
	ck_assert(is_cut);
	ck_assert_str_eq(json_of(&r, 0, 1000, &is_cut), "[]");
	ck_assert(is_cut);
	json_of(&r, 2, 1000, &is_cut);
	ck_assert(!is_cut);
	writer_free(&r.out);
}
END_TEST

UNIT_MAIN("http_api", {
	tcase_add_loop_test(tc, texts_are_json, 0, N_ELEMENTS(texts));
	tcase_add_test(tc, rows_keep_their_types);
	tcase_add_test(tc, too_much_is_cut_and_says_so);
})
