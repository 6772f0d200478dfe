/* show_peers.c - PEERS and PEER_POOLS: other processes behind the same port, and cancel requests on their way there. */
#include "admin/show_private.h"

static const struct column peers_columns[] = { INT4("peer_id"), TEXT("host"), INT4("port"), INT4("pool_size") };
static const struct column peer_pools_columns[] = { INT4("peer_id"), INT4("cl_active_cancel_req"),
	INT4("cl_waiting_cancel_req"), INT4("sv_active_cancel"), INT4("sv_login") };

static void fill_peers(const struct show *s)
{
	for (const struct config_peer *p = console_config(s->console)->peers; p; p = p->next) {
		rows_begin(s->rows);
		rows_number(s->rows, (uint64_t)p->id);
		rows_text(s->rows, p->host);
		rows_number(s->rows, (uint64_t)p->port);
		rows_number(s->rows,
			(uint64_t)(p->pool_size > 0 ? p->pool_size : console_config(s->console)->default_pool_size));
		rows_end(s->rows);
	}
}

static void fill_peer_pools(const struct show *s)
{
	for (const struct config_peer *p = console_config(s->console)->peers; p; p = p->next) {
		struct peer_counts n = { 0 };

		if (s->console->host.peers)
			peers_count(s->console->host.peers, p->id, &n);
		rows_begin(s->rows);
		rows_number(s->rows, (uint64_t)p->id);
		rows_number(s->rows, (uint64_t)n.active);
		rows_number(s->rows, (uint64_t)n.waiting);
		rows_number(s->rows, (uint64_t)n.sent);
		rows_number(s->rows, (uint64_t)n.connecting);
		rows_end(s->rows);
	}
}

const struct view view_peers = { "PEERS", COLUMNS(peers_columns), 0, fill_peers };
const struct view view_peer_pools = { "PEER_POOLS", COLUMNS(peer_pools_columns), 0, fill_peer_pools };
