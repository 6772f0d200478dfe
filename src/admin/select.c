#include "admin/select.h"

#include "admin/show.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- the lexer ---- */

enum token_kind { T_END, T_WORD, T_NAME /* "" */, T_STRING, T_NUMBER, T_SYMBOL, T_BAD };

struct parser {
	const char *text, *pos; /* pos is behind the token in hand */
	struct select *s;
	struct select_error *error;
	enum token_kind token;
	const char *begin;		/* of the token */
	char word[SELECT_TEXT_MAX + 1]; /* its text, unquoted; folded if it is a word */
	char symbol[3];			/* T_SYMBOL */
	unsigned depth;
};

static bool fail_at(struct parser *p, const char *at, const char *sqlstate, const char *format, ...)
	PRINTF_LIKE(4, 5);
static bool fail_at(struct parser *p, const char *at, const char *sqlstate, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(p->error->message, sizeof(p->error->message), format, ap);
	va_end(ap);
	p->error->sqlstate = sqlstate;
	p->error->position = 1;
	for (const char *c = p->text; c < at; c++)
		p->error->position += ((unsigned char)*c & 0xc0) != 0x80;
	return false;
}

/* What the parser has no use for, but SQL has. */
static bool is_sql(const char *word)
{
	static const char *const words[] = { "group", "having", "join", "inner", "left", "right", "full",
		"cross", "natural", "union", "intersect", "except", "window", "fetch", "for", "distinct", "all",
		"case", "cast", "between", "similar", "exists", "any", "some", "collate", "over", "using" };

	for (size_t i = 0; i < N_ELEMENTS(words); i++) {
		if (strcmp(word, words[i]) == 0)
			return true;
	}
	return false;
}

/* The token in hand isn't what belongs here. */
static bool fail_here(struct parser *p)
{
	int len = (int)MIN(p->pos - p->begin, 60);

	while (len > 0 && ((unsigned char)p->begin[len] & 0xc0) == 0x80)
		len--;
	if (p->token == T_END)
		return fail_at(p, p->begin, "42601", "syntax error at end of input");
	if (p->token == T_WORD && is_sql(p->word))
		return fail_at(p, p->begin, "0A000", "the console's SELECT has no %s", p->word);
	if (p->token == T_BAD)
		return fail_at(p, p->begin, "42601", "%s at or near \"%.*s\"",
			isdigit((unsigned char)*p->begin) ? "trailing junk after a number"
							  : "unterminated quoted string or comment",
			len, p->begin);
	return fail_at(p, p->begin, "42601", "syntax error at or near \"%.*s\"", len, p->begin);
}

static const char *skip_comment(const char *p)
{
	int depth = 0;

	do {
		if (p[0] == '/' && p[1] == '*')
			depth++, p += 2;
		else if (p[0] == '*' && p[1] == '/')
			depth--, p += 2;
		else
			p++;
	} while (depth && *p);
	return depth ? NULL : p;
}

/* NULL: a comment that doesn't end. */
static const char *skip_blanks(const char *p)
{
	while (p && *p) {
		if (isspace((unsigned char)*p))
			p++;
		else if (p[0] == '-' && p[1] == '-')
			p += strcspn(p, "\n");
		else if (p[0] == '/' && p[1] == '*')
			p = skip_comment(p);
		else
			break;
	}
	return p;
}

static enum token_kind take_quoted(struct parser *p)
{
	char quote = *p->pos++;
	size_t n = 0;

	for (; *p->pos; p->pos++) {
		if (*p->pos == quote && *++p->pos != quote) {
			p->word[n] = '\0';
			return quote == '"' ? T_NAME : T_STRING;
		}
		p->word[n++] = *p->pos; /* no longer than the text */
	}
	return T_BAD;
}

static bool is_word_byte(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || (c & 0x80);
}

static enum token_kind take_word(struct parser *p)
{
	size_t n = 0;

	for (; is_word_byte(*p->pos); p->pos++)
		p->word[n++] = *p->pos & 0x80 ? *p->pos : (char)tolower((unsigned char)*p->pos);
	p->word[n] = '\0';
	return T_WORD;
}

static enum token_kind take_number(struct parser *p)
{
	size_t n = strspn(p->pos, "0123456789");

