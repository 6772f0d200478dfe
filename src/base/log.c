#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINE_SIZE                                                                                            \
	2048 /* the longest line with its newline; below PIPE_BUF, so that a pipe takes it whole or not at all */
#define FIELD_MAX 96	     /* bytes of a name in front of the text: a long one mustn't push the text out */
#define QUEUE_MAX (1 << 20)  /* bytes that wait for the writer */
#define QUEUE_KEPT (1 << 16) /* a buffer that a storm made larger isn't kept */
#define POLL_MSEC 100	     /* how often a stuck sink is asked whether we may go */
#define STOP_SEC 1

struct sink {
	int fd; /* -1: standard error only */
	bool to_stderr;
	bool to_journal; /* standard error is the journal's */
	char *ident;	 /* NULL: no syslog */
	int facility;
};

struct queue { /* records: one byte of level, the line, '\n' */
	char *data;
	size_t len, cap;
};

enum writer_state {
	WRITER_NONE, /* lines are written by whoever logs */
	WRITER_RUNNING,
	WRITER_STOPPING, /* log_stop() waits for it */
	WRITER_DONE,	 /* it has left its loop */
	WRITER_LOST, /* it hangs in the kernel; lines are written by whoever logs, and its sink is never freed */
};

static struct {
	pthread_mutex_t lock; /* guards everything here but hurry; no other lock is taken under it */
	pthread_cond_t work;  /* for the writer */
	pthread_cond_t done;  /* for log_stop() */
	pthread_t thread;
	enum writer_state state;
	struct queue queue;
	uint64_t lost;	   /* lines since the last report */
	struct sink *sink; /* replaced by the writer only, while there is one; NULL: standard error */
	struct sink *next; /* what log_open() wants the writer to take */
	bool hurry;	   /* atomic: don't wait for a stuck sink, look at next and state */
} the_log = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.work = PTHREAD_COND_INITIALIZER,
	.done = PTHREAD_COND_INITIALIZER,
};

int log_threshold_ = LOG_LEVEL_INFO;
static bool log_is_json; /* atomic */

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "ERROR", LOG_ERR },
	[LOG_LEVEL_WARNING] = { "WARNING", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "LOG", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "DEBUG", LOG_DEBUG },
	[LOG_LEVEL_NOISE] = { "NOISE", LOG_DEBUG },
};

/* Formatting: a line that may be cut, but never inside a character or an escape, and always ends in a newline. */

#define ELLIPSIS "\xe2\x80\xa6"

#define JSON_END "\"}"

struct line {
	char text[LINE_SIZE];
	size_t len;
	bool cut, is_json;
};

static void put(struct line *l, const char *s, size_t n)
{
	if (l->cut || l->len + n + sizeof(ELLIPSIS JSON_END "\n") > sizeof(l->text)) {
		l->cut = true;
		return;
	}
	memcpy(l->text + l->len, s, n);
	l->len += n;
}

static void put_format(struct line *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put_format(struct line *l, const char *fmt, ...)
{
	char buf[64];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	put(l, buf, MIN((size_t)n, sizeof(buf) - 1));
}

/* The length of the printable character at s: ASCII or well-formed UTF-8 without the C1 controls. 0: none is there. */
static size_t printable(const uint8_t *s)
{
	static const uint32_t least[] = { 0, 0, 0xa0, 0x800, 0x10000 };
	size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	uint32_t c = len == 1 ? s[0] : s[0] & (0x7f >> len);

	if (len == 1)
		return c >= 0x20 && c != 0x7f;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80) /* so we never look behind a NUL */
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : len;
}

/* max: of bytes of s; what is longer ends in an ellipsis. */
static void put_escaped(struct line *l, const char *s, size_t max, bool also_blanks)
{
	const uint8_t *p = (const uint8_t *)s;

	while (*p && !l->cut) {
		size_t n = printable(p);

		if ((size_t)(p - (const uint8_t *)s) + MAX(n, 1) > max) {
			put(l, ELLIPSIS, strlen(ELLIPSIS));
			return;
		}
		if (n == 0 || (also_blanks && *p == ' ')) {
			put_format(l, l->is_json ? "\\\\x%02x" : "\\x%02x", *p++);
		} else if (l->is_json && (*p == '"' || *p == '\\')) {
			put_format(l, "\\%c", *p++);
		} else {
			put(l, (const char *)p, n);
			p += n;
		}
	}
}

