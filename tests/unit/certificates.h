/* certificates.h - a self-signed certificate and its key, P-256, as DIR/NAME.crt and DIR/NAME.key, for tests and fuzzers. */
#ifndef PGWEIR_CERTIFICATES_H
#define PGWEIR_CERTIFICATES_H

#include "base/base.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static inline void certificate_extend(X509 *c, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, c, c, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ASSERT(e && X509_add_ext(c, e, -1));
	X509_EXTENSION_free(e);
}

/* For an hour, for db.example and 127.0.0.1; cn may hold anything. */
static inline X509 *certificate_new(EVP_PKEY *key, const char *cn, size_t cn_len)
{
	X509 *c = X509_new();
	X509_NAME *name = X509_get_subject_name(c);

	X509_set_version(c, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
	X509_gmtime_adj(X509_getm_notBefore(c), -3600);
	X509_gmtime_adj(X509_getm_notAfter(c), 3600);
	X509_set_pubkey(c, key);
	X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"weir", -1, -1, 0);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, (int)cn_len, -1, 0);
	X509_set_issuer_name(c, name);
	certificate_extend(c, NID_basic_constraints, "CA:TRUE");
	certificate_extend(c, NID_subject_alt_name, "DNS:db.example,IP:127.0.0.1");
	ASSERT(X509_sign(c, key, EVP_sha256()));
	return c;
}

static inline FILE *certificates_file(const char *dir, const char *name, const char *suffix)
{
	char *path = xasprintf("%s/%s.%s", dir, name, suffix);
	FILE *f = fopen(path, "wx");

	ASSERT(f);
	chmod(path, 0600);
	free(path);
	return f;
}

static inline void certificates_make(const char *dir, const char *name, const char *cn, size_t cn_len)
{
	FILE *cert = certificates_file(dir, name, "crt"), *key_file = certificates_file(dir, name, "key");
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *c = certificate_new(key, cn, cn_len);

	ASSERT(PEM_write_X509(cert, c) && PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL));
	fclose(cert);
	fclose(key_file);
	X509_free(c);
	EVP_PKEY_free(key);
}

static inline void certificates_remove(const char *dir, const char *name)
{
	char *cert = xasprintf("%s/%s.crt", dir, name), *key = xasprintf("%s/%s.key", dir, name);

	unlink(cert);
	unlink(key);
	free(cert);
	free(key);
}

#endif
