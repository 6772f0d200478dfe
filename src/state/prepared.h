/*
 * prepared.h - protocol-level prepared statements: texts shared by all, names of each client, what each server has.
 *
 * statement:          query text and parameter types, interned per worker; its id is a keyed 128-bit hash over text, types and those
 *                     settings that change what a text means. With a secret key nobody can make two texts collide, so the
 *                     id stands for the whole key. On servers it is named after its id: a name is never reused for another text.
 * client_statements:  a client's own names, "" included. Names are changed when a message is sent, not when it is answered,
 *                     since the next Bind is on its way already; the pending queue undoes what the server then skipped.
 * server_statements:  what a server has, or will have once it has read what was sent; least recently used first out.
 *
 * Schema changes: a text that PostgreSQL has parsed before a change means the old tables to it, and fails when their columns differ. So
 * a client's Parse is never answered by an older copy: that is parsed anew at its first use (parsed_at). And where pgweir has seen a change,
 * the database's schema number is part of the id (statement_version()), so that who prepared before it keeps the old copy, with its errors.
 * Where that has to be parsed anew (another server, an eviction), its shape must be the one that the client's had (shape.h).
 *
 * Ownership: statements are counted references and belong to their table's thread; server_statements hold ids only, so that a server
 *            can move to another worker.
 * Limits:    CLIENT_STATEMENTS_MAX names a client; the server's limit is max_prepared_statements.
 * Threads:   those of the owner. No I/O.
 * Source:    PostgreSQL's manual, "Extended Query".
 */
#ifndef PGWEIR_PREPARED_H
#define PGWEIR_PREPARED_H

#include "base/list.h"
#include "base/table.h"
#include "state/settings.h"
#include "state/shape.h"
#include "wire/bytes.h"

#define CLIENT_STATEMENTS_MAX 10000
#define STATEMENT_NAME_SIZE 40 /* "pgweir_" + 32 hex digits + NUL */

struct statement {
	UT_hash_handle hh;
	struct statement_table *table;
	int refs;
	struct hash128 id;
	unsigned scanned_for;	    /* the worker's snapshot for which it was scanned; 0: none yet */
	unsigned scan_flags, makes; /* of sqlscan.h, once it was scanned */
	bool deallocates_all;	    /* DEALLOCATE ALL, DISCARD ALL */
	char *deallocates;	    /* the text is DEALLOCATE of this name; NULL otherwise */
	bool is_good;		    /* a server has parsed it without complaint */
	uint64_t schema;	    /* the number of schema changes that it was prepared at */
	uint64_t shape;	    /* .. and what it looked like then (shape.h), as far as a server has told */
	uint64_t binds;	    /* for SHOW PREPARED */
	unsigned n_servers; /* .. as it was last asked */
	char server_name[STATEMENT_NAME_SIZE]; /* statement_server_name(), which costs more than the rest of a Bind */
	struct hash128 context;
	size_t len;
	uint8_t body[]; /* of the Parse message behind the name: query, NUL, int16, int32s */
};

struct statement_table {
	struct statement *by_id;
};

/* body: what follows the name in a Parse message. context: see statement_context(). */
struct statement *statement_intern(
	struct statement_table *t, const uint8_t *body, size_t len, struct hash128 context);
/* What statement_intern() would give, without the price of a hash. st may be NULL: false */
bool statement_is(const struct statement *st, const uint8_t *body, size_t len, struct hash128 context);
struct statement *statement_find(const struct statement_table *t, struct hash128 id); /* borrowed; NULL: none */
struct statement *statement_ref(struct statement *st);
void statement_unref(struct statement **st);
void statement_server_name(struct hash128 id, char out[STATEMENT_NAME_SIZE]);
/* The id whose name begins here, in text from a server; false: none. */
bool statement_id_of_name(const char *name, struct hash128 *id);
/* The context for a statement that is parsed at this number of schema changes. */
static inline struct hash128 statement_version(struct hash128 context, uint64_t schema)
{
	context.hi ^= schema * UINT64_C(0x9e3779b97f4a7c15);
	return context;
}
/* A hash over what decides what a text means when it is parsed: where and as whom, and some of the settings. */
struct hash128 statement_context(const struct settings *s, const char *database, const char *user);

struct client_statement {
	UT_hash_handle hh;
	char *name;
	struct statement *statement;
	uint32_t batch; /* of the client: its Parse was sent between two Syncs */
	usec_t parsed_at; /* what it means was decided then: an older copy on a server may mean something else */
	bool is_confirmed; /* the server has said ParseComplete, or we have */
	uint64_t shape;	   /* that it had when it was prepared, and keeps; SHAPE_UNKNOWN */
};

struct client_statements {
	struct client_statement *by_name;
	struct client_statement *recent; /* found last: a Bind looks for its name several times. NULL: none */
};

struct client_statement *client_statements_find(const struct client_statements *t, const char *name);
size_t client_statements_count(const struct client_statements *t);
struct client_statement *client_statement_new(const char *name, struct statement *st); /* takes a reference of its own */
void client_statement_free(struct client_statement **cs); /* must not be in a table */
/* A name that means it, the one with this mark if there is one; NULL: none. */
const char *client_statements_name(const struct client_statements *t, struct hash128 id, uint16_t mark);
uint16_t name_mark(const char *name);						      /* a hash, never 0 */
void client_statements_add(struct client_statements *t, struct client_statement *cs); /* its name must be free */
void client_statements_remove(struct client_statements *t, struct client_statement *cs);
void client_statements_clear(struct client_statements *t, bool only_confirmed);

struct server_statement {
	UT_hash_handle hh;
	struct hash128 id;
	struct list_node lru_node;
	uint32_t batch; /* of the client that sent its Parse */
	usec_t parsed_at;
	uint32_t number;
	bool is_confirmed; /* the server has said ParseComplete */
	bool is_stale;	   /* its plan can't be used any more: close it before the next use */
	bool is_shape_due; /* its Describe hasn't been answered */
	uint64_t shape;	   /* what that said; SHAPE_UNKNOWN */
};

struct server_statements {
	struct server_statement *by_id;
	struct list lru; /* least recently used first */
	uint32_t n_added;
};

void server_statements_init(struct server_statements *t);
struct server_statement *server_statements_find(
	struct server_statements *t, struct hash128 id); /* a use: goes to the end of the LRU */
void server_statements_add(struct server_statements *t, struct hash128 id);
void server_statements_remove(struct server_statements *t, struct hash128 id);
/* Its Close was skipped: it's there, as far as we know, and must be closed before it is used, since it may have been stale. */
void server_statements_restore(struct server_statements *t, struct hash128 id);
bool server_statements_oldest(const struct server_statements *t, struct hash128 *id); /* false: it has none */
size_t server_statements_count(const struct server_statements *t);
/* Of one that is there again since, only the newest Parse counts: number is that of its server_statement. */
void server_statements_confirm(struct server_statements *t, struct hash128 id, uint32_t number);
/* Its Describe was answered, or never will be (SHAPE_UNKNOWN). */
void server_statements_shape(struct server_statements *t, struct hash128 id, uint32_t number, uint64_t shape);
void server_statements_expire(struct server_statements *t); /* all are stale: prepared anew before the next use */
void server_statements_clear(struct server_statements *t, bool only_confirmed);

/*
 * DEALLOCATE of a client's own name, by the extended protocol: the server is sent a DEALLOCATE of this statement instead, which is prepared ahead of each Execute, so that
 * the answers, the command tag and errors come from PostgreSQL.
 */
#define STATEMENT_DECOY ((struct hash128){ 0, 0 })

#endif
