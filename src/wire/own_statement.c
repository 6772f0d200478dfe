#include "wire/own_statement.h"

#include <string.h>
#include <strings.h>

struct text {
	const char *pos, *end;
};

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
		c == '.' || c == '$' || (unsigned char)c >= 0x80;
}

static void skip_space(struct text *t)
{
	while (t->pos < t->end && is_space(*t->pos))
		t->pos++;
}

/* The word here is this one, in any case. */
static bool word(struct text *t, const char *want)
{
	size_t len = 0;

	while (t->pos + len < t->end && is_word(t->pos[len]))
		len++;
	if (len != strlen(want) || strncasecmp(t->pos, want, len) != 0)
		return false;
	t->pos += len;
	skip_space(t);
	return true;
}

/* Nothing but a semicolon may follow. */
static bool at_end(struct text *t)
{
	skip_space(t);
	while (t->pos < t->end && *t->pos == ';') {
		t->pos++;
		skip_space(t);
	}
	return t->pos == t->end;
}

static void add(struct own_statement *out, size_t *n, char c)
{
	if (*n < OWN_VALUE_MAX - 1)
		out->value[(*n)++] = c;
}

/* '..' with doubled quotes; a backslash may or may not be one, so it is PostgreSQL's to decide. */
static bool quoted(struct text *t, struct own_statement *out)
{
	size_t n = 0;

	for (t->pos++; t->pos < t->end; t->pos++) {
		if (*t->pos == '\\' || !*t->pos)
			return false;
		if (*t->pos == '\'' && (t->end - t->pos < 2 || t->pos[1] != '\'')) {
			t->pos++;
			return true;
		}
		t->pos += *t->pos == '\'';
		add(out, &n, *t->pos);
	}
	return false;
}

static bool bare(struct text *t, struct own_statement *out)
{
	size_t n = 0;

	while (t->pos < t->end && (is_word(*t->pos) || (!n && (*t->pos == '-' || *t->pos == '+'))))
		add(out, &n, *t->pos++);
	return n > 0;
}

static bool set(struct text *t, struct own_statement *out)
{
	if (word(t, "pgweir.query_wait"))
		out->kind = OWN_SET_QUERY_WAIT;
	else if (word(t, "pgweir.last_wait") || word(t, "pgweir.server"))
		out->kind = OWN_SET_READ_ONLY;
	else
		return false;
	if (t->pos < t->end && *t->pos == '=') {
		t->pos++;
		skip_space(t);
	} else if (!word(t, "to")) {
		return false;
	}
	if (t->pos == t->end || !(*t->pos == '\'' ? quoted(t, out) : bare(t, out)))
		return false;
	if (out->kind == OWN_SET_QUERY_WAIT && strcasecmp(out->value, "default") == 0 && t->pos[-1] != '\'')
		out->kind = OWN_RESET_QUERY_WAIT;
	return true;
}

static bool show(struct text *t, struct own_statement *out)
{
	if (word(t, "pgweir.last_wait"))
		out->kind = OWN_SHOW_LAST_WAIT;
	else if (word(t, "pgweir.query_wait"))
		out->kind = OWN_SHOW_QUERY_WAIT;
	else if (word(t, "pgweir.server"))
		out->kind = OWN_SHOW_SERVER;
	return out->kind != OWN_NONE;
}

static bool reset(struct text *t, struct own_statement *out)
{
	if (word(t, "pgweir.query_wait"))
		out->kind = OWN_RESET_QUERY_WAIT;
	else if (word(t, "pgweir.last_wait") || word(t, "pgweir.server"))
		out->kind = OWN_SET_READ_ONLY;
	else if (word(t, "all"))
		out->kind = OWN_RESET_ALL;
	return out->kind != OWN_NONE;
}

static bool statement(struct text *t, struct own_statement *out)
{
	skip_space(t);
	if (word(t, "show"))
		return show(t, out);
	if (word(t, "reset"))
		return reset(t, out);
	if (!word(t, "set"))
		return false;
	word(t, "session");
	return set(t, out);
}

bool own_statement_parse(const char *sql, size_t len, struct own_statement *out)
{
	struct text t = { sql, sql + len };

	memset(out, 0, sizeof(*out));
	if (statement(&t, out) && at_end(&t))
		return true;
	memset(out, 0, sizeof(*out));
	return false;
}
