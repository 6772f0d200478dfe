#include "admin/report.h"

#include "admin/control.h"
#include "admin/report_private.h"
#include "session/client.h"
#include "wire/sqlscan.h"

#include <stdlib.h>
#include <string.h>

struct asked {
	struct message message;
	struct question q; /* its database is our own */
};

static void free_asked(struct message *m)
{
	struct asked *a = CONTAINER_OF(m, struct asked, message);

	free((char *)(uintptr_t)a->q.database);
	free(a);
}

void report_free(struct report **rp)
{
	struct report *r = *rp;

	*rp = NULL;
	if (!r)
		return;
	for (size_t i = 0; i < r->n_pools; i++) {
		for (int m = 0; m < MEASURES_N; m++)
			free(r->pools[i].latency[m]);
	}
	free(r->pools);
	free(r->links);
	free(r->pins);
	free(r->waits);
	free(r->holders);
	free(r->prepared);
	writer_free(&r->text);
	free(r);
}

static void deliver_report(struct message *m, void *owner)
{
	struct report *r = CONTAINER_OF(m, struct report, message);

	(void)owner;
	r->answered(r->ctx, r);
}

static void discard_report(struct message *m)
{
	struct report *r = CONTAINER_OF(m, struct report, message);

	report_free(&r);
}

/* ---- on the worker ---- */

void *report_grow(void *items, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return items;
	*cap = *cap ? *cap * 2 : 32;
	return xrealloc(items, *cap * size);
}

static struct pool_row *add_pool(struct report *r)
{
	r->pools = report_grow(r->pools, r->n_pools, &r->cap_pools, sizeof(*r->pools));
	memset(&r->pools[r->n_pools], 0, sizeof(*r->pools));
	return &r->pools[r->n_pools++];
}

static struct link_row *add_link(struct report *r)
{
	r->links = report_grow(r->links, r->n_links, &r->cap_links, sizeof(*r->links));
	memset(&r->links[r->n_links], 0, sizeof(*r->links));
	return &r->links[r->n_links++];
}

uint32_t report_add_text(struct report *r, const char *text)
{
	size_t at = r->text.len;

	write_cstring(&r->text, text ? text : "");
	return (uint32_t)at;
}

static void report_latency(struct report *r, struct pool_row *row, struct latency *l)
{
	for (int m = 0; m < MEASURES_N; m++) {
		if (!l->measured[m])
			continue;
		row->latency[m] = xcalloc(WINDOWS_N, sizeof(*row->latency[m]));
		for (int w = 0; w < WINDOWS_N; w++)
			latency_read(l, (enum measure)m, (enum window)w, r->now, &row->latency[m][w]);
	}
}

static void report_past_latency(struct pool_row *row, const struct past_counters *past)
{
	for (int m = 0; m < MEASURES_N; m++) {
		if (!past->latency[m])
			continue;
		row->latency[m] = xcalloc(WINDOWS_N, sizeof(*row->latency[m]));
		row->latency[m][WINDOW_START] = *past->latency[m];
	}
}

static void report_pool(struct report *r, struct pool *p, bool with_latency)
{
	struct pool_row *row = add_pool(r);

	row->database = report_add_text(r, p->shared->database);
	row->user = report_add_text(r, p->shared->user);
	row->waiting = (unsigned)(p->queue.count + p->greeting.count);
	row->clients = p->n_clients > row->waiting ? p->n_clients - row->waiting : 0;
	row->servers[SERVER_IDLE] = (unsigned)p->idle.count;
	LIST_FOREACH(&p->servers, n, next) {
		const struct server *s = CONTAINER_OF(n, struct server, node);

		row->servers[s->state]++;
		row->cancels += s->cancel != NULL;
		row->close_needed += s->close_reason != NULL;
	}
	row->oldest_wait = pool_oldest_wait(p, r->now);
	row->mode = p->mode;
	row->counters = p->counters;
	if (with_latency)
		report_latency(r, row, &p->latency);
}

