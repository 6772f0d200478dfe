/*
 * connection.h - a function's socket, with or without TLS: bytes in, bytes out, and what went wrong.
 *
 * The herd calls connection_open(), then connection_io() whenever the socket is ready for what connection_wants() says. All
 * addresses of the target are tried in turn; only the last one's error counts, as in libpq.
 * TLS:      as the target's sslmode says: an SSLRequest first, or a handshake at once (direct). None on Unix sockets.
 * Failure:  CONNECTION_FAILED once, with a word to count it by; the socket is closed then.
 * Threads:  one.
 */
#ifndef PGWEIR_STORM_CONNECTION_H
#define PGWEIR_STORM_CONNECTION_H

#include "net/tls.h"
#include "storm/target.h"

enum connection_state {
	CONNECTION_CLOSED,
	CONNECTION_REACHING, /* connect() is under way */
	CONNECTION_ASKING,   /* SSLRequest sent */
	CONNECTION_SHAKING,  /* TLS handshake */
	CONNECTION_UP,
	CONNECTION_VANISHED, /* crashed: what the peer sends is swallowed until connection_close(), which is as silent */
};

struct connection {
	enum connection_state state;
	int fd;		  /* -1: none */
	unsigned address; /* the one being tried */
	struct tls *tls;
	struct writer unsent; /* sealed bytes, and our own before that */
	const char *key;      /* after CONNECTION_FAILED */
	char message[160];
};

enum connection_event {
	CONNECTION_NOTHING,
	CONNECTION_READY, /* may be spoken to from now on */
	CONNECTION_DATA,
	CONNECTION_ENDED, /* the peer says no more */
	CONNECTION_FAILED,
};

#define CONNECTION_RECEIVES 65536
#define CONNECTION_SCRATCH (CONNECTION_RECEIVES + TLS_RECORD_MAX)

struct scratch { /* of all connections of a thread */
	uint8_t sealed[CONNECTION_RECEIVES], plain[CONNECTION_SCRATCH];
	size_t len; /* of plain, after CONNECTION_DATA */
};

void connection_init(struct connection *c);
enum connection_event connection_open(struct connection *c, const struct target *t);
enum connection_event connection_io(struct connection *c, const struct target *t, struct scratch *s);
/* Takes what it can, returns how much that was. What can't be sent any more counts as taken: its answer tells why. */
size_t connection_send(struct connection *c, const void *data, size_t len);
bool connection_wants_write(const struct connection *c);
void connection_close(struct connection *c);
/*
 * The peer is told nothing, as if this machine had vanished: neither now (FIN, RST) nor when it sends (ACK, RST). Only where
 * crash_is_possible(), over TCP. A second time it does nothing.
 */
void connection_crash(struct connection *c);
bool crash_is_possible(void);

#endif
