#include "base/hash.h"

#include <string.h>

static uint64_t process_key[2]; /* written once by hash_init() before any thread starts */

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

static inline void sip_round(struct hash128_state *s)
{
	s->v0 += s->v1, s->v1 = ROTL(s->v1, 13), s->v1 ^= s->v0, s->v0 = ROTL(s->v0, 32);
	s->v2 += s->v3, s->v3 = ROTL(s->v3, 16), s->v3 ^= s->v2;
	s->v0 += s->v3, s->v3 = ROTL(s->v3, 21), s->v3 ^= s->v0;
	s->v2 += s->v1, s->v1 = ROTL(s->v1, 17), s->v1 ^= s->v2, s->v2 = ROTL(s->v2, 32);
}

static inline void absorb(struct hash128_state *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	sip_round(s);
	s->v0 ^= word;
}

static inline uint64_t load_le64(const uint8_t *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	x = __builtin_bswap64(x);
#endif
	return x;
}

static void start(struct hash128_state *s, bool wide)
{
	s->v0 = UINT64_C(0x736f6d6570736575) ^ process_key[0];
	s->v1 = UINT64_C(0x646f72616e646f6d) ^ process_key[1] ^ (wide ? 0xee : 0);
	s->v2 = UINT64_C(0x6c7967656e657261) ^ process_key[0];
	s->v3 = UINT64_C(0x7465646279746573) ^ process_key[1];
	s->tail = 0;
	s->len = 0;
}

static void finish_rounds(struct hash128_state *s)
{
	for (int i = 0; i < 4; i++)
		sip_round(s);
}

void hash_init(const uint8_t key[16])
{
	process_key[0] = load_le64(key);
	process_key[1] = load_le64(key + 8);
}

void hash128_start(struct hash128_state *st)
{
	start(st, true);
}

static inline void add_byte(struct hash128_state *s, uint8_t byte)
{
	s->tail |= (uint64_t)byte << (8 * (s->len % 8));
	if (++s->len % 8 == 0) {
		absorb(s, s->tail);
		s->tail = 0;
	}
}

void hash128_add(struct hash128_state *st, const void *data, size_t len)
{
	struct hash128_state s = *st; /* a copy that can live in registers */
	const uint8_t *p = data, *end = p + len;

	while (p < end && s.len % 8 != 0)
		add_byte(&s, *p++);
	for (; end - p >= 8; p += 8, s.len += 8)
		absorb(&s, load_le64(p));
	while (p < end)
		add_byte(&s, *p++);
	*st = s;
}

struct hash128 hash128_end(struct hash128_state *st)
{
	struct hash128 h;

	absorb(st, st->tail | (uint64_t)st->len << 56);
	st->v2 ^= 0xee;
	finish_rounds(st);
	h.lo = st->v0 ^ st->v1 ^ st->v2 ^ st->v3;
	st->v1 ^= 0xdd;
	finish_rounds(st);
	h.hi = st->v0 ^ st->v1 ^ st->v2 ^ st->v3;
	return h;
}

uint64_t hash64(const void *data, size_t len)
{
	struct hash128_state s;

	start(&s, false);
	hash128_add(&s, data, len);
	absorb(&s, s.tail | (uint64_t)s.len << 56);
	s.v2 ^= 0xff;
	finish_rounds(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