static void report_pools(struct report *r, const struct worker *w, bool with_latency)
{
	struct past_counters *past, *next_past;
	struct pool *p, *next;

	HASH_ITER(hh, w->pools, p, next) {
		if (!p->shared->is_own && !p->shared->replication)
			report_pool(r, p, with_latency);
	}
	HASH_ITER(hh, w->past, past, next_past) {
		struct pool_row *row = add_pool(r);

		row->is_past = true;
		row->database = report_add_text(r, past->database);
		row->user = report_add_text(r, NULL);
		row->counters = past->counters;
		if (with_latency)
			report_past_latency(row, past);
	}
}

static void report_stream(struct report *r, struct link_row *row, const struct stream *st)
{
	char tls[64];

	tls_describe(st->tls, tls, sizeof(tls));
	row->tls = report_add_text(r, tls);
	address_local(st->fd, &row->local);
	row->fd = st->fd;
	row->held = st->held_len;
	row->backlog = stream_backlog(st);
}

static uint32_t pid_of_peer(const struct stream *st, const struct address *peer)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);

	if (!address_is_unix(peer) || getsockopt(st->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return 0;
	return (uint32_t)cred.pid;
}

static void report_settings(struct report *r, struct link_row *row, const struct settings *s)
{
	row->client_encoding = report_add_text(r, settings_get(s, "client_encoding"));
	row->std_strings = report_add_text(r, settings_get(s, "standard_conforming_strings"));
	row->datestyle = report_add_text(r, settings_get(s, "DateStyle"));
	row->timezone = report_add_text(r, settings_get(s, "TimeZone"));
}

static void report_client(struct report *r, const struct client *c, bool with_settings)
{
	struct link_row *row = add_link(r);
	bool waits = list_is_linked(&c->waiter.node);

	row->database = report_add_text(r, c->database);
	row->user = report_add_text(r, c->user);
	row->application_name = report_add_text(r, settings_get(c->settings, "application_name"));
	row->state = client_state_name(c);
	address_restore(&c->peer, &row->peer);
	report_stream(r, row, &c->stream);
	row->connected_at = c->connected_at;
	row->request_at = c->request_at ? c->request_at : c->connected_at;
	row->wait = waits && r->now > c->waiter.since ? r->now - c->waiter.since : 0;
	row->id = c->id;
	row->link = c->server ? c->server->id : 0;
	row->remote_pid = pid_of_peer(&c->stream, &row->peer);
	row->statements = client_statements_count(&c->statements);
	if (with_settings)
		report_settings(r, row, c->told);
	row->body_left = c->body_left;
	row->replication = c->pool->shared->replication;
}

static void report_server(struct report *r, const struct server *s, bool with_settings)
{
	struct link_row *row = add_link(r);
	const struct client *c = s->client;

	row->is_server = true;
	row->database = report_add_text(r, s->pool->shared->database);
	row->user = report_add_text(r, s->pool->shared->user);
	row->application_name = report_add_text(r, settings_get(s->settings, "application_name"));
	row->state = server_state_name(s->state);
	row->peer = s->address;
	report_stream(r, row, &s->stream);
	row->connected_at = s->connected_at;
	row->request_at = s->request_at ? s->request_at : s->used_at ? s->used_at : s->connected_at;
	row->id = s->id;
	row->link = c ? c->id : 0;
	row->remote_pid = s->cancel_pid;
	row->statements = server_statements_count(&s->statements);
	if (with_settings)
		report_settings(r, row, s->reported);
	row->body_left = s->body_left;
	row->replication = s->pool->shared->replication;
	row->is_close_needed = s->close_reason != NULL;
}

static void report_clients(struct report *r, const struct worker *w, bool with_settings)
{
	LIST_FOREACH(&w->clients, n, next) {
		const struct client *c = CONTAINER_OF(n, struct client, node);

		report_client(r, c, with_settings);
	}
}

static void report_pins(struct report *r, const struct worker *w)
{
	memcpy(r->pins_made, w->pins_made, sizeof(r->pins_made));
	LIST_FOREACH(&w->clients, n, next) {
		const struct client *c = CONTAINER_OF(n, struct client, node);

		if (!c->pins || !c->server)
			continue;
		r->pins = report_grow(r->pins, r->n_pins, &r->cap_pins, sizeof(*r->pins));
		r->pins[r->n_pins++] = (struct pin_row){ .database = report_add_text(r, c->database),
			.user = report_add_text(r, c->user),
			.client = c->id,
			.server = c->server->id,
			.server_pid = c->server->cancel_pid,
			.pins = c->pins,
			.by = scan_kind(c->pinned_by),
			.since = c->pinned_since };
		address_restore(&c->peer, &r->pins[r->n_pins - 1].peer);
	}
}

static void report_servers(struct report *r, const struct worker *w, bool with_settings)
{
	struct pool *p, *next_pool;

	HASH_ITER(hh, w->pools, p, next_pool) {
		if (p->shared->is_own)
			continue;
		LIST_FOREACH(&p->idle, n, next)
			report_server(r, CONTAINER_OF(n, struct server, node), with_settings);
		LIST_FOREACH(&p->servers, n, next)
			report_server(r, CONTAINER_OF(n, struct server, node), with_settings);
	}
}

static void report_worker(struct report *r, const struct worker *w)
{
	struct worker_row *row = &r->of_worker;
	struct pool *p, *next;
	struct timespec cpu;

	*row = (struct worker_row){ .clients = w->clients.count,
		.waiting = w->n_waiting,
		.rounds = w->loop.rounds,
		.messages = w->loop.messages,
		.moved = w->n_moved };
	HASH_ITER(hh, w->pools, p, next) {
		row->servers += p->idle.count + p->servers.count;
		row->idle += p->idle.count;
	}
	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu) == 0)
		row->cpu = (uint64_t)cpu.tv_sec * USEC_PER_SEC + (uint64_t)cpu.tv_nsec / 1000;
}

