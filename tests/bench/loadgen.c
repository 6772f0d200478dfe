/*
 * loadgen.c - the bench's load generator: logins, idle clients, closed loops, pipelines, bulk, storms; one line of JSON.
 *
 * usage: loadgen MODE -p PORT -u USER -d DATABASE [options], see options_usage
 *
 * The machine that it shares with what it measures is small, so it does as little as it can: see client.h.
 */
#include "client.h"

#include "storm/stats.h"
#include "wire/msg.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define OPENING_MAX 256 /* logins under way while idle clients are collected */
#define WARM_UP (USEC_PER_SEC / 2)
#define PATIENCE (60 * USEC_PER_SEC) /* nothing takes longer but what -T says */
#define DRAIN_TIME (10 * USEC_PER_SEC)
#define COPY_CHUNK 65536

static const char options_usage[] =
	"usage: loadgen MODE -p PORT -u USER -d DATABASE [options]\n"
	"  login   -n LOGINS, -c at a time\n"
	"  hold    -c CLIENTS, each with one query behind it; says \"ready\", and waits until standard input ends\n"
	"  run     -c CLIENTS for -T SECONDS, or -n transactions in all; -m simple|extended|prepared,\n"
	"          -k queries before each Sync, -r transactions per second of each client\n"
	"  storm   -c CLIENTS at one instant, one query each\n"
	"  bulk    one query; where it is COPY FROM STDIN, -i MEGABYTES in lines of -l bytes\n"
	"  -w PASSWORD  -s (TLS)  -t THREADS  -q SQL  -P PID whose CPU clock is read\n";

enum phase { PHASE_LOGIN, PHASE_PREPARING, PHASE_STEADY, PHASE_WAITING, PHASE_BUSY, PHASE_COPY, PHASE_DONE };

struct seat {
	struct client client;
	enum phase phase;
	usec_t due;
	uint64_t left, copied;
};

struct worker {
	struct engine engine;
	struct load *load;
	pthread_t thread;
	struct seat *seats;
	unsigned n_seats, n_open, n_lost;
	bool has_started;
	unsigned short random[3];
	uint64_t to_start; /* logins that haven't begun */
	struct writer scratch;
	struct samples latency, served_at;
	char why[96];
	_Atomic unsigned n_steady, n_finished;
	_Atomic uint64_t done;
};

struct load {
	const struct mode *mode;
	struct where where;
	const char *query_mode, *sql;
	unsigned clients, threads, pipeline, line;
	uint64_t count, copy_bytes;
	double seconds, rate;
	pid_t pid;
	struct worker *workers;
	usec_t began;
	atomic_bool has_begun, is_counting, is_ending, is_over; /* is_ending: nothing new is asked */
};

struct mode {
	const char *name;
	void (*on_ready)(struct seat *s, struct worker *w);
	void (*on_lost)(struct seat *s, struct worker *w); /* NULL: the seat is finished */
	void (*begin)(struct worker *w);
	bool is_steady; /* counts over a span of time, when all are logged in */
};

static struct worker *worker_of(struct client *c)
{
	return c->engine->owner;
}

/* What is sent. */

static void write_sql(struct writer *w, struct worker *me, const char *parameter)
{
	if (me->load->sql)
		write_cstring(w, me->load->sql);
	else {
		char text[96];

		snprintf(text, sizeof(text), "SELECT abalance FROM pgbench_accounts WHERE aid = %s;", parameter);
		write_cstring(w, text);
	}
}

static void write_parse(struct writer *w, struct worker *me, const char *name)
{
	msg_begin(w, MSG_PARSE);
	write_cstring(w, name);
	write_sql(w, me, "$1");
	write_u16(w, 0);
	msg_end(w);
}

