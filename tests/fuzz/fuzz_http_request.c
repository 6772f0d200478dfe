/*
 * fuzz_http_request - any bytes as an HTTP request, and as the setting http_listen.
 *
 * It claims: where TCP cuts doesn't matter: each beginning of a request that was accepted asks for more, and one that was refused is
 * never accepted further on; what follows a request doesn't change it; all parts are within their limits, paths have no control
 * characters, the token lies within the bytes. A list of places that is accepted is accepted again when it is written as it was read.
 */
#include "config/http_listen.h"
#include "http/http_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_parts(const struct http_request *r, const uint8_t *bytes, size_t used)
{
	size_t path = strlen(r->path);
	char value[64];

	ASSERT(r->path[0] == '/' && path <= HTTP_PATH_MAX);
	for (size_t i = 0; i < path; i++)
		ASSERT((unsigned char)r->path[i] >= 0x20 && r->path[i] != 0x7f);
	ASSERT(strlen(r->query) <= HTTP_QUERY_MAX && strlen(r->host) <= HTTP_HOST_MAX);
	if (r->token) {
		ASSERT((const uint8_t *)r->token >= bytes &&
			(const uint8_t *)r->token + r->token_len <= bytes + used);
		ASSERT(r->token_len <= HTTP_TOKEN_MAX && !memchr(r->token, '\n', r->token_len));
	}
	if (http_query_get(r->query, "limit", value, sizeof(value)))
		ASSERT(strlen(value) < sizeof(value) && strstr(r->query, "limit"));
}

static bool same(const struct http_request *a, const struct http_request *b)
{
	return a->method == b->method && strcmp(a->path, b->path) == 0 && strcmp(a->query, b->query) == 0 &&
		strcmp(a->host, b->host) == 0 && a->token_len == b->token_len && a->is_1_0 == b->is_1_0 &&
		a->is_keep_alive == b->is_keep_alive && a->wants_openmetrics == b->wants_openmetrics;
}

static void run_request(const uint8_t *data, size_t size)
{
	struct http_request whole, part;
	size_t used = 0, part_used;
	enum result r = http_request_parse(data, size, &whole, &used);

	if (r == RES_OK) {
		ASSERT(used > 0 && used <= size && used <= HTTP_HEAD_MAX);
		check_parts(&whole, data, used);
		ASSERT(http_request_parse(data, used, &part, &part_used) == RES_OK && part_used == used);
		ASSERT(same(&whole, &part));
	}
	for (size_t cut = 0; cut < size; cut += 1 + cut / 8) {
		enum result early = http_request_parse(data, cut, &part, &part_used);

		ASSERT(early == RES_MORE || early == r);
		if (r == RES_OK)
			ASSERT((early == RES_MORE) == (cut < used));
	}
	if (r == RES_MORE)
		ASSERT(size < HTTP_HEAD_MAX);
}

static void run_list(const uint8_t *data, size_t size)
{
	struct http_place places[HTTP_PLACES_MAX], again[HTTP_PLACES_MAX];
	char *text = xstrndup((const char *)data, size), written[HTTP_PLACES_MAX * 64] = "", why[200] = "";
	size_t n, n_again, len = 0;

	if (http_listen_parse(text, places, &n, why, sizeof(why)) != RES_OK) {
		ASSERT(strncmp(why, "http_listen: ", 13) == 0);
		free(text);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		bool is_6 = strchr(places[i].host, ':') != NULL;

		ASSERT(places[i].port >= 1 && places[i].port <= 65535);
		len += (size_t)snprintf(written + len, sizeof(written) - len, "%s%s%s%s:%d", i ? "," : "",
			is_6 ? "[" : "", places[i].host, is_6 ? "]" : "", places[i].port);
	}
	/* one that is only just within the number of places may not be so again: "*" needs room for two */
	if (n < HTTP_PLACES_MAX - 1) {
		ASSERT(http_listen_parse(written, again, &n_again, why, sizeof(why)) == RES_OK && n_again == n);
		for (size_t i = 0; i < n; i++)
			ASSERT(strcmp(places[i].host, again[i].host) == 0 && places[i].port == again[i].port &&
				places[i].is_loopback == again[i].is_loopback);
	}
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = xmalloc(size + 1); /* its end is where the sanitizer sees it */

	if (size)
		memcpy(copy, data, size);
	copy = xrealloc(copy, size ? size : 1);
	run_request(copy, size);
	run_list(data, size);
	free(copy);
	return 0;
}
