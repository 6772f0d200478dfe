#include "admin/console_private.h"
#include "base/events.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ADMIN_ERROR "08P01" /* PgBouncer's for all of them */

static const char *database_arg(const struct command *cmd)
{
	return *cmd->name ? cmd->name : NULL;
}

static void log_issued(const struct console_client *c, const struct command *cmd)
{
	char addr[ADDRESS_TEXT_MAX];
	struct log_who who;

	console_describe(c, &who, addr);
	if (*cmd->name)
		log_info(&who, "%s '%s' command issued", cmd->spec->word, cmd->name);
	else
		log_info(&who, "%s command issued", cmd->spec->word);
	address_host(&c->peer, addr); /* without the port, so that the same again is counted as such */
	events_add(EVENT_COMMAND, "%s%s%s by %s from %s", cmd->spec->word, *cmd->name ? " " : "", cmd->name,
		c->user, addr);
}

static bool is_console(const char *database)
{
	return strcmp(database, "pgbouncer") == 0 || strcmp(database, "pgweir") == 0;
}

/* The database that a command is for, if it names one: false, and the client has been told, if there's none. */
static bool check_database(struct console_client *c, const struct command *cmd, const char *verb)
{
	if (!*cmd->name)
		return true;
	if (is_console(cmd->name))
		client_fail(c, ADMIN_ERROR, NULL, "cannot %s admin db: %s", verb, cmd->name);
	else if (!config_database(console_config(c->console), cmd->name))
		client_fail(c, ADMIN_ERROR, NULL, "no such database: %s", cmd->name);
	else
		return true;
	return false;
}

/* Its client may have left while the workers were at it. */
static bool done(struct job *j, const char *tag)
{
	if (j->client)
		client_done(j->client, tag);
	return true;
}

static bool done_step(struct job *j)
{
	return done(j, j->client ? command_tag(j->client->command) : "");
}

static void ask_workers(
	struct console_client *c, const struct command *cmd, enum control control, bool (*step)(struct job *))
{
	struct question q = { .control = control,
		.database = database_arg(cmd),
		.client = cmd->number,
		.at = c->console->host.loop->now };

	log_issued(c, cmd);
	job_start(c->console, c, &q, step);
}

/* ---- configuration ---- */

void run_set(struct console_client *c, const struct command *cmd)
{
	const struct console_host *h = &c->console->host;
	char why[1024] = "", tag[COMMAND_NAME_MAX + COMMAND_VALUE_MAX + 8];

	if (cmd->fake) {
		client_done(c, "SET");
	} else if (!c->may_admin) {
		client_fail(c, ADMIN_ERROR, NULL, "admin access needed");
	} else if (!h->set(h->ctx, cmd->name, cmd->value, why, sizeof(why))) {
		client_fail(c, ADMIN_ERROR, why, "SET failed");
	} else {
		snprintf(tag, sizeof(tag), "SET %s=%s", cmd->name, cmd->value);
		client_done(c, tag);
	}
}

void run_reload(struct console_client *c, const struct command *cmd)
{
	const struct console_host *h = &c->console->host;
	char why[1024] = "";

	log_issued(c, cmd);
	if (h->reload(h->ctx, why, sizeof(why))) {
		client_done(c, "RELOAD");
		return;
	}
	log_error(NULL, "reload failed, the old configuration stays: %s", why);
	client_fail(c, "F0000", why, "RELOAD failed, see logs for additional details");
}

/* ---- what is paused ---- */

static bool is_paused(const struct console *c, const char *database)
{
	return database ? paused_names(&c->paused, database) : c->paused.all;
}

/* Also servers on their way between workers are none any more. Replication has no end, and isn't in the pools. */
static bool is_drained(struct console *c, const char *database)
{
	return registry_pooled_servers(c->host.registry, database) == 0;
}

/* All workers know of the pause when this is first called, so no server can be opened after the count. */
static bool pause_step(struct job *j)
{
	if (!is_paused(j->console, j->database)) {
		if (j->client)
			client_fail(j->client, "57014", NULL, "PAUSE was ended by RESUME");
		return true;
	}
	return is_drained(j->console, j->database) && done(j, "PAUSE");
}

