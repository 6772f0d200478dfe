#include "front/front.h"

#include "base/slab.h"
#include "base/table.h"
#include "front/line.h"
#include "front/login.h"
#include "front/slowdown.h"
#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define ACCEPTS_PER_ROUND                                                                                    \
	256 /* a round of TLS handshakes may take 30 ms, and a herd fills the listen queue in less */
#define SPARE_LOGINS 1000	 /* beyond max_client_conn: logins that will be refused, cancels, consoles */
#define HURRY (5 * USEC_PER_SEC) /* client_login_timeout while all places are taken */
#define ACCEPT_PAUSE (100 * USEC_PER_MSEC) /* when descriptors have run out */
#define LINGER USEC_PER_SEC		   /* for how long a refused client is read from .. */
#define LINGER_BYTES (256 * 1024)	   /* .. and how much */
#define TICK_IDLE USEC_PER_SEC
#define SLOT_GRACE                                                                                           \
	(50 * USEC_PER_MSEC) /* for an answer of a client on a busy machine; short beside a human or a slow line */
#define NICE 5

struct door {
	struct event event;
	struct front *front;
	int fd;
	bool is_unix, is_armed;
};

/* A connection. Which list holds it says how far it is. */
struct visitor {
	struct stream stream;
	struct login login;
	UT_hash_handle hh; /* in front->asking, under its number, while is_asking */
	bool is_watched;   /* its stream is */
	bool is_asking;	   /* an answer is on its way: it isn't read meanwhile */
	struct front *front;
	struct list *list; /* logins, finished, delayed or lingering; NULL: closed */
	struct list_node node;
	struct doomed doomed;
	struct list_node slot_node; /* in front->working */
	usec_t slot_until;
	usec_t since;	      /* accepted */
	usec_t delayed_until; /* its last word waits */
	usec_t linger_until;
	size_t lingered;
	uint8_t *early; /* came behind the login */
	size_t early_len;
};

struct front {
	/* fixed before the thread starts */
	const struct front_ops *ops;
	void *ctx;
	pthread_t thread;
	uint64_t id_step;

	/* its own thread's */
	struct loop loop;
	struct snapshot *snapshot;
	struct login_env env;
	uint64_t next_id;
	struct door *doors;
	size_t n_doors;
	enum front_door door;
	usec_t paused_until; /* descriptors had run out */
	usec_t next_recheck;
	usec_t complained_at;  /* last logged that they had */
	struct list logins;    /* in the order of accept, which is that of their deadlines */
	struct list finished;  /* DONE or CANCEL, handed over at the round's end */
	struct list delayed;   /* FAILED: the last word waits, as its address has failed before */
	struct list lingering; /* FAILED: the last word is on its way; in deadlines' order */
	struct line line;      /* accepted, and waits for one of these places */
	struct list working; /* of logins those that have one of login_concurrency's places; in the order in which they lose it */
	bool is_full; /* doors are closed until one of them is free */
	struct slowdown *slowdown;
	struct slab visitors;
	struct visitor *asking; /* hash by number */

	/* any thread */
	size_t login_count; /* atomic */
};

static void give_slot(struct visitor *v)
{
	if (list_is_linked(&v->slot_node))
		list_remove(&v->front->working, &v->slot_node);
}

/* Accepted, or a step further: nobody new is let in on its account for a while. */
static void take_slot(struct visitor *v)
{
	give_slot(v);
	v->slot_until = v->front->loop.now + SLOT_GRACE;
	list_push_back(&v->front->working, &v->slot_node);
}

static void expire_slots(struct front *f)
{
	struct list_node *node;

	while ((node = list_first(&f->working))) {
		struct visitor *v = CONTAINER_OF(node, struct visitor, slot_node);

		if (v->slot_until > f->loop.now)
			break;
		give_slot(v);
	}
}

static void move_to(struct visitor *v, struct list *list)
{
	if (v->list)
		list_remove(v->list, &v->node);
	if (list != &v->front->logins)
		give_slot(v);
	v->list = list;
	if (list)
		list_push_back(list, &v->node);
}

