/*
 * gather.h - collects slices of a chunk, and bytes of our own between them, into one write.
 *
 * Slices aren't copied: they must stay where they are until gather_flush(). Neighbouring slices become one. What is put in
 * between is copied into the worker's arena. A gather is flushed by itself when it's full.
 * Threads: its worker's; one gather is in use at a time.
 */
#ifndef PGWEIR_GATHER_H
#define PGWEIR_GATHER_H

#include "net/stream.h"

#define GATHER_MAX 64

struct gather {
	struct stream *to; /* NULL: nowhere yet; nothing may be added */
	uint8_t *arena;
	size_t arena_size, used;
	size_t total; /* bytes that went through */
	int n;
	struct iovec iov[GATHER_MAX];
};

void gather_init(struct gather *g, struct stream *to, uint8_t *arena, size_t arena_size);
void gather_new_slice_(struct gather *g, const uint8_t *bytes, size_t len);
static inline void gather_slice(struct gather *g, const uint8_t *bytes, size_t len)
{
	struct iovec *last = &g->iov[g->n ? g->n - 1 : 0];

	if (g->n && (uint8_t *)last->iov_base + last->iov_len == bytes) {
		last->iov_len += len;
		g->total += len;
	} else if (len) {
		gather_new_slice_(g, bytes, len);
	}
}
void gather_copy(struct gather *g, const void *bytes, size_t len);
void gather_big(struct gather *g, const uint8_t *bytes, size_t len); /* copies, or flushes: the bytes may go then */
void gather_header(struct gather *g, uint8_t type, size_t body);
void gather_string(struct gather *g, const char *s); /* with its NUL */
void gather_flush(struct gather *g);

#endif
