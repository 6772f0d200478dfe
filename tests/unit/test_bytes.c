#include "wire/bytes.h"
#include "wire/msg.h"

#include "unit.h"

static const struct {
	const char *name, *bytes;
	size_t len;
	enum result want;
	uint32_t length;
} headers[] = {
	{ "nothing yet", "", 0, RES_MORE, 0 },
	{ "a type alone", "Q", 1, RES_MORE, 0 },
	{ "all but one byte", "Q\0\0\0", 4, RES_MORE, 0 },
	{ "header without its body", "Q\0\0\0\x06", 5, RES_OK, 7 },
	{ "smallest message", "S\0\0\0\x04", 5, RES_OK, 5 },
	{ "complete query", "Q\0\0\0\x06;\0", 7, RES_OK, 7 },
	{ "length smaller than itself", "Q\0\0\0\x03", 5, RES_PROTOCOL, 0 },
	{ "length 0", "Q\0\0\0\0", 5, RES_PROTOCOL, 0 },
	{ "largest length", "d\x7f\xff\xff\xff", 5, RES_OK, UINT32_C(0x80000000) },
	{ "negative length", "d\x80\0\0\0", 5, RES_PROTOCOL, 0 },
	{ "length -1", "d\xff\xff\xff\xff", 5, RES_PROTOCOL, 0 },
	{ "type 0 is left to the caller", "\0\0\0\0\x04", 5, RES_OK, 5 },
};

START_TEST(frame_peek_judges_the_length_and_does_not_move)
{
	struct frame f = { 0 };
	struct reader r = reader_over(headers[_i].bytes, headers[_i].len);

	ck_assert_msg(frame_peek(&r, &f) == headers[_i].want, "%s", headers[_i].name);
	ck_assert_uint_eq(f.length, headers[_i].length);
	ck_assert_ptr_eq(r.pos, headers[_i].bytes);
	if (headers[_i].want == RES_OK)
		ck_assert_int_eq(f.type, (uint8_t)headers[_i].bytes[0]);
}
END_TEST

START_TEST(a_reader_reads_big_endian_and_strings_in_place)
{
	static const char bytes[] = "\x01\x02\x03\xff\xfe\xfd\xfc"
				    "abc\0\0xyz";
	struct reader r = reader_over(bytes, sizeof(bytes) - 1);

	ck_assert_uint_eq(read_u8(&r), 1);
	ck_assert_uint_eq(read_u16(&r), 0x0203);
	ck_assert_uint_eq(read_u32(&r), UINT32_C(0xfffefdfc));
	ck_assert_ptr_eq(read_cstring(&r), bytes + 7);
	ck_assert_str_eq(read_cstring(&r), "");
	ck_assert(!r.bad);
	ck_assert_uint_eq(reader_left(&r), 3);
	ck_assert_ptr_eq(read_bytes(&r, 3), bytes + 12);
	ck_assert_ptr_nonnull(read_bytes(&r, 0));
	ck_assert(!r.bad);
	ck_assert_uint_eq(reader_left(&r), 0);
}
END_TEST

static void short_u8(struct reader *r)
{
	ck_assert_uint_eq(read_u8(r), 0);
}
static void short_u16(struct reader *r)
{
	ck_assert_uint_eq(read_u16(r), 0);
}
static void short_u32(struct reader *r)
{
	ck_assert_uint_eq(read_u32(r), 0);
}
static void short_cstring(struct reader *r)
{
	ck_assert_str_eq(read_cstring(r), "");
}
static void short_bytes(struct reader *r)
{
	ck_assert_ptr_null(read_bytes(r, SIZE_MAX));
}

static const struct {
	void (*read)(struct reader *r);
	size_t has;
} shorts[] = { { short_u8, 0 }, { short_u16, 1 }, { short_u32, 3 }, { short_cstring, 4 },
	{ short_cstring, 0 }, { short_bytes, 4 } };

START_TEST(a_short_read_is_bad_for_good)
{
	struct reader r = reader_over("abcd", shorts[_i].has);

	shorts[_i].read(&r);
	ck_assert(r.bad);
	ck_assert_uint_eq(reader_left(&r), 0);
	for (size_t i = 0; i < N_ELEMENTS(shorts); i++)
		shorts[i].read(&r);
	ck_assert_ptr_null(read_bytes(&r, 0));
	ck_assert(r.bad);
}
END_TEST

START_TEST(messages_carry_their_length)
{
	struct writer w = { 0 };

	write_query(&w, "select 1");
	ck_assert_uint_eq(w.len, 14);
	ck_assert_mem_eq(w.data, "Q\0\0\0\x0dselect 1\0", 14);
	msg_begin(&w, 0); /* a second one, without type */
	write_u16(&w, 0x1234);
	msg_end(&w);
	ck_assert_mem_eq(w.data, "Q\0\0\0\x0dselect 1\0\0\0\0\x06\x12\x34", 20);
	writer_free(&w);
	ck_assert_ptr_null(w.data);
	write_ready_for_query(&w, TX_BLOCK);
	write_parameter_status(&w, "a", "b");
	write_command_complete(&w, "SET");
	ck_assert_uint_eq(w.len, 24);
	ck_assert_mem_eq(w.data,
		"Z\0\0\0\x05TS\0\0\0\x08"
		"a\0b\0C\0\0\0\x08SET\0",
		24);
	writer_free(&w);
}
END_TEST

