#include "http/api.h"

#include "http/http_private.h"
#include "http/utf8.h"
#include "wire/msg.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LIMIT_DEFAULT 1000
#define LIMIT_MAX 10000
#define ALL_VIEWS_MAX 24
#define TAIL_MAX 4096 /* what comes behind the rows */

static void put(struct writer *w, const char *format, ...) PRINTF_LIKE(2, 3);
static void put(struct writer *w, const char *format, ...)
{
	char text[256];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	ASSERT(n >= 0 && (size_t)n < sizeof(text));
	write_bytes(w, text, (size_t)n);
}

/* ---- JSON ---- */

void json_text(struct writer *w, const char *text, size_t len)
{
	write_u8(w, '"');
	for (size_t i = 0; i < len;) {
		size_t n = utf8_length(text + i, len - i);
		unsigned char c = (unsigned char)text[i];

		if (n == 0)
			put(w, "%s", UTF8_REPLACEMENT);
		else if (c == '"' || c == '\\')
			put(w, "\\%c", c);
		else if (c < 0x20 || c == 0x7f || c == '<') /* '<': harmless, should it ever be put into HTML */
			put(w, "\\u%04x", c);
		else
			write_bytes(w, text + i, n);
		i += MAX(n, 1);
	}
	write_u8(w, '"');
}

/* The console's numbers are JSON's already; an empty one would be none. */
static bool is_number(const char *text, size_t len)
{
	size_t digits = 0, points = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] >= '0' && text[i] <= '9')
			digits++;
		else if (text[i] == '.' && digits && i + 1 < len)
			points++;
		else if (text[i] != '-' || i != 0)
			return false;
	}
	return digits && points <= 1;
}

static void json_value(struct writer *w, enum column_type type, const char *text, size_t len)
{
	switch (type) {
	case COLUMN_INT4:
	case COLUMN_INT8:
	case COLUMN_NUMERIC:
		if (is_number(text, len)) {
			write_bytes(w, text, len);
			return;
		}
		break;
	case COLUMN_BYTEA:
	case COLUMN_TEXT: break;
	}
	json_text(w, text, len);
}

static void json_row(struct writer *w, const struct rows *rows, struct reader r)
{
	uint16_t n = read_u16(&r);

	ASSERT(n == rows->n_columns);
	write_u8(w, '{');
	for (uint16_t i = 0; i < n; i++) {
		uint32_t len = read_u32(&r);

		if (i)
			write_u8(w, ',');
		json_text(w, rows->columns[i].name, strlen(rows->columns[i].name));
		write_u8(w, ':');
		if (len == UINT32_MAX)
			put(w, "null");
		else
			json_value(w, rows->columns[i].type, (const char *)read_bytes(&r, len), len);
	}
	ASSERT(!r.bad && reader_left(&r) == 0);
	write_u8(w, '}');
}

void json_rows(struct writer *w, const struct rows *rows, size_t limit, size_t size_max, bool *is_cut)
{
	struct reader r = reader_over(rows->out.data, rows->out.len);
	size_t count = 0;
	struct frame f;

	*is_cut = false;
	write_u8(w, '[');
	while (frame_peek(&r, &f) == RES_OK) {
		const uint8_t *message = read_bytes(&r, f.length);
		size_t had = w->len;

		ASSERT(message);
		if (f.type != MSG_DATA_ROW) /* a notice */
			continue;
		*is_cut = count == limit;
		if (*is_cut)
			break;
		if (count++)
			write_u8(w, ',');
		json_row(w, rows, reader_over(message + FRAME_HEADER_SIZE, f.length - FRAME_HEADER_SIZE));
		if (w->len <= size_max)
			continue;
		w->len = had; /* this one is too much */
		*is_cut = true;
		break;
	}
	write_u8(w, ']');
}

static void json_time(struct writer *w)
{
	time_t now = time(NULL);
	char text[64];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	put(w, "\"at\":\"%s\"", text);
}

/* ---- views ---- */

static size_t limit_of(const struct http_conn *c)
{
	char text[8], *end;
	unsigned long n;

	if (!http_query_get(c->query, "limit", text, sizeof(text)))
		return LIMIT_DEFAULT;
	n = strtoul(text, &end, 10);
	return *text < '0' || *text > '9' || *end ? LIMIT_DEFAULT : MIN(n, LIMIT_MAX);
}

static void view_rows(struct writer *w, const struct show *show, const struct view *v, size_t limit)
{
	struct rows rows = { .columns = v->columns, .n_columns = v->n_columns };
	struct show s = *show;
	bool is_cut;

	s.rows = &rows;
	v->fill(&s);
	put(w, "\"rows\":");
	json_rows(w, &rows, limit, HTTP_BODY_MAX - TAIL_MAX, &is_cut);
	put(w, ",\"is_cut\":%s", is_cut ? "true" : "false");
	writer_free(&rows.out);
}

