#include "http/exposition.h"

#include "http/utf8.h"

#include <inttypes.h>
#include <stdio.h>

static void put(struct writer *w, const char *text)
{
	write_bytes(w, text, strlen(text));
}

static const char *type_name(const struct exposition *e)
{
	switch (e->metric->type) {
	case METRIC_COUNTER: return "counter";
	case METRIC_HISTOGRAM: return "histogram";
	case METRIC_INFO: return e->is_openmetrics ? "info" : "gauge";
	case METRIC_GAUGE: break;
	}
	return "gauge";
}

static const char *suffix_of(const struct metric *m)
{
	return m->type == METRIC_COUNTER ? "_total" : m->type == METRIC_INFO ? "_info" : "";
}

static void meta(struct exposition *e, const char *what, const char *text)
{
	put(&e->out, "# ");
	put(&e->out, what);
	put(&e->out, " ");
	put(&e->out, e->metric->name);
	put(&e->out, e->is_openmetrics ? "" : suffix_of(e->metric));
	put(&e->out, " ");
	put(&e->out, text);
	put(&e->out, "\n");
}

void exposition_family(struct exposition *e, const struct metric *m)
{
	e->metric = m;
	meta(e, "HELP", m->help);
	meta(e, "TYPE", type_name(e));
	if (e->is_openmetrics && *m->unit)
		meta(e, "UNIT", m->unit);
	labels_clear(e);
}

void exposition_end(struct exposition *e)
{
	if (e->is_openmetrics)
		put(&e->out, "# EOF\n");
}

void exposition_free(struct exposition *e)
{
	writer_free(&e->out);
	writer_free(&e->labels);
}

void labels_clear(struct exposition *e)
{
	e->labels.len = 0;
}

void labels_add(struct exposition *e, const char *name, const char *value)
{
	size_t len = strlen(value);

	put(&e->labels, e->labels.len ? "," : "");
	put(&e->labels, name);
	put(&e->labels, "=\"");
	for (size_t i = 0; i < len;) {
		size_t n = utf8_length(value + i, len - i);

		if (n == 0)
			put(&e->labels, UTF8_REPLACEMENT);
		else if (value[i] == '\n')
			put(&e->labels, "\\n");
		else if (value[i] == '"' || value[i] == '\\')
			put(&e->labels, value[i] == '"' ? "\\\"" : "\\\\");
		else
			write_bytes(&e->labels, value + i, n);
		i += MAX(n, 1);
	}
	put(&e->labels, "\"");
}

void sample_text(struct exposition *e, const char *suffix, const char *extra, const char *value)
{
	put(&e->out, e->metric->name);
	put(&e->out, suffix ? suffix : suffix_of(e->metric));
	if (e->labels.len || extra) {
		put(&e->out, "{");
		if (e->labels.len)
			write_bytes(&e->out, e->labels.data, e->labels.len);
		if (extra) {
			put(&e->out, e->labels.len ? "," : "");
			put(&e->out, extra);
		}
		put(&e->out, "}");
	}
	put(&e->out, " ");
	put(&e->out, value);
	put(&e->out, "\n");
}

void sample(struct exposition *e, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	sample_text(e, NULL, NULL, text);
}

const char *seconds_text(uint64_t usec, char out[32])
{
	int n = snprintf(out, 32, "%" PRIu64 ".%06" PRIu64, usec / USEC_PER_SEC, usec % USEC_PER_SEC);

	while (out[n - 1] == '0' && out[n - 2] != '.')
		out[--n] = '\0';
	return out;
}

void sample_usec(struct exposition *e, uint64_t usec)
{
	char text[32];

	sample_text(e, NULL, NULL, seconds_text(usec, text));
}
