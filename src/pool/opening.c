/* opening.c - one more server for a pool: which limits speak against it, and on which host it is opened. */
#include "pool/evict.h"
#include "pool/server.h"

/* ---- the pool's hosts ---- */

void pool_drop_hosts(struct pool *p)
{
	while (p->n_hosts)
		host_pool_drop(&p->hosts[--p->n_hosts]);
}

static enum host_pool_kind kind_of(const struct pool_shared *s)
{
	if (s->is_own)
		return HOST_POOL_OWN;
	return s->replication ? HOST_POOL_REPLICATION : HOST_POOL_CLIENTS;
}

void pool_configure_hosts(struct pool *p)
{
	const struct config_database *db = p->database;
	struct host_pool *hosts[HOSTS_MAX] = { NULL };
	size_t n = db ? db->n_hosts : 0;

	for (size_t i = 0; i < n; i++) {
		const struct config_host *h = &db->hosts[i];

		hosts[i] = host_pool_get(&p->worker->registry->hosts,
			*h->name ? h->name : p->worker->config->unix_socket_dir, h->port, p->shared->database,
			p->shared->user, kind_of(p->shared));
	}
	pool_drop_hosts(p); /* only now: what stays keeps its memory */
	for (; p->n_hosts < n; p->n_hosts++)
		p->hosts[p->n_hosts] = hosts[p->n_hosts];
}

bool pool_is_on_hold(const struct pool *p)
{
	for (size_t i = 0; i < p->n_hosts; i++)
		if (!host_pool_is_on_hold(p->hosts[i]))
			return false;
	return p->n_hosts > 0;
}

/* ---- slots ---- */

static struct slot_limits limits_now(const struct pool *p)
{
	struct slot_limits limits = p->limits;

	if (p->reserve && p->queue.count &&
		pool_oldest_wait(p, p->worker->loop.now) >= p->worker->config->reserve_pool_timeout)
		limits.pool += p->reserve;
	return limits;
}

static bool take_slot(struct pool *p, const struct slot_limits *limits)
{
	enum slot_result full = evict_may_open(p) ? slot_take(p->shared, limits) : SLOT_DATABASE_FULL;

	if ((full == SLOT_DATABASE_FULL || full == SLOT_USER_FULL) && evict_for(p, full))
		full = slot_take(p->shared, limits);
	if (full == SLOT_TAKEN)
		evict_opened(p);
	return full == SLOT_TAKEN;
}

/* ---- which host ---- */

struct choice {
	struct host_pool *host; /* NULL: none */
	struct host_login login;
	bool is_busy; /* one that would do may be tried in a moment */
	bool is_full; /* all that would do have no place for more */
};

/* The first, in the order of the list or round-robin, that may be tried. Those that weren't what is wanted last time count on demand only. */
static struct choice choose(struct pool *p, int concurrency, bool with_unfit)
{
	bool in_order = p->database->load_balance_hosts == BALANCE_DISABLE;
	bool is_choosy = p->database->target_session_attrs != ATTRS_ANY && !with_unfit;
	usec_t now = p->worker->loop.now;
	size_t first = in_order ? 0 : p->turn;
	struct choice c = { .host = NULL };
	bool has_hope = false; /* in one that is busy, or comes back */

	for (size_t i = 0; i < p->n_hosts && !(c.is_busy && in_order); i++) {
		size_t at = (first + i) % p->n_hosts;

		if (is_choosy && host_pool_role(p->hosts[at], now) == ROLE_UNFIT)
			continue;
		switch (host_login_begin(p->hosts[at], concurrency, now, &c.login)) {
		case HOST_GO:
			c.host = p->hosts[at];
			p->turn = (unsigned)((at + 1) % p->n_hosts);
			return c;
		case HOST_BUSY: c.is_busy = has_hope = true; break;
		case HOST_NO_PLACE: c.is_busy = c.is_full = true; break;
		case HOST_AWAY: has_hope = true; break;
		}
	}
	c.is_full = c.is_full && !has_hope;
	return c;
}

static void forget_choice(struct pool *p, struct choice *c)
{
	host_login_end(c->host, &c->login, HOST_DROPPED, "", "", p->worker->loop.now, 0);
	host_server_closed(c->host);
}

bool pool_open_server(struct pool *p)
{
	usec_t next_try = atomic_load(&p->shared->next_try);
	struct slot_limits limits = limits_now(p);
	int concurrency = p->worker->config->server_connect_concurrency;
	bool takes_any = false;
	struct choice c;

	p->is_full = false;
	if (!p->database)
		return false;
	if (next_try && (p->worker->loop.now < next_try || atomic_load(&p->shared->logins) > 0))
		return false; /* after a failure of the pool's own a single login finds out whether it can */
	p->is_full = atomic_load(&p->shared->servers) >= limits.pool;
	if (p->is_full) /* the usual case, and it takes no lock */
		return false;
	c = choose(p, concurrency, false);
	if (!c.host && !c.is_busy && p->database->target_session_attrs == ATTRS_PREFER_STANDBY) {
		takes_any = true;
		c = choose(p, concurrency, true);
	}
	p->is_full = c.host ? !take_slot(p, &limits) : c.is_full;
	if (!c.host)
		return false;
	if (p->is_full) {
		forget_choice(p, &c);
		return false;
	}
	server_open(p, c.host, &c.login, takes_any);
	return true;
}
