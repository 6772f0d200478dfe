#include "storm/scenario.h"

#include "config/ini.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATE_MAX 1e6
#define INVOCATIONS_MAX 10000000
#define TEXT_MAX 65536

enum kind { KIND_COUNT, KIND_SECONDS, KIND_NUMBER, KIND_CHOICE, KIND_TEXT, KIND_FLAG };

const char *const after_names[] = { "close", "idle", "freeze", "drop", "crash", NULL };
static const char *const arrival_names[] = { "burst", "ramp", "poisson", NULL };
static const char *const work_names[] = { "transaction", "query", "login", NULL };
static const char *const at_names[] = { "end", "transaction", "query", "message", NULL };
static const char *const negotiation_names[] = { "postgres", "direct", NULL };

#define OF_RUN(field) KEY_OF_RUN, offsetof(struct scenario, field)
#define OF_PHASE(field) KEY_OF_PHASE, offsetof(struct phase, field)

static const struct key {
	const char *name;
	char letter;
	enum kind kind;
	enum key_scope scope;
	size_t offset;
	double min, max;	    /* of numbers */
	const char *const *choices; /* an enum counts them from 0 */
} keys[] = {
	{ "target", 0, KIND_TEXT, OF_PHASE(target), 0, 0, NULL },
	{ "functions", 'n', KIND_COUNT, OF_PHASE(functions), 1, FUNCTIONS_MAX, NULL },
	{ "arrival", 0, KIND_CHOICE, OF_PHASE(arrival), 0, 0, arrival_names },
	{ "window", 'w', KIND_SECONDS, OF_PHASE(window), 0, SECONDS_MAX, NULL },
	{ "rate", 0, KIND_NUMBER, OF_PHASE(rate), 0.001, RATE_MAX, NULL },
	{ "start", 0, KIND_SECONDS, OF_PHASE(start), 0, SECONDS_MAX, NULL },
	{ "invocations", 'k', KIND_COUNT, OF_PHASE(invocations), 1, INVOCATIONS_MAX, NULL },
	{ "think", 0, KIND_SECONDS, OF_PHASE(think), 0, SECONDS_MAX, NULL },
	{ "pace", 0, KIND_NUMBER, OF_PHASE(pace), 0.001, 10000, NULL },
	{ "duration", 0, KIND_SECONDS, OF_PHASE(duration), 0.001, SECONDS_MAX, NULL },
	{ "work", 0, KIND_CHOICE, OF_PHASE(work), 0, 0, work_names },
	{ "sql", 's', KIND_TEXT, OF_PHASE(sql), 0, 0, NULL },
	{ "after", 'a', KIND_CHOICE, OF_PHASE(after), 0, 0, after_names },
	{ "at", 0, KIND_CHOICE, OF_PHASE(at), 0, 0, at_names },
	{ "thaw", 0, KIND_SECONDS, OF_PHASE(thaw), 0.001, SECONDS_MAX, NULL },
	{ "timeout", 't', KIND_SECONDS, OF_PHASE(timeout), 0.001, SECONDS_MAX, NULL },
	{ "retries", 'r', KIND_COUNT, OF_PHASE(retries), 0, 1000, NULL },
	{ "backoff", 0, KIND_SECONDS, OF_PHASE(backoff), 0, SECONDS_MAX, NULL },
	{ "jitter", 0, KIND_NUMBER, OF_PHASE(jitter), 0, 1, NULL },
	{ "sslnegotiation", 0, KIND_CHOICE, OF_PHASE(sslnegotiation), 0, 0, negotiation_names },
	{ "hold", 0, KIND_SECONDS, OF_RUN(hold), 0, SECONDS_MAX, NULL },
	{ "deadline", 0, KIND_SECONDS, OF_RUN(deadline), 0.001, SECONDS_MAX, NULL },
	{ "seed", 0, KIND_COUNT, OF_RUN(seed), 1, 2147483647, NULL },
	{ "watch", 0, KIND_TEXT, OF_RUN(watch), 0, 0, NULL },
	{ "json", 'j', KIND_TEXT, OF_RUN(json), 0, 0, NULL },
	{ "html", 0, KIND_TEXT, OF_RUN(html), 0, 0, NULL },
	{ "no-progress", 0, KIND_FLAG, OF_RUN(is_quiet), 0, 0, NULL },
};
_Static_assert(N_ELEMENTS(keys) <= 64, "given is a set of bits");

