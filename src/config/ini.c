#include "config/ini.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY_SIZE 400

struct ini {
	ini_fn *fn;
	void *ctx;
	char *section;
	size_t bytes, files, depth;
	char *error;
	size_t error_size;
};

static bool read_path(struct ini *ini, const char *path, const char *from, int from_line);

static bool fail(struct ini *ini, const char *file, int line, const char *why)
{
	snprintf(ini->error, ini->error_size, "%s:%d: %s", file, line, why);
	return false;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static char *skip_blanks(char *p)
{
	while (is_blank(*p))
		p++;
	return p;
}

static void trim_end(char *s)
{
	size_t n = strlen(s);

	while (n > 0 && is_blank(s[n - 1]))
		s[--n] = '\0';
}

static bool is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		(c && strchr("_.-*", c));
}

/* The key at *p, unquoted in place and ended by NUL; *p moves to the = behind it. NULL: there is no such thing. */
static char *take_key(char **p)
{
	char *key = *p, *in = *p, *out;

	if (*in != '"') {
		while (is_key_char(*in))
			in++;
		out = in;
	} else {
		out = key;
		for (in++; *in && (*in != '"' || in[1] == '"'); in++) {
			in += *in == '"';
			*out++ = *in;
		}
		if (*in++ != '"')
			return NULL;
	}
	in = skip_blanks(in);
	if (out == key || *in != '=')
		return NULL;
	*p = in; /* out may be the = itself */
	*out = '\0';
	return key;
}

static bool start_section(struct ini *ini, struct ini_line *line, char *p, char *why)
{
	char *end = strchr(p, ']'), *rest;

	if (!end)
		return fail(ini, line->file, line->number, "a section must be written as [name]");
	rest = skip_blanks(end + 1);
	if (*rest && *rest != ';' && *rest != '#')
		return fail(ini, line->file, line->number, "there is text behind the section's name");
	free(ini->section);
	ini->section = xstrndup(p + 1, (size_t)(end - p - 1));
	line->section = ini->section;
	return ini->fn(ini->ctx, line, why, WHY_SIZE) || fail(ini, line->file, line->number, why);
}

static bool read_line(struct ini *ini, struct ini_line *line, char *p)
{
	char why[WHY_SIZE] = "";

	p = skip_blanks(p);
	trim_end(p);
	if (!*p || *p == ';' || *p == '#')
		return true;
	if (*p == '[')
		return start_section(ini, line, p, why);
	if (strncmp(p, "%include", 8) == 0 && (is_blank(p[8]) || !p[8])) {
		p = skip_blanks(p + 8);
		return *p ? read_path(ini, p, line->file, line->number)
			  : fail(ini, line->file, line->number, "%include needs the name of a file");
	}
	line->section = ini->section;
	line->key = take_key(&p);
	if (!line->key)
		return fail(ini, line->file, line->number,
			"expected [section], key = value or %include file (other characters in a key need \"double quotes\")");
	line->value = skip_blanks(p + 1);
	return ini->fn(ini->ctx, line, why, sizeof(why)) || fail(ini, line->file, line->number, why);
}

/* text is changed on the way and ends with a NUL at text[len] */
static bool read_lines(struct ini *ini, const char *name, char *text, size_t len)
{
	char *p = text, *end = text + len, *next;
	int number = 1;

	if (len >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) /* the byte order mark that some editors write */
		p += 3;
	for (; p < end; p = next, number++) {
		struct ini_line line = { .file = name, .number = number };
		char *eol = memchr(p, '\n', (size_t)(end - p));

		if (!eol)
			eol = end;
		next = eol + 1;
		*eol = '\0';
		if (eol - p > INI_LINE_MAX)
			return fail(ini, name, number, "the line is too long");
		if (strlen(p) != (size_t)(eol - p))
			return fail(ini, name, number, "there is a NUL byte in the line");
		if (!read_line(ini, &line, p))
			return false;
	}
	return true;
}

/* Says where the file was asked for: nowhere, or in a line of another one. */
static bool fail_file(struct ini *ini, const char *path, const char *from, int from_line, const char *what)
{
	if (from)
		snprintf(ini->error, ini->error_size, "%s:%d: cannot read \"%s\": %s", from, from_line, path, what);
	else
		snprintf(ini->error, ini->error_size, "cannot read \"%s\": %s", path, what);
	return false;
}

static bool read_path(struct ini *ini, const char *path, const char *from, int from_line)
{
	const char *what = "";
	char *text;
	size_t len;
	bool ok;

	if (ini->depth >= INI_DEPTH_MAX)
		return fail_file(ini, path, from, from_line, "%include is nested too deeply");
	if (ini->files >= INI_FILES_MAX)
		return fail_file(ini, path, from, from_line, "too many files are included");
	text = file_read(path, INI_TOTAL_MAX - ini->bytes, &len, &what);
	if (!text)
		return fail_file(ini, path, from, from_line, what);
	ini->files++;
	ini->bytes += len;
	ini->depth++;
	ok = read_lines(ini, path, text, len);
	ini->depth--;
	explicit_bzero(text, len); /* passwords */
	free(text);
	return ok;
}

bool ini_read_file(const char *path, ini_fn *fn, void *ctx, char *error, size_t error_size)
{
	struct ini ini = { .fn = fn, .ctx = ctx, .section = xstrdup(""), .error = error, .error_size = error_size };
	bool ok = read_path(&ini, path, NULL, 0);

	free(ini.section);
	return ok;
}

bool ini_read_text(
	const char *name, const char *text, size_t len, ini_fn *fn, void *ctx, char *error, size_t error_size)
{
	struct ini ini = { .fn = fn, .ctx = ctx, .section = xstrdup(""), .error = error, .error_size = error_size };
	char *copy;
	bool ok;

	if (len > INI_TOTAL_MAX) {
		free(ini.section);
		return fail_file(&ini, name, NULL, 0, "the configuration is too large");
	}
	ini.bytes = len;
	copy = xmalloc(len + 1); /* not xstrndup(): a NUL inside must be seen */
	memcpy(copy, text, len);
	copy[len] = '\0';
	ok = read_lines(&ini, name, copy, len);
	explicit_bzero(copy, len);
	free(copy);
	free(ini.section);
	return ok;
}
