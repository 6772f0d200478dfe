#include "auth/saslprep.h"

#include <stdlib.h>
#include <string.h>
#include <stringprep.h>

#define NFKC_GROWTH 18 /* code points that one can become: U+FDFA (Unicode Standard Annex 15, "Normalization Forms") */

static bool is_ascii(const char *s)
{
	while (*s && (unsigned char)*s < 0x80)
		s++;
	return !*s;
}

static void wipe_free(uint32_t *points, size_t n)
{
	if (points)
		explicit_bzero(points, n * sizeof(*points));
	free(points);
}

char *saslprep(const char *password)
{
	size_t n, in_len, cap;
	uint32_t *in, *points;
	char *out = NULL;

	if (is_ascii(password) || strlen(password) > SASLPREP_MAX)
		return NULL; /* ASCII maps to itself, or is refused */
	in = stringprep_utf8_to_ucs4(password, -1, &in_len);
	if (!in)
		return NULL;
	/* Not stringprep(): that one starts over with 50 code points more until the result fits. */
	cap = in_len * NFKC_GROWTH + 1;
	points = xcalloc(cap, sizeof(*points));
	memcpy(points, in, in_len * sizeof(*points));
	n = in_len;
	if (stringprep_4i(points, &n, cap, STRINGPREP_NO_UNASSIGNED, stringprep_saslprep) == STRINGPREP_OK && n > 0)
		out = stringprep_ucs4_to_utf8(points, (ssize_t)n, NULL, NULL);
	wipe_free(in, in_len);
	wipe_free(points, cap);
	return out;
}