static void write_bind(struct writer *w, struct worker *me, const char *name, const char *parameter)
{
	msg_begin(w, MSG_BIND);
	write_cstring(w, "");
	write_cstring(w, name);
	write_u16(w, 0);
	write_u16(w, me->load->sql ? 0 : 1);
	if (!me->load->sql) {
		write_u32(w, (uint32_t)strlen(parameter));
		write_bytes(w, parameter, strlen(parameter));
	}
	write_u16(w, 0);
	msg_end(w);
}

static void write_named(struct writer *w, uint8_t type, const char *what)
{
	msg_begin(w, type);
	write_cstring(w, what);
	if (type == MSG_EXECUTE)
		write_u32(w, 0);
	msg_end(w);
}

static void write_sync(struct writer *w)
{
	msg_begin(w, MSG_SYNC);
	msg_end(w);
}

/* The same messages as libpq sends for pgbench. */
static void write_extended(struct writer *w, struct worker *me, const char *name, const char *parameter)
{
	if (!*name)
		write_parse(w, me, name);
	write_bind(w, me, name, parameter);
	write_named(w, MSG_DESCRIBE, "P");
	write_named(w, MSG_EXECUTE, "");
}

#define ACCOUNTS 100000

static void send_work(struct seat *s, struct worker *me)
{
	struct writer *w = &me->scratch;
	bool is_simple = strcmp(me->load->query_mode, "simple") == 0;
	const char *name = strcmp(me->load->query_mode, "prepared") == 0 ? "p" : "";

	w->len = 0;
	for (unsigned i = 0; i < me->load->pipeline; i++) {
		char parameter[16];

		snprintf(parameter, sizeof(parameter), "%ld", nrand48(me->random) % ACCOUNTS + 1);
		if (is_simple) {
			msg_begin(w, MSG_QUERY);
			write_sql(w, me, parameter);
			msg_end(w);
		} else {
			write_extended(w, me, name, parameter);
		}
	}
	if (!is_simple)
		write_sync(w);
	s->phase = PHASE_BUSY;
	s->client.began = clock_now();
	client_send(&s->client, w->data, w->len, is_simple ? me->load->pipeline : 1);
}

static void send_sql(struct seat *s, struct worker *me)
{
	struct writer *w = &me->scratch;

	w->len = 0;
	write_query(w, me->load->sql ? me->load->sql : "SELECT 1");
	s->phase = PHASE_BUSY;
	client_send(&s->client, w->data, w->len, 1);
}

static void send_prepare(struct seat *s, struct worker *me)
{
	struct writer *w = &me->scratch;

	w->len = 0;
	write_parse(w, me, "p");
	write_sync(w);
	s->phase = PHASE_PREPARING;
	client_send(&s->client, w->data, w->len, 1);
}

static void finish(struct seat *s, struct worker *w)
{
	s->phase = PHASE_DONE;
	w->n_finished++;
}

static void open_seat(struct seat *s, struct worker *w)
{
	s->phase = PHASE_LOGIN;
	s->client.began = clock_now();
	w->n_open++;
	client_open(&s->client, &w->engine);
}

/* run */

static void open_all(struct worker *w)
{
	for (unsigned i = 0; i < w->n_seats; i++)
		open_seat(&w->seats[i], w);
}

static void be_steady(struct seat *s, struct worker *w)
{
	s->phase = PHASE_STEADY;
	w->n_steady++;
}

static void run_served(struct seat *s, struct worker *w)
{
	struct load *l = w->load;

	w->done += l->pipeline;
	if (l->is_counting)
		samples_add(&w->latency, clock_now() - s->client.began);
	s->left -= MIN(s->left, l->pipeline);
	if (l->is_ending || (l->count && s->left == 0)) {
		client_close(&s->client, true);
		finish(s, w);
	} else if (l->rate > 0) {
		s->phase = PHASE_WAITING;
	} else {
		send_work(s, w);
	}
}

