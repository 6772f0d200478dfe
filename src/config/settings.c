#include "config/settings.h"

#include "config/config.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COUNT_MAX 1000000000 /* sums of a few of them still fit an int */
#define TEXT_MAX 65535
#define SECRET_MAX 65536
#define NAME_MAX_BYTES 127
#define SECONDS(n) ((int64_t)(n) * (int64_t)USEC_PER_SEC)
#define TIME_MAX SECONDS(1000000000)

static const char *const log_formats[] = { "text", "json", NULL };
static const char *const pool_modes[] = {
	[POOL_SESSION] = "session",
	[POOL_TRANSACTION] = "transaction",
	[POOL_STATEMENT] = "statement",
	NULL,
};
static const char *const session_features[] = {
	[FEATURES_PIN] = "pin", [FEATURES_ERROR] = "error", [FEATURES_IGNORE] = "ignore", NULL
};
static const char *const session_probes[] = {
	[PROBE_SUSPECT] = "suspect", [PROBE_ALWAYS] = "always", [PROBE_OFF] = "off", NULL
};
static const char *const auth_types[] = {
	[AUTH_TYPE_ANY] = "any",
	[AUTH_TYPE_TRUST] = "trust",
	[AUTH_TYPE_PLAIN] = "plain",
	[AUTH_TYPE_MD5] = "md5",
	[AUTH_TYPE_SCRAM] = "scram-sha-256",
	[AUTH_TYPE_CERT] = "cert",
	[AUTH_TYPE_HBA] = "hba",
	[AUTH_TYPE_LDAP] = "ldap",
	[AUTH_TYPE_PAM] = "pam",
	NULL,
};
static const char *const fairnesses[] = {
	[FAIRNESS_OFF] = "off", [FAIRNESS_USER] = "user", [FAIRNESS_APPLICATION_NAME] = "application_name", [FAIRNESS_CLIENT_ADDR] = "client_addr", NULL
};
static const char *const timeout_actions[] = { [TIMEOUT_ERROR] = "error", [TIMEOUT_DISCONNECT] = "disconnect", NULL };
static const char *const facilities[] = { "auth", "authpriv", "daemon", "user", "local0", "local1", "local2",
	"local3", "local4", "local5", "local6", "local7", NULL };
static const char *const tls_modes[] = {
	[TLS_DISABLE] = "disable",
	[TLS_ALLOW] = "allow",
	[TLS_PREFER] = "prefer",
	[TLS_REQUIRE] = "require",
	[TLS_VERIFY_CA] = "verify-ca",
	[TLS_VERIFY_FULL] = "verify-full",
	NULL,
};
static const char *const tls_negotiations[] = {
	[NEGOTIATE_POSTGRES] = "postgres", [NEGOTIATE_DIRECT] = "direct", NULL
};
static const char *const channel_bindings[] = {
	[BINDING_PREFER] = "prefer", [BINDING_DISABLE] = "disable", [BINDING_REQUIRE] = "require", NULL
};
static const char *const protocol_versions[] = {
	[VERSION_3_0] = "3.0", [VERSION_3_2] = "3.2", [VERSION_LATEST] = "latest", NULL
};
static const char *const dheparams[] = { "auto", "legacy", "none", NULL };

static const char *const load_balances[] = {
	[BALANCE_ROUND_ROBIN] = "round-robin", [BALANCE_DISABLE] = "disable", NULL
};
static const char *const session_attrs[] = {
	[ATTRS_ANY] = "any",
	[ATTRS_READ_WRITE] = "read-write",
	[ATTRS_READ_ONLY] = "read-only",
	[ATTRS_PRIMARY] = "primary",
	[ATTRS_STANDBY] = "standby",
	[ATTRS_PREFER_STANDBY] = "prefer-standby",
	NULL,
};

/*
 * A row names its field's type: a table that disagrees with config.h doesn't compile.
 * BOOT: fixed when the program starts. LIVE: SET and RELOAD change it. NO_WEIR: [pgweir] has the same default.
 */
#define OFFSET(strct, c_type, field)                                                                         \
	(offsetof(struct strct, field) + 0 * sizeof(1 ? (c_type *)0 : &((struct strct *)0)->field))
#define BOOT false
#define LIVE true
#define NO_WEIR NULL

#define ROW(...)                                                                                             \
	{                                                                                                    \
		__VA_ARGS__                                                                                  \
	}
#define BOOL(k, f, when, b, w) ROW(k, SETTING_BOOL, when, OFFSET(config, bool, f), b, w, 0, 1, NULL, NULL)
#define INT(k, f, when, b, w, lo, hi)                                                                        \
	ROW(k, SETTING_INT, when, OFFSET(config, int, f), b, w, lo, hi, NULL, NULL)
#define COUNT(k, f, when, b, w, lo) INT(k, f, when, b, w, lo, COUNT_MAX)
#define AUTO(k, f, when, b, w, lo, hi)                                                                       \
	ROW(k, SETTING_AUTO_INT, when, OFFSET(config, int, f), b, w, lo, hi, NULL, NULL)
