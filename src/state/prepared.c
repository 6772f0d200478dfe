#include "state/prepared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hash128 statement_context(const struct settings *s, const char *database, const char *user)
{
	static const char *const names[] = { "search_path", "role", "session_authorization",
		"standard_conforming_strings", "client_encoding" };
	struct hash128_state h;

	hash128_start(&h);
	hash128_add(&h, database, strlen(database) + 1);
	hash128_add(&h, user, strlen(user) + 1);
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		const char *value = settings_get(s, names[i]);

		if (value)
			hash128_add(&h, value, strlen(value));
		hash128_add(&h, value ? "\1" : "\0", 2);
	}
	return hash128_end(&h);
}

/* An id is a hash already, and with a secret key: it needs no hashing of its own. */
static unsigned hash_of(struct hash128 id)
{
	return (unsigned)id.lo;
}

bool statement_is(const struct statement *st, const uint8_t *body, size_t len, struct hash128 context)
{
	return st && st->len == len && hash128_equal(st->context, context) && memcmp(st->body, body, len) == 0;
}

struct statement *statement_intern(struct statement_table *t, const uint8_t *body, size_t len, struct hash128 context)
{
	struct hash128_state h;
	struct hash128 id;
	struct statement *st;

	hash128_start(&h);
	hash128_add(&h, &context, sizeof(context));
	hash128_add(&h, body, len);
	id = hash128_end(&h);
	HASH_FIND_BYHASHVALUE(hh, t->by_id, &id, sizeof(id), hash_of(id), st);
	if (st)
		return statement_ref(st);
	st = xcalloc(1, sizeof(*st) + len);
	st->table = t;
	st->refs = 1;
	st->id = id;
	st->len = len;
	memcpy(st->body, body, len);
	st->context = context;
	statement_server_name(id, st->server_name);
	HASH_ADD_BYHASHVALUE(hh, t->by_id, id, sizeof(st->id), hash_of(id), st);
	return st;
}

struct statement *statement_find(const struct statement_table *t, struct hash128 id)
{
	struct statement *st;

	HASH_FIND_BYHASHVALUE(hh, t->by_id, &id, sizeof(id), hash_of(id), st);
	return st;
}

struct statement *statement_ref(struct statement *st)
{
	if (st)
		st->refs++;
	return st;
}

void statement_unref(struct statement **stp)
{
	struct statement *st = *stp;

	*stp = NULL;
	if (!st || --st->refs)
		return;
	HASH_DEL(st->table->by_id, st);
	free(st->deallocates);
	free(st);
}

void statement_server_name(struct hash128 id, char out[STATEMENT_NAME_SIZE])
{
	snprintf(out, STATEMENT_NAME_SIZE, "pgweir_%016llx%016llx", (unsigned long long)id.hi,
		(unsigned long long)id.lo);
}

static bool read_hex64(const char *s, uint64_t *value)
{
	*value = 0;
	for (int i = 0; i < 16; i++) {
		const char *digits = "0123456789abcdef", *digit = s[i] ? strchr(digits, s[i]) : NULL;

		if (!digit)
			return false;
		*value = *value << 4 | (uint64_t)(digit - digits);
	}
	return true;
}

bool statement_id_of_name(const char *name, struct hash128 *id)
{
	size_t n = strlen("pgweir_");

	return strncmp(name, "pgweir_", n) == 0 && read_hex64(name + n, &id->hi) &&
		read_hex64(name + n + 16, &id->lo);
}

uint16_t name_mark(const char *name)
{
	return (uint16_t)(hash64(name, strlen(name)) | 1);
}

const char *client_statements_name(const struct client_statements *t, struct hash128 id, uint16_t mark)
{
	struct client_statement *cs, *next;
	const char *found = NULL;

	HASH_ITER(hh, t->by_name, cs, next)
		if (hash128_equal(cs->statement->id, id) && (!found || name_mark(cs->name) == mark))
			found = cs->name;
	return found;
}

struct client_statement *client_statements_find(const struct client_statements *t, const char *name)
{
	struct client_statement *cs = t->recent;

	if (cs && strcmp(cs->name, name) == 0)
		return cs;
	HASH_FIND_STR(t->by_name, name, cs);
	if (cs)
		((struct client_statements *)(uintptr_t)t)->recent = cs; /* what the table holds stays the same */
	return cs;
}

