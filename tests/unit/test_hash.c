#include "base/table.h"

#include "unit.h"

#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

static uint8_t input[512];

/* The key of the reference vectors is 00 01 .. 0f, and so is their input. */
static void use_reference_key(uint8_t key[16])
{
	for (int i = 0; i < 16; i++)
		key[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(input); i++)
		input[i] = (uint8_t)i;
	hash_init(key);
}

/* The hash as bytes, as the reference prints it. */
static void bytes_of(struct hash128 h, uint8_t out[16])
{
	for (int i = 0; i < 8; i++) {
		out[i] = (uint8_t)(h.lo >> (8 * i));
		out[8 + i] = (uint8_t)(h.hi >> (8 * i));
	}
}

static struct hash128 hash128_of(const void *data, size_t len)
{
	struct hash128_state st;

	hash128_start(&st);
	hash128_add(&st, data, len);
	return hash128_end(&st);
}

START_TEST(reference_vectors_come_out)
{
	static const uint8_t empty[] = { 0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72,
		0x14, 0xc7, 0x55, 0x02, 0x93 };
	uint8_t key[16], got[16];

	use_reference_key(key);
	ck_assert_uint_eq(hash64(input, 15), UINT64_C(0xa129ca6149be45e5));
	bytes_of(hash128_of(NULL, 0), got);
	ck_assert_mem_eq(got, empty, 16);
}
END_TEST

static void openssl_siphash(const uint8_t key[16], size_t len, unsigned size, uint8_t *out)
{
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
	OSSL_PARAM params[] = { OSSL_PARAM_construct_uint("size", &size), OSSL_PARAM_construct_end() };
	size_t n;

	ck_assert_int_eq(EVP_MAC_init(ctx, key, 16, params), 1);
	ck_assert_int_eq(EVP_MAC_update(ctx, input, len), 1);
	ck_assert_int_eq(EVP_MAC_final(ctx, out, &n, size), 1);
	ck_assert_uint_eq(n, size);
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
}

START_TEST(openssl_gets_the_same_for_every_length)
{
	uint8_t key[16], want[16], got[16];
	uint64_t h;

	use_reference_key(key);
	for (int i = 0; i < 16; i++)
		key[i] = (uint8_t)(key[i] * 7 + _i * 13);
	hash_init(key);
	for (size_t len = 0; len <= sizeof(input); len++) {
		openssl_siphash(key, len, 8, want);
		h = hash64(input, len);
		for (int i = 0; i < 8; i++)
			got[i] = (uint8_t)(h >> (8 * i));
		ck_assert_mem_eq(got, want, 8);
		openssl_siphash(key, len, 16, want);
		bytes_of(hash128_of(input, len), got);
		ck_assert_mem_eq(got, want, 16);
	}
}
END_TEST

START_TEST(cuts_do_not_matter)
{
	struct hash128_state st;
	uint8_t key[16];

	use_reference_key(key);
	srandom((unsigned)_i);
	for (int round = 0; round < 300; round++) {
		size_t len = (size_t)random() % sizeof(input), pos = 0;

		hash128_start(&st);
		while (pos < len) {
			size_t n = (size_t)random() % MIN(len - pos + 1, 20);

			hash128_add(&st, input + pos, n);
			pos += n;
		}
		ck_assert(hash128_equal(hash128_end(&st), hash128_of(input, len)));
	}
}
END_TEST

START_TEST(another_key_gives_another_hash)
{
	uint8_t key[16];
	uint64_t before;
	struct hash128 before128;

	use_reference_key(key);
	before = hash64("x", 1);
	before128 = hash128_of("x", 1);
	key[_i] ^= 1;
	hash_init(key);
	ck_assert_uint_ne(hash64("x", 1), before);
	ck_assert(!hash128_equal(hash128_of("x", 1), before128));
}
END_TEST

struct entry {
	char name[16];
	UT_hash_handle hh;
};

START_TEST(a_table_finds_what_it_holds)
{
	static struct entry entries[1000];
	struct entry *table = NULL, *found;

	for (int i = 0; i < 1000; i++) {
		snprintf(entries[i].name, sizeof(entries[i].name), "name%d", i);
		HASH_ADD_STR(table, name, &entries[i]);
	}
	HASH_DELETE(hh, table, &entries[7]);
	HASH_FIND_STR(table, "name7", found);
	ck_assert_ptr_null(found);
	HASH_FIND_STR(table, "name8", found);
	ck_assert_ptr_eq(found, &entries[8]);
	HASH_CLEAR(hh, table);
}
END_TEST

UNIT_MAIN("hash", {
	tcase_add_test(tc, reference_vectors_come_out);
	tcase_add_loop_test(tc, openssl_gets_the_same_for_every_length, 0, 3);
	tcase_add_loop_test(tc, cuts_do_not_matter, 0, 3);
	tcase_add_loop_test(tc, another_key_gives_another_hash, 0, 16);
	tcase_add_test(tc, a_table_finds_what_it_holds);
})
