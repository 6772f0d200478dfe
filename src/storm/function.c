#include "storm/function.h"

#include "wire/msg.h"

#include <stdio.h>

#define ERROR_MAX 65536 /* of an ErrorResponse; PostgreSQL's own are far shorter */
#define BACKOFF_DOUBLINGS_MAX 6

#define TO(s) (1u << (s))
#define TO_THE_END (TO(FUNCTION_ASLEEP) | TO(FUNCTION_DONE)) /* a connection that fails: again, or for good */
static const unsigned function_moves[FUNCTION_DONE + 1] = {
	/* nothing leaves FUNCTION_DONE */
	[FUNCTION_ASLEEP] = TO(FUNCTION_CONNECTING) | TO_THE_END,
	[FUNCTION_CONNECTING] = TO(FUNCTION_LOGGING_IN) | TO_THE_END,
	[FUNCTION_LOGGING_IN] = TO(FUNCTION_STARTING) | TO_THE_END,
	[FUNCTION_STARTING] = TO(FUNCTION_BEGINNING) | TO(FUNCTION_WORKING) | TO(FUNCTION_RESTING) |
		TO(FUNCTION_IDLE) | TO_THE_END,
	[FUNCTION_RESTING] = TO(FUNCTION_BEGINNING) | TO(FUNCTION_WORKING) | TO_THE_END,
	[FUNCTION_BEGINNING] = TO(FUNCTION_WORKING) | TO(FUNCTION_UNDOING) | TO(FUNCTION_RESTING) | TO_THE_END,
	[FUNCTION_WORKING] = TO(FUNCTION_COMMITTING) | TO(FUNCTION_UNDOING) | TO(FUNCTION_RESTING) |
		TO(FUNCTION_IDLE) | TO(FUNCTION_FROZEN) | TO_THE_END,
	[FUNCTION_COMMITTING] = TO(FUNCTION_UNDOING) | TO(FUNCTION_RESTING) | TO(FUNCTION_IDLE) | TO_THE_END,
	[FUNCTION_UNDOING] = TO(FUNCTION_RESTING) | TO_THE_END,
	[FUNCTION_IDLE] = TO(FUNCTION_DONE),
	[FUNCTION_FROZEN] = TO(FUNCTION_WORKING) | TO(FUNCTION_COMMITTING) | TO(FUNCTION_DONE),
};

static const char *const doing[] = {
	/* for the message of a timeout */
	[FUNCTION_ASLEEP] = "pausing before the next attempt",
	[FUNCTION_CONNECTING] = "connecting",
	[FUNCTION_LOGGING_IN] = "authenticating",
	[FUNCTION_STARTING] = "waiting for the first ReadyForQuery",
	[FUNCTION_RESTING] = "resting",
	[FUNCTION_BEGINNING] = "waiting for the answer to BEGIN",
	[FUNCTION_WORKING] = "waiting for the answer to its statement",
	[FUNCTION_COMMITTING] = "waiting for the answer to COMMIT",
	[FUNCTION_UNDOING] = "waiting for the answer to ROLLBACK",
	[FUNCTION_FROZEN] = "frozen",
};

double world_random(struct world *w)
{
	w->random ^= w->random << 13; /* Marsaglia's xorshift64 */
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (double)(w->random >> 11) / (double)(UINT64_C(1) << 53);
}

static void set_state(struct function *f, enum function_state next)
{
	ASSERT(function_moves[f->state] & TO(next));
	f->state = next;
	f->next_at = 0;
}

void function_init(struct function *f, usec_t wake_at)
{
	memset(f, 0, sizeof(*f));
	f->next_at = wake_at;
	f->is_between = true;
}

void function_free(struct function *f)
{
	login_forget(&f->login);
	writer_free(&f->out);
	writer_free(&f->partial);
}

enum function_link function_link(const struct function *f)
{
	switch (f->state) {
	case FUNCTION_DONE: return f->is_crashing ? LINK_CRASHED : LINK_NONE;
	case FUNCTION_ASLEEP: return LINK_NONE;
	case FUNCTION_FROZEN: return LINK_FROZEN;
	case FUNCTION_CONNECTING:
	case FUNCTION_LOGGING_IN:
	case FUNCTION_STARTING:
	case FUNCTION_RESTING:
	case FUNCTION_BEGINNING:
	case FUNCTION_WORKING:
	case FUNCTION_COMMITTING:
	case FUNCTION_UNDOING:
	case FUNCTION_IDLE: break;
	}
	return LINK_OPEN;
}