#define TIME_FROM(k, f, when, b, w, lo)                                                                      \
	ROW(k, SETTING_TIME, when, OFFSET(config, usec_t, f), b, w, lo, TIME_MAX, NULL, NULL)
#define TIME(k, f, when, b, w) TIME_FROM(k, f, when, b, w, 0)
#define TEXT_FROM(k, f, when, b, w, lo)                                                                      \
	ROW(k, SETTING_TEXT, when, OFFSET(config, char *, f), b, w, lo, TEXT_MAX, NULL, NULL)
#define TEXT(k, f, when, b, w) TEXT_FROM(k, f, when, b, w, 0)
#define SECRET(k, f, when)                                                                                   \
	ROW(k, SETTING_SECRET, when, OFFSET(config, char *, f), NULL, NULL, 0, TEXT_MAX, NULL, NULL)
#define WORD(k, f, when, b, w, c, later)                                                                     \
	ROW(k, SETTING_WORD, when, OFFSET(config, char *, f), b, w, 0, 0, c, later)
#define CHOICE(k, t, f, when, b, w, c, later)                                                                \
	ROW(k, SETTING_CHOICE, when, OFFSET(config, enum t, f), b, w, 0, 0, c, later)
#define FIXED(k, when, b, later) ROW(k, SETTING_FIXED, when, 0, b, NULL, 0, 0, NULL, later)

#define AUTH_QUERY                                                                                           \
	"SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END FROM pg_authid "     \
	"WHERE rolname=$1 AND rolcanlogin"

