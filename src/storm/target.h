/*
 * target.h - where a herd goes: a URI or conninfo string, read by libpq, and the addresses behind its host.
 *
 * The host is resolved once, before the storm, so that the storm measures the server and not the resolver.
 * Everything that libpq takes from PG* variables is taken too. What this program can't do (GSSAPI, several hosts,
 * settings of libpq that it lacks) is refused, never ignored.
 * TLS:       one context for all functions, made by target_resolve(); session tickets aren't kept, so each handshake is a whole one.
 * Ownership: strings and addresses live until target_free(), which wipes the password.
 */
#ifndef PGWEIR_STORM_TARGET_H
#define PGWEIR_STORM_TARGET_H

#include "config/config.h"

#include <openssl/types.h>
#include <sys/socket.h>

#define TARGET_ADDRESSES_MAX 16

struct address {
	struct sockaddr_storage addr;
	socklen_t len;
};

struct target {
	char *host, *port, *user, *database, *options, *application_name,
		*client_encoding; /* host, options .. client_encoding may be NULL */
	char *password;		  /* NULL: none */
	char *name;		  /* user@host:port/database, for people */
	usec_t connect_timeout;	  /* 0: none */
	enum tls_mode sslmode;
	enum tls_negotiation sslnegotiation;
	char *sslrootcert, *sslcert, *sslkey; /* NULL: none */
	char *tls_host;			      /* whom the certificate is for */
	SSL_CTX *context;		      /* NULL: plain text */
	struct address addresses[TARGET_ADDRESSES_MAX]; /* in the resolver's order: a function tries one after the other */
	size_t n_addresses;
};

/* negotiation: what isn't known to every libpq; NEGOTIATE_UNSET: what the string says. */
enum result target_parse(struct target *t, const char *conninfo, enum tls_negotiation negotiation,
	char *error, size_t error_size);
enum result target_resolve(struct target *t, char *error, size_t error_size);
void target_free(struct target *t);

#endif