static void put_time(struct line *l)
{
	struct timespec now;
	struct tm tm;
	char buf[40];

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	put(l, buf, strftime(buf, sizeof(buf), "%Y-%m-%d %H:%M:%S", &tm));
	put_format(l, ".%03d ", (int)(now.tv_nsec / 1000000));
	put(l, buf, strftime(buf, sizeof(buf), "%Z ", &tm));
}

/* One field of whom it is about. Blanks are escaped, so that a name can't look like the next field. */
static void put_field(struct line *l, const char *name, const char *value)
{
	if (!value)
		return;
	put_format(l, " %s=", name);
	put_escaped(l, value, FIELD_MAX, true);
}

static void put_who(struct line *l, const struct log_who *who)
{
	if (!who || !who->kind)
		return;
	put_format(l, " %s=%llu", who->kind, (unsigned long long)who->id);
	put_field(l, "db", who->database);
	put_field(l, "user", who->user);
	put_field(l, "addr", who->addr);
	put(l, ":", 1);
}

static void begin_text(struct line *l, enum log_level level, const struct log_who *who)
{
	put_time(l);
	put_format(l, "[%d] %s", (int)getpid(), levels[level].name);
	put_who(l, who);
	put(l, " ", 1);
}

static void put_member(struct line *l, const char *name, const char *value)
{
	if (!value)
		return;
	put_format(l, ",\"%s\":\"", name);
	put_escaped(l, value, FIELD_MAX, false);
	put(l, "\"", 1);
}

/* Up to the message, which comes last: it alone may be cut. */
static void begin_json(struct line *l, enum log_level level, const struct log_who *who)
{
	struct timespec now;
	struct tm tm;
	char buf[40];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%S", &tm);
	put_format(l, "{\"time\":\"%s.%03dZ\"", buf, (int)(now.tv_nsec / 1000000));
	put_format(l, ",\"pid\":%d,\"level\":\"%s\"", (int)getpid(), levels[level].name);
	if (who && who->kind) {
		put_format(l, ",\"%s\":%llu", who->kind, (unsigned long long)who->id);
		put_member(l, "db", who->database);
		put_member(l, "user", who->user);
		put_member(l, "addr", who->addr);
	}
	put_format(l, ",\"message\":\"");
}

static void format_line(struct line *l, enum log_level level, const struct log_who *who, const char *fmt,
	va_list ap) PRINTF_LIKE(4, 0);
static void format_line(struct line *l, enum log_level level, const struct log_who *who, const char *fmt, va_list ap)
{
	char text[LINE_SIZE];

	l->len = 0;
	l->cut = false;
	l->is_json = __atomic_load_n(&log_is_json, __ATOMIC_RELAXED);
	if (l->is_json)
		begin_json(l, level, who);
	else
		begin_text(l, level, who);
	vsnprintf(text, sizeof(text), fmt, ap); /* a longer one is cut by put_escaped(), as the time stands before it */
	put_escaped(l, text, sizeof(text), false);
	if (l->cut) {
		memcpy(l->text + l->len, ELLIPSIS, strlen(ELLIPSIS));
		l->len += strlen(ELLIPSIS);
	}
	if (l->is_json) {
		memcpy(l->text + l->len, JSON_END, strlen(JSON_END));
		l->len += strlen(JSON_END);
	}
	l->text[l->len++] = '\n';
}

/* Sinks. */

