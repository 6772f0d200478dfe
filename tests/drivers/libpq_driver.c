/*
 * libpq_driver.c - libpq itself: prepared statements, pipeline mode, single-row mode, COPY, cancel. python/report.py has the format
 * of what it reads and prints.
 */
#include <libpq-fe.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_LEN 65536
#define KEYS_MAX 16
#define CONNS_MAX 4

static const char *keys[KEYS_MAX + 1], *values[KEYS_MAX + 1]; /* the connection */
static PGconn *opened[CONNS_MAX];
static char seen[1 << 16];
static bool is_ok;

static void saw(const char *format, ...)
{
	size_t n = strlen(seen);
	va_list args;

	va_start(args, format);
	seen[n++] = '\t';
	vsnprintf(seen + n, sizeof(seen) - n, format, args);
	va_end(args);
	for (char *c = seen + n; *c; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
}

static void fail(PGconn *c, const char *what)
{
	is_ok = false;
	saw("%s: %s", what, PQerrorMessage(c));
}

static void read_connection(char *line)
{
	size_t n = 0;

	line[strcspn(line, "\n")] = '\0';
	for (char *part = line; part && n < KEYS_MAX; n++) {
		char *next = strchr(part, '\t'), *equals = strchr(part, '=');

		if (next)
			*next++ = '\0';
		if (!equals)
			break;
		*equals = '\0';
		keys[n] = part;
		values[n] = equals + 1;
		part = next;
	}
	keys[n] = values[n] = NULL;
}

static PGconn *connect_one(unsigned i)
{
	opened[i] = PQconnectdbParams(keys, values, 0);
	if (PQstatus(opened[i]) != CONNECTION_OK)
		fail(opened[i], "connect");
	return opened[i];
}

static void close_all(void)
{
	for (unsigned i = 0; i < CONNS_MAX; i++) {
		PQfinish(opened[i]);
		opened[i] = NULL;
	}
}

/* A result's value, or its SQLSTATE, or its tag */
static void saw_result(PGresult *r)
{
	if (!r)
		saw("null");
	else if (PQresultStatus(r) == PGRES_FATAL_ERROR)
		saw("%s", PQresultErrorField(r, PG_DIAG_SQLSTATE) ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : "lost");
	else if (PQresultStatus(r) == PGRES_TUPLES_OK || PQresultStatus(r) == PGRES_SINGLE_TUPLE)
		saw("%s", PQntuples(r) ? PQgetvalue(r, 0, 0) : "no row");
	else
		saw("%s", PQresStatus(PQresultStatus(r)));
	PQclear(r);
}

static void run(PGconn *c, const char *sql)
{
	saw_result(PQexec(c, sql));
}

static void execute(PGconn *c, const char *name, int value)
{
	char text[16];
	const char *args[] = { text };

	snprintf(text, sizeof(text), "%d", value);
	saw_result(PQexecPrepared(c, name, 1, args, NULL, NULL, 0));
}

static void connect_and_look(void)
{
	PGconn *c = connect_one(0);
	static const char *const names[] = { "server_version", "server_encoding", "client_encoding",
		"is_superuser", "session_authorization", "DateStyle", "TimeZone", "integer_datetimes",
		"standard_conforming_strings" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		saw("%s", PQparameterStatus(c, names[i]) ? PQparameterStatus(c, names[i]) : "null");
	saw("%d", PQserverVersion(c));
	run(c, "select current_user");
	run(c, "");
	PQreset(c);
	run(c, "select 'again'");
}

static void prepare(void)
{
	PGresult *r;

	for (unsigned i = 0; i < CONNS_MAX; i++)
		saw_result(PQprepare(
			connect_one(i), "plus", i % 2 ? "select $1::int + 1" : "select $1::int", 0, NULL));
	for (int i = 0; i < 8; i++)
		for (unsigned n = 0; n < CONNS_MAX; n++)
			execute(opened[n], "plus", i);
	saw_result(PQprepare(opened[0], "plus", "select 2", 0, NULL)); /* the name is taken */
	execute(opened[1], "none", 1);
	r = PQdescribePrepared(opened[1], "plus");
	saw("%d %u %s", PQnparams(r), PQparamtype(r, 0), PQfname(r, 0));
	PQclear(r);
	run(opened[0], "deallocate plus");
	execute(opened[0], "plus", 1);
	execute(opened[2], "plus", 1);
	run(opened[1], "deallocate all");
	execute(opened[1], "plus", 1);
	execute(opened[3], "plus", 1);
}

/* A batch with a mistake between two Syncs, which the third part must not feel */
static void pipeline(void)
{
	PGconn *c = connect_one(0), *other = connect_one(1);
	static const char *const sql[] = { "select 1", "create temp table d_pipe (i int primary key) on commit drop",
		"select 1/0", "select 'skipped'", NULL, "select 'next'", "select $1::int", NULL,
		"insert into no_such_table values (1)", NULL, "select 'last'", NULL };
	PGresult *r;
	unsigned syncs = 0;

	saw("%d", PQenterPipelineMode(c));
	for (unsigned i = 0; i < sizeof(sql) / sizeof(sql[0]); i++) {
		if (sql[i])
			saw("%d",
				PQsendQueryParams(c, sql[i], strchr(sql[i], '$') ? 1 : 0, NULL,
					(const char *const[]){ "7" }, NULL, NULL, 0));
		else
			saw("%d", PQpipelineSync(c));
	}
	while (syncs < 4) {
		r = PQgetResult(c);
		syncs += r && PQresultStatus(r) == PGRES_PIPELINE_SYNC;
		saw_result(r);
	}
	saw("%d", PQexitPipelineMode(c));
	run(c, "select 'alive'");
	run(other, "select 'other'");
}

/* Flush without Sync: answers come although the batch is open */
static void flush(void)
{
	PGconn *c = connect_one(0);

	PQenterPipelineMode(c);
	for (int round = 0; round < 2; round++) {
		PQsendPrepare(c, round ? "two" : "one", "select $1::text", 0, NULL);
		PQsendFlushRequest(c);
		saw_result(PQgetResult(c));
		saw_result(PQgetResult(c));
		PQsendQueryPrepared(c, round ? "two" : "one", 1, (const char *const[]){ "value" }, NULL, NULL, 0);
		PQsendFlushRequest(c);
		saw_result(PQgetResult(c));
		saw_result(PQgetResult(c));
		PQpipelineSync(c);
		saw_result(PQgetResult(c));
	}
	saw("%d", PQexitPipelineMode(c));
	run(c, "select 'alive'");
}

static void settings(void)
{
	static const char *const zones[] = { "Asia/Tokyo", "Europe/Paris", "UTC" };
	char sql[128];

	for (unsigned i = 0; i < 3; i++) {
		snprintf(sql, sizeof(sql), "set timezone to '%s'; set app.user_id to 'user %u'", zones[i], i);
		run(connect_one(i), sql);
	}
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < 3; i++) {
			run(opened[i], "select current_setting('app.user_id') || current_setting('timezone')");
			saw("%s", PQparameterStatus(opened[i], "TimeZone"));
		}
	}
	PQsetClientEncoding(opened[0], "LATIN1");
	saw("%s", pg_encoding_to_char(PQclientEncoding(opened[0])));
	run(opened[1], "show client_encoding");
	run(opened[2], "begin; set local work_mem to '9MB'");
	run(opened[2], "show work_mem");
	run(opened[2], "rollback");
	run(opened[2], "show work_mem");
}

