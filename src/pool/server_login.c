/* server_login.c - from a slot in the pool to a server that is ready: resolve, connect, authenticate. One deadline covers all of it. */
#include "pool/server.h"
#include "wire/msg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIN_MESSAGE_MAX 65536

enum login_step {
	LOGIN_PASSWORD,	 /* a file or a command has been asked for the password */
	LOGIN_RESOLVING, /* the resolver has been asked */
	LOGIN_ASKING,	 /* connecting, or the SSLRequest is sent: one byte comes next */
	LOGIN_HANDSHAKE, /* of TLS */
	LOGIN_AUTH, /* connecting, or the startup packet is sent: an authentication request or the OK comes next */
	LOGIN_SCRAM_FIRST, /* the server's challenge comes next */
	LOGIN_DERIVING,	   /* a login thread computes keys; the server waits for us */
	LOGIN_SCRAM_LAST,  /* the server's signature comes next */
	LOGIN_ANSWERED, /* what was asked has been answered: only the OK may come, and nobody is told a second secret */
	LOGIN_STARTING, /* authenticated: parameters, the cancel key, ReadyForQuery */
	LOGIN_CONNECT_QUERY,
};

struct resolving { /* with the resolver; comes back to the worker in any case */
	struct resolve_request request;
	struct server *server; /* the worker's: NULL once the server is gone */
};

struct asking { /* with the passwords; comes back in any case */
	struct password_request request;
	struct server *server; /* the worker's */
};

struct deriving { /* with a login thread; comes back as well */
	struct message message;
	struct mailbox *reply_to;
	struct server *server; /* the worker's */
	struct credential *credential;
	uint8_t salt[SCRAM_SALT_MAX];
	size_t salt_len;
	uint32_t iterations;
	struct scram_keys keys;
	bool is_ok;
};

struct server_login {
	enum login_step step;
	struct credential *credential; /* a reference; NULL: none is known */
	struct scram scram;
	struct asking *asking;
	bool is_bound, is_proved; /* by SCRAM-PLUS: which the server has carried through */
	struct resolving *resolving;
	struct deriving *deriving;
};

void server_login_free(struct server *s)
{
	struct server_login *l = s->login;

	if (!l)
		return;
	s->login = NULL;
	if (l->asking)
		l->asking->server = NULL;
	if (l->resolving)
		l->resolving->server = NULL;
	if (l->deriving)
		l->deriving->server = NULL;
	scram_wipe(&l->scram);
	credential_unref(&l->credential);
	free(l);
}

void server_login_fail(struct server *s, const char *sqlstate, const char *message, bool is_final)
{
	struct pool *p = s->pool;
	char state[6], text[LOGIN_ERROR_MAX], addr[ADDRESS_TEXT_MAX];
	struct log_who who;

	snprintf(state, sizeof(state), "%s", sqlstate);
	snprintf(text, sizeof(text), "%s", message);
	server_describe(s, &who, addr);
	log_warning(&who, "server login failed: %s (%s)", text, state);
	server_login_free(s);
	pool_login_failed(p, state, text, is_final);
	server_close(s, "login failed");
}

/* Errors that no waiting will mend: credentials, names, settings. */
static bool is_final_error(const char *sqlstate)
{
	static const char *const classes[] = { "28", "3D", "42", "22", "0A" };

	for (size_t i = 0; i < N_ELEMENTS(classes); i++)
		if (strncmp(sqlstate, classes[i], 2) == 0)
			return true;
	return false;
}

