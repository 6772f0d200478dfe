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

/*
 * A call of OpenSSL's generator costs 6,000 instructions and a system call, whether for 4 bytes or for 500, and a login needs two.
 * What is handed out is wiped here. Nobody forks and goes on drawing: children only run commands.
 */
static _Thread_local struct {
	uint8_t bytes[512];
	size_t left;
} drawn;

static void draw(uint8_t *out, size_t len)
{
	int ok = RAND_bytes(out, (int)len);

	ASSERT(ok == 1);
}

void random_bytes(uint8_t *out, size_t len)
{
	if (len > sizeof(drawn.bytes)) {
		draw(out, len);
		return;
	}
	if (len > drawn.left) {
		draw(drawn.bytes, sizeof(drawn.bytes));
		drawn.left = sizeof(drawn.bytes);
	}
	drawn.left -= len;
	memcpy(out, drawn.bytes + drawn.left, len);
	OPENSSL_cleanse(drawn.bytes + drawn.left, len);
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
