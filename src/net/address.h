/*
 * address.h - socket addresses as text and back, and sockets as we like them: non-blocking, close-on-exec.
 *
 * Threads: no shared state. Nothing here resolves names: see resolver.h.
 */
#ifndef PGWEIR_ADDRESS_H
#define PGWEIR_ADDRESS_H

#include "base/base.h"

#include <sys/socket.h>
#include <sys/un.h>

#define ADDRESS_TEXT_MAX 128

struct address {
	socklen_t len; /* 0: none */
	union {
		struct sockaddr sa;
		struct sockaddr_storage storage;
		struct sockaddr_un un;
	};
};

/* As much of a client's address as says something: a Unix client's end has no name. For what is kept by the thousand. */
struct short_address {
	uint8_t len, bytes[28]; /* struct sockaddr_in6 is the longest */
};

/*
 * Where a client comes from, for limits and shares: an IPv4 address, or the /64 that one machine has of IPv6. Compared by its bytes. IPv4 written as IPv6 is IPv4.
 */
struct address_origin {
	uint8_t bytes[12];
};

struct tcp_options {
	bool keepalive;
	int keepcnt, keepidle, keepintvl; /* 0: the kernel's */
	int user_timeout;		  /* ms, 0: the kernel's */
	int socket_buffer;		  /* bytes, 0: the kernel's */
};

/* A Unix socket in a directory ("/dir" or "@name", as PostgreSQL names it: dir/.s.PGSQL.port). False: too long. */
bool address_unix(struct address *out, const char *dir, int port);
bool address_numeric(struct address *out, const char *host, int port); /* false: it's a name, not an address */
bool address_is_unix(const struct address *a);
int address_port(const struct address *a); /* 0 for Unix sockets */
void address_host(const struct address *a,
	char out[ADDRESS_TEXT_MAX]); /* "127.0.0.1", "::1"; "unix" for Unix sockets, as PgBouncer prints it */
void address_text(const struct address *a, char out[ADDRESS_TEXT_MAX]); /* "127.0.0.1:5123", "[::1]:5123", "unix:6432" */
bool address_origin(const struct address *a, struct address_origin *out); /* false, and zero: a Unix socket's */
void address_shorten(const struct address *a, struct short_address *out);
void address_restore(const struct short_address *a, struct address *out);
void address_local(int fd, struct address *out);
void address_peer(int fd, struct address *out);

int socket_connect(const struct address *a, const struct tcp_options *o, bool *in_progress); /* fd, or -1 and errno */
/* fd, or -1 and errno. What it accepts inherits the options, but for socket_buffer. */
int socket_listen(const struct address *a, int backlog, bool reuseport, const struct tcp_options *o);
void socket_tune_listener(int fd,
	const struct tcp_options *o); /* a TCP socket of socket_listen(), for connections from now on */
void socket_set_buffer(int fd, int bytes);
int socket_error(int fd); /* SO_ERROR, for a connect that has finished */

#endif
