#include "core/daemon_private.h"

#include "auth/external.h"
#include "base/events.h"
#include "base/hash.h"
#include "base/log.h"
#include "core/process.h"
#include "pool/auth_query.h"
#include "session/client.h"
#include "session/keys.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LAST_WORDS (5 * USEC_PER_SEC)
#define STATUS_EVERY (10 * USEC_PER_SEC)
#define BEAT_SLACK (3 * USEC_PER_SEC) /* a worker without work turns once a second */

static const int signals[] = { SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 };
_Static_assert(N_ELEMENTS(signals) == DAEMON_SIGNALS, "an event each");

/* ---- what login threads hand over ---- */

/* The worker with the fewest clients. Two login threads may choose the same: then it has one more. */
static struct worker *choose_worker(struct daemon *d)
{
	int best = 0, fewest = atomic_load(&d->registry->worker_clients[0]);

	for (int i = 1; i < d->n_workers; i++) {
		int n = atomic_load(&d->registry->worker_clients[i]);

		if (n < fewest) {
			best = i;
			fewest = n;
		}
	}
	atomic_fetch_add(&d->registry->worker_clients[best], 1);
	return d->workers[best];
}

static void adopt_console(struct message *m, void *owner)
{
	struct daemon *d = owner;

	console_adopt(d->console, CONTAINER_OF(m, struct newcomer, message));
}

static void deliver_client(void *ctx, struct newcomer *n)
{
	struct daemon *d = ctx;

	if (n->is_admin) {
		n->message.deliver = adopt_console;
		n->message.discard = session_discard;
		mailbox_post(&d->loop.mailbox, &n->message);
		return;
	}
	n->message.deliver = session_adopt;
	n->message.discard = session_discard;
	mailbox_post(&choose_worker(d)->loop.mailbox, &n->message);
}

/* The limits are read on a login thread, while the main thread may have a newer snapshot: the front's own is passed by its callback's config. */
static bool count_client(
	void *ctx, const struct config *c, const char *database, const char *user, struct limit_reached *why)
{
	struct daemon *d = ctx;
	bool may_use_reserve = config_list_has(c->admin_users, user) ||
		config_list_has(c->stats_users, user) || config_list_has(c->priority_users, user);
	struct client_limits limits = { .all = c->max_client_conn,
		.reserved = may_use_reserve ? 0 : c->reserved_client_conn,
		.database = config_max_db_client_connections(c, config_database(c, database)),
		.user = config_max_user_client_connections(c, config_user(c, user)) };

	return registry_count_client(d->registry, database, user, &limits, why);
}

static bool count_origin(
	void *ctx, const struct config *c, const struct address_origin *o, struct limit_reached *why)
{
	struct daemon *d = ctx;

	return registry_count_origin(d->registry, o, c->max_client_conn_per_addr, why);
}

static void uncount_origin(void *ctx, const struct address_origin *o)
{
	struct daemon *d = ctx;

	registry_uncount_origin(d->registry, o);
}

static void uncount_client(void *ctx, const char *database, const char *user)
{
	struct daemon *d = ctx;

	registry_uncount_client(d->registry, database, user);
}

static void ask(void *ctx, struct lookup *q)
{
	struct daemon *d = ctx;

	switch (q->kind) {
	case LOOKUP_SECRET:
		q->message.deliver = auth_query_ask;
		mailbox_post(&d->workers[auth_query_worker(q, d->n_workers)]->loop.mailbox, &q->message);
		return;
	case LOOKUP_PASSWORD:
	case LOOKUP_PEER: external_ask(d->external, q); return;
	case LOOKUP_KINDS: break;
	}
	ASSERT(!"a lookup of no kind");
}

static const struct front_ops front_ops = {
	.deliver = deliver_client,
	.cancel = daemon_deliver_cancel,
	.count_client = count_client,
	.uncount_client = uncount_client,
	.count_origin = count_origin,
	.uncount_origin = uncount_origin,
	.ask = ask,
};

/* ---- configuration ---- */

static bool open_log(struct daemon *d, const struct config *c, char *error, size_t size)
{
	struct log_options o = { .file = c->logfile,
		.to_stderr = !d->options->is_quiet && !d->options->is_daemon,
		.syslog_ident = c->syslog ? c->syslog_ident : NULL,
		.syslog_facility = c->syslog_facility,
		.is_json = c->log_format == LOG_JSON,
		.verbose = c->verbose + d->options->verbose };

	return log_open(&o, error, size) == RES_OK;
}

