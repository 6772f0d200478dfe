#include "net/tls.h"

#include "net/tls_records.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHATTER_MAX 65536 /* bytes of answers to key updates in a connection's life: some thousands of them */

struct binding {
	uint8_t bytes[TLS_BINDING_MAX];
	unsigned int len;
};

/* Where records begin in what goes by. */
struct record_walk {
	uint64_t count;
	size_t left; /* of the record that we're in, without its header */
	uint8_t header[5];
	uint8_t have; /* of the header */
};

/* What tls_get_keys() will have to tell of a connection that OpenSSL has accepted. */
struct ledger {
	struct tls_keys keys; /* secrets as of the handshake's end; their records are counted by the walks */
	struct record_walk read, written;
	uint64_t data; /* records that were read and held data: any other means that the peer has something to say of its own */
	bool is_begun;
};

struct tls {
	SSL *ssl; /* NULL: it comes from another process */
	struct records *records;
	struct ledger *ledger;
	const uint8_t *in, *in_end; /* inside tls_open(): what OpenSSL hasn't taken yet */
	struct writer *out;	    /* inside a call: where its bytes go */
	struct writer unsent;
	char *why;
	char *host; /* we are the client: whom we mean to speak to */
	size_t chatter;
	bool checks_host, is_up, is_broken, has_said_goodbye;
};

/* ---- what another process would have to know ---- */

static void walk(struct record_walk *w, const void *bytes, size_t len)
{
	for (const uint8_t *p = bytes, *end = p + len; p < end;) {
		size_t n = MIN(w->left, (size_t)(end - p));

		w->left -= n;
		p += n;
		if (p == end || w->left)
			continue;
		w->header[w->have++] = *p++;
		if (w->have < sizeof(w->header))
			continue;
		w->left = (size_t)w->header[3] << 8 | w->header[4];
		w->have = 0;
		w->count++;
	}
}

static bool read_hex(const char *s, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int high = OPENSSL_hexchar2int((unsigned char)s[2 * i]),
		    low = high < 0 ? -1 : OPENSSL_hexchar2int((unsigned char)s[2 * i + 1]);

		if (low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/*
 * "LABEL random secret". The client's comes when its last message of the handshake has been read, and everything of ours has been
 * written: from here on each record is one of these two secrets', in both directions.
 */
static void on_secret(const SSL *ssl, const char *line)
{
	static const char read_label[] = "CLIENT_TRAFFIC_SECRET_0 ", write_label[] = "SERVER_TRAFFIC_SECRET_0 ";
	struct tls *t = BIO_get_data(SSL_get_rbio(ssl));
	struct ledger *l = t->ledger;
	bool is_read = strncmp(line, read_label, strlen(read_label)) == 0;
	const char *secret;

	if (!l || (!is_read && strncmp(line, write_label, strlen(write_label)) != 0))
		return;
	secret = strrchr(line, ' ') + 1;
	l->keys.suite = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl));
	l->keys.secret_len = records_secret_len(l->keys.suite);
	if (!l->keys.secret_len || strlen(secret) != 2 * l->keys.secret_len ||
		!read_hex(secret, is_read ? l->keys.read.secret : l->keys.write.secret, l->keys.secret_len)) {
		l->keys.secret_len = 0;
		return;
	}
	if (is_read) {
		l->read.count = l->written.count = 0;
		l->is_begun = true;
	}
}

bool tls_may_move(const struct tls *t)
{
	const struct ledger *l = t->ledger;

	if (!t->is_up || t->is_broken || t->has_said_goodbye)
		return false;
	if (t->records)
		return records_is_between(t->records);
	return l && l->is_begun && l->keys.secret_len && !l->read.left && !l->read.have && !l->written.left &&
		!l->written.have && l->data == l->read.count && !SSL_has_pending(t->ssl);
}

void tls_get_keys(const struct tls *t, struct tls_keys *out)
{
	ASSERT(tls_may_move(t));
	if (t->records) {
		records_get_keys(t->records, out);
		return;
	}
	*out = t->ledger->keys;
	out->read.records = t->ledger->read.count;
	out->write.records = t->ledger->written.count;
}

struct tls *tls_with_keys(const struct tls_keys *k)
{
	struct records *r = records_new(k);
	struct tls *t;

