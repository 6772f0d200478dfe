#include "net/tls_records.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>

#define HEADER 5
#define TAG 16
#define NONCE 12
#define PLAIN_MAX 16384
#define UPDATE_SIZE 5 /* a KeyUpdate message */

enum content { CONTENT_CIPHER_SPEC = 20, CONTENT_ALERT = 21, CONTENT_HANDSHAKE = 22, CONTENT_DATA = 23 };
enum alert {
	ALERT_CLOSE_NOTIFY = 0,
	ALERT_UNEXPECTED_MESSAGE = 10,
	ALERT_BAD_RECORD_MAC = 20,
	ALERT_RECORD_OVERFLOW = 22,
	ALERT_ILLEGAL_PARAMETER = 47,
};
#define ALERT_WARNING 1
#define ALERT_FATAL 2
#define HANDSHAKE_KEY_UPDATE 24

static const struct suite {
	uint16_t number;
	const char *name, *digest;
	const EVP_CIPHER *(*cipher)(void);
	size_t secret_len, key_len;
} suites[] = {
	{ 0x1301, "TLS_AES_128_GCM_SHA256", "SHA256", EVP_aes_128_gcm, 32, 16 },
	{ 0x1302, "TLS_AES_256_GCM_SHA384", "SHA384", EVP_aes_256_gcm, 48, 32 },
	{ 0x1303, "TLS_CHACHA20_POLY1305_SHA256", "SHA256", EVP_chacha20_poly1305, 32, 32 },
};

struct way { /* one direction */
	struct tls_way now;
	uint8_t iv[NONCE];
	EVP_CIPHER_CTX *cipher; /* with its key */
};

struct records {
	const struct suite *suite;
	struct way read, write;
	struct writer part; /* of a record that hasn't come whole */
};

static const struct suite *find_suite(uint16_t number)
{
	for (size_t i = 0; i < N_ELEMENTS(suites); i++)
		if (suites[i].number == number)
			return &suites[i];
	return NULL;
}

size_t records_secret_len(uint16_t suite)
{
	const struct suite *s = find_suite(suite);

	return s ? s->secret_len : 0;
}

/* ---- keys ---- */

/* HKDF-Expand-Label(secret, label, "", len) */
static void expand(const struct suite *s, const uint8_t *secret, const char *label, uint8_t *out, size_t len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	struct writer info = { 0 };
	OSSL_PARAM params[5];

	write_u16(&info, (uint16_t)len);
	write_u8(&info, (uint8_t)(strlen("tls13 ") + strlen(label)));
	write_bytes(&info, "tls13 ", strlen("tls13 "));
	write_bytes(&info, label, strlen(label));
	write_u8(&info, 0);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)s->digest, 0);
	params[1] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
	params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, s->secret_len);
	params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data, info.len);
	params[4] = OSSL_PARAM_construct_end();
	ASSERT(ctx && EVP_KDF_derive(ctx, out, len, params) > 0);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	writer_free(&info);
}

static void take_key(const struct suite *s, struct way *w, bool is_write)
{
	uint8_t key[32];

	expand(s, w->now.secret, "key", key, s->key_len);
	expand(s, w->now.secret, "iv", w->iv, sizeof(w->iv));
	ASSERT(EVP_CipherInit_ex(w->cipher, s->cipher(), NULL, key, NULL, is_write) > 0);
	OPENSSL_cleanse(key, sizeof(key));
}

static void update_key(const struct suite *s, struct way *w, bool is_write)
{
	uint8_t next[TLS_SECRET_MAX];

	expand(s, w->now.secret, "traffic upd", next, s->secret_len);
	memcpy(w->now.secret, next, s->secret_len);
	OPENSSL_cleanse(next, sizeof(next));
	w->now.records = 0;
	take_key(s, w, is_write);
}

struct records *records_new(const struct tls_keys *k)
{
	const struct suite *s = find_suite(k->suite);
	struct records *r;

	if (!s || s->secret_len != k->secret_len)
		return NULL;
	r = xcalloc(1, sizeof(*r));
	r->suite = s;
	r->read.now = k->read;
	r->write.now = k->write;
	r->read.cipher = EVP_CIPHER_CTX_new();
	r->write.cipher = EVP_CIPHER_CTX_new();
	ASSERT(r->read.cipher && r->write.cipher);
	take_key(s, &r->read, false);
	take_key(s, &r->write, true);
	return r;
}