static struct userlist *load_users(
	struct daemon *d, const struct config *c, const struct userlist *old, char *error, size_t size)
{
	struct file_stamp stamp = file_stamp_of(c->auth_file);

	file_watch_read(&d->auth_file, &stamp);
	return *c->auth_file ? userlist_load(c->auth_file, old, error, size) : userlist_empty();
}

static void publish_snapshot(struct daemon *d, struct snapshot **s)
{
	snapshot_unref(&d->snapshot);
	d->snapshot = *s;
	*s = NULL;
	listener_tune(d->listener, d->snapshot->config);
	http_set_config(d->http, d->snapshot->config);
	resolver_set_ttl(d->resolver, d->snapshot->config->dns_max_ttl, d->snapshot->config->dns_nxdomain_ttl);
	for (int i = 0; i < d->n_workers; i++)
		worker_order_snapshot(d->workers[i], d->snapshot);
	for (int i = 0; i < d->n_fronts; i++)
		front_set_snapshot(d->fronts[i], d->snapshot);
}

static void on_kept(void *ctx, const char *key)
{
	(void)ctx;
	log_warning(NULL, "\"%s\" can't be changed by a reload: its new value waits for a restart", key);
}

/* All of it or nothing: the old configuration stays whole until the new one has been read, with its user list and log. */
static bool try_reload(struct daemon *d, char *error, size_t size)
{
	struct config_error e = { .text = "" };
	struct file_watch had = d->auth_file;
	struct auth_rules *rules;
	struct userlist *users;
	struct tls_set *tls;
	struct config *c;
	struct snapshot *s;

	if (!d->options->file) {
		snprintf(error, size, "there is no configuration file to reload");
		return false;
	}
	c = config_reload(d->snapshot->config, on_kept, NULL, &e);
	if (!c) {
		snprintf(error, size, "%s", e.text);
		return false;
	}
	users = load_users(d, c, d->snapshot->userlist, error, size);
	rules = users ? auth_rules_load(c, error, size) : NULL;
	tls = rules && http_check(c, error, size) ? tls_set_load(c, error, size) : NULL;
	if (!tls || !open_log(d, c, error, size)) {
		tls_set_unref(&tls);
		auth_rules_unref(&rules);
		userlist_unref(&users);
		config_unref(&c);
		d->auth_file = had; /* what was read isn't used */
		return false;
	}
	s = snapshot_new(&c, &users, d->snapshot);
	snapshot_take_rules(s, &rules);
	snapshot_take_tls(s, &tls);
	publish_snapshot(d, &s);
	return true;
}

static bool reload(struct daemon *d, char *error, size_t size)
{
	if (!try_reload(d, error, size)) {
		events_add(EVENT_RELOAD, "refused, the old configuration stays: %s", error);
		return false;
	}
	log_info(NULL, "configuration reloaded");
	events_add(EVENT_RELOAD, "configuration reloaded");
	return true;
}

/* auth_file is read again when it has changed, as PgBouncer does it: new users and passwords need no RELOAD. */
static void watch_users(struct daemon *d)
{
	struct file_stamp stamp = file_stamp_of(d->snapshot->config->auth_file);
	struct userlist *users;
	struct config *c;
	struct snapshot *s;
	char error[1024];

	if (!file_watch_look(&d->auth_file, &stamp))
		return;
	users = load_users(d, d->snapshot->config, d->snapshot->userlist, error, sizeof(error));
	if (!users) {
		log_error(NULL, "auth_file has changed and can't be read, the old users stay: %s", error);
		events_add(EVENT_SECRET, "auth_file has changed and can't be read, the old users stay: %s", error);
		return;
	}
	log_info(NULL, "auth_file has changed: %zu users", userlist_count(users));
	events_add(EVENT_SECRET, "auth_file has changed: %zu users", userlist_count(users));
	c = config_ref(d->snapshot->config);
	s = snapshot_new(&c, &users, d->snapshot);
	publish_snapshot(d, &s);
}

/* ---- stopping ---- */

void daemon_stop_workers(struct daemon *d)
{
	d->is_shutting_down = true;
	for (int i = 0; i < d->n_workers; i++)
		worker_order_stop(d->workers[i], STOP_NOW, NULL, NULL);
	loop_stop(&d->loop);
}

static void on_drained(struct message *m, void *owner)
{
	struct daemon *d = owner;

	(void)m;
	if (--d->n_draining == 0)
		daemon_stop_workers(d);
}

