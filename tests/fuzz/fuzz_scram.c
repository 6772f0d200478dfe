/*
 * fuzz_scram - any bytes as the peer's message, in each state of both sides.
 *
 * The first byte says which. It claims: no message without the password's key ends in RES_OK, a mock exchange
 * never does, a failure writes nothing and ends the exchange, and what a challenge left behind is within the
 * limits.
 */
#include "auth/scram_private.h"

#include <stdlib.h>

#define NONCE "rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SERVER_FIRST "r=" NONCE SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct reader over(const char *text)
{
	return reader_over(text, strlen(text));
}

/* Keys that no input can know: the fuzzer reads neither this process's memory nor its random bytes. */
static void make_secret(struct scram_secret *secret, struct scram_keys *keys)
{
	scram_mock_secret(NULL, "fuzz", 4096, secret);
	memcpy(keys->client_key, secret->stored_key, SCRAM_KEY_SIZE);
	memcpy(keys->server_key, secret->server_key, SCRAM_KEY_SIZE);
	scram_stored_key(keys->client_key, secret->stored_key);
}

static void try_client_first(struct reader message, const struct scram_secret *secret)
{
	struct scram s = { 0 };
	struct writer out = { 0 };
	uint8_t client_key[SCRAM_KEY_SIZE];
	enum result res = scram_server_first(&s, message, secret, false, &out);

	ASSERT((res == RES_OK) == (out.len > 0) && res != RES_REFUSED);
	if (res == RES_OK) {
		struct scram client = { 0 };
		struct writer scratch = { 0 };

		/* The challenge that we write is one that we can read, if its nonce begins with the client's.
		 */
		scram_client_first_with_nonce(&client, "", "x", &scratch);
		res = scram_client_challenge(&client, reader_over(out.data, out.len));
		ASSERT(out.len > SCRAM_MESSAGE_MAX || (res == RES_OK) == (out.data[2] == 'x'));
		ASSERT(res != RES_OK ||
			(client.secret.salt_len == secret->salt_len &&
				client.secret.iterations == secret->iterations));
		writer_free(&scratch);
		scram_wipe(&client);
	}
	out.len = 0;
	ASSERT(scram_server_final(&s, message, &out, client_key) != RES_OK && out.len == 0);
	writer_free(&out);
	scram_wipe(&s);
}

/* Over TLS, with -PLUS or in spite of it. */
static void try_bound(struct reader message, const struct scram_secret *secret, bool is_plus)
{
	static const uint8_t end_point[32] = { 1 };
	struct scram s = { 0 };
	struct writer out = { 0 };
	enum result res;

	scram_bind(&s, end_point, sizeof(end_point), is_plus);
	res = scram_server_first(&s, message, secret, false, &out);
	ASSERT((res == RES_OK) == (out.len > 0));
	ASSERT(res != RES_OK || *message.pos == (is_plus ? 'p' : 'n'));
	scram_wipe(&s);
	out.len = 0;
	scram_bind(&s, end_point, sizeof(end_point), is_plus);
	ASSERT(scram_server_first_with_nonce(&s,
		       over(is_plus ? "p=tls-server-end-point,,n=,r=" NONCE : "n,,n=,r=" NONCE), secret,
		       false, SERVER_NONCE, &out) == RES_OK);
	out.len = 0;
	ASSERT(scram_server_final(&s, message, &out, NULL) != RES_OK && out.len == 0);
	writer_free(&out);
	scram_wipe(&s);
}

static void try_client_final(struct reader message, const struct scram_secret *secret, bool is_mock, bool is_y)
{
	struct scram s = { 0 };
	struct writer out = { 0 };
	uint8_t client_key[SCRAM_KEY_SIZE];
	const char *first = is_y ? "y,,n=,r=" NONCE : "n,,n=,r=" NONCE;

	ASSERT(scram_server_first_with_nonce(&s, over(first), secret, is_mock, SERVER_NONCE, &out) == RES_OK);
	out.len = 0;
	ASSERT(scram_server_final(&s, message, &out, client_key) != RES_OK && out.len == 0);
	ASSERT(scram_server_final(&s, message, &out, client_key) == RES_PROTOCOL && out.len == 0);
	writer_free(&out);
	scram_wipe(&s);
}

static void try_challenge(struct reader message, const struct scram_keys *keys)
{
	struct scram s = { 0 };
	struct writer out = { 0 };

	scram_client_first_with_nonce(&s, "", NONCE, &out);
	if (scram_client_challenge(&s, message) == RES_OK) {
		ASSERT(s.secret.salt_len > 0 && s.secret.salt_len <= SCRAM_SALT_MAX);
		ASSERT(s.secret.iterations > 0 && s.secret.iterations <= SCRAM_ITERATIONS_MAX);
		ASSERT(!strncmp(s.nonce, NONCE, strlen(NONCE)) && strlen(s.nonce) > strlen(NONCE));
		ASSERT(scram_client_final(&s, keys, &out) == RES_OK && out.len <= SCRAM_MESSAGE_MAX + 100);
	}
	ASSERT(scram_client_verify(&s, message) != RES_OK);
	writer_free(&out);
	scram_wipe(&s);
}

static void try_server_final(struct reader message, const struct scram_keys *keys)
{
	struct scram s = { 0 };
	struct writer out = { 0 };

	scram_client_first_with_nonce(&s, "", NONCE, &out);
	ASSERT(scram_client_challenge(&s, over(SERVER_FIRST)) == RES_OK);
	scram_client_final(&s, keys, &out);
	ASSERT(scram_client_verify(&s, message) != RES_OK);
	ASSERT(scram_client_verify(&s, message) == RES_PROTOCOL);
	writer_free(&out);
	scram_wipe(&s);
}

/* A secret is kept as we read it: its text can be anything, its values are within the limits. */
static void try_secret(struct reader message)
{
	struct scram_secret secret;
	char *text = xstrndup(message.pos ? (const char *)message.pos : "", reader_left(&message));

	if (scram_secret_parse(text, &secret)) {
		ASSERT(secret.salt_len > 0 && secret.salt_len <= SCRAM_SALT_MAX);
		ASSERT(secret.iterations > 0 && secret.iterations <= SCRAM_ITERATIONS_MAX);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader message;
	struct scram_secret secret;
	struct scram_keys keys;

	if (!size)
		return 0;
	message = reader_over(data + 1, size - 1);
	make_secret(&secret, &keys);
	switch (data[0]) {
	case 'f': try_client_first(message, &secret); break;
	case 'p': try_client_final(message, &secret, false, false); break;
	case 'y': try_client_final(message, &secret, false, true); break;
	case 'm': try_client_final(message, &secret, true, false); break;
	case 'b': try_bound(message, &secret, true); break;
	case 'n': try_bound(message, &secret, false); break;
	case 'c': try_challenge(message, &keys); break;
	case 'v': try_server_final(message, &keys); break;
	case 's': try_secret(message); break;
	default: break;
	}
	return 0;
}
