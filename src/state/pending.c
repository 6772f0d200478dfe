#include "state/pending.h"

#include "wire/msg.h"

#include <stdlib.h>
#include <string.h>

void pending_init(struct pending *p, pending_drop_fn *on_drop, void *ctx)
{
	memset(p, 0, sizeof(*p));
	p->tx_status = TX_IDLE;
	p->on_drop = on_drop;
	p->ctx = ctx;
}

static struct pending_entry *at(const struct pending *p, uint32_t i)
{
	return &p->ring[(p->head + i) & (p->cap - 1)];
}

static bool is_extended(uint8_t type)
{
	return type >= PEND_PARSE && type <= PEND_FAIL;
}

static void count(struct pending *p, uint8_t type, uint32_t change)
{
	if (type == PEND_QUERY || type == PEND_FUNCTION || type == PEND_SYNC)
		p->n_ready += change;
	else if (type == PEND_COPY_DATA || type == PEND_COPY_END)
		p->n_marks += change;
}

#define ONE_LESS UINT32_MAX /* modulo 2^32 */

static void grow(struct pending *p)
{
	uint32_t cap = p->cap ? p->cap * 2 : 16;
	struct pending_entry *ring = xmalloc(cap * sizeof(*ring));

	for (uint32_t i = 0; i < p->count; i++)
		ring[i] = *at(p, i);
	free(p->ring);
	p->ring = ring;
	p->cap = cap;
	p->head = 0;
}

static struct pending_entry pop(struct pending *p)
{
	struct pending_entry e = *at(p, 0);

	p->head = (p->head + 1) & (p->cap - 1);
	p->count--;
	count(p, e.type, ONE_LESS);
	return e;
}

/* Drops the first n entries, newest first: a later one may have built on what an earlier one assumed. */
static void drop_front(struct pending *p, uint32_t n)
{
	for (uint32_t i = n; i-- > 0;) {
		count(p, at(p, i)->type, ONE_LESS);
		p->on_drop(p->ctx, at(p, i));
		at(p, i)->ref = NULL; /* who walks the queue in the middle of this finds nothing of it */
	}
	p->head = (p->head + n) & (p->cap - 1);
	p->count -= n;
}

void pending_clear(struct pending *p)
{
	if (p->count)
		drop_front(p, p->count);
	free(p->ring);
	pending_init(p, p->on_drop, p->ctx);
}

static void note_state(struct pending *p, enum pending_type type)
{
	if (is_extended((uint8_t)type))
		p->is_batch_open = true;
	else if (type == PEND_SYNC || type == PEND_QUERY || type == PEND_FUNCTION)
		p->is_batch_open = p->has_portal = false;
	if (type == PEND_BIND || type == PEND_EXECUTE || type == PEND_FAIL)
		p->has_portal = true;
}

bool pending_sent(struct pending *p, enum pending_type type, bool is_ours, uint16_t detail, void *ref)
{
	struct pending_entry e = { .type = (uint8_t)type, .is_ours = is_ours, .detail = detail, .ref = ref };

	if (p->is_skipping && type != PEND_SYNC) {
		p->on_drop(p->ctx, &e);
		return false;
	}
	if (type == PEND_COPY_DATA &&
		(p->copy == COPY_IN || (p->count && at(p, p->count - 1)->type == PEND_COPY_DATA)))
		return true;
	if (type == PEND_COPY_END && p->copy == COPY_IN)
		p->copy = COPY_IN_ENDING;
	p->is_skipping = false;
	note_state(p, type);
	if (p->count == p->cap)
		grow(p);
	*at(p, p->count++) = e;
	count(p, e.type, 1);
	return true;
}

/* CopyData that found no COPY is ignored by PostgreSQL: nothing is due for it. */
static void skip_copy_marks(struct pending *p)
{
	while (p->n_marks && (at(p, 0)->type == PEND_COPY_DATA || at(p, 0)->type == PEND_COPY_END))
		pop(p);
}

/* Removes n entries behind the head; none of them has a ref. */
static void remove_behind_head(struct pending *p, uint32_t n)
{
	for (uint32_t i = 1; i <= n; i++)
		count(p, at(p, i)->type, ONE_LESS);
	for (uint32_t i = 1; i + n < p->count; i++)
		*at(p, i) = *at(p, i + n);
	p->count -= n;
}