START_TEST(nothing_at_all_is_allowed)
{
	struct writer w = { 0 };
	struct reader r = reader_over(NULL, 0);

	write_bytes(&w, NULL, 0);
	ck_assert_uint_eq(w.len, 0);
	writer_free(&w);
	ck_assert_str_eq(read_cstring(&r), "");
	ck_assert(r.bad);
}
END_TEST

START_TEST(a_writer_grows_and_keeps_what_it_has)
{
	struct writer w = { 0 };

	for (uint32_t i = 0; i < 10000; i++)
		write_u32(&w, i);
	write_bytes(&w, NULL, 0);
	ck_assert_uint_eq(w.len, 40000);
	for (uint32_t i = 0; i < 10000; i++)
		ck_assert_uint_eq(load_be32(w.data + (size_t)i * 4), i);
	memset(writer_reserve(&w, 100000), 'x', 100000);
	ck_assert_uint_eq(w.len, 40000);
	writer_free(&w);
}
END_TEST

static const struct error_info errors[] = {
	{ "ERROR", "53300", "too many clients", "20 busy", "try again", NULL, 0 },
	{ "FATAL", "08P01", "invalid message length", NULL, NULL, NULL, 0 },
	{ "PANIC", "XX000", "", NULL, "", NULL, 0 },
	{ "NOTICE", "00000", "pinned", NULL, "hint alone", NULL, 0 },
	{ "WARNING", "01000", "w", "detail alone", NULL, NULL, 0 },
};

START_TEST(an_error_comes_back_as_it_was_written)
{
	const struct error_info *in = &errors[_i];
	struct writer w = { 0 };
	struct error_info out;
	struct frame f;

	write_error(&w, in);
	struct reader r = reader_over(w.data, w.len);
	ck_assert_int_eq(frame_peek(&r, &f), RES_OK);
	ck_assert_uint_eq(f.length, w.len);
	ck_assert_int_eq(f.type, _i < 3 ? MSG_ERROR_RESPONSE : MSG_NOTICE_RESPONSE);
	error_parse(reader_over(w.data + FRAME_HEADER_SIZE, w.len - FRAME_HEADER_SIZE), &out);
	ck_assert_str_eq(out.severity, in->severity);
	ck_assert_str_eq(out.sqlstate, in->sqlstate);
	ck_assert_str_eq(out.message, in->message);
	ck_assert_str_eq(out.detail, in->detail ? in->detail : "");
	ck_assert_str_eq(out.hint, in->hint ? in->hint : "");
	ck_assert_str_eq(out.routine, "");
	writer_free(&w);
}
END_TEST

#define BODY(s) s, sizeof(s) - 1

static const struct {
	const char *name, *bytes;
	size_t len;
	const char *severity, *sqlstate, *message, *routine;
} bodies[] = {
	{ "empty", BODY(""), "", "", "", "" },
	{ "terminator alone", BODY("\0"), "", "", "", "" },
	{ "localized severity gives way", BODY("SFEHLER\0VERROR\0C42601\0Mm\0Rscanner\0\0"), "ERROR", "42601",
		"m", "scanner" },
	{ "also behind it", BODY("VERROR\0SFEHLER\0\0"), "ERROR", "", "", "" },
	{ "an old server", BODY("SERROR\0C42601\0\0"), "ERROR", "42601", "", "" },
	{ "unknown fields", BODY("Ws\0zz\0Mm\0\0"), "", "", "m", "" },
	{ "no terminator", BODY("C42601\0"), "", "42601", "", "" },
	{ "a value without NUL", BODY("C42601\0Mm"), "", "42601", "", "" },
	{ "nothing behind the terminator counts", BODY("\0C42601\0\0"), "", "", "", "" },
};

START_TEST(odd_errors_are_read_as_far_as_they_go)
{
	struct error_info e;

	error_parse(reader_over(bodies[_i].bytes, bodies[_i].len), &e);
	ck_assert_msg(!strcmp(e.severity, bodies[_i].severity), "%s", bodies[_i].name);
	ck_assert_msg(!strcmp(e.sqlstate, bodies[_i].sqlstate), "%s", bodies[_i].name);
	ck_assert_msg(!strcmp(e.message, bodies[_i].message), "%s", bodies[_i].name);
	ck_assert_msg(!strcmp(e.routine, bodies[_i].routine), "%s", bodies[_i].name);
}
END_TEST

START_TEST(only_a_clients_types_are_taken_from_a_client)
{
	int n = 0;

	for (int type = 0; type < 256; type++)
		n += msg_is_from_client((uint8_t)type);
	ck_assert_int_eq(n, 13);
	ck_assert(msg_is_from_client('Q') && !msg_is_from_client('p') && !msg_is_from_client('Z') &&
		!msg_is_from_client('!'));
}
END_TEST

UNIT_MAIN("bytes", {
	tcase_add_loop_test(tc, frame_peek_judges_the_length_and_does_not_move, 0, N_ELEMENTS(headers));
	tcase_add_test(tc, a_reader_reads_big_endian_and_strings_in_place);
	tcase_add_loop_test(tc, a_short_read_is_bad_for_good, 0, N_ELEMENTS(shorts));
	tcase_add_test(tc, messages_carry_their_length);
	tcase_add_test(tc, nothing_at_all_is_allowed);
	tcase_add_test(tc, a_writer_grows_and_keeps_what_it_has);
	tcase_add_loop_test(tc, an_error_comes_back_as_it_was_written, 0, N_ELEMENTS(errors));
	tcase_add_loop_test(tc, odd_errors_are_read_as_far_as_they_go, 0, N_ELEMENTS(bodies));
	tcase_add_test(tc, only_a_clients_types_are_taken_from_a_client);
})