static void run_on_ready(struct seat *s, struct worker *w)
{
	switch (s->phase) {
	case PHASE_LOGIN:
		if (strcmp(w->load->query_mode, "prepared") == 0)
			send_prepare(s, w);
		else
			be_steady(s, w);
		break;
	case PHASE_PREPARING: be_steady(s, w); break;
	case PHASE_BUSY: run_served(s, w); break;
	case PHASE_STEADY:
	case PHASE_WAITING:
	case PHASE_COPY:
	case PHASE_DONE: break;
	}
}

/* With a rate each client has its own beat, so that they don't all come at once. */
static void start_work(struct worker *w)
{
	w->has_started = true;
	for (unsigned i = 0; i < w->n_seats; i++) {
		struct seat *s = &w->seats[i];

		if (s->phase != PHASE_STEADY)
			continue;
		s->due = clock_now() + (w->load->rate > 0 ? (usec_t)(1e6 / w->load->rate * i / w->n_seats) : 0);
		s->phase = PHASE_WAITING;
		if (w->load->rate <= 0)
			send_work(s, w);
	}
}

static void send_due(struct worker *w)
{
	usec_t now = clock_now(), period = (usec_t)(1e6 / w->load->rate);

	for (unsigned i = 0; i < w->n_seats; i++) {
		struct seat *s = &w->seats[i];

		if (s->phase != PHASE_WAITING || s->due > now)
			continue;
		s->due = MAX(s->due + period, now);
		send_work(s, w);
	}
}

/* login */

static void login_next(struct seat *s, struct worker *w)
{
	if (w->to_start == 0) {
		finish(s, w);
		return;
	}
	w->to_start--;
	open_seat(s, w);
}

static void login_begin(struct worker *w)
{
	for (unsigned i = 0; i < w->n_seats; i++)
		login_next(&w->seats[i], w);
}

static void login_on_ready(struct seat *s, struct worker *w)
{
	samples_add(&w->latency, clock_now() - s->client.began);
	w->done++;
	client_close(&s->client, true);
	login_next(s, w);
}

/* hold */

static void hold_more(struct worker *w)
{
	while (w->n_open < w->n_seats && w->n_open - w->n_steady - w->n_lost < OPENING_MAX)
		open_seat(&w->seats[w->n_open], w);
}

static void hold_on_ready(struct seat *s, struct worker *w)
{
	if (s->phase == PHASE_LOGIN) {
		send_sql(s, w);
		return;
	}
	be_steady(s, w);
	hold_more(w);
}

static void hold_on_lost(struct seat *s, struct worker *w)
{
	finish(s, w);
	hold_more(w);
}

/* storm */

#define STORM_BREATH 32

/* One instant is as fast as one thread can connect. It hears in between, as those who are connected would. */
static void storm_begin(struct worker *w)
{
	for (unsigned i = 0; i < w->n_seats; i++) {
		open_seat(&w->seats[i], w);
		if (i % STORM_BREATH == STORM_BREATH - 1)
			engine_turn(&w->engine, 0);
	}
}

static void storm_on_ready(struct seat *s, struct worker *w)
{
	if (s->phase == PHASE_LOGIN) {
		samples_add(&w->latency, clock_now() - s->client.began);
		send_sql(s, w);
		return;
	}
	samples_add(&w->served_at, clock_now() - w->load->began);
	w->done++;
	client_close(&s->client, true);
	finish(s, w);
}

/* bulk */

static void bulk_on_ready(struct seat *s, struct worker *w)
{
	if (s->phase == PHASE_LOGIN) {
		send_sql(s, w);
		return;
	}
	w->done++;
	client_close(&s->client, true);
	finish(s, w);
}

/* One chunk of whole lines, each a CopyData of its own as libpq makes them. */
static void build_copy_chunk(struct worker *w)
{
	w->scratch.len = 0;
	do {
		msg_begin(&w->scratch, MSG_COPY_DATA);
		for (unsigned i = 0; i + 1 < w->load->line; i++)
			write_u8(&w->scratch, '7');
		write_u8(&w->scratch, '\n');
		msg_end(&w->scratch);
	} while (w->scratch.len + w->load->line + FRAME_HEADER_SIZE <= COPY_CHUNK);
}

