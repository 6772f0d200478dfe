#include "net/mailbox.h"

#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct owner {
	char got[64];
	size_t n;
	struct mailbox *reply_to; /* posts each message on, once */
};

struct letter {
	struct message message;
	char text;
	int *discarded;
};

static void deliver(struct message *m, void *arg)
{
	struct letter *l = (struct letter *)m;
	struct owner *o = arg;

	o->got[o->n++] = l->text;
	o->got[o->n] = '\0';
	if (o->reply_to && l->text != 'r') {
		l->text = 'r';
		mailbox_post(o->reply_to, m);
		return;
	}
	free(l);
}

static void discard(struct message *m)
{
	struct letter *l = (struct letter *)m;

	++*l->discarded;
	free(l);
}

static void post(struct mailbox *mb, char text, int *discarded)
{
	struct letter *l = xcalloc(1, sizeof(*l));

	l->message.deliver = deliver;
	l->message.discard = discard;
	l->text = text;
	l->discarded = discarded;
	mailbox_post(mb, &l->message);
}

/* How many times somebody woke the receiver since the last look. */
static uint64_t wakes(struct mailbox *mb)
{
	uint64_t n = 0;

	return read(mb->wake_fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

START_TEST(messages_arrive_in_order)
{
	struct owner o = { .n = 0 };
	struct mailbox mb;
	int discarded = 0;

	mailbox_init(&mb, &o);
	mailbox_deliver(&mb);
	for (const char *c = "abcdef"; *c; c++)
		post(&mb, *c, &discarded);
	ck_assert_uint_eq(o.n, 0); /* posting delivers nothing */
	mailbox_deliver(&mb);
	ck_assert_str_eq(o.got, "abcdef");
	mailbox_deliver(&mb);
	post(&mb, 'g', &discarded);
	mailbox_deliver(&mb);
	ck_assert_str_eq(o.got, "abcdefg");
	mailbox_destroy(&mb);
	ck_assert_int_eq(discarded, 0);
}
END_TEST

START_TEST(a_batch_wakes_once)
{
	struct owner o = { .n = 0 };
	struct mailbox mb;
	int discarded = 0;

	mailbox_init(&mb, &o);
	ck_assert_uint_eq(wakes(&mb), 0);
	for (int i = 0; i < 5; i++)
		post(&mb, 'x', &discarded);
	ck_assert_uint_eq(wakes(&mb), 1);
	mailbox_deliver(&mb);
	ck_assert_uint_eq(wakes(&mb), 0);
	post(&mb, 'x', &discarded);
	ck_assert_uint_eq(wakes(&mb), 1);
	mailbox_destroy(&mb);
}
END_TEST

START_TEST(what_is_posted_during_delivery_comes_next_time)
{
	struct owner o = { .n = 0 };
	struct mailbox mb;
	int discarded = 0;

	mailbox_init(&mb, &o);
	o.reply_to = &mb;
	post(&mb, 'a', &discarded);
	post(&mb, 'b', &discarded);
	wakes(&mb);
	mailbox_deliver(&mb);
	ck_assert_str_eq(o.got, "ab");
	ck_assert_uint_eq(wakes(&mb), 1);
	mailbox_deliver(&mb);
	ck_assert_str_eq(o.got, "abrr");
	mailbox_destroy(&mb);
}
END_TEST

START_TEST(who_is_gone_gets_nothing)
{
	struct owner o = { .n = 0 };
	struct mailbox mb;
	int discarded = 0;

	mailbox_init(&mb, &o);
	post(&mb, 'a', &discarded);
	mailbox_discard(&mb);
	ck_assert_int_eq(discarded, 1);
	post(&mb, 'b', &discarded);
	post(&mb, 'c', &discarded);
	mailbox_destroy(&mb);
	ck_assert_int_eq(discarded, 3);
	ck_assert_uint_eq(o.n, 0);
}
END_TEST

#define SENDERS 4
#define EACH 5000

struct crowd {
	struct mailbox mb;
	int next[SENDERS]; /* what is expected of each */
	int got;
};

struct numbered {
	struct message message;
	int sender, number;
};

static void deliver_numbered(struct message *m, void *arg)
{
	struct numbered *n = (struct numbered *)m;
	struct crowd *c = arg;

	ck_assert_int_eq(n->number, c->next[n->sender]++);
	c->got++;
	free(n);
}

static void discard_numbered(struct message *m)
{
	ck_abort_msg("message %d was discarded", ((struct numbered *)m)->number);
}

struct sender {
	struct crowd *crowd;
	int index;
};

static void *send_all(void *arg)
{
	struct sender *s = arg;

	for (int i = 0; i < EACH; i++) {
		struct numbered *n = xcalloc(1, sizeof(*n));

		n->message.deliver = deliver_numbered;
		n->message.discard = discard_numbered;
		n->sender = s->index;
		n->number = i;
		mailbox_post(&s->crowd->mb, &n->message);
	}
	return NULL;
}

/* The receiver looks only when it was woken: a lost wake-up would hang it. */
static void wait_for_wake(struct mailbox *mb)
{
	uint64_t n;
	fd_set set;

	FD_ZERO(&set);
	FD_SET(mb->wake_fd, &set);
	ck_assert_int_eq(select(mb->wake_fd + 1, &set, NULL, NULL, NULL), 1);
	ck_assert_int_eq(read(mb->wake_fd, &n, sizeof(n)), sizeof(n));
}

START_TEST(each_senders_order_is_kept_and_no_wakeup_is_lost)
{
	struct crowd c = { .got = 0 };
	struct sender senders[SENDERS];
	pthread_t threads[SENDERS];

	mailbox_init(&c.mb, &c);
	for (int i = 0; i < SENDERS; i++) {
		senders[i] = (struct sender){ &c, i };
		ck_assert_int_eq(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
	}
	while (c.got < SENDERS * EACH) {
		wait_for_wake(&c.mb);
		mailbox_deliver(&c.mb);
	}
	for (int i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	mailbox_destroy(&c.mb);
}
END_TEST

UNIT_MAIN("mailbox", {
	tcase_add_test(tc, messages_arrive_in_order);
	tcase_add_test(tc, a_batch_wakes_once);
	tcase_add_test(tc, what_is_posted_during_delivery_comes_next_time);
	tcase_add_test(tc, who_is_gone_gets_nothing);
	tcase_add_test(tc, each_senders_order_is_kept_and_no_wakeup_is_lost);
})
