/* daemon_private.h - what daemon.c, cancels.c and replace.c share: the process in one struct. Nobody else includes this. */
#ifndef PGWEIR_DAEMON_PRIVATE_H
#define PGWEIR_DAEMON_PRIVATE_H

#include "core/daemon.h"

#include "admin/console.h"
#include "core/ebb.h"
#include "core/file_watch.h"
#include "core/notify.h"
#include "core/upgrade.h"
#include "core/worker_thread.h"
#include "front/front.h"
#include "http/http.h"

#include <signal.h>

#define DAEMON_SIGNALS 6

struct daemon {
	const struct daemon_options *options;
	struct loop loop;
	struct event signal_events[DAEMON_SIGNALS];
	struct snapshot *snapshot;
	struct registry *registry;
	struct resolver *resolver;
	struct external *external;
	struct passwords *passwords;
	struct listener *listener;
	struct file_watch auth_file;
	struct ebb ebb;
	struct console *console;
	struct console_host console_host;
	struct http *http;
	struct worker **workers;
	pthread_t *threads;
	int n_workers;
	struct front **fronts;
	int n_fronts;
	struct message *drained; /* one a worker */
	int n_draining;
	bool is_shutting_down;
	bool is_late;	    /* drain_timeout is over, what is on its way to another process isn't */
	usec_t drain_until; /* 0: nobody is waited for, or as long as it takes */
	struct notify notify;
	usec_t next_status, next_watchdog;
	uint8_t hash_key[HANDOVER_KEY];
	struct upgrade_taken taken; /* until upgrade has it */
	struct upgrade *upgrade;
	struct peers *peers;
	uint64_t next_moved_id; /* for clients of the process that we replace */
};

/* daemon.c */
void daemon_stop_workers(struct daemon *d);
size_t daemon_login_count(void *ctx); /* of a struct daemon */

/* cancels.c: whose client is a cancel request for? */
void daemon_deliver_cancel(void *ctx, const struct config *c, struct cancel_request *r); /* front_ops: any login thread */
void daemon_route_cancel(struct daemon *d, struct cancel_request *r); /* to a client of this process */

/* replace.c: taking another process's place, and being replaced */
bool daemon_take_over(struct daemon *d, const struct config *c, char *error, size_t size); /* first of all */
void daemon_make_upgrade(struct daemon *d);

#endif
