/*
 * process.h - what a daemon does to its own process: descriptors, user, background, pid file, CPUs.
 *
 * Threads: the main thread, before there are others (process_remove_pidfile(): after).
 * Errors:  text in error, false.
 */
#ifndef PGWEIR_PROCESS_H
#define PGWEIR_PROCESS_H

#include "config/config.h"

#include <sys/types.h>

int process_login_thread_count(int configured); /* 0: one for each four of them */
int process_worker_count(int configured, int max); /* 0: the CPUs that affinity and the cgroup's quota leave us */
void process_raise_descriptors(const struct config *c); /* as far as we may; warns if max_client_conn can't be served */
/* Who we'll be: the user that `user` or the configuration names if we are root now; false: there is no such user. */
bool process_user(const struct config *c, const char *user, uid_t *out, char *error, size_t size);
/* Refuses to run as root, becomes `user` or the configuration's, goes into the background, writes the pid file: not yet, if another process is to be replaced. */
bool process_become(
	const struct config *c, const char *user, bool is_daemon, bool replaces, char *error, size_t size);
bool process_write_pidfile(const struct config *c, char *error, size_t size);
void process_remove_pidfile(const struct config *c); /* if it's still ours */

#endif
