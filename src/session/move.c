#include "session/move.h"

#include "session/ask.h"
#include "session/extended.h"
#include "session/keys.h"
#include "state/shape.h"

#include <netinet/in.h>
#include <openssl/crypto.h>
#include <stdlib.h>

/*
 * A client, all numbers big-endian:
 *	cstring database, user, the pool's user
 *	u8 flags, u8 pool mode
 *	u32 pid, u8 length and the secret
 *	u8 length and the address
 *	settings: came with, should be, told			u16 count, then cstring name, cstring value each
 *	u64 times: connected, request, idle since
 *	u64 the number of schema changes that its database has seen
 *	u8 kind of credential: none, secret, or secret and client key; cstring secret; 32 bytes key
 *	u16 count of statements, the unnamed one under "":	cstring name, u64 u64 context, u64 parsed at,
 *		u64 the number of schema changes then, u64 u64 its shape: of the text, and under this name; u32 length and body
 *	names of statements that are pgweir's own:		ask.c
 *	TLS, if the flag says so:				u16 suite, u8 length, two secrets, u64 u64 records read and written
 */
enum moved_flag { MOVED_COUNTED = 1, MOVED_TRACKED = 2, MOVED_TLS = 4, MOVED_FLAGS = 7 };
enum moved_credential { MOVED_NO_CREDENTIAL, MOVED_SECRET, MOVED_SECRET_AND_KEY };

#define NAME_MAX_BYTES 1024

struct moved_statement { /* its texts are in the bytes */
	const char *name;
	struct hash128 context;
	usec_t parsed_at;
	uint64_t schema, text_shape, shape;
	const uint8_t *body;
	size_t len;
};

struct moved {
	uint8_t *bytes; /* what the statements point into */
	size_t len;
	enum pool_mode mode;
	bool is_tracked;
	struct cancel_key key;
	struct settings *settings, *told;
	usec_t request_at, idle_since, startup_wait_max, wait_max;
	uint64_t schema;
	size_t n_statements;
	struct moved_statement *statements;
	struct reader asked; /* checked already */
};

void moved_free(struct moved **mp)
{
	struct moved *m = *mp;

	*mp = NULL;
	if (!m)
		return;
	settings_unref(&m->settings);
	settings_unref(&m->told);
	OPENSSL_cleanse(m->bytes, m->len);
	free(m->bytes);
	free(m->statements);
	free(m);
}

/* ---- writing ---- */

static bool is_quiet(const struct stream *s)
{
	return s->fd >= 0 && !s->held_len && !stream_backlog(s) && !s->is_peer_shut && !s->is_ended &&
		!s->is_paused && !s->error && (!s->tls || tls_may_move(s->tls));
}

bool move_is_ready(const struct client *c)
{
	return c->state == CLIENT_IDLE && c->is_greeted && !c->pauses && !c->body_left &&
		c->discard == DISCARD_NONE && !c->unnamed_due && !c->removals_due && !c->is_forgetting &&
		!c->deallocates && !c->deallocate_portal && !c->is_stateful && !c->pins && !c->peer_shut_at &&
		c->pool->database && !c->pool->shared->replication && is_quiet(&c->stream);
}

static void write_u64(struct writer *w, uint64_t v)
{
	write_u32(w, (uint32_t)(v >> 32));
	write_u32(w, (uint32_t)v);
}

static void write_settings(struct writer *w, const struct settings *s)
{
	size_t n = s ? s->n : 0;

	write_u16(w, (uint16_t)n);
	for (size_t i = 0; i < n; i++) {
		write_cstring(w, s->items[i].name);
		write_cstring(w, s->items[i].value);
	}
}

static void write_statement(
	struct writer *w, const char *name, const struct statement *st, usec_t parsed_at, uint64_t shape)
{
	write_cstring(w, name);
	write_u64(w, st->context.hi);
	write_u64(w, st->context.lo);
	write_u64(w, parsed_at);
	write_u64(w, st->schema);
	write_u64(w, st->shape);
	write_u64(w, shape);
	write_u32(w, (uint32_t)st->len);
	write_bytes(w, st->body, st->len);
}

static void write_statements(struct writer *w, const struct client *c)
{
	struct client_statement *cs, *next;

	write_u16(w, (uint16_t)(client_statements_count(&c->statements) + (c->unnamed != NULL)));
	if (c->unnamed)
		write_statement(w, "", c->unnamed, 0, SHAPE_UNKNOWN);
	HASH_ITER(hh, c->statements.by_name, cs, next)
		write_statement(w, cs->name, cs->statement, cs->parsed_at, cs->shape);
}

