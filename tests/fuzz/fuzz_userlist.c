/*
 * fuzz_userlist - any bytes as a userlist.
 *
 * It claims: a list printed in canonical form parses to the same list, a reload of the same text keeps every
 * credential, and an error names the file and a line that it has.
 */
#include "auth/credential_private.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print_quoted(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		if (*s == '"')
			fputc('"', f);
		fputc(*s, f);
	}
	fputc('"', f);
}

static void print_user(struct credential *c, void *arg)
{
	FILE *f = arg;

	print_quoted(f, credential_user(c));
	fputc(' ', f);
	print_quoted(f, credential_secret(c));
	fputc('\n', f);
}

static void assert_is_same_object(struct credential *c, void *arg)
{
	ASSERT(userlist_find(arg, credential_user(c)) == c);
}

static void assert_is_equal(struct credential *c, void *arg)
{
	struct credential *other = userlist_find(arg, credential_user(c));

	ASSERT(other && other != c && credential_same(c, other) && credential_kind(c) == credential_kind(other));
}

static void reparse(const struct userlist *u, const char *text, size_t len)
{
	char error[256];
	struct userlist *fresh = userlist_parse(text, len, "printed", NULL, error, sizeof(error));
	struct userlist *reloaded = userlist_parse(text, len, "printed", u, error, sizeof(error));

	ASSERT(fresh && userlist_count(fresh) == userlist_count(u));
	ASSERT(reloaded && userlist_count(reloaded) == userlist_count(u));
	userlist_each(u, assert_is_equal, fresh);
	userlist_each(u, assert_is_same_object, reloaded);
	userlist_unref(&fresh);
	userlist_unref(&reloaded);
}

static void check_error(const char *error, const uint8_t *data, size_t size)
{
	size_t lines = 1;
	unsigned long line;
	char *rest;

	ASSERT(!strncmp(error, "fuzz:", 5));
	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	line = strtoul(error + 5, &rest, 10);
	ASSERT(line >= 1 && line <= lines && *rest == ':');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[256], *text = NULL;
	size_t len;
	struct userlist *u = userlist_parse((const char *)data, size, "fuzz", NULL, error, sizeof(error));
	FILE *f;

	if (!u) {
		check_error(error, data, size);
		return 0;
	}
	f = open_memstream(&text, &len);
	ASSERT(f);
	userlist_each(u, print_user, f);
	ASSERT(!fclose(f));
	reparse(u, text, len);
	free(text);
	userlist_unref(&u);
	return 0;
}
