/* test_tls.c - two ends of TLS in one thread: what one seals goes into the other. Keys are made here, files in a folder. */
#include "net/tls.h"
#include "net/tls_set.h"
#include "certificates.h"
#include "unit.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/pgweir-test-tls.XXXXXX";

static void make_files(void)
{
	ck_assert(mkdtemp(dir));
	certificates_make(dir, "server", "db.example", 10);
	certificates_make(dir, "client", "app", 3);
	certificates_make(dir, "sly", "app\0.evil", 9);
}

static void remove_files(void)
{
	certificates_remove(dir, "server");
	certificates_remove(dir, "client");
	certificates_remove(dir, "sly");
	rmdir(dir);
}

static char *path_of(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

/* Each $ in lines becomes the folder. */
static struct config *config_of(const char *section, const char *lines)
{
	struct config_error error;
	struct writer w = { 0 };
	struct config *c;

	write_bytes(&w, section, strlen(section));
	for (; *lines; lines++) {
		if (*lines == '$')
			write_bytes(&w, dir, strlen(dir));
		else
			write_u8(&w, (uint8_t)*lines);
	}
	c = config_load_text("x.ini", (char *)w.data, w.len, &error);
	ck_assert_msg(c != NULL, "%s", error.text);
	writer_free(&w);
	return c;
}

static struct tls_set *set_of(const char *lines)
{
	struct config *c = config_of("[pgweir]\n", lines);
	char error[512] = "";
	struct tls_set *s = tls_set_load(c, error, sizeof(error));

	ck_assert_msg(s != NULL, "%s", error);
	config_unref(&c);
	return s;
}

#define KEYS "client_tls_cert_file=$/server.crt\nclient_tls_key_file=$/server.key\n"
#define CLIENTS "client_tls_sslmode=prefer\n" KEYS

/* ---- a pair of ends ---- */

struct end {
	struct tls *tls;
	struct writer out, got;
	enum tls_event last;
};

struct rig {
	struct tls_set *set;
	struct end us, them; /* we accept */
};

static void open_bytes(struct end *e, const uint8_t *bytes, size_t len)
{
	uint8_t *plain = xmalloc(len + TLS_RECORD_MAX);
	size_t n;

	e->last = tls_open(e->tls, bytes, len, plain, &n, &e->out);
	write_bytes(&e->got, plain, n);
	free(plain);
}

/* Hands over what from has sealed, in pieces. */
static void carry(struct end *from, struct end *to, size_t piece)
{
	struct writer w = from->out;

	from->out = (struct writer){ 0 };
	for (size_t at = 0; at < w.len; at += piece)
		open_bytes(to, w.data + at, MIN(piece, w.len - at));
	writer_free(&w);
}

static void shake_hands(struct rig *r, size_t piece)
{
	tls_begin(r->them.tls, &r->them.out);
	for (int i = 0; i < 5; i++) {
		carry(&r->them, &r->us, piece);
		carry(&r->us, &r->them, piece);
	}
}

static void rig_open(struct rig *r, const char *lines, const char *host)
{
	const struct tls_target *t;

	memset(r, 0, sizeof(*r));
	r->set = set_of(lines);
	t = tls_set_database(r->set, "any");
	r->us.tls = tls_accept(tls_set_clients(r->set));
	r->them.tls = tls_connect(t->context, host, t->mode == TLS_VERIFY_FULL);
}

static void rig_close(struct rig *r)
{
	struct end *ends[] = { &r->us, &r->them };

	for (size_t i = 0; i < N_ELEMENTS(ends); i++) {
		tls_free(&ends[i]->tls);
		writer_free(&ends[i]->out);
		writer_free(&ends[i]->got);
	}
	tls_set_unref(&r->set);
}

static void rig_up(struct rig *r, const char *lines)
{
	rig_open(r, lines, "db.example");
	shake_hands(r, SIZE_MAX / 2);
	ck_assert_msg(tls_is_up(r->us.tls) && tls_is_up(r->them.tls), "%s / %s", tls_why(r->us.tls),
		tls_why(r->them.tls));
}

/* ---- claims ---- */

START_TEST(where_the_bytes_are_cut_does_not_matter)
{
	static const size_t pieces[] = { 1, 2, 5, 100, 16389, SIZE_MAX / 2 };
	uint8_t *sent = xmalloc(100000);
	struct rig r;

	for (size_t i = 0; i < 100000; i++)
		sent[i] = (uint8_t)(i * 7 + i / 251);
	rig_open(&r, CLIENTS, "db.example");
	shake_hands(&r, pieces[_i]);
	ck_assert(tls_is_up(r.us.tls) && tls_is_up(r.them.tls));
	ck_assert(tls_seal(r.us.tls, sent, 100000, &r.us.out));
	carry(&r.us, &r.them, pieces[_i]);
	ck_assert(r.them.got.len == 100000 && !memcmp(r.them.got.data, sent, 100000));
	ck_assert(tls_seal(r.them.tls, sent, 50, &r.them.out));
	carry(&r.them, &r.us, pieces[_i]);
	ck_assert(r.us.got.len == 50 && !memcmp(r.us.got.data, sent, 50));
	rig_close(&r);
	free(sent);
}
END_TEST

START_TEST(records_to_clients_are_small)
{
	static const uint8_t zeros[50000];
	size_t records = 0;
	struct rig r;

	rig_up(&r, CLIENTS);
	ck_assert(tls_seal(r.us.tls, zeros, sizeof(zeros), &r.us.out));
	for (size_t at = 0; at < r.us.out.len; records++) {
		size_t len = (size_t)(r.us.out.data[at + 3] << 8 | r.us.out.data[at + 4]);

		ck_assert(len <= TLS_CLIENT_RECORD + 256);
		at += 5 + len;
	}
	ck_assert_uint_eq(records, (sizeof(zeros) + TLS_CLIENT_RECORD - 1) / TLS_CLIENT_RECORD);
	rig_close(&r);
}
END_TEST

START_TEST(both_ends_know_the_same_certificate)
{
	struct tls_facts us, them;
	struct rig r;

	rig_up(&r, CLIENTS "server_tls_sslmode=verify-full\nserver_tls_ca_file=$/server.crt\n");
	tls_get_facts(r.us.tls, &us);
	tls_get_facts(r.them.tls, &them);
	ck_assert(us.is_on && us.has_alpn && them.has_alpn);
	ck_assert(us.binding_len == 32 && them.binding_len == 32 && !memcmp(us.binding, them.binding, 32));
	ck_assert(!us.is_verified && !us.peer_cn);
	ck_assert(them.is_verified);
	ck_assert_str_eq(them.peer_cn, "db.example");
	ck_assert_str_eq(them.peer_dn, "CN=db.example,O=weir");
	ck_assert_str_eq(us.name, "TLSv1.3/TLS_AES_128_GCM_SHA256");
	tls_clear_facts(&us);
	tls_clear_facts(&them);
	rig_close(&r);
}
END_TEST

#define VERIFYING                                                                                            \
	"client_tls_sslmode=verify-ca\n" KEYS "client_tls_ca_file=$/client.crt\nserver_tls_sslmode=require\n"
static const struct {
	const char *name, *lines;
	bool is_up, is_verified;
	const char *cn;
} clients[] = {
	{ "one that we know", VERIFYING "server_tls_cert_file=$/client.crt\nserver_tls_key_file=$/client.key\n",
		true, true, "app" },
	{ "none", VERIFYING, true, false, NULL },
	{ "a stranger's", VERIFYING "server_tls_cert_file=$/server.crt\nserver_tls_key_file=$/server.key\n",
		false, false, NULL },
	{ "a stranger's where it may be anybody's",
		CLIENTS "client_tls_ca_file=$/client.crt\nserver_tls_cert_file=$/server.crt\nserver_tls_key_file=$/server.key\n",
		true, false, NULL },
	{ "one that isn't looked at", CLIENTS "server_tls_cert_file=$/client.crt\nserver_tls_key_file=$/client.key\n",
		true, false, NULL },
	{ "a name with a NUL inside",
		"client_tls_sslmode=verify-ca\n" KEYS
		"client_tls_ca_file=$/sly.crt\nserver_tls_cert_file=$/sly.crt\nserver_tls_key_file=$/sly.key\n",
		true, true, NULL },
};

START_TEST(a_clients_certificate_is_judged)
{
	struct tls_facts facts;
	struct rig r;

	rig_open(&r, clients[_i].lines, "db.example");
	shake_hands(&r, SIZE_MAX / 2);
	ck_assert_msg(tls_is_up(r.us.tls) == clients[_i].is_up, "%s: %s", clients[_i].name, tls_why(r.us.tls));
	tls_get_facts(r.us.tls, &facts);
	ck_assert_msg(facts.is_verified == clients[_i].is_verified, "%s", clients[_i].name);
	ck_assert_msg(str_equal(facts.peer_cn, clients[_i].cn), "%s: %s", clients[_i].name, facts.peer_cn);
	tls_clear_facts(&facts);
	rig_close(&r);
}
END_TEST

static const struct {
	const char *mode, *ca, *host, *why; /* why NULL: accepted */
} servers[] = {
	{ "require", "client.crt", "elsewhere", NULL },
	{ "verify-ca", "server.crt", "elsewhere", NULL },
	{ "verify-ca", "client.crt", "db.example", "certificate verify failed: self-signed certificate" },
	{ "verify-full", "server.crt", "db.example", NULL },
	{ "verify-full", "server.crt", "DB.example", NULL },
	{ "verify-full", "server.crt", "127.0.0.1", NULL },
	{ "verify-full", "server.crt", "elsewhere", "certificate verify failed: hostname mismatch" },
	{ "verify-full", "server.crt", "127.0.0.2", "certificate verify failed: IP address mismatch" },
	{ "verify-full", "server.crt", "::1", "certificate verify failed: IP address mismatch" },
};

START_TEST(a_servers_certificate_is_judged)
{
	char *lines = xasprintf(
		CLIENTS "server_tls_sslmode=%s\nserver_tls_ca_file=$/%s\n", servers[_i].mode, servers[_i].ca);
	struct rig r;

	rig_open(&r, lines, servers[_i].host);
	shake_hands(&r, SIZE_MAX / 2);
	ck_assert(tls_is_up(r.them.tls) == !servers[_i].why);
	if (servers[_i].why)
		ck_assert_str_eq(tls_why(r.them.tls), servers[_i].why);
	rig_close(&r);
	free(lines);
}
END_TEST

START_TEST(a_goodbye_is_the_end_and_not_an_error)
{
	struct rig r;

	rig_up(&r, CLIENTS);
	ck_assert(tls_seal(r.them.tls, "last", 4, &r.them.out));
	tls_goodbye(r.them.tls, &r.them.out);
	tls_goodbye(r.them.tls, &r.them.out);
	ck_assert(!tls_seal(r.them.tls, "more", 4, &r.them.out));
	carry(&r.them, &r.us, SIZE_MAX / 2);
	ck_assert(r.us.last == TLS_CLOSED && r.us.got.len == 4);
	ck_assert(tls_seal(r.us.tls, "answer", 6, &r.us.out)); /* the other direction is open still */
	rig_close(&r);
}
END_TEST

START_TEST(a_changed_byte_breaks_it_for_good)
{
	struct rig r;

	rig_up(&r, CLIENTS);
	ck_assert(tls_seal(r.them.tls, "hello", 5, &r.them.out));
	r.them.out.data[r.them.out.len - 1] ^= 1;
	carry(&r.them, &r.us, SIZE_MAX / 2);
	ck_assert(r.us.last == TLS_BROKEN && r.us.got.len == 0 && r.us.out.len > 0); /* with an alert */
	ck_assert(strlen(tls_why(r.us.tls)) > 0);
	open_bytes(&r.us, (const uint8_t *)"x", 1);
	ck_assert(r.us.last == TLS_BROKEN);
	ck_assert(!tls_seal(r.us.tls, "x", 1, &r.us.out));
	rig_close(&r);
}
END_TEST

START_TEST(plain_text_in_place_of_a_handshake_breaks_it)
{
	struct rig r;

	rig_open(&r, CLIENTS, "db.example");
	open_bytes(&r.us, (const uint8_t *)"\0\0\0\x08\x04\xd2\x16\x2f", 8);
	ck_assert(r.us.last == TLS_BROKEN && !tls_is_up(r.us.tls));
	ck_assert(!tls_seal(r.us.tls, "x", 1, &r.us.out));
	rig_close(&r);
}
END_TEST

/* The other end as OpenSSL's own user would have it: what our interface can't be made to do. */
static SSL *raw_client(BIO **in, BIO **out)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *s = SSL_new(ctx);

	*in = BIO_new(BIO_s_mem());
	*out = BIO_new(BIO_s_mem());
	SSL_set_bio(s, *in, *out);
	SSL_set_connect_state(s);
	SSL_CTX_free(ctx);
	return s;
}

