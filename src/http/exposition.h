/*
 * exposition.h - families of metrics and their samples as text, in OpenMetrics 1.0 or the Prometheus text format.
 *
 * The two differ in a counter's family name, in UNIT, in the type of an info, and in OpenMetrics' closing line.
 * Labels are put together first and then hold for the samples that follow, until labels_clear().
 */
#ifndef PGWEIR_EXPOSITION_H
#define PGWEIR_EXPOSITION_H

#include "wire/bytes.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_INFO };

struct metric {
	enum metric_type type;
	const char *name, *unit, *help;
};

struct exposition {
	struct writer out, labels;
	bool is_openmetrics;
	const struct metric *metric; /* whose samples are being written */
};

void exposition_family(struct exposition *e, const struct metric *m);
void exposition_end(struct exposition *e);
void exposition_free(struct exposition *e);

void labels_clear(struct exposition *e);
void labels_add(struct exposition *e, const char *name, const char *value);

/* suffix: of a histogram's samples; NULL: what the type asks for. extra: one more label, "name=\"value\"", or NULL. */
void sample_text(struct exposition *e, const char *suffix, const char *extra, const char *value);
void sample(struct exposition *e, uint64_t value);
void sample_usec(struct exposition *e, uint64_t usec); /* in seconds */
const char *seconds_text(uint64_t usec, char out[32]);

#endif
