#include "net/mailbox.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

void mailbox_init(struct mailbox *mb, void *owner)
{
	atomic_init(&mb->head, NULL);
	mb->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ASSERT(mb->wake_fd >= 0);
	mb->owner = owner;
}

void mailbox_post(struct mailbox *mb, struct message *m)
{
	struct message *head = atomic_load_explicit(&mb->head, memory_order_relaxed);

	ASSERT(m->deliver && m->discard);
	do
		m->next = head;
	while (!atomic_compare_exchange_weak_explicit(
		&mb->head, &head, m, memory_order_seq_cst, memory_order_relaxed));
	if (!head) {
		uint64_t one = 1;
		ssize_t n = write(mb->wake_fd, &one, sizeof(one)); /* can't fail: the counter is far from full */

		ASSERT(n == sizeof(one));
	}
}

static struct message *take_all(struct mailbox *mb)
{
	struct message *m = atomic_exchange(&mb->head, NULL), *first = NULL;

	while (m) {
		struct message *next = m->next;

		m->next = first;
		first = m;
		m = next;
	}
	return first;
}

size_t mailbox_deliver(struct mailbox *mb)
{
	struct message *next;
	size_t n = 0;

	for (struct message *m = take_all(mb); m; m = next) {
		next = m->next;
		m->deliver(m, mb->owner);
		n++;
	}
	return n;
}

void mailbox_discard(struct mailbox *mb)
{
	struct message *next;

	for (struct message *m = take_all(mb); m; m = next) {
		next = m->next;
		m->discard(m);
	}
}

void mailbox_destroy(struct mailbox *mb)
{
	mailbox_discard(mb);
	close(mb->wake_fd);
}
