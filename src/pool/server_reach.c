/* server_reach.c - from a slot in the pool to a startup packet that is on its way: password, address, connection, TLS. */
#include "pool/server_login.h"
#include "wire/msg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_PATIENCE (3 * USEC_PER_SEC)
#define CONNECT_PATIENCE_PROBE USEC_PER_SEC
#define LOGIN_SLOW USEC_PER_SEC /* it no longer stands in the way of others */

/* A walsender takes no SET: what its client came with goes along. */
static void write_replication(struct writer *w, const struct pool *p)
{
	write_cstring(w, "replication");
	write_cstring(w, p->shared->replication == REPLICATION_LOGICAL ? "database" : "true");
	for (size_t i = 0; p->startup && i < p->startup->n; i++) {
		write_cstring(w, p->startup->items[i].name);
		write_cstring(w, p->startup->items[i].value);
	}
}

static void send_startup(struct server *s)
{
	struct pool *p = s->pool;
	struct writer w = { 0 };

	msg_begin(&w, 0);
	write_u32(&w, p->database->max_protocol_version == VERSION_3_0 ? PROTOCOL_3_0 : PROTOCOL_3_2);
	write_cstring(&w, "user");
	write_cstring(&w, p->shared->user);
	write_cstring(&w, "database");
	write_cstring(&w, p->database->dbname ? p->database->dbname : p->shared->database);
	if (p->shared->is_own) { /* names in auth_query mean what they say, whatever the role's or the database's settings */
		write_cstring(&w, "search_path");
		write_cstring(&w, "pg_catalog");
		write_cstring(&w, "application_name");
		write_cstring(&w, "pgweir auth_query");
	}
	if (p->shared->replication)
		write_replication(&w, p);
	write_u8(&w, 0);
	msg_end(&w);
	stream_send_bytes(&s->stream, w.data, w.len);
	writer_free(&w);
}

static void begin_startup(struct server *s)
{
	s->login->step = LOGIN_AUTH;
	send_startup(s);
}

static const struct tls_target *tls_target(const struct server *s)
{
	return tls_set_database(s->pool->worker->snapshot->tls, s->pool->database->name);
}

static void start_tls(struct server *s)
{
	const struct tls_target *t = tls_target(s);
	struct tls *tls;

	if (!t->context) { /* a reload came between question and answer */
		server_login_fail(s, "08006", "the settings of TLS have changed", LOGIN_POOL_FAILS);
		return;
	}
	tls = tls_connect(t->context, s->host->host->name, t->mode == TLS_VERIFY_FULL);
	s->login->step = LOGIN_HANDSHAKE;
	stream_start_tls(&s->stream, &tls);
}

static void ask_for_tls(struct server *s)
{
	struct writer w = { 0 };

	msg_begin(&w, 0);
	write_u32(&w, SSL_REQUEST_CODE);
	msg_end(&w);
	s->login->step = LOGIN_ASKING;
	stream_send_bytes(&s->stream, w.data, w.len);
	writer_free(&w);
}

/* One byte, and nothing behind it: what follows in plain text could be anybody's. */
void server_take_tls_answer(struct server *s, const uint8_t *bytes, size_t len)
{
	bool is_required = tls_target(s)->mode >= TLS_REQUIRE;

	if (bytes[0] == 'E') /* an error that nobody vouches for isn't passed on */
		server_login_fail(s, "08006", "the server answered the SSL request with an error", LOGIN_HOST_DOWN);
	else if (len > 1)
		server_login_fail(s, "08P01", "received unencrypted data after SSL response", LOGIN_HOST_DOWN);
	else if (bytes[0] == 'S')
		start_tls(s);
	else if (bytes[0] != 'N')
		server_login_fail(s, "08P01", "the server gave no valid answer to the SSL request", LOGIN_HOST_DOWN);
	else if (is_required)
		server_login_fail(s, "08001", "server does not support SSL, but SSL was required", LOGIN_REFUSED);
	else
		begin_startup(s);
}

void server_login_handshake(struct server *s)
{
	struct tls_facts facts;

	if (!tls_is_up(s->stream.tls) || s->login->step != LOGIN_HANDSHAKE)
		return;
	tls_get_facts(s->stream.tls, &facts);
	if (s->is_direct_tls && !facts.has_alpn)
		server_login_fail(s, "08001", "the server has no direct TLS: it didn't agree on the protocol",
			LOGIN_REFUSED);
	else
		begin_startup(s);
	tls_clear_facts(&facts);
}

