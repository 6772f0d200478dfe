#include "config/config.h"
#include "config/connstr.h"
#include "config/ini.h"
#include "config/settings.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What a user pays for a wrong file is the error's text, so the tests look at all of it. */

static struct config *load(const char *text, struct config_error *error)
{
	error->text[0] = '\0';
	return config_load_text("x.ini", text, strlen(text), error);
}

static struct config *must_load(const char *text)
{
	struct config_error error;
	struct config *c = load(text, &error);

	ck_assert_msg(c != NULL, "%s in: %s", error.text, text);
	return c;
}

struct shown {
	const char *key;
	char value[300], default_value[300];
	bool is_null, changeable;
	size_t count;
};

static void remember(void *ctx, const char *key, const char *value, const char *default_value, bool changeable)
{
	struct shown *s = ctx;

	s->count++;
	if (!s->key || strcmp(key, s->key) != 0)
		return;
	s->is_null = value == NULL;
	s->changeable = changeable;
	snprintf(s->value, sizeof(s->value), "%s", value ? value : "");
	snprintf(s->default_value, sizeof(s->default_value), "%s", default_value ? default_value : "");
}

static struct shown show(const struct config *c, const char *key)
{
	struct shown s = { .key = key };

	config_show(c, remember, &s);
	return s;
}

/* ---- the tables ---- */

START_TEST(tables_are_sorted_so_that_keys_are_found)
{
	static const struct settings *const tables[] = { &global_settings, &database_settings, &user_settings };
	const struct settings *t = tables[_i];

	for (size_t i = 0; i < t->count; i++) {
		ck_assert(i == 0 || strcmp(t->rows[i - 1].key, t->rows[i].key) < 0);
		ck_assert_ptr_eq(setting_find(t, t->rows[i].key), &t->rows[i]);
	}
}
END_TEST

/* SHOW CONFIG of 1.25.2; pgweir's own keys are not among them. */
static const char *const pgbouncer_keys[] = {
	"admin_users",
	"application_name_add_host",
	"auth_dbname",
	"auth_file",
	"auth_hba_file",
	"auth_ident_file",
	"auth_ldap_options",
	"auth_query",
	"auth_type",
	"auth_user",
	"autodb_idle_timeout",
	"cancel_wait_timeout",
	"client_idle_timeout",
	"client_login_timeout",
	"client_tls13_ciphers",
	"client_tls_ca_file",
	"client_tls_cert_file",
	"client_tls_ciphers",
	"client_tls_dheparams",
	"client_tls_ecdhcurve",
	"client_tls_key_file",
	"client_tls_protocols",
	"client_tls_sslmode",
	"conffile",
	"default_pool_size",
	"disable_pqexec",
	"dns_max_ttl",
	"dns_nxdomain_ttl",
	"dns_zone_check_period",
	"idle_transaction_timeout",
	"ignore_startup_parameters",
	"job_name",
	"listen_addr",
	"listen_backlog",
	"listen_port",
	"log_connections",
	"log_disconnections",
	"log_pooler_errors",
	"log_stats",
	"logfile",
	"max_client_conn",
	"max_db_client_connections",
	"max_db_connections",
	"max_packet_size",
	"max_prepared_statements",
	"max_user_client_connections",
	"max_user_connections",
	"min_pool_size",
	"peer_id",
	"pidfile",
	"pkt_buf",
	"pool_mode",
	"query_timeout",
	"query_wait_notify",
	"query_wait_timeout",
	"reserve_pool_size",
	"reserve_pool_timeout",
	"resolv_conf",
	"sbuf_loopcnt",
	"scram_iterations",
	"server_check_delay",
	"server_check_query",
	"server_connect_timeout",
	"server_fast_close",
	"server_idle_timeout",
	"server_lifetime",
	"server_login_retry",
	"server_reset_query",
	"server_reset_query_always",
	"server_round_robin",
	"server_tls13_ciphers",
	"server_tls_ca_file",
	"server_tls_cert_file",
	"server_tls_ciphers",
	"server_tls_key_file",
	"server_tls_protocols",
	"server_tls_sslmode",
	"so_reuseport",
	"stats_period",
	"stats_users",
	"suspend_timeout",
	"syslog",
	"syslog_facility",
	"syslog_ident",
	"tcp_defer_accept",
	"tcp_keepalive",
	"tcp_keepcnt",
	"tcp_keepidle",
	"tcp_keepintvl",
	"tcp_socket_buffer",
	"tcp_user_timeout",
	"track_extra_parameters",
	"transaction_timeout",
	"unix_socket_dir",
	"unix_socket_group",
	"unix_socket_mode",
	"user",
	"verbose",
};

/* pgweir's own */
static const char *const own_keys[] = {
	"auth_failure_delay",
	"auth_query_cache_ttl",
	"auth_threads",
	"client_tls_tickets",
	"client_write_timeout",
	"drain_timeout",
	"handoff_tolerance",
	"http_listen",
	"http_token",
	"http_token_file",
	"http_unready_after",
	"idle_in_transaction_grace",
	"log_format",
	"log_min_duration_transaction",
	"log_min_duration_wait",
	"login_concurrency",
	"login_threads",
	"max_pinned",
	"max_waiting_clients",
	"password_ttl",
	"pin_idle_timeout",
	"pin_notice",
	"max_client_conn_per_addr",
	"priority_users",
	"query_wait_prediction",
	"queue_fairness",
	"query_wait_timeout_action",
	"reclaim_after",
	"reserved_client_conn",
	"server_tls_negotiation",
	"server_census",
	"server_connect_concurrency",
	"session_features",
	"session_probe",
	"suspect_functions",
	"worker_threads",
};

START_TEST(every_key_of_pgbouncer_is_known)
{
	ck_assert_uint_eq(N_ELEMENTS(pgbouncer_keys), 98);
	for (size_t i = 0; i < N_ELEMENTS(pgbouncer_keys); i++)
		ck_assert_msg(setting_find(&global_settings, pgbouncer_keys[i]) != NULL, "%s", pgbouncer_keys[i]);
	for (size_t i = 0; i < N_ELEMENTS(own_keys); i++)
		ck_assert_msg(setting_find(&global_settings, own_keys[i]) != NULL, "%s", own_keys[i]);
	ck_assert_uint_eq(global_settings.count, N_ELEMENTS(pgbouncer_keys) + N_ELEMENTS(own_keys));
}
END_TEST

