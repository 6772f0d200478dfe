#include "session/client.h"

#include "pool/cancel.h"
#include "session/frozen.h"

#include <stdlib.h>

#define HALF_CLOSED_GRACE (2 * USEC_PER_SEC)	     /* hardly any client half-closes; most are dead */
#define HALF_CLOSED_GRACE_BUSY (200 * USEC_PER_MSEC) /* .. while others wait for its server */

static bool is_over(usec_t since, usec_t timeout, usec_t now)
{
	return timeout && since && now > since && now - since >= timeout;
}

static void end_query(struct client *c, const char *sqlstate, const char *message)
{
	c->server->is_unwanted = true;
	client_fatal(c, sqlstate, message);
}

static void end_pinned(struct client *c)
{
	enum pin pin = (enum pin)(c->pins & -c->pins);
	char *detail = xasprintf("It was idle and kept a server connection: it has %s.", pin_text(pin));

	client_end(c,
		&(struct error_info){
			.sqlstate = "57P05", .message = "pin_idle_timeout", .detail = detail, .hint = pin_hint(pin) });
	free(detail);
}

/* It has a server and nothing to do: session pooling, or a pin. */
static void tick_resting(struct client *c, const struct config_user *user, usec_t now)
{
	if (is_over(c->idle_since, config_client_idle_timeout(c->worker->config, user), now))
		client_fatal(c, "57P05", "client_idle_timeout");
	else if (c->pins && is_over(c->idle_since, c->worker->config->pin_idle_timeout, now))
		end_pinned(c);
	else if (client_reason_to_leave(c))
		client_maybe_release(c);
}

/* It streams without end, and waits when there is nothing to stream: no timeout is for it. Standbys come again by themselves. */
static void tick_replication(struct client *c)
{
	const char *reason = client_reason_to_leave(c);

	stream_recheck(&c->stream);
	if (reason && c->server->body_left)
		client_close(c, reason); /* it would read the bytes of an error as data */
	else if (reason)
		client_fatal(c, "57P01", reason);
}

/* It has stopped in the middle of what it sends, and not because the server takes no more. */
static bool is_sending(const struct client *c)
{
	return c->body_left && c->body_to == BODY_FORWARD && !c->pauses;
}

static void tick_active(struct client *c, usec_t now)
{
	const struct config *conf = c->worker->config;
	const struct config_user *user = config_user(conf, c->user);
	struct server *s = c->server;
	struct pending *p;
	bool is_owed;

	client_unpause(c, PAUSE_PINS); /* it looks again: who is in its way may be at another worker */
	ASSERT(s);
	p = &s->pending;
	is_owed = pending_awaits_ready(p) && !is_sending(c);
	if (!is_owed) {
		stream_recheck(&c->stream);
		client_end_quiet_batch(c);
	}
	if (is_owed && is_over(c->request_at, config_query_timeout(conf, user), now))
		end_query(c, "57014", "query timeout");
	else if (!is_owed && !pending_is_idle(p) &&
		is_over(c->idle_since, config_idle_transaction_timeout(conf, user), now))
		end_query(c, "25P03", "idle transaction timeout");
	else if (!pending_is_idle(p) && is_over(c->server->xact_at, config_transaction_timeout(conf, user), now))
		end_query(c, "25P04", "transaction timeout");
	else if (pending_is_idle(p))
		tick_resting(c, user, now);
}

/* A reset that came with the last bytes gave no event of its own (stream_recheck()), and a client that waits isn't read. */
static bool is_dead(const struct client *c)
{
	return (c->state == CLIENT_WAITING || c->state == CLIENT_NEW) && socket_error(c->stream.fd) != 0;
}

static usec_t half_closed_grace(const struct client *c)
{
	return atomic_load(&c->pool->shared->waiting) ? HALF_CLOSED_GRACE_BUSY : HALF_CLOSED_GRACE;
}

static void tick_client(struct client *c, usec_t now, bool is_sweep)
{
	const struct config *conf = c->worker->config;

	if (is_sweep && is_dead(c)) {
		client_close(c, "client left while it waited");
		return;
	}
	if (is_over(c->peer_shut_at, half_closed_grace(c), now)) {
		if (c->server)
			c->server->is_unwanted = true;
		client_close(c, "client unexpected eof");
		return;
	}
	if (c->server && is_over(c->stream.stalled_since, conf->client_write_timeout, now)) {
		frozen_stalled(c);
		return;
	}
	if ((c->state == CLIENT_IDLE || c->state == CLIENT_TX_LOST) && (c->stream.held_len || c->must_recheck)) {
		c->must_recheck = false;
		stream_recheck(&c->stream);
	}
	if (c->state == CLIENT_ACTIVE && c->pool->shared->replication)
		tick_replication(c);
	else if (c->state == CLIENT_ACTIVE)
		tick_active(c, now);
	else if ((c->state == CLIENT_IDLE || c->state == CLIENT_TX_LOST) && /* a lost transaction holds nothing */
		is_over(c->idle_since, config_client_idle_timeout(conf, config_user(conf, c->user)), now))
		client_fatal(c, "57P05", "client_idle_timeout");
	else if (client_reason_to_leave(c) &&
		(c->state == CLIENT_IDLE || c->state == CLIENT_WAITING || c->state == CLIENT_NEW ||
			c->state == CLIENT_TX_LOST))
		client_fatal(c, "57P01", client_reason_to_leave(c));
}

static void tick_lingering(struct worker *w)
{
	LIST_FOREACH(&w->lingering, n, next) {
		struct client *c = CONTAINER_OF(n, struct client, node);

		if (w->loop.now >= c->linger_until)
			client_close(c, NULL); /* its reason was logged when it began */
	}
	if (w->lingering.count)
		w->tick_every = MIN(w->tick_every, 50 * USEC_PER_MSEC);
}

/* Those that hold a server. Whoever waits for one has its deadline in the pool. */
static void tick_busy(struct worker *w)
{
	struct pool *p, *next_pool;

	HASH_ITER(hh, w->pools, p, next_pool) {
		LIST_FOREACH(&p->servers, n, next) {
			struct server *s = CONTAINER_OF(n, struct server, node);

			if (s->link == &client_link) /* auth_query lends servers, too */
				tick_client(s->client, w->loop.now, false);
		}
	}
}

/* Ten thousand idle clients are looked at once a second, not at every tick. */
void session_tick(struct worker *w)
{
	cancel_tick(w);
	tick_lingering(w);
	if (w->loop.now < w->next_sweep && !w->is_stopping) {
		tick_busy(w);
		return;
	}
	w->next_sweep = w->loop.now + USEC_PER_SEC;
	LIST_FOREACH(&w->clients, n, next)
		tick_client(CONTAINER_OF(n, struct client, node), w->loop.now, true);
	settings_table_sweep(&w->settings);
}
