#include "admin/rows.h"

#include "base/utf8.h"
#include "wire/msg.h"

#include <inttypes.h>
#include <stdio.h>

#define NULL_LENGTH UINT32_MAX
#define NUMERIC_BASE 10000
#define NUMERIC_DIGITS_MAX 5 /* of an uint64_t */

static uint16_t type_size(enum column_type type)
{
	switch (type) {
	case COLUMN_INT4: return 4;
	case COLUMN_INT8: return 8;
	case COLUMN_BYTEA:
	case COLUMN_TEXT:
	case COLUMN_NUMERIC: break;
	}
	return UINT16_MAX; /* -1: varies */
}

void rows_describe(struct writer *w, const struct column *columns, size_t n, uint64_t binary)
{
	ASSERT(n <= COLUMNS_MAX);
	msg_begin(w, MSG_ROW_DESCRIPTION);
	write_u16(w, (uint16_t)n);
	for (size_t i = 0; i < n; i++) {
		write_cstring(w, columns[i].name);
		write_u32(w, 0); /* of no table */
		write_u16(w, 0);
		write_u32(w, columns[i].type);
		write_u16(w, type_size(columns[i].type));
		write_u32(w, UINT32_MAX); /* no type modifier */
		write_u16(w, binary >> i & 1);
	}
	msg_end(w);
}

void rows_begin(struct rows *r)
{
	msg_begin(&r->out, MSG_DATA_ROW);
	write_u16(&r->out, (uint16_t)r->n_columns);
	r->at = 0;
}

static void value(struct rows *r, const void *bytes, size_t len)
{
	write_u32(&r->out, (uint32_t)len);
	write_bytes(&r->out, bytes, len);
}

/* The next column's type; from here on it has its value. */
static enum column_type next_column(struct rows *r, bool *is_binary)
{
	ASSERT(r->at < r->n_columns);
	*is_binary = r->binary >> r->at & 1;
	return r->columns[r->at++].type;
}

/* The console speaks UTF-8; what isn't (a name in the client's own encoding) would make the reader's driver fail. */
static void text_value(struct rows *r, const char *text)
{
	size_t len = strlen(text);
	uint8_t *out;

	write_u32(&r->out, (uint32_t)len);
	out = writer_reserve(&r->out, len);
	for (size_t i = 0; i < len;) {
		size_t n = utf8_char(text + i);

		if (n)
			memcpy(out + i, text + i, n);
		else
			out[i] = '?';
		i += MAX(n, 1);
	}
	r->out.len += len;
}

void rows_text(struct rows *r, const char *text)
{
	bool is_binary; /* is the same for text */
	enum column_type type = next_column(r, &is_binary);

	ASSERT(type == COLUMN_TEXT || !text);
	if (text)
		text_value(r, text);
	else
		write_u32(&r->out, NULL_LENGTH);
}

static void text_number(struct rows *r, uint64_t n)
{
	char text[24];

	value(r, text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, n));
}

static void numeric_number(struct rows *r, uint64_t n)
{
	uint16_t digits[NUMERIC_DIGITS_MAX];
	uint16_t count = 0;

	for (; n; n /= NUMERIC_BASE)
		digits[count++] = (uint16_t)(n % NUMERIC_BASE);
	write_u32(&r->out, 8u + 2u * count);
	write_u16(&r->out, count);
	write_u16(&r->out, count ? (uint16_t)(count - 1) : 0); /* the first digit's weight */
	write_u16(&r->out, 0);				       /* positive */
	write_u16(&r->out, 0);				       /* nothing behind the point */
	while (count)
		write_u16(&r->out, digits[--count]);
}

void rows_number(struct rows *r, uint64_t n)
{
	bool is_binary;
	enum column_type type = next_column(r, &is_binary);

	ASSERT(type != COLUMN_BYTEA);
	n = type == COLUMN_INT4 ? MIN(n, INT32_MAX) : type == COLUMN_INT8 ? MIN(n, INT64_MAX) : n;
	if (!is_binary || type == COLUMN_TEXT) {
		text_number(r, n);
	} else if (type == COLUMN_NUMERIC) {
		numeric_number(r, n);
	} else if (type == COLUMN_INT4) {
		write_u32(&r->out, 4);
		write_u32(&r->out, (uint32_t)n);
	} else {
		write_u32(&r->out, 8);
		write_u32(&r->out, (uint32_t)(n >> 32));
		write_u32(&r->out, (uint32_t)n);
	}
}

void rows_flag(struct rows *r, bool is_set)
{
	rows_number(r, is_set);
}

void rows_end(struct rows *r)
{
	ASSERT(r->at == r->n_columns);
	msg_end(&r->out);
	r->count++;
}
