#include "core/upgrade.h"

#include "base/events.h"
#include "base/log.h"
#include "core/worker_thread.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASK_AGAIN (5 * USEC_PER_MSEC) /* when nobody could move just now */
#define FRAMES_PER_ROUND 64

enum upgrade_state {
	UPGRADE_ALONE,	 /* and waiting for a successor */
	UPGRADE_WELCOME, /* somebody wants to take over, and is starting */
	UPGRADE_GIVING,	 /* it serves: clients move there */
	UPGRADE_TAKING,	 /* we're the successor */
};

struct outgoing { /* a frame on its way, with its descriptors */
	struct list_node node;
	struct writer bytes;
	int fd; /* of a client; -1: none */
};

struct elsewhere { /* slots of the old process */
	struct pool_shared *pool;
	int servers;
	bool is_current;
};

struct upgrade {
	struct upgrade_host host;
	enum upgrade_state state;
	uint8_t hash_key[HANDOVER_KEY];
	char notify[HANDOVER_TEXT_MAX + 1];
	usec_t watchdog;
	struct address address; /* len 0: no successor can find us */
	struct event listen_event, read_event, write_event, ask_event;
	int listening, link;
	struct list out;
	struct writer slots; /* as they were told last */
	int n_asked;
	size_t n_found, n_left, n_moved;
	usec_t began;
	struct elsewhere *elsewhere;
	size_t n_elsewhere;
	bool is_taking; /* atomic: login threads look at it */
	bool owns_file;
	bool is_ending;		 /* what is on its way is the last */
	struct link_frame frame; /* being read */
};

static void enter(struct upgrade *u, enum upgrade_state next)
{
	u->state = next;
	__atomic_store_n(&u->is_taking, next == UPGRADE_TAKING, __ATOMIC_RELEASE);
}

bool upgrade_is_taking(const struct upgrade *u)
{
	return __atomic_load_n(&u->is_taking, __ATOMIC_ACQUIRE);
}

bool upgrade_is_giving(const struct upgrade *u)
{
	return u->state == UPGRADE_GIVING;
}

/* ---- before there are threads ---- */

static bool fail(char *error, size_t size, const char *what)
{
	snprintf(error, size, "can't take over: %s", what);
	return false;
}

static bool await_frame(int link, struct link_frame *f, struct handover_frame *out, char *error, size_t size)
{
	enum result r = link_wait(link, UPGRADE_PATIENCE_MSEC) ? link_receive(link, f) : RES_MORE;

	if (r != RES_OK)
		return fail(error, size,
			r == RES_MORE ? "the old process doesn't answer" : "the old process has hung up");
	if (handover_read(f->bytes, f->len, out) == RES_OK)
		return true;
	link_close_fds(f);
	return fail(error, size, "the old process says something else");
}

/* The last of the sockets is the one on which successors knock. */
static bool take_welcome(struct upgrade_taken *t, struct link_frame *f, const struct handover_frame *h,
	char *error, size_t size)
{
	memcpy(t->hash_key, h->hash_key, sizeof(t->hash_key));
	snprintf(t->notify, sizeof(t->notify), "%s", h->notify);
	t->watchdog = h->watchdog;
	for (size_t i = 0; i + 1 < f->n_fds; i++) {
		if (!listen_given_add(&t->given, f->fds[i], error, size))
			return false;
		f->fds[i] = -1;
	}
	if (f->n_fds) {
		t->listening = f->fds[f->n_fds - 1];
		f->n_fds = 0;
	}
	return true;
}

static bool greet(struct upgrade_taken *t, char *error, size_t size)
{
	struct link_frame *f = xcalloc(1, sizeof(*f));
	struct handover_frame h;
	struct writer w = { 0 };
	bool is_ok;

	handover_hello(&w);
	is_ok = link_send(t->link, w.data, w.len, NULL, 0) == RES_OK && await_frame(t->link, f, &h, error, size);
	if (is_ok && h.type == HANDOVER_REFUSED)
		is_ok = fail(error, size, h.reason);
	else if (is_ok)
		is_ok = h.type == HANDOVER_WELCOME ? take_welcome(t, f, &h, error, size)
						   : fail(error, size, "the old process doesn't say welcome");
	link_close_fds(f);
	OPENSSL_cleanse(f->bytes, f->len);
	free(f);
	writer_free(&w);
	return is_ok;
}

