#include "storm/keys.h"

#include <openssl/crypto.h>

const struct scram_keys *keys_find(
	struct key_cache *c, const char *password, const uint8_t *salt, size_t salt_len, uint32_t iterations)
{
	struct key_entry *e;

	ASSERT(salt_len <= SCRAM_SALT_MAX && iterations > 0); /* scram_client_challenge() has judged them */
	for (e = c->entries; e < c->entries + KEYS_MAX; e++)
		if (e->iterations == iterations && e->salt_len == salt_len && memcmp(e->salt, salt, salt_len) == 0)
			return &e->keys;
	e = &c->entries[c->next];
	c->next = (c->next + 1) % KEYS_MAX;
	e->iterations = iterations;
	e->salt_len = salt_len;
	memcpy(e->salt, salt, salt_len);
	scram_derive(password, salt, salt_len, iterations, &e->keys);
	c->derivations++;
	return &e->keys;
}

void keys_wipe(struct key_cache *c)
{
	OPENSSL_cleanse(c, sizeof(*c));
}
