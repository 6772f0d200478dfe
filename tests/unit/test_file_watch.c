#include "core/file_watch.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Each letter is a look: what it finds; a capital: it is to be read again. A dot: the file is missing. */
static const struct {
	const char *name, *looks;
} histories[] = {
	{ "nothing happens", "aaaa" },
	{ "a change settles", "aabBbb" },
	{ "it is being written", "aabcdeEe" },
	{ "there and back", "aaba" },
	{ "there, read, and back", "aabBaAa" },
	{ "it goes missing and comes back as it was", "aa...aa" },
	{ "it goes missing and comes back changed", "aa...bBb" },
	{ "it never comes back", "aa......" },
};

static struct file_stamp stamp(char c)
{
	struct file_stamp s = { 0 };

	if (c != '.')
		s = (struct file_stamp){ 1, 2, 3, 4, c };
	return s;
}

START_TEST(a_change_counts_when_it_has_settled)
{
	struct file_watch w;
	struct file_stamp first = stamp('a');

	file_watch_read(&w, &first);
	for (const char *c = histories[_i].looks; *c; c++) {
		bool is_due = *c >= 'A' && *c <= 'Z';
		struct file_stamp now = stamp(is_due ? (char)(*c - 'A' + 'a') : *c);

		ck_assert_msg(file_watch_look(&w, &now) == is_due, "%s: look %d", histories[_i].name,
			(int)(c - histories[_i].looks));
	}
}
END_TEST

START_TEST(a_file_has_another_stamp_when_it_was_written_or_replaced)
{
	char path[] = "/tmp/pgweir-watch-XXXXXX", other[sizeof(path) + 2];
	int fd = mkstemp(path);
	struct file_stamp first = file_stamp_of(path), second, third;
	FILE *f;

	ck_assert_int_eq((int)write(fd, "more", 4), 4);
	close(fd);
	second = file_stamp_of(path);
	ck_assert_int_ne(memcmp(&first, &second, sizeof(first)), 0);
	snprintf(other, sizeof(other), "%s.2", path);
	f = fopen(other, "w");
	ck_assert_ptr_nonnull(f);
	fputs("more", f);
	fclose(f);
	ck_assert_int_eq(rename(other, path), 0);
	third = file_stamp_of(path);
	ck_assert_int_ne(memcmp(&second, &third, sizeof(second)), 0);
	unlink(path);
	first = file_stamp_of(path);
	ck_assert_mem_eq(&first, &(struct file_stamp){ 0 }, sizeof(first));
}
END_TEST

UNIT_MAIN("file_watch", {
	tcase_add_loop_test(tc, a_change_counts_when_it_has_settled, 0, N_ELEMENTS(histories));
	tcase_add_test(tc, a_file_has_another_stamp_when_it_was_written_or_replaced);
})
