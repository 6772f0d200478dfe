/* test_stream_tls.c - net/stream.c with TLS: one end is a stream, the other a struct tls that the test moves by hand. */
#include "net/stream.h"
#include "net/tls_set.h"

#include "certificates.h"
#include "rounds.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ALL SIZE_MAX
#define MANY 5 /* rounds, after which nothing more can happen */

struct rig {
	struct loop loop;
	struct tls_set *set;
	struct stream stream;
	int fd;		  /* the peer's */
	struct tls *peer; /* the peer's end of TLS */
	struct writer out, got;
	enum tls_event last;
	char log[512];
	size_t take;
	bool turns; /* takes one byte and starts TLS in data() */
};

static char dir[] = "/tmp/pgweir-test-stream.XXXXXX";

static void make_files(void)
{
	ck_assert(mkdtemp(dir));
	certificates_make(dir, "server", "db.example", 10);
}

static void remove_files(void)
{
	certificates_remove(dir, "server");
	rmdir(dir);
}

/* ---- the stream's owner ---- */

static void note(struct rig *r, const char *what)
{
	snprintf(r->log + strlen(r->log), sizeof(r->log) - strlen(r->log), "%s%s", *r->log ? " " : "", what);
}

static void start_tls(struct rig *r)
{
	struct tls *t = tls_accept(tls_set_clients(r->set));

	stream_start_tls(&r->stream, &t);
	ck_assert_ptr_null(t);
}

static size_t on_data(struct stream *s, const uint8_t *bytes, size_t len)
{
	struct rig *r = CONTAINER_OF(s, struct rig, stream);
	char text[64];

	snprintf(text, sizeof(text), len < 32 ? "[%.*s]" : "[..]", (int)len, (const char *)bytes);
	note(r, text);
	if (!r->turns)
		return MIN(len, r->take);
	r->turns = false;
	start_tls(r);
	return 1;
}

static void on_drained(struct stream *s)
{
	note(CONTAINER_OF(s, struct rig, stream), "drained");
}

static void on_handshake(struct stream *s)
{
	if (tls_is_up(s->tls))
		note(CONTAINER_OF(s, struct rig, stream), "up");
}

static void on_closed(struct stream *s, enum stream_end why)
{
	note(CONTAINER_OF(s, struct rig, stream),
		why == STREAM_EOF	     ? "eof"
			: s->error == EPROTO ? "broken"
					     : "reset");
}

static const struct stream_ops ops = {
	.data = on_data, .drained = on_drained, .closed = on_closed, .handshake = on_handshake
};

/* ---- the peer ---- */

static void peer_flush(struct rig *r)
{
	if (r->out.len)
		ck_assert_int_eq(send(r->fd, r->out.data, r->out.len, MSG_NOSIGNAL), (ssize_t)r->out.len);
	r->out.len = 0;
}

