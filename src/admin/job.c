#include "admin/console_private.h"

#include <stdlib.h>

#define POLL_EVERY (20 * USEC_PER_MSEC)

void job_forget(struct job *j)
{
	while (j->n_reports)
		report_free(&j->reports[--j->n_reports]);
}

void job_end(struct job **jp)
{
	struct job *j = *jp;

	*jp = NULL;
	list_remove(&j->console->jobs, &j->node);
	if (j->client)
		j->client->job = NULL;
	job_forget(j);
	free(j->reports);
	free(j->database);
	free(j);
}

static void step(struct job *j)
{
	if (j->step(j))
		job_end(&j);
	else
		console_poll_soon(j->console);
}

/* The job may be over: its client was told something else meanwhile. */
static void on_answered(void *ctx, struct report *r)
{
	struct console *c = ctx;

	LIST_FOREACH(&c->jobs, n, next) {
		struct job *j = CONTAINER_OF(n, struct job, node);

		if (j->id != r->job)
			continue;
		ASSERT(j->due > 0);
		j->reports[j->n_reports++] = r;
		if (--j->due == 0)
			step(j);
		return;
	}
	report_free(&r);
}

void job_ask(struct job *j)
{
	const struct console_host *h = &j->console->host;

	job_forget(j);
	j->due = h->n_workers;
	for (int i = 0; i < h->n_workers; i++)
		question_post(h->workers[i], &j->question);
}

struct job *job_start(struct console *c, struct console_client *client, const struct question *q,
	bool (*step_fn)(struct job *j))
{
	struct job *j = xcalloc(1, sizeof(*j));

	j->console = c;
	j->id = ++c->next_job;
	j->client = client;
	j->question = *q;
	j->database = xstrdup(q->database);
	j->question.database = j->database;
	j->question.job = j->id;
	j->question.answered = on_answered;
	j->question.ctx = c;
	j->question.reply_to = &c->host.loop->mailbox;
	j->step = step_fn;
	j->reports = xcalloc((size_t)c->host.n_workers, sizeof(struct report *));
	list_push_back(&c->jobs, &j->node);
	if (client)
		client->job = j;
	job_ask(j);
	return j;
}

/* Those that have all answers and still wait for something. */
void console_poll(struct console *c)
{
	LIST_FOREACH(&c->jobs, n, next) {
		struct job *j = CONTAINER_OF(n, struct job, node);

		if (j->due == 0)
			step(j);
	}
}

void console_poll_soon(struct console *c)
{
	struct timeval tv = { .tv_usec = (suseconds_t)POLL_EVERY };

	if (!evtimer_pending(&c->poll_event, NULL))
		evtimer_add(&c->poll_event, &tv);
}
