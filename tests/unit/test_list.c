#include "base/list.h"

#include "unit.h"

#include <signal.h>
#include <stdio.h>

struct item {
	char name;
	struct list_node node;
};

static struct item items[5] = { { .name = 'a' }, { .name = 'b' }, { .name = 'c' }, { .name = 'd' },
	{ .name = 'e' } };

/* The names in order; walks back as well, so that both directions are right. */
static const char *names(const struct list *l)
{
	static char buf[16];
	size_t n = 0, back;

	LIST_FOREACH(l, it, next)
		buf[n++] = CONTAINER_OF(it, struct item, node)->name;
	buf[n] = '\0';
	ck_assert_uint_eq(n, l->count);
	back = n;
	for (const struct list_node *it = l->head.prev; it != &l->head; it = it->prev)
		ck_assert_int_eq(CONTAINER_OF(it, struct item, node)->name, buf[--back]);
	ck_assert_uint_eq(back, 0);
	return buf;
}

static void fill(struct list *l)
{
	list_init(l);
	for (size_t i = 0; i < N_ELEMENTS(items); i++)
		list_push_back(l, &items[i].node);
}

START_TEST(an_empty_list_has_nothing)
{
	struct list l;

	list_init(&l);
	ck_assert(list_is_empty(&l));
	ck_assert_ptr_null(list_first(&l));
	ck_assert_ptr_null(list_last(&l));
	ck_assert_ptr_null(list_pop_front(&l));
	ck_assert_str_eq(names(&l), "");
}
END_TEST

START_TEST(both_ends_take_elements)
{
	struct list l;

	list_init(&l);
	list_push_back(&l, &items[1].node);
	list_push_front(&l, &items[0].node);
	list_push_back(&l, &items[2].node);
	ck_assert_str_eq(names(&l), "abc");
	ck_assert_ptr_eq(list_first(&l), &items[0].node);
	ck_assert_ptr_eq(list_last(&l), &items[2].node);
	ck_assert_ptr_eq(list_next(&l, &items[0].node), &items[1].node);
	ck_assert_ptr_null(list_next(&l, &items[2].node));
	ck_assert_ptr_eq(list_pop_front(&l), &items[0].node);
	ck_assert(!list_is_linked(&items[0].node));
	ck_assert_str_eq(names(&l), "bc");
}
END_TEST

static const char *const without[] = { "bcde", "acde", "abde", "abce", "abcd" };

START_TEST(any_element_can_be_removed_and_twice_is_harmless)
{
	struct list l;

	fill(&l);
	list_remove(&l, &items[_i].node);
	ck_assert(!list_is_linked(&items[_i].node));
	ck_assert_str_eq(names(&l), without[_i]);
	list_remove(&l, &items[_i].node);
	ck_assert_str_eq(names(&l), without[_i]);
	list_push_back(&l, &items[_i].node);
	ck_assert_uint_eq(l.count, 5);
}
END_TEST

START_TEST(a_loop_survives_the_removal_of_its_element)
{
	struct list l;
	int seen = 0;

	fill(&l);
	LIST_FOREACH(&l, it, next) {
		seen++;
		if (CONTAINER_OF(it, struct item, node)->name != 'c')
			list_remove(&l, it);
	}
	ck_assert_int_eq(seen, 5);
	ck_assert_str_eq(names(&l), "c");
}
END_TEST

START_TEST(an_element_in_two_lists_is_our_mistake)
{
	struct list a, b;

	fill(&a);
	list_init(&b);
	fclose(stderr); /* the assertion's message isn't news here */
	list_push_back(&b, &items[0].node);
}
END_TEST

UNIT_MAIN("list", {
	tcase_add_test(tc, an_empty_list_has_nothing);
	tcase_add_test(tc, both_ends_take_elements);
	tcase_add_loop_test(tc, any_element_can_be_removed_and_twice_is_harmless, 0, N_ELEMENTS(without));
	tcase_add_test(tc, a_loop_survives_the_removal_of_its_element);
	tcase_add_test_raise_signal(tc, an_element_in_two_lists_is_our_mistake, SIGABRT);
})
