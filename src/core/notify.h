/*
 * notify.h - systemd: what it is told of us, and the sockets that it hands over.
 *
 * Telling:  Type=notify-reload. Lines of NAME=value in one datagram to $NOTIFY_SOCKET; no libsystemd. A message that the other side
 *           doesn't take at once is lost: nothing here ever waits.
 * Watchdog: WATCHDOG=1 comes from the main thread's tick, and only while each worker has been at work lately. A worker without work
 *           turns at least once a second.
 * Sockets:  $LISTEN_FDS descriptors from 3 on, if $LISTEN_PID is this process.
 * Children: commands of ours inherit none of this: the variables are taken out of the environment, descriptors are close-on-exec.
 * Threads:  the main thread's; notify_open() and notify_take_sockets() before there are others.
 * Source:   sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3).
 */
#ifndef PGWEIR_NOTIFY_H
#define PGWEIR_NOTIFY_H

#include "front/listener.h"
#include "net/address.h"
#include "pool/shared.h"

struct notify {
	int fd; /* -1: nobody wants to know */
	struct address to;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* as in $NOTIFY_SOCKET, for who comes after us */
	usec_t watchdog;					/* 0: none */
};

/* The texts are the environment's; any may be NULL. What makes no sense is logged and does without. */
void notify_open(struct notify *n, const char *path, const char *watchdog_usec, const char *watchdog_pid);
void notify_close(struct notify *n);
void notify_say(const struct notify *n, const char *format, ...) PRINTF_LIKE(2, 3);
void notify_reloading(const struct notify *n); /* to be followed by READY=1 */

/* Has each of them been at work within limit? One that hasn't begun yet counts as alive. */
bool beats_are_alive(const struct worker_beat *beats, int n, usec_t now, usec_t limit);

/* RES_OK, also where there are none; RES_LIMIT, RES_SYSTEM: error says why they can't be used. */
enum result notify_take_sockets(
	const char *pid, const char *count, struct listen_given *out, char *error, size_t error_size);

#endif
