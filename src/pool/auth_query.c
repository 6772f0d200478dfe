#include "pool/auth_query.h"

#include "auth/auth_cache.h"
#include "auth/auth_row.h"
#include "base/table.h"
#include "pool/pool.h"
#include "pool/server.h"
#include "wire/msg.h"

#include <stdio.h>
#include <stdlib.h>

#define ROW_MAX (CREDENTIAL_SECRET_MAX + 1024)
#define TRIES 2	     /* a connection that has been idle may turn out to be dead */
#define ROWS_ASKED 2 /* the second says that the query isn't fit */

enum flight_state {
	FLIGHT_WAITING, /* for a server, in the pool's queue */
	FLIGHT_ASKING,	/* has a server, and the answer is due */
	FLIGHT_LANDED,	/* everybody has been told; freed by whoever landed it */
};

struct flight { /* a question that is being asked */
	UT_hash_handle hh;
	uint64_t key; /* of database, user and source: keyed, so nobody can make two collide */
	enum flight_state state;
	struct worker *worker;
	struct pool *pool;
	struct waiter waiter;
	struct server *server; /* FLIGHT_ASKING */
	struct list lookups;
	char *database, *user, *query;
	uint64_t source;
	int tries;
	usec_t since, asked_at;

	/* the answer, as far as it has come */
	struct writer row; /* the first DataRow */
	int rows;
	bool is_collecting, is_answered;
};

struct auth_query {
	struct auth_cache *cache;
	struct flight *flights;
	usec_t reloaded_at; /* what was asked before isn't fresh */
	bool is_stopped;
};

static struct auth_query *state_of(struct worker *w)
{
	if (!w->auth_query) {
		w->auth_query = xcalloc(1, sizeof(*w->auth_query));
		w->auth_query->cache = auth_cache_new(AUTH_QUERY_KEPT);
	}
	return w->auth_query;
}

int auth_query_worker(const struct lookup *q, int n_workers)
{
	return (int)(hash64(q->asked_in, strlen(q->asked_in)) % (unsigned)n_workers);
}

/* ---- answering ---- */

static void answer_by_entry(struct lookup **q, const struct auth_entry *e)
{
	if (e->credential)
		lookup_found(q, e->credential);
	else
		lookup_refuse(q, e->cause);
}

static void answer_all(struct flight *f, const struct auth_entry *e)
{
	struct list_node *n;

	while ((n = list_pop_front(&f->lookups))) {
		struct lookup *q = CONTAINER_OF(n, struct lookup, node);

		answer_by_entry(&q, e);
	}
}

static void refuse_all(struct flight *f, const char *cause)
{
	struct auth_entry e = { 0 };

	snprintf(e.cause, sizeof(e.cause), "%s", cause);
	answer_all(f, &e);
}

static void fail_away(struct lookup **q)
{
	lookup_fail(q, "57P03",
		"authentication is not possible now: the server that knows the users does not answer");
}

static struct auth_entry *known(const struct flight *f)
{
	struct worker *w = f->worker;

	return auth_cache_find(w->auth_query->cache, f->database, f->user, f->source, w->loop.now);
}

/* ---- the end of a flight ---- */

/* Nobody waits for it any more. f is gone afterwards. */
static void land(struct flight *f)
{
	struct auth_query *a = f->worker->auth_query;

	ASSERT(list_is_empty(&f->lookups));
	f->state = FLIGHT_LANDED;
	pool_withdraw(f->pool, &f->waiter);
	if (f->server) {
		f->server->is_unwanted = true; /* no-op if it has answered everything */
		server_unlink(f->server, false);
	}
	HASH_DEL(a->flights, f);
	if (f->row.data)
		explicit_bzero(f->row.data, f->row.cap);
	writer_free(&f->row);
	free(f->database);
	free(f->user);
	free(f->query);
	free(f);
}

/* PostgreSQL couldn't be asked: what it said earlier has to do. */
static void land_away(struct flight *f)
{
	struct auth_entry *e = known(f);
	struct list_node *n;

	if (e)
		answer_all(f, e);
	while ((n = list_pop_front(&f->lookups))) {
		struct lookup *q = CONTAINER_OF(n, struct lookup, node);

		fail_away(&q);
	}
	land(f);
}

/* The cause is remembered for a moment, unless something better is known: a herd needn't find it out one by one. */
static void land_refused(struct flight *f, const char *cause)
{
	struct auth_entry *e = known(f);

	if (!e || !e->credential)
		auth_cache_put(f->worker->auth_query->cache, f->database, f->user, f->source, NULL, cause,
			f->worker->loop.now);
	refuse_all(f, cause);
	land(f);
}

