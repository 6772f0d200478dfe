#include "admin/show.h"

#include "admin/console_private.h"
#include "wire/msg.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

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

/* ---- statistics ---- */

#define TOTAL_COLUMN(field, total, avg, plain) NUMERIC(total),
#define AVERAGE_COLUMN(field, total, avg, plain) NUMERIC(avg),
#define PLAIN_COLUMN(field, total, avg, plain) NUMERIC(plain),
static const struct column stats_columns[] = { TEXT("database"),
	COUNTER_TABLE(TOTAL_COLUMN) COUNTER_TABLE(AVERAGE_COLUMN) };
static const struct column totals_columns[] = { TEXT("database"), COUNTER_TABLE(PLAIN_COLUMN) };
static const struct column averages_columns[] = {
	TEXT("database"),
	NUMERIC("server_assignment_count"),
	NUMERIC("xact_count"),
	NUMERIC("query_count"),
	NUMERIC("bytes_received"),
	NUMERIC("bytes_sent"),
	NUMERIC("xact_time"),
	NUMERIC("query_time"),
	NUMERIC("wait_time"),
	/* PgBouncer says avg_ in these three only */
	NUMERIC("avg_client_parse_count"),
	NUMERIC("avg_server_parse_count"),
	NUMERIC("avg_bind_count"),
};

static void counters_row(struct rows *r, const struct counters *c)
{
#define COUNTER_VALUE(field, total, avg, plain) rows_number(r, c->field);
	COUNTER_TABLE(COUNTER_VALUE)
#undef COUNTER_VALUE
}

enum { SHOW_TOTALS = 1, SHOW_AVERAGES = 2 };

static void fill_databases_stats(const struct show *s, unsigned what)
{
	static const struct counters none;
	struct stats now = stats_sum(s->reports, s->n_reports, &s->console->counters);

	for (size_t i = 0; i < now.n; i++) {
		const struct database_stats *d = &now.items[i], *period = stats_find(&s->console->stats, d->name);

		rows_begin(s->rows);
		rows_text(s->rows, d->name);
		if (what & SHOW_TOTALS)
			counters_row(s->rows, &d->total);
		if (what & SHOW_AVERAGES)
			counters_row(s->rows, period ? &period->average : &none);
		rows_end(s->rows);
	}
	stats_free(&now);
}

static void fill_stats(const struct show *s)
{
	fill_databases_stats(s, SHOW_TOTALS | SHOW_AVERAGES);
}

static void fill_stats_totals(const struct show *s)
{
	fill_databases_stats(s, SHOW_TOTALS);
}

static void fill_stats_averages(const struct show *s)
{
	fill_databases_stats(s, SHOW_AVERAGES);
}

static const struct column all_columns[] = { TEXT("name"), NUMERIC("value") };

static void named_counters(struct rows *r, const char *prefix, const struct counters *c)
{
	static const char *const names[] = { "server_assignment_count", "xact_count", "query_count",
		"client_bytes", "server_bytes", "xact_time", "query_time", "wait_time",
		"ps_client_parse_count", "ps_server_parse_count", "ps_bind_count" };
	size_t i = 0;
	char name[64];

	_Static_assert(N_ELEMENTS(names) == COUNTERS_N, "a name for each counter");
#define NAMED_COUNTER(field, total, avg, plain)                                                              \
	snprintf(name, sizeof(name), "%s%s", prefix, names[i++]);                                            \
	rows_begin(r), rows_text(r, name), rows_number(r, c->field), rows_end(r);
	COUNTER_TABLE(NAMED_COUNTER)
#undef NAMED_COUNTER
}

static void fill_totals(const struct show *s)
{
	struct stats now = stats_sum(s->reports, s->n_reports, &s->console->counters);
	struct counters total = stats_all(&now);

	named_counters(s->rows, "total_", &total);
	named_counters(s->rows, "avg_", &s->console->stats.average);
	stats_free(&now);
}

/* ---- pools ---- */