/* It stays for longer than the round in which it was accepted. */
static void watch(struct visitor *v)
{
	if (!v->is_watched)
		stream_watch(&v->stream);
	v->is_watched = true;
}

static size_t places_taken(const struct front *f)
{
	return line_count(&f->line) + f->logins.count + f->delayed.count + f->lingering.count + f->finished.count;
}

static size_t places(const struct front *f)
{
	return (size_t)f->snapshot->config->max_client_conn + SPARE_LOGINS;
}

static usec_t login_limit(const struct front *f)
{
	usec_t timeout = f->snapshot->config->client_login_timeout;

	if (places_taken(f) < places(f))
		return timeout;
	return timeout ? MIN(timeout, HURRY) : HURRY;
}

/* Waiting for an answer from elsewhere. */

static void begin_asking(struct visitor *v)
{
	give_slot(v);
	v->is_asking = true;
	HASH_ADD(hh, v->front->asking, login.who.id, sizeof(v->login.who.id), v);
	stream_pause(&v->stream);
}

static void end_asking(struct visitor *v)
{
	if (!v->is_asking)
		return;
	v->is_asking = false;
	HASH_DEL(v->front->asking, v);
	stream_resume(&v->stream);
}

static void visitor_free(struct doomed *d)
{
	struct visitor *v = CONTAINER_OF(d, struct visitor, doomed);

	slab_free(&v->front->visitors, v);
}

static void drop(struct visitor *v)
{
	if (!v->list)
		return;
	move_to(v, NULL);
	end_asking(v);
	stream_close(&v->stream);
	login_free(&v->login);
	free(v->early);
	loop_doom(&v->front->loop, &v->doomed);
}

/* The last word. */

/*
 * Closing a socket with unread input would reset it and lose the error, so we say that we're done and read on a
 * little.
 */
static void linger(struct visitor *v)
{
	struct front *f = v->front;

	end_asking(v);
	if (v->login.out.len == 0) {
		drop(v);
		return;
	}
	stream_send_bytes(&v->stream, v->login.out.data, v->login.out.len);
	writer_free(&v->login.out);
	stream_finish(&v->stream);
	if (list_is_empty(&f->lingering))
		loop_tick_soon(&f->loop);
	v->linger_until = f->loop.now + LINGER;
	watch(v);
	move_to(v, &f->lingering);
}

/* How long the last word waits; not at all where places are needed. */
static usec_t delay_of(struct visitor *v)
{
	struct front *f = v->front;
	usec_t delay = f->snapshot->config->auth_failure_delay;

	if (!delay || !v->login.is_auth_failure || v->login.out.len == 0 || places_taken(f) >= places(f))
		return 0;
	return slowdown_failed(f->slowdown, &v->login.peer, delay, f->loop.now);
}

static void fail(struct visitor *v)
{
	struct front *f = v->front;
	usec_t delay = delay_of(v);

	if (!delay) {
		linger(v);
		return;
	}
	end_asking(v);
	v->delayed_until = f->loop.now + delay;
	watch(v);
	move_to(v, &f->delayed);
	loop_tick_soon(&f->loop);
}

static size_t discard(struct visitor *v, size_t len)
{
	v->lingered += len;
	if (v->lingered > LINGER_BYTES)
		drop(v);
	return len;
}

/* The stream's news. */

static void finish(struct visitor *v, const uint8_t *early, size_t len)
{
	if (len && v->login.state == LOGIN_DONE) {
		v->early = xmalloc(len);
		v->early_len = len;
		memcpy(v->early, early, len);
	}
	stream_pause(&v->stream);
	move_to(v, &v->front->finished);
}

/* Passwords don't stay in the loop's buffer. The bytes are the stream's own, and it is done with them. */
static void wipe(const uint8_t *bytes, size_t len)
{
	explicit_bzero((void *)(uintptr_t)bytes, len);
}

