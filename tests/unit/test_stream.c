#include "net/stream.h"

#include "rounds.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ALL SIZE_MAX
#define MANY 5 /* rounds, after which nothing more can happen */

/* One end is a stream, the other is the test's. What happens to the stream is written down: "[bytes]", "drained", "eof" .. */
struct rig {
	struct loop loop;
	struct stream stream;
	int peer;
	char log[512];
	size_t take;	     /* of what is offered */
	bool pauses, closes; /* in data() */
	struct rig *closes_other;
	struct rig *opens; /* in data(), after closing the other */
	size_t received;
};

static char common_log[512];

static void open_pair(struct rig *r, bool is_first);

static void note(struct rig *r, const char *what)
{
	snprintf(r->log + strlen(r->log), sizeof(r->log) - strlen(r->log), "%s%s", *r->log ? " " : "", what);
	snprintf(common_log + strlen(common_log), sizeof(common_log) - strlen(common_log), "%s ", what);
}

static size_t on_data(struct stream *s, const uint8_t *bytes, size_t len)
{
	struct rig *r = CONTAINER_OF(s, struct rig, stream);
	char text[64];

	if (len < 32)
		snprintf(text, sizeof(text), "[%.*s]", (int)len, (const char *)bytes);
	else
		snprintf(text, sizeof(text), "[..]");
	if (len < 32 || !r->received)
		note(r, text);
	r->received += MIN(len, r->take);
	if (r->pauses)
		stream_pause(s);
	if (r->closes_other)
		stream_close(&r->closes_other->stream);
	if (r->opens) {
		open_pair(r->opens, false);
		stream_attach(&r->opens->stream, s->loop);
	}
	if (r->closes)
		stream_close(s);
	return MIN(len, r->take);
}

static void on_drained(struct stream *s)
{
	note(CONTAINER_OF(s, struct rig, stream), "drained");
}

static void on_hangup(struct stream *s)
{
	note(CONTAINER_OF(s, struct rig, stream), "hangup");
}

static void on_connected(struct stream *s)
{
	note(CONTAINER_OF(s, struct rig, stream), "connected");
}

static void on_closed(struct stream *s, enum stream_end why)
{
	note(CONTAINER_OF(s, struct rig, stream), why == STREAM_EOF ? "eof" : "reset");
}

static const struct stream_ops ops = {
	.data = on_data, .drained = on_drained, .hangup = on_hangup, .closed = on_closed, .connected = on_connected
};

static void open_pair(struct rig *r, bool is_first)
{
	int fds[2], size = 4096;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	r->peer = fds[1];
	r->take = ALL;
	stream_init(&r->stream, &ops, fds[0], is_first);
}

static void rig_start(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	common_log[0] = '\0';
	rounds_init(&r->loop);
	open_pair(r, false);
	stream_attach(&r->stream, &r->loop);
}

static void close_peer(struct rig *r)
{
	if (r->peer >= 0)
		close(r->peer);
	r->peer = -1;
}

static void rig_end(struct rig *r)
{
	stream_close(&r->stream);
	close_peer(r);
	rounds_run(&r->loop, 1);
	loop_destroy(&r->loop);
}

