#include "unit.h"

#include "auth/credential_private.h"
#include "auth/md5.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SCRAM_PENCIL                                                                                         \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="           \
	":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define MD5_SECRET_OF_BOB "md5d2a7f4b9f2a8f3a6d7a0a0e2ad6f6f10" /* any hash */

static struct credential *cred(const char *user, const char *secret)
{
	struct credential *c = credential_new(user, secret);

	ck_assert(c);
	return c;
}

static char *long_text(size_t len)
{
	char *s = malloc(len + 1);

	ck_assert(s);
	memset(s, 'x', len);
	s[len] = '\0';
	return s;
}

/* --- md5 ---------------------------------------------------------------------------------------- */

static const struct {
	const char *user, *password, *hash, *response; /* the response to the salt 01 02 03 04 */
} md5s[] = {
	{ "bob", "secret", "21f3163f8f86fa10bdefbfbd502a8f06", "md5f21dfe33ff3a9e03dbc3e008251fe5cc" },
	{ "postgres", "pencil", "4c21b325d75177d5e9b9789a50ab0c9c", "md5dba33b405438ce4ca5423846a9bffead" },
	{ "o\"brien", "p w", "b4550eaaecdab0de130f1b978dbcbfde", "md51635a3a6de5eafec4c526de4bb916231" },
};

START_TEST(md5_gives_the_known_hashes)
{
	char hash[MD5_HASH_LEN + 1], response[MD5_SECRET_SIZE];

	ck_assert(md5_hash(md5s[_i].password, md5s[_i].user, hash));
	ck_assert_str_eq(hash, md5s[_i].hash);
	ck_assert(md5_response(hash, (const uint8_t *)"\x01\x02\x03\x04", response));
	ck_assert_str_eq(response, md5s[_i].response);
}
END_TEST

/* The same user once with the password and once with its hash. */
START_TEST(md5_logs_in_with_the_password_or_its_hash)
{
	const uint8_t *salt = (const uint8_t *)"\x01\x02\x03\x04",
		      *other_salt = (const uint8_t *)"\x01\x02\x03\x05";
	char secret[MD5_SECRET_SIZE], response[MD5_SECRET_SIZE];
	struct credential *c;

	snprintf(secret, sizeof(secret), "md5%s", md5s[_i].hash);
	for (int hashed = 0; hashed < 2; hashed++) {
		c = cred(md5s[_i].user, hashed ? secret : md5s[_i].password);
		ck_assert(credential_md5_response(c, salt, response));
		ck_assert_str_eq(response, md5s[_i].response);
		ck_assert(credential_check_md5(c, salt, response));
		ck_assert(!credential_check_md5(c, other_salt, response));
		ck_assert(credential_check_plain(c, md5s[_i].password));
		ck_assert(!credential_check_plain(c, secret)); /* the hash isn't the password */
		credential_unref(&c);
	}
}
END_TEST

START_TEST(a_damaged_md5_response_is_refused)
{
	const uint8_t *salt = (const uint8_t *)"\x01\x02\x03\x04";
	struct credential *c = cred(md5s[0].user, md5s[0].password);
	char copy[64];

	for (size_t i = 0; i < MD5_SECRET_LEN; i++) {
		strcpy(copy, md5s[0].response);
		copy[i] ^= 1;
		ck_assert_msg(!credential_check_md5(c, salt, copy), "byte %zu", i);
		copy[i] = '\0';
		ck_assert_msg(!credential_check_md5(c, salt, copy), "cut at %zu", i);
	}
	snprintf(copy, sizeof(copy), "%sx", md5s[0].response);
	ck_assert(!credential_check_md5(c, salt, copy));
	credential_unref(&c);
}
END_TEST

/* --- kinds -------------------------------------------------------------------------------------- */

