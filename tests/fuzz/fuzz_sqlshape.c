/*
 * The shape of a statement: the same for any content of a literal; the same again when it is made of itself; bounded.
 */
#include "wire/sqlshape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any bytes as a string: quotes doubled, backslashes in E'..' too. */
static size_t quote(char *out, const uint8_t *data, size_t size)
{
	size_t n = 0;

	out[n++] = 'E';
	out[n++] = '\'';
	for (size_t i = 0; i < size; i++) {
		uint8_t c = data[i] & 0x7f; /* above it a backslash may be half a character */

		if (c == '\'' || c == '\\')
			out[n++] = (char)c;
		out[n++] = (char)c;
	}
	out[n++] = '\'';
	return n;
}

static void check_hidden(const uint8_t *data, size_t size)
{
	char *sql = xmalloc(2 * size + 64), out[SQL_SHAPE_SIZE];
	size_t n = 0;

	memcpy(sql, "select ", 7);
	n = 7 + quote(sql + 7, data, size);
	memcpy(sql + n, " from t", 7);
	sql_shape(sql, n + 7, out, sizeof(out));
	ASSERT(strcmp(out, "select ? from t") == 0);
	free(sql);
}

static void check_again(const uint8_t *data, size_t size)
{
	static char out[1 << 17], again[1 << 17];
	uint64_t id = sql_shape((const char *)data, size, out, sizeof(out));
	size_t len = strlen(out);

	ASSERT(len < sizeof(out));
	if (memchr(data, '\0', size) || strstr(out, "...")) /* it ends there as a C string; or early */
		return;
	ASSERT(sql_shape(out, len, again, sizeof(again)) == id);
	ASSERT(strcmp(out, again) == 0);
}

static void check_cut(const uint8_t *data, size_t size)
{
	char small[16], large[SQL_SHAPE_SIZE];

	ASSERT(sql_shape((const char *)data, size, small, sizeof(small)) ==
		sql_shape((const char *)data, size, large, sizeof(large)));
	ASSERT(memchr(small, '\0', sizeof(small)) && memchr(large, '\0', sizeof(large)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > SQL_SHAPE_INPUT_MAX / 2 - 64)
		return 0;
	check_hidden(data, size);
	check_again(data, size);
	check_cut(data, size);
	return 0;
}