static void exchange(SSL *s, BIO *in, BIO *out, struct end *us)
{
	char buf[65536];
	int n;

	SSL_do_handshake(s);
	while ((n = BIO_read(out, buf, sizeof(buf))) > 0)
		open_bytes(us, (uint8_t *)buf, (size_t)n);
	if (us->out.len)
		BIO_write(in, us->out.data, (int)us->out.len);
	us->out.len = 0;
}

START_TEST(key_updates_are_answered_but_not_for_ever)
{
	struct tls_set *set = set_of(CLIENTS);
	struct end us = { .tls = tls_accept(tls_set_clients(set)) };
	BIO *in, *out;
	SSL *s = raw_client(&in, &out);
	char c;
	int n = 0;

	for (int i = 0; i < 3; i++)
		exchange(s, in, out, &us);
	ck_assert(tls_is_up(us.tls));
	ck_assert(SSL_read(s, &c, 1) <= 0);
	for (; n < 100000 && us.last == TLS_OPEN; n++) {
		ck_assert(SSL_key_update(s, SSL_KEY_UPDATE_REQUESTED) && SSL_write(s, "x", 1) == 1);
		exchange(s, in, out, &us);
		SSL_read(s, &c, 1);
	}
	ck_assert_msg(n > 1000 && n < 10000, "%d", n);
	ck_assert_str_eq(tls_why(us.tls), "too many key updates");
	SSL_free(s);
	tls_free(&us.tls);
	writer_free(&us.out);
	writer_free(&us.got);
	tls_set_unref(&set);
}
END_TEST