size_t client_statements_count(const struct client_statements *t)
{
	return HASH_COUNT(t->by_name);
}

struct client_statement *client_statement_new(const char *name, struct statement *st)
{
	struct client_statement *cs = xcalloc(1, sizeof(*cs));

	cs->name = xstrdup(name);
	cs->statement = statement_ref(st);
	return cs;
}

void client_statement_free(struct client_statement **csp)
{
	struct client_statement *cs = *csp;

	*csp = NULL;
	if (!cs)
		return;
	statement_unref(&cs->statement);
	free(cs->name);
	free(cs);
}

void client_statements_add(struct client_statements *t, struct client_statement *cs)
{
	HASH_ADD_KEYPTR(hh, t->by_name, cs->name, strlen(cs->name), cs);
}

void client_statements_remove(struct client_statements *t, struct client_statement *cs)
{
	t->recent = NULL;
	HASH_DEL(t->by_name, cs);
}

void client_statements_clear(struct client_statements *t, bool only_confirmed)
{
	struct client_statement *cs, *next;

	t->recent = NULL;
	HASH_ITER(hh, t->by_name, cs, next) {
		if (only_confirmed && !cs->is_confirmed)
			continue;
		HASH_DEL(t->by_name, cs);
		client_statement_free(&cs);
	}
}

void server_statements_init(struct server_statements *t)
{
	t->by_id = NULL;
	list_init(&t->lru);
	t->n_added = 0;
}

static struct server_statement *find(const struct server_statements *t, struct hash128 id)
{
	struct server_statement *ss;

	HASH_FIND_BYHASHVALUE(hh, t->by_id, &id, sizeof(id), hash_of(id), ss);
	return ss;
}

struct server_statement *server_statements_find(struct server_statements *t, struct hash128 id)
{
	struct server_statement *ss = find(t, id);

	if (ss) {
		list_remove(&t->lru, &ss->lru_node);
		list_push_back(&t->lru, &ss->lru_node);
	}
	return ss;
}

void server_statements_add(struct server_statements *t, struct hash128 id)
{
	struct server_statement *ss;

	if (find(t, id))
		return;
	ss = xcalloc(1, sizeof(*ss));
	ss->id = id;
	ss->number = ++t->n_added;
	HASH_ADD_BYHASHVALUE(hh, t->by_id, id, sizeof(ss->id), hash_of(id), ss);
	list_push_back(&t->lru, &ss->lru_node);
}

void server_statements_remove(struct server_statements *t, struct hash128 id)
{
	struct server_statement *ss = find(t, id);

	if (!ss)
		return;
	HASH_DEL(t->by_id, ss);
	list_remove(&t->lru, &ss->lru_node);
	free(ss);
}

void server_statements_restore(struct server_statements *t, struct hash128 id)
{
	struct server_statement *ss;

	server_statements_add(t, id);
	ss = find(t, id);
	ss->is_confirmed = ss->is_stale = true;
}

bool server_statements_oldest(const struct server_statements *t, struct hash128 *id)
{
	struct list_node *n = list_first(&t->lru);

	if (n)
		*id = CONTAINER_OF(n, struct server_statement, lru_node)->id;
	return n != NULL;
}

size_t server_statements_count(const struct server_statements *t)
{
	return HASH_COUNT(t->by_id);
}

void server_statements_confirm(struct server_statements *t, struct hash128 id, uint32_t number)
{
	struct server_statement *ss = find(t, id);

	if (ss && ss->number == number)
		ss->is_confirmed = true;
}

void server_statements_shape(struct server_statements *t, struct hash128 id, uint32_t number, uint64_t shape)
{
	struct server_statement *ss = find(t, id);

	if (!ss || ss->number != number)
		return;
	ss->is_shape_due = false;
	ss->shape = shape;
}

void server_statements_expire(struct server_statements *t)
{
	LIST_FOREACH(&t->lru, n, next)
		CONTAINER_OF(n, struct server_statement, lru_node)->is_stale = true;
}

void server_statements_clear(struct server_statements *t, bool only_confirmed)
{
	LIST_FOREACH(&t->lru, n, next) {
		struct server_statement *ss = CONTAINER_OF(n, struct server_statement, lru_node);

		if (ss->is_confirmed || !only_confirmed)
			server_statements_remove(t, ss->id);
	}
}