/* Each default written out in a file of its section is accepted, and is what the field had anyway. */
START_TEST(every_default_may_be_written)
{
	const struct setting *s = &global_settings.rows[_i / 2];
	bool is_pgbouncer = _i % 2;
	const char *section = is_pgbouncer ? "pgbouncer" : "pgweir", *value = setting_default(s, is_pgbouncer);
	char text[600];
	struct config *c;

	if (strcmp(s->key, "conffile") == 0)
		return; /* its default is the file itself */
	snprintf(text, sizeof(text), "[%s]\n%s = %s\n", section, s->key, value ? value : "");
	c = must_load(text);
	ck_assert_str_eq(show(c, s->key).value, value ? value : "");
	ck_assert(show(c, s->key).is_null == (value == NULL));
	config_unref(&c);
}
END_TEST

START_TEST(show_lists_every_setting_once)
{
	struct config *c = must_load("[pgbouncer]\n");

	ck_assert_uint_eq(show(c, NULL).count, global_settings.count);
	ck_assert_str_eq(show(c, "listen_port").value, "6432");
	ck_assert(!show(c, "listen_port").changeable);
	ck_assert(show(c, "query_timeout").changeable);
	ck_assert(show(c, "auth_file").is_null);
	ck_assert_str_eq(show(c, "conffile").value, "x.ini");
	config_unref(&c);
}
END_TEST

START_TEST(sections_differ_in_their_defaults)
{
	struct config *b = must_load("[pgbouncer]\n"), *w = must_load("[pgweir]\n");

	ck_assert(b->is_pgbouncer && !w->is_pgbouncer);
	ck_assert_int_eq(b->pool_mode, POOL_SESSION);
	ck_assert_int_eq(w->pool_mode, POOL_TRANSACTION);
	ck_assert_int_eq(b->auth_type, AUTH_TYPE_MD5);
	ck_assert_int_eq(w->auth_type, AUTH_TYPE_SCRAM);
	ck_assert_int_eq(b->max_client_conn, 100);
	ck_assert_int_eq(w->max_client_conn, 10000);
	ck_assert_int_eq(b->query_wait_timeout_action, TIMEOUT_DISCONNECT);
	ck_assert_int_eq(w->query_wait_timeout_action, TIMEOUT_ERROR);
	ck_assert_str_eq(b->listen_addr, "");
	ck_assert_str_eq(w->listen_addr, "127.0.0.1");
	ck_assert_uint_eq(w->idle_transaction_timeout, 60 * USEC_PER_SEC);
	ck_assert_uint_eq(w->handoff_tolerance, 2 * USEC_PER_MSEC);
	ck_assert_int_eq(w->unix_socket_mode, 0777);
	ck_assert_int_eq(w->worker_threads, 0);
	ck_assert_str_eq(show(w, "max_client_conn").default_value, "10000");
	config_unref(&b);
	config_unref(&w);
}
END_TEST

/* ---- values ---- */

static const struct {
	const char *line, *want; /* want: as SHOW CONFIG shows it */
} good[] = {
	{ "query_timeout=0.25", "0.25" },
	{ "query_timeout = .5", "0.5" },
	{ "query_timeout = 3.", "3" },
	{ "query_timeout = 007.500000", "7.5" },
	{ "query_timeout = 1000000000", "1000000000" },
	{ "query_timeout = 0.000001", "0.000001" },
	{ "log_stats = off", "0" },
	{ "log_stats = TRUE", "1" },
	{ "pool_mode = Transaction", "transaction" },
	{ "unix_socket_mode = 0700", "0700" },
	{ "worker_threads = auto", "auto" },
	{ "worker_threads = 3", "3" },
	{ "server_tls_sslmode = allow", "allow" },
	{ "server_tls_sslmode = disable", "disable" },
	{ "client_tls_sslmode = Verify-CA", "verify-ca" },
	{ "client_tls_tickets = on", "1" },
	{ "client_tls_dheparams = none", "none" },
	{ "client_tls_key_file = /k y", "/k y" },
	{ "server_tls_negotiation = direct", "direct" },
	{ "pkt_buf = 8192", "8192" },
	{ "sbuf_loopcnt = 0", "0" },
	{ "syslog_facility = LOCAL3", "local3" },
	{ "server_check_query = select 1; -- all of it", "select 1; -- all of it" },
	{ "server_check_query =", "" },
	{ "  listen_addr  =  *  ", "*" },
	{ "max_packet_size = 2147483647", "2147483647" },
	{ "\"pidfile\" = /run/pgweir.pid", "/run/pgweir.pid" },
	{ "conffile = other.ini", "other.ini" },
};

START_TEST(values_are_read_and_shown)
{
	char text[200], key[64];
	struct config *c;

	snprintf(text, sizeof(text), "[pgbouncer]\r\n%s\r\n", good[_i].line);
	c = must_load(text);
	sscanf(good[_i].line, " %*1[\"]%63[a-z_]", key);
	if (good[_i].line[0] != '"')
		sscanf(good[_i].line, " %63[a-z_]", key);
	ck_assert_str_eq(show(c, key).value, good[_i].want);
	config_unref(&c);
}
END_TEST