	if (p->pos[n] == '.')
		n += 1 + strspn(p->pos + n + 1, "0123456789");
	memcpy(p->word, p->pos, n);
	p->word[n] = '\0';
	p->pos += n;
	return is_word_byte(*p->pos) ? T_BAD : T_NUMBER;
}

static enum token_kind take_symbol(struct parser *p)
{
	static const char *const twos[] = { "<>", "!=", "<=", ">=", "::" };
	size_t n = 1;

	for (size_t i = 0; i < N_ELEMENTS(twos); i++) {
		if (strncmp(p->pos, twos[i], 2) == 0)
			n = 2;
	}
	memcpy(p->symbol, p->pos, n);
	p->symbol[n] = '\0';
	p->pos += n;
	return T_SYMBOL;
}

static void next(struct parser *p)
{
	const char *at = skip_blanks(p->pos);

	p->begin = at ? at : p->pos + strspn(p->pos, " \t\r\n\v\f");
	p->symbol[0] = '\0';
	if (!at) {
		p->token = T_BAD;
		p->pos += strlen(p->pos);
		return;
	}
	p->pos = at;
	if (!*at)
		p->token = T_END;
	else if (*at == '"' || *at == '\'')
		p->token = take_quoted(p);
	else if (isdigit((unsigned char)*at) || (*at == '.' && isdigit((unsigned char)at[1])))
		p->token = take_number(p);
	else if (is_word_byte(*at))
		p->token = take_word(p);
	else
		p->token = take_symbol(p);
}

static bool is_symbol(const struct parser *p, const char *symbol)
{
	return p->token == T_SYMBOL && strcmp(p->symbol, symbol) == 0;
}

static bool is_word(const struct parser *p, const char *word)
{
	return p->token == T_WORD && strcmp(p->word, word) == 0;
}

static bool accept_symbol(struct parser *p, const char *symbol)
{
	if (!is_symbol(p, symbol))
		return false;
	next(p);
	return true;
}

static bool accept_word(struct parser *p, const char *word)
{
	if (!is_word(p, word))
		return false;
	next(p);
	return true;
}

static bool expect_symbol(struct parser *p, const char *symbol)
{
	return accept_symbol(p, symbol) || fail_here(p);
}

static bool expect_word(struct parser *p, const char *word)
{
	return accept_word(p, word) || fail_here(p);
}

/* ---- names and constants ---- */

static uint32_t keep_text(struct parser *p, const char *text)
{
	uint32_t at = p->s->texts_len;
	size_t len = strlen(text) + 1;

	ASSERT(at + len <= sizeof(p->s->texts)); /* each is of a part of the text of its own */
	memcpy(p->s->texts + at, text, len);
	p->s->texts_len += (uint32_t)len;
	return at;
}

static bool find_column(struct parser *p, size_t *out)
{
	const struct view *v = p->s->view;

	if (p->token != T_WORD && p->token != T_NAME)
		return fail_here(p);
	for (size_t i = 0; v && i < v->n_columns; i++) {
		if (strcmp(v->columns[i].name, p->word) == 0) {
			*out = i;
			next(p);
			return true;
		}
	}
	if (p->token == T_WORD && is_sql(p->word))
		return fail_here(p);
	return fail_at(p, p->begin, "42703", "column \"%.63s\" does not exist", p->word);
}

static bool is_number_column(const struct parser *p, size_t column)
{
	return p->s->view->columns[column].type != COLUMN_TEXT && p->s->view->columns[column].type != COLUMN_BYTEA;
}

static bool accept_null(struct parser *p)
{
	return is_word(p, "null");
}

/* A number may have a sign in front of it. */
static bool take_constant(struct parser *p, bool *is_number, uint32_t *text)
{
	char number[SELECT_TEXT_MAX + 2];
	bool is_negative = is_symbol(p, "-");

	if (is_negative || is_symbol(p, "+"))
		next(p);
	else if (p->token == T_STRING) {
		*is_number = false;
		*text = keep_text(p, p->word);
		next(p);
		return true;
	}
	if (p->token != T_NUMBER)
		return fail_here(p);
	snprintf(number, sizeof(number), "%s%s", is_negative ? "-" : "", p->word);
	*is_number = true;
	*text = keep_text(p, number);
	next(p);
	return true;
}