enum result upgrade_take(const struct config *c, uid_t uid, struct upgrade_taken *t, char *error, size_t error_size)
{
	struct address a;
	int e;

	*t = (struct upgrade_taken){ .link = -1, .listening = -1 };
	if (!link_address(c, &a)) {
		fail(error, error_size, "neither unix_socket_dir nor pidfile says where the old process is");
		return RES_SYSTEM;
	}
	t->link = link_connect(&a, uid, &e);
	if (t->link < 0 && (e == ENOENT || e == ECONNREFUSED))
		return RES_MORE;
	if (t->link < 0) {
		fail(error, error_size, e == EPERM ? "the old process is another user's" : strerror(e));
		return RES_SYSTEM;
	}
	if (greet(t, error, error_size))
		return RES_OK;
	upgrade_drop(t);
	return RES_REFUSED;
}

void upgrade_drop(struct upgrade_taken *t)
{
	if (t->link >= 0)
		close(t->link);
	if (t->listening >= 0)
		close(t->listening);
	t->link = t->listening = -1;
	listen_given_close(&t->given);
	OPENSSL_cleanse(t->hash_key, sizeof(t->hash_key));
}

void upgrade_listen(const struct config *c, struct upgrade_taken *t)
{
	char error[256];
	struct address a;

	if (t->listening >= 0 || !link_address(c, &a))
		return;
	t->listening = link_listen(&a, error, sizeof(error));
	if (t->listening < 0)
		log_warning(NULL, "no other process can take over from this one: %s", error);
}

/* ---- the link ---- */

static void outgoing_free(struct outgoing *o)
{
	if (o->fd >= 0)
		close(o->fd);
	OPENSSL_cleanse(o->bytes.data, o->bytes.len);
	writer_free(&o->bytes);
	free(o);
}

/* A client that couldn't be given stays. */
static void keep_client(struct upgrade *u, struct writer *state, int *fd)
{
	struct newcomer *n;

	if (move_read(state->data + 1, state->len - 1, &n) != RES_OK) {
		log_error(NULL, "a client was lost on its way to another process and back");
		return;
	}
	n->fd = *fd;
	*fd = -1;
	u->host.adopt(u->host.ctx, n);
}

static void drop_elsewhere(struct upgrade *u)
{
	for (size_t i = 0; i < u->n_elsewhere; i++) {
		slots_elsewhere(u->elsewhere[i].pool, u->elsewhere[i].servers, 0);
		registry_drop_pool(u->host.registry, &u->elsewhere[i].pool);
	}
	free(u->elsewhere);
	u->elsewhere = NULL;
	u->n_elsewhere = 0;
}

static void close_link(struct upgrade *u)
{
	if (u->link < 0)
		return;
	event_del(&u->read_event);
	event_del(&u->write_event);
	event_del(&u->ask_event);
	close(u->link);
	u->link = -1;
	LIST_FOREACH(&u->out, node, next) {
		struct outgoing *o = CONTAINER_OF(node, struct outgoing, node);

		list_remove(&u->out, node);
		if (o->fd >= 0)
			keep_client(u, &o->bytes, &o->fd);
		outgoing_free(o);
	}
	writer_free(&u->slots);
	drop_elsewhere(u);
	for (int i = 0; i < u->host.n_workers; i++)
		worker_order_look(u->host.workers[i]);
}

static void lose_link(struct upgrade *u, const char *why)
{
	enum upgrade_state was = u->state;

	u->is_ending = false;
	close_link(u);
	enter(u, UPGRADE_ALONE);
	event_add(&u->listen_event, NULL);
	switch (was) {
	case UPGRADE_ALONE: return;
	case UPGRADE_WELCOME:
		log_warning(NULL, "the process that was to take over has failed: %s: this one goes on", why);
		return;
	case UPGRADE_GIVING:
		events_add(EVENT_LIFE, "the process that had taken over is gone: this one goes on");
		log_error(NULL, "the process that took over is gone: %s: this one goes on", why);
		u->host.resumed(u->host.ctx);
		return;
	case UPGRADE_TAKING: log_warning(NULL, "the old process is gone before it was done: %s", why); return;
	}
}

