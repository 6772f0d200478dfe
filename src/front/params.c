#include "front/params.h"

#include "wire/duration.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_LEN 63 /* NAMEDATALEN - 1: PostgreSQL cuts application_name there */

struct params {
	const struct config *config;
	struct settings *settings;
	struct startup_error *error;
	enum result result; /* once it isn't RES_OK, nothing more is put in */
};

bool params_is_protocol_option(const char *name)
{
	return strncmp(name, "_pq_.", 5) == 0;
}

static bool is_name_start(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

/* Words between dots, as valid_custom_variable_name() has them; PostgreSQL's own names are of that form, too. */
static bool is_setting_name(const char *name)
{
	bool at_start = true;

	for (; *name; name++) {
		uint8_t c = (uint8_t)*name;

		if (at_start ? !is_name_start(c)
			     : !is_name_start(c) && c != '.' && c != '$' && !(c >= '0' && c <= '9'))
			return false;
		at_start = c == '.';
	}
	return !at_start;
}

static void refuse(struct params *p, enum result result, const char *sqlstate, const char *format, ...)
	PRINTF_LIKE(4, 5);
static void refuse(struct params *p, enum result result, const char *sqlstate, const char *format, ...)
{
	va_list ap;

	p->result = result;
	p->error->sqlstate = sqlstate;
	va_start(ap, format);
	vsnprintf(p->error->message, sizeof(p->error->message), format, ap);
	va_end(ap);
}

/* pg_clean_ascii(), then cut: what a direct connection would show. */
static const char *clean_application_name(const char *value, char out[NAME_MAX_LEN + 1])
{
	size_t n = 0;

	for (; value[n] && n < NAME_MAX_LEN; n++)
		out[n] = value[n] >= ' ' && value[n] <= '~' ? value[n] : '?';
	out[n] = '\0';
	return out;
}

/* Of our own settings there is one that a client may come with: the worker takes it out, see ask.h. */
static bool is_own_good(struct params *p, const char *name, const char *value)
{
	usec_t ignored;

	if (strcasecmp(name, "pgweir.last_wait") == 0 || strcasecmp(name, "pgweir.server") == 0)
		refuse(p, RES_REFUSED, "55P02", "parameter \"%s\" cannot be changed", name);
	else if (strcasecmp(name, "pgweir.query_wait") == 0 && !duration_parse(value, &ignored))
		refuse(p, RES_REFUSED, "22023",
			"invalid value for parameter \"pgweir.query_wait\": \"%.63s\"", value);
	return p->result == RES_OK;
}

static bool is_ignored(const struct config *c, const char *name)
{
	return c->ignore_startup_parameters && config_list_has(c->ignore_startup_parameters, name);
}

static void put(struct params *p, const char *name, const char *value)
{
	char clean[NAME_MAX_LEN + 1];

	if (p->result != RES_OK || !value || is_ignored(p->config, name))
		return;
	if (!is_setting_name(name)) {
		refuse(p, RES_REFUSED, "42704", "unrecognized configuration parameter \"%.63s\"", name);
		return;
	}
	if (strncasecmp(name, "pgweir.", 7) == 0 && !is_own_good(p, name, value))
		return;
	if (strcasecmp(name, "application_name") == 0)
		value = clean_application_name(value, clean);
	if (settings_put(&p->settings, name, value) != RES_OK)
		refuse(p, RES_LIMIT, "54000", "too many startup parameters");
}

static void put_option(void *ctx, const char *name, const char *value)
{
	put(ctx, name, value);
}

static void put_options(struct params *p, const char *options)
{
	enum result r;
	char *buf = NULL;

	if (!options || is_ignored(p->config, "options"))
		return;
	r = options_parse(options, &buf, put_option, p, p->error);
	free(buf);
	if (r != RES_OK && p->result == RES_OK)
		p->result = RES_REFUSED;
}

static void put_database_defaults(struct params *p, const struct config_database *db)
{
	if (!db)
		return;
	put(p, "application_name", db->application_name);
	put(p, "client_encoding", db->client_encoding);
	put(p, "DateStyle", db->datestyle);
	put(p, "TimeZone", db->timezone);
}

/* As PgBouncer does: "app" stands for a client that gave no name. */
static void add_host(struct params *p, const char *addr)
{
	const char *name = settings_get(p->settings, "application_name");
	char *both = xasprintf("%s - %s", name && *name ? name : "app", addr);

	put(p, "application_name", both);
	free(both);
}

enum result params_to_settings(const struct startup *st, const struct config *config,
	const struct config_database *db, const char *addr, struct settings **out, struct startup_error *error)
{
	struct params p = { .config = config, .error = error };

	put_database_defaults(&p, db);
	put_options(&p, st->options);
	put(&p, "application_name", st->application_name);
	for (size_t i = 0; i < st->n_params; i++) {
		if (!params_is_protocol_option(st->params[i].name))
			put(&p, st->params[i].name, st->params[i].value);
	}
	if (config->application_name_add_host)
		add_host(&p, addr);
	if (p.result != RES_OK)
		settings_unref(&p.settings);
	*out = p.settings;
	return p.result;
}

static bool is_one_of(const char *value, const char *const words[4])
{
	for (int i = 0; i < 4; i++) {
		if (strcasecmp(value, words[i]) == 0)
			return true;
	}
	return false;
}

enum result params_replication(const char *value, enum replication *out, struct startup_error *error)
{
	static const char *const off[] = { "false", "off", "no", "0" };
	static const char *const on[] = { "true", "on", "yes", "1" };

	*out = REPLICATION_NONE;
	if (!value || is_one_of(value, off))
		return RES_OK;
	if (strcmp(value, "database") == 0) {
		*out = REPLICATION_LOGICAL;
	} else if (is_one_of(value, on)) {
		*out = REPLICATION_PHYSICAL;
	} else {
		error->sqlstate = "22023";
		snprintf(error->message, sizeof(error->message),
			"invalid value for parameter \"replication\": \"%.63s\"", value);
		return RES_REFUSED;
	}
	return RES_OK;
}