static const struct {
	const char *text, *want;
} bad[] = {
	/* the file as a whole */
	{ "", "x.ini: there is no section [pgweir] or [pgbouncer]" },
	{ "[databases]\na = host=b\n", "x.ini: there is no section [pgweir] or [pgbouncer]" },
	{ "pool_mode = session\n", "x.ini:1: there is no [section] before this line" },
	{ "[pgweir]\n[databases]\n\n[pgbouncer]\n",
		"x.ini:4: a file has either a section [pgweir] or a section [pgbouncer], not both" },
	{ "[pgbuncer]\n", "x.ini:1: unknown section [pgbuncer]; did you mean [pgbouncer]?" },
	{ "[nonsense]\n", "x.ini:1: unknown section [nonsense]" },
	{ "[pgweir\n", "x.ini:1: a section must be written as [name]" },
	{ "[pgweir] verbose=1\n", "x.ini:1: there is text behind the section's name" },
	{ "[pgweir]\nverbose\n",
		"x.ini:2: expected [section], key = value or %include file (other characters in a key need \"double quotes\")" },
	{ "[pgweir]\n= 3\n",
		"x.ini:2: expected [section], key = value or %include file (other characters in a key need \"double quotes\")" },
	{ "[databases]\n\"a = host=b\n",
		"x.ini:2: expected [section], key = value or %include file (other characters in a key need \"double quotes\")" },
	{ "[pgweir]\n%include\n", "x.ini:2: %include needs the name of a file" },
	{ "[pgweir]\n%include /nonexistent/x\n",
		"x.ini:2: cannot read \"/nonexistent/x\": No such file or directory" },
	{ "[pgweir]\n%include /dev/null\n", "x.ini:2: cannot read \"/dev/null\": not a regular file" },
	{ "[pgbouncer]\nlisten_addr=\nunix_socket_dir=\n",
		"x.ini: listen_addr and unix_socket_dir are both empty: nobody could connect" },
	/* keys and values */
	{ "; c\n[pgweir]\n# c\npol_mode = session\n",
		"x.ini:4: unknown key \"pol_mode\" in section [pgweir]; did you mean \"pool_mode\"?" },
	{ "[pgbouncer]\nservice_nonsense = 1\n", "x.ini:2: unknown key \"service_nonsense\" in section [pgbouncer]" },
	{ "[pgweir]\nlisten_port = 0\n", "x.ini:2: listen_port must be a number from 1 to 65535, not \"0\"" },
	{ "[pgweir]\nlisten_port = 65536\n", "x.ini:2: listen_port must be a number from 1 to 65535, not \"65536\"" },
	{ "[pgweir]\nlisten_port = 99999999999999999999\n",
		"x.ini:2: listen_port must be a number from 1 to 65535, not \"99999999999999999999\"" },
	{ "[pgweir]\nmax_client_conn = -1\n",
		"x.ini:2: max_client_conn must be a number from 1 to 1000000000, not \"-1\"" },
	{ "[pgweir]\nmax_client_conn = 1e3\n",
		"x.ini:2: max_client_conn must be a number from 1 to 1000000000, not \"1e3\"" },
	{ "[pgweir]\nworker_threads = 0\n",
		"x.ini:2: worker_threads must be auto or a number from 1 to 256, not \"0\"" },
	{ "[pgweir]\nquery_timeout = 30s\n",
		"x.ini:2: query_timeout must be a number of seconds such as 30 or 0.25, not \"30s\"" },
	{ "[pgweir]\nquery_timeout =\n",
		"x.ini:2: query_timeout must be a number of seconds such as 30 or 0.25, not \"\"" },
	{ "[pgweir]\nquery_timeout = .\n",
		"x.ini:2: query_timeout must be a number of seconds such as 30 or 0.25, not \".\"" },
	{ "[pgweir]\nquery_timeout = 1.0000001\n",
		"x.ini:2: query_timeout must be a number of seconds such as 30 or 0.25, not \"1.0000001\"" },
	{ "[pgweir]\nquery_timeout = 1000000000.1\n",
		"x.ini:2: query_timeout must be a number of seconds such as 30 or 0.25, not \"1000000000.1\"" },
	{ "[pgweir]\nstats_period = 0\n",
		"x.ini:2: stats_period must be a number of seconds, at least 0.1, not \"0\"" },
	{ "[pgweir]\nlog_stats = 2\n", "x.ini:2: log_stats must be 0 or 1, not \"2\"" },
	{ "[pgweir]\npool_mode = x\n",
		"x.ini:2: pool_mode must be one of session, transaction, statement, not \"x\"" },
	{ "[pgweir]\nunix_socket_mode = 511\n",
		"x.ini:2: unix_socket_mode must be an octal number with a leading 0, from 0 to 0777, not \"511\"" },
	{ "[pgweir]\nconffile =\n", "x.ini:2: conffile must not be empty" },
	{ "[pgweir]\nclient_tls_sslmode = yes\n",
		"x.ini:2: client_tls_sslmode must be one of disable, allow, prefer, require, verify-ca, verify-full, not \"yes\"" },
	{ "[pgweir]\nserver_tls_negotiation = tls\n",
		"x.ini:2: server_tls_negotiation must be one of postgres, direct, not \"tls\"" },
	{ "[pgweir]\nlogfile = a\x01\n", "x.ini:2: logfile must not contain control characters" },
	/* what this version can't do */
	{ "[pgbouncer]\nauth_type = x\n",
		"x.ini:2: auth_type must be one of any, trust, plain, md5, scram-sha-256, cert, hba, ldap, pam, not \"x\"" },
	{ "[pgbouncer]\nauth_ldap_options = ldapbindpasswd=secret\x01\n",
		"x.ini:2: auth_ldap_options must not contain control characters" },
	{ "[pgbouncer]\nauth_threads = 0\n", "x.ini:2: auth_threads must be a number from 1 to 256, not \"0\"" },
	{ "[pgbouncer]\nresolv_conf = /r\n", "x.ini:2: resolv_conf is not supported yet by this version" },
	{ "[pgbouncer]\npeer_id = 16384\n", "x.ini:2: peer_id must be a number from 0 to 16383, not \"16384\"" },
	{ "[peers]\na = host=h\n", "x.ini:2: the name of a peer is its peer_id, a number from 1 to 16383, not \"a\"" },
	{ "[peers]\n1 = port=1\n", "x.ini:2: peer 1 has no host" },
	{ "[pgbouncer]\nauth_dbname = a\n[databases]\nb =\n", "x.ini: auth_dbname = a is not among the databases" },
	{ "[databases]\nb = auth_dbname=a\n[pgbouncer]\n", "x.ini:2: auth_dbname = a is not among the databases" },
	{ "[databases]\n* = auth_dbname=pgbouncer\n[pgbouncer]\n",
		"x.ini:2: auth_dbname = pgbouncer is not among the databases" },
	{ "[pgbouncer]\nauth_query =\n", "x.ini:2: auth_query must not be empty" },
	{ "[databases]\na = password_file=/f\n",
		"x.ini:2: password_file needs user: it is the password of that user" },
	{ "[databases]\na = password_command='echo secret'\n",
		"x.ini:2: password_command needs user: it is the password of that user" },
	{ "[databases]\na = user=u password=secret password_file=/f\n",
		"x.ini:2: only one of password, password_file and password_command can be the source" },
	{ "[databases]\na = user=u password_file=/f password_command='echo secret'\n",
		"x.ini:2: only one of password, password_file and password_command can be the source" },
	/* databases and users */
	{ "[databases]\npgbouncer = host=h\n",
		"x.ini:2: the database name \"pgbouncer\" is reserved for the console" },
	{ "[databases]\npgweir =\n", "x.ini:2: the database name \"pgweir\" is reserved for the console" },
	{ "[databases]\na234567890123456789012345678901234567890123456789012345678901234 =\n",
		"x.ini:2: the name of a database has at most 63 bytes" },
	{ "[databases]\na = hots=h\n",
		"x.ini:2: unknown key \"hots\" in a connection string; did you mean \"host\"?" },
	{ "[databases]\na = host\n", "x.ini:2: expected key=value at column 1 of the connection string" },
	{ "[databases]\na = host=h =x\n", "x.ini:2: expected key=value at column 8 of the connection string" },
	{ "[databases]\na = host='h\n",
		"x.ini:2: unterminated quote in the value at column 1 of the connection string" },
	{ "[databases]\na = host='h'x\n",
		"x.ini:2: text behind the quoted value at column 1 of the connection string" },
	{ "[databases]\na = host=\n",
		"x.ini:2: a key without a value ('' is the empty one) at column 1 of the connection string" },
	{ "[databases]\na = port=0\n", "x.ini:2: port must be a number from 1 to 65535, not \"0\"" },
	{ "[databases]\na = host=h,i port=1,2,3\n",
		"x.ini:2: port must be one number, or as many as there are hosts (2)" },
	{ "[databases]\na = host=h port=1,2\n",
		"x.ini:2: port must be one number, or as many as there are hosts (1)" },
	{ "[databases]\na = host=h,i port=1,65536\n",
		"x.ini:2: port must be a number from 1 to 65535, not \"65536\"" },
	{ "[databases]\na = host=h,i port=1,x\n", "x.ini:2: port must be a number from 1 to 65535, not \"x\"" },
	{ "[databases]\na = host=h,,i\n", "x.ini:2: host has an empty name in its list" },
	{ "[databases]\na = host=h, \n", "x.ini:2: host has an empty name in its list" },
	{ "[databases]\na = host=a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\n",
		"x.ini:2: host lists more than 32 hosts" },
	{ "[databases]\na = load_balance_hosts=random\n",
		"x.ini:2: load_balance_hosts must be one of round-robin, disable, not \"random\"" },
	{ "[databases]\na = target_session_attrs=master\n",
		"x.ini:2: target_session_attrs must be one of any, read-write, read-only, primary, standby, "
		"prefer-standby, not \"master\"" },
	{ "[databases]\na = dbname=''\n", "x.ini:2: dbname must not be empty" },
	{ "[databases]\na = pool_size=0\n", "x.ini:2: pool_size must be a number from 1 to 1000000000, not \"0\"" },
	{ "[users]\nbob = pool_sise=1\n",
		"x.ini:2: unknown key \"pool_sise\" in section [users]; did you mean \"pool_size\"?" },
	{ "[users]\nbob = password=1\n", "x.ini:2: unknown key \"password\" in section [users]" },
	/* URIs in [databases] */
	{ "[databases]\na = postgres://h/d?connect_timeout=3\n",
		"x.ini:2: the parameter connect_timeout in a URI is not supported yet by this version" },
	{ "[databases]\na = postgresql://h,i:1,:2/d\n", "x.ini:2: host has an empty name in its list" },
	{ "[databases]\na = postgresql://h/d?schema=public\n",
		"x.ini:2: bad URI: invalid URI query parameter: \"schema\"" },
};

