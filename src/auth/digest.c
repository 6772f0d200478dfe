#include "auth/digest.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>

/* Constants of the process like EVP_sha256() itself, only already looked up. */
static EVP_MD *fetched_sha256, *fetched_md5;
static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
	fetched_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	ASSERT(fetched_sha256);
	fetched_md5 = EVP_MD_fetch(NULL, "MD5", NULL);
}

const EVP_MD *digest_sha256(void)
{
	pthread_once(&fetch_once, fetch);
	return fetched_sha256;
}

const EVP_MD *digest_md5(void)
{
	pthread_once(&fetch_once, fetch);
	return fetched_md5;
}

void sha256(const void *data, size_t len, uint8_t out[SHA256_SIZE])
{
	int ok = EVP_Digest(data, len, out, NULL, digest_sha256(), NULL);

	ASSERT(ok);
}

void random_bytes(uint8_t *out, size_t len)
{
	int ok = RAND_bytes(out, (int)len);

	ASSERT(ok == 1);
}

static void add(EVP_MD_CTX *ctx, const void *data, size_t len)
{
	int ok = EVP_DigestUpdate(ctx, data, len);

	ASSERT(ok);
}

void hmac_start(struct hmac *h, const uint8_t key[SHA256_SIZE])
{
	int ok;

	h->ctx = EVP_MD_CTX_new();
	ASSERT(h->ctx);
	ok = EVP_DigestInit_ex2(h->ctx, digest_sha256(), NULL);
	ASSERT(ok);
	memset(h->pad, 0x36, sizeof(h->pad));
	for (size_t i = 0; i < SHA256_SIZE; i++)
		h->pad[i] ^= key[i];
	add(h->ctx, h->pad, sizeof(h->pad));
}

void hmac_add(struct hmac *h, const void *data, size_t len)
{
	add(h->ctx, data, len);
}

void hmac_end(struct hmac *h, uint8_t out[SHA256_SIZE])
{
	int ok = EVP_DigestFinal_ex(h->ctx, out, NULL) && EVP_DigestInit_ex2(h->ctx, NULL, NULL);

	ASSERT(ok);
	for (size_t i = 0; i < sizeof(h->pad); i++)
		h->pad[i] ^= 0x36 ^ 0x5c;
	add(h->ctx, h->pad, sizeof(h->pad));
	add(h->ctx, out, SHA256_SIZE);
	ok = EVP_DigestFinal_ex(h->ctx, out, NULL);
	ASSERT(ok);
	EVP_MD_CTX_free(h->ctx); /* wipes the state, too */
	OPENSSL_cleanse(h, sizeof(*h));
}