static void transaction(void)
{
	PGconn *a = connect_one(0), *b = connect_one(1);
	static const char *const sql[] = { "begin", "insert into d_tx values (1)", "savepoint s",
		"insert into d_tx values (1)", "select 1", "rollback to s", "insert into d_tx values (2)",
		"commit", "begin", "insert into d_tx values (3)", "rollback", "begin", "select 1/0", "commit" };

	run(b, "drop table if exists d_tx; create table d_tx (i int primary key)");
	for (unsigned i = 0; i < sizeof(sql) / sizeof(sql[0]); i++) {
		run(a, sql[i]);
		saw("%d", PQtransactionStatus(a));
		run(b, "select count(*) from d_tx");
	}
	run(b, "drop table d_tx");
}

static void single_rows(void)
{
	PGconn *c = connect_one(0);
	PGresult *r;
	long rows = 0, bytes = 0;

	PQsendQuery(c, "select repeat('x', 1000) from generate_series(1, 30000)");
	PQsetSingleRowMode(c);
	while ((r = PQgetResult(c))) {
		if (PQresultStatus(r) == PGRES_SINGLE_TUPLE) {
			rows++;
			bytes += PQgetlength(r, 0, 0);
		}
		PQclear(r);
	}
	saw("%ld %ld", rows, bytes);
	run(c, "select 'alive'");
}

static void end_copy(PGconn *c, const char *error)
{
	PGresult *r;

	PQputCopyEnd(c, error);
	while ((r = PQgetResult(c)))
		saw_result(r);
}

static void copy(void)
{
	PGconn *a = connect_one(0), *b = connect_one(1);
	char line[64], *out;
	long bytes = 0;
	int n;

	run(b, "drop table if exists d_copy; create table d_copy (i int, t text)");
	run(a, "copy d_copy from stdin");
	for (int i = 0; i < 50000; i++)
		PQputCopyData(a, line, snprintf(line, sizeof(line), "%d\tline %d\n", i, i));
	end_copy(a, NULL);
	run(b, "select sum(i) from d_copy");
	run(b, "copy d_copy to stdout");
	while ((n = PQgetCopyData(b, &out, 0)) > 0) {
		bytes += n;
		PQfreemem(out);
	}
	saw("%d %ld", n, bytes);
	saw_result(PQgetResult(b));
	saw_result(PQgetResult(b));
	run(a, "copy d_copy from stdin");
	end_copy(a, "changed my mind");
	run(a, "copy d_copy from stdin");
	PQputCopyData(a, "x\ty\n", 4);
	end_copy(a, NULL);
	run(a, "select count(*) from d_copy");
	run(b, "drop table d_copy");
}