/* The reasons for the defaults of [pgweir] are in man/pgweir.ini.5. */
static const struct setting global_rows[] = {
	TEXT("admin_users", admin_users, LIVE, "", NO_WEIR),
	BOOL("application_name_add_host", application_name_add_host, LIVE, "0", NO_WEIR),
	TEXT("auth_dbname", auth_dbname, LIVE, NULL, NO_WEIR),
	ROW("auth_failure_delay", SETTING_TIME, LIVE, OFFSET(config, usec_t, auth_failure_delay), "0", "0.5",
		0, SECONDS(3600), NULL, NULL),
	TEXT("auth_file", auth_file, LIVE, NULL, NO_WEIR),
	TEXT("auth_hba_file", auth_hba_file, LIVE, "", NO_WEIR),
	TEXT("auth_ident_file", auth_ident_file, LIVE, NULL, NO_WEIR),
	SECRET("auth_ldap_options", auth_ldap_options, LIVE),
	TEXT_FROM("auth_query", auth_query, LIVE, AUTH_QUERY, NO_WEIR, 1),
	TIME("auth_query_cache_ttl", auth_query_cache_ttl, LIVE, "1", NO_WEIR),
	INT("auth_threads", auth_threads, BOOT, "4", NO_WEIR, 1, 256),
	CHOICE("auth_type", auth_type, auth_type, LIVE, "md5", "scram-sha-256", auth_types, NULL),
	TEXT("auth_user", auth_user, LIVE, NULL, NO_WEIR),
	TIME("autodb_idle_timeout", autodb_idle_timeout, LIVE, "3600", NO_WEIR),
	TIME("cancel_wait_timeout", cancel_wait_timeout, LIVE, "10", NO_WEIR),
	TIME("client_idle_timeout", client_idle_timeout, LIVE, "0", NO_WEIR),
	TIME("client_login_timeout", client_login_timeout, LIVE, "60", NO_WEIR),
	TEXT("client_tls13_ciphers", client_tls.tls13_ciphers, LIVE, NULL, NO_WEIR),
	TEXT("client_tls_ca_file", client_tls.ca_file, LIVE, "", NO_WEIR),
	TEXT("client_tls_cert_file", client_tls.cert_file, LIVE, "", NO_WEIR),
	TEXT("client_tls_ciphers", client_tls.ciphers, LIVE, "default", NO_WEIR),
	WORD("client_tls_dheparams", client_tls.dheparams, LIVE, "auto", NO_WEIR, dheparams, NULL),
	TEXT("client_tls_ecdhcurve", client_tls.curves, LIVE, "auto", NO_WEIR),
	TEXT("client_tls_key_file", client_tls.key_file, LIVE, "", NO_WEIR),
	TEXT("client_tls_protocols", client_tls.protocols, LIVE, "secure", NO_WEIR),
	CHOICE("client_tls_sslmode", tls_mode, client_tls.mode, LIVE, "disable", NO_WEIR, tls_modes, NULL),
	BOOL("client_tls_tickets", client_tls.tickets, LIVE, "0", NO_WEIR),
	TIME("client_write_timeout", client_write_timeout, LIVE, "0", "30"),
	TEXT_FROM("conffile", file, LIVE, NULL, NO_WEIR, 1),
	COUNT("default_pool_size", default_pool_size, LIVE, "20", NO_WEIR, 1),
	BOOL("disable_pqexec", disable_pqexec, BOOT, "0", NO_WEIR),
	TIME("dns_max_ttl", dns_max_ttl, LIVE, "15", NO_WEIR),
	TIME("dns_nxdomain_ttl", dns_nxdomain_ttl, LIVE, "15", NO_WEIR),
	FIXED("dns_zone_check_period", LIVE, "0", NULL),
	TIME("drain_timeout", drain_timeout, LIVE, "0", "25"),
	TIME("handoff_tolerance", handoff_tolerance, LIVE, "0.002", NO_WEIR),
	TEXT("http_listen", http_listen, BOOT, "", NO_WEIR),
	SECRET("http_token", http_token, LIVE),
	TEXT("http_token_file", http_token_file, LIVE, "", NO_WEIR),
	TIME("http_unready_after", http_unready_after, LIVE, "30", NO_WEIR),
	TIME("idle_in_transaction_grace", idle_in_transaction_grace, LIVE, "1", NO_WEIR),
	TIME("idle_transaction_timeout", idle_transaction_timeout, LIVE, "0", "60"),
	TEXT("ignore_startup_parameters", ignore_startup_parameters, LIVE, "", NO_WEIR),
	TEXT("job_name", job_name, BOOT, "pgbouncer", "pgweir"),
	TEXT("listen_addr", listen_addr, BOOT, "", "127.0.0.1"),
	COUNT("listen_backlog", listen_backlog, BOOT, "128", "4096", 1),
	INT("listen_port", listen_port, BOOT, "6432", NO_WEIR, 1, 65535),
	BOOL("log_connections", log_connections, LIVE, "1", "0"),
	BOOL("log_disconnections", log_disconnections, LIVE, "1", "0"),
	CHOICE("log_format", log_format, log_format, LIVE, "text", NO_WEIR, log_formats, NULL),
	TIME("log_min_duration_transaction", log_min_duration_transaction, LIVE, "0", NO_WEIR),
	TIME("log_min_duration_wait", log_min_duration_wait, LIVE, "0", "5"),
	BOOL("log_pooler_errors", log_pooler_errors, LIVE, "1", NO_WEIR),
	BOOL("log_stats", log_stats, LIVE, "1", NO_WEIR),
	TEXT("logfile", logfile, LIVE, "", NO_WEIR),
	COUNT("login_concurrency", login_concurrency, LIVE, "64", NO_WEIR, 1),
	AUTO("login_threads", login_threads, BOOT, "auto", NO_WEIR, 1, 256),
	COUNT("max_client_conn", max_client_conn, LIVE, "100", "10000", 1),
	COUNT("max_client_conn_per_addr", max_client_conn_per_addr, LIVE, "0", NO_WEIR, 0),
	COUNT("max_db_client_connections", max_db_client_connections, LIVE, "0", NO_WEIR, 0),
	COUNT("max_db_connections", max_db_connections, LIVE, "0", NO_WEIR, 0),
	ROW("max_packet_size", SETTING_UINT32, LIVE, OFFSET(config, uint32_t, max_packet_size), "2147483647",
		NO_WEIR, 1, INT_MAX, NULL, NULL),
	AUTO("max_pinned", max_pinned, LIVE, "auto", NO_WEIR, 1, COUNT_MAX),
	INT("max_prepared_statements", max_prepared_statements, LIVE, "200", NO_WEIR, 0, 1000000),
	COUNT("max_user_client_connections", max_user_client_connections, LIVE, "0", NO_WEIR, 0),
	COUNT("max_user_connections", max_user_connections, LIVE, "0", NO_WEIR, 0),
	COUNT("max_waiting_clients", max_waiting_clients, LIVE, "0", "10000", 0),
	COUNT("min_pool_size", min_pool_size, LIVE, "0", NO_WEIR, 0),
	TIME("password_ttl", password_ttl, LIVE, "600", NO_WEIR),
	INT("peer_id", peer_id, LIVE, "0", NO_WEIR, 0, 16383),
	TEXT("pidfile", pidfile, BOOT, "", NO_WEIR),
	TIME("pin_idle_timeout", pin_idle_timeout, LIVE, "0", NO_WEIR),
	BOOL("pin_notice", pin_notice, LIVE, "1", NO_WEIR),
	COUNT("pkt_buf", inert.pkt_buf, BOOT, "4096", NO_WEIR, 1),
	CHOICE("pool_mode", pool_mode, pool_mode, LIVE, "session", "transaction", pool_modes, NULL),
	TEXT("priority_users", priority_users, LIVE, "", NO_WEIR),
	TIME("query_timeout", query_timeout, LIVE, "0", NO_WEIR),
	TIME("query_wait_notify", query_wait_notify, LIVE, "5", NO_WEIR),
	BOOL("query_wait_prediction", query_wait_prediction, LIVE, "0", "1"),
	TIME("query_wait_timeout", query_wait_timeout, LIVE, "120", "30"),
	CHOICE("query_wait_timeout_action", timeout_action, query_wait_timeout_action, LIVE, "disconnect",
		"error", timeout_actions, NULL),
	CHOICE("queue_fairness", queue_fairness, queue_fairness, LIVE, "off", NO_WEIR, fairnesses, NULL),
	TIME("reclaim_after", reclaim_after, LIVE, "0", "1"),
	COUNT("reserve_pool_size", reserve_pool_size, LIVE, "0", NO_WEIR, 0),
	TIME("reserve_pool_timeout", reserve_pool_timeout, LIVE, "5", NO_WEIR),
	COUNT("reserved_client_conn", reserved_client_conn, LIVE, "0", NO_WEIR, 0),
	FIXED("resolv_conf", BOOT, "", NULL),
	COUNT("sbuf_loopcnt", inert.sbuf_loopcnt, LIVE, "5", NO_WEIR, 0),
	INT("scram_iterations", scram_iterations, LIVE, "4096", NO_WEIR, 1, 10000000),
	TIME("server_census", server_census, LIVE, "0", "10"),
	TIME("server_check_delay", server_check_delay, LIVE, "30", NO_WEIR),
	TEXT("server_check_query", server_check_query, LIVE, "<empty>", NO_WEIR),
	COUNT("server_connect_concurrency", server_connect_concurrency, LIVE, "8", NO_WEIR, 1),
	TIME("server_connect_timeout", server_connect_timeout, LIVE, "15", NO_WEIR),
	BOOL("server_fast_close", server_fast_close, LIVE, "0", NO_WEIR),
	TIME("server_idle_timeout", server_idle_timeout, LIVE, "600", NO_WEIR),
	TIME("server_lifetime", server_lifetime, LIVE, "3600", NO_WEIR),
	TIME("server_login_retry", server_login_retry, LIVE, "15", "1"),
	TEXT("server_reset_query", server_reset_query, LIVE, "DISCARD ALL", NO_WEIR),
	BOOL("server_reset_query_always", server_reset_query_always, LIVE, "0", NO_WEIR),
	BOOL("server_round_robin", server_round_robin, LIVE, "0", NO_WEIR),
	TEXT("server_tls13_ciphers", server_tls.tls13_ciphers, LIVE, NULL, NO_WEIR),
	TEXT("server_tls_ca_file", server_tls.ca_file, LIVE, "", NO_WEIR),
	TEXT("server_tls_cert_file", server_tls.cert_file, LIVE, "", NO_WEIR),
	TEXT("server_tls_ciphers", server_tls.ciphers, LIVE, "default", NO_WEIR),
	TEXT("server_tls_key_file", server_tls.key_file, LIVE, "", NO_WEIR),
	CHOICE("server_tls_negotiation", tls_negotiation, server_tls_negotiation, LIVE, "postgres", NO_WEIR,
		tls_negotiations, NULL),
	TEXT("server_tls_protocols", server_tls.protocols, LIVE, "secure", NO_WEIR),
	CHOICE("server_tls_sslmode", tls_mode, server_tls.mode, LIVE, "prefer", NO_WEIR, tls_modes, NULL),
	CHOICE("session_features", session_features, session_features, LIVE, "ignore", "pin", session_features, NULL),
	CHOICE("session_probe", session_probe, session_probe, LIVE, "suspect", NO_WEIR, session_probes, NULL),
	BOOL("so_reuseport", so_reuseport, BOOT, "0", NO_WEIR),
	TIME_FROM("stats_period", stats_period, LIVE, "60", NO_WEIR, SECONDS(1) / 10),
	TEXT("stats_users", stats_users, LIVE, "", NO_WEIR),
	TEXT("suspect_functions", suspect_functions, LIVE, "", NO_WEIR),
	TIME("suspend_timeout", suspend_timeout, LIVE, "10", NO_WEIR),
	BOOL("syslog", syslog, LIVE, "0", NO_WEIR),
	WORD("syslog_facility", syslog_facility, LIVE, "daemon", NO_WEIR, facilities, NULL),
	TEXT("syslog_ident", syslog_ident, LIVE, "pgbouncer", "pgweir"),
	BOOL("tcp_defer_accept", tcp_defer_accept, LIVE, "1", NO_WEIR),
	BOOL("tcp_keepalive", tcp_keepalive, LIVE, "1", NO_WEIR),
	INT("tcp_keepcnt", tcp_keepcnt, LIVE, "0", "3", 0, 127),
	INT("tcp_keepidle", tcp_keepidle, LIVE, "0", "30", 0, 32767),
	INT("tcp_keepintvl", tcp_keepintvl, LIVE, "0", "10", 0, 32767),
	COUNT("tcp_socket_buffer", tcp_socket_buffer, LIVE, "0", NO_WEIR, 0),
	COUNT("tcp_user_timeout", tcp_user_timeout, LIVE, "0", "60000", 0),
	TEXT("track_extra_parameters", inert.track_extra_parameters, BOOT, "IntervalStyle", NO_WEIR),
	TIME("transaction_timeout", transaction_timeout, LIVE, "0", NO_WEIR),
	TEXT("unix_socket_dir", unix_socket_dir, BOOT, "/tmp", NO_WEIR),
	TEXT("unix_socket_group", unix_socket_group, BOOT, "", NO_WEIR),
	ROW("unix_socket_mode", SETTING_OCTAL, BOOT, OFFSET(config, int, unix_socket_mode), "0777", NO_WEIR,
		0, 0777, NULL, NULL),
	TEXT("user", user, BOOT, NULL, NO_WEIR),
	INT("verbose", verbose, LIVE, "0", NO_WEIR, 0, 3),
	AUTO("worker_threads", worker_threads, BOOT, "auto", NO_WEIR, 1, 256),
};

