#include "auth/pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define COMPILED_MAX (1 << 20) /* bytes of a pattern's code: nested bounds multiply */
#define HEAP_KIB 4096

struct pattern {
	pcre2_code *code;
	pcre2_match_context *limits; /* only read by matches */
	uint32_t groups;
};

static pcre2_code *compile(const char *regex, int *e, size_t *at)
{
	pcre2_compile_context *limits = pcre2_compile_context_create(NULL);
	uint32_t options = PCRE2_UTF | PCRE2_DOTALL | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;
	size_t size = 0;
	pcre2_code *code;

	ASSERT(limits);
	code = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, options, e, at, limits);
	pcre2_compile_context_free(limits);
	if (!code)
		return NULL;
	pcre2_pattern_info(code, PCRE2_INFO_SIZE, &size);
	if (size <= COMPILED_MAX)
		return code;
	pcre2_code_free(code);
	*e = PCRE2_ERROR_NOMEMORY;
	return NULL;
}

struct pattern *pattern_new(const char *regex, char *why, size_t why_size)
{
	PCRE2_UCHAR text[160] = "";
	struct pattern *p;
	size_t at = 0;
	int e = 0;
	pcre2_code *code = compile(regex, &e, &at);

	if (!code) {
		pcre2_get_error_message(e, text, sizeof(text));
		snprintf(why, why_size, "invalid regular expression at byte %zu: %s", at + 1, (const char *)text);
		return NULL;
	}
	p = xcalloc(1, sizeof(*p));
	p->code = code;
	p->limits = pcre2_match_context_create(NULL);
	ASSERT(p->limits);
	pcre2_set_match_limit(p->limits, PATTERN_STEPS);
	pcre2_set_depth_limit(p->limits, PATTERN_STEPS);
	pcre2_set_heap_limit(p->limits, HEAP_KIB);
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &p->groups);
	return p;
}

void pattern_free(struct pattern **pp)
{
	struct pattern *p = *pp;

	*pp = NULL;
	if (!p)
		return;
	pcre2_match_context_free(p->limits);
	pcre2_code_free(p->code);
	free(p);
}

unsigned pattern_groups(const struct pattern *p)
{
	return p->groups;
}

static char *copy_group(pcre2_match_data *found, const char *name)
{
	const size_t *at = pcre2_get_ovector_pointer(found); /* pairs: the whole, the first group, .. */

	if (pcre2_get_ovector_count(found) < 2 || at[2] == PCRE2_UNSET || at[3] < at[2])
		return xstrdup("");
	return xstrndup(name + at[2], at[3] - at[2]);
}

enum pattern_result pattern_match(const struct pattern *p, const char *name, char **first_group)
{
	pcre2_match_data *found = pcre2_match_data_create_from_pattern(p->code, NULL);
	int n;

	ASSERT(found);
	n = pcre2_match(p->code, (PCRE2_SPTR)name, strlen(name), 0, 0, found, p->limits);
	if (n >= 0 && first_group)
		*first_group = copy_group(found, name);
	pcre2_match_data_free(found);
	return n >= 0 ? PATTERN_YES : n == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_UNDECIDED;
}
