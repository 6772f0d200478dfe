/* rig.h - a configuration and users for tests of logins, out of text. */
#ifndef PGWEIR_RIG_H
#define PGWEIR_RIG_H

#include "auth/snapshot.h"
#include "certificates.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Has [databases] app, forced, defaults, and more; users: see the strings. settings are lines for [pgbouncer]. */
static inline struct snapshot *rig_snapshot(const char *settings, const char *users)
{
	char path[] = "/tmp/pgweir-test-XXXXXX", error[256] = "";
	struct config_error config_error = { 0 };
	struct config *config;
	struct auth_rules *rules;
	struct snapshot *s;
	struct userlist *list;
	int fd = mkstemp(path);
	FILE *file = fdopen(fd, "w");

	ASSERT(file);
	fprintf(file,
		"[databases]\n"
		"app = host=127.0.0.1\n"
		"forced = host=127.0.0.1 user=owner password=owners\n"
		"listed = host=127.0.0.1 user=plain\n"
		"twins = host=127.0.0.1 user=twin\n"
		"strangers = host=127.0.0.1 user=stranger\n"
		"own = host=127.0.0.1 user=far\n"
		"asking = host=127.0.0.1 auth_user=plain\n"
		"elsewhere = host=127.0.0.1 auth_dbname=app\n"
		"silent = host=127.0.0.1 auth_user=''\n"
		"defaults = host=127.0.0.1 timezone=UTC application_name=dflt\n"
		"[pgbouncer]\n"
		"log_connections = 0\nlog_pooler_errors = 0\n"
		"admin_users = admin\nstats_users = stats\n%s\n",
		settings);
	fclose(file);
	config = config_load(path, &config_error);
	unlink(path);
	if (!config)
		fprintf(stderr, "%s\n", config_error.text);
	list = userlist_parse(users, strlen(users), "users", NULL, error, sizeof(error));
	ASSERT(config && list);
	rules = auth_rules_load(config, error, sizeof(error));
	if (!rules)
		fprintf(stderr, "%s\n", error);
	ASSERT(rules);
	s = snapshot_new(&config, &list, NULL);
	snapshot_take_rules(s, &rules);
	return s;
}

/* The same with TLS for clients, by files that are gone afterwards. */
static inline struct snapshot *rig_tls_snapshot(const char *settings, const char *users)
{
	char dir[] = "/tmp/pgweir-test-tls-XXXXXX", error[512] = "", *lines;
	struct snapshot *s;
	struct tls_set *tls;

	ASSERT(mkdtemp(dir));
	certificates_make(dir, "server", "db.example", 10);
	lines = xasprintf(
		"%s\nclient_tls_cert_file = %s/server.crt\nclient_tls_key_file = %s/server.key\nclient_tls_ca_file = %s/server.crt",
		settings, dir, dir, dir);
	s = rig_snapshot(lines, users);
	free(lines);
	tls = tls_set_load(s->config, error, sizeof(error));
	if (!tls)
		fprintf(stderr, "%s\n", error);
	ASSERT(tls);
	snapshot_take_tls(s, &tls);
	certificates_remove(dir, "server");
	rmdir(dir);
	return s;
}

#endif