static const struct {
	const char *offered; /* by the client, as ALPN has it */
	bool is_up, has_alpn;
} offers[] = {
	{ "\x0apostgresql", true, true },
	{ "\x08http/1.1\x0apostgresql", true, true },
	{ "\x08http/1.1", false, false },
	{ "", true, false },
};

START_TEST(alpn_is_postgresql_or_nothing)
{
	struct tls_set *set = set_of(CLIENTS);
	struct end us = { .tls = tls_accept(tls_set_clients(set)) };
	struct tls_facts facts;
	BIO *in, *out;
	SSL *s = raw_client(&in, &out);

	if (*offers[_i].offered)
		SSL_set_alpn_protos(
			s, (const unsigned char *)offers[_i].offered, (unsigned)strlen(offers[_i].offered));
	for (int i = 0; i < 3; i++)
		exchange(s, in, out, &us);
	ck_assert(tls_is_up(us.tls) == offers[_i].is_up);
	tls_get_facts(us.tls, &facts);
	ck_assert(facts.has_alpn == offers[_i].has_alpn);
	tls_clear_facts(&facts);
	SSL_free(s);
	tls_free(&us.tls);
	writer_free(&us.out);
	writer_free(&us.got);
	tls_set_unref(&set);
}
END_TEST

/* ---- settings ---- */

