/*
 * html.h - the report as one self-contained page: figures, charts and the tables behind them.
 *
 * It needs no script and nothing from outside, and says so to the browser (Content-Security-Policy). Texts of strangers (errors,
 * names) are escaped. Light and dark as the reader's system has it; one column on a phone.
 */
#ifndef PGWEIR_STORM_HTML_H
#define PGWEIR_STORM_HTML_H

#include "storm/report.h"

void report_html(FILE *out, const struct report *r);

#endif
