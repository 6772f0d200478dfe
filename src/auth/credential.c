#include "auth/credential.h"

#include "auth/credential_private.h"
#include "auth/digest.h"
#include "auth/md5.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>

#define VERIFIER_SALT_LEN 16 /* PostgreSQL's default */

struct cached_keys {
	uint8_t *salt; /* NULL: an empty slot */
	size_t salt_len;
	uint32_t iterations;
	uint64_t used; /* when, on the credential's own clock: the least recently used slot goes first */
	struct scram_keys keys;
};

/* Made at the first need: most users of a long list never log in. */
struct derived {
	/* Taken before lock and held through a PBKDF2, on login threads: who waits wants the same result. */
	pthread_mutex_t verifier_turn, keys_turn;
	struct scram_secret verifier; /* SECRET_PLAIN: made of it; SECRET_SCRAM: read from it. iterations 0: not yet */
	struct cached_keys cache[KEYS_CACHED];
	uint64_t clock;
	unsigned derivations;
	bool has_client_key; /* SECRET_SCRAM: a client has proved it */
	uint8_t client_key[SCRAM_KEY_SIZE];
};

struct credential {
	unsigned refs;
	enum secret_kind kind;
	char *user, *secret; /* secret is "" for SECRET_NONE */
	pthread_mutex_t lock; /* guards derived and what is in it, but for the turns; a leaf, held for a copy */
	struct derived *derived;
};

/* As PostgreSQL's get_password_type(): what looks like neither kind of hash is a password. */
static enum secret_kind kind_of(const char *secret)
{
	struct scram_secret parsed;
	bool is_scram;

	if (!*secret)
		return SECRET_NONE;
	if (md5_is_secret(secret))
		return SECRET_MD5;
	is_scram = scram_secret_parse(secret, &parsed);
	OPENSSL_cleanse(&parsed, sizeof(parsed));
	return is_scram ? SECRET_SCRAM : SECRET_PLAIN;
}

struct credential *credential_new(const char *user, const char *secret)
{
	struct credential *c = xcalloc(1, sizeof(*c));

	if (!secret || strnlen(secret, CREDENTIAL_SECRET_MAX + 1) > CREDENTIAL_SECRET_MAX)
		secret = "";
	c->refs = 1;
	c->user = xstrdup(user);
	c->secret = xstrdup(secret);
	c->kind = kind_of(secret);
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

struct credential *credential_ref(struct credential *c)
{
	__atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

static void derived_free(struct derived *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < KEYS_CACHED; i++)
		free(d->cache[i].salt);
	pthread_mutex_destroy(&d->verifier_turn);
	pthread_mutex_destroy(&d->keys_turn);
	OPENSSL_cleanse(d, sizeof(*d));
	free(d);
}

void credential_unref(struct credential **cp)
{
	struct credential *c = *cp;

	*cp = NULL;
	if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	derived_free(c->derived);
	pthread_mutex_destroy(&c->lock);
	secure_free(&c->secret);
	free(c->user);
	free(c);
}

const char *credential_user(const struct credential *c)
{
	return c->user;
}

enum secret_kind credential_kind(const struct credential *c)
{
	return c->kind;
}

const char *credential_secret(const struct credential *c)
{
	return c->secret;
}

bool credential_same(const struct credential *a, const struct credential *b)
{
	return str_equal(a->user, b->user) && str_equal(a->secret, b->secret);
}

/* --- derived keys ------------------------------------------------------------------------------- */

static struct derived *lock_derived(struct credential *c)
{
	pthread_mutex_lock(&c->lock);
	if (!c->derived) {
		c->derived = xcalloc(1, sizeof(*c->derived));
		pthread_mutex_init(&c->derived->verifier_turn, NULL);
		pthread_mutex_init(&c->derived->keys_turn, NULL);
	}
	return c->derived;
}

/* The turns live as long as the credential, so they may be taken without its lock. */
static struct derived *get_derived(struct credential *c)
{
	struct derived *d = lock_derived(c);

