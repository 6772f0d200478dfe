#include "admin/show_private.h"
#include "net/resolver.h"

static const struct column dns_hosts_columns[] = { TEXT("hostname"), INT8("ttl"), TEXT("addrs") };
static const struct column dns_zones_columns[] = { TEXT("zonename"), INT8("serial"), INT4("count") };

/* Failures are kept, too, with no address. What is past its time stays until the next look. */
static void host_row(void *ctx, const char *host, usec_t expires, const struct address *address)
{
	const struct show *s = ctx;
	char text[ADDRESS_TEXT_MAX] = "";

	if (address)
		address_host(address, text);
	rows_begin(s->rows);
	rows_text(s->rows, host);
	rows_number(s->rows, expires > s->now ? (expires - s->now) / USEC_PER_SEC : 0);
	rows_text(s->rows, text);
	rows_end(s->rows);
}

static void fill_dns_hosts(const struct show *s)
{
	const struct console_host *h = &s->console->host;

	resolver_each(h->resolver(h->ctx), host_row, (void *)(uintptr_t)s);
}

static void fill_no_zones(const struct show *s)
{
	(void)s; /* zones aren't watched */
}

const struct view view_dns_hosts = { "DNS_HOSTS", COLUMNS(dns_hosts_columns), 0, fill_dns_hosts };
const struct view view_dns_zones = { "DNS_ZONES", COLUMNS(dns_zones_columns), 0, fill_no_zones };

static void count_name(void *ctx, const char *host, usec_t expires, const struct address *address)
{
	size_t *n = ctx;

	(void)host, (void)expires, (void)address;
	++*n;
}

size_t dns_names(const struct console *c)
{
	size_t n = 0;

	resolver_each(c->host.resolver(c->host.ctx), count_name, &n);
	return n;
}
