#include "core/handover.h"

#include "unit.h"

#define KEY "0123456789abcdef"

static const struct {
	const char *name, *bytes;
	size_t len;
	enum result want;
} frames[] = {
	{ "nothing", "", 0, RES_PROTOCOL },
	{ "an unknown type", "Z", 1, RES_PROTOCOL },
	{ "hello", "Hpgweir handover\0\0\0\0\1", 21, RES_OK },
	{ "hello of another version, which may say more", "Hpgweir handover\0\0\0\0\2more", 25, RES_OK },
	{ "hello with something behind it", "Hpgweir handover\0\0\0\0\1x", 22, RES_PROTOCOL },
	{ "hello of somebody else", "Hpgbouncer\0\0\0\0\1", 15, RES_PROTOCOL },
	{ "hello without a version", "Hpgweir handover\0\0\0\1", 20, RES_PROTOCOL },
	{ "welcome", "W" KEY "/run/notify\0\0\0\0\0\1\0\0\0", 37, RES_OK },
	{ "welcome without systemd", "W" KEY "\0\0\0\0\0\0\0\0\0", 26, RES_OK },
	{ "welcome, cut in its key", "W0123", 5, RES_PROTOCOL },
	{ "welcome, cut in its number", "W" KEY "\0\0\0\0\0\0\0\0", 25, RES_PROTOCOL },
	{ "refused", "Eno\0", 4, RES_OK },
	{ "refused without an end", "Eno", 3, RES_PROTOCOL },
	{ "no slots", "S", 1, RES_OK },
	{ "slots", "Sdb\0bob\0\0\0\0\5", 12, RES_OK },
	{ "slots of two", "Sdb\0bob\0\0\0\0\5db\0al\0\0\0\0\1", 22, RES_OK },
	{ "slots of a nameless database", "S\0bob\0\0\0\0\5", 10, RES_PROTOCOL },
	{ "slots, cut", "Sdb\0bob\0\0\0\0", 11, RES_PROTOCOL },
	{ "more slots than there can be", "Sdb\0bob\0\xff\0\0\5", 12, RES_PROTOCOL },
	{ "start", "G", 1, RES_OK },
	{ "start with something", "G\0", 2, RES_PROTOCOL },
	{ "ready", "R\0\0\1\0", 5, RES_OK },
	{ "ready as nobody", "R\0\0\0\0", 5, RES_PROTOCOL },
	{ "ready as a negative", "R\xff\0\0\0", 5, RES_PROTOCOL },
	{ "a cancel", "K\0\0\0\1abcd", 9, RES_OK },
	{ "a cancel with a long key", "K\0\0\0\1" KEY KEY, 37, RES_OK },
	{ "a cancel with a key between", "K\0\0\0\1abcde", 10, RES_PROTOCOL },
	{ "a cancel without one", "K\0\0\0\1", 5, RES_PROTOCOL },
	{ "done", "D", 1, RES_OK },
};

START_TEST(each_frame_is_judged_whole)
{
	struct handover_frame f;

	ck_assert_msg(handover_read((const uint8_t *)frames[_i].bytes, frames[_i].len, &f) == frames[_i].want,
		"%s", frames[_i].name);
	if (frames[_i].want == RES_OK)
		ck_assert_int_eq((char)f.type, frames[_i].bytes[0]);
}
END_TEST

START_TEST(what_is_written_is_read)
{
	bool replicates;
	const struct cancel_key key = { .pid = 77, .len = CANCEL_SECRET_SHORT, .secret = "abcd" };
	struct handover_frame f;
	struct writer w = { 0 };
	const char *database, *user;
	int n;

	handover_hello(&w);
	ck_assert_int_eq(handover_read(w.data, w.len, &f), RES_OK);
	ck_assert_uint_eq(f.version, HANDOVER_VERSION);
	w.len = 0;
	handover_welcome(&w, (const uint8_t *)KEY, "@notify", UINT64_C(5000000000));
	ck_assert_int_eq(handover_read(w.data, w.len, &f), RES_OK);
	ck_assert(memcmp(f.hash_key, KEY, HANDOVER_KEY) == 0 && strcmp(f.notify, "@notify") == 0);
	ck_assert_uint_eq(f.watchdog, UINT64_C(5000000000));
	w.len = 0;
	handover_refused(&w, "not now");
	ck_assert_int_eq(handover_read(w.data, w.len, &f), RES_OK);
	ck_assert_str_eq(f.reason, "not now");
	w.len = 0;
	handover_ready(&w, 4711);
	ck_assert_int_eq(handover_read(w.data, w.len, &f), RES_OK);
	ck_assert_int_eq(f.pid, 4711);
	w.len = 0;
	handover_cancel(&w, &key);
	ck_assert_int_eq(handover_read(w.data, w.len, &f), RES_OK);
	ck_assert(cancel_key_same(&f.cancel, &key));
	w.len = 0;
	handover_begin_slots(&w);
	handover_slots(&w, "shop", "bob", false, 20);
	handover_slots(&w, "shop", "bob", true, 3);
	ck_assert_int_eq(handover_read(w.data, w.len, &f), RES_OK);
	ck_assert(handover_next_slots(&f.rest, &database, &user, &replicates, &n) && !replicates && n == 20);
	ck_assert(handover_next_slots(&f.rest, &database, &user, &replicates, &n) && replicates && n == 3);
	ck_assert(!handover_next_slots(&f.rest, &database, &user, &replicates, &n));
	writer_free(&w);
}
END_TEST

START_TEST(thousands_of_pools_dont_burst_the_frame)
{
	struct handover_frame f;
	struct writer w = { 0 };

	handover_begin_slots(&w);
	for (int i = 0; i < 100000; i++)
		handover_slots(&w, "a database with a name", "and a user", false, i);
	ck_assert_uint_le(w.len, HANDOVER_MAX);
	ck_assert_int_eq(handover_read(w.data, w.len, &f), RES_OK);
	writer_free(&w);
}
END_TEST

UNIT_MAIN("handover", {
	tcase_add_loop_test(tc, each_frame_is_judged_whole, 0, N_ELEMENTS(frames));
	tcase_add_test(tc, what_is_written_is_read);
	tcase_add_test(tc, thousands_of_pools_dont_burst_the_frame);
})
