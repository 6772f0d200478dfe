#include "auth/md5.h"

#include "auth/digest.h"

#include <openssl/crypto.h>
#include <string.h>

#define MD5_SIZE 16

static void to_hex(const uint8_t *data, size_t len, char *out)
{
	for (size_t i = 0; i < len; i++) {
		out[2 * i] = "0123456789abcdef"[data[i] >> 4];
		out[2 * i + 1] = "0123456789abcdef"[data[i] & 15];
	}
	out[2 * len] = '\0';
}

static bool md5_hex(const void *a, size_t a_len, const void *b, size_t b_len, char out[MD5_HASH_LEN + 1])
{
	uint8_t sum[MD5_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && digest_md5() && EVP_DigestInit_ex2(ctx, digest_md5(), NULL) &&
		EVP_DigestUpdate(ctx, a, a_len) && EVP_DigestUpdate(ctx, b, b_len) &&
		EVP_DigestFinal_ex(ctx, sum, NULL);

	if (ok)
		to_hex(sum, sizeof(sum), out);
	OPENSSL_cleanse(sum, sizeof(sum));
	EVP_MD_CTX_free(ctx);
	return ok;
}

bool md5_is_secret(const char *secret)
{
	return !strncmp(secret, "md5", 3) && strlen(secret) == MD5_SECRET_LEN &&
		strspn(secret + 3, "0123456789abcdef") == MD5_HASH_LEN;
}

bool md5_hash(const char *password, const char *user, char out[MD5_HASH_LEN + 1])
{
	return md5_hex(password, strlen(password), user, strlen(user), out);
}

bool md5_response(const char hash[MD5_HASH_LEN], const uint8_t salt[4], char out[MD5_SECRET_SIZE])
{
	memcpy(out, "md5", 3);
	return md5_hex(hash, MD5_HASH_LEN, salt, 4, out + 3);
}