	if (!r)
		return NULL;
	t = xcalloc(1, sizeof(*t));
	t->records = r;
	t->is_up = true;
	return t;
}

/* ---- OpenSSL's view of the wire: our two buffers ---- */

static int wire_read(BIO *b, char *to, int size)
{
	struct tls *t = BIO_get_data(b);
	size_t n = MIN((size_t)(t->in_end - t->in), (size_t)MAX(size, 0));

	BIO_clear_retry_flags(b);
	if (n == 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	memcpy(to, t->in, n);
	t->in += n;
	if (t->ledger)
		walk(&t->ledger->read, to, n);
	return (int)n;
}

static int wire_write(BIO *b, const char *from, int len)
{
	struct tls *t = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	if (len > 0 && t->out)
		write_bytes(t->out, from, (size_t)len);
	if (len > 0 && t->ledger)
		walk(&t->ledger->written, from, (size_t)len);
	return len;
}

static long wire_ctrl(BIO *b, int what, long number, void *pointer)
{
	(void)b, (void)number, (void)pointer;
	return what == BIO_CTRL_FLUSH;
}

static int wire_create(BIO *b)
{
	BIO_set_init(b, 1);
	return 1;
}

static BIO_METHOD *wire;
static int own_binding; /* where contexts of servers keep a struct binding */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void free_binding(void *context, void *binding, CRYPTO_EX_DATA *data, int index, long number, void *pointer)
{
	(void)context, (void)data, (void)index, (void)number, (void)pointer;
	free(binding);
}

static void set_up(void)
{
	own_binding = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_binding);
	ASSERT(own_binding >= 0);
	wire = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
	ASSERT(wire && BIO_meth_set_read(wire, wire_read) && BIO_meth_set_write(wire, wire_write) &&
		BIO_meth_set_ctrl(wire, wire_ctrl) && BIO_meth_set_create(wire, wire_create));
}

/* ---- life ---- */

static struct tls *make(SSL_CTX *context)
{
	struct tls *t = xcalloc(1, sizeof(*t));
	BIO *b;

	pthread_once(&once, set_up);
	t->ssl = SSL_new(context);
	b = BIO_new(wire);
	ASSERT(t->ssl && b);
	BIO_set_data(b, t);
	SSL_set_bio(t->ssl, b, b);
	return t;
}

struct tls *tls_accept(SSL_CTX *context)
{
	struct tls *t = make(context);

	t->ledger = xcalloc(1, sizeof(*t->ledger));
	SSL_set_accept_state(t->ssl);
	return t;
}

/* An address stands in a certificate as an address, and is no name to indicate. */
struct tls *tls_connect(SSL_CTX *context, const char *host, bool checks_host)
{
	struct tls *t = make(context);
	X509_VERIFY_PARAM *check = SSL_get0_param(t->ssl);
	bool is_address = X509_VERIFY_PARAM_set1_ip_asc(check, host);

	ASSERT(*host);
	t->host = xstrdup(host);
	t->checks_host = checks_host;
	SSL_set_connect_state(t->ssl);
	if (!is_address)
		SSL_set_tlsext_host_name(t->ssl, host);
	if (is_address && !checks_host)
		X509_VERIFY_PARAM_set1_ip(check, NULL, 0);
	if (checks_host && !is_address) {
		X509_VERIFY_PARAM_set_hostflags(check, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		ASSERT(X509_VERIFY_PARAM_set1_host(check, host, 0));
	}
	return t;
}

struct tls *tls_connect_like(const struct tls *t)
{
	return tls_connect(SSL_get_SSL_CTX(t->ssl), t->host, t->checks_host);
}

void tls_free(struct tls **tp)
{
	struct tls *t = *tp;

	*tp = NULL;
	if (!t)
		return;
	SSL_free(t->ssl);
	records_free(&t->records);
	if (t->ledger)
		OPENSSL_cleanse(t->ledger, sizeof(*t->ledger));
	free(t->ledger);
	writer_free(&t->unsent);
	free(t->why);
	free(t->host);
	free(t);
}

/* ---- bytes ---- */

static void explain(struct tls *t)
{
	unsigned long code = ERR_peek_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	long verdict = SSL_get_verify_result(t->ssl);

	if (t->why)
		return;
	if (code && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict != X509_V_OK)
		t->why = xasprintf("certificate verify failed: %s", X509_verify_cert_error_string(verdict));
	else
		t->why = xstrdup(reason ? reason : "TLS error");
}

static enum tls_event give_up(struct tls *t)
{
	t->is_broken = true;
	explain(t);
	ERR_clear_error();
	return TLS_BROKEN;
}

void tls_begin(struct tls *t, struct writer *out)
{
	t->out = out;
	ERR_clear_error();
	if (SSL_do_handshake(t->ssl) <= 0 && SSL_get_error(t->ssl, -1) != SSL_ERROR_WANT_READ)
		give_up(t);
	t->out = NULL;
}

static enum tls_event open_records(
	struct tls *t, const uint8_t *bytes, size_t len, uint8_t *plain, size_t *n, struct writer *out)
{
	const char *why = NULL;
	enum tls_event e = records_open(t->records, bytes, len, plain, n, out, &why);

