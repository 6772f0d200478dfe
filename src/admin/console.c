#include "admin/console.h"

#include "admin/console_private.h"
#include "admin/show.h"
#include "base/log.h"
#include "wire/msg.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER (1 * USEC_PER_SEC)
#define CANCEL_NUMBER_BITS 24

#define TO(s) (1u << (s))
static const unsigned console_moves[CONSOLE_STATES] = {
	/* nothing leaves CONSOLE_CLOSING */
	[CONSOLE_READY] = TO(CONSOLE_BUSY) | TO(CONSOLE_SKIPPING) | TO(CONSOLE_CLOSING),
	[CONSOLE_SKIPPING] = TO(CONSOLE_READY) | TO(CONSOLE_CLOSING),
	[CONSOLE_BUSY] = TO(CONSOLE_READY) | TO(CONSOLE_SKIPPING) | TO(CONSOLE_CLOSING),
};

void console_set_state(struct console_client *c, enum console_state next)
{
	ASSERT(console_moves[c->state] & TO(next));
	c->state = next;
}

const struct config *console_config(const struct console *c)
{
	return c->host.snapshot(c->host.ctx)->config;
}

void console_describe(const struct console_client *c, struct log_who *who, char addr[ADDRESS_TEXT_MAX])
{
	address_text(&c->peer, addr);
	*who = (struct log_who){
		.kind = "client", .id = c->id, .database = c->database, .user = c->user, .addr = addr
	};
}

struct console_client *console_find_client(struct console *c, uint64_t id)
{
	LIST_FOREACH(&c->clients, n, next) {
		struct console_client *client = CONTAINER_OF(n, struct console_client, node);

		if (client->id == id)
			return client;
	}
	return NULL;
}

void client_send(struct console_client *c, const struct writer *w)
{
	c->console->counters.sent += w->len;
	stream_send_bytes(&c->stream, w->data, w->len);
}

/* ---- the end ---- */

static void free_client(struct doomed *d)
{
	struct console_client *c = CONTAINER_OF(d, struct console_client, doomed);

	free(c->database);
	free(c->user);
	free(c->application_name);
	free(c);
}

/* Everything but the socket. What works for it goes on without it. */
static void leave(struct console_client *c)
{
	if (c->job)
		c->job->client = NULL;
	c->job = NULL;
	client_forget(c);
	list_remove(&c->console->clients, &c->node);
	console_set_state(c, CONSOLE_CLOSING);
}

static void free_later(struct console_client *c)
{
	if (c->stream.fd < 0)
		return;
	stream_close(&c->stream);
	list_remove(&c->console->lingering, &c->node);
	loop_doom(c->console->host.loop, &c->doomed);
}

static void log_goodbye(const struct console_client *c, const char *reason)
{
	char addr[ADDRESS_TEXT_MAX];
	struct log_who who;

	if (!console_config(c->console)->log_disconnections)
		return;
	console_describe(c, &who, addr);
	log_info(&who, "closing because: %s (age=%us)", reason,
		(unsigned)((c->console->host.loop->now - c->connected_at) / USEC_PER_SEC));
}

void client_leave(struct console_client *c, const char *reason)
{
	if (c->state != CONSOLE_CLOSING) {
		log_goodbye(c, reason);
		leave(c);
	}
	free_later(c);
}

/* Closing a socket with unread input would send a reset, and the client would lose the text. */
void client_fatal_error(struct console_client *c, const char *sqlstate, const char *message)
{
	struct error_info e = { .severity = "FATAL", .sqlstate = sqlstate, .message = message };
	struct writer w = { 0 };

	if (c->state == CONSOLE_CLOSING)
		return;
	write_error(&w, &e);
	client_send(c, &w);
	writer_free(&w);
	log_goodbye(c, message);
	leave(c);
	list_push_back(&c->console->lingering, &c->node);
	c->linger_until = c->console->host.loop->now + LINGER;
	stream_resume(&c->stream);
	stream_finish(&c->stream);
	console_poll_soon(c->console);
}

/* ---- events ---- */

static struct console_client *of_stream(struct stream *st)
{
	struct console_client *c = CONTAINER_OF(st, struct console_client, stream);

	loop_assert_own(c->console->host.loop);
	return c;
}

static void on_drained(struct stream *st)
{
	struct console_client *c = of_stream(st);

	if (c->state == CONSOLE_CLOSING)
		stream_finish(st);
	else if (c->state != CONSOLE_BUSY)
		stream_resume(st);
}

static void on_hangup(struct stream *st)
{
	client_leave(of_stream(st), "client left while it waited");
}

static void on_closed(struct stream *st, enum stream_end why)
{
	client_leave(of_stream(st), why == STREAM_EOF ? "client unexpected eof" : "client connection lost");
}