static const struct {
	const char *name, *secret;
	enum secret_kind want;
} kinds[] = {
	{ "no secret", NULL, SECRET_NONE },
	{ "an empty secret", "", SECRET_NONE },
	{ "a password", "pencil", SECRET_PLAIN },
	{ "a hash", MD5_SECRET_OF_BOB, SECRET_MD5 },
	{ "upper-case digits: a password to PostgreSQL", "md5D2A7F4B9F2A8F3A6D7A0A0E2AD6F6F10", SECRET_PLAIN },
	{ "a digit less", "md5d2a7f4b9f2a8f3a6d7a0a0e2ad6f6f1", SECRET_PLAIN },
	{ "a digit more", MD5_SECRET_OF_BOB "0", SECRET_PLAIN },
	{ "a SCRAM secret", SCRAM_PENCIL, SECRET_SCRAM },
	{ "a malformed SCRAM secret: a password to PostgreSQL", "SCRAM-SHA-256$4096:AAAA$x:y", SECRET_PLAIN },
};

START_TEST(the_kind_is_told_as_postgresql_does)
{
	struct credential *c = cred("bob", kinds[_i].secret);

	ck_assert_msg(credential_kind(c) == kinds[_i].want, "%s", kinds[_i].name);
	ck_assert_str_eq(credential_user(c), "bob");
	credential_unref(&c);
	ck_assert(!c);
	credential_unref(&c); /* no-op */
}
END_TEST

START_TEST(each_kind_does_what_it_can)
{
	const uint8_t *salt = (const uint8_t *)"salt";
	struct credential *c = cred("bob", kinds[_i].secret);
	bool is_plain = kinds[_i].want == SECRET_PLAIN, is_md5 = kinds[_i].want == SECRET_MD5,
	     is_scram = kinds[_i].want == SECRET_SCRAM;
	struct scram_secret verifier;
	struct scram_keys keys;
	char response[MD5_SECRET_SIZE];

	ck_assert(credential_verifier(c, 2, &verifier) == (is_plain || is_scram));
	ck_assert(credential_server_keys(c, salt, 4, 2, &keys) == is_plain);
	ck_assert(credential_md5_response(c, salt, response) == (is_plain || is_md5));
	ck_assert((credential_plain(c) != NULL) == is_plain);
	ck_assert(!credential_check_md5(c, salt, "md500000000000000000000000000000000"));
	ck_assert(!credential_check_plain(c, ""));
	ck_assert(!credential_check_plain(c, "wrong"));
	credential_unref(&c);
}
END_TEST

START_TEST(passwords_are_checked_up_to_the_limit)
{
	static const size_t lens[] = { 1023, 1024, 4096, 8000, CREDENTIAL_SECRET_MAX };
	char *text = long_text(lens[_i]), *longer = long_text(CREDENTIAL_SECRET_MAX + 1);
	struct credential *c = cred("bob", text);

	ck_assert(credential_check_plain(c, text));
	ck_assert(!credential_check_plain(c, longer));
	text[lens[_i] - 1] = 'y';
	ck_assert(!credential_check_plain(c, text));
	credential_unref(&c);
	c = cred("bob", longer);
	ck_assert(credential_kind(c) == SECRET_NONE && !credential_check_plain(c, longer));
	credential_unref(&c);
	free(text);
	free(longer);
}
END_TEST

START_TEST(the_same_is_the_same_user_with_the_same_secret)
{
	struct credential *a = cred("bob", "x"), *b = cred("bob", "x"), *other = cred("bob", "y"),
			  *alice = cred("alice", "x");

	ck_assert(credential_same(a, a) && credential_same(a, b));
	ck_assert(!credential_same(a, other) && !credential_same(a, alice));
	credential_unref(&a);
	credential_unref(&b);
	credential_unref(&other);
	credential_unref(&alice);
}
END_TEST

/* --- derived keys ------------------------------------------------------------------------------- */

