/*
 * settings.h - a set of settings: name -> value, immutable and shared.
 *
 * Used for what a client wants its session to be, for what we have set on a server, and for what a server has reported by ParameterStatus. Two
 * sets are the same if their ids are: comparing a client's set with a server's costs one compare of 16 bytes.
 *
 * The empty set is NULL. Names are case-insensitive, as in PostgreSQL, and keep the spelling they came with.
 * Tables:    a settings_table holds one set for all that are the same: of a thousand functions all have sent the same startup packet.
 * Ownership: reference counts (atomic). settings_with() gives a new set and leaves the old one alone.
 * Limits:    SETTINGS_MAX names, SETTINGS_BYTES_MAX bytes: settings_with() yields RES_LIMIT beyond.
 * Threads:   a set may be read from several.
 * Source:    PostgreSQL's manual: "Setting Parameters", functions set_config() and RESET; DESIGN of sessions in doc/ARCHITECTURE.md.
 */
#ifndef PGWEIR_SETTINGS_H
#define PGWEIR_SETTINGS_H

#include "base/hash.h"
#include "base/table.h"
#include "wire/bytes.h"

#define SETTINGS_MAX 512
#define SETTINGS_BYTES_MAX 65536

struct setting {
	const char *name, *value;
};

struct settings {
	int refs_; /* atomic */
	struct hash128 id;
	size_t n;
	struct setting items[]; /* sorted by name; the strings follow in the same block */
};

struct settings_entry {
	UT_hash_handle hh; /* by the set's id */
	struct settings *set;
};

struct settings_table { /* zeroed: empty. One thread's, although the sets in it may be read by others */
	struct settings_entry *entries;
};

/* *s, or the set with the same contents that is in the table already, in its place. */
void settings_share(struct settings_table *t, struct settings **s);
void settings_table_sweep(struct settings_table *t); /* forgets those that nobody else has a reference to */
void settings_table_free(struct settings_table *t);

struct settings *settings_ref(struct settings *s);
void settings_unref(struct settings **s);
static inline bool settings_same(const struct settings *a, const struct settings *b)
{
	return a == b || (a && b && hash128_equal(a->id, b->id));
}
const char *settings_get(const struct settings *s, const char *name); /* NULL: not in the set */

/* *s becomes the set with name = value (NULL: without name). The old set is unreferenced. */
enum result settings_put(struct settings **s, const char *name, const char *value);

/* base with those names that it has already set to the values in top: what a client is told at login. */
struct settings *settings_overlay(struct settings *base, const struct settings *top);

/*
 * SQL that turns a session which has `from` set into one that has `to` set. Values go through set_config() as
 * E'' literals in pure ASCII, so that neither client_encoding nor standard_conforming_strings nor a quote matters.
 */
void settings_write_sql(struct writer *w, const struct settings *from, const struct settings *to);
#define SETTINGS_RESET_ALL "RESET SESSION AUTHORIZATION;RESET ROLE;RESET ALL" /* whatever it has set */
/* A string as an E'' literal in pure ASCII. */
void settings_write_literal(struct writer *w, const char *s);
/* ParameterStatus messages for what differs in now from told. */
void settings_write_status(struct writer *w, const struct settings *told, const struct settings *now);

#endif
