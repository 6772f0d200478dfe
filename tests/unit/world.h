/*
 * world.h - a worker or two with clients and servers, in one thread and without a network: what the daemon is made of, driven by hand.
 *
 * Clients are socket pairs. Servers connect to a Unix socket without a name in the file system; world_serve() answers them as PostgreSQL
 * would, as far as it goes: text that begins with "begin", "commit", "rollback", "copy" or "fail" does what it says.
 */
#ifndef PGWEIR_WORLD_H
#define PGWEIR_WORLD_H

#include "core/worker_thread.h"
#include "pool/server.h"
#include "session/client.h"
#include "wire/msg.h"

#include "rig.h"

#include <string.h>
#include <sys/socket.h>

#define WORLD_SERVERS 16
#define WORLD_CLIENTS 4
#define WORLD_WORKERS 2

struct world_server {
	int fd; /* -1: gone */
	struct writer in;
	bool is_up, is_skipping, is_copying;
	uint8_t tx_status;
};

struct world {
	struct worker worker, other; /* clients are the first one's; the other is there if it was asked for */
	struct worker *peers[WORLD_WORKERS];
	int n_workers;
	struct registry *registry;
	struct snapshot *snapshot;
	int listener;
	struct world_server servers[WORLD_SERVERS];
	int n_servers;
	int clients[WORLD_CLIENTS]; /* our ends; -1: gone */
	int n_clients;
};

static inline void world_listen_(struct world *w, char host[32])
{
	static unsigned n;
	struct address a;

	snprintf(host, 32, "@pgweir-world-%d-%u", (int)getpid(), n++);
	ASSERT(address_unix(&a, host, 5432));
	w->listener = socket_listen(&a, WORLD_SERVERS, false, &(struct tcp_options){ 0 });
	ASSERT(w->listener >= 0);
}

static inline void world_start_workers(struct world *w, const char *settings, int n_workers)
{
	static const struct log_options quiet = { .file = "/dev/null" };
	char host[32], lines[512], error[256];

	log_open(&quiet, error, sizeof(error));
	memset(w, 0, sizeof(*w));
	world_listen_(w, host);
	snprintf(lines, sizeof(lines),
		"log_disconnections = 0\npool_mode = transaction\n%s\n[databases]\nworld = port=5432\n", settings);
	w->snapshot = rig_snapshot(lines, "\"bob\" \"secret\"\n");
	for (struct config_database *db = w->snapshot->config->databases; db; db = db->next) {
		if (strcmp(db->name, "world") == 0) { /* a file may not say @, and files' names would outlive a failed test */
			free(db->hosts->name);
			db->hosts->name = xstrdup(host);
		}
	}
	w->registry = registry_new(n_workers);
	w->n_workers = n_workers;
	w->peers[0] = &w->worker;
	w->peers[1] = &w->other;
	for (int i = 0; i < n_workers; i++) {
		worker_init(w->peers[i], i, w->peers, n_workers, w->registry, NULL, NULL, w->snapshot);
		worker_set_callbacks(w->peers[i]);
	}
}

static inline void world_start(struct world *w, const char *settings)
{
	world_start_workers(w, settings, 1);
}

static inline void world_stop_round_(struct message *m, void *owner)
{
	struct worker *w = owner;

	(void)m;
	loop_stop(&w->loop);
}

static inline void world_no_discard_(struct message *m)
{
	(void)m;
}

static inline void world_accept_(struct world *w)
{
	int fd;

	while ((fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (w->n_servers == WORLD_SERVERS) {
			close(fd);
			continue;
		}
		w->servers[w->n_servers++] = (struct world_server){ .fd = fd, .tx_status = TX_IDLE };
	}
}

/* No round waits. */
static inline void world_round_(struct loop *l)
{
	struct message stop = { .deliver = world_stop_round_, .discard = world_no_discard_ };

	mailbox_post(&l->mailbox, &stop);
	l->is_stopped = false;
	loop_run(l);
}

/* The workers in turn. */
static inline void world_rounds(struct world *w, int n)
{
	for (int i = 0; i < n; i++) {
		for (int worker = 0; worker < w->n_workers; worker++)
			world_round_(&w->peers[worker]->loop);
		world_accept_(w);
	}
}

/* Its number. It is logged in, and waits for its welcome. application_name may be NULL. */
static inline int world_client_named(struct world *w, const char *application_name)
{
	struct newcomer *n = xcalloc(1, sizeof(*n));
	int fds[2], e = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);

	ASSERT(e == 0 && w->n_clients < WORLD_CLIENTS);
	n->message.deliver = session_adopt;
	n->message.discard = session_discard;
	n->fd = fds[0];
	n->database = xstrdup("world");
	n->user = xstrdup("bob");
	n->server_user = xstrdup("bob");
	n->id = registry_id(w->registry);
	n->since = clock_now();
	if (application_name)
		settings_put(&n->settings, "application_name", application_name);
	atomic_fetch_add(&w->registry->worker_clients[0], 1);
	mailbox_post(&w->worker.loop.mailbox, &n->message);
	w->clients[w->n_clients] = fds[1];
	return w->n_clients++;
}

