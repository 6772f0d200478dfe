#include "session/stateful.h"

#include "session/prepare.h"

#include <stdlib.h>
#include <string.h>

#define PIN_WAIT_MAX (1 * USEC_PER_SEC) /* for the answer to a question that takes a millisecond */
#define HIDES_NAMES (SCAN_OPAQUE | SCAN_SUSPECT | SCAN_TRUNCATED)

static bool is_pool_full_of_pins(const struct client *c)
{
	return !c->pins &&
		atomic_load_explicit(&c->pool->shared->pinned, memory_order_relaxed) >= c->pool->max_pinned;
}

/* What it would make counts against max_pinned. */
static bool is_bounded(const struct client *c, unsigned makes)
{
	return makes && pins_of_scan(makes) && c->mode != POOL_SESSION && c->pool->features == FEATURES_PIN;
}

bool stateful_must_wait(struct client *c, unsigned makes)
{
	usec_t now = c->worker->loop.now;

	/* In this order: see client_set_pins(). */
	if (!is_bounded(c, makes) || !atomic_load(&c->pool->shared->pins_asked) || !is_pool_full_of_pins(c) ||
		(c->pin_wait_since && now - c->pin_wait_since >= PIN_WAIT_MAX)) {
		c->pin_wait_since = 0;
		return false;
	}
	c->pin_wait_since = c->pin_wait_since ? c->pin_wait_since : now;
	client_pause(c, PAUSE_PINS);
	worker_tick_fast(c->worker);
	return true;
}

struct prepared_note *stateful_refuse(const struct client *c, unsigned makes, enum fail_reason *reason)
{
	unsigned pins = makes ? pins_of_scan(makes) : 0;
	struct prepared_note *note;
	enum pin pin;

	if (!pins || c->mode == POOL_SESSION || c->pool->features == FEATURES_IGNORE)
		return NULL;
	if (c->pool->features == FEATURES_PIN && !is_pool_full_of_pins(c))
		return NULL;
	pin = (enum pin)(pins & -pins);
	if (c->pool->features == FEATURES_ERROR) {
		*reason = FAIL_FEATURE;
		note = prepare_note(xasprintf("sessions can't have %s here", pin_text(pin)));
		note->detail = xstrdup(
			"Server connections are shared transaction by transaction, and session_features is \"error\".");
	} else {
		*reason = FAIL_PINNED;
		note = prepare_note(
			xasprintf("too many sessions keep a server connection of their own (max_pinned)"));
		note->detail = xasprintf(
			"%d of the pool's server connections are kept by their clients, and this statement asks for %s.",
			atomic_load_explicit(&c->pool->shared->pinned, memory_order_relaxed), pin_text(pin));
	}
	note->hint = pin_hint(pin);
	return note;
}

/*
 * currval() and lastval(). The first time that a pool sees one, what others have left on the server goes now (not in the middle of a
 * transaction: there it's the transaction's own); from then on whenever a server changes hands.
 */
void stateful_note_sequences(struct client *c)
{
	c->pool->uses_sequences = c->asks_sequences = true;
	if (!c->has_sent)
		client_own_sequences(c);
}

void stateful_note(struct client *c, unsigned flags, const void *text, size_t len)
{
	if ((flags & SCAN_MAY_SET) && probe_collect_names(&c->custom_names, text, len) != RES_OK)
		c->server->close_reason = "too many custom settings";
	/* currval() and lastval() only read; what they read can't be probed for. */
	if (flags & ~(unsigned)(SCAN_TRANSACTION | SCAN_SEQUENCE)) {
		if (c->is_stateful)
			client_forget_only_setting(c);
		c->is_stateful = true;
	}
	if (flags & HIDES_NAMES)
		c->is_opaque = true;
	if (flags & SCAN_LISTEN)
		c->listens = true;
	if (flags & SCAN_SEQUENCE)
		stateful_note_sequences(c);
	c->seen |= flags;
}

void stateful_note_only_setting(struct client *c, const struct scan_result *r)
{
	if (*r->setting && !c->is_stateful && !c->pins && pending_is_idle(&c->server->pending) &&
		c->worker->config->session_probe == PROBE_SUSPECT)
		c->only_setting = xstrdup(r->setting);
}

bool stateful_deallocates_all(const struct scan_result *r)
{
	return (r->flags & (SCAN_DISCARD | SCAN_TRUNCATED)) ||
		((r->flags & SCAN_PREPARE) && (r->is_deallocate_all || r->statements > 1));
}

void stateful_prefer_server(struct client *c, unsigned flags)
{
	c->waiter.prefers = flags & SCAN_SEQUENCE ? c->last_server : 0;
}
