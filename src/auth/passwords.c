#include "auth/passwords.h"

#include "auth/password_read.h"
#include "base/list.h"
#include "base/log.h"
#include "base/table.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define BACKOFF_FIRST USEC_PER_SEC
#define BACKOFF_MAX (60 * USEC_PER_SEC)

struct entry {
	uint64_t key; /* of all that the source says: keyed */
	UT_hash_handle hh;
	struct list_node by_use;       /* the least recently used first */
	struct password_source source; /* owned texts */
	struct credential *credential; /* what to use; NULL: none, or refused */
	struct credential *refused;    /* what the server didn't take last */
	usec_t read_at, next_read;     /* next_read: not before; 0: whenever it's needed */
	unsigned refusals, failures;   /* since it last worked */
	char error[PASSWORD_ERROR_MAX];
	struct password_request *asking; /* newest first; they wait for the job */
	struct list_node job;		 /* queued */
	bool is_busy;			 /* queued, or being read */
};

struct passwords {
	pthread_mutex_t lock; /* guards everything below; a leaf but for credentials' own locks */
	pthread_cond_t wake;
	struct entry *entries;
	struct list by_use, jobs;
	pthread_t threads[PASSWORD_THREADS];
	int n_threads, n_idle;
	bool is_stopping;

	atomic_bool stop; /* read by who runs a command */
};

/* ---- entries. Under the lock, from here to the threads ---- */

static void add_text(struct hash128_state *h, const char *text)
{
	hash128_add(h, text ? text : "", text ? strlen(text) + 1 : 1);
}

static uint64_t key_of(const struct password_source *s)
{
	struct hash128_state h;

	hash128_start(&h);
	hash128_add(&h, &s->port, sizeof(s->port));
	add_text(&h, s->file);
	add_text(&h, s->command);
	add_text(&h, s->user);
	add_text(&h, s->host);
	add_text(&h, s->database);
	return hash128_end(&h).lo;
}

static struct password_source copy_source(const struct password_source *s)
{
	return (struct password_source){
		.file = xstrdup(s->file),
		.command = xstrdup(s->command),
		.user = xstrdup(s->user),
		.host = xstrdup(s->host),
		.database = xstrdup(s->database),
		.port = s->port,
	};
}

static void free_source(struct password_source *s)
{
	char *command = (char *)(uintptr_t)s->command;

	secure_free(&command); /* it may hold a secret */
	free((void *)(uintptr_t)s->file);
	free((void *)(uintptr_t)s->user);
	free((void *)(uintptr_t)s->host);
	free((void *)(uintptr_t)s->database);
}

static void drop_entry(struct passwords *p, struct entry *e)
{
	HASH_DEL(p->entries, e);
	list_remove(&p->by_use, &e->by_use);
	credential_unref(&e->credential);
	credential_unref(&e->refused);
	free_source(&e->source);
	free(e);
}

static void make_room(struct passwords *p)
{
	if (p->by_use.count < PASSWORD_ENTRIES)
		return;
	LIST_FOREACH(&p->by_use, n, next) {
		struct entry *e = CONTAINER_OF(n, struct entry, by_use);

		if (e->is_busy)
			continue;
		drop_entry(p, e);
		return;
	}
}

static struct entry *get_entry(struct passwords *p, const struct password_source *s)
{
	uint64_t key = key_of(s);
	struct entry *e;

	HASH_FIND(hh, p->entries, &key, sizeof(key), e);
	if (e) {
		list_remove(&p->by_use, &e->by_use);
	} else {
		make_room(p);
		e = xcalloc(1, sizeof(*e));
		e->key = key;
		e->source = copy_source(s);
		HASH_ADD(hh, p->entries, key, sizeof(e->key), e);
	}
	list_push_back(&p->by_use, &e->by_use);
	return e;
}

/* The nth time in a row that something went wrong: none, then 1 s, 2 s, .. */
static usec_t pause_after(unsigned n)
{
	return n < 2 ? 0 : MIN(BACKOFF_FIRST << MIN(n - 2, 16u), BACKOFF_MAX);
}

static void set_error(struct entry *e, const char *what)
{
	snprintf(e->error, sizeof(e->error), "the server refuses the password of user \"%.40s\"%s",
		e->source.user, what);
}

/* A new password was read. */
static void take_password(struct entry *e, const char *password, usec_t now)
{
	struct credential *c = credential_new(e->source.user, password);

	e->failures = 0;
	if (e->refused && credential_same(c, e->refused)) {
		e->next_read = now + pause_after(++e->refusals);
		set_error(e, ", and its source gives the same again");
		credential_unref(&c);
		return;
	}
	e->read_at = now;
	e->next_read = 0;
	if (e->credential && credential_same(c, e->credential)) { /* keeps its keys */
		credential_unref(&c);
		return;
	}
	credential_unref(&e->credential);
	e->credential = c;
}

/* The old one, if there is one, stays in use. */
static void take_failure(struct entry *e, const char *why, usec_t now)
{
	e->next_read = now + pause_after(++e->failures + 1);
	snprintf(e->error, sizeof(e->error), "%s", why);
	log_warning(NULL, "%s", why);
}

