#include "admin/show_private.h"

/*
 * PgBouncer's columns. There it is how an online restart hands over its sockets, passwords and keys with them; here it only shows: cancel,
 * password and the SCRAM keys are secrets and stay NULL.
 */
static const struct column fds_columns[] = { INT4("fd"), TEXT("task"), TEXT("user"), TEXT("database"),
	TEXT("addr"), INT4("port"), INT8("cancel"), INT4("link"), TEXT("client_encoding"),
	TEXT("std_strings"), TEXT("datestyle"), TEXT("timezone"), TEXT("password"),
	{ "scram_client_key", COLUMN_BYTEA }, { "scram_server_key", COLUMN_BYTEA } };

/* Of the other side: both are the same worker's. Only servers look, since there are few of them, and clients get it from these. */
static struct link_row *other_side(const struct report *r, const struct link_row *server)
{
	for (size_t i = 0; server->link && i < r->n_links; i++) {
		if (!r->links[i].is_server && r->links[i].id == server->link)
			return &r->links[i];
	}
	return NULL;
}

/* What was an id becomes a descriptor, as PgBouncer has it there; 0: none. */
static void link_descriptors(const struct report *r)
{
	for (size_t i = 0; i < r->n_links; i++) {
		struct link_row *server = &r->links[i], *client;

		if (!server->is_server)
			continue;
		client = other_side(r, server);
		server->link = client ? (uint64_t)MAX(client->fd, 0) : 0;
		if (client)
			client->link = (uint64_t)MAX(server->fd, 0);
	}
}

static void fd_row(struct rows *rows, const struct report *r, const struct link_row *l)
{
	rows_begin(rows);
	rows_number(rows, (uint64_t)MAX(l->fd, 0));
	rows_text(rows, l->is_server ? "server" : "client");
	rows_text(rows, report_text(r, l->user));
	rows_text(rows, report_text(r, l->database));
	rows_address(rows, &l->peer);
	rows_text(rows, NULL);
	rows_number(rows, l->link);
	rows_text(rows, report_text(r, l->client_encoding));
	rows_text(rows, report_text(r, l->std_strings));
	rows_text(rows, report_text(r, l->datestyle));
	rows_text(rows, report_text(r, l->timezone));
	for (int i = 0; i < 3; i++)
		rows_text(rows, NULL);
	rows_end(rows);
}

static void fill_fds(const struct show *s)
{
	for (int i = 0; i < s->n_reports; i++) {
		link_descriptors(s->reports[i]);
		for (size_t k = 0; k < s->reports[i]->n_links; k++)
			fd_row(s->rows, s->reports[i], &s->reports[i]->links[k]);
	}
}

const struct view view_fds = { "FDS", COLUMNS(fds_columns), WANT_FDS, fill_fds };
