/*
 * utf8.h - how many bytes the next character of a text takes, where names may hold any bytes.
 *
 * Source: the Unicode Standard, table 3-7, "Well-Formed UTF-8 Byte Sequences".
 */
#ifndef PGWEIR_UTF8_H
#define PGWEIR_UTF8_H

#include "base/base.h"

#define UTF8_REPLACEMENT "\xef\xbf\xbd"

/* 1 to 4; 0: text[0] begins no character that is whole and well formed. len is at least 1. */
static inline size_t utf8_length(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;
	unsigned char low = 0x80, high = 0xbf;
	size_t n = s[0] < 0x80		       ? 1
		: s[0] >= 0xc2 && s[0] <= 0xdf ? 2
		: s[0] >= 0xe0 && s[0] <= 0xef ? 3
		: s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
					       : 0;

	if (n <= 1 || n > len)
		return n > len ? 0 : n;
	if (s[0] == 0xe0)
		low = 0xa0; /* else it would be an overlong form */
	else if (s[0] == 0xed)
		high = 0x9f; /* surrogates */
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f; /* beyond U+10FFFF */
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	return n;
}

#endif
