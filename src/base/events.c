#include "base/events.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct ring {
	struct noted_event *events; /* EVENTS_KEPT of them, once the kind has had its first */
	size_t n, newest;
	uint64_t total;
};

static struct {
	pthread_mutex_t lock; /* guards everything here; no other lock is taken under it */
	struct ring rings[EVENT_KINDS_N];
	uint64_t number;
} the_events = { .lock = PTHREAD_MUTEX_INITIALIZER };

const char *event_kind_name(enum event_kind kind)
{
#define EVENT_NAME(constant, name) [constant] = (name),
	static const char *const names[] = { EVENT_KINDS(EVENT_NAME) };
#undef EVENT_NAME

	return names[kind];
}

static uint64_t wall_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

/* Names in it are a client's: no control characters, and no half of a UTF-8 character at the end. */
static void tidy(char text[EVENT_TEXT_MAX], bool was_cut)
{
	size_t len = strlen(text);

	if (was_cut) {
		while (len && ((unsigned char)text[len - 1] & 0xc0) == 0x80)
			len--;
		if (len && ((unsigned char)text[len - 1] & 0x80))
			len--;
		text[len] = '\0';
	}
	for (char *p = text; *p; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
}

static struct noted_event *next_place(struct ring *r)
{
	if (!r->events)
		r->events = xcalloc(EVENTS_KEPT, sizeof(*r->events));
	r->newest = r->n ? (r->newest + 1) % EVENTS_KEPT : 0;
	r->n = MIN(r->n + 1, EVENTS_KEPT);
	return &r->events[r->newest];
}

static void keep(struct ring *r, struct noted_event *e)
{
	struct noted_event *newest = r->n ? &r->events[r->newest] : NULL;

	r->total++;
	if (newest && strcmp(newest->text, e->text) == 0) {
		newest->times++;
		newest->last = e->last;
		return;
	}
	e->number = ++the_events.number;
	*next_place(r) = *e;
}

void events_add(enum event_kind kind, const char *format, ...)
{
	struct noted_event e = { .kind = kind, .first = wall_clock(), .times = 1 };
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(e.text, sizeof(e.text), format, ap);
	va_end(ap);
	tidy(e.text, len >= EVENT_TEXT_MAX);
	e.last = e.first;
	pthread_mutex_lock(&the_events.lock);
	keep(&the_events.rings[kind], &e);
	pthread_mutex_unlock(&the_events.lock);
}

uint64_t events_total(enum event_kind kind)
{
	uint64_t total;

	pthread_mutex_lock(&the_events.lock);
	total = the_events.rings[kind].total;
	pthread_mutex_unlock(&the_events.lock);
	return total;
}

static int by_number(const void *a, const void *b)
{
	const struct noted_event *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

struct noted_event *events_copy(size_t *n)
{
	struct noted_event *all = NULL;

	*n = 0;
	pthread_mutex_lock(&the_events.lock);
	for (int kind = 0; kind < EVENT_KINDS_N; kind++) {
		const struct ring *r = &the_events.rings[kind];

		if (!r->n)
			continue;
		all = xrealloc(all, (*n + r->n) * sizeof(*all));
		memcpy(all + *n, r->events, r->n * sizeof(*all));
		*n += r->n;
	}
	pthread_mutex_unlock(&the_events.lock);
	if (all)
		qsort(all, *n, sizeof(*all), by_number);
	return all;
}