static void await_running(PGconn *c)
{
	bool runs = false;

	while (!runs) {
		PGresult *r = PQexec(c,
			"select 1 from pg_stat_activity where query like 'select ''cancel me''%' and state = 'active' and"
			" datname = current_database()");

		runs = PQresultStatus(r) != PGRES_TUPLES_OK || PQntuples(r) > 0;
		PQclear(r);
		usleep(10000);
	}
}

static void cancel(void)
{
	PGconn *c = connect_one(0), *watch = connect_one(1);
	char error[256];

	for (unsigned i = 0; i < 3; i++) {
		PGcancel *k = PQgetCancel(c);

		PQsendQuery(c, "select 'cancel me', pg_sleep(20)");
		await_running(watch);
		saw("%d", PQcancel(k, error, sizeof(error)));
		saw_result(PQgetResult(c));
		saw_result(PQgetResult(c));
		run(c, "select 'alive'");
		PQfreeCancel(k);
	}
}

static void timeout(void)
{
	PGconn *a = connect_one(0), *b = connect_one(1);

	run(a, "set statement_timeout = '80ms'");
	run(a, "select pg_sleep(5)");
	run(b, "show statement_timeout");
	run(a, "show statement_timeout");
}

static void listen(void)
{
	PGconn *a = connect_one(0), *b = connect_one(1);

	run(a, "listen d_channel");
	run(b, "notify d_channel, 'one'");
	for (unsigned tries = 0, n = 0; tries < 500 && !n; tries++) {
		PGnotify *note;

		PQconsumeInput(a);
		while ((note = PQnotifies(a))) {
			saw("%s %s", note->relname, note->extra);
			PQfreemem(note);
			n++;
		}
		usleep(10000);
	}
	run(a, "unlisten *");
}

static void session_state(void)
{
	PGconn *a = connect_one(0), *b = connect_one(1);

	run(a, "create temp table d_temp as select 42 as answer");
	run(b, "select * from d_temp");
	run(a, "select * from d_temp");
	run(a, "drop table d_temp");
	run(a, "select pg_try_advisory_lock(4711)");
	run(b, "select pg_try_advisory_lock(4711)");
	run(a, "select pg_advisory_unlock(4711)");
	run(b, "select pg_try_advisory_lock(4711)");
	run(b, "select pg_advisory_unlock(4711)");
}

static const struct {
	const char *name;
	void (*run)(void);
} scenarios[] = { { "connect_and_look", connect_and_look }, { "prepare", prepare }, { "pipeline", pipeline },
	{ "flush", flush }, { "settings", settings }, { "transaction", transaction },
	{ "single_rows", single_rows }, { "copy", copy }, { "cancel", cancel }, { "timeout", timeout },
	{ "listen", listen }, { "session_state", session_state } };

/* libpq says the SQLSTATE of a failed login in verbose messages only, which can be asked for once it has begun. */
static void login(void)
{
	PGconn *c = PQconnectStartParams(keys, values, 0);
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;
	const char *code;

	PQsetErrorVerbosity(c, PQERRORS_VERBOSE);
	while (next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
		usleep(1000);
		next = PQconnectPoll(c);
	}
	if (PQstatus(c) == CONNECTION_OK) {
		PGresult *r = PQexec(c, "select current_user");

		printf("ok %s\n", PQresultStatus(r) == PGRES_TUPLES_OK ? PQgetvalue(r, 0, 0) : PQerrorMessage(c));
		PQclear(r);
	} else if ((code = strstr(PQerrorMessage(c), "FATAL:  ")) && strlen(code) > 13 && code[13] == ':') {
		printf("not ok %.5s\n", code + 8);
	} else {
		printf("not ok %.*s\n", (int)strcspn(PQerrorMessage(c), "\n"), PQerrorMessage(c));
	}
	PQfinish(c);
}

int main(int argc, char **argv)
{
	static char line[LINE_MAX_LEN];

	if (argc != 2) {
		fprintf(stderr, "usage: %s scenarios|logins\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		read_connection(line);
		if (strcmp(argv[1], "logins") == 0) {
			login();
			continue;
		}
		for (unsigned i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
			is_ok = true;
			seen[0] = '\0';
			scenarios[i].run();
			close_all();
			printf("%s %s%s\n", is_ok ? "ok" : "not ok", scenarios[i].name, seen);
		}
	}
	return 0;
}
