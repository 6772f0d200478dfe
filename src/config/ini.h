/*
 * ini.h - reads PgBouncer's ini format and calls back for each section and each `key = value`.
 *
 * Format:  lines of `[section]`, `key = value` or `%include file`; comments are whole lines that start with ; or #. A value goes to the
 *          end of its line, blanks around it don't count, and nothing inside is special. A key is made of letters, digits, _ . - *,
 *          or stands in double quotes ("" is a quote). An included file continues the section that it's included in,
 *          and a section that it starts goes on after it. Relative paths are relative to the working directory, as PgBouncer's.
 * Why not libinih: it gives no line number to its handler (Debian's build), cuts a value at " ;" (passwords, queries),
 *          takes ':' for '=', joins indented lines and knows neither %include nor quoted keys.
 * Limits:  below; a file must be a regular file.
 * Errors:  false and `file:line: what is wrong` in error. The text of a line isn't shown, as it may hold a password. The callback
 *          says only what is wrong; the reader adds where.
 */
#ifndef PGWEIR_INI_H
#define PGWEIR_INI_H

#include "base/base.h"

#define INI_TOTAL_MAX (16u << 20) /* bytes, included files together */
#define INI_LINE_MAX (256u << 10) /* a password has up to 64 KiB, and its quotes are doubled */
#define INI_DEPTH_MAX 16
#define INI_FILES_MAX 1000 /* a file that includes itself twice would be read 2^16 times within the depth */

struct ini_line {
	const char *file;
	int number;
	const char *section; /* "" before the first */
	const char *key;     /* NULL: this line starts the section */
	char *value;	     /* may be changed by the callback */
};

typedef bool ini_fn(void *ctx, const struct ini_line *line, char *why, size_t why_size);

bool ini_read_file(const char *path, ini_fn *fn, void *ctx, char *error, size_t error_size);
bool ini_read_text(const char *name, const char *text, size_t len, ini_fn *fn, void *ctx, char *error,
	size_t error_size);

#endif