static void start_tls(struct visitor *v)
{
	struct tls *t = tls_accept(tls_set_clients(v->login.snapshot->tls));

	stream_start_tls(&v->stream, &t);
}

/* To what the login has become. True: it's over, and nobody needs the rest of its bytes. */
static bool react(struct visitor *v, const uint8_t *rest, size_t len)
{
	struct login *l = &v->login;

	if (l->state == LOGIN_DONE || l->state == LOGIN_CANCEL) {
		finish(v, rest, len);
		return true;
	}
	if (l->state == LOGIN_FAILED) {
		fail(v);
		return true;
	}
	stream_send_bytes(&v->stream, l->out.data, l->out.len);
	l->out.len = 0;
	if (l->state == LOGIN_LOOKUP)
		begin_asking(v);
	if (l->state == LOGIN_TLS)
		start_tls(v);
	return false;
}

static size_t on_data(struct stream *s, const uint8_t *bytes, size_t len)
{
	struct visitor *v = CONTAINER_OF(s, struct visitor, stream);
	struct login *l = &v->login;
	enum login_state was = l->state;
	size_t used;

	loop_assert_own(&v->front->loop);
	if (l->state == LOGIN_FAILED)
		return discard(v, len);
	used = login_feed(l, bytes, len);
	if (l->state != was)
		take_slot(v);
	wipe(bytes, used);
	return react(v, bytes + used, len - used) ? len : used;
}

static void on_handshake(struct stream *s)
{
	struct visitor *v = CONTAINER_OF(s, struct visitor, stream);
	struct tls_facts facts;

	if (!tls_is_up(s->tls) || v->login.state != LOGIN_TLS)
		return;
	take_slot(v);
	tls_get_facts(s->tls, &facts);
	login_secured(&v->login, &facts);
	if (v->login.state == LOGIN_FAILED)
		linger(v);
}

static void on_drained(struct stream *s)
{
	struct visitor *v = CONTAINER_OF(s, struct visitor, stream);

	if (v->list == &v->front->lingering)
		stream_finish(s);
}

static void log_handshake_failure(const struct visitor *v)
{
	if (v->front->snapshot->config->log_pooler_errors)
		log_info(&v->login.who, "TLS handshake failed: %s", tls_why(v->stream.tls));
}

static void on_closed(struct stream *s, enum stream_end why)
{
	struct visitor *v = CONTAINER_OF(s, struct visitor, stream);

	(void)why;
	if (v->login.state == LOGIN_TLS && s->error == EPROTO)
		log_handshake_failure(v);
	else if (!login_is_over(&v->login))
		log_debug(&v->login.who, "closing before login: the client went away");
	drop(v);
}

/* Others that are paused are handed over in this round. */
static void on_hangup(struct stream *s)
{
	struct visitor *v = CONTAINER_OF(s, struct visitor, stream);

	if (v->is_asking)
		on_closed(s, STREAM_EOF);
}

static const struct stream_ops visitor_ops = {
	.data = on_data, .drained = on_drained, .hangup = on_hangup, .closed = on_closed, .handshake = on_handshake
};

static void take_answer(struct message *m, void *owner)
{
	struct front *f = owner;
	struct lookup *q = lookup_of(m);
	struct visitor *v;

	HASH_FIND(hh, f->asking, &q->login, sizeof(q->login), v);
	if (!v) { /* timed out, or gone */
		lookup_free(&q);
		return;
	}
	end_asking(v);
	take_slot(v);
	login_answer(&v->login, &q);
	react(v, v->stream.held, v->stream.held_len);
}

/* The login's way out. */

static bool count_client(
	void *ctx, const struct config *c, const char *database, const char *user, struct limit_reached *why)
{
	struct front *f = ctx;

	return f->ops->count_client(f->ctx, c, database, user, why);
}

static void uncount_client(void *ctx, const char *database, const char *user)
{
	struct front *f = ctx;

	f->ops->uncount_client(f->ctx, database, user);
}

static bool count_origin(
	void *ctx, const struct config *c, const struct address_origin *o, struct limit_reached *why)
{
	struct front *f = ctx;

	return f->ops->count_origin(f->ctx, c, o, why);
}

