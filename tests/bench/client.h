/*
 * client.h - one client of the load generator: connects, logs in (trust, plain, SCRAM, over TLS if wanted), sends, counts.
 *
 * A client belongs to an engine, that is, to one thread and its epoll. The engine's callbacks say what happens: on_ready
 * when all that was asked has been answered (first after the login), on_copy_in when the server wants data, on_lost when
 * there is nothing more to expect; the client is closed then. Callbacks may send, open again or close.
 *
 * Cheapness: SCRAM keys are derived once per salt, results are skipped by their length, and nothing is copied but what
 *            must be read. What a load generator costs is what the measured program lacks on a small machine.
 * Errors:    a client that can't go on is lost, with a word for it; an ERROR that left the connection alive is counted.
 * Limits:    it talks to servers that we started: a message that must be read and is long is a loss, not a case.
 */
#ifndef PGWEIR_BENCH_CLIENT_H
#define PGWEIR_BENCH_CLIENT_H

#include "storm/keys.h"
#include "wire/bytes.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

struct where { /* shared by all threads, and constant */
	struct sockaddr_storage address;
	socklen_t address_len;
	const char *user, *database, *password; /* password NULL: none */
	SSL_CTX *tls;				/* NULL: plain */
};

enum client_state {
	CLIENT_CLOSED,
	CLIENT_CONNECTING,
	CLIENT_ASKING_TLS,
	CLIENT_HANDSHAKE,
	CLIENT_LOGIN,
	CLIENT_READY
};

struct client {
	struct engine *engine;
	void *owner; /* the mode's own */
	enum client_state state;
	int fd;
	SSL *ssl;
	struct scram *scram; /* while SCRAM goes on */
	usec_t began;	     /* the mode's own */
	unsigned awaited;    /* ReadyForQuery messages still due */
	struct writer out;   /* what the kernel hasn't taken */
	size_t out_pos;
	struct writer partial; /* the beginning of a message that must be read */
	size_t skip;	       /* bytes of the current message that nobody needs */
	char why[96];	       /* of the last error */
};

#define ENGINE_BUFFER 65536

struct engine {
	int epoll;
	const struct where *where;
	void (*on_ready)(struct client *c);
	void (*on_copy_in)(struct client *c); /* also each time when what was sent has gone out */
	void (*on_lost)(struct client *c, const char *why);
	void *owner; /* the mode's own */
	struct key_cache keys;
	uint64_t received, errors, logins;
	uint64_t handshake_bytes; /* to clients, over all handshakes */
	uint8_t buffer[ENGINE_BUFFER];
};

void engine_init(struct engine *e, const struct where *where);
void engine_turn(struct engine *e, int timeout_ms); /* waits and serves once */
void engine_free(struct engine *e);

void client_open(struct client *c, struct engine *e); /* c is zeroed, or was closed */
/* Sends whole messages. n_ready: how many ReadyForQuery they bring. */
void client_send(struct client *c, const void *data, size_t len, unsigned n_ready);
void client_close(struct client *c, bool says_goodbye);

#endif
