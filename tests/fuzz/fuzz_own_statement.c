/*
 * Statements about pgweir's own settings: what is taken for one begins like one (the quick look agrees), is still one with spaces around it, and isn't
 * with a second statement behind it.
 */
#include "wire/own_statement.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct own_statement s, again;
	char *more = xmalloc(size + 16);
	bool is_one = own_statement_parse((const char *)data, size, &s);

	ASSERT(is_one == (s.kind != OWN_NONE) && strlen(s.value) < OWN_VALUE_MAX);
	ASSERT(!is_one || own_statement_may_be(data, size));
	memcpy(more, " ", 1);
	memcpy(more + 1, data, size);
	memcpy(more + 1 + size, " ; \n", 4);
	ASSERT(own_statement_parse(more, size + 5, &again) == is_one);
	ASSERT(again.kind == s.kind && strcmp(again.value, s.value) == 0);
	memcpy(more + 1 + size, ";select 1", 9);
	ASSERT(!own_statement_parse(more, size + 10, &again));
	free(more);
	return 0;
}
