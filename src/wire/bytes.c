#include "wire/bytes.h"

#include "wire/msg.h"

#include <stdio.h>

#include <stdlib.h>

const uint8_t *read_bytes(struct reader *r, size_t n)
{
	const uint8_t *p = r->pos;

	if (r->bad || n > reader_left(r)) {
		r->bad = true;
		r->pos = r->end;
		return NULL;
	}
	r->pos += n;
	return p;
}

uint8_t read_u8(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 1);

	return p ? *p : 0;
}

uint16_t read_u16(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 2);

	return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

uint32_t read_u32(struct reader *r)
{
	const uint8_t *p = read_bytes(r, 4);

	return p ? load_be32(p) : 0;
}

const char *read_cstring(struct reader *r)
{
	const uint8_t *nul = r->bad || r->pos == r->end ? NULL : memchr(r->pos, 0, reader_left(r));
	const uint8_t *s = r->pos;

	if (!nul) {
		r->bad = true;
		r->pos = r->end;
		return "";
	}
	r->pos = nul + 1;
	return (const char *)s;
}

enum result frame_peek(const struct reader *r, struct frame *out)
{
	uint32_t length;

	if (reader_left(r) < FRAME_HEADER_SIZE)
		return RES_MORE;
	length = load_be32(r->pos + 1);
	if (length < 4 || length > INT32_MAX)
		return RES_PROTOCOL;
	out->type = r->pos[0];
	out->length = length + 1;
	return RES_OK;
}

void writer_free(struct writer *w)
{
	free(w->data);
	memset(w, 0, sizeof(*w));
}

uint8_t *writer_reserve(struct writer *w, size_t n)
{
	ASSERT(n <= WRITER_MAX && w->len + n <= WRITER_MAX);
	if (!w->data || w->cap - w->len < n) { /* NULL + 0 is undefined in C */
		w->cap = MAX(MAX(w->cap * 2, w->len + n), 64);
		w->data = xrealloc(w->data, w->cap);
	}
	return w->data + w->len;
}

void write_bytes(struct writer *w, const void *data, size_t n)
{
	uint8_t *p = writer_reserve(w, n);

	if (n)
		memcpy(p, data, n);
	w->len += n;
}

void write_u8(struct writer *w, uint8_t v)
{
	write_bytes(w, &v, 1);
}

void write_u16(struct writer *w, uint16_t v)
{
	write_bytes(w, (uint8_t[]){ (uint8_t)(v >> 8), (uint8_t)v }, 2);
}

void write_u32(struct writer *w, uint32_t v)
{
	uint8_t b[4];

	store_be32(b, v);
	write_bytes(w, b, sizeof(b));
}

void write_cstring(struct writer *w, const char *s)
{
	write_bytes(w, s, strlen(s) + 1);
}

void msg_begin(struct writer *w, uint8_t type)
{
	if (type)
		write_u8(w, type);
	w->msg_start = w->len;
	write_u32(w, 0);
}

void msg_end(struct writer *w)
{
	store_be32(w->data + w->msg_start, (uint32_t)(w->len - w->msg_start));
}

static void write_field(struct writer *w, char code, const char *value)
{
	if (!value)
		return;
	write_u8(w, (uint8_t)code);
	write_cstring(w, value);
}

void write_error(struct writer *w, const struct error_info *e)
{
	bool is_error = !strcmp(e->severity, "ERROR") || !strcmp(e->severity, "FATAL") ||
		!strcmp(e->severity, "PANIC");

	msg_begin(w, is_error ? MSG_ERROR_RESPONSE : MSG_NOTICE_RESPONSE);
	write_field(w, 'S', e->severity);
	write_field(w, 'V', e->severity);
	write_field(w, 'C', e->sqlstate);
	write_field(w, 'M', e->message);
	write_field(w, 'D', e->detail);
	write_field(w, 'H', e->hint);
	if (e->position > 0) {
		char position[16];

		snprintf(position, sizeof(position), "%d", e->position);
		write_field(w, 'P', position);
	}
	write_u8(w, 0);
	msg_end(w);
}

void write_ready_for_query(struct writer *w, uint8_t tx_status)
{
	msg_begin(w, MSG_READY_FOR_QUERY);
	write_u8(w, tx_status);
	msg_end(w);
}

void write_parameter_status(struct writer *w, const char *name, const char *value)
{
	size_t name_size = strlen(name) + 1, size = name_size + strlen(value) + 1;
	uint8_t *p = writer_reserve(w, FRAME_HEADER_SIZE + size);

	/* in one go: a login writes fourteen of them */
	p[0] = MSG_PARAMETER_STATUS;
	store_be32(p + 1, (uint32_t)(FRAME_HEADER_SIZE - 1 + size));
	memcpy(p + FRAME_HEADER_SIZE, name, name_size);
	memcpy(p + FRAME_HEADER_SIZE + name_size, value, size - name_size);
	w->len += FRAME_HEADER_SIZE + size;
}

void write_command_complete(struct writer *w, const char *tag)
{
	msg_begin(w, MSG_COMMAND_COMPLETE);
	write_cstring(w, tag);
	msg_end(w);
}

void write_query(struct writer *w, const char *sql)
{
	msg_begin(w, MSG_QUERY);
	write_cstring(w, sql);
	msg_end(w);
}

void error_parse(struct reader body, struct error_info *out)
{
	uint8_t code;

	*out = (struct error_info){
		.severity = "", .sqlstate = "", .message = "", .detail = "", .hint = "", .routine = ""
	};
	while (!body.bad && (code = read_u8(&body)) != 0) {
		const char *value = read_cstring(&body);

		switch (code) {
		case 'S':
			if (!*out->severity)
				out->severity = value;
			break;
		case 'V': out->severity = value; break; /* not localized, from 9.6 on: better than S */
		case 'C': out->sqlstate = value; break;
		case 'M': out->message = value; break;
		case 'D': out->detail = value; break;
		case 'H': out->hint = value; break;
		case 'R': out->routine = value; break;
		default: break;
		}
	}
}
