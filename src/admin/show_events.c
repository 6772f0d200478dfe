#include "admin/show_private.h"
#include "base/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct column events_columns[] = { INT8("number"), TEXT("kind"), TEXT("first_time"),
	TEXT("last_time"), INT8("times"), TEXT("event") };

/* With milliseconds: what came first is the question. */
static void wall_time(struct rows *r, uint64_t at)
{
	time_t seconds = (time_t)(at / USEC_PER_SEC);
	char date[32] = "", zone[32] = "", text[80];
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%Z", &tm);
	snprintf(text, sizeof(text), "%s.%03u %s", date, (unsigned)(at % USEC_PER_SEC / 1000), zone);
	rows_text(r, text);
}

static void fill_events(const struct show *s)
{
	size_t n;
	struct noted_event *events = events_copy(&n);

	for (size_t i = 0; i < n; i++) {
		rows_begin(s->rows);
		rows_number(s->rows, events[i].number);
		rows_text(s->rows, event_kind_name(events[i].kind));
		wall_time(s->rows, events[i].first);
		wall_time(s->rows, events[i].last);
		rows_number(s->rows, events[i].times);
		rows_text(s->rows, events[i].text);
		rows_end(s->rows);
	}
	free(events);
}

const struct view view_events = { "EVENTS", COLUMNS(events_columns), 0, fill_events };
