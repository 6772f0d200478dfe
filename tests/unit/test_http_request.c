#include "unit.h"

#include "http/http_request.h"

#include <stdio.h>
#include <string.h>

#define HOST "Host: h\r\n"

static const struct {
	const char *name, *bytes;
	enum result want;
} requests[] = {
	{ "nothing yet", "", RES_MORE },
	{ "half a line", "GET / HT", RES_MORE },
	{ "no empty line yet", "GET / HTTP/1.1\r\n" HOST, RES_MORE },
	{ "a bad one that isn't whole", "\x01\x02", RES_MORE },
	{ "plain", "GET / HTTP/1.1\r\n" HOST "\r\n", RES_OK },
	{ "bare line feeds", "GET / HTTP/1.1\nHost: h\n\n", RES_OK },
	{ "empty lines in front", "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", RES_OK },
	{ "1.0 without a Host", "GET / HTTP/1.0\r\n\r\n", RES_OK },
	{ "1.1 without a Host", "GET / HTTP/1.1\r\n\r\n", RES_PROTOCOL },
	{ "a later 1.x", "GET / HTTP/1.9\r\n" HOST "\r\n", RES_OK },
	{ "HTTP/2", "GET / HTTP/2.0\r\n" HOST "\r\n", RES_PROTOCOL },
	{ "HTTP/0.9", "GET /\r\n\r\n", RES_PROTOCOL },
	{ "two blanks", "GET  / HTTP/1.1\r\n" HOST "\r\n", RES_PROTOCOL },
	{ "a relative path", "GET metrics HTTP/1.1\r\n" HOST "\r\n", RES_PROTOCOL },
	{ "a fragment", "GET /#a HTTP/1.1\r\n" HOST "\r\n", RES_PROTOCOL },
	{ "a proxy's form", "GET http://h/ HTTP/1.1\r\n" HOST "\r\n", RES_OK },
	{ "a proxy's form without a path", "GET http://h HTTP/1.1\r\n" HOST "\r\n", RES_PROTOCOL },
	{ "half an escape", "GET /%4 HTTP/1.1\r\n" HOST "\r\n", RES_PROTOCOL },
	{ "an escaped NUL", "GET /%00 HTTP/1.1\r\n" HOST "\r\n", RES_PROTOCOL },
	{ "an escaped line feed", "GET /%0a HTTP/1.1\r\n" HOST "\r\n", RES_PROTOCOL },
	{ "a method that is no token", "G@T / HTTP/1.1\r\n" HOST "\r\n", RES_PROTOCOL },
	{ "another method", "BREW / HTTP/1.1\r\n" HOST "\r\n", RES_OK },
	{ "a folded header", "GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", RES_PROTOCOL },
	{ "a blank before the colon", "GET / HTTP/1.1\r\n" HOST "A : b\r\n\r\n", RES_PROTOCOL },
	{ "no colon", "GET / HTTP/1.1\r\n" HOST "A\r\n\r\n", RES_PROTOCOL },
	{ "no name", "GET / HTTP/1.1\r\n" HOST ": a\r\n\r\n", RES_PROTOCOL },
	{ "an empty value", "GET / HTTP/1.1\r\n" HOST "A:\r\n\r\n", RES_OK },
	{ "a bare CR", "GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n", RES_PROTOCOL },
	{ "two Hosts", "GET / HTTP/1.1\r\n" HOST HOST "\r\n", RES_PROTOCOL },
	{ "two tokens", "GET / HTTP/1.1\r\n" HOST "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
		RES_PROTOCOL },
	{ "no body", "GET / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", RES_OK },
	{ "a body", "GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx", RES_REFUSED },
	{ "two lengths", "GET / HTTP/1.1\r\n" HOST "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", RES_PROTOCOL },
	{ "a length that isn't", "GET / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", RES_PROTOCOL },
	{ "an endless length", "GET / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\n",
		RES_REFUSED },
	{ "chunks", "GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", RES_REFUSED },
};

START_TEST(requests_are_judged)
{
	struct http_request r;
	size_t used, len = strlen(requests[_i].bytes);
	enum result got = http_request_parse(requests[_i].bytes, len, &r, &used);

	ck_assert_msg(got == requests[_i].want, "%s: %d", requests[_i].name, got);
	if (got == RES_OK)
		ck_assert_uint_eq(used, len);
	for (size_t cut = 0; got != RES_MORE && got != RES_REFUSED && cut < len; cut++)
		ck_assert_msg(http_request_parse(requests[_i].bytes, cut, &r, &used) == RES_MORE,
			"%s, %zu bytes of it", requests[_i].name, cut);
}
END_TEST

static struct http_request parse(const char *line, const char *headers)
{
	static char text[2048];
	struct http_request r;
	size_t used;

	snprintf(text, sizeof(text), "%s\r\n%s\r\n", line, headers);
	ck_assert_msg(http_request_parse(text, strlen(text), &r, &used) == RES_OK, "%s", text);
	return r;
}

