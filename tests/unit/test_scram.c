#include "unit.h"

#include "auth/base64.h"
#include "auth/digest.h"
#include "auth/scram_private.h"

#include <stdio.h>
#include <string.h>

/* RFC 7677, section 3 */
#define RFC_NONCE "rOprNGfwEbeRWgbNEkqO"
#define RFC_SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define RFC_CLIENT_FIRST "n,,n=user,r=" RFC_NONCE
#define RFC_SERVER_FIRST "r=" RFC_NONCE RFC_SERVER_NONCE ",s=" RFC_SALT ",i=4096"
#define RFC_PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RFC_FINAL_BARE "c=biws,r=" RFC_NONCE RFC_SERVER_NONCE
#define RFC_CLIENT_FINAL RFC_FINAL_BARE ",p=" RFC_PROOF
#define RFC_SIGNATURE "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
#define RFC_SERVER_FINAL "v=" RFC_SIGNATURE

static struct reader over(const char *text)
{
	return reader_over(text, strlen(text));
}

static void assert_text(const struct writer *w, const char *want)
{
	ck_assert_msg(w->len == strlen(want) && !memcmp(w->data, want, w->len), "got %.*s, want %s",
		(int)w->len, (const char *)w->data, want);
}

static void make_secret(const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
	struct scram_secret *out, struct scram_keys *keys)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->salt, salt, salt_len);
	out->salt_len = (uint16_t)salt_len;
	out->iterations = iterations;
	scram_derive(password, salt, salt_len, iterations, keys);
	scram_stored_key(keys->client_key, out->stored_key);
	memcpy(out->server_key, keys->server_key, SCRAM_KEY_SIZE);
}

static void rfc_secret(struct scram_secret *out, struct scram_keys *keys)
{
	uint8_t salt[16];
	size_t n;

	ck_assert(base64_decode((const uint8_t *)RFC_SALT, strlen(RFC_SALT), salt, sizeof(salt), &n) && n == 16);
	make_secret("pencil", salt, n, 4096, out, keys);
}

/* A server that has sent its challenge of RFC 7677. */
static void challenge_rfc(struct scram *s, bool is_mock)
{
	struct scram_secret secret;
	struct scram_keys keys;
	struct writer out = { 0 };

	memset(s, 0, sizeof(*s));
	rfc_secret(&secret, &keys);
	ck_assert(scram_server_first_with_nonce(
			  s, over(RFC_CLIENT_FIRST), &secret, is_mock, RFC_SERVER_NONCE, &out) == RES_OK);
	assert_text(&out, RFC_SERVER_FIRST);
	writer_free(&out);
}

static void greet_rfc(struct scram *s)
{
	struct writer out = { 0 };

	memset(s, 0, sizeof(*s));
	scram_client_first_with_nonce(s, "user", RFC_NONCE, &out);
	assert_text(&out, RFC_CLIENT_FIRST);
	writer_free(&out);
}

/* A client that has sent its proof of RFC 7677. */
static void prove_rfc(struct scram *s)
{
	struct scram_secret secret;
	struct scram_keys keys;
	struct writer out = { 0 };

	greet_rfc(s);
	rfc_secret(&secret, &keys);
	ck_assert(scram_client_challenge(s, over(RFC_SERVER_FIRST)) == RES_OK);
	ck_assert(s->secret.iterations == 4096 && s->secret.salt_len == 16);
	ck_assert(!memcmp(s->secret.salt, secret.salt, 16));
	ck_assert(scram_client_final(s, &keys, &out) == RES_OK);
	assert_text(&out, RFC_CLIENT_FINAL);
	writer_free(&out);
}

START_TEST(the_clients_side_says_what_rfc_7677_does)
{
	struct scram s;

	prove_rfc(&s);
	ck_assert(scram_client_verify(&s, over(RFC_SERVER_FINAL)) == RES_OK);
	scram_wipe(&s);
}
END_TEST

START_TEST(the_servers_side_says_what_rfc_7677_does)
{
	struct scram s;
	struct scram_secret secret;
	struct scram_keys keys;
	struct writer out = { 0 };
	uint8_t client_key[SCRAM_KEY_SIZE];

	challenge_rfc(&s, false);
	rfc_secret(&secret, &keys);
	ck_assert(scram_server_final(&s, over(RFC_CLIENT_FINAL), &out, client_key) == RES_OK);
	assert_text(&out, RFC_SERVER_FINAL);
	ck_assert(!memcmp(client_key, keys.client_key, SCRAM_KEY_SIZE));
	writer_free(&out);
	scram_wipe(&s);
}
END_TEST

static const struct {
	const char *name, *message;
	enum result want;
} client_firsts[] = {
	{ "as libpq sends it", "n,,n=,r=abc", RES_OK },
	{ "flag y, for we offered no PLUS", "y,,n=,r=abc", RES_OK },
	{ "an optional extension", "n,,n=,r=abc,x=y,Z=", RES_OK },
	{ "nothing", "", RES_PROTOCOL },
	{ "channel binding", "p=tls-server-end-point,,n=,r=abc", RES_PROTOCOL },
	{ "an unknown flag", "x,,n=,r=abc", RES_PROTOCOL },
	{ "an authorization identity", "n,a=bob,n=,r=abc", RES_PROTOCOL },
	{ "a mandatory extension", "n,,m=x,n=,r=abc", RES_PROTOCOL },
	{ "no user name", "n,,r=abc", RES_PROTOCOL },
	{ "no nonce", "n,,n=", RES_PROTOCOL },
	{ "an empty nonce", "n,,n=,r=", RES_PROTOCOL },
	{ "a nonce with a blank", "n,,n=,r=a c", RES_PROTOCOL },
	{ "a nonce outside ASCII", "n,,n=,r=a\xc3\xa9", RES_PROTOCOL },
	{ "a nonce with DEL", "n,,n=,r=a\x7f", RES_PROTOCOL },
	{ "a comma at the end", "n,,n=,r=abc,", RES_PROTOCOL },
	{ "an extension without =", "n,,n=,r=abc,x", RES_PROTOCOL },
	{ "an extension with a digit for a name", "n,,n=,r=abc,1=x", RES_PROTOCOL },
	{ "the header only", "n,,", RES_PROTOCOL },
};

