#include "state/shape.h"

#include "base/hash.h"

static uint64_t finish(struct hash128_state *h)
{
	uint64_t shape = hash128_end(h).lo;

	return shape == SHAPE_UNKNOWN ? 1 : shape;
}

uint64_t shape_of_parameters(struct reader body)
{
	size_t n = read_u16(&body);
	const uint8_t *types = read_bytes(&body, n * sizeof(uint32_t));
	struct hash128_state h;

	if (body.bad || reader_left(&body))
		return SHAPE_UNKNOWN;
	hash128_start(&h);
	hash128_add(&h, "t", 1);
	hash128_add(&h, types, n * sizeof(uint32_t));
	return finish(&h);
}

static void add_column(struct hash128_state *h, struct reader *r)
{
	const char *name = read_cstring(r);
	const uint8_t *type, *modifier;

	read_u32(r); /* table and column */
	read_u16(r);
	type = read_bytes(r, sizeof(uint32_t));
	read_u16(r); /* its length, which the type says */
	modifier = read_bytes(r, sizeof(uint32_t));
	read_u16(r); /* format */
	if (r->bad)
		return;
	hash128_add(h, name, strlen(name) + 1);
	hash128_add(h, type, sizeof(uint32_t));
	hash128_add(h, modifier, sizeof(uint32_t));
}

uint64_t shape_of_rows(uint64_t parameters, struct reader body)
{
	size_t n = read_u16(&body);
	struct hash128_state h;

	hash128_start(&h);
	hash128_add(&h, "T", 1);
	hash128_add(&h, &parameters, sizeof(parameters));
	for (size_t i = 0; i < n && !body.bad; i++)
		add_column(&h, &body);
	if (body.bad || reader_left(&body) || parameters == SHAPE_UNKNOWN)
		return SHAPE_UNKNOWN;
	return finish(&h);
}

uint64_t shape_of_nothing(uint64_t parameters)
{
	struct hash128_state h;

	hash128_start(&h);
	hash128_add(&h, "n", 1);
	hash128_add(&h, &parameters, sizeof(parameters));
	return parameters == SHAPE_UNKNOWN ? SHAPE_UNKNOWN : finish(&h);
}
