/*
 * utf8.h - names come from clients in any encoding; what goes to others as UTF-8 must be UTF-8.
 */
#ifndef PGWEIR_UTF8_H
#define PGWEIR_UTF8_H

#include "base/base.h"

/* The length of the well-formed character at s, which is ended by NUL; 0: none, or the NUL itself. No byte behind a NUL is read. */
static inline size_t utf8_char(const char *s)
{
	static const uint32_t least[] = { 0, 1, 0x80, 0x800, 0x10000 };
	const uint8_t *p = (const uint8_t *)s;
	size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	uint32_t c = len == 1 ? p[0] : p[0] & (0x7fu >> len);

	if (len > 1 && (p[0] < 0xc2 || p[0] > 0xf4))
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : len;
}

#endif
