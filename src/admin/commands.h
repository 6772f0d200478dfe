/*
 * commands.h - the console's commands: one table, from which the parser, the rights and SHOW HELP derive.
 *
 * A command is a word and its arguments, as PgBouncer's: no case, names may stand in double quotes and values in single ones,
 * a semicolon may end it. SELECT of a view's name alone is SHOW. One command a query. Comments are skipped.
 *
 * Limits: COMMAND_NAME_MAX bytes for a name, COMMAND_VALUE_MAX for a value; longer ones aren't a command.
 * Source: PgBouncer's usage.md, "Admin console".
 */
#ifndef PGWEIR_COMMANDS_H
#define PGWEIR_COMMANDS_H

#include "base/base.h"

#define COMMAND_NAME_MAX 127
#define COMMAND_VALUE_MAX 1023
#define COMMAND_ERROR_MAX 256

struct console_client;
struct command;
struct view;

enum command_args {
	ARGS_NONE,
	ARGS_ANY,      /* whatever follows says nothing to us */
	ARGS_DATABASE, /* may be missing: then name is "" */
	ARGS_NUMBER,
	ARGS_SHUTDOWN, /* nothing, or what to wait for: name */
	ARGS_VIEW,
	ARGS_SELECT,	 /* a view, or what select.h knows */
	ARGS_ASSIGNMENT, /* name = value, name TO value */
};

struct command_spec {
	const char *word;
	enum command_args args;
	bool is_admin;	   /* only for who may admin */
	const char *usage; /* for SHOW HELP; NULL: not listed */
	const char *tag;   /* CommandComplete; NULL: the word */
	void (*run)(struct console_client *c, const struct command *cmd);
};

struct fake { /* a setting of PostgreSQL that drivers ask for or set at their start */
	const char *name, *value;
};

struct command {
	const struct command_spec *spec; /* NULL: an empty query */
	const struct view *view;	 /* ARGS_VIEW */
	const struct fake *fake;	 /* ARGS_VIEW, ARGS_ASSIGNMENT: the name is one of those */
	char name[COMMAND_NAME_MAX + 1];
	char value[COMMAND_VALUE_MAX + 1]; /* ARGS_SELECT: the whole query, unless there is a view or a fake */
	uint64_t number;
	bool is_of_catalogs; /* ARGS_SELECT: no rows and no columns are the answer; there is no value */
};

extern const struct command_spec command_specs[];
extern const size_t n_command_specs;
extern const struct fake fakes[];
extern const size_t n_fakes;

struct command_error {
	const char *sqlstate; /* 08P01, PgBouncer's for all of them, but for SELECT */
	int position;	      /* in characters, from 1; 0: none */
	char message[COMMAND_ERROR_MAX];
};

/* RES_OK or RES_PROTOCOL; then error is what PgBouncer would say. */
enum result command_parse(const char *text, struct command *out, struct command_error *error);
/* Is it a SELECT of its own, which select_parse() reads? */
bool command_is_select(const struct command *c);
const char *command_tag(const struct command *c);

#endif
