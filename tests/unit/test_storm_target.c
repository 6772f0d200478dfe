#include "storm/target.h"

#include "unit.h"

#include <string.h>
#include <sys/un.h>

/* What the test's environment says about PostgreSQL mustn't matter. */
static void forget_environment(void)
{
	static const char *const names[] = { "PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGPASSWORD",
		"PGDATABASE", "PGOPTIONS", "PGSSLMODE", "PGAPPNAME", "PGSERVICE", "PGCONNECT_TIMEOUT",
		"PGCLIENTENCODING", "PGGSSENCMODE", "PGCHANNELBINDING", "PGTARGETSESSIONATTRS", "PGREQUIREAUTH" };

	for (size_t i = 0; i < N_ELEMENTS(names); i++)
		unsetenv(names[i]);
}

static const struct {
	const char *conninfo, *name, *password, *options;
} accepted[] = {
	{ "postgresql://u:secret@127.0.0.1:6432/db", "u@127.0.0.1:6432/db", "secret", NULL },
	{ "host=h user=u", "u@h:5432/u", NULL, NULL },
	{ "postgresql://u@h/db?options=-c%20statement_timeout%3D30000", "u@h:5432/db", NULL,
		"-c statement_timeout=30000" },
	{ "host=/run/x user=u dbname=d sslmode=prefer gssencmode=disable", "u@/run/x:5432/d", NULL, NULL },
	{ "host=name hostaddr=127.0.0.1 user=u", "u@127.0.0.1:5432/u", NULL, NULL },
};

START_TEST(a_target_is_what_the_conninfo_says)
{
	struct target t;
	char error[256] = "";

	forget_environment();
	ck_assert_msg(target_parse(&t, accepted[_i].conninfo, NEGOTIATE_UNSET, error, sizeof(error)) == RES_OK,
		"%s", error);
	ck_assert_str_eq(t.name, accepted[_i].name);
	ck_assert_pstr_eq(t.password, accepted[_i].password);
	ck_assert_pstr_eq(t.options, accepted[_i].options);
	ck_assert_str_eq(t.application_name, "pgweir-storm");
	target_free(&t);
}
END_TEST

static const struct {
	const char *conninfo, *error;
} refused[] = {
	{ "postgresql://u@h/db?sslmode=maybe", "sslmode can't be 'maybe'" },
	{ "postgresql://u@h/db?sslmode=verify-full",
		"sslmode=verify-full needs sslrootcert: no file is looked for elsewhere" },
	{ "user=u host=h channel_binding=require",
		"channel_binding=require isn't something that pgweir-storm can do: it speaks no GSSAPI, binds to "
		"no channel and knows one host" },
	{ "postgresql://u@h/db?sslcrl=x", "sslcrl isn't something that pgweir-storm can do" },
	{ "user=u host=h keepalives=1", "keepalives isn't something that pgweir-storm can do" },
	{ "user=u host=a,b", "one host is enough: 'a,b'" },
	{ "user=u host=h port=70000", "port '70000' isn't one number from 1 to 65535" },
	{ "user=u host=h connect_timeout=soon", "connect_timeout 'soon' isn't a number of seconds" },
	{ "nonsense", "missing \"=\" after \"nonsense\" in connection info string" },
};

START_TEST(what_it_cannot_do_is_refused)
{
	struct target t;
	char error[256] = "";

	forget_environment();
	ck_assert_int_eq(target_parse(&t, refused[_i].conninfo, NEGOTIATE_UNSET, error, sizeof(error)), RES_REFUSED);
	ck_assert_str_eq(error, refused[_i].error);
	target_free(&t);
}
END_TEST

START_TEST(the_environment_fills_in)
{
	struct target t;
	char error[256] = "";

	forget_environment();
	setenv("PGPASSWORD", "from the environment", 1);
	setenv("PGSSLMODE", "require", 1);
	ck_assert_int_eq(target_parse(&t, "user=u host=h", NEGOTIATE_UNSET, error, sizeof(error)), RES_OK);
	ck_assert_int_eq(t.sslmode, TLS_REQUIRE);
	ck_assert_str_eq(t.password, "from the environment");
	target_free(&t);
}
END_TEST