	pthread_mutex_unlock(&c->lock);
	return d;
}

unsigned credential_derivations(struct credential *c)
{
	unsigned n = lock_derived(c)->derivations;

	pthread_mutex_unlock(&c->lock);
	return n;
}

static void derive(struct credential *c, const uint8_t *salt, size_t salt_len, uint32_t iterations,
	struct scram_keys *out)
{
	scram_derive(c->secret, salt, salt_len, iterations, out);
	lock_derived(c)->derivations++;
	pthread_mutex_unlock(&c->lock);
}

static bool find_verifier(struct credential *c, uint32_t iterations, struct scram_secret *out)
{
	struct derived *d = lock_derived(c);
	bool found = d->verifier.iterations == iterations;

	if (found)
		*out = d->verifier;
	pthread_mutex_unlock(&c->lock);
	return found;
}

static void derive_verifier(struct credential *c, uint32_t iterations, struct scram_secret *out)
{
	struct scram_keys keys;

	memset(out, 0, sizeof(*out));
	out->iterations = iterations;
	out->salt_len = VERIFIER_SALT_LEN;
	random_bytes(out->salt, out->salt_len);
	derive(c, out->salt, out->salt_len, iterations, &keys);
	scram_stored_key(keys.client_key, out->stored_key);
	memcpy(out->server_key, keys.server_key, SCRAM_KEY_SIZE);
	OPENSSL_cleanse(&keys, sizeof(keys));
	lock_derived(c)->verifier = *out;
	pthread_mutex_unlock(&c->lock);
}

/* Of a SECRET_SCRAM: parsed once, when its user first logs in. */
static void get_secret(struct credential *c, struct scram_secret *out)
{
	struct derived *d = lock_derived(c);
	bool ok = d->verifier.iterations || scram_secret_parse(c->secret, &d->verifier);

	ASSERT(ok); /* kind says so */
	*out = d->verifier;
	pthread_mutex_unlock(&c->lock);
}

bool credential_verifier(struct credential *c, uint32_t iterations, struct scram_secret *out)
{
	struct derived *d;

	if (c->kind == SECRET_SCRAM) {
		get_secret(c, out);
		return true;
	}
	if (c->kind != SECRET_PLAIN)
		return false;
	ASSERT(iterations > 0); /* 0 says that there is no verifier yet */
	if (find_verifier(c, iterations, out))
		return true;
	d = get_derived(c);
	pthread_mutex_lock(&d->verifier_turn);
	if (!find_verifier(c, iterations, out)) /* unless the one before us made it */
		derive_verifier(c, iterations, out);
	pthread_mutex_unlock(&d->verifier_turn);
	return true;
}

static bool knows_client_key(struct credential *c, const uint8_t client_key[SCRAM_KEY_SIZE])
{
	const struct derived *d = lock_derived(c);
	bool knows = d->has_client_key && !CRYPTO_memcmp(d->client_key, client_key, SCRAM_KEY_SIZE);

	pthread_mutex_unlock(&c->lock);
	return knows;
}

void credential_learn_client_key(struct credential *c, const uint8_t client_key[SCRAM_KEY_SIZE])
{
	struct scram_secret secret;
	uint8_t stored[SCRAM_KEY_SIZE];
	struct derived *d;

	if (c->kind != SECRET_SCRAM || knows_client_key(c, client_key))
		return;
	get_secret(c, &secret);
	scram_stored_key(client_key, stored);
	if (!CRYPTO_memcmp(stored, secret.stored_key, sizeof(stored))) {
		d = lock_derived(c);
		d->has_client_key = true;
		memcpy(d->client_key, client_key, SCRAM_KEY_SIZE);
		pthread_mutex_unlock(&c->lock);
	}
	OPENSSL_cleanse(&secret, sizeof(secret));
}

bool credential_client_key(struct credential *c, uint8_t out[SCRAM_KEY_SIZE])
{
	const struct derived *d;
	bool is_known;

	if (c->kind != SECRET_SCRAM)
		return false;
	d = lock_derived(c);
	is_known = d->has_client_key;
	if (is_known)
		memcpy(out, d->client_key, SCRAM_KEY_SIZE);
	pthread_mutex_unlock(&c->lock);
	return is_known;
}

void credential_learn_from(struct credential *c, struct credential *other)
{
	uint8_t client_key[SCRAM_KEY_SIZE];
	struct derived *d;
	bool is_known;

	if (c == other || c->kind != SECRET_SCRAM || !str_equal(c->secret, other->secret))
		return;
	d = lock_derived(other); /* one lock at a time */
	is_known = d->has_client_key;
	memcpy(client_key, d->client_key, sizeof(client_key));
	pthread_mutex_unlock(&other->lock);
	if (is_known)
		credential_learn_client_key(c, client_key);
	OPENSSL_cleanse(client_key, sizeof(client_key));
}

/* Pass-through: same salt, same iterations. If its StoredKey is another one, the server refuses our proof. */
static bool find_learnt_keys(struct credential *c, const uint8_t *salt, size_t salt_len, uint32_t iterations,
	struct scram_keys *out)
{
	struct scram_secret secret;
	struct derived *d;
	bool found;

	get_secret(c, &secret);
	found = secret.iterations == iterations && secret.salt_len == salt_len &&
		!memcmp(secret.salt, salt, salt_len);
	if (found) {
		d = lock_derived(c);
		found = d->has_client_key;
		if (found) {
			memcpy(out->client_key, d->client_key, SCRAM_KEY_SIZE);
			memcpy(out->server_key, secret.server_key, SCRAM_KEY_SIZE);
		}
		pthread_mutex_unlock(&c->lock);
	}
	OPENSSL_cleanse(&secret, sizeof(secret));
	return found;
}

static bool find_cached_keys(struct credential *c, const uint8_t *salt, size_t salt_len, uint32_t iterations,
	struct scram_keys *out)
{
	struct derived *d = lock_derived(c);
	bool found = false;