static inline int world_client(struct world *w)
{
	return world_client_named(w, NULL);
}

/* A CancelRequest for the nth of the worker's clients, with the right key. */
static inline void world_cancel(struct world *w, int n)
{
	struct cancel_request *r;
	struct client *c = NULL;

	LIST_FOREACH(&w->worker.clients, node, next) {
		if (n-- == 0)
			c = CONTAINER_OF(node, struct client, node);
	}
	if (!c)
		return;
	r = xcalloc(1, sizeof(*r));
	r->message.deliver = session_cancel;
	r->message.discard = session_cancel_discard;
	r->fd = -1;
	r->key = c->key;
	mailbox_post(&w->worker.loop.mailbox, &r->message);
}

static inline void world_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- a small PostgreSQL ---- */

static inline void world_error_(struct world_server *s, struct writer *out)
{
	static const struct error_info e = {
		.severity = "ERROR", .sqlstate = "22012", .message = "failed as it was told to"
	};

	write_error(out, &e);
	s->is_copying = false;
	if (s->tx_status == TX_BLOCK)
		s->tx_status = TX_FAILED;
}

static inline void world_empty_(struct writer *out, uint8_t type)
{
	msg_begin(out, type);
	msg_end(out);
}

static inline void world_welcome_(struct world_server *s, struct writer *out)
{
	msg_begin(out, MSG_AUTHENTICATION);
	write_u32(out, AUTH_OK);
	msg_end(out);
	write_parameter_status(out, "server_version", "15.0");
	msg_begin(out, MSG_BACKEND_KEY_DATA);
	write_u32(out, 1);
	write_u32(out, 2);
	msg_end(out);
	write_ready_for_query(out, TX_IDLE);
	s->is_up = true;
}

static inline bool world_is_(const char *text, size_t len, const char *word)
{
	return len >= strlen(word) && strncasecmp(text, word, strlen(word)) == 0;
}

static inline void world_query_(struct world_server *s, const char *text, size_t len, struct writer *out)
{
	if (world_is_(text, len, "fail")) {
		world_error_(s, out);
	} else if (world_is_(text, len, "copy")) {
		s->is_copying = true;
		msg_begin(out, MSG_COPY_IN_RESPONSE);
		write_bytes(out, "\0\0\0", 3);
		msg_end(out);
		return;
	} else {
		if (world_is_(text, len, "begin"))
			s->tx_status = TX_BLOCK;
		else if (world_is_(text, len, "commit") || world_is_(text, len, "rollback"))
			s->tx_status = TX_IDLE;
		write_command_complete(out, "OK");
	}
	write_ready_for_query(out, s->tx_status);
}

static inline void world_copy_(struct world_server *s, uint8_t type, struct writer *out)
{
	if (type != MSG_COPY_DONE && type != MSG_COPY_FAIL)
		return;
	if (type == MSG_COPY_DONE)
		write_command_complete(out, "COPY 1");
	else
		world_error_(s, out);
	s->is_copying = false;
	write_ready_for_query(out, s->tx_status);
}

static inline void world_extended_(struct world_server *s, uint8_t type, bool must_fail, struct writer *out)
{
	static const struct {
		uint8_t type, answer;
	} answers[] = { { MSG_PARSE, MSG_PARSE_COMPLETE }, { MSG_BIND, MSG_BIND_COMPLETE },
		{ MSG_DESCRIBE, MSG_NO_DATA }, { MSG_CLOSE, MSG_CLOSE_COMPLETE },
		{ MSG_EXECUTE, MSG_EMPTY_QUERY_RESPONSE } };

	for (size_t i = 0; i < N_ELEMENTS(answers) && !s->is_skipping; i++) {
		if (answers[i].type != type)
			continue;
		if (must_fail)
			world_error_(s, out);
		else
			world_empty_(out, answers[i].answer);
		s->is_skipping = must_fail;
		return;
	}
}

