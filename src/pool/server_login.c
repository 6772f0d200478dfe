/* server_login.c - from a startup packet to a server that is ready. */
#include "pool/evict.h"
#include "pool/server_login.h"
#include "wire/msg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOGIN_MESSAGE_MAX 65536

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

void server_login_end(struct server *s, enum host_outcome outcome, const char *sqlstate, const char *message)
{
	struct worker *w = s->pool->worker;

	host_login_end(s->host, &s->host_login, outcome, sqlstate, message, w->loop.now,
		w->config->server_login_retry);
}

static enum host_outcome outcome_of(const struct server *s, const char *sqlstate, enum login_failure why)
{
	if (why == LOGIN_HOST_DOWN)
		return strcmp(sqlstate, "53300") == 0 ? HOST_FULL : HOST_DOWN;
	/* a password or an address that there is none of says nothing of the host */
	return s->login->step <= LOGIN_RESOLVING ? HOST_DROPPED : HOST_ANSWERED;
}

void server_login_fail(struct server *s, const char *sqlstate, const char *message, enum login_failure why)
{
	struct pool *p = s->pool;
	char state[6], text[LOGIN_ERROR_MAX], addr[ADDRESS_TEXT_MAX];
	bool is_news = !s->host_login.is_probe && !s->host_login.is_try;
	bool is_full = outcome_of(s, sqlstate, why) == HOST_FULL;
	struct log_who who;

	snprintf(state, sizeof(state), "%s", sqlstate);
	snprintf(text, sizeof(text), "%s", message);
	server_describe(s, &who, addr);
	if (is_news)
		log_warning(&who, "server login failed: %s (%s)", text, state);
	else
		log_debug(&who, "server login failed again: %s (%s)", text, state);
	server_login_end(s, outcome_of(s, state, why), state, text);
	server_login_free(s);
	if (is_full)
		evict_at(p, s->host);
	if (why == LOGIN_HOST_DOWN)
		pool_login_waits(p, state, text);
	else
		pool_login_failed(p, state, text, why == LOGIN_REFUSED);
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
	server_login_fail(s, "28P01", text, LOGIN_REFUSED);
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
		server_login_fail(s, "08P01", "invalid authentication request from the server", LOGIN_HOST_DOWN);
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
		server_login_fail(s, "08001", "channel_binding is require, and the server doesn't offer it",
			LOGIN_REFUSED);
		return;
	}
	if (r->bad || (!offered && !s->login->is_bound)) {
		server_login_fail(s, "08P01", "the server offers no SASL mechanism that we know", LOGIN_REFUSED);
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
		server_login_fail(s, "08P01", "the SCRAM exchange failed", LOGIN_HOST_DOWN);
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
		server_login_fail(s, "08P01", "invalid SCRAM challenge from the server", LOGIN_HOST_DOWN);
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
		server_login_fail(
			s, "28P01", "the server could not prove that it knows the password", LOGIN_REFUSED);
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
		server_login_fail(s, "08P01", "invalid authentication request from the server", LOGIN_HOST_DOWN);
	else if (must_bind(s) && !may_go_on_bound(s, request))
		server_login_fail(s, "08001", "channel_binding is require, and the server doesn't do it",
			LOGIN_REFUSED);
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
		server_login_fail(s, "08P01", "unexpected authentication request from the server", LOGIN_HOST_DOWN);
	else
		server_login_fail(s, "28000",
			"the server wants an authentication method that pgweir doesn't have", LOGIN_REFUSED);
}

/* ---- the rest of the login ---- */

/* Shutting down, starting up, full, or not even able to say what: whoever else asks there would be told the same. */
static bool is_of_host(const struct server *s, const char *sqlstate)
{
	if (strcmp(sqlstate, "53300") == 0)
		return !s->pool->shared->replication; /* its client is told at once, and knows best when to come again */
	return !*sqlstate || strncmp(sqlstate, "08", 2) == 0 || strncmp(sqlstate, "57P", 3) == 0;
}

static void on_error(struct server *s, struct reader r)
{
	enum login_failure why = LOGIN_POOL_FAILS;
	struct error_info e;

	error_parse(r, &e);
	if (is_of_host(s, e.sqlstate))
		why = LOGIN_HOST_DOWN;
	else if (is_final_error(e.sqlstate) && !server_may_have_newer_password(s, e.sqlstate))
		why = LOGIN_REFUSED;
	server_login_fail(s, *e.sqlstate ? e.sqlstate : "08006",
		*e.message ? e.message : "the server refused without a word", why);
}

static void on_parameter(struct server *s, struct reader r)
{
	const char *name = read_cstring(&r), *value = read_cstring(&r);

	if (r.bad || settings_put(&s->reported, name, value) != RES_OK)
		server_login_fail(s, "08P01", "invalid parameters from the server", LOGIN_HOST_DOWN);
}