	for (size_t i = 0; i < KEYS_CACHED && !found; i++) {
		struct cached_keys *k = &d->cache[i];

		if (!k->salt || k->iterations != iterations || k->salt_len != salt_len ||
			memcmp(k->salt, salt, salt_len) != 0)
			continue;
		k->used = ++d->clock;
		*out = k->keys;
		found = true;
	}
	pthread_mutex_unlock(&c->lock);
	return found;
}

static void cache_keys(struct credential *c, const uint8_t *salt, size_t salt_len, uint32_t iterations,
	const struct scram_keys *keys)
{
	struct derived *d = lock_derived(c);
	struct cached_keys *k = &d->cache[0];

	for (size_t i = 1; i < KEYS_CACHED; i++)
		if (d->cache[i].used < k->used)
			k = &d->cache[i];
	free(k->salt);
	k->salt = xmalloc(salt_len);
	memcpy(k->salt, salt, salt_len);
	k->salt_len = salt_len;
	k->iterations = iterations;
	k->used = ++d->clock;
	k->keys = *keys;
	pthread_mutex_unlock(&c->lock);
}

bool credential_find_server_keys(struct credential *c, const uint8_t *salt, size_t salt_len,
	uint32_t iterations, struct scram_keys *out)
{
	switch (c->kind) {
	case SECRET_PLAIN: return find_cached_keys(c, salt, salt_len, iterations, out);
	case SECRET_SCRAM: return find_learnt_keys(c, salt, salt_len, iterations, out);
	case SECRET_MD5:
	case SECRET_NONE: break;
	}
	return false;
}

bool credential_server_keys(struct credential *c, const uint8_t *salt, size_t salt_len, uint32_t iterations,
	struct scram_keys *out)
{
	struct derived *d;

	if (credential_find_server_keys(c, salt, salt_len, iterations, out))
		return true;
	if (c->kind != SECRET_PLAIN)
		return false;
	d = get_derived(c);
	pthread_mutex_lock(&d->keys_turn);
	if (!find_cached_keys(c, salt, salt_len, iterations, out)) { /* unless the one before us made them */
		derive(c, salt, salt_len, iterations, out);
		cache_keys(c, salt, salt_len, iterations, out);
	}
	pthread_mutex_unlock(&d->keys_turn);
	return true;
}

/* --- passwords ---------------------------------------------------------------------------------- */

static bool check_scram(struct credential *c, const char *password)
{
	struct scram_secret secret;
	struct scram_keys keys;
	uint8_t stored[SCRAM_KEY_SIZE];
	bool is_right;

	get_secret(c, &secret);
	scram_derive(password, secret.salt, secret.salt_len, secret.iterations, &keys);
	scram_stored_key(keys.client_key, stored);
	is_right = !CRYPTO_memcmp(stored, secret.stored_key, sizeof(stored));
	if (is_right)
		credential_learn_client_key(c, keys.client_key);
	OPENSSL_cleanse(&secret, sizeof(secret));
	OPENSSL_cleanse(&keys, sizeof(keys));
	return is_right;
}

/* Digests are compared, so that the time doesn't tell how long the password is either. */
static bool check_text(const char *secret, const char *password)
{
	uint8_t want[SHA256_SIZE], got[SHA256_SIZE];
	bool is_right;

	sha256(secret, strlen(secret), want);
	sha256(password, strlen(password), got);
	is_right = !CRYPTO_memcmp(want, got, sizeof(want));
	OPENSSL_cleanse(want, sizeof(want));
	OPENSSL_cleanse(got, sizeof(got));
	return is_right;
}

static bool check_md5_hash(const struct credential *c, const char *password)
{
	char hash[MD5_HASH_LEN + 1];
	bool is_right = md5_hash(password, c->user, hash) && !CRYPTO_memcmp(hash, c->secret + 3, MD5_HASH_LEN);

	OPENSSL_cleanse(hash, sizeof(hash));
	return is_right;
}

bool credential_check_plain(struct credential *c, const char *password)
{
	if (strnlen(password, CREDENTIAL_SECRET_MAX + 1) > CREDENTIAL_SECRET_MAX)
		return false;
	switch (c->kind) {
	case SECRET_NONE: return false;
	case SECRET_PLAIN: return check_text(c->secret, password);
	case SECRET_MD5: return check_md5_hash(c, password);
	case SECRET_SCRAM: return check_scram(c, password);
	}
	return false;
}

const char *credential_plain(const struct credential *c)
{
	return c->kind == SECRET_PLAIN ? c->secret : NULL;
}

bool credential_md5_response(const struct credential *c, const uint8_t salt[4], char out[36])
{
	char hash[MD5_HASH_LEN + 1];
	bool ok;

	if (c->kind == SECRET_MD5)
		return md5_response(c->secret + 3, salt, out);
	ok = c->kind == SECRET_PLAIN && md5_hash(c->secret, c->user, hash) && md5_response(hash, salt, out);
	OPENSSL_cleanse(hash, sizeof(hash));
	return ok;
}

bool credential_check_md5(const struct credential *c, const uint8_t salt[4], const char *response)
{
	char want[MD5_SECRET_SIZE];

	return credential_md5_response(c, salt, want) && strnlen(response, MD5_SECRET_SIZE) == MD5_SECRET_LEN &&
		!CRYPTO_memcmp(want, response, MD5_SECRET_LEN);
}
