#include "session/gather.h"

#include "wire/bytes.h"

#include <string.h>

#define COPY_INTO_ARENA_MAX 8192

void gather_init(struct gather *g, struct stream *to, uint8_t *arena, size_t arena_size)
{
	g->to = to;
	g->arena = arena;
	g->arena_size = arena_size;
	g->used = g->total = 0;
	g->n = 0;
}

void gather_new_slice_(struct gather *g, const uint8_t *bytes, size_t len)
{
	ASSERT(g->to);
	g->total += len;
	if (g->n == GATHER_MAX)
		gather_flush(g);
	g->iov[g->n++] = (struct iovec){ .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
}

void gather_copy(struct gather *g, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len > 0) {
		size_t n = MIN(len, g->arena_size - g->used);

		if (n == 0 || g->n == GATHER_MAX) {
			gather_flush(g);
			continue;
		}
		memcpy(g->arena + g->used, p, n);
		gather_slice(g, g->arena + g->used, n);
		g->used += n;
		p += n;
		len -= n;
	}
}

#define COPY_TO_SEND_MAX 2048 /* copying so much costs less than what sendmsg() does more than send() */

static void send_copied(const struct gather *g, size_t len)
{
	uint8_t flat[COPY_TO_SEND_MAX];
	size_t at = 0;

	for (int i = 0; i < g->n; i++) {
		memcpy(flat + at, g->iov[i].iov_base, g->iov[i].iov_len);
		at += g->iov[i].iov_len;
	}
	stream_send_bytes(g->to, flat, len);
}

void gather_flush(struct gather *g)
{
	size_t len = 0;

	for (int i = 0; i < g->n && len <= COPY_TO_SEND_MAX; i++)
		len += g->iov[i].iov_len;
	if (g->n > 1 && len <= COPY_TO_SEND_MAX)
		send_copied(g, len);
	else if (g->n)
		stream_send(g->to, g->iov, g->n);
	g->n = 0;
	g->used = 0;
}

void gather_big(struct gather *g, const uint8_t *bytes, size_t len)
{
	if (len <= COPY_INTO_ARENA_MAX) {
		gather_copy(g, bytes, len);
		return;
	}
	gather_slice(g, bytes, len);
	gather_flush(g); /* before its owner can go */
}

void gather_header(struct gather *g, uint8_t type, size_t body)
{
	uint8_t header[FRAME_HEADER_SIZE] = { type };

	store_be32(header + 1, (uint32_t)(body + 4));
	gather_copy(g, header, sizeof(header));
}

void gather_string(struct gather *g, const char *s)
{
	gather_copy(g, s, strlen(s) + 1);
}
