/*
 * auth_row.h - the row in which auth_query answers: name and secret, in the text format.
 *
 * Errors:  RES_REFUSED and why: it isn't two columns, the name is another user's, the secret is NULL, empty, too long or not text.
 * Threads: none of its own.
 */
#ifndef PGWEIR_AUTH_ROW_H
#define PGWEIR_AUTH_ROW_H

#include "wire/bytes.h"

/* body: of a DataRow. RES_OK: *secret is the caller's, for secure_free(). */
enum result auth_row_parse(struct reader body, const char *user, char **secret, const char **why);

#endif
