/*
 * report.h - what the console asks of workers, and what each of them answers.
 *
 * The question goes to every worker; each does what it says (control.h), copies what the console wants to see into a report, and posts
 * that to the main thread. Nothing in either points into another thread's structures: names are copied, a job is known by
 * its number, so that an answer for one that is over is simply dropped.
 *
 * Threads: question_post() and the delivery of reports on the main thread; what is between on the workers'.
 * Ownership: a report belongs to whom it is delivered.
 */
#ifndef PGWEIR_REPORT_H
#define PGWEIR_REPORT_H

#include "pool/server.h"

enum report_wants {
	WANT_POOLS = 1,
	WANT_CLIENTS = 2,
	WANT_SERVERS = 4,
	WANT_PINS = 8,
	WANT_WORKER = 16,
	WANT_LATENCY = 32, /* with WANT_POOLS */
	WANT_QUEUE = 64,
	WANT_HOLDERS = 128,
	WANT_PREPARED = 256,
	WANT_MEMORY = 512,
	WANT_FDS = 1024,	   /* clients and servers, with the fields that only SHOW FDS has */
	WANT_LATENCY_START = 2048, /* with WANT_POOLS: WINDOW_START alone, which costs a third */
};

#define MEMORY_ROWS 6
#define REPORT_STATEMENTS_MAX 1000 /* of each worker: those with the most uses */

enum control {
	CONTROL_NONE,
	CONTROL_PAUSE,
	CONTROL_RESUME,
	CONTROL_KILL,
	CONTROL_RECONNECT,
	CONTROL_KILL_CLIENT,
	CONTROL_SUSPEND, /* n_done: clients that haven't taken all that was sent, or are in the middle of a message */
	CONTROL_SUSPEND_ENDS, /* .. and these are closed */
	CONTROL_UNSUSPEND
};

struct report;

struct question {
	unsigned wants; /* of enum report_wants */
	enum control control;
	const char *database; /* NULL: all */
	uint64_t client;      /* CONTROL_KILL_CLIENT */
	usec_t at;	      /* CONTROL_RECONNECT: servers opened until then */
	/* back to the main thread */
	uint64_t job;
	void (*answered)(void *ctx, struct report *r); /* on the main thread */
	void *ctx;
	struct mailbox *reply_to;
};

struct pool_row {
	uint32_t database, user; /* offsets in the report's text */
	bool is_past;		 /* only counters: of pools that are gone */
	unsigned clients, waiting, cancels, close_needed;
	unsigned servers[SERVER_STATES];
	usec_t oldest_wait;
	enum pool_mode mode;
	struct counters counters;
	struct histogram *latency[MEASURES_N]; /* WINDOWS_N each, of a past pool only WINDOW_START; NULL: never measured */
};

struct link_row { /* a client or a server */
	bool is_server;
	uint32_t database, user, application_name, tls;
	const char *state; /* a constant */
	struct address peer, local;
	usec_t connected_at, request_at, wait;
	uint64_t id, link;
	uint32_t remote_pid;
	size_t statements, body_left, held, backlog;
	bool is_close_needed;
	enum replication replication;
	int fd;
	uint32_t client_encoding, std_strings, datestyle, timezone; /* WANT_FDS */
};

struct pin_row {		 /* a client that keeps its server */
	uint32_t database, user; /* offsets in the report's text */
	struct address peer;
	uint64_t client, server;
	uint32_t server_pid;
	unsigned pins;	/* enum pin */
	const char *by; /* the kind of statement; a constant */
	usec_t since;
};

struct wait_row {					   /* a client that waits */
	uint32_t database, user, application_name, detail; /* offsets in the report's text */
	uint32_t statement;				   /* its shape; "": a login, or who knows */
	const char *reason;				   /* a constant */
	struct address peer;
	uint64_t client, fingerprint;
	usec_t since, deadline; /* 0: none */
};

struct holder_row { /* a server that isn't idle, and who has it */
	uint32_t database, user, application_name;
	const char *state; /* a constant */
	struct address peer;
	uint64_t client, server; /* client 0: nobody has it, it is busy with our own work */
	uint32_t server_pid;
	usec_t transaction_at, statement_at, idle_since; /* 0: in none, none yet, it isn't the client's turn */
	unsigned pins;
};

struct prepared_row {
	char name[STATEMENT_NAME_SIZE]; /* on servers; made of its hash */
	uint32_t statement;		/* its shape */
	uint64_t fingerprint, binds;
	unsigned parameters, clients, servers;
};

struct memory_row {	  /* of things of one kind */
	const char *name; /* a constant */
	size_t size, used, free, total;
};

struct worker_row {
	uint64_t clients, servers, idle, waiting;
	uint64_t rounds, messages, moved; /* since the start */
	uint64_t cpu;			  /* usec */
};

struct report {
	struct message message;
	uint64_t job;
	void (*answered)(void *ctx, struct report *r);
	void *ctx;
	int worker;
	usec_t now;	 /* when it was made */
	unsigned n_done; /* what the control has found to act on */
	struct pool_row *pools;
	struct link_row *links;
	struct pin_row *pins;
	struct wait_row *waits;
	struct holder_row *holders;
	struct prepared_row *prepared;
	struct memory_row memory[MEMORY_ROWS];
	size_t n_pools, cap_pools, n_links, cap_links, n_pins, cap_pins, n_waits, cap_waits, n_holders, cap_holders;
	size_t n_prepared;
	uint64_t pins_made[PINS_N];
	struct worker_row of_worker;
	struct writer text;
};

void question_post(struct worker *w, const struct question *q);
void report_free(struct report **r);
static inline const char *report_text(const struct report *r, uint32_t offset)
{
	return (const char *)r->text.data + offset;
}

#endif
