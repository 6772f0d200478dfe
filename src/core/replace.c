/* replace.c - the daemon's part in one process taking another's place. */
#include "core/daemon_private.h"

#include "base/events.h"
#include "base/log.h"
#include "core/process.h"
#include "session/client.h"

#include <stdlib.h>

/* Takes another process's place, if there is one and we are to. */
bool daemon_take_over(struct daemon *d, const struct config *c, char *error, size_t size)
{
	uid_t uid;

	d->taken = (struct upgrade_taken){ .link = -1, .listening = -1 };
	if (!d->options->takes_over)
		return true;
	if (!process_user(c, d->options->user, &uid, error, size))
		return false;
	switch (upgrade_take(c, uid, &d->taken, error, size)) {
	case RES_OK: return true;
	case RES_MORE:
		log_warning(NULL, "there is no process to take over from: starting as usual");
		return true;
	case RES_PROTOCOL:
	case RES_LIMIT:
	case RES_REFUSED:
	case RES_SYSTEM: break;
	}
	return false;
}

static size_t host_sockets(void *ctx, int *fds, size_t max)
{
	const struct daemon *d = ctx;
	size_t n = MIN(d->listener->n, max);

	for (size_t i = 0; i < n; i++)
		fds[i] = d->listener->sockets[i].fd;
	return n;
}

static const char *host_objection(void *ctx)
{
	const struct daemon *d = ctx;

	return d->is_shutting_down ? "the old process is shutting down already" : NULL;
}

static void set_doors(struct daemon *d, enum front_door door)
{
	for (int i = 0; i < d->n_fronts; i++)
		front_set_door(d->fronts[i], door);
}

static void host_replaced(void *ctx, int pid)
{
	struct daemon *d = ctx;

	set_doors(d, FRONT_CLOSED);
	listener_own(d->listener, false);
	notify_say(&d->notify, "MAINPID=%d", pid);
	if (d->snapshot->config->drain_timeout)
		d->drain_until = clock_now() + d->snapshot->config->drain_timeout;
	loop_tick_soon(&d->loop);
}

static void host_resumed(void *ctx)
{
	struct daemon *d = ctx;

	if (d->is_shutting_down)
		return;
	set_doors(d, FRONT_OPEN);
	listener_own(d->listener, true);
	d->drain_until = 0;
	d->is_late = false;
}

static void host_left(void *ctx)
{
	daemon_stop_workers(ctx);
}

static void host_cancel(void *ctx, const struct cancel_key *k)
{
	struct cancel_request *r = xcalloc(1, sizeof(*r));

	r->fd = -1;
	r->key = *k;
	daemon_route_cancel(ctx, r);
}

/* It has been counted in the process that it comes from: limits are for those who come new. */
static void host_adopt(void *ctx, struct newcomer *n)
{
	struct daemon *d = ctx;
	int worker = move_worker(n, d->n_workers);
	struct client_limits none = { 0 };
	struct address_origin origin;
	struct limit_reached why;

	n->id = d->next_moved_id;
	d->next_moved_id += (uint64_t)d->n_fronts + 1;
	if (n->is_counted)
		registry_count_client(d->registry, n->database, n->user, &none, &why);
	if (address_origin(&n->peer, &origin))
		n->is_origin_counted = registry_count_origin(d->registry, &origin, 0, &why);
	atomic_fetch_add(&d->registry->worker_clients[worker], 1);
	n->message.deliver = session_adopt;
	n->message.discard = session_discard;
	mailbox_post(&d->workers[worker]->loop.mailbox, &n->message);
}

void daemon_make_upgrade(struct daemon *d)
{
	struct upgrade_host host = { .ctx = d,
		.loop = &d->loop,
		.registry = d->registry,
		.workers = d->workers,
		.n_workers = d->n_workers,
		.sockets = host_sockets,
		.objection = host_objection,
		.replaced = host_replaced,
		.resumed = host_resumed,
		.logins = daemon_login_count,
		.left = host_left,
		.cancel = host_cancel,
		.adopt = host_adopt };

	d->upgrade = upgrade_new(&host, d->snapshot->config, &d->taken, d->hash_key);
	upgrade_tell(d->upgrade, d->notify.fd >= 0 ? d->notify.path : "", d->notify.watchdog);
}
