#include "net/tls_set.h"

#include "base/log.h"
#include "base/table.h"
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALPN "\x0apostgresql"
#define SYSTEM_CA "system" /* libpq's word for the authorities that the system trusts */

struct authorities { /* of one file */
	UT_hash_handle hh;
	char *path;
	X509_STORE *store;
};

struct server_context { /* one a combination of files */
	UT_hash_handle hh;
	char *key;
	SSL_CTX *context;
};

struct database_target {
	UT_hash_handle hh;
	char *name;
	struct tls_target target;
};

struct tls_set {
	int refs; /* atomic */
	SSL_CTX *clients;
	struct tls_target servers; /* of databases that say nothing of their own */
	struct server_context *contexts;
	struct database_target *databases;
};

struct file {
	const char *path, *setting; /* setting: what errors call it */
};

struct files { /* one side's, or one database's */
	const char *prefix;
	enum tls_mode mode;
	struct file ca, cert, key;
	const struct config_tls *tls;
};

struct loading {
	const struct config *config;
	const char *database;		 /* whose line is being looked at; NULL: none */
	struct authorities *authorities; /* by path; contexts keep references */
	char *error;
	size_t error_size;
};

static bool refuse(struct loading *l, const char *format, ...) PRINTF_LIKE(2, 3);
static bool refuse(struct loading *l, const char *format, ...)
{
	va_list ap;
	size_t at = 0;

	if (l->database)
		at = (size_t)snprintf(l->error, l->error_size, "database \"%.63s\": ", l->database);
	ASSERT(at < l->error_size);
	va_start(ap, format);
	vsnprintf(l->error + at, l->error_size - at, format, ap);
	va_end(ap);
	ERR_clear_error();
	return false;
}

static const char *reason(void)
{
	unsigned long code = ERR_peek_error(); /* the first says what it was */
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	return text ? text : "not what it should be";
}

static bool is_set(const char *text)
{
	return text && *text;
}

/* ---- protocols, ciphers, curves ---- */

/* Lists as libtls has them: words between commas or colons, ! takes one away. What is older than TLS 1.2 isn't spoken. */
static bool parse_protocols(const char *text, unsigned *out)
{
	enum { V12 = 1, V13 = 2 };
	static const struct {
		const char *word;
		unsigned bits;
	} words[] = {
		{ "all", V12 | V13 },
		{ "default", V12 | V13 },
		{ "legacy", V12 | V13 },
		{ "secure", V12 | V13 },
		{ "tlsv1", V12 | V13 },
		{ "tlsv1.0", 0 },
		{ "tlsv1.1", 0 },
		{ "tlsv1.2", V12 },
		{ "tlsv1.3", V13 },
	};
	bool is_first = true;

	*out = 0;
	while (*(text += strspn(text, ",: \t"))) {
		bool is_not = *text == '!';
		size_t len, i;

		text += is_not;
		len = strcspn(text, ",: \t");
		for (i = 0; i < N_ELEMENTS(words); i++)
			if (strlen(words[i].word) == len && strncasecmp(words[i].word, text, len) == 0)
				break;
		if (i == N_ELEMENTS(words))
			return false;
		if (is_not && is_first)
			*out = V12 | V13;
		*out = is_not ? *out & ~words[i].bits : *out | words[i].bits;
		is_first = false;
		text += len;
	}
	return true;
}

static bool set_protocols(struct loading *l, const struct files *f, SSL_CTX *ctx)
{
	static const struct {
		int min, max;
	} spans[] = {
		[1] = { TLS1_2_VERSION, TLS1_2_VERSION }, [2] = { TLS1_3_VERSION, TLS1_3_VERSION }, [3] = { TLS1_2_VERSION, TLS1_3_VERSION }
	};
	unsigned bits;

	if (!parse_protocols(f->tls->protocols, &bits))
		return refuse(l, "%s_tls_protocols: unknown protocol in \"%.80s\"", f->prefix, f->tls->protocols);
	if (!bits)
		return refuse(l, "%s_tls_protocols = %.80s leaves none of tlsv1.2 and tlsv1.3", f->prefix,
			f->tls->protocols);
	SSL_CTX_set_min_proto_version(ctx, spans[bits].min);
	SSL_CTX_set_max_proto_version(ctx, spans[bits].max);
	return true;
}