/* ---- reaching the server ---- */

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
		server_login_fail(s, "08006", "the settings of TLS have changed", false);
		return;
	}
	tls = tls_connect(t->context, s->pool->database->host, t->mode == TLS_VERIFY_FULL);
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
static void take_tls_answer(struct server *s, const uint8_t *bytes, size_t len)
{
	bool is_required = tls_target(s)->mode >= TLS_REQUIRE;

	if (bytes[0] == 'E') /* an error that nobody vouches for isn't passed on */
		server_login_fail(s, "08006", "the server answered the SSL request with an error", false);
	else if (len > 1)
		server_login_fail(s, "08P01", "received unencrypted data after SSL response", false);
	else if (bytes[0] == 'S')
		start_tls(s);
	else if (bytes[0] != 'N')
		server_login_fail(s, "08P01", "the server gave no valid answer to the SSL request", false);
	else if (is_required)
		server_login_fail(s, "08001", "server does not support SSL, but SSL was required", true);
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
		server_login_fail(s, "08001", "the server has no direct TLS: it didn't agree on the protocol", true);
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

static void connect_to(struct server *s, const struct address *a)
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
	fd = socket_connect(a, &o, &in_progress);
	if (fd < 0) {
		server_login_fail(s, "08001", strerror(errno), false);
		return;
	}
	stream_init(&s->stream, &server_stream_ops, fd, true);
	s->stream.is_connecting = in_progress;
	stream_attach(&s->stream, &s->pool->worker->loop);
	begin(s);
}

