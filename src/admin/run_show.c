#include "admin/console_private.h"
#include "admin/select.h"
#include "admin/show.h"

#include <stdio.h>

static void fill(const struct console_client *c, const struct view *v, struct report *const *reports, int n,
	struct rows *rows)
{
	struct show s = { .console = c->console,
		.rows = rows,
		.reports = reports,
		.n_reports = n,
		.now = c->console->host.loop->now };

	rows->columns = v->columns;
	rows->n_columns = v->n_columns;
	v->fill(&s);
}

/* ---- SHOW ---- */

static bool show_step(struct job *j)
{
	if (j->client) {
		fill(j->client, j->client->command->view, j->reports, j->n_reports, &j->client->rows);
		client_done(j->client, "SHOW");
	}
	return true;
}

static void show_fake(struct console_client *c, const struct fake *fake)
{
	struct column column = { fake->name, COLUMN_TEXT };

	c->rows.columns = &column;
	c->rows.n_columns = 1;
	rows_begin(&c->rows);
	rows_text(&c->rows, fake->value);
	rows_end(&c->rows);
	client_done(c, "SHOW");
}

/* As in PgBouncer. */
static bool may_see(const struct console_client *c, const struct view *v)
{
	return c->may_admin || !(v->wants & WANT_FDS);
}

void run_show(struct console_client *c, const struct command *cmd)
{
	if (cmd->is_of_catalogs) {
		client_done(c, "SELECT 0");
	} else if (command_is_select(cmd)) {
		run_select(c, cmd);
	} else if (cmd->fake) {
		show_fake(c, cmd->fake);
	} else if (!may_see(c, cmd->view)) {
		client_fail(c, "08P01", NULL, "admin access needed");
	} else if (cmd->view->wants) {
		job_start(c->console, c, &(struct question){ .wants = cmd->view->wants }, show_step);
	} else {
		fill(c, cmd->view, NULL, 0, &c->rows);
		client_done(c, "SHOW");
	}
}

/* ---- SELECT ---- */

/* The view's rows are made as text, whatever the client wants, and then are looked through. */
static void answer_select(struct console_client *c, const struct select *s, struct report *const *reports, int n)
{
	struct select_session who = { c->database, c->user, c->key.pid };
	struct rows all = { .count = 0 };
	char tag[32];

	if (s->view)
		fill(c, s->view, reports, n, &all);
	c->rows.columns = s->columns;
	c->rows.n_columns = s->n_items;
	select_apply(s, &all, &who, &c->rows);
	writer_free(&all.out);
	snprintf(tag, sizeof(tag), "SELECT %zu", c->rows.count);
	client_done(c, tag);
}

static void parse_again(const struct command *cmd, struct select *s)
{
	struct select_error error;

	if (select_parse(cmd->value, s, &error) != RES_OK)
		ASSERT(!"a query that was good before");
}

static bool select_step(struct job *j)
{
	struct select s;

	if (j->client) {
		parse_again(j->client->command, &s);
		answer_select(j->client, &s, j->reports, j->n_reports);
	}
	return true;
}

void run_select(struct console_client *c, const struct command *cmd)
{
	struct select s;

	parse_again(cmd, &s);
	if (s.view && !may_see(c, s.view))
		client_fail(c, "08P01", NULL, "admin access needed");
	else if (s.view && s.view->wants)
		job_start(c->console, c, &(struct question){ .wants = s.view->wants }, select_step);
	else
		answer_select(c, &s, NULL, 0);
}