START_TEST(mistakes_are_told_with_file_and_line)
{
	struct config_error error;

	ck_assert_ptr_null(load(bad[_i].text, &error));
	ck_assert_str_eq(error.text, bad[_i].want);
}
END_TEST

/* The secret is SESAME in all of them. */
static const char *const leaky[] = {
	"[databases]\na = password=my SESAME host=h\n",
	"[databases]\na = password=my SESAME=x host=h\n",
	"[databases]\na = password='SESAME\n",
	"[databases]\na = password='it''s'SESAME\n",
	"[databases]\na = password=SESAME hostt=h\n",
	"[databases]\na = password='SESAME\x01'\n",
	"[databases]\na = postgresql://u:SESAME%@h/d\n",
	"[databases]\na = postgresql://u:SESAME/x@h/d\n",
	"[databases]\na = postgresql://u:x/?SESAME=y@h/d\n",
	"[databases]\na = postgresql://u:x?SESAME@[h/d\n",
	"[databases]\na postgresql://u:SESAME@h/d\n",
	"[databases]\na = postgresql://u:x@h/d?password=SESAME&x=y\n",
	"[databases]\na = postgresql://u:x@h/d?sslpassword=SESAME\n",
};

START_TEST(passwords_are_never_in_an_error)
{
	struct config_error error;

	ck_assert_ptr_null(load(leaky[_i], &error));
	ck_assert_str_ne(error.text, "");
	ck_assert_msg(strstr(error.text, "SESAME") == NULL, "%s", error.text);
}
END_TEST

START_TEST(passwords_are_never_shown)
{
	struct config *c = must_load("[pgweir]\n[databases]\na = password=SESAME\n");

	for (size_t i = 0; i < global_settings.count; i++)
		ck_assert(strstr(show(c, global_settings.rows[i].key).value, "SESAME") == NULL);
	config_unref(&c);
}
END_TEST

START_TEST(limits_of_the_file_hold)
{
	struct config_error error;
	size_t len = INI_LINE_MAX + 2;
	char *text = xmalloc(len);

	memset(text, ';', len);
	ck_assert_ptr_null(config_load_text("x.ini", text, len, &error));
	ck_assert_str_eq(error.text, "x.ini:1: the line is too long");
	ck_assert_ptr_null(config_load_text("x.ini", "[pgweir]\nlogfile = a\0b\n", 22, &error));
	ck_assert_str_eq(error.text, "x.ini:2: there is a NUL byte in the line");
	text = xrealloc(text, INI_TOTAL_MAX + 1);
	memset(text, '\n', INI_TOTAL_MAX + 1);
	ck_assert_ptr_null(config_load_text("x.ini", text, INI_TOTAL_MAX + 1, &error));
	ck_assert_str_eq(error.text, "cannot read \"x.ini\": the configuration is too large");
	free(text);
}
END_TEST

START_TEST(a_line_without_its_end_and_a_byte_order_mark_are_read)
{
	struct config *c = must_load("\xef\xbb\xbf[pgweir]\nverbose = 2");

	ck_assert_int_eq(c->verbose, 2);
	config_unref(&c);
}
END_TEST

START_TEST(later_duplicates_win)
{
	struct config *c = must_load("[databases]\na = host=x port=1 password=p\nb = host=y\na = host=z\n"
				     "[pgweir]\nverbose = 1\nverbose = 2\n[users]\nu = pool_size=1\nu = query_timeout=1\n"
				     "[pgweir]\nlogfile = a\nlogfile = b\n");

	ck_assert_int_eq(c->verbose, 2);
	ck_assert_str_eq(c->logfile, "b");
	ck_assert_str_eq(c->databases->name, "a");
	ck_assert_str_eq(c->databases->host, "z");
	ck_assert_int_eq(c->databases->hosts->port, 5432);
	ck_assert_ptr_null(c->databases->password);
	ck_assert_int_eq(c->databases->line, 4);
	ck_assert_str_eq(c->databases->next->name, "b");
	ck_assert_ptr_null(c->databases->next->next);
	ck_assert_int_eq(c->users->pool_size, -1);
	ck_assert_int_eq(c->users->query_timeout, 1000000);
	ck_assert_ptr_null(c->users->next);
	config_unref(&c);
}
END_TEST

