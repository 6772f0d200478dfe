#include "auth/scram.h"

#include "auth/base64.h"
#include "auth/digest.h"
#include "auth/saslprep.h"
#include "auth/scram_private.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define NONCE_BYTES 18 /* as PostgreSQL's: a multiple of 3, so that its base64 has no padding */
#define NONCE_LEN BASE64_LEN(NONCE_BYTES)
#define MOCK_SALT_LEN 16 /* PostgreSQL's default, so that a mock salt looks like any other */
#define KEY_TEXT_LEN BASE64_LEN(SCRAM_KEY_SIZE)
#define SECRET_PREFIX "SCRAM-SHA-256$"

#define TO(s) (1u << (s))
static const unsigned scram_moves[] = {
	[SCRAM_NEW] = TO(SCRAM_SERVER_CHALLENGED) | TO(SCRAM_CLIENT_GREETED) | TO(SCRAM_FAILED),
	[SCRAM_SERVER_CHALLENGED] = TO(SCRAM_DONE) | TO(SCRAM_FAILED),
	[SCRAM_CLIENT_GREETED] = TO(SCRAM_CLIENT_CHALLENGED) | TO(SCRAM_FAILED),
	[SCRAM_CLIENT_CHALLENGED] = TO(SCRAM_CLIENT_PROVED) | TO(SCRAM_FAILED),
	[SCRAM_CLIENT_PROVED] = TO(SCRAM_DONE) | TO(SCRAM_FAILED),
	[SCRAM_DONE] = TO(SCRAM_FAILED), /* by a message too many */
	[SCRAM_FAILED] = TO(SCRAM_FAILED),
};

static void set_state(struct scram *s, enum scram_state next)
{
	ASSERT(scram_moves[s->state] & TO(next));
	s->state = next;
}

static enum result conclude(struct scram *s, enum result res, enum scram_state next)
{
	set_state(s, res == RES_OK ? next : SCRAM_FAILED);
	return res;
}

void scram_wipe(struct scram *s)
{
	secure_free(&s->client_first_bare);
	secure_free(&s->server_first);
	secure_free(&s->nonce);
	OPENSSL_cleanse(s, sizeof(*s));
}

void scram_bind(struct scram *s, const uint8_t *data, size_t len, bool is_plus)
{
	ASSERT(s->state == SCRAM_NEW && len <= sizeof(s->binding) && (len || !is_plus));
	if (len)
		memcpy(s->binding, data, len);
	s->binding_len = len;
	s->is_plus = is_plus;
}

/* --- channel binding ------------------------------------------------------------------------------ */

#define GS2_PLUS "p=tls-server-end-point,,"
#define CBIND_MAX (sizeof(GS2_PLUS) + SCRAM_BINDING_MAX)

static const char *gs2_header(const struct scram *s)
{
	return s->gs2_flag == 'p' ? GS2_PLUS : s->gs2_flag == 'y' ? "y,," : "n,,";
}

/* cbind-input of RFC 5802, as c= has it */
static void bound_text(const struct scram *s, char out[BASE64_LEN(CBIND_MAX) + 1])
{
	const char *header = gs2_header(s);
	size_t n = strlen(header), bound = s->gs2_flag == 'p' ? s->binding_len : 0;
	uint8_t input[CBIND_MAX];

	memcpy(input, header, n);
	memcpy(input + n, s->binding, bound);
	base64_encode(input, n + bound, out);
}

/* --- attributes: "r=value,s=value,.." ----------------------------------------------------------- */

struct slice { /* a part of a message, borrowed */
	const uint8_t *s;
	size_t len;
};

static bool slice_is(struct slice a, const char *text)
{
	return a.len == strlen(text) && !memcmp(a.s, text, a.len);
}

static bool slice_begins(struct slice a, const char *text)
{
	return a.len >= strlen(text) && !memcmp(a.s, text, strlen(text));
}

static struct slice read_until_comma(struct reader *r)
{
	const uint8_t *comma = reader_left(r) ? memchr(r->pos, ',', reader_left(r)) : NULL;
	struct slice v = { r->pos, comma ? (size_t)(comma - r->pos) : reader_left(r) };

	read_bytes(r, v.len);
	if (comma) {
		read_u8(r);
		if (!reader_left(r)) /* a comma announces one more */
			r->bad = true;
	}
	return v;
}

