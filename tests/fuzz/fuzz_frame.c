/*
 * Messages after startup: where TCP cuts doesn't matter, a body of an error is read without leaving it.
 */
#include "wire/bytes.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct walk { /* what a relay keeps between two reads */
	uint8_t header[FRAME_HEADER_SIZE];
	size_t have, body_left;
	uint64_t digest; /* of all headers, in order */
	bool broken;
};

static void walk_header(struct walk *w)
{
	struct reader r = reader_over(w->header, w->have);
	struct frame f;

	switch (frame_peek(&r, &f)) {
	case RES_OK:
		ASSERT(f.length >= FRAME_HEADER_SIZE);
		w->body_left = f.length - FRAME_HEADER_SIZE;
		w->digest = w->digest * 31 + f.type * UINT64_C(0x100000001) + f.length;
		w->have = 0;
		break;
	case RES_MORE: break;
	case RES_PROTOCOL: w->broken = true; break;
	case RES_LIMIT:
	case RES_REFUSED:
	case RES_SYSTEM:
	default: ASSERT(!"an outcome that frame_peek() doesn't have");
	}
}

static void walk(struct walk *w, const uint8_t *data, size_t size)
{
	while (size > 0 && !w->broken) {
		size_t skip = MIN(w->body_left, size);

		data += skip, size -= skip, w->body_left -= skip;
		if (size == 0)
			break;
		w->header[w->have++] = *data++, size--;
		walk_header(w);
	}
}

static bool lies_in(const char *s, const uint8_t *data, size_t size)
{
	return !*s || ((const uint8_t *)s >= data && (const uint8_t *)s + strlen(s) < data + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct walk whole = { .digest = 1 }, split = { .digest = 1 };
	size_t cut = size ? data[0] % size : 0;
	struct error_info e;

	walk(&whole, data, size);
	walk(&split, data, cut);
	walk(&split, data + cut, size - cut);
	ASSERT(whole.digest == split.digest && whole.have == split.have && whole.body_left == split.body_left);
	ASSERT(whole.broken == split.broken);
	error_parse(reader_over(data, size), &e);
	ASSERT(lies_in(e.severity, data, size) && lies_in(e.sqlstate, data, size) &&
		lies_in(e.message, data, size));
	ASSERT(lies_in(e.detail, data, size) && lies_in(e.hint, data, size) && lies_in(e.routine, data, size));
	return 0;
}