	if (e == TLS_BROKEN) {
		t->is_broken = true;
		t->why = xstrdup(why);
	}
	return e;
}

/* Another call of OpenSSL's that finds nothing costs more than looking. */
static bool has_more(const struct tls *t)
{
	return t->in < t->in_end || SSL_has_pending(t->ssl);
}

static enum tls_event read_all(struct tls *t, uint8_t *plain, size_t cap, size_t *n)
{
	size_t got;

	do {
		ASSERT(*n < cap);
		ERR_clear_error();
		if (!SSL_read_ex(t->ssl, plain + *n, cap - *n, &got)) {
			switch (SSL_get_error(t->ssl, 0)) {
			case SSL_ERROR_WANT_READ: return TLS_OPEN;
			case SSL_ERROR_ZERO_RETURN: return TLS_CLOSED;
			default: return give_up(t);
			}
		}
		*n += got;
		if (t->ledger)
			t->ledger->data++;
	} while (has_more(t));
	return TLS_OPEN;
}

enum tls_event tls_open(
	struct tls *t, const uint8_t *bytes, size_t len, uint8_t *plain, size_t *n, struct writer *out)
{
	size_t had = out->len;
	enum tls_event e = TLS_BROKEN;

	*n = 0;
	if (!t->is_broken && t->records) {
		e = open_records(t, bytes, len, plain, n, out);
	} else if (!t->is_broken) {
		t->in = bytes;
		t->in_end = bytes + len;
		t->out = out;
		e = read_all(t, plain, len + TLS_RECORD_MAX, n);
		t->in = t->in_end = NULL;
		t->out = NULL;
	}
	if (t->is_up)
		t->chatter += out->len - had;
	t->is_up = t->is_up || (!t->is_broken && SSL_is_init_finished(t->ssl));
	if (e == TLS_OPEN && t->chatter > CHATTER_MAX) {
		t->why = xstrdup("too many key updates");
		t->is_broken = true;
		return TLS_BROKEN;
	}
	return e;
}

bool tls_seal(struct tls *t, const void *plain, size_t len, struct writer *out)
{
	const uint8_t *p = plain;
	size_t n;

	if (t->is_broken || !t->is_up || t->has_said_goodbye)
		return false;
	if (t->records) {
		records_seal(t->records, plain, len, out);
		return true;
	}
	t->out = out;
	for (; len; p += n, len -= n) {
		ERR_clear_error();
		if (!SSL_write_ex(t->ssl, p, len, &n)) {
			give_up(t);
			break;
		}
	}
	t->out = NULL;
	return len == 0;
}

void tls_goodbye(struct tls *t, struct writer *out)
{
	if (t->is_broken || !t->is_up || t->has_said_goodbye)
		return;
	t->has_said_goodbye = true;
	if (t->records) {
		records_goodbye(t->records, out);
		return;
	}
	t->out = out;
	ERR_clear_error();
	SSL_shutdown(t->ssl);
	ERR_clear_error();
	t->out = NULL;
}

/* ---- what is known ---- */

bool tls_is_up(const struct tls *t)
{
	return t->is_up;
}

const char *tls_why(const struct tls *t)
{
	return t->why ? t->why : "TLS error";
}

struct writer *tls_unsent(struct tls *t)
{
	return &t->unsent;
}

void tls_describe(const struct tls *t, char *out, size_t size)
{
	if (t && t->records)
		snprintf(out, size, "TLSv1.3/%s", records_name(t->records));
	else
		snprintf(out, size, "%s%s%s", t ? SSL_get_version(t->ssl) : "", t ? "/" : "",
			t ? SSL_get_cipher_name(t->ssl) : "");
}

/*
 * RFC 5929: the hash that the certificate is signed with, but SHA-256 for MD5 and SHA-1. A signature without a hash of its
 * own (Ed25519) has no binding.
 */
static void bind_to(X509 *certificate, struct binding *out)
{
	const EVP_MD *md;
	int nid = NID_undef;

	out->len = 0;
	if (!certificate || !X509_get_signature_info(certificate, &nid, NULL, NULL, NULL) || nid == NID_undef)
		return;
	if (nid == NID_md5 || nid == NID_sha1)
		nid = NID_sha256;
	md = EVP_get_digestbynid(nid);
	if (!md || EVP_MD_get_size(md) > TLS_BINDING_MAX || !X509_digest(certificate, md, out->bytes, &out->len))
		out->len = 0;
}

void tls_prepare(SSL_CTX *context)
{
	struct binding *b = xcalloc(1, sizeof(*b));

	pthread_once(&once, set_up);
	bind_to(SSL_CTX_get0_certificate(context), b);
	ERR_clear_error();
	free(SSL_CTX_get_ex_data(context, own_binding));
	ASSERT(SSL_CTX_set_ex_data(context, own_binding, b));
	SSL_CTX_set_keylog_callback(context, on_secret); /* nothing is logged: see on_secret() */
}

static void get_binding(const SSL *ssl, X509 *peer, struct tls_facts *out)
{
	const struct binding *own = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), own_binding);
	struct binding b;

	if (!SSL_is_server(ssl)) {
		bind_to(peer, &b);
		own = &b;
	}
	if (!own)
		return;
	memcpy(out->binding, own->bytes, own->len);
	out->binding_len = own->len;
}

