/*
 * config.h - the configuration: one table of settings, an ini reader, an immutable snapshot.
 *
 * Format:    PgBouncer's ini, its key names and its precedence; section [pgbouncer] has PgBouncer's defaults, [pgweir] has
 *            defaults for functions. A file has one of the two. [databases], [users], %include. A database's value may be a
 *            postgresql:// URI (read by libpq's PQconninfoParse).
 * Units:     times are usec_t here, seconds (fractions allowed) in the file, unless the name says otherwise. 0 means off.
 * Strings:   live as long as the snapshot. Those of struct config are never NULL, "" where nothing is set (but for file);
 *            those of a database are NULL where the file says nothing.
 * Ownership: a snapshot never changes once loaded; it is shared by reference count.
 * Threads:   load on the main thread; read and ref/unref from any.
 * Errors:    config_load() gives NULL and the text `file:line: what is wrong`; nothing is ever half applied. No password is
 *            ever part of an error.
 * Limits:    src/config/ini.h and MAX_ENTRIES in config.c.
 * Source:    the manual page pgweir.ini(5); PgBouncer's config.md for names and meanings.
 */
#ifndef PGWEIR_CONFIG_H
#define PGWEIR_CONFIG_H

#include "base/base.h"

enum pool_mode { POOL_MODE_UNSET = -1, POOL_SESSION, POOL_TRANSACTION, POOL_STATEMENT };
enum auth_type {
	AUTH_TYPE_ANY,
	AUTH_TYPE_TRUST,
	AUTH_TYPE_PLAIN,
	AUTH_TYPE_MD5,
	AUTH_TYPE_SCRAM,
	AUTH_TYPE_CERT,
	AUTH_TYPE_HBA,
	AUTH_TYPE_LDAP,
	AUTH_TYPE_PAM,
};
enum session_features { FEATURES_UNSET = -1, FEATURES_PIN, FEATURES_ERROR, FEATURES_IGNORE };
enum session_probe { PROBE_SUSPECT, PROBE_ALWAYS, PROBE_OFF };
enum queue_fairness { FAIRNESS_OFF, FAIRNESS_USER, FAIRNESS_APPLICATION_NAME, FAIRNESS_CLIENT_ADDR };
enum log_format { LOG_TEXT, LOG_JSON };
enum timeout_action { TIMEOUT_ERROR, TIMEOUT_DISCONNECT };
enum tls_mode {
	TLS_UNSET = -1,
	TLS_DISABLE,
	TLS_ALLOW,
	TLS_PREFER,
	TLS_REQUIRE,
	TLS_VERIFY_CA,
	TLS_VERIFY_FULL
};
enum tls_negotiation { NEGOTIATE_UNSET = -1, NEGOTIATE_POSTGRES, NEGOTIATE_DIRECT };
enum channel_binding { BINDING_PREFER, BINDING_DISABLE, BINDING_REQUIRE };
enum protocol_version { VERSION_3_0, VERSION_3_2, VERSION_LATEST };

enum load_balance { BALANCE_UNSET = -1, BALANCE_ROUND_ROBIN, BALANCE_DISABLE };
enum session_attrs { /* target_session_attrs */
	ATTRS_ANY,
	ATTRS_READ_WRITE,
	ATTRS_READ_ONLY,
	ATTRS_PRIMARY,
	ATTRS_STANDBY,
	ATTRS_PREFER_STANDBY
};

struct config_host {
	char *name; /* "": Unix socket in unix_socket_dir; "/dir": that directory; else a name or an address */
	int port;
};

struct config_tls { /* of one side; the texts are checked by tls_set_load() */
	enum tls_mode mode;
	char *ca_file, *cert_file, *key_file;
	char *protocols, *ciphers, *tls13_ciphers, *curves;
	char *dheparams; /* clients' only, and so: */
	bool tickets;
};

struct config_database {
	char *name;		   /* as clients say it; "*" is the fallback */
	char *dbname;		   /* on the server; NULL: as the client said */
	char *host, *port;	   /* lists, as the file has them; NULL: not there */
	struct config_host *hosts; /* .. and what they mean: at least one */
	size_t n_hosts;
	enum load_balance load_balance_hosts; /* of several; BALANCE_UNSET: round-robin */
	enum session_attrs target_session_attrs;
	char *user, *password; /* forced user and its password; NULL: the client's own */
	char *password_file,
		*password_command; /* where the forced user's password comes from instead; NULL: not from there */
	int64_t password_ttl;	   /* usec, or -1 */
	char *auth_user, *auth_query, *auth_dbname;			 /* NULL: the global ones */
	char *connect_query;						 /* NULL: none */
	char *application_name, *client_encoding, *datestyle, *timezone; /* startup parameters for servers; NULL: none */
	enum tls_mode sslmode; /* TLS_UNSET, and NULL below: server_tls_* */
	enum tls_negotiation sslnegotiation;
	enum channel_binding channel_binding;
	enum protocol_version max_protocol_version;
	char *sslrootcert, *sslcert, *sslkey;
	enum pool_mode pool_mode; /* POOL_MODE_UNSET where the file says nothing, as -1 in the numbers below */
	enum session_features session_features;
	int pool_size, min_pool_size, reserve_pool_size, max_db_connections, max_db_client_connections, max_pinned;
	int64_t server_lifetime; /* usec, or -1 */
	int64_t query_wait_timeout;
	int line; /* where the file defines it */
	struct config_database *next;
};