/* The shortcuts that PgBouncer has for OpenSSL's own choice. */
static bool is_default_ciphers(const char *text)
{
	static const char *const words[] = { "default", "secure", "fast", "normal" };

	for (size_t i = 0; i < N_ELEMENTS(words); i++)
		if (strcasecmp(text, words[i]) == 0)
			return true;
	return !*text;
}

/*
 * OpenSSL puts AES-256 first, and with it SHA-384, of which a handshake computes a hundred blocks or more; processors have instructions
 * for SHA-256 only. AES-128 is as strong as the rest of the handshake (RFC 9325, 4.2). What the system's configuration leaves out stays out.
 */
#define QUICKEST "TLS_AES_128_GCM_SHA256"

static void prefer_quickest(SSL_CTX *ctx)
{
	const STACK_OF(SSL_CIPHER) *ciphers = SSL_CTX_get_ciphers(ctx);
	struct writer list = { 0 };
	bool has_quickest = false;

	write_bytes(&list, QUICKEST, sizeof(QUICKEST) - 1);
	for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
		const char *name = SSL_CIPHER_get_name(sk_SSL_CIPHER_value(ciphers, i));
		bool is_quickest = strcmp(name, QUICKEST) == 0;

		has_quickest |= is_quickest;
		if (is_quickest || strncmp(name, "TLS_", 4) != 0) /* names of TLS 1.2 begin otherwise */
			continue;
		write_u8(&list, ':');
		write_bytes(&list, name, strlen(name));
	}
	write_u8(&list, 0);
	if (has_quickest)
		SSL_CTX_set_ciphersuites(ctx, (const char *)list.data);
	writer_free(&list);
}

static bool set_ciphers(struct loading *l, const struct files *f, SSL_CTX *ctx)
{
	const char *ciphers = strcasecmp(f->tls->ciphers, "all") == 0 ? "ALL:!aNULL:!eNULL" : f->tls->ciphers;
	const char *base = is_default_ciphers(ciphers) ? "DEFAULT" : ciphers;
	bool is_curveless = f->tls->curves && strcasecmp(f->tls->curves, "none") == 0;
	char *list = xasprintf("%s%s", base, is_curveless ? ":!kECDHE" : "");
	bool ok = SSL_CTX_set_cipher_list(ctx, list);

	free(list);
	if (!ok)
		return refuse(l, "%s_tls_ciphers: no cipher in \"%.80s\" is known", f->prefix, f->tls->ciphers);
	if (!is_set(f->tls->tls13_ciphers))
		prefer_quickest(ctx);
	else if (!SSL_CTX_set_ciphersuites(ctx, f->tls->tls13_ciphers))
		return refuse(l, "%s_tls13_ciphers: \"%.80s\" is no list of ciphers", f->prefix,
			f->tls->tls13_ciphers);
	return true;
}

static bool set_curves(struct loading *l, const struct files *f, SSL_CTX *ctx)
{
	const char *curves = f->tls->curves;

	if (strcasecmp(curves, "auto") == 0)
		return true;
	if (strcasecmp(curves, "none") == 0)
		curves = "ffdhe2048:ffdhe3072:ffdhe4096"; /* TLS 1.3 can't do without any group */
	return SSL_CTX_set1_groups_list(ctx, curves) ||
		refuse(l, "%s_tls_ecdhcurve: \"%.80s\" is no curve that OpenSSL knows", f->prefix, curves);
}

/* ---- files ---- */

/* A look before OpenSSL reads it, which says only "system lib", and would wait at a pipe. */
static bool check_readable(struct loading *l, const struct file *f, struct stat *st)
{
	int fd = open(f->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), e = errno;
	bool ok;

	if (fd < 0)
		return refuse(l, "cannot read %s %s: %s", f->setting, f->path, strerror(e));
	ok = fstat(fd, st) == 0 && S_ISREG(st->st_mode);
	close(fd);
	return ok || refuse(l, "%s %s is not a regular file", f->setting, f->path);
}

/* PostgreSQL's rule: nobody else, but for root's file the group. */
static bool check_private(struct loading *l, const struct file *key, const struct stat *st)
{
	mode_t open_to = st->st_mode & (st->st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO);

	if (!open_to)
		return true;
	if (l->config->is_pgbouncer) {
		log_warning(NULL, "%s %s: group or others have access to the private key", key->setting, key->path);
		return true;
	}
	return refuse(l,
		"%s %s: group or others have access to the private key; it must have mode 0600, or 0640 if it is root's",
		key->setting, key->path);
}

