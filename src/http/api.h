/*
 * api.h - any view of the console as JSON: /api/NAME.json, and what there is at /api.json.
 *
 *	{"view": "pools", "at": "2026-11-25T13:00:00Z", "rows": [{"database": "app", "cl_active": 3, …}, …], "is_cut": false}
 *
 * /api/all.json?views=pools,pins has several of them, from one question to the workers: {"at": …, "is_ready": true, "why": null,
 * "version": …, "now": {"clients": 3, …}, "views": {"pools": {"rows": […], "is_cut": false}, …}}. Unknown names have null in their place.
 *
 * Types:  columns of numbers are numbers, NULL is null, all else is text. Bytes that aren't UTF-8 become U+FFFD.
 * Bounds: ?limit= rows of each view (1000, at most 10000) and what fits into HTTP_BODY_MAX; is_cut says that there were more.
 * How:    a view's rows are made as for the console, as DataRows, and read out of these: there is no second table of columns.
 * Threads: the main thread's.
 */
#ifndef PGWEIR_API_H
#define PGWEIR_API_H

#include "admin/rows.h"

struct http_conn;

bool get_api(struct http_conn *c); /* false: there is no such path */
/* Rows in text form, as a JSON array. At most limit of them, as long as w stays below size_max; *is_cut: there were more. */
void json_rows(struct writer *w, const struct rows *rows, size_t limit, size_t size_max, bool *is_cut);
void json_text(struct writer *w, const char *text, size_t len); /* with its quotes */

#endif
