#include "state/settings.h"

#include "wire/msg.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct settings *settings_ref(struct settings *s)
{
	if (s)
		__atomic_add_fetch(&s->refs_, 1, __ATOMIC_RELAXED);
	return s;
}

void settings_unref(struct settings **sp)
{
	struct settings *s = *sp;

	*sp = NULL;
	if (s && __atomic_sub_fetch(&s->refs_, 1, __ATOMIC_ACQ_REL) == 0)
		free(s);
}

void settings_share(struct settings_table *t, struct settings **s)
{
	struct settings_entry *e;

	if (!*s)
		return;
	HASH_FIND(hh, t->entries, &(*s)->id, sizeof((*s)->id), e);
	if (e) {
		settings_unref(s);
		*s = settings_ref(e->set);
		return;
	}
	e = xcalloc(1, sizeof(*e));
	e->set = settings_ref(*s);
	HASH_ADD_KEYPTR(hh, t->entries, &e->set->id, sizeof(e->set->id), e);
}

static void drop_entry(struct settings_table *t, struct settings_entry *e)
{
	HASH_DEL(t->entries, e);
	settings_unref(&e->set);
	free(e);
}

void settings_table_sweep(struct settings_table *t)
{
	struct settings_entry *e, *next;

	HASH_ITER(hh, t->entries, e, next)
		if (__atomic_load_n(&e->set->refs_, __ATOMIC_RELAXED) == 1) /* ours: and nobody gets another but from us */
			drop_entry(t, e);
}

void settings_table_free(struct settings_table *t)
{
	struct settings_entry *e, *next;

	HASH_ITER(hh, t->entries, e, next)
		drop_entry(t, e);
}

