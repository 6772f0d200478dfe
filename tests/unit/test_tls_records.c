#include "net/tls_records.h"

#include "rig.h"
#include "unit.h"

#include <openssl/ssl.h>

static const uint16_t suites[] = { 0x1301, 0x1302, 0x1303 };

/* One end reads what the other writes. */
static void make_pair(uint16_t suite, struct records *ends[2])
{
	struct tls_keys k = {
		.suite = suite, .secret_len = records_secret_len(suite), .read.records = 5, .write.records = 7
	};
	struct tls_way had;

	memset(k.read.secret, 1, sizeof(k.read.secret));
	memset(k.write.secret, 2, sizeof(k.write.secret));
	ends[0] = records_new(&k);
	had = k.read;
	k.read = k.write;
	k.write = had;
	ends[1] = records_new(&k);
	ck_assert(ends[0] && ends[1]);
}

struct ear {
	struct writer got, out;
	const char *why;
};

static enum tls_event hear(struct records *r, const struct writer *from, size_t piece, struct ear *e)
{
	enum tls_event last = TLS_OPEN;

	for (size_t at = 0; at < from->len && last == TLS_OPEN; at += piece) {
		size_t len = MIN(piece, from->len - at), n;
		uint8_t *plain = xmalloc(len + TLS_RECORD_MAX);

		last = records_open(r, from->data + at, len, plain, &n, &e->out, &e->why);
		ck_assert_uint_le(n, len + TLS_RECORD_MAX);
		write_bytes(&e->got, plain, n);
		free(plain);
	}
	return last;
}

static void ear_free(struct ear *e)
{
	writer_free(&e->got);
	writer_free(&e->out);
}

START_TEST(where_records_are_cut_does_not_matter)
{
	static const size_t pieces[] = { 1, 4, 5, 6, 1000, 8192, 100000 };
	static uint8_t sent[30000];

	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < N_ELEMENTS(pieces); i++) {
		struct writer wire = { 0 };
		struct ear e = { 0 };
		struct records *ends[2];

		make_pair(suites[_i], ends);
		records_seal(ends[0], sent, 1, &wire);
		records_seal(ends[0], sent + 1, sizeof(sent) - 1, &wire);
		ck_assert_int_eq(hear(ends[1], &wire, pieces[i], &e), TLS_OPEN);
		ck_assert(e.got.len == sizeof(sent) && memcmp(e.got.data, sent, sizeof(sent)) == 0);
		ck_assert(records_is_between(ends[1]) && e.out.len == 0);
		records_free(&ends[0]);
		records_free(&ends[1]);
		writer_free(&wire);
		ear_free(&e);
	}
}
END_TEST

START_TEST(a_byte_that_was_changed_ends_it)
{
	struct writer wire = { 0 };
	struct records *ends[2];
	size_t len;

	make_pair(suites[_i], ends);
	records_seal(ends[0], "hello", 5, &wire);
	len = wire.len;
	records_free(&ends[0]);
	records_free(&ends[1]);
	for (size_t at = 0; at < len; at++) {
		struct ear e = { 0 };

		if (at == 1 || at == 2)
			continue; /* the version, which nobody looks at: it is authenticated */
		make_pair(suites[_i], ends);
		wire.data[at] ^= 1;
		if (at == 3 || (at == 4 && wire.data[4] > len - 5)) /* longer than it is: it waits for the rest */
			ck_assert(!records_is_between(ends[1]) || hear(ends[1], &wire, len, &e) != TLS_CLOSED);
		else
			ck_assert_msg(hear(ends[1], &wire, len, &e) == TLS_BROKEN && e.why && e.out.len,
				"byte %zu", at);
		ck_assert_uint_eq(e.got.len, 0);
		wire.data[at] ^= 1;
		records_free(&ends[0]);
		records_free(&ends[1]);
		ear_free(&e);
	}
	writer_free(&wire);
}
END_TEST