#define CLIENT_KEY "client_tls_key_file=$/server.key\n"
static const struct {
	const char *lines, *want; /* $ in want is the folder, too */
} bad_sets[] = {
	{ "client_tls_sslmode=allow\n",
		"client_tls_sslmode other than disable needs client_tls_cert_file and client_tls_key_file" },
	{ "client_tls_sslmode=allow\nclient_tls_cert_file=/nowhere\n" CLIENT_KEY,
		"cannot read client_tls_cert_file /nowhere: No such file or directory" },
	{ "client_tls_sslmode=allow\nclient_tls_cert_file=$\n" CLIENT_KEY,
		"client_tls_cert_file $ is not a regular file" },
	{ "client_tls_sslmode=allow\nclient_tls_cert_file=$/server.key\n" CLIENT_KEY,
		"cannot load client_tls_cert_file $/server.key: no start line" },
	{ "client_tls_sslmode=allow\nclient_tls_cert_file=$/server.crt\nclient_tls_key_file=$/client.key\n",
		"cannot load client_tls_key_file $/client.key (for certificate $/server.crt): key values mismatch" },
	{ CLIENTS "client_tls_ca_file=$/server.key\n",
		"cannot load client_tls_ca_file $/server.key: no certificate or crl found" },
	{ CLIENTS "client_tls_protocols=tlsv1.2,sslv3\n",
		"client_tls_protocols: unknown protocol in \"tlsv1.2,sslv3\"" },
	{ CLIENTS "client_tls_protocols=tlsv1.0:tlsv1.1\n",
		"client_tls_protocols = tlsv1.0:tlsv1.1 leaves none of tlsv1.2 and tlsv1.3" },
	{ CLIENTS "client_tls_ciphers=none-such\n", "client_tls_ciphers: no cipher in \"none-such\" is known" },
	{ CLIENTS "client_tls13_ciphers=none-such\n", "client_tls13_ciphers: \"none-such\" is no list of ciphers" },
	{ CLIENTS "client_tls_ecdhcurve=none-such\n",
		"client_tls_ecdhcurve: \"none-such\" is no curve that OpenSSL knows" },
	{ "server_tls_cert_file=$/client.crt\n", "server_tls_cert_file and server_tls_key_file go together" },
	{ "server_tls_negotiation=direct\n",
		"direct TLS can't fall back to plain text: it needs server_tls_sslmode require, verify-ca or verify-full" },
	{ "[databases]\na = sslnegotiation=direct sslmode=prefer\n",
		"database \"a\": direct TLS can't fall back to plain text: it needs sslmode require, verify-ca or verify-full" },
	{ "[databases]\na = sslmode=verify-ca sslrootcert=/nowhere\n",
		"database \"a\": cannot read sslrootcert /nowhere: No such file or directory" },
	{ "[databases]\na = sslcert=$/client.crt\n", "database \"a\": sslcert and sslkey go together" },
};

