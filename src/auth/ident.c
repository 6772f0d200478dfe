#include "auth/ident.h"

#include "auth/pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_GROUP "\\1"

struct name { /* text, unless there is a pattern */
	char *text;
	struct pattern *pattern;
};

struct mapping {
	char *map;
	struct name system_name, user;
	bool is_all;
};

struct ident {
	struct mapping *mappings;
	size_t n;
};

static void free_name(struct name *n)
{
	free(n->text);
	pattern_free(&n->pattern);
}

void ident_free(struct ident **ip)
{
	struct ident *i = *ip;

	*ip = NULL;
	if (!i)
		return;
	for (size_t k = 0; k < i->n; k++) {
		free(i->mappings[k].map);
		free_name(&i->mappings[k].system_name);
		free_name(&i->mappings[k].user);
	}
	free(i->mappings);
	free(i);
}

/* --- the file ----------------------------------------------------------------------------------- */

static bool refuse(char *why, size_t why_size, const char *what)
{
	snprintf(why, why_size, "%s", what);
	return false;
}

static bool read_name(const struct auth_token *t, struct name *out, char *why, size_t why_size)
{
	out->text = xstrdup(t->text);
	if (t->text[0] == '/')
		out->pattern = pattern_new(t->text + 1, why, why_size);
	return t->text[0] != '/' || out->pattern;
}

static bool check_group(const struct mapping *m, char *why, size_t why_size)
{
	if (m->system_name.pattern && !m->user.pattern && strstr(m->user.text, FIRST_GROUP) &&
		pattern_groups(m->system_name.pattern) == 0)
		return refuse(why, why_size, "the regular expression has no group for \\1");
	return true;
}

static struct mapping *add_mapping(struct ident *i)
{
	if ((i->n & (i->n - 1)) == 0) /* full at each power of two */
		i->mappings = xrealloc(i->mappings, (i->n ? i->n * 2 : 1) * sizeof(i->mappings[0]));
	memset(&i->mappings[i->n], 0, sizeof(i->mappings[0]));
	return &i->mappings[i->n++];
}

static bool ident_line(void *ctx, struct auth_line *line, char *why, size_t why_size)
{
	struct ident *i = ctx;
	const struct auth_token *user;
	struct mapping *m;

	if (i->n == IDENT_LINES_MAX)
		return refuse(why, why_size, "there are too many lines");
	if (line->n != 3)
		return refuse(why, why_size, "expected a map, a system's name and a user");
	for (size_t k = 0; k < line->n; k++) {
		if (line->fields[k].n != 1)
			return refuse(why, why_size, "multiple values in ident field");
	}
	m = add_mapping(i);
	m->map = xstrdup(line->fields[0].tokens[0].text);
	user = &line->fields[2].tokens[0];
	m->is_all = auth_token_is(user, "all");
	if (!user->is_quoted && user->text[0] == '+')
		return refuse(why, why_size, "+role needs PostgreSQL's roles, which are not known here");
	return read_name(&line->fields[1].tokens[0], &m->system_name, why, why_size) &&
		read_name(user, &m->user, why, why_size) && check_group(m, why, why_size);
}

struct ident *ident_load(const char *path, char *error, size_t error_size)
{
	struct ident *i = xcalloc(1, sizeof(*i));

	if (!authfile_read(path, ident_line, i, error, error_size))
		ident_free(&i);
	return i;
}

struct ident *ident_parse(const char *name, const char *text, size_t len, char *error, size_t error_size)
{
	struct ident *i = xcalloc(1, sizeof(*i));

	if (!authfile_read_text(name, text, len, ident_line, i, error, error_size))
		ident_free(&i);
	return i;
}

/* --- asking ------------------------------------------------------------------------------------- */

static bool user_is(const struct mapping *m, const char *first_group, const char *user)
{
	const char *at = first_group ? strstr(m->user.text, FIRST_GROUP) : NULL;
	char *name;
	bool is_same;

	if (m->is_all)
		return true;
	if (m->user.pattern)
		return pattern_match(m->user.pattern, user, NULL) == PATTERN_YES;
	if (!at)
		return strcmp(m->user.text, user) == 0;
	name = xasprintf("%.*s%s%s", (int)(at - m->user.text), m->user.text, first_group,
		at + sizeof(FIRST_GROUP) - 1);
	is_same = strcmp(name, user) == 0;
	free(name);
	return is_same;
}

static bool mapping_allows(const struct mapping *m, const char *system_name, const char *user)
{
	char *first_group = NULL;
	bool ok;

	if (!m->system_name.pattern)
		return strcmp(m->system_name.text, system_name) == 0 && user_is(m, NULL, user);
	ok = pattern_match(m->system_name.pattern, system_name, &first_group) == PATTERN_YES &&
		user_is(m, first_group, user);
	free(first_group);
	return ok;
}

bool ident_allows(const struct ident *i, const char *map, const char *system_name, const char *user)
{
	if (!map || !*map)
		return strcmp(system_name, user) == 0;
	for (size_t k = 0; i && k < i->n; k++) {
		if (strcmp(i->mappings[k].map, map) == 0 && mapping_allows(&i->mappings[k], system_name, user))
			return true;
	}
	return false;
}
