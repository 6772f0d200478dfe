#include "base/log.h"
#include "http/http_private.h"
#include "http/page.h"
#include "net/address.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 64
#define ACCEPTS_A_ROUND 16
#define REQUEST_TIMEOUT (10 * USEC_PER_SEC) /* from the first byte to the last */
#define IDLE_TIMEOUT (75 * USEC_PER_SEC)    /* longer than Prometheus' usual minute between scrapes */
#define ASK_TIMEOUT (5 * USEC_PER_SEC)
#define SEND_TIMEOUT (30 * USEC_PER_SEC)
#define LINGER (1 * USEC_PER_SEC)

#define TO(s) (1u << (s))
static const unsigned conn_moves[CONN_STATES] = {
	/* nothing leaves CONN_CLOSING */
	[CONN_READING] = TO(CONN_ASKING) | TO(CONN_ANSWERING) | TO(CONN_CLOSING),
	[CONN_ASKING] = TO(CONN_READING) | TO(CONN_ANSWERING) | TO(CONN_CLOSING),
	[CONN_ANSWERING] = TO(CONN_READING) | TO(CONN_CLOSING),
};

static void set_state(struct http_conn *c, enum conn_state next)
{
	ASSERT(conn_moves[c->state] & TO(next));
	c->state = next;
	c->since = c->http->host.loop->now;
}

const struct config *http_config(const struct http *h)
{
	return h->host.daemon->snapshot(h->host.daemon->ctx)->config;
}

/* ---- the end of a connection ---- */

static void conn_free(struct doomed *d)
{
	free(CONTAINER_OF(d, struct http_conn, doomed));
}

static void drop(struct http_conn *c)
{
	if (c->stream.fd < 0)
		return;
	if (c->state != CONN_CLOSING)
		set_state(c, CONN_CLOSING);
	http_ask_forget(c);
	stream_close(&c->stream);
	list_remove(&c->http->conns, &c->node);
	loop_doom(c->http->host.loop, &c->doomed);
}

/* Closing a socket with unread input would reset it, and the answer would be lost: say that we're done, and read on a little. */
static void linger(struct http_conn *c)
{
	set_state(c, CONN_CLOSING);
	stream_resume(&c->stream);
	stream_finish(&c->stream);
}

static usec_t limit_of(const struct http_conn *c)
{
	switch (c->state) {
	case CONN_READING: return c->has_begun ? REQUEST_TIMEOUT : IDLE_TIMEOUT;
	case CONN_ASKING: return ASK_TIMEOUT;
	case CONN_ANSWERING: return SEND_TIMEOUT;
	case CONN_CLOSING: return stream_backlog(&c->stream) ? SEND_TIMEOUT : LINGER;
	case CONN_STATES: break;
	}
	ASSERT(!"a connection in no state");
	return 0;
}

static void expire(struct http_conn *c)
{
	if (c->http->host.loop->now < c->since + limit_of(c))
		return;
	if (c->state == CONN_ASKING) {
		http_ask_forget(c);
		conn_answer_text(c, 503, "a worker has not answered\n");
	} else {
		drop(c);
	}
}

/* ---- answers ---- */

static const char *reason_of(int status)
{
	switch (status) {
	case 200: return "OK";
	case 400: return "Bad Request";
	case 401: return "Unauthorized";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 413: return "Content Too Large";
	case 431: return "Request Header Fields Too Large";
	case 503: return "Service Unavailable";
	default: return "Error";
	}
}

static const char *type_of(enum content type)
{
	switch (type) {
	case CONTENT_TEXT: break;
	case CONTENT_JSON: return "application/json; charset=utf-8";
	case CONTENT_HTML: return "text/html; charset=utf-8";
	case CONTENT_METRICS: return "text/plain; version=0.0.4; charset=utf-8";
	case CONTENT_OPENMETRICS: return "application/openmetrics-text; version=1.0.0; charset=utf-8";
	}
	return "text/plain; charset=utf-8";
}

static const char *extra_of(int status)
{
	return status == 401	? "WWW-Authenticate: Bearer realm=\"pgweir\"\r\n"
		: status == 405 ? "Allow: GET, HEAD\r\n"
				: "";
}

static size_t write_head(const struct http_conn *c, int status, enum content type, size_t len, char *out, size_t size)
{
	time_t now = time(NULL);
	char date[64];
	struct tm tm;
	int n;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	n = snprintf(out, size,
		"HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
		"X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n"
		"Content-Security-Policy: %s\r\n%sConnection: %s\r\n\r\n",
		status, reason_of(status), date, type_of(type), len,
		type == CONTENT_HTML ? page_policy() : "default-src 'none'; frame-ancestors 'none'",
		extra_of(status), c->is_keep_alive ? "keep-alive" : "close");
	ASSERT(n > 0 && (size_t)n < size);
	return (size_t)n;
}

