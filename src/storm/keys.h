/*
 * keys.h - SCRAM keys of one password, derived once per (salt, iterations).
 *
 * Real functions run PBKDF2 on a CPU of their own each; here the whole herd has one, which would measure nothing else.
 * Limits:  KEYS_MAX entries; a server that sends ever new salts makes the oldest go.
 * Secrets: keys_wipe() clears everything.
 */
#ifndef PGWEIR_STORM_KEYS_H
#define PGWEIR_STORM_KEYS_H

#include "auth/scram.h"

#define KEYS_MAX 16

struct key_entry {
	uint32_t iterations; /* 0: unused */
	size_t salt_len;
	uint8_t salt[SCRAM_SALT_MAX];
	struct scram_keys keys;
};

struct key_cache { /* zeroed: empty */
	struct key_entry entries[KEYS_MAX];
	size_t next; /* the entry that the next derivation overwrites */
	unsigned derivations;
};

/* Lives until KEYS_MAX further derivations. */
const struct scram_keys *keys_find(
	struct key_cache *c, const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations);
void keys_wipe(struct key_cache *c);

#endif