void records_free(struct records **rp)
{
	struct records *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	EVP_CIPHER_CTX_free(r->read.cipher);
	EVP_CIPHER_CTX_free(r->write.cipher);
	writer_free(&r->part);
	OPENSSL_cleanse(r, sizeof(*r));
	free(r);
}

bool records_is_between(const struct records *r)
{
	return r->part.len == 0;
}

const char *records_name(const struct records *r)
{
	return r->suite->name;
}

void records_get_keys(const struct records *r, struct tls_keys *out)
{
	*out = (struct tls_keys){ .suite = r->suite->number,
		.secret_len = r->suite->secret_len,
		.read = r->read.now,
		.write = r->write.now };
}

/* ---- one record ---- */

static void begin_record(struct way *w, const uint8_t header[HEADER], bool is_write)
{
	uint8_t nonce[NONCE];
	int n;

	memcpy(nonce, w->iv, sizeof(nonce));
	for (int i = 0; i < 8; i++)
		nonce[NONCE - 1 - i] ^= (uint8_t)(w->now.records >> (8 * i));
	w->now.records++;
	ASSERT(EVP_CipherInit_ex(w->cipher, NULL, NULL, NULL, nonce, is_write) > 0 &&
		EVP_CipherUpdate(w->cipher, NULL, &n, header, HEADER) > 0);
}

static void seal_record(struct records *r, enum content type, const void *plain, size_t len, struct writer *out)
{
	size_t sealed = len + 1 + TAG;
	uint8_t header[HEADER] = { CONTENT_DATA, 3, 3, (uint8_t)(sealed >> 8), (uint8_t)sealed },
		content = (uint8_t)type, *to;
	EVP_CIPHER_CTX *c = r->write.cipher;
	int n, end;

	begin_record(&r->write, header, true);
	write_bytes(out, header, HEADER);
	to = writer_reserve(out, sealed);
	ASSERT(EVP_CipherUpdate(c, to, &n, plain, (int)len) > 0 && (size_t)n == len);
	ASSERT(EVP_CipherUpdate(c, to + len, &n, &content, 1) > 0 && n == 1);
	ASSERT(EVP_CipherFinal_ex(c, to + len + 1, &end) > 0 && end == 0);
	ASSERT(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG, to + len + 1) > 0);
	out->len += sealed;
}

/* What it says without padding, in plain; false: it isn't the peer's. */
static bool open_record(
	struct records *r, const uint8_t *record, size_t len, uint8_t *plain, size_t *n, enum content *type)
{
	EVP_CIPHER_CTX *c = r->read.cipher;
	size_t inner = len - HEADER - TAG;
	uint8_t tag[TAG];
	int got, end;

	memcpy(tag, record + len - TAG, TAG);
	begin_record(&r->read, record, false);
	if (EVP_CipherUpdate(c, plain, &got, record + HEADER, (int)inner) <= 0 ||
		EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG, tag) <= 0 ||
		EVP_CipherFinal_ex(c, plain + got, &end) <= 0) {
		OPENSSL_cleanse(plain, inner);
		return false;
	}
	while (inner && !plain[inner - 1])
		inner--;
	*type = inner ? (enum content)plain[inner - 1] : CONTENT_CIPHER_SPEC; /* none: as bad as that one */
	*n = inner ? inner - 1 : 0;
	return true;
}

/* ---- what they say ---- */

static enum tls_event fail(struct records *r, enum alert a, const char *text, struct writer *out, const char **why)
{
	uint8_t alert[] = { ALERT_FATAL, (uint8_t)a };

	seal_record(r, CONTENT_ALERT, alert, sizeof(alert), out);
	*why = text;
	return TLS_BROKEN;
}

static enum tls_event hear_alert(const uint8_t *p, size_t n, const char **why)
{
	if (n == 2 && p[1] == ALERT_CLOSE_NOTIFY)
		return TLS_CLOSED;
	*why = "the peer has sent an alert";
	return TLS_BROKEN;
}