static bool take_operand(struct parser *p, struct select_operand *o)
{
	if (accept_null(p))
		return fail_at(p, p->begin, "0A000", "compare with IS NULL rather than with null");
	o->is_column = p->token == T_WORD || p->token == T_NAME;
	if (!o->is_column)
		return take_constant(p, &o->is_number, &o->text);
	if (!find_column(p, &o->column))
		return false;
	o->is_number = is_number_column(p, o->column);
	return true;
}

/* ---- conditions ---- */

static bool parse_or(struct parser *p, uint16_t *out);

static bool add_node(struct parser *p, const struct select_node *n, uint16_t *out)
{
	if (p->s->n_nodes == SELECT_NODES_MAX)
		return fail_at(p, p->begin, "54000", "more than %d conditions", SELECT_NODES_MAX);
	*out = (uint16_t)p->s->n_nodes;
	p->s->nodes[p->s->n_nodes++] = *n;
	return true;
}

static bool add_not(struct parser *p, bool is_negated, uint16_t node, uint16_t *out)
{
	*out = node;
	return !is_negated || add_node(p, &(struct select_node){ .op = OP_NOT, .left = node }, out);
}

/* A constant text beside a number must be one. */
static bool check_types(struct parser *p, const char *at, struct select_node *n)
{
	struct select_operand *text = n->a.is_number ? &n->b : &n->a;
	const char *value = p->s->texts + text->text;
	char *end;

	if (n->a.is_number == n->b.is_number)
		return true;
	if (text->is_column) /* the number is compared as text */
		return true;
	strtold(value, &end);
	if (!*value || *end || strspn(value, "+-.0123456789") != strlen(value))
		return fail_at(p, at, "22P02", "invalid input syntax for a number: \"%.63s\"", value);
	text->is_number = true;
	return true;
}

static bool parse_list(struct parser *p, const struct select_operand *a, uint16_t *out)
{
	uint16_t left = 0;
	bool is_first = true;

	if (!expect_symbol(p, "("))
		return false;
	do {
		struct select_node n = { .op = OP_EQUAL, .a = *a };
		const char *at = p->begin;
		uint16_t right = 0;

		if (!take_constant(p, &n.b.is_number, &n.b.text) || !check_types(p, at, &n) ||
			!add_node(p, &n, &right))
			return false;
		if (!is_first &&
			!add_node(p, &(struct select_node){ .op = OP_OR, .left = left, .right = right }, &right))
			return false;
		left = right;
		is_first = false;
	} while (accept_symbol(p, ","));
	*out = left;
	return expect_symbol(p, ")");
}

static bool take_comparison(struct parser *p, enum select_op *op)
{
	static const struct {
		const char *symbol;
		enum select_op op;
	} ops[] = { { "=", OP_EQUAL }, { "<>", OP_DIFFERENT }, { "!=", OP_DIFFERENT }, { "<", OP_LESS },
		{ "<=", OP_AT_MOST }, { ">", OP_MORE }, { ">=", OP_AT_LEAST } };

	for (size_t i = 0; i < N_ELEMENTS(ops); i++) {
		if (accept_symbol(p, ops[i].symbol)) {
			*op = ops[i].op;
			return true;
		}
	}
	return fail_here(p);
}

static bool parse_like(struct parser *p, struct select_node *n, uint16_t *out)
{
	if (p->token != T_STRING)
		return fail_here(p);
	n->b = (struct select_operand){ .text = keep_text(p, p->word) };
	next(p);
	return add_node(p, n, out);
}

static bool parse_is_null(struct parser *p, struct select_node *n, uint16_t *out)
{
	bool is_negated = accept_word(p, "not");
	uint16_t node = 0;

	n->op = OP_IS_NULL;
	return expect_word(p, "null") && add_node(p, n, &node) && add_not(p, is_negated, node, out);
}

static bool parse_predicate(struct parser *p, uint16_t *out)
{
	struct select_node n = { .op = OP_EQUAL };
	bool is_negated;
	uint16_t node = 0;
	const char *at = p->begin;

	if (!take_operand(p, &n.a))
		return false;
	if (accept_word(p, "is"))
		return parse_is_null(p, &n, out);
	is_negated = accept_word(p, "not");
	if (accept_word(p, "in"))
		return parse_list(p, &n.a, &node) && add_not(p, is_negated, node, out);
	n.op = is_word(p, "ilike") ? OP_ILIKE : OP_LIKE;
	if (accept_word(p, "like") || accept_word(p, "ilike"))
		return parse_like(p, &n, &node) && add_not(p, is_negated, node, out);
	if (is_negated || !take_comparison(p, &n.op))
		return is_negated ? fail_here(p) : false;
	if (p->token != T_WORD && p->token != T_NAME)
		at = p->begin;
	return take_operand(p, &n.b) && check_types(p, at, &n) && add_node(p, &n, out);
}

