#include "admin/show_private.h"

#include <stdio.h>

static const struct column pins_columns[] = {
	TEXT("database"),
	TEXT("user"),
	TEXT("addr"),
	INT4("port"),
	INT8("client"),
	INT8("server"),
	INT4("server_pid"),
	TEXT("reasons"),
	TEXT("statement"),
	TEXT("since"),
	INT8("seconds"),
};
static const struct column pin_counts_columns[] = { TEXT("reason"), INT8("pinned"), INT8("total") };

void rows_reasons(struct rows *r, unsigned pins)
{
	char text[128] = "";
	size_t n = 0;

	for (unsigned i = 0; i < PINS_N; i++)
		if (pins & 1u << i)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? "," : "",
				pin_name((enum pin)(1u << i)));
	rows_text(r, text);
}

static void fill_pins(const struct show *s)
{
	for (int i = 0; i < s->n_reports; i++) {
		const struct report *r = s->reports[i];

		for (size_t k = 0; k < r->n_pins; k++) {
			const struct pin_row *p = &r->pins[k];

			rows_begin(s->rows);
			rows_text(s->rows, report_text(r, p->database));
			rows_text(s->rows, report_text(r, p->user));
			rows_address(s->rows, &p->peer);
			rows_number(s->rows, p->client);
			rows_number(s->rows, p->server);
			rows_number(s->rows, p->server_pid);
			rows_reasons(s->rows, p->pins);
			rows_text(s->rows, p->by);
			rows_time(s->rows, p->since, r->now);
			rows_number(s->rows, (r->now - p->since) / USEC_PER_SEC);
			rows_end(s->rows);
		}
	}
}

static void fill_pin_counts(const struct show *s)
{
	for (unsigned pin = 0; pin < PINS_N; pin++) {
		uint64_t now = 0, total = 0;

		for (int i = 0; i < s->n_reports; i++) {
			const struct report *r = s->reports[i];

			total += r->pins_made[pin];
			for (size_t k = 0; k < r->n_pins; k++)
				now += (r->pins[k].pins & 1u << pin) != 0;
		}
		rows_begin(s->rows);
		rows_text(s->rows, pin_name((enum pin)(1u << pin)));
		rows_number(s->rows, now);
		rows_number(s->rows, total);
		rows_end(s->rows);
	}
}

const struct view view_pins = { "PINS", COLUMNS(pins_columns), WANT_PINS, fill_pins };
const struct view view_pin_counts = { "PIN_COUNTS", COLUMNS(pin_counts_columns), WANT_PINS, fill_pin_counts };
