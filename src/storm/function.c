#include "storm/function.h"

#include "wire/msg.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define ERROR_MAX 65536 /* of an ErrorResponse; PostgreSQL's own are far shorter */
#define BACKOFF_DOUBLINGS_MAX 6
#define SCRAM_NAME "SCRAM-SHA-256"

#define TO(s) (1u << (s))
#define TO_THE_END (TO(FUNCTION_ASLEEP) | TO(FUNCTION_DONE)) /* a connection that fails: again, or for good */
static const unsigned function_moves[FUNCTION_DONE + 1] = {
	/* nothing leaves FUNCTION_DONE */
	[FUNCTION_ASLEEP] = TO(FUNCTION_CONNECTING) | TO(FUNCTION_DONE),
	[FUNCTION_CONNECTING] = TO(FUNCTION_LOGGING_IN) | TO_THE_END,
	[FUNCTION_LOGGING_IN] = TO(FUNCTION_STARTING) | TO_THE_END,
	[FUNCTION_STARTING] = TO(FUNCTION_BEGINNING) | TO(FUNCTION_WORKING) | TO_THE_END,
	[FUNCTION_RESTING] = TO(FUNCTION_BEGINNING) | TO(FUNCTION_WORKING) | TO_THE_END,
	[FUNCTION_BEGINNING] = TO(FUNCTION_WORKING) | TO(FUNCTION_UNDOING) | TO(FUNCTION_RESTING) | TO_THE_END,
	[FUNCTION_WORKING] = TO(FUNCTION_COMMITTING) | TO(FUNCTION_UNDOING) | TO(FUNCTION_RESTING) |
		TO(FUNCTION_IDLE) | TO(FUNCTION_FROZEN) | TO_THE_END,
	[FUNCTION_COMMITTING] = TO(FUNCTION_UNDOING) | TO(FUNCTION_RESTING) | TO(FUNCTION_IDLE) | TO_THE_END,
	[FUNCTION_UNDOING] = TO(FUNCTION_RESTING) | TO_THE_END,
	[FUNCTION_IDLE] = TO(FUNCTION_DONE),
	[FUNCTION_FROZEN] = TO(FUNCTION_DONE),
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
}

static void forget_login(struct function *f)
{
	if (!f->scram)
		return;
	scram_wipe(f->scram);
	free(f->scram);
	f->scram = NULL;
}

void function_free(struct function *f)
{
	forget_login(f);
	writer_free(&f->out);
	writer_free(&f->partial);
}

