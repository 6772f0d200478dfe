#include "front/login.h"

#include "auth/base64.h"
#include "auth/digest.h"
#include "front/params.h"
#include "wire/msg.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TO(s) (1u << (s))

static const unsigned moves[LOGIN_FAILED + 1] = {
	/* nothing leaves DONE, CANCEL and FAILED */
	[LOGIN_STARTUP] = TO(LOGIN_TLS) | TO(LOGIN_LOOKUP) | TO(LOGIN_CLEARTEXT) | TO(LOGIN_MD5) |
		TO(LOGIN_SASL) | TO(LOGIN_DONE) | TO(LOGIN_CANCEL) | TO(LOGIN_FAILED),
	[LOGIN_TLS] = TO(LOGIN_STARTUP) | TO(LOGIN_FAILED),
	[LOGIN_LOOKUP] = TO(LOGIN_LOOKUP) | TO(LOGIN_CLEARTEXT) | TO(LOGIN_MD5) | TO(LOGIN_SASL) |
		TO(LOGIN_DONE) | TO(LOGIN_FAILED),
	[LOGIN_CLEARTEXT] = TO(LOGIN_LOOKUP) | TO(LOGIN_DONE) | TO(LOGIN_FAILED),
	[LOGIN_MD5] = TO(LOGIN_LOOKUP) | TO(LOGIN_DONE) | TO(LOGIN_FAILED),
	[LOGIN_SASL] = TO(LOGIN_SASL_FIRST) | TO(LOGIN_SASL_FINAL) | TO(LOGIN_FAILED),
	[LOGIN_SASL_FIRST] = TO(LOGIN_SASL_FINAL) | TO(LOGIN_FAILED),
	[LOGIN_SASL_FINAL] = TO(LOGIN_LOOKUP) | TO(LOGIN_DONE) | TO(LOGIN_FAILED),
};

static void set_state(struct login *l, enum login_state next)
{
	ASSERT(moves[l->state] & TO(next));
	l->state = next;
}

void login_init(struct login *l, const struct login_env *env, struct snapshot *snapshot, uint64_t id,
	const struct address *peer, bool is_own_uid)
{
	memset(l, 0, sizeof(*l));
	l->state = LOGIN_STARTUP;
	l->env = env;
	l->snapshot = snapshot_ref(snapshot);
	l->peer = *peer;
	l->is_own_uid = is_own_uid;
	l->peer_uid = -1;
	address_text(peer, l->addr);
	l->who = (struct log_who){ .kind = "client", .id = id, .addr = l->addr };
}

void login_free(struct login *l)
{
	if (l->is_counted)
		l->env->uncount_client(l->env->ctx, l->who.database, l->who.user);
	l->is_counted = false;
	scram_wipe(&l->scram);
	secure_free(&l->response);
	tls_clear_facts(&l->tls);
	credential_unref(&l->credential);
	settings_unref(&l->settings);
	snapshot_unref(&l->snapshot);
	writer_free(&l->out);
	free(l->packet);
	l->packet = NULL;
	l->who.user = l->who.database = NULL;
}

/* Failing. The step that failed returns RES_OK: the machine has moved on. */

static void write_fatal(struct login *l, const char *sqlstate, const char *message)
{
	write_error(&l->out, &(struct error_info){ .severity = "FATAL", .sqlstate = sqlstate, .message = message });
	set_state(l, LOGIN_FAILED);
}

void login_fail(struct login *l, const char *sqlstate, const char *message)
{
	if (l->snapshot->config->log_pooler_errors)
		log_info(&l->who, "login failed: %s", message);
	write_fatal(l, sqlstate, message);
}

/* The names that go into a message are cut by its format, so that no peer makes us send much. */
static enum result fail(struct login *l, const char *sqlstate, const char *format, ...) PRINTF_LIKE(3, 4);
static enum result fail(struct login *l, const char *sqlstate, const char *format, ...)
{
	char message[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	login_fail(l, sqlstate, message);
	return RES_OK;
}

/* A port scanner, or a client that gave up: neither gets a word, nor more than a debug line. */
static enum result fail_silently(struct login *l, const char *why)
{
	log_debug(&l->who, "closing before login: %s", why);
	set_state(l, LOGIN_FAILED);
	return RES_OK;
}

/* PostgreSQL's words for each method. */
static const struct {
	const char *name, *sqlstate;
} failures[] = {
	[HBA_TRUST] = { "\"trust\"", "28000" },
	[HBA_REJECT] = { "", "28000" },
	[HBA_PASSWORD] = { "password", "28P01" },
	[HBA_MD5] = { "password", "28P01" },
	[HBA_SCRAM] = { "password", "28P01" },
	[HBA_PEER] = { "Peer", "28000" },
	[HBA_CERT] = { "certificate", "28000" },
	[HBA_LDAP] = { "LDAP", "28000" },
	[HBA_PAM] = { "PAM", "28000" },
};

/* The client learns no more than that; cause is for the log. */
static enum result fail_method(struct login *l, enum hba_method method, const char *cause)
{
	char message[128];

