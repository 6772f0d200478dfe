/*
 * bytes.h - the only pointer arithmetic on wire bytes: reader, writer, frame header.
 *
 * reader:  a cursor over bytes that somebody else owns. A short read sets bad for good and yields 0 or "".
 * writer:  appends to a buffer that it owns and grows; msg_begin()/msg_end() fill in a message's length. What goes in
 *          is our own or was limited before: past WRITER_MAX it aborts.
 * frame:   the 5-byte header of a message after startup.
 * Source:  PostgreSQL's manual, "Frontend/Backend Protocol", "Message Data Types".
 */
#ifndef PGWEIR_BYTES_H
#define PGWEIR_BYTES_H

#include "base/base.h"

#include <string.h>

struct reader {
	const uint8_t *pos, *end;
	bool bad;
};

static inline struct reader reader_over(const void *data, size_t len)
{
	const uint8_t *p = data;

	return (struct reader){ .pos = p, .end = len ? p + len : p }; /* NULL + 0 is undefined in C */
}

static inline size_t reader_left(const struct reader *r)
{
	return (size_t)(r->end - r->pos);
}

static inline uint32_t load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void store_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24), p[1] = (uint8_t)(v >> 16), p[2] = (uint8_t)(v >> 8), p[3] = (uint8_t)v;
}

uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
const char *read_cstring(struct reader *r); /* lives in the reader's bytes; "" when there's no NUL */
const uint8_t *read_bytes(struct reader *r, size_t n); /* NULL when there are fewer */

#define FRAME_HEADER_SIZE 5

struct frame {
	uint8_t type;
	uint32_t length; /* of the whole message, header included: the wire's length + 1 */
};

/* RES_MORE: fewer than 5 bytes; RES_PROTOCOL: a length below 4 or above 2^31-1. Doesn't move the reader. */
enum result frame_peek(const struct reader *r, struct frame *out);

#define WRITER_MAX (UINT32_C(1) << 30)

struct writer {
	uint8_t *data;
	size_t len, cap;
	size_t msg_start; /* of the message that msg_begin() opened */
};

void writer_free(struct writer *w);		     /* frees the buffer and zeroes the writer */
uint8_t *writer_reserve(struct writer *w, size_t n); /* room for n more bytes; the caller adds to len */
void write_u8(struct writer *w, uint8_t v);
void write_u16(struct writer *w, uint16_t v);
void write_u32(struct writer *w, uint32_t v);
void write_bytes(struct writer *w, const void *data, size_t n);
void write_cstring(struct writer *w, const char *s);
void msg_begin(struct writer *w, uint8_t type); /* type 0: a startup packet, which has none */
void msg_end(struct writer *w);

/* Messages that several modules build. */
struct error_info {
	const char *severity; /* "ERROR", "FATAL", "NOTICE", "WARNING"; not localized */
	const char *sqlstate;
	const char *message, *detail, *hint; /* detail and hint may be NULL */
	const char *routine;		     /* only out of error_parse(); NULL otherwise */
	int position;			     /* in the query, in characters from 1; 0: none. Only written */
};

void write_error(struct writer *w, const struct error_info *e); /* ErrorResponse, or NoticeResponse if severity is one */
void write_ready_for_query(struct writer *w, uint8_t tx_status);
void write_parameter_status(struct writer *w, const char *name, const char *value);
void write_command_complete(struct writer *w, const char *tag);
void write_query(struct writer *w, const char *sql);

/* Reads the body (without header) of an ErrorResponse or NoticeResponse; fields that are missing are "". */
void error_parse(struct reader body, struct error_info *out);

#endif