static struct slice read_attribute(struct reader *r, uint8_t *name)
{
	*name = read_u8(r);
	if (read_u8(r) != '=' || !((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z')))
		r->bad = true;
	return read_until_comma(r);
}

static struct slice read_named(struct reader *r, uint8_t name)
{
	uint8_t got;
	struct slice v = read_attribute(r, &got);

	if (got != name)
		r->bad = true;
	return v;
}

/* RFC 5802's optional extensions may be ignored. The mandatory one, m=, comes first if at all. */
static void skip_extensions(struct reader *r)
{
	uint8_t name;

	while (!r->bad && reader_left(r))
		read_attribute(r, &name);
}

static bool is_nonce(struct slice v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.s[i] < 0x21 || v.s[i] > 0x7e || v.s[i] == ',')
			return false;
	return v.len > 0;
}

static enum result check_message(const struct reader *r)
{
	if (reader_left(r) > SCRAM_MESSAGE_MAX)
		return RES_LIMIT;
	return !reader_left(r) || memchr(r->pos, 0, reader_left(r)) ? RES_PROTOCOL : RES_OK;
}

static bool decode_key(struct slice v, uint8_t out[SCRAM_KEY_SIZE])
{
	size_t n;

	return base64_decode(v.s, v.len, out, SCRAM_KEY_SIZE, &n) && n == SCRAM_KEY_SIZE;
}

static enum result parse_iterations(struct slice v, uint32_t *out)
{
	uint64_t n = 0;

	for (size_t i = 0; i < v.len; i++) {
		if (v.s[i] < '0' || v.s[i] > '9')
			return RES_PROTOCOL;
		n = MIN(n * 10 + v.s[i] - '0', UINT64_C(1) << 32); /* over the limit either way */
	}
	if (n > SCRAM_ITERATIONS_MAX)
		return RES_LIMIT;
	*out = (uint32_t)n;
	return n ? RES_OK : RES_PROTOCOL;
}

static enum result parse_salt(struct slice v, struct scram_secret *out)
{
	size_t n;

	if (v.len > BASE64_LEN(SCRAM_SALT_MAX))
		return RES_LIMIT;
	if (v.len == 0 || !base64_decode(v.s, v.len, out->salt, sizeof(out->salt), &n))
		return RES_PROTOCOL;
	out->salt_len = (uint16_t)n;
	return RES_OK;
}

/* --- keys --------------------------------------------------------------------------------------- */

static struct slice read_field(struct reader *r, char end)
{
	const uint8_t *p = reader_left(r) ? memchr(r->pos, end, reader_left(r)) : NULL;
	struct slice v = { r->pos, p ? (size_t)(p - r->pos) : 0 };

	read_bytes(r, v.len);
	if (read_u8(r) != (uint8_t)end)
		r->bad = true;
	return v;
}

bool scram_secret_parse(const char *text, struct scram_secret *out)
{
	struct reader r;
	struct slice iterations, salt, stored, server;

	if (strncmp(text, SECRET_PREFIX, strlen(SECRET_PREFIX)) != 0)
		return false;
	text += strlen(SECRET_PREFIX);
	r = reader_over(text, strlen(text) + 1); /* with its NUL, which ends the last field */
	iterations = read_field(&r, ':');
	salt = read_field(&r, '$');
	stored = read_field(&r, ':');
	server = read_field(&r, '\0');
	return !r.bad && parse_iterations(iterations, &out->iterations) == RES_OK &&
		parse_salt(salt, out) == RES_OK && decode_key(stored, out->stored_key) &&
		decode_key(server, out->server_key);
}

void scram_stored_key(const uint8_t client_key[SCRAM_KEY_SIZE], uint8_t out[SCRAM_KEY_SIZE])
{
	sha256(client_key, SCRAM_KEY_SIZE, out);
}

static void hmac_text(const uint8_t key[SCRAM_KEY_SIZE], const char *text, uint8_t out[SCRAM_KEY_SIZE])
{
	struct hmac h;

	hmac_start(&h, key);
	hmac_add(&h, text, strlen(text));
	hmac_end(&h, out);
}

void scram_derive(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
	struct scram_keys *out)
{
	uint8_t salted[SCRAM_KEY_SIZE];
	char *prepared = saslprep(password);
	const char *p = prepared ? prepared : password;
	int ok;

	ASSERT(strlen(password) <= SCRAM_PASSWORD_MAX && salt_len <= SCRAM_SALT_MAX);
	ASSERT(iterations > 0 && iterations <= SCRAM_ITERATIONS_MAX);
	ok = PKCS5_PBKDF2_HMAC(p, (int)strlen(p), salt, (int)salt_len, (int)iterations, digest_sha256(),
		sizeof(salted), salted);
	ASSERT(ok);
	hmac_text(salted, "Client Key", out->client_key);
	hmac_text(salted, "Server Key", out->server_key);
	OPENSSL_cleanse(salted, sizeof(salted));
	secure_free(&prepared);
}

/* HMAC over AuthMessage: client-first-bare "," server-first "," client-final-without-proof */
static void sign(const struct scram *s, const uint8_t key[SCRAM_KEY_SIZE], struct slice final,
	uint8_t out[SCRAM_KEY_SIZE])
{
	struct hmac h;

	hmac_start(&h, key);
	hmac_add(&h, s->client_first_bare, strlen(s->client_first_bare));
	hmac_add(&h, ",", 1);
	hmac_add(&h, s->server_first, strlen(s->server_first));
	hmac_add(&h, ",", 1);
	hmac_add(&h, final.s, final.len);
	hmac_end(&h, out);
}

static void xor_key(uint8_t key[SCRAM_KEY_SIZE], const uint8_t with[SCRAM_KEY_SIZE])
{
	for (size_t i = 0; i < SCRAM_KEY_SIZE; i++)
		key[i] ^= with[i];
}

static void make_nonce(char out[NONCE_LEN + 1])
{
	uint8_t raw[NONCE_BYTES];

	random_bytes(raw, sizeof(raw));
	base64_encode(raw, sizeof(raw), out);
}

/* A secret of this process, so that nobody can tell a mock salt from a real one by computing it. */
static uint8_t mock_key[SCRAM_KEY_SIZE];
static pthread_once_t mock_once = PTHREAD_ONCE_INIT;

static void make_mock_key(void)
{
	random_bytes(mock_key, sizeof(mock_key));
}

static void mock_bytes(
	const uint8_t key[SCRAM_KEY_SIZE], const char *label, const char *user, uint8_t out[SCRAM_KEY_SIZE])
{
	struct hmac h;

	hmac_start(&h, key);
	hmac_add(&h, label, strlen(label) + 1);
	hmac_add(&h, user, strlen(user));
	hmac_end(&h, out);
}

void scram_mock_secret(
	const uint8_t key[SCRAM_KEY_SIZE], const char *user, uint32_t iterations, struct scram_secret *out)
{
	uint8_t salt[SCRAM_KEY_SIZE];

	pthread_once(&mock_once, make_mock_key);
	if (!key)
		key = mock_key;
	mock_bytes(key, "salt", user, salt);
	memcpy(out->salt, salt, MOCK_SALT_LEN);
	out->salt_len = MOCK_SALT_LEN;
	out->iterations = iterations;
	mock_bytes(key, "stored key", user, out->stored_key);
	mock_bytes(key, "server key", user, out->server_key);
}

/* --- server's side ------------------------------------------------------------------------------ */

static void write_challenge(struct scram *s, struct slice client_nonce, const char *nonce, struct writer *out)
{
	char salt[BASE64_LEN(SCRAM_SALT_MAX) + 1];

	base64_encode(s->secret.salt, s->secret.salt_len, salt);
	s->nonce = xasprintf("%.*s%s", (int)client_nonce.len, (const char *)client_nonce.s, nonce);
	s->server_first = xasprintf("r=%s,s=%s,i=%u", s->nonce, salt, s->secret.iterations);
	write_bytes(out, s->server_first, strlen(s->server_first));
}

/* gs2-header: cbind-flag "," [ authzid ] "," */
static enum result read_gs2_header(struct scram *s, struct reader *r)
{
	struct slice start = { r->pos, reader_left(r) };

	s->gs2_flag = (char)read_u8(r);
	if ((s->gs2_flag != 'n' && s->gs2_flag != 'y' && s->gs2_flag != 'p') ||
		s->is_plus != (s->gs2_flag == 'p') || !slice_begins(start, gs2_header(s)))
		return RES_PROTOCOL;
	read_bytes(r, strlen(gs2_header(s)) - 1);
	if (!reader_left(r))
		return RES_PROTOCOL;
	return s->gs2_flag == 'y' && s->binding_len ? RES_REFUSED : RES_OK;
}

static enum result server_first(struct scram *s, struct reader r, const char *nonce, struct writer *out)
{
	enum result res = check_message(&r);
	struct slice bare, client_nonce;

	if (res != RES_OK)
		return res;
	res = read_gs2_header(s, &r);
	if (res != RES_OK)
		return res;
	bare = (struct slice){ r.pos, reader_left(&r) };
	read_named(&r, 'n'); /* PostgreSQL goes by the startup message's user; also: m= would stand here */
	client_nonce = read_named(&r, 'r');
	skip_extensions(&r);
	if (r.bad || !is_nonce(client_nonce))
		return RES_PROTOCOL;
	s->client_first_bare = xstrndup((const char *)bare.s, bare.len);
	write_challenge(s, client_nonce, nonce, out);
	return RES_OK;
}

enum result scram_server_first_with_nonce(struct scram *s, struct reader client_first,
	const struct scram_secret *secret, bool is_mock, const char *nonce, struct writer *out)
{
	if (s->state != SCRAM_NEW)
		return conclude(s, RES_PROTOCOL, SCRAM_FAILED);
	ASSERT(secret->salt_len > 0 && secret->salt_len <= SCRAM_SALT_MAX);
	s->secret = *secret;
	s->is_mock = is_mock;
	return conclude(s, server_first(s, client_first, nonce, out), SCRAM_SERVER_CHALLENGED);
}

enum result scram_server_first(struct scram *s, struct reader client_first, const struct scram_secret *secret,
	bool is_mock, struct writer *out)
{
	char nonce[NONCE_LEN + 1];

	make_nonce(nonce);
	return scram_server_first_with_nonce(s, client_first, secret, is_mock, nonce, out);
}

/* client-final: c= r= [extensions] p=, and nothing behind the proof */
static bool parse_client_final(
	struct scram *s, struct reader r, struct slice *without_proof, uint8_t proof[SCRAM_KEY_SIZE])
{
	const uint8_t *start = r.pos, *last;
	char bound[BASE64_LEN(CBIND_MAX) + 1];
	uint8_t name = 0;
	struct slice v;

	bound_text(s, bound);
	s->is_misbound = !slice_is(read_named(&r, 'c'), bound);
	if ((s->is_misbound && !s->is_plus) || !slice_is(read_named(&r, 'r'), s->nonce))
		return false;
	do {
		last = r.pos;
		v = read_attribute(&r, &name);
	} while (!r.bad && name != 'p');
	if (r.bad || reader_left(&r))
		return false;
	*without_proof = (struct slice){ start, (size_t)(last - start) - 1 };
	return decode_key(v, proof);
}

static void write_server_signature(const struct scram *s, struct slice without_proof, struct writer *out)
{
	uint8_t signature[SCRAM_KEY_SIZE];
	char text[KEY_TEXT_LEN + 1];

	sign(s, s->secret.server_key, without_proof, signature);
	base64_encode(signature, sizeof(signature), text);
	write_bytes(out, "v=", 2);
	write_bytes(out, text, KEY_TEXT_LEN);
}

static enum result server_final(struct scram *s, struct reader r, struct writer *out, uint8_t *client_key)
{
	enum result res = check_message(&r);
	uint8_t key[SCRAM_KEY_SIZE], signature[SCRAM_KEY_SIZE], stored[SCRAM_KEY_SIZE];
	struct slice without_proof;
	bool is_wrong;

	if (res != RES_OK)
		return res;
	if (!parse_client_final(s, r, &without_proof, key))
		return RES_PROTOCOL;
	sign(s, s->secret.stored_key, without_proof, signature);
	xor_key(key, signature); /* ClientKey := ClientProof XOR ClientSignature */
	scram_stored_key(key, stored);
	is_wrong = CRYPTO_memcmp(stored, s->secret.stored_key, sizeof(stored)) != 0 || s->is_misbound;
	res = is_wrong || s->is_mock ? RES_REFUSED : RES_OK;
	if (res == RES_OK) {
		write_server_signature(s, without_proof, out);
		if (client_key)
			memcpy(client_key, key, sizeof(key));
	}
	OPENSSL_cleanse(key, sizeof(key));
	return res;
}

enum result scram_server_final(struct scram *s, struct reader client_final, struct writer *out, uint8_t *client_key)
{
	if (s->state != SCRAM_SERVER_CHALLENGED)
		return conclude(s, RES_PROTOCOL, SCRAM_FAILED);
	return conclude(s, server_final(s, client_final, out, client_key), SCRAM_DONE);
}

/* --- client's side ------------------------------------------------------------------------------ */

void scram_client_first_with_nonce(struct scram *s, const char *user, const char *nonce, struct writer *out)
{
	set_state(s, SCRAM_CLIENT_GREETED);
	s->nonce = xstrdup(nonce);
	s->client_first_bare = xasprintf("n=%s,r=%s", user, nonce);
	s->gs2_flag = s->is_plus ? 'p' : s->binding_len ? 'y' : 'n';
	write_bytes(out, gs2_header(s), strlen(gs2_header(s)));
	write_bytes(out, s->client_first_bare, strlen(s->client_first_bare));
}

void scram_client_first(struct scram *s, struct writer *out)
{
	char nonce[NONCE_LEN + 1];

	make_nonce(nonce);
	scram_client_first_with_nonce(s, "", nonce, out); /* as libpq: the server knows the user already */
}

static enum result client_challenge(struct scram *s, struct reader r)
{
	enum result res = check_message(&r);
	struct slice message = { r.pos, reader_left(&r) }, nonce, salt, iterations;

	if (res != RES_OK)
		return res;
	nonce = read_named(&r, 'r'); /* m= would stand here */
	salt = read_named(&r, 's');
	iterations = read_named(&r, 'i');
	skip_extensions(&r);
	/* A nonce that isn't ours with something added is a replay of another exchange. */
	if (r.bad || !is_nonce(nonce) || !slice_begins(nonce, s->nonce) || nonce.len == strlen(s->nonce))
		return RES_PROTOCOL;
	if ((res = parse_salt(salt, &s->secret)) != RES_OK ||
		(res = parse_iterations(iterations, &s->secret.iterations)) != RES_OK)
		return res;
	secure_free(&s->nonce);
	s->nonce = xstrndup((const char *)nonce.s, nonce.len);
	s->server_first = xstrndup((const char *)message.s, message.len);
	return RES_OK;
}

enum result scram_client_challenge(struct scram *s, struct reader challenge)
{
	if (s->state != SCRAM_CLIENT_GREETED)
		return conclude(s, RES_PROTOCOL, SCRAM_FAILED);
	return conclude(s, client_challenge(s, challenge), SCRAM_CLIENT_CHALLENGED);
}

enum result scram_client_final(struct scram *s, const struct scram_keys *keys, struct writer *out)
{
	uint8_t stored[SCRAM_KEY_SIZE], proof[SCRAM_KEY_SIZE];
	char text[KEY_TEXT_LEN + 1], bound[BASE64_LEN(CBIND_MAX) + 1];
	size_t start = out->len;

	set_state(s, SCRAM_CLIENT_PROVED);
	bound_text(s, bound);
	write_bytes(out, "c=", 2);
	write_bytes(out, bound, strlen(bound));
	write_bytes(out, ",r=", 3);
	write_bytes(out, s->nonce, strlen(s->nonce));
	scram_stored_key(keys->client_key, stored);
	sign(s, stored, (struct slice){ out->data + start, out->len - start }, proof);
	sign(s, keys->server_key, (struct slice){ out->data + start, out->len - start }, s->server_signature);
	xor_key(proof, keys->client_key);
	base64_encode(proof, sizeof(proof), text);
	write_bytes(out, ",p=", 3);
	write_bytes(out, text, KEY_TEXT_LEN);
	return RES_OK;
}

static enum result client_verify(struct scram *s, struct reader r)
{
	enum result res = check_message(&r);
	uint8_t signature[SCRAM_KEY_SIZE], name;
	struct slice v;

	if (res != RES_OK)
		return res;
	v = read_attribute(&r, &name);
	skip_extensions(&r);
	if (r.bad)
		return RES_PROTOCOL;
	if (name == 'e')
		return RES_REFUSED;
	if (name != 'v' || !decode_key(v, signature))
		return RES_PROTOCOL;
	return CRYPTO_memcmp(signature, s->server_signature, sizeof(signature)) ? RES_REFUSED : RES_OK;
}

enum result scram_client_verify(struct scram *s, struct reader final)
{
	if (s->state != SCRAM_CLIENT_PROVED)
		return conclude(s, RES_PROTOCOL, SCRAM_FAILED);
	return conclude(s, client_verify(s, final), SCRAM_DONE);
}
