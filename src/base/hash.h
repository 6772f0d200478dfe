/*
 * hash.h - SipHash-2-4 with 64 and 128 bits of output, keyed with a random key of this process.
 *
 * For tables whose keys strangers choose, and (128 bits) as the identity of a statement's text. SipHash is from
 * Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012); the 128-bit form from its reference description.
 * It's our own code because it is on the path of a query, where OpenSSL's EVP_MAC costs more than the hash itself.
 * Threads: hash_init() once before threads start, the rest from any thread.
 */
#ifndef PGWEIR_HASH_H
#define PGWEIR_HASH_H

#include "base/base.h"

struct hash128 {
	uint64_t lo, hi;
};

void hash_init(const uint8_t key[16]); /* without it the key is zero, as the unit tests like it */
uint64_t hash64(const void *data, size_t len);

struct hash128_state { /* for keys in several pieces: the result depends on the bytes only, not on their cuts */
	uint64_t v0, v1, v2, v3, tail;
	size_t len;
};
void hash128_start(struct hash128_state *st);
void hash128_add(struct hash128_state *st, const void *data, size_t len);
struct hash128 hash128_end(struct hash128_state *st);

static inline bool hash128_equal(struct hash128 a, struct hash128 b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

#endif