START_TEST(the_clients_first_message_is_judged)
{
	struct scram s = { 0 };
	struct scram_secret secret;
	struct scram_keys keys;
	struct writer out = { 0 };

	rfc_secret(&secret, &keys);
	ck_assert_msg(scram_server_first(&s, over(client_firsts[_i].message), &secret, false, &out) ==
			client_firsts[_i].want,
		"%s", client_firsts[_i].name);
	ck_assert((out.len > 0) == (client_firsts[_i].want == RES_OK));
	writer_free(&out);
	scram_wipe(&s);
}
END_TEST

static const struct {
	const char *name, *message;
	bool has_binding, is_plus; /* of the server; a client that has chosen PLUS */
	enum result want;
} bound_firsts[] = {
	{ "PLUS", "p=tls-server-end-point,,n=,r=abc", true, true, RES_OK },
	{ "PLUS of another kind", "p=tls-unique,,n=,r=abc", true, true, RES_PROTOCOL },
	{ "PLUS without its end", "p=tls-server-end-point", true, true, RES_PROTOCOL },
	{ "PLUS and nothing behind it", "p=tls-server-end-point,,", true, true, RES_PROTOCOL },
	{ "PLUS with an authorization identity", "p=tls-server-end-point,a=bob,n=,r=abc", true, true, RES_PROTOCOL },
	{ "PLUS without binding", "n,,n=,r=abc", true, true, RES_PROTOCOL },
	{ "PLUS and not knowing it", "y,,n=,r=abc", true, true, RES_PROTOCOL },
	{ "binding without PLUS", "p=tls-server-end-point,,n=,r=abc", true, false, RES_PROTOCOL },
	{ "a client that can't bind", "n,,n=,r=abc", true, false, RES_OK },
	{ "a client that wasn't told", "y,,n=,r=abc", true, false, RES_REFUSED },
	{ "a client that wasn't told, rightly", "y,,n=,r=abc", false, false, RES_OK },
};

static const uint8_t end_point[32] = { 1, 2, 3 };

START_TEST(the_binding_flag_must_agree_with_what_was_offered)
{
	struct scram s = { 0 };
	struct scram_secret secret;
	struct scram_keys keys;
	struct writer out = { 0 };

	rfc_secret(&secret, &keys);
	scram_bind(&s, end_point, bound_firsts[_i].has_binding ? sizeof(end_point) : 0, bound_firsts[_i].is_plus);
	ck_assert_msg(scram_server_first(&s, over(bound_firsts[_i].message), &secret, false, &out) ==
			bound_firsts[_i].want,
		"%s", bound_firsts[_i].name);
	ck_assert((out.len > 0) == (bound_firsts[_i].want == RES_OK));
	writer_free(&out);
	scram_wipe(&s);
}
END_TEST

/* Both ends over the certificate that each of them sees. */
static enum result bound_exchange(
	size_t client_len, size_t server_len, bool is_plus, uint8_t servers_first_byte, bool *is_misbound)
{
	struct scram c = { 0 }, s = { 0 };
	struct writer w[4] = { { 0 } };
	uint8_t servers[SCRAM_BINDING_MAX] = { servers_first_byte, 2, 3 },
		clients[SCRAM_BINDING_MAX] = { 1, 2, 3 };
	struct scram_secret secret;
	struct scram_keys keys;
	enum result res;

	rfc_secret(&secret, &keys);
	scram_bind(&c, clients, client_len, is_plus);
	scram_bind(&s, servers, server_len, is_plus);
	scram_client_first(&c, &w[0]);
	res = scram_server_first(&s, reader_over(w[0].data, w[0].len), &secret, false, &w[1]);
	if (res == RES_OK) {
		ck_assert(scram_client_challenge(&c, reader_over(w[1].data, w[1].len)) == RES_OK);
		ck_assert(scram_client_final(&c, &keys, &w[2]) == RES_OK);
		res = scram_server_final(&s, reader_over(w[2].data, w[2].len), &w[3], NULL);
		*is_misbound = s.is_misbound;
	}
	if (res == RES_OK)
		ck_assert(scram_client_verify(&c, reader_over(w[3].data, w[3].len)) == RES_OK);
	for (size_t i = 0; i < N_ELEMENTS(w); i++)
		writer_free(&w[i]);
	scram_wipe(&c);
	scram_wipe(&s);
	return res;
}

START_TEST(a_bound_login_ends_where_the_certificates_differ)
{
	bool is_misbound = false;

	ck_assert(bound_exchange(32, 32, true, 1, &is_misbound) == RES_OK && !is_misbound);
	ck_assert(bound_exchange(64, 64, true, 1, &is_misbound) == RES_OK && !is_misbound);
	ck_assert(bound_exchange(32, 32, true, 9, &is_misbound) == RES_REFUSED && is_misbound);
	ck_assert(bound_exchange(32, 48, true, 1, &is_misbound) == RES_REFUSED && is_misbound);
	ck_assert(bound_exchange(0, 32, false, 9, &is_misbound) == RES_OK && !is_misbound);
	ck_assert(bound_exchange(32, 0, false, 9, &is_misbound) == RES_OK && !is_misbound);
	ck_assert(bound_exchange(32, 32, false, 1, &is_misbound) == RES_REFUSED); /* it could, and wasn't offered it */
}
END_TEST

