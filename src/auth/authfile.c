#include "auth/authfile.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY_SIZE 400

struct reading {
	auth_line_fn *fn;
	void *ctx;
	size_t bytes, files;
	int depth;
	bool is_text; /* no file at all: includes are refused */
	char *error;
	size_t error_size;
};

/* Where we are: in a line of a file. */
struct place {
	const char *file;
	int line;
};

static bool read_lines(struct reading *r, const char *name, char *text, size_t len, auth_line_fn *fn, void *ctx);

static bool fail(struct reading *r, const struct place *at, const char *why)
{
	snprintf(r->error, r->error_size, "%s:%d: %s", at->file, at->line, why);
	return false;
}

bool auth_token_is(const struct auth_token *t, const char *keyword)
{
	return !t->is_quoted && strcmp(t->text, keyword) == 0;
}

void auth_field_free(struct auth_field *f)
{
	for (size_t i = 0; i < f->n; i++)
		secure_free(&f->tokens[i].text);
	free(f->tokens);
	*f = (struct auth_field){ 0 };
}

static void add_token(struct auth_field *f, const char *text, bool is_quoted)
{
	if ((f->n & (f->n - 1)) == 0) /* full at each power of two */
		f->tokens = xrealloc(f->tokens, (f->n ? f->n * 2 : 1) * sizeof(f->tokens[0]));
	f->tokens[f->n++] = (struct auth_token){ xstrdup(text), is_quoted };
}

static void free_line(struct auth_line *line)
{
	for (size_t i = 0; i < line->n; i++)
		auth_field_free(&line->fields[i]);
	free(line->fields);
}

/* --- other files -------------------------------------------------------------------------------- */

static char *path_beside(const char *file, const char *name)
{
	const char *slash = strrchr(file, '/');

	if (name[0] == '/' || !slash)
		return xstrdup(name);
	return xasprintf("%.*s/%s", (int)(slash - file), file, name);
}

static bool fail_file(struct reading *r, const struct place *from, const char *path, const char *what)
{
	if (from)
		snprintf(r->error, r->error_size, "%s:%d: cannot read \"%s\": %s", from->file, from->line,
			path, what);
	else
		snprintf(r->error, r->error_size, "cannot read \"%s\": %s", path, what);
	return false;
}

/* from is NULL for the first file. */
static bool read_path(struct reading *r, const struct place *from, const char *path, bool if_exists,
	auth_line_fn *fn, void *ctx)
{
	const char *why = "";
	char *text;
	size_t len;
	bool ok;

	if (r->depth >= AUTHFILE_DEPTH_MAX)
		return fail_file(r, from, path, "files are nested too deeply");
	if (r->files >= AUTHFILE_FILES_MAX)
		return fail_file(r, from, path, "too many files are included");
	text = file_read(path, AUTHFILE_TOTAL_MAX - r->bytes, &len, &why);
	if (!text)
		return (if_exists && errno == ENOENT) || fail_file(r, from, path, why);
	r->files++;
	r->bytes += len;
	r->depth++;
	ok = read_lines(r, path, text, len, fn, ctx);
	r->depth--;
	explicit_bzero(text, len); /* ldapbindpasswd */
	free(text);
	return ok;
}

/* name stands in the file at from. */
static bool read_beside(struct reading *r, const struct place *from, const char *name, bool if_exists,
	auth_line_fn *fn, void *ctx)
{
	char *path;
	bool ok;

	if (r->is_text)
		return fail(r, from, "other files can't be read from here");
	path = path_beside(from->file, name);
	ok = read_path(r, from, path, if_exists, fn, ctx);
	free(path);
	return ok;
}

static bool add_tokens_of_line(void *ctx, struct auth_line *line, char *why, size_t why_size)
{
	struct auth_field *f = ctx;

	(void)why, (void)why_size;
	for (size_t i = 0; i < line->n; i++) {
		for (size_t k = 0; k < line->fields[i].n; k++)
			add_token(f, line->fields[i].tokens[k].text, line->fields[i].tokens[k].is_quoted);
	}
	return true;
}

static int is_conf(const struct dirent *d)
{
	size_t len = strlen(d->d_name);

	return d->d_name[0] != '.' && len > 5 && strcmp(d->d_name + len - 5, ".conf") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name); /* not alphasort(), which asks the locale */
}

static bool read_folder(struct reading *r, const struct place *from, const char *name, auth_line_fn *fn, void *ctx)
{
	struct dirent **found = NULL;
	char *folder, *path;
	bool ok = true;
	int n;

	if (r->is_text)
		return fail(r, from, "other files can't be read from here");
	folder = path_beside(from->file, name);
	n = scandir(folder, &found, is_conf, by_name);
	if (n < 0)
		ok = fail_file(r, from, folder, strerrordesc_np(errno));
	for (int i = 0; i < n; i++) {
		path = xasprintf("%s/%s", folder, found[i]->d_name);
		ok = ok && read_path(r, from, path, false, fn, ctx);
		free(path);
		free(found[i]);
	}
	free(found);
	free(folder);
	return ok;
}

/* --- a line ------------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

enum token_end { TOKEN_NONE, TOKEN_ENDS_FIELD, TOKEN_BEFORE_COMMA, TOKEN_UNCLOSED };

/* The next token into out, which has room for the whole line. */
static enum token_end next_token(const char **at, char *out, bool *is_quoted)
{
	const char *p = *at;
	bool in_quote = false, was_quote = false;
	size_t n = 0;

