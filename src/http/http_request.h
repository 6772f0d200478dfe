/*
 * http_request.h - the head of an HTTP/1 request, as far as a reader of metrics needs it. No I/O.
 *
 * Bytes:   lines end with CRLF or LF; the head ends at the first empty one. Nothing is judged before it is whole, so where TCP
 *          cuts doesn't matter.
 * Bodies:  none: a request that announces one is RES_REFUSED, since where it ends needn't be known then.
 * Strict:  what two programs could read differently is RES_PROTOCOL: folded lines, blanks before a colon, a bare CR, control
 *          characters, a second Host, Authorization or Content-Length, a percent-encoded NUL.
 * Limits:  HTTP_HEAD_MAX for the whole, below for the parts: RES_LIMIT.
 * Source:  RFC 9110, RFC 9112.
 */
#ifndef PGWEIR_HTTP_REQUEST_H
#define PGWEIR_HTTP_REQUEST_H

#include "base/base.h"

#define HTTP_HEAD_MAX 8192
#define HTTP_PATH_MAX 255
#define HTTP_QUERY_MAX 511
#define HTTP_HOST_MAX 255
#define HTTP_TOKEN_MAX 4096

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_OTHER };

struct http_request {
	enum http_method method;
	char path[HTTP_PATH_MAX + 1];	/* decoded */
	char query[HTTP_QUERY_MAX + 1]; /* as it was sent, without the "?" */
	char host[HTTP_HOST_MAX + 1];	/* without the port; "" where there is none */
	const char *token; /* of Authorization: Bearer; in the bytes that were parsed, without a NUL. NULL: none */
	size_t token_len;
	bool is_1_0, is_keep_alive;
	bool wants_openmetrics; /* rather than the Prometheus text format */
};

/* RES_MORE: the head isn't whole. RES_OK: *used bytes were it. Any other result: the connection can't go on. */
enum result http_request_parse(const void *bytes, size_t len, struct http_request *out, size_t *used);

/* A value of the query, decoded; false: it isn't there, is malformed or too long. */
bool http_query_get(const char *query, const char *name, char *value, size_t size);

#endif