static void keep(struct message *m)
{
	(void)m; /* the daemon's own array */
}

static void begin_shutdown(struct daemon *d, enum stop_mode mode)
{
	notify_say(&d->notify, "STOPPING=1\nSTATUS=shutting down");
	if (d->is_shutting_down || mode == STOP_NOW) {
		log_info(NULL, "shutting down at once");
		daemon_stop_workers(d);
		return;
	}
	d->is_shutting_down = true;
	log_info(NULL, "shutting down: waiting for %s",
		mode == STOP_AT_BOUNDARIES ? "transactions to end" : "clients to leave");
	events_add(EVENT_LIFE, "shutting down: waiting for %s",
		mode == STOP_AT_BOUNDARIES ? "transactions to end" : "clients to leave");
	for (int i = 0; i < d->n_fronts; i++)
		front_set_door(d->fronts[i], FRONT_CONSOLE_ONLY);
	listener_close_tcp(d->listener);
	if (d->snapshot->config->drain_timeout)
		d->drain_until = d->loop.now + d->snapshot->config->drain_timeout;
	loop_tick_soon(&d->loop);
	d->n_draining = d->n_workers;
	for (int i = 0; i < d->n_workers; i++) {
		d->drained[i].deliver = on_drained;
		d->drained[i].discard = keep;
		worker_order_stop(d->workers[i], mode, &d->drained[i], &d->loop.mailbox);
	}
}

/* PgBouncer's SIGTERM waits for clients to leave; ours tells them, between transactions, so that it ends. */
static enum stop_mode mode_of_sigterm(const struct daemon *d)
{
	return d->snapshot->config->is_pgbouncer ? STOP_WHEN_CLIENTS_LEAVE : STOP_AT_BOUNDARIES;
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;
	char error[1024];

	(void)what;
	log_info(NULL, "got signal %d", (int)sig);
	switch (sig) {
	case SIGHUP:
		notify_reloading(&d->notify);
		if (!reload(d, error, sizeof(error)))
			log_error(NULL, "reload failed, the old configuration stays: %s", error);
		notify_say(&d->notify, "READY=1");
		break;
	case SIGTERM: begin_shutdown(d, mode_of_sigterm(d)); break;
	case SIGINT: begin_shutdown(d, STOP_AT_BOUNDARIES); break;
	case SIGUSR1: console_pause(d->console, NULL); break;
	case SIGUSR2: console_resume(d->console, NULL); break;
	default: begin_shutdown(d, STOP_NOW); break;
	}
}

/* ---- the console's view of us ---- */

static struct snapshot *host_snapshot(void *ctx)
{
	struct daemon *d = ctx;

	return d->snapshot;
}

static bool host_reload(void *ctx, char *error, size_t size)
{
	return reload(ctx, error, size);
}

static bool host_set(void *ctx, const char *key, const char *value, char *error, size_t size)
{
	struct daemon *d = ctx;
	struct config_error e = { .text = "" };
	struct config *c = config_with(d->snapshot->config, key, value, &e);
	struct auth_rules *rules;
	struct userlist *users;
	struct tls_set *tls = NULL;
	struct snapshot *s;

	if (!c) {
		snprintf(error, size, "%s", e.text);
		return false;
	}
	/* other settings don't depend on what has become of the files */
	rules = strncmp(key, "auth_", 5) == 0 ? auth_rules_load(c, error, size)
					      : auth_rules_ref(d->snapshot->rules);
	if (rules && (strncmp(key, "http_", 5) != 0 || http_check(c, error, size)))
		tls = strstr(key, "_tls") ? tls_set_load(c, error, size) : tls_set_ref(d->snapshot->tls);
	if (!tls || !open_log(d, c, error, size)) {
		tls_set_unref(&tls);
		auth_rules_unref(&rules);
		config_unref(&c);
		return false;
	}
	users = userlist_ref(d->snapshot->userlist);
	s = snapshot_new(&c, &users, d->snapshot);
	snapshot_take_rules(s, &rules);
	snapshot_take_tls(s, &tls);
	publish_snapshot(d, &s);
	return true;
}

static void host_disable(void *ctx, const char *database, bool is_disabled)
{
	struct daemon *d = ctx;
	struct config *c = config_ref(d->snapshot->config);
	struct userlist *users = userlist_ref(d->snapshot->userlist);
	struct snapshot *s = snapshot_new(&c, &users, d->snapshot);

	snapshot_disable(s, database, is_disabled);
	publish_snapshot(d, &s);
}

