#include "http/api.h"
#include "http/http_private.h"
#include "http/metrics.h"
#include "http/page.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define COMPLAIN_EVERY (60 * USEC_PER_SEC)

/* ---- health ---- */

static void get_health(struct http_conn *c)
{
	conn_answer_text(c, 200, "ok\n");
}

bool http_is_ready(const struct http *h, char *why, size_t size)
{
	const struct console_host *d = h->host.daemon;
	usec_t limit = http_config(h)->http_unready_after, now = h->host.loop->now, since = h->away_since;

	if (d->is_shutting_down(d->ctx)) {
		snprintf(why, size, "draining");
		return false;
	}
	if (!limit || !since || now < since + limit)
		return true;
	snprintf(why, size, "PostgreSQL has been away for %llu s",
		(unsigned long long)((now - since) / USEC_PER_SEC));
	return false;
}

static void get_readiness(struct http_conn *c)
{
	char why[100], text[128];

	if (http_is_ready(c->http, why, sizeof(why))) {
		conn_answer_text(c, 200, "ready\n");
		return;
	}
	snprintf(text, sizeof(text), "not ready: %s\n", why);
	conn_answer_text(c, 503, text);
}

static void get_page(struct http_conn *c)
{
	conn_answer(c, 200, CONTENT_HTML, page_html, page_html_len);
}

/* ---- who may ---- */

static bool is_loopback_name(const char *host)
{
	struct http_place places[HTTP_PLACES_MAX];
	char text[HTTP_HOST_MAX + 8], why[100];
	size_t n;

	if (!*host || strcasecmp(host, "localhost") == 0)
		return true;
	snprintf(text, sizeof(text), "%s:1", host);
	return http_listen_parse(text, places, &n, why, sizeof(why)) == RES_OK && n == 1 && places[0].is_loopback;
}

static void log_refusal(struct http_conn *c)
{
	struct http *h = c->http;
	usec_t now = h->host.loop->now;
	struct address peer = { .len = 0 };
	char text[ADDRESS_TEXT_MAX];

	h->counts.refused_tokens++;
	if (h->token_complained_at && now < h->token_complained_at + COMPLAIN_EVERY)
		return;
	h->token_complained_at = now;
	address_peer(c->stream.fd, &peer);
	address_text(&peer, text);
	log_warning(NULL, "http: a wrong token from %s; %llu have been refused so far", text,
		(unsigned long long)h->counts.refused_tokens);
}

/* False: it has been told so. */
static bool is_allowed(struct http_conn *c, const struct http_request *r)
{
	const struct http *h = c->http;

	if (h->token && !*h->token) {
		if (is_loopback_name(r->host))
			return true;
		conn_answer_text(c, 403, "without a token only localhost is served by name\n");
		return false;
	}
	if (r->token && token_is(h, r->token, r->token_len))
		return true;
	if (r->token)
		log_refusal(c);
	conn_answer_text(c, 401, r->token ? "this is not the token\n" : "a bearer token is needed\n");
	return false;
}

/* ---- what there is ---- */

static const struct {
	const char *path;
	bool is_open; /* needs no token */
	void (*get)(struct http_conn *c);
} routes[] = {
	{ "/", true, get_page },
	{ "/healthz", true, get_health },
	{ "/readyz", true, get_readiness },
	{ "/metrics", false, get_metrics },
};

void route(struct http_conn *c, const struct http_request *r)
{
	c->is_head = r->method == HTTP_HEAD;
	c->is_keep_alive = r->is_keep_alive;
	c->wants_openmetrics = r->wants_openmetrics;
	memcpy(c->path, r->path, sizeof(c->path));
	memcpy(c->query, r->query, sizeof(c->query));
	if (r->method == HTTP_OTHER) {
		conn_answer_text(c, 405, "only GET and HEAD are understood\n");
		return;
	}
	for (size_t i = 0; i < N_ELEMENTS(routes); i++) {
		if (strcmp(c->path, routes[i].path) != 0)
			continue;
		if (routes[i].is_open || is_allowed(c, r))
			routes[i].get(c);
		return;
	}
	if (is_allowed(c, r) && !get_api(c))
		conn_answer_text(c, 404, "there is nothing at this path\n");
}