#define FINAL_NONCE "r=" RFC_NONCE RFC_SERVER_NONCE
static const struct {
	const char *name, *message;
	enum result want;
} client_finals[] = {
	{ "the right proof", RFC_CLIENT_FINAL, RES_OK },
	{ "a wrong proof", RFC_FINAL_BARE ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", RES_REFUSED },
	{ "the proof of another message", RFC_FINAL_BARE ",x=y,p=" RFC_PROOF, RES_REFUSED },
	{ "flag y in c=, after n", "c=eSws," FINAL_NONCE ",p=" RFC_PROOF, RES_PROTOCOL },
	{ "channel binding data", "c=cD10bHMtdW5pcXVlLCw=," FINAL_NONCE ",p=" RFC_PROOF, RES_PROTOCOL },
	{ "the client's nonce only", "c=biws,r=" RFC_NONCE ",p=" RFC_PROOF, RES_PROTOCOL },
	{ "a longer nonce", "c=biws," FINAL_NONCE "x,p=" RFC_PROOF, RES_PROTOCOL },
	{ "another nonce", "c=biws,r=sOprNGfwEbeRWgbNEkqO" RFC_SERVER_NONCE ",p=" RFC_PROOF, RES_PROTOCOL },
	{ "no proof", RFC_FINAL_BARE, RES_PROTOCOL },
	{ "an empty proof", RFC_FINAL_BARE ",p=", RES_PROTOCOL },
	{ "a proof of 31 bytes", RFC_FINAL_BARE ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", RES_PROTOCOL },
	{ "a proof of 33 bytes", RFC_FINAL_BARE ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", RES_PROTOCOL },
	{ "a proof without padding", RFC_FINAL_BARE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ", RES_PROTOCOL },
	{ "a proof with a blank", RFC_FINAL_BARE ",p= " RFC_PROOF, RES_PROTOCOL },
	{ "something after the proof", RFC_CLIENT_FINAL ",x=y", RES_PROTOCOL },
	{ "a comma after the proof", RFC_CLIENT_FINAL ",", RES_PROTOCOL },
	{ "the proof first", "p=" RFC_PROOF ",c=biws," FINAL_NONCE, RES_PROTOCOL },
	{ "nothing", "", RES_PROTOCOL },
};

START_TEST(the_clients_final_message_is_judged)
{
	struct scram s;
	struct writer out = { 0 };
	uint8_t client_key[SCRAM_KEY_SIZE] = { 0 }, zero[SCRAM_KEY_SIZE] = { 0 };
	bool is_right = client_finals[_i].want == RES_OK;

	challenge_rfc(&s, false);
	ck_assert_msg(scram_server_final(&s, over(client_finals[_i].message), &out, client_key) ==
			client_finals[_i].want,
		"%s", client_finals[_i].name);
	ck_assert((out.len > 0) == is_right && (memcmp(client_key, zero, sizeof(zero)) != 0) == is_right);
	writer_free(&out);
	scram_wipe(&s);
}
END_TEST

/* What a client that could do channel binding sends, had we offered it. Our own client never does. */
static void prove_after_y(const char *final_bare, const struct scram_keys *keys, char out[256])
{
	static const char before[] = "n=user,r=" RFC_NONCE "," RFC_SERVER_FIRST ",";
	uint8_t proof[SCRAM_KEY_SIZE], stored[SCRAM_KEY_SIZE];
	char text[BASE64_LEN(SCRAM_KEY_SIZE) + 1];
	struct hmac h;

	scram_stored_key(keys->client_key, stored);
	hmac_start(&h, stored);
	hmac_add(&h, before, strlen(before));
	hmac_add(&h, final_bare, strlen(final_bare));
	hmac_end(&h, proof);
	for (size_t i = 0; i < sizeof(proof); i++)
		proof[i] ^= keys->client_key[i];
	base64_encode(proof, sizeof(proof), text);
	snprintf(out, 256, "%s,p=%s", final_bare, text);
}

START_TEST(after_flag_y_the_proof_must_repeat_it)
{
	static const char *const finals[] = { "c=eSws,r=" RFC_NONCE RFC_SERVER_NONCE, RFC_FINAL_BARE };
	struct scram_secret secret;
	struct scram_keys keys;
	struct scram s = { 0 };
	struct writer out = { 0 };
	char message[256];

	rfc_secret(&secret, &keys);
	ck_assert(scram_server_first_with_nonce(&s, over("y,,n=user,r=" RFC_NONCE), &secret, false,
			  RFC_SERVER_NONCE, &out) == RES_OK);
	prove_after_y(finals[_i], &keys, message);
	ck_assert(scram_server_final(&s, over(message), &out, NULL) == (_i == 0 ? RES_OK : RES_PROTOCOL));
	writer_free(&out);
	scram_wipe(&s);
}
END_TEST

#define CHALLENGE_NONCE "r=" RFC_NONCE RFC_SERVER_NONCE
static const struct {
	const char *name, *message;
	enum result want;
} challenges[] = {
	{ "as PostgreSQL sends it", RFC_SERVER_FIRST, RES_OK },
	{ "an optional extension", RFC_SERVER_FIRST ",x=y", RES_OK },
	{ "the most iterations", CHALLENGE_NONCE ",s=AAAA,i=10000000", RES_OK },
	{ "one iteration", CHALLENGE_NONCE ",s=AAAA,i=1", RES_OK },
	{ "too many iterations", CHALLENGE_NONCE ",s=AAAA,i=10000001", RES_LIMIT },
	{ "2^31 iterations", CHALLENGE_NONCE ",s=AAAA,i=2147483648", RES_LIMIT },
	{ "2^32 + 1 iterations", CHALLENGE_NONCE ",s=AAAA,i=4294967297", RES_LIMIT },
	{ "2^64 + 1 iterations", CHALLENGE_NONCE ",s=AAAA,i=18446744073709551617", RES_LIMIT },
	{ "no iteration", CHALLENGE_NONCE ",s=AAAA,i=0", RES_PROTOCOL },
	{ "an empty count", CHALLENGE_NONCE ",s=AAAA,i=", RES_PROTOCOL },
	{ "a negative count", CHALLENGE_NONCE ",s=AAAA,i=-1", RES_PROTOCOL },
	{ "a count in hex", CHALLENGE_NONCE ",s=AAAA,i=0x10", RES_PROTOCOL },
	{ "an empty salt", CHALLENGE_NONCE ",s=,i=4096", RES_PROTOCOL },
	{ "a salt that isn't base64", CHALLENGE_NONCE ",s=AA!A,i=4096", RES_PROTOCOL },
	{ "our nonce only", "r=" RFC_NONCE ",s=AAAA,i=4096", RES_PROTOCOL },
	{ "half of our nonce", "r=rOprNGfwEb,s=AAAA,i=4096", RES_PROTOCOL },
	{ "another nonce", "r=sOprNGfwEbeRWgbNEkqOabc,s=AAAA,i=4096", RES_PROTOCOL },
	{ "a nonce with a blank", "r=" RFC_NONCE " x,s=AAAA,i=4096", RES_PROTOCOL },
	{ "a mandatory extension", "m=x," RFC_SERVER_FIRST, RES_PROTOCOL },
	{ "an error that has no place here", "e=other-error", RES_PROTOCOL },
	{ "no salt", CHALLENGE_NONCE ",i=4096", RES_PROTOCOL },
	{ "another order", "s=AAAA," CHALLENGE_NONCE ",i=4096", RES_PROTOCOL },
	{ "nothing", "", RES_PROTOCOL },
};

START_TEST(the_servers_challenge_is_judged)
{
	struct scram s;

	greet_rfc(&s);
	ck_assert_msg(scram_client_challenge(&s, over(challenges[_i].message)) == challenges[_i].want, "%s",
		challenges[_i].name);
	scram_wipe(&s);
}
END_TEST

static const struct {
	const char *name, *message;
	enum result want;
} server_finals[] = {
	{ "the right signature", RFC_SERVER_FINAL, RES_OK },
	{ "with an extension", RFC_SERVER_FINAL ",x=y", RES_OK },
	{ "a wrong signature", "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", RES_REFUSED },
	{ "our own proof", "v=" RFC_PROOF, RES_REFUSED },
	{ "an error", "e=invalid-proof", RES_REFUSED },
	{ "an empty error", "e=", RES_REFUSED },
	{ "an empty signature", "v=", RES_PROTOCOL },
	{ "a short signature", "v=6rriTRBi23Wp", RES_PROTOCOL },
	{ "a signature and junk", RFC_SERVER_FINAL "junk", RES_PROTOCOL },
	{ "a comma at the end", RFC_SERVER_FINAL ",", RES_PROTOCOL },
	{ "another attribute", "x=y", RES_PROTOCOL },
	{ "nothing", "", RES_PROTOCOL },
};

START_TEST(the_servers_final_message_is_judged)
{
	struct scram s;

	prove_rfc(&s);
	ck_assert_msg(scram_client_verify(&s, over(server_finals[_i].message)) == server_finals[_i].want,
		"%s", server_finals[_i].name);
	scram_wipe(&s);
}
END_TEST

/* --- whole exchanges ---------------------------------------------------------------------------- */

/* Lets a client with these keys log in to a server with this secret. Returns the server's verdict. */
static enum result exchange(const struct scram_secret *secret, bool is_mock, const struct scram_keys *keys)
{
	struct scram client = { 0 }, server = { 0 };
	struct writer to_server = { 0 }, to_client = { 0 };
	enum result res;

	scram_client_first(&client, &to_server);
	ck_assert(scram_server_first(&server, reader_over(to_server.data, to_server.len), secret, is_mock,
			  &to_client) == RES_OK);
	ck_assert(scram_client_challenge(&client, reader_over(to_client.data, to_client.len)) == RES_OK);
	ck_assert(client.secret.iterations == secret->iterations && client.secret.salt_len == secret->salt_len);
	ck_assert(!memcmp(client.secret.salt, secret->salt, secret->salt_len));
	to_server.len = to_client.len = 0;
	ck_assert(scram_client_final(&client, keys, &to_server) == RES_OK);
	res = scram_server_final(&server, reader_over(to_server.data, to_server.len), &to_client, NULL);
	if (res == RES_OK)
		ck_assert(scram_client_verify(&client, reader_over(to_client.data, to_client.len)) == RES_OK);
	else
		ck_assert(to_client.len == 0);
	writer_free(&to_server);
	writer_free(&to_client);
	scram_wipe(&client);
	scram_wipe(&server);
	return res;
}

START_TEST(the_right_password_gets_in_and_a_wrong_one_does_not)
{
	static const size_t salt_lens[] = { 1, 2, 3, 16, 1023, SCRAM_SALT_MAX };
	uint8_t salt[SCRAM_SALT_MAX];
	struct scram_secret secret, other_secret;
	struct scram_keys keys, other;

	for (size_t i = 0; i < sizeof(salt); i++)
		salt[i] = (uint8_t)(i * 7);
	make_secret("secret", salt, salt_lens[_i], 10, &secret, &keys);
	make_secret("Secret", salt, salt_lens[_i], 10, &other_secret, &other);
	ck_assert(exchange(&secret, false, &keys) == RES_OK);
	ck_assert(exchange(&secret, false, &other) == RES_REFUSED);
}
END_TEST

START_TEST(a_mock_exchange_is_refused_even_with_the_right_keys)
{
	struct scram_secret secret;
	struct scram_keys keys;

	rfc_secret(&secret, &keys);
	ck_assert(exchange(&secret, true, &keys) == RES_REFUSED);
	ck_assert(exchange(&secret, false, &keys) == RES_OK);
	scram_mock_secret(NULL, "nobody", 4096, &secret);
	ck_assert(exchange(&secret, true, &keys) == RES_REFUSED);
	ck_assert(exchange(&secret, false, &keys) == RES_REFUSED);
}
END_TEST

START_TEST(a_server_without_the_server_key_is_found_out)
{
	struct scram client, server;
	struct scram_secret secret;
	struct scram_keys keys;
	struct writer out = { 0 };

	/* It has seen StoredKey, so that it can check our proof, but can't sign. */
	prove_rfc(&client);
	challenge_rfc(&server, false);
	rfc_secret(&secret, &keys);
	server.secret.server_key[31] ^= 1;
	ck_assert(scram_server_final(&server, over(RFC_CLIENT_FINAL), &out, NULL) == RES_OK);
	ck_assert(scram_client_verify(&client, reader_over(out.data, out.len)) == RES_REFUSED);
	writer_free(&out);
	scram_wipe(&client);
	scram_wipe(&server);
}
END_TEST

START_TEST(each_exchange_has_nonces_of_its_own)
{
	struct scram a = { 0 }, b = { 0 };
	struct scram_secret secret;
	struct scram_keys keys;
	struct writer out = { 0 };

	scram_client_first(&a, &out);
	scram_client_first(&b, &out);
	ck_assert(strlen(a.nonce) == 24 && strcmp(a.nonce, b.nonce) != 0);
	scram_wipe(&a);
	scram_wipe(&b);
	rfc_secret(&secret, &keys);
	ck_assert(scram_server_first(&a, over("n,,n=,r=x"), &secret, false, &out) == RES_OK);
	ck_assert(scram_server_first(&b, over("n,,n=,r=x"), &secret, false, &out) == RES_OK);
	ck_assert(strlen(a.nonce) == 25 && strcmp(a.nonce, b.nonce) != 0);
	writer_free(&out);
	scram_wipe(&a);
	scram_wipe(&b);
}
END_TEST

START_TEST(a_proof_goes_for_one_exchange_only)
{
	struct scram s;
	struct writer out = { 0 };

	challenge_rfc(&s, false);
	ck_assert(scram_server_final(&s, over(RFC_CLIENT_FINAL), &out, NULL) == RES_OK);
	ck_assert(scram_server_final(&s, over(RFC_CLIENT_FINAL), &out, NULL) == RES_PROTOCOL);
	scram_wipe(&s);
	challenge_rfc(&s, false);
	ck_assert(scram_server_final(&s, over(RFC_FINAL_BARE ",p=AAAA"), &out, NULL) == RES_PROTOCOL);
	ck_assert(scram_server_final(&s, over(RFC_CLIENT_FINAL), &out, NULL) == RES_PROTOCOL);
	scram_wipe(&s);
	writer_free(&out);
}
END_TEST

START_TEST(a_message_in_the_wrong_state_is_refused)
{
	struct scram_secret secret;
	struct scram_keys keys;
	struct scram s = { 0 };
	struct writer out = { 0 };

	rfc_secret(&secret, &keys);
	ck_assert(scram_server_final(&s, over(RFC_CLIENT_FINAL), &out, NULL) == RES_PROTOCOL);
	scram_wipe(&s);
	ck_assert(scram_client_challenge(&s, over(RFC_SERVER_FIRST)) == RES_PROTOCOL);
	scram_wipe(&s);
	ck_assert(scram_client_verify(&s, over(RFC_SERVER_FINAL)) == RES_PROTOCOL);
	scram_wipe(&s);
	greet_rfc(&s); /* the server skips its challenge, so that it needs no key */
	ck_assert(scram_client_verify(&s, over("v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")) == RES_PROTOCOL);
	scram_wipe(&s);
	prove_rfc(&s); /* a second challenge would get it a second proof */
	ck_assert(scram_client_challenge(&s, over(RFC_SERVER_FIRST)) == RES_PROTOCOL);
	ck_assert(scram_client_verify(&s, over(RFC_SERVER_FINAL)) == RES_PROTOCOL);
	scram_wipe(&s);
	challenge_rfc(&s, false);
	ck_assert(scram_server_first(&s, over(RFC_CLIENT_FIRST), &secret, false, &out) == RES_PROTOCOL);
	scram_wipe(&s);
	ck_assert(out.len == 0);
}
END_TEST

/* --- every cut, every bit ----------------------------------------------------------------------- */

/* The right message's first n bytes, or with one bit flipped, in memory of just that size, so that a
 * sanitizer sees a read too far. */
static uint8_t *damaged(const char *message, size_t len, size_t flip)
{
	uint8_t *copy = malloc(len ? len : 1);

	ck_assert(copy);
	memcpy(copy, message, len);
	if (flip < len * 8)
		copy[flip / 8] ^= (uint8_t)(1 << flip % 8);
	return copy;
}

#define NO_FLIP SIZE_MAX

static enum result feed_client_first(const char *message, size_t len, size_t flip)
{
	struct scram s = { 0 };
	struct scram_secret secret;
	struct writer out = { 0 };
	uint8_t *copy = damaged(message, len, flip);
	enum result res;

	scram_mock_secret(NULL, "x", 1, &secret);
	res = scram_server_first(&s, reader_over(copy, len), &secret, false, &out);
	writer_free(&out);
	scram_wipe(&s);
	free(copy);
	return res;
}

static enum result feed_client_final(const struct scram_secret *secret, const char *message, size_t len, size_t flip)
{
	struct scram s = { 0 };
	struct writer out = { 0 };
	uint8_t *copy = damaged(message, len, flip);
	enum result res;

	ck_assert(scram_server_first_with_nonce(
			  &s, over(RFC_CLIENT_FIRST), secret, false, RFC_SERVER_NONCE, &out) == RES_OK);
	res = scram_server_final(&s, reader_over(copy, len), &out, NULL);
	writer_free(&out);
	scram_wipe(&s);
	free(copy);
	return res;
}

static enum result feed_challenge(const char *message, size_t len, size_t flip)
{
	struct scram s;
	uint8_t *copy = damaged(message, len, flip);
	enum result res;

	greet_rfc(&s);
	res = scram_client_challenge(&s, reader_over(copy, len));
	scram_wipe(&s);
	free(copy);
	return res;
}

static enum result feed_server_final(const struct scram_keys *keys, const char *message, size_t len, size_t flip)
{
	struct scram s;
	struct writer out = { 0 };
	uint8_t *copy = damaged(message, len, flip);
	enum result res;

	greet_rfc(&s);
	ck_assert(scram_client_challenge(&s, over(RFC_SERVER_FIRST)) == RES_OK);
	scram_client_final(&s, keys, &out);
	res = scram_client_verify(&s, reader_over(copy, len));
	writer_free(&out);
	scram_wipe(&s);
	free(copy);
	return res;
}

START_TEST(a_message_cut_anywhere_is_refused)
{
	struct scram_secret secret;
	struct scram_keys keys;
	enum result res;

	rfc_secret(&secret, &keys);
	for (size_t n = 0; n < strlen("n,,n=user,r=x"); n++) /* from there on a cut leaves a nonce */
		ck_assert_msg(feed_client_first(RFC_CLIENT_FIRST, n, NO_FLIP) == RES_PROTOCOL,
			"client-first, %zu bytes", n);
	for (size_t n = 0; n < strlen(RFC_CLIENT_FINAL); n++)
		ck_assert_msg(feed_client_final(&secret, RFC_CLIENT_FINAL, n, NO_FLIP) == RES_PROTOCOL,
			"client-final, %zu bytes", n);
	for (size_t n = 0; n < strlen(RFC_SERVER_FIRST); n++) {
		res = feed_challenge(RFC_SERVER_FIRST, n, NO_FLIP);
		ck_assert_msg((res == RES_OK) == (n > strlen(RFC_SERVER_FIRST) - 4), "server-first, %zu bytes", n);
	}
	for (size_t n = 0; n < strlen(RFC_SERVER_FINAL); n++)
		ck_assert_msg(feed_server_final(&keys, RFC_SERVER_FINAL, n, NO_FLIP) == RES_PROTOCOL,
			"server-final, %zu bytes", n);
}
END_TEST

START_TEST(a_flipped_bit_never_gets_in)
{
	struct scram_secret secret;
	struct scram_keys keys;

	rfc_secret(&secret, &keys);
	ck_assert(feed_client_final(&secret, RFC_CLIENT_FINAL, strlen(RFC_CLIENT_FINAL), NO_FLIP) == RES_OK);
	ck_assert(feed_server_final(&keys, RFC_SERVER_FINAL, strlen(RFC_SERVER_FINAL), NO_FLIP) == RES_OK);
	for (size_t i = 0; i < strlen(RFC_CLIENT_FINAL) * 8; i++)
		ck_assert_msg(feed_client_final(&secret, RFC_CLIENT_FINAL, strlen(RFC_CLIENT_FINAL), i) != RES_OK,
			"client-final, bit %zu", i);
	for (size_t i = 0; i < strlen(RFC_SERVER_FINAL) * 8; i++)
		ck_assert_msg(feed_server_final(&keys, RFC_SERVER_FINAL, strlen(RFC_SERVER_FINAL), i) != RES_OK,
			"server-final, bit %zu", i);
	for (size_t i = 0; i < strlen("r=" RFC_NONCE) * 8; i++)
		ck_assert_msg(feed_challenge(RFC_SERVER_FIRST, strlen(RFC_SERVER_FIRST), i) == RES_PROTOCOL,
			"server-first, bit %zu", i);
}
END_TEST

START_TEST(a_zero_byte_is_refused_anywhere)
{
	struct scram_secret secret;
	struct scram_keys keys;

	rfc_secret(&secret, &keys);
	ck_assert(feed_client_first(RFC_CLIENT_FIRST, sizeof(RFC_CLIENT_FIRST), NO_FLIP) == RES_PROTOCOL);
	ck_assert(feed_client_first("n,,n=\0,r=x", 10, NO_FLIP) == RES_PROTOCOL);
	ck_assert(feed_client_final(&secret, RFC_CLIENT_FINAL, sizeof(RFC_CLIENT_FINAL), NO_FLIP) == RES_PROTOCOL);
	ck_assert(feed_challenge(RFC_SERVER_FIRST, sizeof(RFC_SERVER_FIRST), NO_FLIP) == RES_PROTOCOL);
	ck_assert(feed_server_final(&keys, RFC_SERVER_FINAL, sizeof(RFC_SERVER_FINAL), NO_FLIP) == RES_PROTOCOL);
}
END_TEST

static char *stretched(const char *head, size_t len)
{
	char *s = malloc(len + 1);

	ck_assert(s);
	memset(s, 'A', len);
	memcpy(s, head, strlen(head));
	s[len] = '\0';
	return s;
}

START_TEST(long_messages_end_at_the_limit)
{
	char *fits = stretched("n,,n=,r=", SCRAM_MESSAGE_MAX),
	     *long_ = stretched("n,,n=,r=", SCRAM_MESSAGE_MAX + 1);
	char *huge = stretched("v=", 1 << 20);
	struct scram_secret secret;
	struct scram_keys keys;

	rfc_secret(&secret, &keys);
	ck_assert(feed_client_first(fits, SCRAM_MESSAGE_MAX, NO_FLIP) == RES_OK);
	ck_assert(feed_client_first(long_, SCRAM_MESSAGE_MAX + 1, NO_FLIP) == RES_LIMIT);
	ck_assert(feed_client_final(&secret, huge, 1 << 20, NO_FLIP) == RES_LIMIT);
	ck_assert(feed_challenge(huge, 1 << 20, NO_FLIP) == RES_LIMIT);
	ck_assert(feed_server_final(&keys, huge, 1 << 20, NO_FLIP) == RES_LIMIT);
	free(fits);
	free(long_);
	free(huge);
}
END_TEST

static enum result feed_salt(const char *last_digits)
{
	char salt[1400], message[2000];
	int n;

	memset(salt, 'A', sizeof(salt));
	memcpy(salt + 1364, last_digits, strlen(last_digits) + 1);
	n = snprintf(message, sizeof(message), "r=" RFC_NONCE "x,s=%s,i=1", salt);
	return feed_challenge(message, (size_t)n, NO_FLIP);
}

START_TEST(a_salt_over_the_limit_is_refused)
{
	ck_assert(feed_salt("AA==") == RES_OK); /* 1024 bytes */
	ck_assert(feed_salt("AAA=") == RES_PROTOCOL);
	ck_assert(feed_salt("AAAAAAAA") == RES_LIMIT);
}
END_TEST

/* --- secrets, keys ------------------------------------------------------------------------------ */

#define STORED "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
#define SERVER "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
static const struct {
	const char *name, *text;
	bool want;
} secrets[] = {
	{ "as PostgreSQL stores it", "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" STORED ":" SERVER, true },
	{ "a password", "pencil", false },
	{ "nothing", "", false },
	{ "the prefix only", "SCRAM-SHA-256$", false },
	{ "another mechanism", "SCRAM-SHA-512$4096:AAAA$" STORED ":" SERVER, false },
	{ "no salt", "SCRAM-SHA-256$4096$" STORED ":" SERVER, false },
	{ "an empty salt", "SCRAM-SHA-256$4096:$" STORED ":" SERVER, false },
	{ "no iterations", "SCRAM-SHA-256$:AAAA$" STORED ":" SERVER, false },
	{ "zero iterations", "SCRAM-SHA-256$0:AAAA$" STORED ":" SERVER, false },
	{ "2^32 + 4096 iterations", "SCRAM-SHA-256$4294971392:AAAA$" STORED ":" SERVER, false },
	{ "a blank before the iterations", "SCRAM-SHA-256$ 4096:AAAA$" STORED ":" SERVER, false },
	{ "a salt that isn't base64", "SCRAM-SHA-256$4096:AA A$" STORED ":" SERVER, false },
	{ "no server key", "SCRAM-SHA-256$4096:AAAA$" STORED, false },
	{ "a short stored key", "SCRAM-SHA-256$4096:AAAA$AAAA:" SERVER, false },
	{ "junk at the end", "SCRAM-SHA-256$4096:AAAA$" STORED ":" SERVER " ", false },
};

START_TEST(a_secret_is_told_from_anything_else)
{
	struct scram_secret out;

	ck_assert_msg(scram_secret_parse(secrets[_i].text, &out) == secrets[_i].want, "%s", secrets[_i].name);
}
END_TEST

START_TEST(a_secret_is_parsed_into_what_the_password_gives)
{
	struct scram_secret out, want;
	struct scram_keys keys;

	rfc_secret(&want, &keys);
	ck_assert(scram_secret_parse(secrets[0].text, &out));
	ck_assert(out.iterations == 4096 && out.salt_len == 16 && !memcmp(out.salt, want.salt, 16));
	ck_assert(!memcmp(out.stored_key, want.stored_key, SCRAM_KEY_SIZE));
	ck_assert(!memcmp(out.server_key, want.server_key, SCRAM_KEY_SIZE));
}
END_TEST

static const struct {
	const char *name, *a, *b;
	bool is_same;
} passwords[] = {
	{ "case counts", "secret", "Secret", false },
	{ "a soft hyphen is nothing", "I\xc2\xadX", "IX", true },
	{ "a roman nine is IX", "\xe2\x85\xa8", "IX", true },
	{ "a feminine ordinal is an a", "\xc2\xaa", "a", true },
	{ "a non-breaking space is a space",
		"a\xc2\xa0"
		"b",
		"a b", true },
	{ "composed and decomposed", "\xc3\xa9", "e\xcc\x81", true },
	{ "a control character stays",
		"foo\x07"
		"bar",
		"foobar", false },
	{ "with a control character the rest is raw, too", "I\xc2\xadX\x07", "IX\x07", false },
	{ "mixed directions are raw",
		"\xd8\xa7"
		"1\xc2\xad",
		"\xd8\xa7"
		"1",
		false },
	{ "one direction",
		"\xd8\xa7"
		"1\xc2\xad\xd8\xa8",
		"\xd8\xa7"
		"1\xd8\xa8",
		true },
	{ "an unassigned code point is raw", "\xc8\xa1\xc2\xad", "\xc8\xa1", false },
	{ "directions are judged before normalization",
		"\xe2\x84\xb5"
		"a",
		"\xd7\x90"
		"a",
		true },
	{ "so are prohibited marks", "a\xcd\x80", "a\xcc\x80", false },
	{ "not UTF-8 is raw", "\xff\xc2\xad", "\xff", false },
	{ "UTF-8 that is cut is raw", "a\xc2\xad\xc2", "a\xc2", false },
	{ "an overlong form is raw", "\xc0\xaf\xc2\xad", "\xc0\xaf", false },
	{ "a surrogate is raw", "\xed\xa0\x80\xc2\xad", "\xed\xa0\x80", false },
	{ "only what maps to nothing is raw", "\xc2\xad", "", false },
};

START_TEST(passwords_are_prepared_as_postgresql_does)
{
	struct scram_keys a, b;

	scram_derive(passwords[_i].a, (const uint8_t *)"salt", 4, 2, &a);
	scram_derive(passwords[_i].b, (const uint8_t *)"salt", 4, 2, &b);
	ck_assert_msg(!memcmp(&a, &b, sizeof(a)) == passwords[_i].is_same, "%s", passwords[_i].name);
}
END_TEST

START_TEST(every_byte_of_a_long_password_counts)
{
	static const size_t lens[] = { 1023, 1024, 4096, 8000, SCRAM_PASSWORD_MAX };
	char *p = stretched("\xc3\xa9", lens[_i]);
	struct scram_keys a, b;

	scram_derive(p, (const uint8_t *)"salt", 4, 2, &a);
	p[lens[_i] - 1] ^= 1;
	scram_derive(p, (const uint8_t *)"salt", 4, 2, &b);
	ck_assert(memcmp(&a, &b, sizeof(a)) != 0);
	free(p);
}
END_TEST

START_TEST(mock_secrets_are_stable_and_differ_by_user)
{
	struct scram_secret a, again, b;

	scram_mock_secret(NULL, "alice", 4096, &a);
	scram_mock_secret(NULL, "alice", 4096, &again);
	scram_mock_secret(NULL, "bob", 4096, &b);
	ck_assert(a.salt_len == 16 && again.salt_len == 16 && a.iterations == 4096);
	ck_assert(!memcmp(a.salt, again.salt, 16) && !memcmp(a.stored_key, again.stored_key, SCRAM_KEY_SIZE));
	ck_assert(memcmp(a.salt, b.salt, 16) != 0 && memcmp(a.stored_key, b.stored_key, SCRAM_KEY_SIZE) != 0);
	scram_mock_secret(b.stored_key, "alice", 4096, &again);
	ck_assert(memcmp(a.salt, again.salt, 16) != 0 &&
		memcmp(a.stored_key, again.stored_key, SCRAM_KEY_SIZE) != 0);
	ck_assert(memcmp(a.salt, a.stored_key, 16) != 0 && memcmp(a.stored_key, a.server_key, SCRAM_KEY_SIZE) != 0);
}
END_TEST

START_TEST(wiping_leaves_nothing)
{
	static const struct scram zero;
	struct scram s;

	prove_rfc(&s);
	scram_wipe(&s);
	ck_assert(!memcmp(&s, &zero, sizeof(s)));
	scram_wipe(&s);
}
END_TEST

/* --- digests, base64 ---------------------------------------------------------------------------- */

START_TEST(hmac_is_openssls)
{
	uint8_t key[SHA256_SIZE], data[300], want[EVP_MAX_MD_SIZE], got[SHA256_SIZE];
	struct hmac h;
	size_t n;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31), key[i % SHA256_SIZE] = (uint8_t)(200 - i);
	for (size_t len = 0; len <= sizeof(data); len++) {
		ck_assert(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, sizeof(key), data, len, want,
			sizeof(want), &n));
		hmac_start(&h, key);
		hmac_add(&h, data, len / 3);
		hmac_add(&h, data + len / 3, len - len / 3);
		hmac_end(&h, got);
		ck_assert(n == sizeof(got) && !memcmp(want, got, n));
	}
}
END_TEST

static const struct {
	const char *text;
	int len; /* -1: malformed */
	const char *bytes;
} base64s[] = {
	{ "", 0, "" },
	{ "Zg==", 1, "f" },
	{ "Zm8=", 2, "fo" },
	{ "Zm9v", 3, "foo" },
	{ "Zm9vYg==", 4, "foob" },
	{ "++//", 3, "\xfb\xef\xff" },
	{ "Z", -1, "" },
	{ "Zg", -1, "" },
	{ "Zg=", -1, "" },
	{ "Zg===", -1, "" },
	{ "Zg==Zg==", -1, "" },
	{ "Z===", -1, "" },
	{ "====", -1, "" },
	{ "Zh==", -1, "" },
	{ "Zm9=", -1, "" },
	{ " Zm9", -1, "" },
	{ "Zm9v\n", -1, "" },
	{ "Zm9v\nZm9", -1, "" },
	{ "Zm-_", -1, "" },
	{ "Zm\xc3\xa9", -1, "" },
	{ "=m9v", -1, "" },
};

START_TEST(base64_has_one_spelling)
{
	const char *text = base64s[_i].text;
	uint8_t out[8];
	size_t n;
	char back[16];

	if (base64s[_i].len < 0) {
		ck_assert_msg(!base64_decode((const uint8_t *)text, strlen(text), out, sizeof(out), &n), "%s", text);
		return;
	}
	ck_assert_msg(base64_decode((const uint8_t *)text, strlen(text), out, (size_t)base64s[_i].len, &n),
		"%s", text);
	ck_assert(n == (size_t)base64s[_i].len && !memcmp(out, base64s[_i].bytes, n));
	ck_assert(n == 0 || !base64_decode((const uint8_t *)text, strlen(text), out, n - 1, &n));
	base64_encode((const uint8_t *)base64s[_i].bytes, (size_t)base64s[_i].len, back);
	ck_assert_str_eq(back, text);
}
END_TEST

UNIT_MAIN("scram", {
	tcase_add_test(tc, the_clients_side_says_what_rfc_7677_does);
	tcase_add_test(tc, the_servers_side_says_what_rfc_7677_does);
	tcase_add_loop_test(tc, the_clients_first_message_is_judged, 0, N_ELEMENTS(client_firsts));
	tcase_add_loop_test(tc, the_binding_flag_must_agree_with_what_was_offered, 0, N_ELEMENTS(bound_firsts));
	tcase_add_test(tc, a_bound_login_ends_where_the_certificates_differ);
	tcase_add_loop_test(tc, the_clients_final_message_is_judged, 0, N_ELEMENTS(client_finals));
	tcase_add_loop_test(tc, after_flag_y_the_proof_must_repeat_it, 0, 2);
	tcase_add_loop_test(tc, the_servers_challenge_is_judged, 0, N_ELEMENTS(challenges));
	tcase_add_loop_test(tc, the_servers_final_message_is_judged, 0, N_ELEMENTS(server_finals));
	tcase_add_loop_test(tc, the_right_password_gets_in_and_a_wrong_one_does_not, 0, 6);
	tcase_add_test(tc, a_mock_exchange_is_refused_even_with_the_right_keys);
	tcase_add_test(tc, a_server_without_the_server_key_is_found_out);
	tcase_add_test(tc, each_exchange_has_nonces_of_its_own);
	tcase_add_test(tc, a_proof_goes_for_one_exchange_only);
	tcase_add_test(tc, a_message_in_the_wrong_state_is_refused);
	tcase_add_test(tc, a_message_cut_anywhere_is_refused);
	tcase_add_test(tc, a_flipped_bit_never_gets_in);
	tcase_add_test(tc, a_zero_byte_is_refused_anywhere);
	tcase_add_test(tc, long_messages_end_at_the_limit);
	tcase_add_test(tc, a_salt_over_the_limit_is_refused);
	tcase_add_loop_test(tc, a_secret_is_told_from_anything_else, 0, N_ELEMENTS(secrets));
	tcase_add_test(tc, a_secret_is_parsed_into_what_the_password_gives);
	tcase_add_loop_test(tc, passwords_are_prepared_as_postgresql_does, 0, N_ELEMENTS(passwords));
	tcase_add_loop_test(tc, every_byte_of_a_long_password_counts, 0, 5);
	tcase_add_test(tc, mock_secrets_are_stable_and_differ_by_user);
	tcase_add_test(tc, wiping_leaves_nothing);
	tcase_add_test(tc, hmac_is_openssls);
	tcase_add_loop_test(tc, base64_has_one_spelling, 0, N_ELEMENTS(base64s));
})