/* Nobody is there who could be asked, and OpenSSL would ask on the terminal. */
static int no_passphrase(char *buf, int size, int is_writing, void *ctx)
{
	(void)buf, (void)size, (void)is_writing;
	*(bool *)ctx = true;
	return 0;
}

static bool load_pair(struct loading *l, const struct files *f, SSL_CTX *ctx)
{
	bool is_encrypted = false, ok;
	struct stat st;

	if (!check_readable(l, &f->cert, &st))
		return false;
	if (!SSL_CTX_use_certificate_chain_file(ctx, f->cert.path))
		return refuse(l, "cannot load %s %s: %s", f->cert.setting, f->cert.path, reason());
	if (!check_readable(l, &f->key, &st) || !check_private(l, &f->key, &st))
		return false;
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, &is_encrypted);
	ok = SSL_CTX_use_PrivateKey_file(ctx, f->key.path, SSL_FILETYPE_PEM);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
	if (is_encrypted)
		return refuse(l, "%s %s is protected by a passphrase, which nobody is there to enter",
			f->key.setting, f->key.path);
	if (!ok || !SSL_CTX_check_private_key(ctx))
		return refuse(l, "cannot load %s %s (for certificate %s): %s", f->key.setting, f->key.path,
			f->cert.path, reason());
	return true;
}

/* Here, where they are nobody else's yet: OpenSSL would look into a certificate at its first use, and all login threads share it. */
static void look_into_all(X509_STORE *store)
{
	const STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(store);

	for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
		X509 *certificate = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));

		if (certificate)
			X509_check_purpose(certificate, -1, 0);
	}
}

static X509_STORE *read_authorities(struct loading *l, const struct file *ca)
{
	X509_STORE *store = X509_STORE_new();
	struct stat st;
	bool ok = false;

	ASSERT(store);
	if (strcmp(ca->path, SYSTEM_CA) == 0)
		ok = X509_STORE_set_default_paths(store) ||
			refuse(l, "cannot read the system's certificate authorities: %s", reason());
	else if (check_readable(l, ca, &st))
		ok = X509_STORE_load_file(store, ca->path) ||
			refuse(l, "cannot load %s %s: %s", ca->setting, ca->path, reason());
	if (ok)
		look_into_all(store);
	ERR_clear_error();
	if (ok)
		return store;
	X509_STORE_free(store);
	return NULL;
}

/* Hundreds of databases with the same authorities share one copy: the system's alone take more than a megabyte. */
static bool use_authorities(struct loading *l, const struct file *ca, SSL_CTX *ctx)
{
	struct authorities *a;

	HASH_FIND_STR(l->authorities, ca->path, a);
	if (!a) {
		X509_STORE *store = read_authorities(l, ca);

		if (!store)
			return false;
		a = xcalloc(1, sizeof(*a));
		a->path = xstrdup(ca->path);
		a->store = store;
		HASH_ADD_KEYPTR(hh, l->authorities, a->path, strlen(a->path), a);
	}
	SSL_CTX_set1_cert_store(ctx, a->store);
	return true;
}

/* ---- contexts ---- */

static SSL_CTX *new_context(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	ASSERT(ctx);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* Not SSL_MODE_ENABLE_PARTIAL_WRITE: our wire always takes all, so one call writes many records through one buffer. */
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return ctx;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char ours[] = ALPN;

	(void)ssl, (void)arg;
	if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, ours, sizeof(ours) - 1, in,
		    in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

/* Below verify-ca a bad certificate is as good as none: the login sees that nothing was verified. */
static int let_it_pass(int is_ok, X509_STORE_CTX *ctx)
{
	(void)is_ok, (void)ctx;
	ERR_clear_error(); /* else the end of this call of OpenSSL's would look like a failure */
	return 1;
}

/*
 * A certificate is asked for only where one is looked at. The names of the authorities aren't sent: the system's are 16 kB, and a
 * client has one certificate or none.
 */
static bool set_client_verification(struct loading *l, const struct files *f, SSL_CTX *ctx)
{
	struct file ca = f->ca;

	if (f->mode < TLS_VERIFY_CA && !is_set(ca.path))
		return true;
	if (!is_set(ca.path))
		ca.path = SYSTEM_CA;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, f->mode < TLS_VERIFY_CA ? let_it_pass : NULL);
	return use_authorities(l, &ca, ctx);
}

static void set_tickets(const struct files *f, SSL_CTX *ctx)
{
	static const unsigned char scope[] = "pgweir";

	if (f->tls->tickets) {
		SSL_CTX_set_num_tickets(ctx, 1);
		SSL_CTX_set_session_id_context(ctx, scope, sizeof(scope) - 1);
		return;
	}
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
}