	if (l->snapshot->config->log_pooler_errors)
		log_info(&l->who, "login failed: %s", l->is_mock ? l->cause : cause);
	snprintf(message, sizeof(message), "%s authentication failed for user \"%.63s\"",
		failures[method].name, l->who.user);
	l->is_auth_failure = true;
	write_fatal(l, failures[method].sqlstate, message);
	return RES_OK;
}

static enum result fail_auth(struct login *l, const char *cause)
{
	return fail_method(l, l->rule->method, cause);
}

/* Succeeding: the password was right, or none was asked for. */

static void begin_authentication(struct writer *w, enum auth_request request)
{
	msg_begin(w, MSG_AUTHENTICATION);
	write_u32(w, request);
}

static const struct config_database *database_of(const struct login *l)
{
	return config_database(l->snapshot->config, l->who.database);
}

static bool is_console_name(const char *name)
{
	return strcmp(name, "pgweir") == 0 || strcmp(name, "pgbouncer") == 0;
}

/* The process's own user needs no password for the console: that's how PgBouncer's operators get in. */
static bool is_own_operator(const struct login *l)
{
	return l->is_own_uid && l->is_console && is_console_name(l->who.user);
}

static bool is_in(const char *list, const char *user)
{
	return list && config_list_has(list, user);
}

static bool may_admin(const struct login *l)
{
	const struct config *c = l->snapshot->config;

	return c->auth_type == AUTH_TYPE_ANY || is_own_operator(l) || is_in(c->admin_users, l->who.user);
}

static bool may_enter(struct login *l)
{
	if (l->is_console) {
		if (may_admin(l) || is_in(l->snapshot->config->stats_users, l->who.user))
			return true;
		fail(l, "42501", "permission denied for console");
		return false;
	}
	if (l->env->is_console_only)
		fail(l, "57P03", "the database system is shutting down");
	else if (!database_of(l))
		fail(l, "3D000", "database \"%.63s\" does not exist", l->who.database);
	else
		return true;
	return false;
}

static bool take_settings(struct login *l)
{
	struct startup_error error = { 0 };
	struct startup st;
	size_t used;
	enum result r = startup_parse(l->packet, l->packet_len, &st, &used, &error);

	ASSERT(r == RES_OK); /* it was already, when it came */
	r = params_to_settings(&st, l->snapshot->config, l->is_console ? NULL : database_of(l), l->addr,
		&l->settings, &error);
	if (r == RES_OK)
		return true;
	fail(l, error.sqlstate ? error.sqlstate : "08P01", "%s", error.message);
	return false;
}

/* Last of all, so that nobody without the password takes a place. Console logins don't count. */
static bool take_place(struct login *l)
{
	const char *why = "sorry, too many clients already";

	if (l->is_console)
		return true;
	if (snapshot_has_disabled(l->snapshot, l->who.database)) {
		fail(l, "55000", "database \"%.63s\" is disabled", l->who.database);
		return false;
	}
	l->is_counted = l->env->count_client(l->env->ctx, l->snapshot->config, l->who.database, l->who.user, &why);
	if (!l->is_counted)
		fail(l, "53300", "%s", why);
	return l->is_counted;
}

/* What goes wrong from here on comes after AuthenticationOk, as PostgreSQL does it. */
static enum result succeed(struct login *l)
{
	if (l->snapshot->config->log_connections)
		log_info(&l->who, "login attempt: db=%s user=%s tls=%s", l->who.database, l->who.user,
			l->tls.is_on ? l->tls.name : "no");
	begin_authentication(&l->out, AUTH_OK);
	msg_end(&l->out);
	if (may_enter(l) && take_settings(l) && take_place(l))
		set_state(l, LOGIN_DONE);
	return RES_OK;
}

/* Asking for the password. */

static bool is_mostly_scram(const struct login *l)
{
	return l->is_looked_up || userlist_model(l->snapshot->userlist)->is_mostly_scram;
}

static uint32_t mock_iterations(const struct login *l)
{
	const struct userlist_model *m = userlist_model(l->snapshot->userlist);

	return m->is_mostly_scram ? m->iterations : (uint32_t)l->snapshot->config->scram_iterations;
}

/*
 * From here on the client is checked against a secret that nobody knows. It is of the kind that most in auth_file have, or
 * that PostgreSQL 14 and later make where auth_query looked: so md5 asks alike, and checking a password takes as long.
 */
static void use_mock(struct login *l, const char *cause)
{
	uint8_t salt[16], keys[2][SCRAM_KEY_SIZE];
	char texts[3][BASE64_LEN(SCRAM_KEY_SIZE) + 1], *secret;

	random_bytes(salt, sizeof(salt));
	random_bytes(keys[0], sizeof(keys));
	base64_encode(salt, sizeof(salt), texts[0]);
	base64_encode(keys[0], sizeof(keys[0]), texts[1]);
	base64_encode(keys[1], sizeof(keys[1]), texts[2]);
	secret = is_mostly_scram(l)
		? xasprintf("SCRAM-SHA-256$%u:%s$%s:%s", mock_iterations(l), texts[0], texts[1], texts[2])
		: xstrdup(texts[1]);
	credential_unref(&l->credential);
	l->credential = credential_new(l->who.user, secret);
	l->is_mock = true;
	snprintf(l->cause, sizeof(l->cause), "%s", cause);
	secure_free(&secret);
}

static enum result ask_cleartext(struct login *l)
{
	begin_authentication(&l->out, AUTH_CLEARTEXT_PASSWORD);
	msg_end(&l->out);
	set_state(l, LOGIN_CLEARTEXT);
	return RES_OK;
}

static enum result ask_md5(struct login *l)
{
	random_bytes(l->salt, sizeof(l->salt));
	begin_authentication(&l->out, AUTH_MD5_PASSWORD);
	write_bytes(&l->out, l->salt, sizeof(l->salt));
	msg_end(&l->out);
	set_state(l, LOGIN_MD5);
	return RES_OK;
}

static enum result ask_sasl(struct login *l)
{
	if (!l->is_mock && credential_kind(l->credential) == SECRET_MD5)
		use_mock(l, "the user's secret is an md5 hash, which SCRAM can't use");
	begin_authentication(&l->out, AUTH_SASL);
	if (l->tls.binding_len)
		write_cstring(&l->out, SCRAM_MECHANISM_PLUS);
	write_cstring(&l->out, SCRAM_MECHANISM);
	write_u8(&l->out, 0);
	msg_end(&l->out);
	set_state(l, LOGIN_SASL);
	return RES_OK;
}

/* A URI in place of a file names one user, who is the clients' and the servers'. */
static bool is_uri_user(const struct login *l)
{
	const char *user = config_uri_user(l->snapshot->config);

	return user && strcmp(user, l->who.user) == 0;
}

/* The client's own, not that of the database's forced user. */
static struct credential *client_credential(const struct login *l)
{
	const struct snapshot *s = l->snapshot;

