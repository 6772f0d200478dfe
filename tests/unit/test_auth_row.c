#include "auth/auth_row.h"

#include "auth/credential.h"
#include "unit.h"

#include <string.h>

#define NUL "\xff\xff\xff\xff" /* the length of NULL */

static const struct {
	const char *name, *row;
	size_t len;
	const char *secret; /* NULL: refused, because .. */
	const char *why;    /* .. of something with this in it */
} rows[] = {
	{ "name and secret", "\0\2\0\0\0\3bob\0\0\0\1s", 14, "s", NULL },
	{ "a secret that isn't ASCII", "\0\2\0\0\0\3bob\0\0\0\2\xc3\xa9", 15, "\xc3\xa9", NULL },
	{ "nothing", "", 0, NULL, "two columns" },
	{ "half a count", "\0", 1, NULL, "two columns" },
	{ "no column", "\0\0", 2, NULL, "two columns" },
	{ "one column", "\0\1\0\0\0\3bob", 9, NULL, "two columns" },
	{ "three columns", "\0\3\0\0\0\3bob\0\0\0\1s\0\0\0\1t", 19, NULL, "two columns" },
	{ "65535 columns", "\xff\xff\0\0\0\3bob\0\0\0\1s", 14, NULL, "two columns" },
	{ "no values", "\0\2", 2, NULL, "broken" },
	{ "a name alone", "\0\2\0\0\0\3bob", 9, NULL, "broken" },
	{ "a name that is cut", "\0\2\0\0\0\3bo", 8, NULL, "broken" },
	{ "a secret that is cut", "\0\2\0\0\0\3bob\0\0\0\2s", 14, NULL, "broken" },
	{ "a secret of 2 GiB", "\0\2\0\0\0\3bob\x7f\xff\xff\xffs", 14, NULL, "broken" },
	{ "a negative length", "\0\2\0\0\0\3bob\xff\xff\xff\xfes", 14, NULL, "broken" },
	{ "a byte too many", "\0\2\0\0\0\3bob\0\0\0\1s!", 15, NULL, "broken" },
	{ "another user", "\0\2\0\0\0\3eve\0\0\0\1s", 14, NULL, "another user" },
	{ "a shorter name", "\0\2\0\0\0\2bo\0\0\0\1s", 13, NULL, "another user" },
	{ "a longer name", "\0\2\0\0\0\4bobb\0\0\0\1s", 15, NULL, "another user" },
	{ "a name with a zero byte behind", "\0\2\0\0\0\4bob\0\0\0\0\1s", 15, NULL, "another user" },
	{ "NULL as name", "\0\2" NUL "\0\0\0\1s", 11, NULL, "another user" },
	{ "NULL as secret", "\0\2\0\0\0\3bob" NUL, 13, NULL, "no password" },
	{ "an empty secret", "\0\2\0\0\0\3bob\0\0\0\0", 13, NULL, "no password" },
	{ "a zero byte in the secret", "\0\2\0\0\0\3bob\0\0\0\3s\0t", 16, NULL, "not text" },
};

START_TEST(rows_are_judged)
{
	const char *why;
	char *secret;
	enum result r = auth_row_parse(reader_over(rows[_i].row, rows[_i].len), "bob", &secret, &why);

	ck_assert_msg(r == (rows[_i].secret ? RES_OK : RES_REFUSED), "%s: %s", rows[_i].name, why);
	ck_assert_msg(str_equal(secret, rows[_i].secret), "%s", rows[_i].name);
	if (!rows[_i].secret)
		ck_assert_msg(strstr(why, rows[_i].why) != NULL, "%s: %s", rows[_i].name, why);
	secure_free(&secret);
}
END_TEST

static const struct {
	size_t len;
	enum result want;
} lengths[] = {
	{ CREDENTIAL_SECRET_MAX, RES_OK },
	{ CREDENTIAL_SECRET_MAX + 1, RES_REFUSED },
};

START_TEST(a_secret_has_a_limit)
{
	struct writer w = { 0 };
	const char *why;
	char *secret;

	write_u16(&w, 2);
	write_u32(&w, 3);
	write_bytes(&w, "bob", 3);
	write_u32(&w, (uint32_t)lengths[_i].len);
	for (size_t i = 0; i < lengths[_i].len; i++)
		write_u8(&w, 'x');
	ck_assert_int_eq(auth_row_parse(reader_over(w.data, w.len), "bob", &secret, &why), lengths[_i].want);
	ck_assert((secret != NULL) == (lengths[_i].want == RES_OK));
	secure_free(&secret);
	writer_free(&w);
}
END_TEST

UNIT_MAIN("auth_row", {
	tcase_add_loop_test(tc, rows_are_judged, 0, N_ELEMENTS(rows));
	tcase_add_loop_test(tc, a_secret_has_a_limit, 0, N_ELEMENTS(lengths));
})
