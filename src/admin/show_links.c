#include "admin/show_private.h"

#include <inttypes.h>
#include <stdio.h>

#define LINK_COLUMNS                                                                                         \
	TEXT("type"), TEXT("user"), TEXT("database"), TEXT("replication"), TEXT("state"), TEXT("addr"),      \
		INT4("port"), TEXT("local_addr"), INT4("local_port"), TEXT("connect_time"),                  \
		TEXT("request_time"), INT4("wait"), INT4("wait_us"), INT4("close_needed"), TEXT("ptr"),      \
		TEXT("link"), INT4("remote_pid"), TEXT("tls"), TEXT("application_name"),                     \
		INT4("prepared_statements"), INT4("id")
static const struct column link_columns[] = { LINK_COLUMNS };
static const struct column socket_columns[] = { LINK_COLUMNS, INT4("recv_pos"), INT4("pkt_pos"),
	INT4("pkt_remain"), INT4("send_pos"), INT4("send_remain"), INT4("pkt_avail"), INT4("send_avail") };

static void rows_id(struct rows *r, uint64_t id)
{
	char text[32];

	snprintf(text, sizeof(text), "0x%" PRIx64, id);
	rows_text(r, id ? text : ""); /* PgBouncer prints an address; an identity is what people make of it */
}

static void link_row(const struct show *s, const struct report *r, const struct link_row *l,
	const char *prefix, bool is_socket)
{
	static const char *const replications[] = { "none", "physical", "logical" };
	struct rows *rows = s->rows;
	char state[32];

	snprintf(state, sizeof(state), "%s%s", prefix, l->state);
	rows_begin(rows);
	rows_text(rows, l->is_server ? "S" : "C");
	rows_text(rows, report_text(r, l->user));
	rows_text(rows, report_text(r, l->database));
	rows_text(rows, replications[l->replication]);
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

const struct view view_clients = { "CLIENTS", COLUMNS(link_columns), WANT_CLIENTS, fill_clients };
const struct view view_servers = { "SERVERS", COLUMNS(link_columns), WANT_SERVERS, fill_servers };
const struct view view_sockets = { "SOCKETS", COLUMNS(socket_columns), WANT_CLIENTS | WANT_SERVERS, fill_sockets };
const struct view view_active_sockets = { "ACTIVE_SOCKETS", COLUMNS(socket_columns),
	WANT_CLIENTS | WANT_SERVERS, fill_active_sockets };