usec_t function_timer_at(const struct function *f)
{
	if (f->next_at && f->dies_at)
		return MIN(f->next_at, f->dies_at);
	return f->next_at ? f->next_at : f->dies_at;
}

bool function_is_finished(const struct function *f)
{
	return f->state == FUNCTION_DONE || f->state == FUNCTION_IDLE ||
		(f->state == FUNCTION_FROZEN && function_timer_at(f) == 0);
}

/* How an invocation begins and fails. */

static usec_t due_at(const struct function *f, const struct plan *p)
{
	return f->schedule_from + (usec_t)(f->invocations + f->missed) * p->period;
}

/* How many of those that aren't done are due by now. */
static unsigned due_by(const struct function *f, const struct plan *p, usec_t now)
{
	return now < due_at(f, p) ? 0 : (unsigned)((now - due_at(f, p)) / p->period) + 1;
}

static bool is_on_schedule(const struct function *f, const struct plan *p)
{
	return p->period && f->schedule_from;
}

/* due: when it should have begun. Our own lateness counts as waiting. */
static void start_invocation(struct function *f, struct world *w, usec_t due)
{
	f->is_between = false;
	f->retries = 0;
	f->invoked_at = due;
	if (is_on_schedule(f, w->plan)) {
		f->dies_at = due + w->plan->timeout;
		w->stats.due++;
	}
	timeline_at(&w->stats.timeline, due - w->began)->arrived++;
}

static void count_failure(struct world *w, usec_t now)
{
	timeline_at(&w->stats.timeline, now - w->began)->failed++;
}

static void drop_connection(struct function *f)
{
	login_forget(&f->login);
	f->out.len = f->held = f->partial.len = f->skip = 0;
	f->is_failing = false;
}

/* A schedule ends early: so many of its invocations are never begun, or never finished. */
static void miss(struct function *f, struct world *w, unsigned left)
{
	unsigned is_counted = is_on_schedule(f, w->plan) && !f->is_between;

	w->stats.missed += left;
	w->stats.due += left - is_counted;
}

static unsigned left_of(const struct function *f, const struct plan *p)
{
	return p->period ? p->invocations - f->invocations - f->missed : 0;
}

static void fail_for_good(struct function *f, struct world *w, usec_t now)
{
	set_state(f, FUNCTION_DONE);
	f->dies_at = 0;
	w->stats.failed++;
	if (!f->is_between)
		count_failure(w, now);
}

/*
 * An invocation is given up: what follows is the next one on the schedule, or the function's own end. The connection is there still
 * if next is FUNCTION_RESTING.
 */
static void give_up(struct function *f, struct world *w, usec_t now, enum function_state next)
{
	if (!is_on_schedule(f, w->plan) || f->invocations + f->missed + 1 == w->plan->invocations) {
		if (w->plan->period) /* what it won't even begin was due all the same */
			miss(f, w, left_of(f, w->plan));
		fail_for_good(f, w, now);
		return;
	}
	count_failure(w, now);
	w->stats.missed++;
	f->missed++;
	f->is_between = true;
	set_state(f, next);
	f->dies_at = 0;
	f->next_at = MAX(due_at(f, w->plan), now);
}

static usec_t pause_before_retry(const struct function *f, struct world *w)
{
	const struct plan *p = w->plan;
	usec_t pause = p->backoff << MIN(f->retries, BACKOFF_DOUBLINGS_MAX);

	return (usec_t)((double)pause *
		(1 - p->jitter + 2 * p->jitter * world_random(w))); /* a herd that failed together mustn't return together */
}

/* True: the function may try again, and next is its new state. */
static bool try_again(struct function *f, struct world *w, usec_t now, enum function_state next)
{
	usec_t pause = pause_before_retry(f, w);

	if (f->retries >= w->plan->retries)
		return false;
	f->retries++;
	w->stats.retries++;
	set_state(f, next);
	f->next_at = now + pause;
	return true;
}

static void attempt_failed(struct function *f, struct world *w, usec_t now, const char *key, const char *message)
{
	stats_error(&w->stats, key, message);
	drop_connection(f);
	if (f->state == FUNCTION_IDLE) { /* it was served long ago */
		set_state(f, FUNCTION_DONE);
		w->stats.lost++;
	} else if (f->is_between && f->schedule_from) { /* it lost its connection while it waited for the next one: that's late then */
		set_state(f, FUNCTION_ASLEEP);
		f->next_at = MAX(due_at(f, w->plan), now);
	} else if (!try_again(f, w, now, FUNCTION_ASLEEP)) {
		give_up(f, w, now, FUNCTION_ASLEEP);
	}
}

