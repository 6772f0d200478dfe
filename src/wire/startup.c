#include "wire/startup.h"

#include "wire/msg.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static enum result fail(struct startup_error *e, enum result res, const char *sqlstate, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
static enum result fail(struct startup_error *e, enum result res, const char *sqlstate, const char *fmt, ...)
{
	va_list ap;
	int n;

	e->sqlstate = sqlstate;
	e->hint = NULL;
	va_start(ap, fmt);
	n = vsnprintf(e->message, sizeof(e->message), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(e->message)) { /* cut, and perhaps inside a character: clients decode what they get */
		size_t end = sizeof(e->message) - 1;

		while (end > 0 && ((uint8_t)e->message[end - 1] & 0xc0) == 0x80)
			end--;
		if (end > 0 && (uint8_t)e->message[end - 1] >= 0xc0)
			end--;
		e->message[end] = '\0';
	}
	return res;
}

/* Scanners and lost browsers hear nothing; the message is for our debug log. */
static enum result fail_silently(struct startup_error *e, const char *what)
{
	return fail(e, RES_PROTOCOL, NULL, "%s", what);
}

static const char *what_is_it(const uint8_t *p)
{
	if (p[0] == 0x16 && p[1] == 0x03)
		return "first bytes are a TLS handshake";
	for (int i = 0; i < 4; i++)
		if (p[i] < 0x20 || p[i] > 0x7e)
			return "invalid length of startup packet";
	return "first bytes are text, not a startup packet";
}

static void set_param(struct startup *s, size_t i, const char *name, const char *value)
{
	s->params[i] = (struct startup_param){ name, value };
	s->n_params = MAX(s->n_params, i + 1);
}

static bool same_name(const char *a, const char *b)
{
	if (!strncmp(a, "_pq_.", 5)) /* a protocol option, not a setting */
		return !strcmp(a, b);
	return !strcasecmp(a, b);
}

/* False: there are too many. Well-known names are compared with case, as PostgreSQL does. */
static bool take_param(struct startup *s, const char *name, const char *value)
{
	size_t i;

	if (!strcmp(name, "user")) {
		s->user = value;
	} else if (!strcmp(name, "database")) {
		s->database = value;
	} else if (!strcmp(name, "replication")) {
		s->replication = value;
	} else if (!strcmp(name, "options")) {
		s->options = value;
	} else if (!strcasecmp(name, "application_name")) { /* not an exception: it's a setting */
		s->application_name = value;
	} else {
		for (i = 0; i < s->n_params && !same_name(s->params[i].name, name); i++)
			;
		if (i == STARTUP_PARAMS_MAX)
			return false;
		set_param(s, i, name, value);
	}
	return true;
}

static enum result parse_message(struct reader r, struct startup *s, struct startup_error *error)
{
	const char *name, *value;

	if (s->version >> 16 != PROTOCOL_3_0 >> 16)
		return fail(error, RES_PROTOCOL, "0A000",
			"unsupported frontend protocol %u.%u: server supports 3.0 to 3.2", s->version >> 16,
			s->version & 0xffff);
	while (name = read_cstring(&r), *name) {
		value = read_cstring(&r);
		if (r.bad)
			break;
		if (!take_param(s, name, value))
			return fail(error, RES_LIMIT, "54000", "too many startup parameters");
	}
	if (r.bad || reader_left(&r) > 0)
		return fail(error, RES_PROTOCOL, "08P01",
			"invalid startup packet layout: expected terminator as last byte");
	if (!s->user || !*s->user)
		return fail(error, RES_PROTOCOL, "28000", "no PostgreSQL user name specified in startup packet");
	if (!s->database || !*s->database)
		s->database = s->user;
	return RES_OK;
}

static enum result parse_cancel(struct reader r, struct startup *s, struct startup_error *error)
{
	s->kind = STARTUP_CANCEL;
	s->cancel.pid = read_u32(&r);
	s->cancel.len = (uint16_t)reader_left(&r);
	if (r.bad || (s->cancel.len != CANCEL_SECRET_SHORT && s->cancel.len != CANCEL_SECRET_LONG))
		return fail_silently(error, "invalid length of cancel request");
	memcpy(s->cancel.secret, r.pos, s->cancel.len);
	return RES_OK;
}

static enum result parse_encryption(
	struct reader r, struct startup *s, enum startup_kind kind, struct startup_error *error)
{
	s->kind = kind;
	return reader_left(&r) == 0 ? RES_OK : fail_silently(error, "invalid length of encryption request");
}

