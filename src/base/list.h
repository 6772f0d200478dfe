/*
 * list.h - doubly linked list whose links live inside the elements.
 *
 * A struct list is a head; a struct list_node sits in each element and is in at most one list. A zeroed node is in
 * none: list_is_linked() tells. list_remove() of a node in no list is a no-op, so that teardown needs no case.
 */
#ifndef PGWEIR_LIST_H
#define PGWEIR_LIST_H

#include "base/base.h"

struct list_node {
	struct list_node *prev, *next;
};

struct list {
	struct list_node head; /* head.next is the first, head.prev the last */
	size_t count;
};

static inline void list_init(struct list *l)
{
	l->head.prev = l->head.next = &l->head;
	l->count = 0;
}

static inline bool list_is_linked(const struct list_node *n)
{
	return n->next != NULL;
}

static inline bool list_is_empty(const struct list *l)
{
	return l->count == 0;
}

static inline void list_insert_(struct list *l, struct list_node *n, struct list_node *prev)
{
	ASSERT(!list_is_linked(n));
	n->prev = prev;
	n->next = prev->next;
	prev->next->prev = n;
	prev->next = n;
	l->count++;
}

static inline void list_push_front(struct list *l, struct list_node *n)
{
	list_insert_(l, n, &l->head);
}

static inline void list_push_back(struct list *l, struct list_node *n)
{
	list_insert_(l, n, l->head.prev);
}

static inline void list_remove(struct list *l, struct list_node *n)
{
	if (!list_is_linked(n))
		return;
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->prev = n->next = NULL;
	l->count--;
}

static inline struct list_node *list_first(const struct list *l)
{
	return l->count ? l->head.next : NULL;
}

static inline struct list_node *list_last(const struct list *l)
{
	return l->count ? l->head.prev : NULL;
}

static inline struct list_node *list_prev(const struct list *l, const struct list_node *n)
{
	return n->prev == &l->head ? NULL : n->prev;
}

static inline struct list_node *list_next(const struct list *l, const struct list_node *n)
{
	return n->next == &l->head ? NULL : n->next;
}

static inline struct list_node *list_pop_front(struct list *l)
{
	struct list_node *n = list_first(l);

	if (n)
		list_remove(l, n);
	return n;
}

/* The current element may be removed inside the loop; no other may. */
#define LIST_FOREACH(l, n, next_)                                                                            \
	for (struct list_node *n = list_first(l), *next_ = (n) ? list_next((l), (n)) : NULL; (n);            \
		(n) = next_, next_ = (n) ? list_next((l), (n)) : NULL)

#endif