static void host_shutdown(void *ctx, enum shutdown_mode mode)
{
	switch (mode) {
	case SHUTDOWN_NOW: begin_shutdown(ctx, STOP_NOW); break;
	case SHUTDOWN_WAIT_FOR_SERVERS: begin_shutdown(ctx, STOP_AT_BOUNDARIES); break;
	case SHUTDOWN_WAIT_FOR_CLIENTS: begin_shutdown(ctx, STOP_WHEN_CLIENTS_LEAVE); break;
	}
}

size_t daemon_login_count(void *ctx)
{
	struct daemon *d = ctx;
	size_t n = 0;

	for (int i = 0; i < d->n_fronts; i++)
		n += front_login_count(d->fronts[i]);
	return n;
}

static struct resolver *host_resolver(void *ctx)
{
	struct daemon *d = ctx;

	return d->resolver;
}

static bool host_is_shutting_down(void *ctx)
{
	struct daemon *d = ctx;

	return d->is_shutting_down;
}

static void make_console(struct daemon *d)
{
	struct console_host host = { .ctx = d,
		.loop = &d->loop,
		.workers = d->workers,
		.n_workers = d->n_workers,
		.registry = d->registry,
		.snapshot = host_snapshot,
		.reload = host_reload,
		.set = host_set,
		.disable = host_disable,
		.shutdown = host_shutdown,
		.resolver = host_resolver,
		.login_count = daemon_login_count,
		.is_shutting_down = host_is_shutting_down,
		.peers = d->peers };

	d->console = console_new(&host);
	d->console_host = host;
	http_start(d->http, &(struct http_host){ &d->loop, d->console, &d->console_host });
}

/* ---- starting ---- */

static void give_memory_back(struct daemon *d)
{
	usec_t began;

	if (!ebb_look(&d->ebb, atomic_load(&d->registry->clients), atomic_load(&d->registry->clients_ever)))
		return;
	began = clock_now();
	malloc_trim(0);
	log_debug(NULL, "gave back what departed clients had: it took %llu us",
		(unsigned long long)(clock_now() - began));
}

static void say_status(struct daemon *d)
{
	unsigned waiting = 0;

	if (d->is_shutting_down || d->loop.now < d->next_status)
		return;
	d->next_status = d->loop.now + STATUS_EVERY;
	for (int i = 0; i < d->n_workers; i++)
		waiting += atomic_load(&d->registry->worker_waiting[i]);
	notify_say(&d->notify, "STATUS=%d clients, %u of them waiting for a server",
		atomic_load(&d->registry->clients), waiting);
}

/* Returns when it wants to be called again. */
static usec_t feed_watchdog(struct daemon *d)
{
	usec_t every = d->notify.watchdog / 3;

	if (!every)
		return USEC_PER_SEC;
	if (d->loop.now >= d->next_watchdog &&
		beats_are_alive(d->registry->beats, d->n_workers, d->loop.now,
			MAX(d->notify.watchdog / 2, BEAT_SLACK))) {
		d->next_watchdog = d->loop.now + every;
		notify_say(&d->notify, "WATCHDOG=1");
	}
	return MIN(every, USEC_PER_SEC);
}

/* Those who are still here have had their time. Returns when it wants to be called again. */
static usec_t limit_drain(struct daemon *d)
{
	if (!d->drain_until)
		return USEC_PER_SEC;
	if (d->loop.now < d->drain_until)
		return MIN(d->drain_until - d->loop.now, USEC_PER_SEC);
	if (!d->is_late)
		log_warning(NULL, "drain_timeout: the clients that are left are told to go");
	if (upgrade_is_giving(d->upgrade) && !d->is_late) {
		d->is_late = true;
		d->drain_until = d->loop.now + LAST_WORDS; /* if the other process takes nothing any more */
		upgrade_end(d->upgrade);
		return USEC_PER_SEC;
	}
	d->drain_until = 0;
	daemon_stop_workers(d);
	return USEC_PER_SEC;
}

static usec_t main_tick(void *owner)
{
	struct daemon *d = owner;
	usec_t drain = limit_drain(d), watchdog = feed_watchdog(d);

	give_memory_back(d);
	console_tick(d->console);
	http_tick(d->http);
	peers_tick(d->peers);
	watch_users(d);
	say_status(d);
	return MIN(drain, watchdog);
}