static enum tls_event hear_handshake(
	struct records *r, const uint8_t *p, size_t n, struct writer *out, const char **why)
{
	static const uint8_t head[] = { HANDSHAKE_KEY_UPDATE, 0, 0, 1 },
			     ours[] = { HANDSHAKE_KEY_UPDATE, 0, 0, 1, 0 };

	if (n != UPDATE_SIZE || memcmp(p, head, sizeof(head)) != 0)
		return fail(r, ALERT_UNEXPECTED_MESSAGE, "unexpected message", out, why);
	if (p[4] > 1)
		return fail(r, ALERT_ILLEGAL_PARAMETER, "bad key update", out, why);
	update_key(r->suite, &r->read, false);
	if (p[4]) {
		seal_record(r, CONTENT_HANDSHAKE, ours, sizeof(ours), out);
		update_key(r->suite, &r->write, true);
	}
	return TLS_OPEN;
}

static enum tls_event hear(struct records *r, const uint8_t *record, size_t len, uint8_t *plain, size_t *n,
	struct writer *out, const char **why)
{
	enum content type;
	size_t got;

	if (record[0] != CONTENT_DATA || len < HEADER + TAG + 1)
		return fail(r, ALERT_UNEXPECTED_MESSAGE, "unexpected record", out, why);
	if (!open_record(r, record, len, plain + *n, &got, &type))
		return fail(r, ALERT_BAD_RECORD_MAC, "bad record mac", out, why);
	if (got > PLAIN_MAX)
		return fail(r, ALERT_RECORD_OVERFLOW, "record is too long", out, why);
	switch (type) {
	case CONTENT_DATA: *n += got; return TLS_OPEN;
	case CONTENT_ALERT: return hear_alert(plain + *n, got, why);
	case CONTENT_HANDSHAKE: return hear_handshake(r, plain + *n, got, out, why);
	case CONTENT_CIPHER_SPEC: break;
	}
	return fail(r, ALERT_UNEXPECTED_MESSAGE, "unexpected record", out, why);
}

/* How long the record is that begins here; 0: not known yet. */
static size_t record_len(const uint8_t *p, size_t len)
{
	return len < HEADER ? 0 : HEADER + ((size_t)p[3] << 8 | p[4]);
}

static enum tls_event hear_part(struct records *r, const uint8_t **p, const uint8_t *end, uint8_t *plain,
	size_t *n, struct writer *out, const char **why)
{
	enum tls_event e;
	size_t want, left;

	for (;;) {
		want = record_len(r->part.data, r->part.len);
		if (want > TLS_RECORD_MAX)
			return fail(r, ALERT_RECORD_OVERFLOW, "record is too long", out, why);
		if (want && r->part.len == want)
			break;
		left = MIN((want ? want : HEADER) - r->part.len, (size_t)(end - *p));
		if (!left)
			return TLS_OPEN;
		write_bytes(&r->part, *p, left);
		*p += left;
	}
	e = hear(r, r->part.data, want, plain, n, out, why);
	writer_free(&r->part);
	return e;
}

enum tls_event records_open(struct records *r, const uint8_t *bytes, size_t len, uint8_t *plain, size_t *n,
	struct writer *out, const char **why)
{
	const uint8_t *p = bytes, *end = bytes + len;
	enum tls_event e = TLS_OPEN;

	*n = 0;
	while (e == TLS_OPEN && p < end) {
		size_t want = record_len(p, (size_t)(end - p));

		if (r->part.len || !want || want > (size_t)(end - p)) {
			e = hear_part(r, &p, end, plain, n, out, why);
		} else {
			e = want > TLS_RECORD_MAX ? fail(r, ALERT_RECORD_OVERFLOW, "record is too long", out, why)
						  : hear(r, p, want, plain, n, out, why);
			p += want;
		}
	}
	return e;
}

void records_seal(struct records *r, const void *plain, size_t len, struct writer *out)
{
	const uint8_t *p = plain;

	for (size_t n; len; p += n, len -= n) {
		n = MIN(len, TLS_CLIENT_RECORD);
		seal_record(r, CONTENT_DATA, p, n, out);
	}
}

void records_goodbye(struct records *r, struct writer *out)
{
	static const uint8_t alert[] = { ALERT_WARNING, ALERT_CLOSE_NOTIFY };

	seal_record(r, CONTENT_ALERT, alert, sizeof(alert), out);
}