static void next_request(struct http_conn *c)
{
	bool was_paused = c->state != CONN_READING;

	c->has_begun = false;
	c->since = c->http->host.loop->now;
	if (!was_paused)
		return;
	set_state(c, CONN_READING);
	stream_resume(&c->stream);
}

void conn_answer(struct http_conn *c, int status, enum content type, const void *body, size_t len)
{
	char head[1024];
	struct iovec iov[] = { { .iov_base = head, .iov_len = write_head(c, status, type, len, head, sizeof(head)) },
		{ .iov_base = (void *)(uintptr_t)body, .iov_len = c->is_head ? 0 : len } };

	ASSERT(len <= HTTP_BODY_MAX);
	c->http->counts.answers[status / 100]++;
	stream_send(&c->stream, iov, iov[1].iov_len ? 2 : 1);
	if (!c->is_keep_alive) {
		linger(c);
	} else if (stream_backlog(&c->stream)) {
		set_state(c, CONN_ANSWERING);
		stream_pause(&c->stream);
	} else {
		next_request(c);
	}
}

void conn_answer_text(struct http_conn *c, int status, const char *text)
{
	conn_answer(c, status, CONTENT_TEXT, text, strlen(text));
}

void conn_wait(struct http_conn *c)
{
	set_state(c, CONN_ASKING);
	stream_pause(&c->stream);
}

/* ---- what comes from the stream ---- */

static void refuse(struct http_conn *c, int status, const char *text)
{
	c->is_head = false;
	c->is_keep_alive = false;
	conn_answer_text(c, status, text);
}

/* False: nothing more can be read now. */
static bool read_request(struct http_conn *c, const uint8_t *bytes, size_t len, size_t *used)
{
	struct http_request r;

	switch (http_request_parse(bytes, len, &r, used)) {
	case RES_OK: route(c, &r); return true;
	case RES_MORE:
		if (!c->has_begun)
			c->since = c->http->host.loop->now;
		c->has_begun = true;
		return false;
	case RES_LIMIT: refuse(c, 431, "the request is too long\n"); break;
	case RES_REFUSED: refuse(c, 413, "requests have no bodies here\n"); break;
	case RES_PROTOCOL:
	case RES_SYSTEM: refuse(c, 400, "this is not a request that can be understood\n"); break;
	}
	*used = len;
	return true;
}

static size_t on_data(struct stream *st, const uint8_t *bytes, size_t len)
{
	struct http_conn *c = CONTAINER_OF(st, struct http_conn, stream);
	size_t total = 0, used = 0;

	loop_assert_own(c->http->host.loop);
	while (c->state == CONN_READING && total < len && read_request(c, bytes + total, len - total, &used))
		total += used;
	if (c->state == CONN_CLOSING)
		return len; /* whatever else it says */
	return total;
}

static void on_drained(struct stream *st)
{
	struct http_conn *c = CONTAINER_OF(st, struct http_conn, stream);

	if (c->state == CONN_CLOSING)
		stream_finish(st);
	else if (c->state == CONN_ANSWERING)
		next_request(c);
}

static void on_closed(struct stream *st, enum stream_end why)
{
	(void)why;
	drop(CONTAINER_OF(st, struct http_conn, stream));
}

static const struct stream_ops conn_ops = { .data = on_data, .drained = on_drained, .closed = on_closed };

/* ---- who comes in ---- */

/* Whoever has made no progress for longest gives its place to a newcomer; one that waits for our workers can't help it. */
static bool make_room(struct http *h)
{
	struct http_conn *slowest = NULL;

	if (h->conns.count < HTTP_CONNECTIONS)
		return true;
	LIST_FOREACH(&h->conns, n, next) {
		struct http_conn *c = CONTAINER_OF(n, struct http_conn, node);

		if (c->state != CONN_ASKING && (!slowest || c->since < slowest->since))
			slowest = c;
	}
	if (!slowest)
		return false;
	h->counts.evicted++;
	drop(slowest);
	return true;
}

void http_adopt(struct http *h, int fd)
{
	struct http_conn *c;

	if (!make_room(h)) {
		close(fd);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	c->http = h;
	c->doomed.free = conn_free;
	c->since = h->host.loop->now;
	h->counts.connections++;
	list_push_back(&h->conns, &c->node);
	stream_init(&c->stream, &conn_ops, fd, false);
	stream_attach(&c->stream, h->host.loop);
}

static void on_accept(evutil_socket_t listener, short what, void *arg)
{
	struct http_socket *s = arg;

	(void)what;
	s->http->host.loop->now = clock_now();
	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			http_adopt(s->http, fd);
		} else if (errno != EINTR && errno != ECONNABORTED) {
			if (errno != EAGAIN)
				event_del(&s->event); /* out of descriptors: the next tick tries again */
			return;
		}
	}
}

