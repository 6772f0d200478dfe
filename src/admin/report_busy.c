#include "admin/report_private.h"

#include "session/client.h"
#include "wire/msg.h"
#include "wire/sqlshape.h"

#include <stdio.h>

/* ---- who waits ---- */

struct reason {
	const char *name; /* a constant */
	char detail[LOGIN_ERROR_MAX + 64];
};

static void say_login_fails(struct pool *p, usec_t next_try, struct reason *out)
{
	char sqlstate[6], message[LOGIN_ERROR_MAX];
	bool is_final;

	out->name = "server_login";
	if (shared_login_error(p->shared, sqlstate, message, &is_final))
		snprintf(out->detail, sizeof(out->detail), "the next try is in %u ms: %s",
			(unsigned)((next_try - p->worker->loop.now) / USEC_PER_MSEC), message);
}

/* Which limit keeps it from opening another server, as slot_take() would say. */
static void say_limit(struct pool *p, struct reason *out)
{
	const struct pool_shared *s = p->shared;
	int servers = atomic_load(&s->servers), of_database = atomic_load(&s->by_database->servers);
	int of_user = atomic_load(&s->by_user->servers);

	if (servers >= p->limits.pool) {
		out->name = "pool_size";
		snprintf(out->detail, sizeof(out->detail), "%d of %d servers of the pool are in use", servers,
			p->limits.pool);
	} else if (p->limits.database && of_database >= p->limits.database) {
		out->name = "max_db_connections";
		snprintf(out->detail, sizeof(out->detail), "%d of %d servers of the database are in use",
			of_database, p->limits.database);
	} else if (p->limits.user && of_user >= p->limits.user) {
		out->name = "max_user_connections";
		snprintf(out->detail, sizeof(out->detail), "%d of %d servers of the user are in use", of_user,
			p->limits.user);
	} else if (p->n_hosts) {
		out->name = host_pool_say(p->hosts[0], p->worker->loop.now, out->detail, sizeof(out->detail));
	} else {
		out->name = "database_removed";
	}
}

static void say_reason(struct pool *p, struct reason *out)
{
	usec_t next_try = atomic_load(&p->shared->next_try);

	*out = (struct reason){ .name = "paused" };
	if (p->is_paused)
		snprintf(out->detail, sizeof(out->detail), "until RESUME");
	else if (next_try > p->worker->loop.now)
		say_login_fails(p, next_try, out);
	else
		say_limit(p, out);
}

/* The text that a waiting client's next message is about; NULL: none is known. */
static const char *held_text(const struct client *c, size_t *len)
{
	struct reader r = reader_over(c->stream.held, c->stream.held_len);
	const struct client_statement *cs;
	struct frame f;
	const char *end;

	if (c->body_left || frame_peek(&r, &f) != RES_OK)
		return NULL;
	r = reader_over(c->stream.held, MIN(c->stream.held_len, f.length));
	read_bytes(&r, FRAME_HEADER_SIZE);
	if (f.type == MSG_PARSE || f.type == MSG_BIND)
		read_cstring(&r);
	if (f.type == MSG_BIND) {
		const char *name = read_cstring(&r);
		const struct statement *st;

		cs = r.bad || !c->is_tracked ? NULL : client_statements_find(&c->statements, name);
		st = cs ? cs->statement : r.bad || *name ? NULL : c->unnamed;
		*len = st ? strnlen((const char *)st->body, st->len) : 0;
		return st ? (const char *)st->body : NULL;
	}
	if (r.bad || (f.type != MSG_QUERY && f.type != MSG_PARSE))
		return NULL;
	end = memchr(r.pos, '\0', reader_left(&r));
	*len = end ? (size_t)(end - (const char *)r.pos) : reader_left(&r);
	return (const char *)r.pos;
}

