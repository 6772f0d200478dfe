#include "front/login.h"

#include "rig.h"
#include "unit.h"
#include "wire/msg.h"

#include <string.h>

/* The passwords: secret, hashed, pencil (the salt of RFC 7677), a, s. */
#define SCRAM_OF_PENCIL                                                                                      \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"          \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define SCRAM_OF_PENCIL_TOO /* the same salt, another password: only the keys tell */                        \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"          \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
static const char users[] = "\"plain\" \"secret\"\n"
			    "\"md5\" \"md50c452bf90f20934ffca22329dcc51ed8\"\n"
			    "\"scram\" \"" SCRAM_OF_PENCIL "\"\n"
			    "\"twin\" \"" SCRAM_OF_PENCIL "\"\n"
			    "\"stranger\" \"" SCRAM_OF_PENCIL_TOO "\"\n"
			    "\"admin\" \"a\"\n\"stats\" \"s\"\n\"empty\" \"\"\n";

struct rig {
	struct snapshot *snapshot;
	struct login_env env;
	struct login login;
	struct writer in;      /* what the client says next */
	struct lookup *lookup; /* what was asked elsewhere */
	int places, counted;
};

static bool count_client(void *ctx, const struct config *c, const char *database, const char *user, const char **why)
{
	struct rig *r = ctx;

	(void)c;
	ck_assert(database && user);
	if (r->counted == r->places)
		*why = "no more connections allowed (max_client_conn)";
	else
		r->counted++;
	return *why == NULL || strncmp(*why, "no more", 7) != 0;
}

static void uncount_client(void *ctx, const char *database, const char *user)
{
	struct rig *r = ctx;

	ck_assert(database && user);
	r->counted--;
}

static void ask(void *ctx, struct lookup *q)
{
	struct rig *r = ctx;

	ck_assert_ptr_null(r->lookup);
	r->lookup = q;
}

static void rig_login(struct rig *r)
{
	struct address peer;

	ck_assert(address_numeric(&peer, "10.0.0.5", 5123));
	login_init(&r->login, &r->env, r->snapshot, 7, &peer, false);
}

static void rig_start(struct rig *r, const char *settings)
{
	memset(r, 0, sizeof(*r));
	r->places = 10;
	r->snapshot = rig_snapshot(settings, users);
	r->env = (struct login_env){ r, count_client, uncount_client, ask, false };
	rig_login(r);
}

static void rig_start_tls(struct rig *r, const char *settings)
{
	memset(r, 0, sizeof(*r));
	r->places = 10;
	r->snapshot = rig_tls_snapshot(settings, users);
	r->env = (struct login_env){ r, count_client, uncount_client, ask, false };
	rig_login(r);
}

static void rig_end(struct rig *r)
{
	login_free(&r->login);
	lookup_free(&r->lookup);
	ck_assert_int_eq(r->counted, 0);
	writer_free(&r->in);
	snapshot_unref(&r->snapshot);
}

/* What the client says goes in as a whole; what isn't taken stays, as a stream would keep it. */
static void rig_feed(struct rig *r)
{
	size_t used = login_feed(&r->login, r->in.data, r->in.len);

	memmove(r->in.data, r->in.data + used, r->in.len - used);
	r->in.len -= used;
}

/* pairs: name, value, .., NULL */
static void say_startup(struct rig *r, uint32_t version, const char *const *pairs)
{
	msg_begin(&r->in, 0);
	write_u32(&r->in, version);
	for (; *pairs; pairs++)
		write_cstring(&r->in, *pairs);
	write_u8(&r->in, 0);
	msg_end(&r->in);
}
#define STARTUP(r, ...) say_startup((r), PROTOCOL_3_0, (const char *const[]){ __VA_ARGS__, NULL })

static void say_text(struct rig *r, uint8_t type, const char *text)
{
	msg_begin(&r->in, type);
	write_cstring(&r->in, text);
	msg_end(&r->in);
}

static void say_code(struct rig *r, uint32_t code)
{
	msg_begin(&r->in, 0);
	write_u32(&r->in, code);
	msg_end(&r->in);
}

/* The next message that the client was sent; false: none. Starts over at *at == 0. */
static bool next_sent(const struct rig *r, size_t *at, uint8_t *type, struct reader *body)
{
	struct reader in = reader_over(r->login.out.data + *at, r->login.out.len - *at);
	struct frame f;

	if (frame_peek(&in, &f) != RES_OK)
		return false;
	ck_assert_uint_le(f.length, reader_left(&in));
	*type = f.type;
	*body = reader_over(in.pos + FRAME_HEADER_SIZE, f.length - FRAME_HEADER_SIZE);
	*at += f.length;
	return true;
}

/* Types of all messages sent; an Authentication message is followed by the digit of its request (SASL's: x, y, z). */
static const char *sent(const struct rig *r)
{
	static char types[64];
	size_t at = 0, n = 0;
	struct reader body;
	uint8_t type;

	while (n < sizeof(types) - 2 && next_sent(r, &at, &type, &body)) {
		types[n++] = (char)type;
		if (type == MSG_AUTHENTICATION)
			types[n++] = "0..3.5....xyz"[read_u32(&body)];
	}
	types[n] = '\0';
	return types;
}

static struct error_info last_error(const struct rig *r)
{
	struct error_info e = { .sqlstate = "", .message = "", .severity = "" };
	size_t at = 0;
	struct reader body;
	uint8_t type;

	while (next_sent(r, &at, &type, &body)) {
		if (type == MSG_ERROR_RESPONSE)
			error_parse(body, &e);
	}
	return e;
}

static void assert_fatal(const struct rig *r, const char *sqlstate, const char *message, const char *what)
{
	struct error_info e = last_error(r);

	ck_assert_msg(r->login.state == LOGIN_FAILED, "%s: state %d", what, r->login.state);
	ck_assert_msg(strcmp(e.sqlstate, sqlstate) == 0, "%s: SQLSTATE %s: %s", what, e.sqlstate, e.message);
	ck_assert_msg(strcmp(e.message, message) == 0, "%s: %s", what, e.message);
	ck_assert_str_eq(e.severity, "FATAL");
}

/* First packets */