START_TEST(a_verifier_is_derived_once_and_anew_for_other_iterations)
{
	struct credential *c = cred("bob", "pencil"), *other = cred("bob", "pencil");
	struct scram_secret first, again, more, foreign;
	struct scram_keys keys;
	uint8_t stored[SCRAM_KEY_SIZE];

	ck_assert(credential_verifier(c, 10, &first) && credential_verifier(c, 10, &again));
	ck_assert(!memcmp(&first, &again, sizeof(first)) && credential_derivations(c) == 1);
	ck_assert(first.salt_len == 16 && first.iterations == 10);
	scram_derive("pencil", first.salt, first.salt_len, 10, &keys);
	scram_stored_key(keys.client_key, stored);
	ck_assert(!memcmp(stored, first.stored_key, sizeof(stored)));
	ck_assert(!memcmp(keys.server_key, first.server_key, SCRAM_KEY_SIZE));
	ck_assert(credential_verifier(c, 11, &more) && credential_derivations(c) == 2);
	ck_assert(more.iterations == 11 && memcmp(more.salt, first.salt, 16) != 0);
	ck_assert(credential_verifier(other, 10, &foreign) && memcmp(foreign.salt, first.salt, 16) != 0);
	credential_unref(&c);
	credential_unref(&other);
}
END_TEST

START_TEST(server_keys_are_derived_once)
{
	struct credential *c = cred("bob", "pencil");
	struct scram_keys keys, want;

	ck_assert(!credential_find_server_keys(c, (const uint8_t *)"salt", 4, 10, &keys));
	ck_assert(credential_derivations(c) == 0);
	ck_assert(credential_server_keys(c, (const uint8_t *)"salt", 4, 10, &keys));
	scram_derive("pencil", (const uint8_t *)"salt", 4, 10, &want);
	ck_assert(!memcmp(&keys, &want, sizeof(keys)));
	memset(&keys, 0, sizeof(keys));
	ck_assert(credential_find_server_keys(c, (const uint8_t *)"salt", 4, 10, &keys) &&
		!memcmp(&keys, &want, sizeof(keys)));
	ck_assert(credential_server_keys(c, (const uint8_t *)"salt", 4, 10, &keys) &&
		credential_derivations(c) == 1);
	ck_assert(!credential_find_server_keys(c, (const uint8_t *)"salt", 4, 11, &keys));
	ck_assert(!credential_find_server_keys(c, (const uint8_t *)"salT", 4, 10, &keys));
	ck_assert(!credential_find_server_keys(c, (const uint8_t *)"sal", 3, 10, &keys));
	credential_unref(&c);
}
END_TEST

START_TEST(the_least_recently_used_keys_go_first)
{
	struct credential *c = cred("bob", "pencil");
	struct scram_keys keys;

	for (uint8_t i = 0; i < KEYS_CACHED; i++)
		credential_server_keys(c, &i, 1, 1, &keys);
	ck_assert(credential_find_server_keys(c, (const uint8_t *)"\0", 1, 1, &keys)); /* so 1 is the oldest */
	ck_assert(credential_server_keys(c, (const uint8_t *)"new", 3, 1, &keys));
	ck_assert(!credential_find_server_keys(c, (const uint8_t *)"\1", 1, 1, &keys));
	ck_assert(credential_find_server_keys(c, (const uint8_t *)"\0", 1, 1, &keys));
	for (uint8_t i = 2; i < KEYS_CACHED; i++)
		ck_assert(credential_find_server_keys(c, &i, 1, 1, &keys));
	ck_assert_uint_eq(credential_derivations(c), KEYS_CACHED + 1);
	credential_unref(&c);
}
END_TEST

#define HERD 8

struct herd {
	struct credential *c;
	pthread_barrier_t start;
	struct scram_keys keys[HERD];
	struct scram_secret verifiers[HERD];
	unsigned next;
};

static void *herd_member(void *arg)
{
	struct herd *h = arg;
	unsigned i = __atomic_fetch_add(&h->next, 1, __ATOMIC_RELAXED);

	pthread_barrier_wait(&h->start);
	credential_server_keys(h->c, (const uint8_t *)"salt", 4, 20000, &h->keys[i]);
	credential_verifier(h->c, 20000, &h->verifiers[i]);
	return NULL;
}