/* Where name is, or where it would go. */
static size_t find(const struct settings *s, const char *name, bool *found)
{
	size_t lo = 0, hi = s ? s->n : 0;

	*found = false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int order = strcasecmp(s->items[mid].name, name);

		if (order == 0) {
			*found = true;
			return mid;
		}
		if (order < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const char *settings_get(const struct settings *s, const char *name)
{
	bool found;
	size_t i = find(s, name, &found);

	return s && found ? s->items[i].value : NULL;
}

static void add_lower(struct hash128_state *h, const char *name)
{
	do {
		uint8_t c = (uint8_t)(*name >= 'A' && *name <= 'Z' ? *name + ('a' - 'A') : *name);

		hash128_add(h, &c, 1);
	} while (*name++);
}

static size_t bytes_of(const struct setting *items, size_t n)
{
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += strlen(items[i].name) + strlen(items[i].value) + 2;
	return bytes;
}

static struct settings *build(const struct setting *items, size_t n)
{
	struct settings *s;
	struct hash128_state h;
	char *p;

	if (n == 0)
		return NULL;
	s = xmalloc(sizeof(*s) + n * sizeof(s->items[0]) + bytes_of(items, n));
	s->refs_ = 1;
	s->n = n;
	p = (char *)&s->items[n];
	hash128_start(&h);
	for (size_t i = 0; i < n; i++) {
		size_t name_size = strlen(items[i].name) + 1, value_size = strlen(items[i].value) + 1;

		add_lower(&h, items[i].name);
		hash128_add(&h, items[i].value, value_size);
		s->items[i].name = memcpy(p, items[i].name, name_size);
		s->items[i].value = memcpy(p + name_size, items[i].value, value_size);
		p += name_size + value_size;
	}
	s->id = hash128_end(&h);
	return s;
}

enum result settings_put(struct settings **sp, const char *name, const char *value)
{
	struct settings *old = *sp;
	struct setting items[SETTINGS_MAX + 1];
	size_t n = old ? old->n : 0, at;
	bool found;

	at = find(old, name, &found);
	if (old && found ? value && strcmp(old->items[at].value, value) == 0 : !value)
		return RES_OK;
	if (n)
		memcpy(items, old->items, n * sizeof(items[0]));
	if (!value) {
		memmove(&items[at], &items[at + 1], (--n - at) * sizeof(items[0]));
	} else if (found) {
		items[at].value = value;
	} else {
		memmove(&items[at + 1], &items[at], (n++ - at) * sizeof(items[0]));
		items[at] = (struct setting){ name, value };
	}
	if (n > SETTINGS_MAX || bytes_of(items, n) > SETTINGS_BYTES_MAX)
		return RES_LIMIT;
	*sp = build(items, n);
	settings_unref(&old);
	return RES_OK;
}

struct settings *settings_overlay(struct settings *base, const struct settings *top)
{
	struct setting items[SETTINGS_MAX];
	bool differs = false;

	for (size_t i = 0; base && i < base->n; i++) {
		const char *value = settings_get(top, base->items[i].name);

		items[i] = base->items[i];
		if (value && strcmp(value, items[i].value) != 0) {
			items[i].value = value;
			differs = true;
		}
	}
	return differs ? build(items, base->n) : settings_ref(base);
}

static void write_text(struct writer *w, const char *s)
{
	write_bytes(w, s, strlen(s));
}

/* E'' in pure ASCII: bytes above 127 by their number, which PostgreSQL takes as bytes of the database's encoding, as it
 * does with a startup packet. */
void settings_write_literal(struct writer *w, const char *s)
{
	static const char hex[] = "0123456789abcdef";

	write_text(w, "E'");
	for (; *s; s++) {
		uint8_t c = (uint8_t)*s;

		if (c == '\'' || c == '\\')
			write_bytes(w, (uint8_t[]){ c == '\'' ? '\'' : '\\', c }, 2);
		else if (c < ' ' || c >= 0x7f)
			write_bytes(w, (char[]){ '\\', 'x', hex[c >> 4], hex[c & 15] }, 4);
		else
			write_u8(w, c);
	}
	write_u8(w, '\'');
}

/* RESET has no function, so the name goes in as identifiers: each part between dots quoted. */
static void write_identifier(struct writer *w, const char *name)
{
	write_u8(w, '"');
	for (; *name; name++) {
		uint8_t c = (uint8_t)*name;

		if (c >= 'A' && c <= 'Z')
			c = (uint8_t)(c + ('a' - 'A'));
		if (c == '.')
			write_text(w, "\".\"");
		else if (c == '"')
			write_text(w, "\"\"");
		else
			write_u8(w, c);
	}
	write_u8(w, '"');
}

static void write_reset(struct writer *w, const char *name)
{
	write_text(w, "RESET ");
	write_identifier(w, name);
	write_u8(w, ';');
}

/*
 * What decides how the others can be set is undone first and set last: a timeout that may be too short for us, and who one is, which
 * decides what one may set.
 */
static const char *const outermost[] = { "statement_timeout", "session_authorization", "role" };

static bool is_outermost(const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(outermost); i++)
		if (strcasecmp(name, outermost[i]) == 0)
			return true;
	return false;
}

static void write_set(struct writer *w, const struct setting *to)
{
	write_text(w, "SELECT pg_catalog.set_config(");
	settings_write_literal(w, to->name);
	write_u8(w, ',');
	settings_write_literal(w, to->value);
	write_text(w, ",false);");
}

void settings_write_sql(struct writer *w, const struct settings *from, const struct settings *to)
{
	for (size_t i = 0; i < N_ELEMENTS(outermost); i++)
		if (settings_get(from, outermost[i]))
			write_reset(w, outermost[i]);
	for (size_t i = 0; from && i < from->n; i++) {
		if (settings_get(to, from->items[i].name) || is_outermost(from->items[i].name))
			continue;
		write_reset(w, from->items[i].name);
	}
	for (size_t i = 0; to && i < to->n; i++) {
		const char *had = settings_get(from, to->items[i].name);

		if ((had && strcmp(had, to->items[i].value) == 0) || is_outermost(to->items[i].name))
			continue;
		if (had && strcasecmp(to->items[i].name, "DateStyle") == 0)
			write_reset(w, to->items[i].name); /* 'SQL' alone would keep the order of day and month that there was */
		write_set(w, &to->items[i]);
	}
	for (size_t i = 1; i <= N_ELEMENTS(outermost); i++) {
		const char *name = outermost[i % N_ELEMENTS(outermost)], *value = settings_get(to, name);

		if (value)
			write_set(w, &(struct setting){ name, value });
	}
}

void settings_write_status(struct writer *w, const struct settings *told, const struct settings *now)
{
	for (size_t i = 0; now && i < now->n; i++) {
		const char *had = settings_get(told, now->items[i].name);

		if (!had || strcmp(had, now->items[i].value) != 0)
			write_parameter_status(w, now->items[i].name, now->items[i].value);
	}
}
