/*
 * The SQL lexer: blanks and comments in front change nothing, a cut text says so, and what it answers fits together.
 * The input's first byte chooses the options.
 */
#include "wire/sqlscan.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct scan_result scan_behind(
	const char *front, const uint8_t *data, size_t size, const struct scan_options *o)
{
	size_t n = strlen(front);
	char *exact = xmalloc(n + size); /* a byte too far is AddressSanitizer's */
	struct scan_result r;

	memcpy(exact, front, n);
	memcpy(exact + n, data, size);
	sqlscan(exact, n + size, o, &r);
	free(exact);
	return r;
}

static bool same(const struct scan_result *a, const struct scan_result *b)
{
	return a->flags == b->flags && a->statements == b->statements &&
		a->is_deallocate_all == b->is_deallocate_all && a->is_deallocate == b->is_deallocate &&
		a->makes == b->makes && !strcmp(a->name, b->name) && !strcmp(a->setting, b->setting);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const suspects[] = { "f", "my_func", NULL };
	static const char *const fronts[] = { " ", "\r\n\t", "-- '\n", "/* /* \" */ $$ */" };
	struct scan_options o = { 0 };
	struct scan_result r, other;

	if (size == 0)
		return 0;
	o.standard_conforming_strings = data[0] & 1;
	o.suspects = data[0] & 2 ? suspects : NULL;
	data++, size--;
	r = scan_behind("", data, size, &o);
	for (size_t i = 0; i < N_ELEMENTS(fronts); i++) {
		other = scan_behind(fronts[i], data, size, &o);
		ASSERT(same(&r, &other));
	}
	other = scan_behind("select 1;", data, size, &o);
	ASSERT((other.flags & r.flags) == r.flags && other.statements == r.statements + 1 && !other.is_deallocate);
	ASSERT(!r.is_deallocate || (r.statements == 1 && r.flags == SCAN_PREPARE) || (r.flags & SCAN_TEMP));
	ASSERT(r.is_deallocate || (!r.is_deallocate_all && !*r.name));
	ASSERT((r.makes & ~r.flags) == 0);
	ASSERT(!*r.setting || (r.statements == 1 && r.flags == SCAN_SET));
	ASSERT(memchr(r.setting, '\0', sizeof(r.setting)));
	ASSERT(memchr(r.name, '\0', sizeof(r.name)));
	ASSERT(!(r.flags & SCAN_TRUNCATED));
	o.is_truncated = true;
	other = scan_behind("", data, size, &o);
	ASSERT(other.flags == (r.flags | SCAN_TRUNCATED) && !other.is_deallocate);
	return 0;
}
