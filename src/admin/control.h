/*
 * control.h - what the console's commands do at one worker: pause, resume, kill, reconnect.
 *
 * PAUSE:     idle servers and those in login are closed; those that are lent go when they come free. Who wants a server waits.
 * KILL:      clients get FATAL 57P01, servers are closed at once, and the database stays paused.
 * RECONNECT: servers that are open now are closed when they are free.
 *
 * Threads: the worker's.
 */
#ifndef PGWEIR_CONTROL_H
#define PGWEIR_CONTROL_H

#include "admin/report.h"

unsigned control_apply(struct worker *w, const struct question *q); /* how many pools or clients it concerned */

#endif
