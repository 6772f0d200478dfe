/*
 * relay.c - the physical floor under any pooler: recv, send and epoll_wait, and nothing between them.
 *
 * usage: relay LISTEN_PORT SERVER_PORT SERVERS USER DATABASE [NAME=SQL]
 *
 * One thread, one buffer of 64 KiB, edge-triggered epoll, each socket registered once, all on 127.0.0.1. SERVERS
 * connections are made at the start. A client with unread bytes takes a free one or waits in line; a server is free again
 * when the bytes read from it end in ReadyForQuery "idle". That is all that it looks at, so it shares servers among
 * any number of clients, as long as one request of each is under way at a time.
 *
 * What it doesn't do, and a pooler must: read messages, so that pipelines, COPY and transactions of several statements
 * can be told from the end of a request; check who the client is (all get the greeting of the first server); settings,
 * prepared statements, limits, deadlines, cancel, counters. Statements that clients name must be the same in all
 * servers: NAME=SQL is prepared in each at the start, and a client's own Parse of it fails.
 */
#include "wire/bytes.h"
#include "wire/msg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_SIZE 65536
#define EVENTS_MAX 256
#define READY_IDLE "Z\0\0\0\5I"
#define READY_SIZE 6
#define SSL_OR_GSS_REQUEST_SIZE 8

struct conn {
	int fd;
	bool is_server, has_started, is_closed;
	bool may_have_more; /* an event said so, and no short read since */
	struct conn *peer, *next;
	uint8_t tail[READY_SIZE]; /* of a server: the end of what was read last */
	uint8_t *rest;		  /* what the kernel didn't take; while there is some the peer isn't read */
	size_t rest_pos, rest_len;
};

struct line { /* clients wait in it, first in, first out */
	struct conn *first, **last;
};

struct relay {
	int epoll, listener;
	struct conn *idle; /* servers, last in, first out */
	struct line line;
	struct conn *closed; /* freed when the events of this round are through */
	struct writer greeting;
	uint8_t buffer[BUFFER_SIZE];
};

static void pump(struct relay *r, struct conn *from);

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void watch(struct relay *r, struct conn *c)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c };
	int one = 1;

	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(r->epoll, EPOLL_CTL_ADD, c->fd, &e) != 0)
		die("epoll_ctl");
}

static void link_conns(struct conn *client, struct conn *server)
{
	client->peer = server;
	server->peer = client;
}

static void close_client(struct relay *r, struct conn *c)
{
	if (c->peer)
		c->peer->peer = NULL; /* the server stays busy until its answer has ended */
	close(c->fd);
	free(c->rest);
	c->rest = NULL;
	c->peer = NULL;
	c->is_closed = true;
	c->next = r->closed;
	r->closed = c;
}

static void free_closed(struct relay *r)
{
	struct conn *c;

	while ((c = r->closed)) {
		r->closed = c->next;
		free(c);
	}
}

static void wait_in_line(struct relay *r, struct conn *c)
{
	c->next = NULL;
	*r->line.last = c;
	r->line.last = &c->next;
}

static struct conn *first_in_line(struct relay *r)
{
	struct conn *c = r->line.first;

	if (c && !(r->line.first = c->next))
		r->line.last = &r->line.first;
	return c;
}

static bool is_in_line(const struct relay *r, const struct conn *c)
{
	return c->next || r->line.last == &c->next;
}

/* The server has answered: the next one in line gets it in the same round. */
static void release(struct relay *r, struct conn *server)
{
	struct conn *client;

	if (server->peer)
		server->peer->peer = NULL;
	server->peer = NULL;
	while (!server->peer && (client = first_in_line(r))) {
		client->next = NULL;
		link_conns(client, server);
		pump(r, client); /* a client that has left gives the server back */
	}
	if (server->peer)
		return;
	server->next = r->idle;
	r->idle = server;
}

static void client_readable(struct relay *r, struct conn *c)
{
	struct conn *server = r->idle;

	if (c->peer) {
		pump(r, c);
	} else if (server) {
		r->idle = server->next;
		link_conns(c, server);
		pump(r, c);
		if (!server->peer)
			release(r, server);
	} else if (!is_in_line(r, c)) {
		wait_in_line(r, c);
	}
}

static void send_or_keep(struct conn *to, const uint8_t *data, size_t len)
{
	ssize_t n = send(to->fd, data, len, MSG_NOSIGNAL);

	if (n == (ssize_t)len || (n < 0 && errno != EAGAIN))
		return; /* a peer that is gone is noticed when it's read */
	n = MAX(n, 0);
	to->rest_len = len - (size_t)n;
	to->rest_pos = 0;
	to->rest = xmalloc(to->rest_len);
	memcpy(to->rest, data + n, to->rest_len);
}

static void send_rest(struct relay *r, struct conn *c)
{
	ssize_t n = send(c->fd, c->rest + c->rest_pos, c->rest_len - c->rest_pos, MSG_NOSIGNAL);

	if (n < 0 && errno == EAGAIN)
		return;
	c->rest_pos += n < 0 ? c->rest_len : (size_t)n;
	if (c->rest_pos < c->rest_len)
		return;
	free(c->rest);
	c->rest = NULL;
	if (c->peer)
		pump(r, c->peer);
}

static bool ends_in_ready(struct conn *server, const uint8_t *data, size_t len)
{
	if (len >= READY_SIZE) {
		memcpy(server->tail, data + len - READY_SIZE, READY_SIZE);
	} else {
		memmove(server->tail, server->tail + len, READY_SIZE - len);
		memcpy(server->tail + READY_SIZE - len, data, len);
	}
	return memcmp(server->tail, READY_IDLE, READY_SIZE) == 0;
}