static void resume(
	struct console *c, struct console_client *client, const char *database, bool (*step)(struct job *))
{
	paused_set(&c->paused, database, false);
	job_start(c, client, &(struct question){ .control = CONTROL_RESUME, .database = database }, step);
}

/* ---- SUSPEND ---- */

static void unsuspend(struct console *c, struct console_client *client)
{
	c->is_suspended = false;
	job_start(c, client, &(struct question){ .control = CONTROL_UNSUSPEND }, done_step);
}

static unsigned sum_done(const struct job *j)
{
	unsigned n = 0;

	for (int i = 0; i < j->n_reports; i++)
		n += j->reports[i]->n_done;
	return n;
}

/* Asks again and again, until all is sent or the time is over. */
static bool suspend_step(struct job *j)
{
	const struct console *c = j->console;

	if (!c->is_suspended) {
		if (j->client)
			client_fail(j->client, "57014", NULL, "SUSPEND was ended by RESUME");
		return true;
	}
	if (j->n_reports && (!sum_done(j) || j->question.control == CONTROL_SUSPEND_ENDS))
		return done(j, "SUSPEND");
	if (c->host.loop->now >= j->question.at)
		j->question.control = CONTROL_SUSPEND_ENDS;
	if (j->n_reports)
		job_forget(j); /* the next answers are of the next poll */
	else
		job_ask(j);
	return false;
}

void run_suspend(struct console_client *c, const struct command *cmd)
{
	struct console *console = c->console;
	struct question q = { .control = CONTROL_SUSPEND,
		.at = console->host.loop->now + console_config(console)->suspend_timeout };

	if (console->is_suspended || console->paused.all) {
		client_fail(c, ADMIN_ERROR, NULL, "already suspended/paused");
	} else if (console->paused.n) {
		client_fail(c, ADMIN_ERROR, NULL, "cannot suspend with paused databases");
	} else {
		log_issued(c, cmd);
		console->is_suspended = true;
		job_start(console, c, &q, suspend_step);
	}
}

/* ---- PAUSE and RESUME ---- */

void run_pause(struct console_client *c, const struct command *cmd)
{
	if (!check_database(c, cmd, "pause"))
		return;
	if (!*cmd->name && (c->console->paused.all || c->console->is_suspended)) {
		client_fail(c, ADMIN_ERROR, NULL, "already suspended/paused");
		return;
	}
	paused_set(&c->console->paused, database_arg(cmd), true);
	ask_workers(c, cmd, CONTROL_PAUSE, pause_step);
}

void run_resume(struct console_client *c, const struct command *cmd)
{
	if (*cmd->name && is_console(cmd->name)) {
		client_fail(c, ADMIN_ERROR, NULL, "cannot resume admin db: %s", cmd->name);
	} else if (*cmd->name && !paused_names(&c->console->paused, cmd->name)) {
		if (check_database(c, cmd, "resume")) /* a reload may have removed one that is paused */
			client_fail(c, ADMIN_ERROR, NULL, "database %s is not paused", cmd->name);
	} else if (!*cmd->name && c->console->is_suspended) {
		log_issued(c, cmd);
		unsuspend(c->console, c);
	} else if (!*cmd->name && !c->console->paused.all) {
		client_fail(c, ADMIN_ERROR, NULL, "pooler is not paused/suspended");
	} else {
		log_issued(c, cmd);
		resume(c->console, c, database_arg(cmd), done_step);
	}
}

void console_pause(struct console *c, const char *database)
{
	if (is_paused(c, database)) {
		log_info(NULL, "PAUSE: already paused");
		return;
	}
	log_info(NULL, "PAUSE");
	events_add(EVENT_COMMAND, "PAUSE by signal");
	paused_set(&c->paused, database, true);
	job_start(c, NULL, &(struct question){ .control = CONTROL_PAUSE, .database = database }, done_step);
}

void console_resume(struct console *c, const char *database)
{
	if (!is_paused(c, database)) {
		log_info(NULL, "RESUME: not paused");
		return;
	}
	log_info(NULL, "RESUME");
	events_add(EVENT_COMMAND, "RESUME by signal");
	resume(c, NULL, database, done_step);
}

