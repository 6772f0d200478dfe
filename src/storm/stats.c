#include "storm/stats.h"

#include <stdlib.h>
#include <string.h>

void samples_add(struct samples *s, usec_t value)
{
	if (s->n == s->cap) {
		s->cap = MAX(s->cap * 2, 256);
		s->usec = xrealloc(s->usec, s->cap * sizeof(*s->usec));
	}
	s->usec[s->n++] = (uint32_t)MIN(value, UINT32_MAX);
	s->is_sorted = false;
}

static int compare_usec(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

usec_t samples_percentile(struct samples *s, double percent)
{
	double exact = percent / 100 * (double)s->n;
	size_t rank = (size_t)exact;

	if (s->n == 0)
		return 0;
	if (!s->is_sorted) {
		qsort(s->usec, s->n, sizeof(*s->usec), compare_usec);
		s->is_sorted = true;
	}
	if ((double)rank < exact)
		rank++; /* the smallest rank that at least this share of the samples doesn't exceed */
	return s->usec[MIN(MAX(rank, 1), s->n) - 1];
}

void samples_free(struct samples *s)
{
	free(s->usec);
	memset(s, 0, sizeof(*s));
}

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

void stats_error(struct stats *s, const char *key, const char *message)
{
	char clean[ERROR_KEY_SIZE];
	struct error_count *e;
	size_t i;

	copy_printable(clean, sizeof(clean), *key ? key : "?");
	for (i = 0; i < s->n_errors && strcmp(s->errors[i].key, clean) != 0; i++)
		;
	if (i == ERROR_KINDS_MAX)
		i--; /* all taken: the last one is "other" by now */
	e = &s->errors[i];
	if (i == s->n_errors) {
		bool is_last = i == ERROR_KINDS_MAX - 1;

		copy_printable(e->key, sizeof(e->key), is_last ? "other" : clean);
		copy_printable(e->message, sizeof(e->message),
			is_last ? "more kinds of errors than are told apart" : message);
		s->n_errors++;
	}
	e->count++;
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

void stats_free(struct stats *s)
{
	samples_free(&s->connect);
	samples_free(&s->transaction);
	samples_free(&s->total);
	samples_free(&s->served_at);
	samples_free(&s->failed_at);
}

static usec_t samples_max(const struct samples *s)
{
	usec_t max = 0;

	for (size_t i = 0; i < s->n; i++)
		max = MAX(max, s->usec[i]);
	return max;
}

static void histogram_count(uint32_t *buckets, usec_t width, const struct samples *s)
{
	for (size_t i = 0; i < s->n; i++)
		buckets[s->usec[i] / width]++;
}

void histogram_build(struct histogram *h, const struct stats *s)
{
	static const unsigned steps[] = { 1, 2, 5 };
	usec_t longest = MAX(samples_max(&s->served_at), samples_max(&s->failed_at)), decade = USEC_PER_MSEC;
	size_t step = 0;

	memset(h, 0, sizeof(*h));
	while (longest / (decade * steps[step]) >= HISTOGRAM_BUCKETS)
		if (++step == N_ELEMENTS(steps))
			step = 0, decade *= 10;
	h->width = decade * steps[step];
	h->n = (size_t)(longest / h->width) + 1;
	histogram_count(h->served, h->width, &s->served_at);
	histogram_count(h->failed, h->width, &s->failed_at);
}