struct config_user {
	char *name;
	enum pool_mode pool_mode;
	int pool_size, reserve_pool_size, max_user_connections, max_user_client_connections; /* -1: not set */
	int weight;
	int64_t query_timeout, idle_transaction_timeout, transaction_timeout, client_idle_timeout,
		query_wait_timeout; /* usec, -1 */
	int line;
	struct config_user *next;
};

struct config_peer { /* another process behind the same port */
	int id;
	char *host;	     /* never NULL: a name, an address, or a folder with a Unix socket */
	int port, pool_size; /* pool_size -1: default_pool_size */
	int line;
	struct config_peer *next;
};

struct config_names { /* private: structs that begin with their name, sorted by it; not hashed, as hash_init() may come later */
	void **items;
	size_t count, cap;
};

struct config {
	int refs_;	   /* atomic */
	bool is_pgbouncer; /* the section's name, which picked the defaults */
	char *file;	   /* what the next reload reads (conffile); NULL: made from a URI */
	bool is_from_uri_;

	/* process */
	char *logfile, *pidfile, *user, *syslog_ident, *syslog_facility, *job_name;
	bool syslog, log_connections, log_disconnections, log_pooler_errors, log_stats;
	enum log_format log_format;
	usec_t log_min_duration_transaction, log_min_duration_wait; /* 0: none is slow */
	int verbose;
	usec_t stats_period, drain_timeout;
	int worker_threads, login_threads; /* 0: auto, by the CPUs that this process may use */

	/* listening */
	char *listen_addr;			  /* comma list, "*", names; "": no TCP */
	int listen_port, listen_backlog, peer_id; /* 0: it has no peers */
	char *unix_socket_dir, *unix_socket_group;
	int unix_socket_mode;
	bool so_reuseport, tcp_defer_accept, tcp_keepalive;
	int tcp_keepcnt, tcp_keepidle, tcp_keepintvl, tcp_user_timeout /* ms */, tcp_socket_buffer;
	uint32_t max_packet_size;
	usec_t dns_max_ttl, dns_nxdomain_ttl;

	/* pools */
	enum pool_mode pool_mode;
	int max_client_conn, max_client_conn_per_addr, reserved_client_conn, default_pool_size, min_pool_size,
		reserve_pool_size, max_db_connections, max_db_client_connections, max_user_connections,
		max_user_client_connections, max_waiting_clients, max_prepared_statements,
		server_connect_concurrency, login_concurrency;
	bool server_round_robin, server_reset_query_always, server_fast_close;
	char *server_check_query, *server_reset_query;
	usec_t reserve_pool_timeout, server_lifetime, server_idle_timeout, server_connect_timeout,
		server_login_retry, server_census, server_check_delay, handoff_tolerance, autodb_idle_timeout;

	/* timeouts of clients */
	usec_t query_timeout, query_wait_timeout, query_wait_notify, cancel_wait_timeout, client_idle_timeout,
		client_login_timeout, client_write_timeout, idle_transaction_timeout, transaction_timeout,
		reclaim_after, idle_in_transaction_grace;
	enum timeout_action query_wait_timeout_action;
	bool query_wait_prediction;
	enum queue_fairness queue_fairness;
	char *priority_users;

	/* session state */
	enum session_features session_features;
	enum session_probe session_probe;
	char *suspect_functions;
	int max_pinned; /* of a pool; 0: auto, all but one of its servers */
	bool pin_notice;
	usec_t pin_idle_timeout;

	/* parameters */
	char *ignore_startup_parameters;
	bool application_name_add_host, disable_pqexec;

	/* authentication */
	enum auth_type auth_type;
	char *auth_file, *admin_users, *stats_users;
	char *auth_hba_file, *auth_ident_file, *auth_ldap_options /* may hold a password */;
	int auth_threads;
	usec_t auth_failure_delay;
	char *auth_user, *auth_query, *auth_dbname;
	usec_t auth_query_cache_ttl;
	int scram_iterations;
	usec_t password_ttl;