static void on_cancel_key(struct server *s, struct reader r)
{
	uint32_t pid = read_u32(&r);
	size_t len = reader_left(&r);

	if (r.bad || len < CANCEL_SECRET_SHORT || len > CANCEL_SECRET_MAX) {
		server_login_fail(s, "08P01", "invalid cancel key from the server", LOGIN_HOST_DOWN);
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
	if (s->host_login.is_probe)
		log_warning(&who, "the host answers again");
	server_accept_password(s);
	server_login_end(s, HOST_OK, "", "");
	server_login_free(s);
	if (s->pool->startup)
		s->settings = settings_ref(s->pool->startup);
	s->pool->n_login--;
	atomic_fetch_sub(&s->pool->shared->logins, 1);
	pool_login_done(s->pool, s);
}

/* It works, but another host is wanted. */
static void not_wanted(struct server *s, const char *why)
{
	struct pool *p = s->pool;
	char addr[ADDRESS_TEXT_MAX];
	struct log_who who;

	server_describe(s, &who, addr);
	log_info(&who, "not used: %s (target_session_attrs)", why);
	server_login_end(s, HOST_UNFIT, "", "");
	pool_login_waits(p, "08001", why);
	server_close(s, why);
}

/* False: it isn't what is wanted, or has been asked and will answer. */
static bool is_wanted(struct server *s)
{
	const char *query = server_role_query(s), *why;
	bool answer = s->answer, is_told = s->login->step == LOGIN_ROLE;

	if (!query || s->login->step == LOGIN_CONNECT_QUERY)
		return true;
	if (!is_told && !server_reports_role(s, &answer)) {
		s->login->step = LOGIN_ROLE;
		server_query(s, query);
		return false;
	}
	why = is_told && !s->has_answer ? "it doesn't say whether it is read-only" : server_judge_role(s, answer);
	if (why)
		not_wanted(s, why);
	return !why;
}

static void on_ready(struct server *s)
{
	const char *query = s->pool->database ? s->pool->database->connect_query : NULL;

	if (!is_wanted(s))
		return;
	if (s->login->step == LOGIN_CONNECT_QUERY || !query || !*query || s->pool->shared->replication) {
		finish(s);
		return;
	}
	s->login->step = LOGIN_CONNECT_QUERY;
	server_query(s, query);
}

/* Of a query of our own. False: the login has failed. */
static bool on_answer(struct server *s, const struct frame *f, struct reader body)
{
	uint8_t tx_status = reader_left(&body) ? body.pos[0] : 0;
	struct pending_entry popped;

	if (pending_answer(&s->pending, f->type, tx_status, &popped) == PENDING_DESYNC) {
		server_login_fail(s, "08P01", "unexpected message during connect_query", LOGIN_HOST_DOWN);
		return false;
	}
	if (s->login->step == LOGIN_ROLE && f->type == MSG_DATA_ROW)
		server_take_answer(s, body);
	return true;
}

static void on_message(struct server *s, const struct frame *f, struct reader body)
{
	bool has_asked = s->login->step == LOGIN_ROLE || s->login->step == LOGIN_CONNECT_QUERY,
	     is_up = has_asked || s->login->step == LOGIN_STARTING;

	if (has_asked && f->type != MSG_ERROR_RESPONSE && !on_answer(s, f, body))
		return;
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
	else if (!has_asked && f->type != MSG_NOTICE_RESPONSE && f->type != MSG_NEGOTIATE_PROTOCOL_VERSION)
		server_login_fail(s, "08P01", "unexpected message from the server during login", LOGIN_HOST_DOWN);
}

size_t server_login_data(struct server *s, const uint8_t *bytes, size_t len)
{
	size_t pos = 0;

	if (s->login->step == LOGIN_ASKING) {
		server_take_tls_answer(s, bytes, len);
		return len;
	}
	while (pos < len && s->state == SERVER_LOGIN) {
		struct reader r = reader_over(bytes + pos, len - pos);
		struct frame f;
		enum result res = frame_peek(&r, &f);

		if (res == RES_MORE || (res == RES_OK && f.length <= LOGIN_MESSAGE_MAX && f.length > len - pos))
			return pos;
		if (res != RES_OK || f.length > LOGIN_MESSAGE_MAX) {
			server_login_fail(
				s, "08P01", "invalid message from the server during login", LOGIN_HOST_DOWN);
			return len;
		}
		pos += f.length;
		on_message(s, &f,
			reader_over(bytes + pos - f.length + FRAME_HEADER_SIZE, f.length - FRAME_HEADER_SIZE));
	}
	return s->state == SERVER_CLOSING ? len : pos;
}
