/*
 * http.h - metrics, health and the status page over HTTP, for whoever watches pgweir.
 *
 *	/metrics	OpenMetrics or the Prometheus text format (metrics.h)
 *	/api/NAME.json	any view of the console (api.h)
 *	/		the status page, which polls /api (page.html)
 *	/healthz	200 while the process lives; no token needed, as for
 *	/readyz		503 while draining, or while PostgreSQL has been away for http_unready_after
 *
 *	server.c        connections: who may stay, for how long, what is sent
 *	http_request.c  what is read from them
 *	route.c         what is asked for, and who may
 *	ask.c           questions to the workers (admin/report.h)
 *
 * Bounds:  HTTP_CONNECTIONS at once, each with one request in hand. The newest gets the place of the one that has been slow for
 *          longest, so nobody can shut the door by standing in it. Every state has a time limit; answers have HTTP_BODY_MAX.
 * Access:  a bearer token, if one is set. Without one only loopback is listened on (http_listen.h), and the Host must be loopback's,
 *          so that no page in a browser on this machine gets in by a name of its own.
 * Port in use: it is tried again every second, and logged once: a pooler that takes over from another starts while that one still
 *          listens, and no status port should keep a pooler from its work.
 * Threads: the main thread's. http_free() after its loop has stopped and the workers are joined, before the console.
 * Why not evhttp: libevent 2.1 has no hook for a connection before its first request is whole, so there is no way to count
 *          them, to choose one to give up, or to limit how long a request takes to arrive. Our stream has all that already.
 */
#ifndef PGWEIR_HTTP_H
#define PGWEIR_HTTP_H

#include "admin/console.h"

#define HTTP_CONNECTIONS 64
#define HTTP_BODY_MAX (4u << 20)

struct http;

struct http_host {
	struct loop *loop;
	struct console *console; /* whose views are shown */
	const struct console_host *daemon;
};

/* Is there a token that can be used, wherever the configuration says that it is? False, and why. */
bool http_check(const struct config *c, char *error, size_t error_size);
/* Listens, but answers nobody before http_start(). NULL, and why. */
struct http *http_open(const struct config *c, char *error, size_t error_size);
void http_start(struct http *h, const struct http_host *host);
void http_set_config(struct http *h, const struct config *c); /* after a reload: the token may be another */
void http_tick(struct http *h);				      /* once a second */
void http_free(struct http **h);			      /* NULL is fine */

#endif
