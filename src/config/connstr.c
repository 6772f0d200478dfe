#include "config/connstr.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

#define BLANKS " \t\r\n\v\f"

static bool fail(char *why, size_t size, const char *what, size_t column)
{
	snprintf(why, size, "%s at column %zu of the connection string", what, column);
	return false;
}

/* Unquotes in place; returns what is behind the closing quote, or NULL without one. */
static char *unquote(char *p)
{
	char *out = p;

	for (; *p; p++) {
		if (*p == '\'' && *++p != '\'') {
			*out = '\0'; /* at most the closing quote itself: p is behind it */
			return p;
		}
		*out++ = *p;
	}
	return NULL;
}

bool connstr_each(char *text, connstr_fn *fn, void *ctx, char *why, size_t why_size)
{
	char *p = text + strspn(text, BLANKS);

	while (*p) {
		char *key = p, *value, *key_end;
		size_t column = (size_t)(key - text) + 1;

		p += strcspn(p, "=" BLANKS);
		key_end = p;
		p += strspn(p, BLANKS);
		if (*p != '=' || key_end == key)
			return fail(why, why_size, "expected key=value", column);
		value = p + 1 + strspn(p + 1, BLANKS);
		*key_end = '\0';
		if (*value == '\'') {
			p = unquote(++value);
			if (!p)
				return fail(why, why_size, "unterminated quote in the value", column);
			if (*p && !strchr(BLANKS, *p))
				return fail(why, why_size, "text behind the quoted value", column);
		} else {
			p = value + strcspn(value, BLANKS);
			if (p == value)
				return fail(why, why_size, "a key without a value ('' is the empty one)", column);
			if (*p)
				*p++ = '\0';
		}
		p += strspn(p, BLANKS);
		if (!fn(ctx, key, value, column, why, why_size))
			return false;
	}
	return true;
}

bool connstr_is_uri(const char *text)
{
	return strncmp(text, "postgresql://", 13) == 0 || strncmp(text, "postgres://", 11) == 0;
}

/* Parameters of a URI that mean what a pair in a connection string means. */
static const char *const passed[] = { "application_name", "channel_binding", "client_encoding", "dbname",
	"host", "max_protocol_version", "password", "port", "sslcert", "sslkey", "sslmode", "sslnegotiation",
	"sslrootcert", "target_session_attrs", "user" };

/* Values of others that ask for nothing but what happens anyway. */
static const struct {
	const char *keyword, *value;
} harmless[] = {
	{ "gssencmode", "disable" },
	{ "gssencmode", "prefer" },
};

/* Values that may be shown: these can't hold a secret. */
static const char *const enumerations[] = { "gssencmode" };

static bool is_port(const char *s) /* or a list of them */
{
	return *s && strspn(s, "0123456789,") == strlen(s);
}

static bool take_parameter(const PQconninfoOption *o, connstr_fn *fn, void *ctx, char *why, size_t why_size)
{
	if (strcmp(o->keyword, "port") == 0 && !is_port(o->val)) { /* it may be the password's first half */
		snprintf(why, why_size,
			"bad URI: the port is not a number (in a password / is written %%2F, @ %%40, : %%3A and ? %%3F)");
		return false;
	}
	for (size_t i = 0; i < N_ELEMENTS(passed); i++)
		if (strcmp(o->keyword, passed[i]) == 0)
			return fn(ctx, o->keyword, o->val, 0, why, why_size);
	for (size_t i = 0; i < N_ELEMENTS(harmless); i++)
		if (strcmp(o->keyword, harmless[i].keyword) == 0 && strcmp(o->val, harmless[i].value) == 0)
			return true;
	for (size_t i = 0; i < N_ELEMENTS(enumerations); i++) {
		if (strcmp(o->keyword, enumerations[i]) == 0) {
			snprintf(why, why_size, "%s=%.20s in a URI is not supported yet by this version",
				o->keyword, o->val);
			return false;
		}
	}
	snprintf(why, why_size, "the parameter %s in a URI is not supported yet by this version", o->keyword);
	return false;
}

/* libpq quotes the URI, or a piece of it, at the end of its message: that may be the password. */
static void explain(const char *uri, const char *message, char *why, size_t why_size)
{
	static const char names_key[] = "invalid URI query parameter: ";
	const char *query = strchr(uri, '?'), *cut;
	bool is_safe = query && !strchr(query, '@'); /* else the ? may belong to the password */

	if (!message)
		message = "out of memory";
	cut = strstr(message, ": \"");
	if (is_safe && strncmp(message, names_key, sizeof(names_key) - 1) == 0)
		cut = NULL;
	if (!cut)
		cut = strchrnul(message, '\n');
	snprintf(why, why_size, "bad URI: %.*s", (int)MIN(cut - message, 200), message);
}

bool connstr_uri_each(const char *uri, connstr_fn *fn, void *ctx, char *why, size_t why_size)
{
	char *message = NULL;
	PQconninfoOption *options = PQconninfoParse(uri, &message);
	bool ok = options != NULL;

	if (!ok)
		explain(uri, message, why, why_size);
	PQfreemem(message);
	for (PQconninfoOption *o = options; ok && o->keyword; o++)
		if (o->val)
			ok = take_parameter(o, fn, ctx, why, why_size);
	for (PQconninfoOption *o = options; o && o->keyword; o++)
		if (o->val)
			explicit_bzero(o->val, strlen(o->val));
	PQconninfoFree(options);
	return ok;
}
