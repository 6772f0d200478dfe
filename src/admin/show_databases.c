#include "admin/show_private.h"

#include <stdlib.h>
#include <string.h>

static const struct column databases_columns[] = {
	TEXT("name"),
	TEXT("host"),
	INT4("port"),
	TEXT("database"),
	TEXT("force_user"),
	INT4("pool_size"),
	INT4("min_pool_size"),
	INT4("reserve_pool_size"),
	INT4("server_lifetime"),
	TEXT("pool_mode"),
	TEXT("load_balance_hosts"),
	INT4("max_connections"),
	INT4("current_connections"),
	INT4("max_client_connections"),
	INT4("current_client_connections"),
	INT4("paused"),
	INT4("disabled"),
};
static const struct column users_columns[] = {
	TEXT("name"),
	TEXT("pool_size"),
	TEXT("reserve_pool_size"),
	TEXT("pool_mode"),
	INT4("max_user_connections"),
	INT4("current_connections"),
	INT4("max_user_client_connections"),
	INT4("current_client_connections"),
};

static void add_usage(void *ctx, const char *name, int servers, int clients)
{
	struct usages *u = ctx;

	u->items = xrealloc(u->items, (u->n + 1) * sizeof(*u->items));
	u->items[u->n++] = (struct usage){ xstrdup(name), servers, clients };
}

static int usage_by_name(const void *a, const void *b)
{
	return strcmp(((const struct usage *)a)->name, ((const struct usage *)b)->name);
}

/* Names that came twice, from the configuration and from use, become one. */
static void usages_settle(struct usages *u)
{
	size_t n = 0;

	if (u->n)
		qsort(u->items, u->n, sizeof(*u->items), usage_by_name);
	for (size_t i = 0; i < u->n; i++) {
		if (n && strcmp(u->items[n - 1].name, u->items[i].name) == 0) {
			u->items[n - 1].servers += u->items[i].servers;
			u->items[n - 1].clients += u->items[i].clients;
			free(u->items[i].name);
		} else {
			u->items[n++] = u->items[i];
		}
	}
	u->n = n;
}

void usages_free(struct usages *u)
{
	for (size_t i = 0; i < u->n; i++)
		free(u->items[i].name);
	free(u->items);
}

/* Those of the configuration but for "*", and those that clients use by way of it. */
struct usages database_usages(const struct console *c)
{
	struct usages u = { .n = 0 };

	registry_each_database(c->host.registry, add_usage, &u);
	for (const struct config_database *db = console_config(c)->databases; db; db = db->next) {
		if (strcmp(db->name, "*") != 0)
			add_usage(&u, db->name, 0, 0);
	}
	usages_settle(&u);
	return u;
}

static void add_credential(struct credential *credential, void *ctx)
{
	add_usage(ctx, credential_user(credential), 0, 0);
}

struct usages user_usages(const struct console *c)
{
	struct usages u = { .n = 0 };

	registry_each_user(c->host.registry, add_usage, &u);
	userlist_each(c->host.snapshot(c->host.ctx)->userlist, add_credential, &u);
	for (const struct config_user *user = console_config(c)->users; user; user = user->next)
		add_usage(&u, user->name, 0, 0);
	usages_settle(&u);
	return u;
}

static const char *text_or_null(const char *text)
{
	return text && *text ? text : NULL;
}

/* PgBouncer's NULL unless there is a list; shared with SHOW POOLS. */
const char *balance_name(const struct config_database *db)
{
	if (!db || db->n_hosts < 2)
		return NULL;
	return db->load_balance_hosts == BALANCE_DISABLE ? "disable" : "round-robin";
}

static void database_row(const struct show *s, const struct config_database *db, const struct usage *use)
{
	const struct config *c = console_config(s->console);
	struct rows *r = s->rows;

	rows_begin(r);
	rows_text(r, use->name);
	rows_text(r, text_or_null(db->host));
	rows_number(r, (uint64_t)(db->hosts ? db->hosts->port : c->listen_port)); /* the console has no host */
	rows_text(r, db->dbname ? db->dbname : use->name);
	rows_text(r, db->user);
	rows_number(r, (uint64_t)config_pool_size(c, db, NULL));
	rows_number(r, (uint64_t)config_min_pool_size(c, db));
	rows_number(r, (uint64_t)config_reserve_pool_size(c, db, NULL));
	rows_number(r, config_server_lifetime(c, db) / USEC_PER_SEC);
	rows_text(r, mode_name(db->pool_mode));
	rows_text(r, balance_name(db));
	rows_number(r, (uint64_t)config_max_db_connections(c, db));
	rows_number(r, (uint64_t)use->servers);
	rows_number(r, (uint64_t)config_max_db_client_connections(c, db));
	rows_number(r, (uint64_t)use->clients);
	rows_flag(r, paused_has(&s->console->paused, use->name));
	rows_flag(r, snapshot_has_disabled(s->console->host.snapshot(s->console->host.ctx), use->name));
	rows_end(r);
}

static void own_database_row(const struct show *s)
{
	struct config_database own = { .user = (char *)(uintptr_t)CONSOLE_DATABASE,
		.pool_mode = POOL_STATEMENT,
		.pool_size = 2,
		.server_lifetime = -1 };

	database_row(s, &own,
		&(struct usage){ (char *)(uintptr_t)CONSOLE_DATABASE, 0, (int)s->console->clients.count });
}

static void fill_databases(const struct show *s)
{
	struct usages u = database_usages(s->console);

	for (size_t i = 0; i < u.n; i++) {
		const struct config_database *db = config_database(console_config(s->console), u.items[i].name);

		if (db) /* else a reload has removed it, and its last clients are about to go */
			database_row(s, db, &u.items[i]);
	}
	own_database_row(s);
	usages_free(&u);
}

static void rows_number_if_set(struct rows *r, int value)
{
	if (value >= 0)
		rows_number(r, (uint64_t)value);
	else
		rows_text(r, NULL);
}

static void fill_users(const struct show *s)
{
	const struct config *c = console_config(s->console);
	struct usages u = user_usages(s->console);
	struct rows *r = s->rows;

	for (size_t i = 0; i < u.n; i++) {
		const struct config_user *user = config_user(c, u.items[i].name);

		rows_begin(r);
		rows_text(r, u.items[i].name);
		rows_number_if_set(r, user ? user->pool_size : -1);
		rows_number_if_set(r, user ? user->reserve_pool_size : -1);
		rows_text(r, user ? mode_name(user->pool_mode) : NULL);
		rows_number(r, (uint64_t)config_max_user_connections(c, user));
		rows_number(r, (uint64_t)u.items[i].servers);
		rows_number(r, (uint64_t)config_max_user_client_connections(c, user));
		rows_number(r, (uint64_t)u.items[i].clients);
		rows_end(r);
	}
	usages_free(&u);
}

const struct view view_databases = { "DATABASES", COLUMNS(databases_columns), 0, fill_databases };
const struct view view_users = { "USERS", COLUMNS(users_columns), 0, fill_users };
