/*
 * digest.h - SHA-256, HMAC-SHA-256 and random bytes, cheap enough for thousands of logins a second.
 *
 * OpenSSL 3 looks an algorithm up at every call of its one-shot functions, and that costs more than the hashing: an HMAC
 * over 180 bytes takes 1.7 us by HMAC(), 1.4 us by EVP_MAC with a cached EVP_MAC and 0.46 us as here, by two digests over
 * an EVP_MD that is fetched once.
 *
 * Errors:  none. A libcrypto without SHA-256 or without randomness is no machine to go on with: it aborts, as running out
 *          of memory does.
 * Threads: any; the fetched EVP_MDs are set once and constant from then on.
 */
#ifndef PGWEIR_DIGEST_H
#define PGWEIR_DIGEST_H

#include "base/base.h"

#include <openssl/evp.h>

#define SHA256_SIZE 32
#define SHA256_BLOCK 64

const EVP_MD *digest_sha256(void);
const EVP_MD *digest_md5(void); /* NULL where libcrypto has none (FIPS) */
void sha256(const void *data, size_t len, uint8_t out[SHA256_SIZE]);
void random_bytes(uint8_t *out, size_t len);

struct hmac { /* between hmac_start() and hmac_end() only: that frees and wipes it */
	EVP_MD_CTX *ctx;
	uint8_t pad[SHA256_BLOCK];
};
void hmac_start(struct hmac *h, const uint8_t key[SHA256_SIZE]);
void hmac_add(struct hmac *h, const void *data, size_t len);
void hmac_end(struct hmac *h, uint8_t out[SHA256_SIZE]);

#endif