static void answer(struct entry *e)
{
	struct password_request *r = e->asking;

	e->asking = NULL;
	while (r) {
		struct password_request *next = r->next_;

		r->credential = e->credential ? credential_ref(e->credential) : NULL;
		r->is_refused = e->refusals > 0;
		snprintf(r->error, sizeof(r->error), "%s", e->error);
		mailbox_post(r->reply_to, &r->message);
		r = next;
	}
}

/* ---- threads ---- */

static void run_job(struct passwords *p, struct entry *e)
{
	char why[PASSWORD_ERROR_MAX], *password;

	pthread_mutex_unlock(&p->lock); /* e is busy, so it stays, and its source doesn't change */
	password = password_read(&e->source, PASSWORD_TIME, &p->stop, why);
	pthread_mutex_lock(&p->lock);
	if (password)
		take_password(e, password, clock_now());
	else
		take_failure(e, why, clock_now());
	secure_free(&password);
	e->is_busy = false;
	answer(e);
}

static void *thread_main(void *arg)
{
	struct passwords *p = arg;

	pthread_setname_np(pthread_self(), "passwords");
	pthread_mutex_lock(&p->lock);
	while (!p->is_stopping) {
		struct list_node *n = list_pop_front(&p->jobs);

		if (n) {
			run_job(p, CONTAINER_OF(n, struct entry, job));
			continue;
		}
		p->n_idle++;
		pthread_cond_wait(&p->wake, &p->lock);
		p->n_idle--;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void start_thread(struct passwords *p)
{
	sigset_t all, had;
	int e;

	sigfillset(&all); /* signals are the main thread's */
	pthread_sigmask(SIG_SETMASK, &all, &had);
	e = pthread_create(&p->threads[p->n_threads], NULL, thread_main, p);
	pthread_sigmask(SIG_SETMASK, &had, NULL);
	ASSERT(e == 0);
	p->n_threads++;
}

static void queue_job(struct passwords *p, struct entry *e)
{
	e->is_busy = true;
	list_push_back(&p->jobs, &e->job);
	if (p->n_idle < (int)p->jobs.count && p->n_threads < PASSWORD_THREADS)
		start_thread(p);
	pthread_cond_signal(&p->wake);
}

/* ---- from any thread ---- */

struct passwords *passwords_new(void)
{
	struct passwords *p = xcalloc(1, sizeof(*p));

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	list_init(&p->by_use);
	list_init(&p->jobs);
	return p;
}

static void discard_requests(struct entry *e)
{
	struct password_request *r = e->asking;

	while (r) {
		struct password_request *next = r->next_;

		r->message.discard(&r->message);
		r = next;
	}
}

void passwords_free(struct passwords **pp)
{
	struct passwords *p = *pp;
	struct entry *e, *next;

	*pp = NULL;
	if (!p)
		return;
	atomic_store(&p->stop, true);
	pthread_mutex_lock(&p->lock);
	p->is_stopping = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	HASH_ITER(hh, p->entries, e, next) {
		discard_requests(e);
		drop_entry(p, e);
	}
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

enum password_state passwords_find(struct passwords *p, const struct password_source *s, usec_t ttl,
	usec_t now, struct credential **c, char error[PASSWORD_ERROR_MAX])
{
	enum password_state state;
	struct entry *e;

	pthread_mutex_lock(&p->lock);
	e = get_entry(p, s);
	if (e->credential && (now < e->read_at + ttl || now < e->next_read)) {
		*c = credential_ref(e->credential);
		state = PASSWORD_KNOWN;
	} else if (!e->credential && now < e->next_read) {
		snprintf(error, PASSWORD_ERROR_MAX, "%s", e->error);
		state = e->refusals ? PASSWORD_REFUSED : PASSWORD_FAILING;
	} else {
		state = PASSWORD_UNKNOWN;
	}
	pthread_mutex_unlock(&p->lock);
	return state;
}

void passwords_ask(struct passwords *p, const struct password_source *s, struct password_request *r)
{
	struct entry *e;

	pthread_mutex_lock(&p->lock);
	e = get_entry(p, s);
	r->next_ = e->asking;
	e->asking = r;
	if (!e->is_busy)
		queue_job(p, e);
	pthread_mutex_unlock(&p->lock);
}

static bool entry_refused(struct entry *e, struct credential *c, usec_t now)
{
	if (!e->credential) /* somebody else said it before */
		return e->refusals <= 1;
	if (!credential_same(e->credential, c)) /* there is a newer one */
		return true;
	credential_unref(&e->refused);
	e->refused = e->credential;
	e->credential = NULL;
	e->next_read = now + pause_after(++e->refusals);
	set_error(e, "");
	return e->refusals == 1;
}

bool passwords_refused(struct passwords *p, const struct password_source *s, struct credential *c, usec_t now)
{
	bool is_worth_it;

	pthread_mutex_lock(&p->lock);
	is_worth_it = entry_refused(get_entry(p, s), c, now);
	pthread_mutex_unlock(&p->lock);
	return is_worth_it;
}

void passwords_accepted(struct passwords *p, const struct password_source *s, struct credential *c)
{
	struct entry *e;

	pthread_mutex_lock(&p->lock);
	e = get_entry(p, s);
	if (e->credential && credential_same(e->credential, c)) {
		e->refusals = 0;
		credential_unref(&e->refused);
	}
	pthread_mutex_unlock(&p->lock);
}