static void broke_protocol(struct function *f, struct world *w, usec_t now, const char *how)
{
	attempt_failed(f, w, now, "protocol", how);
}

static void say_goodbye(struct function *f)
{
	msg_begin(&f->out, MSG_TERMINATE);
	msg_end(&f->out);
}

/* What a function does on its way. */

static void start_attempt(struct function *f, struct world *w, usec_t now)
{
	set_state(f, FUNCTION_CONNECTING);
	drop_connection(f);
	w->stats.attempts++;
	f->attempt_at = now;
	f->next_at = w->plan->connect_timeout ? now + w->plan->connect_timeout : 0;
}

static void wake(struct function *f, struct world *w, usec_t now)
{
	if (!f->has_woken) {
		f->has_woken = true;
		w->stats.woke++;
		f->woke_at = f->next_at; /* when it should have woken */
		f->dies_at = f->woke_at + w->plan->timeout;
		if (!w->plan->period)
			start_invocation(f, w, f->woke_at);
	} else if (f->is_between && f->schedule_from) {
		start_invocation(f, w, due_at(f, w->plan));
	}
	start_attempt(f, w, now);
}

static void write_startup_param(struct writer *out, const char *name, const char *value)
{
	if (!value)
		return;
	write_cstring(out, name);
	write_cstring(out, value);
}

void function_connected(struct function *f, struct world *w, usec_t now)
{
	const struct plan *p = w->plan;
	usec_t next_at = f->next_at; /* connect_timeout goes on through the login, as libpq's does */

	(void)now;
	set_state(f, FUNCTION_LOGGING_IN);
	f->next_at = next_at;
	msg_begin(&f->out, 0);
	write_u32(&f->out, PROTOCOL_3_0);
	write_startup_param(&f->out, "user", p->user);
	write_startup_param(&f->out, "database", p->database);
	write_startup_param(&f->out, "application_name", p->application_name);
	write_startup_param(&f->out, "client_encoding", p->client_encoding);
	write_startup_param(&f->out, "options", p->options);
	write_u8(&f->out, 0);
	msg_end(&f->out);
}

static void say(struct function *f, enum function_state next, const char *sql)
{
	set_state(f, next);
	write_query(&f->out, sql);
}

/* Served, in a way that the plan has; its link says what becomes of the connection. */
static void end_served(struct function *f, struct world *w, usec_t now)
{
	enum after after = w->plan->thaw ? AFTER_CLOSE : w->plan->after;

	f->dies_at = 0;
	w->stats.served++;
	samples_add(&w->stats.served_at, now - w->began);
	switch (after) {
	case AFTER_CLOSE:
		say_goodbye(f);
		set_state(f, FUNCTION_DONE);
		break;
	case AFTER_CRASH:
	case AFTER_DROP:
		w->stats.vanished++;
		f->is_crashing = after == AFTER_CRASH;
		set_state(f, FUNCTION_DONE);
		break;
	case AFTER_IDLE: set_state(f, FUNCTION_IDLE); break;
	case AFTER_FREEZE:
		w->stats.frozen++;
		set_state(f, FUNCTION_FROZEN);
		break;
	}
}

static void end_of_life(struct function *f, struct world *w, usec_t now)
{
	if (f->missed == 0) {
		end_served(f, w, now);
		return;
	}
	say_goodbye(f);
	set_state(f, FUNCTION_DONE);
	f->dies_at = 0;
	w->stats.failed++;
}

static void count_served(struct function *f, struct world *w, usec_t now)
{
	usec_t total = now - f->invoked_at;
	struct timeline_span *span = timeline_at(&w->stats.timeline, now - w->began);

	samples_add(&w->stats.total, total);
	samples_add(&span->total, total);
	span->served++;
	if (is_on_schedule(f, w->plan) && total <= w->plan->period)
		w->stats.on_time++;
}

