/*
 * listener.h - the sockets that clients connect to: opened once, before there are threads.
 *
 * TCP:     every address in listen_addr: "*" is all of IPv4 and IPv6, names are looked up, each address
 *          that a name has is taken.
 * Unix:    unix_socket_dir/.s.PGSQL.port with unix_socket_mode and unix_socket_group. A socket that
 *          somebody answers is left alone ("unix socket is in use"), a stale one is replaced. Only the file
 *          that we made is removed in the end.
 * Given:   sockets that somebody else has opened. Those of systemd are all that we listen on, whatever the configuration says; those
 *          of the process that we replace are taken where the configuration asks for the same address, and closed otherwise.
 * Threads: the main thread, while it is the only one (the mode is set through umask). Login threads
 *          duplicate the descriptors.
 * Errors:  listener_open() gives NULL and the text; nothing stays open or on disk then.
 */
#ifndef PGWEIR_LISTENER_H
#define PGWEIR_LISTENER_H

#include "config/config.h"

#include <sys/types.h>

struct listen_socket {
	int fd;
	bool is_unix;
};

struct listener {
	struct listen_socket *sockets;
	size_t n;
	char *unix_path; /* NULL: no file of ours */
	dev_t unix_dev;	 /* which file is ours */
	ino_t unix_ino;
	bool is_borrowed; /* the file is another process's: not to be removed */
};

#define LISTEN_GIVEN_MAX 64

struct listen_given {		   /* zeroed: none */
	int fds[LISTEN_GIVEN_MAX]; /* -1: taken */
	size_t n;
	bool is_all; /* systemd's */
};

/* Looks at it first: a listening stream socket of a kind that we know. Close-on-exec and non-blocking from now on. */
bool listen_given_add(struct listen_given *g, int fd, char *error, size_t error_size);
void listen_given_close(struct listen_given *g); /* what nobody has taken */

/* Takes those that it uses of *given, which may be NULL. */
struct listener *listener_open(
	const struct config *config, struct listen_given *given, char *error, size_t error_size);
/* After a reload: the options of TCP connections that come from now on, which inherit them. Any time; it races with nothing. */
void listener_tune(const struct listener *l, const struct config *config);
/* For a shutdown that waits for clients: only the console can still come, by the Unix socket. */
void listener_close_tcp(struct listener *l);
/* Whose is the file of the Unix socket? Another process's, if the socket was given, until we are told that it is ours. */
void listener_own(struct listener *l, bool is_ours);
void listener_close(struct listener **l);

#endif