	return is_uri_user(l) ? snapshot_database_credential(s, config_database(s->config, "*"))
			      : userlist_find(s->userlist, l->who.user);
}

/* Certificates. They count only where they were verified. */

static bool has_certificate(const struct login *l)
{
	return l->tls.is_verified;
}

static bool certificate_fits(const struct login *l)
{
	const char *name = l->rule->is_clientname_dn ? l->tls.peer_dn : l->tls.peer_cn;

	return name && auth_rules_allow(l->snapshot->rules, l->rule, name, l->who.user);
}

static enum result fail_certificate(struct login *l)
{
	char cause[LOOKUP_TEXT_MAX];

	snprintf(cause, sizeof(cause), "the certificate of \"%.160s\" is not this user's",
		l->tls.peer_dn ? l->tls.peer_dn : "");
	return fail_method(l, HBA_CERT, cause);
}

/* Whatever proved who it is: the certificate may have to, as well. */
static enum result admit(struct login *l)
{
	if (l->rule->clientcert == HBA_CLIENTCERT_FULL && !certificate_fits(l))
		return fail_certificate(l);
	return succeed(l);
}

static enum result enter_any(struct login *l)
{
	const struct config_database *db = database_of(l);

	if (!l->is_console && db && !db->user)
		return fail(l, "F0000", "auth_type \"any\" needs a forced user for database \"%.63s\"",
			l->who.database);
	return succeed(l);
}

static enum result enter_trusted(struct login *l)
{
	if (!l->credential && !is_uri_user(l)) /* the URI may be without a password */
		return fail(l, "28000", "role \"%.63s\" does not exist", l->who.user);
	return admit(l);
}

static struct credential *share(struct credential *c)
{
	return c ? credential_ref(c) : NULL;
}

/* A password, whatever it will be compared with: unknown users are asked for one like all others. */
static enum result ask_password(struct login *l, const char *why_none)
{
	if (!l->credential)
		use_mock(l, why_none);
	else if (credential_kind(l->credential) == SECRET_NONE)
		use_mock(l, "the user has no password");
	if (l->rule->method == HBA_PASSWORD)
		return ask_cleartext(l);
	if (l->rule->method == HBA_MD5 && credential_kind(l->credential) != SECRET_SCRAM)
		return ask_md5(l);
	return ask_sasl(l);
}

/* Where auth_query would find a user that auth_file doesn't know. NULL: nowhere. */
static const char *lookup_database(const struct login *l)
{
	const struct config *c = l->snapshot->config;
	const struct config_database *db = l->is_console ? NULL : database_of(l);
	const char *name = config_auth_dbname(c, db);

	if (!name && db)
		name = l->who.database;
	return *config_auth_user(c, db) && name && config_database(c, name) ? name : NULL;
}

/* What auth_query knows. The login's bytes stay where they are until the answer comes. */
static enum result look_up_secret(
	struct login *l, bool is_refresh, void (*answered)(struct login *l, const struct lookup *q))
{
	struct lookup *q = lookup_new(LOOKUP_SECRET, l->who.id, l->snapshot,
		l->is_console ? NULL : l->who.database, l->who.user, NULL, l->addr);