static void init_hash(struct daemon *d)
{
	uint8_t seed[8];

	if (d->taken.link >= 0)
		memcpy(d->hash_key, d->taken.hash_key, sizeof(d->hash_key));
	else
		RAND_bytes(d->hash_key, sizeof(d->hash_key));
	hash_init(d->hash_key);
	RAND_bytes(seed, sizeof(seed));
	srandom((unsigned)hash64(seed, sizeof(seed)));
}

/* Threads of ours inherit it: only the main thread handles signals. */
static void block_signals(sigset_t *old)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < N_ELEMENTS(signals); i++)
		sigaddset(&set, signals[i]);
	pthread_sigmask(SIG_BLOCK, &set, old);
}

static void make_workers(struct daemon *d)
{
	d->n_workers = process_worker_count(d->snapshot->config->worker_threads, WORKERS_MAX);
	d->registry = registry_new(d->n_workers);
	d->workers = xcalloc((size_t)d->n_workers, sizeof(struct worker *));
	d->threads = xcalloc((size_t)d->n_workers, sizeof(*d->threads));
	d->drained = xcalloc((size_t)d->n_workers, sizeof(*d->drained));
	for (int i = 0; i < d->n_workers; i++) {
		d->workers[i] = xcalloc(1, sizeof(struct worker));
		worker_init(d->workers[i], i, d->workers, d->n_workers, d->registry, d->resolver, NULL, d->snapshot);
	}
}

static bool start_threads(struct daemon *d, char *error, size_t size)
{
	d->n_fronts = process_login_thread_count(d->snapshot->config->login_threads);
	d->next_moved_id = (uint64_t)d->n_fronts + 1;
	log_start_thread();
	d->resolver = resolver_start();
	d->external = external_start(d->snapshot->config->auth_threads);
	d->passwords = passwords_new();
	make_workers(d);
	d->peers = peers_new(&d->loop, d->resolver);
	make_console(d);
	daemon_make_upgrade(d);
	if (!upgrade_slots(d->upgrade, error, size))
		return false;
	d->fronts = xcalloc((size_t)d->n_fronts, sizeof(struct front *));
	for (int i = 0; i < d->n_fronts; i++) {
		struct front_options o = { .listener = d->listener,
			.snapshot = d->snapshot,
			.ops = &front_ops,
			.ctx = d,
			.first_id = (uint64_t)i + 1,
			.id_step = (uint64_t)d->n_fronts + 1 };

		d->fronts[i] = front_start(&o);
	}
	for (int i = 0; i < d->n_workers; i++) {
		d->workers[i]->passwords = d->passwords;
		d->workers[i]->slow = front_mailbox(d->fronts[i % d->n_fronts]);
		worker_thread_start(d->workers[i], &d->threads[i]);
	}
	return true;
}

static void watch_signals(struct daemon *d)
{
	for (size_t i = 0; i < N_ELEMENTS(signals); i++) {
		evsignal_assign(&d->signal_events[i], d->loop.base, signals[i], on_signal, d);
		event_add(&d->signal_events[i], NULL);
	}
}

/* Also after a start that went no further than these: then there are no fronts and no workers' threads. */
static void end_threads(struct daemon *d)
{
	for (int i = 0; d->fronts && i < d->n_workers; i++)
		pthread_join(d->threads[i], NULL);
	external_stop(d->external); /* before those to whom it answers */
	for (int i = 0; d->fronts && i < d->n_fronts; i++)
		front_stop(&d->fronts[i]);
	external_free(&d->external);
	resolver_stop(d->resolver);
	passwords_free(&d->passwords);
	for (int i = 0; i < d->n_workers; i++)
		mailbox_discard(&d->workers[i]->loop.mailbox); /* servers on their way need their pools' registry */
	for (int i = 0; i < d->n_workers; i++) {
		worker_destroy(d->workers[i]);
		free(d->workers[i]);
	}
	http_free(&d->http);
	console_free(&d->console);
	peers_free(&d->peers);
	upgrade_free(&d->upgrade);
	registry_free(d->registry);
	block_signals(NULL); /* one more of them doesn't end us before our time, and with a bad status */
	for (size_t i = 0; d->fronts && i < N_ELEMENTS(signals); i++)
		event_del(&d->signal_events[i]);
	free(d->workers);
	free(d->threads);
	free(d->fronts);
}