static const struct key *find_key(const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(keys); i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static uint64_t bit_of(const struct key *k)
{
	return UINT64_C(1) << (k - keys);
}

static bool has(const struct phase *p, const char *name)
{
	return p->given & bit_of(find_key(name));
}

/* Values. */

static bool parse_count(const struct key *k, const char *text, unsigned *out)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || end == text || *end || v < (long)k->min || v > (long)k->max)
		return false;
	*out = (unsigned)v;
	return true;
}

static bool parse_number(const struct key *k, const char *text, double *out)
{
	char *end;

	errno = 0;
	*out = strtod(text, &end);
	return !errno && end != text && !*end && *out >= k->min && *out <= k->max; /* NaN compares false */
}

static bool parse_seconds(const struct key *k, const char *text, usec_t *out)
{
	double v;

	if (!parse_number(k, text, &v))
		return false;
	*out = (usec_t)(v * USEC_PER_SEC + 0.5);
	return true;
}

/* Enums of two to five values, counted from 0: all have int's size and place. */
static bool parse_choice(const struct key *k, const char *text, int *out)
{
	for (int i = 0; k->choices[i]; i++)
		if (strcmp(k->choices[i], text) == 0) {
			*out = i;
			return true;
		}
	return false;
}

static bool take_text(const char *text, char **out)
{
	if (!*text || strlen(text) > TEXT_MAX)
		return false;
	free(*out);
	*out = xstrdup(text);
	return true;
}

static bool parse_value(const struct key *k, const char *text, void *base)
{
	void *field = (char *)base + k->offset;

	switch (k->kind) {
	case KIND_COUNT: return parse_count(k, text, field);
	case KIND_SECONDS: return parse_seconds(k, text, field);
	case KIND_NUMBER: return parse_number(k, text, field);
	case KIND_CHOICE: return parse_choice(k, text, field);
	case KIND_TEXT: return take_text(text, field);
	case KIND_FLAG:
		*(bool *)field = strcmp(text, "1") == 0;
		return *(bool *)field || strcmp(text, "0") == 0;
	}
	return false;
}

static void explain(const struct key *k, const char *value, char *why, size_t why_size)
{
	bool is_shown = k->kind != KIND_TEXT && strlen(value) < 80;
	char clean[100];

	copy_printable(clean, sizeof(clean), value);
	if (is_shown)
		snprintf(why, why_size, "%s can't be '%s'", k->name, clean);
	else if (*value)
		snprintf(why, why_size, "%s is too long", k->name);
	else
		snprintf(why, why_size, "%s can't be ''", k->name);
}

static bool set_in(const struct key *k, const char *value, void *base, uint64_t *given, char *why, size_t why_size)
{
	if (!parse_value(k, value, base)) {
		explain(k, value, why, why_size);
		return false;
	}
	*given |= bit_of(k);
	return true;
}

/* Life. */

static void set_defaults(struct phase *p)
{
	*p = (struct phase){ .sql = xstrdup("select pg_sleep(0.002)"),
		.sslnegotiation = NEGOTIATE_UNSET,
		.functions = 1000,
		.invocations = 1,
		.window = USEC_PER_SEC / 10,
		.backoff = USEC_PER_SEC / 10,
		.jitter = 0.5,
		.timeout = 10 * USEC_PER_SEC };
}

static void phase_free(struct phase *p)
{
	free(p->name);
	free(p->where);
	free(p->sql);
	secure_free(&p->target);
}

void scenario_init(struct scenario *s)
{
	*s = (struct scenario){ .hold = 5 * USEC_PER_SEC, .deadline = 120 * USEC_PER_SEC };
	set_defaults(&s->defaults);
}

void scenario_free(struct scenario *s)
{
	for (size_t i = 0; i < s->n_phases; i++)
		phase_free(&s->phases[i]);
	free(s->phases);
	phase_free(&s->defaults);
	secure_free(&s->watch);
	free(s->json);
	free(s->html);
	memset(s, 0, sizeof(*s));
}

static struct phase *add_phase(struct scenario *s, const char *name)
{
	struct phase *p;

	s->phases = xrealloc(s->phases, (s->n_phases + 1) * sizeof(*s->phases));
	p = &s->phases[s->n_phases++];
	*p = s->defaults;
	p->name = xstrdup(name);
	p->sql = xstrdup(s->defaults.sql);
	p->target = xstrdup(s->defaults.target);
	return p;
}

