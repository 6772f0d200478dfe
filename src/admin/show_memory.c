#include "admin/show_private.h"

#include <malloc.h>

/* PgBouncer's columns; its rows are its slabs, ours are what there is many of */
static const struct column mem_columns[] = { TEXT("name"), INT4("size"), INT4("used"), INT4("free"),
	INT4("memtotal") };

static void mem_row(struct rows *r, const char *name, size_t size, size_t used, size_t n_free, size_t total)
{
	rows_begin(r);
	rows_text(r, name);
	rows_number(r, size);
	rows_number(r, used);
	rows_number(r, n_free);
	rows_number(r, total);
	rows_end(r);
}

static void fill_mem(const struct show *s)
{
	struct mallinfo2 heap = mallinfo2();

	for (int k = 0; k < MEMORY_ROWS; k++) {
		struct memory_row sum = s->reports[0]->memory[k];

		for (int i = 1; i < s->n_reports; i++) {
			const struct memory_row *m = &s->reports[i]->memory[k];

			sum.used += m->used;
			sum.free += m->free;
			sum.total += m->total;
		}
		mem_row(s->rows, sum.name, sum.size, sum.used, sum.free, sum.total);
	}
	mem_row(s->rows, "heap", 1, heap.uordblks + heap.hblkhd, heap.fordblks, heap.arena + heap.hblkhd);
}

const struct view view_mem = { "MEM", COLUMNS(mem_columns), WANT_MEMORY, fill_mem };
