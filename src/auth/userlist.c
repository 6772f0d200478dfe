#include "auth/credential.h"

#include "auth/digest.h"
#include "base/table.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FIRST_READ (64 << 10)

struct user_entry {
	struct credential *credential; /* whose user is the key */
	UT_hash_handle hh;
};

struct userlist {
	unsigned refs;
	struct userlist_model model;
	struct user_entry *users;
};

struct userlist *userlist_empty(void)
{
	struct userlist *u = xcalloc(1, sizeof(*u));

	u->refs = 1;
	return u;
}

struct userlist *userlist_ref(struct userlist *u)
{
	__atomic_fetch_add(&u->refs, 1, __ATOMIC_RELAXED);
	return u;
}

void userlist_unref(struct userlist **up)
{
	struct userlist *u = *up;
	struct user_entry *e, *next;

	*up = NULL;
	if (!u || __atomic_sub_fetch(&u->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	HASH_ITER(hh, u->users, e, next) {
		HASH_DEL(u->users, e);
		credential_unref(&e->credential);
		free(e);
	}
	OPENSSL_cleanse(&u->model, sizeof(u->model));
	free(u);
}

static struct user_entry *find_entry(const struct userlist *u, const char *user)
{
	struct user_entry *e;

	HASH_FIND(hh, u->users, user, strlen(user), e);
	return e;
}

struct credential *userlist_find(const struct userlist *u, const char *user)
{
	struct user_entry *e = find_entry(u, user);

	return e ? e->credential : NULL;
}

const struct userlist_model *userlist_model(const struct userlist *u)
{
	return &u->model;
}

size_t userlist_count(const struct userlist *u)
{
	return HASH_COUNT(u->users);
}

void userlist_each(const struct userlist *u, void (*fn)(struct credential *c, void *arg), void *arg)
{
	for (struct user_entry *e = u->users; e; e = e->hh.next)
		fn(e->credential, arg);
}

static void put(struct userlist *u, struct credential *c)
{
	struct user_entry *e = find_entry(u, credential_user(c));

	if (e) { /* out first: the table's key is inside the credential that goes */
		HASH_DEL(u->users, e);
		credential_unref(&e->credential);
	} else {
		e = xcalloc(1, sizeof(*e));
	}
	e->credential = c;
	HASH_ADD_KEYPTR(hh, u->users, credential_user(c), strlen(credential_user(c)), e);
}

/* --- the file's text ---------------------------------------------------------------------------- */

struct parser {
	const char *pos, *end;
	unsigned line;
	const char *name; /* the file's */
	char *error;
	size_t error_size;
};

static bool fail(struct parser *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool fail(struct parser *p, const char *fmt, ...)
{
	char what[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(p->error, p->error_size, "%s:%u: %s", p->name, p->line, what);
	return false;
}

static void skip_line(struct parser *p)
{
	while (p->pos < p->end && *p->pos != '\n')
		p->pos++;
}

/* To the next line with something on it; false: the end. */
static bool skip_to_user(struct parser *p)
{
	for (; p->pos < p->end; p->pos++) {
		if (*p->pos == ';')
			skip_line(p);
		if (p->pos == p->end)
			break;
		if (*p->pos == '\n')
			p->line++;
		else if (!isspace((unsigned char)*p->pos))
			return true;
	}
	return false;
}

/* A string in quotes into out, which has room for max bytes and a NUL. The caller is at the opening quote. */
static bool parse_quoted(struct parser *p, char *out, const char *what, size_t max)
{
	size_t n = 0;

	for (p->pos++; p->pos < p->end && *p->pos != '\n'; p->pos++) {
		if (*p->pos == '"' && !(p->pos + 1 < p->end && p->pos[1] == '"')) {
			p->pos++;
			out[n] = '\0';
			return true;
		}
		if (n == max)
			return fail(p, "%s is longer than %zu bytes", what, max);
		if (!*p->pos)
			return fail(p, "%s contains a zero byte", what);
		if (*p->pos == '"')
			p->pos++; /* the first of two */
		out[n++] = *p->pos;
	}
	return fail(p, "%s has no closing quote", what);
}

static bool skip_to_secret(struct parser *p)
{
	while (p->pos < p->end && *p->pos != '\n' && *p->pos != '"')
		p->pos++;
	return p->pos < p->end && *p->pos == '"';
}

static bool parse_user(struct parser *p, char *user, char *secret)
{
	if (*p->pos != '"')
		return fail(p, "expected a user name in double quotes");
	if (!parse_quoted(p, user, "user name", USERLIST_NAME_MAX))
		return false;
	if (!skip_to_secret(p))
		return fail(p, "expected a secret in double quotes after the user name");
	if (!parse_quoted(p, secret, "secret", CREDENTIAL_SECRET_MAX))
		return false;
	skip_line(p);
	return true;
}

/* The old list's credential, if this is the same: its keys have been derived already. */
static struct credential *make_credential(const struct userlist *old, const char *user, const char *secret)
{
	struct credential *c = credential_new(user, secret);
	struct credential *was = old ? userlist_find(old, user) : NULL;

	if (was && credential_same(c, was)) {
		credential_unref(&c);
		c = credential_ref(was);
	}
	return c;
}

/* The smallest hash counts: another user's line changes it seldom. */
static void add_to_model(struct userlist_model *m, const struct credential *c)
{
	char *text = xasprintf("mock %s %s", credential_user(c), credential_secret(c));
	struct scram_secret secret;
	uint8_t key[SCRAM_KEY_SIZE];

	sha256(text, strlen(text), key);
	secure_free(&text);
	if ((m->iterations && memcmp(key, m->key, sizeof(key)) >= 0) ||
		!scram_secret_parse(credential_secret(c), &secret))
		return;
	memcpy(m->key, key, sizeof(key));
	m->iterations = secret.iterations;
	OPENSSL_cleanse(&secret, sizeof(secret));
}

static void make_model(struct userlist *u)
{
	size_t scram = 0, others = 0;

	for (const struct user_entry *e = u->users; e; e = e->hh.next) {
		switch (credential_kind(e->credential)) {
		case SECRET_NONE: break;
		case SECRET_PLAIN:
		case SECRET_MD5: others++; break;
		case SECRET_SCRAM:
			scram++;
			add_to_model(&u->model, e->credential);
			break;
		}
	}
	u->model.is_mostly_scram = scram > others;
}

struct userlist *userlist_parse(const char *text, size_t len, const char *name, const struct userlist *old,
	char *error, size_t error_size)
{
	struct parser p = { text, text + len, 1, name, error, error_size };
	struct userlist *u = userlist_empty();
	char user[USERLIST_NAME_MAX + 1], *secret = xmalloc(CREDENTIAL_SECRET_MAX + 1);
	bool ok = true;

	while (ok && skip_to_user(&p)) {
		ok = parse_user(&p, user, secret);
		if (ok)
			put(u, make_credential(old, user, secret));
	}
	explicit_bzero(secret, CREDENTIAL_SECRET_MAX + 1);
	free(secret);
	make_model(u);
	if (!ok)
		userlist_unref(&u);
	return u;
}

/* --- the file ----------------------------------------------------------------------------------- */

struct text {
	char *data;
	size_t len, cap;
};

static void text_wipe(struct text *t)
{
	if (t->data)
		explicit_bzero(t->data, t->cap);
	free(t->data);
	*t = (struct text){ 0 };
}

static void text_grow(struct text *t) /* not by xrealloc(): it would leave secrets in the block it frees */
{
	struct text bigger = { .len = t->len, .cap = MAX(t->cap * 2, FIRST_READ) };

	bigger.data = xmalloc(bigger.cap);
	if (t->len)
		memcpy(bigger.data, t->data, t->len);
	text_wipe(t);
	*t = bigger;
}

static bool read_all(int fd, struct text *t, const char **why)
{
	ssize_t n;

	do {
		if (t->len == t->cap)
			text_grow(t);
		n = read(fd, t->data + t->len, t->cap - t->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			*why = strerrordesc_np(errno);
			return false;
		}
		t->len += (size_t)n;
		if (t->len > USERLIST_FILE_MAX) {
			*why = "file is too big";
			return false;
		}
	} while (n != 0);
	return true;
}

struct userlist *userlist_load(const char *path, const struct userlist *old, char *error, size_t error_size)
{
	struct text t = { 0 };
	struct userlist *u = NULL;
	const char *why;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		snprintf(error, error_size, "%s: could not open file: %s", path, strerrordesc_np(errno));
		return NULL;
	}
	if (read_all(fd, &t, &why))
		u = userlist_parse(t.data, t.len, path, old, error, error_size);
	else
		snprintf(error, error_size, "%s: could not read file: %s", path, why);
	close(fd);
	text_wipe(&t);
	return u;
}