static inline void world_answer_(struct world_server *s, uint8_t type, const char *body, size_t len,
	bool must_fail, struct writer *out)
{
	if (s->is_copying) {
		world_copy_(s, type, out);
	} else if (type == MSG_SYNC) {
		s->is_skipping = false;
		write_ready_for_query(out, s->tx_status);
	} else if (type == MSG_QUERY && !s->is_skipping) {
		world_query_(s, must_fail ? "fail" : body, must_fail ? 4 : len, out);
	} else if (type == MSG_FUNCTION_CALL && !s->is_skipping) {
		msg_begin(out, MSG_FUNCTION_CALL_RESPONSE);
		write_u32(out, UINT32_MAX);
		msg_end(out);
		write_ready_for_query(out, s->tx_status);
	} else { /* a Bind that is meant to fail names a statement that no server has */
		world_extended_(s, type, must_fail || memmem(body, len, "pgweir_refused", 14), out);
	}
}

static inline void world_receive_(struct world_server *s)
{
	ssize_t n;

	do {
		n = recv(s->fd, writer_reserve(&s->in, 65536), 65536, 0);
		if (n > 0)
			s->in.len += (size_t)n;
	} while (n > 0);
}

/* How much of what it was sent a server could answer. fails_at: this one of them fails; -1: none. */
static inline int world_serve(struct world *w, int i, int fails_at)
{
	struct world_server *s = &w->servers[i];
	struct writer out = { 0 };
	struct reader r;
	struct frame f;
	int n = 0;

	if (s->fd < 0)
		return 0;
	world_receive_(s);
	r = reader_over(s->in.data, s->in.len);
	if (!s->is_up && reader_left(&r) >= 4 && load_be32(r.pos) <= reader_left(&r)) {
		read_bytes(&r, load_be32(r.pos));
		world_welcome_(s, &out);
	}
	while (s->is_up && frame_peek(&r, &f) == RES_OK && f.length <= reader_left(&r)) {
		const char *bytes = (const char *)read_bytes(&r, f.length);

		world_answer_(s, f.type, bytes + FRAME_HEADER_SIZE, f.length - FRAME_HEADER_SIZE,
			n++ == fails_at, &out);
	}
	s->in.len = reader_left(&r);
	memmove(s->in.data, r.pos, s->in.len);
	if (out.len)
		send(s->fd, out.data, out.len, MSG_NOSIGNAL);
	writer_free(&out);
	return n;
}

/* ---- a client's words ---- */

#define WORLD_MANY 4 /* rounds, after which nothing more happens by itself */

static inline void world_say_bytes(struct world *w, int client, const struct writer *m)
{
	ssize_t n = send(w->clients[client], m->data, m->len, MSG_NOSIGNAL);

	ASSERT(n == (ssize_t)m->len);
	world_rounds(w, WORLD_MANY);
}

/* text: a string for the body; NULL: none */
static inline void world_say(struct world *w, int client, uint8_t type, const char *text)
{
	struct writer m = { 0 };

	msg_begin(&m, type);
	if (text)
		write_cstring(&m, text);
	msg_end(&m);
	world_say_bytes(w, client, &m);
	writer_free(&m);
}

static inline int world_spell_(char *out, size_t size, const struct frame *f, struct reader body)
{
	struct error_info e;

	switch (f->type) {
	case MSG_READY_FOR_QUERY: return snprintf(out, size, "Z%c ", read_u8(&body));
	case MSG_COMMAND_COMPLETE: return snprintf(out, size, "C=%s ", read_cstring(&body));
	case MSG_ERROR_RESPONSE: error_parse(body, &e); return snprintf(out, size, "E=%s ", e.sqlstate);
	default: return snprintf(out, size, "%c ", f->type);
	}
}

/* What a client got since the last look: types, with a ReadyForQuery's status, an error's SQLSTATE, a command's tag; "eof". */
static inline const char *world_heard(struct world *w, int client)
{
	static char buf[512];
	static uint8_t bytes[65536];
	ssize_t got = recv(w->clients[client], bytes, sizeof(bytes), 0);
	struct reader r = reader_over(bytes, got > 0 ? (size_t)got : 0);
	struct frame f;
	size_t n = 0;

	while (frame_peek(&r, &f) == RES_OK && f.length <= reader_left(&r)) {
		struct reader body = reader_over(r.pos + FRAME_HEADER_SIZE, f.length - FRAME_HEADER_SIZE);

		n += (size_t)world_spell_(buf + n, sizeof(buf) - n, &f, body);
		ASSERT(n < sizeof(buf));
		read_bytes(&r, f.length);
	}
	if (got == 0)
		n += (size_t)snprintf(buf + n, sizeof(buf) - n, "eof ");
	buf[n ? n - 1 : 0] = '\0';
	return buf;
}

/* ---- what must always hold ---- */

