#include "admin/select.h"
#include "admin/show.h"
#include "wire/msg.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct cell { /* text is NULL: SQL's NULL */
	const char *text;
	size_t len;
};

struct table {
	const struct select *s;
	struct cell *cells; /* n_columns a row */
	size_t n_columns, n_rows;
	const struct cell **order; /* the rows that are wanted */
	size_t n_order;
};

/* ---- reading what the view has written ---- */

static void read_row(struct reader r, struct cell *out, size_t n)
{
	uint16_t n_values;

	read_bytes(&r, FRAME_HEADER_SIZE);
	n_values = read_u16(&r);
	ASSERT(n_values == n);
	for (size_t i = 0; i < n; i++) {
		uint32_t len = read_u32(&r);

		out[i] = (struct cell){ .len = 0 };
		if (len == UINT32_MAX)
			continue;
		out[i].text = (const char *)read_bytes(&r, len);
		out[i].len = len;
		if (!len)
			out[i].text = "";
	}
	ASSERT(!r.bad);
}

static void read_rows(struct table *t, const struct rows *from)
{
	struct reader r = reader_over(from->out.data, from->out.len);
	struct frame f;

	t->cells = xcalloc(from->count * t->n_columns + 1, sizeof(*t->cells));
	while (reader_left(&r) && frame_peek(&r, &f) == RES_OK) {
		const uint8_t *message = read_bytes(&r, f.length);

		ASSERT(message);
		if (f.type == MSG_DATA_ROW)
			read_row(reader_over(message, f.length), t->cells + t->n_rows++ * t->n_columns,
				t->n_columns);
	}
	ASSERT(t->n_rows == from->count);
}

/* ---- conditions: SQL's three values ---- */

enum truth { IS_FALSE, IS_TRUE, IS_UNKNOWN };

static struct cell value_of(const struct select *s, const struct select_operand *o, const struct cell *row)
{
	const char *text = s->texts + o->text;

	return o->is_column ? row[o->column] : (struct cell){ text, strlen(text) };
}

static long double number_of(const struct cell *c)
{
	char text[64];

	memcpy(text, c->text, MIN(c->len, sizeof(text) - 1));
	text[MIN(c->len, sizeof(text) - 1)] = '\0';
	return strtold(text, NULL);
}

static int compare_texts(const struct cell *a, const struct cell *b)
{
	int order = memcmp(a->text, b->text, MIN(a->len, b->len));

	return order ? order : (a->len > b->len) - (a->len < b->len);
}

static int compare(const struct cell *a, const struct cell *b, bool as_numbers)
{
	long double x, y;

	if (!as_numbers)
		return compare_texts(a, b);
	x = number_of(a);
	y = number_of(b);
	return (x > y) - (x < y);
}

static bool same_letter(char a, char b, bool any_case)
{
	return a == b || (any_case && tolower((unsigned char)a) == tolower((unsigned char)b));
}

/* Goes back to the last % only, so it takes len * pattern steps at most. A character of UTF-8 counts as one for _ */
static bool is_like(const char *text, size_t len, const char *pattern, bool any_case)
{
	const char *end = text + len, *again = NULL, *after_percent = NULL;

	while (text < end || *pattern) {
		bool is_escaped = *pattern == '\\' && pattern[1];
		const char *want = pattern + is_escaped;

		if (*pattern == '%') {
			after_percent = ++pattern;
			again = text;
		} else if (text < end && *pattern == '_' && !is_escaped) {
			pattern++;
			for (text++; text < end && ((unsigned char)*text & 0xc0) == 0x80; text++)
				continue;
		} else if (text < end && *want && same_letter(*text, *want, any_case)) {
			pattern = want + 1;
			text++;
		} else if (after_percent && again < end) {
			pattern = after_percent;
			text = ++again;
		} else {
			return false;
		}
	}
	return true;
}

static enum truth compare_node(const struct select *s, const struct select_node *n, const struct cell *row)
{
	struct cell a = value_of(s, &n->a, row), b = value_of(s, &n->b, row);
	int order;

	if (!a.text || !b.text)
		return IS_UNKNOWN;
	if (n->op == OP_LIKE || n->op == OP_ILIKE)
		return is_like(a.text, a.len, b.text, n->op == OP_ILIKE) ? IS_TRUE : IS_FALSE;
	order = compare(&a, &b, n->a.is_number && n->b.is_number);
	switch (n->op) {
	case OP_EQUAL: return order == 0 ? IS_TRUE : IS_FALSE;
	case OP_DIFFERENT: return order != 0 ? IS_TRUE : IS_FALSE;
	case OP_LESS: return order < 0 ? IS_TRUE : IS_FALSE;
	case OP_AT_MOST: return order <= 0 ? IS_TRUE : IS_FALSE;
	case OP_MORE: return order > 0 ? IS_TRUE : IS_FALSE;
	case OP_AT_LEAST: return order >= 0 ? IS_TRUE : IS_FALSE;
	case OP_AND:
	case OP_OR:
	case OP_NOT:
	case OP_LIKE:
	case OP_ILIKE:
	case OP_IS_NULL: break;
	}
	return IS_FALSE;
}

