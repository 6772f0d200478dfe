#include "admin/control.h"

#include "session/client.h"

#include <string.h>

#define KILLED "57P01", "terminating connection due to administrator command"

static bool concerns(const struct question *q, const struct pool *p)
{
	return !q->database || strcmp(q->database, p->shared->database) == 0;
}

static void pause_pool(struct pool *p)
{
	p->is_paused = true;
	LIST_FOREACH(&p->idle, n, next)
		server_close(CONTAINER_OF(n, struct server, node), "paused");
	LIST_FOREACH(&p->servers, n, next) {
		struct server *s = CONTAINER_OF(n, struct server, node);

		if (s->state == SERVER_LOGIN || s->state == SERVER_TESTING)
			server_close(s, "paused");
	}
}

static void resume_pool(struct pool *p)
{
	p->is_paused = paused_has(&p->worker->paused, p->shared->database); /* by its name, too? */
	p->worker->must_look = true;
}

static void kill_pool(struct pool *p)
{
	struct worker *w = p->worker;

	p->is_paused = true;
	LIST_FOREACH(&w->clients, n, next) {
		struct client *c = CONTAINER_OF(n, struct client, node);

		if (c->pool == p)
			client_fatal(c, KILLED);
	}
	LIST_FOREACH(&p->idle, n, next)
		server_close(CONTAINER_OF(n, struct server, node), "killed");
	LIST_FOREACH(&p->servers, n, next)
		server_close(CONTAINER_OF(n, struct server, node), "killed");
}

static void reconnect_pool(struct pool *p, usec_t at)
{
	p->reconnect_at = at;
	LIST_FOREACH(&p->idle, n, next)
		server_close(CONTAINER_OF(n, struct server, node), "RECONNECT");
	LIST_FOREACH(&p->servers, n, next)
		server_close_when_free(CONTAINER_OF(n, struct server, node), "RECONNECT");
}

/* What its server is doing is cancelled; the server is cleaned and goes on. */
static unsigned kill_client(struct worker *w, uint64_t id)
{
	LIST_FOREACH(&w->clients, n, next) {
		struct client *c = CONTAINER_OF(n, struct client, node);

		if (c->id != id || c->state == CLIENT_CLOSING)
			continue;
		if (c->server)
			c->server->is_unwanted = true;
		client_fatal(c, KILLED);
		return 1;
	}
	return 0;
}

/* In the middle of a message, or with output that it hasn't taken. */
static bool is_flushed(const struct client *c)
{
	return !c->body_left && !stream_backlog(&c->stream) && !(c->server && c->server->body_left);
}

static unsigned suspend(struct worker *w, bool is_over)
{
	unsigned n = 0;

	w->is_suspended = true;
	LIST_FOREACH(&w->clients, node, next) {
		struct client *c = CONTAINER_OF(node, struct client, node);

		client_pause(c, PAUSE_SUSPENDED);
		if (is_flushed(c))
			continue;
		n++;
		if (is_over)
			client_close(c, "suspend_timeout");
	}
	return n;
}

static unsigned unsuspend(struct worker *w)
{
	w->is_suspended = false;
	LIST_FOREACH(&w->clients, n, next)
		client_unpause(CONTAINER_OF(n, struct client, node), PAUSE_SUSPENDED);
	return 0;
}

static void apply_to_pool(struct pool *p, const struct question *q)
{
	switch (q->control) {
	case CONTROL_PAUSE: pause_pool(p); break;
	case CONTROL_RESUME: resume_pool(p); break;
	case CONTROL_KILL: kill_pool(p); break;
	case CONTROL_RECONNECT: reconnect_pool(p, q->at); break;
	case CONTROL_NONE:
	case CONTROL_KILL_CLIENT:
	case CONTROL_SUSPEND:
	case CONTROL_SUSPEND_ENDS:
	case CONTROL_UNSUSPEND: break;
	}
}

unsigned control_apply(struct worker *w, const struct question *q)
{
	struct pool *p, *next;
	unsigned n = 0;

	if (q->control == CONTROL_NONE)
		return 0;
	if (q->control == CONTROL_KILL_CLIENT)
		return kill_client(w, q->client);
	if (q->control == CONTROL_SUSPEND || q->control == CONTROL_SUSPEND_ENDS)
		return suspend(w, q->control == CONTROL_SUSPEND_ENDS);
	if (q->control == CONTROL_UNSUSPEND)
		return unsuspend(w);
	if (q->control != CONTROL_RECONNECT)
		paused_set(&w->paused, q->database, q->control != CONTROL_RESUME);
	HASH_ITER(hh, w->pools, p, next) {
		if (!concerns(q, p))
			continue;
		apply_to_pool(p, q);
		n++;
	}
	return n;
}