	q->asked_in = xstrdup(lookup_database(l));
	q->is_refresh = is_refresh;
	l->answered = answered;
	l->is_looked_up = true;
	set_state(l, LOGIN_LOOKUP);
	l->env->ask(l->env->ctx, q);
	return RES_OK;
}

/* What this process isn't the one to know. */
static enum result look_up_elsewhere(struct login *l, enum lookup_kind kind, const char *password,
	void (*answered)(struct login *l, const struct lookup *q))
{
	struct lookup *q = lookup_new(kind, l->who.id, l->snapshot, l->is_console ? NULL : l->who.database,
		l->who.user, password, l->addr);

	q->rule = l->rule;
	q->peer = l->peer;
	q->peer_uid = l->peer_uid;
	l->answered = answered;
	set_state(l, LOGIN_LOOKUP);
	l->env->ask(l->env->ctx, q);
	return RES_OK;
}

/* With l->credential, or NULL and the reason why there is none. */
static enum result authenticate_with(struct login *l, const char *why_none)
{
	switch (l->rule->method) {
	case HBA_TRUST:
	case HBA_PEER:
	case HBA_CERT: return enter_trusted(l);
	case HBA_PASSWORD:
	case HBA_MD5:
	case HBA_SCRAM: return ask_password(l, why_none);
	case HBA_REJECT:
	case HBA_LDAP:
	case HBA_PAM: break;
	}
	ASSERT(!"a method that needs no secret");
}

static void on_secret(struct login *l, const struct lookup *q)
{
	if (q->answer == LOOKUP_FAILED) {
		fail(l, q->sqlstate, "%s", q->text);
		return;
	}
	l->credential = share(q->credential);
	authenticate_with(l, q->text);
}

void login_answer(struct login *l, struct lookup **q)
{
	ASSERT(l->state == LOGIN_LOOKUP && (*q)->login == l->who.id);
	l->answered(l, *q);
	lookup_free(q);
}

static enum result find_secret(struct login *l)
{
	l->credential = share(client_credential(l));
	if (!l->credential && !is_uri_user(l) && lookup_database(l))
		return look_up_secret(l, false, on_secret);
	return authenticate_with(l, "no such user");
}

static void on_peer(struct login *l, const struct lookup *q)
{
	if (q->answer == LOOKUP_ACCEPTED)
		find_secret(l);
	else
		fail_auth(l, q->text);
}

static enum result check_peer(struct login *l)
{
	if (l->peer_uid < 0)
		return fail_auth(l, "the system doesn't say whose process it is");
	return look_up_elsewhere(l, LOOKUP_PEER, NULL, on_peer);
}

static void on_password(struct login *l, const struct lookup *q)
{
	if (q->answer == LOOKUP_ACCEPTED)
		admit(l);
	else
		fail_auth(l, q->text);
}

static const struct hba_rule *find_rule(const struct login *l)
{
	struct hba_client c = { l->who.database, l->who.user, &l->peer, l->tls.is_on,
		l->replication == REPLICATION_PHYSICAL };

	return auth_rules_find(l->snapshot->rules, l->snapshot->config->auth_type, &c);
}

static enum result fail_without_rule(struct login *l, const char *what)
{
	char host[ADDRESS_TEXT_MAX] = "[local]";

