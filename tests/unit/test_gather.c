#include "session/gather.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ARENA 16

struct rig {
	struct stream stream;
	struct gather g;
	uint8_t arena[ARENA];
	int peer;
	char got[4096];
};

static void rig_start(struct rig *r)
{
	int fds[2];

	memset(r, 0, sizeof(*r));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	stream_init(&r->stream, NULL, fds[0], false);
	r->peer = fds[1];
	gather_init(&r->g, &r->stream, r->arena, ARENA);
}

static void rig_end(struct rig *r)
{
	stream_close(&r->stream);
	close(r->peer);
}

/* What has arrived since the last look. */
static const char *arrived(struct rig *r)
{
	ssize_t n = recv(r->peer, r->got, sizeof(r->got) - 1, 0);

	r->got[n > 0 ? n : 0] = '\0';
	return r->got;
}

START_TEST(nothing_is_sent_before_the_flush)
{
	struct rig r;

	rig_start(&r);
	gather_slice(&r.g, (const uint8_t *)"abc", 3);
	gather_copy(&r.g, "def", 3);
	ck_assert_str_eq(arrived(&r), "");
	gather_flush(&r.g);
	ck_assert_str_eq(arrived(&r), "abcdef");
	gather_flush(&r.g);
	ck_assert_str_eq(arrived(&r), "");
	ck_assert_uint_eq(r.g.total, 6);
	rig_end(&r);
}
END_TEST

static const uint8_t chunk[] = "0123456789abcdef";

static const struct {
	const char *name, *does; /* sAB: slice from A up to B of chunk; cTEXT: copy a letter */
	int want_n;
	const char *want;
} merges[] = {
	{ "one slice", "s03", 1, "012" },
	{ "neighbours become one", "s03s36", 1, "012345" },
	{ "three neighbours", "s01s12s23", 1, "012" },
	{ "a gap", "s03s46", 2, "01245" },
	{ "backwards", "s46s04", 2, "450123" },
	{ "the same twice", "s03s03", 2, "012012" },
	{ "nothing", "s00", 0, "" },
	{ "nothing between neighbours", "s03s33s36", 1, "012345" },
	{ "copies are neighbours in the arena", "cxcycz", 1, "xyz" },
	{ "a copy between neighbours", "s03cxs36", 3, "012x345" },
	{ "a slice between copies", "cxs03cy", 3, "x012y" },
};

START_TEST(neighbouring_slices_become_one)
{
	struct rig r;

	rig_start(&r);
	for (const char *p = merges[_i].does; *p; p++) {
		if (*p == 'c') {
			gather_copy(&r.g, ++p, 1);
		} else {
			gather_slice(&r.g, chunk + p[1] - '0', (size_t)(p[2] - p[1]));
			p += 2;
		}
	}
	ck_assert_msg(r.g.n == merges[_i].want_n, "%s: %d", merges[_i].name, r.g.n);
	gather_flush(&r.g);
	ck_assert_msg(strcmp(arrived(&r), merges[_i].want) == 0, "%s: %s", merges[_i].name, r.got);
	rig_end(&r);
}
END_TEST

START_TEST(copies_outlive_their_source)
{
	struct rig r;
	char text[] = "before";

	rig_start(&r);
	gather_copy(&r.g, text, 6);
	memcpy(text, "after.", 6);
	gather_flush(&r.g);
	ck_assert_str_eq(arrived(&r), "before");
	rig_end(&r);
}
END_TEST

static const size_t lengths[] = { ARENA - 1, ARENA, ARENA + 1, 3 * ARENA, 10 * ARENA + 5 };

START_TEST(more_than_the_arena_goes_out_in_parts_and_in_order)
{
	char text[11 * ARENA + 2] = "";
	struct rig r;

	rig_start(&r);
	for (size_t i = 0; i < lengths[_i]; i++)
		text[i] = (char)('a' + i % 26);
	gather_slice(&r.g, chunk, 2);
	gather_copy(&r.g, text, lengths[_i]);
	gather_slice(&r.g, chunk + 2, 2);
	gather_flush(&r.g);
	arrived(&r);
	ck_assert_uint_eq(strlen(r.got), lengths[_i] + 4);
	ck_assert(memcmp(r.got, "01", 2) == 0 && memcmp(r.got + 2, text, lengths[_i]) == 0);
	ck_assert_str_eq(r.got + 2 + lengths[_i], "23");
	ck_assert_uint_eq(r.g.total, lengths[_i] + 4);
	rig_end(&r);
}
END_TEST

START_TEST(it_flushes_itself_when_it_is_full)
{
	struct rig r;
	char want[512] = "";

	rig_start(&r);
	for (int i = 0; i < GATHER_MAX; i++) {
		gather_slice(&r.g, chunk + i % 2 * 8, 1); /* no neighbours */
		strcat(want, i % 2 ? "8" : "0");
	}
	ck_assert_int_eq(r.g.n, GATHER_MAX);
	ck_assert_str_eq(arrived(&r), "");
	gather_slice(&r.g, chunk + 9, 1); /* one that fits the last needs no room */
	ck_assert_str_eq(arrived(&r), "");
	gather_slice(&r.g, chunk, 1);
	strcat(want, "9");
	ck_assert_str_eq(arrived(&r), want);
	gather_flush(&r.g);
	ck_assert_str_eq(arrived(&r), "0");
	rig_end(&r);
}
END_TEST

START_TEST(a_copy_when_it_is_full_comes_behind_what_was_there)
{
	struct rig r;
	char want[512] = "";

	rig_start(&r);
	for (int i = 0; i < 2 * GATHER_MAX; i++) {
		gather_slice(&r.g, chunk + i % 8, 1);
		gather_copy(&r.g, i % 2 ? "x" : "y", 1);
		sprintf(want + strlen(want), "%d%s", i % 8, i % 2 ? "x" : "y");
	}
	gather_flush(&r.g);
	ck_assert_str_eq(arrived(&r), want);
	rig_end(&r);
}
END_TEST

UNIT_MAIN("gather", {
	tcase_add_test(tc, nothing_is_sent_before_the_flush);
	tcase_add_loop_test(tc, neighbouring_slices_become_one, 0, N_ELEMENTS(merges));
	tcase_add_test(tc, copies_outlive_their_source);
	tcase_add_loop_test(tc, more_than_the_arena_goes_out_in_parts_and_in_order, 0, N_ELEMENTS(lengths));
	tcase_add_test(tc, it_flushes_itself_when_it_is_full);
	tcase_add_test(tc, a_copy_when_it_is_full_comes_behind_what_was_there);
})
