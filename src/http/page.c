#include "http/page.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

/* The base64 of an element's content; the page has one of each. */
static void hash_element(const char *open, const char *close, char out[64])
{
	const unsigned char *end = page_html + page_html_len, *from, *to;
	uint8_t digest[SHA256_DIGEST_LENGTH];

	from = memmem(page_html, page_html_len, open, strlen(open));
	ASSERT(from);
	from += strlen(open);
	to = memmem(from, (size_t)(end - from), close, strlen(close));
	ASSERT(to);
	SHA256(from, (size_t)(to - from), digest);
	EVP_EncodeBlock((unsigned char *)out, digest, sizeof(digest));
}

const char *page_policy(void)
{
	static char policy[512]; /* the page is part of the program: it can't change */
	char script[64], style[64];

	if (*policy)
		return policy;
	hash_element("<script>", "</script>", script);
	hash_element("<style>", "</style>", style);
	snprintf(policy, sizeof(policy),
		"default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; connect-src 'self'; "
		"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		script, style);
	return policy;
}
