/*
 * duration.h - a time as PostgreSQL's settings have it: "2s", "1.5 min", "250", where a number alone is milliseconds.
 *
 * Limits: what PostgreSQL's own timeouts hold: 2147483647 ms. Finer than a microsecond is rounded. A number is decimal: no exponent, no
 *         hexadecimal, which PostgreSQL would take, too.
 * Source: PostgreSQL's manual, "Parameter Names and Values"; convert_to_base_unit() in src/backend/utils/misc/guc.c.
 */
#ifndef PGWEIR_DURATION_H
#define PGWEIR_DURATION_H

#include "base/base.h"

#define DURATION_MAX (UINT64_C(2147483647) * USEC_PER_MSEC)
#define DURATION_TEXT_MAX 24
#define DURATION_HINT "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\"."

bool duration_parse(const char *text, usec_t *out); /* false: *out is as it was */
/* As SHOW would print it: a whole number of the largest unit in which it is one; "0" for none. duration_parse() gives it back. */
void duration_text(usec_t t, char out[DURATION_TEXT_MAX]);

#endif