static const struct {
	const char *conninfo;
	enum tls_negotiation negotiation;
	enum tls_mode mode;
	bool has_context;
} modes[] = {
	{ "user=u host=127.0.0.1", NEGOTIATE_UNSET, TLS_PREFER, true },
	{ "user=u host=127.0.0.1 sslmode=disable", NEGOTIATE_UNSET, TLS_DISABLE, false },
	{ "user=u host=127.0.0.1 sslmode=allow", NEGOTIATE_UNSET, TLS_ALLOW, false },
	{ "user=u host=127.0.0.1 sslmode=require", NEGOTIATE_DIRECT, TLS_REQUIRE, true },
	{ "user=u host=/tmp sslmode=require", NEGOTIATE_UNSET, TLS_REQUIRE, false }, /* as in libpq */
};

START_TEST(sslmode_says_whether_tls_is_spoken)
{
	struct target t;
	char error[256] = "";

	forget_environment();
	ck_assert_msg(target_parse(&t, modes[_i].conninfo, modes[_i].negotiation, error, sizeof(error)) == RES_OK,
		"%s", error);
	ck_assert_int_eq(t.sslmode, modes[_i].mode);
	ck_assert_msg(target_resolve(&t, error, sizeof(error)) == RES_OK, "%s", error);
	ck_assert_int_eq(t.context != NULL, modes[_i].has_context);
	target_free(&t);
}
END_TEST

START_TEST(direct_tls_cannot_be_optional)
{
	struct target t;
	char error[256] = "";

	forget_environment();
	ck_assert_int_eq(target_parse(&t, "user=u host=h sslmode=prefer", NEGOTIATE_DIRECT, error, sizeof(error)),
		RES_REFUSED);
	ck_assert_str_eq(error, "direct TLS needs sslmode=require or more");
	target_free(&t);
}
END_TEST

START_TEST(authorities_that_cannot_be_read_are_told)
{
	struct target t;
	char error[256] = "";

	forget_environment();
	ck_assert_int_eq(target_parse(&t, "user=u host=127.0.0.1 sslmode=require sslrootcert=/nonexistent",
				 NEGOTIATE_UNSET, error, sizeof(error)),
		RES_OK);
	ck_assert_int_eq(t.sslmode, TLS_VERIFY_CA);
	ck_assert_int_eq(target_resolve(&t, error, sizeof(error)), RES_SYSTEM);
	ck_assert_ptr_nonnull(strstr(error, "can't use sslrootcert /nonexistent"));
	target_free(&t);
}
END_TEST

START_TEST(a_directory_is_a_unix_socket)
{
	struct target t;
	char error[256] = "";

	forget_environment();
	ck_assert_int_eq(
		target_parse(&t, "user=u host=/run/x port=7", NEGOTIATE_UNSET, error, sizeof(error)), RES_OK);
	ck_assert_int_eq(target_resolve(&t, error, sizeof(error)), RES_OK);
	ck_assert_uint_eq(t.n_addresses, 1);
	ck_assert_int_eq(t.addresses[0].addr.ss_family, AF_UNIX);
	ck_assert_str_eq(((const struct sockaddr_un *)&t.addresses[0].addr)->sun_path, "/run/x/.s.PGSQL.7");
	target_free(&t);
}
END_TEST

START_TEST(a_directory_too_deep_is_refused)
{
	struct target t;
	char error[512] = "", conninfo[256] = "user=u host=/";

	forget_environment();
	memset(conninfo + strlen(conninfo), 'x', 150);
	ck_assert_int_eq(target_parse(&t, conninfo, NEGOTIATE_UNSET, error, sizeof(error)), RES_OK);
	ck_assert_int_eq(target_resolve(&t, error, sizeof(error)), RES_LIMIT);
	target_free(&t);
}
END_TEST

UNIT_MAIN("storm target", {
	tcase_add_loop_test(tc, a_target_is_what_the_conninfo_says, 0, N_ELEMENTS(accepted));
	tcase_add_loop_test(tc, what_it_cannot_do_is_refused, 0, N_ELEMENTS(refused));
	tcase_add_test(tc, the_environment_fills_in);
	tcase_add_loop_test(tc, sslmode_says_whether_tls_is_spoken, 0, N_ELEMENTS(modes));
	tcase_add_test(tc, direct_tls_cannot_be_optional);
	tcase_add_test(tc, authorities_that_cannot_be_read_are_told);
	tcase_add_test(tc, a_directory_is_a_unix_socket);
	tcase_add_test(tc, a_directory_too_deep_is_refused);
})
