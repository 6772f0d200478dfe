#include "http/http_private.h"

#include <stdlib.h>

struct asking {
	struct list_node node;
	uint64_t id;
	unsigned wants;
	int due; /* workers that haven't answered yet */
	struct report **reports;
	int n_reports;
};

static void free_asking(struct asking *a)
{
	while (a->n_reports)
		report_free(&a->reports[--a->n_reports]);
	free(a->reports);
	free(a);
}

static void answer_all(struct http *h, struct asking *a)
{
	static const struct column no_columns[1];
	struct rows rows = { .columns = no_columns };
	struct show show = { .console = h->host.console,
		.rows = &rows,
		.reports = a->reports,
		.n_reports = a->n_reports,
		.now = h->host.loop->now };

	LIST_FOREACH(&h->conns, n, next) {
		struct http_conn *c = CONTAINER_OF(n, struct http_conn, node);

		if (c->asking != a)
			continue;
		c->asking = NULL;
		c->answer(c, &show);
	}
	list_remove(&h->askings, &a->node);
	free_asking(a);
}

static struct asking *find(struct http *h, uint64_t id)
{
	LIST_FOREACH(&h->askings, n, next) {
		struct asking *a = CONTAINER_OF(n, struct asking, node);

		if (a->id == id)
			return a;
	}
	return NULL;
}

/* Nobody may be waiting any longer: the workers' answers are taken all the same. */
static void on_answered(void *ctx, struct report *r)
{
	struct http *h = ctx;
	struct asking *a = find(h, r->job);

	ASSERT(a && a->due > 0);
	a->reports[a->n_reports++] = r;
	if (--a->due == 0)
		answer_all(h, a);
}

/* One that is on its way and asks for all this: its answers are a moment old at most, and a crowd of readers costs the workers no more than one. */
static struct asking *find_running(struct http *h, unsigned wants)
{
	LIST_FOREACH(&h->askings, n, next) {
		struct asking *a = CONTAINER_OF(n, struct asking, node);

		if ((a->wants & wants) == wants)
			return a;
	}
	return NULL;
}

static struct asking *start(struct http *h, unsigned wants)
{
	const struct console_host *d = h->host.daemon;
	struct asking *a = xcalloc(1, sizeof(*a));
	const struct question q = { .wants = wants,
		.job = ++h->next_asking,
		.answered = on_answered,
		.ctx = h,
		.reply_to = &h->host.loop->mailbox };

	a->id = h->next_asking;
	a->wants = wants;
	a->due = d->n_workers;
	a->reports = xcalloc((size_t)d->n_workers, sizeof(struct report *));
	list_push_back(&h->askings, &a->node);
	for (int i = 0; i < d->n_workers; i++)
		question_post(d->workers[i], &q);
	return a;
}

void http_ask_workers(struct http_conn *c, unsigned wants, http_answer_fn *answer)
{
	struct asking *a = find_running(c->http, wants);

	conn_wait(c);
	c->answer = answer;
	c->asking = a ? a : start(c->http, wants);
}

void http_ask_forget(struct http_conn *c)
{
	c->asking = NULL;
}

void http_ask_end(struct http *h)
{
	LIST_FOREACH(&h->askings, n, next)
		free_asking(CONTAINER_OF(n, struct asking, node));
	list_init(&h->askings);
}