static void land_answered(struct flight *f, const char *secret, const char *cause)
{
	answer_all(f,
		auth_cache_put(f->worker->auth_query->cache, f->database, f->user, f->source, secret, cause,
			f->asked_at));
	land(f);
}

/* ---- reading the answer ---- */

/* Errors that say nothing about the query or the user. 08P01 does: it has more parameters than one, or none. */
static bool is_away_error(const char *sqlstate)
{
	static const char *const classes[] = { "08", "53", "57", "58", "XX" };

	if (strcmp(sqlstate, "08P01") == 0)
		return false;
	for (size_t i = 0; i < N_ELEMENTS(classes); i++) {
		if (strncmp(sqlstate, classes[i], 2) == 0)
			return true;
	}
	return false;
}

static void land_failed(struct flight *f, const char *sqlstate, const char *message)
{
	char cause[AUTH_CAUSE_MAX];

	snprintf(cause, sizeof(cause), "auth_query failed: %.200s (%s)", message, sqlstate);
	if (!is_away_error(sqlstate)) {
		land_refused(f, cause);
		return;
	}
	log_warning(NULL, "%s", cause);
	land_away(f);
}

static void land_row(struct flight *f)
{
	struct reader body = reader_over(f->row.data, f->row.len);
	const char *why;
	char *secret;

	read_bytes(&body, FRAME_HEADER_SIZE);
	auth_row_parse(body, f->user, &secret, &why);
	land_answered(f, secret, why);
	secure_free(&secret);
}

static void conclude(struct flight *f)
{
	struct server *s = f->server;

	if (s->has_failed) {
		char sqlstate[6], message[LOGIN_ERROR_MAX]; /* the server may be gone before we're done */

		snprintf(sqlstate, sizeof(sqlstate), "%s", s->our_sqlstate);
		snprintf(message, sizeof(message), "%s", s->our_message);
		land_failed(f, sqlstate, message);
	} else if (f->rows == 0) {
		land_answered(f, NULL, "no such user, says auth_query");
	} else if (f->rows > 1) {
		land_answered(f, NULL, "auth_query returned more than one row");
	} else if (f->row.len == 0) {
		land_answered(f, NULL, "auth_query returned too long a row");
	} else {
		land_row(f);
	}
}

static bool on_message(struct server *s, struct server_message *m, void *ctx)
{
	struct flight *f = ctx;

	if (m->verdict == PENDING_FATAL) {
		server_lost(s, s->has_failed ? s->our_sqlstate : "08006",
			s->has_failed ? s->our_message : "server closed the connection");
		return false;
	}
	f->is_collecting = m->frame.type == MSG_DATA_ROW && f->rows++ == 0 && m->frame.length <= ROW_MAX;
	f->is_answered = f->is_answered || m->frame.type == MSG_READY_FOR_QUERY;
	return f->is_collecting;
}

static void on_slice(struct server *s, const uint8_t *bytes, size_t len, void *ctx)
{
	struct flight *f = ctx;

	(void)s;
	write_bytes(&f->row, bytes, len);
}

static void on_local(struct server *s, const struct pending_entry *e, void *ctx)
{
	(void)s, (void)e, (void)ctx; /* none is ever queued */
}

static size_t on_data(struct server *s, const uint8_t *bytes, size_t len)
{
	static const struct server_walk walk = { .message = on_message, .local = on_local, .slice = on_slice };
	struct flight *f = s->client;
	size_t n = server_walk(s, bytes, len, &walk, f);

	if (s->state == SERVER_CLOSING)
		return len;
	if (f->is_answered)
		conclude(f);
	return s->state == SERVER_CLOSING ? len : n;
}

/* ---- asking ---- */

static void write_parse(struct writer *w, const char *query)
{
	msg_begin(w, MSG_PARSE);
	write_cstring(w, "");
	write_cstring(w, query);
	write_u16(w, 0);
	msg_end(w);
}

static void write_bind(struct writer *w, const char *user)
{
	msg_begin(w, MSG_BIND);
	write_cstring(w, "");
	write_cstring(w, "");
	write_u16(w, 0); /* the parameter is text .. */
	write_u16(w, 1);
	write_u32(w, (uint32_t)strlen(user));
	write_bytes(w, user, strlen(user));
	write_u16(w, 0); /* .. and so are the results */
	msg_end(w);
}