	while (is_blank(*p) || *p == ',')
		p++;
	*is_quoted = *p == '"';
	for (; *p && (in_quote || !is_blank(*p)); p++) {
		if (*p == '"' && in_quote && p[1] == '"') {
			out[n++] = *p++;
		} else if (*p == '"') {
			in_quote = !in_quote;
			was_quote = true;
		} else if (!in_quote && (*p == ',' || *p == '#')) {
			break;
		} else {
			out[n++] = *p;
		}
	}
	out[n] = '\0';
	*at = *p == '#' ? p + strlen(p) : p;
	if (in_quote)
		return TOKEN_UNCLOSED;
	if (n == 0 && !was_quote)
		return TOKEN_NONE;
	return *p == ',' ? TOKEN_BEFORE_COMMA : TOKEN_ENDS_FIELD;
}

/* RES_MORE: the line has no field left. */
static enum result next_field(
	struct reading *r, const struct place *at, const char **pos, char *buf, struct auth_field *f)
{
	enum token_end end = TOKEN_BEFORE_COMMA;
	bool is_first = true, is_quoted;

	for (; end == TOKEN_BEFORE_COMMA; is_first = false) {
		end = next_token(pos, buf, &is_quoted);
		if (end == TOKEN_UNCLOSED) {
			fail(r, at, "unterminated quoted string");
			return RES_REFUSED;
		}
		if (end == TOKEN_NONE)
			return is_first ? RES_MORE : RES_OK;
		if (is_quoted || buf[0] != '@' || !buf[1])
			add_token(f, buf, is_quoted);
		else if (!read_beside(r, at, buf + 1, false, add_tokens_of_line, f))
			return RES_REFUSED;
	}
	return RES_OK;
}

static bool split(struct reading *r, struct auth_line *line, const char *text)
{
	struct place at = { line->file, line->number };
	size_t size = strlen(text) + 1;
	char *buf = xmalloc(size);
	enum result found = RES_OK;

	while (found == RES_OK) {
		struct auth_field f = { 0 };

		found = next_field(r, &at, &text, buf, &f);
		if (found != RES_OK) {
			auth_field_free(&f);
			break;
		}
		line->fields = xrealloc(line->fields, (line->n + 1) * sizeof(f));
		line->fields[line->n++] = f;
	}
	explicit_bzero(buf, size);
	free(buf);
	return found == RES_MORE;
}

/* Of a line of two words, the second, if the first is that directive. */
static const char *operand(const struct auth_line *line, const char *directive)
{
	if (line->n != 2 || line->fields[0].n != 1 || line->fields[1].n != 1 ||
		!auth_token_is(&line->fields[0].tokens[0], directive))
		return NULL;
	return line->fields[1].tokens[0].text;
}

static bool use_line(struct reading *r, struct auth_line *line, auth_line_fn *fn, void *ctx)
{
	struct place at = { line->file, line->number };
	char why[WHY_SIZE] = "";
	const char *name;

	if ((name = operand(line, "include")))
		return read_beside(r, &at, name, false, fn, ctx);
	if ((name = operand(line, "include_if_exists")))
		return read_beside(r, &at, name, true, fn, ctx);
	if ((name = operand(line, "include_dir")))
		return read_folder(r, &at, name, fn, ctx);
	return line->n == 0 || fn(ctx, line, why, sizeof(why)) || fail(r, &at, why);
}

static bool read_line(struct reading *r, const char *name, int number, const char *text, auth_line_fn *fn, void *ctx)
{
	struct auth_line line = { .file = name, .number = number };
	bool ok = split(r, &line, text) && use_line(r, &line, fn, ctx);

	free_line(&line);
	return ok;
}

/*
 * Ends the line at *p with a NUL, its continuations joined, and gives how many lines of the file it took; *p moves to the next.
 * text ends with a NUL of its own.
 */
static int take_line(char **p)
{
	char *in = *p, *out = *p;
	int lines = 1;

	for (; *in && *in != '\n'; in++) {
		size_t end = in[0] == '\\' ? (in[1] == '\r') + (size_t)1 : 0;

		if (end && in[end] == '\n') {
			in += end;
			lines++;
		} else {
			*out++ = *in;
		}
	}
	*p = *in ? in + 1 : in;
	*out = '\0';
	return lines;
}

static bool read_lines(struct reading *r, const char *name, char *text, size_t len, auth_line_fn *fn, void *ctx)
{
	struct place at = { name, 1 };
	char *p = text;
	int lines;

	for (size_t i = 0, n = strlen(text); i < n && n < len; i++)
		at.line += text[i] == '\n';
	if (strlen(text) < len)
		return fail(r, &at, "there is a NUL byte in the line");
	while (*p) {
		char *line = p;

		lines = take_line(&p);
		if (!read_line(r, name, at.line, line, fn, ctx))
			return false;
		at.line += lines;
	}
	return true;
}

bool authfile_read(const char *path, auth_line_fn *fn, void *ctx, char *error, size_t error_size)
{
	struct reading r = { .fn = fn, .ctx = ctx, .error = error, .error_size = error_size };

	return read_path(&r, NULL, path, false, fn, ctx);
}

bool authfile_read_text(const char *name, const char *text, size_t len, auth_line_fn *fn, void *ctx,
	char *error, size_t error_size)
{
	struct reading r = { .fn = fn, .ctx = ctx, .is_text = true, .error = error, .error_size = error_size };
	char *copy = xmalloc(len + 1);
	bool ok;

	if (len)
		memcpy(copy, text, len);
	copy[len] = '\0';
	ok = read_lines(&r, name, copy, len, fn, ctx);
	explicit_bzero(copy, len);
	free(copy);
	return ok;
}