static void invocation_served(struct function *f, struct world *w, usec_t now)
{
	const struct plan *p = w->plan;

	if (p->work != WORK_LOGIN) {
		w->stats.transactions++;
		samples_add(&w->stats.transaction, now - f->begin_at);
	}
	if (f->thawed_at)
		samples_add(&w->stats.resume, now - f->thawed_at);
	f->thawed_at = 0;
	count_served(f, w, now);
	f->is_between = true;
	f->invocations++;
	if (f->invocations + f->missed == p->invocations) {
		end_of_life(f, w, now);
		return;
	}
	set_state(f, FUNCTION_RESTING);
	if (is_on_schedule(f, p))
		f->dies_at = 0;
	f->next_at = is_on_schedule(f, p) ? MAX(due_at(f, p), now) : now + p->think;
}

static bool breaks_off(const struct function *f, const struct plan *p, enum at here)
{
	return p->at == here && !f->has_thawed && f->invocations + f->missed + 1 == p->invocations;
}

/* The plan ends here, in the middle: the function freezes for a while, for ever, or vanishes. */
static void break_off(struct function *f, struct world *w, usec_t now)
{
	if (!w->plan->thaw) {
		count_served(f, w, now);
		end_served(f, w, now);
		return;
	}
	w->stats.frozen++;
	f->before_freeze = f->state;
	f->froze_at = now;
	set_state(f, FUNCTION_FROZEN);
	f->dies_at = 0;
	f->next_at = now + w->plan->thaw;
}

/* Back at the place where it froze, as if no time had passed for it. */
static void thaw(struct function *f, struct world *w, usec_t now)
{
	usec_t slept = now - f->froze_at;

	w->stats.thawed++;
	f->has_thawed = true;
	f->thawed_at = now;
	f->begin_at += slept;
	f->invoked_at += slept;
	f->held = 0;
	if (w->plan->at == AT_TRANSACTION)
		say(f, FUNCTION_COMMITTING, "COMMIT");
	else
		set_state(f, f->before_freeze);
	f->dies_at = now + w->plan->timeout;
}

static void say_statement(struct function *f, struct world *w, usec_t now)
{
	size_t before = f->out.len;

	say(f, FUNCTION_WORKING, w->plan->sql);
	if (breaks_off(f, w->plan, AT_MESSAGE))
		f->held = (f->out.len - before) / 2;
	if (f->held || breaks_off(f, w->plan, AT_QUERY))
		break_off(f, w, now);
}

static void begin(struct function *f, struct world *w, usec_t now)
{
	f->begin_at = now;
	if (w->plan->work == WORK_TRANSACTION)
		say(f, FUNCTION_BEGINNING, "BEGIN");
	else
		say_statement(f, w, now);
}

/* ReadyForQuery after an ERROR: get out of the transaction, then repeat on the same connection or give up. */
static void recover(struct function *f, struct world *w, usec_t now, uint8_t tx_status)
{
	if (tx_status != TX_IDLE && f->state != FUNCTION_UNDOING) {
		say(f, FUNCTION_UNDOING, "ROLLBACK");
		return;
	}
	if (tx_status != TX_IDLE) {
		broke_protocol(f, w, now, "a transaction is still open after ROLLBACK");
		return;
	}
	f->is_failing = false;
	if (f->thawed_at)
		samples_add(&w->stats.resume, now - f->thawed_at);
	f->thawed_at = 0;
	if (try_again(f, w, now, FUNCTION_RESTING))
		return;
	give_up(f, w, now, FUNCTION_RESTING);
	if (f->state == FUNCTION_DONE)
		say_goodbye(f);
}

static void start_schedule(struct function *f, struct world *w, usec_t now)
{
	f->schedule_from = now + (usec_t)(world_random(w) * (double)w->plan->period); /* not all at the same instant */
	set_state(f, FUNCTION_RESTING);
	f->dies_at = 0;
	f->next_at = f->schedule_from;
}

static void first_ready(struct function *f, struct world *w, usec_t now)
{
	samples_add(&w->stats.connect, now - f->attempt_at);
	if (!f->was_connected)
		w->stats.connected++;
	f->was_connected = true;
	if (w->plan->period && !f->schedule_from)
		start_schedule(f, w, now);
	else if (w->plan->work == WORK_LOGIN)
		invocation_served(f, w, now);
	else
		begin(f, w, now);
}

static void begun(struct function *f, struct world *w, usec_t now)
{
	samples_add(&w->stats.wait, now - f->begin_at);
	samples_add(&timeline_at(&w->stats.timeline, now - w->began)->wait, now - f->begin_at);
	say_statement(f, w, now);
}