static void begin(struct server *s)
{
	const struct tls_target *t = tls_target(s);

	if (t->mode == TLS_DISABLE || address_is_unix(&s->address)) {
		begin_startup(s);
	} else if (t->negotiation == NEGOTIATE_DIRECT) {
		s->is_direct_tls = true;
		start_tls(s);
	} else {
		ask_for_tls(s);
	}
}

static bool connect_to(struct server *s, const struct address *a)
{
	const struct config *c = s->pool->worker->config;
	struct tcp_options o = { .keepalive = c->tcp_keepalive,
		.keepcnt = c->tcp_keepcnt,
		.keepidle = c->tcp_keepidle,
		.keepintvl = c->tcp_keepintvl,
		.user_timeout = c->tcp_user_timeout,
		.socket_buffer = c->tcp_socket_buffer };
	bool in_progress;
	int fd;

	s->address = *a;
	host_login_at(s->host, a);
	fd = socket_connect(a, &o, &in_progress);
	if (fd < 0)
		return false;
	stream_init(&s->stream, &server_stream_ops, fd, true);
	s->stream.is_connecting = in_progress;
	stream_attach(&s->stream, &s->pool->worker->loop);
	s->login->connecting_since = s->pool->worker->loop.now;
	begin(s);
	return true;
}

bool server_login_next_address(struct server *s)
{
	struct server_login *l = s->login;

	stream_close(&s->stream);
	while (l->next_address < l->n_addresses)
		if (connect_to(s, &l->addresses[l->next_address++]))
			return true;
	return false;
}

static void connect_to_any(struct server *s)
{
	if (!server_login_next_address(s))
		server_login_fail(s, "08001", strerror(errno), LOGIN_HOST_DOWN);
}

static void connect_to_only(struct server *s, const struct address *a)
{
	s->login->addresses[0] = *a;
	s->login->n_addresses = 1;
	connect_to_any(s);
}

/*
 * The kernel repeats a lost SYN after 1, 3, 7 .. s: after an outage that would be felt for as long as it has lasted. A socket of our own that begins
 * anew is as good, and doesn't slow down.
 */
void server_login_tick(struct server *s, usec_t now)
{
	usec_t patience = s->host_login.is_probe ? CONNECT_PATIENCE_PROBE : CONNECT_PATIENCE;

	if (now - s->connected_at > LOGIN_SLOW)
		host_login_slow(s->host, &s->host_login, now);
	if (s->stream.fd >= 0 && s->stream.is_connecting && now - s->login->connecting_since > patience &&
		!server_login_next_address(s))
		server_login_fail(s, "08001", "timed out while connecting", LOGIN_HOST_DOWN);
}

/* A host that takes the connection and doesn't answer this login may well answer others: a database may be locked, say. */
void server_login_late(struct server *s)
{
	enum login_step step = s->login->step;
	bool is_silent = step == LOGIN_PASSWORD || (s->stream.fd >= 0 && !s->stream.is_connecting);

	server_login_fail(s, "08006", "server_connect_timeout", is_silent ? LOGIN_POOL_FAILS : LOGIN_HOST_DOWN);
}

/* Of a name with several addresses each login begins with another one, unless the list is to be taken as it stands. */
static void take_addresses(struct server *s, const struct resolve_request *r)
{
	struct server_login *l = s->login;
	int first = s->pool->database && s->pool->database->load_balance_hosts == BALANCE_DISABLE
		? 0
		: (int)(s->id % (uint64_t)r->n_addresses);

	l->n_addresses = r->n_addresses;
	for (int i = 0; i < r->n_addresses; i++)
		l->addresses[i] = r->addresses[(first + i) % r->n_addresses];
}

static void deliver_address(struct message *m, void *owner)
{
	struct resolving *r = CONTAINER_OF(m, struct resolving, request.message);
	struct server *s = r->server;
	char text[512];

	(void)owner;
	if (s) {
		s->login->resolving = NULL;
		if (r->request.n_addresses) {
			take_addresses(s, &r->request);
			connect_to_any(s);
		} else {
			snprintf(text, sizeof(text), "could not translate host name \"%s\" to address: %s",
				r->request.host, r->request.error);
			server_login_fail(s, "08001", text, LOGIN_HOST_DOWN);
		}
	}
	free(r);
}

static void discard_address(struct message *m)
{
	free(CONTAINER_OF(m, struct resolving, request.message));
}

