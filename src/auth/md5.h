/*
 * md5.h - PostgreSQL's md5 password scheme (manual, "Password Authentication" and AuthenticationMD5Password).
 *
 * Errors:  false where libcrypto has no MD5 (FIPS): nobody gets in by md5 then.
 * Threads: any.
 */
#ifndef PGWEIR_MD5_H
#define PGWEIR_MD5_H

#include "base/base.h"

#define MD5_HASH_LEN 32	   /* hex digits of md5(password + user): what stands behind "md5" in a stored secret */
#define MD5_SECRET_LEN 35  /* "md5" and a hash */
#define MD5_SECRET_SIZE 36 /* and a NUL */

bool md5_is_secret(const char *secret); /* "md5" and 32 lower-case hex digits: PostgreSQL takes anything else for plain text */
bool md5_hash(const char *password, const char *user, char out[MD5_HASH_LEN + 1]);
bool md5_response(const char hash[MD5_HASH_LEN], const uint8_t salt[4], char out[MD5_SECRET_SIZE]);

#endif