static void worked(struct function *f, struct world *w, usec_t now)
{
	if (breaks_off(f, w->plan, AT_TRANSACTION))
		break_off(f, w, now);
	else if (w->plan->work == WORK_QUERY)
		invocation_served(f, w, now);
	else
		say(f, FUNCTION_COMMITTING, "COMMIT");
}

static void on_ready(struct function *f, struct world *w, usec_t now, struct reader body)
{
	uint8_t tx_status = read_u8(&body);

	if (body.bad || reader_left(&body) > 0) {
		broke_protocol(f, w, now, "malformed ReadyForQuery");
		return;
	}
	if (f->is_failing) {
		recover(f, w, now, tx_status);
		return;
	}
	switch (f->state) {
	case FUNCTION_STARTING: first_ready(f, w, now); break;
	case FUNCTION_BEGINNING: begun(f, w, now); break;
	case FUNCTION_WORKING: worked(f, w, now); break;
	case FUNCTION_COMMITTING: invocation_served(f, w, now); break;
	case FUNCTION_ASLEEP:
	case FUNCTION_CONNECTING:
	case FUNCTION_LOGGING_IN:
	case FUNCTION_RESTING:
	case FUNCTION_UNDOING:
	case FUNCTION_IDLE:
	case FUNCTION_FROZEN:
	case FUNCTION_DONE: broke_protocol(f, w, now, "ReadyForQuery that nobody waits for"); break;
	}
}

static bool is_running(enum function_state s)
{
	return s == FUNCTION_BEGINNING || s == FUNCTION_WORKING || s == FUNCTION_COMMITTING || s == FUNCTION_UNDOING;
}

static void on_error(struct function *f, struct world *w, usec_t now, struct reader body)
{
	struct error_info e;

	error_parse(body, &e);
	if (!is_running(f->state) || strcmp(e.severity, "ERROR") != 0) { /* FATAL and PANIC close; during login all do */
		attempt_failed(f, w, now, e.sqlstate, e.message);
		return;
	}
	stats_error(&w->stats, e.sqlstate, e.message);
	f->is_failing = true;
}

static void on_authentication(struct function *f, struct world *w, usec_t now, struct reader body)
{
	struct login_failure why;

	if (f->state != FUNCTION_LOGGING_IN) {
		broke_protocol(f, w, now, "unexpected Authentication message");
		return;
	}
	switch (login_answer(&f->login, w->plan->user, w->plan->password, &w->keys, body, &f->out, &why)) {
	case RES_OK:
		f->state = FUNCTION_STARTING;
		break; /* not set_state(): connect_timeout runs until ReadyForQuery */
	case RES_MORE: break;
	case RES_PROTOCOL:
	case RES_LIMIT:
	case RES_REFUSED:
	case RES_SYSTEM: attempt_failed(f, w, now, why.key, why.message); break;
	}
}

/* Messages. */

static void on_copy(struct function *f, struct world *w, usec_t now, struct reader body)
{
	(void)body;
	attempt_failed(f, w, now, "copy", "the statement starts COPY, which functions of this herd can't speak");
}

static const struct handler {
	uint8_t type;
	uint32_t limit; /* of the whole message */
	void (*handle)(struct function *f, struct world *w, usec_t now, struct reader body);
} handlers[] = {
	/* everything else is skipped */
	{ MSG_AUTHENTICATION, SCRAM_MESSAGE_MAX + 9, on_authentication },
	{ MSG_ERROR_RESPONSE, ERROR_MAX, on_error },
	{ MSG_READY_FOR_QUERY, FRAME_HEADER_SIZE + 1, on_ready },
	{ MSG_COPY_IN_RESPONSE, ERROR_MAX, on_copy },
	{ MSG_COPY_OUT_RESPONSE, ERROR_MAX, on_copy },
	{ MSG_COPY_BOTH_RESPONSE, ERROR_MAX, on_copy },
};

static const struct handler *handler_of(uint8_t type)
{
	for (size_t i = 0; i < N_ELEMENTS(handlers); i++)
		if (handlers[i].type == type)
			return &handlers[i];
	return NULL;
}

/* Moves bytes into partial until it holds want of them. */
static bool collect(struct function *f, size_t want, const uint8_t **data, size_t *len)
{
	size_t n = MIN(want - f->partial.len, *len);

	write_bytes(&f->partial, *data, n);
	*data += n;
	*len -= n;
	return f->partial.len == want;
}

