/*
 * saslprep.h - a password in the form in which SCRAM hashes it (RFC 4013, through libidn).
 *
 * As in PostgreSQL, a password that SASLprep refuses (not UTF-8, control characters, unassigned code points, mixed
 * directions, nothing left) is used as it is. So is one of more than SASLPREP_MAX bytes with any outside ASCII: libidn's
 * normalization is quadratic, and who sends a password isn't known yet.
 * Threads: any.
 */
#ifndef PGWEIR_SASLPREP_H
#define PGWEIR_SASLPREP_H

#include "base/base.h"

#define SASLPREP_MAX 4096

char *saslprep(const char *password); /* the caller's, for secure_free(); NULL: use the password as it is */

#endif
