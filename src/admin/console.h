/*
 * console.h - the console: the database pgweir (alias pgbouncer), where the pooler is looked at and commanded.
 *
 * Its clients live on the main thread. What they want to know of the workers is asked by message (report.h): no thread reads another's
 * structures. A client that waits for an answer isn't read meanwhile; if it leaves, the job that worked for it goes on without it.
 *
 *	console.c   clients: welcome, goodbye, sending
 *	protocol.c  what they send: simple and extended queries
 *	job.c       a question to all workers, and waiting until something has come true
 *	commands.c  one table of commands, their grammar
 *	actions.c   what commands do
 *	run_show.c  SHOW, and SELECT (select.c) of what it shows
 *	show.c      one table of views; show_NAME.c: their columns and rows
 *	stats.c     sums by database, averages over stats_period
 *	report.c, control.c  the workers' side
 *
 * Console clients don't count in max_client_conn. PAUSE, KILL and the like are for admin_users, stats_users may SHOW.
 *
 * Threads: the main thread's. console_free() after its loop has stopped and the workers are joined.
 * Source:  PgBouncer's usage.md, "Admin console"; PostgreSQL's manual, "Message Flow".
 */
#ifndef PGWEIR_CONSOLE_H
#define PGWEIR_CONSOLE_H

#include "auth/snapshot.h"
#include "pool/peer.h"
#include "pool/worker.h"
#include "session/newcomer.h"

enum shutdown_mode { SHUTDOWN_NOW, SHUTDOWN_WAIT_FOR_SERVERS, SHUTDOWN_WAIT_FOR_CLIENTS };

struct console_host { /* what the daemon does for its console */
	void *ctx;
	struct loop *loop;
	struct worker **workers;
	int n_workers;
	struct registry *registry;
	struct snapshot *(*snapshot)(void *ctx); /* borrowed, the current one */
	bool (*reload)(void *ctx, char *error, size_t size);
	bool (*set)(void *ctx, const char *key, const char *value, char *error, size_t size);
	void (*disable)(void *ctx, const char *database, bool is_disabled); /* for new clients */
	void (*shutdown)(void *ctx, enum shutdown_mode mode);
	struct resolver *(*resolver)(void *ctx);
	size_t (*login_count)(void *ctx);
	bool (*is_shutting_down)(void *ctx);
	struct peers *peers; /* NULL: there can't be any */
};

/* session_cancel_worker() of the keys that the console gives out: no worker has this number. */
#define CONSOLE_CANCEL_WORKER 127 /* so that the pid in a key stays positive */
_Static_assert(CONSOLE_CANCEL_WORKER >= WORKERS_MAX, "a worker's number");

struct console;

struct console *console_new(const struct console_host *host);
void console_free(struct console **c);
void console_adopt(struct console *c, struct newcomer *n); /* logged in; takes it */
void console_cancel(struct console *c,
	struct cancel_request *r);    /* takes it; ends what that client waits for, and undoes its PAUSE */
void console_tick(struct console *c); /* once a second */
void console_pause(struct console *c, const char *database); /* NULL: all. For signals: nobody waits for the answer */
void console_resume(struct console *c, const char *database);

#endif