static void uncount_origin(void *ctx, const struct address_origin *o)
{
	struct front *f = ctx;

	f->ops->uncount_origin(f->ctx, o);
}

static void ask(void *ctx, struct lookup *q)
{
	struct front *f = ctx;
	usec_t timeout = f->snapshot->config->client_login_timeout;

	q->reply_to = &f->loop.mailbox;
	q->deliver = take_answer;
	/* a moment before the login's own, so that the reason arrives in time */
	q->deadline = timeout ? f->loop.now + timeout - MIN(timeout / 4, USEC_PER_SEC) : 0;
	f->ops->ask(f->ctx, q);
}

/* Handing over. */

static void deliver(struct visitor *v)
{
	struct front *f = v->front;
	struct login *l = &v->login;
	struct tls *tls = stream_take_tls(&v->stream);
	struct writer unsent = { 0 };
	struct newcomer *n;

	/* what the kernel hasn't taken yet goes in front of the greeting */
	if (!tls)
		write_bytes(&unsent, v->stream.out + v->stream.out_pos, stream_backlog(&v->stream));
	write_bytes(&unsent, l->out.data, l->out.len);
	writer_free(&l->out);
	l->out = unsent;
	n = login_newcomer(l, stream_release(&v->stream), &v->early, v->early_len, v->since);
	n->tls = tls;
	f->ops->deliver(f->ctx, n);
}

static void deliver_cancel(struct visitor *v)
{
	struct front *f = v->front;
	struct cancel_request *c = xcalloc(1, sizeof(*c));

	c->key = v->login.cancel;
	c->tls = stream_take_tls(&v->stream);
	c->fd = stream_release(&v->stream);
	f->ops->cancel(f->ctx, f->snapshot->config, c);
}

static void hand_over(struct visitor *v)
{
	if (v->login.state == LOGIN_CANCEL)
		deliver_cancel(v);
	else
		deliver(v);
	drop(v);
}

/* Doors: when we listen. */

/* This thread's share of login_concurrency: ids step by the number of threads. */
static size_t concurrency(const struct front *f)
{
	return MAX((size_t)f->snapshot->config->login_concurrency / f->id_step, 1);
}

static bool may_listen(const struct front *f)
{
	return f->door != FRONT_CLOSED && f->loop.now >= f->paused_until && places_taken(f) < places(f);
}

static void update_doors(struct front *f)
{
	bool may = may_listen(f), is_full = f->working.count >= concurrency(f);

	if (is_full && !f->is_full)
		loop_tick_soon(&f->loop); /* which may be due only when these have long lost their places */
	f->is_full = is_full;
	for (size_t i = 0; i < f->n_doors; i++) {
		struct door *d = &f->doors[i];

		if (d->fd < 0 || d->is_armed == may)
			continue;
		d->is_armed = may;
		if (may)
			event_add(&d->event, NULL);
		else
			event_del(&d->event);
	}
}

static void close_door(struct door *d)
{
	if (d->fd < 0)
		return;
	event_del(&d->event); /* before close: other descriptors of the same socket would keep it in epoll */
	close(d->fd);
	d->fd = -1;
}

/* Whose process is at the other end of a Unix socket? -1: not known. */
static int64_t peer_uid(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 ? (int64_t)peer.uid : -1;
}

static void welcome(struct front *f, int fd, const struct address *peer, bool is_unix, usec_t since)
{
	struct visitor *v = slab_alloc(&f->visitors);
	int64_t uid = is_unix ? peer_uid(fd) : -1;
	int buffer = f->snapshot->config->tcp_socket_buffer;
	usec_t limit = login_limit(f);

	if (buffer) /* all other options come from the listening socket */
		socket_set_buffer(fd, buffer);
	v->front = f;
	v->since = since;
	v->doomed.free = visitor_free;
	login_init(&v->login, &f->env, f->snapshot, f->next_id, peer, uid >= 0 && uid == (int64_t)geteuid());
	v->login.peer_uid = uid;
	f->next_id += f->id_step;
	stream_init(&v->stream, &visitor_ops, fd, false);
	stream_attach_unwatched(&v->stream, &f->loop);
	if (list_is_empty(&f->logins) && limit && limit < TICK_IDLE)
		loop_tick_soon(&f->loop); /* it may sleep longer than this login may take */
	move_to(v, &f->logins);
	take_slot(v);
	log_noise(&v->login.who, "connected");
}

