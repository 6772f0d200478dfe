/* main.c - the command line. */
#include "auth/credential.h"
#include "auth/rules.h"
#include "core/daemon.h"
#include "http/http.h"
#include "net/tls_set.h"

#include <event2/event.h>
#include <getopt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option long_options[] = {
	{ "daemon", no_argument, NULL, 'd' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "verbose", no_argument, NULL, 'v' },
	{ "user", required_argument, NULL, 'u' },
	{ "test", required_argument, NULL, 't' },
	{ "reboot", no_argument, NULL, 'R' },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static void print_help(FILE *to)
{
	fputs("pgweir [OPTION].. FILE\n"
	      "pgweir [OPTION].. postgresql://user:password@host:port/database   (or DATABASE_URL)\n"
	      "  -d, --daemon       run in the background\n"
	      "  -q, --quiet        don't log to standard error\n"
	      "  -v, --verbose      log more; may be repeated\n"
	      "  -u, --user=NAME    started as root, become this user\n"
	      "  -R, --reboot       take over from the process that runs now: nobody who is connected notices\n"
	      "  -t, --test FILE    check a configuration and exit\n"
	      "  -V, --version      print versions and exit\n"
	      "  -h, --help         print this and exit\n"
	      "The manual pages pgweir(1) and pgweir.ini(5) say the rest.\n",
		to);
}

static void print_version(void)
{
	printf("pgweir %s\nlibevent %s\n%s\n", PGWEIR_VERSION, event_get_version(),
		OpenSSL_version(OPENSSL_VERSION));
}

static bool is_uri(const char *s)
{
	return strncmp(s, "postgresql://", 13) == 0 || strncmp(s, "postgres://", 11) == 0;
}

static int check(const char *file)
{
	struct config_error e = { .text = "" };
	struct config *c = config_load(file, &e);
	struct auth_rules *rules = c ? auth_rules_load(c, e.text, sizeof(e.text)) : NULL;
	struct userlist *users = NULL;
	struct tls_set *tls = rules ? tls_set_load(c, e.text, sizeof(e.text)) : NULL;
	bool is_ok = tls != NULL;

	if (is_ok && *c->auth_file) {
		users = userlist_load(c->auth_file, NULL, e.text, sizeof(e.text));
		is_ok = users != NULL;
	}
	is_ok = is_ok && http_check(c, e.text, sizeof(e.text));
	if (is_ok)
		printf("%s: ok\n", file);
	else
		fprintf(stderr, "%s\n", e.text);
	userlist_unref(&users);
	auth_rules_unref(&rules);
	tls_set_unref(&tls);
	config_unref(&c);
	return is_ok ? 0 : 1;
}

static int run(const char *argument, struct daemon_options *o)
{
	struct config_error e = { .text = "" };
	const char *uri = argument && is_uri(argument) ? argument : NULL;
	struct config *c;
	int status;

	if (!argument)
		uri = getenv("DATABASE_URL");
	if (!argument && !uri) {
		print_help(stderr);
		return 1;
	}
	o->file = uri ? NULL : argument;
	c = uri ? config_from_uri(uri, &e) : config_load(argument, &e);
	if (!c) {
		fprintf(stderr, "%s\n", e.text);
		return 1;
	}
	status = daemon_run(&c, o);
	config_unref(&c);
	return status;
}

int main(int argc, char **argv)
{
	struct daemon_options o = { .file = NULL };
	int opt;

	while ((opt = getopt_long(argc, argv, "dqvu:t:RVh", long_options, NULL)) != -1) {
		switch (opt) {
		case 'd': o.is_daemon = true; break;
		case 'q': o.is_quiet = true; break;
		case 'v': o.verbose++; break;
		case 'u': o.user = optarg; break;
		case 't': return check(optarg);
		case 'V': print_version(); return 0;
		case 'h': print_help(stdout); return 0;
		case 'R': o.takes_over = true; break;
		default: print_help(stderr); return 1;
		}
	}
	if (optind + 1 < argc) {
		print_help(stderr);
		return 1;
	}
	return run(argv[optind], &o);
}
