#include "admin/show_private.h"

#include <stdlib.h>

static const struct column lists_columns[] = { TEXT("list"), INT4("items") };

static void list_item(struct rows *r, const char *name, size_t n)
{
	rows_begin(r);
	rows_text(r, name);
	rows_number(r, n);
	rows_end(r);
}

static size_t count_peers(const struct show *s)
{
	size_t n = 0;

	for (const struct config_peer *p = console_config(s->console)->peers; p; p = p->next)
		n++;
	return n;
}

static void fill_lists(const struct show *s)
{
	const struct console_host *h = &s->console->host;
	struct usages databases = database_usages(s->console), users = user_usages(s->console);
	size_t n_pools, clients = s->console->clients.count, servers = 0;
	struct pool_sum *pools = sum_pools(s, &n_pools);

	for (size_t i = 0; i < n_pools; i++)
		clients += pools[i].row.clients + pools[i].row.waiting;
	for (size_t i = 0; i < databases.n; i++)
		servers += (size_t)databases.items[i].servers;
	list_item(s->rows, "databases", databases.n + 1); /* and the console's */
	list_item(s->rows, "users", users.n);
	list_item(s->rows, "peers", count_peers(s));
	list_item(s->rows, "pools", n_pools + 1);
	list_item(s->rows, "peer_pools", count_peers(s));
	list_item(s->rows, "free_clients", 0); /* we keep none for later */
	list_item(s->rows, "used_clients", clients);
	list_item(s->rows, "login_clients", h->login_count(h->ctx));
	list_item(s->rows, "free_servers", 0);
	list_item(s->rows, "used_servers", servers);
	list_item(s->rows, "dns_names", dns_names(s->console));
	list_item(s->rows, "dns_zones", 0);
	list_item(s->rows, "dns_queries", 0);
	list_item(s->rows, "dns_pending", 0);
	usages_free(&databases);
	usages_free(&users);
	free(pools);
}

static const struct column config_columns[] = { TEXT("key"), TEXT("value"), TEXT("default"), TEXT("changeable") };

static void config_row(void *ctx, const char *key, const char *value, const char *default_value, bool changeable)
{
	struct rows *r = ctx;

	rows_begin(r);
	rows_text(r, key);
	rows_text(r, value);
	rows_text(r, default_value);
	rows_text(r, changeable ? "yes" : "no");
	rows_end(r);
}

static void fill_config(const struct show *s)
{
	config_show(console_config(s->console), config_row, s->rows);
}

static const struct column state_columns[] = { TEXT("key"), TEXT("value") };

static void state_row(struct rows *r, const char *key, bool value)
{
	rows_begin(r);
	rows_text(r, key);
	rows_text(r, value ? "yes" : "no");
	rows_end(r);
}

static void fill_state(const struct show *s)
{
	const struct console *c = s->console;

	state_row(s->rows, "active", !c->paused.all && !c->is_suspended);
	state_row(s->rows, "paused", c->paused.all);
	state_row(s->rows, "suspended", c->is_suspended);
}

static const struct column version_columns[] = { TEXT("version") };

/* Tools take the first number for PgBouncer's. */
static void fill_version(const struct show *s)
{
	rows_begin(s->rows);
	rows_text(s->rows, "PgBouncer " COMPATIBLE_VERSION " (pgweir " PGWEIR_VERSION ")");
	rows_end(s->rows);
}

const struct view view_lists = { "LISTS", COLUMNS(lists_columns), WANT_POOLS, fill_lists };
const struct view view_config = { "CONFIG", COLUMNS(config_columns), 0, fill_config };
const struct view view_state = { "STATE", COLUMNS(state_columns), 0, fill_state };
const struct view view_version = { "VERSION", COLUMNS(version_columns), 0, fill_version };