static bool may_come(const struct function *f, uint8_t type)
{
	if (f->state != FUNCTION_LOGGING_IN)
		return true;
	return type == MSG_AUTHENTICATION || type == MSG_ERROR_RESPONSE || type == MSG_NOTICE_RESPONSE ||
		type == MSG_NEGOTIATE_PROTOCOL_VERSION;
}

static void take_message(struct function *f, struct world *w, usec_t now, const uint8_t **data, size_t *len)
{
	struct reader in;
	struct frame frame;
	const struct handler *h;

	if (f->partial.len < FRAME_HEADER_SIZE && !collect(f, FRAME_HEADER_SIZE, data, len))
		return;
	in = reader_over(f->partial.data, f->partial.len);
	if (frame_peek(&in, &frame) != RES_OK || !may_come(f, frame.type)) {
		broke_protocol(f, w, now, "this isn't what a PostgreSQL server says");
		return;
	}
	h = handler_of(frame.type);
	if (!h) {
		f->skip = frame.length - FRAME_HEADER_SIZE;
		f->partial.len = 0;
		return;
	}
	if (frame.length > h->limit) {
		broke_protocol(f, w, now, "message is too long");
		return;
	}
	if (!collect(f, frame.length, data, len))
		return;
	in = reader_over(f->partial.data + FRAME_HEADER_SIZE, f->partial.len - FRAME_HEADER_SIZE);
	f->partial.len = 0; /* its bytes stay until the next collect() */
	h->handle(f, w, now, in);
}

void function_input(struct function *f, struct world *w, usec_t now, const uint8_t *data, size_t len)
{
	while (len > 0 && function_link(f) == LINK_OPEN) {
		size_t n = MIN(len, f->skip);

		f->skip -= n;
		data += n;
		len -= n;
		if (len > 0)
			take_message(f, w, now, &data, &len);
	}
}

void function_lost(struct function *f, struct world *w, usec_t now, const char *key, const char *message)
{
	if (function_link(f) == LINK_OPEN)
		attempt_failed(f, w, now, key, message);
}

static void die(struct function *f, struct world *w, const char *key, const char *limit)
{
	char message[ERROR_MESSAGE_SIZE];

	snprintf(message, sizeof(message), "%s, the first one while %s", limit,
		f->has_woken ? doing[f->state] : "not awake yet");
	stats_error(&w->stats, key, message);
	drop_connection(f);
}

static void run_out_of_time(struct function *f, struct world *w, usec_t now)
{
	char limit[64];

	snprintf(limit, sizeof(limit), "not served in %g s", (double)w->plan->timeout / USEC_PER_SEC);
	die(f, w, "timeout", limit);
	give_up(f, w, now, FUNCTION_ASLEEP);
}

static void end_of_rest(struct function *f, struct world *w, usec_t now)
{
	if (f->is_between)
		start_invocation(f, w, is_on_schedule(f, w->plan) ? due_at(f, w->plan) : now);
	begin(f, w, now);
}

void function_timer(struct function *f, struct world *w, usec_t now)
{
	if (f->dies_at && now >= f->dies_at) {
		run_out_of_time(f, w, now);
		return;
	}
	if (!f->next_at || now < f->next_at)
		return;
	switch (f->state) {
	case FUNCTION_ASLEEP: wake(f, w, now); break;
	case FUNCTION_RESTING: end_of_rest(f, w, now); break;
	case FUNCTION_FROZEN: thaw(f, w, now); break;
	case FUNCTION_CONNECTING:
	case FUNCTION_LOGGING_IN:
	case FUNCTION_STARTING:
		attempt_failed(f, w, now, "connect_timeout", "not logged in within connect_timeout");
		break;
	case FUNCTION_BEGINNING:
	case FUNCTION_WORKING:
	case FUNCTION_COMMITTING:
	case FUNCTION_UNDOING:
	case FUNCTION_IDLE:
	case FUNCTION_DONE: ASSERT(!"a state without a timer");
	}
}

void function_end(struct function *f, struct world *w, usec_t now)
{
	if (f->state == FUNCTION_DONE)
		return;
	if (function_is_finished(f)) {
		if (f->state == FUNCTION_IDLE)
			say_goodbye(f);
		set_state(f, FUNCTION_DONE);
		return;
	}
	die(f, w, "deadline", "cut off when the run ended");
	if (w->plan->period)
		miss(f, w,
			is_on_schedule(f, w->plan) ? MIN(left_of(f, w->plan), due_by(f, w->plan, now))
						   : left_of(f, w->plan));
	fail_for_good(f, w, now);
}