static enum truth not_of(enum truth t)
{
	return t == IS_UNKNOWN ? t : t == IS_TRUE ? IS_FALSE : IS_TRUE;
}

/* A node comes behind those that it is made of, so that all are known when it is looked at: no recursion. */
static bool is_wanted(const struct select *s, const struct cell *row)
{
	enum truth known[SELECT_NODES_MAX] = { IS_FALSE };

	for (size_t i = 0; i < s->n_nodes; i++) {
		const struct select_node *n = &s->nodes[i];
		enum truth left = known[n->left], right = known[n->right];

		if (n->op == OP_NOT)
			known[i] = not_of(left);
		else if (n->op == OP_AND)
			known[i] = left == IS_FALSE || right == IS_FALSE ? IS_FALSE
				: left == IS_TRUE && right == IS_TRUE	 ? IS_TRUE
									 : IS_UNKNOWN;
		else if (n->op == OP_OR)
			known[i] = left == IS_TRUE || right == IS_TRUE	? IS_TRUE
				: left == IS_FALSE && right == IS_FALSE ? IS_FALSE
									: IS_UNKNOWN;
		else if (n->op == OP_IS_NULL)
			known[i] = value_of(s, &n->a, row).text ? IS_FALSE : IS_TRUE;
		else
			known[i] = compare_node(s, n, row);
	}
	return s->where < 0 || known[s->where] == IS_TRUE;
}

/* ---- order ---- */

static bool is_number_column(const struct select *s, size_t column)
{
	enum column_type type = s->view->columns[column].type;

	return type != COLUMN_TEXT && type != COLUMN_BYTEA;
}

static int by_order(const void *pa, const void *pb, void *ctx)
{
	const struct cell *a = *(const struct cell *const *)pa, *b = *(const struct cell *const *)pb;
	const struct select *s = ctx;

	for (size_t i = 0; i < s->n_order; i++) {
		const struct select_order *o = &s->order[i];
		const struct cell *x = &a[o->column], *y = &b[o->column];
		int order;

		if (!x->text || !y->text) {
			order = (y->text != NULL) - (x->text != NULL); /* > 0: only y has a value */
			if (order)
				return o->is_nulls_first ? -order : order;
			continue;
		}
		order = compare(x, y, is_number_column(s, o->column));
		if (order)
			return o->is_descending ? -order : order;
	}
	return (a > b) - (a < b); /* as the view has them */
}

static void choose(struct table *t)
{
	t->order = xcalloc(t->n_rows + 1, sizeof(struct cell *));
	for (size_t i = 0; i < t->n_rows; i++) {
		const struct cell *row = t->cells + i * t->n_columns;

		if (is_wanted(t->s, row))
			t->order[t->n_order++] = row;
	}
	if (t->s->n_order && t->n_order)
		qsort_r(t->order, t->n_order, sizeof(struct cell *), by_order, (void *)(uintptr_t)t->s);
}

/* ---- writing ---- */

static void write_cell(struct rows *to, const struct cell *c, enum column_type type)
{
	char *text;

	if (!c->text) {
		rows_text(to, NULL);
		return;
	}
	text = xstrndup(c->text, c->len);
	if (type == COLUMN_TEXT)
		rows_text(to, text);
	else
		rows_number(to, strtoull(text, NULL, 10));
	free(text);
}

static void write_item(const struct select *s, size_t i, const struct cell *row, size_t count,
	const struct select_session *who, struct rows *to)
{
	const struct select_item *item = &s->items[i];

	switch (item->kind) {
	case ITEM_COLUMN:
		ASSERT(row); /* count(*) stands beside no column */
		write_cell(to, &row[item->column], s->columns[i].type);
		break;
	case ITEM_COUNT: rows_number(to, count); break;
	case ITEM_NUMBER: rows_number(to, strtoull(s->texts + item->text, NULL, 10)); break;
	case ITEM_TEXT: rows_text(to, item->fixed ? item->fixed : s->texts + item->text); break;
	case ITEM_DATABASE: rows_text(to, who->database); break;
	case ITEM_USER: rows_text(to, who->user); break;
	case ITEM_PID: rows_number(to, who->pid); break;
	}
}

static void write_row(const struct select *s, const struct cell *row, size_t count,
	const struct select_session *who, struct rows *to)
{
	rows_begin(to);
	for (size_t i = 0; i < s->n_items; i++)
		write_item(s, i, row, count, who, to);
	rows_end(to);
}

void select_apply(
	const struct select *s, const struct rows *from, const struct select_session *who, struct rows *to)
{
	struct table t = { .s = s, .n_columns = s->view ? s->view->n_columns : 0 };
	size_t n = 1;

	if (s->view) {
		read_rows(&t, from);
		choose(&t);
		n = s->is_count ? 1 : t.n_order;
	}
	for (size_t i = s->offset; i < n && i - s->offset < s->limit; i++)
		write_row(s, s->view && !s->is_count ? t.order[i] : NULL, s->view ? t.n_order : 1, who, to);
	free(t.cells);
	free(t.order);
}
