/*
 * authfile.h - the syntax that HBA and ident files share: lines of fields, fields of tokens, and other files inside.
 *
 * A line ends at its newline, unless a backslash stands before it. Blanks separate fields, commas the tokens of a field;
 * double quotes take both, and keywords, for what they are, and two of them in quotes are one; # begins a comment. A token
 * @file is replaced by the tokens of that file; the lines `include file`, `include_if_exists file` and `include_dir folder`
 * (its *.conf, sorted) by the lines of others. Names of files are relative to the file that they stand in.
 * Stricter than PostgreSQL: a quote must be closed, and NUL bytes are refused.
 * Limits:  below; only regular files.
 * Errors:  false and `file:line: what is wrong`. The text of a line isn't shown, as it may hold a password.
 * Source:  PostgreSQL's manual, "The pg_hba.conf File", and src/backend/libpq/hba.c for what it leaves open.
 */
#ifndef PGWEIR_AUTHFILE_H
#define PGWEIR_AUTHFILE_H

#include "base/base.h"

#define AUTHFILE_TOTAL_MAX                                                                                   \
	((size_t)4 << 20)     /* bytes, included files together, each as often as it is included */
#define AUTHFILE_DEPTH_MAX 10 /* PostgreSQL's */
#define AUTHFILE_FILES_MAX 1000

struct auth_token {
	char *text;
	bool is_quoted; /* begins with a quote: it is no keyword, @file or +role */
};

struct auth_field {
	struct auth_token *tokens;
	size_t n; /* 0 only where @file was empty */
};

struct auth_line {
	const char *file;
	int number;
	struct auth_field *fields; /* the callback may take tokens, and leaves NULL and 0 then */
	size_t n;		   /* at least 1 */
};

/* False: why says what is wrong; the reader adds where. */
typedef bool auth_line_fn(void *ctx, struct auth_line *line, char *why, size_t why_size);

bool authfile_read(const char *path, auth_line_fn *fn, void *ctx, char *error, size_t error_size);
/* Includes are refused: text comes from nowhere. name stands for the file in errors. */
bool authfile_read_text(const char *name, const char *text, size_t len, auth_line_fn *fn, void *ctx,
	char *error, size_t error_size);

bool auth_token_is(const struct auth_token *t, const char *keyword);
void auth_field_free(struct auth_field *f); /* what it holds, wiped */

#endif