static bool fill_client_context(struct loading *l, const struct files *f, SSL_CTX *ctx)
{
	if (!is_set(f->cert.path) || !is_set(f->key.path))
		return refuse(l,
			"client_tls_sslmode other than disable needs client_tls_cert_file and client_tls_key_file");
	SSL_CTX_set_max_send_fragment(ctx, TLS_CLIENT_RECORD);
	SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
	/* legacy: as short as the security level allows */
	SSL_CTX_set_dh_auto(ctx,
		strcmp(f->tls->dheparams, "none") == 0		 ? 0
			: strcmp(f->tls->dheparams, "auto") == 0 ? 1
								 : 2);
	set_tickets(f, ctx);
	if (!set_protocols(l, f, ctx) || !set_ciphers(l, f, ctx) || !set_curves(l, f, ctx) ||
		!load_pair(l, f, ctx) || !set_client_verification(l, f, ctx))
		return false;
	tls_prepare(ctx);
	return true;
}

static bool fill_server_context(struct loading *l, const struct files *f, SSL_CTX *ctx)
{
	static const unsigned char protocols[] = ALPN;

	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_alpn_protos(ctx, protocols, sizeof(protocols) - 1);
	if (is_set(f->cert.path) != is_set(f->key.path))
		return refuse(l, "%s and %s go together", f->cert.setting, f->key.setting);
	if (!set_protocols(l, f, ctx) || !set_ciphers(l, f, ctx) || (is_set(f->cert.path) && !load_pair(l, f, ctx)))
		return false;
	if (f->mode < TLS_VERIFY_CA)
		return true;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	return use_authorities(l, &f->ca, ctx);
}

static SSL_CTX *make_context(struct loading *l, const struct files *f, const SSL_METHOD *method,
	bool (*fill)(struct loading *, const struct files *, SSL_CTX *))
{
	SSL_CTX *ctx = new_context(method);

	if (fill(l, f, ctx)) {
		ERR_clear_error();
		return ctx;
	}
	SSL_CTX_free(ctx);
	return NULL;
}

static bool load_clients(struct loading *l, struct tls_set *s)
{
	const struct config_tls *tls = &l->config->client_tls;
	struct files f = { .prefix = "client",
		.mode = tls->mode,
		.ca = { tls->ca_file, "client_tls_ca_file" },
		.cert = { tls->cert_file, "client_tls_cert_file" },
		.key = { tls->key_file, "client_tls_key_file" },
		.tls = tls };

	if (tls->mode == TLS_DISABLE)
		return true;
	s->clients = make_context(l, &f, TLS_server_method(), fill_client_context);
	return s->clients != NULL;
}

static const char *text_of(const char *text)
{
	return text ? text : "";
}

/* What decides how a connection comes about: where it changes, servers are opened anew. What the files hold isn't part of it. */
static char *print_of(const struct files *f, enum tls_negotiation negotiation)
{
	return xasprintf("%d|%d|%s|%s|%s|%s|%s|%s", f->mode, negotiation, text_of(f->ca.path),
		text_of(f->cert.path), text_of(f->key.path), f->tls->protocols, f->tls->ciphers,
		f->tls->tls13_ciphers);
}

static struct server_context *find_context(struct loading *l, struct tls_set *s, const struct files *f)
{
	char *key = xasprintf("%d\n%s\n%s\n%s", f->mode >= TLS_VERIFY_CA, f->ca.path, text_of(f->cert.path),
		text_of(f->key.path));
	struct server_context *c;
	SSL_CTX *ctx;

	HASH_FIND_STR(s->contexts, key, c);
	ctx = c ? NULL : make_context(l, f, TLS_client_method(), fill_server_context);
	if (ctx) {
		c = xcalloc(1, sizeof(*c));
		c->key = xstrdup(key);
		c->context = ctx;
		HASH_ADD_KEYPTR(hh, s->contexts, c->key, strlen(c->key), c);
	}
	free(key);
	return c;
}

static bool load_target(struct loading *l, struct tls_set *s, struct files *f, struct tls_target *target)
{
	struct server_context *c;

	target->mode = f->mode;
	target->print = print_of(f, target->negotiation);
	if (f->mode == TLS_DISABLE)
		return true;
	if (target->negotiation == NEGOTIATE_DIRECT && f->mode < TLS_REQUIRE)
		return refuse(l,
			"direct TLS can't fall back to plain text: it needs %s require, verify-ca or verify-full",
			l->database ? "sslmode" : "server_tls_sslmode");
	if (!is_set(f->ca.path) || f->mode < TLS_VERIFY_CA)
		f->ca.path = SYSTEM_CA;
	c = find_context(l, s, f);
	target->context = c ? c->context : NULL;
	return c != NULL;
}