static void deliver_question(struct message *m, void *owner)
{
	struct asked *a = CONTAINER_OF(m, struct asked, message);
	struct worker *w = owner;
	struct report *r = xcalloc(1, sizeof(*r));

	ASSERT_ON_WORKER(w);
	*r = (struct report){ .message = { .deliver = deliver_report, .discard = discard_report },
		.job = a->q.job,
		.answered = a->q.answered,
		.ctx = a->q.ctx,
		.worker = w->index,
		.now = w->loop.now };
	r->n_done = control_apply(w, &a->q);
	if (a->q.wants & WANT_POOLS)
		report_pools(r, w, a->q.wants & WANT_LATENCY);
	if (a->q.wants & (WANT_CLIENTS | WANT_FDS))
		report_clients(r, w, a->q.wants & WANT_FDS);
	if (a->q.wants & (WANT_SERVERS | WANT_FDS))
		report_servers(r, w, a->q.wants & WANT_FDS);
	if (a->q.wants & WANT_WORKER)
		report_worker(r, w);
	if (a->q.wants & WANT_PINS)
		report_pins(r, w);
	if (a->q.wants & WANT_QUEUE)
		report_queue(r, w);
	if (a->q.wants & WANT_HOLDERS)
		report_holders(r, w);
	if (a->q.wants & WANT_PREPARED)
		report_prepared(r, w);
	if (a->q.wants & WANT_MEMORY)
		report_memory(r, w);
	mailbox_post(a->q.reply_to, &r->message);
	free_asked(m);
}

void question_post(struct worker *w, const struct question *q)
{
	struct asked *a = xcalloc(1, sizeof(*a));

	a->message.deliver = deliver_question;
	a->message.discard = free_asked;
	a->q = *q;
	a->q.database = xstrdup(q->database);
	mailbox_post(&w->loop.mailbox, &a->message);
}