static void write_credential(struct writer *w, struct credential *cr)
{
	uint8_t key[SCRAM_KEY_SIZE];
	bool has_key;

	if (!cr) {
		write_u8(w, MOVED_NO_CREDENTIAL);
		return;
	}
	has_key = credential_client_key(cr, key);
	write_u8(w, has_key ? MOVED_SECRET_AND_KEY : MOVED_SECRET);
	write_cstring(w, credential_secret(cr));
	if (has_key)
		write_bytes(w, key, sizeof(key));
	OPENSSL_cleanse(key, sizeof(key));
}

static void write_tls(struct writer *w, const struct tls *t)
{
	struct tls_keys k;

	tls_get_keys(t, &k);
	write_u16(w, k.suite);
	write_u8(w, (uint8_t)k.secret_len);
	write_bytes(w, k.read.secret, k.secret_len);
	write_bytes(w, k.write.secret, k.secret_len);
	write_u64(w, k.read.records);
	write_u64(w, k.write.records);
	OPENSSL_cleanse(&k, sizeof(k));
}

/* How long it may become: it mustn't grow once a secret is in it, so that no copy is left behind. */
static size_t size_of(const struct client *c, const struct credential *cr)
{
	const struct settings *const sets[] = { c->startup, c->settings, c->told };
	struct client_statement *cs, *next;
	size_t n = 1024 + (cr ? strlen(credential_secret(cr)) : 0) + (c->unnamed ? c->unnamed->len : 0);

	for (size_t k = 0; k < N_ELEMENTS(sets); k++)
		for (size_t i = 0; sets[k] && i < sets[k]->n; i++)
			n += strlen(sets[k]->items[i].name) + strlen(sets[k]->items[i].value) + 2;
	HASH_ITER(hh, c->statements.by_name, cs, next)
		n += strlen(cs->name) + cs->statement->len + 64;
	return n + ask_names_size(c) + strlen(c->database) + strlen(c->user) + strlen(c->pool->shared->user);
}

static void write_all(struct writer *w, const struct client *c, struct credential *cr)
{
	const struct tls *tls = c->stream.tls;

	write_cstring(w, c->database);
	write_cstring(w, c->user);
	write_cstring(w, c->pool->shared->user);
	write_u8(w,
		(uint8_t)((c->is_counted ? MOVED_COUNTED : 0) | (c->is_tracked ? MOVED_TRACKED : 0) |
			(tls ? MOVED_TLS : 0)));
	write_u8(w, (uint8_t)c->mode);
	write_u32(w, c->key.pid);
	write_u8(w, (uint8_t)c->key.len);
	write_bytes(w, c->key.secret, c->key.len);
	write_u8(w, c->peer.len);
	write_bytes(w, c->peer.bytes, c->peer.len);
	write_settings(w, c->startup);
	write_settings(w, c->settings);
	write_settings(w, c->told);
	write_u64(w, c->connected_at);
	write_u64(w, c->request_at);
	write_u64(w, c->idle_since);
	write_u64(w, c->startup_wait_max);
	write_u64(w, c->waiter.wait_max);
	write_u64(w, atomic_load(&c->pool->shared->by_database->schema));
	write_credential(w, cr);
	write_statements(w, c);
	ask_write_names(c, w);
	if (tls)
		write_tls(w, tls);
}

bool move_write(const struct client *c, struct writer *w)
{
	struct credential *cr = shared_credential(c->pool->shared);
	size_t size = size_of(c, cr);

	if (size <= MOVE_MAX) {
		writer_reserve(w, size);
		write_all(w, c, cr);
	}
	credential_unref(&cr);
	return size <= MOVE_MAX;
}

/* ---- reading ---- */

static uint64_t read_u64(struct reader *r)
{
	uint64_t high = read_u32(r);

	return high << 32 | read_u32(r);
}

static enum result read_name(struct reader *r, char **out)
{
	const char *s = read_cstring(r);

	if (r->bad || !*s || strlen(s) > NAME_MAX_BYTES)
		return RES_PROTOCOL;
	*out = xstrdup(s);
	return RES_OK;
}

static enum result read_settings(struct reader *r, struct settings **out)
{
	size_t n = read_u16(r);

	if (n > SETTINGS_MAX)
		return RES_LIMIT;
	for (size_t i = 0; i < n; i++) {
		const char *name = read_cstring(r), *value = read_cstring(r);

		if (r->bad || !*name)
			return RES_PROTOCOL;
		if (settings_put(out, name, value) != RES_OK)
			return RES_LIMIT;
	}
	return r->bad ? RES_PROTOCOL : RES_OK;
}

static enum result read_key(struct reader *r, struct cancel_key *k)
{
	const uint8_t *secret;