static void ask(struct upgrade *u);
static void leave_when_said(struct upgrade *u);

/* Sends what the other side takes. */
static void flush(struct upgrade *u)
{
	LIST_FOREACH(&u->out, node, next) {
		struct outgoing *o = CONTAINER_OF(node, struct outgoing, node);
		enum result r = link_send(u->link, o->bytes.data, o->bytes.len, &o->fd, o->fd >= 0);

		if (r == RES_MORE) {
			struct timeval soon = { 0, (suseconds_t)ASK_AGAIN }; /* also for what no event tells */

			event_add(&u->write_event, &soon);
			return;
		}
		if (r != RES_OK) {
			lose_link(u, "it takes no more");
			return;
		}
		u->n_moved += o->fd >= 0;
		list_remove(&u->out, node);
		outgoing_free(o);
	}
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct upgrade *u = arg;

	(void)fd, (void)what;
	flush(u);
	leave_when_said(u);
	if (u->state == UPGRADE_GIVING && list_is_empty(&u->out) && !u->n_asked && !u->is_ending)
		ask(u);
}

static void say(struct upgrade *u, struct writer *w)
{
	struct outgoing *o;

	if (u->link < 0) {
		writer_free(w);
		return;
	}
	o = xcalloc(1, sizeof(*o));
	o->bytes = *w;
	o->fd = -1;
	*w = (struct writer){ 0 };
	list_push_back(&u->out, &o->node);
	flush(u);
}

static void say_alone(struct upgrade *u, enum handover_type type)
{
	struct writer w = { 0 };

	write_u8(&w, (uint8_t)type);
	say(u, &w);
}

/* ---- the old process ---- */

static void add_slots(void *ctx, const char *database, const char *user, bool replicates, int servers)
{
	if (servers > 0)
		handover_slots(ctx, database, user, replicates, servers);
}

static void tell_slots(struct upgrade *u)
{
	struct writer now = { 0 }, copy = { 0 };

	handover_begin_slots(&now);
	registry_each_pool(u->host.registry, add_slots, &now);
	if (now.len == u->slots.len && memcmp(now.data, u->slots.data, now.len) == 0) {
		writer_free(&now);
		return;
	}
	write_bytes(&copy, now.data, now.len);
	writer_free(&u->slots);
	u->slots = now;
	say(u, &copy);
}

static bool send_welcome(struct upgrade *u)
{
	int fds[HANDOVER_FDS_MAX];
	size_t n = u->host.sockets(u->host.ctx, fds, HANDOVER_FDS_MAX - 1);
	struct writer w = { 0 };
	enum result r;

	fds[n++] = u->listening;
	handover_welcome(&w, u->hash_key, u->notify, u->watchdog);
	r = link_send(u->link, w.data, w.len, fds, n);
	OPENSSL_cleanse(w.data, w.len);
	writer_free(&w);
	return r == RES_OK;
}

static void hear_hello(struct upgrade *u, const struct handover_frame *h)
{
	const char *objection = u->host.objection(u->host.ctx);
	struct writer w = { 0 };
	char text[128];

	if (h->version != HANDOVER_VERSION) {
		snprintf(text, sizeof(text), "the old process speaks version %d of the handover, not %u",
			HANDOVER_VERSION, h->version);
		objection = text;
	}
	if (objection) {
		handover_refused(&w, objection);
		link_send(u->link, w.data, w.len, NULL, 0);
		writer_free(&w);
		lose_link(u, objection);
		return;
	}
	if (!send_welcome(u)) {
		lose_link(u, "it doesn't listen");
		return;
	}
	tell_slots(u);
	say_alone(u, HANDOVER_START);
}

