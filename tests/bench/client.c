#include "client.h"

#include "wire/msg.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define READ_MESSAGE_MAX 16384

void engine_init(struct engine *e, const struct where *where)
{
	e->where = where;
	e->epoll = epoll_create1(EPOLL_CLOEXEC);
	ASSERT(e->epoll >= 0);
}

void engine_free(struct engine *e)
{
	keys_wipe(&e->keys);
	close(e->epoll);
}

void client_close(struct client *c, bool says_goodbye)
{
	static const uint8_t terminate[] = { MSG_TERMINATE, 0, 0, 0, 4 };

	if (c->state == CLIENT_CLOSED)
		return;
	if (says_goodbye && c->state == CLIENT_READY)
		client_send(c, terminate, sizeof(terminate), 0);
	if (c->ssl && c->state > CLIENT_HANDSHAKE)
		SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	close(c->fd);
	if (c->scram) {
		scram_wipe(c->scram);
		free(c->scram);
	}
	writer_free(&c->out);
	writer_free(&c->partial);
	c->ssl = NULL;
	c->scram = NULL;
	c->out_pos = c->skip = 0;
	c->awaited = 0;
	c->state = CLIENT_CLOSED;
}

static void lose(struct client *c, const char *why)
{
	char copy[sizeof(c->why)];

	snprintf(copy, sizeof(copy), "%s", why);
	client_close(c, false);
	c->engine->on_lost(c, copy);
}

/* -1: try again later, 0: the end */
static ssize_t receive(struct client *c, void *data, size_t size)
{
	ssize_t n;

	if (!c->ssl) {
		n = recv(c->fd, data, size, 0);
		return n < 0 && errno != EAGAIN ? 0 : n;
	}
	ERR_clear_error();
	n = SSL_read(c->ssl, data, (int)size);
	return n > 0 ? n : SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_READ ? -1 : 0;
}

static ssize_t transmit(struct client *c, const void *data, size_t len)
{
	if (!c->ssl || c->state < CLIENT_LOGIN)
		return send(c->fd, data, len, MSG_NOSIGNAL);
	ERR_clear_error();
	return SSL_write(c->ssl, data, (int)len);
}

/* A send that fails for good shows in the next read. */
static void flush(struct client *c)
{
	while (c->out_pos < c->out.len) {
		ssize_t n = transmit(c, c->out.data + c->out_pos, c->out.len - c->out_pos);

		if (n <= 0)
			return;
		c->out_pos += (size_t)n;
	}
	c->out.len = c->out_pos = 0;
}

void client_send(struct client *c, const void *data, size_t len, unsigned n_ready)
{
	ssize_t n = 0;

	c->awaited += n_ready;
	if (c->out.len == 0)
		n = transmit(c, data, len);
	n = MAX(n, 0);
	if ((size_t)n < len)
		write_bytes(&c->out, (const uint8_t *)data + n, len - (size_t)n);
}

static void send_startup(struct client *c)
{
	struct writer w = { 0 };

	c->state = CLIENT_LOGIN;
	msg_begin(&w, 0);
	write_u32(&w, PROTOCOL_3_0);
	write_cstring(&w, "user");
	write_cstring(&w, c->engine->where->user);
	write_cstring(&w, "database");
	write_cstring(&w, c->engine->where->database);
	write_u8(&w, 0);
	msg_end(&w);
	client_send(c, w.data, w.len, 1);
	writer_free(&w);
}

static void ask_tls(struct client *c)
{
	uint8_t request[8];

	store_be32(request, sizeof(request));
	store_be32(request + 4, SSL_REQUEST_CODE);
	c->state = CLIENT_ASKING_TLS;
	client_send(c, request, sizeof(request), 0);
}

static void handshake(struct client *c)
{
	int done;

	ERR_clear_error();
	done = SSL_connect(c->ssl);
	if (done == 1) {
		c->engine->handshake_bytes += BIO_number_read(SSL_get_rbio(c->ssl));
		send_startup(c);
		return;
	}
	switch (SSL_get_error(c->ssl, done)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE: return;
	default: lose(c, "TLS handshake failed");
	}
}