START_TEST(a_herd_computes_once)
{
	struct herd h = { .c = cred("bob", "pencil") };
	pthread_t threads[HERD];

	pthread_barrier_init(&h.start, NULL, HERD);
	for (size_t i = 0; i < HERD; i++)
		ck_assert(!pthread_create(&threads[i], NULL, herd_member, &h));
	for (size_t i = 0; i < HERD; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(credential_derivations(h.c), 2);
	for (size_t i = 1; i < HERD; i++) {
		ck_assert(!memcmp(&h.keys[i], &h.keys[0], sizeof(h.keys[0])));
		ck_assert(!memcmp(&h.verifiers[i], &h.verifiers[0], sizeof(h.verifiers[0])));
	}
	pthread_barrier_destroy(&h.start);
	credential_unref(&h.c);
}
END_TEST

/* --- pass-through ------------------------------------------------------------------------------- */

static void pencil_keys(struct scram_secret *secret, struct scram_keys *keys)
{
	ck_assert(scram_secret_parse(SCRAM_PENCIL, secret));
	scram_derive("pencil", secret->salt, secret->salt_len, secret->iterations, keys);
}

START_TEST(a_learnt_key_logs_in_for_the_very_same_secret_only)
{
	struct credential *c = cred("bob", SCRAM_PENCIL);
	struct scram_secret secret, verifier;
	struct scram_keys keys, found;
	uint8_t other_salt[16];

	pencil_keys(&secret, &keys);
	ck_assert(credential_verifier(c, 1, &verifier)); /* the secret's own, whatever iterations are asked for */
	ck_assert(verifier.iterations == 4096 && !memcmp(verifier.stored_key, secret.stored_key, SCRAM_KEY_SIZE));
	ck_assert(!credential_find_server_keys(c, secret.salt, secret.salt_len, 4096, &found));
	credential_learn_client_key(c, keys.client_key);
	ck_assert(credential_find_server_keys(c, secret.salt, secret.salt_len, 4096, &found));
	ck_assert(!memcmp(&found, &keys, sizeof(keys)));
	ck_assert(credential_server_keys(c, secret.salt, secret.salt_len, 4096, &found));
	ck_assert(!credential_server_keys(c, secret.salt, secret.salt_len, 4097, &found));
	ck_assert(!credential_server_keys(c, secret.salt, secret.salt_len - 1, 4096, &found));
	memcpy(other_salt, secret.salt, sizeof(other_salt));
	other_salt[15] ^= 1;
	ck_assert(!credential_server_keys(c, other_salt, 16, 4096, &found));
	ck_assert(credential_derivations(c) == 0);
	credential_unref(&c);
}
END_TEST

START_TEST(a_key_that_does_not_belong_to_the_secret_is_not_learnt)
{
	struct credential *scram = cred("bob", SCRAM_PENCIL), *plain = cred("bob", "pencil"),
			  *md5 = cred("bob", MD5_SECRET_OF_BOB);
	struct scram_secret secret;
	struct scram_keys keys, found;

	pencil_keys(&secret, &keys);
	credential_learn_client_key(plain, keys.client_key);
	credential_learn_client_key(md5, keys.client_key);
	keys.client_key[0] ^= 1;
	credential_learn_client_key(scram, keys.client_key);
	ck_assert(!credential_find_server_keys(scram, secret.salt, secret.salt_len, secret.iterations, &found));
	ck_assert(!credential_find_server_keys(plain, secret.salt, secret.salt_len, secret.iterations, &found));
	ck_assert(!credential_find_server_keys(md5, secret.salt, secret.salt_len, secret.iterations, &found));
	credential_unref(&scram);
	credential_unref(&plain);
	credential_unref(&md5);
}
END_TEST

START_TEST(a_password_that_fits_a_scram_secret_teaches_its_key)
{
	struct credential *c = cred("bob", SCRAM_PENCIL);
	struct scram_secret secret;
	struct scram_keys keys, found;

	pencil_keys(&secret, &keys);
	ck_assert(!credential_check_plain(c, "Pencil"));
	ck_assert(!credential_find_server_keys(c, secret.salt, secret.salt_len, secret.iterations, &found));
	ck_assert(credential_check_plain(c, "pencil"));
	ck_assert(credential_find_server_keys(c, secret.salt, secret.salt_len, secret.iterations, &found));
	ck_assert(!memcmp(&found, &keys, sizeof(keys)));
	credential_unref(&c);
}
END_TEST

/* --- userlist ----------------------------------------------------------------------------------- */

static struct userlist *parse(const char *text, const struct userlist *old, char error[200])
{
	*error = '\0';
	return userlist_parse(text, strlen(text), "users", old, error, 200);
}

static const struct {
	const char *name, *text;
	size_t count;
	const char *user, *password; /* one of them */
} lists[] = {
	{ "nothing", "", 0, NULL, NULL },
	{ "blank lines only", "\n \t\r\n\n", 0, NULL, NULL },
	{ "one user", "\"bob\" \"secret\"\n", 1, "bob", "secret" },
	{ "no newline at the end", "\"bob\" \"secret\"", 1, "bob", "secret" },
	{ "carriage returns", "\"bob\" \"secret\"\r\n\"al\" \"x\"\r\n", 2, "al", "x" },
	{ "tabs and blanks", "\t \"bob\"\t  \"secret\" \t\n", 1, "bob", "secret" },
	{ "comments", "; \"no\" \"x\"\n  ;;\n\"bob\" \"secret\" ; \"al\" \"x\"\n;", 1, "bob", "secret" },
	{ "what follows is ignored", "\"bob\" \"secret\" \"al\" \"x\" junk\n", 1, "bob", "secret" },
	{ "a quote in the secret", "\"bob\" \"se\"\"cr\"\"\"\n", 1, "bob", "se\"cr\"" },
	{ "a quote in the name", "\"b\"\"ob\" \"x\"\n", 1, "b\"ob", "x" },
	{ "only a quote", "\"bob\" \"\"\"\"\n", 1, "bob", "\"" },
	{ "a semicolon in the secret", "\"bob\" \"a;b\"\n", 1, "bob", "a;b" },
	{ "a blank and a backslash in the secret", "\"bob\" \" a\\b \"\n", 1, "bob", " a\\b " },
	{ "the last line of a user counts", "\"bob\" \"x\"\n\"al\" \"y\"\n\"bob\" \"z\"\n", 2, "bob", "z" },
	{ "names differ in case", "\"bob\" \"x\"\n\"Bob\" \"y\"\n", 2, "Bob", "y" },
	{ "beyond ASCII",
		"\"b\xc3\xb6"
		"b\" \"\xff\"\n",
		1,
		"b\xc3\xb6"
		"b",
		"\xff" },
};

START_TEST(a_userlist_is_read_as_pgbouncer_does)
{
	char error[200];
	struct userlist *u = parse(lists[_i].text, NULL, error);

	ck_assert_msg(u, "%s: %s", lists[_i].name, error);
	ck_assert_uint_eq(userlist_count(u), lists[_i].count);
	ck_assert(!userlist_find(u, "nobody") && !userlist_find(u, "bo") && !userlist_find(u, "no"));
	if (lists[_i].user) {
		ck_assert_msg(userlist_find(u, lists[_i].user), "%s", lists[_i].name);
		ck_assert_str_eq(credential_plain(userlist_find(u, lists[_i].user)), lists[_i].password);
	}
	userlist_unref(&u);
	ck_assert(!u);
}
END_TEST

static const struct {
	const char *name, *text, *want;
} bad_lists[] = {
	{ "no quotes", "bob secret\n", "users:1: expected a user name in double quotes" },
	{ "no secret", "\n\n\"bob\"\n\"al\" \"x\"\n",
		"users:3: expected a secret in double quotes after the user name" },
	{ "the file ends before the secret", "\"bob\" ",
		"users:1: expected a secret in double quotes after the user name" },
	{ "an open name", "\"al\" \"x\"\n\"bob\n", "users:2: user name has no closing quote" },
	{ "an open secret", "\"bob\" \"x\n\"al\" \"x\"\n", "users:1: secret has no closing quote" },
	{ "a secret that ends with a doubled quote", "\"bob\" \"x\"\"", "users:1: secret has no closing quote" },
	{ "only a quote", "\"", "users:1: user name has no closing quote" },
	{ "nothing between the two, so that it's one name", "\"bob\"\"x\"\n",
		"users:1: expected a secret in double quotes after the user name" },
	{ "after comments", ";\n;\nx", "users:3: expected a user name in double quotes" },
};

START_TEST(an_error_in_a_userlist_names_its_line)
{
	char error[200];
	struct userlist *u = parse(bad_lists[_i].text, NULL, error);

	ck_assert_msg(!u, "%s", bad_lists[_i].name);
	ck_assert_str_eq(error, bad_lists[_i].want);
}
END_TEST

START_TEST(a_zero_byte_in_a_userlist_is_an_error)
{
	char error[200];

	ck_assert(!userlist_parse("\"b\0b\" \"x\"", 9, "users", NULL, error, sizeof(error)));
	ck_assert_str_eq(error, "users:1: user name contains a zero byte");
	ck_assert(!userlist_parse("\"bob\" \"x\0\"", 10, "users", NULL, error, sizeof(error)));
	ck_assert_str_eq(error, "users:1: secret contains a zero byte");
}
END_TEST

static struct userlist *parse_lengths(size_t name_len, size_t secret_len, char error[200])
{
	char *name = long_text(name_len), *secret = long_text(secret_len), *text;
	struct userlist *u;

	ck_assert(asprintf(&text, "\"%s\" \"%s\"\n", name, secret) > 0);
	u = parse(text, NULL, error);
	free(name);
	free(secret);
	free(text);
	return u;
}

START_TEST(long_names_and_secrets_end_at_the_limit)
{
	char error[200];
	struct userlist *u = parse_lengths(USERLIST_NAME_MAX, CREDENTIAL_SECRET_MAX, error);

	ck_assert(u && userlist_count(u) == 1);
	userlist_unref(&u);
	ck_assert(!parse_lengths(USERLIST_NAME_MAX + 1, 1, error));
	ck_assert_str_eq(error, "users:1: user name is longer than 127 bytes");
	ck_assert(!parse_lengths(1, CREDENTIAL_SECRET_MAX + 1, error));
	ck_assert_str_eq(error, "users:1: secret is longer than 65536 bytes");
}
END_TEST

START_TEST(a_reload_keeps_what_did_not_change)
{
	char error[200];
	struct userlist *old = parse("\"same\" \"a\"\n\"changed\" \"b\"\n\"gone\" \"c\"\n", NULL, error);
	struct credential *same = userlist_find(old, "same"),
			  *changed = credential_ref(userlist_find(old, "changed"));
	struct userlist *u;
	struct scram_keys keys;

	credential_server_keys(same, (const uint8_t *)"salt", 4, 1, &keys);
	u = parse("\"new\" \"d\"\n\"changed\" \"B\"\n\"same\" \"a\"\n", old, error);
	ck_assert(userlist_find(u, "same") == same);
	ck_assert(userlist_find(u, "changed") != changed && userlist_find(u, "new") && !userlist_find(u, "gone"));
	ck_assert(userlist_find(old, "changed") == changed && userlist_count(old) == 3);
	userlist_unref(&old);
	ck_assert(credential_find_server_keys(same, (const uint8_t *)"salt", 4, 1, &keys)); /* it outlives the old list */
	ck_assert_str_eq(credential_plain(changed), "b");
	credential_unref(&changed);
	userlist_unref(&u);
}
END_TEST

#define SCRAM_OTHER                                                                                          \
	"SCRAM-SHA-256$20000:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="          \
	":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static const struct {
	const char *name, *text;
	bool is_mostly_scram, has_key;
} models[] = {
	{ "nobody", "", false, false },
	{ "passwords", "\"a\" \"x\"\n\"b\" \"y\"\n", false, false },
	{ "half of them", "\"a\" \"x\"\n\"b\" \"" SCRAM_PENCIL "\"\n", false, true },
	{ "more than half", "\"a\" \"x\"\n\"b\" \"" SCRAM_PENCIL "\"\n\"c\" \"" SCRAM_PENCIL "\"\n", true, true },
	{ "one without any doesn't count", "\"a\" \"\"\n\"b\" \"" SCRAM_PENCIL "\"\n", true, true },
	{ "a user's last line counts", "\"b\" \"x\"\n\"b\" \"" SCRAM_PENCIL "\"\n", true, true },
};

