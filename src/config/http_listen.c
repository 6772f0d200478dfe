#include "config/http_listen.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum result complain(enum result r, char *why, size_t size, const char *what, const char *item, size_t len)
{
	snprintf(why, size, "http_listen: %s \"%.*s\"", what, (int)MIN(len, 60), item);
	return r;
}

static bool parse_port(const char *text, size_t len, int *port)
{
	int n = 0;

	if (len == 0 || len > 5)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		n = n * 10 + (text[i] - '0');
	}
	*port = n;
	return n >= 1 && n <= 65535;
}

static bool is_loopback(const char *host)
{
	struct in_addr in4;
	struct in6_addr in6;

	if (inet_pton(AF_INET, host, &in4) == 1)
		return ntohl(in4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &in6) == 1 && IN6_IS_ADDR_LOOPBACK(&in6);
}

/* Only what the brackets promise: without them the last colon of an IPv6 address would pass for the port's. */
static bool parse_host(const char *text, size_t len, struct http_place *p)
{
	bool has_brackets = len >= 2 && text[0] == '[' && text[len - 1] == ']';
	char address[16];

	if (has_brackets)
		text++, len -= 2;
	if (len >= sizeof(p->host))
		return false;
	memcpy(p->host, text, len);
	p->host[len] = '\0';
	if (inet_pton(has_brackets ? AF_INET6 : AF_INET, p->host, address) != 1)
		return false;
	p->is_loopback = is_loopback(p->host);
	return true;
}

static void add(struct http_place *places, size_t *n, const char *host, int port, bool may_be_absent)
{
	struct http_place *p = &places[(*n)++];

	*p = (struct http_place){ .port = port, .is_loopback = is_loopback(host), .may_be_absent = may_be_absent };
	snprintf(p->host, sizeof(p->host), "%s", host);
}

static enum result parse_item(
	const char *item, size_t len, struct http_place *places, size_t *n, char *why, size_t size)
{
	const char *colon = memrchr(item, ':', len);
	size_t host_len = colon ? (size_t)(colon - item) : 0, port_at = colon ? host_len + 1 : 0;
	int port;

	if (*n + 2 > HTTP_PLACES_MAX)
		return complain(RES_LIMIT, why, size, "too many addresses, from", item, len);
	if (!parse_port(item + port_at, len - port_at, &port))
		return complain(RES_PROTOCOL, why, size, "no [address]:port in", item, len);
	if (host_len == 0) {
		add(places, n, "127.0.0.1", port, false);
	} else if (host_len == 1 && item[0] == '*') {
		add(places, n, "0.0.0.0", port, false);
		add(places, n, "::", port, true);
	} else {
		struct http_place p = { .port = port };

		if (!parse_host(item, host_len, &p))
			return complain(RES_PROTOCOL, why, size,
				"the address must be numeric (IPv6 in brackets) or *, not", item, host_len);
		places[(*n)++] = p;
	}
	return RES_OK;
}

enum result http_listen_parse(
	const char *text, struct http_place places[HTTP_PLACES_MAX], size_t *n, char *why, size_t size)
{
	static const char blanks[] = " \t";
	enum result r = RES_OK;

	*n = 0;
	if (!text[strspn(text, blanks)])
		return RES_OK;
	for (const char *item = text; item && r == RES_OK;) {
		size_t len = strcspn(item, ",");
		const char *next = item[len] ? item + len + 1 : NULL;
		size_t skip = strspn(item, blanks);

		item += MIN(skip, len);
		len -= MIN(skip, len);
		while (len && strchr(blanks, item[len - 1]))
			len--;
		r = parse_item(item, len, places, n, why, size);
		item = next;
	}
	return r;
}

bool http_settings_check(const struct config *c, char *why, size_t size)
{
	struct http_place places[HTTP_PLACES_MAX];
	size_t n;

	if (http_listen_parse(c->http_listen, places, &n, why, size) != RES_OK)
		return false;
	if (*c->http_token || *c->http_token_file)
		return true;
	for (size_t i = 0; i < n; i++) {
		if (places[i].is_loopback)
			continue;
		snprintf(why, size,
			"http_listen: others than this machine can reach %s: set http_token or http_token_file",
			places[i].host);
		return false;
	}
	return true;
}
