/* cancels.c - cancel requests on their way to whoever has the client: a worker, the console, a peer, the process that we replace. */
#include "core/daemon_private.h"

#include "session/client.h"
#include "session/keys.h"

#include <stdlib.h>

static void cancel_console(struct message *m, void *owner)
{
	struct daemon *d = owner;

	console_cancel(d->console, CONTAINER_OF(m, struct cancel_request, message));
}

/* A client from another process may have come with the number of a worker that there isn't. */
void daemon_route_cancel(struct daemon *d, struct cancel_request *r)
{
	int worker = session_cancel_worker(&r->key);

	r->message.deliver = session_cancel;
	r->message.discard = session_cancel_discard;
	if (worker == CONSOLE_CANCEL_WORKER) {
		r->message.deliver = cancel_console;
		mailbox_post(&d->loop.mailbox, &r->message);
	} else {
		mailbox_post(&d->workers[worker % d->n_workers]->loop.mailbox, &r->message);
	}
}

struct old_cancel {
	struct message message;
	struct cancel_key key;
};

static void discard_old_cancel(struct message *m)
{
	free(CONTAINER_OF(m, struct old_cancel, message));
}

static void pass_to_old(struct message *m, void *owner)
{
	struct daemon *d = owner;

	upgrade_cancel(d->upgrade, &CONTAINER_OF(m, struct old_cancel, message)->key);
	discard_old_cancel(m);
}

static void forward_cancel(struct message *m, void *owner)
{
	struct cancel_request *r = CONTAINER_OF(m, struct cancel_request, message);
	struct daemon *d = owner;
	int peer = session_cancel_peer(&r->key), fd = r->fd;

	r->fd = -1;
	if (session_cancel_hop(&r->key))
		peers_forward(d->peers, d->snapshot->config, peer, &r->key, fd, &r->tls);
	else if (fd >= 0) /* it goes round in a circle */
		stream_hang_up(fd, &r->tls);
	free(r);
}

/* Another process's client? Then it is passed on; true. */
static bool is_for_peer(struct daemon *d, const struct config *c, struct cancel_request *r)
{
	if (!c->peer_id)
		return false;
	if (session_cancel_peer(&r->key) == c->peer_id || !config_peer(c, session_cancel_peer(&r->key)))
		return false;
	r->message.deliver = forward_cancel;
	r->message.discard = session_cancel_discard;
	mailbox_post(&d->loop.mailbox, &r->message);
	return true;
}

/* Only the process that has the client knows the key, so a process that is being replaced is told, too. */
void daemon_deliver_cancel(void *ctx, const struct config *c, struct cancel_request *r)
{
	struct daemon *d = ctx;

	if (is_for_peer(d, c, r))
		return;

	if (upgrade_is_taking(d->upgrade)) {
		struct old_cancel *o = xcalloc(1, sizeof(*o));

		o->message.deliver = pass_to_old;
		o->message.discard = discard_old_cancel;
		o->key = r->key;
		mailbox_post(&d->loop.mailbox, &o->message);
	}
	daemon_route_cancel(d, r);
}