	if (!address_is_unix(&l->peer))
		address_host(&l->peer, host);
	return fail(l, "28000", "%s host \"%s\", user \"%.63s\", database \"%.63s\", %s", what, host,
		l->who.user, l->who.database, l->tls.is_on ? "SSL encryption" : "no encryption");
}

/* auth_file and auth_query know nothing of these users: their password is checked elsewhere. */
static bool is_checked_elsewhere(const struct hba_rule *r)
{
	return r->method == HBA_LDAP || r->method == HBA_PAM;
}

static enum result authenticate(struct login *l)
{
	if (is_own_operator(l))
		return succeed(l);
	if (l->snapshot->config->auth_type == AUTH_TYPE_ANY)
		return enter_any(l);
	l->rule = find_rule(l);
	if (!l->rule)
		return fail_without_rule(l, "no pg_hba.conf entry for");
	if (l->rule->method == HBA_REJECT)
		return fail_without_rule(l, "pg_hba.conf rejects connection for");
	if (l->rule->clientcert != HBA_CLIENTCERT_NONE && !has_certificate(l))
		return fail(l, "28000", "connection requires a valid client certificate");
	if (is_checked_elsewhere(l->rule))
		return ask_cleartext(l);
	if (l->rule->method == HBA_PEER)
		return check_peer(l);
	if (l->rule->method == HBA_CERT && !certificate_fits(l))
		return fail_certificate(l);
	return find_secret(l);
}

/* TLS. */

static bool has_tls(const struct login *l)
{
	return tls_set_clients(l->snapshot->tls) && !address_is_unix(&l->peer);
}

static bool asks_certificate(const struct login *l)
{
	return l->snapshot->config->client_tls.mode >= TLS_VERIFY_CA;
}

void login_secured(struct login *l, struct tls_facts *facts)
{
	l->tls = *facts;
	memset(facts, 0, sizeof(*facts));
	l->asked_ssl = l->asked_gssenc = true; /* neither is to be had inside */
	if (l->is_direct_tls && !l->tls.has_alpn)
		fail(l, "08P01",
			"received direct SSL connection request without ALPN protocol negotiation extension");
	else if (asks_certificate(l) && !l->tls.is_verified)
		fail(l, "28000", "connection requires a valid client certificate");
	else
		set_state(l, LOGIN_STARTUP);
}

/* What came with the request was sent by somebody who can't know yet whom he talks to: it must not count as if it had come by TLS. */
static enum result begin_tls(struct login *l, const struct reader *in)
{
	if (reader_left(in) > 0)
		return fail(l, "08P01", "received unencrypted data after SSL request");
	l->asked_ssl = true;
	write_u8(&l->out, 'S');
	set_state(l, LOGIN_TLS);
	return RES_OK;
}

/* sslnegotiation=direct: the first byte of a TLS handshake can't be a startup packet's. */
static bool is_client_hello(const struct login *l, const struct reader *in)
{
	return reader_left(in) > 0 && *in->pos == 0x16 && has_tls(l) && !l->asked_ssl && !l->asked_gssenc;
}

static enum result begin_direct_tls(struct login *l)
{
	l->is_direct_tls = true;
	set_state(l, LOGIN_TLS);
	return RES_OK;
}

static enum result check_encryption(struct login *l)
{
	if (l->snapshot->config->client_tls.mode < TLS_REQUIRE || l->tls.is_on || address_is_unix(&l->peer))
		return RES_OK;
	fail(l, "28000", "SSL required");
	return RES_REFUSED;
}

/* The startup packet. */

/* We speak up to 3.2 and know no protocol option. The whole version is sent, as PostgreSQL does and libpq expects. */
static void negotiate(struct login *l, const struct startup *st)
{
	uint32_t unknown = 0;

	l->protocol = MIN(st->version, PROTOCOL_3_2);
	for (size_t i = 0; i < st->n_params; i++)
		unknown += params_is_protocol_option(st->params[i].name);
	if (st->version == l->protocol && !unknown)
		return;
	msg_begin(&l->out, MSG_NEGOTIATE_PROTOCOL_VERSION);
	write_u32(&l->out, l->protocol);
	write_u32(&l->out, unknown);
	for (size_t i = 0; i < st->n_params; i++) {
		if (params_is_protocol_option(st->params[i].name))
			write_cstring(&l->out, st->params[i].name);
	}
	msg_end(&l->out);
}

static enum result take_replication(struct login *l, const char *value)
{
	struct startup_error error = { 0 };

