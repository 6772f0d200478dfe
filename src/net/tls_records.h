/*
 * tls_records.h - the record layer of TLS 1.3 alone, for a connection whose handshake another process has made.
 *
 * OpenSSL can't be given a connection in the middle. What it needs from there on is little: two secrets, two counters, one cipher. So
 * this opens and seals records, answers key updates and tells alerts apart; nothing else may come on such a connection.
 *
 * Suites:  TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256.
 * Input:   all that came is taken; what is left of an incomplete record stays inside, at most TLS_RECORD_MAX bytes.
 * Secrets: are wiped with it.
 * Threads: one at a time.
 * Source:  RFC 8446, 4.6.3 (KeyUpdate), 5 (Record Protocol), 7 (Cryptographic Computations).
 */
#ifndef PGWEIR_TLS_RECORDS_H
#define PGWEIR_TLS_RECORDS_H

#include "net/tls.h"

struct records;

struct records *records_new(const struct tls_keys *k); /* NULL: there is no such suite, or its secrets are of another length */
void records_free(struct records **r);
size_t records_secret_len(uint16_t suite); /* 0: not one of ours */

/* As tls_open(). TLS_BROKEN: *why says it, and out has an alert. */
enum tls_event records_open(struct records *r, const uint8_t *bytes, size_t len, uint8_t *plain, size_t *n,
	struct writer *out, const char **why);
void records_seal(struct records *r, const void *plain, size_t len, struct writer *out);
void records_goodbye(struct records *r, struct writer *out);

bool records_is_between(const struct records *r);  /* no record has come in part */
const char *records_name(const struct records *r); /* of the suite */
void records_get_keys(const struct records *r, struct tls_keys *out);

#endif
