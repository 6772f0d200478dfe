/* How a login proves who it is: by auth_type, or by the line of the HBA file that fits. */
#include "front/login.h"

#include "rig.h"
#include "unit.h"
#include "wire/msg.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char users[] =
	"\"bob\" \"secret\"\n\"scram\" \"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\"\n"
	"\"admin\" \"a\"\n";

struct fixture {
	struct snapshot *snapshot;
	struct login_env env;
	struct login login;
	struct lookup *lookup; /* what was asked elsewhere */
};

static bool count_client(
	void *ctx, const struct config *c, const char *database, const char *user, struct limit_reached *why)
{
	(void)ctx, (void)c, (void)database, (void)user, (void)why;
	return true;
}

static void uncount_client(void *ctx, const char *database, const char *user)
{
	(void)ctx, (void)database, (void)user;
}

static bool count_origin(
	void *ctx, const struct config *c, const struct address_origin *o, struct limit_reached *why)
{
	(void)ctx, (void)c, (void)o, (void)why;
	return true;
}

static void uncount_origin(void *ctx, const struct address_origin *o)
{
	(void)ctx, (void)o;
}

static void ask(void *ctx, struct lookup *q)
{
	struct fixture *f = ctx;

	ck_assert_ptr_null(f->lookup);
	f->lookup = q;
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

static struct snapshot *snapshot_with(const char *hba, const char *ident)
{
	char folder[] = "/tmp/pgweir-test-XXXXXX", hba_path[64], ident_path[64], settings[256];
	struct snapshot *s;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(hba_path, sizeof(hba_path), "%s/hba", folder);
	snprintf(ident_path, sizeof(ident_path), "%s/ident", folder);
	write_file(hba_path, hba);
	write_file(ident_path, ident);
	snprintf(settings, sizeof(settings), "auth_type = hba\nauth_hba_file = %s\nauth_ident_file = %s",
		hba_path, ident_path);
	s = rig_snapshot(settings, users);
	remove(hba_path);
	remove(ident_path);
	remove(folder);
	return s;
}

/* address NULL: a Unix socket */
static void begin(struct fixture *f, struct snapshot *s, const char *address)
{
	struct address peer = { .len = sizeof(sa_family_t) };

	memset(f, 0, sizeof(*f));
	f->snapshot = s;
	f->env = (struct login_env){ f, count_client, uncount_client, ask, false, count_origin, uncount_origin };
	peer.sa.sa_family = AF_UNIX;
	if (address)
		ck_assert(address_numeric(&peer, address, 5123));
	login_init(&f->login, &f->env, s, 7, &peer, false);
}

static void say_startup(struct fixture *f, const char *user, const char *database)
{
	struct writer w = { 0 };

	msg_begin(&w, 0);
	write_u32(&w, PROTOCOL_3_0);
	write_cstring(&w, "user");
	write_cstring(&w, user);
	write_cstring(&w, "database");
	write_cstring(&w, database);
	write_u8(&w, 0);
	msg_end(&w);
	ck_assert_uint_eq(login_feed(&f->login, w.data, w.len), w.len);
	writer_free(&w);
}

static void say_password(struct fixture *f, const char *password)
{
	struct writer w = { 0 };

	f->login.out.len = 0;
	msg_begin(&w, MSG_PASSWORD);
	write_cstring(&w, password);
	msg_end(&w);
	login_feed(&f->login, w.data, w.len);
	writer_free(&w);
}

static void end(struct fixture *f)
{
	lookup_free(&f->lookup);
	login_free(&f->login);
	snapshot_unref(&f->snapshot);
}

static struct error_info last_error(const struct fixture *f)
{
	struct error_info e = { .sqlstate = "", .message = "", .severity = "" };
	struct reader in = reader_over(f->login.out.data, f->login.out.len);
	struct frame frame;

	while (frame_peek(&in, &frame) == RES_OK && frame.length <= reader_left(&in)) {
		const uint8_t *message = read_bytes(&in, frame.length);

		if (frame.type == MSG_ERROR_RESPONSE)
			error_parse(reader_over(message + FRAME_HEADER_SIZE, frame.length - FRAME_HEADER_SIZE), &e);
	}
	return e;
}

/* The state after the startup packet. */

#define PLAIN -1, false, NULL, NULL
#define TLS -1, true, NULL, NULL
#define CERT(cn, dn) -1, true, cn, dn
#define PEER(uid) uid, false, NULL, NULL

static const struct {
	const char *hba, *address;
	int64_t peer_uid;
	bool is_tls;
	const char *cn, *dn, *database, *user;
	enum login_state want;
	const char *sqlstate, *message;
} logins[] = {
	{ "host all all all trust", "10.0.0.5", PLAIN, "app", "bob", LOGIN_DONE, "", "" },
	{ "host all all all trust", "10.0.0.5", PLAIN, "app", "nobody", LOGIN_FAILED, "28000",
		"role \"nobody\" does not exist" },
	{ "host all all all password", "10.0.0.5", PLAIN, "app", "bob", LOGIN_CLEARTEXT, "", "" },
	{ "host all all all password", "10.0.0.5", PLAIN, "app", "nobody", LOGIN_CLEARTEXT, "", "" },
	{ "host all all all md5", "10.0.0.5", PLAIN, "app", "bob", LOGIN_MD5, "", "" },
	{ "host all all all md5", "10.0.0.5", PLAIN, "app", "nobody", LOGIN_MD5, "", "" },
	{ "host all all all md5", "10.0.0.5", PLAIN, "app", "scram", LOGIN_SASL, "", "" },
	{ "host all all all scram-sha-256", "10.0.0.5", PLAIN, "app", "bob", LOGIN_SASL, "", "" },
	{ "host all all all ldap ldapserver=h ldapprefix=x", "10.0.0.5", PLAIN, "app", "nobody",
		LOGIN_CLEARTEXT, "", "" },
	{ "host all all all pam", "10.0.0.5", PLAIN, "app", "nobody", LOGIN_CLEARTEXT, "", "" },
	{ "local all all peer", NULL, PEER(42), "app", "bob", LOGIN_LOOKUP, "", "" },
	{ "local all all peer", NULL, PEER(-1), "app", "bob", LOGIN_FAILED, "28000",
		"Peer authentication failed for user \"bob\"" },
	/* who isn't let in */
	{ "host all all all reject", "10.0.0.5", PLAIN, "app", "bob", LOGIN_FAILED, "28000",
		"pg_hba.conf rejects connection for host \"10.0.0.5\", user \"bob\", database \"app\", no encryption" },
	{ "hostssl all all all reject", "2001:db8::5", TLS, "app", "bob", LOGIN_FAILED, "28000",
		"pg_hba.conf rejects connection for host \"2001:db8::5\", user \"bob\", database \"app\", SSL encryption" },
	{ "local all all trust", "10.0.0.5", PLAIN, "app", "bob", LOGIN_FAILED, "28000",
		"no pg_hba.conf entry for host \"10.0.0.5\", user \"bob\", database \"app\", no encryption" },
	{ "host all all all trust", NULL, PLAIN, "app", "bob", LOGIN_FAILED, "28000",
		"no pg_hba.conf entry for host \"[local]\", user \"bob\", database \"app\", no encryption" },
	{ "hostssl all all all trust", "10.0.0.5", PLAIN, "app", "bob", LOGIN_FAILED, "28000",
		"no pg_hba.conf entry for host \"10.0.0.5\", user \"bob\", database \"app\", no encryption" },
	/* the console is a database like others */
	{ "host pgweir admin all trust", "10.0.0.5", PLAIN, "pgweir", "admin", LOGIN_DONE, "", "" },
	{ "host app admin all trust", "10.0.0.5", PLAIN, "pgweir", "admin", LOGIN_FAILED, "28000",
		"no pg_hba.conf entry for host \"10.0.0.5\", user \"admin\", database \"pgweir\", no encryption" },
	/* certificates */
	{ "hostssl all all all cert", "10.0.0.5", TLS, "app", "bob", LOGIN_FAILED, "28000",
		"connection requires a valid client certificate" },
	{ "hostssl all all all cert", "10.0.0.5", CERT("bob", "CN=bob"), "app", "bob", LOGIN_DONE, "", "" },
	{ "hostssl all all all cert", "10.0.0.5", CERT("eve", "CN=eve"), "app", "bob", LOGIN_FAILED, "28000",
		"certificate authentication failed for user \"bob\"" },
	{ "hostssl all all all cert", "10.0.0.5", CERT(NULL, "O=bob"), "app", "bob", LOGIN_FAILED, "28000",
		"certificate authentication failed for user \"bob\"" },
	{ "hostssl all all all cert", "10.0.0.5", CERT("nobody", "CN=nobody"), "app", "nobody", LOGIN_FAILED,
		"28000", "role \"nobody\" does not exist" },
	{ "hostssl all all all cert", "10.0.0.5", CERT("eve", "CN=eve"), "app", "nobody", LOGIN_FAILED,
		"28000", "certificate authentication failed for user \"nobody\"" },
	{ "hostssl all all all cert map=m", "10.0.0.5", CERT("robert", "CN=robert"), "app", "bob", LOGIN_DONE,
		"", "" },
	{ "hostssl all all all cert map=m", "10.0.0.5", CERT("bob", "CN=bob"), "app", "bob", LOGIN_FAILED,
		"28000", "certificate authentication failed for user \"bob\"" },
	{ "hostssl all all all cert map=d clientname=DN", "10.0.0.5", CERT("x", "CN=x,O=bob"), "app", "bob",
		LOGIN_DONE, "", "" },
	{ "hostssl all all all scram-sha-256 clientcert=verify-ca", "10.0.0.5", TLS, "app", "bob",
		LOGIN_FAILED, "28000", "connection requires a valid client certificate" },
	{ "hostssl all all all scram-sha-256 clientcert=verify-ca", "10.0.0.5", CERT("eve", "CN=eve"), "app",
		"bob", LOGIN_SASL, "", "" },
	{ "hostssl all all all trust clientcert=verify-full", "10.0.0.5", CERT("eve", "CN=eve"), "app", "bob",
		LOGIN_FAILED, "28000", "certificate authentication failed for user \"bob\"" },
	{ "hostssl all all all trust clientcert=verify-full", "10.0.0.5", CERT("bob", "CN=bob"), "app", "bob",
		LOGIN_DONE, "", "" },
};

/* dn NULL: no certificate */
static void set_tls(struct fixture *f, bool is_on, const char *cn, const char *dn)
{
	f->login.tls.is_on = is_on;
	f->login.tls.is_verified = dn != NULL;
	f->login.tls.peer_cn = xstrdup(cn);
	f->login.tls.peer_dn = xstrdup(dn);
}

static void begin_login(struct fixture *f, int i)
{
	begin(f, snapshot_with(logins[i].hba, "m robert bob\nd \"/,O=(.*)$\" \\1"), logins[i].address);
	f->login.peer_uid = logins[i].peer_uid;
	set_tls(f, logins[i].is_tls, logins[i].cn, logins[i].dn);
	say_startup(f, logins[i].user, logins[i].database);
}

START_TEST(the_line_that_fits_says_how)
{
	struct fixture f;

	begin_login(&f, _i);
	ck_assert_msg(f.login.state == logins[_i].want, "%s: state %d: %s", logins[_i].hba, f.login.state,
		last_error(&f).message);
	ck_assert_str_eq(last_error(&f).sqlstate, logins[_i].sqlstate);
	ck_assert_str_eq(last_error(&f).message, logins[_i].message);
	end(&f);
}
END_TEST

START_TEST(a_wrong_certificate_counts_as_a_guess)
{
	struct fixture f;
	bool is_guess = strstr(logins[_i].message, "authentication failed") != NULL;

	begin_login(&f, _i);
	ck_assert_msg(f.login.is_auth_failure == is_guess, "%s", logins[_i].message);
	end(&f);
}
END_TEST

/* auth_type without a file */

static const struct {
	const char *settings;
	bool is_tls;
	const char *cn;
	enum login_state want;
	const char *message;
} types[] = {
#define BY_CERT "auth_type = cert\nclient_tls_sslmode = prefer\nclient_tls_ca_file = system"
	{ "auth_type = pam", false, NULL, LOGIN_CLEARTEXT, "" },
	{ "auth_type = ldap\nauth_ldap_options = ldapserver=h ldapprefix=x", false, NULL, LOGIN_CLEARTEXT, "" },
	{ BY_CERT, false, NULL, LOGIN_FAILED, "connection requires a valid client certificate" },
	{ BY_CERT, true, NULL, LOGIN_FAILED, "connection requires a valid client certificate" },
	{ BY_CERT, true, "bob", LOGIN_DONE, "" },
	{ BY_CERT, true, "eve", LOGIN_FAILED, "certificate authentication failed for user \"bob\"" },
#undef BY_CERT
};

START_TEST(types_are_one_rule_for_everybody)
{
	struct fixture f;

	begin(&f, rig_snapshot(types[_i].settings, users), "10.0.0.5");
	set_tls(&f, types[_i].is_tls, types[_i].cn, types[_i].cn ? "CN=.." : NULL);
	say_startup(&f, "bob", "app");
	ck_assert_msg(f.login.state == types[_i].want, "%s: state %d", types[_i].settings, f.login.state);
	ck_assert_str_eq(last_error(&f).message, types[_i].message);
	end(&f);
}
END_TEST

/* What is asked elsewhere */

static void begin_elsewhere(struct fixture *f, const char *hba)
{
	bool is_peer = strstr(hba, "peer") != NULL;

	begin(f, snapshot_with(hba, ""), is_peer ? NULL : "10.0.0.5");
	f->login.peer_uid = is_peer ? 42 : -1;
	say_startup(f, "bob", "app");
	if (!is_peer)
		say_password(f, "open sesame");
	ck_assert_int_eq(f->login.state, LOGIN_LOOKUP);
	ck_assert_ptr_nonnull(f->lookup);
	f->login.out.len = 0;
}

static const struct {
	const char *hba;
	enum lookup_kind kind;
	const char *refusal;
} elsewhere[] = {
	{ "host all all all pam", LOOKUP_PASSWORD, "PAM authentication failed for user \"bob\"" },
	{ "host all all all ldap ldapserver=h ldapprefix=x", LOOKUP_PASSWORD,
		"LDAP authentication failed for user \"bob\"" },
	{ "local all all peer", LOOKUP_PEER, "Peer authentication failed for user \"bob\"" },
};

START_TEST(the_question_has_what_the_answer_needs)
{
	struct fixture f;

	begin_elsewhere(&f, elsewhere[_i].hba);
	ck_assert_int_eq(f.lookup->kind, elsewhere[_i].kind);
	ck_assert_uint_eq(f.lookup->login, 7);
	ck_assert_str_eq(f.lookup->user, "bob");
	ck_assert_ptr_eq(f.lookup->rule, f.login.rule);
	if (elsewhere[_i].kind == LOOKUP_PEER)
		ck_assert_int_eq(f.lookup->peer_uid, 42);
	else
		ck_assert_str_eq(f.lookup->password, "open sesame");
	end(&f);
}
END_TEST

START_TEST(who_is_accepted_gets_in)
{
	uint8_t *early = NULL;
	struct newcomer *n;
	struct fixture f;

	begin_elsewhere(&f, elsewhere[_i].hba);
	f.lookup->answer = LOOKUP_ACCEPTED;
	login_answer(&f.login, &f.lookup);
	ck_assert_int_eq(f.login.state, LOGIN_DONE);
	n = login_newcomer(&f.login, -1, &early, 0, 1);
	ck_assert_str_eq(credential_plain(n->credential),
		elsewhere[_i].kind == LOOKUP_PEER ? "secret" : "open sesame"); /* what servers are logged in with */
	newcomer_free(&n);
	end(&f);
}
END_TEST

START_TEST(who_is_refused_learns_no_reason)
{
	struct fixture f;

	begin_elsewhere(&f, elsewhere[_i].hba);
	f.lookup->answer = LOOKUP_REFUSED;
	snprintf(f.lookup->text, sizeof(f.lookup->text), "the directory is down");
	login_answer(&f.login, &f.lookup);
	ck_assert_int_eq(f.login.state, LOGIN_FAILED);
	ck_assert_str_eq(last_error(&f).sqlstate, "28000");
	ck_assert_str_eq(last_error(&f).message, elsewhere[_i].refusal);
	ck_assert(f.login.is_auth_failure);
	end(&f);
}
END_TEST

START_TEST(an_empty_password_is_asked_nowhere)
{
	struct fixture f;

	begin(&f, snapshot_with(elsewhere[_i].hba, ""), "10.0.0.5");
	say_startup(&f, "bob", "app");
	say_password(&f, "");
	ck_assert_int_eq(f.login.state, LOGIN_FAILED);
	ck_assert_ptr_null(f.lookup);
	ck_assert_str_eq(last_error(&f).message, elsewhere[_i].refusal);
	end(&f);
}
END_TEST

UNIT_MAIN("login_methods", {
	tcase_add_loop_test(tc, the_line_that_fits_says_how, 0, N_ELEMENTS(logins));
	tcase_add_loop_test(tc, a_wrong_certificate_counts_as_a_guess, 0, N_ELEMENTS(logins));
	tcase_add_loop_test(tc, types_are_one_rule_for_everybody, 0, N_ELEMENTS(types));
	tcase_add_loop_test(tc, the_question_has_what_the_answer_needs, 0, N_ELEMENTS(elsewhere));
	tcase_add_loop_test(tc, who_is_accepted_gets_in, 0, N_ELEMENTS(elsewhere));
	tcase_add_loop_test(tc, who_is_refused_learns_no_reason, 0, N_ELEMENTS(elsewhere));
	tcase_add_loop_test(tc, an_empty_password_is_asked_nowhere, 0, 2);
})
