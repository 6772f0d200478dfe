/*
 * show_private.h - what the files of views share: show_NAME.c has the views of one kind, each with its columns and a function that fills them.
 *
 * A new view is a `const struct view view_NAME` in a file of its own and a line in VIEWS below; tests/unit/test_console.c checks its
 * columns against a list, and that man/pgweir-console.7 has it.
 */
#ifndef PGWEIR_SHOW_PRIVATE_H
#define PGWEIR_SHOW_PRIVATE_H

#include "admin/console_private.h"
#include "admin/show.h"

/* In the order of SHOW HELP */
#define VIEWS(X)                                                                                             \
	X(help)                                                                                              \
	X(config)                                                                                            \
	X(databases)                                                                                         \
	X(pools)                                                                                             \
	X(clients)                                                                                           \
	X(servers)                                                                                           \
	X(users)                                                                                             \
	X(version)                                                                                           \
	X(peers)                                                                                             \
	X(peer_pools)                                                                                        \
	X(state)                                                                                             \
	X(sockets)                                                                                           \
	X(active_sockets)                                                                                    \
	X(lists)                                                                                             \
	X(mem)                                                                                               \
	X(dns_hosts)                                                                                         \
	X(dns_zones)                                                                                         \
	X(fds)                                                                                               \
	X(stats)                                                                                             \
	X(stats_totals)                                                                                      \
	X(stats_averages)                                                                                    \
	X(pins)                                                                                              \
	X(pin_counts)                                                                                        \
	X(hosts)                                                                                             \
	X(limits)                                                                                            \
	X(workers)                                                                                           \
	X(queue)                                                                                             \
	X(holders)                                                                                           \
	X(prepared)                                                                                          \
	X(latency)                                                                                           \
	X(events)                                                                                            \
	X(totals)

#define DECLARE_VIEW(name) extern const struct view view_##name;
VIEWS(DECLARE_VIEW)
#undef DECLARE_VIEW

#define TEXT(name)                                                                                           \
	{                                                                                                    \
		name, COLUMN_TEXT                                                                            \
	}
#define INT4(name)                                                                                           \
	{                                                                                                    \
		name, COLUMN_INT4                                                                            \
	}
#define INT8(name)                                                                                           \
	{                                                                                                    \
		name, COLUMN_INT8                                                                            \
	}
#define NUMERIC(name)                                                                                        \
	{                                                                                                    \
		name, COLUMN_NUMERIC                                                                         \
	}
#define COLUMNS(c) c, N_ELEMENTS(c)

/* show.c */
void rows_time(struct rows *r, usec_t then, usec_t now); /* then as text: our clock counts from the machine's start */
void rows_address(struct rows *r, const struct address *a); /* two columns: host and port */
const char *mode_name(enum pool_mode mode);

/* show_dns.c */
size_t dns_names(const struct console *c);

/* show_pins.c */
void rows_reasons(struct rows *r, unsigned pins);

/* show_pools.c */
struct pool_sum { /* of one pool over all workers */
	const char *database, *user;
	struct pool_row row;
};

/* Sorted; the caller frees it. Histograms are the reports', and are added up there: once for each answer. */
struct pool_sum *sum_pools(const struct show *s, size_t *n);

/* show_databases.c: names that are configured or in use, and how much */
struct usage {
	char *name;
	int servers, clients;
};

struct usages { /* sorted by name */
	struct usage *items;
	size_t n;
};

const char *balance_name(const struct config_database *db); /* load_balance_hosts; NULL: there is one host */
struct usages database_usages(const struct console *c);
struct usages user_usages(const struct console *c);
void usages_free(struct usages *u);

#endif
