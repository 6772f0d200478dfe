/*
 * What a file can make of the configuration: either an error that names the file, or a snapshot of which SHOW CONFIG, written
 * as a file again, loads as an equal one, and every setting may be SET to the value that it has.
 */
#include "config/config.h"
#include "config/host_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void show_line(void *ctx, const char *key, const char *value, const char *default_value, bool changeable)
{
	(void)default_value, (void)changeable;
	if (value)
		fprintf(ctx, "%s = %s\n", key, value);
}

/* The settings as a file would have them. */
static char *shown(const struct config *c)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ASSERT(f);
	fprintf(f, "[%s]\n", c->is_pgbouncer ? "pgbouncer" : "pgweir");
	config_show(c, show_line, f);
	fclose(f);
	return text;
}

static void check_same(const struct config *c, const char *want)
{
	char *text = shown(c);

	ASSERT(strcmp(text, want) == 0);
	free(text);
}

struct set_ctx {
	const struct config *c;
	const char *want;
};

static void set_line(void *ctx, const char *key, const char *value, const char *default_value, bool changeable)
{
	struct set_ctx *s = ctx;
	struct config_error error;
	struct config *with;

	(void)default_value;
	if (!value)
		return;
	with = config_with(s->c, key, value, &error);
	ASSERT((with != NULL) == changeable);
	if (with)
		check_same(with, s->want);
	config_unref(&with);
}

/* As many as the file lists, each with a port; and a list that is put together from them means the same. */
static void check_hosts(const struct config_database *db)
{
	char names[HOSTS_MAX * (HOST_NAME_MAX_BYTES + 1) + 1], ports[HOSTS_MAX * 6 + 1], why[400];
	struct config_host *again;
	size_t n, n_names = 0, n_ports = 0;

	ASSERT(db->n_hosts >= 1 && db->n_hosts <= HOSTS_MAX);
	for (size_t i = 0; i < db->n_hosts; i++) {
		const struct config_host *h = &db->hosts[i];

		ASSERT(h->port > 0 && h->port < 65536 && (*h->name || db->n_hosts == 1));
		ASSERT(strlen(h->name) <= HOST_NAME_MAX_BYTES && !strchr(h->name, ','));
		n_names += (size_t)snprintf(
			names + n_names, sizeof(names) - n_names, "%s%s", i ? "," : "", h->name);
		n_ports += (size_t)snprintf(
			ports + n_ports, sizeof(ports) - n_ports, "%s%d", i ? "," : "", h->port);
	}
	ASSERT(host_list_parse(names, ports, &again, &n, why, sizeof(why)) && n == db->n_hosts);
	for (size_t i = 0; i < n; i++)
		ASSERT(strcmp(again[i].name, db->hosts[i].name) == 0 && again[i].port == db->hosts[i].port);
	host_list_free(&again, &n);
}

static void check_lookups(const struct config *c)
{
	size_t n = 0;

	for (const struct config_database *db = c->databases; db; db = db->next, n++) {
		ASSERT(config_database(c, db->name) == db);
		ASSERT(config_pool_size(c, db, NULL) >= 1 &&
			config_min_pool_size(c, db) <= config_pool_size(c, db, NULL));
		ASSERT(config_pool_mode(c, db, NULL) != POOL_MODE_UNSET);
		check_hosts(db);
	}
	ASSERT(n == c->databases_by_name_.count);
	n = 0;
	for (const struct config_user *user = c->users; user; user = user->next, n++)
		ASSERT(config_user(c, user->name) == user);
	ASSERT(n == c->users_by_name_.count);
}

static void check_uri(const uint8_t *data, size_t size)
{
	struct config_error error = { "" };
	char *uri = xstrndup((const char *)data, size);
	struct config *c = config_from_uri(uri, &error);

	ASSERT(c ? config_uri_user(c) != NULL : error.text[0] != '\0');
	config_unref(&c);
	free(uri);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_error error = { "" };
	struct config *c, *again;
	char *text;

	if (size >= 11 && memcmp(data, "postgres", 8) == 0)
		check_uri(data, size);
	if (memmem(data, size, "%include", 8))
		return 0; /* the result would depend on the machine's files */
	c = config_load_text("f.ini", (const char *)data, size, &error);
	if (!c) {
		ASSERT(strncmp(error.text, "f.ini:", 6) == 0);
		return 0;
	}
	check_lookups(c);
	text = shown(c);
	again = config_load_text("f.ini", text, strlen(text), &error);
	ASSERT(again);
	check_same(again, text);
	config_show(c, set_line, &(struct set_ctx){ c, text });
	free(text);
	config_unref(&again);
	config_unref(&c);
	return 0;
}