static void on_copy_in(struct client *c)
{
	static const uint8_t copy_done[] = { MSG_COPY_DONE, 0, 0, 0, 4 };
	struct seat *s = CONTAINER_OF(c, struct seat, client);
	struct worker *w = worker_of(c);

	if (s->phase == PHASE_BUSY && s->copied == 0) {
		s->phase = PHASE_COPY;
		build_copy_chunk(w);
	}
	while (s->phase == PHASE_COPY && c->out.len == 0) {
		if (s->copied >= w->load->copy_bytes) {
			s->phase = PHASE_BUSY;
			client_send(c, copy_done, sizeof(copy_done), 0);
			return;
		}
		s->copied += w->scratch.len;
		client_send(c, w->scratch.data, w->scratch.len, 0);
	}
}

static const struct mode modes[] = {
	{ "login", login_on_ready, login_next, login_begin, false },
	{ "hold", hold_on_ready, hold_on_lost, hold_more, false },
	{ "run", run_on_ready, NULL, open_all, true },
	{ "storm", storm_on_ready, NULL, storm_begin, false },
	{ "bulk", bulk_on_ready, NULL, open_all, false },
};

/* What all modes share. */

static void on_ready(struct client *c)
{
	struct worker *w = worker_of(c);

	w->load->mode->on_ready(CONTAINER_OF(c, struct seat, client), w);
}

static void on_lost(struct client *c, const char *why)
{
	struct seat *s = CONTAINER_OF(c, struct seat, client);
	struct worker *w = worker_of(c);

	if (!w->why[0])
		snprintf(w->why, sizeof(w->why), "%s", why);
	w->n_lost++;
	if (w->load->mode->on_lost)
		w->load->mode->on_lost(s, w);
	else
		finish(s, w);
}

static void *work(void *ctx)
{
	struct worker *w = ctx;
	struct load *l = w->load;

	l->mode->begin(w);
	while (!l->is_over && w->n_finished < w->n_seats) {
		if (l->has_begun && !w->has_started && l->mode->is_steady)
			start_work(w);
		if (w->has_started && l->rate > 0)
			send_due(w);
		engine_turn(&w->engine, l->rate > 0 ? 1 : 20);
	}
	for (unsigned i = 0; i < w->n_seats; i++)
		client_close(&w->seats[i].client, w->seats[i].client.awaited == 0);
	return NULL;
}

static double cpu_of(pid_t pid)
{
	clockid_t clock;
	struct timespec t = { 0 };

	if (!pid || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
		return 0;
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t total_done(const struct load *l)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < l->threads; i++)
		sum += l->workers[i].done;
	return sum;
}

static unsigned total_at_rest(const struct load *l)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < l->threads; i++)
		sum += l->workers[i].n_steady + l->workers[i].n_lost;
	return sum;
}

static void pause_for(usec_t time)
{
	usleep((useconds_t)time);
}

static bool wait_until_all_rest(const struct load *l)
{
	usec_t deadline = clock_now() + PATIENCE;

	while (total_at_rest(l) < l->clients && clock_now() < deadline)
		pause_for(USEC_PER_MSEC);
	return total_at_rest(l) >= l->clients;
}

