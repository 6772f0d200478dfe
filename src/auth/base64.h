/*
 * base64.h - base64 as SCRAM has it: RFC 4648, padded, and nothing else.
 *
 * White space, missing padding, anything behind the padding and stray bits in the last digit are refused: a value has one
 * spelling. (EVP_DecodeBlock() trims blanks and counts padding as data, so that decoding is our own code.)
 */
#ifndef PGWEIR_BASE64_H
#define PGWEIR_BASE64_H

#include "base/base.h"

#define BASE64_LEN(n) (((n) + 2) / 3 * 4)

bool base64_decode(const uint8_t *text, size_t len, uint8_t *out, size_t cap, size_t *out_len); /* false also if cap is too small */
void base64_encode(const uint8_t *data, size_t len, char *out); /* BASE64_LEN(len) characters and a NUL */

#endif
