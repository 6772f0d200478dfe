#include "http/http_request.h"

#include <string.h>
#include <strings.h>

struct slice {
	const char *at;
	size_t len;
};

struct seen { /* headers that may come once */
	bool host, authorization, content_length;
};

static bool is_token_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(const struct slice *s)
{
	for (size_t i = 0; i < s->len; i++)
		if (!is_token_char((unsigned char)s->at[i]))
			return false;
	return s->len > 0;
}

static bool is(const struct slice *s, const char *word)
{
	return s->len == strlen(word) && strncasecmp(s->at, word, s->len) == 0;
}

static struct slice trimmed(struct slice s)
{
	while (s.len && (s.at[0] == ' ' || s.at[0] == '\t'))
		s.at++, s.len--;
	while (s.len && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* The part of *s up to the separator, which goes too. */
static struct slice cut(struct slice *s, char separator)
{
	const char *end = s->len ? memchr(s->at, separator, s->len) : NULL;
	struct slice part = { s->at, end ? (size_t)(end - s->at) : s->len };
	size_t gone = end ? part.len + 1 : part.len;

	s->at += gone;
	s->len -= gone;
	return part;
}

/* ---- percent-encoding ---- */

static int hex(char c)
{
	return c >= '0' && c <= '9'    ? c - '0'
		: c >= 'a' && c <= 'f' ? c - 'a' + 10
		: c >= 'A' && c <= 'F' ? c - 'A' + 10
				       : -1;
}

static enum result decode(struct slice s, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if (c == '%') {
			int high = i + 2 < s.len ? hex(s.at[i + 1]) : -1, low = high >= 0 ? hex(s.at[i + 2]) : -1;

			if (high < 0 || low < 0)
				return RES_PROTOCOL;
			c = (unsigned char)(high << 4 | low);
			i += 2;
		}
		if (c < 0x20 || c == 0x7f)
			return RES_PROTOCOL;
		if (n + 1 >= size)
			return RES_LIMIT;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return RES_OK;
}

bool http_query_get(const char *query, const char *name, char *value, size_t size)
{
	struct slice rest = { query, strlen(query) };

	while (rest.len) {
		struct slice pair = cut(&rest, '&'), key = cut(&pair, '=');

		if (key.len == strlen(name) && memcmp(key.at, name, key.len) == 0)
			return decode(pair, value, size) == RES_OK;
	}
	return false;
}

/* ---- the first line ---- */

static enum result copy(struct slice s, char *out, size_t size)
{
	if (s.len >= size)
		return RES_LIMIT;
	memcpy(out, s.at, s.len);
	out[s.len] = '\0';
	return RES_OK;
}

/* A proxy's form, http://host/path, is the same as /path to us. */
static enum result parse_target(struct slice target, struct http_request *out)
{
	struct slice path;
	enum result r;

	for (size_t i = 0; i < target.len; i++)
		if (target.at[i] <= ' ' || target.at[i] == 0x7f || target.at[i] == '#')
			return RES_PROTOCOL;
	if (target.len > 7 && strncasecmp(target.at, "http://", 7) == 0) {
		const char *slash = memchr(target.at + 7, '/', target.len - 7);

		if (!slash)
			return RES_PROTOCOL;
		target.len -= (size_t)(slash - target.at);
		target.at = slash;
	}
	if (target.len == 0 || target.at[0] != '/')
		return RES_PROTOCOL;
	path = cut(&target, '?');
	r = decode(path, out->path, sizeof(out->path));
	return r != RES_OK ? r : copy(target, out->query, sizeof(out->query));
}

static enum result parse_first_line(struct slice line, struct http_request *out)
{
	struct slice method = cut(&line, ' '), target = cut(&line, ' ');

	if (!is_token(&method))
		return RES_PROTOCOL;
	if (line.len != 8 || memcmp(line.at, "HTTP/1.", 7) != 0 || line.at[7] < '0' || line.at[7] > '9')
		return RES_PROTOCOL;
	out->is_1_0 = line.at[7] == '0';
	out->is_keep_alive = !out->is_1_0;
	out->method = method.len == 3 && memcmp(method.at, "GET", 3) == 0 ? HTTP_GET
		: method.len == 4 && memcmp(method.at, "HEAD", 4) == 0	  ? HTTP_HEAD
									  : HTTP_OTHER;
	return parse_target(target, out);
}

/* ---- headers ---- */

static enum result on_host(struct slice v, struct http_request *out)
{
	const char *end = NULL;

	if (v.len && v.at[0] == '[')
		end = memchr(v.at, ']', v.len);
	else if (v.len)
		end = memchr(v.at, ':', v.len);
	if (end)
		v.len = (size_t)(end - v.at) + (*end == ']');
	return copy(v, out->host, sizeof(out->host));
}

static enum result on_authorization(struct slice v, struct http_request *out)
{
	struct slice scheme = cut(&v, ' ');

	if (!is(&scheme, "Bearer"))
		return RES_OK; /* no token: it'll be asked for one */
	v = trimmed(v);
	if (v.len > HTTP_TOKEN_MAX)
		return RES_LIMIT;
	out->token = v.at;
	out->token_len = v.len;
	return RES_OK;
}

static enum result on_content_length(struct slice v)
{
	if (v.len == 0)
		return RES_PROTOCOL;
	for (size_t i = 0; i < v.len; i++)
		if (v.at[i] < '0' || v.at[i] > '9')
			return RES_PROTOCOL;
	for (size_t i = 0; i < v.len; i++)
		if (v.at[i] != '0')
			return RES_REFUSED;
	return RES_OK;
}

static void on_connection(struct slice v, struct http_request *out)
{
	while (v.len) {
		struct slice option = trimmed(cut(&v, ','));

		if (is(&option, "close"))
			out->is_keep_alive = false;
		else if (is(&option, "keep-alive") && out->is_1_0)
			out->is_keep_alive = true;
	}
}

/* In thousandths; what isn't a number counts as 0. */
static int quality(struct slice v)
{
	int q = 0, digit = 100;

	if (v.len == 0 || (v.at[0] != '0' && v.at[0] != '1'))
		return 0;
	q = (v.at[0] - '0') * 1000;
	for (size_t i = 2; i < v.len && i < 5 && v.at[1] == '.'; i++, digit /= 10) {
		if (v.at[i] < '0' || v.at[i] > '9')
			return 0;
		q += (v.at[i] - '0') * digit;
	}
	return MIN(q, 1000);
}

/* Whoever doesn't ask for OpenMetrics by name gets what any reader of metrics understands, and people, too. */
static void on_accept(struct slice v, struct http_request *out)
{
	int openmetrics = 0, text = 0;

	while (v.len) {
		struct slice range = cut(&v, ','), type = trimmed(cut(&range, ';'));
		int q = 1000;

		while (range.len) {
			struct slice parameter = trimmed(cut(&range, ';')), name = cut(&parameter, '=');

			if (is(&name, "q"))
				q = quality(parameter);
		}
		if (is(&type, "application/openmetrics-text"))
			openmetrics = MAX(openmetrics, q);
		else if (is(&type, "text/plain"))
			text = MAX(text, q);
	}
	out->wants_openmetrics = openmetrics > 0 && openmetrics >= text;
}

static bool once(bool *had)
{
	bool is_first = !*had;

	*had = true;
	return is_first;
}

static enum result parse_header(struct slice line, struct http_request *out, struct seen *seen)
{
	struct slice name = cut(&line, ':'), value = trimmed(line);

	if (!is_token(&name) || name.at + name.len == line.at) /* no colon: nothing was cut behind the name */
		return RES_PROTOCOL;
	if (is(&name, "Host"))
		return once(&seen->host) ? on_host(value, out) : RES_PROTOCOL;
	if (is(&name, "Authorization"))
		return once(&seen->authorization) ? on_authorization(value, out) : RES_PROTOCOL;
	if (is(&name, "Content-Length"))
		return once(&seen->content_length) ? on_content_length(value) : RES_PROTOCOL;
	if (is(&name, "Transfer-Encoding"))
		return RES_REFUSED;
	if (is(&name, "Connection"))
		on_connection(value, out);
	else if (is(&name, "Accept"))
		on_accept(value, out);
	return RES_OK;
}

/* A line without its end; false: it has a character that no line may have. */
static bool line_of(struct slice *rest, struct slice *line)
{
	*line = cut(rest, '\n');
	if (line->len && line->at[line->len - 1] == '\r')
		line->len--;
	for (size_t i = 0; i < line->len; i++) {
		unsigned char c = (unsigned char)line->at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* Behind the empty line, or 0. */
static size_t find_end(const char *text, size_t len)
{
	for (const char *p = text, *end = text + len; p < end && (p = memchr(p, '\n', (size_t)(end - p))); p++) {
		if (p + 1 < end && p[1] == '\n')
			return (size_t)(p - text) + 2;
		if (p + 2 < end && p[1] == '\r' && p[2] == '\n')
			return (size_t)(p - text) + 3;
	}
	return 0;
}

/* Empty lines in front of a request are passed over (RFC 9112, 2.2). */
static size_t leading_lines(const char *text, size_t len)
{
	size_t n = 0;

	while (n < len && (text[n] == '\n' || (text[n] == '\r' && n + 1 < len && text[n + 1] == '\n')))
		n += text[n] == '\n' ? 1 : 2;
	return n;
}

enum result http_request_parse(const void *bytes, size_t len, struct http_request *out, size_t *used)
{
	size_t lead = leading_lines(bytes, MIN(len, HTTP_HEAD_MAX));
	const char *text = (const char *)bytes + lead;
	size_t end = find_end(text, MIN(len, HTTP_HEAD_MAX) - lead);
	struct slice rest = { text, end }, line;
	struct seen seen = { 0 };
	enum result r;

	if (!end)
		return len >= HTTP_HEAD_MAX ? RES_LIMIT : RES_MORE;
	memset(out, 0, sizeof(*out));
	if (!line_of(&rest, &line))
		return RES_PROTOCOL;
	r = parse_first_line(line, out);
	while (r == RES_OK && rest.len) {
		if (!line_of(&rest, &line))
			return RES_PROTOCOL;
		if (line.len)
			r = parse_header(line, out, &seen);
	}
	if (r == RES_OK && !seen.host && !out->is_1_0)
		return RES_PROTOCOL;
	*used = lead + end;
	return r;
}
