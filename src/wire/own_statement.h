/*
 * own_statement.h - statements about pgweir's own settings, which pgweir answers itself: SHOW, SET and RESET of pgweir.*.
 *
 * Only a text that is one such statement and nothing else is one, in the plainest form: no comments, no quoted names. Whatever isn't (SET LOCAL,
 * set_config(), several statements) is PostgreSQL's, which keeps any setting with a dot in its name; session/ask.h says what becomes of it.
 * Source: PostgreSQL's manual, "SET", "SHOW", "RESET".
 */
#ifndef PGWEIR_OWN_STATEMENT_H
#define PGWEIR_OWN_STATEMENT_H

#include "base/base.h"

enum own_kind {
	OWN_NONE,
	OWN_SHOW_LAST_WAIT,
	OWN_SHOW_QUERY_WAIT,
	OWN_SHOW_SERVER,
	OWN_SET_QUERY_WAIT,
	OWN_SET_READ_ONLY, /* SET or RESET of what can only be shown */
	OWN_RESET_QUERY_WAIT,
	OWN_RESET_ALL, /* RESET ALL, which is PostgreSQL's to answer as well */
};

#define OWN_VALUE_MAX 64

struct own_statement {
	enum own_kind kind;
	char value[OWN_VALUE_MAX]; /* of SET; cut */
};

bool own_statement_parse(const char *sql, size_t len, struct own_statement *out);

/* A quick look for the path of each query: can it be one? */
static inline bool own_statement_may_be(const uint8_t *sql, size_t len)
{
	if (len < 9)
		return false;
	if (sql[0] <= ' ')
		return true;
	return ((sql[0] | 0x20) == 's' && ((sql[1] | 0x20) == 'h' || (sql[2] | 0x20) == 't')) ||
		(sql[0] | 0x20) == 'r';
}

#endif
