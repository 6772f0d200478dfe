#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool address_unix(struct address *out, const char *dir, int port)
{
	bool is_abstract = dir[0] == '@';
	char *path = out->un.sun_path;
	int n;

	memset(out, 0, sizeof(*out));
	out->un.sun_family = AF_UNIX;
	n = snprintf(path, sizeof(out->un.sun_path), "%s/.s.PGSQL.%d", dir, port);
	if (n < 0 || (size_t)n >= sizeof(out->un.sun_path))
		return false;
	if (is_abstract)
		path[0] = '\0';
	out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + (is_abstract ? 0 : 1));
	return true;
}

bool address_numeric(struct address *out, const char *host, int port)
{
	struct sockaddr_in *in4 = (struct sockaddr_in *)&out->storage;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->storage;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &in4->sin_addr) == 1) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons((uint16_t)port);
		out->len = sizeof(*in4);
		return true;
	}
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		out->len = sizeof(*in6);
		return true;
	}
	return false;
}

bool address_is_unix(const struct address *a)
{
	return a->sa.sa_family == AF_UNIX;
}

int address_port(const struct address *a)
{
	switch (a->sa.sa_family) {
	case AF_INET: return ntohs(((const struct sockaddr_in *)&a->storage)->sin_port);
	case AF_INET6: return ntohs(((const struct sockaddr_in6 *)&a->storage)->sin6_port);
	default: return 0;
	}
}

void address_host(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
	const void *bytes = NULL;

	if (a->sa.sa_family == AF_INET)
		bytes = &((const struct sockaddr_in *)&a->storage)->sin_addr;
	else if (a->sa.sa_family == AF_INET6)
		bytes = &((const struct sockaddr_in6 *)&a->storage)->sin6_addr;
	if (!bytes || !inet_ntop(a->sa.sa_family, bytes, out, ADDRESS_TEXT_MAX))
		snprintf(out, ADDRESS_TEXT_MAX, "unix");
}

static char *put_number(char *out, unsigned n)
{
	char digits[10];
	size_t at = sizeof(digits);

	do
		digits[--at] = (char)('0' + n % 10);
	while (n /= 10);
	memcpy(out, digits + at, sizeof(digits) - at);
	return out + sizeof(digits) - at;
}

/* Every login has one, and printf needs fifteen times as long for it. */
static void put_ipv4(const struct sockaddr_in *in, char *out)
{
	const uint8_t *bytes = (const uint8_t *)&in->sin_addr;

	for (int i = 0; i < 4; i++) {
		out = put_number(out, bytes[i]);
		*out++ = i < 3 ? '.' : ':';
	}
	*put_number(out, ntohs(in->sin_port)) = '\0';
}

void address_text(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
	char host[ADDRESS_TEXT_MAX];

	if (a->sa.sa_family == AF_INET && a->len) {
		put_ipv4((const struct sockaddr_in *)&a->storage, out);
		return;
	}
	address_host(a, host);
	if (!a->len)
		snprintf(out, ADDRESS_TEXT_MAX, "-");
	else if (address_is_unix(a))
		snprintf(out, ADDRESS_TEXT_MAX, "unix");
	else
		snprintf(out, ADDRESS_TEXT_MAX, a->sa.sa_family == AF_INET6 ? "[%.64s]:%d" : "%.64s:%d", host,
			address_port(a));
}

bool address_origin(const struct address *a, struct address_origin *out)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)&a->storage;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->storage;
	bool is_mapped = a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

	memset(out, 0, sizeof(*out));
	if (a->sa.sa_family == AF_INET || is_mapped) {
		out->bytes[0] = 4;
		memcpy(out->bytes + 1,
			is_mapped ? in6->sin6_addr.s6_addr + 12 : (const uint8_t *)&in4->sin_addr, 4);
	} else if (a->sa.sa_family == AF_INET6) {
		out->bytes[0] = 6;
		memcpy(out->bytes + 1, in6->sin6_addr.s6_addr, 8);
	}
	return out->bytes[0] != 0;
}

