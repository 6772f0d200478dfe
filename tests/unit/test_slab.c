#include "base/slab.h"
#include "unit.h"

#include <stdint.h>
#include <string.h>

#define SIZE 600
#define MANY 1000

static void fill(struct slab *s, uint8_t *objects[MANY])
{
	for (int i = 0; i < MANY; i++) {
		objects[i] = slab_alloc(s);
		for (size_t j = 0; j < SIZE; j++)
			ck_assert_uint_eq(objects[i][j], 0);
		memset(objects[i], i | 1, SIZE);
	}
}

START_TEST(objects_are_zeroed_and_dont_overlap)
{
	uint8_t *objects[MANY];
	struct slab s;

	slab_init(&s, SIZE);
	for (int round = 0; round < 2; round++) { /* the second reuses what the first has written */
		fill(&s, objects);
		for (int i = 0; i < MANY; i++) {
			for (size_t j = 0; j < SIZE; j++)
				ck_assert_uint_eq(objects[i][j], (uint8_t)(i | 1));
			ck_assert_uint_eq((uintptr_t)objects[i] % 16, 0);
		}
		for (int i = 0; i < MANY - 1; i++)
			slab_free(&s, objects[i]);
		slab_free(&s, objects[MANY - 1]);
	}
	slab_destroy(&s);
}
END_TEST

#ifndef __SANITIZE_ADDRESS__ /* there are no blocks */
START_TEST(empty_blocks_go_back)
{
	uint8_t *objects[MANY];
	size_t blocks;
	struct slab s;

	slab_init(&s, SIZE);
	fill(&s, objects);
	blocks = s.blocks;
	ck_assert_uint_eq(blocks, (MANY + s.per_block - 1) / s.per_block);
	for (int i = 0; i < MANY; i += 2)
		slab_free(&s, objects[i]);
	ck_assert_uint_eq(s.blocks, blocks); /* every block has some left */
	for (int i = 1; i < MANY; i += 2)
		slab_free(&s, objects[i]);
	ck_assert_uint_eq(s.blocks, 1); /* for the next one */
	ck_assert_uint_eq(s.used, 0);
	slab_destroy(&s);
}
END_TEST

START_TEST(new_objects_fill_old_blocks)
{
	uint8_t *objects[MANY];
	size_t blocks;
	struct slab s;

	slab_init(&s, SIZE);
	fill(&s, objects);
	blocks = s.blocks;
	for (int i = 0; i < MANY / 2; i++)
		slab_free(&s, objects[i]);
	for (int i = 0; i < MANY / 2; i++)
		objects[i] = slab_alloc(&s);
	ck_assert_uint_eq(s.blocks, blocks);
	for (int i = 0; i < MANY; i++)
		slab_free(&s, objects[i]);
	slab_destroy(&s);
}
END_TEST
#endif

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, objects_are_zeroed_and_dont_overlap);
#ifndef __SANITIZE_ADDRESS__
	tcase_add_test(tc, empty_blocks_go_back);
	tcase_add_test(tc, new_objects_fill_old_blocks);
#endif
}

UNIT_MAIN("slab", { add_tests(tc); })