START_TEST(what_cannot_be_used_is_told)
{
	struct config *c = config_of("[pgweir]\n", bad_sets[_i].lines);
	char error[512] = "";
	struct writer want = { 0 };

	for (const char *p = bad_sets[_i].want; *p; p++) {
		if (*p == '$')
			write_bytes(&want, dir, strlen(dir));
		else
			write_u8(&want, (uint8_t)*p);
	}
	write_u8(&want, 0);
	ck_assert_ptr_null(tls_set_load(c, error, sizeof(error)));
	ck_assert_str_eq(error, (char *)want.data);
	writer_free(&want);
	config_unref(&c);
}
END_TEST

START_TEST(a_key_that_others_may_read_is_refused_but_for_pgbouncers_files)
{
	struct config *strict = config_of("[pgweir]\n", CLIENTS), *lenient = config_of("[pgbouncer]\n", CLIENTS);
	char *path = path_of("server.key"), error[512] = "";
	struct tls_set *s;

	chmod(path, 0644);
	ck_assert_ptr_null(tls_set_load(strict, error, sizeof(error)));
	ck_assert(strstr(error, "group or others have access to the private key") && strstr(error, path));
	s = tls_set_load(lenient, error, sizeof(error));
	ck_assert_ptr_nonnull(s);
	tls_set_unref(&s);
	chmod(path, 0600);
	free(path);
	config_unref(&strict);
	config_unref(&lenient);
}
END_TEST

