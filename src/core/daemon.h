/*
 * daemon.h - the process: threads, signals, reload, shutdown.
 *
 * daemon_run() owns everything and returns when all of it is gone again: workers are joined before login threads, those before
 * the resolver, and what was on its way between them is discarded last.
 * Threads: the main thread's.
 */
#ifndef PGWEIR_DAEMON_H
#define PGWEIR_DAEMON_H

#include "config/config.h"

struct daemon_options {
	const char *file; /* NULL: from a URI, no reload */
	bool is_daemon;	  /* -d: daemon_run() goes into the background itself */
	bool is_quiet;
	bool takes_over; /* -R: from a process that runs with this configuration, if there is one */
	int verbose;
	const char *user; /* -u: before the configuration's */
};

/* Takes the configuration. Returns the process's exit status. */
int daemon_run(struct config **config, const struct daemon_options *o);

#endif
