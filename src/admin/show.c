#include "admin/show_private.h"
#include "wire/msg.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#define VIEW_ADDRESS(name) &view_##name,
const struct view *const views[] = { VIEWS(VIEW_ADDRESS) };
const size_t n_views = N_ELEMENTS(views);

const struct view *view_find(const char *name)
{
	for (size_t i = 0; i < n_views; i++) {
		if (strcasecmp(name, views[i]->name) == 0)
			return views[i];
	}
	return NULL;
}

/* ---- for the files of views ---- */

void rows_time(struct rows *r, usec_t then, usec_t now)
{
	time_t at = time(NULL) - (time_t)((now > then ? now - then : 0) / USEC_PER_SEC);
	struct tm tm;
	char text[64];

	localtime_r(&at, &tm);
	rows_text(r, strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %Z", &tm) ? text : "");
}

void rows_address(struct rows *r, const struct address *a)
{
	char text[ADDRESS_TEXT_MAX];

	address_host(a, text);
	rows_text(r, a->len ? text : "");
	rows_number(r, a->len ? (uint64_t)address_port(a) : 0);
}

const char *mode_name(enum pool_mode mode)
{
	switch (mode) {
	case POOL_SESSION: return "session";
	case POOL_TRANSACTION: return "transaction";
	case POOL_STATEMENT: return "statement";
	case POOL_MODE_UNSET: break;
	}
	return NULL;
}

/* ---- SHOW HELP ---- */

static void append(struct writer *w, const char *text)
{
	write_bytes(w, text, strlen(text));
}

static void fill_help(const struct show *s)
{
	struct writer detail = { 0 };
	struct error_info e = { .severity = "NOTICE", .sqlstate = "00000", .message = "Console usage" };

	append(&detail, "\n\tSHOW ");
	for (size_t i = 0; i < n_views; i++) {
		append(&detail, i ? "|" : "");
		append(&detail, views[i]->name);
	}
	append(&detail, "\n");
	for (size_t i = 0; i < n_command_specs; i++) {
		if (!command_specs[i].usage)
			continue;
		append(&detail, "\t");
		append(&detail, command_specs[i].usage);
		append(&detail, "\n");
	}
	write_u8(&detail, 0);
	e.detail = (const char *)detail.data;
	write_error(&s->rows->out, &e);
	writer_free(&detail);
}

const struct view view_help = { "HELP", NULL, 0, 0, fill_help };
