/*
 * A duration: what is read is within bounds, is the same behind spaces, and is what it is shown as. Nothing that isn't of the form is taken.
 */
#include "wire/duration.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xcalloc(1, size + 1), *spaced, shown[DURATION_TEXT_MAX];
	usec_t got = 1, again = 2;

	memcpy(text, data, size);
	spaced = xasprintf(" %s\t", text);
	if (duration_parse(text, &got)) {
		ASSERT(got <= DURATION_MAX && strpbrk(text, "0123456789"));
		ASSERT(strspn(text, "0123456789.+usmindh \t\n\v\f\r") == strlen(text));
		ASSERT(duration_parse(spaced, &again) && again == got);
		duration_text(got, shown);
		ASSERT(duration_parse(shown, &again) && again == got);
	} else {
		ASSERT(got == 1 && !duration_parse(spaced, &again));
	}
	free(spaced);
	free(text);
	return 0;
}