static void pause_accepting(struct front *f, int e)
{
	f->paused_until = f->loop.now + ACCEPT_PAUSE;
	loop_tick_soon(&f->loop);
	if (f->complained_at && f->loop.now - f->complained_at < USEC_PER_SEC)
		return;
	f->complained_at = f->loop.now;
	log_warning(NULL, "cannot accept clients: %s: trying again in %d ms", strerror(e),
		(int)(ACCEPT_PAUSE / USEC_PER_MSEC));
}

/* False: enough for this round. */
static bool accept_one(struct front *f, const struct door *d)
{
	struct address peer = { .len = sizeof(peer.storage) };
	int fd = accept4(d->fd, &peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		if (d->is_unix)
			peer.sa.sa_family = AF_UNIX; /* a client's end has no name */
		if (line_count(&f->line) || f->working.count >= concurrency(f))
			line_add(&f->line, fd, d->is_unix, &peer, f->loop.now);
		else
			welcome(f, fd, &peer, d->is_unix, f->loop.now);
		return true;
	}
	switch (errno) {
	case EAGAIN: /* another login thread was quicker */ return false;
	case EINTR:
	case ECONNABORTED: return true; /* that client is gone; accept(2) says to try the next */
	default: pause_accepting(f, errno); return false;
	}
}

static void on_door(evutil_socket_t fd, short what, void *arg)
{
	struct door *d = arg;
	struct front *f = d->front;

	(void)fd, (void)what;
	loop_assert_own(&f->loop);
	f->loop.now = clock_now();
	for (int i = 0; i < ACCEPTS_PER_ROUND && may_listen(f) && accept_one(f, d); i++)
		;
}

/* The loop's news. */

/* They are read in the round that follows at once. */
static void let_in(struct front *f)
{
	struct arrival a;

	while (f->working.count < concurrency(f) && line_take(&f->line, &a)) {
		struct address peer;

		address_restore(&a.peer, &peer);
		welcome(f, a.fd, &peer, a.is_unix, a.since);
	}
}

/* Those who were accepted in this round and whose first bytes, if any have come, didn't finish the login. */
static void watch_new(struct front *f)
{
	for (struct list_node *n = list_last(&f->logins); n; n = list_prev(&f->logins, n)) {
		struct visitor *v = CONTAINER_OF(n, struct visitor, node);

		if (v->is_watched)
			break;
		watch(v);
	}
}

static void round_end(void *owner)
{
	struct front *f = owner;
	struct list_node *node;

	while ((node = list_first(&f->finished)))
		hand_over(CONTAINER_OF(node, struct visitor, node));
	watch_new(f);
	expire_slots(f);
	let_in(f);
	update_doors(f);
	__atomic_store_n(&f->login_count, f->logins.count + line_count(&f->line), __ATOMIC_RELAXED);
}

/* How long until the first login's time is up; those whose time is up get their answer. */
static usec_t sweep_logins(struct front *f)
{
	usec_t limit = login_limit(f);
	struct list_node *node;

	while (limit && (node = list_first(&f->logins))) {
		struct visitor *v = CONTAINER_OF(node, struct visitor, node);

		if (v->since + limit > f->loop.now)
			return v->since + limit - f->loop.now;
		login_fail(&v->login, "57014", "canceling authentication due to timeout");
		linger(v);
	}
	return TICK_IDLE;
}

