/*
 * report_private.h - what the files of the workers' side share. report.c has the question, the answer's way back and what PgBouncer's views
 * want; report_busy.c who waits and who holds servers; report_memory.c statements and memory.
 *
 * Threads: the worker's.
 */
#ifndef PGWEIR_REPORT_PRIVATE_H
#define PGWEIR_REPORT_PRIVATE_H

#include "admin/report.h"

uint32_t report_add_text(struct report *r, const char *text); /* NULL is "" */
void *report_grow(void *items, size_t n, size_t *cap, size_t size);

void report_queue(struct report *r, struct worker *w);
void report_holders(struct report *r, struct worker *w);
void report_prepared(struct report *r, struct worker *w);
void report_memory(struct report *r, struct worker *w);

#endif