static void say(struct rig *r, const char *text)
{
	ck_assert_int_eq(send(r->peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* What has happened since the last look. */
static void expect(struct rig *r, const char *want)
{
	rounds_run(&r->loop, MANY);
	ck_assert_str_eq(r->log, want);
	r->log[0] = '\0';
	r->received = 0;
}

START_TEST(bytes_come_as_they_were_sent)
{
	struct rig r;

	rig_start(&r);
	expect(&r, "");
	say(&r, "one");
	expect(&r, "[one]");
	say(&r, "two");
	say(&r, "three");
	expect(&r, "[twothree]");
	ck_assert_ptr_null(r.stream.held); /* an idle stream owns no buffer */
	rig_end(&r);
}
END_TEST

START_TEST(what_isnt_taken_is_offered_again_with_what_follows)
{
	struct rig r;

	rig_start(&r);
	r.take = 2;
	say(&r, "abcde");
	expect(&r, "[abcde]");
	say(&r, "f");
	expect(&r, "[cdef]");
	r.take = 0;
	say(&r, "g");
	expect(&r, "[efg]");
	r.take = ALL;
	say(&r, "h");
	expect(&r, "[efgh]");
	ck_assert_ptr_null(r.stream.held);
	rig_end(&r);
}
END_TEST

START_TEST(a_paused_stream_isnt_read)
{
	struct rig r;
	char c;

	rig_start(&r);
	stream_pause(&r.stream);
	say(&r, "abc");
	expect(&r, "");
	ck_assert_int_eq(recv(r.stream.fd, &c, 1, MSG_PEEK), 1); /* still the kernel's */
	stream_resume(&r.stream);
	expect(&r, "[abc]");
	stream_resume(&r.stream);
	expect(&r, "");
	rig_end(&r);
}
END_TEST

START_TEST(what_a_pause_left_is_offered_at_the_resume)
{
	struct rig r;

	rig_start(&r);
	r.take = 1;
	r.pauses = true;
	say(&r, "abc");
	expect(&r, "[abc]");
	say(&r, "def");
	expect(&r, "");
	stream_resume(&r.stream);
	expect(&r, "[bc]"); /* pauses again before it reads on */
	r.pauses = false;
	r.take = ALL;
	stream_resume(&r.stream);
	expect(&r, "[c] [def]");
	rig_end(&r);
}
END_TEST

START_TEST(held_bytes_come_before_those_of_the_socket)
{
	struct rig r;

	rig_start(&r);
	stream_hold(&r.stream, "early", 5);
	stream_hold(&r.stream, "", 0);
	stream_hold(&r.stream, "er", 2);
	say(&r, "late");
	expect(&r, "[earlyer] [late]");
	rig_end(&r);
}
END_TEST

START_TEST(what_was_held_before_it_was_attached_is_offered)
{
	struct rig r;

	rig_start(&r);
	stream_detach(&r.stream);
	stream_hold(&r.stream, "early", 5);
	expect(&r, "");
	stream_attach(&r.stream, &r.loop);
	expect(&r, "[early]");
	rig_end(&r);
}
END_TEST

START_TEST(held_bytes_wait_while_paused)
{
	struct rig r;

	rig_start(&r);
	stream_pause(&r.stream);
	stream_hold(&r.stream, "early", 5);
	expect(&r, "");
	stream_resume(&r.stream);
	expect(&r, "[early]");
	rig_end(&r);
}
END_TEST

static void receive_all(struct rig *r, char *into, size_t want)
{
	size_t got = 0;

	for (int i = 0; i < 10000 && got < want; i++) {
		ssize_t n = recv(r->peer, into + got, want - got, 0);

		if (n > 0)
			got += (size_t)n;
		rounds_run(&r->loop, 1);
	}
	ck_assert_uint_eq(got, want);
}

START_TEST(what_the_kernel_doesnt_take_follows_in_order)
{
	enum { SIZE = 300000 };
	static char out[SIZE], in[SIZE];
	struct rig r;

	for (size_t i = 0; i < SIZE; i++)
		out[i] = (char)(i * 7 + i / 251);
	rig_start(&r);
	stream_send_bytes(&r.stream, "", 0);
	stream_send_bytes(&r.stream, out, 1000);
	ck_assert_uint_eq(stream_backlog(&r.stream), 0);
	ck_assert_uint_eq(r.stream.stalled_since, 0);
	stream_send(&r.stream,
		(struct iovec[]){ { out + 1000, 100000 }, { out + 101000, 100000 }, { out + 201000, 9000 } }, 3);
	ck_assert_uint_gt(stream_backlog(&r.stream), 0);
	ck_assert_uint_ne(r.stream.stalled_since, 0);
	stream_send_bytes(&r.stream, out + 210000, SIZE - 210000);
	expect(&r, "");
	receive_all(&r, in, SIZE);
	ck_assert_mem_eq(in, out, SIZE);
	ck_assert_uint_eq(stream_backlog(&r.stream), 0);
	ck_assert_uint_eq(r.stream.stalled_since, 0);
	ck_assert_ptr_null(r.stream.out);
	expect(&r, "drained");
	rig_end(&r);
}
END_TEST

START_TEST(a_big_message_arrives_whole)
{
	enum { SIZE = 3 * SCRATCH_SIZE };
	static char out[SIZE];
	struct rig r;
	size_t sent = 0;

	rig_start(&r);
	for (int i = 0; i < 1000 && sent < SIZE; i++) {
		ssize_t n = send(r.peer, out + sent, SIZE - sent, MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		rounds_run(&r.loop, 1);
	}
	rounds_run(&r.loop, MANY);
	ck_assert_uint_eq(r.received, SIZE);
	rig_end(&r);
}
END_TEST

START_TEST(the_end_comes_after_the_last_bytes_and_once)
{
	struct rig r;

	rig_start(&r);
	say(&r, "bye");
	close_peer(&r);
	expect(&r, "[bye] eof");
	stream_recheck(&r.stream);
	expect(&r, "");
	rig_end(&r);
}
END_TEST

START_TEST(the_end_waits_for_a_resume)
{
	struct rig r;

	rig_start(&r);
	r.pauses = true;
	r.take = 1;
	say(&r, "bye");
	close_peer(&r);
	expect(&r, "[bye] hangup");
	r.pauses = false;
	r.take = ALL;
	stream_resume(&r.stream);
	expect(&r, "[ye] eof");
	rig_end(&r);
}
END_TEST

START_TEST(a_peer_that_shuts_its_side_can_still_be_answered)
{
	struct rig r;
	char got[8] = "";

	rig_start(&r);
	say(&r, "q");
	shutdown(r.peer, SHUT_WR);
	expect(&r, "[q] eof");
	stream_send_bytes(&r.stream, "answer", 6);
	ck_assert_int_eq(recv(r.peer, got, sizeof(got), 0), 6);
	ck_assert_str_eq(got, "answer");
	rig_end(&r);
}
END_TEST

START_TEST(a_peer_that_leaves_unread_bytes_is_a_reset)
{
	struct rig r;

	rig_start(&r);
	stream_send_bytes(&r.stream, "unread", 6);
	close_peer(&r);
	expect(&r, "reset");
	ck_assert_int_eq(r.stream.error, ECONNRESET);
	rig_end(&r);
}
END_TEST

START_TEST(after_a_failed_write_the_peer_has_its_last_word)
{
	struct rig r;

	rig_start(&r);
	say(&r, "FATAL");
	close_peer(&r);
	stream_send_bytes(&r.stream, "query", 5);
	ck_assert(r.stream.is_write_failed);
	ck_assert_str_eq(r.log, ""); /* not from inside stream_send() */
	stream_send_bytes(&r.stream, "more", 4);
	ck_assert_uint_eq(stream_backlog(&r.stream), 0);
	expect(&r, "[FATAL] eof");
	rig_end(&r);
}
END_TEST

START_TEST(a_failed_write_without_a_last_word_is_a_reset)
{
	struct rig r;

	rig_start(&r);
	shutdown(r.peer, SHUT_RD);
	stream_send_bytes(&r.stream, "query", 5);
	expect(&r, "reset");
	ck_assert_int_eq(r.stream.error, EPIPE);
	rig_end(&r);
}
END_TEST

START_TEST(a_failed_write_ends_a_paused_stream)
{
	struct rig r;

	rig_start(&r);
	stream_pause(&r.stream);
	shutdown(r.peer, SHUT_RD);
	stream_send_bytes(&r.stream, "query", 5);
	expect(&r, "reset");
	rig_end(&r);
}
END_TEST

START_TEST(a_write_that_fails_later_ends_it_too)
{
	static char big[300000];
	struct rig r;

	rig_start(&r);
	stream_send_bytes(&r.stream, big, sizeof(big));
	ck_assert_uint_gt(stream_backlog(&r.stream), 0);
	say(&r, "FATAL");
	close_peer(&r);
	expect(&r, "[FATAL] reset");
	ck_assert_ptr_null(r.stream.out);
	rig_end(&r);
}
END_TEST

START_TEST(a_released_descriptor_goes_on_without_the_stream)
{
	struct rig r;
	char got[8] = "";
	int fd;

	rig_start(&r);
	r.take = 0;
	say(&r, "held");
	expect(&r, "[held]");
	fd = stream_release(&r.stream);
	ck_assert_int_eq(r.stream.fd, -1);
	ck_assert_ptr_null(r.stream.held);
	say(&r, "mine");
	expect(&r, "");
	ck_assert_int_eq(recv(fd, got, sizeof(got), 0), 4);
	ck_assert_str_eq(got, "mine");
	close(fd);
	rig_end(&r);
}
END_TEST

/* ML-04 */
START_TEST(a_stream_may_be_closed_in_its_own_data)
{
	struct rig r;

	rig_start(&r);
	r.closes = true;
	r.take = 1;
	say(&r, "abc");
	expect(&r, "[abc]");
	ck_assert_int_eq(r.stream.fd, -1);
	stream_close(&r.stream);
	stream_send_bytes(&r.stream, "x", 1);
	stream_kick(&r.stream);
	expect(&r, "");
	rig_end(&r);
}
END_TEST

START_TEST(a_stream_closed_by_another_in_the_same_round_hears_nothing)
{
	struct rig r, other;

	rig_start(&r);
	memset(&other, 0, sizeof(other));
	open_pair(&other, true);
	stream_attach(&other.stream, &r.loop);
	rounds_run(&r.loop, MANY);
	other.closes_other = &r;
	say(&r, "never");
	say(&other, "close it");
	rounds_run(&r.loop, MANY);
	ck_assert_str_eq(common_log, "[close it] ");
	stream_close(&other.stream);
	close(other.peer);
	rig_end(&r);
}
END_TEST

/* ML-04: the event that was due to the old owner of a descriptor isn't the new one's. */
START_TEST(a_descriptor_that_is_used_again_in_the_same_round_brings_nothing_along)
{
	struct rig r, other, fresh;
	int fd;

	rig_start(&r);
	memset(&other, 0, sizeof(other));
	memset(&fresh, 0, sizeof(fresh));
	open_pair(&other, true);
	stream_attach(&other.stream, &r.loop);
	rounds_run(&r.loop, MANY);
	fd = r.stream.fd;
	other.closes_other = &r;
	other.opens = &fresh;
	say(&r, "never");
	close_peer(&r);
	say(&other, "close it");
	rounds_run(&r.loop, 1);
	other.closes_other = other.opens = NULL;
	rounds_run(&r.loop, MANY);
	ck_assert_int_eq(fresh.stream.fd, fd); /* else this shows nothing */
	ck_assert_str_eq(fresh.log, "");
	say(&fresh, "mine");
	rounds_run(&r.loop, MANY);
	ck_assert_str_eq(fresh.log, "[mine]");
	stream_close(&fresh.stream);
	close(fresh.peer);
	stream_close(&other.stream);
	close(other.peer);
	rig_end(&r);
}
END_TEST

START_TEST(first_streams_go_first)
{
	struct rig r, server;

	rig_start(&r);
	memset(&server, 0, sizeof(server));
	open_pair(&server, true);
	stream_attach(&server.stream, &r.loop);
	rounds_run(&r.loop, MANY);
	say(&r, "client");
	say(&server, "server");
	rounds_run(&r.loop, 1);
	ck_assert_str_eq(common_log, "[server] [client] ");
	stream_close(&server.stream);
	close(server.peer);
	rig_end(&r);
}
END_TEST

START_TEST(a_stream_moves_to_another_loop)
{
	struct rig r;
	struct loop to;

	rig_start(&r);
	rounds_init(&to);
	say(&r, "one");
	expect(&r, "[one]");
	stream_detach(&r.stream);
	stream_detach(&r.stream);
	say(&r, "two");
	expect(&r, "");
	stream_attach(&r.stream, &to);
	rounds_run(&to, MANY);
	expect(&r, "[two]");
	say(&r, "three");
	rounds_run(&to, MANY);
	expect(&r, "[three]");
	stream_close(&r.stream);
	loop_destroy(&to);
	rig_end(&r);
}
END_TEST

START_TEST(a_connect_that_ends_well_is_told_and_sends_what_waits)
{
	struct rig r;
	char got[8] = "";

	rig_start(&r);
	r.stream.is_connecting = true;
	stream_send_bytes(&r.stream, "hello", 5);
	ck_assert_uint_eq(stream_backlog(&r.stream), 5);
	expect(&r, "connected drained");
	ck_assert_int_eq(recv(r.peer, got, sizeof(got), 0), 5);
	ck_assert_str_eq(got, "hello");
	rig_end(&r);
}
END_TEST

UNIT_MAIN("stream", {
	tcase_add_test(tc, bytes_come_as_they_were_sent);
	tcase_add_test(tc, what_isnt_taken_is_offered_again_with_what_follows);
	tcase_add_test(tc, a_paused_stream_isnt_read);
	tcase_add_test(tc, what_a_pause_left_is_offered_at_the_resume);
	tcase_add_test(tc, held_bytes_come_before_those_of_the_socket);
	tcase_add_test(tc, what_was_held_before_it_was_attached_is_offered);
	tcase_add_test(tc, held_bytes_wait_while_paused);
	tcase_add_test(tc, what_the_kernel_doesnt_take_follows_in_order);
	tcase_add_test(tc, a_big_message_arrives_whole);
	tcase_add_test(tc, the_end_comes_after_the_last_bytes_and_once);
	tcase_add_test(tc, the_end_waits_for_a_resume);
	tcase_add_test(tc, a_peer_that_shuts_its_side_can_still_be_answered);
	tcase_add_test(tc, a_peer_that_leaves_unread_bytes_is_a_reset);
	tcase_add_test(tc, after_a_failed_write_the_peer_has_its_last_word);
	tcase_add_test(tc, a_failed_write_without_a_last_word_is_a_reset);
	tcase_add_test(tc, a_failed_write_ends_a_paused_stream);
	tcase_add_test(tc, a_write_that_fails_later_ends_it_too);
	tcase_add_test(tc, a_released_descriptor_goes_on_without_the_stream);
	tcase_add_test(tc, a_stream_may_be_closed_in_its_own_data);
	tcase_add_test(tc, a_stream_closed_by_another_in_the_same_round_hears_nothing);
	tcase_add_test(tc, a_descriptor_that_is_used_again_in_the_same_round_brings_nothing_along);
	tcase_add_test(tc, first_streams_go_first);
	tcase_add_test(tc, a_stream_moves_to_another_loop);
	tcase_add_test(tc, a_connect_that_ends_well_is_told_and_sends_what_waits);
})