static const struct stream_ops console_stream_ops = {
	.data = console_data, .drained = on_drained, .hangup = on_hangup, .closed = on_closed
};

/* ---- adoption ---- */

static uint32_t next_cancel_pid(struct console *c)
{
	return (uint32_t)CONSOLE_CANCEL_WORKER << CANCEL_NUMBER_BITS |
		(++c->next_number & ((1u << CANCEL_NUMBER_BITS) - 1));
}

static void welcome(struct console_client *c, struct writer *w)
{
	static const struct {
		const char *name, *value;
	} parameters[] = {
		{ "server_version", COMPATIBLE_VERSION "/bouncer" },
		{ "client_encoding", "UTF8" },
		{ "server_encoding", "UTF8" },
		{ "DateStyle", "ISO" },
		{ "TimeZone", "GMT" },
		{ "standard_conforming_strings", "on" },
		{ "is_superuser", "on" },
	};

	for (size_t i = 0; i < N_ELEMENTS(parameters); i++)
		write_parameter_status(w, parameters[i].name, parameters[i].value);
	write_cancel_key(w, &c->key);
	write_ready_for_query(w, TX_IDLE);
	client_send(c, w);
}

static struct console_client *make_client(struct console *console, struct newcomer *n)
{
	struct console_client *c = xcalloc(1, sizeof(*c));
	const char *application_name = settings_get(n->settings, "application_name");

	c->console = console;
	c->doomed.free = free_client;
	c->id = n->id;
	cancel_key_make(&c->key, next_cancel_pid(console), n->protocol);
	if (console_config(console)->peer_id)
		cancel_key_mark(&c->key, console_config(console)->peer_id);
	c->database = n->database;
	c->user = n->user;
	n->database = n->user = NULL;
	c->application_name = xstrdup(application_name ? application_name : "");
	c->peer = n->peer;
	c->may_admin = n->may_admin;
	c->connected_at = n->since;
	c->request_at = n->since;
	list_init(&c->statements);
	list_init(&c->portals);
	return c;
}

void console_adopt(struct console *console, struct newcomer *n)
{
	struct console_client *c = make_client(console, n);

	list_push_back(&console->clients, &c->node);
	stream_init(&c->stream, &console_stream_ops, n->fd, false);
	stream_give_tls(&c->stream, &n->tls);
	n->fd = -1;
	stream_hold(&c->stream, n->early, n->early_len);
	stream_attach(&c->stream, console->host.loop);
	welcome(c, &n->greeting);
	newcomer_free(&n);
}

/* ---- cancel, time, life ---- */

void console_cancel(struct console *console, struct cancel_request *r)
{
	LIST_FOREACH(&console->clients, n, next) {
		struct console_client *c = CONTAINER_OF(n, struct console_client, node);

		if (!(console_config(console)->peer_id ? cancel_key_same_but_hops : cancel_key_same)(
			    &c->key, &r->key))
			continue;
		if (c->job)
			job_cancel(c->job);
		break;
	}
	if (r->fd >= 0)
		stream_hang_up(r->fd, &r->tls);
	free(r);
}

static void sweep_lingering(struct console *c)
{
	LIST_FOREACH(&c->lingering, n, next) {
		struct console_client *client = CONTAINER_OF(n, struct console_client, node);

		if (c->host.loop->now >= client->linger_until)
			free_later(client);
	}
	if (!list_is_empty(&c->lingering))
		console_poll_soon(c);
}

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
	struct console *c = arg;

	(void)fd, (void)what;
	c->host.loop->now = clock_now();
	console_poll(c);
	sweep_lingering(c);
}

void console_tick(struct console *c)
{
	stats_tick(c, c->host.loop->now);
}

struct console *console_new(const struct console_host *host)
{
	struct console *c = xcalloc(1, sizeof(*c));

	c->host = *host;
	list_init(&c->clients);
	list_init(&c->lingering);
	list_init(&c->jobs);
	evtimer_assign(&c->poll_event, host->loop->base, on_poll, c);
	return c;
}

static void close_all(struct list *clients)
{
	struct list_node *n;

	while ((n = list_first(clients)))
		client_leave(CONTAINER_OF(n, struct console_client, node), "pgweir is shutting down");
}

void console_free(struct console **cp)
{
	struct console *c = *cp;
	struct list_node *n;

	*cp = NULL;
	if (!c)
		return;
	close_all(&c->clients);
	close_all(&c->lingering);
	while ((n = list_first(&c->jobs))) {
		struct job *j = CONTAINER_OF(n, struct job, node);

		job_end(&j);
	}
	evtimer_del(&c->poll_event);
	paused_free(&c->paused);
	stats_free(&c->stats);
	free(c);
}