/* What all workers have, and what is on its way to them. */
static inline void world_check_shared_(const struct world *w, struct pool_shared *shared)
{
	size_t servers = 0, logins = 0, waiting = 0;

	for (int i = 0; i < w->n_workers; i++) {
		struct pool *p;

		servers += atomic_load(&shared->views[i].incoming);
		HASH_FIND_PTR(w->peers[i]->pools, &shared, p);
		if (!p)
			continue;
		servers += p->idle.count + p->servers.count;
		logins += p->n_login;
		waiting += p->queue.count;
		ASSERT(!p->limits.pool || atomic_load(&shared->servers) <= p->limits.pool);
	}
	ASSERT((size_t)atomic_load(&shared->servers) == servers);
	ASSERT((size_t)atomic_load(&shared->logins) == logins);
	ASSERT((size_t)atomic_load(&shared->waiting) == waiting);
}

/* What this worker lets the others know. */
static inline void world_check_view_(const struct pool *p)
{
	struct worker_view *v = &p->shared->views[p->worker->index];

	ASSERT(atomic_load(&v->servers) == p->idle.count + p->servers.count - p->n_login);
	ASSERT(atomic_load(&v->idle) == p->idle.count && atomic_load(&v->waiting) == p->queue.count);
	ASSERT(atomic_load(&v->oldest) == queue_since(&p->queue));
}

static inline void world_check_pool_(const struct pool *p)
{
	size_t n_login = 0, n_clients = 0;

	LIST_FOREACH(&p->servers, n, next) {
		struct server *s = CONTAINER_OF(n, struct server, node);

		n_login += s->state == SERVER_LOGIN;
		ASSERT(s->pool == p && s->state != SERVER_IDLE && s->state != SERVER_CLOSING);
		ASSERT((s->client != NULL) ==
			(s->state == SERVER_ACTIVE || s->state == SERVER_SYNCING || s->state == SERVER_PROBING));
		if (s->client && s->link == &client_link)
			ASSERT(((struct client *)s->client)->server == s);
	}
	LIST_FOREACH(&p->idle, n, next) {
		struct server *s = CONTAINER_OF(n, struct server, node);

		ASSERT(s->pool == p && s->state == SERVER_IDLE && !s->client && pending_is_idle(&s->pending));
	}
	LIST_FOREACH(&p->worker->clients, n, next)
		n_clients += CONTAINER_OF(n, struct client, node)->state != CLIENT_CLOSING;
	ASSERT(p->n_login == n_login && p->n_clients == n_clients);
	ASSERT(p->worker->n_waiting == p->queue.count + p->greeting.count);
	world_check_view_(p);
}

static inline void world_check(struct world *w)
{
	LIST_FOREACH(&w->worker.clients, n, after) {
		struct client *c = CONTAINER_OF(n, struct client, node);
		bool is_waiting = c->state == CLIENT_WAITING || c->state == CLIENT_NEW;

		ASSERT((c->server != NULL) == (c->state == CLIENT_ACTIVE || c->state == CLIENT_SYNCING));
		ASSERT(!c->server || c->server->client == c);
		ASSERT(list_is_linked(&c->waiter.node) == is_waiting);
		ASSERT(!c->gather && !c->out);
	}
	for (int i = 0; i < w->n_workers; i++) {
		struct pool *p, *next;

		HASH_ITER(hh, w->peers[i]->pools, p, next) {
			world_check_pool_(p);
			world_check_shared_(w, p->shared);
		}
	}
}

/* The end of the daemon: nothing may be left. */
static inline void world_end(struct world *w)
{
	for (int i = 0; i < w->n_workers; i++)
		worker_order_stop(w->peers[i], STOP_NOW, NULL, NULL);
	world_rounds(w, 1);
	for (int i = 0; i < w->n_workers; i++) {
		w->peers[i]->stop_at = 1; /* it may wait for cancels that nobody answers here: its time is over */
		loop_tick_soon(&w->peers[i]->loop);
	}
	world_rounds(w, 2);
	world_check(w);
	for (int i = 0; i < w->n_workers; i++)
		worker_destroy(w->peers[i]);
	ASSERT(atomic_load(&w->registry->worker_clients[0]) == 0);
	ASSERT(!w->registry->pools && !w->registry->databases && !w->registry->users);
	registry_free(w->registry);
	snapshot_unref(&w->snapshot);
	for (int i = 0; i < w->n_servers; i++) {
		world_close(&w->servers[i].fd);
		writer_free(&w->servers[i].in);
	}
	for (int i = 0; i < w->n_clients; i++)
		world_close(&w->clients[i]);
	close(w->listener);
}

#endif
