/*
 * sqlshape.h - what a statement looks like without what it says: for views and logs, which may show no secret.
 *
 * Literals (strings of all kinds, dollar quotes, numbers) become ?, lists of them one ?, comments go, blanks are one blank, words are in
 * lower case; of SET only the name stays. Names, operators and $1 stay. Where the text can't be read for sure (a backslash before a quote,
 * whose meaning hangs on standard_conforming_strings; a byte above 127 before one in E'..') the shape ends there with an ellipsis.
 *
 * The fingerprint is a hash of the whole shape, also of what didn't fit into out; it is the same in all processes.
 *
 * Limits:  reads at most SQL_SHAPE_INPUT_MAX bytes. No I/O, no allocation.
 * Source:  PostgreSQL's manual, "Lexical Structure".
 */
#ifndef PGWEIR_SQLSHAPE_H
#define PGWEIR_SQLSHAPE_H

#include "base/base.h"

#define SQL_SHAPE_INPUT_MAX 16384
#define SQL_SHAPE_SIZE 256 /* enough for a view */

/* out is ended by NUL and cut between characters of UTF-8, with an ellipsis. size is at least 4. */
uint64_t sql_shape(const char *sql, size_t len, char *out, size_t size);

#endif
