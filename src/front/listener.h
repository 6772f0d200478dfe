/*
 * listener.h - the sockets that clients connect to: opened once, before there are threads.
 *
 * TCP:     every address in listen_addr: "*" is all of IPv4 and IPv6, names are looked up, each address
 *          that a name has is taken.
 * Unix:    unix_socket_dir/.s.PGSQL.port with unix_socket_mode and unix_socket_group. A socket that
 *          somebody answers is left alone ("unix socket is in use"), a stale one is replaced. Only the file
 *          that we made is removed in the end.
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
};

struct listener *listener_open(const struct config *config, char *error, size_t error_size);
/* After a reload: the options of TCP connections that come from now on, which inherit them. Any time; it races with nothing. */
void listener_tune(const struct listener *l, const struct config *config);
/* For a shutdown that waits for clients: only the console can still come, by the Unix socket. */
void listener_close_tcp(struct listener *l);
void listener_close(struct listener **l);

#endif