	k->pid = read_u32(r);
	k->len = read_u8(r);
	if (k->len != CANCEL_SECRET_SHORT && k->len != CANCEL_SECRET_LONG)
		return RES_PROTOCOL;
	secret = read_bytes(r, k->len);
	if (!secret)
		return RES_PROTOCOL;
	memcpy(k->secret, secret, k->len);
	return RES_OK;
}

static enum result read_address(struct reader *r, struct address *out)
{
	struct short_address a = { .len = read_u8(r) };
	const uint8_t *bytes = a.len <= sizeof(a.bytes) ? read_bytes(r, a.len) : NULL;
	socklen_t want;

	if (r->bad || (a.len && (!bytes || a.len < sizeof(sa_family_t))))
		return RES_PROTOCOL;
	if (!a.len) /* nobody knows it */
		return RES_OK;
	memcpy(a.bytes, bytes, a.len);
	address_restore(&a, out);
	switch (out->sa.sa_family) {
	case AF_INET: want = sizeof(struct sockaddr_in); break;
	case AF_INET6: want = sizeof(struct sockaddr_in6); break;
	case AF_UNIX: want = sizeof(sa_family_t); break;
	default: return RES_PROTOCOL;
	}
	return a.len == want ? RES_OK : RES_PROTOCOL;
}

static enum result read_credential(struct reader *r, struct newcomer *n)
{
	uint8_t kind = read_u8(r);
	const uint8_t *key;
	const char *secret;

	if (r->bad || kind > MOVED_SECRET_AND_KEY)
		return RES_PROTOCOL;
	if (kind == MOVED_NO_CREDENTIAL)
		return RES_OK;
	secret = read_cstring(r);
	if (r->bad || strlen(secret) > CREDENTIAL_SECRET_MAX)
		return RES_PROTOCOL;
	n->credential = credential_new(n->server_user, secret);
	if (kind == MOVED_SECRET)
		return RES_OK;
	key = read_bytes(r, SCRAM_KEY_SIZE);
	if (!key)
		return RES_PROTOCOL;
	credential_learn_client_key(n->credential, key); /* which looks if it belongs to the secret */
	return RES_OK;
}

/* As Parse has it behind its name: a text, and as many types as it says. */
static bool is_statement(const uint8_t *body, size_t len)
{
	struct reader r = reader_over(body, len);
	size_t n;

	read_cstring(&r);
	n = read_u16(&r);
	return !r.bad && reader_left(&r) == n * 4;
}

static enum result read_statements(struct reader *r, struct moved *m)
{
	size_t n = read_u16(r);

	if (r->bad)
		return RES_PROTOCOL;
	if (n > CLIENT_STATEMENTS_MAX + 1)
		return RES_LIMIT;
	m->statements = xcalloc(n + 1, sizeof(m->statements[0]));
	for (size_t i = 0; i < n; i++) {
		struct moved_statement *s = &m->statements[i];

		s->name = read_cstring(r);
		s->context.hi = read_u64(r);
		s->context.lo = read_u64(r);
		s->parsed_at = read_u64(r);
		s->schema = read_u64(r);
		s->text_shape = read_u64(r);
		s->shape = read_u64(r);
		s->len = read_u32(r);
		s->body = read_bytes(r, s->len);
		if (!s->body || !is_statement(s->body, s->len) || (!*s->name && i > 0))
			return RES_PROTOCOL; /* the unnamed one comes first, once */
		m->n_statements++;
	}
	return RES_OK;
}

static enum result read_tls(struct reader *r, struct newcomer *n)
{
	struct tls_keys k = { .suite = read_u16(r), .secret_len = read_u8(r) };
	const uint8_t *secrets = k.secret_len <= TLS_SECRET_MAX ? read_bytes(r, 2 * k.secret_len) : NULL;

	if (secrets) {
		memcpy(k.read.secret, secrets, k.secret_len);
		memcpy(k.write.secret, secrets + k.secret_len, k.secret_len);
	}
	k.read.records = read_u64(r);
	k.write.records = read_u64(r);
	if (secrets && !r->bad)
		n->tls = tls_with_keys(&k);
	OPENSSL_cleanse(&k, sizeof(k));
	return n->tls ? RES_OK : RES_PROTOCOL;
}

static enum result read_all(struct reader *r, struct newcomer *n, struct moved *m)
{
	enum result res;
	uint8_t flags, mode;

