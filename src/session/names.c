#include "session/names.h"

#include "session/request.h"

#include <string.h>

bool name_is_uncertain(const struct client *c, const struct client_statement *cs)
{
	return cs && !cs->is_confirmed && cs->batch != c->batch;
}

struct name_look {
	const struct client *c;
	const char *name;
	bool found;
};

static void look_for_removal(void *ctx, struct pending_entry *e)
{
	const struct prepared_note *note = e->ref;
	struct name_look *look = ctx;

	if (note && note->removes_name && note->batch != look->c->batch && strcmp(note->name->name, look->name) == 0)
		look->found = true;
}

bool name_may_come_back(const struct client *c, const char *name)
{
	struct name_look look = { .c = c, .name = name };

	if (!c->removals_due || !c->server || client_statements_find(&c->statements, name))
		return false;
	pending_each(&c->server->pending, look_for_removal, &look);
	return look.found;
}

bool unnamed_is_unclear(const struct client *c, const char *name)
{
	return !*name && c->is_tracked && c->unnamed_due && c->unnamed_batch != c->batch && c->server &&
		c->server->pending.copy == COPY_NONE && pending_head(&c->server->pending);
}

bool name_is_unclear(const struct client *c, const char *name)
{
	struct pending *p = c->server ? &c->server->pending : NULL;

	return p && c->is_forgetting && *name && p->copy == COPY_NONE && pending_head(p) &&
		client_statements_find(&c->statements, name);
}

/*
 * What it is about to send makes this its unnamed statement. The number is for the pending entry of that, and so is the note, if there is one: only where
 * an earlier change is still on its way.
 */
static uint16_t change_unnamed(struct client *c, struct statement *st, struct prepared_note **note)
{
	*note = NULL;
	if (c->unnamed_due++) {
		*note = xcalloc(1, sizeof(**note));
		(*note)->is_unnamed = true;
		(*note)->unnamed_before = c->unnamed;
		c->unnamed = NULL;
	}
	statement_unref(&c->unnamed);
	c->unnamed = statement_ref(st);
	c->unnamed_batch = c->batch;
	if (++c->unnamed_number == 0)
		c->unnamed_number = 1;
	return c->unnamed_number;
}

void unnamed_sent(struct client *c, enum pending_type type, struct statement *st)
{
	struct prepared_note *note;
	uint16_t number = change_unnamed(c, st, &note);

	request_sent(c, type, false, number, note);
}