START_TEST(databases_are_found_by_name_then_by_star)
{
	struct config *c = must_load(
		"[pgweir]\n[databases]\nzoo=host=1\n\"a \"\"b\"\" = c\" = host=2\n*= host=3\nm = host=4\n");

	ck_assert_str_eq(config_database(c, "zoo")->host, "1");
	ck_assert_str_eq(config_database(c, "a \"b\" = c")->host, "2");
	ck_assert_str_eq(config_database(c, "m")->host, "4");
	ck_assert_str_eq(config_database(c, "other")->host, "3");
	config_unref(&c);
	c = must_load("[pgweir]\n[databases]\nzoo=\n");
	ck_assert_ptr_null(config_database(c, "other"));
	ck_assert_ptr_nonnull(config_database(c, "zoo"));
	ck_assert_ptr_null(config_database(c, "zoo")->host);
	ck_assert_ptr_null(config_user(c, "zoo"));
	config_unref(&c);
}
END_TEST

START_TEST(a_connection_string_sets_every_field)
{
	struct config *c = must_load(
		"[pgweir]\n[databases]\na = dbname = d host=/run/pg port=1 user=u password='it''s = \\ ok' pool_size=2 min_pool_size=3 "
		"reserve_pool=4 pool_mode=statement max_db_connections=5 max_db_client_connections=6 server_lifetime=7.5 "
		"query_wait_timeout=8 connect_query='set a = ''b''; select 1' client_encoding=latin1 datestyle='ISO, MDY' timezone=UTC "
		"application_name='' load_balance_hosts=round-robin\n");
	const struct config_database *db = c->databases;

	ck_assert_str_eq(db->dbname, "d");
	ck_assert_str_eq(db->host, "/run/pg");
	ck_assert_int_eq(db->hosts->port, 1);
	ck_assert_uint_eq(db->n_hosts, 1);
	ck_assert_str_eq(db->user, "u");
	ck_assert_str_eq(db->password, "it's = \\ ok");
	ck_assert_int_eq(db->pool_size, 2);
	ck_assert_int_eq(db->min_pool_size, 3);
	ck_assert_int_eq(config_min_pool_size(c, db), 2);
	ck_assert_int_eq(db->reserve_pool_size, 4);
	ck_assert_int_eq(db->pool_mode, POOL_STATEMENT);
	ck_assert_int_eq(db->max_db_connections, 5);
	ck_assert_int_eq(db->max_db_client_connections, 6);
	ck_assert_int_eq(db->server_lifetime, 7500000);
	ck_assert_int_eq(db->query_wait_timeout, 8000000);
	ck_assert_str_eq(db->connect_query, "set a = 'b'; select 1");
	ck_assert_str_eq(db->client_encoding, "latin1");
	ck_assert_str_eq(db->datestyle, "ISO, MDY");
	ck_assert_str_eq(db->timezone, "UTC");
	ck_assert_str_eq(db->application_name, "");
	config_unref(&c);
}
END_TEST

START_TEST(a_database_has_its_own_ways_to_authenticate)
{
	struct config *c = must_load(
		"[pgweir]\nauth_user = au\nauth_query = q\nauth_dbname = b\npassword_ttl = 9\n[databases]\n"
		"a = auth_user=u auth_query='select ''x'', $1' auth_dbname=c user=v password_command='x y' password_ttl=1.5\n"
		"b = user=w password_file=/run/p auth_user=''\nc = auth_dbname=''\n");
	const struct config_database *a = config_database(c, "a"), *b = config_database(c, "b"),
				     *d = config_database(c, "c");

	ck_assert_str_eq(config_auth_user(c, a), "u");
	ck_assert_str_eq(config_auth_query(c, a), "select 'x', $1");
	ck_assert_str_eq(config_auth_dbname(c, a), "c");
	ck_assert_str_eq(a->password_command, "x y");
	ck_assert_uint_eq(config_password_ttl(c, a), 1500000);
	ck_assert_str_eq(config_auth_user(c, b), "");
	ck_assert_str_eq(config_auth_query(c, b), "q");
	ck_assert_str_eq(config_auth_dbname(c, b), "b");
	ck_assert_str_eq(b->password_file, "/run/p");
	ck_assert_uint_eq(config_password_ttl(c, b), 9000000);
	ck_assert_ptr_null(config_auth_dbname(c, d));
	ck_assert_str_eq(config_auth_user(c, NULL), "au");
	config_unref(&c);
}
END_TEST

START_TEST(a_database_may_be_a_uri)
{
	struct config *c = must_load(
		"[pgweir]\n[databases]\n"
		"a = postgresql://us%40er:p%20w%2F@db.example:5433/app?application_name=x&sslmode=verify-full&"
		"sslrootcert=/ca&sslcert=/c&sslkey=/k&channel_binding=require\nb = sslnegotiation=direct\n");
	const struct config_database *db = c->databases;

	ck_assert_str_eq(db->host, "db.example");
	ck_assert_int_eq(db->hosts->port, 5433);
	ck_assert_str_eq(db->user, "us@er");
	ck_assert_str_eq(db->password, "p w/");
	ck_assert_str_eq(db->dbname, "app");
	ck_assert_str_eq(db->application_name, "x");
	ck_assert_int_eq(db->sslmode, TLS_VERIFY_FULL);
	ck_assert_int_eq(db->sslnegotiation, NEGOTIATE_UNSET);
	ck_assert_str_eq(db->sslrootcert, "/ca");
	ck_assert_str_eq(db->sslcert, "/c");
	ck_assert_str_eq(db->sslkey, "/k");
	ck_assert_int_eq(db->channel_binding, BINDING_REQUIRE);
	ck_assert_int_eq(db->next->sslmode, TLS_UNSET);
	ck_assert_int_eq(db->next->channel_binding, BINDING_PREFER);
	ck_assert_int_eq(db->next->sslnegotiation, NEGOTIATE_DIRECT);
	ck_assert_ptr_null(db->next->sslrootcert);
	config_unref(&c);
}
END_TEST

