#include "admin/show_private.h"
#include "pool/host.h"

#include <stdio.h>

static const struct column hosts_columns[] = {
	TEXT("host"),
	INT4("port"),
	TEXT("address"),
	TEXT("state"),
	TEXT("since"),
	INT8("seconds"),
	INT4("servers"),
	INT4("logins"),
	INT4("failures"),
	INT8("failures_total"),
	TEXT("sqlstate"),
	TEXT("why"),
	INT8("next_try_ms"),
	TEXT("limits"),
};

static usec_t later(usec_t then, usec_t now)
{
	return then > now ? then - now : 0;
}

static void rows_since(struct rows *r, usec_t since, usec_t now)
{
	rows_time(r, since, now);
	rows_number(r, later(now, since) / USEC_PER_SEC);
}

static void rows_limits(struct rows *r, const struct host *h)
{
	struct writer w = { 0 };
	struct host_pool *hp, *next;
	char item[300];

	HASH_ITER(hh, h->pools, hp, next) {
		if (!hp->places.is_limited)
			continue;
		snprintf(item, sizeof(item), "%s%.63s/%.127s %d", w.len ? ", " : "", hp->database, hp->user,
			hp->places.limit);
		write_bytes(&w, item, strlen(item));
	}
	write_u8(&w, 0);
	rows_text(r, (const char *)w.data);
	writer_free(&w);
}

static void host_row(void *ctx, const struct host *h)
{
	const struct show *s = ctx;
	struct rows *r = s->rows;
	char address[ADDRESS_TEXT_MAX];

	address_text(&h->address, address);
	rows_begin(r);
	rows_text(r, h->name);
	rows_number(r, (uint64_t)h->port);
	rows_text(r, address);
	rows_text(r, host_state_name(h->state));
	rows_since(r, h->since, s->now);
	rows_number(r, (uint64_t)h->servers);
	rows_number(r, (uint64_t)h->logins);
	rows_number(r, (uint64_t)h->failures);
	rows_number(r, h->failed_ever);
	rows_text(r, h->sqlstate);
	rows_text(r, h->why);
	rows_number(r, h->state == HOST_HOLD ? later(h->next_try, s->now) / USEC_PER_MSEC : 0);
	rows_limits(r, h);
	rows_end(r);
}

static void fill_hosts(const struct show *s)
{
	hosts_each(&s->console->host.registry->hosts, host_row, (void *)(uintptr_t)s);
}

const struct view view_hosts = { "HOSTS", COLUMNS(hosts_columns), 0, fill_hosts };

static const struct column limits_columns[] = {
	TEXT("database"),
	TEXT("user"),
	TEXT("host"),
	INT4("port"),
	INT4("servers"),
	INT4("pool_size"),
	INT4("limit"),
	TEXT("role"),
	TEXT("since"),
	INT8("seconds"),
	TEXT("sqlstate"),
	TEXT("why"),
	INT8("next_try_ms"),
	INT4("giving_back"),
};

static const char *role_name(enum session_role role)
{
	switch (role) {
	case ROLE_FITS: return "fits";
	case ROLE_UNFIT: return "unfit";
	case ROLE_UNKNOWN: break;
	}
	return "unknown";
}

/* Where there is no limit but the pool's own, that one is shown. */
static void limit_row(void *ctx, const struct host_pool *hp)
{
	const struct show *s = ctx;
	const struct config *c = console_config(s->console);
	const struct places *p = &hp->places;
	int size = config_pool_size(c, config_database(c, hp->database), config_user(c, hp->user));
	struct rows *r = s->rows;

	if (hp->kind != HOST_POOL_CLIENTS)
		return;
	rows_begin(r);
	rows_text(r, hp->database);
	rows_text(r, hp->user);
	rows_text(r, hp->host->name);
	rows_number(r, (uint64_t)hp->host->port);
	rows_number(r, (uint64_t)atomic_load(&hp->servers));
	rows_number(r, (uint64_t)size);
	rows_number(r, (uint64_t)(p->is_limited ? p->limit : size));
	rows_text(r, role_name(hp->role));
	if (p->is_limited) {
		rows_since(r, p->limited_since, s->now);
	} else {
		rows_text(r, NULL);
		rows_text(r, NULL);
	}
	rows_text(r, p->is_limited ? hp->sqlstate : "");
	rows_text(r, p->is_limited ? hp->why : "");
	rows_number(r, p->is_limited ? later(p->next_try, s->now) / USEC_PER_MSEC : 0);
	rows_number(r, (uint64_t)atomic_load(&hp->to_give));
	rows_end(r);
}

static void fill_limits(const struct show *s)
{
	hosts_each_pool(&s->console->host.registry->hosts, limit_row, (void *)(uintptr_t)s);
}

const struct view view_limits = { "LIMITS", COLUMNS(limits_columns), 0, fill_limits };
