/*
 * auth_query.h - finds users' secrets in PostgreSQL, for logins whose user auth_file doesn't know.
 *
 * A login asks by message (struct lookup). A database's questions all go to one worker, auth_query_worker(), which keeps what it was
 * told (auth/auth_cache.h) and asks each question once, however many logins wait for the answer.
 *
 * Safety:    the query runs in the extended protocol with the name as its parameter, on connections of auth_user that no client ever
 *            gets, and with a search_path of pg_catalog alone. Whatever it answers but one good row, the login is refused, and
 *            the log has the cause.
 * Away:      while PostgreSQL can't be asked, an old answer serves (for AUTH_STALE_MAX). Without one the login waits for its deadline.
 * Limits:    AUTH_QUERY_TIME for a query; connections: see own pools in pool/shared.h; answers kept: AUTH_QUERY_KEPT.
 * Ownership: lookups are its own from auth_query_ask() until they are answered.
 * Threads:   its worker's, but for auth_query_worker().
 */
#ifndef PGWEIR_AUTH_QUERY_H
#define PGWEIR_AUTH_QUERY_H

#include "auth/lookup.h"
#include "pool/worker.h"

#define AUTH_QUERY_KEPT 10000
#define AUTH_QUERY_TIME (15 * USEC_PER_SEC)
#define AUTH_QUERY_PATIENCE                                                                                  \
	(2 * USEC_PER_SEC) /* then an old answer serves while the question is still on its way */

int auth_query_worker(const struct lookup *q, int n_workers);
void auth_query_ask(struct message *m, void *owner); /* deliver() of a lookup */
void auth_query_tick(struct worker *w);
void auth_query_reload(struct worker *w); /* there is a new snapshot: each question is asked anew */
void auth_query_stop(struct worker *w);	  /* answers whoever waits; every later question fails */
void auth_query_free(struct worker *w);

#endif
