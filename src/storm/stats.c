#include "storm/stats.h"

#include <stdlib.h>
#include <string.h>

/* Below 2 * SAMPLES_STEPS a value is its own place; above, the places of a power of two share its width. */
static size_t place_of(uint32_t value)
{
	unsigned top = value < SAMPLES_STEPS ? 6 : 31 - (unsigned)__builtin_clz(value); /* the highest bit */

	return value < SAMPLES_STEPS ? value
				     : (top - 6) * SAMPLES_STEPS + ((value >> (top - 7)) & (SAMPLES_STEPS - 1));
}

static usec_t middle_of(size_t place)
{
	size_t block = place / SAMPLES_STEPS;
	unsigned shift = block > 1 ? (unsigned)block - 1 : 0;

	if (block == 0)
		return place;
	return ((usec_t)(SAMPLES_STEPS + place % SAMPLES_STEPS) << shift) + ((UINT64_C(1) << shift) - 1) / 2;
}

static uint32_t *block_at(struct samples *s, size_t block)
{
	if (!s->blocks[block])
		s->blocks[block] = xcalloc(SAMPLES_STEPS, sizeof(uint32_t));
	return s->blocks[block];
}

static void note_extremes(struct samples *s, uint32_t min, uint32_t max)
{
	s->min = s->n ? MIN(s->min, min) : min;
	s->max = s->n ? MAX(s->max, max) : max;
}

void samples_add(struct samples *s, usec_t value)
{
	uint32_t v = (uint32_t)MIN(value, UINT32_MAX);
	size_t place = place_of(v);

	note_extremes(s, v, v);
	s->n++;
	block_at(s, place / SAMPLES_STEPS)[place % SAMPLES_STEPS]++;
}

void samples_merge(struct samples *into, const struct samples *from)
{
	if (from->n == 0)
		return;
	note_extremes(into, from->min, from->max);
	into->n += from->n;
	for (size_t b = 0; b < SAMPLES_BLOCKS; b++)
		for (size_t i = 0; from->blocks[b] && i < SAMPLES_STEPS; i++)
			block_at(into, b)[i] += from->blocks[b][i];
}

static usec_t value_at_rank(const struct samples *s, uint64_t rank)
{
	uint64_t seen = 0;

	for (size_t b = 0; b < SAMPLES_BLOCKS; b++) {
		for (size_t i = 0; s->blocks[b] && i < SAMPLES_STEPS; i++) {
			seen += s->blocks[b][i];
			if (seen >= rank)
				return middle_of(b * SAMPLES_STEPS + i);
		}
	}
	return s->max;
}

usec_t samples_percentile(const struct samples *s, double percent)
{
	double exact = percent / 100 * (double)s->n;
	uint64_t rank = (uint64_t)exact;

	if (s->n == 0)
		return 0;
	if ((double)rank < exact)
		rank++; /* the smallest rank that at least this share of the samples doesn't exceed */
	if (rank >= s->n)
		return s->max;
	if (rank <= 1)
		return s->min;
	return MIN(MAX(value_at_rank(s, rank), s->min), s->max);
}

void samples_free(struct samples *s)
{
	for (size_t b = 0; b < SAMPLES_BLOCKS; b++)
		free(s->blocks[b]);
	memset(s, 0, sizeof(*s));
}

/* The timeline. */

static void span_merge(struct timeline_span *into, const struct timeline_span *from)
{
	into->arrived += from->arrived;
	into->served += from->served;
	into->failed += from->failed;
	samples_merge(&into->wait, &from->wait);
	samples_merge(&into->total, &from->total);
}

static void span_free(struct timeline_span *s)
{
	samples_free(&s->wait);
	samples_free(&s->total);
	memset(s, 0, sizeof(*s));
}

static void double_width(struct timeline *t)
{
	t->width *= 2;
	for (size_t i = 0; i < t->n; i++) {
		struct timeline_span moved = t->spans[i];

		memset(&t->spans[i], 0, sizeof(moved));
		if (i % 2 == 0) {
			t->spans[i / 2] = moved;
		} else {
			span_merge(&t->spans[i / 2], &moved);
			span_free(&moved);
		}
	}
	t->n = (t->n + 1) / 2;
}

struct timeline_span *timeline_at(struct timeline *t, usec_t since_began)
{
	size_t i;

	if (!t->spans) {
		t->spans = xcalloc(TIMELINE_SPANS, sizeof(*t->spans));
		t->width = USEC_PER_MSEC;
	}
	since_began = MIN(since_began, UINT32_MAX);
	while (since_began / t->width >= TIMELINE_SPANS)
		double_width(t);
	i = (size_t)(since_began / t->width);
	t->n = MAX(t->n, i + 1);
	return &t->spans[i];
}