START_TEST(a_list_says_what_is_usual)
{
	char error[200];
	struct userlist *u = parse(models[_i].text, NULL, error);

	ck_assert_msg(userlist_model(u)->is_mostly_scram == models[_i].is_mostly_scram, "%s", models[_i].name);
	ck_assert_msg((userlist_model(u)->iterations == 4096) == models[_i].has_key, "%s", models[_i].name);
	userlist_unref(&u);
}
END_TEST

/* Strangers keep their salts when the process starts again, in the process beside it, and when somebody else's line goes. */
START_TEST(the_key_for_strangers_stays)
{
	static const char both[] = "\"a\" \"" SCRAM_PENCIL "\"\n\"b\" \"" SCRAM_OTHER "\"\n";
	char error[200];
	struct userlist *u = parse(both, NULL, error), *again = parse(both, NULL, error),
			*a = parse("\"a\" \"" SCRAM_PENCIL "\"\n", NULL, error),
			*b = parse("\"b\" \"" SCRAM_OTHER "\"\n\"c\" \"c\"\n", NULL, error);
	const struct userlist_model *m = userlist_model(u), *of_a = userlist_model(a), *of_b = userlist_model(b);
	const struct userlist_model *want = memcmp(of_a->key, of_b->key, sizeof(m->key)) < 0 ? of_a : of_b;

	ck_assert_mem_eq(m->key, userlist_model(again)->key, sizeof(m->key));
	ck_assert_mem_ne(of_a->key, of_b->key, sizeof(m->key));
	ck_assert_mem_eq(m->key, want->key, sizeof(m->key));
	ck_assert_uint_eq(m->iterations, want->iterations);
	userlist_unref(&u);
	userlist_unref(&again);
	userlist_unref(&a);
	userlist_unref(&b);
}
END_TEST

