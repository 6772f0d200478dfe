/*
 * flow.h - to which of the flows that share a pool's servers a client belongs, and whether it goes before them (queue.h).
 *
 * It is decided when it may have to wait, once for each configuration and application_name.
 */
#ifndef PGWEIR_FLOW_H
#define PGWEIR_FLOW_H

#include "session/client.h"

void flow_classify(struct client *c);

/* On the path of each transaction. */
static inline void flow_check(struct client *c)
{
	if (c->classified_for != c->worker->n_snapshots)
		flow_classify(c);
}

/* The name of its flow, for people: "" where queue_fairness is off. */
const char *flow_text(const struct client *c, char buf[ADDRESS_TEXT_MAX]);

#endif