START_TEST(its_parts_are_found)
{
	struct http_request r = parse("HEAD /a%2Fb%C3%a4?views=x%2cy&limit=5 HTTP/1.1",
		"hOST: db.example:9187\r\nAUTHORIZATION: bearer   abc.DEF-_~+/=  \r\nAccept: text/html\r\n");
	char value[16];

	ck_assert_int_eq(r.method, HTTP_HEAD);
	ck_assert_str_eq(r.path, "/a/b\xc3\xa4");
	ck_assert_str_eq(r.query, "views=x%2cy&limit=5");
	ck_assert_str_eq(r.host, "db.example");
	ck_assert_uint_eq(r.token_len, 13);
	ck_assert_mem_eq(r.token, "abc.DEF-_~+/=", 13);
	ck_assert(!r.wants_openmetrics);
	ck_assert(http_query_get(r.query, "views", value, sizeof(value)));
	ck_assert_str_eq(value, "x,y");
	ck_assert(http_query_get(r.query, "limit", value, sizeof(value)));
	ck_assert_str_eq(value, "5");
	ck_assert(!http_query_get(r.query, "lim", value, sizeof(value)));
	ck_assert(!http_query_get(r.query, "views", value, 3));
	ck_assert(!http_query_get("a=%", "a", value, sizeof(value)));
	r = parse("GET / HTTP/1.1", "Host: [::1]:80\r\n");
	ck_assert_str_eq(r.host, "[::1]");
	ck_assert_ptr_null(r.token);
	r = parse("GET / HTTP/1.1", HOST "Authorization: Basic abc\r\n");
	ck_assert_ptr_null(r.token);
}
END_TEST

static const struct {
	const char *line, *headers;
	bool is_keep_alive;
} lasting[] = {
	{ "GET / HTTP/1.1", HOST, true },
	{ "GET / HTTP/1.1", HOST "Connection: close\r\n", false },
	{ "GET / HTTP/1.1", HOST "Connection: x , CLOSE\r\n", false },
	{ "GET / HTTP/1.1", HOST "Connection: closed\r\n", true },
	{ "GET / HTTP/1.0", "", false },
	{ "GET / HTTP/1.0", "Connection: keep-alive\r\n", true },
};

START_TEST(connections_last_as_they_should)
{
	ck_assert_int_eq(parse(lasting[_i].line, lasting[_i].headers).is_keep_alive, lasting[_i].is_keep_alive);
}
END_TEST

static const struct {
	const char *accept;
	bool wants_openmetrics;
} accepts[] = {
	{ "*/*", false },
	{ "text/plain", false },
	{ "application/openmetrics-text", true },
	{ "application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;version=0.0.1;q=0.5,"
	  "text/plain;version=0.0.4;q=0.25,*/*;q=0.1",
		true },
	{ "text/plain;version=0.0.4;q=0.5,application/openmetrics-text;q=0.4", false },
	{ "application/openmetrics-text;q=0", false },
	{ "application/openmetrics-text;q=0.000", false },
	{ "application/openmetrics-text;q=x", false },
	{ "application/openmetrics-text ; Q=0.001", true },
	{ "", false },
	{ ",;,=;q", false },
};

START_TEST(the_format_is_negotiated)
{
	char header[400];

	snprintf(header, sizeof(header), HOST "Accept: %s\r\n", accepts[_i].accept);
	ck_assert_msg(parse("GET /metrics HTTP/1.1", header).wants_openmetrics == accepts[_i].wants_openmetrics,
		"%s", accepts[_i].accept);
}
END_TEST

static const struct {
	const char *front;
	size_t filler;
	const char *behind;
	enum result want;
} sizes[] = {
	{ "GET /", HTTP_PATH_MAX - 1, " HTTP/1.0\r\n\r\n", RES_OK },
	{ "GET /", HTTP_PATH_MAX, " HTTP/1.0\r\n\r\n", RES_LIMIT },
	{ "GET /?", HTTP_QUERY_MAX, " HTTP/1.0\r\n\r\n", RES_OK },
	{ "GET /?", HTTP_QUERY_MAX + 1, " HTTP/1.0\r\n\r\n", RES_LIMIT },
	{ "GET / HTTP/1.0\r\nHost:", HTTP_HOST_MAX, "\r\n\r\n", RES_OK },
	{ "GET / HTTP/1.0\r\nHost:", HTTP_HOST_MAX + 1, "\r\n\r\n", RES_LIMIT },
	{ "GET / HTTP/1.0\r\nAuthorization: Bearer ", HTTP_TOKEN_MAX, "\r\n\r\n", RES_OK },
	{ "GET / HTTP/1.0\r\nAuthorization: Bearer ", HTTP_TOKEN_MAX + 1, "\r\n\r\n", RES_LIMIT },
	{ "GET / HTTP/1.0\r\nX:", HTTP_HEAD_MAX - 22, "\r\n\r\n", RES_OK },
	{ "GET / HTTP/1.0\r\nX:", HTTP_HEAD_MAX - 21, "\r\n\r\n", RES_LIMIT },
	{ "", HTTP_HEAD_MAX, "", RES_LIMIT },
	{ "", HTTP_HEAD_MAX - 1, "", RES_MORE },
};

START_TEST(requests_are_bounded)
{
	static char text[HTTP_HEAD_MAX * 2];
	size_t n = strlen(sizes[_i].front), used;
	struct http_request r;

	memcpy(text, sizes[_i].front, n);
	memset(text + n, 'x', sizes[_i].filler);
	n += sizes[_i].filler;
	memcpy(text + n, sizes[_i].behind, strlen(sizes[_i].behind));
	n += strlen(sizes[_i].behind);
	ck_assert_int_eq(http_request_parse(text, n, &r, &used), sizes[_i].want);
}
END_TEST

UNIT_MAIN("http_request", {
	tcase_add_loop_test(tc, requests_are_judged, 0, N_ELEMENTS(requests));
	tcase_add_test(tc, its_parts_are_found);
	tcase_add_loop_test(tc, connections_last_as_they_should, 0, N_ELEMENTS(lasting));
	tcase_add_loop_test(tc, the_format_is_negotiated, 0, N_ELEMENTS(accepts));
	tcase_add_loop_test(tc, requests_are_bounded, 0, N_ELEMENTS(sizes));
})
