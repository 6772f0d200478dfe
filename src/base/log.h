/*
 * log.h - the log: lower case, no full stop, as PostgreSQL does.
 *
 *	2026-11-25 13:00:00.123 UTC [4711] LOG client=7 db=app user=bob addr=10.0.0.5:5123: login failed: no such user
 *
 * or, with is_json, as an object of its own, time in UTC, what isn't printable as the same \x0a in the text:
 *
 *	{"time":"2026-11-25T13:00:00.123Z","pid":4711,"level":"LOG","client":7,"db":"app","user":"bob","addr":"10.0.0.5:5123","message":"login failed"}
 *
 * If standard error is the systemd journal, which adds time and process itself, a line begins with its priority as <6> instead.
 *
 * A line is formatted by the caller's thread and put into a bounded queue (1 MiB); one thread of the log's own writes it, so
 * that a stuck disk or pipe never stops a worker. Lines that don't fit are counted, and the count is logged when the sink
 * moves again. Before log_start_thread() and after log_stop() lines are written at once, and are lost if the sink doesn't
 * take them within a tenth of a second. A line has at most 2 KiB; a longer one is cut and ends in an ellipsis.
 *
 * Secrets:  callers never pass passwords; query text at debug level at most. Control characters and bytes that aren't UTF-8
 *           are escaped (\x0a) by the log itself, in names also blanks, so that a client's name can't forge a line.
 * Threads:  log_write() from any thread; it keeps errno. Everything else from the main thread. fork() only without the
 *           log's thread. The process ignores SIGPIPE.
 * A process has one log, therefore no handle is passed around: the exception to "no globals", as stderr is.
 */
#ifndef PGWEIR_LOG_H
#define PGWEIR_LOG_H

#include "base/base.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_NOISE };

/* Whom a line is about. Any pointer may be NULL. Printed as: client=7 db=app user=bob addr=10.0.0.5:5123 */
struct log_who {
	const char *kind; /* "client" or "server"; NULL: the daemon itself */
	uint64_t id;
	const char *database, *user, *addr;
};

struct log_options {
	const char *file;	     /* NULL or "": standard error */
	bool to_stderr;		     /* also when a file is set (not a daemon and not quiet) */
	const char *syslog_ident;    /* NULL: no syslog */
	const char *syslog_facility; /* "daemon", "local0" .. */
	bool is_json;
	int verbose; /* 0: up to INFO; 1: DEBUG; 2 and more: NOISE */
};

/* Again (a rotated file, a reload): switches over. RES_SYSTEM, with error filled in: keeps what it had. */
enum result log_open(const struct log_options *o, char *error, size_t error_size);
void log_start_thread(void);
void log_stop(void); /* writes what is queued, about a second long at most */

extern int log_threshold_; /* an enum log_level, read with relaxed atomics: for log_is_on() only */
static inline bool log_is_on(enum log_level level)
{
	return (int)level <= __atomic_load_n(&log_threshold_, __ATOMIC_RELAXED);
}
void log_write(enum log_level level, const struct log_who *who, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define log_at_(level, who, ...) (log_is_on(level) ? log_write((level), (who), __VA_ARGS__) : (void)0)
#define log_error(who, ...) log_at_(LOG_LEVEL_ERROR, (who), __VA_ARGS__)
#define log_warning(who, ...) log_at_(LOG_LEVEL_WARNING, (who), __VA_ARGS__)
#define log_info(who, ...) log_at_(LOG_LEVEL_INFO, (who), __VA_ARGS__)
#define log_debug(who, ...) log_at_(LOG_LEVEL_DEBUG, (who), __VA_ARGS__)
#define log_noise(who, ...) log_at_(LOG_LEVEL_NOISE, (who), __VA_ARGS__)

#endif
