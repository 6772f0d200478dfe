/*
 * sqlscan.h - a lexer that finds statements which may change session state. No grammar, no I/O, one pass.
 *
 * It knows comments (nested), '..' and E'..' and U&'..' and "..", dollar quotes, numbers, and the semicolons between statements. It errs to
 * the safe side: a flag too many costs a probe, one too few would leak state.
 *
 * Limits:  reads at most len bytes; a text that is cut (len smaller than the message) sets SCAN_TRUNCATED.
 * Source:  PostgreSQL's manual, "SQL Syntax", "Lexical Structure"; DISCARD's page for what session state is.
 */
#ifndef PGWEIR_SQLSCAN_H
#define PGWEIR_SQLSCAN_H

#include "base/base.h"

enum scan_flag {
	SCAN_SET = 1 << 0,	     /* SET (not SET LOCAL, SET TRANSACTION, SET CONSTRAINTS), RESET, set_config( unless its third argument is literally true */
	SCAN_DISCARD = 1 << 1,	     /* DISCARD */
	SCAN_LISTEN = 1 << 2,	     /* LISTEN, UNLISTEN */
	SCAN_PREPARE = 1 << 3,	     /* PREPARE (not PREPARE TRANSACTION), EXECUTE, DEALLOCATE */
	SCAN_HOLD = 1 << 4,	     /* DECLARE .. WITH HOLD */
	SCAN_TEMP = 1 << 5,	     /* CREATE TEMP/TEMPORARY .., SELECT .. INTO TEMP */
	SCAN_LOAD = 1 << 6,	     /* LOAD */
	SCAN_OPAQUE = 1 << 7,	     /* DO, CALL: anything may happen inside */
	SCAN_ADVISORY = 1 << 8,	     /* pg_advisory_lock, pg_try_advisory_lock, .._shared, pg_advisory_unlock..; not the .._xact_ ones */
	SCAN_SEQUENCE = 1 << 9,	     /* currval, lastval */
	SCAN_SUSPECT = 1 << 10,	     /* a function that the caller named */
	SCAN_TRUNCATED = 1 << 11,
	SCAN_TRANSACTION = 1 << 12,  /* BEGIN, START TRANSACTION: for statement pooling */
};

struct scan_result {
	unsigned flags;	     /* of enum scan_flag */
	unsigned statements; /* that aren't empty */
	/* Set when the whole text is one `DEALLOCATE [PREPARE] name` (name NULL for ALL): the name, folded or unquoted as PostgreSQL does, in buf. */
	bool is_deallocate, is_deallocate_all;
	char name[64]; /* NAMEDATALEN */
};

struct scan_options {
	bool standard_conforming_strings;
	const char *const *suspects; /* lower-case function names, ended by NULL; may be NULL */
};

void sqlscan(const char *sql, size_t len, const struct scan_options *o, struct scan_result *out);

#endif