/* Who cancels a PAUSE or SUSPEND doesn't want its half of a pause, as in PgBouncer. Of anything else only the waiting ends. */
void job_cancel(struct job *j)
{
	struct console_client *client = j->client;

	j->client = NULL; /* the job ends by itself */
	client->job = NULL;
	if (j->step == pause_step && is_paused(j->console, j->database))
		resume(j->console, NULL, j->database, done_step);
	else if (j->step == suspend_step && j->console->is_suspended)
		unsuspend(j->console, NULL);
	client_fail(client, "57014", NULL, "canceling statement due to user request");
}

/* ---- DISABLE and ENABLE ---- */

static void set_disabled(struct console_client *c, const struct command *cmd, const char *verb, bool is_disabled)
{
	const struct console_host *h = &c->console->host;

	if (!*cmd->name)
		client_fail(c, ADMIN_ERROR, NULL, "a database is required");
	else if (check_database(c, cmd, verb)) {
		log_issued(c, cmd);
		h->disable(h->ctx, cmd->name, is_disabled);
		client_done(c, command_tag(cmd));
	}
}

void run_disable(struct console_client *c, const struct command *cmd)
{
	set_disabled(c, cmd, "disable", true);
}

void run_enable(struct console_client *c, const struct command *cmd)
{
	set_disabled(c, cmd, "enable", false);
}

/* ---- the others ---- */

void run_kill(struct console_client *c, const struct command *cmd)
{
	if (!check_database(c, cmd, "kill"))
		return;
	paused_set(&c->console->paused, database_arg(cmd), true); /* until RESUME */
	ask_workers(c, cmd, CONTROL_KILL, done_step);
}

static bool kill_client_step(struct job *j)
{
	if (sum_done(j))
		return done(j, "KILL_CLIENT");
	if (j->client)
		client_fail(j->client, ADMIN_ERROR, NULL, "client not found");
	return true;
}

void run_kill_client(struct console_client *c, const struct command *cmd)
{
	struct console_client *target = console_find_client(c->console, cmd->number);

	if (!target) {
		ask_workers(c, cmd, CONTROL_KILL_CLIENT, kill_client_step);
		return;
	}
	log_issued(c, cmd);
	if (target != c)
		client_done(c, "KILL_CLIENT");
	client_fatal_error(target, "57P01", "terminating connection due to administrator command");
}

void run_reconnect(struct console_client *c, const struct command *cmd)
{
	if (check_database(c, cmd, "reconnect"))
		ask_workers(c, cmd, CONTROL_RECONNECT, done_step);
}

/* Asks again and again until nobody has a server that is to be closed. */
static bool wait_close_step(struct job *j)
{
	unsigned n = 0;

	if (!j->client)
		return true;
	for (int i = 0; i < j->n_reports; i++) {
		const struct report *r = j->reports[i];

		for (size_t k = 0; k < r->n_pools; k++) {
			if (!j->database || strcmp(j->database, report_text(r, r->pools[k].database)) == 0)
				n += r->pools[k].close_needed;
		}
	}
	if (!n && j->n_reports)
		return done(j, "WAIT_CLOSE");
	if (j->n_reports) /* answers of now: next time new ones are asked for */
		job_forget(j);
	else
		job_ask(j);
	return false;
}

void run_wait_close(struct console_client *c, const struct command *cmd)
{
	struct question q = { .wants = WANT_POOLS, .database = database_arg(cmd) };

	if (check_database(c, cmd, "wait in"))
		job_start(c->console, c, &q, wait_close_step);
}

void run_shutdown(struct console_client *c, const struct command *cmd)
{
	const struct console_host *h = &c->console->host;
	enum shutdown_mode mode = SHUTDOWN_NOW;

	if (*cmd->name)
		mode = strcasecmp(cmd->name, "WAIT_FOR_SERVERS") == 0 ? SHUTDOWN_WAIT_FOR_SERVERS
								      : SHUTDOWN_WAIT_FOR_CLIENTS;
	if (mode != SHUTDOWN_NOW && h->is_shutting_down(h->ctx)) {
		client_fail(c, ADMIN_ERROR, NULL, "pooler is shutting down");
		return;
	}
	log_issued(c, cmd);
	client_done(c, "SHUTDOWN");
	h->shutdown(h->ctx, mode);
}

void run_nothing(struct console_client *c, const struct command *cmd)
{
	client_done(c, command_tag(cmd));
}