enum result startup_parse(
	const uint8_t *data, size_t len, struct startup *out, size_t *used, struct startup_error *error)
{
	struct reader r;
	uint32_t length;

	*used = 4;
	if (len < 4)
		return RES_MORE;
	length = load_be32(data);
	if (length < 8 || length > STARTUP_MAX)
		return fail_silently(error, what_is_it(data));
	*used = length;
	if (len < length)
		return RES_MORE;
	memset(out, 0, offsetof(struct startup, params)); /* those are 4 kB, and n_params says how many are set */
	out->n_params = 0;
	r = reader_over(data + 4, length - 4);
	out->version = read_u32(&r);
	switch (out->version) {
	case CANCEL_REQUEST_CODE: return parse_cancel(r, out, error);
	case SSL_REQUEST_CODE: return parse_encryption(r, out, STARTUP_SSL, error);
	case GSSENC_REQUEST_CODE: return parse_encryption(r, out, STARTUP_GSSENC, error);
	default: return parse_message(r, out, error);
	}
}

/*
 * The options parameter. PostgreSQL splits it into words, puts "postgres" in front and gives them to getopt(), whose
 * habits show in the messages: a switch may share a word with others (-ec x=y), its value may be the next word, words
 * that aren't switches may stand between switches and are complained about at the end.
 */
struct words { /* NUL-terminated strings one behind the other */
	char *next, *end;
	const char *before; /* what getopt() has at argv[optind - 1], for the message about a bad switch */
	const char *stray;  /* the first word that isn't a switch */
	const char *last_stray;
	bool only_strays; /* after "--" */
};

struct options { /* what the parser carries around */
	struct words words;
	char *spare; /* room for names and values: as much as all words take */
	options_add *add;
	void *ctx;
	struct startup_error *error;
};

static bool is_blank(char c) /* isspace() in the C locale */
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static char *split_words(const char *s, char *to) /* pg_split_opts() */
{
	for (;;) {
		while (is_blank(*s))
			s++;
		if (!*s)
			return to;
		for (bool escaped = false; *s && (escaped || !is_blank(*s)); s++) {
			escaped = !escaped && *s == '\\';
			if (!escaped)
				*to++ = *s;
		}
		*to++ = '\0';
	}
}

static char *next_word(struct words *w)
{
	char *word = w->next;

	if (word == w->end)
		return NULL;
	w->next += strlen(word) + 1;
	return word;
}

static void keep_stray(struct words *w, const char *word)
{
	if (!w->stray)
		w->stray = word;
	w->last_stray = word;
}

/* The word with the next switches, or NULL at the end. */
static const char *next_switches(struct words *w)
{
	const char *word;

	while ((word = next_word(w))) {
		if (w->only_strays || word[0] != '-' || word[1] == '\0')
			keep_stray(w, word);
		else if (!strcmp(word, "--"))
			w->only_strays = true;
		else
			return word;
	}
	return NULL;
}

static enum result bad_argument(struct startup_error *e, const char *word)
{
	enum result res =
		fail(e, RES_PROTOCOL, "42601", "invalid command-line argument for server process: %s", word);

	e->hint = "Try \"postgres --help\" for more information.";
	return res;
}

static enum result add_long(struct options *o, char flag, const char *arg) /* ParseLongOption() */
{
	size_t len = strlen(arg);
	char *name = memcpy(o->spare, arg, len + 1);
	char *value = strchr(name, '=');

	if (!value) {
		if (flag == '-')
			return fail(o->error, RES_PROTOCOL, "42601", "--%s requires a value", arg);
		return fail(o->error, RES_PROTOCOL, "42601", "-c %s requires a value", arg);
	}
	o->spare += len + 1;
	*value++ = '\0';
	for (char *p = name; *p; p++)
		if (*p == '-')
			*p = '_';
	o->add(o->ctx, name, value);
	return RES_OK;
}

static void add_debug_level(struct options *o, const char *arg) /* set_debug_options(); PostgreSQL uses atoi() */
{
	static const char *const more[] = { "log_statement", "debug_print_parse", "debug_print_plan",
		"debug_print_rewritten" };
	static const char *const names[] = { "notice", "debug1", "debug2", "debug3", "debug4", "debug5" };
	long level = strtol(arg, NULL, 10);

	/* a level that PostgreSQL doesn't know stays as unknown there as it is here */
	o->add(o->ctx, "log_min_messages", level <= 0 ? names[0] : level <= 5 ? names[level] : "debug6");
	for (long i = 0; i < (long)N_ELEMENTS(more) && level >= i + 2; i++)
		o->add(o->ctx, more[i], i == 0 ? "all" : "true");
}

static const char *planner_switch(const char *arg) /* set_plan_disabling_options() */
{
	switch (arg[0]) {
	case 's': return "enable_seqscan";
	case 'i': return "enable_indexscan";
	case 'o': return "enable_indexonlyscan";
	case 'b': return "enable_bitmapscan";
	case 't': return "enable_tidscan";
	case 'n': return "enable_nestloop";
	case 'm': return "enable_mergejoin";
	case 'h': return "enable_hashjoin";
	default: return NULL;
	}
}