START_TEST(databases_find_their_own_and_share_contexts)
{
	struct tls_set *s = set_of(
		"server_tls_sslmode=require\n[databases]\na = sslmode=verify-full sslrootcert=$/server.crt\n"
		"b = sslmode=verify-full sslrootcert=$/server.crt port=1\nc = sslmode=disable\nd = port=2\n"
		"e = sslmode=verify-ca sslnegotiation=direct sslrootcert=$/server.crt\n");
	const struct tls_target *a = tls_set_database(s, "a"), *b = tls_set_database(s, "b"),
				*c = tls_set_database(s, "c"), *d = tls_set_database(s, "d"),
				*e = tls_set_database(s, "e");

	ck_assert(a->mode == TLS_VERIFY_FULL && a->context && a->context == b->context && a->context == e->context);
	ck_assert_str_eq(a->print, b->print);
	ck_assert_str_ne(a->print, e->print);
	ck_assert(c->mode == TLS_DISABLE && !c->context);
	ck_assert(d->mode == TLS_REQUIRE && d->context && d->context != a->context);
	ck_assert(e->negotiation == NEGOTIATE_DIRECT && a->negotiation == NEGOTIATE_POSTGRES);
	ck_assert_ptr_eq(tls_set_clients(s), NULL);
	ck_assert(tls_set_database(NULL, "a")->mode == TLS_DISABLE && !tls_set_clients(NULL));
	tls_set_unref(&s);
}
END_TEST

static const struct {
	const char *text;
	int min, max;
} protocols[] = {
	{ "secure", TLS1_2_VERSION, TLS1_3_VERSION },
	{ "all", TLS1_2_VERSION, TLS1_3_VERSION },
	{ "TLSv1.2", TLS1_2_VERSION, TLS1_2_VERSION },
	{ "tlsv1.3", TLS1_3_VERSION, TLS1_3_VERSION },
	{ "tlsv1.0, tlsv1.1,tlsv1.2", TLS1_2_VERSION, TLS1_2_VERSION },
	{ "all,!tlsv1.2", TLS1_3_VERSION, TLS1_3_VERSION },
	{ "!tlsv1.3", TLS1_2_VERSION, TLS1_2_VERSION },
};

START_TEST(protocols_are_libtlss_lists)
{
	char *lines = xasprintf(CLIENTS "client_tls_protocols=%s\n", protocols[_i].text);
	struct tls_set *s = set_of(lines);

	ck_assert_int_eq(SSL_CTX_get_min_proto_version(tls_set_clients(s)), protocols[_i].min);
	ck_assert_int_eq(SSL_CTX_get_max_proto_version(tls_set_clients(s)), protocols[_i].max);
	tls_set_unref(&s);
	free(lines);
}
END_TEST

UNIT_MAIN("tls", {
	tcase_add_unchecked_fixture(tc, make_files, remove_files);
	tcase_add_loop_test(tc, where_the_bytes_are_cut_does_not_matter, 0, 6);
	tcase_add_test(tc, records_to_clients_are_small);
	tcase_add_test(tc, both_ends_know_the_same_certificate);
	tcase_add_loop_test(tc, a_clients_certificate_is_judged, 0, N_ELEMENTS(clients));
	tcase_add_loop_test(tc, a_servers_certificate_is_judged, 0, N_ELEMENTS(servers));
	tcase_add_test(tc, a_goodbye_is_the_end_and_not_an_error);
	tcase_add_test(tc, a_changed_byte_breaks_it_for_good);
	tcase_add_test(tc, plain_text_in_place_of_a_handshake_breaks_it);
	tcase_add_test(tc, key_updates_are_answered_but_not_for_ever);
	tcase_add_loop_test(tc, alpn_is_postgresql_or_nothing, 0, N_ELEMENTS(offers));
	tcase_add_loop_test(tc, what_cannot_be_used_is_told, 0, N_ELEMENTS(bad_sets));
	tcase_add_test(tc, a_key_that_others_may_read_is_refused_but_for_pgbouncers_files);
	tcase_add_test(tc, databases_find_their_own_and_share_contexts);
	tcase_add_loop_test(tc, protocols_are_libtlss_lists, 0, N_ELEMENTS(protocols));
})