/*
 * The server went into COPY for the head. Syncs that were sent before any CopyData are swallowed, unless it fails before it reads
 * anything (FREEZE, a statement trigger). One behind CopyData was swallowed if the copy succeeds; if it fails, it depends on the moment.
 */
static void copy_began(struct pending *p)
{
	uint32_t i = 1;
	bool data_seen = false;

	p->copy = COPY_IN;
	p->swallowed = 0;
	while (i < p->count) {
		struct pending_entry *e = at(p, i);

		if (e->type == PEND_COPY_END) {
			p->copy = COPY_IN_ENDING;
			return;
		}
		if (e->type == PEND_COPY_DATA) {
			data_seen = true;
		} else if (e->type != PEND_SYNC) {
			return; /* an error is on its way */
		} else if (!data_seen) {
			ASSERT(i == 1);
			remove_behind_head(p, 1);
			p->swallowed++;
			continue;
		} else {
			p->is_ambiguous = true;
		}
		i++;
	}
}

/*
 * The copy came to its good end: everything up to its CopyDone was part of it. Any other request in between would have made it
 * fail: then the server is out of step, and what has a ref must not be lost here.
 */
static void copy_succeeded(struct pending *p)
{
	p->copy = COPY_NONE;
	p->swallowed = 0;
	for (uint32_t i = 1; i < p->count; i++) {
		uint8_t type = at(p, i)->type;

		if (type == PEND_COPY_END) {
			remove_behind_head(p, i);
			p->is_ambiguous = false;
			return;
		}
		if (type != PEND_COPY_DATA && type != PEND_SYNC)
			return;
	}
}

static void drop_to_sync(struct pending *p)
{
	uint32_t n = 0;

	while (n < p->count && at(p, n)->type != PEND_SYNC)
		n++;
	p->is_skipping = n == p->count;
	drop_front(p, n);
}

static enum pending_verdict whose(const struct pending_entry *e)
{
	return e->is_ours ? PENDING_OURS : PENDING_CLIENT;
}

static enum pending_verdict on_error(struct pending *p, struct pending_entry *popped)
{
	struct pending_entry head;

	if (!p->count)
		return PENDING_FATAL;
	head = *at(p, 0);
	if (p->copy != COPY_NONE && p->swallowed)
		p->is_ambiguous = true;
	p->copy = COPY_NONE;
	if (is_extended(head.type)) {
		*popped = pop(p);
		drop_to_sync(p);
	}
	return whose(&head);
}

/* Which request types a message may answer, and whether it is their last word. */
static enum pending_verdict match(struct pending *p, unsigned passes, unsigned ends, struct pending_entry *popped)
{
	enum pending_verdict v;
	unsigned bit;

	if (!p->count)
		return PENDING_DESYNC;
	bit = 1u << at(p, 0)->type;
	if (!((passes | ends) & bit))
		return PENDING_DESYNC;
	v = whose(at(p, 0));
	if (ends & bit)
		*popped = pop(p);
	return v;
}

#define BIT(t) (1u << (t))
#define RUNNING (BIT(PEND_QUERY) | BIT(PEND_EXECUTE))

static enum pending_verdict on_command_end(struct pending *p, struct pending_entry *popped)
{
	if (p->copy != COPY_NONE && p->count && (BIT(at(p, 0)->type) & RUNNING))
		copy_succeeded(p);
	return match(p, BIT(PEND_QUERY), BIT(PEND_EXECUTE), popped);
}

static enum pending_verdict on_ready(struct pending *p, uint8_t tx_status, struct pending_entry *popped)
{
	if (tx_status != TX_IDLE && tx_status != TX_BLOCK && tx_status != TX_FAILED)
		return PENDING_DESYNC;
	p->tx_status = tx_status;
	p->copy = COPY_NONE;
	p->n_answered += !(p->count && at(p, 0)->is_ours);
	if (!p->count && p->is_ambiguous && p->swallowed) { /* it hadn't been swallowed after all */
		p->swallowed--;
		p->is_skipping = p->is_batch_open = false;
		popped->type = PEND_SYNC;
		popped->is_ours = false;
		popped->ref = NULL;
		return PENDING_CLIENT;
	}
	return match(p, 0, BIT(PEND_QUERY) | BIT(PEND_FUNCTION) | BIT(PEND_SYNC), popped);
}