static bool parse_not(struct parser *p, uint16_t *out)
{
	bool is_negated = false, is_ok;
	uint16_t node = 0;

	while (accept_word(p, "not"))
		is_negated = !is_negated;
	if (!accept_symbol(p, "("))
		return parse_predicate(p, &node) && add_not(p, is_negated, node, out);
	if (++p->depth > SELECT_DEPTH_MAX)
		return fail_at(p, p->begin, "54000", "conditions are nested too deep");
	is_ok = parse_or(p, &node) && expect_symbol(p, ")") && add_not(p, is_negated, node, out);
	p->depth--;
	return is_ok;
}

static bool parse_chain(struct parser *p, const char *word, enum select_op op,
	bool (*part)(struct parser *p, uint16_t *out), uint16_t *out)
{
	if (!part(p, out))
		return false;
	while (accept_word(p, word)) {
		struct select_node n = { .op = op, .left = *out };

		if (!part(p, &n.right) || !add_node(p, &n, out))
			return false;
	}
	return true;
}

static bool parse_and(struct parser *p, uint16_t *out)
{
	return parse_chain(p, "and", OP_AND, parse_not, out);
}

static bool parse_or(struct parser *p, uint16_t *out)
{
	return parse_chain(p, "or", OP_OR, parse_and, out);
}

/* ---- the list ---- */

static const struct function {
	const char *name;
	enum select_item_kind kind;
	const char *text;
	bool is_bare; /* also without parentheses */
} functions[] = {
	{ "version", ITEM_TEXT, "PgBouncer " COMPATIBLE_VERSION " (pgweir " PGWEIR_VERSION ")", false },
	{ "current_database", ITEM_DATABASE, NULL, false },
	{ "current_catalog", ITEM_DATABASE, NULL, true },
	{ "current_user", ITEM_USER, NULL, true },
	{ "session_user", ITEM_USER, NULL, true },
	{ "user", ITEM_USER, NULL, true },
	{ "current_schema", ITEM_TEXT, "public", true },
	{ "pg_backend_pid", ITEM_PID, NULL, false },
};

/* A column's type follows what it gives; its name was set before. */
static void add_column(struct parser *p, const struct select_item *item, enum column_type type)
{
	struct select *s = p->s;

	s->items[s->n_items] = *item;
	s->columns[s->n_items] = (struct column){ s->items[s->n_items].name, type };
	s->n_items++;
}

static bool take_name(struct parser *p, char name[SELECT_NAME_SIZE])
{
	bool is_as = accept_word(p, "as");
	static const char *const clauses[] = { "from", "where", "order", "limit", "offset" };

	if (p->token == T_WORD && !is_as) {
		for (size_t i = 0; i < N_ELEMENTS(clauses); i++) {
			if (strcmp(p->word, clauses[i]) == 0)
				return true;
		}
	}
	if (p->token != T_WORD && p->token != T_NAME)
		return !is_as || fail_here(p);
	if (p->token == T_WORD && is_sql(p->word))
		return fail_here(p);
	if (strlen(p->word) >= SELECT_NAME_SIZE)
		return fail_at(p, p->begin, "42622", "a name is longer than %d bytes", SELECT_NAME_SIZE - 1);
	snprintf(name, SELECT_NAME_SIZE, "%.*s", SELECT_NAME_SIZE - 1, p->word);
	next(p);
	return true;
}

static bool add_all(struct parser *p)
{
	const struct view *v = p->s->view;

	if (!v)
		return fail_at(p, p->begin, "42601", "SELECT * with no view specified is not valid");
	for (size_t i = 0; i < v->n_columns; i++) {
		struct select_item item = { .kind = ITEM_COLUMN, .column = i };

		if (p->s->n_items == SELECT_ITEMS_MAX)
			return fail_at(p, p->begin, "54011", "more than %d columns", SELECT_ITEMS_MAX);
		snprintf(item.name, sizeof(item.name), "%s", v->columns[i].name);
		add_column(p, &item, v->columns[i].type);
	}
	next(p);
	return true;
}