START_TEST(user_comes_before_database_before_global)
{
	struct config *c = must_load(
		"[pgweir]\ndefault_pool_size=10\nreserve_pool_size=1\nquery_wait_timeout=9\nquery_timeout=7\n"
		"max_db_connections=50\nmax_user_connections=60\nserver_lifetime=100\npool_mode=transaction\n"
		"[databases]\na = pool_size=11 pool_mode=statement query_wait_timeout=8 max_db_connections=0 "
		"server_lifetime=0\nb =\n"
		"[users]\nu = pool_size=12 pool_mode=session query_wait_timeout=0 reserve_pool_size=2 query_timeout=0 "
		"max_user_connections=3 max_user_client_connections=4 weight=8 idle_transaction_timeout=5 "
		"transaction_timeout=6 client_idle_timeout=7\nv =\n");
	const struct config_database *a = config_database(c, "a"), *b = config_database(c, "b");
	const struct config_user *u = config_user(c, "u"), *v = config_user(c, "v");

	ck_assert_int_eq(config_pool_size(c, NULL, NULL), 10);
	ck_assert_int_eq(config_pool_size(c, b, v), 10);
	ck_assert_int_eq(config_pool_size(c, a, v), 11);
	ck_assert_int_eq(config_pool_size(c, a, u), 12);
	ck_assert_int_eq(config_pool_mode(c, b, v), POOL_TRANSACTION);
	ck_assert_int_eq(config_pool_mode(c, a, v), POOL_STATEMENT);
	ck_assert_int_eq(config_pool_mode(c, a, u), POOL_SESSION);
	ck_assert_uint_eq(config_query_wait_timeout(c, b, NULL), 9 * USEC_PER_SEC);
	ck_assert_uint_eq(config_query_wait_timeout(c, a, v), 8 * USEC_PER_SEC);
	ck_assert_uint_eq(config_query_wait_timeout(c, a, u), 0);
	ck_assert_int_eq(config_reserve_pool_size(c, b, v), 1);
	ck_assert_int_eq(config_reserve_pool_size(c, b, u), 2);
	ck_assert_uint_eq(config_query_timeout(c, v), 7 * USEC_PER_SEC);
	ck_assert_uint_eq(config_query_timeout(c, u), 0);
	ck_assert_int_eq(config_max_db_connections(c, b), 50);
	ck_assert_int_eq(config_max_db_connections(c, a), 0);
	ck_assert_int_eq(config_max_db_client_connections(c, a), 0);
	ck_assert_int_eq(config_max_user_connections(c, v), 60);
	ck_assert_int_eq(config_max_user_connections(c, u), 3);
	ck_assert_int_eq(config_max_user_client_connections(c, u), 4);
	ck_assert_int_eq(config_weight(u), 8);
	ck_assert_int_eq(config_weight(v), 1);
	ck_assert_uint_eq(config_idle_transaction_timeout(c, v), 60 * USEC_PER_SEC);
	ck_assert_uint_eq(config_idle_transaction_timeout(c, u), 5 * USEC_PER_SEC);
	ck_assert_uint_eq(config_transaction_timeout(c, u), 6 * USEC_PER_SEC);
	ck_assert_uint_eq(config_client_idle_timeout(c, u), 7 * USEC_PER_SEC);
	ck_assert_uint_eq(config_server_lifetime(c, a), 0);
	ck_assert_uint_eq(config_server_lifetime(c, b), 100 * USEC_PER_SEC);
	config_unref(&c);
}
END_TEST

static const struct {
	const char *list, *name;
	bool want;
} lists[] = {
	{ "", "a", false },
	{ "a", "a", true },
	{ "ab", "a", false },
	{ "a,b", "b", true },
	{ " a , b ", "a", true },
	{ "a b", "a b", true },
	{ ",,b", "b", true },
	{ "a,,", "", false },
	{ "b", "ab", false },
	{ "a , b", "b ", false },
};

START_TEST(lists_hold_whole_names)
{
	ck_assert(config_list_has(lists[_i].list, lists[_i].name) == lists[_i].want);
}
END_TEST

/* ---- files ---- */

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

START_TEST(included_files_continue_the_section)
{
	char dir[] = "/tmp/pgweir-config-XXXXXX", main_path[64], part_path[64], text[300], want[600];
	struct config_error error;
	struct config *c;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(main_path, sizeof(main_path), "%s/main.ini", dir);
	snprintf(part_path, sizeof(part_path), "%s/part.ini", dir);
	snprintf(text, sizeof(text), "[pgweir]\n[databases]\n%%include %s\nc = host=3\nverbose = host=4\n",
		part_path);
	write_file(main_path, text);
	write_file(part_path, "a = host=1\n[users]\nu=\n[databases]\nb = host=2\n");
	c = config_load(main_path, &error);
	ck_assert_msg(c != NULL, "%s", error.text);
	ck_assert_str_eq(config_database(c, "a")->host, "1");
	ck_assert_str_eq(config_database(c, "b")->host, "2");
	ck_assert_str_eq(config_database(c, "c")->host, "3");
	ck_assert_str_eq(config_database(c, "verbose")->host, "4");
	ck_assert_str_eq(c->file, main_path);
	config_unref(&c);

	write_file(part_path, "\na = prt=1\n");
	ck_assert_ptr_null(config_load(main_path, &error));
	snprintf(want, sizeof(want),
		"%s:2: unknown key \"prt\" in a connection string; did you mean \"port\"?", part_path);
	ck_assert_str_eq(error.text, want);

	snprintf(text, sizeof(text), "%%include %s\n", part_path); /* it includes itself */
	write_file(part_path, text);
	ck_assert_ptr_null(config_load(main_path, &error));
	snprintf(want, sizeof(want), "%s:1: cannot read \"%s\": %%include is nested too deeply", part_path,
		part_path);
	ck_assert_str_eq(error.text, want);

	unlink(part_path);
	unlink(main_path);
	ck_assert_ptr_null(config_load(main_path, &error));
	snprintf(want, sizeof(want), "cannot read \"%s\": No such file or directory", main_path);
	ck_assert_str_eq(error.text, want);
	rmdir(dir);
}
END_TEST

START_TEST(the_number_of_included_files_is_bounded)
{
	char dir[] = "/tmp/pgweir-config-XXXXXX", main_path[64], part_path[64], *text = xstrdup("[pgweir]\n");
	struct config_error error;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(main_path, sizeof(main_path), "%s/main.ini", dir);
	snprintf(part_path, sizeof(part_path), "%s/part.ini", dir);
	write_file(part_path, "");
	for (int i = 0; i < INI_FILES_MAX; i++) {
		char *more = xasprintf("%s%%include %s\n", text, part_path);

		free(text);
		text = more;
	}
	write_file(main_path, text);
	ck_assert_ptr_null(config_load(main_path, &error));
	ck_assert_msg(strstr(error.text, "too many files are included") != NULL, "%s", error.text);
	free(text);
	unlink(part_path);
	unlink(main_path);
	rmdir(dir);
}
END_TEST

static void collect_key(void *ctx, const char *key)
{
	char *keys = ctx;

	strcat(strcat(keys, key), " ");
}