enum pending_verdict pending_answer(
	struct pending *p, uint8_t msg_type, uint8_t tx_status, struct pending_entry *popped)
{
	enum pending_verdict v;

	popped->type = PEND_NONE;
	if (msg_type == MSG_NOTICE_RESPONSE || msg_type == MSG_PARAMETER_STATUS ||
		msg_type == MSG_NOTIFICATION_RESPONSE)
		return PENDING_ASYNC;
	skip_copy_marks(p);
	switch (msg_type) {
	case MSG_DATA_ROW:
	case MSG_COPY_OUT_RESPONSE:
	case MSG_COPY_DATA:
	case MSG_COPY_DONE: return match(p, RUNNING, 0, popped);
	case MSG_ROW_DESCRIPTION: return match(p, BIT(PEND_QUERY), BIT(PEND_DESCRIBE), popped);
	case MSG_COMMAND_COMPLETE:
	case MSG_EMPTY_QUERY_RESPONSE: return on_command_end(p, popped);
	case MSG_PORTAL_SUSPENDED:
		return p->copy == COPY_NONE ? match(p, 0, BIT(PEND_EXECUTE), popped) : PENDING_DESYNC;
	case MSG_READY_FOR_QUERY: return on_ready(p, tx_status, popped);
	case MSG_PARSE_COMPLETE: return match(p, 0, BIT(PEND_PARSE), popped);
	case MSG_BIND_COMPLETE: return match(p, 0, BIT(PEND_BIND), popped);
	case MSG_CLOSE_COMPLETE: return match(p, 0, BIT(PEND_CLOSE), popped);
	case MSG_NO_DATA: return match(p, 0, BIT(PEND_DESCRIBE), popped);
	case MSG_PARAMETER_DESCRIPTION: return match(p, BIT(PEND_DESCRIBE), 0, popped);
	case MSG_FUNCTION_CALL_RESPONSE: return match(p, BIT(PEND_FUNCTION), 0, popped);
	case MSG_ERROR_RESPONSE: return on_error(p, popped);
	case MSG_COPY_BOTH_RESPONSE: /* what it sends passes for rows; both sides may end it */
	case MSG_COPY_IN_RESPONSE:
		v = match(p, RUNNING, 0, popped);
		if (v != PENDING_DESYNC)
			copy_began(p);
		return v;
	default: return PENDING_DESYNC;
	}
}

bool pending_passes_rows(const struct pending *p)
{
	return p->count && (BIT(at(p, 0)->type) & RUNNING) && !at(p, 0)->is_ours;
}

const struct pending_entry *pending_head(struct pending *p)
{
	skip_copy_marks(p);
	return p->count ? at(p, 0) : NULL;
}

bool pending_pop_local(struct pending *p, struct pending_entry *e)
{
	const struct pending_entry *head = pending_head(p);

	if (!head || head->type != PEND_LOCAL)
		return false;
	*e = pop(p);
	return true;
}

bool pending_may_copy(const struct pending *p)
{
	return p->copy == COPY_IN || (p->count && at(p, p->count - 1)->type == PEND_COPY_DATA);
}

bool pending_is_between(struct pending *p)
{
	return !pending_head(p) && p->is_batch_open && !p->has_portal && !p->is_skipping &&
		!p->is_ambiguous && p->copy == COPY_NONE && p->tx_status == TX_IDLE;
}

bool pending_is_idle(struct pending *p)
{
	skip_copy_marks(p);
	return p->count == 0 && !p->is_skipping && !p->is_batch_open && p->copy == COPY_NONE &&
		p->tx_status == TX_IDLE;
}

void pending_each(struct pending *p, pending_each_fn *fn, void *ctx)
{
	for (uint32_t i = 0; i < p->count; i++)
		fn(ctx, at(p, i));
}

void pending_each_back(struct pending *p, pending_each_fn *fn, void *ctx)
{
	for (uint32_t i = p->count; i-- > 0;)
		fn(ctx, at(p, i));
}
