/*
 * metrics.h - /metrics: one table of all metrics, in OpenMetrics 1.0 or in the Prometheus text format.
 *
 * Each row of METRIC_TABLE is a family: its type, name, unit, what it means, and the function in metrics.c that writes its samples.
 * The name ends in the unit, if there is one; a counter's samples have _total behind that. The dashboards and alert rules in etc/
 * use these names: a name is never given another meaning.
 *
 * Cardinality: per pool up to METRICS_POOLS_MAX of them and as long as the answer stays in HTTP_BODY_MAX; then per database, then
 *           all in one, with "(all)" in place of the name. What pools that are gone have counted has an empty user.
 * Buckets:  powers of two, where the console's finer ones end, too, so that their counts are exact.
 * Labels:   are escaped; bytes that aren't UTF-8 become U+FFFD.
 * Threads:  the main thread's.
 * Source:   OpenMetrics 1.0 (text format, ABNF); Prometheus' "Exposition formats".
 */
#ifndef PGWEIR_METRICS_H
#define PGWEIR_METRICS_H

#include "base/base.h"

#define METRICS_POOLS_MAX 200
#define METRICS_HISTOGRAM_POOLS_MAX 50 /* 20 samples for each of 5 measures */

/* X(type, name, unit, samples, help) */
#define METRIC_TABLE(X)                                                                                                  \
	X(INFO, "pgweir_build", "", build, "The version that runs")                                                      \
	X(GAUGE, "pgweir_ready", "", ready, "1 if /readyz says so, 0 while draining or while PostgreSQL is away")        \
	X(GAUGE, "pgweir_draining", "", draining, "1 while shutting down")                                               \
	X(GAUGE, "pgweir_postgres_away_seconds", "seconds", away,                                                        \
		"For how long no PostgreSQL could be reached; 0: it can")                                                \
	X(GAUGE, "pgweir_clients", "", clients, "Clients that are logged in, without the console's")                     \
	X(GAUGE, "pgweir_clients_limit", "", clients_limit, "The setting max_client_conn")                               \
	X(COUNTER, "pgweir_clients_accepted", "", clients_accepted, "Clients that have logged in")                       \
	X(GAUGE, "pgweir_logins", "", logins, "Logins that aren't done yet")                                             \
	X(GAUGE, "pgweir_pool_clients", "", pool_clients,                                                                \
		"Clients by state: active have a server, waiting wait for one, idle need none")                          \
	X(GAUGE, "pgweir_pool_oldest_wait_seconds", "seconds", pool_longest_wait,                                        \
		"For how long the first in the queue has waited")                                                        \
	X(GAUGE, "pgweir_pool_servers", "", pool_servers, "Server connections by state")                                 \
	X(GAUGE, "pgweir_pool_servers_limit", "", pool_limit, "The pool's size; reserve: what comes on top of it")       \
	X(GAUGE, "pgweir_pool_cancels", "", pool_cancels, "Cancel requests on their way to servers")                     \
	X(COUNTER, "pgweir_pool_transactions", "", pool_xacts, "Transactions that have ended")                           \
	X(COUNTER, "pgweir_pool_queries", "", pool_queries, "Queries, or pipelines up to a Sync, that were answered")    \
	X(COUNTER, "pgweir_pool_server_assignments", "", pool_server_assignments,                                        \
		"Times that a server was given to a client")                                                             \
	X(COUNTER, "pgweir_pool_received_bytes", "bytes", pool_received, "What came from clients")                       \
	X(COUNTER, "pgweir_pool_sent_bytes", "bytes", pool_sent, "What came from servers")                               \
	X(COUNTER, "pgweir_pool_transaction_seconds", "seconds", pool_xact_time, "Time in transactions")                 \
	X(COUNTER, "pgweir_pool_query_seconds", "seconds", pool_query_time, "Time in queries")                           \
	X(COUNTER, "pgweir_pool_wait_seconds", "seconds", pool_wait_time, "Time that clients waited for servers")        \
	X(COUNTER, "pgweir_pool_client_parses", "", pool_client_parses, "Statements that clients have prepared")         \
	X(COUNTER, "pgweir_pool_server_parses", "", pool_server_parses,                                                  \
		"Statements that were prepared at servers for them")                                                     \
	X(HISTOGRAM, "pgweir_wait_seconds", "seconds", wait,                                                             \
		"How long clients waited for a server; 0 where one was idle")                                            \
	X(HISTOGRAM, "pgweir_query_seconds", "seconds", query, "From what a client sent to its ReadyForQuery")           \
	X(HISTOGRAM, "pgweir_transaction_seconds", "seconds", transaction,                                               \
		"Transactions, from their first message to their end")                                                   \
	X(HISTOGRAM, "pgweir_login_seconds", "seconds", login,                                                           \
		"Logins of clients, from accept to their first ReadyForQuery")                                           \
	X(HISTOGRAM, "pgweir_server_connect_seconds", "seconds", server_connect,                                         \
		"From the start of connecting to a server until it could be used")                                       \
	X(COUNTER, "pgweir_pool_binds", "", pool_binds, "Bind messages of clients")                                      \
	X(GAUGE, "pgweir_database_servers", "", database_servers, "Server connections of a database")                    \
	X(GAUGE, "pgweir_database_servers_limit", "", database_servers_limit,                                            \
		"The setting max_db_connections, where there is one")                                                    \
	X(GAUGE, "pgweir_database_clients", "", database_clients, "Clients of a database")                               \
	X(GAUGE, "pgweir_database_clients_limit", "", database_clients_limit,                                            \
		"The setting max_db_client_connections, where there is one")                                             \
	X(GAUGE, "pgweir_host_up", "", host_up, "1 if the host of PostgreSQL can be reached, 0 while it is on hold")     \
	X(GAUGE, "pgweir_host_servers", "", host_servers, "Server connections to a host")                                \
	X(GAUGE, "pgweir_host_logins", "", host_logins, "Logins to a host that aren't done yet")                         \
	X(COUNTER, "pgweir_host_login_failures", "", host_failures, "Logins that failed because of the host")            \
	X(GAUGE, "pgweir_host_places", "", host_places,                                                                  \
		"Server connections of a pool that PostgreSQL has places for, where it has said that there are no more") \
	X(GAUGE, "pgweir_pinned_clients", "", pinned, "Clients that keep their server, by reason")                       \
	X(COUNTER, "pgweir_pins", "", pins, "Times that a client began to keep its server, by reason")                   \
	X(GAUGE, "pgweir_worker_clients", "", worker_clients, "Clients of a worker thread")                              \
	X(GAUGE, "pgweir_worker_waiting_clients", "", worker_waiting, "Clients that wait at a worker thread")            \
	X(GAUGE, "pgweir_worker_servers", "", worker_servers, "Server connections of a worker thread")                   \
	X(GAUGE, "pgweir_worker_idle_servers", "", worker_idle, "Those of them that are idle")                           \
	X(COUNTER, "pgweir_worker_rounds", "", worker_rounds, "Rounds of a worker thread's loop")                        \
	X(COUNTER, "pgweir_worker_messages", "", worker_messages, "Messages that came from other threads")               \
	X(COUNTER, "pgweir_worker_servers_received", "", worker_moved, "Servers that came from other workers")           \
	X(COUNTER, "pgweir_worker_cpu_seconds", "seconds", worker_cpu, "CPU time of a worker thread")                    \
	X(COUNTER, "pgweir_events", "", events, "Notable things by kind, as SHOW EVENTS has them")                       \
	X(COUNTER, "pgweir_http_connections", "", http_connections, "Connections to this server")                        \
	X(COUNTER, "pgweir_http_evicted_connections", "", http_evicted,                                                  \
		"Connections that gave way to newer ones, as they were slow and there were too many")                    \
	X(COUNTER, "pgweir_http_refused_tokens", "", http_refused, "Requests with a wrong token")                        \
	X(COUNTER, "pgweir_http_answers", "", http_answers, "Answers, by the class of their status")                     \
	X(GAUGE, "process_resident_memory_bytes", "bytes", process_resident, "Memory of the process that is in RAM")     \
	X(GAUGE, "process_virtual_memory_bytes", "bytes", process_virtual, "Address space of the process")               \
	X(GAUGE, "process_open_fds", "", process_fds, "Open descriptors")                                                \
	X(GAUGE, "process_max_fds", "", process_max_fds, "How many there may be")                                        \
	X(GAUGE, "process_start_time_seconds", "seconds", process_start, "When it was started, in Unix time")            \
	X(COUNTER, "process_cpu_seconds", "seconds", process_cpu, "CPU time of the process")

struct http_conn;

void get_metrics(struct http_conn *c);

#endif