/* The same row macros for the lines of [databases] and [users]: NULL and -1 mean "not set". */
#define DB(k, t, c_type, f, lo, hi)                                                                          \
	ROW(k, t, LIVE, OFFSET(config_database, c_type, f), NULL, NULL, lo, hi, NULL, NULL)
#define DB_TEXT(k, f, hi) DB(k, SETTING_TEXT, char *, f, 0, hi)
#define DB_COUNT(k, f, lo) DB(k, SETTING_INT, int, f, lo, COUNT_MAX)
#define DB_TIME(k, f) DB(k, SETTING_TIME, int64_t, f, 0, TIME_MAX)
#define USER(k, t, c_type, f, lo, hi)                                                                        \
	ROW(k, t, LIVE, OFFSET(config_user, c_type, f), NULL, NULL, lo, hi, NULL, NULL)
#define USER_COUNT(k, f, lo) USER(k, SETTING_INT, int, f, lo, COUNT_MAX)
#define USER_TIME(k, f) USER(k, SETTING_TIME, int64_t, f, 0, TIME_MAX)

static const struct setting database_rows[] = {
	DB_TEXT("application_name", application_name, TEXT_MAX),
	DB_TEXT("auth_dbname", auth_dbname, 63),
	DB("auth_query", SETTING_TEXT, char *, auth_query, 1, TEXT_MAX),
	DB_TEXT("auth_user", auth_user, NAME_MAX_BYTES),
	ROW("channel_binding", SETTING_CHOICE, LIVE, OFFSET(config_database, enum channel_binding, channel_binding),
		NULL, NULL, 0, 0, channel_bindings, NULL),
	DB_TEXT("client_encoding", client_encoding, NAME_MAX_BYTES),
	DB_TEXT("connect_query", connect_query, TEXT_MAX),
	DB_TEXT("datestyle", datestyle, NAME_MAX_BYTES),
	DB("dbname", SETTING_TEXT, char *, dbname, 1, 63),
	DB_TEXT("host", host, 8192),
	ROW("load_balance_hosts", SETTING_CHOICE, LIVE,
		OFFSET(config_database, enum load_balance, load_balance_hosts), NULL, NULL, 0, 0,
		load_balances, NULL),
	DB_COUNT("max_db_client_connections", max_db_client_connections, 0),
	DB_COUNT("max_db_connections", max_db_connections, 0),
	DB_COUNT("max_pinned", max_pinned, 1),
	ROW("max_protocol_version", SETTING_CHOICE, LIVE,
		OFFSET(config_database, enum protocol_version, max_protocol_version), NULL, NULL, 0, 0,
		protocol_versions, NULL),
	DB_COUNT("min_pool_size", min_pool_size, 0),
	DB("password", SETTING_SECRET, char *, password, 0, SECRET_MAX),
	DB("password_command", SETTING_SECRET, char *, password_command, 1, TEXT_MAX),
	DB("password_file", SETTING_TEXT, char *, password_file, 1, 4095),
	DB_TIME("password_ttl", password_ttl),
	ROW("pool_mode", SETTING_CHOICE, LIVE, OFFSET(config_database, enum pool_mode, pool_mode), NULL, NULL,
		0, 0, pool_modes, NULL),
	DB_COUNT("pool_size", pool_size, 1),
	DB_TEXT("port", port, 1024),
	DB_TIME("query_wait_timeout", query_wait_timeout),
	DB_COUNT("reserve_pool", reserve_pool_size, 0), /* PgBouncer's old name */
	DB_COUNT("reserve_pool_size", reserve_pool_size, 0),
	DB_TIME("server_lifetime", server_lifetime),
	ROW("session_features", SETTING_CHOICE, LIVE,
		OFFSET(config_database, enum session_features, session_features), NULL, NULL, 0, 0,
		session_features, NULL),
	DB_TEXT("sslcert", sslcert, TEXT_MAX),
	DB_TEXT("sslkey", sslkey, TEXT_MAX),
	ROW("sslmode", SETTING_CHOICE, LIVE, OFFSET(config_database, enum tls_mode, sslmode), NULL, NULL, 0,
		0, tls_modes, NULL),
	ROW("sslnegotiation", SETTING_CHOICE, LIVE, OFFSET(config_database, enum tls_negotiation, sslnegotiation),
		NULL, NULL, 0, 0, tls_negotiations, NULL),
	DB_TEXT("sslrootcert", sslrootcert, TEXT_MAX),
	ROW("target_session_attrs", SETTING_CHOICE, LIVE,
		OFFSET(config_database, enum session_attrs, target_session_attrs), NULL, NULL, 0, 0,
		session_attrs, NULL),
	DB_TEXT("timezone", timezone, NAME_MAX_BYTES),
	DB("user", SETTING_TEXT, char *, user, 1, NAME_MAX_BYTES),
};