	if ((res = read_name(r, &n->database)) != RES_OK || (res = read_name(r, &n->user)) != RES_OK ||
		(res = read_name(r, &n->server_user)) != RES_OK)
		return res;
	flags = read_u8(r);
	mode = read_u8(r);
	if (r->bad || flags > MOVED_FLAGS || mode > POOL_STATEMENT)
		return RES_PROTOCOL;
	n->is_counted = flags & MOVED_COUNTED;
	m->is_tracked = flags & MOVED_TRACKED;
	m->mode = (enum pool_mode)mode;
	if ((res = read_key(r, &m->key)) != RES_OK || (res = read_address(r, &n->peer)) != RES_OK ||
		(res = read_settings(r, &n->settings)) != RES_OK ||
		(res = read_settings(r, &m->settings)) != RES_OK || (res = read_settings(r, &m->told)) != RES_OK)
		return res;
	n->since = read_u64(r);
	m->request_at = read_u64(r);
	m->idle_since = read_u64(r);
	m->startup_wait_max = read_u64(r);
	m->wait_max = read_u64(r);
	m->schema = read_u64(r);
	if ((res = read_credential(r, n)) != RES_OK || (res = read_statements(r, m)) != RES_OK)
		return res;
	m->asked = *r;
	if ((res = ask_check_names(r)) != RES_OK)
		return res;
	if (flags & MOVED_TLS && (res = read_tls(r, n)) != RES_OK)
		return res;
	return r->bad || reader_left(r) ? RES_PROTOCOL : RES_OK;
}

enum result move_read(const uint8_t *bytes, size_t len, struct newcomer **out)
{
	struct newcomer *n;
	struct reader r;
	enum result res;

	*out = NULL;
	if (len > MOVE_MAX)
		return RES_LIMIT;
	n = xcalloc(1, sizeof(*n));
	n->fd = -1;
	n->moved = xcalloc(1, sizeof(*n->moved));
	n->moved->bytes = xmalloc(len + 1);
	n->moved->len = len;
	memcpy(n->moved->bytes, bytes, len);
	r = reader_over(n->moved->bytes, len);
	res = read_all(&r, n, n->moved);
	n->protocol = n->moved->key.len == CANCEL_SECRET_LONG ? PROTOCOL_3_2 : PROTOCOL_3_0;
	if (res != RES_OK) {
		newcomer_free(&n);
		return res;
	}
	*out = n;
	return RES_OK;
}

/* ---- settling in ---- */

int move_worker(const struct newcomer *n, int n_workers)
{
	return session_cancel_worker(&n->moved->key) % n_workers;
}

static void take_statements(struct client *c, const struct moved *m)
{
	for (size_t i = 0; i < m->n_statements; i++) {
		const struct moved_statement *s = &m->statements[i];
		struct statement *st = statement_intern(&c->worker->statements, s->body, s->len, s->context);

		if (!st->scanned_for) { /* nobody has had it here */
			st->schema = s->schema;
			st->shape = s->text_shape;
		}
		extended_scan(c, st);
		if (!*s->name) {
			statement_unref(&c->unnamed);
			c->unnamed = statement_ref(st);
		} else if (!client_statements_find(&c->statements, s->name)) {
			struct client_statement *cs = client_statement_new(s->name, st);

			cs->parsed_at = s->parsed_at;
			cs->shape = s->shape;
			cs->is_confirmed = true;
			client_statements_add(&c->statements, cs);
		}
		statement_unref(&st);
	}
}

/* Numbers of schema changes are part of statements' ids: ours mustn't be given to other changes than these. */
static void raise_schema(struct limit_shared *database, uint64_t schema)
{
	uint64_t now = atomic_load(&database->schema);

	while (now < schema && !atomic_compare_exchange_weak(&database->schema, &now, schema))
		;
}

void move_adopt(struct worker *w, struct newcomer **np)
{
	struct newcomer *n = *np;
	struct moved *m = n->moved;
	struct client *c;

	n->moved = NULL;
	c = client_settle(w, np);
	session_key_keep(c, &m->key);
	raise_schema(c->pool->shared->by_database, m->schema);
	settings_share(&w->settings, &m->settings);
	settings_share(&w->settings, &m->told);
	client_set_settings(c, m->settings);
	client_set_told(c, m->told);
	c->mode = m->mode;
	c->is_tracked = m->is_tracked;
	take_statements(c, m);
	ask_take_names(c, m->asked);
	c->is_greeted = true;
	c->request_at = m->request_at;
	c->idle_since = m->idle_since;
	c->startup_wait_max = m->startup_wait_max;
	c->waiter.wait_max = m->wait_max;
	client_set_state(c, CLIENT_IDLE);
	if (w->is_suspended)
		client_pause(c, PAUSE_SUSPENDED);
	client_unpause(c, PAUSE_STATE);
	moved_free(&m);
}
