#include "stats/latency.h"

#include <stdlib.h>
#include <string.h>

const char *measure_name(enum measure m)
{
#define MEASURE_NAME(constant, name) [constant] = (name),
	static const char *const names[] = { MEASURES(MEASURE_NAME) };
#undef MEASURE_NAME

	return names[m];
}

const char *window_name(enum window w)
{
	switch (w) {
	case WINDOW_10S: return "10s";
	case WINDOW_1MIN: return "1min";
	case WINDOW_START: return "start";
	case WINDOWS_N: break;
	}
	return NULL;
}

static void add_slice(struct histogram *to, const struct latency_slice *s)
{
	if (!s->count)
		return;
	to->count += s->count;
	to->sum += s->sum;
	to->max = MAX(to->max, s->max);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		to->buckets[i] += s->buckets[i];
}

/* The ring's oldest slice goes to what was before, and its place is the one in hand. */
static void turn_once(struct latency_measured *d)
{
	d->at = (d->at + 1) % LATENCY_SLICES;
	add_slice(&d->before, &d->slices[d->at]);
	memset(&d->slices[d->at], 0, sizeof(d->slices[d->at]));
	d->slice_ends += LATENCY_SLICE;
}

void latency_turn_(struct latency *l, enum measure m, usec_t now)
{
	struct latency_measured *d = l->measured[m];

	if (!d) {
		d = l->measured[m] = xcalloc(1, sizeof(*d));
		d->slice_ends = now - now % LATENCY_SLICE + LATENCY_SLICE;
	}
	for (int i = 0; i < LATENCY_SLICES && now >= d->slice_ends; i++)
		turn_once(d);
	if (now >= d->slice_ends) /* nothing for long: all slices are empty */
		d->slice_ends = now - now % LATENCY_SLICE + LATENCY_SLICE;
}

bool latency_read(struct latency *l, enum measure m, enum window w, usec_t now, struct histogram *out)
{
	unsigned n = w == WINDOW_10S ? 2 : LATENCY_SLICES;
	const struct latency_measured *d = l->measured[m];

	if (!d)
		return false;
	latency_turn_(l, m, now);
	for (unsigned i = 0; i < n; i++)
		add_slice(out, &d->slices[(d->at + LATENCY_SLICES - i) % LATENCY_SLICES]);
	if (w == WINDOW_START)
		histogram_merge(out, &d->before);
	return true;
}

void latency_free(struct latency *l)
{
	for (int m = 0; m < MEASURES_N; m++) {
		free(l->measured[m]);
		l->measured[m] = NULL;
	}
}