static void hold(struct load *l)
{
	char byte;

	if (!wait_until_all_rest(l))
		fprintf(stderr, "loadgen: only %u clients are there\n", total_at_rest(l));
	printf("ready\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	l->is_over = true;
}

/* Who has asked gets the answer: clients that vanish would leave work to what is measured next. */
static void end_softly(struct load *l)
{
	usec_t deadline = clock_now() + DRAIN_TIME;
	unsigned finished = 0;

	l->is_ending = true;
	while (l->rate <= 0 && finished < l->clients && clock_now() < deadline) {
		pause_for(USEC_PER_MSEC);
		finished = 0;
		for (unsigned i = 0; i < l->threads; i++)
			finished += l->workers[i].n_finished;
	}
	l->is_over = true;
}

struct span {
	usec_t time;
	double cpu;
	uint64_t done;
};

static struct span now_of(const struct load *l)
{
	return (struct span){ .time = clock_now(), .cpu = cpu_of(l->pid), .done = total_done(l) };
}

/* Only what lies between begin and end counts. */
static void run_for_a_time(struct load *l, struct span *begin, struct span *end)
{
	wait_until_all_rest(l);
	l->has_begun = true;
	if (!l->count)
		pause_for(WARM_UP);
	*begin = now_of(l);
	l->is_counting = true;
	if (l->count)
		return;
	pause_for((usec_t)(l->seconds * 1e6));
	*end = now_of(l);
	l->is_counting = false;
	end_softly(l);
}

/* The end. */

static struct samples merged(const struct load *l, size_t offset)
{
	struct samples all = { 0 };

	for (unsigned i = 0; i < l->threads; i++) {
		const struct samples *s = (const void *)((const char *)&l->workers[i] + offset);

		samples_merge(&all, s);
	}
	return all;
}

static void print_samples(const char *name, struct samples s)
{
	static const double percents[] = { 0, 50, 90, 99, 99.9, 100 };

	printf(", \"%s\": {\"n\": %zu", name, (size_t)s.n);
	for (size_t i = 0; i < N_ELEMENTS(percents); i++)
		printf(", \"p%g\": %.6f", percents[i], (double)samples_percentile(&s, percents[i]) / 1e6);
	printf("}");
	samples_free(&s);
}

static void print_report(const struct load *l, const struct span *begin, const struct span *end)
{
	uint64_t received = 0, errors = 0, handshake = 0, logins = 0, copied = 0;
	unsigned lost = 0;
	char why[96] = "";

	for (unsigned i = 0; i < l->threads; i++) {
		const struct worker *w = &l->workers[i];

		received += w->engine.received;
		errors += w->engine.errors;
		handshake += w->engine.handshake_bytes;
		logins += w->engine.logins;
		lost += w->n_lost;
		copied += w->seats[0].copied;
		if (w->why[0])
			copy_printable(why, sizeof(why), w->why);
	}
	for (char *p = why; *p; p++)
		if (*p == '"' || *p == '\\')
			*p = '\'';
	printf("{\"done\": %llu, \"seconds\": %.6f, \"cpu\": %.9f, \"began\": %.6f, \"received\": %llu, \"copied\": %llu, "
	       "\"errors\": %llu, \"lost\": %u, \"why\": \"%s\", \"logins\": %llu, \"handshake_bytes\": %.1f",
		(unsigned long long)(end->done - begin->done), (double)(end->time - begin->time) / 1e6,
		end->cpu - begin->cpu, (double)l->began / 1e6, (unsigned long long)received,
		(unsigned long long)copied, (unsigned long long)errors, lost, why, (unsigned long long)logins,
		logins ? (double)handshake / (double)logins : 0);
	print_samples("latency", merged(l, offsetof(struct worker, latency)));
	print_samples("served_at", merged(l, offsetof(struct worker, served_at)));
	printf("}\n");
}

static void start_workers(struct load *l)
{
	l->workers = xcalloc(l->threads, sizeof(*l->workers));
	for (unsigned i = 0; i < l->threads; i++) {
		struct worker *w = &l->workers[i];

		w->load = l;
		w->n_seats = l->clients / l->threads + (i < l->clients % l->threads);
		w->seats = xcalloc(MAX(w->n_seats, 1), sizeof(*w->seats));
		w->to_start = l->count / l->threads + (i < l->count % l->threads);
		for (unsigned j = 0; j < w->n_seats; j++)
			w->seats[j].left = w->to_start / w->n_seats + (j < w->to_start % w->n_seats);
		w->random[0] = (unsigned short)i;
		engine_init(&w->engine, &l->where);
		w->engine.owner = w;
		w->engine.on_ready = on_ready;
		w->engine.on_lost = on_lost;
		w->engine.on_copy_in = on_copy_in;
	}
	l->began = clock_now();
	for (unsigned i = 0; i < l->threads; i++)
		ASSERT(pthread_create(&l->workers[i].thread, NULL, work, &l->workers[i]) == 0);
}

static void join_workers(struct load *l)
{
	for (unsigned i = 0; i < l->threads; i++)
		pthread_join(l->workers[i].thread, NULL);
}

static void free_workers(struct load *l)
{
	for (unsigned i = 0; i < l->threads; i++) {
		struct worker *w = &l->workers[i];

		engine_free(&w->engine);
		writer_free(&w->scratch);
		samples_free(&w->latency);
		samples_free(&w->served_at);
		free(w->seats);
	}
	free(l->workers);
	SSL_CTX_free(l->where.tls);
}

static void run_load(struct load *l)
{
	struct span begin, end = { 0 };

	start_workers(l);
	begin = (struct span){ .time = l->began, .cpu = cpu_of(l->pid) };
	if (strcmp(l->mode->name, "hold") == 0)
		hold(l);
	else if (l->mode->is_steady)
		run_for_a_time(l, &begin, &end);
	join_workers(l);
	if (!end.time)
		end = now_of(l);
	if (l->count && l->mode->is_steady)
		begin.done = 0; /* all of them count, the first may have ended before we looked */
	print_report(l, &begin, &end);
	free_workers(l);
}

static SSL_CTX *make_tls(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	ASSERT(ctx);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL); /* not what is measured */
	return ctx;
}