START_TEST(a_reload_keeps_what_needs_a_restart)
{
	char path[] = "/tmp/pgweir-config-XXXXXX", kept[200] = "";
	struct config_error error;
	struct config *old, *fresh;
	int fd = mkstemp(path);

	close(fd);
	write_file(path, "[pgweir]\nlisten_port = 7000\nlisten_addr = *\nquery_timeout = 1\n[databases]\na =\n");
	old = config_load(path, &error);
	ck_assert_ptr_nonnull(old);
	write_file(path, "[pgweir]\nlisten_port = 7001\nquery_timeout = 2\n[databases]\nb =\n");
	fresh = config_reload(old, collect_key, kept, &error);
	ck_assert_ptr_nonnull(fresh);
	ck_assert_str_eq(kept, "listen_addr listen_port ");
	ck_assert_int_eq(fresh->listen_port, 7000);
	ck_assert_str_eq(fresh->listen_addr, "*");
	ck_assert_uint_eq(fresh->query_timeout, 2 * USEC_PER_SEC);
	ck_assert_ptr_null(config_database(fresh, "a"));
	ck_assert_ptr_nonnull(config_database(fresh, "b"));
	config_unref(&fresh);

	write_file(path, "[pgweir]\nlisten_prt = 7001\n");
	ck_assert_ptr_null(config_reload(old, collect_key, kept, &error));
	ck_assert_msg(strstr(error.text, ":2: unknown key \"listen_prt\"") != NULL, "%s", error.text);
	ck_assert_int_eq(old->listen_port, 7000);
	config_unref(&old);
	unlink(path);
}
END_TEST

/* ---- SET ---- */

START_TEST(set_makes_a_new_snapshot)
{
	struct config *old = must_load(
		"[pgbouncer]\nlogfile = l\n[databases]\na = host=h password=p pool_size=3\n[users]\nu = pool_size=4\n");
	struct config_error error;
	struct config *c = config_with(old, "query_wait_timeout", "1.5", &error);

	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(old->query_wait_timeout, 120 * USEC_PER_SEC);
	config_unref(&old);
	ck_assert_uint_eq(c->query_wait_timeout, 1500000);
	ck_assert(c->is_pgbouncer);
	ck_assert_str_eq(c->file, "x.ini");
	ck_assert_str_eq(c->logfile, "l");
	ck_assert_str_eq(config_database(c, "a")->host, "h");
	ck_assert_str_eq(config_database(c, "a")->password, "p");
	ck_assert_int_eq(config_database(c, "a")->pool_size, 3);
	ck_assert_int_eq(config_database(c, "a")->line, 4);
	ck_assert_int_eq(config_user(c, "u")->pool_size, 4);
	config_unref(&c);
}
END_TEST

static const struct {
	const char *key, *value, *want;
} bad_sets[] = {
	{ "listen_port", "1", "listen_port can't be changed without a restart" },
	{ "poolmode", "session", "unknown key \"poolmode\" in SET; did you mean \"pool_mode\"?" },
	{ "pool_mode", "none", "pool_mode must be one of session, transaction, statement, not \"none\"" },
	{ "logfile", "a\nb", "logfile must not contain control characters" },
	{ "auth_type", "pass",
		"auth_type must be one of any, trust, plain, md5, scram-sha-256, cert, hba, ldap, pam, not \"pass\"" },
};

START_TEST(set_refuses_what_a_file_may_not_say)
{
	struct config *old = must_load("[pgweir]\n");
	struct config_error error;

	ck_assert_ptr_null(config_with(old, bad_sets[_i].key, bad_sets[_i].value, &error));
	ck_assert_str_eq(error.text, bad_sets[_i].want);
	config_unref(&old);
}
END_TEST

/* ---- URI instead of a file ---- */

START_TEST(a_uri_is_a_whole_configuration)
{
	struct config_error error;
	struct config *c = config_from_uri("postgresql://us:p%27w@db.example:5433/app?application_name=x", &error),
		      *set;

	ck_assert_msg(c != NULL, "%s", error.text);
	ck_assert(!c->is_pgbouncer && c->file == NULL);
	ck_assert_str_eq(c->listen_addr, "127.0.0.1");
	ck_assert_int_eq(c->listen_port, 6432);
	ck_assert_int_eq(c->auth_type, AUTH_TYPE_SCRAM);
	ck_assert_str_eq(config_uri_user(c), "us");
	ck_assert_str_eq(config_uri_password(c), "p'w");
	ck_assert_str_eq(c->stats_users, "us");
	ck_assert_str_eq(config_database(c, "app")->name, "app");
	ck_assert_str_eq(config_database(c, "app")->dbname, "app");
	ck_assert_str_eq(config_database(c, "app")->password, "p'w");
	ck_assert_str_eq(config_database(c, "app")->application_name, "x");
	ck_assert_int_eq(config_database(c, "app")->hosts->port, 5433);
	ck_assert_str_eq(config_database(c, "other")->name, "*");
	ck_assert_ptr_null(config_database(c, "other")->dbname);
	ck_assert_str_eq(config_database(c, "other")->host, "db.example");
	ck_assert_ptr_null(config_reload(c, NULL, NULL, &error));
	set = config_with(c, "verbose", "1", &error);
	ck_assert_str_eq(config_uri_password(set), "p'w");
	config_unref(&set);
	config_unref(&c);

	c = config_from_uri("postgres://us@h", &error);
	ck_assert_msg(c != NULL, "%s", error.text);
	ck_assert_int_eq(c->auth_type, AUTH_TYPE_TRUST);
	ck_assert_ptr_null(config_uri_password(c));
	ck_assert_ptr_null(c->databases->next);
	config_unref(&c);

	c = must_load("[pgweir]\n[databases]\n* = user=a password=b\n");
	ck_assert_ptr_null(config_uri_user(c));
	config_unref(&c);
}
END_TEST

static const struct {
	const char *uri, *want;
} bad_uris[] = {
	{ "mysql://u@h/d", "a URI begins with postgresql:// or postgres://" },
	{ "postgresql://h/d", "the URI names no user" },
	{ "postgresql://u@/d", "the URI names no host" },
	{ "postgresql://u@h/pgweir", "the database name \"pgweir\" is reserved for the console" },
	{ "postgresql://u:p@h/d?channel_binding=maybe",
		"channel_binding must be one of prefer, disable, require, not \"maybe\"" },
	{ "postgresql://u:p@h/d?options=-csearch_path%3Dx",
		"the parameter options in a URI is not supported yet by this version" },
	{ "postgresql://u:p@h,/d", "host has an empty name in its list" },
	{ "postgresql://u:p@h:x/d",
		"bad URI: the port is not a number (in a password / is written %2F, @ %40, : %3A and ? %3F)" },
};

START_TEST(a_uri_that_asks_for_too_much_is_refused)
{
	struct config_error error;

	ck_assert_ptr_null(config_from_uri(bad_uris[_i].uri, &error));
	ck_assert_str_eq(error.text, bad_uris[_i].want);
}
END_TEST

