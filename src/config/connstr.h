/*
 * connstr.h - the value of a line in [databases] or [users]: a connection string or a postgresql:// URI, as pairs.
 *
 * Connection string: PgBouncer's, `key=value` separated by blanks; a value with blanks, or an empty one, stands in single
 *          quotes, '' is a quote inside, a backslash is nothing special (libpq's differs there). Blanks around = don't count.
 * URI:     read by libpq's PQconninfoParse(). host, port, dbname, user, password, target_session_attrs and others come out as
 *          pairs; a parameter that asks for what this version can't do is refused, one that asks for what it does is skipped.
 * Errors:  false and *why. Neither a value nor a key that may be a piece of a badly quoted password is shown.
 */
#ifndef PGWEIR_CONNSTR_H
#define PGWEIR_CONNSTR_H

#include "base/base.h"

/* column: where the key starts, from 1; 0 in a URI. False: why is filled in, and stop. */
typedef bool connstr_fn(void *ctx, const char *key, const char *value, size_t column, char *why, size_t why_size);

bool connstr_is_uri(const char *text);
bool connstr_each(char *text, connstr_fn *fn, void *ctx, char *why, size_t why_size); /* changes text */
bool connstr_uri_each(const char *uri, connstr_fn *fn, void *ctx, char *why, size_t why_size);

#endif