/* A NUL inside would make "alice\0.evil.example" out to be alice. */
static char *text_of(const ASN1_STRING *s)
{
	unsigned char *utf8 = NULL;
	int len = ASN1_STRING_to_UTF8(&utf8, s);
	char *text = NULL;

	if (len > 0 && !memchr(utf8, 0, (size_t)len))
		text = xstrndup((char *)utf8, (size_t)len);
	OPENSSL_free(utf8);
	return text;
}

static char *common_name(const X509_NAME *subject)
{
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	X509_NAME_ENTRY *entry = at >= 0 ? X509_NAME_get_entry(subject, at) : NULL;

	return entry ? text_of(X509_NAME_ENTRY_get_data(entry)) : NULL;
}

static char *distinguished_name(const X509_NAME *subject)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *data = NULL, *text = NULL;
	long len;

	ASSERT(b);
	if (X509_NAME_print_ex(b, subject, 0, XN_FLAG_RFC2253) >= 0) {
		len = BIO_get_mem_data(b, &data);
		if (len > 0 && !memchr(data, 0, (size_t)len))
			text = xstrndup(data, (size_t)len);
	}
	BIO_free(b);
	return text;
}

static void look_at_peer(const SSL *ssl, X509 *peer, struct tls_facts *out)
{
	if (!peer || SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE || SSL_get_verify_result(ssl) != X509_V_OK)
		return;
	out->is_verified = true;
	out->peer_cn = common_name(X509_get_subject_name(peer));
	out->peer_dn = distinguished_name(X509_get_subject_name(peer));
}

void tls_get_facts(const struct tls *t, struct tls_facts *out)
{
	X509 *peer = SSL_get0_peer_certificate(t->ssl);
	const unsigned char *protocol = NULL;
	unsigned int len = 0;

	memset(out, 0, sizeof(*out));
	out->is_on = true;
	SSL_get0_alpn_selected(t->ssl, &protocol, &len);
	out->has_alpn = len > 0;
	tls_describe(t, out->name, sizeof(out->name));
	look_at_peer(t->ssl, peer, out);
	get_binding(t->ssl, peer, out);
	ERR_clear_error();
}

void tls_clear_facts(struct tls_facts *f)
{
	free(f->peer_cn);
	free(f->peer_dn);
	memset(f, 0, sizeof(*f));
}