static bool parse_count(struct parser *p, struct select_item *item)
{
	next(p); /* ( */
	if (!expect_symbol(p, "*") || !expect_symbol(p, ")"))
		return false;
	item->kind = ITEM_COUNT;
	p->s->is_count = true;
	snprintf(item->name, sizeof(item->name), "count");
	return true;
}

static enum column_type type_of(const struct parser *p, const struct select_item *item)
{
	switch (item->kind) {
	case ITEM_COLUMN: return p->s->view->columns[item->column].type;
	case ITEM_COUNT: return COLUMN_INT8;
	case ITEM_NUMBER:
	case ITEM_PID: return COLUMN_INT4;
	case ITEM_TEXT:
	case ITEM_DATABASE:
	case ITEM_USER: break;
	}
	return COLUMN_TEXT;
}

static const struct function *find_function(const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(functions); i++) {
		if (strcmp(name, functions[i].name) == 0)
			return &functions[i];
	}
	return NULL;
}

/* At its name. A column of the view goes first where no parenthesis follows. */
static bool parse_word_item(struct parser *p, struct select_item *item)
{
	const char *at = p->begin, *ahead = skip_blanks(p->pos);
	char name[SELECT_TEXT_MAX + 1];
	const struct function *f;

	snprintf(name, sizeof(name), "%s", p->word);
	snprintf(item->name, sizeof(item->name), "%.*s", SELECT_NAME_SIZE - 1, p->word);
	if (!ahead || *ahead != '(') {
		f = p->s->view || p->token == T_NAME ? NULL : find_function(name);
		if (!f || !f->is_bare)
			return find_column(p, &item->column);
		next(p);
	} else {
		next(p);
		if (strcmp(name, "count") == 0)
			return parse_count(p, item);
		next(p);
		f = find_function(name);
		if (!f)
			return fail_at(p, at, "42883", "function %.63s does not exist on the console", name);
		if (!expect_symbol(p, ")"))
			return false;
	}
	item->kind = f->kind;
	item->fixed = f->text;
	return true;
}

static bool parse_constant_item(struct parser *p, struct select_item *item)
{
	const char *at = p->begin;
	bool is_number;
	long value;
	char *end;

	if (!take_constant(p, &is_number, &item->text))
		return false;
	item->kind = is_number ? ITEM_NUMBER : ITEM_TEXT;
	snprintf(item->name, sizeof(item->name), "?column?");
	if (!is_number)
		return true;
	errno = 0;
	value = strtol(p->s->texts + item->text, &end, 10);
	if (*end || errno || value < 0 || value > INT32_MAX)
		return fail_at(p, at, "22003", "a number in the list must be a whole one from 0 to 2147483647");
	return true;
}

static bool parse_item(struct parser *p)
{
	struct select_item item = { .kind = ITEM_COLUMN };
	bool is_ok;

	if (is_symbol(p, "*"))
		return add_all(p);
	if (is_word(p, "pg_catalog")) {
		next(p);
		if (!expect_symbol(p, "."))
			return false;
	}
	is_ok = p->token == T_WORD || p->token == T_NAME ? parse_word_item(p, &item)
							 : parse_constant_item(p, &item);
	if (!is_ok || !take_name(p, item.name))
		return false;
	if (p->s->n_items == SELECT_ITEMS_MAX)
		return fail_at(p, p->begin, "54011", "more than %d columns", SELECT_ITEMS_MAX);
	add_column(p, &item, type_of(p, &item));
	return true;
}

static bool parse_items(struct parser *p)
{
	const char *at = p->begin;

	do {
		if (!parse_item(p))
			return false;
	} while (accept_symbol(p, ","));
	for (size_t i = 0; p->s->is_count && i < p->s->n_items; i++) {
		if (p->s->items[i].kind == ITEM_COLUMN)
			return fail_at(p, at, "42803", "column \"%s\" beside count(*)", p->s->items[i].name);
	}
	return true;
}

/* ---- the clauses ---- */