static const struct setting user_rows[] = {
	USER_TIME("client_idle_timeout", client_idle_timeout),
	USER_TIME("idle_transaction_timeout", idle_transaction_timeout),
	USER_COUNT("max_user_client_connections", max_user_client_connections, 0),
	USER_COUNT("max_user_connections", max_user_connections, 0),
	ROW("pool_mode", SETTING_CHOICE, LIVE, OFFSET(config_user, enum pool_mode, pool_mode), NULL, NULL, 0,
		0, pool_modes, NULL),
	USER_COUNT("pool_size", pool_size, 1),
	USER_TIME("query_timeout", query_timeout),
	USER_TIME("query_wait_timeout", query_wait_timeout),
	USER_COUNT("reserve_pool_size", reserve_pool_size, 0),
	USER_TIME("transaction_timeout", transaction_timeout),
	USER("weight", SETTING_INT, int, weight, 1, 1000),
};

static const struct setting peer_rows[] = {
	ROW("host", SETTING_TEXT, LIVE, OFFSET(config_peer, char *, host), NULL, NULL, 1, 1024, NULL, NULL),
	ROW("pool_size", SETTING_INT, LIVE, OFFSET(config_peer, int, pool_size), NULL, NULL, 1, COUNT_MAX,
		NULL, NULL),
	ROW("port", SETTING_INT, LIVE, OFFSET(config_peer, int, port), NULL, NULL, 1, 65535, NULL, NULL),
};

