/*
 * fuzz_hba - any bytes as an HBA file, or as an ident file.
 *
 * It claims: an error names the file and a line that it has; who is let in by which rule doesn't depend on where lines are
 * continued; a rule in front that fits everybody decides, and rules behind the one that decided don't; other files are never
 * opened.
 */
#include "auth/hba.h"
#include "auth/ident.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAMES "local all all reject\nhost all all all reject\n"
#define N_CLIENTS 24

struct text {
	char *bytes;
	size_t len;
};

static struct text join(const char *front, const struct text *t, const char *behind)
{
	struct text out = { xmalloc(strlen(front) + t->len + strlen(behind) + 1), 0 };
	const struct text parts[] = { { (char *)(uintptr_t)front, strlen(front) }, *t,
		{ (char *)(uintptr_t)behind, strlen(behind) } };

	for (size_t i = 0; i < N_ELEMENTS(parts); i++) {
		if (parts[i].len)
			memcpy(out.bytes + out.len, parts[i].bytes, parts[i].len);
		out.len += parts[i].len;
	}
	return out;
}

static struct hba *parse(const struct text *t, char *error, size_t size)
{
	struct hba_interface interface;

	ASSERT(address_numeric(&interface.address, "10.0.0.1", 0));
	ASSERT(address_numeric(&interface.mask, "255.0.0.0", 0));
	return hba_parse("fuzz", t->bytes, t->len, &interface, 1, error, size);
}

/* The line of the rule for each of some clients; 0: none. */
static void ask(const struct hba *h, int lines[N_CLIENTS])
{
	static const char *const addresses[] = { NULL, "10.0.0.1", "10.1.2.3", "192.168.0.1", "::1", "2001:db8::1" };
	static const char *const names[] = { "app", "bob" };
	struct address a;

	for (size_t i = 0; i < N_CLIENTS; i++) {
		const char *address = addresses[i % 6];
		struct hba_client c = { names[i / 6 % 2], names[1], &a, i >= 12, false };
		const struct hba_rule *r;

		memset(&a, 0, sizeof(a));
		if (address)
			ASSERT(address_numeric(&a, address, 1));
		else
			a.sa.sa_family = AF_UNIX;
		r = hba_match(h, &c);
		ASSERT(!r || strcmp(r->file, "fuzz") == 0);
		lines[i] = r ? r->line : 0;
	}
}

static void check_error(const char *error, const struct text *t)
{
	size_t lines = 1;
	unsigned long line;
	char *rest;

	ASSERT(strncmp(error, "fuzz:", 5) == 0);
	for (size_t i = 0; i < t->len; i++)
		lines += t->bytes[i] == '\n';
	line = strtoul(error + 5, &rest, 10);
	ASSERT(line >= 1 && line <= lines && *rest == ':');
}

/* A continuation may stand anywhere but behind another backslash, or inside a line's end. */
static bool may_cut(const struct text *t, size_t at)
{
	return (at < 1 || t->bytes[at - 1] != '\\') &&
		(at < 2 || t->bytes[at - 2] != '\\' || t->bytes[at - 1] != '\r');
}

static void check_continuation(const struct hba *h, const struct text *t, size_t at)
{
	const struct text front = { t->bytes, at }, behind = { t->bytes + at, t->len - at };
	int want[N_CLIENTS], got[N_CLIENTS];
	struct text half = join("", &front, "\\\n"), whole = { xmalloc(half.len + behind.len + 1), 0 };
	char error[512];
	struct hba *cut;

	memcpy(whole.bytes, half.bytes, half.len);
	if (behind.len)
		memcpy(whole.bytes + half.len, behind.bytes, behind.len);
	whole.len = half.len + behind.len;
	cut = parse(&whole, error, sizeof(error));
	ASSERT(cut && hba_count(cut) == hba_count(h));
	ask(h, want);
	ask(cut, got);
	for (size_t i = 0; i < N_CLIENTS; i++)
		ASSERT(got[i] == want[i] || got[i] == want[i] + 1); /* one line more above it */
	hba_free(&cut);
	free(half.bytes);
	free(whole.bytes);
}

static void check_order(const struct hba *h, const struct text *t)
{
	int want[N_CLIENTS], in_front[N_CLIENTS], behind[N_CLIENTS];
	struct text with_front = join(NAMES, t, ""), with_behind = join("", t, "\n" NAMES);
	char error[512];
	struct hba *front = parse(&with_front, error, sizeof(error)),
		   *back = parse(&with_behind, error, sizeof(error));

	ASSERT(front && hba_count(front) == hba_count(h) + 2);
	ask(front, in_front);
	for (size_t i = 0; i < N_CLIENTS; i++)
		ASSERT(in_front[i] == (i % 6 ? 2 : 1));
	ask(h, want);
	if (back) { /* a last line that ends with a backslash goes on in ours */
		ask(back, behind);
		for (size_t i = 0; i < N_CLIENTS; i++)
			ASSERT(want[i] == 0 || behind[i] == want[i]);
	}
	hba_free(&front);
	hba_free(&back);
	free(with_front.bytes);
	free(with_behind.bytes);
}

static void run_hba(const struct text *t, size_t cut)
{
	char error[512] = "";
	struct hba *h = parse(t, error, sizeof(error));

	if (!h) {
		check_error(error, t);
		return;
	}
	if (may_cut(t, cut))
		check_continuation(h, t, cut);
	check_order(h, t);
	hba_free(&h);
}

static void run_ident(const struct text *t)
{
	char error[512] = "";
	struct ident *i = ident_parse("fuzz", t->bytes, t->len, error, sizeof(error));

	if (!i) {
		check_error(error, t);
		return;
	}
	ASSERT(ident_allows(i, NULL, "bob", "bob") && !ident_allows(i, NULL, "bob", "eve"));
	(void)ident_allows(i, "m", "bob", "bob");
	(void)ident_allows(i, "m", "bob@example.com", "bob");
	ASSERT(!ident_allows(i, "no such map", "bob", "bob") || memmem(t->bytes, t->len, "no such map", 11));
	ident_free(&i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text t;

	if (size < 2)
		return 0;
	t = (struct text){ (char *)(uintptr_t)(data + 2), size - 2 };
	if (data[0] == 'i')
		run_ident(&t);
	else
		run_hba(&t, t.len ? data[1] % t.len : 0);
	return 0;
}
