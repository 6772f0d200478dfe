#include "admin/commands.h"

#include "admin/console_private.h"
#include "admin/select.h"
#include "admin/show.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const struct command_spec command_specs[] = {
	{ "SHOW", ARGS_VIEW, false, NULL, NULL, run_show }, /* SHOW HELP makes its line from the views */
	{ "SELECT", ARGS_SELECT, false, "SELECT ... FROM <view> [WHERE ...] [ORDER BY ...] [LIMIT n]", "SHOW",
		run_show },
	{ "SET", ARGS_ASSIGNMENT, false, "SET key = arg", NULL, run_set }, /* real settings: only for admins, see there */
	{ "RELOAD", ARGS_NONE, true, "RELOAD", NULL, run_reload },
	{ "PAUSE", ARGS_DATABASE, true, "PAUSE [<db>]", NULL, run_pause },
	{ "RESUME", ARGS_DATABASE, true, "RESUME [<db>]", NULL, run_resume },
	{ "SUSPEND", ARGS_NONE, true, "SUSPEND", NULL, run_suspend },
	{ "DISABLE", ARGS_DATABASE, true, "DISABLE <db>", NULL, run_disable },
	{ "ENABLE", ARGS_DATABASE, true, "ENABLE <db>", NULL, run_enable },
	{ "RECONNECT", ARGS_DATABASE, true, "RECONNECT [<db>]", NULL, run_reconnect },
	{ "KILL", ARGS_DATABASE, true, "KILL [<db>]", NULL, run_kill },
	{ "KILL_CLIENT", ARGS_NUMBER, true, "KILL_CLIENT <client_id>", NULL, run_kill_client },
	{ "WAIT_CLOSE", ARGS_DATABASE, true, "WAIT_CLOSE [<db>]", NULL, run_wait_close },
	{ "SHUTDOWN", ARGS_SHUTDOWN, true, "SHUTDOWN [WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS]", NULL, run_shutdown },
	/* What drivers and their pools say around a query; there is no transaction, no state, so each is done at once. */
	{ "BEGIN", ARGS_ANY, false, NULL, NULL, run_nothing },
	{ "START", ARGS_ANY, false, NULL, "START TRANSACTION", run_nothing },
	{ "COMMIT", ARGS_ANY, false, NULL, NULL, run_nothing },
	{ "END", ARGS_ANY, false, NULL, "COMMIT", run_nothing },
	{ "ROLLBACK", ARGS_ANY, false, NULL, NULL, run_nothing },
	{ "ABORT", ARGS_ANY, false, NULL, "ROLLBACK", run_nothing },
	{ "DISCARD", ARGS_ANY, false, NULL, "DISCARD ALL", run_nothing },
	{ "RESET", ARGS_ANY, false, NULL, NULL, run_nothing },
};
const size_t n_command_specs = N_ELEMENTS(command_specs);

const struct fake fakes[] = {
	/* PgBouncer's five, and what else drivers set without being asked */
	{ "client_encoding", "UTF8" },
	{ "default_transaction_isolation", "read committed" },
	{ "standard_conforming_strings", "on" },
	{ "datestyle", "ISO" },
	{ "timezone", "GMT" },
	{ "extra_float_digits", "1" },
	{ "application_name", "" },
	{ "intervalstyle", "postgres" },
	{ "bytea_output", "hex" },
	{ "statement_timeout", "0" },
	{ "client_min_messages", "notice" },
};
const size_t n_fakes = N_ELEMENTS(fakes);

/* ---- the lexer ---- */

enum token_type {
	TOKEN_END,
	TOKEN_WORD,
	TOKEN_QUOTED /* "" */,
	TOKEN_STRING /* '' */,
	TOKEN_EQUALS,
	TOKEN_SEMICOLON,
	TOKEN_BAD
};

struct token {
	enum token_type type;
	char text[COMMAND_VALUE_MAX + 1];
};

static const char *skip_block_comment(const char *p)
{
	int depth = 0;

	do {
		if (p[0] == '/' && p[1] == '*')
			depth++, p += 2;
		else if (p[0] == '*' && p[1] == '/')
			depth--, p += 2;
		else if (*p)
			p++;
	} while (depth && *p);
	return depth ? NULL : p;
}

