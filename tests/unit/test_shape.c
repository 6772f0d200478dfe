#include "state/shape.h"

#include "unit.h"

struct column {
	const char *name;
	uint32_t table, type, modifier;
	uint16_t number, format;
};

static uint64_t rows(uint64_t parameters, const struct column *columns, size_t n, size_t cut)
{
	struct writer w = { 0 };
	uint64_t shape;

	write_u16(&w, (uint16_t)n);
	for (size_t i = 0; i < n; i++) {
		write_cstring(&w, columns[i].name);
		write_u32(&w, columns[i].table);
		write_u16(&w, columns[i].number);
		write_u32(&w, columns[i].type);
		write_u16(&w, 4);
		write_u32(&w, columns[i].modifier);
		write_u16(&w, columns[i].format);
	}
	shape = shape_of_rows(parameters, reader_over(w.data, w.len - cut));
	writer_free(&w);
	return shape;
}

static uint64_t parameters(const char *types, size_t len)
{
	return shape_of_parameters(reader_over(types, len));
}

static uint64_t none(void)
{
	return parameters("\0\0", 2);
}

static const struct column first = { .name = "i", .table = 7, .type = 23, .modifier = UINT32_MAX, .number = 1 };
static const struct {
	const char *what;
	struct column column;
	bool is_same;
} others[] = {
	{ "the same", { "i", 7, 23, UINT32_MAX, 1, 0 }, true },
	{ "of another table, which was dropped and made again", { "i", 8, 23, UINT32_MAX, 2, 0 }, true },
	{ "in binary", { "i", 7, 23, UINT32_MAX, 1, 1 }, true },
	{ "another name", { "j", 7, 23, UINT32_MAX, 1, 0 }, false },
	{ "another type", { "i", 7, 25, UINT32_MAX, 1, 0 }, false },
	{ "another length", { "i", 7, 23, 12, 1, 0 }, false },
};

START_TEST(a_shape_is_what_postgresql_compares)
{
	bool is_same = rows(none(), &first, 1, 0) == rows(none(), &others[_i].column, 1, 0);

	ck_assert_msg(is_same == others[_i].is_same, "%s", others[_i].what);
}
END_TEST

START_TEST(parameters_and_the_number_of_columns_count)
{
	const struct column two[] = { first, first };
	uint64_t one = rows(none(), &first, 1, 0);

	ck_assert(one != rows(none(), two, 2, 0));
	ck_assert(one != rows(parameters("\0\1\0\0\0\27", 6), &first, 1, 0));
	ck_assert(parameters("\0\1\0\0\0\27", 6) != parameters("\0\1\0\0\0\31", 6));
	ck_assert(rows(none(), &first, 0, 0) != shape_of_nothing(none()));
	ck_assert(shape_of_nothing(none()) == shape_of_nothing(none()));
}
END_TEST

START_TEST(what_is_malformed_has_none)
{
	ck_assert(rows(none(), &first, 1, 1) == SHAPE_UNKNOWN);
	ck_assert(parameters("\0\1\0\0\0", 5) == SHAPE_UNKNOWN);
	ck_assert(parameters("\0\0x", 3) == SHAPE_UNKNOWN);
	ck_assert(parameters("", 0) == SHAPE_UNKNOWN);
	ck_assert(rows(SHAPE_UNKNOWN, &first, 1, 0) == SHAPE_UNKNOWN);
	ck_assert(shape_of_nothing(SHAPE_UNKNOWN) == SHAPE_UNKNOWN);
}
END_TEST

UNIT_MAIN("shape", {
	tcase_add_loop_test(tc, a_shape_is_what_postgresql_compares, 0, N_ELEMENTS(others));
	tcase_add_test(tc, parameters_and_the_number_of_columns_count);
	tcase_add_test(tc, what_is_malformed_has_none);
})