static void deliver_address(struct message *m, void *owner)
{
	struct resolving *r = CONTAINER_OF(m, struct resolving, request.message);
	struct server *s = r->server;
	char text[512];

	(void)owner;
	if (s) {
		s->login->resolving = NULL;
		if (r->request.address.len) {
			connect_to(s, &r->request.address);
		} else {
			snprintf(text, sizeof(text), "could not translate host name \"%s\" to address: %s",
				r->request.host, r->request.error);
			server_login_fail(s, "08001", text, false);
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
	snprintf(r->request.host, sizeof(r->request.host), "%s", host);
	s->login->resolving = r;
	s->login->step = LOGIN_RESOLVING;
	resolver_ask(s->pool->worker->resolver, &r->request);
}

static void reach(struct server *s)
{
	const struct config_database *db = s->pool->database;
	const char *host = db->host && *db->host ? db->host : s->pool->worker->config->unix_socket_dir;
	struct address a;

	if (host[0] == '/' || host[0] == '@') {
		if (address_unix(&a, host, db->port))
			connect_to(s, &a);
		else
			server_login_fail(s, "08001", "the path of the Unix socket is too long", true);
	} else if (address_numeric(&a, host, db->port)) {
		connect_to(s, &a);
	} else {
		resolve(s, host, db->port);
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
		.host = db->host,
		.database = db->dbname ? db->dbname : s->pool->shared->database,
		.port = db->port,
	};
	return true;
}

static void no_source(struct server *s, const char *error, bool is_refused)
{
	server_login_fail(s, is_refused ? "28P01" : "08006", error, is_refused);
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
			server_login_fail(s, "08006", "database removed", false);
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
static bool may_have_newer(struct server *s, const char *sqlstate)
{
	struct password_source source;

	return strncmp(sqlstate, "28", 2) == 0 && s->login->credential && get_source(s, &source) &&
		passwords_refused(
			s->pool->worker->passwords, &source, s->login->credential, s->pool->worker->loop.now);
}

static void accept_password(struct server *s)
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

/* ---- authentication ---- */

static void send_password_message(struct server *s, const struct writer *body, bool with_nul)
{
	struct writer w = { 0 };

	msg_begin(&w, MSG_PASSWORD);
	write_bytes(&w, body->data, body->len);
	if (with_nul)
		write_u8(&w, 0);
	msg_end(&w);
	stream_send_bytes(&s->stream, w.data, w.len);
	explicit_bzero(w.data, w.len);
	writer_free(&w);
}

static void no_password(struct server *s, const char *method)
{
	char text[256];

	snprintf(text, sizeof(text), "the server wants %s, but no fitting secret is known for user \"%.64s\"",
		method, s->pool->shared->user);
	server_login_fail(s, "28P01", text, true);
}

static void send_secret(struct server *s, const char *secret)
{
	struct writer body = { 0 };

	write_bytes(&body, secret, strlen(secret));
	s->login->step = LOGIN_ANSWERED;
	send_password_message(s, &body, true);
	explicit_bzero(body.data, body.len);
	writer_free(&body);
}

static void answer_plain(struct server *s)
{
	const char *password = s->login->credential ? credential_plain(s->login->credential) : NULL;

	if (password)
		send_secret(s, password);
	else
		no_password(s, "a plain-text password");
}

static void answer_md5(struct server *s, struct reader *r)
{
	const uint8_t *salt = read_bytes(r, 4);
	char response[36];

	if (!salt)
		server_login_fail(s, "08P01", "invalid authentication request from the server", false);
	else if (s->login->credential && credential_md5_response(s->login->credential, salt, response))
		send_secret(s, response);
	else
		no_password(s, "an MD5 password");
}

static bool must_bind(const struct server *s)
{
	return s->pool->database->channel_binding == BINDING_REQUIRE;
}

/* What to bind to, if this connection has it: a server in the middle can show no certificate of the same hash. */
static void bind_to_tls(struct server *s, bool is_plus_offered)
{
	enum channel_binding wanted = s->pool->database->channel_binding;
	struct tls_facts facts = { .binding_len = 0 };

	if (s->stream.tls && wanted != BINDING_DISABLE)
		tls_get_facts(s->stream.tls, &facts);
	s->login->is_bound = is_plus_offered && facts.binding_len;
	scram_bind(&s->login->scram, facts.binding, facts.binding_len, s->login->is_bound);
	tls_clear_facts(&facts);
}

static void answer_sasl(struct server *s, struct reader *r)
{
	struct writer first = { 0 }, body = { 0 };
	bool offered = false, plus_offered = false;
	const char *name;

	while (*(name = read_cstring(r))) {
		offered = offered || strcmp(name, SCRAM_MECHANISM) == 0;
		plus_offered = plus_offered || strcmp(name, SCRAM_MECHANISM_PLUS) == 0;
	}
	bind_to_tls(s, plus_offered);
	if (must_bind(s) && !s->login->is_bound) {
		server_login_fail(s, "08001", "channel_binding is require, and the server doesn't offer it", true);
		return;
	}
	if (r->bad || (!offered && !s->login->is_bound)) {
		server_login_fail(s, "08P01", "the server offers no SASL mechanism that we know", true);
		return;
	}
	if (!s->login->credential ||
		(credential_kind(s->login->credential) != SECRET_PLAIN &&
			credential_kind(s->login->credential) != SECRET_SCRAM)) {
		no_password(s, "SCRAM-SHA-256");
		return;
	}
	scram_client_first(&s->login->scram, &first);
	write_cstring(&body, s->login->is_bound ? SCRAM_MECHANISM_PLUS : SCRAM_MECHANISM);
	write_u32(&body, (uint32_t)first.len);
	write_bytes(&body, first.data, first.len);
	send_password_message(s, &body, false);
	s->login->step = LOGIN_SCRAM_FIRST;
	writer_free(&first);
	writer_free(&body);
}

static void send_scram_final(struct server *s, const struct scram_keys *keys)
{
	struct writer last = { 0 };

	if (scram_client_final(&s->login->scram, keys, &last) == RES_OK) {
		s->login->step = LOGIN_SCRAM_LAST;
		send_password_message(s, &last, false);
	} else {
		server_login_fail(s, "08P01", "the SCRAM exchange failed", false);
	}
	writer_free(&last);
}

static void free_deriving(struct deriving *d)
{
	credential_unref(&d->credential);
	explicit_bzero(&d->keys, sizeof(d->keys));
	free(d);
}

static void discard_deriving(struct message *m)
{
	free_deriving(CONTAINER_OF(m, struct deriving, message));
}

/* Back on the worker. */
static void deliver_keys(struct message *m, void *owner)
{
	struct deriving *d = CONTAINER_OF(m, struct deriving, message);
	struct server *s = d->server;

	(void)owner;
	if (s) {
		s->login->deriving = NULL;
		if (d->is_ok)
			send_scram_final(s, &d->keys);
		else
			no_password(s, "SCRAM-SHA-256");
	}
	free_deriving(d);
}

/* On the login thread. */
static void deliver_deriving(struct message *m, void *owner)
{
	struct deriving *d = CONTAINER_OF(m, struct deriving, message);

	(void)owner;
	d->is_ok = credential_server_keys(d->credential, d->salt, d->salt_len, d->iterations, &d->keys);
	m->deliver = deliver_keys;
	mailbox_post(d->reply_to, m);
}

static void answer_challenge(struct server *s, struct reader *r)
{
	struct scram_secret *secret = &s->login->scram.secret;
	struct scram_keys keys;
	struct deriving *d;

	if (scram_client_challenge(&s->login->scram, *r) != RES_OK) {
		server_login_fail(s, "08P01", "invalid SCRAM challenge from the server", false);
		return;
	}
	if (credential_find_server_keys(
		    s->login->credential, secret->salt, secret->salt_len, secret->iterations, &keys)) {
		send_scram_final(s, &keys);
		explicit_bzero(&keys, sizeof(keys));
		return;
	}
	if (credential_kind(s->login->credential) != SECRET_PLAIN) {
		no_password(s, "SCRAM-SHA-256");
		return;
	}
	d = xcalloc(1, sizeof(*d));
	d->message.deliver = deliver_deriving;
	d->message.discard = discard_deriving;
	d->reply_to = &s->pool->worker->loop.mailbox;
	d->server = s;
	d->credential = credential_ref(s->login->credential);
	d->salt_len = secret->salt_len;
	d->iterations = secret->iterations;
	memcpy(d->salt, secret->salt, secret->salt_len);
	s->login->deriving = d;
	s->login->step = LOGIN_DERIVING;
	mailbox_post(s->pool->worker->slow, &d->message);
}

static void check_signature(struct server *s, struct reader *r)
{
	if (scram_client_verify(&s->login->scram, *r) == RES_OK) {
		s->login->step = LOGIN_ANSWERED;
		s->login->is_proved = s->login->is_bound;
	} else {
		server_login_fail(s, "28P01", "the server could not prove that it knows the password", true);
	}
}

/* Nothing but SCRAM-PLUS to its end: no password is sent, and no word taken, from whom hasn't proved to be at the end of this TLS. */
static bool may_go_on_bound(const struct server *s, uint32_t request)
{
	switch (request) {
	case AUTH_SASL:
	case AUTH_SASL_CONTINUE:
	case AUTH_SASL_FINAL: return true;
	default: return request == AUTH_OK && s->login->is_proved;
	}
}

static void on_authentication(struct server *s, struct reader r)
{
	uint32_t request = read_u32(&r);
	enum login_step step = s->login->step;

	if (r.bad)
		server_login_fail(s, "08P01", "invalid authentication request from the server", false);
	else if (must_bind(s) && !may_go_on_bound(s, request))
		server_login_fail(s, "08001", "channel_binding is require, and the server doesn't do it", true);
	else if (request == AUTH_OK && (step == LOGIN_AUTH || step == LOGIN_ANSWERED))
		s->login->step = LOGIN_STARTING;
	else if (request == AUTH_CLEARTEXT_PASSWORD && step == LOGIN_AUTH)
		answer_plain(s);
	else if (request == AUTH_MD5_PASSWORD && step == LOGIN_AUTH)
		answer_md5(s, &r);
	else if (request == AUTH_SASL && step == LOGIN_AUTH)
		answer_sasl(s, &r);
	else if (request == AUTH_SASL_CONTINUE && step == LOGIN_SCRAM_FIRST)
		answer_challenge(s, &r);
	else if (request == AUTH_SASL_FINAL && step == LOGIN_SCRAM_LAST)
		check_signature(s, &r);
	else if (step != LOGIN_AUTH)
		server_login_fail(s, "08P01", "unexpected authentication request from the server", false);
	else
		server_login_fail(s, "28000",
			"the server wants an authentication method that pgweir doesn't have", true);
}

/* ---- the rest of the login ---- */

static void on_error(struct server *s, struct reader r)
{
	struct error_info e;

	error_parse(r, &e);
	server_login_fail(s, *e.sqlstate ? e.sqlstate : "08006",
		*e.message ? e.message : "the server refused without a word",
		is_final_error(e.sqlstate) && !may_have_newer(s, e.sqlstate));
}

static void on_parameter(struct server *s, struct reader r)
{
	const char *name = read_cstring(&r), *value = read_cstring(&r);

	if (r.bad || settings_put(&s->reported, name, value) != RES_OK)
		server_login_fail(s, "08P01", "invalid parameters from the server", false);
}

static void on_cancel_key(struct server *s, struct reader r)
{
	uint32_t pid = read_u32(&r);
	size_t len = reader_left(&r);

	if (r.bad || len < CANCEL_SECRET_SHORT || len > CANCEL_SECRET_MAX) {
		server_login_fail(s, "08P01", "invalid cancel key from the server", false);
		return;
	}
	free(s->cancel_secret);
	s->cancel_secret = xmalloc(len);
	memcpy(s->cancel_secret, r.pos, len);
	s->cancel_secret_len = len;
	s->cancel_pid = pid;
	s->has_cancel_key = true;
}

static void finish(struct server *s)
{
	char addr[ADDRESS_TEXT_MAX], local[ADDRESS_TEXT_MAX];
	struct log_who who;
	struct address a;

	server_describe(s, &who, addr);
	address_local(s->stream.fd, &a);
	address_text(&a, local);
	if (s->pool->worker->config->log_connections)
		log_info(&who, "new connection to server (from %s)", local);
	accept_password(s);
	server_login_free(s);
	if (s->pool->startup)
		s->settings = settings_ref(s->pool->startup);
	s->pool->n_login--;
	atomic_fetch_sub(&s->pool->shared->by_database->logins, 1);
	pool_login_done(s->pool, s);
}

static void on_ready(struct server *s)
{
	const char *query = s->pool->database ? s->pool->database->connect_query : NULL;

	if (s->login->step == LOGIN_CONNECT_QUERY || !query || !*query || s->pool->shared->replication) {
		finish(s);
		return;
	}
	s->login->step = LOGIN_CONNECT_QUERY;
	server_query(s, query);
}

static void on_message(struct server *s, const struct frame *f, struct reader body)
{
	bool is_up = s->login->step == LOGIN_STARTING || s->login->step == LOGIN_CONNECT_QUERY;
	struct pending_entry popped;

	if (s->login->step == LOGIN_CONNECT_QUERY && f->type != MSG_ERROR_RESPONSE) {
		uint8_t tx_status = reader_left(&body) ? body.pos[0] : 0;

		if (pending_answer(&s->pending, f->type, tx_status, &popped) == PENDING_DESYNC) {
			server_login_fail(s, "08P01", "unexpected message during connect_query", false);
			return;
		}
	}
	if (f->type == MSG_AUTHENTICATION)
		on_authentication(s, body);
	else if (f->type == MSG_ERROR_RESPONSE)
		on_error(s, body);
	else if (f->type == MSG_PARAMETER_STATUS)
		on_parameter(s, body);
	else if (f->type == MSG_BACKEND_KEY_DATA && is_up)
		on_cancel_key(s, body);
	else if (f->type == MSG_READY_FOR_QUERY && is_up)
		on_ready(s);
	else if (s->login->step != LOGIN_CONNECT_QUERY && f->type != MSG_NOTICE_RESPONSE &&
		f->type != MSG_NEGOTIATE_PROTOCOL_VERSION)
		server_login_fail(s, "08P01", "unexpected message from the server during login", false);
}

size_t server_login_data(struct server *s, const uint8_t *bytes, size_t len)
{
	size_t pos = 0;

	if (s->login->step == LOGIN_ASKING) {
		take_tls_answer(s, bytes, len);
		return len;
	}
	while (pos < len && s->state == SERVER_LOGIN) {
		struct reader r = reader_over(bytes + pos, len - pos);
		struct frame f;
		enum result res = frame_peek(&r, &f);

		if (res == RES_MORE || (res == RES_OK && f.length <= LOGIN_MESSAGE_MAX && f.length > len - pos))
			return pos;
		if (res != RES_OK || f.length > LOGIN_MESSAGE_MAX) {
			server_login_fail(s, "08P01", "invalid message from the server during login", false);
			return len;
		}
		pos += f.length;
		on_message(s, &f,
			reader_over(bytes + pos - f.length + FRAME_HEADER_SIZE, f.length - FRAME_HEADER_SIZE));
	}
	return s->state == SERVER_CLOSING ? len : pos;
}
