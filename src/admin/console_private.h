/*
 * console_private.h - what the console's files share. See console.h for who does what.
 */
#ifndef PGWEIR_CONSOLE_PRIVATE_H
#define PGWEIR_CONSOLE_PRIVATE_H

#include "admin/commands.h"
#include "admin/console.h"
#include "admin/report.h"
#include "admin/rows.h"
#include "admin/stats.h"
#include "net/stream.h"

enum console_state {
	CONSOLE_READY,	  /* its next message is welcome */
	CONSOLE_SKIPPING, /* an extended batch has failed: everything up to the Sync is ignored */
	CONSOLE_BUSY,	  /* a command is at work for it; it isn't read meanwhile */
	CONSOLE_CLOSING,  /* reading on for a moment so that its last message arrives, then freed */
	CONSOLE_STATES,
};

#define CONSOLE_MESSAGE_MAX 262144
#define CONSOLE_STATEMENTS_MAX 100 /* and portals */

struct console_statement {
	struct list_node node;
	char *name;
	struct command command;
};

struct console_portal {
	struct list_node node;
	char *name;
	struct command command;
	uint64_t binary; /* columns that were asked for in binary */
	bool is_run;
	struct writer rows; /* messages; sent up to pos */
	size_t pos;
	char *tag;
};

struct job;

struct console_client {
	struct stream stream;
	struct doomed doomed;
	struct list_node node;
	struct console *console;
	enum console_state state;
	uint64_t id;
	struct cancel_key key;
	char *database, *user, *application_name;
	struct address peer;
	bool may_admin;
	struct list statements, portals;
	struct command *command;       /* the one in hand */
	struct command simple;	       /* command, of a simple query */
	struct console_portal *portal; /* the one in hand; NULL: a simple query */
	uint32_t max_rows;	       /* .. and how many rows its Execute wants; 0: all */
	struct rows rows;	       /* the answer that is being made */
	struct job *job;	       /* what it waits for */
	usec_t connected_at, request_at, linger_until;
};

/*
 * A question to all workers, for a client or for the console itself. step() is called when all have answered, and again at every
 * poll until it says that the job is over.
 */
struct job {
	struct list_node node;
	struct console *console;
	uint64_t id;
	struct console_client *client; /* NULL: it has left, or there was none */
	struct question question;
	char *database;		     /* the question's; NULL: all */
	bool (*step)(struct job *j); /* true: it's over, and its client, if it is still there, has its answer */
	int due;		     /* workers that haven't answered yet */
	struct report **reports;     /* n_workers - due of them */
	int n_reports;
};

struct console {
	struct console_host host;
	struct list clients, lingering, jobs;
	uint64_t next_job;
	uint32_t next_number;
	struct event poll_event;
	struct paused paused; /* what workers have been told */
	bool is_suspended;    /* .. too */
	struct stats stats;
	struct counters counters; /* of the console's own database */
};

/* console.c */
void client_send(struct console_client *c, const struct writer *w);
void client_fatal_error(struct console_client *c, const char *sqlstate, const char *message);
void client_leave(struct console_client *c, const char *reason); /* without a word */
void console_set_state(struct console_client *c, enum console_state next);
struct console_client *console_find_client(struct console *c, uint64_t id);
void console_describe(const struct console_client *c, struct log_who *who, char addr[ADDRESS_TEXT_MAX]);
const struct config *console_config(const struct console *c);

/* protocol.c: the answer to the command in hand; each command gives exactly one */
size_t console_data(struct stream *st, const uint8_t *bytes, size_t len);
void client_done(struct console_client *c, const char *tag); /* c->rows are its rows */
void client_fail(struct console_client *c, const char *sqlstate, const char *detail, const char *format, ...)
	PRINTF_LIKE(4, 5);
void client_forget(struct console_client *c); /* statements, portals, rows */

/* job.c */
struct job *job_start(struct console *c, struct console_client *client, const struct question *q,
	bool (*step)(struct job *j));
void job_ask(struct job *j);	/* the same question again */
void job_forget(struct job *j); /* the answers */
void job_end(struct job **j);
void console_poll_soon(struct console *c);
void console_poll(struct console *c); /* one step for every job that waits */

/* run_show.c */
void run_show(struct console_client *c, const struct command *cmd);
void run_select(struct console_client *c, const struct command *cmd);

/* actions.c */
void run_set(struct console_client *c, const struct command *cmd);
void run_reload(struct console_client *c, const struct command *cmd);
void run_pause(struct console_client *c, const struct command *cmd);
void run_resume(struct console_client *c, const struct command *cmd);
void run_suspend(struct console_client *c, const struct command *cmd);
void run_disable(struct console_client *c, const struct command *cmd);
void run_enable(struct console_client *c, const struct command *cmd);
void run_reconnect(struct console_client *c, const struct command *cmd);
void run_kill(struct console_client *c, const struct command *cmd);
void run_kill_client(struct console_client *c, const struct command *cmd);
void run_wait_close(struct console_client *c, const struct command *cmd);
void run_shutdown(struct console_client *c, const struct command *cmd);
void run_nothing(struct console_client *c, const struct command *cmd);
void job_cancel(struct job *j); /* its client has changed its mind */

/* stats.c: at the end of each stats_period */
void stats_tick(struct console *c, usec_t now);

#endif