static void hear_ready(struct upgrade *u, int pid)
{
	log_info(NULL, "process %d has taken over: clients move there", pid);
	events_add(EVENT_LIFE, "process %d has taken over", pid);
	enter(u, UPGRADE_GIVING);
	u->owns_file = false;
	u->n_moved = 0;
	u->began = clock_now();
	u->host.replaced(u->host.ctx, pid);
	ask(u);
}

/* Not before the last frame is out: a client in it would be lost. */
static void leave_when_said(struct upgrade *u)
{
	if (u->is_ending && u->state == UPGRADE_GIVING && list_is_empty(&u->out) && !u->n_asked)
		u->host.left(u->host.ctx);
}

void upgrade_end(struct upgrade *u)
{
	if (u->state != UPGRADE_GIVING || u->is_ending)
		return;
	u->is_ending = true;
	log_info(NULL, "%zu clients have moved to the new process in %llu ms", u->n_moved + u->out.count,
		(unsigned long long)((clock_now() - u->began) / USEC_PER_MSEC));
	if (!u->n_asked)
		say_alone(u, HANDOVER_DONE);
	leave_when_said(u);
}

static bool is_empty(const struct upgrade *u)
{
	return !u->n_left && !u->n_found && !atomic_load(&u->host.registry->clients) &&
		!u->host.logins(u->host.ctx);
}

static void on_given(struct message *m, void *owner)
{
	struct give *g = CONTAINER_OF(m, struct give, message);
	struct upgrade *u = g->ctx;

	(void)owner;
	u->n_asked--;
	u->n_left += g->n_left;
	u->n_found += g->n;
	for (size_t i = 0; i < g->n; i++) {
		struct given *c = &g->clients[i];
		struct outgoing *o;

		if (u->state != UPGRADE_GIVING) {
			keep_client(u, &c->state, &c->fd);
			given_free(c);
			continue;
		}
		o = xcalloc(1, sizeof(*o));
		o->bytes = c->state;
		o->fd = c->fd;
		list_push_back(&u->out, &o->node);
	}
	free(g);
	if (u->state != UPGRADE_GIVING)
		return;
	flush(u);
	if (u->state != UPGRADE_GIVING || u->n_asked)
		return;
	if (u->is_ending) { /* drain_timeout came while they were asked */
		say_alone(u, HANDOVER_DONE);
		leave_when_said(u);
		return;
	}
	tell_slots(u);
	if (u->state != UPGRADE_GIVING || !list_is_empty(&u->out))
		return; /* on_writable() goes on */
	if (is_empty(u)) {
		upgrade_end(u);
	} else if (u->n_found) {
		ask(u);
	} else {
		struct timeval later = { 0, (suseconds_t)ASK_AGAIN };

		event_add(&u->ask_event, &later);
	}
}

static void ask(struct upgrade *u)
{
	u->n_left = u->n_found = 0;
	for (int i = 0; i < u->host.n_workers; i++) {
		struct give *g = xcalloc(1, sizeof(*g));

		g->reply_to = &u->host.loop->mailbox;
		g->deliver = on_given;
		g->ctx = u;
		u->n_asked++;
		worker_order_give(u->host.workers[i], g);
	}
}

static void on_ask(evutil_socket_t fd, short what, void *arg)
{
	struct upgrade *u = arg;

	(void)fd, (void)what;
	if (u->state == UPGRADE_GIVING && !u->n_asked && !u->is_ending)
		ask(u);
}

/* ---- the new process ---- */

static struct elsewhere *find_elsewhere(struct upgrade *u, struct pool_shared *p)
{
	struct elsewhere *e;

	for (size_t i = 0; i < u->n_elsewhere; i++) {
		if (u->elsewhere[i].pool == p)
			return &u->elsewhere[i];
	}
	u->elsewhere = xrealloc(u->elsewhere, (u->n_elsewhere + 1) * sizeof(*u->elsewhere));
	e = &u->elsewhere[u->n_elsewhere++];
	*e = (struct elsewhere){ .pool = registry_ref_pool(u->host.registry, p) };
	return e;
}

/* Replication isn't in the pool of its database and user. Here one pool stands for all of its kind: no client has this number. */
static struct pool_shared *pool_elsewhere(
	struct upgrade *u, const char *database, const char *user, bool replicates)
{
	struct registry *r = u->host.registry;