	if (params_replication(value, &l->replication, &error) != RES_OK)
		fail(l, error.sqlstate, "%s", error.message);
	else if (l->replication && l->is_console)
		fail(l, "0A000", "the admin console has nothing to replicate");
	return l->state == LOGIN_FAILED ? RES_REFUSED : RES_OK;
}

static enum result take_startup_message(struct login *l, const uint8_t *packet, size_t len)
{
	struct startup_error error;
	struct startup st;
	size_t used;

	l->packet = xmalloc(len);
	l->packet_len = len;
	memcpy(l->packet, packet, len);
	if (startup_parse(l->packet, len, &st, &used, &error) != RES_OK)
		ASSERT(!"the same bytes parse once and not twice");
	l->who.user = st.user;
	l->who.database = st.database;
	l->is_console = is_console_name(st.database);
	negotiate(l, &st);
	if (check_encryption(l) != RES_OK)
		return RES_OK;
	if (take_replication(l, st.replication) != RES_OK)
		return RES_OK;
	return authenticate(l);
}

/* Each may be asked for once; then the code counts as a version that we don't speak, as in PostgreSQL. */
static enum result refuse_encryption(struct login *l, bool *asked, uint32_t code)
{
	if (*asked)
		return fail(l, "0A000", "unsupported frontend protocol %u.%u: server supports 3.0 to 3.2",
			code >> 16, code & 0xffff);
	*asked = true;
	write_u8(&l->out, 'N');
	return RES_OK;
}

static enum result startup_step(struct login *l, struct reader *in)
{
	struct startup_error error = { 0 };
	struct startup st;
	const uint8_t *packet = in->pos;
	size_t used = 0;
	enum result r;

	if (is_client_hello(l, in))
		return begin_direct_tls(l);
	r = startup_parse(packet, reader_left(in), &st, &used, &error);
	if (r == RES_MORE)
		return RES_MORE;
	if (r != RES_OK)
		return error.sqlstate ? fail(l, error.sqlstate, "%s", error.message)
				      : fail_silently(l, "not a startup packet");
	read_bytes(in, used);
	switch (st.kind) {
	case STARTUP_SSL:
		if (has_tls(l) && !l->asked_ssl)
			return begin_tls(l, in);
		return refuse_encryption(l, &l->asked_ssl, SSL_REQUEST_CODE);
	case STARTUP_GSSENC: return refuse_encryption(l, &l->asked_gssenc, GSSENC_REQUEST_CODE);
	case STARTUP_CANCEL:
		l->cancel = st.cancel;
		set_state(l, LOGIN_CANCEL);
		return RES_OK;
	case STARTUP_MESSAGE: break;
	}
	return take_startup_message(l, packet, used);
}

/* Answers to what we asked. All of them are messages of type 'p'. */

/* RES_OK: body is the next message's; RES_MORE: it isn't whole; else the login has failed. */
static enum result next_response(
	struct login *l, struct reader *in, const char *kind, uint32_t max, struct reader *body)
{
	const uint8_t *message;
	struct frame f;
	enum result r = frame_peek(in, &f);