/* False: the line is lost. Waits for a stuck sink until someone is in a hurry, or as long as max_msec. */
static bool write_fd(int fd, const char *text, size_t len, int max_msec)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	while (len > 0) {
		bool hurry = __atomic_load_n(&the_log.hurry, __ATOMIC_ACQUIRE);
		ssize_t n;

		p.revents = 0;
		poll(&p, 1, hurry ? 0 : POLL_MSEC);
		if (p.revents & (POLLERR | POLLNVAL))
			return false;
		if (!(p.revents & POLLOUT)) {
			max_msec -= POLL_MSEC;
			if (hurry || max_msec <= 0)
				return false;
			continue;
		}
		n = write(fd, text, len);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return false;
		text += MAX(n, 0);
		len -= (size_t)MAX(n, 0);
	}
	return true;
}

/* Without time and process, which syslog and the journal add themselves. An object stays whole. */
static const char *behind_process(const char *text, size_t len)
{
	const char *end = text[0] == '{' ? NULL : memchr(text, ']', len);

	return end ? end + 2 : text;
}

static bool write_journal(enum log_level level, const char *text, size_t len, int max_msec)
{
	const char *message = behind_process(text, len);
	char line[LINE_SIZE + 8];
	int n = snprintf(
		line, sizeof(line), "<%d>%.*s", levels[level].priority, (int)(text + len - message), message);

	return write_fd(STDERR_FILENO, line, (size_t)n, max_msec);
}

static void write_syslog(const struct sink *s, enum log_level level, const char *text, size_t len)
{
	const char *end = text + len - 1, *message = behind_process(text, len);

	if (message != text)
		message += strlen(levels[level].name) + 1;
	syslog(levels[level].priority | s->facility, "%.*s", (int)(end - message), message);
}

static bool write_sink(const struct sink *s, enum log_level level, const char *text, size_t len, int max_msec)
{
	static const struct sink standard_error = { .fd = -1 };
	bool ok = true;

	if (!s)
		s = &standard_error;
	if (s->fd >= 0)
		ok = write_fd(s->fd, text, len, max_msec);
	if (s->fd < 0 || s->to_stderr)
		ok = (s->to_journal ? write_journal(level, text, len, max_msec)
				    : write_fd(STDERR_FILENO, text, len, max_msec)) &&
			ok;
	if (s->ident)
		write_syslog(s, level, text, len);
	return ok;
}

static void sink_free(struct sink *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	free(s->ident);
	free(s);
}

/* By whoever writes: syslog keeps the pointer to the name, and may be using it in another thread. */
static void sink_activate(struct sink *s, struct sink *old)
{
	if (old && old->ident)
		closelog();
	if (s->ident)
		openlog(s->ident, LOG_PID | LOG_NDELAY, s->facility);
}

static bool find_facility(const char *name, int *out)
{
	static const struct {
		const char *name;
		int value;
	} facilities[] = {
		{ "auth", LOG_AUTH },
		{ "authpriv", LOG_AUTHPRIV },
		{ "cron", LOG_CRON },
		{ "daemon", LOG_DAEMON },
		{ "ftp", LOG_FTP },
		{ "kern", LOG_KERN },
		{ "lpr", LOG_LPR },
		{ "mail", LOG_MAIL },
		{ "news", LOG_NEWS },
		{ "syslog", LOG_SYSLOG },
		{ "user", LOG_USER },
		{ "uucp", LOG_UUCP },
		{ "local0", LOG_LOCAL0 },
		{ "local1", LOG_LOCAL1 },
		{ "local2", LOG_LOCAL2 },
		{ "local3", LOG_LOCAL3 },
		{ "local4", LOG_LOCAL4 },
		{ "local5", LOG_LOCAL5 },
		{ "local6", LOG_LOCAL6 },
		{ "local7", LOG_LOCAL7 },
	};

	for (size_t i = 0; i < N_ELEMENTS(facilities); i++)
		if (!strcasecmp(name, facilities[i].name)) {
			*out = facilities[i].value;
			return true;
		}
	return false;
}

