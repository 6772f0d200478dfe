/*
 * histogram.h - how long things took: counts in log-linear buckets, of a fixed size.
 *
 * Eight buckets for each power of two: what a quantile says is never too little, and at most an eighth too much. Exact below 16.
 * Values are microseconds; those from half an hour on share the last bucket. Sum and maximum are exact.
 *
 * Sums of histograms are histograms, so that those of several workers can be put together. Threads: the owner's. No I/O, no clock.
 */
#ifndef PGWEIR_HISTOGRAM_H
#define PGWEIR_HISTOGRAM_H

#include "base/base.h"

#define HISTOGRAM_SUB_BITS 3
#define HISTOGRAM_VALUE_BITS 31 /* 35 minutes */
#define HISTOGRAM_BUCKETS ((HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
	uint64_t count, sum, max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

static inline unsigned histogram_bucket(uint64_t value)
{
	const uint64_t linear = UINT64_C(1) << HISTOGRAM_SUB_BITS;
	uint64_t v = MIN(value, (UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1);
	unsigned shift;

	if (v < linear)
		return (unsigned)v;
	shift = 63u - (unsigned)__builtin_clzll(v) - HISTOGRAM_SUB_BITS;
	return ((shift + 1) << HISTOGRAM_SUB_BITS) + (unsigned)((v >> shift) & (linear - 1));
}

/* The largest value of the bucket. */
uint64_t histogram_bucket_end(unsigned bucket);
void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *to, const struct histogram *from);
/* The value that the share q of all (0.5: half of them) doesn't exceed; 0, if there are none. */
uint64_t histogram_quantile(const struct histogram *h, double q);
/* How many were at most this large: exact where limit is histogram_bucket_end() of some bucket, else a little less. */
uint64_t histogram_at_most(const struct histogram *h, uint64_t limit);

#endif