	if (r == RES_MORE)
		return RES_MORE;
	if (r == RES_OK && f.type == MSG_TERMINATE)
		fail_silently(l, "the client took its leave");
	else if (r == RES_OK && f.type != MSG_PASSWORD)
		fail(l, "08P01", "expected %s response, got message type %d", kind, f.type);
	else if (r != RES_OK || f.length - FRAME_HEADER_SIZE > max)
		fail(l, "08P01", "invalid message length");
	else if (reader_left(in) < f.length)
		return RES_MORE;
	if (login_is_over(l))
		return RES_PROTOCOL;
	message = read_bytes(in, f.length);
	*body = reader_over(message + FRAME_HEADER_SIZE, f.length - FRAME_HEADER_SIZE);
	return RES_OK;
}

/* The one string of a PasswordMessage, or NULL and the login has failed. */
static const char *read_password(struct login *l, struct reader *body)
{
	const char *password = read_cstring(body);

	if (!body->bad && reader_left(body) == 0)
		return password;
	fail(l, "08P01", "invalid password packet size");
	return NULL;
}

static bool is_right_password(struct login *l, const char *password, bool is_md5)
{
	return is_md5 ? credential_check_md5(l->credential, l->salt, password)
		      : credential_check_plain(l->credential, password);
}

/* The secret may have changed since auth_query was asked. What the client answered to our challenge is checked once more, if it can be. */
static void on_newer_secret(struct login *l, const struct lookup *q)
{
	bool has_changed = q->answer == LOOKUP_FOUND && !credential_same(q->credential, l->credential);

	if (!has_changed || !l->response) {
		fail_auth(l, has_changed ? "wrong password, or a new one: the secret has changed" : "wrong password");
		return;
	}
	credential_unref(&l->credential);
	l->credential = credential_ref(q->credential);
	l->is_mock = false;
	if (is_right_password(l, l->response, l->is_md5))
		admit(l);
	else
		fail_auth(l, "wrong password");
}

/*
 * response: what the client answered, NULL if only SCRAM knows what it means. A user that isn't there is asked for like any other, so that the
 * time doesn't tell.
 */
static enum result refuse_password(struct login *l, const char *response)
{
	if (!l->is_looked_up)
		return fail_auth(l, "wrong password");
	l->is_md5 = l->state == LOGIN_MD5;
	l->response = xstrdup(response);
	return look_up_secret(l, true, on_newer_secret);
}

/* The client's own password is what servers are logged in with, where the database has none. */
static enum result check_elsewhere(struct login *l, const char *password)
{
	if (!*password) /* to LDAP that would be an anonymous bind, which succeeds */
		return fail_auth(l, "the password is empty");
	l->credential = credential_new(l->who.user, password);
	return look_up_elsewhere(l, LOOKUP_PASSWORD, password, on_password);
}

static enum result password_step(struct login *l, struct reader *in)
{
	struct reader body;
	const char *password;
	enum result r = next_response(l, in, "password", LOGIN_PASSWORD_MAX, &body);

	if (r != RES_OK)
		return r;
	password = read_password(l, &body);
	if (!password)
		return RES_OK;
	if (is_checked_elsewhere(l->rule))
		return check_elsewhere(l, password);
	if (is_right_password(l, password, l->state == LOGIN_MD5) && !l->is_mock)
		return admit(l);
	return refuse_password(l, password);
}

/* Where users have SCRAM secrets, strangers have a salt and iterations like theirs: also after a restart, and in each process. */
static void mock_verifier(const struct login *l, struct scram_secret *out)
{
	const struct userlist_model *m = userlist_model(l->snapshot->userlist);

	scram_mock_secret(m->iterations ? m->key : NULL, l->who.user, mock_iterations(l), out);
}

static enum result take_client_first(struct login *l, struct reader first)
{
	uint32_t iterations = (uint32_t)l->snapshot->config->scram_iterations;
	struct scram_secret secret;
	enum result r;
	size_t had;

	if (l->is_mock || !credential_verifier(l->credential, iterations, &secret))
		mock_verifier(l, &secret);
	had = l->out.len;
	begin_authentication(&l->out, AUTH_SASL_CONTINUE);
	r = scram_server_first(&l->scram, first, &secret, l->is_mock, &l->out);
	explicit_bzero(&secret, sizeof(secret));
	if (r != RES_OK) {
		l->out.len = had; /* takes the begun message back */
		if (r == RES_REFUSED)
			return fail(l, "28000", "SCRAM channel binding negotiation error");
		return fail(l, "08P01", "malformed SCRAM message");
	}
	msg_end(&l->out);
	set_state(l, LOGIN_SASL_FINAL);
	return RES_OK;
}

/* A client may name the mechanism first and speak only after an empty challenge. */
static enum result ask_for_client_first(struct login *l)
{
	begin_authentication(&l->out, AUTH_SASL_CONTINUE);
	msg_end(&l->out);
	set_state(l, LOGIN_SASL_FIRST);
	return RES_OK;
}

static enum result sasl_step(struct login *l, struct reader *in)
{
	struct reader body;
	const char *mechanism;
	const uint8_t *first;
	bool is_plus;
	uint32_t len;
	enum result r = next_response(l, in, "SASL", SCRAM_MESSAGE_MAX, &body);