void timeline_merge(struct timeline *into, const struct timeline *from)
{
	if (from->n == 0)
		return;
	timeline_at(into, (from->n - 1) * from->width);
	while (into->width < from->width)
		double_width(into);
	for (size_t i = 0; i < from->n; i++)
		span_merge(timeline_at(into, i * from->width), &from->spans[i]);
}

void timeline_coarsen(struct timeline *t, size_t spans)
{
	while (t->n > spans)
		double_width(t);
}

void timeline_free(struct timeline *t)
{
	for (size_t i = 0; i < t->n; i++)
		span_free(&t->spans[i]);
	free(t->spans);
	memset(t, 0, sizeof(*t));
}

/* Texts of strangers. */

/* The length of the printable UTF-8 character at p, or 0. C1 controls count as unprintable: terminals obey them. */
static size_t printable_length(const uint8_t *p)
{
	size_t n = p[0] < 0x80		      ? 1
		: p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		: (p[0] & 0xf0) == 0xe0	      ? 3
		: p[0] >= 0xf0 && p[0] < 0xf5 ? 4
					      : 0;

	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if (n == 1 && (p[0] < 0x20 || p[0] == 0x7f))
		return 0;
	if (n == 2 && p[0] == 0xc2 && p[1] < 0xa0)
		return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90))
		return 0; /* overlong, a surrogate, or beyond Unicode */
	return n;
}

void copy_printable(char *out, size_t size, const char *text)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t used = 0;

	while (*p) {
		size_t n = printable_length(p);

		if (used + MAX(n, 1) >= size)
			break;
		if (n)
			memcpy(out + used, p, n);
		else
			out[used] = '?';
		used += MAX(n, 1);
		p += MAX(n, 1);
	}
	out[used] = '\0';
}

/* The place of this key; its message, should it be new, is the first one that it's told. */
static struct error_count *error_of(struct stats *s, const char *key, const char *message)
{
	struct error_count *e;
	size_t i;

	for (i = 0; i < s->n_errors && strcmp(s->errors[i].key, key) != 0; i++)
		;
	if (i == ERROR_KINDS_MAX)
		i--; /* all taken: the last one is "other" by now */
	e = &s->errors[i];
	if (i == s->n_errors) {
		bool is_last = i == ERROR_KINDS_MAX - 1;

		copy_printable(e->key, sizeof(e->key), is_last ? "other" : key);
		copy_printable(e->message, sizeof(e->message),
			is_last ? "more kinds of errors than are told apart" : message);
		s->n_errors++;
	}
	return e;
}

void stats_error(struct stats *s, const char *key, const char *message)
{
	char clean[ERROR_KEY_SIZE];

	copy_printable(clean, sizeof(clean), *key ? key : "?");
	error_of(s, clean, message)->count++;
}

static int compare_errors(const void *a, const void *b)
{
	const struct error_count *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return strcmp(x->key, y->key);
}

void stats_sort_errors(struct stats *s)
{
	qsort(s->errors, s->n_errors, sizeof(s->errors[0]), compare_errors);
}

void stats_merge(struct stats *into, const struct stats *from)
{
	into->functions += from->functions;
	into->woke += from->woke;
	into->connected += from->connected;
	into->served += from->served;
	into->failed += from->failed;
	into->frozen += from->frozen;
	into->thawed += from->thawed;
	into->vanished += from->vanished;
	into->lost += from->lost;
	into->attempts += from->attempts;
	into->retries += from->retries;
	into->transactions += from->transactions;
	into->due += from->due;
	into->on_time += from->on_time;
	into->missed += from->missed;
	samples_merge(&into->connect, &from->connect);
	samples_merge(&into->wait, &from->wait);
	samples_merge(&into->transaction, &from->transaction);
	samples_merge(&into->total, &from->total);
	samples_merge(&into->resume, &from->resume);
	samples_merge(&into->served_at, &from->served_at);
	timeline_merge(&into->timeline, &from->timeline);
	for (size_t i = 0; i < from->n_errors; i++)
		error_of(into, from->errors[i].key, from->errors[i].message)->count += from->errors[i].count;
}

void stats_free(struct stats *s)
{
	samples_free(&s->connect);
	samples_free(&s->wait);
	samples_free(&s->transaction);
	samples_free(&s->total);
	samples_free(&s->resume);
	samples_free(&s->served_at);
	timeline_free(&s->timeline);
}
