/*
 * slowdown.h - how long an address that fails to prove who it is waits for its answer: longer each time.
 *
 * The first failure costs auth_failure_delay, each further one twice as much as the one before, up to SLOWDOWN_STEPS
 * doublings. After SLOWDOWN_FORGET without a failure an address begins anew. A success forgives nothing: whoever knows one
 * password may be guessing another. All of Unix sockets is one address, and so is an IPv6 network of 64 bits.
 * Limits:  SLOWDOWN_MAX addresses are remembered; the one that has been quiet for longest makes room.
 * Threads: belongs to one login thread.
 */
#ifndef PGWEIR_SLOWDOWN_H
#define PGWEIR_SLOWDOWN_H

#include "net/address.h"

#define SLOWDOWN_STEPS 5
#define SLOWDOWN_FORGET (60 * USEC_PER_SEC)
#define SLOWDOWN_MAX 4096

struct slowdown;

struct slowdown *slowdown_new(void);
void slowdown_free(struct slowdown **s);
/* Counts a failure, and says how long its answer is to wait. */
usec_t slowdown_failed(struct slowdown *s, const struct address *a, usec_t delay, usec_t now);
size_t slowdown_count(const struct slowdown *s);

#endif
