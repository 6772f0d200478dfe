/*
 * password_read.h - reads a password from a file or a command. Blocks: for threads that may.
 *
 * Errors:  NULL, and why without a word of what was read.
 * Threads: any. Whoever sets *stop, from another one, ends a command that runs.
 */
#ifndef PGWEIR_PASSWORD_READ_H
#define PGWEIR_PASSWORD_READ_H

#include "auth/passwords.h"

#include <stdatomic.h>

/* For secure_free(). */
char *password_read(
	const struct password_source *s, usec_t time, const atomic_bool *stop, char why[PASSWORD_ERROR_MAX]);
/* The first line of text, which has len bytes; NULL: none that could be a password. */
char *password_first_line(const char *text, size_t len, char why[PASSWORD_ERROR_MAX]);

#endif