/* NULL: a comment that doesn't end. */
static const char *skip_blanks(const char *p)
{
	while (p && *p) {
		if (isspace((unsigned char)*p))
			p++;
		else if (p[0] == '-' && p[1] == '-')
			p += strcspn(p, "\n");
		else if (p[0] == '/' && p[1] == '*')
			p = skip_block_comment(p);
		else
			break;
	}
	return p;
}

static bool put(struct token *t, size_t *len, char c)
{
	if (*len >= sizeof(t->text) - 1)
		return false;
	t->text[(*len)++] = c;
	t->text[*len] = '\0';
	return true;
}

/* Behind the opening quote; a doubled one stands for itself. */
static const char *take_quoted(const char *p, char quote, struct token *t)
{
	size_t len = 0;

	t->type = quote == '"' ? TOKEN_QUOTED : TOKEN_STRING;
	for (; *p; p++) {
		if (*p == quote && *++p != quote)
			return p;
		if (!put(t, &len, *p))
			break;
	}
	t->type = TOKEN_BAD;
	return p;
}

static const char *take_word(const char *p, struct token *t)
{
	size_t len = strcspn(p, " \t\r\n\v\f;='\"");

	if (len >= sizeof(t->text)) {
		t->type = TOKEN_BAD;
		return p;
	}
	t->type = TOKEN_WORD;
	memcpy(t->text, p, len);
	t->text[len] = '\0';
	return p + len;
}

static const char *next_token(const char *p, struct token *t)
{
	t->text[0] = '\0';
	p = skip_blanks(p);
	if (!p) {
		t->type = TOKEN_BAD;
		return "";
	}
	switch (*p) {
	case '\0': t->type = TOKEN_END; return p;
	case '=': t->type = TOKEN_EQUALS; return p + 1;
	case ';': t->type = TOKEN_SEMICOLON; return p + 1;
	case '"':
	case '\'': return take_quoted(p + 1, *p, t);
	default: return take_word(p, t);
	}
}

/* ---- the parser ---- */

static const struct command_spec *spec_find(const char *word)
{
	for (size_t i = 0; i < n_command_specs; i++) {
		if (strcasecmp(word, command_specs[i].word) == 0)
			return &command_specs[i];
	}
	return NULL;
}

static const struct fake *fake_find(const char *name)
{
	for (size_t i = 0; i < n_fakes; i++) {
		if (strcasecmp(name, fakes[i].name) == 0)
			return &fakes[i];
	}
	return NULL;
}

/* Nothing but semicolons up to the end. */
static bool is_end(const char *p, struct token *t)
{
	do
		p = next_token(p, t);
	while (t->type == TOKEN_SEMICOLON);
	return t->type == TOKEN_END;
}

static bool skip_to_end(const char *p, struct token *t)
{
	do
		p = next_token(p, t);
	while (t->type != TOKEN_SEMICOLON && t->type != TOKEN_END && t->type != TOKEN_BAD);
	return t->type == TOKEN_END || (t->type == TOKEN_SEMICOLON && is_end(p, t));
}

static bool take_name(const struct token *t, struct command *out)
{
	size_t len = strlen(t->text);

	if ((t->type != TOKEN_WORD && t->type != TOKEN_QUOTED) || !len || len > COMMAND_NAME_MAX)
		return false;
	memcpy(out->name, t->text, len + 1);
	return true;
}

/* A name that may be missing. */
static bool take_database(const char *p, struct token *t, struct command *out)
{
	const char *behind = next_token(p, t);

	if (t->type == TOKEN_END || t->type == TOKEN_SEMICOLON)
		return is_end(p, t);
	return take_name(t, out) && is_end(behind, t);
}

static bool take_number(const char *p, struct token *t, struct command *out)
{
	char *end;

	p = next_token(p, t);
	if (t->type != TOKEN_WORD || !isdigit((unsigned char)t->text[0]) || strlen(t->text) > 18)
		return false;
	out->number = strtoull(t->text, &end, t->text[1] == 'x' ? 16 : 10);
	return *end == '\0' && is_end(p, t);
}