static const struct mode *find_mode(const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(modes); i++)
		if (name && strcmp(modes[i].name, name) == 0)
			return &modes[i];
	return NULL;
}

static bool take_options(struct load *l, int argc, char **argv)
{
	struct sockaddr_in *address = (void *)&l->where.address;
	int option;

	*address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	l->where.address_len = sizeof(*address);
	l->query_mode = "simple";
	l->clients = l->threads = l->pipeline = 1;
	l->line = 1000;
	l->seconds = 1;
	while ((option = getopt(argc, argv, "p:u:d:w:st:c:n:T:m:q:k:r:P:i:l:")) != -1) {
		switch (option) {
		case 'p': address->sin_port = htons((uint16_t)strtoul(optarg, NULL, 10)); break;
		case 'u': l->where.user = optarg; break;
		case 'd': l->where.database = optarg; break;
		case 'w': l->where.password = optarg; break;
		case 's': l->where.tls = make_tls(); break;
		case 't': l->threads = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'c': l->clients = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'n': l->count = strtoull(optarg, NULL, 10); break;
		case 'T': l->seconds = strtod(optarg, NULL); break;
		case 'm': l->query_mode = optarg; break;
		case 'q': l->sql = optarg; break;
		case 'k': l->pipeline = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'r': l->rate = strtod(optarg, NULL); break;
		case 'P': l->pid = (pid_t)strtol(optarg, NULL, 10); break;
		case 'i': l->copy_bytes = strtoull(optarg, NULL, 10) << 20; break;
		case 'l': l->line = (unsigned)strtoul(optarg, NULL, 10); break;
		default: return false;
		}
	}
	l->mode = find_mode(argv[optind]);
	l->threads = MIN(MAX(l->threads, 1), l->clients);
	return l->mode && address->sin_port && l->where.user && l->where.database && l->clients && l->pipeline;
}

int main(int argc, char **argv)
{
	static struct load load;
	struct rlimit limit;

	if (!take_options(&load, argc, argv)) {
		fputs(options_usage, stderr);
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	run_load(&load);
	return 0;
}
