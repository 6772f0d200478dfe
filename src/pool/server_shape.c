#include "pool/server.h"
#include "wire/msg.h"

#include <stdlib.h>
#include <string.h>

static void keep_parameters(struct server *s, const struct server_message *m)
{
	free(s->parameters);
	s->parameters = xmalloc(m->body_len + 1);
	memcpy(s->parameters, m->body, m->body_len);
	s->parameters_len = m->body_len;
	s->parameters_shape = shape_of_parameters(reader_over(m->body, m->body_len));
}

static void tell_shape(struct server *s, const struct prepared_note *note, uint64_t shape)
{
	if (note->shapes == SHAPES_NAMED) {
		server_statements_shape(&s->statements, note->id, note->number, shape);
		return;
	}
	if (note->number != s->unnamed_number)
		return;
	s->is_unnamed_shape_due = false;
	s->unnamed_shape = shape;
}

void server_forget_shape(struct server *s, const struct prepared_note *note)
{
	tell_shape(s, note, SHAPE_UNKNOWN);
}

/* Too long to be looked at: SHAPE_UNKNOWN, and it can't be compared. */
static uint64_t shape_of_answer(const struct server *s, const struct server_message *m)
{
	if (m->frame.type == MSG_NO_DATA)
		return shape_of_nothing(s->parameters_shape);
	if (m->frame.type == MSG_ROW_DESCRIPTION && m->body)
		return shape_of_rows(s->parameters_shape, reader_over(m->body, m->body_len));
	return SHAPE_UNKNOWN;
}

void server_take_shape(struct server *s, const struct server_message *m)
{
	const struct pending_entry *head =
		m->popped.type == PEND_DESCRIBE ? &m->popped : pending_head(&s->pending);
	const struct prepared_note *note = head ? head->ref : NULL;

	if (!note || !note->shapes)
		return;
	if (m->frame.type == MSG_PARAMETER_DESCRIPTION) {
		if (m->body)
			keep_parameters(s, m);
		return;
	}
	s->shape = shape_of_answer(s, m);
	tell_shape(s, note, s->shape);
	if (note->statement && s->shape != SHAPE_UNKNOWN)
		note->statement->shape = s->shape;
	s->parameters_shape = SHAPE_UNKNOWN;
}