START_TEST(a_line_that_returns_to_the_old_secret_keeps_the_old_credential)
{
	char error[200];
	struct userlist *old = parse("\"bob\" \"a\"\n", NULL, error), *u;

	u = parse("\"bob\" \"b\"\n\"bob\" \"a\"\n", old, error);
	ck_assert(userlist_count(u) == 1 && userlist_find(u, "bob") == userlist_find(old, "bob"));
	userlist_unref(&old);
	ck_assert_str_eq(credential_plain(userlist_find(u, "bob")), "a");
	userlist_unref(&u);
}
END_TEST

static void write_file(char path[32], const char *text, size_t len)
{
	int fd;

	strcpy(path, "/tmp/userlistXXXXXX");
	fd = mkstemp(path);
	ck_assert(fd >= 0 && write(fd, text, len) == (ssize_t)len && !close(fd));
}

static void count_users(struct credential *c, void *arg)
{
	ck_assert(*credential_user(c));
	++*(size_t *)arg;
}

START_TEST(a_file_is_loaded)
{
	static const char comment[200000] = ";"; /* more than one read; its zero bytes are in a comment */
	char path[32], error[200], *text = NULL;
	struct userlist *u;
	size_t len, n = 0;
	FILE *f = open_memstream(&text, &len);

	fwrite(comment, 1, sizeof(comment), f);
	fprintf(f, "\n\"bob\" \"secret\"\n\"al\" \"%s\"\n", SCRAM_PENCIL);
	ck_assert(!fclose(f));
	write_file(path, text, len);
	u = userlist_load(path, NULL, error, sizeof(error));
	unlink(path);
	free(text);
	ck_assert(u && credential_kind(userlist_find(u, "al")) == SECRET_SCRAM);
	userlist_each(u, count_users, &n);
	ck_assert(n == 2 && userlist_count(u) == 2);
	ck_assert_str_eq(credential_plain(userlist_find(u, "bob")), "secret");
	userlist_unref(&u);
}
END_TEST