const struct settings peer_settings = { peer_rows, N_ELEMENTS(peer_rows) };
const struct settings global_settings = { global_rows, N_ELEMENTS(global_rows) };
const struct settings database_settings = { database_rows, N_ELEMENTS(database_rows) };
const struct settings user_settings = { user_rows, N_ELEMENTS(user_rows) };

static int compare_key(const void *key, const void *row)
{
	return strcmp(key, ((const struct setting *)row)->key);
}

const struct setting *setting_find(const struct settings *t, const char *key)
{
	return bsearch(key, t->rows, t->count, sizeof(*t->rows), compare_key);
}

/* Optimal string alignment: an insertion, a deletion, a substitution or a swap of neighbours costs one. */
#define GUESS_MAX 40
static size_t edit_distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), d[GUESS_MAX + 1][GUESS_MAX + 1];

	if (la > GUESS_MAX || lb > GUESS_MAX)
		return SIZE_MAX;
	for (size_t i = 0; i <= la; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= lb; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		for (size_t j = 1; j <= lb; j++) {
			d[i][j] = MIN(d[i - 1][j], d[i][j - 1]) + 1;
			d[i][j] = MIN(d[i][j], d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = MIN(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[la][lb];
}

bool word_is_near(const char *a, const char *b)
{
	return edit_distance(a, b) <= MIN(strlen(b) / 3, 3);
}

const char *setting_guess(const struct settings *t, const char *key)
{
	const char *best = NULL;
	size_t best_distance = SIZE_MAX;

	for (size_t i = 0; i < t->count; i++) {
		size_t distance = edit_distance(key, t->rows[i].key);

		if (word_is_near(key, t->rows[i].key) && distance < best_distance) {
			best = t->rows[i].key;
			best_distance = distance;
		}
	}
	return best;
}

static void *field_of(const struct setting *s, void *base)
{
	return (char *)base + s->offset;
}

bool setting_owns_text(const struct setting *s)
{
	return s->type == SETTING_TEXT || s->type == SETTING_SECRET || s->type == SETTING_WORD;
}

char **setting_text_field(const struct setting *s, void *base)
{
	ASSERT(setting_owns_text(s));
	return field_of(s, base);
}

static void set_text(const struct setting *s, void *base, const char *value)
{
	char **field = setting_text_field(s, base), *copy = xstrdup(value);

	secure_free(field);
	*field = copy;
}

static bool refuse(char *why, size_t size, const struct setting *s, const char *wants, const char *value)
{
	snprintf(why, size, "%s must be %s, not \"%.40s\"", s->key, wants, value);
	return false;
}

static int find_word(const char *const *words, const char *value)
{
	for (int i = 0; words && words[i]; i++)
		if (strcasecmp(words[i], value) == 0)
			return i;
	return -1;
}

static bool parse_bool(const struct setting *s, void *base, const char *value, char *why, size_t size)
{
	static const char *const words[] = { "0", "1", "off", "on", "no", "yes", "false", "true", NULL };
	int i = find_word(words, value);
	bool b = i % 2;

	if (i < 0)
		return refuse(why, size, s, "0 or 1", value);
	memcpy(field_of(s, base), &b, sizeof(b));
	return true;
}

/* Digits of the given base and nothing else, so that "1e3", "0x10", " 1" and "" are told as mistakes. */
static bool read_digits(const char *value, int64_t radix, int64_t max, int64_t *out)
{
	int64_t n = 0;

	if (!*value)
		return false;
	for (; *value; value++) {
		if (*value < '0' || *value >= '0' + radix)
			return false;
		n = n * radix + (*value - '0');
		if (n > max)
			return false;
	}
	*out = n;
	return true;
}

static bool parse_number(const struct setting *s, void *base, const char *value, char *why, size_t size)
{
	bool is_auto = s->type == SETTING_AUTO_INT && strcasecmp(value, "auto") == 0;
	char wants[80];
	int64_t n = 0;
	int as_int;

	if (!is_auto && (!read_digits(value, 10, s->max, &n) || n < s->min)) {
		snprintf(wants, sizeof(wants), "%sa number from %lld to %lld",
			s->type == SETTING_AUTO_INT ? "auto or " : "", (long long)s->min, (long long)s->max);
		return refuse(why, size, s, wants, value);
	}
	as_int = (int)n; /* max is at most INT_MAX, so a uint32_t looks the same */
	memcpy(field_of(s, base), &as_int, sizeof(as_int));
	return true;
}

static bool parse_octal(const struct setting *s, void *base, const char *value, char *why, size_t size)
{
	int64_t n;
	int as_int;

	if (value[0] != '0' || !read_digits(value, 8, s->max, &n)) /* 511 and 777 would both be guesses */
		return refuse(why, size, s, "an octal number with a leading 0, from 0 to 0777", value);
	as_int = (int)n;
	memcpy(field_of(s, base), &as_int, sizeof(as_int));
	return true;
}

/* Our own instead of strtod(), which depends on the locale and takes "inf", "0x1p3" and "-0". */
static bool read_seconds(const char *value, int64_t *out)
{
	const char *dot = strchrnul(value, '.');
	char whole[24] = "", part[8] = "000000";
	int64_t seconds = 0, usec = 0;

	if ((size_t)(dot - value) >= sizeof(whole) || (dot == value && !(*dot && dot[1])))
		return false;
	memcpy(whole, value, (size_t)(dot - value));
	if (*dot) {
		if (strlen(dot + 1) > 6)
			return false;
		memcpy(part, dot + 1, strlen(dot + 1));
	}
	if ((*whole && !read_digits(whole, 10, TIME_MAX / SECONDS(1), &seconds)) ||
		!read_digits(part, 10, 999999, &usec))
		return false;
	*out = SECONDS(seconds) + usec;
	return true;
}

static bool parse_time(const struct setting *s, void *base, const char *value, char *why, size_t size)
{
	char wants[80];
	int64_t usec;

	if (!read_seconds(value, &usec) || usec < s->min || usec > s->max) {
		if (s->min > 0)
			snprintf(wants, sizeof(wants), "a number of seconds, at least %g", (double)s->min / 1e6);
		else
			snprintf(wants, sizeof(wants), "a number of seconds such as 30 or 0.25");
		return refuse(why, size, s, wants, value);
	}
	memcpy(field_of(s, base), &usec, sizeof(usec));
	return true;
}

static bool refuse_unsupported(char *why, size_t size, const char *key, const char *value)
{
	snprintf(why, size, "%s = %s is not supported yet by this version", key, value);
	return false;
}

static bool parse_words(const struct setting *s, void *base, const char *value, char *why, size_t size)
{
	int i = find_word(s->choices, value), later = find_word(s->unsupported, value);
	char wants[200] = "one of ";

	if (later >= 0)
		return refuse_unsupported(why, size, s->key, s->unsupported[later]);
	if (i < 0) {
		for (i = 0; s->choices[i]; i++) {
			strncat(wants, i ? ", " : "", sizeof(wants) - strlen(wants) - 1);
			strncat(wants, s->choices[i], sizeof(wants) - strlen(wants) - 1);
		}
		return refuse(why, size, s, wants, value);
	}
	if (s->type == SETTING_WORD)
		set_text(s, base, s->choices[i]);
	else
		memcpy(field_of(s, base), &i, sizeof(i));
	return true;
}

static bool parse_text(const struct setting *s, void *base, const char *value, char *why, size_t size)
{
	size_t len = strlen(value);

	if (len < (size_t)s->min || len > (size_t)s->max) {
		if (len == 0)
			snprintf(why, size, "%s must not be empty", s->key);
		else
			snprintf(why, size, "%s is longer than %lld bytes", s->key, (long long)s->max);
		return false;
	}
	for (const char *p = value; *p; p++) { /* the ini reader can't yield a line end, SET can */
		if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f) {
			snprintf(why, size, "%s must not contain control characters", s->key);
			return false;
		}
	}
	set_text(s, base, value);
	return true;
}

static bool parse_fixed(const struct setting *s, const char *value, char *why, size_t size)
{
	int later = find_word(s->unsupported, value);

	if (strcasecmp(value, s->bouncer ? s->bouncer : "") == 0)
		return true;
	if (later >= 0)
		return refuse_unsupported(why, size, s->key, s->unsupported[later]);
	/* The value isn't shown: auth_ldap_options may hold a password. */
	if (s->bouncer && *s->bouncer)
		snprintf(why, size, "%s is not supported yet by this version: it may only be %s", s->key,
			s->bouncer);
	else
		snprintf(why, size, "%s is not supported yet by this version", s->key);
	return false;
}

bool setting_parse(const struct setting *s, void *base, const char *value, char *why, size_t why_size)
{
	switch (s->type) {
	case SETTING_BOOL: return parse_bool(s, base, value, why, why_size);
	case SETTING_INT:
	case SETTING_UINT32:
	case SETTING_AUTO_INT: return parse_number(s, base, value, why, why_size);
	case SETTING_OCTAL: return parse_octal(s, base, value, why, why_size);
	case SETTING_TIME: return parse_time(s, base, value, why, why_size);
	case SETTING_TEXT:
	case SETTING_SECRET: return parse_text(s, base, value, why, why_size);
	case SETTING_WORD:
	case SETTING_CHOICE: return parse_words(s, base, value, why, why_size);
	case SETTING_FIXED: return parse_fixed(s, value, why, why_size);
	}
	ASSERT(!"a setting of no type");
	return false;
}

static int read_int_field(const struct setting *s, const void *base)
{
	int n;

	memcpy(&n, (const char *)base + s->offset, sizeof(n));
	return n;
}

static void time_text(int64_t usec, char *buf, size_t size)
{
	char part[8], whole[24];
	size_t n = 6;

	snprintf(whole, sizeof(whole), "%lld", (long long)(usec / (int64_t)USEC_PER_SEC));
	snprintf(part, sizeof(part), "%06u", (unsigned)(usec % (int64_t)USEC_PER_SEC));
	while (n > 0 && part[n - 1] == '0')
		part[--n] = '\0';
	snprintf(buf, size, "%s%s%s", whole, n ? "." : "", part);
}

const char *setting_text(const struct setting *s, const void *base, char *buf, size_t buf_size)
{
	const void *field = (const char *)base + s->offset;
	const char *text;
	int64_t usec;
	bool b;

	switch (s->type) {
	case SETTING_BOOL: memcpy(&b, field, sizeof(b)); return b ? "1" : "0";
	case SETTING_AUTO_INT:
		if (read_int_field(s, base) == 0)
			return "auto";
		snprintf(buf, buf_size, "%d", read_int_field(s, base));
		return buf;
	case SETTING_INT:
	case SETTING_UINT32: snprintf(buf, buf_size, "%d", read_int_field(s, base)); return buf;
	case SETTING_OCTAL: snprintf(buf, buf_size, "0%o", (unsigned)read_int_field(s, base)); return buf;
	case SETTING_TIME:
		memcpy(&usec, field, sizeof(usec));
		time_text(usec, buf, buf_size);
		return buf;
	case SETTING_TEXT:
	case SETTING_WORD:
		memcpy(&text, field, sizeof(text));
		return text && (*text || s->bouncer) ? text : s->bouncer ? "" : NULL;
	case SETTING_SECRET: memcpy(&text, field, sizeof(text)); return text && *text ? "" : NULL;
	case SETTING_CHOICE: return s->choices[read_int_field(s, base)];
	case SETTING_FIXED: return s->bouncer;
	}
	ASSERT(!"a setting of no type");
	return NULL;
}

const char *setting_default(const struct setting *s, bool is_pgbouncer)
{
	return is_pgbouncer || !s->weir ? s->bouncer : s->weir;
}

static size_t field_size(enum setting_type type)
{
	switch (type) {
	case SETTING_BOOL: return sizeof(bool);
	case SETTING_TIME: return sizeof(usec_t);
	case SETTING_INT:
	case SETTING_UINT32:
	case SETTING_AUTO_INT:
	case SETTING_OCTAL:
	case SETTING_CHOICE: return sizeof(int);
	case SETTING_TEXT:
	case SETTING_SECRET:
	case SETTING_WORD:
	case SETTING_FIXED: break;
	}
	return 0;
}
_Static_assert(sizeof(enum pool_mode) == sizeof(int) && sizeof(enum auth_type) == sizeof(int) &&
		sizeof(enum timeout_action) == sizeof(int) && sizeof(enum queue_fairness) == sizeof(int) &&
		sizeof(enum tls_mode) == sizeof(int) && sizeof(enum channel_binding) == sizeof(int) &&
		sizeof(enum protocol_version) == sizeof(int) && sizeof(enum tls_negotiation) == sizeof(int) &&
		sizeof(enum load_balance) == sizeof(int) && sizeof(enum session_attrs) == sizeof(int) &&
		sizeof(uint32_t) == sizeof(int),
	"SETTING_CHOICE and SETTING_UINT32 are copied as an int");

void setting_copy(const struct setting *s, void *to, const void *from)
{
	const char *text;

	if (setting_owns_text(s)) {
		memcpy(&text, (const char *)from + s->offset, sizeof(text));
		set_text(s, to, text);
	} else {
		memcpy(field_of(s, to), (const char *)from + s->offset, field_size(s->type));
	}
}