	usec_t suspend_timeout;
	/* monitoring by HTTP; http_listen.h checks them */
	char *http_listen, *http_token, *http_token_file;
	usec_t http_unready_after;

	/* encryption */
	struct config_tls client_tls, server_tls;
	enum tls_negotiation server_tls_negotiation;

	/* What PgBouncer's files may say and pgweir has no use for; pgweir.ini(5) says why. Kept for SHOW CONFIG only. */
	struct {
		int pkt_buf, sbuf_loopcnt;
		char *track_extra_parameters; /* all settings are followed */
	} inert;

	struct config_database *databases; /* in the file's order */
	struct config_user *users;
	struct config_peer *peers; /* by id */
	struct config_names databases_by_name_, users_by_name_;
};

struct config_error {
	char text[512];
};

struct config *config_load(const char *path, struct config_error *error);
struct config *config_load_text(
	const char *name, const char *text, size_t len, struct config_error *error); /* name: for errors */
/*
 * [pgweir]'s defaults; listens on 127.0.0.1:6432 and no Unix socket. The databases "*" and the URI's go to the URI's host, with
 * the URI's user and password forced. Clients log in with the same user and password (scram-sha-256), or without one if the
 * URI has none (trust); they may use the console's SHOW.
 */
struct config *config_from_uri(const char *uri, struct config_error *error);
const char *config_uri_user(const struct config *c);	 /* NULL: not made from a URI */
const char *config_uri_password(const struct config *c); /* NULL: not made from a URI, or it has none */
/*
 * Reads running->file again. Settings that can't change at run time keep their running value, so that the snapshot says what
 * is true; kept() is called for each one whose new value waits for a restart.
 */
typedef void config_kept_fn(void *ctx, const char *key);
struct config *config_reload(
	const struct config *running, config_kept_fn *kept, void *ctx, struct config_error *error);
struct config *config_ref(struct config *c);
void config_unref(struct config **c);

/* The database that a client names: an exact match, else "*", else NULL. */
const struct config_database *config_database(const struct config *c, const char *name);
const struct config_user *config_user(const struct config *c, const char *name);
const struct config_peer *config_peer(const struct config *c, int id); /* NULL: none has it */
bool config_list_has(const char *list, const char *name); /* is name in a comma list like admin_users? */

/* Values after precedence: the user's, then the database's, then the global. db or user may be NULL. */
enum pool_mode config_pool_mode(
	const struct config *c, const struct config_database *db, const struct config_user *user);
enum session_features config_session_features(const struct config *c, const struct config_database *db);
int config_max_pinned(const struct config *c, const struct config_database *db, const struct config_user *user);
int config_pool_size(const struct config *c, const struct config_database *db, const struct config_user *user);
int config_min_pool_size(const struct config *c, const struct config_database *db); /* at most the database's pool size */
int config_reserve_pool_size(
	const struct config *c, const struct config_database *db, const struct config_user *user);
int config_max_db_connections(const struct config *c, const struct config_database *db);
int config_max_db_client_connections(const struct config *c, const struct config_database *db);
int config_max_user_connections(const struct config *c, const struct config_user *user);
int config_max_user_client_connections(const struct config *c, const struct config_user *user);
int config_weight(const struct config_user *user);
usec_t config_query_timeout(const struct config *c, const struct config_user *user);
usec_t config_idle_transaction_timeout(const struct config *c, const struct config_user *user);
usec_t config_transaction_timeout(const struct config *c, const struct config_user *user);
usec_t config_client_idle_timeout(const struct config *c, const struct config_user *user);
usec_t config_query_wait_timeout(
	const struct config *c, const struct config_database *db, const struct config_user *user);
usec_t config_password_ttl(const struct config *c, const struct config_database *db);
const char *config_auth_user(const struct config *c, const struct config_database *db); /* "": there is none */
const char *config_auth_query(const struct config *c, const struct config_database *db);
const char *config_auth_dbname(const struct config *c, const struct config_database *db); /* NULL: the database itself */
usec_t config_server_lifetime(const struct config *c, const struct config_database *db);

/*
 * For SHOW CONFIG: calls fn for each setting, sorted by key; value and default_value are text as the file would have it, or
 * NULL where PgBouncer has NULL. No password is among them.
 */
typedef void config_show_fn(
	void *ctx, const char *key, const char *value, const char *default_value, bool changeable);
void config_show(const struct config *c, config_show_fn *fn, void *ctx);

/* For SET key = value: a new snapshot with one setting changed, or NULL and why. Not every setting is changeable. */
struct config *config_with(const struct config *c, const char *key, const char *value, struct config_error *error);

#endif
