/*
 * A SELECT of the console: either an error with a place inside the text, or one whose rows are some of the view's, no more than LIMIT says,
 * in the order that it says, and as many as count(*) with the same condition tells.
 */
#include "admin/select.h"
#include "admin/show.h"
#include "wire/msg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void value(struct rows *r, enum column_type type, unsigned row, size_t column)
{
	static const char *const texts[] = { "", "a", "B", "a_%", "\xc3\xa4", "zzz" };
	unsigned n = row * 7 + (unsigned)column * 3;

	if (n % 5 == 0 || type == COLUMN_BYTEA)
		rows_text(r, NULL);
	else if (type == COLUMN_TEXT)
		rows_text(r, texts[n % N_ELEMENTS(texts)]);
	else
		rows_number(r, n % 4 ? n : UINT32_MAX);
}

static struct rows view_rows(const struct view *v)
{
	struct rows r = { .columns = v->columns, .n_columns = v->n_columns };

	for (unsigned i = 0; i < 9; i++) {
		rows_begin(&r);
		for (size_t k = 0; k < v->n_columns; k++)
			value(&r, v->columns[k].type, i, k);
		rows_end(&r);
	}
	return r;
}

static struct rows run(const struct select *s, const struct rows *from)
{
	const struct select_session who = { "pgweir", "bob", 1 };
	struct rows to = { .columns = s->columns, .n_columns = s->n_items };

	select_apply(s, from, &who, &to);
	return to;
}

static unsigned long counted(struct select *s, const struct rows *from)
{
	struct select all = *s;
	struct rows r;
	unsigned long n;

	all.is_count = true;
	all.n_items = 1;
	all.items[0] = (struct select_item){ .kind = ITEM_COUNT };
	all.columns[0] = (struct column){ "count", COLUMN_INT8 };
	all.limit = UINT64_MAX;
	all.offset = 0;
	r = run(&all, from);
	ASSERT(r.count == 1 && r.out.len > 11);
	write_u8(&r.out, 0);
	n = strtoul((const char *)r.out.data + 11, NULL, 10);
	writer_free(&r.out);
	return n;
}

static void check_result(struct select *s)
{
	struct rows from = s->view ? view_rows(s->view) : (struct rows){ .count = 1 };
	struct rows got = run(s, &from);
	unsigned long want = s->is_count || !s->view ? 1 : counted(s, &from);

	want -= MIN(want, s->offset);
	ASSERT(got.count == MIN(want, s->limit));
	ASSERT(got.count <= from.count);
	writer_free(&from.out);
	writer_free(&got.out);
}

static void check(const struct select *s)
{
	ASSERT(s->n_items > 0 && s->n_items <= SELECT_ITEMS_MAX && s->n_nodes <= SELECT_NODES_MAX);
	ASSERT(s->where < (int)s->n_nodes && s->n_order <= SELECT_ORDER_MAX && s->texts_len <= sizeof(s->texts));
	for (size_t i = 0; i < s->n_items; i++)
		ASSERT(memchr(s->items[i].name, '\0', SELECT_NAME_SIZE));
	for (size_t i = 0; i < s->n_nodes; i++) { /* what it is made of comes first */
		if (s->nodes[i].op <= OP_NOT)
			ASSERT(s->nodes[i].left < i && (s->nodes[i].op == OP_NOT || s->nodes[i].right < i));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xstrndup((const char *)data, size);
	struct select_error e;
	struct select s;

	if (select_parse(text, &s, &e) == RES_OK) {
		check(&s);
		check_result(&s);
	} else {
		ASSERT(strlen(e.sqlstate) == 5 && *e.message && memchr(e.message, '\0', sizeof(e.message)));
		ASSERT(e.position >= 0 && (size_t)e.position <= strlen(text) + 1);
	}
	free(text);
	return 0;
}
