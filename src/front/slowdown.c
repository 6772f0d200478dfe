#include "front/slowdown.h"

#include "base/list.h"
#include "base/table.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

struct origin { /* hashed as bytes: without padding */
	uint32_t family;
	uint8_t network[8];
};

struct offender {
	struct origin origin;
	unsigned failures;
	usec_t last;
	struct list_node node;
	UT_hash_handle hh;
};

struct slowdown {
	struct offender *offenders; /* by origin */
	struct list by_last;	    /* the quietest first */
};

struct slowdown *slowdown_new(void)
{
	struct slowdown *s = xcalloc(1, sizeof(*s));

	list_init(&s->by_last);
	return s;
}

static void forget(struct slowdown *s, struct offender *o)
{
	HASH_DEL(s->offenders, o);
	list_remove(&s->by_last, &o->node);
	free(o);
}

void slowdown_free(struct slowdown **sp)
{
	struct slowdown *s = *sp;
	struct list_node *node;

	*sp = NULL;
	if (!s)
		return;
	while ((node = list_first(&s->by_last)))
		forget(s, CONTAINER_OF(node, struct offender, node));
	free(s);
}

static struct origin origin_of(const struct address *a)
{
	struct origin o = { .family = a->sa.sa_family };

	if (o.family == AF_INET)
		memcpy(o.network, &((const struct sockaddr_in *)&a->storage)->sin_addr, 4);
	else if (o.family == AF_INET6)
		memcpy(o.network, &((const struct sockaddr_in6 *)&a->storage)->sin6_addr, sizeof(o.network));
	return o;
}

/* In it or new, and in no list. */
static struct offender *take(struct slowdown *s, const struct address *a)
{
	struct origin origin = origin_of(a);
	struct offender *o;

	HASH_FIND(hh, s->offenders, &origin, sizeof(origin), o);
	if (o) {
		list_remove(&s->by_last, &o->node);
		return o;
	}
	if (s->by_last.count == SLOWDOWN_MAX)
		forget(s, CONTAINER_OF(list_first(&s->by_last), struct offender, node));
	o = xcalloc(1, sizeof(*o));
	o->origin = origin;
	HASH_ADD(hh, s->offenders, origin, sizeof(origin), o);
	return o;
}

usec_t slowdown_failed(struct slowdown *s, const struct address *a, usec_t delay, usec_t now)
{
	struct offender *o = take(s, a);
	unsigned steps;

	if (now - o->last >= SLOWDOWN_FORGET)
		o->failures = 0;
	steps = MIN(o->failures, SLOWDOWN_STEPS);
	o->failures = steps + 1;
	o->last = now;
	list_push_back(&s->by_last, &o->node);
	return delay << steps;
}

size_t slowdown_count(const struct slowdown *s)
{
	return s->by_last.count;
}