static void json_lower(struct writer *w, const char *name)
{
	char text[64];
	size_t n = 0;

	for (; name[n] && n < sizeof(text); n++)
		text[n] = (char)(name[n] >= 'A' && name[n] <= 'Z' ? name[n] + 32 : name[n]);
	json_text(w, text, n);
}

/* Only views with rows: SHOW HELP says what it has to say by a notice. */
static const struct view *find_view(const char *name)
{
	const struct view *v = view_find(name);

	return v && v->n_columns ? v : NULL;
}

/* /api/NAME.json */
static const struct view *view_of_path(const char *path)
{
	static const char front[] = "/api/", behind[] = ".json";
	size_t len = strlen(path);
	char name[64];

	if (strncmp(path, front, strlen(front)) != 0 || len < strlen(front) + strlen(behind) ||
		strcmp(path + len - strlen(behind), behind) != 0)
		return NULL;
	len -= strlen(front) + strlen(behind);
	if (len >= sizeof(name))
		return NULL;
	memcpy(name, path + strlen(front), len);
	name[len] = '\0';
	return find_view(name);
}

static void answer_json(struct http_conn *c, struct writer *w)
{
	write_u8(w, '\n');
	conn_answer(c, 200, CONTENT_JSON, w->data, w->len);
	writer_free(w);
}

static void answer_view(struct http_conn *c, const struct show *show)
{
	const struct view *v = view_of_path(c->path);
	struct writer w = { 0 };

	put(&w, "{\"view\":");
	json_lower(&w, v->name);
	write_u8(&w, ',');
	json_time(&w);
	write_u8(&w, ',');
	view_rows(&w, show, v, limit_of(c));
	write_u8(&w, '}');
	answer_json(c, &w);
}

/* ---- several ---- */

struct wanted {
	char text[HTTP_QUERY_MAX + 1];
	const char *names[ALL_VIEWS_MAX]; /* in text */
	size_t n;
};

static void wanted_of(const struct http_conn *c, struct wanted *wanted)
{
	char *at = NULL;

	wanted->n = 0;
	if (!http_query_get(c->query, "views", wanted->text, sizeof(wanted->text)))
		return;
	for (char *name = strtok_r(wanted->text, ",", &at); name && wanted->n < ALL_VIEWS_MAX;
		name = strtok_r(NULL, ",", &at))
		wanted->names[wanted->n++] = name;
}

/* What no view says. */
static void json_now(struct writer *w, const struct http *h)
{
	const struct console_host *d = h->host.daemon;

	put(w, ",\"now\":{\"clients\":%d,\"clients_limit\":%d", MAX(atomic_load(&d->registry->clients), 0),
		http_config(h)->max_client_conn);
	put(w, ",\"clients_accepted\":%" PRIu64 ",\"logins\":%zu}", atomic_load(&d->registry->clients_ever),
		d->login_count(d->ctx));
}

static void answer_all(struct http_conn *c, const struct show *show)
{
	struct writer w = { 0 };
	struct wanted wanted;
	char why[100];
	bool is_ready = http_is_ready(c->http, why, sizeof(why));

	wanted_of(c, &wanted);
	write_u8(&w, '{');
	json_time(&w);
	put(&w, ",\"version\":\"%s\",\"is_ready\":%s,\"why\":", PGWEIR_VERSION, is_ready ? "true" : "false");
	if (is_ready)
		put(&w, "null");
	else
		json_text(&w, why, strlen(why));
	json_now(&w, c->http);
	put(&w, ",\"views\":{");
	for (size_t i = 0; i < wanted.n; i++) {
		const struct view *v = find_view(wanted.names[i]);

		if (i)
			write_u8(&w, ',');
		json_text(&w, wanted.names[i], strlen(wanted.names[i]));
		put(&w, v ? ":{" : ":null");
		if (!v)
			continue;
		view_rows(&w, show, v, limit_of(c));
		write_u8(&w, '}');
	}
	put(&w, "}}");
	answer_json(c, &w);
}

static void ask_all(struct http_conn *c)
{
	struct wanted wanted;
	unsigned wants = 0;

	wanted_of(c, &wanted);
	for (size_t i = 0; i < wanted.n; i++) {
		const struct view *v = find_view(wanted.names[i]);

		wants |= v ? v->wants : 0;
	}
	http_ask_workers(c, wants, answer_all);
}

static void answer_list(struct http_conn *c)
{
	struct writer w = { 0 };
	bool is_first = true;

	put(&w, "{\"views\":[");
	for (size_t i = 0; i < n_views; i++) {
		if (!views[i]->n_columns)
			continue;
		if (!is_first)
			write_u8(&w, ',');
		is_first = false;
		json_lower(&w, views[i]->name);
	}
	put(&w, "]}");
	answer_json(c, &w);
}

bool get_api(struct http_conn *c)
{
	const struct view *v = view_of_path(c->path);

	if (strcmp(c->path, "/api.json") == 0)
		answer_list(c);
	else if (strcmp(c->path, "/api/all.json") == 0)
		ask_all(c);
	else if (v)
		http_ask_workers(c, v->wants, answer_view);
	else
		return false;
	return true;
}