static void begin_tls(struct client *c)
{
	char answer;
	ssize_t n = recv(c->fd, &answer, 1, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n != 1 || answer != 'S') {
		lose(c, "TLS was refused");
		return;
	}
	c->ssl = SSL_new(c->engine->where->tls);
	ASSERT(c->ssl && SSL_set_fd(c->ssl, c->fd) == 1);
	c->state = CLIENT_HANDSHAKE;
	handshake(c);
}

void client_open(struct client *c, struct engine *e)
{
	const struct where *to = e->where;
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c };
	int one = 1;

	ASSERT(c->state == CLIENT_CLOSED);
	c->engine = e;
	c->why[0] = '\0';
	c->state = CLIENT_CONNECTING;
	c->fd = socket(to->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ASSERT(c->fd >= 0);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(c->fd, (const struct sockaddr *)&to->address, to->address_len) != 0 && errno != EINPROGRESS) {
		lose(c, strerror(errno));
		return;
	}
	ASSERT(epoll_ctl(e->epoll, EPOLL_CTL_ADD, c->fd, &event) == 0);
}

/* Messages. */

static void send_message(struct client *c, struct writer *w)
{
	client_send(c, w->data, w->len, 0);
	writer_free(w);
}

static void send_password(struct client *c)
{
	struct writer w = { 0 };

	msg_begin(&w, MSG_PASSWORD);
	write_cstring(&w, c->engine->where->password);
	msg_end(&w);
	send_message(c, &w);
}

static void start_scram(struct client *c)
{
	struct writer first = { 0 }, w = { 0 };

	c->scram = xcalloc(1, sizeof(*c->scram));
	scram_client_first(c->scram, &first);
	msg_begin(&w, MSG_PASSWORD);
	write_cstring(&w, "SCRAM-SHA-256");
	write_u32(&w, (uint32_t)first.len);
	write_bytes(&w, first.data, first.len);
	msg_end(&w);
	send_message(c, &w);
	writer_free(&first);
}

static bool continue_scram(struct client *c, struct reader challenge)
{
	struct writer final = { 0 }, w = { 0 };
	const struct scram_keys *keys;

	if (!c->scram || scram_client_challenge(c->scram, challenge) != RES_OK)
		return false;
	keys = keys_find(&c->engine->keys, c->engine->where->password, c->scram->secret.salt,
		c->scram->secret.salt_len, c->scram->secret.iterations);
	if (scram_client_final(c->scram, keys, &final) != RES_OK)
		return false;
	msg_begin(&w, MSG_PASSWORD);
	write_bytes(&w, final.data, final.len);
	msg_end(&w);
	send_message(c, &w);
	writer_free(&final);
	return true;
}

static bool authenticate(struct client *c, struct reader body)
{
	uint32_t request = read_u32(&body);
	bool is_fine = true;

	if (request == AUTH_OK)
		return true;
	if (!c->engine->where->password)
		return false;
	switch (request) {
	case AUTH_CLEARTEXT_PASSWORD: send_password(c); break;
	case AUTH_SASL: start_scram(c); break;
	case AUTH_SASL_CONTINUE: is_fine = continue_scram(c, body); break;
	case AUTH_SASL_FINAL: is_fine = c->scram && scram_client_verify(c->scram, body) == RES_OK; break;
	default: is_fine = false;
	}
	return is_fine;
}

static void ready(struct client *c)
{
	if (c->awaited > 0 && --c->awaited > 0)
		return;
	if (c->state == CLIENT_LOGIN) {
		c->engine->logins++;
		c->state = CLIENT_READY;
		if (c->scram) {
			scram_wipe(c->scram);
			free(c->scram);
			c->scram = NULL;
		}
	}
	c->engine->on_ready(c);
}

static void note_error(struct client *c, struct reader body)
{
	struct error_info e;

	error_parse(body, &e);
	snprintf(c->why, sizeof(c->why), "%s %s", e.sqlstate, e.message);
	c->engine->errors++;
}

static bool must_be_read(uint8_t type)
{
	return type == MSG_AUTHENTICATION || type == MSG_ERROR_RESPONSE || type == MSG_READY_FOR_QUERY ||
		type == MSG_COPY_IN_RESPONSE;
}

static void take(struct client *c, uint8_t type, struct reader body)
{
	switch (type) {
	case MSG_AUTHENTICATION:
		if (!authenticate(c, body))
			lose(c, "authentication failed");
		break;
	case MSG_ERROR_RESPONSE: note_error(c, body); break;
	case MSG_READY_FOR_QUERY: ready(c); break;
	case MSG_COPY_IN_RESPONSE: c->engine->on_copy_in(c); break;
	default: ASSERT(!"a message that needn't be read");
	}
}