/* JOURNAL_STREAM has device and inode of the journal's end, as a service is started with it. */
static bool stderr_is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (!text || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(own, sizeof(own), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	return strcmp(text, own) == 0;
}

static enum result sink_open(const struct log_options *o, struct sink **out, char *error, size_t error_size)
{
	bool has_file = o->file && *o->file;
	struct sink *s;
	int facility = LOG_DAEMON, fd = -1;

	if (o->syslog_ident && o->syslog_facility && !find_facility(o->syslog_facility, &facility)) {
		snprintf(error, error_size, "unknown syslog facility \"%s\"", o->syslog_facility);
		return RES_SYSTEM;
	}
	if (has_file) { /* O_NONBLOCK: a FIFO that nobody reads mustn't stop us here, nor later */
		fd = open(o->file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
		if (fd < 0) {
			snprintf(error, error_size, "could not open log file \"%s\": %s", o->file, strerror(errno));
			return RES_SYSTEM;
		}
	}
	s = xcalloc(1, sizeof(*s));
	s->fd = fd;
	s->to_stderr = o->to_stderr;
	s->to_journal = stderr_is_journal();
	s->ident = xstrdup(o->syslog_ident);
	s->facility = facility;
	*out = s;
	return RES_OK;
}

/* The writer's thread. */

static void set_hurry(bool hurry)
{
	__atomic_store_n(&the_log.hurry, hurry, __ATOMIC_RELEASE);
}

/* Called with the lock held, which is let go for a moment. */
static void take_next_sink(void)
{
	struct sink *old = the_log.sink, *next = the_log.next;

	if (!next)
		return;
	the_log.sink = next;
	the_log.next = NULL;
	if (the_log.state == WRITER_RUNNING)
		set_hurry(false);
	pthread_mutex_unlock(&the_log.lock);
	sink_activate(next, old);
	sink_free(old);
	pthread_mutex_lock(&the_log.lock);
}

static void format_report(struct line *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void format_report(struct line *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	format_line(l, LOG_LEVEL_WARNING, NULL, fmt, ap);
	va_end(ap);
}

/* Past the queue: a report that is itself lost mustn't take the count with it. */
static bool report_lost(const struct sink *s, uint64_t lost)
{
	struct line l;

	format_report(&l, "%llu log lines were lost: the log could not be written", (unsigned long long)lost);
	return write_sink(s, LOG_LEVEL_WARNING, l.text, l.len, INT32_MAX);
}

/* Called with the lock held, returns with it; lines are written without. */
static void write_queue(void)
{
	struct queue q = the_log.queue;
	uint64_t lost = the_log.lost;
	bool ok = false;

	the_log.queue = (struct queue){ 0 };
	the_log.lost = 0;
	for (size_t pos = 0, len; pos < q.len; pos += len + 1) {
		const char *text = q.data + pos + 1;
		struct sink *sink;

		len = (size_t)((const char *)memchr(text, '\n', q.len - pos - 1) - text) + 1;
		take_next_sink();
		sink = the_log.sink;
		pthread_mutex_unlock(&the_log.lock);
		ok = write_sink(sink, (enum log_level)q.data[pos], text, len, INT32_MAX);
		lost += !ok;
		pthread_mutex_lock(&the_log.lock);
	}
	if (!the_log.queue.data && q.cap <= QUEUE_KEPT) {
		q.len = 0;
		the_log.queue = q;
	} else {
		free(q.data);
	}
	if (lost > 0 && ok) { /* it moves again */
		struct sink *sink = the_log.sink;

		pthread_mutex_unlock(&the_log.lock);
		ok = report_lost(sink, lost);
		pthread_mutex_lock(&the_log.lock);
	}
	if (!ok)
		the_log.lost += lost;
}

static void *writer_main(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&the_log.lock);
	for (;;) {
		while (the_log.queue.len == 0 && !the_log.next && the_log.state == WRITER_RUNNING)
			pthread_cond_wait(&the_log.work, &the_log.lock);
		take_next_sink();
		if (the_log.queue.len > 0)
			write_queue();
		else if (the_log.state != WRITER_RUNNING)
			break;
	}
	if (the_log.state == WRITER_STOPPING)
		the_log.state = WRITER_DONE;
	pthread_cond_signal(&the_log.done);
	pthread_mutex_unlock(&the_log.lock);
	return NULL;
}

/* Called with the lock held. */
static bool has_writer(void)
{
	return the_log.state == WRITER_RUNNING || the_log.state == WRITER_STOPPING;
}

/* Called with the lock held. */
static void enqueue(enum log_level level, const struct line *l)
{
	struct queue *q = &the_log.queue;
	size_t need = q->len + l->len + 1;

	if (need > QUEUE_MAX) {
		the_log.lost++;
		return;
	}
	if (need > q->cap) {
		q->cap = MAX(need, MIN(MAX(q->cap * 2, 4096), QUEUE_MAX));
		q->data = xrealloc(q->data, q->cap);
	}
	q->data[q->len] = (char)level;
	memcpy(q->data + q->len + 1, l->text, l->len);
	if (q->len == 0)
		pthread_cond_signal(&the_log.work);
	q->len = need;
}

void log_write(enum log_level level, const struct log_who *who, const char *fmt, ...)
{
	int saved_errno = errno; /* callers log between a call and what they do about its errno */
	struct line l;
	va_list ap;

	va_start(ap, fmt);
	format_line(&l, level, who, fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&the_log.lock);
	if (has_writer())
		enqueue(level, &l);
	else if (!write_sink(the_log.sink, level, l.text, l.len, POLL_MSEC))
		the_log.lost++;
	pthread_mutex_unlock(&the_log.lock);
	errno = saved_errno;
}

enum result log_open(const struct log_options *o, char *error, size_t error_size)
{
	struct sink *s, *unwanted;
	enum result res = sink_open(o, &s, error, error_size);

	if (res != RES_OK)
		return res;
	__atomic_store_n(&log_is_json, o->is_json, __ATOMIC_RELAXED);
	__atomic_store_n(
		&log_threshold_, MIN(LOG_LEVEL_INFO + MAX(o->verbose, 0), LOG_LEVEL_NOISE), __ATOMIC_RELAXED);
	pthread_mutex_lock(&the_log.lock);
	if (has_writer()) {
		unwanted = the_log.next;
		the_log.next = s;
		set_hurry(true); /* the old one may be stuck */
		pthread_cond_signal(&the_log.work);
	} else {
		unwanted = the_log.state == WRITER_LOST ? NULL : the_log.sink;
		sink_activate(s, the_log.sink);
		the_log.sink = s;
	}
	pthread_mutex_unlock(&the_log.lock);
	sink_free(unwanted);
	return RES_OK;
}

void log_start_thread(void)
{
	sigset_t all, before;
	int err;

	ASSERT(the_log.state == WRITER_NONE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the main thread; SIGPIPE is for nobody */
	pthread_mutex_lock(&the_log.lock);
	the_log.state = WRITER_RUNNING;
	err = pthread_create(&the_log.thread, NULL, writer_main, NULL);
	if (err)
		the_log.state = WRITER_NONE;
	pthread_mutex_unlock(&the_log.lock);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		log_error(NULL, "could not start the log's thread: %s", strerror(err));
}

/* Called with the lock held. */
static void wait_for_writer(long msec)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += msec % 1000 * 1000000;
	until.tv_sec += msec / 1000 + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (the_log.state == WRITER_STOPPING)
		if (pthread_cond_timedwait(&the_log.done, &the_log.lock, &until) == ETIMEDOUT)
			break;
}

void log_stop(void)
{
	bool is_done;

	pthread_mutex_lock(&the_log.lock);
	if (the_log.state != WRITER_RUNNING) {
		pthread_mutex_unlock(&the_log.lock);
		return;
	}
	the_log.state = WRITER_STOPPING;
	pthread_cond_signal(&the_log.work);
	wait_for_writer(STOP_SEC * 1000);
	set_hurry(true);
	wait_for_writer(2 * POLL_MSEC);
	is_done = the_log.state == WRITER_DONE;
	the_log.state = is_done ? WRITER_NONE : WRITER_LOST;
	pthread_mutex_unlock(&the_log.lock);
	if (is_done)
		pthread_join(the_log.thread, NULL);
	else
		pthread_detach(the_log.thread);
	set_hurry(!is_done); /* nobody waits for that sink again */
}