/* What systemd tells is for this process, not for the commands that it starts. */
static void hear_systemd(struct daemon *d)
{
	static const char *const names[] = { "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID" };

	notify_open(&d->notify, getenv(names[0]), getenv(names[1]), getenv(names[2]));
	if (d->notify.fd < 0 && *d->taken.notify) { /* what we replace was systemd's, so we shall be */
		notify_open(&d->notify, d->taken.notify, NULL, NULL);
		d->notify.watchdog = d->taken.watchdog;
	}
	for (size_t i = 0; i < N_ELEMENTS(names); i++)
		unsetenv(names[i]);
}

static bool open_listener(struct daemon *d, char *error, size_t size)
{
	static const char *const names[] = { "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES" };
	struct listen_given *old = &d->taken.given, given;
	enum result r = notify_take_sockets(getenv(names[0]), getenv(names[1]), &given, error, size);

	for (size_t i = 0; i < N_ELEMENTS(names); i++)
		unsetenv(names[i]);
	if (r == RES_OK)
		d->listener = listener_open(d->snapshot->config, given.n ? &given : old, error, size);
	listen_given_close(&given);
	listen_given_close(old);
	return d->listener != NULL;
}

static bool prepare(struct daemon *d, struct config **config, char *error, size_t size)
{
	const struct config *c = *config;
	struct auth_rules *rules;
	struct userlist *users;
	struct tls_set *tls;

	if (!open_log(d, c, error, size))
		return false;
	rules = auth_rules_load(c, error, size);
	tls = rules ? tls_set_load(c, error, size) : NULL;
	users = tls ? load_users(d, c, NULL, error, size) : NULL;
	if (!users) {
		auth_rules_unref(&rules);
		tls_set_unref(&tls);
		return false;
	}
	d->snapshot = snapshot_new(config, &users, NULL);
	snapshot_take_rules(d->snapshot, &rules);
	snapshot_take_tls(d->snapshot, &tls);
	c = d->snapshot->config;
	process_raise_descriptors(c);
	if (!open_listener(d, error, size))
		return false;
	d->http = http_open(c, error, size);
	if (!d->http)
		return false;
	if (!process_become(c, d->options->user, d->options->is_daemon, d->taken.link >= 0, error, size))
		return false;
	upgrade_listen(c, &d->taken);
	return true;
}

/* From here on clients are ours: those of the old process as well. */
static void begin_service(struct daemon *d)
{
	const struct config *c = d->snapshot->config;
	bool replaces = upgrade_is_taking(d->upgrade);
	char error[512];

	events_add(EVENT_LIFE, "started: pgweir %s", PGWEIR_VERSION);
	log_info(NULL, "process up: %s, pgweir %s, %d worker threads", c->job_name, PGWEIR_VERSION, d->n_workers);
	if (replaces && !process_write_pidfile(c, error, sizeof(error)))
		log_warning(NULL, "%s", error);
	listener_own(d->listener, true);
	upgrade_ready(d->upgrade);
	notify_say(&d->notify, "READY=1\nMAINPID=%d", (int)getpid());
}

static void serve(struct daemon *d, const sigset_t *old_signals)
{
	watch_signals(d);
	pthread_sigmask(SIG_SETMASK, old_signals, NULL);
	begin_service(d);
	loop_run(&d->loop);
}

int daemon_run(struct config **config, const struct daemon_options *o)
{
	struct daemon d = { .options = o };
	char error[1024] = "";
	sigset_t old;
	int status = 1;

	signal(SIGPIPE, SIG_IGN);
	block_signals(&old); /* one that comes while we start is heard as soon as we can */
	if (!daemon_take_over(&d, *config, error, sizeof(error))) {
		log_error(NULL, "%s", error);
		return 1;
	}
	init_hash(&d);
	hear_systemd(&d);
	if (prepare(&d, config, error, sizeof(error))) {
		loop_init(&d.loop, &d, main_tick);
		if (start_threads(&d, error, sizeof(error))) {
			serve(&d, &old);
			status = 0;
		} else {
			log_error(NULL, "%s", error);
		}
		end_threads(&d);
		loop_destroy(&d.loop);
		free(d.drained); /* only now: one of them may have been in the mailbox */
		process_remove_pidfile(d.snapshot->config);
		log_info(NULL, "process down: %s", d.snapshot->config->job_name);
	} else {
		log_error(NULL, "%s", error);
	}
	http_free(&d.http);
	listener_close(&d.listener);
	upgrade_drop(&d.taken);
	snapshot_unref(&d.snapshot);
	OPENSSL_cleanse(d.hash_key, sizeof(d.hash_key));
	notify_close(&d.notify);
	log_stop();
	return status;
}