static void write_execute(struct writer *w)
{
	msg_begin(w, MSG_EXECUTE);
	write_cstring(w, "");
	write_u32(w, ROWS_ASKED);
	msg_end(w);
	msg_begin(w, MSG_SYNC);
	msg_end(w);
}

static void send_question(struct flight *f)
{
	static const enum pending_type sent[] = { PEND_PARSE, PEND_BIND, PEND_EXECUTE, PEND_SYNC };
	struct server *s = f->server;
	struct writer w = { 0 };

	f->asked_at = f->worker->loop.now;
	f->rows = 0;
	f->row.len = 0;
	f->is_collecting = f->is_answered = false;
	s->has_failed = s->has_unnamed = false;
	s->deadline = 0;
	write_parse(&w, f->query);
	write_bind(&w, f->user);
	write_execute(&w);
	stream_send_bytes(&s->stream, w.data, w.len);
	for (size_t i = 0; i < N_ELEMENTS(sent); i++)
		pending_sent(&s->pending, sent[i], true, 0, NULL);
	writer_free(&w);
}

static void on_synced(struct server *s, const struct error_info *e)
{
	struct flight *f = s->client;

	if (e)
		land_failed(f, e->sqlstate, e->message);
	else
		send_question(f);
}

static void request_server(struct flight *f);

static void on_lost(struct server *s, const struct error_info *e)
{
	struct flight *f = s->client;

	(void)e; /* it is in the log */
	f->server = NULL;
	if (f->tries < TRIES)
		request_server(f);
	else
		land_away(f);
}

static void on_drained(struct server *s)
{
	(void)s;
}

static void on_probed(struct server *s, bool is_ok)
{
	(void)s, (void)is_ok; /* never asked for */
}

static void on_dropped(struct server *s, const struct pending_entry *e)
{
	(void)s, (void)e;
}

static const struct server_link flight_link = {
	.data = on_data,
	.drained = on_drained,
	.synced = on_synced,
	.lost = on_lost,
	.probed = on_probed,
	.dropped = on_dropped,
};

static void use_server(struct flight *f, struct server *s)
{
	f->state = FLIGHT_ASKING;
	f->server = s;
	f->asked_at = f->worker->loop.now;
	server_link(s, f, &flight_link);
	if (server_sync(s, NULL))
		send_question(f);
}

static void on_granted(struct waiter *w, struct server **s)
{
	struct server *mine = *s;

	*s = NULL;
	use_server(CONTAINER_OF(w, struct flight, waiter), mine);
}

static void on_delayed(struct waiter *w)
{
	(void)w; /* the login isn't told: it isn't anybody yet */
}

/* The login of auth_user fails for good. */
static void on_refused(struct waiter *w, const struct error_info *e)
{
	struct flight *f = CONTAINER_OF(w, struct flight, waiter);
	char cause[AUTH_CAUSE_MAX];

	snprintf(cause, sizeof(cause), "auth_query cannot be asked: %.190s (%s)", e->message, e->sqlstate);
	land_refused(f, cause);
}

static const struct waiter_ops flight_ops = { .granted = on_granted, .delayed = on_delayed, .refused = on_refused };

/* f may be gone afterwards. */
static void request_server(struct flight *f)
{
	struct server *s;

	f->state = FLIGHT_WAITING;
	f->tries++;
	f->waiter.ops = &flight_ops;
	s = pool_request(f->pool, &f->waiter);
	if (s)
		use_server(f, s);
}

/* ---- a question comes ---- */

struct question { /* borrowed from the configuration */
	const char *auth_user, *query;
	uint64_t source, key;
};

static void add_text(struct hash128_state *h, const char *text)
{
	hash128_add(h, text ? text : "", text ? strlen(text) + 1 : 1);
}

/* False: the configuration has changed since, and there is nobody to ask. */
static bool make_question(struct worker *w, const struct lookup *q, struct question *out)
{
	const struct config_database *of_client = q->database ? config_database(w->config, q->database) : NULL;
	const struct config_database *db = config_database(w->config, q->asked_in);
	struct hash128_state h;

	out->auth_user = config_auth_user(w->config, of_client);
	out->query = config_auth_query(w->config, of_client);
	if (!db || !*out->auth_user)
		return false;
	hash128_start(&h);
	add_text(&h, db->host);
	add_text(&h, db->port);
	add_text(&h, db->dbname);
	add_text(&h, out->auth_user);
	add_text(&h, out->query);
	out->source = hash128_end(&h).lo;
	hash128_start(&h);
	hash128_add(&h, &out->source, sizeof(out->source));
	add_text(&h, q->asked_in);
	add_text(&h, q->user);
	out->key = hash128_end(&h).lo;
	return true;
}

