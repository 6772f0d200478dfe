/*
 * pattern.h - regular expressions over names that strangers choose, by PCRE2.
 *
 * PostgreSQL's own dialect isn't in any library. PCRE2 reads what HBA and ident files use of it (\d, \w, classes, bounds, groups,
 * alternatives, non-greedy quantifiers); \m, \M, \y and [[:<:]] mean nothing to it. Patterns and names are UTF-8; a dot matches
 * any character, a dollar only the very end.
 * Limits:    a match stops after PATTERN_STEPS, so that no name makes a login expensive.
 * Errors:    pattern_new() gives NULL and the library's text. What can't be decided (steps, a name that isn't UTF-8) is
 *            PATTERN_UNDECIDED, which callers must take for a refusal: it may have been the rule that rejects.
 * Ownership: immutable once made. Threads: any.
 */
#ifndef PGWEIR_PATTERN_H
#define PGWEIR_PATTERN_H

#include "base/base.h"

#define PATTERN_STEPS 100000

struct pattern;

enum pattern_result { PATTERN_NO, PATTERN_YES, PATTERN_UNDECIDED };

struct pattern *pattern_new(const char *regex, char *why, size_t why_size);
void pattern_free(struct pattern **p); /* NULL inside is fine */
unsigned pattern_groups(const struct pattern *p);
/*
 * Anywhere in name, unless the expression has anchors. first_group may be NULL; else it gets what the first group matched ("" if
 * it took no part), the caller's to free, where the result is PATTERN_YES.
 */
enum pattern_result pattern_match(const struct pattern *p, const char *name, char **first_group);

#endif