static void collect(struct client *c, size_t want, const uint8_t **data, size_t *len)
{
	size_t n = MIN(want - c->partial.len, *len);

	write_bytes(&c->partial, *data, n);
	*data += n;
	*len -= n;
}

/* A message whose header or body is in two reads. */
static void take_collected(struct client *c, const uint8_t **data, size_t *len)
{
	struct frame f;
	struct reader in;

	if (c->partial.len < FRAME_HEADER_SIZE)
		collect(c, FRAME_HEADER_SIZE, data, len);
	in = reader_over(c->partial.data, c->partial.len);
	if (c->partial.len < FRAME_HEADER_SIZE)
		return;
	if (frame_peek(&in, &f) != RES_OK || (must_be_read(f.type) && f.length > READ_MESSAGE_MAX)) {
		lose(c, "broken protocol");
		return;
	}
	if (!must_be_read(f.type)) {
		c->skip = f.length - FRAME_HEADER_SIZE;
		c->partial.len = 0;
		return;
	}
	collect(c, f.length, data, len);
	if (c->partial.len < f.length)
		return;
	in = reader_over(c->partial.data + FRAME_HEADER_SIZE, f.length - FRAME_HEADER_SIZE);
	c->partial.len = 0; /* its bytes stay until the next collect() */
	take(c, f.type, in);
}

/* The usual case: the whole message is in the buffer, or its body is of no interest. false: it must be collected. */
static bool take_in_place(struct client *c, const uint8_t **data, size_t *len)
{
	struct reader in = reader_over(*data, *len);
	struct frame f;
	size_t n;

	if (c->partial.len > 0 || *len < FRAME_HEADER_SIZE || frame_peek(&in, &f) != RES_OK)
		return false;
	if (must_be_read(f.type) && *len < f.length)
		return false;
	in = reader_over(*data + FRAME_HEADER_SIZE, f.length - FRAME_HEADER_SIZE);
	n = MIN(*len, f.length);
	*data += n;
	*len -= n;
	if (must_be_read(f.type))
		take(c, f.type, in);
	else
		c->skip = f.length - n;
	return true;
}

static void take_bytes(struct client *c, const uint8_t *data, size_t len)
{
	int fd = c->fd;

	while (len > 0 && c->state >= CLIENT_LOGIN && c->fd == fd) {
		size_t n = MIN(len, c->skip);

		c->skip -= n;
		data += n;
		len -= n;
		if (len > 0 && !take_in_place(c, &data, &len))
			take_collected(c, &data, &len);
	}
}

static void read_all(struct client *c)
{
	struct engine *e = c->engine;

	while (c->state >= CLIENT_LOGIN) {
		ssize_t n = receive(c, e->buffer, sizeof(e->buffer));

		if (n < 0)
			return;
		if (n == 0) {
			lose(c, c->why[0] ? c->why : "closed by the server");
			return;
		}
		e->received += (uint64_t)n;
		take_bytes(c, e->buffer, (size_t)n);
		if (n < (ssize_t)sizeof(e->buffer) && !c->ssl)
			return; /* drained; edge-triggered epoll tells when there is more */
	}
}

static void connected(struct client *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error) {
		lose(c, strerror(error ? error : errno));
		return;
	}
	if (c->engine->where->tls)
		ask_tls(c);
	else
		send_startup(c);
}

static void on_event(struct client *c, uint32_t events)
{
	switch (c->state) {
	case CLIENT_CLOSED: return;
	case CLIENT_CONNECTING:
		if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			connected(c);
		return;
	case CLIENT_ASKING_TLS: begin_tls(c); return;
	case CLIENT_HANDSHAKE: handshake(c); return;
	case CLIENT_LOGIN:
	case CLIENT_READY: break;
	}
	if ((events & EPOLLOUT) && c->out.len) {
		flush(c);
		if (!c->out.len && c->engine->on_copy_in)
			c->engine->on_copy_in(c);
	}
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
		read_all(c);
}

void engine_turn(struct engine *e, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(e->epoll, events, EVENTS_MAX, timeout_ms);

	for (int i = 0; i < n; i++)
		on_event(events[i].data.ptr, events[i].events);
}
