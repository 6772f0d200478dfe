#include "admin/report_private.h"

#include "session/client.h"
#include "wire/sqlshape.h"

#include <stdlib.h>

/* ---- prepared statements ---- */

/* How many servers have it, left in the statement itself: a lookup for each server's each, not for each server and statement. */
static void count_servers_of(struct worker *w, struct server *s)
{
	struct server_statement *has, *next;

	HASH_ITER(hh, s->statements.by_id, has, next) {
		struct statement *st = statement_find(&w->statements, has->id);

		if (st)
			st->n_servers++;
	}
}

static void count_servers(struct worker *w)
{
	struct statement *st, *next;
	struct pool *p, *next_pool;

	HASH_ITER(hh, w->statements.by_id, st, next)
		st->n_servers = 0;
	HASH_ITER(hh, w->pools, p, next_pool) {
		LIST_FOREACH(&p->idle, n, next_)
			count_servers_of(w, CONTAINER_OF(n, struct server, node));
		LIST_FOREACH(&p->servers, n, next_)
			count_servers_of(w, CONTAINER_OF(n, struct server, node));
	}
}

/* A heap with the least used on top, which goes when a more used one comes. */
struct most_used {
	const struct statement *items[REPORT_STATEMENTS_MAX];
	size_t n;
};

static void sift_down(struct most_used *m, size_t at)
{
	for (;;) {
		size_t least = at, left = 2 * at + 1;
		const struct statement *held = m->items[at];

		if (left < m->n && m->items[left]->binds < m->items[least]->binds)
			least = left;
		if (left + 1 < m->n && m->items[left + 1]->binds < m->items[least]->binds)
			least = left + 1;
		if (least == at)
			return;
		m->items[at] = m->items[least];
		m->items[least] = held;
		at = least;
	}
}

static void offer(struct most_used *m, const struct statement *st)
{
	if (m->n < REPORT_STATEMENTS_MAX) {
		m->items[m->n++] = st;
		if (m->n == REPORT_STATEMENTS_MAX) {
			for (size_t i = m->n / 2; i-- > 0;)
				sift_down(m, i);
		}
	} else if (st->binds > m->items[0]->binds) {
		m->items[0] = st;
		sift_down(m, 0);
	}
}

/* The body is as the Parse message had it: text, NUL, how many types. */
static unsigned parameter_types(const struct statement *st, size_t text_len)
{
	struct reader r = reader_over(st->body, st->len);

	read_bytes(&r, text_len + 1);
	return read_u16(&r);
}

static void report_statement(struct report *r, struct prepared_row *row, const struct statement *st)
{
	size_t len = strnlen((const char *)st->body, st->len);
	char shape[SQL_SHAPE_SIZE];

	*row = (struct prepared_row){ .binds = st->binds,
		.fingerprint = sql_shape((const char *)st->body, len, shape, sizeof(shape)),
		.parameters = parameter_types(st, len),
		.clients = (unsigned)st->refs,
		.servers = st->n_servers };
	memcpy(row->name, st->server_name, sizeof(row->name));
	row->statement = report_add_text(r, shape);
}

void report_prepared(struct report *r, struct worker *w)
{
	struct most_used *m = xcalloc(1, sizeof(*m));
	struct statement *st, *next;

	count_servers(w);
	HASH_ITER(hh, w->statements.by_id, st, next)
		offer(m, st);
	r->prepared = xcalloc(m->n + 1, sizeof(*r->prepared));
	for (size_t i = 0; i < m->n; i++)
		report_statement(r, &r->prepared[r->n_prepared++], m->items[i]);
	free(m);
}

/* ---- memory ---- */

static struct memory_row of_slab(const char *name, const struct slab *s)
{
	size_t places = s->blocks * s->per_block;

	return (struct memory_row){ name, s->size, s->used, places > s->used ? places - s->used : 0,
		MAX(s->blocks * SLAB_BLOCK, s->size * s->used) }; /* without blocks under AddressSanitizer */
}

static struct memory_row of_count(const char *name, size_t size, size_t used)
{
	return (struct memory_row){ name, size, used, 0, size * used };
}

void report_memory(struct report *r, struct worker *w)
{
	size_t servers = 0, held = 0, output = 0;
	struct pool *p, *next;

	HASH_ITER(hh, w->pools, p, next)
		servers += p->idle.count + p->servers.count;
	LIST_FOREACH(&w->clients, n, next_) {
		const struct client *c = CONTAINER_OF(n, struct client, node);

		held += c->stream.held_len;
		output += stream_backlog(&c->stream);
	}
	r->memory[0] = of_slab("client_cache", &w->client_slab);
	r->memory[1] = of_count("server_cache", sizeof(struct server), servers);
	r->memory[2] = of_count("pool_cache", sizeof(struct pool), HASH_COUNT(w->pools));
	r->memory[3] = of_count("statement_cache", sizeof(struct statement), HASH_COUNT(w->statements.by_id));
	r->memory[4] = of_count("client_input", 1, held);
	r->memory[5] = of_count("client_output", 1, output);
}
