#include "auth/base64.h"

#include <openssl/evp.h>

/* Without a branch that depends on the digit, which the processor would guess wrong: half of them are secrets. */
static int digit_value(uint8_t c)
{
	unsigned upper = (unsigned)c - 'A', lower = (unsigned)c - 'a', digit = (unsigned)c - '0';
	unsigned value = (upper < 26) * (upper + 1) | (lower < 26) * (lower + 27) |
		(digit < 10) * (digit + 53) | (c == '+') * 63U | (c == '/') * 64U;

	return (int)value - 1;
}

bool base64_decode(const uint8_t *text, size_t len, uint8_t *out, size_t cap, size_t *out_len)
{
	size_t padding = 0, n = 0;
	uint32_t bits = 0;

	if (len % 4)
		return false;
	while (padding < 2 && len > 0 && text[len - 1] == '=')
		len--, padding++;
	if (len * 3 / 4 > cap)
		return false;
	for (size_t i = 0; i < len; i++) {
		int value = digit_value(text[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		if (i % 4) /* the 2nd, 3rd and 4th digit each complete a byte and leave 4, 2 and 0 bits */
			out[n++] = (uint8_t)(bits >> (6 - i % 4 * 2));
	}
	*out_len = n;
	return !(bits & (padding == 2 ? 0xf : padding == 1 ? 0x3 : 0));
}

void base64_encode(const uint8_t *data, size_t len, char *out)
{
	EVP_EncodeBlock((unsigned char *)out, data, (int)len);
}
