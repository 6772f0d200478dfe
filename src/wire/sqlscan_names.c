/* sqlscan_names.c - what the lexer's flags are called, and the names that it is told to look for. */
#include "wire/sqlscan.h"

#include <stdlib.h>
#include <string.h>

static char fold(char c) /* ASCII only, as PostgreSQL folds */
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

const char *scan_kind(unsigned flags)
{
	static const struct {
		unsigned flag;
		const char *kind;
	} kinds[] = {
		{ SCAN_LISTEN, "LISTEN" },
		{ SCAN_TEMP, "temporary object" },
		{ SCAN_PREPARE, "PREPARE" },
		{ SCAN_HOLD, "DECLARE WITH HOLD" },
		{ SCAN_LOAD, "LOAD" },
		{ SCAN_ADVISORY, "advisory lock" },
		{ SCAN_SEQUENCE, "currval or lastval" },
		{ SCAN_OPAQUE, "DO or CALL" },
		{ SCAN_SUSPECT, "suspect function" },
		{ SCAN_DISCARD, "DISCARD" },
		{ SCAN_SET, "SET" },
		{ SCAN_TRUNCATED, "long statement" },
	};

	for (size_t i = 0; i < N_ELEMENTS(kinds); i++)
		if (flags & kinds[i].flag)
			return kinds[i].kind;
	return "other";
}

const char **scan_suspects(const char *list)
{
	size_t n = 1, len = strlen(list), count = 0;
	const char **names;
	char *p;

	for (const char *c = list; *c; c++)
		n += *c == ',';
	names = xcalloc(1, (n + 1) * sizeof(*names) + len + 1);
	p = memcpy(&names[n + 1], list, len + 1);
	while (p) {
		char *item = strsep(&p, ","), *out = item, *name = item;

		for (const char *c = item; *c; c++) {
			if (*c == '.')
				out = name;
			else if (*c != '"' && !strchr(" \t\n\r\f\v", *c))
				*out++ = fold(*c);
		}
		*out = '\0';
		if (*name)
			names[count++] = name;
	}
	if (count)
		return names;
	free(names);
	return NULL;
}