/* ---- listening ---- */

static void watch(struct http_socket *s)
{
	if (s->fd < 0 || (s->is_assigned && event_pending(&s->event, EV_READ, NULL)))
		return;
	if (!s->is_assigned)
		event_assign(&s->event, s->http->host.loop->base, s->fd, EV_READ | EV_PERSIST, on_accept, s);
	s->is_assigned = true;
	event_add(&s->event, NULL);
}

/* False: this won't get better by itself. */
static bool open_socket(struct http_socket *s, char *error, size_t size)
{
	static const struct tcp_options options = { .keepalive = true };
	char text[ADDRESS_TEXT_MAX];
	struct address a;
	int e;

	ASSERT(address_numeric(&a, s->place.host, s->place.port));
	address_text(&a, text);
	s->fd = socket_listen(&a, BACKLOG, false, &options);
	e = errno;
	if (s->fd >= 0) {
		log_info(NULL, "http: listening on %s", text);
		return true;
	}
	if (s->place.may_be_absent && (e == EAFNOSUPPORT || e == EADDRNOTAVAIL))
		return true;
	if (e != EADDRINUSE) {
		snprintf(error, size, "cannot listen on http_listen %s: %s", text, strerrordesc_np(e));
		return false;
	}
	if (!s->is_logged)
		log_warning(NULL, "http: %s is in use, trying again every second", text);
	s->is_logged = true;
	return true;
}

bool http_check(const struct config *c, char *error, size_t size)
{
	struct http h = { .n_sockets = 0 };
	bool ok = !*c->http_listen || token_load(&h, c, error, size);

	token_free(&h);
	return ok;
}

struct http *http_open(const struct config *c, char *error, size_t size)
{
	struct http *h = xcalloc(1, sizeof(*h));
	struct http_place places[HTTP_PLACES_MAX];
	bool ok = http_listen_parse(c->http_listen, places, &h->n_sockets, error, size) == RES_OK;

	list_init(&h->conns);
	list_init(&h->askings);
	h->started = time(NULL);
	for (size_t i = 0; i < h->n_sockets; i++)
		h->sockets[i] = (struct http_socket){ .http = h, .place = places[i], .fd = -1 };
	if (ok && h->n_sockets)
		ok = token_load(h, c, error, size);
	for (size_t i = 0; ok && i < h->n_sockets; i++)
		ok = open_socket(&h->sockets[i], error, size);
	if (!ok)
		http_free(&h);
	return h;
}

void http_start(struct http *h, const struct http_host *host)
{
	h->host = *host;
	for (size_t i = 0; i < h->n_sockets; i++)
		watch(&h->sockets[i]);
}

void http_set_config(struct http *h, const struct config *c)
{
	char error[512];

	if (h->n_sockets && !token_load(h, c, error, sizeof(error)))
		log_error(NULL, "%s; the old token stays", error);
}

struct reach {
	bool is_away, is_there;
};

/* A host that nobody has needed yet says nothing. */
static void look_at_host(void *ctx, const struct host *host)
{
	struct reach *r = ctx;

	if (!host_is_up(host))
		r->is_away = true;
	else if (host->servers > 0)
		r->is_there = true;
}

/* One of several that is away takes nobody from behind a service: clients of the others are served. */
static void watch_postgres(struct http *h)
{
	struct reach r = { .is_away = false };

	hosts_each(&h->host.daemon->registry->hosts, look_at_host, &r);
	if (!r.is_away || r.is_there)
		h->away_since = 0;
	else if (!h->away_since)
		h->away_since = h->host.loop->now;
}

void http_tick(struct http *h)
{
	char error[512];

	for (size_t i = 0; i < h->n_sockets; i++) {
		struct http_socket *s = &h->sockets[i];

		if (s->fd < 0 && s->is_logged)
			open_socket(s, error, sizeof(error));
		watch(s);
	}
	LIST_FOREACH(&h->conns, n, next)
		expire(CONTAINER_OF(n, struct http_conn, node));
	if (!h->n_sockets)
		return;
	token_watch(h);
	watch_postgres(h);
}

void http_free(struct http **hp)
{
	struct http *h = *hp;
	struct list_node *n;

	*hp = NULL;
	if (!h)
		return;
	while ((n = list_first(&h->conns)))
		drop(CONTAINER_OF(n, struct http_conn, node));
	http_ask_end(h);
	for (size_t i = 0; i < h->n_sockets; i++) {
		struct http_socket *s = &h->sockets[i];

		if (s->fd < 0)
			continue;
		if (s->is_assigned)
			event_del(&s->event);
		close(s->fd);
	}
	token_free(h);
	free(h);
}
