#include "config/host_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct item {
	const char *text;
	size_t len;
};

#define BLANKS " \t"

/* How many there are, at most one more than max; an empty text is one empty item. */
static size_t split(const char *text, struct item *items, size_t max)
{
	size_t n = 0;

	for (;; text++) {
		size_t len;

		text += strspn(text, BLANKS);
		len = strcspn(text, ",");
		if (n < max)
			items[n] = (struct item){ text, len };
		text += len;
		while (n < max && items[n].len && strchr(BLANKS, items[n].text[items[n].len - 1]))
			items[n].len--;
		n++;
		if (!*text || n > max)
			return n;
	}
}

static bool read_port(const struct item *item, int *port)
{
	*port = item->len ? 0 : PORT_DEFAULT;
	for (size_t i = 0; i < item->len; i++) {
		if (item->text[i] < '0' || item->text[i] > '9')
			return false;
		*port = *port * 10 + (item->text[i] - '0');
		if (*port > 65535)
			return false;
	}
	return *port > 0;
}

static bool check_hosts(const struct item *hosts, size_t n, char *why, size_t why_size)
{
	if (n > HOSTS_MAX) {
		snprintf(why, why_size, "host lists more than %d hosts", HOSTS_MAX);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		if (n > 1 && !hosts[i].len) {
			snprintf(why, why_size, "host has an empty name in its list");
			return false;
		}
		if (hosts[i].len > HOST_NAME_MAX_BYTES) {
			snprintf(why, why_size, "host has a name longer than %d bytes", HOST_NAME_MAX_BYTES);
			return false;
		}
	}
	return true;
}

static bool read_ports(const struct item *items, size_t n, int *ports, size_t n_hosts, char *why, size_t why_size)
{
	if (n != 1 && n != n_hosts) {
		snprintf(why, why_size, "port must be one number, or as many as there are hosts (%zu)", n_hosts);
		return false;
	}
	for (size_t i = 0; i < n_hosts; i++) {
		const struct item *item = &items[n == 1 ? 0 : i];

		if (!read_port(item, &ports[i])) {
			snprintf(why, why_size, "port must be a number from 1 to 65535, not \"%.*s\"",
				(int)MIN(item->len, 20), item->text);
			return false;
		}
	}
	return true;
}

bool host_list_parse(
	const char *hosts, const char *ports, struct config_host **out, size_t *n, char *why, size_t why_size)
{
	struct item host_items[HOSTS_MAX], port_items[HOSTS_MAX];
	size_t n_hosts = split(hosts ? hosts : "", host_items, HOSTS_MAX),
	       n_ports = split(ports ? ports : "", port_items, HOSTS_MAX);
	int numbers[HOSTS_MAX];

	if (!check_hosts(host_items, n_hosts, why, why_size) ||
		!read_ports(port_items, n_ports, numbers, n_hosts, why, why_size))
		return false;
	*out = xcalloc(n_hosts, sizeof(**out));
	*n = n_hosts;
	for (size_t i = 0; i < n_hosts; i++)
		(*out)[i] = (struct config_host){ xstrndup(host_items[i].text, host_items[i].len), numbers[i] };
	return true;
}

void host_list_free(struct config_host **hosts, size_t *n)
{
	for (size_t i = 0; i < *n; i++)
		free((*hosts)[i].name);
	free(*hosts);
	*hosts = NULL;
	*n = 0;
}