bool scenario_key(size_t i, struct key_info *out)
{
	if (i >= N_ELEMENTS(keys))
		return false;
	*out = (struct key_info){ .name = keys[i].name,
		.letter = keys[i].letter,
		.is_flag = keys[i].kind == KIND_FLAG,
		.scope = keys[i].scope };
	return true;
}

bool scenario_set(struct scenario *s, const char *key, const char *value, char *why, size_t why_size)
{
	const struct key *k = find_key(key);

	ASSERT(k);
	if (!value)
		value = "1";
	return k->scope == KEY_OF_RUN ? set_in(k, value, s, &s->given, why, why_size)
				      : set_in(k, value, &s->defaults, &s->defaults.given, why, why_size);
}

/* Files. */

struct reading {
	struct scenario *s;
	struct phase *phase;	 /* NULL: in [storm] */
	uint64_t said, is_fixed; /* keys of this section so far; of the run, said by the command line */
};

static bool is_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.- ");

	return len > 0 && len <= PHASE_NAME_MAX && !name[len];
}

static bool refuse(char *why, size_t why_size, const char *text)
{
	snprintf(why, why_size, "%s", text);
	return false;
}

static bool start_phase(struct reading *r, const struct ini_line *line, const char *name, char *why, size_t why_size)
{
	struct scenario *s = r->s;

	name += strspn(name, " ");
	if (!is_name(name))
		return refuse(why, why_size,
			"a phase's name has 1 to 40 letters, digits, blanks, _ . or -, as in [phase cold start]");
	for (size_t i = 0; i < s->n_phases; i++)
		if (strcmp(s->phases[i].name, name) == 0)
			return refuse(why, why_size, "there is a phase of this name already");
	if (s->n_phases == PHASES_MAX)
		return refuse(why, why_size, "there are more than 32 phases");
	r->phase = add_phase(s, name);
	r->phase->where = xasprintf("%s:%d", line->file, line->number);
	return true;
}

static bool start_section(struct reading *r, const struct ini_line *line, char *why, size_t why_size)
{
	r->said = 0;
	if (strncmp(line->section, "phase ", 6) == 0)
		return start_phase(r, line, line->section + 6, why, why_size);
	if (strcmp(line->section, "storm") != 0)
		return refuse(why, why_size, "a section is [storm] or [phase NAME]");
	if (r->s->n_phases > 0)
		return refuse(why, why_size, "[storm] holds defaults: it comes before the first phase");
	return true;
}

static bool set_from_file(struct reading *r, const struct key *k, const char *value, char *why, size_t why_size)
{
	struct scenario *s = r->s;
	struct phase *p = r->phase ? r->phase : &s->defaults;
	struct scenario ignored = { 0 };
	bool ok;

	if (k->scope == KEY_OF_PHASE && !r->phase && r->is_fixed & bit_of(k)) /* the target */
		return true;
	if (k->scope == KEY_OF_PHASE)
		return set_in(k, value, p, &p->given, why, why_size);
	if (r->phase) {
		snprintf(why, why_size, "%s belongs to [storm]", k->name);
		return false;
	}
	if (!(r->is_fixed & bit_of(k)))
		return set_in(k, value, s, &s->given, why, why_size);
	ok = set_in(k, value, &ignored, &ignored.given, why, why_size); /* it's judged all the same */
	free(ignored.watch);
	free(ignored.json);
	free(ignored.html);
	return ok;
}

static bool take_line(void *ctx, const struct ini_line *line, char *why, size_t why_size)
{
	struct reading *r = ctx;
	const struct key *k;

	if (!line->key)
		return start_section(r, line, why, why_size);
	if (!*line->section)
		return refuse(why, why_size, "a section [storm] or [phase NAME] must come first");
	k = find_key(line->key);
	if (!k || k->kind == KIND_FLAG) {
		char clean[60];

		copy_printable(clean, sizeof(clean), line->key);
		snprintf(why, why_size, "unknown key %s", clean);
		return false;
	}
	if (r->said & bit_of(k)) {
		snprintf(why, why_size, "%s was said before in this section", k->name);
		return false;
	}
	r->said |= bit_of(k);
	return set_from_file(r, k, line->value, why, why_size);
}

static bool finish_reading(const struct scenario *s, const char *name, bool ok, char *error, size_t error_size)
{
	if (ok && s->n_phases == 0) {
		snprintf(error, error_size, "%s:1: there is no section [phase NAME]", name);
		return false;
	}
	return ok;
}