/* Terminate would end the server: the one message that is looked at. */
static bool is_goodbye(const struct conn *from, const uint8_t *data, ssize_t n)
{
	return n <= 0 || (!from->is_server && n == FRAME_HEADER_SIZE && data[0] == MSG_TERMINATE);
}

static void pump(struct relay *r, struct conn *from)
{
	while (from->may_have_more && (from->is_server || from->peer) && !(from->peer && from->peer->rest)) {
		ssize_t n = recv(from->fd, r->buffer, BUFFER_SIZE, 0);

		if (n < BUFFER_SIZE)
			from->may_have_more = false;
		if (n < 0 && errno == EAGAIN)
			return;
		if (is_goodbye(from, r->buffer, n)) {
			if (from->is_server)
				die("a server closed");
			close_client(r, from);
			return;
		}
		if (from->peer)
			send_or_keep(from->peer, r->buffer, (size_t)n);
		if (from->is_server && ends_in_ready(from, r->buffer, (size_t)n)) {
			release(r, from);
			return;
		}
	}
}

static void start_client(struct relay *r, struct conn *c)
{
	ssize_t n = recv(c->fd, r->buffer, BUFFER_SIZE, 0);

	c->may_have_more = false;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		close_client(r, c);
		return;
	}
	if (n == SSL_OR_GSS_REQUEST_SIZE) {
		send_or_keep(c, (const uint8_t *)"N", 1);
		return;
	}
	c->has_started = true;
	send_or_keep(c, r->greeting.data, r->greeting.len);
}

static void on_event(struct relay *r, struct conn *c, uint32_t events)
{
	if (c->is_closed)
		return;
	if ((events & EPOLLOUT) && c->rest)
		send_rest(r, c);
	if (c->is_closed || !(events & ~(uint32_t)EPOLLOUT))
		return;
	c->may_have_more = true;
	if (c->is_server)
		pump(r, c);
	else if (c->has_started)
		client_readable(r, c);
	else
		start_client(r, c);
}

static void accept_all(struct relay *r)
{
	int fd;

	while ((fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = xcalloc(1, sizeof(*c));

		c->fd = fd;
		watch(r, c);
	}
}

static struct sockaddr_in loopback(const char *port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtol(port, NULL, 10)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

/* Blocking, as only the start is. Appends all that comes until ReadyForQuery to answer. */
static void ask(struct conn *server, const struct writer *question, struct writer *answer)
{
	if (send(server->fd, question->data, question->len, 0) != (ssize_t)question->len)
		die("send");
	do {
		uint8_t data[4096];
		ssize_t n = recv(server->fd, data, sizeof(data), 0);

		if (n <= 0)
			die("a server refused");
		write_bytes(answer, data, (size_t)n);
	} while (!ends_in_ready(server, answer->data, answer->len));
}

static void write_startup(struct writer *w, const char *user, const char *database)
{
	msg_begin(w, 0);
	write_u32(w, PROTOCOL_3_0);
	write_cstring(w, "user");
	write_cstring(w, user);
	write_cstring(w, "database");
	write_cstring(w, database);
	write_u8(w, 0);
	msg_end(w);
}

/* statement: NAME=SQL */
static void write_prepare(struct writer *w, char *statement)
{
	char *sql = strchr(statement, '=');

	if (!sql)
		die("NAME=SQL");
	*sql = '\0';
	msg_begin(w, MSG_PARSE);
	write_cstring(w, statement);
	write_cstring(w, sql + 1);
	write_u16(w, 0);
	msg_end(w);
	msg_begin(w, MSG_SYNC);
	msg_end(w);
	*sql = '=';
}

static void open_server(struct relay *r, char **argv)
{
	struct conn *server = xcalloc(1, sizeof(*server));
	struct sockaddr_in address = loopback(argv[2]);
	struct writer question = { 0 }, answer = { 0 };

	server->is_server = true;
	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(server->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		die("connect");
	write_startup(&question, argv[4], argv[5]);
	ask(server, &question, &answer);
	if (!r->greeting.len)
		write_bytes(&r->greeting, answer.data, answer.len);
	if (argv[6]) {
		question.len = answer.len = 0;
		write_prepare(&question, argv[6]);
		ask(server, &question, &answer);
	}
	writer_free(&question);
	writer_free(&answer);
	if (fcntl(server->fd, F_SETFL, O_NONBLOCK) != 0)
		die("fcntl");
	watch(r, server);
	server->next = r->idle;
	r->idle = server;
}

static void open_listener(struct relay *r, const char *port)
{
	struct sockaddr_in address = loopback(port);
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = NULL };
	int one = 1;

	r->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(r->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(r->listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(r->listener, 4096) != 0)
		die("listen");
	epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->listener, &e);
}

static void serve(struct relay *r)
{
	struct epoll_event events[EVENTS_MAX];

	for (;;) {
		int n = epoll_wait(r->epoll, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				on_event(r, events[i].data.ptr, events[i].events);
			else
				accept_all(r);
		}
		free_closed(r);
	}
}

int main(int argc, char **argv)
{
	static struct relay r;
	struct rlimit limit;

	if (argc != 6 && argc != 7) {
		fprintf(stderr, "usage: relay LISTEN_PORT SERVER_PORT SERVERS USER DATABASE [NAME=SQL]\n");
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	r.line.last = &r.line.first;
	r.epoll = epoll_create1(EPOLL_CLOEXEC);
	for (long i = strtol(argv[3], NULL, 10); i > 0; i--)
		open_server(&r, argv);
	open_listener(&r, argv[1]); /* last: who can connect is served */
	serve(&r);
}
