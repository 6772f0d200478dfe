/*
 * http_listen.h - the setting http_listen: a comma list of [address]:port.
 *
 *	:9187, 9187		127.0.0.1: who says no address wants none of the network's
 *	10.0.0.5:9187		that address
 *	[::1]:9187		an IPv6 address stands in brackets
 *	*:9187			all of IPv4, and of IPv6 where the machine has it
 *
 * Names aren't looked up: whether a token must be there is decided by the text alone.
 * Threads: no state.
 */
#ifndef PGWEIR_HTTP_LISTEN_H
#define PGWEIR_HTTP_LISTEN_H

#include "config/config.h"

#define HTTP_PLACES_MAX 16

struct http_place {
	char host[46]; /* numeric */
	int port;
	bool is_loopback, may_be_absent; /* absent: "*" on a machine without IPv6 */
};

/* RES_OK: *n places. RES_PROTOCOL, RES_LIMIT: why. */
enum result http_listen_parse(
	const char *text, struct http_place places[HTTP_PLACES_MAX], size_t *n, char *why, size_t why_size);
/* Is http_listen well formed, and is there a token wherever others than this machine's processes could ask? */
bool http_settings_check(const struct config *c, char *why, size_t why_size);

#endif
