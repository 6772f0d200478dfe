/*
 * tls.h - one TLS connection as a pair of transformations: bytes from the wire to plain text, plain text to bytes for the
 * wire. No socket, no clock: the stream moves the bytes, so that nothing here ever waits for a socket in either direction.
 *
 * Input:    tls_open() takes all that came; what is left of an incomplete record stays inside. The handshake, alerts and key
 *           updates are part of it: their answers collect in out.
 * Output:   tls_seal() takes plain text whole. Records to clients hold at most TLS_CLIENT_RECORD bytes: libpq's asynchronous
 *           interface stalls on what is left in its own buffer. The few slices of one write belong into one call.
 * End:      a peer that says goodbye is TLS_CLOSED. After TLS_BROKEN tls_why() has the reason, out an alert for the peer.
 * Limits:   renegotiation is off, key updates are bounded, early data is refused.
 * Idle:     a connection with nothing on its way owns no buffer.
 * Threads:  one at a time; it moves with its stream. Contexts may be used by several.
 * Source:   RFC 8446; RFC 5929 for the binding; SSL_read(3), SSL_CTX_set_mode(3).
 */
#ifndef PGWEIR_TLS_H
#define PGWEIR_TLS_H

#include "wire/bytes.h"

#include <openssl/types.h>

#define TLS_RECORD_MAX (16384 + 256 + 5) /* on the wire */
#define TLS_CLIENT_RECORD 8192
#define TLS_BINDING_MAX 64

struct tls;

enum tls_event {
	TLS_OPEN,   /* all is read */
	TLS_CLOSED, /* the peer sends no more */
	TLS_BROKEN, /* the connection can't be used any longer */
};

/* What a connection's partners know of each other after the handshake. */
struct tls_facts {
	bool is_on;
	bool has_alpn;	  /* they agreed on "postgresql" */
	bool is_verified; /* the peer has shown a certificate of an authority that we know */
	char *peer_cn;	  /* of that certificate's subject; NULL: not verified, or it has none that is text */
	char *peer_dn;	  /* its whole subject as RFC 2253 has it */
	uint8_t binding[TLS_BINDING_MAX]; /* tls-server-end-point: a hash of the server's certificate */
	size_t binding_len;		  /* 0: that certificate has none */
	char name[64];			  /* as tls_describe() has it */
};

/* Before the first tls_accept() with it, once it has its certificate: what doesn't change from one connection to the next. */
void tls_prepare(SSL_CTX *context);
struct tls *tls_accept(SSL_CTX *context);				       /* we're the server */
struct tls *tls_connect(SSL_CTX *context, const char *host, bool checks_host); /* host: for SNI, and to be in the certificate */
struct tls *tls_connect_like(const struct tls *t); /* another connection to the same server */
void tls_free(struct tls **t);			   /* NULL inside is fine */

void tls_begin(struct tls *t, struct writer *out); /* a client's first word */
/* plain has room for len + TLS_RECORD_MAX bytes; *n of them come out. */
enum tls_event tls_open(
	struct tls *t, const uint8_t *bytes, size_t len, uint8_t *plain, size_t *n, struct writer *out);
bool tls_seal(struct tls *t, const void *plain, size_t len, struct writer *out); /* false: it's broken */
void tls_goodbye(struct tls *t, struct writer *out); /* close_notify; once, and not before it's up */

bool tls_is_up(const struct tls *t); /* the handshake is done */
const char *tls_why(const struct tls *t);
void tls_get_facts(const struct tls *t, struct tls_facts *out);
void tls_clear_facts(struct tls_facts *f);
void tls_describe(const struct tls *t, char *out, size_t size); /* TLSv1.3/TLS_AES_128_GCM_SHA256; NULL: "" */

/*
 * What another process needs to go on with a connection of TLS 1.3 that was accepted. The keys are secret: whoever holds them wipes
 * them. tls_may_move() is false for TLS 1.2, in the middle of a record, and once the peer has changed its keys with OpenSSL, which
 * doesn't tell us the new ones.
 */
#define TLS_SECRET_MAX 48

struct tls_way { /* one direction */
	uint8_t secret[TLS_SECRET_MAX];
	uint64_t records; /* with this secret, so far */
};

struct tls_keys {
	uint16_t suite; /* as RFC 8446 numbers them */
	size_t secret_len;
	struct tls_way read, write;
};

bool tls_may_move(const struct tls *t);
void tls_get_keys(const struct tls *t, struct tls_keys *out); /* only if it may move */
struct tls *tls_with_keys(const struct tls_keys *k);	      /* NULL: these can't be anybody's */

struct writer *tls_unsent(struct tls *t); /* sealed bytes that travel with it from one stream to the next */

#endif