START_TEST(a_record_again_is_refused)
{
	struct writer wire = { 0 };
	struct records *ends[2];
	struct ear e = { 0 };

	make_pair(suites[_i], ends);
	records_seal(ends[0], "hello", 5, &wire);
	ck_assert_int_eq(hear(ends[1], &wire, wire.len, &e), TLS_OPEN);
	ck_assert_int_eq(hear(ends[1], &wire, wire.len, &e), TLS_BROKEN);
	ck_assert_uint_eq(e.got.len, 5);
	records_free(&ends[0]);
	records_free(&ends[1]);
	writer_free(&wire);
	ear_free(&e);
}
END_TEST

START_TEST(goodbye_is_heard)
{
	struct writer wire = { 0 };
	struct records *ends[2];
	struct ear e = { 0 };

	make_pair(suites[_i], ends);
	records_seal(ends[0], "bye", 3, &wire);
	records_goodbye(ends[0], &wire);
	ck_assert_int_eq(hear(ends[1], &wire, wire.len, &e), TLS_CLOSED);
	ck_assert_uint_eq(e.got.len, 3);
	records_free(&ends[0]);
	records_free(&ends[1]);
	writer_free(&wire);
	ear_free(&e);
}
END_TEST

static const struct {
	const char *name, *bytes;
	size_t len;
} bad[] = {
	{ "plain text", "\x15\3\3\0\2\2\x28", 7 },
	{ "no body", "\x17\3\3\0\0", 5 },
	{ "less than its tag",
		"\x17\3\3\0\x10"
		"0123456789abcdef",
		21 },
	{ "longer than may be", "\x17\3\3\x42\0", 5 },
};

START_TEST(what_is_no_record_ends_it)
{
	struct writer wire = { 0 };
	struct records *ends[2];
	struct ear e = { 0 };

	make_pair(0x1301, ends);
	write_bytes(&wire, bad[_i].bytes, bad[_i].len);
	ck_assert_msg(hear(ends[1], &wire, 1, &e) == TLS_BROKEN && e.why, "%s", bad[_i].name);
	records_free(&ends[0]);
	records_free(&ends[1]);
	writer_free(&wire);
	ear_free(&e);
}
END_TEST

START_TEST(keys_that_cant_be_are_refused)
{
	struct tls_keys k = { .suite = 0x1301, .secret_len = 48 }, none = { .suite = 0x1304, .secret_len = 32 };

	ck_assert_ptr_null(records_new(&k));
	ck_assert_ptr_null(records_new(&none));
}
END_TEST

/* ---- beside OpenSSL, which has no idea that its partner is another one now ---- */

struct openssl {
	SSL_CTX *context;
	SSL *ssl;
	struct tls *us; /* its partner */
	struct writer out;
};

static enum tls_event to_us(struct openssl *o, struct writer *got)
{
	static uint8_t bytes[65536], plain[65536 + TLS_RECORD_MAX];
	int len = BIO_read(SSL_get_wbio(o->ssl), bytes, sizeof(bytes));
	enum tls_event e = TLS_OPEN;
	size_t n = 0;

	if (len > 0)
		e = tls_open(o->us, bytes, (size_t)len, plain, &n, &o->out);
	write_bytes(got, plain, n);
	if (o->out.len)
		BIO_write(SSL_get_rbio(o->ssl), o->out.data, (int)o->out.len);
	o->out.len = 0;
	return e;
}