START_TEST(an_error_in_a_file_never_shows_its_secrets)
{
	static const char text[] = "\"bob\" \"hush\" \n\"al\" \"hush\n";
	char path[32], error[200], want[200];

	write_file(path, text, strlen(text));
	ck_assert(!userlist_load(path, NULL, error, sizeof(error)));
	unlink(path);
	snprintf(want, sizeof(want), "%s:2: secret has no closing quote", path);
	ck_assert_str_eq(error, want);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_an_error)
{
	char error[200];

	ck_assert(!userlist_load("/nonexistent/users", NULL, error, sizeof(error)));
	ck_assert_str_eq(error, "/nonexistent/users: could not open file: No such file or directory");
	ck_assert(!userlist_load("/", NULL, error, sizeof(error)));
	ck_assert_str_eq(error, "/: could not read file: Is a directory");
	ck_assert(!userlist_load("/dev/zero", NULL, error, sizeof(error)));
	ck_assert_str_eq(error, "/dev/zero: could not read file: file is too big");
}
END_TEST

START_TEST(a_list_is_shared_by_reference)
{
	struct userlist *u = userlist_empty(), *again = userlist_ref(u), *none = NULL;

	ck_assert(userlist_count(u) == 0 && !userlist_find(u, "") && !userlist_find(u, "bob"));
	userlist_unref(&u);
	ck_assert(userlist_count(again) == 0);
	userlist_unref(&again);
	userlist_unref(&none);
}
END_TEST