static const char *stats_switch(const char *arg) /* get_stats_option_name() */
{
	if (arg[0] == 'p' && arg[1] == 'a')
		return "log_parser_stats";
	if (arg[0] == 'p' && arg[1] == 'l')
		return "log_planner_stats";
	return arg[0] == 'e' ? "log_executor_stats" : NULL;
}

/* The switches of process_postgres_switches() in PostgreSQL 15. */
static const struct option_switch {
	char flag;
	bool has_arg;
	const char *name;  /* NULL: special, or a client's is ignored */
	const char *value; /* NULL: the argument */
} switches[] = {
	{ 'B', true, "shared_buffers", NULL },
	{ 'b', false, NULL, NULL },
	{ 'C', true, NULL, NULL },
	{ 'c', true, NULL, NULL },
	{ 'D', true, NULL, NULL },
	{ 'd', true, NULL, NULL },
	{ 'E', false, NULL, NULL },
	{ 'e', false, "datestyle", "euro" },
	{ 'F', false, "fsync", "false" },
	{ 'f', true, NULL, NULL },
	{ 'h', true, "listen_addresses", NULL },
	{ 'i', false, "listen_addresses", "*" },
	{ 'j', false, NULL, NULL },
	{ 'k', true, "unix_socket_directories", NULL },
	{ 'l', false, "ssl", "true" },
	{ 'N', true, "max_connections", NULL },
	{ 'n', false, NULL, NULL },
	{ 'O', false, "allow_system_table_mods", "true" },
	{ 'P', false, "ignore_system_indexes", "true" },
	{ 'p', true, "port", NULL },
	{ 'r', true, NULL, NULL },
	{ 'S', true, "work_mem", NULL },
	{ 's', false, "log_statement_stats", "true" },
	{ 'T', false, NULL, NULL },
	{ 't', true, NULL, NULL },
	{ 'v', true, NULL, NULL },
	{ 'W', true, "post_auth_delay", NULL },
	{ '-', true, NULL, NULL },
};

static const struct option_switch *find_switch(char flag)
{
	for (size_t i = 0; i < N_ELEMENTS(switches); i++)
		if (switches[i].flag == flag)
			return &switches[i];
	return NULL;
}

/* seen: the word that a complaint names */
static enum result apply_switch(struct options *o, const struct option_switch *sw, const char *arg, const char *seen)
{
	const char *name = NULL;

	if (sw->name) {
		o->add(o->ctx, sw->name, sw->value ? sw->value : arg);
		return RES_OK;
	}
	if (!sw->has_arg)
		return RES_OK; /* ignored */
	ASSERT(arg);
	switch (sw->flag) {
	case 'c':
	case '-': return add_long(o, sw->flag, arg);
	case 'd': add_debug_level(o, arg); return RES_OK;
	case 'f':
		if (!(name = planner_switch(arg)))
			return bad_argument(o->error, seen);
		o->add(o->ctx, name, "false");
		return RES_OK;
	case 't':
		if (!(name = stats_switch(arg)))
			return bad_argument(o->error, seen);
		o->add(o->ctx, name, "true");
		return RES_OK;
	default: return RES_OK;
	}
}

/*
 * One word of switches. When getopt() meets a bad one it has moved past the word only if that was the word's last
 * letter; PostgreSQL then names the word before the one where getopt() stands, and strays have been moved there.
 */
static enum result parse_switches(struct options *o, const char *word)
{
	struct words *w = &o->words;

	for (const char *p = word + 1; *p; p++) {
		const struct option_switch *sw = find_switch(*p);
		const char *arg = NULL, *seen = word;
		enum result res;

		if (!sw)
			return bad_argument(o->error, p[1] ? (w->last_stray ? w->last_stray : w->before) : word);
		if (sw->has_arg) {
			arg = p[1] ? p + 1 : next_word(w);
			if (!arg)
				return bad_argument(o->error, word);
			seen = p[1] ? word : arg;
		}
		res = apply_switch(o, sw, arg, seen);
		if (sw->has_arg)
			w->before = seen;
		if (res != RES_OK || sw->has_arg)
			return res;
	}
	w->before = word;
	return RES_OK;
}

enum result options_parse(const char *options, char **buf, options_add *add, void *ctx, struct startup_error *error)
{
	size_t room = strlen(options) + 1;
	struct options o = { .add = add, .ctx = ctx, .error = error };
	enum result res = RES_OK;
	const char *word;

	*buf = xmalloc(2 * room); /* a word with its NUL is never longer than it was with its blank or at the end */
	o.spare = *buf + room;
	o.words = (struct words){ .next = *buf, .end = split_words(options, *buf), .before = "postgres" };
	while (res == RES_OK && (word = next_switches(&o.words)))
		res = parse_switches(&o, word);
	if (res == RES_OK && o.words.stray)
		return bad_argument(error, o.words.stray);
	return res;
}