static bool answer_from_cache(struct worker *w, struct lookup **q, const struct question *question)
{
	struct auth_entry *e =
		auth_cache_find(w->auth_query->cache, (*q)->asked_in, (*q)->user, question->source, w->loop.now);

	if (!e || !auth_entry_is_fresh(e, w->loop.now, w->config->auth_query_cache_ttl) ||
		e->asked_at <= w->auth_query->reloaded_at)
		return false;
	if ((*q)->is_refresh && auth_entry_may_refresh(e, w->loop.now))
		return false;
	answer_by_entry(q, e);
	return true;
}

static void take_off(struct worker *w, struct lookup *q, const struct question *question)
{
	struct flight *f = xcalloc(1, sizeof(*f));

	f->worker = w;
	f->key = question->key;
	f->source = question->source;
	f->database = xstrdup(q->asked_in);
	f->user = xstrdup(q->user);
	f->query = xstrdup(question->query);
	f->since = w->loop.now;
	list_init(&f->lookups);
	list_push_back(&f->lookups, &q->node);
	HASH_ADD(hh, w->auth_query->flights, key, sizeof(f->key), f);
	f->pool = pool_get_own(w, q->asked_in, question->auth_user);
	request_server(f);
}

void auth_query_ask(struct message *m, void *owner)
{
	struct worker *w = owner;
	struct lookup *q = lookup_of(m);
	struct auth_query *a = state_of(w);
	struct question question;
	struct flight *f;

	ASSERT_ON_WORKER(w);
	if (a->is_stopped) {
		fail_away(&q);
	} else if (strlen(q->user) > USERLIST_NAME_MAX) {
		lookup_refuse(&q, "the user's name is too long");
	} else if (!make_question(w, q, &question)) {
		lookup_refuse(&q, "there is no auth_user any more");
	} else if (!answer_from_cache(w, &q, &question)) {
		HASH_FIND(hh, a->flights, &question.key, sizeof(question.key), f);
		if (f)
			list_push_back(&f->lookups, &q->node);
		else
			take_off(w, q, &question);
	}
}

/* ---- time ---- */

static void fail_late(struct flight *f, usec_t now)
{
	LIST_FOREACH(&f->lookups, n, next) {
		struct lookup *q = CONTAINER_OF(n, struct lookup, node);

		if (!q->deadline || now < q->deadline)
			continue;
		list_remove(&f->lookups, n);
		fail_away(&q);
	}
}

static bool is_server_failing(const struct flight *f)
{
	char sqlstate[6], message[LOGIN_ERROR_MAX];
	bool is_final;

	return f->state == FLIGHT_WAITING && shared_login_error(f->pool->shared, sqlstate, message, &is_final);
}

static void tick_flight(struct flight *f, usec_t now)
{
	struct auth_entry *e = known(f);

	if (!f->pool->database) { /* removed by a reload */
		land_refused(f, "the database is gone");
		return;
	}
	if (e && (is_server_failing(f) || now - f->since >= AUTH_QUERY_PATIENCE))
		answer_all(f, e);
	fail_late(f, now);
	if (f->state == FLIGHT_ASKING && now - f->asked_at >= AUTH_QUERY_TIME) {
		log_warning(NULL, "auth_query in database \"%s\" took too long", f->database);
		land_away(f);
	} else if (f->state == FLIGHT_WAITING && list_is_empty(&f->lookups)) {
		land(f);
	}
}

void auth_query_tick(struct worker *w)
{
	struct flight *f, *next;

	if (!w->auth_query)
		return;
	HASH_ITER(hh, w->auth_query->flights, f, next)
		tick_flight(f, w->loop.now);
}

void auth_query_reload(struct worker *w)
{
	if (w->auth_query)
		w->auth_query->reloaded_at = w->loop.now;
}

void auth_query_stop(struct worker *w)
{
	struct flight *f, *next;

	state_of(w)->is_stopped = true;
	HASH_ITER(hh, w->auth_query->flights, f, next)
		land_away(f);
}

void auth_query_free(struct worker *w)
{
	if (!w->auth_query)
		return;
	ASSERT(!w->auth_query->flights);
	auth_cache_free(&w->auth_query->cache);
	free(w->auth_query);
	w->auth_query = NULL;
}