UNIT_MAIN("credential", {
	tcase_add_loop_test(tc, md5_gives_the_known_hashes, 0, N_ELEMENTS(md5s));
	tcase_add_loop_test(tc, md5_logs_in_with_the_password_or_its_hash, 0, N_ELEMENTS(md5s));
	tcase_add_test(tc, a_damaged_md5_response_is_refused);
	tcase_add_loop_test(tc, the_kind_is_told_as_postgresql_does, 0, N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, each_kind_does_what_it_can, 0, N_ELEMENTS(kinds));
	tcase_add_loop_test(tc, passwords_are_checked_up_to_the_limit, 0, 5);
	tcase_add_test(tc, the_same_is_the_same_user_with_the_same_secret);
	tcase_add_test(tc, a_verifier_is_derived_once_and_anew_for_other_iterations);
	tcase_add_test(tc, server_keys_are_derived_once);
	tcase_add_test(tc, the_least_recently_used_keys_go_first);
	tcase_add_test(tc, a_herd_computes_once);
	tcase_add_test(tc, a_learnt_key_logs_in_for_the_very_same_secret_only);
	tcase_add_test(tc, a_key_that_does_not_belong_to_the_secret_is_not_learnt);
	tcase_add_test(tc, a_password_that_fits_a_scram_secret_teaches_its_key);
	tcase_add_loop_test(tc, a_userlist_is_read_as_pgbouncer_does, 0, N_ELEMENTS(lists));
	tcase_add_loop_test(tc, an_error_in_a_userlist_names_its_line, 0, N_ELEMENTS(bad_lists));
	tcase_add_test(tc, a_zero_byte_in_a_userlist_is_an_error);
	tcase_add_test(tc, long_names_and_secrets_end_at_the_limit);
	tcase_add_test(tc, a_reload_keeps_what_did_not_change);
	tcase_add_loop_test(tc, a_list_says_what_is_usual, 0, N_ELEMENTS(models));
	tcase_add_test(tc, the_key_for_strangers_stays);
	tcase_add_test(tc, a_line_that_returns_to_the_old_secret_keeps_the_old_credential);
	tcase_add_test(tc, a_file_is_loaded);
	tcase_add_test(tc, an_error_in_a_file_never_shows_its_secrets);
	tcase_add_test(tc, a_file_that_cannot_be_read_is_an_error);
	tcase_add_test(tc, a_list_is_shared_by_reference);
})