	return replicates ? registry_replication_pool(r, database, user, REPLICATION_PHYSICAL, UINT64_MAX)
			  : registry_pool(r, database, user);
}

static void hear_slots(struct upgrade *u, struct reader r)
{
	const char *database, *user;
	bool replicates;
	int servers;

	for (size_t i = 0; i < u->n_elsewhere; i++)
		u->elsewhere[i].is_current = false;
	while (handover_next_slots(&r, &database, &user, &replicates, &servers)) {
		struct pool_shared *p = pool_elsewhere(u, database, user, replicates);
		struct elsewhere *e = find_elsewhere(u, p);

		if (e->is_current) /* one more of this database and user: replication has a pool for each client */
			servers = e->servers + MIN(servers, INT_MAX - e->servers);
		slots_elsewhere(p, e->servers, servers);
		e->servers = servers;
		e->is_current = true;
		registry_drop_pool(u->host.registry, &p);
	}
	for (size_t i = 0; i < u->n_elsewhere; i++) {
		struct elsewhere *e = &u->elsewhere[i];

		if (e->is_current)
			continue;
		slots_elsewhere(e->pool, e->servers, 0);
		e->servers = 0;
	}
	for (int i = 0; i < u->host.n_workers; i++)
		worker_order_look(u->host.workers[i]);
}

static enum result hear_client(struct upgrade *u, struct reader r)
{
	struct newcomer *n;

	if (u->frame.n_fds != 1 || move_read(r.pos, reader_left(&r), &n) != RES_OK)
		return RES_PROTOCOL;
	n->fd = u->frame.fds[0];
	u->frame.n_fds = 0;
	u->n_moved++;
	u->host.adopt(u->host.ctx, n);
	return RES_OK;
}

static void finish_taking(struct upgrade *u)
{
	events_add(EVENT_LIFE, "took over %zu clients from an older process", u->n_moved);
	log_info(NULL, "took over %zu clients in %llu ms", u->n_moved,
		(unsigned long long)((clock_now() - u->began) / USEC_PER_MSEC));
	close_link(u);
	enter(u, UPGRADE_ALONE);
}

/* ---- events ---- */

/* False: that isn't to be said now. */
static bool hear(struct upgrade *u, const struct handover_frame *h)
{
	bool is_new = u->state == UPGRADE_TAKING;

	switch (h->type) {
	case HANDOVER_HELLO:
		if (u->state != UPGRADE_WELCOME || u->slots.len)
			return false;
		hear_hello(u, h);
		return true;
	case HANDOVER_READY:
		if (u->state != UPGRADE_WELCOME || !u->slots.len)
			return false;
		hear_ready(u, h->pid);
		return true;
	case HANDOVER_CANCEL:
		if (u->state == UPGRADE_GIVING)
			u->host.cancel(u->host.ctx, &h->cancel);
		return !is_new;
	case HANDOVER_SLOTS:
		if (is_new)
			hear_slots(u, h->rest);
		return is_new;
	case HANDOVER_CLIENT: return is_new && hear_client(u, h->rest) == RES_OK;
	case HANDOVER_DONE:
		if (is_new)
			finish_taking(u);
		return is_new;
	case HANDOVER_WELCOME:
	case HANDOVER_REFUSED:
	case HANDOVER_START: return false;
	}
	return false;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct upgrade *u = arg;

	(void)fd, (void)what;
	for (int i = 0; i < FRAMES_PER_ROUND && u->link >= 0; i++) {
		enum result r = link_receive(u->link, &u->frame);
		struct handover_frame h;
		bool is_ok;

		if (r == RES_MORE)
			return;
		is_ok = r == RES_OK && handover_read(u->frame.bytes, u->frame.len, &h) == RES_OK && hear(u, &h);
		OPENSSL_cleanse(u->frame.bytes, u->frame.len);
		link_close_fds(&u->frame);
		if (!is_ok) {
			lose_link(u, r == RES_SYSTEM ? "the connection has ended" : "it doesn't keep to the protocol");
			return;
		}
	}
}