static bool take_shutdown(const char *p, struct token *t, struct command *out)
{
	return take_database(p, t, out) &&
		(!*out->name || strcasecmp(out->name, "WAIT_FOR_SERVERS") == 0 ||
			strcasecmp(out->name, "WAIT_FOR_CLIENTS") == 0);
}

static bool take_view(const char *p, struct token *t, struct command *out)
{
	p = next_token(p, t);
	if (!take_name(t, out))
		return false;
	out->view = view_find(out->name);
	out->fake = fake_find(out->name);
	return (out->view || out->fake) && is_end(p, t);
}

/* Fakes may have more than one value (datestyle = ISO, MDY); it isn't looked at. */
static bool take_assignment(const char *p, struct token *t, struct command *out)
{
	p = next_token(p, t);
	if (!take_name(t, out))
		return false;
	p = next_token(p, t);
	if (t->type != TOKEN_EQUALS && !(t->type == TOKEN_WORD && strcasecmp(t->text, "TO") == 0))
		return false;
	p = next_token(p, t);
	if (t->type != TOKEN_WORD && t->type != TOKEN_QUOTED && t->type != TOKEN_STRING)
		return false;
	snprintf(out->value, sizeof(out->value), "%s", t->text); /* both have the same size */
	out->fake = fake_find(out->name);
	return out->fake ? skip_to_end(p, t) : is_end(p, t);
}

static bool take_args(const char *p, struct token *t, struct command *out)
{
	switch (out->spec->args) {
	case ARGS_NONE: return is_end(p, t);
	case ARGS_ANY: return skip_to_end(p, t);
	case ARGS_DATABASE: return take_database(p, t, out);
	case ARGS_NUMBER: return take_number(p, t, out);
	case ARGS_SHUTDOWN: return take_shutdown(p, t, out);
	case ARGS_VIEW:
	case ARGS_SELECT: return take_view(p, t, out);
	case ARGS_ASSIGNMENT: return take_assignment(p, t, out);
	}
	return false;
}

/* The text, cut between characters where it is long. */
static void say_invalid(const char *text, struct command_error *error)
{
	int n = (int)MIN(strlen(text), 200u);

	while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	snprintf(error->message, sizeof(error->message), "invalid command '%.*s', use SHOW HELP;", n, text);
}

/* The query is kept as it is, and read again by who needs it. */
static bool take_select(const char *text, struct command *out, struct command_error *error)
{
	struct select_error e;
	struct select s;

	out->view = NULL;
	out->fake = NULL;
	out->name[0] = '\0';
	if (select_parse(text, &s, &e) == RES_OK) {
		snprintf(out->value, sizeof(out->value), "%s", text); /* SELECT_TEXT_MAX is its size */
		return true;
	}
	if (select_is_of_catalogs(text)) {
		out->is_of_catalogs = true;
		return true;
	}
	error->sqlstate = e.sqlstate;
	error->position = e.position;
	snprintf(error->message, sizeof(error->message), "%s", e.message);
	return false;
}

bool command_is_select(const struct command *c)
{
	return c->spec && c->spec->args == ARGS_SELECT && !c->view && !c->fake && !c->is_of_catalogs;
}

enum result command_parse(const char *text, struct command *out, struct command_error *error)
{
	struct token t;
	const char *p;

	_Static_assert(SELECT_TEXT_MAX <= COMMAND_VALUE_MAX, "it is kept there");
	memset(out, 0, sizeof(*out));
	*error = (struct command_error){ .sqlstate = "08P01" };
	if (is_end(text, &t))
		return RES_OK;
	p = next_token(text, &t);
	if (t.type == TOKEN_WORD)
		out->spec = spec_find(t.text);
	if (out->spec && take_args(p, &t, out))
		return RES_OK;
	if (out->spec && out->spec->args == ARGS_SELECT) {
		if (take_select(text, out, error))
			return RES_OK;
	} else {
		say_invalid(text, error);
	}
	memset(out, 0, sizeof(*out));
	return RES_PROTOCOL;
}

const char *command_tag(const struct command *c)
{
	return c->spec->tag ? c->spec->tag : c->spec->word;
}
