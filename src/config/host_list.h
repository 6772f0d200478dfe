/*
 * host_list.h - the hosts of a database, as libpq writes them: host=a,b and port=1,2 (or one port for all).
 *
 * An element of ports that is empty stands for 5432, as in a URI where one host has none. A list of hosts with an empty element, more than
 * HOSTS_MAX of them, or as many ports as fit neither one nor all is refused.
 * Ownership: the array and its names are the caller's; host_list_free().
 */
#ifndef PGWEIR_HOST_LIST_H
#define PGWEIR_HOST_LIST_H

#include "config/config.h"

#define HOSTS_MAX 32
#define HOST_NAME_MAX_BYTES 255
#define PORT_DEFAULT 5432

/* NULL: as if empty. One host without a name, if there is none: the Unix socket. False: *why, and nothing was made. */
bool host_list_parse(const char *hosts, const char *ports, struct config_host **out, size_t *n, char *why,
	size_t why_size);
void host_list_free(struct config_host **hosts, size_t *n);

#endif