static void openssl_up(struct openssl *o, struct snapshot *s, const char *suite)
{
	struct writer none = { 0 };

	memset(o, 0, sizeof(*o));
	o->context = SSL_CTX_new(TLS_client_method());
	ck_assert(SSL_CTX_set_ciphersuites(o->context, suite));
	o->ssl = SSL_new(o->context);
	SSL_set_bio(o->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(o->ssl);
	o->us = tls_accept(tls_set_clients(s->tls));
	for (int i = 0; i < 4; i++) {
		SSL_do_handshake(o->ssl);
		to_us(o, &none);
	}
	ck_assert(tls_is_up(o->us) && SSL_is_init_finished(o->ssl) && none.len == 0);
	writer_free(&none);
}

static void openssl_down(struct openssl *o)
{
	SSL_free(o->ssl);
	SSL_CTX_free(o->context);
	tls_free(&o->us);
	writer_free(&o->out);
}

/* As into another process. */
static void change_partner(struct openssl *o)
{
	struct tls_keys k;

	ck_assert(tls_may_move(o->us));
	tls_get_keys(o->us, &k);
	tls_free(&o->us);
	o->us = tls_with_keys(&k);
	ck_assert_ptr_nonnull(o->us);
}

/* A word there and one back. */
static void chat(struct openssl *o, const char *there, const char *back)
{
	struct writer got = { 0 };
	char answer[64] = "";

	ck_assert_int_gt(SSL_write(o->ssl, there, (int)strlen(there)), 0);
	ck_assert_int_eq(to_us(o, &got), TLS_OPEN);
	ck_assert(got.len == strlen(there) && memcmp(got.data, there, got.len) == 0);
	ck_assert(tls_seal(o->us, back, strlen(back), &o->out));
	BIO_write(SSL_get_rbio(o->ssl), o->out.data, (int)o->out.len);
	o->out.len = 0;
	ck_assert_int_eq(SSL_read(o->ssl, answer, sizeof(answer) - 1), (int)strlen(back));
	ck_assert_str_eq(answer, back);
	writer_free(&got);
}

static const char *const names[] = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
	"TLS_CHACHA20_POLY1305_SHA256" };

START_TEST(RL_08_openssl_doesnt_notice_its_new_partner)
{
	struct snapshot *s =
		rig_tls_snapshot("client_tls_sslmode = require\nclient_tls13_ciphers = TLS_AES_128_GCM_SHA256:"
				 "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256",
			"");
	struct openssl o;
	char name[64];

	openssl_up(&o, s, names[_i]);
	change_partner(&o);		/* before the first byte */
	for (int i = 0; i < 300; i++) { /* more records than a byte can count */
		chat(&o, "ping", "pong");
		if (i % 100 == 0)
			change_partner(&o);
	}
	tls_describe(o.us, name, sizeof(name));
	ck_assert(strstr(name, names[_i]));
	openssl_down(&o);
	snapshot_unref(&s);
}
END_TEST

START_TEST(RL_08_key_updates_are_followed)
{
	struct snapshot *s = rig_tls_snapshot("client_tls_sslmode = require", "");
	struct openssl o;

	openssl_up(&o, s, names[0]);
	chat(&o, "one", "two");
	change_partner(&o);
	for (int i = 0; i < 6; i++) {
		ck_assert(SSL_key_update(o.ssl, i % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED));
		chat(&o, "three", "four");
		chat(&o, "five", "six");
		if (i == 3)
			change_partner(&o);
	}
	openssl_down(&o);
	snapshot_unref(&s);
}
END_TEST

START_TEST(RL_08_keys_that_openssl_has_changed_stay_with_it)
{
	struct snapshot *s = rig_tls_snapshot("client_tls_sslmode = require", "");
	struct openssl o;

	openssl_up(&o, s, names[0]);
	chat(&o, "one", "two");
	ck_assert(tls_may_move(o.us));
	ck_assert(SSL_key_update(o.ssl, SSL_KEY_UPDATE_NOT_REQUESTED));
	chat(&o, "three", "four");
	ck_assert(!tls_may_move(o.us));
	openssl_down(&o);
	snapshot_unref(&s);
}
END_TEST

UNIT_MAIN("tls_records", {
	tcase_add_loop_test(tc, RL_08_openssl_doesnt_notice_its_new_partner, 0, N_ELEMENTS(names));
	tcase_add_test(tc, RL_08_key_updates_are_followed);
	tcase_add_test(tc, RL_08_keys_that_openssl_has_changed_stay_with_it);
	tcase_add_loop_test(tc, where_records_are_cut_does_not_matter, 0, N_ELEMENTS(suites));
	tcase_add_loop_test(tc, a_byte_that_was_changed_ends_it, 0, N_ELEMENTS(suites));
	tcase_add_loop_test(tc, a_record_again_is_refused, 0, N_ELEMENTS(suites));
	tcase_add_loop_test(tc, goodbye_is_heard, 0, N_ELEMENTS(suites));
	tcase_add_loop_test(tc, what_is_no_record_ends_it, 0, N_ELEMENTS(bad));
	tcase_add_test(tc, keys_that_cant_be_are_refused);
})
