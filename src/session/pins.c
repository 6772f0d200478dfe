#include "session/client.h"

#include "wire/msg.h"

#include <stdlib.h>
#include <string.h>

#define PROBE_TRIES 20
#define CUSTOM_NAMES_MAX 64

static void tell_pin(struct client *c, enum pin pin)
{
	struct error_info e = { .severity = "NOTICE", .sqlstate = "00000", .hint = pin_hint(pin) };
	char *message = xasprintf("pgweir keeps a server connection for this session: it has %s", pin_text(pin));

	e.message = message;
	e.detail = "It is kept until they are gone, and nobody else can use it meanwhile.";
	client_error(c, &e);
	free(message);
}

/* Whoever waits to hear whether there is a place among those that are pinned. At other workers the tick does it. */
static void wake_waiting(struct pool *p)
{
	LIST_FOREACH(&p->servers, n, next) {
		struct server *s = CONTAINER_OF(n, struct server, node);

		if (s->link == &client_link)
			client_unpause(s->client, PAUSE_PINS);
	}
}

/* What it has that can't follow it to another server. Leaving, or another server, ends all pins. */
void client_set_pins(struct client *c, unsigned pins)
{
	unsigned fresh = pins & ~c->pins;

	if (pins && !c->pins) {
		atomic_fetch_add_explicit(&c->pool->shared->pinned, 1, memory_order_relaxed);
		c->pinned_since = c->worker->loop.now;
		c->pinned_by = c->seen;
	} else if (!pins && c->pins) {
		atomic_fetch_sub_explicit(&c->pool->shared->pinned, 1, memory_order_relaxed);
	}
	c->pins = pins;
	if (c->is_pin_asked) { /* after the count: who finds no question under way finds the count that it led to */
		c->is_pin_asked = false;
		atomic_fetch_sub(&c->pool->shared->pins_asked, 1);
		wake_waiting(c->pool);
	}
	for (unsigned i = 0; fresh && i < PINS_N; i++) {
		if (!(fresh & 1u << i))
			continue;
		c->worker->pins_made[i]++;
		if (c->worker->config->pin_notice)
			tell_pin(c, (enum pin)(1u << i));
	}
	if (!pins)
		c->has_loaded = false;
}

/* ---- asking the server ---- */

/*
 * The server has what was found. The client should have that, too, except for what it had asked for at startup and is gone: it has
 * said RESET or DISCARD ALL, and on a direct connection that leads back to the startup's value.
 */
static void take_found_settings(struct client *c, struct server *s)
{
	const char *authorization = settings_get(s->reported, "session_authorization");
	struct settings *wanted;

	if (authorization && strcmp(authorization, c->pool->shared->user) != 0) /* not in pg_settings */
		settings_put(&s->probe.settings, "session_authorization", authorization);
	settings_unref(&s->settings);
	s->settings = settings_ref(s->probe.settings);
	wanted = settings_ref(s->probe.settings);
	for (size_t i = 0; c->startup && i < c->startup->n; i++)
		if (!settings_get(wanted, c->startup->items[i].name))
			settings_put(&wanted, c->startup->items[i].name, c->startup->items[i].value);
	client_set_settings(c, wanted);
	settings_unref(&wanted);
}

/* What it has set is unknown: that can't follow it, and must not be lost in silence. */
static void fail_probe(struct client *c, struct server *s)
{
	struct error_info e = { .sqlstate = s->has_failed ? s->our_sqlstate : "XX000",
		.message = "could not find out what the session has become, so it can't go on",
		.detail = s->has_failed ? s->our_message : NULL,
		.hint = "In transaction pooling, what holds for one transaction is better set with SET LOCAL." };

	s->close_reason = "unknown session state";
	client_end(c, &e);
}

static unsigned pins_found(const struct client *c, const struct server *s)
{
	if (c->pool->features == FEATURES_IGNORE)
		return 0;
	return s->probe.pins | (c->has_loaded ? PIN_LOAD : 0) | (c->wants_sequences ? PIN_SEQUENCE : 0);
}

/* Names of custom settings can't be listed: those that turned out to exist are asked for where others may hide. */
static void note_custom_names(struct client *c, const struct settings *found)
{
	struct pool *p = c->pool;

	for (size_t i = 0; found && i < found->n; i++)
		if (strchr(found->items[i].name, '.') && (!p->custom_names || p->custom_names->n < CUSTOM_NAMES_MAX))
			settings_put(&p->custom_names, found->items[i].name, "");
}

void client_forget_only_setting(struct client *c)
{
	free(c->only_setting);
	c->only_setting = NULL;
}

void client_will_ask(struct client *c)
{
	if (!c->pins || c->is_pin_asked)
		return;
	c->is_pin_asked = true;
	atomic_fetch_add(&c->pool->shared->pins_asked, 1);
}

void client_ask_server(struct client *c)
{
	struct settings *known = c->is_opaque ? c->pool->custom_names : NULL;

	client_will_ask(c);
	for (size_t i = 0; known && i < known->n; i++)
		settings_put(&c->custom_names, known->items[i].name, "");
	if (c->only_setting && !c->probe_tries)
		server_probe_single(c->server, c->only_setting);
	else
		server_probe(c->server, c->custom_names, c->probe_tries);
	client_forget_only_setting(c);
}

void client_probed(struct server *s, bool is_ok)
{
	struct client *c = s->client;
	if (!is_ok && ++c->probe_tries < PROBE_TRIES) { /* a cancel that came late may have hit it, or the session's statement_timeout */
		client_ask_server(c);
		return;
	}
	c->probe_tries = 0;
	if (!is_ok) {
		fail_probe(c, s);
		return;
	}
	take_found_settings(c, s);
	note_custom_names(c, s->probe.settings);
	if (c->is_opaque)
		s->opaque_client = c->id;
	c->is_opaque = false;
	settings_unref(&c->custom_names);
	client_set_told(c, s->reported);
	client_set_pins(c, pins_found(c, s));
	c->seen = 0;
	if (!c->pins)
		s->is_touched = false;
	if (!settings_same(s->settings, c->settings)) {
		server_sync(s, c->settings); /* also if it's given back: the client is to be told by ParameterStatus */
		return;
	}
	client_maybe_release(c);
	client_unpause(c, PAUSE_PROBE);
}