bool scenario_read_file(struct scenario *s, const char *path, char *error, size_t error_size)
{
	struct reading r = { .s = s, .is_fixed = s->given | s->defaults.given };

	return finish_reading(s, path, ini_read_file(path, take_line, &r, error, error_size), error, error_size);
}

bool scenario_read_text(
	struct scenario *s, const char *name, const char *text, size_t len, char *error, size_t error_size)
{
	struct reading r = { .s = s, .is_fixed = s->given | s->defaults.given };

	return finish_reading(
		s, name, ini_read_text(name, text, len, take_line, &r, error, error_size), error, error_size);
}

/* What follows from what. */

static const char *work_out_arrivals(struct phase *p)
{
	double seconds = (double)p->window / USEC_PER_SEC, n;

	if (!has(p, "rate"))
		return NULL;
	if (has(p, "window") && has(p, "functions"))
		return "two of functions, window and rate are enough: the third follows";
	if (!has(p, "window")) {
		seconds = p->functions / p->rate;
		if (seconds > SECONDS_MAX)
			return "at this rate the last function comes after more than an hour";
		p->window = (usec_t)(seconds * USEC_PER_SEC);
		return NULL;
	}
	n = p->rate * seconds;
	if (!(n >= 1 && n <= FUNCTIONS_MAX))
		return "rate times window must give 1 to 100000 functions";
	p->functions = (unsigned)n;
	return NULL;
}

static const char *work_out_pace(struct phase *p)
{
	double n = p->pace * (double)p->duration / USEC_PER_SEC;

	if (!has(p, "pace"))
		return has(p, "duration") ? "duration is for functions with a pace" : NULL;
	if (has(p, "think"))
		return "with a pace there is nothing to think: the next transaction is due when it's due";
	if (has(p, "duration") == has(p, "invocations"))
		return "a pace needs either a duration or a number of invocations";
	if (has(p, "duration") && !(n >= 1 && n <= INVOCATIONS_MAX))
		return "pace times duration must give 1 to 10000000 invocations";
	if (has(p, "duration"))
		p->invocations = (unsigned)n;
	return NULL;
}

static const char *work_out_end(struct phase *p)
{
	bool can_break_off = p->after == AFTER_FREEZE || p->after == AFTER_DROP || p->after == AFTER_CRASH;

	if (has(p, "thaw") && p->after != AFTER_FREEZE)
		return "thaw is for after=freeze";
	if (p->after == AFTER_FREEZE && !has(p, "at"))
		p->at = AT_TRANSACTION;
	if (p->at != AT_END && !can_break_off)
		return "only after=freeze, drop or crash can come in the middle (at)";
	if (p->after == AFTER_FREEZE && p->at == AT_END)
		return "after=freeze is for the middle of something: at=transaction, query or message";
	if (p->at == AT_TRANSACTION && p->work != WORK_TRANSACTION)
		return "work=query or login opens no transaction in which to freeze or vanish";
	if (p->work == WORK_LOGIN && p->at != AT_END)
		return "work=login sends no query in which to freeze or vanish";
	if (p->work == WORK_LOGIN && (p->invocations > 1 || has(p, "pace")))
		return "work=login is done once: it has neither pace nor invocations";
	return NULL;
}

static const char *finish_phase(const struct scenario *s, struct phase *p)
{
	const char *problem = p->target ? NULL : "where to? a target (URI or conninfo string) is missing";

	if (!problem)
		problem = work_out_arrivals(p);
	if (!problem)
		problem = work_out_pace(p);
	if (!problem)
		problem = work_out_end(p);
	if (!problem && p->start + p->window + p->duration > s->deadline)
		problem = "it would go on beyond the deadline of the run";
	return problem;
}

bool scenario_finish(struct scenario *s, char *error, size_t error_size)
{
	uint64_t functions = 0;

	if (s->n_phases == 0)
		add_phase(s, "herd");
	for (size_t i = 0; i < s->n_phases; i++) {
		struct phase *p = &s->phases[i];
		const char *problem = finish_phase(s, p);

		functions += p->functions;
		if (!problem && functions > FUNCTIONS_MAX)
			problem = "up to this phase there are more than 100000 functions";
		if (problem) {
			snprintf(error, error_size, "%s%s%s", p->where ? p->where : "", p->where ? ": " : "",
				problem);
			return false;
		}
	}
	return true;
}
