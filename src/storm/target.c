#include "storm/target.h"

#include "auth/scram.h"
#include "net/tls.h"

#include <errno.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

struct values { /* of the string itself, and where that is silent, of PG* variables and libpq's defaults */
	PQconninfoOption *given, *defaults;
};

static const char *find(const PQconninfoOption *options, const char *keyword)
{
	for (; options && options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options->val && *options->val ? options->val : NULL;
	return NULL;
}

static const char *value_of(const struct values *v, const char *keyword)
{
	const char *given = find(v->given, keyword);

	return given ? given : find(v->defaults, keyword);
}

static const struct known {
	const char *keyword;
	const char *allowed[4]; /* all first: the value is used; else only these, all of which mean "no" or "if you like" to us */
} known[] = {
	{ "host", { NULL } }, { "hostaddr", { NULL } }, { "port", { NULL } }, { "user", { NULL } },
	{ "password", { NULL } }, { "dbname", { NULL } }, { "options", { NULL } },
	{ "application_name", { NULL } }, { "fallback_application_name", { NULL } },
	{ "client_encoding", { NULL } }, { "connect_timeout", { NULL } }, { "sslmode", { NULL } },
	{ "sslnegotiation", { NULL } }, { "sslrootcert", { NULL } }, { "sslcert", { NULL } },
	{ "sslkey", { NULL } }, { "gssencmode", { "disable", "prefer" } },
	{ "channel_binding", { "disable", "prefer" } }, { "target_session_attrs", { "any" } },
	{ "load_balance_hosts", { "disable" } },
	{ "require_auth", { "" } }, /* nothing is allowed: an empty value counts as none */
};

static const struct known *known_of(const char *keyword)
{
	for (size_t i = 0; i < N_ELEMENTS(known); i++)
		if (strcmp(known[i].keyword, keyword) == 0)
			return &known[i];
	return NULL;
}

static bool is_allowed(const struct known *k, const char *value)
{
	if (!k->allowed[0])
		return true;
	for (size_t i = 0; i < N_ELEMENTS(k->allowed) && k->allowed[i]; i++)
		if (strcmp(k->allowed[i], value) == 0)
			return true;
	return false;
}

static enum result refuse_unknown(const struct values *v, char *error, size_t error_size)
{
	for (const PQconninfoOption *o = v->given; o->keyword; o++) {
		if (o->val && *o->val && !known_of(o->keyword)) {
			snprintf(error, error_size, "%s isn't something that pgweir-storm can do", o->keyword);
			return RES_REFUSED;
		}
	}
	for (size_t i = 0; i < N_ELEMENTS(known); i++) {
		const char *value = value_of(v, known[i].keyword);

		if (value && !is_allowed(&known[i], value)) {
			snprintf(error, error_size,
				"%s=%s isn't something that pgweir-storm can do: it speaks no GSSAPI, binds to no "
				"channel and knows one host",
				known[i].keyword, value);
			return RES_REFUSED;
		}
	}
	return RES_OK;
}

static bool is_number(const char *text, long min, long max, long *out)
{
	char *end;

	errno = 0;
	*out = strtol(text, &end, 10);
	return !errno && end != text && !*end && *out >= min && *out <= max;
}

static enum result take_numbers(struct target *t, const struct values *v, char *error, size_t error_size)
{
	const char *port = value_of(v, "port"), *timeout = value_of(v, "connect_timeout");
	long n;

	if (!is_number(port ? port : "5432", 1, 65535, &n)) {
		snprintf(error, error_size, "port '%s' isn't one number from 1 to 65535", port);
		return RES_REFUSED;
	}
	t->port = xasprintf("%ld", n);
	if (!is_number(timeout ? timeout : "0", -1, INT32_MAX, &n)) {
		snprintf(error, error_size, "connect_timeout '%s' isn't a number of seconds", timeout);
		return RES_REFUSED;
	}
	t->connect_timeout = n > 0 ? (usec_t)n * USEC_PER_SEC : 0;
	return RES_OK;
}

static enum result refuse_value(const char *keyword, const char *value, char *error, size_t error_size)
{
	snprintf(error, error_size, "%s can't be '%s'", keyword, value);
	return RES_REFUSED;
}

static bool take_mode(const char *value, enum tls_mode *out)
{
	static const char *const modes[] = { "disable", "allow", "prefer", "require", "verify-ca", "verify-full" };

	for (size_t i = 0; i < N_ELEMENTS(modes); i++)
		if (strcmp(modes[i], value) == 0) {
			*out = (enum tls_mode)i;
			return true;
		}
	return false;
}

static enum result take_tls(struct target *t, const struct values *v, char *error, size_t error_size)
{
	const char *mode = value_of(v, "sslmode"), *negotiation = value_of(v, "sslnegotiation");

	t->sslmode = TLS_PREFER;
	if (mode && !take_mode(mode, &t->sslmode))
		return refuse_value("sslmode", mode, error, error_size);
	if (t->sslnegotiation == NEGOTIATE_UNSET)
		t->sslnegotiation = negotiation && strcmp(negotiation, "direct") == 0 ? NEGOTIATE_DIRECT
										      : NEGOTIATE_POSTGRES;
	t->sslrootcert = xstrdup(value_of(v, "sslrootcert"));
	t->sslcert = xstrdup(value_of(v, "sslcert"));
	t->sslkey = xstrdup(value_of(v, "sslkey"));
	if (t->sslmode == TLS_REQUIRE && t->sslrootcert)
		t->sslmode = TLS_VERIFY_CA; /* as libpq has it */
	if (t->sslmode >= TLS_VERIFY_CA && !t->sslrootcert) {
		snprintf(error, error_size, "sslmode=%s needs sslrootcert: no file is looked for elsewhere", mode);
		return RES_REFUSED;
	}
	if (t->sslnegotiation == NEGOTIATE_DIRECT && t->sslmode < TLS_REQUIRE) {
		snprintf(error, error_size, "direct TLS needs sslmode=require or more");
		return RES_REFUSED;
	}
	return RES_OK;
}

static enum result take_values(struct target *t, const struct values *v, char *error, size_t error_size)
{
	const char *user = value_of(v, "user"), *database = value_of(v, "dbname"),
		   *name = value_of(v, "application_name");
	const char *host = value_of(v, "hostaddr") ? value_of(v, "hostaddr") : value_of(v, "host");
	enum result res = refuse_unknown(v, error, error_size);

	if (res != RES_OK)
		return res;
	if (host && strchr(host, ',')) {
		snprintf(error, error_size, "one host is enough: '%s'", host);
		return RES_REFUSED;
	}
	res = take_numbers(t, v, error, error_size);
	if (res == RES_OK)
		res = take_tls(t, v, error, error_size);
	if (res != RES_OK)
		return res;
	if (!user) {
		snprintf(error, error_size, "who logs in? the URI names no user");
		return RES_REFUSED;
	}
	if (value_of(v, "password") && strlen(value_of(v, "password")) > SCRAM_PASSWORD_MAX) {
		snprintf(error, error_size, "the password is too long");
		return RES_LIMIT;
	}
	if (!name)
		name = value_of(v, "fallback_application_name");
	t->host = xstrdup(host);
	t->tls_host = xstrdup(value_of(v, "host") ? value_of(v, "host") : host);
	t->user = xstrdup(user);
	t->database = xstrdup(database ? database : user);
	t->password = xstrdup(value_of(v, "password"));
	t->options = xstrdup(value_of(v, "options"));
	t->application_name = xstrdup(name ? name : "pgweir-storm");
	t->client_encoding = xstrdup(value_of(v, "client_encoding"));
	t->name = xasprintf("%s@%s:%s/%s", t->user, host ? host : "", t->port, t->database);
	return RES_OK;
}

enum result target_parse(struct target *t, const char *conninfo, enum tls_negotiation negotiation,
	char *error, size_t error_size)
{
	struct values v;
	char *why = NULL;
	enum result res;

	memset(t, 0, sizeof(*t));
	t->sslnegotiation = negotiation;
	v.given = PQconninfoParse(conninfo, &why);
	if (!v.given) {
		snprintf(error, error_size, "%s", why ? why : "out of memory");
		error[strcspn(error, "\n")] = '\0';
		PQfreemem(why);
		return RES_REFUSED;
	}
	v.defaults = PQconndefaults();
	res = take_values(t, &v, error, error_size);
	PQconninfoFree(v.given); /* libpq wipes nothing here; the string itself is in argv anyway */
	PQconninfoFree(v.defaults);
	return res;
}

void target_free(struct target *t)
{
	secure_free(&t->password);
	free(t->host);
	free(t->port);
	free(t->user);
	free(t->database);
	free(t->options);
	free(t->application_name);
	free(t->client_encoding);
	free(t->name);
	free(t->sslrootcert);
	free(t->sslcert);
	free(t->sslkey);
	free(t->tls_host);
	SSL_CTX_free(t->context);
	memset(t, 0, sizeof(*t));
}

/* Where libpq looks without a host depends on how it was built: Debian's packages use the first, PostgreSQL's default is the second. */
static const char *default_socket_dir(const char *port)
{
	char *path = xasprintf("/var/run/postgresql/.s.PGSQL.%s", port);
	bool is_there = access(path, F_OK) == 0;

	free(path);
	return is_there ? "/var/run/postgresql" : "/tmp";
}

static enum result unix_address(struct target *t, const char *dir, char *error, size_t error_size)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&t->addresses[0].addr;
	int n = snprintf(un->sun_path, sizeof(un->sun_path), "%s/.s.PGSQL.%s", dir, t->port);

	if (n < 0 || (size_t)n >= sizeof(un->sun_path)) {
		snprintf(error, error_size, "the socket's path is too long: %s/.s.PGSQL.%s", dir, t->port);
		return RES_LIMIT;
	}
	un->sun_family = AF_UNIX;
	t->addresses[0].len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1);
	if (dir[0] == '@') { /* the abstract namespace: a NUL in front, and the length says where it ends */
		un->sun_path[0] = '\0';
		t->addresses[0].len--;
	}
	t->n_addresses = 1;
	return RES_OK;
}

