/*
 * rows.h - RowDescription and DataRows, value by value in the columns' order.
 *
 * A view says what its columns are, once; rows_end() asserts that every row has a value for each. Values are text, or binary in the
 * columns where the client's Bind asked for it.
 *
 * Text:    ends at its NUL; NULL is SQL's NULL. Bytes that aren't UTF-8 become question marks.
 * Numbers: one that an int4 can't hold becomes the largest that it can.
 * Source:  PostgreSQL's manual, "Message Formats"; for numeric's binary form src/backend/utils/adt/numeric.c, numeric_recv().
 */
#ifndef PGWEIR_ROWS_H
#define PGWEIR_ROWS_H

#include "wire/bytes.h"

enum column_type {
	COLUMN_BYTEA = 17,
	COLUMN_INT8 = 20,
	COLUMN_INT4 = 23,
	COLUMN_TEXT = 25,
	COLUMN_NUMERIC = 1700
}; /* PostgreSQL's OIDs */

#define COLUMNS_MAX 64 /* a bit each in a mask */

struct column {
	const char *name;
	enum column_type type;
};

struct rows {
	struct writer out;
	const struct column *columns;
	size_t n_columns, at;
	uint64_t binary; /* a bit for each column that is wanted in binary */
	size_t count;
};

void rows_describe(struct writer *w, const struct column *columns, size_t n, uint64_t binary);
void rows_begin(struct rows *r);
void rows_text(struct rows *r, const char *text);
void rows_number(struct rows *r, uint64_t n); /* in a text column, too */
void rows_flag(struct rows *r, bool is_set);  /* 1 or 0 */
void rows_end(struct rows *r);

#endif
