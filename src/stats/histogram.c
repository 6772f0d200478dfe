#include "stats/histogram.h"

#define LINEAR (1u << HISTOGRAM_SUB_BITS)

uint64_t histogram_bucket_end(unsigned bucket)
{
	unsigned shift;

	ASSERT(bucket < HISTOGRAM_BUCKETS);
	if (bucket < LINEAR)
		return bucket;
	shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
	return (((uint64_t)LINEAR + bucket % LINEAR + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
	h->count++;
	h->sum += value;
	h->max = MAX(h->max, value);
	h->buckets[histogram_bucket(value)]++;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
	to->count += from->count;
	to->sum += from->sum;
	to->max = MAX(to->max, from->max);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
}

uint64_t histogram_quantile(const struct histogram *h, double q)
{
	uint64_t rank = (uint64_t)(q * (double)h->count), seen = 0;

	if (rank < h->count && (double)rank < q * (double)h->count)
		rank++; /* up: half of three is two */
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		seen += h->buckets[i];
		if (seen && seen >= rank)
			return MIN(histogram_bucket_end(i), h->max);
	}
	return h->max; /* the last bucket has no end */
}

uint64_t histogram_at_most(const struct histogram *h, uint64_t limit)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS && histogram_bucket_end(i) <= limit; i++)
		n += h->buckets[i];
	return n;
}