static void watch_link(struct upgrade *u)
{
	event_assign(&u->read_event, u->host.loop->base, u->link, EV_READ | EV_PERSIST, on_readable, u);
	event_assign(&u->write_event, u->host.loop->base, u->link, EV_WRITE, on_writable, u);
	evtimer_assign(&u->ask_event, u->host.loop->base, on_ask, u);
	event_add(&u->read_event, NULL);
}

static void on_knock(evutil_socket_t fd, short what, void *arg)
{
	struct upgrade *u = arg;
	int link = link_accept((int)fd);

	(void)what;
	if (link < 0)
		return;
	if (u->link >= 0)
		on_readable(u->link, 0, u); /* it may be gone already */
	if (u->link >= 0) {
		close(link); /* one at a time */
		return;
	}
	u->link = link;
	enter(u, UPGRADE_WELCOME);
	watch_link(u);
}

struct upgrade *upgrade_new(const struct upgrade_host *host, const struct config *c, struct upgrade_taken *t,
	const uint8_t hash_key[HANDOVER_KEY])
{
	struct upgrade *u = xcalloc(1, sizeof(*u));

	u->host = *host;
	memcpy(u->hash_key, hash_key, sizeof(u->hash_key));
	list_init(&u->out);
	u->link = t->link;
	u->listening = t->listening;
	u->owns_file = t->link < 0;
	t->link = t->listening = -1;
	if (u->listening >= 0)
		link_address(c, &u->address);
	event_assign(&u->listen_event, host->loop->base, u->listening, EV_READ | EV_PERSIST, on_knock, u);
	if (u->link >= 0) {
		enter(u, UPGRADE_TAKING);
		u->began = clock_now();
		watch_link(u);
	}
	return u;
}

void upgrade_tell(struct upgrade *u, const char *notify, usec_t watchdog)
{
	snprintf(u->notify, sizeof(u->notify), "%s", notify);
	u->watchdog = watchdog;
}

bool upgrade_slots(struct upgrade *u, char *error, size_t error_size)
{
	struct handover_frame h;

	if (u->state != UPGRADE_TAKING)
		return true;
	for (;;) {
		if (!await_frame(u->link, &u->frame, &h, error, error_size))
			return false;
		link_close_fds(&u->frame);
		if (h.type == HANDOVER_START)
			return true;
		if (h.type != HANDOVER_SLOTS)
			return fail(error, error_size, "the old process says something else");
		hear_slots(u, h.rest);
	}
}

void upgrade_ready(struct upgrade *u)
{
	struct writer w = { 0 };

	u->owns_file = true;
	if (u->listening >= 0)
		event_add(&u->listen_event, NULL);
	if (u->state != UPGRADE_TAKING)
		return;
	handover_ready(&w, (int)getpid());
	say(u, &w);
}

void upgrade_cancel(struct upgrade *u, const struct cancel_key *k)
{
	struct writer w = { 0 };

	if (u->state != UPGRADE_TAKING)
		return;
	handover_cancel(&w, k);
	say(u, &w);
}

/* The name may be another process's by now. */
static void remove_file(const struct upgrade *u)
{
	const char *path = u->address.un.sun_path;
	int e, fd;

	if (!u->owns_file || !u->address.len || !*path)
		return;
	fd = link_connect(&u->address, geteuid(), &e);
	if (fd >= 0)
		close(fd);
	else if (e == ECONNREFUSED)
		unlink(path);
}

void upgrade_free(struct upgrade **up)
{
	struct upgrade *u = *up;

	*up = NULL;
	if (!u)
		return;
	if (u->listening >= 0) {
		event_del(&u->listen_event);
		close(u->listening);
		remove_file(u);
	}
	if (u->link >= 0) {
		event_del(&u->read_event);
		event_del(&u->write_event);
		event_del(&u->ask_event);
		close(u->link);
	}
	LIST_FOREACH(&u->out, node, next) {
		list_remove(&u->out, node);
		outgoing_free(CONTAINER_OF(node, struct outgoing, node));
	}
	writer_free(&u->slots);
	drop_elsewhere(u);
	OPENSSL_cleanse(u, sizeof(*u));
	free(u);
}