static void report_waiting(struct report *r, const struct client *c)
{
	char shape[SQL_SHAPE_SIZE] = "";
	struct wait_row *row;
	struct reason why;
	size_t len = 0;
	const char *text = held_text(c, &len);

	say_reason(c->pool, &why);
	r->waits = report_grow(r->waits, r->n_waits, &r->cap_waits, sizeof(*r->waits));
	row = &r->waits[r->n_waits++];
	*row = (struct wait_row){ .database = report_add_text(r, c->database),
		.user = report_add_text(r, c->user),
		.application_name = report_add_text(r, settings_get(c->settings, "application_name")),
		.reason = c->waiter.is_greeting ? "login" : why.name,
		.client = c->id,
		.since = c->waiter.since,
		.deadline = c->waiter.deadline };
	address_restore(&c->peer, &row->peer);
	row->detail = report_add_text(r, why.detail);
	if (text)
		row->fingerprint = sql_shape(text, len, shape, sizeof(shape));
	row->statement = report_add_text(r, shape);
}

void report_queue(struct report *r, struct worker *w)
{
	if (!w->n_waiting)
		return; /* most often: ten thousand idle clients needn't be looked at */
	LIST_FOREACH(&w->clients, n, next) {
		const struct client *c = CONTAINER_OF(n, struct client, node);

		if (c->pool && list_is_linked(&c->waiter.node))
			report_waiting(r, c);
	}
}

/* ---- who holds servers ---- */

static const char *state_with_client(struct server *s)
{
	struct pending *p = &s->pending;

	if (s->state == SERVER_SYNCING)
		return "setting up";
	if (s->state == SERVER_PROBING)
		return "being asked";
	if (p->copy == COPY_IN)
		return "copy in";
	if (pending_awaits_ready(p))
		return "active";
	if (p->tx_status == TX_BLOCK)
		return "idle in transaction";
	if (p->tx_status == TX_FAILED)
		return "idle in transaction (aborted)";
	return pending_is_idle(p) ? "idle" : "idle in batch";
}

static const char *state_alone(enum server_state s)
{
	switch (s) {
	case SERVER_LOGIN: return "login";
	case SERVER_TESTING: return "being tested";
	case SERVER_CLEANING: return "being cleaned";
	case SERVER_HELD: return "being canceled";
	case SERVER_MOVING: return "moving";
	case SERVER_CLOSING: return "closing";
	case SERVER_IDLE:
	case SERVER_SYNCING:
	case SERVER_ACTIVE:
	case SERVER_PROBING:
	case SERVER_STATES: break;
	}
	return "active"; /* lent to a question of our own */
}

static void add_client(struct report *r, struct holder_row *row, const struct client *c)
{
	struct server *s = c->server;

	row->client = c->id;
	row->database = report_add_text(r, c->database);
	row->user = report_add_text(r, c->user);
	row->application_name = report_add_text(r, settings_get(c->settings, "application_name"));
	address_restore(&c->peer, &row->peer);
	row->state = state_with_client(s);
	row->pins = c->pins;
	row->statement_at = c->request_at;
	if (!pending_is_idle(&s->pending))
		row->transaction_at = s->xact_at;
	if (!pending_awaits_ready(&s->pending) && s->state == SERVER_ACTIVE)
		row->idle_since = c->idle_since;
}

static void report_holder(struct report *r, struct server *s)
{
	struct client *c = s->link == &client_link ? s->client : NULL;
	struct holder_row *row;

	r->holders = report_grow(r->holders, r->n_holders, &r->cap_holders, sizeof(*r->holders));
	row = &r->holders[r->n_holders++];
	*row = (struct holder_row){ .server = s->id, .server_pid = s->cancel_pid };
	if (c) {
		add_client(r, row, c);
		return;
	}
	row->database = report_add_text(r, s->pool->shared->database);
	row->user = report_add_text(r, s->pool->shared->user);
	row->application_name = report_add_text(r, NULL);
	row->state = state_alone(s->state);
}

void report_holders(struct report *r, struct worker *w)
{
	struct pool *p, *next_pool;

	HASH_ITER(hh, w->pools, p, next_pool) {
		if (p->shared->is_own)
			continue;
		LIST_FOREACH(&p->servers, n, next)
			report_holder(r, CONTAINER_OF(n, struct server, node));
	}
}