static const struct {
	const char *name, *bytes;
	size_t len;
	enum login_state want;
	bool is_silent;
} first_packets[] = {
	{ "nothing", "", 0, LOGIN_STARTUP, true },
	{ "half a length", "\0\0", 2, LOGIN_STARTUP, true },
	{ "length 0", "\0\0\0\0", 4, LOGIN_FAILED, true },
	{ "length 4", "\0\0\0\4", 4, LOGIN_FAILED, true },
	{ "length 7", "\0\0\0\7\0\3\0", 7, LOGIN_FAILED, true },
	{ "length 10005", "\0\0\x27\x15\0\3\0\0", 8, LOGIN_FAILED, true },
	{ "length 2^30", "\x40\0\0\0\0\3\0\0", 8, LOGIN_FAILED, true },
	{ "negative length", "\xff\xff\xff\xff\0\3\0\0", 8, LOGIN_FAILED, true },
	{ "HTTP", "GET / HTTP/1.1\r\n\r\n", 18, LOGIN_FAILED, true },
	{ "TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11, LOGIN_FAILED, true },
	{ "version 2.0", "\0\0\0\x8\0\2\0\0", 8, LOGIN_FAILED, false },
	{ "version 4.0", "\0\0\0\x8\0\4\0\0", 8, LOGIN_FAILED, false },
	{ "no user", "\0\0\0\x9\0\3\0\0\0", 9, LOGIN_FAILED, false },
	{ "no terminator", "\0\0\0\x10\0\3\0\0user\0bob", 16, LOGIN_FAILED, false },
	{ "cancel", "\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\1\0\0\0\2", 16, LOGIN_CANCEL, true },
	{ "cancel of the wrong length", "\0\0\0\x11\x04\xd2\x16\x2e\0\0\0\1\0\0\0\2", 17, LOGIN_FAILED, true },
};

START_TEST(first_packets_are_judged)
{
	struct rig r;

	rig_start(&r, "auth_type = trust");
	write_bytes(&r.in, first_packets[_i].bytes, first_packets[_i].len);
	rig_feed(&r);
	ck_assert_msg(r.login.state == first_packets[_i].want, "%s: %d", first_packets[_i].name, r.login.state);
	ck_assert_msg((r.login.out.len == 0) == first_packets[_i].is_silent, "%s: %s", first_packets[_i].name,
		last_error(&r).message);
	rig_end(&r);
}
END_TEST

START_TEST(a_cancel_carries_its_key)
{
	struct rig r;

	rig_start(&r, "auth_type = md5");
	write_bytes(&r.in, "\0\0\0\x10\x04\xd2\x16\x2e\1\2\3\4\5\6\7\x8X", 17);
	rig_feed(&r);
	ck_assert_int_eq(r.login.state, LOGIN_CANCEL);
	ck_assert_uint_eq(r.login.cancel.pid, 0x01020304);
	ck_assert(r.login.cancel.len == 4 && !memcmp(r.login.cancel.secret, "\5\6\7\x8", 4));
	rig_end(&r);
}
END_TEST

START_TEST(each_encryption_is_refused_once_and_login_goes_on)
{
	struct rig r;

	rig_start(&r, "auth_type = trust");
	say_code(&r, GSSENC_REQUEST_CODE);
	say_code(&r, SSL_REQUEST_CODE);
	rig_feed(&r);
	ck_assert_uint_eq(r.login.out.len, 2);
	ck_assert_mem_eq(r.login.out.data, "NN", 2);
	r.login.out.len = 0;
	STARTUP(&r, "user", "plain", "database", "app");
	rig_feed(&r);
	ck_assert_int_eq(r.login.state, LOGIN_DONE);
	rig_end(&r);
}
END_TEST

static const struct {
	uint32_t code;
	const char *message;
} encryptions[] = {
	{ SSL_REQUEST_CODE, "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2" },
	{ GSSENC_REQUEST_CODE, "unsupported frontend protocol 1234.5680: server supports 3.0 to 3.2" },
};

START_TEST(encryption_asked_for_twice_is_an_unknown_version)
{
	struct rig r;

	rig_start(&r, "auth_type = trust");
	say_code(&r, encryptions[_i].code);
	rig_feed(&r);
	r.login.out.len = 0;
	say_code(&r, encryptions[_i].code);
	rig_feed(&r);
	assert_fatal(&r, "0A000", encryptions[_i].message, "second request");
	rig_end(&r);
}
END_TEST

/* ---- TLS ---- */

#define SSL_REQUEST "\0\0\0\x08\x04\xd2\x16\x2f"
#define GSSENC_REQUEST "\0\0\0\x08\x04\xd2\x16\x30"
#define HELLO "\x16\x03\x01\x02\x00"
static const struct {
	const char *name, *mode, *bytes;
	size_t len;
	const char *out; /* NULL: a FATAL */
	enum login_state want;
	size_t left; /* bytes that are the handshake's */
} openings[] = {
	{ "a request", "prefer", SSL_REQUEST, 8, "S", LOGIN_TLS, 0 },
	{ "half of one", "prefer", SSL_REQUEST, 7, "", LOGIN_STARTUP, 7 },
	{ "GSSAPI first", "prefer", GSSENC_REQUEST SSL_REQUEST, 16, "NS", LOGIN_TLS, 0 },
	{ "something behind it", "prefer", SSL_REQUEST "x", 9, NULL, LOGIN_FAILED, 0 },
	{ "two of them", "prefer", SSL_REQUEST SSL_REQUEST, 16, NULL, LOGIN_FAILED, 0 },
	{ "no request", "prefer", HELLO, 5, "", LOGIN_TLS, 5 },
	{ "its first byte", "prefer", HELLO, 1, "", LOGIN_TLS, 1 },
	{ "no request, after a question", "prefer", GSSENC_REQUEST HELLO, 13, "N", LOGIN_FAILED, 0 },
	{ "a request where there is none", "disable", SSL_REQUEST, 8, "N", LOGIN_STARTUP, 0 },
	{ "a handshake where there is none", "disable", HELLO, 5, "", LOGIN_FAILED, 0 },
};

START_TEST(tls_begins_with_a_request_or_at_once)
{
	char setting[64];
	struct rig r;
	size_t used;

	snprintf(setting, sizeof(setting), "client_tls_sslmode = %s", openings[_i].mode);
	rig_start_tls(&r, setting);
	used = login_feed(&r.login, (const uint8_t *)openings[_i].bytes, openings[_i].len);
	ck_assert_msg(r.login.state == openings[_i].want, "%s: %d", openings[_i].name, r.login.state);
	if (openings[_i].out)
		ck_assert_msg(r.login.out.len == strlen(openings[_i].out) &&
				!memcmp(r.login.out.data ? r.login.out.data : (const uint8_t *)"",
					openings[_i].out, r.login.out.len),
			"%s", openings[_i].name);
	else
		ck_assert_msg(r.login.out.len > 5 &&
				memmem(r.login.out.data, r.login.out.len, "unencrypted data", 16),
			"%s", openings[_i].name);
	if (openings[_i].want != LOGIN_FAILED)
		ck_assert_uint_eq(openings[_i].len - used, openings[_i].left);
	rig_end(&r);
}
END_TEST

static const struct {
	const char *name, *mode;
	bool is_direct;
	struct tls_facts facts;
	const char *sqlstate; /* NULL: goes on */
} handshakes[] = {
	{ "asked for, without ALPN", "require", false, { .is_on = true }, NULL },
	{ "direct, with ALPN", "require", true, { .is_on = true, .has_alpn = true }, NULL },
	{ "direct, without ALPN", "require", true, { .is_on = true }, "08P01" },
	{ "no certificate", "verify-ca", false, { .is_on = true }, "28000" },
	{ "a certificate", "verify-full", false, { .is_on = true, .is_verified = true }, NULL },
};

START_TEST(a_handshakes_end_is_judged)
{
	struct tls_facts facts = handshakes[_i].facts;
	char setting[64];
	struct rig r;

	facts.peer_cn = xstrdup("bob");
	snprintf(setting, sizeof(setting), "client_tls_sslmode = %s", handshakes[_i].mode);
	rig_start_tls(&r, setting);
	if (handshakes[_i].is_direct)
		login_feed(&r.login, (const uint8_t *)HELLO, 5);
	else
		login_feed(&r.login, (const uint8_t *)SSL_REQUEST, 8);
	r.login.out.len = 0;
	login_secured(&r.login, &facts);
	ck_assert_ptr_null(facts.peer_cn); /* moved */
	ck_assert_str_eq(r.login.tls.peer_cn, "bob");
	ck_assert_int_eq(r.login.state, handshakes[_i].sqlstate ? LOGIN_FAILED : LOGIN_STARTUP);
	if (handshakes[_i].sqlstate)
		ck_assert_str_eq(last_error(&r).sqlstate, handshakes[_i].sqlstate);
	rig_end(&r);
}
END_TEST

START_TEST(tls_is_had_once)
{
	static const char *const requests[] = { SSL_REQUEST, GSSENC_REQUEST, HELLO "\0\0\0" };
	struct tls_facts facts = { .is_on = true, .has_alpn = true };
	struct rig r;

	rig_start_tls(&r, "client_tls_sslmode = prefer");
	login_feed(&r.login, (const uint8_t *)SSL_REQUEST, 8);
	r.login.out.len = 0;
	login_secured(&r.login, &facts);
	login_feed(&r.login, (const uint8_t *)requests[_i], 8);
	ck_assert_int_eq(r.login.state, LOGIN_FAILED);
	rig_end(&r);
}
END_TEST

static const struct {
	const char *mode;
	bool is_tls, is_unix, is_refused;
} plains[] = {
	{ "prefer", false, false, false },
	{ "require", true, false, false },
	{ "require", false, false, true },
	{ "verify-full", false, false, true },
	{ "require", false, true, false },
};

START_TEST(a_startup_message_in_plain_text_may_be_too_little)
{
	struct tls_facts facts = { .is_on = true, .is_verified = true };
	char setting[64];
	struct rig r;

	snprintf(setting, sizeof(setting), "auth_type = plain\nclient_tls_sslmode = %s", plains[_i].mode);
	rig_start_tls(&r, setting);
	if (plains[_i].is_unix) {
		r.login.peer.sa.sa_family = AF_UNIX;
		login_feed(&r.login, (const uint8_t *)SSL_REQUEST, 8);
		ck_assert(r.login.out.len == 1 && *r.login.out.data == 'N');
		r.login.out.len = 0;
	}
	if (plains[_i].is_tls) {
		login_feed(&r.login, (const uint8_t *)SSL_REQUEST, 8);
		r.login.out.len = 0;
		login_secured(&r.login, &facts);
	}
	say_startup(&r, PROTOCOL_3_0, (const char *const[]){ "user", "plain", "database", "app", NULL });
	rig_feed(&r);
	ck_assert_int_eq(r.login.state, plains[_i].is_refused ? LOGIN_FAILED : LOGIN_CLEARTEXT);
	if (plains[_i].is_refused)
		ck_assert_str_eq(last_error(&r).message, "SSL required");
	rig_end(&r);
}
END_TEST

static const struct {
	const char *name, *option;
	uint32_t version;
	const char *want;
	uint32_t agreed;
} versions[] = {
	{ "3.0", NULL, PROTOCOL_3_0, "R3", PROTOCOL_3_0 },
	{ "3.1", NULL, PROTOCOL_3_0 + 1, "R3", PROTOCOL_3_0 + 1 },
	{ "3.2", NULL, PROTOCOL_3_2, "R3", PROTOCOL_3_2 },
	{ "3.3", NULL, PROTOCOL_3_2 + 1, "vR3", PROTOCOL_3_2 },
	{ "3.0 with a protocol option", "_pq_.x", PROTOCOL_3_0, "vR3", PROTOCOL_3_0 },
	{ "3.9999 with a protocol option", "_pq_.x", PROTOCOL_3_0 + 9999, "vR3", PROTOCOL_3_2 },
};

START_TEST(newer_versions_are_negotiated_once)
{
	struct rig r;
	struct reader body;
	size_t at = 0;
	uint8_t type;

	rig_start(&r, "auth_type = plain");
	say_startup(&r, versions[_i].version,
		(const char *const[]){ "user", "plain", "database", "app", versions[_i].option, "1", NULL });
	rig_feed(&r);
	ck_assert_str_eq(sent(&r), versions[_i].want);
	ck_assert_uint_eq(r.login.protocol, versions[_i].agreed);
	if (versions[_i].want[0] == 'v') {
		next_sent(&r, &at, &type, &body);
		ck_assert_uint_eq(read_u32(&body), versions[_i].agreed);
		ck_assert_uint_eq(read_u32(&body), versions[_i].option ? 1 : 0);
		if (versions[_i].option)
			ck_assert_str_eq(read_cstring(&body), versions[_i].option);
		ck_assert_uint_eq(reader_left(&body), 0);
	}
	rig_end(&r);
}
END_TEST

static const struct {
	const char *value, *sqlstate;
	enum replication replication;
} replications[] = {
	{ "true", "", REPLICATION_PHYSICAL },
	{ "on", "", REPLICATION_PHYSICAL },
	{ "YES", "", REPLICATION_PHYSICAL },
	{ "1", "", REPLICATION_PHYSICAL },
	{ "database", "", REPLICATION_LOGICAL },
	{ "DATABASE", "22023", REPLICATION_NONE },
	{ "maybe", "22023", REPLICATION_NONE },
	{ "false", "", REPLICATION_NONE },
	{ "off", "", REPLICATION_NONE },
	{ "no", "", REPLICATION_NONE },
	{ "0", "", REPLICATION_NONE },
};

START_TEST(replication_is_asked_for_in_postgresqls_words)
{
	struct rig r;

	rig_start(&r, "auth_type = trust");
	STARTUP(&r, "user", "plain", "database", "app", "replication", replications[_i].value);
	rig_feed(&r);
	ck_assert_str_eq(last_error(&r).sqlstate, replications[_i].sqlstate);
	ck_assert_int_eq(r.login.state, *replications[_i].sqlstate ? LOGIN_FAILED : LOGIN_DONE);
	ck_assert_int_eq(r.login.replication, replications[_i].replication);
	rig_end(&r);
}
END_TEST

/* Who gets in */

/* A client that knows its password and does what it is asked to. */
static void scram_first(struct rig *r, struct scram *s, const char *mechanism)
{
	struct writer first = { 0 };

	scram_client_first(s, &first);
	msg_begin(&r->in, MSG_PASSWORD);
	write_cstring(&r->in, mechanism);
	write_u32(&r->in, (uint32_t)first.len);
	write_bytes(&r->in, first.data, first.len);
	msg_end(&r->in);
	writer_free(&first);
}

/* Reads the request in out, which it must be. */
static struct reader asked(struct rig *r, enum auth_request want)
{
	struct reader body = { 0 };
	size_t at = 0;
	uint8_t type = 0;

	while (next_sent(r, &at, &type, &body) && type != MSG_AUTHENTICATION)
		;
	ck_assert_int_eq(type, MSG_AUTHENTICATION);
	ck_assert_uint_eq(read_u32(&body), want);
	return body;
}

static void scram_final(struct rig *r, struct scram *s, const char *password)
{
	struct scram_keys keys;
	struct writer proof = { 0 };

	ck_assert_int_eq(scram_client_challenge(s, asked(r, AUTH_SASL_CONTINUE)), RES_OK);
	scram_derive(password, s->secret.salt, s->secret.salt_len, s->secret.iterations, &keys);
	ck_assert_int_eq(scram_client_final(s, &keys, &proof), RES_OK);
	msg_begin(&r->in, MSG_PASSWORD);
	write_bytes(&r->in, proof.data, proof.len);
	msg_end(&r->in);
	writer_free(&proof);
	r->login.out.len = 0;
}

static void answer_scram(struct rig *r, const char *password)
{
	struct scram s = { 0 };

	r->login.out.len = 0;
	scram_first(r, &s, "SCRAM-SHA-256");
	rig_feed(r);
	scram_final(r, &s, password);
	rig_feed(r);
	if (r->login.state == LOGIN_DONE)
		ck_assert_int_eq(scram_client_verify(&s, asked(r, AUTH_SASL_FINAL)), RES_OK);
	scram_wipe(&s);
}

static void answer_md5(struct rig *r, const char *user, const char *password)
{
	struct reader body = asked(r, AUTH_MD5_PASSWORD);
	struct credential *mine = credential_new(user, password);
	char response[36];

	ck_assert(credential_md5_response(mine, read_bytes(&body, 4), response));
	credential_unref(&mine);
	r->login.out.len = 0;
	say_text(r, MSG_PASSWORD, response);
	rig_feed(r);
}

static void answer(struct rig *r, const char *user, const char *password)
{
	enum login_state state = r->login.state;

	switch (state) {
	case LOGIN_CLEARTEXT:
		r->login.out.len = 0;
		say_text(r, MSG_PASSWORD, password);
		rig_feed(r);
		break;
	case LOGIN_MD5: answer_md5(r, user, password); break;
	case LOGIN_SASL: answer_scram(r, password); break;
	case LOGIN_STARTUP:
	case LOGIN_LOOKUP:
	case LOGIN_TLS:
	case LOGIN_SASL_FIRST:
	case LOGIN_SASL_FINAL: ck_abort_msg("nothing was asked");
	case LOGIN_DONE:
	case LOGIN_CANCEL:
	case LOGIN_FAILED: break;
	}
}

static const struct {
	const char *auth_type, *database, *user, *password;
	enum login_state asked;
	const char *sqlstate; /* "": gets in */
} logins[] = {
	{ "plain", "app", "plain", "secret", LOGIN_CLEARTEXT, "" },
	{ "plain", "app", "plain", "wrong", LOGIN_CLEARTEXT, "28P01" },
	{ "plain", "app", "plain", "", LOGIN_CLEARTEXT, "28P01" },
	{ "plain", "app", "md5", "hashed", LOGIN_CLEARTEXT, "" },
	{ "plain", "app", "scram", "pencil", LOGIN_CLEARTEXT, "" },
	{ "plain", "app", "nobody", "secret", LOGIN_CLEARTEXT, "28P01" },
	{ "plain", "app", "empty", "", LOGIN_CLEARTEXT, "28P01" },
	{ "plain", "nowhere", "plain", "secret", LOGIN_CLEARTEXT, "3D000" },
	{ "plain", "nowhere", "plain", "wrong", LOGIN_CLEARTEXT, "28P01" },
	{ "md5", "app", "plain", "secret", LOGIN_MD5, "" },
	{ "md5", "app", "plain", "wrong", LOGIN_MD5, "28P01" },
	{ "md5", "app", "md5", "hashed", LOGIN_MD5, "" },
	{ "md5", "app", "md5", "wrong", LOGIN_MD5, "28P01" },
	{ "md5", "app", "scram", "pencil", LOGIN_SASL, "" },
	{ "md5", "app", "scram", "wrong", LOGIN_SASL, "28P01" },
	{ "md5", "app", "nobody", "secret", LOGIN_MD5, "28P01" },
	{ "md5", "nowhere", "plain", "secret", LOGIN_MD5, "3D000" },
	{ "md5", "nowhere", "nobody", "secret", LOGIN_MD5, "28P01" },
	{ "scram-sha-256", "app", "plain", "secret", LOGIN_SASL, "" },
	{ "scram-sha-256", "app", "plain", "wrong", LOGIN_SASL, "28P01" },
	{ "scram-sha-256", "app", "scram", "pencil", LOGIN_SASL, "" },
	{ "scram-sha-256", "app", "scram", "wrong", LOGIN_SASL, "28P01" },
	{ "scram-sha-256", "app", "md5", "hashed", LOGIN_SASL, "28P01" },
	{ "scram-sha-256", "app", "nobody", "secret", LOGIN_SASL, "28P01" },
	{ "scram-sha-256", "app", "empty", "secret", LOGIN_SASL, "28P01" },
	{ "scram-sha-256", "nowhere", "scram", "pencil", LOGIN_SASL, "3D000" },
	{ "scram-sha-256", "nowhere", "scram", "wrong", LOGIN_SASL, "28P01" },
	{ "trust", "app", "plain", "", LOGIN_DONE, "" },
	{ "trust", "app", "nobody", "", LOGIN_FAILED, "28000" },
	{ "trust", "forced", "nobody", "", LOGIN_FAILED, "28000" },
	{ "trust", "nowhere", "plain", "", LOGIN_FAILED, "3D000" },
	{ "any", "forced", "nobody", "", LOGIN_DONE, "" },
	{ "any", "app", "plain", "", LOGIN_FAILED, "F0000" },
	{ "any", "nowhere", "plain", "", LOGIN_FAILED, "3D000" },
	{ "plain", "pgbouncer", "admin", "a", LOGIN_CLEARTEXT, "" },
	{ "plain", "pgweir", "stats", "s", LOGIN_CLEARTEXT, "" },
	{ "plain", "pgweir", "admin", "wrong", LOGIN_CLEARTEXT, "28P01" },
	{ "plain", "pgweir", "plain", "secret", LOGIN_CLEARTEXT, "42501" },
	{ "plain", "pgweir", "plain", "wrong", LOGIN_CLEARTEXT, "28P01" },
	{ "plain", "pgweir", "pgbouncer", "", LOGIN_CLEARTEXT, "28P01" },
	{ "trust", "pgweir", "plain", "", LOGIN_FAILED, "42501" },
	{ "any", "pgweir", "nobody", "", LOGIN_DONE, "" },
};

static void start_and_answer(struct rig *r, int i)
{
	char setting[64];

	snprintf(setting, sizeof(setting), "auth_type = %s", logins[i].auth_type);
	rig_start(r, setting);
	STARTUP(r, "user", logins[i].user, "database", logins[i].database);
	rig_feed(r);
	ck_assert_msg(r->login.state == logins[i].asked, "%d: asked %d", i, r->login.state);
	answer(r, logins[i].user, logins[i].password);
}

START_TEST(only_the_right_password_gets_in)
{
	struct rig r;
	char message[128];

	start_and_answer(&r, _i);
	ck_assert_msg(strcmp(last_error(&r).sqlstate, logins[_i].sqlstate) == 0, "%d: %s", _i,
		last_error(&r).message);
	ck_assert_msg(r.login.state == (*logins[_i].sqlstate ? LOGIN_FAILED : LOGIN_DONE), "%d: %d", _i,
		r.login.state);
	snprintf(message, sizeof(message), "password authentication failed for user \"%s\"", logins[_i].user);
	if (strcmp(logins[_i].sqlstate, "28P01") == 0)
		ck_assert_str_eq(last_error(&r).message, message);
	rig_end(&r);
}
END_TEST

START_TEST(a_login_cut_into_single_bytes_is_the_same)
{
	struct rig r;
	struct writer all;

	rig_start(&r, "auth_type = plain");
	STARTUP(&r, "user", "plain", "database", "app");
	say_text(&r, MSG_PASSWORD, "secret");
	all = r.in;
	r.in = (struct writer){ 0 };
	for (size_t i = 0; i < all.len; i++) {
		ck_assert_int_ne(r.login.state, LOGIN_DONE);
		write_bytes(&r.in, all.data + i, 1);
		rig_feed(&r);
	}
	ck_assert_int_eq(r.login.state, LOGIN_DONE);
	ck_assert_str_eq(sent(&r), "R3R0");
	writer_free(&all);
	rig_end(&r);
}
END_TEST

START_TEST(bytes_behind_the_login_stay)
{
	struct rig r;

	rig_start(&r, "auth_type = plain");
	STARTUP(&r, "user", "plain", "database", "app");
	say_text(&r, MSG_PASSWORD, "secret");
	say_text(&r, MSG_QUERY, "select 1");
	rig_feed(&r);
	ck_assert_int_eq(r.login.state, LOGIN_DONE);
	ck_assert_uint_eq(r.in.len, 5 + 9);
	ck_assert_int_eq(r.in.data[0], MSG_QUERY);
	rig_end(&r);
}
END_TEST

START_TEST(the_right_password_without_a_place_is_refused)
{
	struct rig r;

	rig_start(&r, "auth_type = trust");
	r.places = 0;
	STARTUP(&r, "user", "plain", "database", "app");
	rig_feed(&r);
	assert_fatal(&r, "53300", "no more connections allowed (max_client_conn)", "full");
	ck_assert_str_eq(sent(&r), "R0E");
	rig_end(&r);
}
END_TEST

START_TEST(consoles_and_failures_take_no_place)
{
	struct rig r;

	start_and_answer(&r, _i);
	ck_assert_int_eq(r.counted, r.login.state == LOGIN_DONE && !r.login.is_console);
	rig_end(&r); /* asserts that it is given back */
}
END_TEST

START_TEST(shutting_down_lets_only_consoles_in)
{
	struct rig r;

	rig_start(&r, "auth_type = any");
	r.env.is_console_only = true;
	STARTUP(&r, "user", "x", "database", "forced");
	rig_feed(&r);
	assert_fatal(&r, "57P03", "the database system is shutting down", "a client");
	login_free(&r.login);
	rig_login(&r);
	STARTUP(&r, "user", "x", "database", "pgweir");
	rig_feed(&r);
	ck_assert_int_eq(r.login.state, LOGIN_DONE);
	rig_end(&r);
}
END_TEST

static const struct {
	const char *user;
	enum auth_type auth;
	bool is_own_uid;
	enum login_state want;
} operators[] = {
	{ "pgbouncer", AUTH_TYPE_MD5, true, LOGIN_DONE },
	{ "pgweir", AUTH_TYPE_MD5, true, LOGIN_DONE },
	{ "pgweir", AUTH_TYPE_MD5, false, LOGIN_MD5 },
	{ "admin", AUTH_TYPE_MD5, true, LOGIN_MD5 },
};

START_TEST(only_our_own_user_is_an_operator_without_a_password)
{
	struct rig r;

	rig_start(&r, "auth_type = md5");
	r.login.is_own_uid = operators[_i].is_own_uid;
	STARTUP(&r, "user", operators[_i].user, "database", "pgbouncer");
	rig_feed(&r);
	ck_assert_int_eq(r.login.state, operators[_i].want);
	rig_end(&r);
}
END_TEST

/* Newcomers */

static const struct {
	const char *auth_type, *database, *user, *password;
	const char *server_user;
	const char *secret; /* plain text of the credential; NULL: none of that kind */
	bool is_admin, may_admin;
} newcomers[] = {
	{ "plain", "app", "plain", "secret", "plain", "secret", false, false },
	{ "plain", "forced", "plain", "secret", "owner", "owners", false, false },
	{ "plain", "listed", "admin", "a", "plain", "secret", false, false },
	{ "any", "forced", "nobody", "", "owner", "owners", false, false },
	{ "trust", "app", "plain", "", "plain", "secret", false, false },
	{ "plain", "pgbouncer", "admin", "a", "admin", "a", true, true },
	{ "plain", "pgweir", "stats", "s", "stats", "s", true, false },
};

START_TEST(a_newcomer_has_what_servers_need)
{
	char setting[64];
	struct newcomer *n;
	struct rig r;
	uint8_t *early = xmalloc(3);

	snprintf(setting, sizeof(setting), "auth_type = %s", newcomers[_i].auth_type);
	rig_start(&r, setting);
	STARTUP(&r, "user", newcomers[_i].user, "database", newcomers[_i].database, "TimeZone", "UTC");
	rig_feed(&r);
	answer(&r, newcomers[_i].user, newcomers[_i].password);
	ck_assert_int_eq(r.login.state, LOGIN_DONE);
	n = login_newcomer(&r.login, -1, &early, 3, 42);
	ck_assert_ptr_null(early);
	ck_assert_uint_eq(n->early_len, 3);
	ck_assert_uint_eq(n->since, 42);
	ck_assert_uint_eq(n->id, 7);
	ck_assert_str_eq(n->user, newcomers[_i].user);
	ck_assert_str_eq(n->database, newcomers[_i].database);
	ck_assert_str_eq(n->server_user, newcomers[_i].server_user);
	ck_assert_str_eq(settings_get(n->settings, "timezone"), "UTC");
	ck_assert_str_eq(credential_plain(n->credential), newcomers[_i].secret);
	ck_assert_int_eq(n->is_admin, newcomers[_i].is_admin);
	ck_assert_int_eq(n->may_admin, newcomers[_i].may_admin);
	ck_assert_int_eq(n->is_counted, !n->is_admin);
	ck_assert_mem_eq(n->greeting.data + n->greeting.len - 9, "R\0\0\0\x8\0\0\0\0", 9);
	login_free(&r.login); /* the newcomer keeps its place */
	ck_assert_int_eq(r.counted, n->is_counted);
	r.counted = 0;
	newcomer_free(&n);
	rig_end(&r);
}
END_TEST

static const struct {
	const char *auth_type, *database, *server_user;
	bool is_taught;
} lessons[] = {
	{ "scram-sha-256", "app", "scram", true },
	{ "scram-sha-256", "twins", "twin", true },
	{ "scram-sha-256", "strangers", "stranger", false },
	{ "plain", "app", "scram", true },
	{ "plain", "twins", "twin", true },
	{ "plain", "strangers", "stranger", false },
	{ "trust", "app", "scram", false },
	{ "trust", "twins", "twin", false },
};

START_TEST(a_login_teaches_the_servers_keys)
{
	char setting[64];
	struct scram_secret secret;
	struct scram_keys keys;
	struct newcomer *n;
	uint8_t *early = NULL;
	struct rig r;

	snprintf(setting, sizeof(setting), "auth_type = %s", lessons[_i].auth_type);
	rig_start(&r, setting);
	STARTUP(&r, "user", "scram", "database", lessons[_i].database);
	rig_feed(&r);
	answer(&r, "scram", "pencil");
	n = login_newcomer(&r.login, -1, &early, 0, 0);
	ck_assert_str_eq(n->server_user, lessons[_i].server_user);
	ck_assert_str_eq(credential_user(n->credential), lessons[_i].server_user);
	ck_assert(credential_verifier(n->credential, 4096, &secret));
	ck_assert_msg(credential_find_server_keys(n->credential, secret.salt, secret.salt_len,
			      secret.iterations, &keys) == lessons[_i].is_taught,
		"%d", _i);
	r.counted = 0;
	newcomer_free(&n);
	rig_end(&r);
}
END_TEST

/* What goes wrong in the exchange */

static const struct {
	const char *auth_type;
	enum login_state want;
} exchanges[] = {
	{ "plain", LOGIN_CLEARTEXT },
	{ "md5", LOGIN_MD5 },
	{ "scram-sha-256", LOGIN_SASL },
};

static void start_exchange(struct rig *r, int i)
{
	char setting[64];

	snprintf(setting, sizeof(setting), "auth_type = %s", exchanges[i].auth_type);
	rig_start(r, setting);
	STARTUP(r, "user", "plain", "database", "app");
	rig_feed(r);
	ck_assert_int_eq(r->login.state, exchanges[i].want);
	r->login.out.len = 0;
}

START_TEST(other_messages_end_the_exchange)
{
	struct rig r;

	for (int type = 1; type < 256; type++) {
		if (type == MSG_PASSWORD)
			continue;
		start_exchange(&r, _i);
		say_text(&r, (uint8_t)type, "secret");
		rig_feed(&r);
		ck_assert_int_eq(r.login.state, LOGIN_FAILED);
		ck_assert_str_eq(last_error(&r).sqlstate, type == MSG_TERMINATE ? "" : "08P01");
		rig_end(&r);
	}
}
END_TEST

static const struct {
	const char *name, *bytes;
	size_t len;
} bad_answers[] = {
	{ "too long for its header's word", "p\x7f\xff\xff\xff", 5 },
	{ "just too long", "p\0\1\0\6", 5 },
	{ "negative", "p\xff\xff\xff\xff", 5 },
	{ "shorter than itself", "p\0\0\0\3", 5 },
	{ "empty", "p\0\0\0\4", 5 },
	{ "without its NUL", "p\0\0\0\6ab", 7 },
	{ "more behind the NUL",
		"p\0\0\0\x8"
		"a\0b\0",
		9 },
	{ "mechanism without a length", "p\0\0\0\x12SCRAM-SHA-256\0", 19 },
	{ "length beyond the message", "p\0\0\0\x16SCRAM-SHA-256\0\0\0\0\1", 23 },
	{ "length negative", "p\0\0\0\x17SCRAM-SHA-256\0\x80\0\0\0n", 24 },
	{ "not SCRAM", "p\0\0\0\x17SCRAM-SHA-256\0\0\0\0\1n", 24 },
};

START_TEST(malformed_answers_are_refused_by_what_came)
{
	struct rig r;

	for (size_t i = 0; i < N_ELEMENTS(exchanges); i++) {
		start_exchange(&r, (int)i);
		write_bytes(&r.in, bad_answers[_i].bytes, bad_answers[_i].len);
		rig_feed(&r);
		ck_assert_msg(r.login.state == LOGIN_FAILED, "%s, %s: %d", bad_answers[_i].name,
			exchanges[i].auth_type, r.login.state);
		ck_assert_str_eq(last_error(&r).severity, "FATAL");
		rig_end(&r);
	}
}
END_TEST

static const size_t password_lengths[] = { 63, 1023, 1024, 4096, 8000, 65535, 65536 };

START_TEST(long_passwords_get_an_answer)
{
	char *password = xcalloc(1, password_lengths[_i] + 1);
	struct rig r;

	memset(password, 'x', password_lengths[_i]);
	start_exchange(&r, 0);
	say_text(&r, MSG_PASSWORD, password);
	rig_feed(&r);
	assert_fatal(&r, "28P01", "password authentication failed for user \"plain\"", "long password");
	free(password);
	rig_end(&r);
}
END_TEST

START_TEST(long_names_are_cut_in_errors)
{
	char *name = xcalloc(1, 9001);
	struct rig r;

	memset(name, 'u', 9000);
	rig_start(&r, "auth_type = trust");
	STARTUP(&r, "user", name);
	rig_feed(&r);
	ck_assert_str_eq(last_error(&r).sqlstate, "28000");
	ck_assert_uint_lt(strlen(last_error(&r).message), 128);
	free(name);
	rig_end(&r);
}
END_TEST

START_TEST(an_unknown_mechanism_is_refused)
{
	struct scram s = { 0 };
	struct rig r;

	start_exchange(&r, 2);
	scram_first(&r, &s, "SCRAM-SHA-256-PLUS");
	rig_feed(&r);
	assert_fatal(&r, "08P01", "client selected an invalid SASL authentication mechanism", "PLUS");
	scram_wipe(&s);
	rig_end(&r);
}
END_TEST

START_TEST(sasl_may_begin_with_the_mechanism_alone)
{
	struct scram s = { 0 };
	struct writer first = { 0 };
	struct rig r;

	start_exchange(&r, 2);
	write_bytes(&r.in, "p\0\0\0\x16SCRAM-SHA-256\0\xff\xff\xff\xff", 23);
	rig_feed(&r);
	ck_assert_int_eq(r.login.state, LOGIN_SASL_FIRST);
	ck_assert_str_eq(sent(&r), "Ry");
	r.login.out.len = 0;
	scram_client_first(&s, &first);
	msg_begin(&r.in, MSG_PASSWORD);
	write_bytes(&r.in, first.data, first.len);
	msg_end(&r.in);
	rig_feed(&r);
	ck_assert_int_eq(r.login.state, LOGIN_SASL_FINAL);
	scram_final(&r, &s, "secret");
	rig_feed(&r);
	ck_assert_int_eq(r.login.state, LOGIN_DONE);
	scram_wipe(&s);
	writer_free(&first);
	rig_end(&r);
}
END_TEST

START_TEST(a_login_ends_from_outside_in_any_state)
{
	struct rig r;

	start_exchange(&r, _i);
	login_fail(&r.login, "57014", "canceling authentication due to timeout");
	assert_fatal(&r, "57014", "canceling authentication due to timeout", "timeout");
	say_text(&r, MSG_PASSWORD, "secret");
	rig_feed(&r);
	ck_assert_int_eq(r.login.state, LOGIN_FAILED);
	rig_end(&r);
}
END_TEST

/* Answers from elsewhere */

#define AUTH_USER "auth_user = plain\n"

static const struct {
	const char *settings, *database, *user;
	const char *asks; /* in which database; NULL: nowhere */
} askers[] = {
	{ "auth_type = md5\n", "app", "far", NULL },
	{ "auth_type = md5\n" AUTH_USER, "app", "far", "app" },
	{ "auth_type = md5\n" AUTH_USER, "app", "plain", NULL },
	{ "auth_type = md5\n" AUTH_USER, "app", "empty", NULL },
	{ "auth_type = md5\n" AUTH_USER, "nowhere", "far", NULL },
	{ "auth_type = md5\nauth_dbname = listed\n" AUTH_USER, "nowhere", "far", "listed" },
	{ "auth_type = md5\nauth_dbname = listed\n" AUTH_USER, "app", "far", "listed" },
	{ "auth_type = md5\nauth_dbname = listed\n", "app", "far", NULL },
	{ "auth_type = md5\n" AUTH_USER, "pgbouncer", "far", NULL },
	{ "auth_type = md5\nauth_dbname = listed\n" AUTH_USER, "pgbouncer", "far", "listed" },
	{ "auth_type = any\n" AUTH_USER, "forced", "far", NULL },
	{ "auth_type = trust\n" AUTH_USER, "app", "far", "app" },
	{ "auth_type = scram-sha-256\n", "asking", "far", "asking" },
	{ "auth_type = scram-sha-256\n" AUTH_USER, "elsewhere", "far", "app" },
	{ "auth_type = scram-sha-256\n" AUTH_USER, "silent", "far", NULL },
};

START_TEST(only_unknown_users_are_asked_for)
{
	struct rig r;

	rig_start(&r, askers[_i].settings);
	STARTUP(&r, "user", askers[_i].user, "database", askers[_i].database);
	rig_feed(&r);
	ck_assert_msg((r.login.state == LOGIN_LOOKUP) == (askers[_i].asks != NULL), "%d: state %d", _i,
		r.login.state);
	ck_assert_msg(str_equal(r.lookup ? r.lookup->asked_in : NULL, askers[_i].asks), "%d", _i);
	if (r.lookup) {
		ck_assert_int_eq(r.lookup->kind, LOOKUP_SECRET);
		ck_assert_str_eq(r.lookup->user, "far");
		ck_assert_uint_eq(r.lookup->login, 7);
		ck_assert_str_eq(sent(&r), ""); /* not a word before the answer */
	}
	rig_end(&r);
}
END_TEST

static const struct {
	const char *name, *users, *user, *asked;
} strangers[] = {
	{ "most have SCRAM secrets",
		"\"a\" \"" SCRAM_OF_PENCIL "\"\n\"b\" \"" SCRAM_OF_PENCIL_TOO "\"\n\"c\" \"x\"\n", "far", "Rx" },
	{ "most have passwords", "\"a\" \"" SCRAM_OF_PENCIL "\"\n\"b\" \"x\"\n\"c\" \"y\"\n", "far", "R5" },
	{ "one who has no password is no exception", "\"a\" \"" SCRAM_OF_PENCIL "\"\n\"c\" \"\"\n", "c", "Rx" },
	{ "one's own secret counts first", "\"a\" \"" SCRAM_OF_PENCIL "\"\n\"b\" \"x\"\n", "b", "R5" },
	{ "nobody is known", "", "far", "R5" },
};

/* With md5, which of the two is asked for is up to the user's secret: for nobody's it is what is usual. */
START_TEST(md5_asks_strangers_as_most_others)
{
	struct rig r = { .places = 10, .snapshot = rig_snapshot("auth_type = md5", strangers[_i].users) };

	r.env = (struct login_env){ &r, count_client, uncount_client, ask, false };
	rig_login(&r);
	STARTUP(&r, "user", strangers[_i].user, "database", "app");
	rig_feed(&r);
	ck_assert_msg(str_equal(sent(&r), strangers[_i].asked), "%s: %s", strangers[_i].name, sent(&r));
	rig_end(&r);
}
END_TEST

/* A password in plain text is checked by PBKDF2 for those who have a SCRAM secret: a stranger's must take as long. */
START_TEST(a_strangers_password_costs_as_much)
{
	struct rig r = { .places = 10, .snapshot = rig_snapshot("auth_type = plain", strangers[_i].users) };
	bool is_scram = strcmp(strangers[_i].asked, "Rx") == 0;
	struct scram_secret secret;

	r.env = (struct login_env){ &r, count_client, uncount_client, ask, false };
	rig_login(&r);
	STARTUP(&r, "user", strangers[_i].user, "database", "app");
	rig_feed(&r);
	ck_assert_int_eq(r.login.state, LOGIN_CLEARTEXT);
	ck_assert_msg((credential_kind(r.login.credential) == SECRET_SCRAM) == is_scram, "%s", strangers[_i].name);
	if (is_scram) {
		ck_assert(credential_verifier(r.login.credential, 1, &secret));
		ck_assert_uint_eq(secret.iterations, 4096);
	}
	say_text(&r, MSG_PASSWORD, "wrong");
	rig_feed(&r);
	ck_assert_str_eq(last_error(&r).sqlstate, "28P01");
	rig_end(&r);
}
END_TEST

static void start_lookup(struct rig *r, const char *auth_type)
{
	char settings[64];

	snprintf(settings, sizeof(settings), AUTH_USER "auth_type = %s", auth_type);
	rig_start(r, settings);
	STARTUP(r, "user", "far", "database", "app");
	rig_feed(r);
	ck_assert_int_eq(r->login.state, LOGIN_LOOKUP);
}

static void give_answer(struct rig *r, enum lookup_answer answer_is, const char *secret)
{
	r->lookup->answer = answer_is;
	if (answer_is == LOOKUP_FOUND)
		r->lookup->credential = credential_new("far", secret);
	if (answer_is == LOOKUP_FAILED)
		strcpy(r->lookup->sqlstate, "08006");
	strcpy(r->lookup->text, "auth_query failed");
	login_answer(&r->login, &r->lookup);
	ck_assert_ptr_null(r->lookup);
	rig_feed(r);
}

static const struct {
	const char *auth_type;
	enum lookup_answer answer;
	const char *secret, *password;
	enum login_state asked;
	const char *sqlstate;
} answers[] = {
	{ "plain", LOOKUP_FOUND, "secret", "secret", LOGIN_CLEARTEXT, "" },
	{ "plain", LOOKUP_FOUND, "secret", "wrong", LOGIN_CLEARTEXT, "28P01" },
	{ "plain", LOOKUP_FOUND, "", "", LOGIN_CLEARTEXT, "28P01" },
	{ "plain", LOOKUP_REFUSED, NULL, "secret", LOGIN_CLEARTEXT, "28P01" },
	{ "plain", LOOKUP_FAILED, NULL, NULL, LOGIN_FAILED, "08006" },
	{ "md5", LOOKUP_FOUND, "secret", "secret", LOGIN_MD5, "" },
	{ "md5", LOOKUP_FOUND, "secret", "wrong", LOGIN_MD5, "28P01" },
	{ "md5", LOOKUP_FOUND, SCRAM_OF_PENCIL, "pencil", LOGIN_SASL, "" },
	{ "md5", LOOKUP_REFUSED, NULL, "secret", LOGIN_SASL, "28P01" },
	{ "scram-sha-256", LOOKUP_FOUND, "secret", "secret", LOGIN_SASL, "" },
	{ "scram-sha-256", LOOKUP_FOUND, SCRAM_OF_PENCIL, "pencil", LOGIN_SASL, "" },
	{ "scram-sha-256", LOOKUP_FOUND, SCRAM_OF_PENCIL, "secret", LOGIN_SASL, "28P01" },
	{ "scram-sha-256", LOOKUP_REFUSED, NULL, "secret", LOGIN_SASL, "28P01" },
	{ "scram-sha-256", LOOKUP_FAILED, NULL, NULL, LOGIN_FAILED, "08006" },
	{ "trust", LOOKUP_FOUND, "secret", NULL, LOGIN_DONE, "" },
	{ "trust", LOOKUP_REFUSED, NULL, NULL, LOGIN_FAILED, "28000" },
	{ "trust", LOOKUP_FAILED, NULL, NULL, LOGIN_FAILED, "08006" },
};

START_TEST(a_login_goes_on_with_the_answer)
{
	struct rig r;

	start_lookup(&r, answers[_i].auth_type);
	give_answer(&r, answers[_i].answer, answers[_i].secret);
	ck_assert_msg(r.login.state == answers[_i].asked, "%d: state %d", _i, r.login.state);
	answer(&r, "far", answers[_i].password);
	if (r.lookup) /* a wrong password: is the secret a new one? */
		give_answer(&r, answers[_i].answer, answers[_i].secret);
	ck_assert_msg(strcmp(last_error(&r).sqlstate, answers[_i].sqlstate) == 0, "%d: %s %s", _i,
		last_error(&r).sqlstate, last_error(&r).message);
	ck_assert_msg((r.login.state == LOGIN_DONE) == !*answers[_i].sqlstate, "%d: %d", _i, r.login.state);
	rig_end(&r);
}
END_TEST

static const struct {
	const char *auth_type, *secret, *password; /* secret NULL: no such user */
	enum lookup_answer newer;
	const char *newer_secret;
	bool is_let_in;
} changes[] = {
	{ "plain", "old", "new", LOOKUP_FOUND, "new", true },
	{ "plain", "old", "new", LOOKUP_FOUND, "newer", false },
	{ "plain", "old", "new", LOOKUP_REFUSED, NULL, false },
	{ "plain", "old", "new", LOOKUP_FAILED, NULL, false },
	{ "plain", NULL, "new", LOOKUP_FOUND, "new", true },
	{ "plain", NULL, "new", LOOKUP_REFUSED, NULL, false },
	{ "plain", "old", "pencil", LOOKUP_FOUND, SCRAM_OF_PENCIL, true },
	{ "md5", "old", "new", LOOKUP_FOUND, "new", true },
	{ "md5", "old", "new", LOOKUP_FOUND, "newer", false },
	{ "md5", "old", "pencil", LOOKUP_FOUND, SCRAM_OF_PENCIL, false },
	{ "md5", NULL, "new", LOOKUP_FOUND, "new", false },	       /* strangers are asked by SCRAM */
	{ "scram-sha-256", "old", "new", LOOKUP_FOUND, "new", false }, /* its proof was over the old one's salt */
	{ "scram-sha-256", "old", "new", LOOKUP_FOUND, "old", false },
	{ "scram-sha-256", NULL, "new", LOOKUP_FOUND, "new", false },
};

START_TEST(a_wrong_password_is_checked_against_a_newer_secret)
{
	struct rig r;

	start_lookup(&r, changes[_i].auth_type);
	give_answer(&r, changes[_i].secret ? LOOKUP_FOUND : LOOKUP_REFUSED, changes[_i].secret);
	answer(&r, "far", changes[_i].password);
	ck_assert_msg(r.login.state == LOGIN_LOOKUP && r.lookup && r.lookup->is_refresh, "%d", _i);
	ck_assert_uint_eq(r.login.out.len, 0); /* not told yet */
	give_answer(&r, changes[_i].newer, changes[_i].newer_secret);
	ck_assert_msg((r.login.state == LOGIN_DONE) == changes[_i].is_let_in, "%d", _i);
	ck_assert_str_eq(last_error(&r).sqlstate, changes[_i].is_let_in ? "" : "28P01");
	ck_assert_ptr_null(r.lookup); /* once, not again and again */
	rig_end(&r);
}
END_TEST

START_TEST(bytes_wait_for_the_answer)
{
	struct rig r;
	size_t len;

	start_lookup(&r, "plain");
	say_text(&r, MSG_PASSWORD, "secret");
	len = r.in.len;
	rig_feed(&r);
	ck_assert_uint_eq(r.in.len, len);
	ck_assert_int_eq(r.login.state, LOGIN_LOOKUP);
	give_answer(&r, LOOKUP_FOUND, "secret");
	ck_assert_int_eq(r.login.state, LOGIN_DONE);
	ck_assert_uint_eq(r.in.len, 0);
	rig_end(&r);
}
END_TEST

/* Its own name as a forced user's: what auth_query found serves for the server, too. */
START_TEST(a_forced_user_may_be_the_client_itself)
{
	struct newcomer *n;
	uint8_t *early = NULL;
	struct rig r;

	rig_start(&r, AUTH_USER "auth_type = plain");
	STARTUP(&r, "user", "far", "database", "own");
	rig_feed(&r);
	give_answer(&r, LOOKUP_FOUND, "secret");
	answer(&r, "far", "secret");
	n = login_newcomer(&r.login, -1, &early, 0, 0);
	ck_assert_str_eq(credential_plain(n->credential), "secret");
	r.counted = 0;
	newcomer_free(&n);
	rig_end(&r);
}
END_TEST

START_TEST(a_login_may_end_before_the_answer)
{
	struct rig r;

	start_lookup(&r, "plain");
	login_fail(&r.login, "57014", "canceling authentication due to timeout");
	assert_fatal(&r, "57014", "canceling authentication due to timeout", "timeout");
	rig_end(&r); /* the lookup is on its way still: it holds what it needs */
}
END_TEST

/* Parameters */

#define LONG "0123456789012345678901234567890123456789012345678901234567890123456789"

static const struct {
	const char *conf, *database, *name, *value; /* a parameter of the startup packet */
	const char *setting, *want;		    /* NULL: isn't set */
	const char *sqlstate;
} parameters[] = {
	{ "", "app", "search_path", "a, b", "search_path", "a, b", "" },
	{ "", "app", "app.tenant", "7", "app.tenant", "7", "" },
	{ "", "app", "extra_float_digits", "3", "extra_float_digits", "3", "" },
	{ "ignore_startup_parameters = extra_float_digits", "app", "extra_float_digits", "3",
		"extra_float_digits", NULL, "" },
	{ "ignore_startup_parameters = options", "app", "options", "-c work_mem=1MB", "work_mem", NULL, "" },
	{ "ignore_startup_parameters = work_mem", "app", "options", "-c work_mem=1MB", "work_mem", NULL, "" },
	{ "", "app", "options", "-c work_mem=1MB", "work_mem", "1MB", "" },
	{ "", "app", "options", "--search-path=x\\ -c\\ role=admin", "search_path", "x -c role=admin", "" },
	{ "", "app", "options", "-c", NULL, NULL, "42601" },
	{ "", "app", "options", "-c a\\ b=1", NULL, NULL, "42704" },
	{ "", "app", "we\"ird", "1", NULL, NULL, "42704" },
	{ "", "app", "two words", "1", NULL, NULL, "42704" },
	{ "", "app", "1st", "1", NULL, NULL, "42704" },
	{ "", "app", "a..b", "1", NULL, NULL, "42704" },
	{ "", "app", "a.", "1", NULL, NULL, "42704" },
	{ "", "app", "_pq_.x y", "1", "_pq_.x y", NULL, "" },
	{ "", "app", "application_name", "it's \\ \n\xc3\xa9", "application_name", "it's \\ ???", "" },
	{ "", "app", "application_name", LONG, "application_name",
		"012345678901234567890123456789012345678901234567890123456789012", "" },
	{ "", "app", "application_name", "", "application_name", "", "" },
	{ "application_name_add_host = 1", "app", "application_name", "job", "application_name",
		"job - 10.0.0.5:5123", "" },
	{ "application_name_add_host = 1", "app", "TimeZone", "UTC", "application_name", "app - 10.0.0.5:5123", "" },
	{ "", "defaults", "client_encoding", "UTF8", "timezone", "UTC", "" },
	{ "", "defaults", "timezone", "Europe/Berlin", "TimeZone", "Europe/Berlin", "" },
	{ "", "defaults", "options", "-c application_name=mine", "application_name", "mine", "" },
	{ "", "defaults", "user", "plain", "application_name", "dflt", "" },
};

START_TEST(parameters_become_settings)
{
	char setting[128];
	const char *got;
	struct rig r;

	snprintf(setting, sizeof(setting), "auth_type = trust\n%s", parameters[_i].conf);
	rig_start(&r, setting);
	STARTUP(&r, "user", "plain", "database", parameters[_i].database, parameters[_i].name, parameters[_i].value);
	rig_feed(&r);
	ck_assert_msg(strcmp(last_error(&r).sqlstate, parameters[_i].sqlstate) == 0, "%d: %s %s", _i,
		last_error(&r).sqlstate, last_error(&r).message);
	got = parameters[_i].setting ? settings_get(r.login.settings, parameters[_i].setting) : NULL;
	ck_assert_msg(str_equal(got, parameters[_i].want), "%d: got %s", _i, got);
	rig_end(&r);
}
END_TEST

START_TEST(later_parameters_win_over_options)
{
	struct rig r;

	rig_start(&r, "auth_type = trust");
	STARTUP(&r, "user", "plain", "database", "app", "work_mem", "2MB", "options", "-c work_mem=1MB -c geqo=off");
	rig_feed(&r);
	ck_assert_str_eq(settings_get(r.login.settings, "work_mem"), "2MB");
	ck_assert_str_eq(settings_get(r.login.settings, "geqo"), "off");
	rig_end(&r);
}
END_TEST

START_TEST(a_reload_does_not_touch_a_login_that_has_begun)
{
	struct rig r;

	start_exchange(&r, 0);
	snapshot_unref(&r.snapshot); /* the front has moved on to another */
	say_text(&r, MSG_PASSWORD, "secret");
	rig_feed(&r);
	ck_assert_int_eq(r.login.state, LOGIN_DONE);
	rig_end(&r);
}
END_TEST

UNIT_MAIN("login", {
	tcase_add_loop_test(tc, first_packets_are_judged, 0, N_ELEMENTS(first_packets));
	tcase_add_test(tc, a_cancel_carries_its_key);
	tcase_add_test(tc, each_encryption_is_refused_once_and_login_goes_on);
	tcase_add_loop_test(tc, encryption_asked_for_twice_is_an_unknown_version, 0, N_ELEMENTS(encryptions));
	tcase_add_loop_test(tc, tls_begins_with_a_request_or_at_once, 0, N_ELEMENTS(openings));
	tcase_add_loop_test(tc, a_handshakes_end_is_judged, 0, N_ELEMENTS(handshakes));
	tcase_add_loop_test(tc, tls_is_had_once, 0, 3);
	tcase_add_loop_test(tc, a_startup_message_in_plain_text_may_be_too_little, 0, N_ELEMENTS(plains));
	tcase_add_loop_test(tc, newer_versions_are_negotiated_once, 0, N_ELEMENTS(versions));
	tcase_add_loop_test(tc, replication_is_asked_for_in_postgresqls_words, 0, N_ELEMENTS(replications));
	tcase_add_loop_test(tc, only_the_right_password_gets_in, 0, N_ELEMENTS(logins));
	tcase_add_test(tc, a_login_cut_into_single_bytes_is_the_same);
	tcase_add_test(tc, bytes_behind_the_login_stay);
	tcase_add_test(tc, the_right_password_without_a_place_is_refused);
	tcase_add_loop_test(tc, consoles_and_failures_take_no_place, 0, N_ELEMENTS(logins));
	tcase_add_test(tc, shutting_down_lets_only_consoles_in);
	tcase_add_loop_test(tc, only_our_own_user_is_an_operator_without_a_password, 0, N_ELEMENTS(operators));
	tcase_add_loop_test(tc, a_newcomer_has_what_servers_need, 0, N_ELEMENTS(newcomers));
	tcase_add_loop_test(tc, a_login_teaches_the_servers_keys, 0, N_ELEMENTS(lessons));
	tcase_add_loop_test(tc, other_messages_end_the_exchange, 0, N_ELEMENTS(exchanges));
	tcase_add_loop_test(tc, malformed_answers_are_refused_by_what_came, 0, N_ELEMENTS(bad_answers));
	tcase_add_loop_test(tc, long_passwords_get_an_answer, 0, N_ELEMENTS(password_lengths));
	tcase_add_test(tc, long_names_are_cut_in_errors);
	tcase_add_test(tc, an_unknown_mechanism_is_refused);
	tcase_add_test(tc, sasl_may_begin_with_the_mechanism_alone);
	tcase_add_loop_test(tc, a_login_ends_from_outside_in_any_state, 0, N_ELEMENTS(exchanges));
	tcase_add_loop_test(tc, only_unknown_users_are_asked_for, 0, N_ELEMENTS(askers));
	tcase_add_loop_test(tc, md5_asks_strangers_as_most_others, 0, N_ELEMENTS(strangers));
	tcase_add_loop_test(tc, a_strangers_password_costs_as_much, 0, N_ELEMENTS(strangers));
	tcase_add_loop_test(tc, a_login_goes_on_with_the_answer, 0, N_ELEMENTS(answers));
	tcase_add_loop_test(tc, a_wrong_password_is_checked_against_a_newer_secret, 0, N_ELEMENTS(changes));
	tcase_add_test(tc, bytes_wait_for_the_answer);
	tcase_add_test(tc, a_forced_user_may_be_the_client_itself);
	tcase_add_test(tc, a_login_may_end_before_the_answer);
	tcase_add_loop_test(tc, parameters_become_settings, 0, N_ELEMENTS(parameters));
	tcase_add_test(tc, later_parameters_win_over_options);
	tcase_add_test(tc, a_reload_does_not_touch_a_login_that_has_begun);
})