enum function_link function_link(const struct function *f)
{
	switch (f->state) {
	case FUNCTION_ASLEEP:
	case FUNCTION_DONE: return LINK_NONE;
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

/* How a connection ends. */

static void drop_connection(struct function *f)
{
	forget_login(f);
	f->out.len = f->partial.len = f->skip = 0;
	f->is_failing = f->is_verified = false;
}

static void fail_for_good(struct function *f, struct world *w, usec_t now)
{
	set_state(f, FUNCTION_DONE);
	f->dies_at = 0;
	w->stats.failed++;
	samples_add(&w->stats.failed_at, now - w->began);
}

static usec_t pause_before_retry(const struct function *f, struct world *w)
{
	usec_t pause = w->plan->backoff << MIN(f->retries, BACKOFF_DOUBLINGS_MAX);

	return (usec_t)((double)pause * (0.5 + world_random(w))); /* jitter: a herd that failed together mustn't return together */
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
		return;
	}
	if (!try_again(f, w, now, FUNCTION_ASLEEP))
		fail_for_good(f, w, now);
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
		f->woke_at = f->next_at; /* when it should have woken: our own lateness counts as waiting */
		f->invoked_at = f->woke_at;
		f->dies_at = f->woke_at + w->plan->timeout;
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

static void begin(struct function *f, struct world *w, usec_t now)
{
	set_state(f, w->plan->is_simple ? FUNCTION_WORKING : FUNCTION_BEGINNING);
	f->begin_at = now;
	write_query(&f->out, w->plan->is_simple ? w->plan->sql : "BEGIN");
}

static void say(struct function *f, enum function_state next, const char *sql)
{
	set_state(f, next);
	write_query(&f->out, sql);
}

static void end_served(struct function *f, struct world *w, usec_t now)
{
	f->dies_at = 0;
	w->stats.served++;
	samples_add(&w->stats.served_at, now - w->began);
	switch (w->plan->after) {
	case AFTER_CLOSE:
		say_goodbye(f);
		set_state(f, FUNCTION_DONE);
		break;
	case AFTER_DROP: set_state(f, FUNCTION_DONE); break;
	case AFTER_IDLE: set_state(f, FUNCTION_IDLE); break;
	case AFTER_FREEZE:
		w->stats.frozen++;
		set_state(f, FUNCTION_FROZEN);
		break;
	}
}

static void invocation_served(struct function *f, struct world *w, usec_t now)
{
	w->stats.transactions++;
	samples_add(&w->stats.transaction, now - f->begin_at);
	samples_add(&w->stats.total, now - f->invoked_at);
	f->retries = 0;
	if (++f->invocations == w->plan->invocations) {
		end_served(f, w, now);
		return;
	}
	set_state(f, FUNCTION_RESTING);
	f->next_at = now + w->plan->think;
}

static bool is_last_freezing(const struct function *f, const struct plan *p)
{
	return p->after == AFTER_FREEZE && f->invocations + 1 == p->invocations;
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
	if (try_again(f, w, now, FUNCTION_RESTING))
		return;
	say_goodbye(f);
	fail_for_good(f, w, now);
}

static void first_ready(struct function *f, struct world *w, usec_t now)
{
	samples_add(&w->stats.connect, now - f->attempt_at);
	if (!f->was_connected)
		w->stats.connected++;
	f->was_connected = true;
	begin(f, w, now);
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
	case FUNCTION_BEGINNING: say(f, FUNCTION_WORKING, w->plan->sql); break;
	case FUNCTION_WORKING:
		if (w->plan->is_simple || is_last_freezing(f, w->plan))
			invocation_served(f, w, now);
		else
			say(f, FUNCTION_COMMITTING, "COMMIT");
		break;
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

/* Authentication. */

static void send_password(struct function *f, const char *response)
{
	msg_begin(&f->out, MSG_PASSWORD);
	write_cstring(&f->out, response);
	msg_end(&f->out);
}

static void hex(char *out, const uint8_t digest[16])
{
	for (int i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static bool md5_hex(const void *a, size_t a_len, const void *b, size_t b_len, char out[33])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t digest[EVP_MAX_MD_SIZE];
	bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1 && EVP_DigestUpdate(ctx, a, a_len) == 1 &&
		EVP_DigestUpdate(ctx, b, b_len) == 1 && EVP_DigestFinal_ex(ctx, digest, NULL) == 1;

	EVP_MD_CTX_free(ctx);
	if (ok)
		hex(out, digest);
	return ok;
}

static void answer_md5(struct function *f, struct world *w, usec_t now, struct reader body)
{
	const struct plan *p = w->plan;
	const uint8_t *salt = read_bytes(&body, 4);
	char stored[33], response[36] = "md5";

	if (!salt)
		broke_protocol(f, w, now, "malformed AuthenticationMD5Password");
	else if (!md5_hex(p->password, strlen(p->password), p->user, strlen(p->user), stored) ||
		!md5_hex(stored, 32, salt, 4, response + 3))
		attempt_failed(f, w, now, "md5", "OpenSSL refuses MD5 here");
	else
		send_password(f, response);
}

static bool offers_scram(struct reader mechanisms)
{
	const char *name;

	while (*(name = read_cstring(&mechanisms)))
		if (strcmp(name, SCRAM_NAME) == 0)
			return true;
	return false;
}

static void start_scram(struct function *f, struct world *w, usec_t now, struct reader body)
{
	struct writer first = { 0 };

	if (f->scram || !offers_scram(body)) {
		attempt_failed(f, w, now, "authentication",
			"the server offers no SASL mechanism but ones we don't know");
		return;
	}
	f->scram = xcalloc(1, sizeof(*f->scram));
	scram_client_first(f->scram, &first);
	msg_begin(&f->out, MSG_PASSWORD);
	write_cstring(&f->out, SCRAM_NAME);
	write_u32(&f->out, (uint32_t)first.len);
	write_bytes(&f->out, first.data, first.len);
	msg_end(&f->out);
	writer_free(&first);
}

static void continue_scram(struct function *f, struct world *w, usec_t now, struct reader body)
{
	struct writer final = { 0 };
	const struct scram_keys *keys;

	if (!f->scram || scram_client_challenge(f->scram, body) != RES_OK) {
		broke_protocol(f, w, now, "malformed SCRAM challenge");
		return;
	}
	keys = keys_find(&w->keys, w->plan->password, f->scram->secret.salt, f->scram->secret.salt_len,
		f->scram->secret.iterations);
	if (scram_client_final(f->scram, keys, &final) != RES_OK) {
		broke_protocol(f, w, now, "malformed SCRAM challenge");
	} else {
		msg_begin(&f->out, MSG_PASSWORD);
		write_bytes(&f->out, final.data, final.len);
		msg_end(&f->out);
	}
	writer_free(&final);
}

static void finish_scram(struct function *f, struct world *w, usec_t now, struct reader body)
{
	if (!f->scram || scram_client_verify(f->scram, body) != RES_OK)
		attempt_failed(f, w, now, "authentication", "the server couldn't prove that it knows the password");
	else
		f->is_verified = true;
}

static void on_authentication(struct function *f, struct world *w, usec_t now, struct reader body)
{
	uint32_t request = read_u32(&body);

	if (body.bad || f->state != FUNCTION_LOGGING_IN) {
		broke_protocol(f, w, now, "unexpected Authentication message");
		return;
	}
	if (request != AUTH_OK && !w->plan->password) {
		attempt_failed(f, w, now, "authentication",
			"the server asks for a password, and there is none in the URI or PGPASSWORD");
		return;
	}
	switch (request) {
	case AUTH_OK:
		if (f->scram && !f->is_verified) {
			attempt_failed(f, w, now, "authentication",
				"the server broke off SCRAM before its own proof");
			return;
		}
		forget_login(f);
		f->state = FUNCTION_STARTING; /* not set_state(): connect_timeout runs until ReadyForQuery */
		break;
	case AUTH_CLEARTEXT_PASSWORD: send_password(f, w->plan->password); break;
	case AUTH_MD5_PASSWORD: answer_md5(f, w, now, body); break;
	case AUTH_SASL: start_scram(f, w, now, body); break;
	case AUTH_SASL_CONTINUE: continue_scram(f, w, now, body); break;
	case AUTH_SASL_FINAL: finish_scram(f, w, now, body); break;
	default:
		attempt_failed(f, w, now, "authentication",
			"the server asks for a method other than password, md5 or SCRAM-SHA-256");
		break;
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

static void die(struct function *f, struct world *w, usec_t now, const char *key, const char *limit)
{
	char message[ERROR_MESSAGE_SIZE];

	snprintf(message, sizeof(message), "%s, the first one while %s", limit,
		f->has_woken ? doing[f->state] : "not awake yet");
	stats_error(&w->stats, key, message);
	drop_connection(f);
	fail_for_good(f, w, now);
}

void function_timer(struct function *f, struct world *w, usec_t now)
{
	char limit[64];

	if (f->dies_at && now >= f->dies_at) {
		snprintf(limit, sizeof(limit), "not served in %g s", (double)w->plan->timeout / USEC_PER_SEC);
		die(f, w, now, "timeout", limit);
		return;
	}
	if (!f->next_at || now < f->next_at)
		return;
	switch (f->state) {
	case FUNCTION_ASLEEP: wake(f, w, now); break;
	case FUNCTION_RESTING:
		if (f->retries == 0)
			f->invoked_at = now;
		begin(f, w, now);
		break;
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
	case FUNCTION_FROZEN:
	case FUNCTION_DONE: ASSERT(!"a state without a timer");
	}
}

void function_end(struct function *f, struct world *w, usec_t now)
{
	if (f->state == FUNCTION_DONE)
		return;
	if (f->state == FUNCTION_IDLE || f->state == FUNCTION_FROZEN) {
		if (f->state == FUNCTION_IDLE)
			say_goodbye(f);
		set_state(f, FUNCTION_DONE);
		return;
	}
	die(f, w, now, "deadline", "cut off when the run ended");
}