static void resolve(struct server *s, const char *host, int port)
{
	struct resolving *r = xcalloc(1, sizeof(*r));

	r->server = s;
	r->request.message.deliver = deliver_address;
	r->request.message.discard = discard_address;
	r->request.reply_to = &s->pool->worker->loop.mailbox;
	r->request.port = port;
	r->request.is_fresh = s->host_login.is_probe; /* it may have moved */
	snprintf(r->request.host, sizeof(r->request.host), "%s", host);
	s->login->resolving = r;
	s->login->step = LOGIN_RESOLVING;
	resolver_ask(s->pool->worker->resolver, &r->request);
}

static void reach(struct server *s)
{
	const struct host *h = s->host->host; /* its name and port never change */
	struct address a;

	if (h->name[0] == '/' || h->name[0] == '@') {
		if (address_unix(&a, h->name, h->port))
			connect_to_only(s, &a);
		else
			server_login_fail(s, "08001", "the path of the Unix socket is too long", LOGIN_REFUSED);
	} else if (address_numeric(&a, h->name, h->port)) {
		connect_to_only(s, &a);
	} else {
		resolve(s, h->name, h->port);
	}
}

/* ---- a password from a file or a command ---- */

/* False: the credential is one that the pool knows. */
static bool get_source(const struct server *s, struct password_source *out)
{
	const struct config_database *db = s->pool->database;

	if (!db || (!db->password_file && !db->password_command) || !str_equal(db->user, s->pool->shared->user))
		return false;
	*out = (struct password_source){
		.file = db->password_file,
		.command = db->password_command,
		.user = db->user,
		.host = db->n_hosts == 1 ? db->host : s->host->host->name,
		.database = db->dbname ? db->dbname : s->pool->shared->database,
		.port = s->host->host->port,
	};
	return true;
}

static void no_source(struct server *s, const char *error, bool is_refused)
{
	server_login_fail(s, is_refused ? "28P01" : "08006", error, is_refused ? LOGIN_REFUSED : LOGIN_POOL_FAILS);
}

static void deliver_password(struct message *m, void *owner)
{
	struct asking *a = CONTAINER_OF(m, struct asking, request.message);
	struct server *s = a->server;

	(void)owner;
	if (s) {
		s->login->asking = NULL;
		s->login->credential = a->request.credential;
		a->request.credential = NULL;
		if (!s->login->credential)
			no_source(s, a->request.error, a->request.is_refused);
		else if (!s->pool->database) /* a reload took it away meanwhile */
			server_login_fail(s, "08006", "database removed", LOGIN_POOL_FAILS);
		else
			reach(s);
	}
	credential_unref(&a->request.credential);
	free(a);
}

static void discard_password(struct message *m)
{
	struct asking *a = CONTAINER_OF(m, struct asking, request.message);

	credential_unref(&a->request.credential);
	free(a);
}

static void ask_source(struct server *s, const struct password_source *source)
{
	struct asking *a = xcalloc(1, sizeof(*a));

	a->server = s;
	a->request.message.deliver = deliver_password;
	a->request.message.discard = discard_password;
	a->request.reply_to = &s->pool->worker->loop.mailbox;
	s->login->asking = a;
	s->login->step = LOGIN_PASSWORD;
	passwords_ask(s->pool->worker->passwords, source, &a->request);
}

static void start_with_source(struct server *s, const struct password_source *source)
{
	struct worker *w = s->pool->worker;
	usec_t ttl = config_password_ttl(w->config, s->pool->database);
	char error[PASSWORD_ERROR_MAX];

	switch (passwords_find(w->passwords, source, ttl, w->loop.now, &s->login->credential, error)) {
	case PASSWORD_KNOWN: reach(s); break;
	case PASSWORD_UNKNOWN: ask_source(s, source); break;
	case PASSWORD_FAILING: no_source(s, error, false); break;
	case PASSWORD_REFUSED: no_source(s, error, true); break;
	}
}

/* Is it a password that has had its day? Then the next one may do, and nobody needs to be told. */
bool server_may_have_newer_password(struct server *s, const char *sqlstate)
{
	struct password_source source;

	return strncmp(sqlstate, "28", 2) == 0 && s->login->credential && get_source(s, &source) &&
		passwords_refused(
			s->pool->worker->passwords, &source, s->login->credential, s->pool->worker->loop.now);
}

void server_accept_password(struct server *s)
{
	struct password_source source;

	if (s->login->credential && get_source(s, &source))
		passwords_accepted(s->pool->worker->passwords, &source, s->login->credential);
}

void server_login_start(struct server *s)
{
	struct password_source source;

	s->login = xcalloc(1, sizeof(*s->login));
	if (get_source(s, &source)) {
		start_with_source(s, &source);
		return;
	}
	s->login->credential = shared_credential(s->pool->shared);
	reach(s);
}
