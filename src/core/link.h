/*
 * link.h - a Unix socket that carries frames with descriptors, between two processes of the same user.
 *
 * SOCK_SEQPACKET: what was sent as one comes as one. The file has mode 0600, and both sides look at who the other one is: a name can be
 * taken by anybody where a folder is everybody's. Who comes to us may also be root. Descriptors that come are close-on-exec; of a frame that isn't wanted they are closed.
 * Threads: the main thread's.
 * Source:  unix(7), cmsg(3).
 */
#ifndef PGWEIR_LINK_H
#define PGWEIR_LINK_H

#include "core/handover.h"

#include <sys/types.h>

struct link_frame {
	uint8_t bytes[HANDOVER_MAX];
	size_t len;
	int fds[HANDOVER_FDS_MAX];
	size_t n_fds;
};

/* Where a process with this configuration listens for its successor; false: nowhere. */
bool link_address(const struct config *c, struct address *out);
/* The descriptor, or -1 and why. A stale file is replaced; one that somebody answers is not. */
int link_listen(const struct address *a, char *error, size_t error_size);
int link_accept(int listening); /* -1: nobody, or somebody else's process, who is turned away */
int link_connect(const struct address *a, uid_t uid, int *error_number); /* -1; EPERM: it isn't this user's */
bool link_wait(int fd, int msec); /* until there is something to read */

/* RES_MORE: later; RES_SYSTEM: the link is broken. The descriptors stay the caller's. */
enum result link_send(int fd, const void *bytes, size_t len, const int *fds, size_t n_fds);
/* RES_MORE: nothing is there; RES_PROTOCOL: too long; RES_SYSTEM: the link has ended. Only with RES_OK the frame has anything. */
enum result link_receive(int fd, struct link_frame *f);
void link_close_fds(struct link_frame *f);

#endif
