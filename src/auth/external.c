#include "auth/external.h"

#include "auth/external_private.h"

#include <pthread.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STOP_PATIENCE 2 /* seconds for threads that are still asking somebody */
#define TOO_LATE "its time was up before anybody could be asked"
#define PASSWD_TEXT_MAX (64 << 10) /* of one line of the system's user list */

struct external {
	pthread_mutex_t lock; /* guards what follows; held while an answer is posted, otherwise a leaf */
	pthread_cond_t wake;
	struct list waiting;
	pthread_t *threads;
	int n_threads, max_threads, n_idle;
	bool is_stopping, is_left_behind;
};

void verdict_refuse(struct verdict *v, const char *format, ...)
{
	va_list ap;

	v->is_accepted = false;
	va_start(ap, format);
	vsnprintf(v->why, sizeof(v->why), format, ap);
	va_end(ap);
}

/* --- the system's users ------------------------------------------------------------------------- */

static void ask_system(const struct lookup *q, struct verdict *v)
{
	char *text = xmalloc(PASSWD_TEXT_MAX);
	struct passwd entry, *found = NULL;
	int e = getpwuid_r((uid_t)q->peer_uid, &entry, text, PASSWD_TEXT_MAX, &found);

	v->is_accepted = found && auth_rules_allow(q->snapshot->rules, q->rule, entry.pw_name, q->user);
	if (!found)
		verdict_refuse(v, "the system's user %lld has no name: %s", (long long)q->peer_uid,
			e ? strerrordesc_np(e) : "not found");
	else if (!v->is_accepted)
		verdict_refuse(v, "the system's user \"%.80s\" may not log in as this one", entry.pw_name);
	free(text);
}

/* --- a thread ----------------------------------------------------------------------------------- */

static void ask_somebody(const struct lookup *q, struct verdict *v)
{
	if (q->deadline && clock_now() >= q->deadline)
		verdict_refuse(v, "%s", TOO_LATE);
	else if (q->kind == LOOKUP_PEER)
		ask_system(q, v);
	else if (q->rule->method == HBA_PAM)
		ask_pam(q, v);
	else
		ask_ldap(q, v);
}

/* Under the lock: who stops us knows that nobody is answered afterwards. */
static void answer(struct external *e, struct lookup *q, const struct verdict *v)
{
	if (e->is_stopping)
		lookup_free(&q);
	else if (v->is_accepted)
		lookup_accept(&q);
	else
		lookup_refuse(&q, v->why);
}

static struct lookup *take(struct external *e)
{
	struct list_node *n = list_pop_front(&e->waiting);

	return n ? CONTAINER_OF(n, struct lookup, node) : NULL;
}

static void *external_main(void *arg)
{
	struct external *e = arg;

	pthread_setname_np(pthread_self(), "external");
	pthread_mutex_lock(&e->lock);
	while (!e->is_stopping) {
		struct verdict v = { 0 };
		struct lookup *q = take(e);

		if (!q) {
			e->n_idle++;
			pthread_cond_wait(&e->wake, &e->lock);
			e->n_idle--;
			continue;
		}
		pthread_mutex_unlock(&e->lock);
		ask_somebody(q, &v);
		pthread_mutex_lock(&e->lock);
		answer(e, q, &v);
	}
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

/* --- the others --------------------------------------------------------------------------------- */

struct external *external_start(int max_threads)
{
	struct external *e = xcalloc(1, sizeof(*e));

	e->max_threads = max_threads;
	e->threads = xcalloc((size_t)max_threads, sizeof(e->threads[0]));
	list_init(&e->waiting);
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->wake, NULL);
	return e;
}

/* If there can't be one more, the others have more to do. */
static void add_thread(struct external *e)
{
	if (e->n_threads < e->max_threads && pthread_create(&e->threads[e->n_threads], NULL, external_main, e) == 0)
		e->n_threads++;
}

/* Their logins are over, and nobody else would clear them away while all threads hang. Almost in the order of deadlines. */
static void drop_late(struct external *e)
{
	usec_t now = clock_now();

	LIST_FOREACH(&e->waiting, n, next) {
		struct lookup *q = CONTAINER_OF(n, struct lookup, node);

		if (!q->deadline)
			continue;
		if (now < q->deadline)
			return;
		list_remove(&e->waiting, n);
		lookup_refuse(&q, TOO_LATE);
	}
}

void external_ask(struct external *e, struct lookup *q)
{
	pthread_mutex_lock(&e->lock);
	if (e->is_stopping) {
		lookup_free(&q);
	} else {
		drop_late(e);
		list_push_back(&e->waiting, &q->node);
		if (e->waiting.count > (size_t)e->n_idle)
			add_thread(e);
		pthread_cond_signal(&e->wake);
	}
	pthread_mutex_unlock(&e->lock);
}

void external_stop(struct external *e)
{
	struct timespec until;
	struct lookup *q;

	pthread_mutex_lock(&e->lock);
	e->is_stopping = true;
	pthread_cond_broadcast(&e->wake);
	while ((q = take(e)))
		lookup_free(&q);
	pthread_mutex_unlock(&e->lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_PATIENCE;
	for (int i = 0; i < e->n_threads; i++) {
		if (pthread_timedjoin_np(e->threads[i], NULL, &until) == 0)
			continue;
		e->is_left_behind = true;
		pthread_detach(e->threads[i]);
	}
}

void external_free(struct external **ep)
{
	struct external *e = *ep;

	*ep = NULL;
	if (!e || e->is_left_behind) /* that thread still looks at it */
		return;
	pthread_cond_destroy(&e->wake);
	pthread_mutex_destroy(&e->lock);
	free(e->threads);
	free(e);
}