static bool says_nothing(const struct config_database *db)
{
	return db->sslmode == TLS_UNSET && db->sslnegotiation == NEGOTIATE_UNSET && !db->sslrootcert &&
		!db->sslcert && !db->sslkey;
}

static struct files common_files(const struct config_tls *tls)
{
	return (struct files){ .prefix = "server",
		.mode = tls->mode,
		.ca = { tls->ca_file, "server_tls_ca_file" },
		.cert = { tls->cert_file, "server_tls_cert_file" },
		.key = { tls->key_file, "server_tls_key_file" },
		.tls = tls };
}

/* A certificate comes with its own key. */
static struct files files_of(const struct config *c, const struct config_database *db)
{
	struct files f = common_files(&c->server_tls);

	if (db->sslmode != TLS_UNSET)
		f.mode = db->sslmode;
	if (db->sslrootcert)
		f.ca = (struct file){ db->sslrootcert, "sslrootcert" };
	if (db->sslcert || db->sslkey) {
		f.cert = (struct file){ db->sslcert, "sslcert" };
		f.key = (struct file){ db->sslkey, "sslkey" };
	}
	return f;
}

static bool load_database(struct loading *l, struct tls_set *s, const struct config_database *db)
{
	struct files f = files_of(l->config, db);
	struct database_target *t = xcalloc(1, sizeof(*t));
	bool ok;

	t->name = xstrdup(db->name);
	t->target.negotiation = db->sslnegotiation != NEGOTIATE_UNSET ? db->sslnegotiation
								      : l->config->server_tls_negotiation;
	HASH_ADD_KEYPTR(hh, s->databases, t->name, strlen(t->name), t);
	l->database = db->name;
	ok = load_target(l, s, &f, &t->target);
	l->database = NULL;
	return ok;
}

static bool load_servers(struct loading *l, struct tls_set *s)
{
	struct files f = common_files(&l->config->server_tls);

	s->servers.negotiation = l->config->server_tls_negotiation;
	if (!load_target(l, s, &f, &s->servers))
		return false;
	for (const struct config_database *db = l->config->databases; db; db = db->next)
		if (!says_nothing(db) && !load_database(l, s, db))
			return false;
	return true;
}

static void free_loading(struct loading *l)
{
	struct authorities *a, *next;

	HASH_ITER(hh, l->authorities, a, next) {
		HASH_DEL(l->authorities, a);
		X509_STORE_free(a->store);
		free(a->path);
		free(a);
	}
}

struct tls_set *tls_set_load(const struct config *c, char *error, size_t error_size)
{
	struct loading l = { .config = c, .error = error, .error_size = error_size };
	struct tls_set *s = xcalloc(1, sizeof(*s));

	s->refs = 1;
	ERR_clear_error();
	if (!load_clients(&l, s) || !load_servers(&l, s))
		tls_set_unref(&s);
	free_loading(&l);
	return s;
}

struct tls_set *tls_set_ref(struct tls_set *s)
{
	if (s)
		__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void tls_set_unref(struct tls_set **sp)
{
	struct tls_set *s = *sp;
	struct server_context *c, *next_context;
	struct database_target *t, *next_target;

	*sp = NULL;
	if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	HASH_ITER(hh, s->databases, t, next_target) {
		HASH_DEL(s->databases, t);
		free(t->target.print);
		free(t->name);
		free(t);
	}
	HASH_ITER(hh, s->contexts, c, next_context) {
		HASH_DEL(s->contexts, c);
		SSL_CTX_free(c->context);
		free(c->key);
		free(c);
	}
	SSL_CTX_free(s->clients);
	free(s->servers.print);
	free(s);
}

SSL_CTX *tls_set_clients(const struct tls_set *s)
{
	return s ? s->clients : NULL;
}

const struct tls_target *tls_set_database(const struct tls_set *s, const char *database)
{
	static const struct tls_target plain = { .mode = TLS_DISABLE };
	struct database_target *t;

	if (!s)
		return &plain;
	HASH_FIND_STR(s->databases, database, t);
	return t ? &t->target : &s->servers;
}
