/*
 * page.h - the status page: one HTML document without outside resources, made into an array by the Makefile.
 *
 * It holds no data: everything it shows it asks for, with the token that its reader gives it. So it needs none itself.
 * Its policy allows the one script and the one style in it, by their hashes, and connections to where it came from.
 * Threads: the main thread's.
 */
#ifndef PGWEIR_PAGE_H
#define PGWEIR_PAGE_H

#include "base/base.h"

extern const unsigned char page_html[];
extern const size_t page_html_len;

const char *page_policy(void); /* of Content-Security-Policy */

#endif
