/*
 * fakepg.c - servers for `make bench-scale`: they log everybody in and answer at once, so that no PostgreSQL takes the cores.
 *
 * usage: fakepg PORT THREADS
 *
 * Each thread accepts for itself (SO_REUSEPORT). Query, and Execute with what belongs to it, get one row of one column;
 * whatever the text says. What it doesn't do: transactions, errors, COPY, parameters, authentication, TLS.
 */
#include "wire/bytes.h"
#include "wire/msg.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define BUFFER_SIZE 65536

struct conn {
	int fd;
	bool has_started;
	struct writer kept; /* the beginning of a message whose rest is still to come */
};

struct server {
	uint16_t port;
	int epoll, listener;
	pthread_t thread;
	struct writer out, column, row;
	uint8_t buffer[BUFFER_SIZE];
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void write_column(struct writer *w) /* RowDescription of "abalance", an int4 in text form */
{
	msg_begin(w, MSG_ROW_DESCRIPTION);
	write_u16(w, 1);
	write_cstring(w, "abalance");
	write_u32(w, 0);
	write_u16(w, 0);
	write_u32(w, 23);
	write_u16(w, 4);
	write_u32(w, UINT32_MAX);
	write_u16(w, 0);
	msg_end(w);
}

static void write_row(struct writer *w)
{
	msg_begin(w, MSG_DATA_ROW);
	write_u16(w, 1);
	write_u32(w, 1);
	write_u8(w, '0');
	msg_end(w);
	write_command_complete(w, "SELECT 1");
}

static void greet(struct writer *w)
{
	static const char *const parameters[][2] = { { "server_version", "15.0" },
		{ "server_encoding", "UTF8" }, { "client_encoding", "UTF8" }, { "DateStyle", "ISO, MDY" },
		{ "TimeZone", "UTC" }, { "IntervalStyle", "postgres" }, { "integer_datetimes", "on" },
		{ "standard_conforming_strings", "on" }, { "application_name", "" }, { "is_superuser", "on" },
		{ "session_authorization", "app" }, { "default_transaction_read_only", "off" },
		{ "in_hot_standby", "off" } };

	msg_begin(w, MSG_AUTHENTICATION);
	write_u32(w, AUTH_OK);
	msg_end(w);
	for (size_t i = 0; i < N_ELEMENTS(parameters); i++)
		write_parameter_status(w, parameters[i][0], parameters[i][1]);
	msg_begin(w, MSG_BACKEND_KEY_DATA);
	write_u32(w, 1);
	write_u32(w, 1);
	msg_end(w);
	write_ready_for_query(w, TX_IDLE);
}

static void write_empty(struct writer *w, uint8_t type)
{
	msg_begin(w, type);
	msg_end(w);
}

static void answer(struct server *s, uint8_t type)
{
	switch (type) {
	case MSG_QUERY:
		write_bytes(&s->out, s->column.data, s->column.len);
		write_bytes(&s->out, s->row.data, s->row.len);
		write_ready_for_query(&s->out, TX_IDLE);
		break;
	case MSG_PARSE: write_empty(&s->out, MSG_PARSE_COMPLETE); break;
	case MSG_BIND: write_empty(&s->out, MSG_BIND_COMPLETE); break;
	case MSG_CLOSE: write_empty(&s->out, MSG_CLOSE_COMPLETE); break;
	case MSG_DESCRIBE: write_bytes(&s->out, s->column.data, s->column.len); break;
	case MSG_EXECUTE: write_bytes(&s->out, s->row.data, s->row.len); break;
	case MSG_SYNC: write_ready_for_query(&s->out, TX_IDLE); break;
	default: break;
	}
}

/* How many bytes were whole messages. */
static size_t answer_all(struct server *s, struct conn *c, const uint8_t *data, size_t len)
{
	size_t used = 0;

	if (!c->has_started && len >= 4 && len >= load_be32(data)) {
		c->has_started = true;
		used = load_be32(data);
		greet(&s->out);
	}
	while (c->has_started) {
		struct reader in = reader_over(data + used, len - used);
		struct frame f;

		if (frame_peek(&in, &f) != RES_OK || f.length > len - used)
			break;
		answer(s, f.type);
		used += f.length;
	}
	return used;
}

static void close_conn(struct conn *c)
{
	close(c->fd);
	writer_free(&c->kept);
	free(c);
}

/* Answers are small and their reader waits for them: a send that isn't taken whole would be a mistake. */
static void send_out(struct server *s, struct conn *c)
{
	if (s->out.len && send(c->fd, s->out.data, s->out.len, MSG_NOSIGNAL) != (ssize_t)s->out.len && errno != EPIPE)
		die("send");
	s->out.len = 0;
}

static void on_readable(struct server *s, struct conn *c)
{
	ssize_t n = recv(c->fd, s->buffer, BUFFER_SIZE, 0);
	size_t used;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		close_conn(c);
		return;
	}
	if (c->kept.len == 0) {
		used = answer_all(s, c, s->buffer, (size_t)n);
		write_bytes(&c->kept, s->buffer + used, (size_t)n - used);
	} else {
		write_bytes(&c->kept, s->buffer, (size_t)n);
		used = answer_all(s, c, c->kept.data, c->kept.len);
		memmove(c->kept.data, c->kept.data + used, c->kept.len - used);
		c->kept.len -= used;
	}
	send_out(s, c);
}

static void watch(struct server *s, int fd, struct conn *c)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };

	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) != 0)
		die("epoll_ctl");
}

static void accept_one(struct server *s)
{
	int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
	struct conn *c;

	if (fd < 0)
		return;
	c = xcalloc(1, sizeof(*c));
	c->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	watch(s, fd, c);
}

static void *serve(void *ctx)
{
	struct server *s = ctx;
	struct epoll_event events[EVENTS_MAX];

	for (;;) {
		int n = epoll_wait(s->epoll, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				on_readable(s, events[i].data.ptr);
			else
				accept_one(s);
		}
	}
	return NULL;
}

static void start(struct server *s)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(s->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	int one = 1;

	write_column(&s->column);
	write_row(&s->row);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(s->listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(s->listener, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(s->listener, 1024) != 0)
		die("listen");
	watch(s, s->listener, NULL);
	if (pthread_create(&s->thread, NULL, serve, s) != 0)
		die("pthread_create");
}

int main(int argc, char **argv)
{
	unsigned long threads = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	struct server *servers;

	if (threads == 0 || threads > 256) {
		fprintf(stderr, "usage: fakepg PORT THREADS\n");
		return 2;
	}
	servers = xcalloc(threads, sizeof(*servers));
	for (unsigned long i = 0; i < threads; i++) {
		servers[i].port = (uint16_t)strtoul(argv[1], NULL, 10);
		start(&servers[i]);
	}
	for (unsigned long i = 0; i < threads; i++)
		pthread_join(servers[i].thread, NULL);
	free(servers);
	return 0;
}
