/*
 * sqlscan.h - a lexer that finds statements which may change session state. No grammar, no I/O, one pass.
 *
 * It knows comments (nested), '..' and E'..' and U&'..' and "..", dollar quotes, numbers, and the semicolons between
 * statements. It errs to the safe side: a flag too many costs a probe, one too few would leak state. For the same
 * reason it doesn't believe what it can't decide: an identifier written as U&".." sets all flags of functions, and a byte
 * above 127 before a backslash in an E'..' string sets SCAN_OPAQUE (in SJIS, BIG5 or GBK that backslash may be half a
 * character, and then the string ends elsewhere).
 *
 * What the text doesn't show, it can't see: functions and triggers that change state, and CREATE TABLE while search_path
 * begins with pg_temp (which the caller knows, since it was set by a statement that has SCAN_SET and SCAN_TEMP).
 *
 * Limits:  reads at most len bytes, each at most a few times; no recursion.
 * Source:  PostgreSQL's manual, "SQL Syntax", "Lexical Structure"; DISCARD's page for what session state is; where the
 *          manual is silent, src/backend/parser/scan.l.
 */
#ifndef PGWEIR_SQLSCAN_H
#define PGWEIR_SQLSCAN_H

#include "base/base.h"

enum scan_flag {
	SCAN_SET = 1 << 0, /* SET (not SET LOCAL, SET TRANSACTION, SET CONSTRAINTS), RESET, set_config() unless its
				       third argument is literally true */
	SCAN_DISCARD = 1 << 1, /* DISCARD */
	SCAN_LISTEN = 1 << 2,  /* LISTEN, UNLISTEN */
	SCAN_PREPARE = 1 << 3, /* PREPARE (not PREPARE TRANSACTION), EXECUTE, DEALLOCATE */
	SCAN_HOLD = 1 << 4,    /* DECLARE .. WITH HOLD */
	SCAN_TEMP = 1 << 5,    /* CREATE TEMP/TEMPORARY .., SELECT .. INTO TEMP, the identifier pg_temp */
	SCAN_LOAD = 1 << 6,    /* LOAD */
	SCAN_OPAQUE = 1 << 7,  /* DO, CALL: anything may happen inside */
	SCAN_ADVISORY = 1 << 8, /* pg_advisory_lock, pg_try_advisory_lock, .._shared, pg_advisory_unlock ..; not the
				       .._xact_ ones */
	SCAN_SEQUENCE = 1 << 9,	    /* currval, lastval */
	SCAN_SUSPECT = 1 << 10,	    /* a function that the caller named */
	SCAN_TRUNCATED = 1 << 11,   /* the text goes on behind what was scanned: anything may follow */
	SCAN_TRANSACTION = 1 << 12, /* BEGIN, START TRANSACTION: for statement pooling */
};

struct scan_result {
	unsigned flags; /* of enum scan_flag */
	unsigned makes; /* .. of these, what it makes rather than uses or ends: LISTEN but not UNLISTEN, a lock but no unlock */
	unsigned statements; /* that aren't empty */
	/*
	 * Set when the whole text is one `DEALLOCATE [PREPARE] name` or `.. ALL`. The name is folded or unquoted, and cut to
	 * 63 bytes, as PostgreSQL does; "" for ALL.
	 */
	bool is_deallocate, is_deallocate_all;
	char name[64]; /* NAMEDATALEN */
	/* Set when the whole text is `SET [SESSION] name {TO|=} value` and nothing but that setting changes; else "". */
	char setting[64];
};

struct scan_options {
	bool standard_conforming_strings;
	bool is_truncated;	     /* sql isn't the whole text */
	const char *const *suspects; /* lower-case function names without schema, ended by NULL; may be NULL */
};

/* For people: the kind of statement that sets these flags; never its text. */
const char *scan_kind(unsigned flags);
/* A comma list of function names as suspects: lower case, schema and quotes left out. One block, for free(); NULL: none. */
const char **scan_suspects(const char *list);

/* len doesn't count the NUL that ends a text on the wire. out is filled in completely. */
void sqlscan(const char *sql, size_t len, const struct scan_options *o, struct scan_result *out);

#endif
