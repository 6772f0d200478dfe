/*
 * tls_set.h - the TLS contexts that one configuration asks for: keys, certificates and authorities, read once.
 *
 * Contexts:  one for clients, if they may have TLS; for servers one per different combination of files. Authorities of a
 *            file are read once and shared by all of them. A database finds its own by name.
 * Files:     read by tls_set_load() and never again. A private key that others may read is refused, as PostgreSQL refuses
 *            it; in section [pgbouncer] it is warned of.
 * Ownership: immutable, shared by reference count. Connections keep what they need of it.
 * Threads:   load on the main thread; everything else from any.
 * Errors:    tls_set_load() gives NULL and what is wrong, with the setting and the file. No key is ever part of it.
 * Source:    PgBouncer's config.md for the meaning of the settings; SSL_CTX_set_verify(3), SSL_CTX_set_num_tickets(3).
 */
#ifndef PGWEIR_TLS_SET_H
#define PGWEIR_TLS_SET_H

#include "config/config.h"

#include <openssl/types.h>

struct tls_set;

struct tls_target { /* how the servers of a database are spoken to */
	enum tls_mode mode;
	enum tls_negotiation negotiation;
	SSL_CTX *context; /* NULL: TLS_DISABLE */
	char *print; /* of the settings: where it differs, connections should be opened anew. May be NULL */
};

struct tls_set *tls_set_load(const struct config *c, char *error, size_t error_size);
struct tls_set *tls_set_ref(struct tls_set *s); /* NULL is fine */
void tls_set_unref(struct tls_set **s);

SSL_CTX *tls_set_clients(const struct tls_set *s); /* NULL: they get none; s may be NULL */
/* database as the configuration names it ("*" for those that it doesn't). Lives as long as the set. */
const struct tls_target *tls_set_database(const struct tls_set *s, const char *database);

#endif