static enum result refuse_file(const char *what, const char *path, char *error, size_t error_size)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	snprintf(error, error_size, "can't use %s %s: %s", what, path, reason ? reason : "it can't be read");
	ERR_clear_error();
	return RES_SYSTEM;
}

static enum result load_files(struct target *t, char *error, size_t error_size)
{
	if (t->sslrootcert && SSL_CTX_load_verify_file(t->context, t->sslrootcert) != 1)
		return refuse_file("sslrootcert", t->sslrootcert, error, error_size);
	if (t->sslcert && SSL_CTX_use_certificate_chain_file(t->context, t->sslcert) != 1)
		return refuse_file("sslcert", t->sslcert, error, error_size);
	if (t->sslkey && SSL_CTX_use_PrivateKey_file(t->context, t->sslkey, SSL_FILETYPE_PEM) != 1)
		return refuse_file("sslkey", t->sslkey, error, error_size);
	return RES_OK;
}

static enum result make_context(struct target *t, char *error, size_t error_size)
{
	static const unsigned char alpn[] = "\x0apostgresql";

	t->context = SSL_CTX_new(TLS_client_method());
	ASSERT(t->context);
	SSL_CTX_set_min_proto_version(t->context, TLS1_2_VERSION);
	SSL_CTX_set_mode(t->context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(t->context, SSL_SESS_CACHE_OFF);
	if (t->sslmode >= TLS_VERIFY_CA)
		SSL_CTX_set_verify(t->context, SSL_VERIFY_PEER, NULL);
	if (t->sslnegotiation == NEGOTIATE_DIRECT)
		SSL_CTX_set_alpn_protos(t->context, alpn, sizeof(alpn) - 1);
	tls_prepare(t->context);
	return load_files(t, error, error_size);
}

enum result target_resolve(struct target *t, char *error, size_t error_size)
{
	bool is_unix = !t->host || t->host[0] == '/' || t->host[0] == '@';

	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
	int failed;

	if (is_unix)
		return unix_address(t, t->host ? t->host : default_socket_dir(t->port), error, error_size);
	failed = getaddrinfo(t->host, t->port, &hints, &list);
	if (failed) {
		snprintf(error, error_size, "can't resolve %s: %s", t->host, gai_strerror(failed));
		return RES_SYSTEM;
	}
	for (const struct addrinfo *a = list; a && t->n_addresses < TARGET_ADDRESSES_MAX; a = a->ai_next) {
		struct address *to = &t->addresses[t->n_addresses++];

		memcpy(&to->addr, a->ai_addr, a->ai_addrlen);
		to->len = a->ai_addrlen;
	}
	freeaddrinfo(list);
	return t->sslmode <= TLS_ALLOW ? RES_OK : make_context(t, error, error_size);
}
