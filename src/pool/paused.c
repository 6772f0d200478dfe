#include "pool/paused.h"

#include <stdlib.h>
#include <string.h>

static size_t find(const struct paused *p, const char *database)
{
	size_t i = 0;

	while (i < p->n && strcmp(p->names[i], database) != 0)
		i++;
	return i;
}

bool paused_names(const struct paused *p, const char *database)
{
	return find(p, database) < p->n;
}

static void add(struct paused *p, const char *database)
{
	p->names = xrealloc(p->names, (p->n + 1) * sizeof(*p->names));
	p->names[p->n++] = xstrdup(database);
}

static void drop(struct paused *p, size_t at)
{
	free(p->names[at]);
	p->names[at] = p->names[--p->n];
}

void paused_set(struct paused *p, const char *database, bool is_paused)
{
	size_t at;

	if (!database) {
		p->all = is_paused;
		return;
	}
	at = find(p, database);
	if (is_paused && at == p->n)
		add(p, database);
	else if (!is_paused && at < p->n)
		drop(p, at);
}

void paused_free(struct paused *p)
{
	while (p->n)
		drop(p, 0);
	free(p->names);
	*p = (struct paused){ .all = false };
}