void address_shorten(const struct address *a, struct short_address *out)
{
	size_t len = address_is_unix(a) ? sizeof(a->sa.sa_family) : a->len;

	memset(out, 0, sizeof(*out));
	out->len = (uint8_t)MIN(len, sizeof(out->bytes));
	memcpy(out->bytes, &a->storage, out->len);
}

void address_restore(const struct short_address *a, struct address *out)
{
	memset(out, 0, sizeof(*out));
	out->len = a->len;
	memcpy(&out->storage, a->bytes, a->len);
}

void address_local(int fd, struct address *out)
{
	memset(out, 0, sizeof(*out));
	out->len = sizeof(out->storage);
	if (getsockname(fd, &out->sa, &out->len) < 0)
		memset(out, 0, sizeof(*out));
}

void address_peer(int fd, struct address *out)
{
	memset(out, 0, sizeof(*out));
	out->len = sizeof(out->storage);
	if (getpeername(fd, &out->sa, &out->len) < 0)
		memset(out, 0, sizeof(*out));
}

static void set_int(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value)); /* a refusal costs nothing but the tuning */
}

void socket_set_buffer(int fd, int bytes)
{
	set_int(fd, SOL_SOCKET, SO_SNDBUF, bytes);
	set_int(fd, SOL_SOCKET, SO_RCVBUF, bytes);
}

static void tune(int fd, bool is_tcp, const struct tcp_options *o)
{
	if (o->socket_buffer)
		socket_set_buffer(fd, o->socket_buffer);
	if (!is_tcp)
		return;
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (o->user_timeout)
		set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, o->user_timeout);
	if (!o->keepalive)
		return;
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (o->keepcnt)
		set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, o->keepcnt);
	if (o->keepidle)
		set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, o->keepidle);
	if (o->keepintvl)
		set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, o->keepintvl);
}

/* These can't be unset: 0 stands for what a new socket has. */
static void set_keepalive_detail(int fd, int fresh, int option, int value)
{
	socklen_t len = sizeof(value);

	if (value || getsockopt(fresh, IPPROTO_TCP, option, &value, &len) == 0)
		set_int(fd, IPPROTO_TCP, option, value);
}

void socket_tune_listener(int fd, const struct tcp_options *o)
{
	int fresh = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, o->user_timeout);
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, o->keepalive);
	set_keepalive_detail(fd, fresh, TCP_KEEPCNT, o->keepcnt);
	set_keepalive_detail(fd, fresh, TCP_KEEPIDLE, o->keepidle);
	set_keepalive_detail(fd, fresh, TCP_KEEPINTVL, o->keepintvl);
	if (fresh >= 0)
		close(fresh);
}

static int close_keeping_errno(int fd)
{
	int e = errno;

	close(fd);
	errno = e;
	return -1;
}

int socket_connect(const struct address *a, const struct tcp_options *o, bool *in_progress)
{
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*in_progress = false;
	if (fd < 0)
		return -1;
	tune(fd, !address_is_unix(a), o);
	if (connect(fd, &a->sa, a->len) == 0)
		return fd;
	if (errno != EINPROGRESS)
		return close_keeping_errno(fd);
	*in_progress = true;
	return fd;
}

int socket_listen(const struct address *a, int backlog, bool reuseport, const struct tcp_options *o)
{
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (!address_is_unix(a)) {
		set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
		if (reuseport)
			set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
		if (a->sa.sa_family == AF_INET6)
			set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
		socket_tune_listener(fd, o);
	}
	if (bind(fd, &a->sa, a->len) < 0 || listen(fd, backlog) < 0)
		return close_keeping_errno(fd);
	return fd;
}

int socket_error(int fd)
{
	int e = 0;
	socklen_t len = sizeof(e);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0 ? errno : e;
}