/* ---- what we ship beside the program; the tests run at the repository's top ---- */

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = xmalloc(1 << 20);
	size_t n;

	ck_assert_msg(f != NULL, "%s", path);
	n = fread(text, 1, (1 << 20) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

/* An entry is `.It Ic key` and then, in [pgweir] and [pgbouncer], a line made from the table. */
static void check_entry(const char *page, const struct setting *s, bool is_global)
{
	const char *b = s->bouncer && *s->bouncer ? s->bouncer : "empty", *w = s->weir;
	char *head = xasprintf("\n.It Ic %s\n", s->key), *entry;

	if (is_global)
		entry = xasprintf("%sDefault: %s%s%s%s.\n", head,
			strcmp(s->key, "conffile") ? b : "the file that was read", w ? ", in [pgweir] " : "",
			w ? w : "", s->changeable ? "" : "; needs a restart");
	else
		entry = xstrdup(head);
	ck_assert_msg(strstr(page, entry) != NULL, "man/pgweir.ini.5 lacks:%s", entry);
	free(entry);
	free(head);
}

static const struct {
	const char *section, *next;
	const struct settings *settings;
} manual[] = {
	{ "\n.Sh SETTINGS\n", "\n.Sh DATABASES\n", &global_settings },
	{ "\n.Sh DATABASES\n", "\n.Sh USERS\n", &database_settings },
	{ "\n.Sh USERS\n", "\n.Sh PEERS\n", &user_settings },
	{ "\n.Sh PEERS\n", "\n.Sh HBA FILE\n", &peer_settings },
};

/* The text of a section alone. The pages below /api are entries, too, but of another kind: .It Pa. */
static char *manual_section(size_t i)
{
	char *page = slurp("man/pgweir.ini.5"), *from = strstr(page, manual[i].section),
	     *to = strstr(page, manual[i].next), *section;

	ck_assert_msg(from && to && from < to, "man/pgweir.ini.5 lacks%s", manual[i].section);
	section = xasprintf("%.*s", (int)(to - from), from);
	free(page);
	return section;
}

START_TEST(the_manual_page_has_every_setting_and_its_defaults)
{
	const struct settings *t = manual[_i].settings;
	char *section = manual_section((size_t)_i);

	for (size_t i = 0; i < t->count; i++)
		check_entry(section, &t->rows[i], t == &global_settings);
	free(section);
}
END_TEST

START_TEST(the_manual_page_has_no_other_settings_and_none_twice)
{
	const struct settings *t = manual[_i].settings;
	char *section = manual_section((size_t)_i);
	size_t entries = 0;

	for (const char *p = section; (p = strstr(p, "\n.It Ic ")) != NULL; entries++) {
		char *key;

		p += strlen("\n.It Ic ");
		key = xasprintf("%.*s", (int)strcspn(p, "\n"), p);
		ck_assert_msg(setting_find(t, key) != NULL, "man/pgweir.ini.5 has the entry %s", key);
		free(key);
	}
	ck_assert_uint_eq(entries, t->count);
	free(section);
}
END_TEST

/* The sample's `;key = value` lines are the defaults: it loads as it is, and loads the same with all of them active. */
START_TEST(the_sample_loads_with_and_without_its_comments)
{
	struct config_error error;
	struct config *c = config_load("etc/pgweir.ini", &error), *all;
	char *text = slurp("etc/pgweir.ini"), *p = text;

	ck_assert_msg(c != NULL, "%s", error.text);
	while ((p = strstr(p, "\n;")))
		*++p = ' ';
	all = config_load_text("etc/pgweir.ini", text, strlen(text), &error);
	ck_assert_msg(all != NULL, "%s", error.text);
	for (size_t i = 0; i < global_settings.count; i++) {
		struct shown a = show(c, global_settings.rows[i].key), b = show(all, global_settings.rows[i].key);

		ck_assert_msg(strcmp(a.value, b.value) == 0,
			"%s: \"%s\" in effect, but the sample says \"%s\"", a.key, a.value, b.value);
	}
	config_unref(&c);
	config_unref(&all);
	free(text);
}
END_TEST

UNIT_MAIN("config", {
	tcase_add_loop_test(tc, tables_are_sorted_so_that_keys_are_found, 0, 3);
	tcase_add_test(tc, every_key_of_pgbouncer_is_known);
	tcase_add_loop_test(tc, every_default_may_be_written, 0, (int)global_settings.count * 2);
	tcase_add_test(tc, show_lists_every_setting_once);
	tcase_add_test(tc, sections_differ_in_their_defaults);
	tcase_add_loop_test(tc, values_are_read_and_shown, 0, N_ELEMENTS(good));
	tcase_add_loop_test(tc, mistakes_are_told_with_file_and_line, 0, N_ELEMENTS(bad));
	tcase_add_loop_test(tc, passwords_are_never_in_an_error, 0, N_ELEMENTS(leaky));
	tcase_add_test(tc, passwords_are_never_shown);
	tcase_add_test(tc, limits_of_the_file_hold);
	tcase_add_test(tc, a_line_without_its_end_and_a_byte_order_mark_are_read);
	tcase_add_test(tc, later_duplicates_win);
	tcase_add_test(tc, databases_are_found_by_name_then_by_star);
	tcase_add_test(tc, a_connection_string_sets_every_field);
	tcase_add_test(tc, a_database_has_its_own_ways_to_authenticate);
	tcase_add_test(tc, a_database_may_be_a_uri);
	tcase_add_test(tc, user_comes_before_database_before_global);
	tcase_add_loop_test(tc, lists_hold_whole_names, 0, N_ELEMENTS(lists));
	tcase_add_test(tc, included_files_continue_the_section);
	tcase_add_test(tc, the_number_of_included_files_is_bounded);
	tcase_add_test(tc, a_reload_keeps_what_needs_a_restart);
	tcase_add_test(tc, set_makes_a_new_snapshot);
	tcase_add_loop_test(tc, set_refuses_what_a_file_may_not_say, 0, N_ELEMENTS(bad_sets));
	tcase_add_test(tc, a_uri_is_a_whole_configuration);
	tcase_add_loop_test(tc, a_uri_that_asks_for_too_much_is_refused, 0, N_ELEMENTS(bad_uris));
	tcase_add_loop_test(tc, the_manual_page_has_every_setting_and_its_defaults, 0, N_ELEMENTS(manual));
	tcase_add_loop_test(tc, the_manual_page_has_no_other_settings_and_none_twice, 0, N_ELEMENTS(manual));
	tcase_add_test(tc, the_sample_loads_with_and_without_its_comments);
})