static const struct column pools_columns[] = {
	TEXT("database"),
	TEXT("user"),
	INT4("cl_active"),
	INT4("cl_waiting"),
	INT4("cl_active_cancel_req"),
	INT4("cl_waiting_cancel_req"),
	INT4("sv_active"),
	INT4("sv_active_cancel"),
	INT4("sv_being_canceled"),
	INT4("sv_idle"),
	INT4("sv_used"),
	INT4("sv_tested"),
	INT4("sv_login"),
	INT4("maxwait"),
	INT4("maxwait_us"),
	TEXT("pool_mode"),
	TEXT("load_balance_hosts"),
};

static const char *mode_name(enum pool_mode mode)
{
	switch (mode) {
	case POOL_SESSION: return "session";
	case POOL_TRANSACTION: return "transaction";
	case POOL_STATEMENT: return "statement";
	case POOL_MODE_UNSET: break;
	}
	return NULL;
}

struct pool_sum {
	const char *database, *user;
	struct pool_row row;
};

static int by_pool(const void *a, const void *b)
{
	const struct pool_sum *x = a, *y = b;
	int order = strcmp(x->database, y->database);

	return order ? order : strcmp(x->user, y->user);
}

static void add_pool_row(struct pool_row *to, const struct pool_row *r)
{
	to->clients += r->clients;
	to->waiting += r->waiting;
	to->cancels += r->cancels;
	for (int i = 0; i < SERVER_STATES; i++)
		to->servers[i] += r->servers[i];
	to->oldest_wait = MAX(to->oldest_wait, r->oldest_wait);
}

/* One for each pool, over all workers; sorted. */
static struct pool_sum *sum_pools(const struct show *s, size_t *n)
{
	struct pool_sum *sums;
	size_t size = 1, have = 0;

	for (int i = 0; i < s->n_reports; i++)
		size += s->reports[i]->n_pools;
	sums = xcalloc(size, sizeof(*sums));
	*n = 0;
	for (int i = 0; i < s->n_reports; i++) {
		const struct report *r = s->reports[i];

		for (size_t k = 0; k < r->n_pools; k++) {
			if (!r->pools[k].is_past)
				sums[have++] = (struct pool_sum){ report_text(r, r->pools[k].database),
					report_text(r, r->pools[k].user), r->pools[k] };
		}
	}
	qsort(sums, have, sizeof(*sums), by_pool);
	for (size_t i = 0; i < have; i++) {
		if (*n && by_pool(&sums[*n - 1], &sums[i]) == 0)
			add_pool_row(&sums[*n - 1].row, &sums[i].row);
		else
			sums[(*n)++] = sums[i];
	}
	return sums;
}

static void pool_row(struct rows *r, const char *database, const char *user, const struct pool_row *p)
{
	rows_begin(r);
	rows_text(r, database);
	rows_text(r, user);
	rows_number(r, p->clients);
	rows_number(r, p->waiting);
	rows_number(r, p->cancels); /* each of ours has its own connection at once: none waits */
	rows_number(r, 0);
	rows_number(r, p->servers[SERVER_ACTIVE] + p->servers[SERVER_SYNCING]);
	rows_number(r, p->cancels);
	rows_number(r, p->servers[SERVER_HELD]);
	rows_number(r, p->servers[SERVER_IDLE]);
	rows_number(r, p->servers[SERVER_CLEANING]);
	rows_number(r, p->servers[SERVER_TESTING]);
	rows_number(r, p->servers[SERVER_LOGIN]);
	rows_number(r, p->oldest_wait / USEC_PER_SEC);
	rows_number(r, p->oldest_wait % USEC_PER_SEC);
	rows_text(r, mode_name(p->mode));
	rows_text(r, NULL); /* there are no host lists */
	rows_end(r);
}

static void fill_pools(const struct show *s)
{
	struct pool_row own = { .clients = (unsigned)s->console->clients.count, .mode = POOL_STATEMENT };
	size_t n;
	struct pool_sum *sums = sum_pools(s, &n);

	for (size_t i = 0; i < n; i++)
		pool_row(s->rows, sums[i].database, sums[i].user, &sums[i].row);
	pool_row(s->rows, CONSOLE_DATABASE, CONSOLE_DATABASE, &own);
	free(sums);
}