/* Nobody has looked at what they want: there is no protocol in which to say why. */
static usec_t sweep_line(struct front *f)
{
	usec_t limit = login_limit(f), since;

	if (!limit)
		return TICK_IDLE;
	since = line_expire(&f->line, f->loop.now > limit ? f->loop.now - limit : 0);
	return since ? MIN(since + limit - f->loop.now, TICK_IDLE) : TICK_IDLE;
}

static usec_t sweep_lingering(struct front *f)
{
	struct list_node *node;

	while ((node = list_first(&f->lingering))) {
		struct visitor *v = CONTAINER_OF(node, struct visitor, node);

		if (v->linger_until > f->loop.now)
			return v->linger_until - f->loop.now;
		drop(v);
	}
	return TICK_IDLE;
}

/* In no order: each waits for its own time, or until its place is needed. */
static usec_t sweep_delayed(struct front *f)
{
	bool is_full = places_taken(f) >= places(f);
	usec_t in = TICK_IDLE;

	LIST_FOREACH(&f->delayed, node, next) {
		struct visitor *v = CONTAINER_OF(node, struct visitor, node);

		if (is_full || v->delayed_until <= f->loop.now)
			linger(v);
		else
			in = MIN(in, v->delayed_until - f->loop.now);
	}
	return in;
}

/* See stream_recheck(): one that sent a few bytes and a reset in one go would keep its place until client_login_timeout. */
static void recheck_logins(struct front *f)
{
	LIST_FOREACH(&f->logins, node, next)
		stream_recheck(&CONTAINER_OF(node, struct visitor, node)->stream);
	LIST_FOREACH(&f->delayed, node, next)
		stream_recheck(&CONTAINER_OF(node, struct visitor, node)->stream);
}

static usec_t tick(void *owner)
{
	struct front *f = owner;
	usec_t logins = sweep_logins(f), delayed = sweep_delayed(f); /* MIN() would call them twice */
	usec_t lingering = sweep_lingering(f);			     /* after those who have just begun to */
	usec_t line = sweep_line(f), in = MIN(MIN(logins, delayed), MIN(lingering, line));

	expire_slots(f);
	let_in(f);
	if (f->is_full && f->working.count) {
		const struct visitor *first = CONTAINER_OF(list_first(&f->working), struct visitor, slot_node);

		in = MIN(in, first->slot_until - f->loop.now);
	}
	if (f->paused_until > f->loop.now)
		in = MIN(in, f->paused_until - f->loop.now);
	if (f->loop.now >= f->next_recheck) {
		f->next_recheck = f->loop.now + TICK_IDLE;
		recheck_logins(f);
	}
	update_doors(f);
	return in;
}

/* Messages from the main thread. */

struct front_message {
	struct message message;
	struct snapshot *snapshot; /* NULL: unchanged */
	enum front_door door;
};

static void message_free(struct message *m)
{
	struct front_message *fm = CONTAINER_OF(m, struct front_message, message);

	snapshot_unref(&fm->snapshot);
	free(fm);
}

static void take_snapshot(struct message *m, void *owner)
{
	struct front_message *fm = CONTAINER_OF(m, struct front_message, message);
	struct front *f = owner;
	struct snapshot *had = f->snapshot;

	f->snapshot = fm->snapshot;
	fm->snapshot = had;
	message_free(m);
}

static void take_door(struct message *m, void *owner)
{
	struct front *f = owner;

	if (f->door != FRONT_CONSOLE_ONLY)
		f->door = CONTAINER_OF(m, struct front_message, message)->door;
	f->env.is_console_only = f->door == FRONT_CONSOLE_ONLY;
	for (size_t i = 0; i < f->n_doors; i++) {
		if (f->env.is_console_only && !f->doors[i].is_unix)
			close_door(&f->doors[i]);
	}
	update_doors(f);
	message_free(m);
}

static void take_stop(struct message *m, void *owner)
{
	struct front *f = owner;

	loop_stop(&f->loop);
	message_free(m);
}

static void post(struct front *f, void (*deliver_fn)(struct message *, void *), struct front_message fm)
{
	struct front_message *copy = xmalloc(sizeof(*copy));

	*copy = fm;
	copy->message.deliver = deliver_fn;
	copy->message.discard = message_free;
	mailbox_post(&f->loop.mailbox, &copy->message);
}

