/* server_ask.c - what pgweir itself wants to know of a server: is it what target_session_attrs wants, and has PostgreSQL places left? */
#include "pool/server.h"

#include <string.h>

#define CENSUS_LOOK (500 * USEC_PER_MSEC) /* one look in so long is enough to see that a census is due */

/*
 * All names are qualified: a client may have left a search_path behind. OPERATOR() has one precedence for all, hence the parentheses.
 * The places of superusers are reserved for them; since version 16 others may be for certain roles.
 */
static const char census_sql[] =
	"SELECT pg_catalog.sum(numbackends) OPERATOR(pg_catalog.>=) "
	"(pg_catalog.current_setting('max_connections')::pg_catalog.int4 OPERATOR(pg_catalog.-) "
	"CASE pg_catalog.current_setting('is_superuser') WHEN 'on' THEN 0 ELSE "
	"pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int4 OPERATOR(pg_catalog.+) "
	"COALESCE(pg_catalog.current_setting('reserved_connections', true), '0')::pg_catalog.int4 END) "
	"FROM pg_catalog.pg_stat_database";

/* The reset value, since the value itself may be a client's. */
static const char read_only_sql[] =
	"SELECT pg_catalog.pg_is_in_recovery() OR (reset_val OPERATOR(pg_catalog.=) 'on') FROM pg_catalog.pg_settings "
	"WHERE name OPERATOR(pg_catalog.=) 'default_transaction_read_only'";
static const char standby_sql[] = "SELECT pg_catalog.pg_is_in_recovery()";

/* ---- the role ---- */

static const struct {
	const char *sql;
	bool wanted; /* the answer */
	const char *otherwise;
} attrs_table[] = {
	[ATTRS_ANY] = { NULL, false, NULL },
	[ATTRS_READ_WRITE] = { read_only_sql, false, "session is read-only" },
	[ATTRS_READ_ONLY] = { read_only_sql, true, "session is not read-only" },
	[ATTRS_PRIMARY] = { standby_sql, false, "server is in hot standby mode" },
	[ATTRS_STANDBY] = { standby_sql, true, "server is not in hot standby mode" },
	[ATTRS_PREFER_STANDBY] = { standby_sql, true, "server is not in hot standby mode" },
};

static enum session_attrs attrs_of(const struct server *s)
{
	return s->pool->database && !s->takes_any ? s->pool->database->target_session_attrs : ATTRS_ANY;
}

const char *server_role_query(const struct server *s)
{
	return attrs_table[attrs_of(s)].sql;
}

/* PostgreSQL tells since version 14. */
bool server_reports_role(const struct server *s, bool *answer)
{
	const char *standby = settings_get(s->reported, "in_hot_standby"),
		   *read_only = settings_get(s->reported, "default_transaction_read_only");

	if (!standby || !read_only)
		return false;
	*answer = strcmp(standby, "on") == 0 ||
		(server_role_query(s) == read_only_sql && strcmp(read_only, "on") == 0);
	return true;
}

const char *server_judge_role(const struct server *s, bool answer)
{
	enum session_attrs attrs = attrs_of(s);

	return attrs == ATTRS_ANY || answer == attrs_table[attrs].wanted ? NULL : attrs_table[attrs].otherwise;
}

void server_doubt_role(struct server *s)
{
	s->is_role_doubtful = attrs_of(s) != ATTRS_ANY;
}

/* ---- questions ---- */

static void ask(struct server *s, enum server_question question, const char *sql)
{
	struct pool *p = s->pool;

	list_push_back(&p->servers, &s->node);
	server_set_state(s, SERVER_TESTING);
	p->n_testing++;
	s->asks = question;
	s->has_answer = false;
	s->deadline = server_patience(s);
	server_query(s, sql);
	worker_tick_fast(p->worker);
}

/* Only who has all the servers that it may have, and could use more, isn't told by a refusal. */
static bool is_census_due(struct server *s)
{
	struct pool *p = s->pool;
	usec_t now = p->worker->loop.now, every = p->worker->config->server_census;

	if (now < p->census_look)
		return false;
	p->census_look = now + CENSUS_LOOK;
	return every && p->queue.count && !p->shared->is_own &&
		atomic_load(&p->shared->servers) >= p->limits.pool &&
		host_pool_wants_census(s->host, now, every);
}

bool server_asks(struct server *s)
{
	if (UNLIKELY(s->is_role_doubtful)) {
		s->is_role_doubtful = false;
		if (server_role_query(s)) {
			ask(s, ASK_ROLE, server_role_query(s));
			return true;
		}
	}
	if (LIKELY(!is_census_due(s)))
		return false;
	ask(s, ASK_CENSUS, census_sql);
	return true;
}

void server_take_answer(struct server *s, struct reader row)
{
	const uint8_t *value;

	if (read_u16(&row) != 1 || read_u32(&row) != 1 || !(value = read_bytes(&row, 1)))
		return;
	s->has_answer = true;
	s->answer = *value == 't';
}

static const char *judge_census(struct server *s, usec_t now)
{
	if (s->has_answer)
		host_pool_census(s->host, s->answer, now);
	else
		host_pool_no_census(s->host, now);
	return NULL;
}

const char *server_judge_answer(struct server *s)
{
	usec_t now = s->pool->worker->loop.now;
	enum server_question question = s->asks;
	const char *why;

	s->asks = ASK_NOTHING;
	if (question == ASK_CENSUS)
		return judge_census(s, now);
	if (!s->has_answer)
		return "it doesn't say whether it is read-only";
	why = server_judge_role(s, s->answer);
	if (why)
		host_pool_turned(s->host, now);
	return why;
}