/* ---- clients, servers, sockets ---- */

#define LINK_COLUMNS                                                                                         \
	TEXT("type"), TEXT("user"), TEXT("database"), TEXT("replication"), TEXT("state"), TEXT("addr"),      \
		INT4("port"), TEXT("local_addr"), INT4("local_port"), TEXT("connect_time"),                  \
		TEXT("request_time"), INT4("wait"), INT4("wait_us"), INT4("close_needed"), TEXT("ptr"),      \
		TEXT("link"), INT4("remote_pid"), TEXT("tls"), TEXT("application_name"),                     \
		INT4("prepared_statements"), INT4("id")
static const struct column link_columns[] = { LINK_COLUMNS };
static const struct column socket_columns[] = { LINK_COLUMNS, INT4("recv_pos"), INT4("pkt_pos"),
	INT4("pkt_remain"), INT4("send_pos"), INT4("send_remain"), INT4("pkt_avail"), INT4("send_avail") };

/* Our clock counts from the machine's start. */
static void rows_time(struct rows *r, usec_t then, usec_t now)
{
	time_t at = time(NULL) - (time_t)((now > then ? now - then : 0) / USEC_PER_SEC);
	struct tm tm;
	char text[64];

	localtime_r(&at, &tm);
	rows_text(r, strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %Z", &tm) ? text : "");
}

static void rows_address(struct rows *r, const struct address *a)
{
	char text[ADDRESS_TEXT_MAX];

	address_host(a, text);
	rows_text(r, a->len ? text : "");
	rows_number(r, a->len ? (uint64_t)address_port(a) : 0);
}

static void rows_id(struct rows *r, uint64_t id)
{
	char text[32];

	snprintf(text, sizeof(text), "0x%" PRIx64, id);
	rows_text(r, id ? text : ""); /* PgBouncer prints an address; an identity is what people make of it */
}

static void link_row(const struct show *s, const struct report *r, const struct link_row *l,
	const char *prefix, bool is_socket)
{
	struct rows *rows = s->rows;
	char state[32];

	snprintf(state, sizeof(state), "%s%s", prefix, l->state);
	rows_begin(rows);
	rows_text(rows, l->is_server ? "S" : "C");
	rows_text(rows, report_text(r, l->user));
	rows_text(rows, report_text(r, l->database));
	rows_text(rows, "none");
	rows_text(rows, state);
	rows_address(rows, &l->peer);
	rows_address(rows, &l->local);
	rows_time(rows, l->connected_at, r->now);
	rows_time(rows, l->request_at, r->now);
	rows_number(rows, l->wait / USEC_PER_SEC);
	rows_number(rows, l->wait % USEC_PER_SEC);
	rows_flag(rows, l->is_close_needed);
	rows_id(rows, l->id);
	rows_id(rows, l->link);
	rows_number(rows, l->remote_pid);
	rows_text(rows, report_text(r, l->tls));
	rows_text(rows, report_text(r, l->application_name));
	rows_number(rows, l->statements);
	rows_number(rows, l->id);
	if (is_socket) {
		rows_number(rows, l->held);
		rows_number(rows, 0);
		rows_number(rows, l->body_left);
		rows_number(rows, 0);
		rows_number(rows, l->backlog);
		rows_number(rows, l->held);
		rows_number(rows, l->backlog);
	}
	rows_end(rows);
}

/* The console's own clients, as if a worker had reported them. */
static struct report *own_report(const struct show *s)
{
	struct report *r = xcalloc(1, sizeof(*r));

	r->now = s->now;
	r->links = xcalloc(s->console->clients.count, sizeof(*r->links));
	LIST_FOREACH(&s->console->clients, n, next) {
		const struct console_client *c = CONTAINER_OF(n, struct console_client, node);
		struct link_row *l = &r->links[r->n_links++];
		char tls[64];

		*l = (struct link_row){ .state = "active",
			.peer = c->peer,
			.connected_at = c->connected_at,
			.request_at = c->request_at,
			.id = c->id,
			.backlog = stream_backlog(&c->stream) };
		address_local(c->stream.fd, &l->local);
		l->database = (uint32_t)r->text.len;
		write_cstring(&r->text, CONSOLE_DATABASE);
		l->user = (uint32_t)r->text.len;
		write_cstring(&r->text, c->user);
		l->application_name = (uint32_t)r->text.len;
		write_cstring(&r->text, c->application_name);
		tls_describe(c->stream.tls, tls, sizeof(tls));
		l->tls = (uint32_t)r->text.len;
		write_cstring(&r->text, tls);
	}
	return r;
}

static void link_rows(const struct show *s, const struct report *r, bool is_socket, bool only_busy)
{
	for (size_t i = 0; i < r->n_links; i++) {
		const struct link_row *l = &r->links[i];

		if (!only_busy || l->held || l->backlog || l->body_left)
			link_row(s, r, l, !is_socket ? "" : l->is_server ? "sv_" : "cl_", is_socket);
	}
}

static void fill_links(const struct show *s, bool with_own, bool is_socket, bool only_busy)
{
	for (int i = 0; i < s->n_reports; i++)
		link_rows(s, s->reports[i], is_socket, only_busy);
	if (with_own) {
		struct report *own = own_report(s);

		link_rows(s, own, is_socket, only_busy);
		report_free(&own);
	}
}

static void fill_clients(const struct show *s)
{
	fill_links(s, true, false, false);
}

static void fill_servers(const struct show *s)
{
	fill_links(s, false, false, false);
}

static void fill_sockets(const struct show *s)
{
	fill_links(s, true, true, false);
}

static void fill_active_sockets(const struct show *s)
{
	fill_links(s, true, true, true);
}

/* ---- databases and users ---- */

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

struct usage {
	char *name;
	int servers, clients;
};

struct usages { /* sorted by name */
	struct usage *items;
	size_t n;
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

static void usages_free(struct usages *u)
{
	for (size_t i = 0; i < u->n; i++)
		free(u->items[i].name);
	free(u->items);
}

/* Those of the configuration but for "*", and those that clients use by way of it. */
static struct usages database_usages(const struct console *c)
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

static struct usages user_usages(const struct console *c)
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

static void database_row(const struct show *s, const struct config_database *db, const struct usage *use)
{
	const struct config *c = console_config(s->console);
	struct rows *r = s->rows;

	rows_begin(r);
	rows_text(r, use->name);
	rows_text(r, text_or_null(db->host));
	rows_number(r, (uint64_t)(db->hosts ? db->hosts->port : c->listen_port)); /* its own has none */
	rows_text(r, db->dbname ? db->dbname : use->name);
	rows_text(r, db->user);
	rows_number(r, (uint64_t)config_pool_size(c, db, NULL));
	rows_number(r, (uint64_t)config_min_pool_size(c, db));
	rows_number(r, (uint64_t)config_reserve_pool_size(c, db, NULL));
	rows_number(r, config_server_lifetime(c, db) / USEC_PER_SEC);
	rows_text(r, mode_name(db->pool_mode));
	rows_text(r, NULL);
	rows_number(r, (uint64_t)config_max_db_connections(c, db));
	rows_number(r, (uint64_t)use->servers);
	rows_number(r, (uint64_t)config_max_db_client_connections(c, db));
	rows_number(r, (uint64_t)use->clients);
	rows_flag(r, paused_has(&s->console->paused, use->name));
	rows_flag(r, false); /* there is no DISABLE */
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

/* ---- the rest ---- */

static const struct column lists_columns[] = { TEXT("list"), INT4("items") };

static void list_item(struct rows *r, const char *name, size_t n)
{
	rows_begin(r);
	rows_text(r, name);
	rows_number(r, n);
	rows_end(r);
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
	list_item(s->rows, "peers", 0);
	list_item(s->rows, "pools", n_pools + 1);
	list_item(s->rows, "peer_pools", 0);
	list_item(s->rows, "free_clients", 0); /* we keep none for later */
	list_item(s->rows, "used_clients", clients);
	list_item(s->rows, "login_clients", h->login_count(h->ctx));
	list_item(s->rows, "free_servers", 0);
	list_item(s->rows, "used_servers", servers);
	list_item(s->rows, "dns_names", 0); /* the resolver keeps its own cache; what it holds isn't counted */
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
	state_row(s->rows, "active", !s->console->paused.all);
	state_row(s->rows, "paused", s->console->paused.all);
	state_row(s->rows, "suspended", false); /* there is no SUSPEND */
}

static const struct column version_columns[] = { TEXT("version") };

/* Tools take the first number for PgBouncer's. */
static void fill_version(const struct show *s)
{
	rows_begin(s->rows);
	rows_text(s->rows, "PgBouncer " COMPATIBLE_VERSION " (pgweir " PGWEIR_VERSION ")");
	rows_end(s->rows);
}

static const struct column peers_columns[] = { INT4("peer_id"), TEXT("host"), INT4("port"), INT4("pool_size") };
static const struct column peer_pools_columns[] = { INT4("peer_id"), INT4("cl_active_cancel_req"),
	INT4("cl_waiting_cancel_req"), INT4("sv_active_cancel"), INT4("sv_login") };
static const struct column dns_zones_columns[] = { TEXT("zonename"), INT8("serial"), INT4("count") };

static void fill_nothing(const struct show *s)
{
	(void)s; /* there are no peers, and zones aren't watched */
}

static void append(struct writer *w, const char *text)
{
	write_bytes(w, text, strlen(text));
}

static void fill_help(const struct show *s)
{
	struct writer detail = { 0 };
	struct error_info e = { .severity = "NOTICE", .sqlstate = "00000", .message = "Console usage" };

	append(&detail, "\n\tSHOW ");
	for (size_t i = 0; i < n_views; i++) {
		append(&detail, i ? "|" : "");
		append(&detail, views[i].name);
	}
	append(&detail, "\n");
	for (size_t i = 0; i < n_command_specs; i++) {
		if (!command_specs[i].usage)
			continue;
		append(&detail, "\t");
		append(&detail, command_specs[i].usage);
		append(&detail, "\n");
	}
	write_u8(&detail, 0);
	e.detail = (const char *)detail.data;
	write_error(&s->rows->out, &e);
	writer_free(&detail);
}

/* ---- what keeps servers ---- */

static const struct column pins_columns[] = {
	TEXT("database"),
	TEXT("user"),
	TEXT("addr"),
	INT4("port"),
	INT8("client"),
	INT8("server"),
	INT4("server_pid"),
	TEXT("reasons"),
	TEXT("statement"),
	TEXT("since"),
	INT8("seconds"),
};
static const struct column pin_counts_columns[] = { TEXT("reason"), INT8("pinned"), INT8("total") };

static void rows_reasons(struct rows *r, unsigned pins)
{
	char text[128] = "";
	size_t n = 0;

	for (unsigned i = 0; i < PINS_N; i++)
		if (pins & 1u << i)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? "," : "",
				pin_name((enum pin)(1u << i)));
	rows_text(r, text);
}

static void fill_pins(const struct show *s)
{
	for (int i = 0; i < s->n_reports; i++) {
		const struct report *r = s->reports[i];

		for (size_t k = 0; k < r->n_pins; k++) {
			const struct pin_row *p = &r->pins[k];

			rows_begin(s->rows);
			rows_text(s->rows, report_text(r, p->database));
			rows_text(s->rows, report_text(r, p->user));
			rows_address(s->rows, &p->peer);
			rows_number(s->rows, p->client);
			rows_number(s->rows, p->server);
			rows_number(s->rows, p->server_pid);
			rows_reasons(s->rows, p->pins);
			rows_text(s->rows, p->by);
			rows_time(s->rows, p->since, r->now);
			rows_number(s->rows, (r->now - p->since) / USEC_PER_SEC);
			rows_end(s->rows);
		}
	}
}

static void fill_pin_counts(const struct show *s)
{
	for (unsigned pin = 0; pin < PINS_N; pin++) {
		uint64_t now = 0, total = 0;

		for (int i = 0; i < s->n_reports; i++) {
			const struct report *r = s->reports[i];

			total += r->pins_made[pin];
			for (size_t k = 0; k < r->n_pins; k++)
				now += (r->pins[k].pins & 1u << pin) != 0;
		}
		rows_begin(s->rows);
		rows_text(s->rows, pin_name((enum pin)(1u << pin)));
		rows_number(s->rows, now);
		rows_number(s->rows, total);
		rows_end(s->rows);
	}
}

static const struct column workers_columns[] = {
	INT4("worker"),
	INT8("clients"),
	INT8("waiting"),
	INT8("servers"),
	INT8("idle"),
	INT8("rounds"),
	INT8("messages"),
	INT8("servers_received"),
	INT8("cpu_us"),
};

static const struct report *report_of(const struct show *s, int worker)
{
	for (int i = 0; i < s->n_reports; i++)
		if (s->reports[i]->worker == worker)
			return s->reports[i];
	return NULL;
}

/* They have answered in any order. */
static void fill_workers(const struct show *s)
{
	const struct report *r;

	for (int i = 0; (r = report_of(s, i)); i++) {
		const struct worker_row *w = &r->of_worker;
		const uint64_t numbers[] = { (uint64_t)i, w->clients, w->waiting, w->servers, w->idle,
			w->rounds, w->messages, w->moved, w->cpu };

		rows_begin(s->rows);
		for (size_t k = 0; k < N_ELEMENTS(numbers); k++)
			rows_number(s->rows, numbers[k]);
		rows_end(s->rows);
	}
}

#define COLUMNS(c) c, N_ELEMENTS(c)
const struct view views[] = {
	{ "HELP", NULL, 0, 0, fill_help },
	{ "CONFIG", COLUMNS(config_columns), 0, fill_config },
	{ "DATABASES", COLUMNS(databases_columns), 0, fill_databases },
	{ "POOLS", COLUMNS(pools_columns), WANT_POOLS, fill_pools },
	{ "CLIENTS", COLUMNS(link_columns), WANT_CLIENTS, fill_clients },
	{ "SERVERS", COLUMNS(link_columns), WANT_SERVERS, fill_servers },
	{ "USERS", COLUMNS(users_columns), 0, fill_users },
	{ "VERSION", COLUMNS(version_columns), 0, fill_version },
	{ "PEERS", COLUMNS(peers_columns), 0, fill_nothing },
	{ "PEER_POOLS", COLUMNS(peer_pools_columns), 0, fill_nothing },
	{ "STATE", COLUMNS(state_columns), 0, fill_state },
	{ "SOCKETS", COLUMNS(socket_columns), WANT_CLIENTS | WANT_SERVERS, fill_sockets },
	{ "ACTIVE_SOCKETS", COLUMNS(socket_columns), WANT_CLIENTS | WANT_SERVERS, fill_active_sockets },
	{ "LISTS", COLUMNS(lists_columns), WANT_POOLS, fill_lists },
	{ "DNS_ZONES", COLUMNS(dns_zones_columns), 0, fill_nothing },
	{ "STATS", COLUMNS(stats_columns), WANT_POOLS, fill_stats },
	{ "STATS_TOTALS", COLUMNS(totals_columns), WANT_POOLS, fill_stats_totals },
	{ "STATS_AVERAGES", COLUMNS(averages_columns), WANT_POOLS, fill_stats_averages },
	{ "PINS", COLUMNS(pins_columns), WANT_PINS, fill_pins },
	{ "PIN_COUNTS", COLUMNS(pin_counts_columns), WANT_PINS, fill_pin_counts },
	{ "WORKERS", COLUMNS(workers_columns), WANT_WORKER, fill_workers },
	{ "TOTALS", COLUMNS(all_columns), WANT_POOLS, fill_totals },
};
const size_t n_views = N_ELEMENTS(views);

const struct view *view_find(const char *name)
{
	for (size_t i = 0; i < n_views; i++) {
		if (strcasecmp(name, views[i].name) == 0)
			return &views[i];
	}
	return NULL;
}
