#include "storm/login.h"

#include "wire/msg.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

void login_forget(struct login *l)
{
	if (l->scram) {
		scram_wipe(l->scram);
		free(l->scram);
	}
	*l = (struct login){ 0 };
}

static enum result refuse(struct login_failure *why, const char *key, const char *message)
{
	*why = (struct login_failure){ key, message };
	return RES_REFUSED;
}

static enum result malformed(struct login_failure *why, const char *message)
{
	*why = (struct login_failure){ "protocol", message };
	return RES_PROTOCOL;
}

static enum result send_password(struct writer *out, const char *response)
{
	msg_begin(out, MSG_PASSWORD);
	write_cstring(out, response);
	msg_end(out);
	return RES_MORE;
}

static void hex(char *out, const uint8_t digest[16])
{
	for (int i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static bool md5_hex(const void *a, size_t a_len, const void *b, size_t b_len, char out[33])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t digest[EVP_MAX_MD_SIZE];
	bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1 && EVP_DigestUpdate(ctx, a, a_len) == 1 &&
		EVP_DigestUpdate(ctx, b, b_len) == 1 && EVP_DigestFinal_ex(ctx, digest, NULL) == 1;

	EVP_MD_CTX_free(ctx);
	if (ok)
		hex(out, digest);
	return ok;
}

static enum result answer_md5(const char *user, const char *password, struct reader body, struct writer *out,
	struct login_failure *why)
{
	const uint8_t *salt = read_bytes(&body, 4);
	char stored[33], response[36] = "md5";

	if (!salt)
		return malformed(why, "malformed AuthenticationMD5Password");
	if (!md5_hex(password, strlen(password), user, strlen(user), stored) ||
		!md5_hex(stored, 32, salt, 4, response + 3))
		return refuse(why, "md5", "OpenSSL refuses MD5 here");
	return send_password(out, response);
}

static bool offers_scram(struct reader mechanisms)
{
	const char *name;

	while (*(name = read_cstring(&mechanisms)))
		if (strcmp(name, SCRAM_MECHANISM) == 0)
			return true;
	return false;
}

static enum result start_scram(struct login *l, struct reader body, struct writer *out, struct login_failure *why)
{
	struct writer first = { 0 };

	if (l->scram || !offers_scram(body))
		return refuse(why, "authentication", "the server offers no SASL mechanism but ones we don't know");
	l->scram = xcalloc(1, sizeof(*l->scram));
	scram_client_first(l->scram, &first);
	msg_begin(out, MSG_PASSWORD);
	write_cstring(out, SCRAM_MECHANISM);
	write_u32(out, (uint32_t)first.len);
	write_bytes(out, first.data, first.len);
	msg_end(out);
	writer_free(&first);
	return RES_MORE;
}

static enum result continue_scram(struct login *l, const char *password, struct key_cache *cache,
	struct reader body, struct writer *out, struct login_failure *why)
{
	struct writer final = { 0 };
	const struct scram_keys *keys;
	bool ok;

	if (!l->scram || scram_client_challenge(l->scram, body) != RES_OK)
		return malformed(why, "malformed SCRAM challenge");
	keys = keys_find(cache, password, l->scram->secret.salt, l->scram->secret.salt_len,
		l->scram->secret.iterations);
	ok = scram_client_final(l->scram, keys, &final) == RES_OK;
	if (ok) {
		msg_begin(out, MSG_PASSWORD);
		write_bytes(out, final.data, final.len);
		msg_end(out);
	}
	writer_free(&final);
	return ok ? RES_MORE : malformed(why, "malformed SCRAM challenge");
}

static enum result finish_scram(struct login *l, struct reader body, struct login_failure *why)
{
	if (!l->scram || scram_client_verify(l->scram, body) != RES_OK)
		return refuse(why, "authentication", "the server couldn't prove that it knows the password");
	l->is_verified = true;
	return RES_MORE;
}

static enum result finish(struct login *l, struct login_failure *why)
{
	if (l->scram && !l->is_verified)
		return refuse(why, "authentication", "the server broke off SCRAM before its own proof");
	login_forget(l);
	return RES_OK;
}

enum result login_answer(struct login *l, const char *user, const char *password, struct key_cache *keys,
	struct reader body, struct writer *out, struct login_failure *why)
{
	uint32_t request = read_u32(&body);

	if (body.bad)
		return malformed(why, "malformed Authentication message");
	if (request != AUTH_OK && !password)
		return refuse(why, "authentication",
			"the server asks for a password, and there is none in the URI or PGPASSWORD");
	switch (request) {
	case AUTH_OK: return finish(l, why);
	case AUTH_CLEARTEXT_PASSWORD: return send_password(out, password);
	case AUTH_MD5_PASSWORD: return answer_md5(user, password, body, out, why);
	case AUTH_SASL: return start_scram(l, body, out, why);
	case AUTH_SASL_CONTINUE: return continue_scram(l, password, keys, body, out, why);
	case AUTH_SASL_FINAL: return finish_scram(l, body, why);
	default:
		return refuse(why, "authentication",
			"the server asks for a method other than password, md5 or SCRAM-SHA-256");
	}
}