static bool parse_order_item(struct parser *p)
{
	struct select *s = p->s;
	struct select_order o = { .column = 0 };

	if (s->n_order == SELECT_ORDER_MAX)
		return fail_at(p, p->begin, "54000", "more than %d columns in ORDER BY", SELECT_ORDER_MAX);
	if (p->token == T_NUMBER) {
		unsigned long at = strtoul(p->word, NULL, 10);

		if (strchr(p->word, '.') || at < 1 || at > s->n_items || s->items[at - 1].kind != ITEM_COLUMN)
			return fail_at(p, p->begin, "42P10", "ORDER BY position %.20s is not in the list", p->word);
		o.column = s->items[at - 1].column;
		next(p);
	} else if (!find_column(p, &o.column)) {
		return false;
	}
	o.is_descending = accept_word(p, "desc");
	if (!o.is_descending)
		accept_word(p, "asc");
	o.is_nulls_first = o.is_descending;
	if (accept_word(p, "nulls")) {
		o.is_nulls_first = is_word(p, "first");
		if (!accept_word(p, "first") && !expect_word(p, "last"))
			return false;
	}
	s->order[s->n_order++] = o;
	return true;
}

static bool parse_order(struct parser *p)
{
	if (!expect_word(p, "by"))
		return false;
	do {
		if (!parse_order_item(p))
			return false;
	} while (accept_symbol(p, ","));
	return true;
}

static bool parse_amount(struct parser *p, uint64_t *out)
{
	if (accept_word(p, "all"))
		return true;
	if (p->token != T_NUMBER || strchr(p->word, '.') || strlen(p->word) > 18)
		return fail_here(p);
	*out = strtoull(p->word, NULL, 10);
	next(p);
	return true;
}

static bool parse_clauses(struct parser *p)
{
	uint16_t where = 0;

	if (accept_word(p, "where")) {
		if (!parse_or(p, &where))
			return false;
		p->s->where = where;
	}
	if (accept_word(p, "order") && !parse_order(p))
		return false;
	for (int i = 0; i < 2; i++) { /* in either order */
		if (accept_word(p, "limit") && !parse_amount(p, &p->s->limit))
			return false;
		if (accept_word(p, "offset") && !parse_amount(p, &p->s->offset))
			return false;
	}
	return true;
}

/* The list needs the view's columns, so FROM is looked for first: behind the list, outside parentheses and quotes. */
static bool find_from(struct parser *p)
{
	struct parser ahead = *p;

	while (ahead.token != T_END && ahead.token != T_BAD && !is_word(&ahead, "from"))
		next(&ahead);
	if (!is_word(&ahead, "from"))
		return true;
	next(&ahead);
	if (ahead.token != T_WORD && ahead.token != T_NAME) {
		*p = ahead;
		return fail_here(p);
	}
	p->s->view = view_find(ahead.word);
	if (p->s->view && p->s->view->n_columns)
		return true;
	return fail_at(p, ahead.begin, "42P01", "the console has no view \"%.63s\"", ahead.word);
}

static bool parse(struct parser *p)
{
	next(p);
	if (!expect_word(p, "select") || !find_from(p) || !parse_items(p))
		return false;
	if (accept_word(p, "from")) {
		next(p); /* the view */
		if (accept_symbol(p, ".") || is_symbol(p, ","))
			return fail_at(p, p->begin, "0A000", "the console's SELECT is from one view");
		if (!parse_clauses(p))
			return false;
	}
	while (accept_symbol(p, ";"))
		continue;
	return p->token == T_END || fail_here(p);
}

bool select_is_of_catalogs(const char *text)
{
	return strcasestr(text, "pg_catalog.") || strcasestr(text, "information_schema.");
}

/* The reason is worth more than a position. */
static bool names_catalogs(const char *text)
{
	return select_is_of_catalogs(text) || strcasestr(text, "from pg_") || strcasestr(text, "join pg_");
}

enum result select_parse(const char *text, struct select *out, struct select_error *error)
{
	struct parser p = { .text = text, .pos = text, .s = out, .error = error };

	memset(out, 0, sizeof(*out));
	*error = (struct select_error){ .sqlstate = "" };
	out->where = -1;
	out->limit = UINT64_MAX;
	if (strlen(text) > SELECT_TEXT_MAX) {
		fail_at(&p, text, "54000", "the query is longer than %d bytes", SELECT_TEXT_MAX);
		error->position = 0;
	} else if (parse(&p)) {
		return RES_OK;
	}
	if (names_catalogs(text)) {
		error->sqlstate = "0A000";
		error->position = 0;
		snprintf(error->message, sizeof(error->message),
			"the console has no system catalogs, use SHOW HELP;");
	}
	return RES_PROTOCOL;
}