/* Reads what is there; true: there was something. */
static bool peer_read(struct rig *r)
{
	static uint8_t bytes[65536], plain[65536 + TLS_RECORD_MAX];
	ssize_t n = recv(r->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	size_t got;

	if (n <= 0)
		return false;
	r->last = tls_open(r->peer, bytes, (size_t)n, plain, &got, &r->out);
	write_bytes(&r->got, plain, got);
	peer_flush(r);
	return true;
}

static void turn(struct rig *r)
{
	rounds_run(&r->loop, MANY);
	while (peer_read(r))
		rounds_run(&r->loop, MANY);
}

static void say(struct rig *r, const char *text)
{
	ck_assert(tls_seal(r->peer, text, strlen(text), &r->out));
	peer_flush(r);
}

static void expect(struct rig *r, const char *want)
{
	turn(r);
	ck_assert_str_eq(r->log, want);
	r->log[0] = '\0';
}

static void expect_peer(struct rig *r, const char *want)
{
	turn(r);
	ck_assert_uint_eq(r->got.len, strlen(want));
	ck_assert(r->got.len == 0 || !memcmp(r->got.data, want, r->got.len));
	r->got.len = 0;
}

/* ---- the rig ---- */

static struct tls_set *load_set(void)
{
	char *text = xasprintf("[pgweir]\nclient_tls_sslmode = prefer\nclient_tls_cert_file = %s/server.crt\n"
			       "client_tls_key_file = %s/server.key\nserver_tls_sslmode = require\n",
		dir, dir);
	struct config_error e;
	struct config *c = config_load_text("x", text, strlen(text), &e);
	char error[512] = "";
	struct tls_set *s = tls_set_load(c, error, sizeof(error));

	ck_assert_msg(s != NULL, "%s", error);
	config_unref(&c);
	free(text);
	return s;
}

static void rig_start(struct rig *r)
{
	int fds[2], size = 4096;

	memset(r, 0, sizeof(*r));
	r->set = load_set();
	r->take = ALL;
	rounds_init(&r->loop);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	r->fd = fds[1];
	r->peer = tls_connect(tls_set_database(r->set, "x")->context, "db.example", false);
	stream_init(&r->stream, &ops, fds[0], false);
	stream_attach(&r->stream, &r->loop);
}

static void rig_up(struct rig *r)
{
	rig_start(r);
	start_tls(r);
	tls_begin(r->peer, &r->out);
	peer_flush(r);
	expect(r, "up");
	ck_assert(tls_is_up(r->peer));
}

static void rig_end(struct rig *r)
{
	stream_close(&r->stream);
	if (r->fd >= 0)
		close(r->fd);
	tls_free(&r->peer);
	writer_free(&r->out);
	writer_free(&r->got);
	rounds_run(&r->loop, 1);
	loop_destroy(&r->loop);
	tls_set_unref(&r->set);
}

/* ---- claims ---- */

START_TEST(plain_text_goes_both_ways)
{
	char text[] = "one two";
	struct iovec iov[] = { { text, 1 }, { text, 0 }, { text + 1, 3 }, { text + 4, 3 } };
	struct rig r;

	rig_up(&r);
	say(&r, "hello");
	expect(&r, "[hello]");
	stream_send(&r.stream, iov, 4);
	expect_peer(&r, "one two");
	ck_assert_ptr_null(r.stream.held);
	ck_assert_ptr_null(r.stream.out);
	rig_end(&r);
}
END_TEST

START_TEST(what_came_together_is_offered_together)
{
	struct rig r;

	rig_up(&r);
	ck_assert(tls_seal(r.peer, "one", 3, &r.out) && tls_seal(r.peer, "two", 3, &r.out));
	peer_flush(&r);
	expect(&r, "[onetwo]");
	r.take = 2;
	say(&r, "abc");
	expect(&r, "[abc]");
	r.take = ALL;
	say(&r, "d");
	expect(&r, "[cd]");
	stream_pause(&r.stream);
	say(&r, "later");
	expect(&r, "");
	stream_resume(&r.stream);
	expect(&r, "[later]");
	rig_end(&r);
}
END_TEST

/* One record for all of them: a record costs 22 bytes. */
START_TEST(slices_share_a_record)
{
	char text[] = "0123456789";
	struct iovec iov[100];
	struct rig r;
	uint8_t wire[4096];
	ssize_t n;

	rig_up(&r);
	for (size_t i = 0; i < N_ELEMENTS(iov); i++)
		iov[i] = (struct iovec){ text, 10 };
	stream_send(&r.stream, iov, (int)N_ELEMENTS(iov));
	n = recv(r.fd, wire, sizeof(wire), 0);
	ck_assert_int_eq(n, 1000 + 22);
	rig_end(&r);
}
END_TEST

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 31 + i / 255);
}

/* Slices of every size, over what the socket takes: all of it comes, in order. */
START_TEST(a_backlog_is_kept_and_told_when_it_is_gone)
{
	static const size_t sizes[] = { 1, 8191, 8192, 8193, 100, 16384, 70000, 3, 200000, 24576, 5 };
	struct iovec iov[N_ELEMENTS(sizes)];
	size_t total = 0;
	uint8_t *bytes;
	struct rig r;

	rig_up(&r);
	for (size_t i = 0; i < N_ELEMENTS(sizes); i++)
		total += sizes[i];
	bytes = xmalloc(total);
	for (size_t i = 0; i < total; i++)
		bytes[i] = pattern(i);
	for (size_t i = 0, at = 0; i < N_ELEMENTS(sizes); at += sizes[i++])
		iov[i] = (struct iovec){ bytes + at, sizes[i] };
	stream_send(&r.stream, iov, (int)N_ELEMENTS(iov));
	ck_assert(stream_backlog(&r.stream) > total / 2 && r.stream.stalled_since);
	expect(&r, "drained");
	ck_assert(r.got.len == total && !memcmp(r.got.data, bytes, total));
	free(bytes);
	rig_end(&r);
}
END_TEST

START_TEST(a_handshake_begins_inside_data)
{
	struct rig r;

	rig_start(&r);
	r.turns = true;
	write_bytes(&r.out, "?", 1);
	tls_begin(r.peer, &r.out); /* in one segment with the byte in front */
	peer_flush(&r);
	expect(&r, "[..] up");
	ck_assert(tls_is_up(r.peer));
	say(&r, "hello");
	expect(&r, "[hello]");
	rig_end(&r);
}
END_TEST

START_TEST(nothing_is_sent_before_the_handshake_is_done)
{
	struct rig r;

	rig_start(&r);
	start_tls(&r);
	stream_send_bytes(&r.stream, "secret", 6);
	ck_assert_uint_eq(stream_backlog(&r.stream), 0);
	tls_begin(r.peer, &r.out);
	peer_flush(&r);
	expect(&r, "up");
	expect_peer(&r, "");
	rig_end(&r);
}
END_TEST

