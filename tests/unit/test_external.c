#include "auth/external.h"

#include "rig.h"
#include "unit.h"

#include <poll.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

static const struct hba_rule peer_rule = { .method = HBA_PEER };

struct fixture {
	struct external *external;
	struct snapshot *snapshot;
	struct mailbox mailbox;
	struct lookup *answers[64]; /* by number */
	size_t n;
};

static void take(struct message *m, void *owner)
{
	struct fixture *f = owner;
	struct lookup *q = lookup_of(m);

	ck_assert_ptr_null(f->answers[q->login]);
	f->answers[q->login] = q;
	f->n++;
}

static void begin(struct fixture *f, int threads)
{
	memset(f, 0, sizeof(*f));
	f->snapshot = rig_snapshot("auth_type = trust", "");
	mailbox_init(&f->mailbox, f);
	f->external = external_start(threads);
}

/* External has been stopped already. */
static void end(struct fixture *f)
{
	external_free(&f->external);
	for (size_t i = 0; i < N_ELEMENTS(f->answers); i++)
		lookup_free(&f->answers[i]);
	mailbox_destroy(&f->mailbox);
	snapshot_unref(&f->snapshot);
}

static void ask(struct fixture *f, uint64_t number, const char *user, int64_t uid, usec_t deadline)
{
	struct lookup *q = lookup_new(LOOKUP_PEER, number, f->snapshot, "app", user, NULL, "unix");

	q->rule = &peer_rule;
	q->peer_uid = uid;
	q->deadline = deadline;
	q->reply_to = &f->mailbox;
	q->deliver = take;
	external_ask(f->external, q);
}

static void wait_for(struct fixture *f, size_t n)
{
	struct pollfd p = { .fd = f->mailbox.wake_fd, .events = POLLIN };

	while (f->n < n) {
		ck_assert_int_eq(poll(&p, 1, 30000), 1);
		mailbox_deliver(&f->mailbox);
	}
}

static const char *own_name(void)
{
	const struct passwd *me = getpwuid(geteuid());

	return me ? me->pw_name : NULL;
}

START_TEST(a_process_is_the_user_of_its_name)
{
	struct fixture f;

	if (!own_name())
		return; /* a container's user without a name */
	begin(&f, 1);
	ask(&f, 0, own_name(), geteuid(), 0);
	ask(&f, 1, "somebody else", geteuid(), 0);
	ask(&f, 2, own_name(), 4294967290, 0); /* nobody's */
	wait_for(&f, 3);
	ck_assert_int_eq(f.answers[0]->answer, LOOKUP_ACCEPTED);
	ck_assert_int_eq(f.answers[1]->answer, LOOKUP_REFUSED);
	ck_assert_ptr_nonnull(strstr(f.answers[1]->text, own_name()));
	ck_assert_int_eq(f.answers[2]->answer, LOOKUP_REFUSED);
	ck_assert_ptr_nonnull(strstr(f.answers[2]->text, "has no name"));
	external_stop(f.external);
	end(&f);
}
END_TEST

START_TEST(who_comes_too_late_is_refused_without_asking)
{
	struct fixture f;

	begin(&f, 1);
	ask(&f, 0, "bob", geteuid(), clock_now() - 1);
	wait_for(&f, 1);
	ck_assert_int_eq(f.answers[0]->answer, LOOKUP_REFUSED);
	ck_assert_str_eq(f.answers[0]->text, "its time was up before anybody could be asked");
	external_stop(f.external);
	end(&f);
}
END_TEST

/* With threads that all hang in a PAM module, questions and their passwords would pile up for as long as they do. */
START_TEST(whose_time_is_up_makes_room_although_nobody_is_asked)
{
	struct fixture f;

	begin(&f, 0);
	ask(&f, 0, "bob", geteuid(), 0);
	ask(&f, 1, "bob", geteuid(), clock_now() - 1);
	ask(&f, 2, "bob", geteuid(), clock_now() + 3600 * USEC_PER_SEC);
	ask(&f, 3, "bob", geteuid(), 0);
	wait_for(&f, 1);
	ck_assert_uint_eq(f.n, 1);
	ck_assert_ptr_nonnull(f.answers[1]);
	ck_assert_int_eq(f.answers[1]->answer, LOOKUP_REFUSED);
	external_stop(f.external);
	end(&f);
}
END_TEST

START_TEST(everybody_is_answered_once)
{
	struct fixture f;

	begin(&f, _i);
	for (uint64_t i = 0; i < N_ELEMENTS(f.answers); i++)
		ask(&f, i, "bob", geteuid(), 0);
	wait_for(&f, N_ELEMENTS(f.answers));
	external_stop(f.external);
	end(&f);
}
END_TEST

/* Some are answered, some are freed; a sanitizer says if one was forgotten. */
START_TEST(nobody_is_answered_after_the_stop)
{
	struct fixture f;
	size_t before;

	begin(&f, _i);
	for (uint64_t i = 0; i < N_ELEMENTS(f.answers) - 1; i++)
		ask(&f, i, "bob", geteuid(), 0);
	external_stop(f.external);
	mailbox_deliver(&f.mailbox);
	before = f.n;
	ask(&f, N_ELEMENTS(f.answers) - 1, "bob", geteuid(), 0);
	mailbox_deliver(&f.mailbox);
	ck_assert_uint_eq(f.n, before);
	end(&f);
}
END_TEST

UNIT_MAIN("external", {
	tcase_add_test(tc, a_process_is_the_user_of_its_name);
	tcase_add_test(tc, who_comes_too_late_is_refused_without_asking);
	tcase_add_test(tc, whose_time_is_up_makes_room_although_nobody_is_asked);
	tcase_add_loop_test(tc, everybody_is_answered_once, 1, 5);
	tcase_add_loop_test(tc, nobody_is_answered_after_the_stop, 1, 5);
})
