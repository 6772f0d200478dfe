#include "auth/saslprep.h"

#include <stdlib.h>
#include <string.h>
#include <stringprep.h>

#define NFKC_GROWTH 18 /* code points that one can become: U+FDFA (Unicode Standard Annex 15) */

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

#define MAX_STEPS 32

/*
 * libidn's profile with normalization last. RFC 4013 prohibits and checks directions in the normalized text,
 * PostgreSQL in what it normalizes (U+2135 ALEF SYMBOL would become a letter from right to left), and the
 * server's keys are made by it.
 */
static void make_profile(Stringprep_profile out[MAX_STEPS])
{
	const Stringprep_profile *step;
	size_t n = 0;

	for (step = stringprep_saslprep; step->operation; step++) {
		ASSERT(n < MAX_STEPS - 2);
		if (step->operation != STRINGPREP_NFKC)
			out[n++] = *step;
	}
	out[n++] = (Stringprep_profile){ .operation = STRINGPREP_NFKC };
	out[n] = (Stringprep_profile){ 0 };
}

char *saslprep(const char *password)
{
	Stringprep_profile profile[MAX_STEPS];
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
	make_profile(profile);
	points = xcalloc(cap, sizeof(*points));
	memcpy(points, in, in_len * sizeof(*points));
	n = in_len;
	if (stringprep_4i(points, &n, cap, STRINGPREP_NO_UNASSIGNED, profile) == STRINGPREP_OK && n > 0)
		out = stringprep_ucs4_to_utf8(points, (ssize_t)n, NULL, NULL);
	wipe_free(in, in_len);
	wipe_free(points, cap);
	return out;
}