	if (r != RES_OK)
		return r;
	mechanism = read_cstring(&body);
	len = read_u32(&body);
	is_plus = l->tls.binding_len && strcmp(mechanism, SCRAM_MECHANISM_PLUS) == 0;
	if (!body.bad && !is_plus && strcmp(mechanism, SCRAM_MECHANISM) != 0)
		return fail(l, "08P01", "client selected an invalid SASL authentication mechanism");
	scram_bind(&l->scram, l->tls.binding, l->tls.binding_len, is_plus);
	if (!body.bad && len == UINT32_MAX && reader_left(&body) == 0)
		return ask_for_client_first(l);
	first = read_bytes(&body, len);
	if (body.bad || reader_left(&body) > 0)
		return fail(l, "08P01", "invalid message format");
	return take_client_first(l, reader_over(first, len));
}

static enum result sasl_first_step(struct login *l, struct reader *in)
{
	struct reader body;
	enum result r = next_response(l, in, "SASL", SCRAM_MESSAGE_MAX, &body);

	return r == RES_OK ? take_client_first(l, body) : r;
}

static enum result sasl_final_step(struct login *l, struct reader *in)
{
	uint8_t client_key[SCRAM_KEY_SIZE] = { 0 };
	struct reader body;
	enum result r = next_response(l, in, "SASL", SCRAM_MESSAGE_MAX, &body);
	size_t had = l->out.len;

	if (r != RES_OK)
		return r;
	begin_authentication(&l->out, AUTH_SASL_FINAL);
	r = scram_server_final(&l->scram, body, &l->out, client_key);
	if (r != RES_OK || l->is_mock) {
		l->out.len = had;
		if (l->scram.is_misbound)
			return fail(l, "28000", "SCRAM channel binding check failed");
		return r == RES_PROTOCOL || r == RES_LIMIT ? fail(l, "08P01", "malformed SCRAM message")
							   : refuse_password(l, NULL);
	}
	msg_end(&l->out);
	credential_learn_client_key(l->credential, client_key);
	explicit_bzero(client_key, sizeof(client_key));
	return admit(l);
}

/* No step: LOGIN_LOOKUP, and whatever is over. */
static enum result (*const steps[LOGIN_FAILED + 1])(struct login *, struct reader *) = {
	[LOGIN_STARTUP] = startup_step,
	[LOGIN_CLEARTEXT] = password_step,
	[LOGIN_MD5] = password_step,
	[LOGIN_SASL] = sasl_step,
	[LOGIN_SASL_FIRST] = sasl_first_step,
	[LOGIN_SASL_FINAL] = sasl_final_step,
};

size_t login_feed(struct login *l, const uint8_t *bytes, size_t len)
{
	struct reader in = reader_over(bytes, len);

	while (steps[l->state] && steps[l->state](l, &in) != RES_MORE)
		;
	return len - reader_left(&in);
}

/* With what servers are logged in. A forced user's SCRAM secret that is the client's own has just been opened by the client. */
static struct credential *server_credential(const struct login *l, const struct config_database *db)
{
	struct credential *c;

	if (!db || !db->user)
		return share(l->credential);
	c = snapshot_server_credential(l->snapshot, db, db->user);
	if (!c && strcmp(db->user, l->who.user) == 0)
		c = l->credential;
	if (c && l->credential)
		credential_learn_from(c, l->credential);
	return share(c);
}

struct newcomer *login_newcomer(struct login *l, int fd, uint8_t **early, size_t early_len, usec_t since)
{
	const struct config_database *db = l->is_console ? NULL : database_of(l);
	bool is_forced = db && db->user;
	struct newcomer *n = xcalloc(1, sizeof(*n));

	ASSERT(l->state == LOGIN_DONE && l->packet);
	n->id = l->who.id;
	n->fd = fd;
	n->protocol = l->protocol;
	n->replication = l->replication;
	n->peer = l->peer;
	n->database = xstrdup(l->who.database);
	n->user = xstrdup(l->who.user);
	n->server_user = xstrdup(is_forced ? db->user : l->who.user);
	n->settings = l->settings;
	n->credential = server_credential(l, db);
	n->greeting = l->out;
	n->early = *early;
	n->early_len = early_len;
	n->since = since;
	n->is_admin = l->is_console;
	n->may_admin = l->is_console && may_admin(l);
	n->is_counted = l->is_counted;
	l->settings = NULL;
	l->out = (struct writer){ 0 };
	l->is_counted = false;
	*early = NULL;
	return n;
}