START_TEST(it_moves_to_another_stream_with_what_waits)
{
	uint8_t zeros[100000] = { 0 };
	struct tls *t;
	struct rig r;
	int fd;

	rig_up(&r);
	stream_send_bytes(&r.stream, zeros, sizeof(zeros));
	ck_assert(stream_backlog(&r.stream) > 0);
	t = stream_take_tls(&r.stream);
	fd = stream_release(&r.stream);
	ck_assert_ptr_nonnull(t);
	stream_init(&r.stream, &ops, fd, false);
	stream_give_tls(&r.stream, &t);
	ck_assert_ptr_null(t);
	stream_send_bytes(&r.stream, "end", 3);
	stream_attach(&r.stream, &r.loop);
	expect(&r, "drained");
	ck_assert_uint_eq(r.got.len, sizeof(zeros) + 3);
	ck_assert(!memcmp(r.got.data + sizeof(zeros), "end", 3));
	say(&r, "hello");
	expect(&r, "[hello]");
	rig_end(&r);
}
END_TEST

START_TEST(ends_are_told_apart)
{
	static const char *const want[] = { "[last] eof", "broken", "eof" };
	struct rig r;

	rig_up(&r);
	if (_i == 0) {
		ck_assert(tls_seal(r.peer, "last", 4, &r.out));
		tls_goodbye(r.peer, &r.out);
		peer_flush(&r);
	} else if (_i == 1) {
		write_bytes(&r.out, "\x17\x03\x03\x00\x20 this is not sealed with our key", 37);
		peer_flush(&r);
	} else {
		shutdown(r.fd, SHUT_WR);
	}
	expect(&r, want[_i]);
	if (_i == 1)
		ck_assert_int_eq(r.last, TLS_BROKEN); /* it was told by an alert */
	rig_end(&r);
}
END_TEST

START_TEST(the_last_word_is_a_goodbye)
{
	struct rig r;

	rig_up(&r);
	stream_send_bytes(&r.stream, "bye", 3);
	if (_i == 0)
		stream_close(&r.stream);
	else
		stream_finish(&r.stream);
	expect_peer(&r, "bye");
	ck_assert_int_eq(r.last, TLS_CLOSED);
	ck_assert_int_eq(recv(r.fd, r.log, 1, MSG_DONTWAIT), 0);
	rig_end(&r);
}
END_TEST

START_TEST(what_is_no_stream_any_longer_says_goodbye_too)
{
	struct tls *t;
	struct rig r;
	int fd;

	rig_up(&r);
	t = stream_take_tls(&r.stream);
	fd = stream_release(&r.stream);
	stream_hang_up(fd, &t);
	ck_assert_ptr_null(t);
	turn(&r);
	ck_assert_int_eq(r.last, TLS_CLOSED);
	rig_end(&r);
}
END_TEST

/* The other way round: the stream connects, and its hello waits until it is connected. */
START_TEST(a_connecting_stream_says_hello_first)
{
	struct tls *t;
	struct rig r;

	rig_start(&r);
	tls_free(&r.peer);
	r.peer = tls_accept(tls_set_clients(r.set));
	t = tls_connect(tls_set_database(r.set, "x")->context, "db.example", false);
	r.stream.is_connecting = true;
	stream_start_tls(&r.stream, &t);
	ck_assert(stream_backlog(&r.stream) > 0);
	turn(&r);
	ck_assert(tls_is_up(r.peer) && tls_is_up(r.stream.tls));
	r.log[0] = '\0';
	stream_send_bytes(&r.stream, "startup", 7);
	expect_peer(&r, "startup");
	say(&r, "answer");
	expect(&r, "[answer]");
	rig_end(&r);
}
END_TEST

UNIT_MAIN("stream_tls", {
	tcase_add_unchecked_fixture(tc, make_files, remove_files);
	tcase_add_test(tc, plain_text_goes_both_ways);
	tcase_add_test(tc, what_came_together_is_offered_together);
	tcase_add_test(tc, slices_share_a_record);
	tcase_add_test(tc, a_backlog_is_kept_and_told_when_it_is_gone);
	tcase_add_test(tc, a_handshake_begins_inside_data);
	tcase_add_test(tc, nothing_is_sent_before_the_handshake_is_done);
	tcase_add_test(tc, it_moves_to_another_stream_with_what_waits);
	tcase_add_loop_test(tc, ends_are_told_apart, 0, 3);
	tcase_add_loop_test(tc, the_last_word_is_a_goodbye, 0, 2);
	tcase_add_test(tc, what_is_no_stream_any_longer_says_goodbye_too);
	tcase_add_test(tc, a_connecting_stream_says_hello_first);
})
