/*
 * counters.h - what is counted per pool: one table, from which the struct, its sums and the console's columns derive.
 *
 * Counters are written by one worker and read by it when the console asks; sums are made of copies.
 * As there, received is what came from clients and sent what came from servers.
 * Units: times in microseconds, sizes in bytes. Names are PgBouncer's, as SHOW STATS has them behind total_ and avg_.
 */
#ifndef PGWEIR_COUNTERS_H
#define PGWEIR_COUNTERS_H

#include "base/base.h"

/* X(field, name of the total in SHOW STATS, name of the average, name in STATS_TOTALS) */
#define COUNTER_TABLE(X)                                                                                     \
	X(server_assignments, "total_server_assignment_count", "avg_server_assignment_count",                \
		"server_assignment_count")                                                                   \
	X(xacts, "total_xact_count", "avg_xact_count", "xact_count")                                         \
	X(queries, "total_query_count", "avg_query_count", "query_count")                                    \
	X(received, "total_received", "avg_recv", "bytes_received")                                          \
	X(sent, "total_sent", "avg_sent", "bytes_sent")                                                      \
	X(xact_time, "total_xact_time", "avg_xact_time", "xact_time")                                        \
	X(query_time, "total_query_time", "avg_query_time", "query_time")                                    \
	X(wait_time, "total_wait_time", "avg_wait_time", "wait_time")                                        \
	X(client_parses, "total_client_parse_count", "avg_client_parse_count", "client_parse_count")         \
	X(server_parses, "total_server_parse_count", "avg_server_parse_count", "server_parse_count")         \
	X(binds, "total_bind_count", "avg_bind_count", "bind_count")

struct counters {
#define COUNTER_FIELD(field, total, avg, plain) uint64_t field;
	COUNTER_TABLE(COUNTER_FIELD)
#undef COUNTER_FIELD
};

#define COUNTERS_N (sizeof(struct counters) / sizeof(uint64_t))

static inline void counters_add(struct counters *to, const struct counters *from)
{
#define COUNTER_ADD(field, total, avg, plain) to->field += from->field;
	COUNTER_TABLE(COUNTER_ADD)
#undef COUNTER_ADD
}

#endif
