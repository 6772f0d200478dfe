/* Arbitrary rows of auth_query, and first lines of password files: what is taken is in the input, as it is there. */
#include "auth/auth_row.h"
#include "auth/password_read.h"

#include <string.h>

static void check_row(const uint8_t *data, size_t size)
{
	const char *why = NULL;
	char *secret;
	enum result r = auth_row_parse(reader_over(data, size), "bob", &secret, &why);

	ASSERT((r == RES_OK) == (secret != NULL) && (r == RES_OK || (r == RES_REFUSED && why)));
	if (!secret)
		return;
	/* 2 for the count, 4 + 3 for the name, 4 for the length: the rest is the secret, whole */
	ASSERT(size == 13 + strlen(secret) && memcmp(data + 2, "\0\0\0\3bob", 7) == 0);
	ASSERT(*secret && memcmp(data + 13, secret, strlen(secret)) == 0);
	secure_free(&secret);
}

static void check_line(const char *data, size_t size)
{
	char why[PASSWORD_ERROR_MAX] = "", *line = password_first_line(data, size, why);
	size_t n;

	ASSERT((line == NULL) == (*why != '\0'));
	if (!line)
		return;
	n = strlen(line);
	ASSERT(n && n <= CREDENTIAL_SECRET_MAX && n <= size && memcmp(data, line, n) == 0 && !strchr(line, '\n'));
	ASSERT(n == size || data[n] == '\n' || data[n] == '\r');
	secure_free(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_row(data, size);
	check_line((const char *)data, size);
	return 0;
}