void front_set_snapshot(struct front *f, struct snapshot *s)
{
	post(f, take_snapshot, (struct front_message){ .snapshot = snapshot_ref(s) });
}

void front_set_door(struct front *f, enum front_door door)
{
	post(f, take_door, (struct front_message){ .door = door });
}

size_t front_login_count(const struct front *f)
{
	return __atomic_load_n(&f->login_count, __ATOMIC_RELAXED);
}

/* The thread. */

static void *front_main(void *arg)
{
	struct front *f = arg;
	struct list_node *node;
	pid_t tid = gettid();

	pthread_setname_np(pthread_self(), "login");
	/* clients at work go first; a refusal costs nothing but that */
	setpriority(PRIO_PROCESS, (id_t)tid, getpriority(PRIO_PROCESS, (id_t)tid) + NICE);
	loop_run(&f->loop);
	while ((node = list_first(&f->logins))) {
		struct visitor *v = CONTAINER_OF(node, struct visitor, node);

		login_fail(&v->login, "57P01", "terminating connection due to administrator command");
		linger(v);
	}
	return NULL;
}

static void open_doors(struct front *f, const struct listener *l)
{
	f->doors = xcalloc(l->n, sizeof(f->doors[0]));
	f->n_doors = l->n;
	for (size_t i = 0; i < l->n; i++) {
		struct door *d = &f->doors[i];

		d->front = f;
		d->is_unix = l->sockets[i].is_unix;
		d->fd = fcntl(l->sockets[i].fd, F_DUPFD_CLOEXEC, 0);
		if (d->fd < 0) {
			int e = errno;

			log_error(NULL, "cannot duplicate a listening socket: %s", strerror(e));
			continue;
		}
		event_assign(&d->event, f->loop.base, d->fd, EV_READ | EV_PERSIST, on_door, d);
	}
	update_doors(f);
}

struct front *front_start(const struct front_options *o)
{
	struct front *f = xcalloc(1, sizeof(*f));
	sigset_t all, had;
	int e;

	f->ops = o->ops;
	f->ctx = o->ctx;
	f->snapshot = snapshot_ref(o->snapshot);
	f->env = (struct login_env){ f, count_client, uncount_client, ask, false, count_origin, uncount_origin };
	f->next_id = o->first_id;
	f->id_step = o->id_step;
	list_init(&f->logins);
	list_init(&f->finished);
	list_init(&f->delayed);
	list_init(&f->lingering);
	f->slowdown = slowdown_new();
	slab_init(&f->visitors, sizeof(struct visitor));
	list_init(&f->working);
	line_init(&f->line);
	loop_init(&f->loop, f, tick);
	f->loop.round_end = round_end;
	open_doors(f, o->listener);
	sigfillset(&all); /* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &had);
	e = pthread_create(&f->thread, NULL, front_main, f);
	pthread_sigmask(SIG_SETMASK, &had, NULL);
	ASSERT(e == 0);
	return f;
}

struct mailbox *front_mailbox(struct front *f)
{
	return &f->loop.mailbox;
}

void front_stop(struct front **fp)
{
	struct front *f = *fp;
	struct list_node *node;

	*fp = NULL;
	if (!f)
		return;
	post(f, take_stop, (struct front_message){ 0 });
	pthread_join(f->thread, NULL);
	while ((node = list_first(&f->lingering)))
		drop(CONTAINER_OF(node, struct visitor, node));
	while ((node = list_first(&f->delayed)))
		drop(CONTAINER_OF(node, struct visitor, node));
	line_free(&f->line);
	slowdown_free(&f->slowdown);
	for (size_t i = 0; i < f->n_doors; i++)
		close_door(&f->doors[i]);
	loop_destroy(&f->loop);
	slab_destroy(&f->visitors);
	snapshot_unref(&f->snapshot);
	free(f->doors);
	free(f);
}
