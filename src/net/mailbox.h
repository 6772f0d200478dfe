/*
 * mailbox.h - how threads talk: a queue of messages with many senders and one receiver.
 *
 * A message carries its own two functions, so that this module knows nothing of what is sent: the receiver's thread calls
 * deliver(), which owns the message from then on; discard() is called instead where the receiver is gone. Senders keep no pointer.
 *
 * Order:    messages of one sender arrive in the order they were posted.
 * Wake-ups: one eventfd write for a batch: only the message that finds the queue empty wakes the receiver.
 * Threads:  mailbox_post() from any thread, everything else from the receiver's (or after it was joined).
 */
#ifndef PGWEIR_MAILBOX_H
#define PGWEIR_MAILBOX_H

#include "base/base.h"

struct message {
	struct message *next;
	void (*deliver)(struct message *m, void *owner);
	void (*discard)(struct message *m);
};

struct mailbox {
	struct message *_Atomic head; /* newest first */
	int wake_fd;
	void *owner;
};

void mailbox_init(struct mailbox *mb, void *owner);
void mailbox_post(struct mailbox *mb, struct message *m);
size_t mailbox_deliver(struct mailbox *mb); /* everything that is there, oldest first; yields how many */
void mailbox_discard(struct mailbox *mb);   /* the same by discard(); for teardown */
void mailbox_destroy(struct mailbox *mb);

#endif
