/*
 * select.h - SELECT on the console: a view of SHOW with conditions, order and limit; or a row of constants.
 *
 *	SELECT {* | column | constant | function | count(*)} [[AS] name], ... [FROM view [WHERE ...] [ORDER BY ...] [LIMIT n] [OFFSET n]]
 *
 * Conditions: AND, OR, NOT, parentheses; = <> != < <= > >= between columns and constants, [NOT] LIKE, [NOT] ILIKE, [NOT] IN (constants),
 * IS [NOT] NULL, with SQL's three-valued logic. Numbers compare as numbers, texts by their bytes. Functions are those that drivers and
 * people begin with: version(), current_database(), current_user and so on. Nothing else: no joins, groups or expressions.
 *
 * A parsed SELECT points into static tables and itself only; it is parsed anew where it is needed rather than kept.
 *
 * Limits:  SELECT_TEXT_MAX bytes, SELECT_ITEMS_MAX columns, SELECT_NODES_MAX conditions, SELECT_DEPTH_MAX nested.
 * Errors:  RES_PROTOCOL: sqlstate, message and position (in characters, from 1; 0: none) say what is wrong and where.
 * Source:  PostgreSQL's manual, "SELECT".
 */
#ifndef PGWEIR_SELECT_H
#define PGWEIR_SELECT_H

#include "admin/rows.h"

#define SELECT_TEXT_MAX 1023
#define SELECT_ITEMS_MAX COLUMNS_MAX
#define SELECT_NODES_MAX 64
#define SELECT_DEPTH_MAX 24
#define SELECT_ORDER_MAX 8
#define SELECT_NAME_SIZE 64

struct view;

struct select_error {
	const char *sqlstate;
	char message[256];
	int position;
};

enum select_item_kind { ITEM_COLUMN, ITEM_COUNT, ITEM_NUMBER, ITEM_TEXT, ITEM_DATABASE, ITEM_USER, ITEM_PID };

struct select_item {
	enum select_item_kind kind;
	size_t column;
	uint32_t text;	   /* ITEM_TEXT, ITEM_NUMBER: offset in texts */
	const char *fixed; /* ITEM_TEXT: a constant of ours in its place; else NULL */
	char name[SELECT_NAME_SIZE];
};

enum select_op {
	OP_AND,
	OP_OR,
	OP_NOT,
	OP_EQUAL,
	OP_DIFFERENT,
	OP_LESS,
	OP_AT_MOST,
	OP_MORE,
	OP_AT_LEAST,
	OP_LIKE,
	OP_ILIKE,
	OP_IS_NULL,
};

struct select_operand {
	bool is_column, is_number;
	size_t column;
	uint32_t text;
};

struct select_node {
	enum select_op op;
	uint16_t left, right; /* nodes of AND, OR and NOT */
	struct select_operand a, b;
};

struct select_order {
	size_t column;
	bool is_descending, is_nulls_first;
};

struct select {
	const struct view *view; /* NULL: a row of constants */
	struct select_item items[SELECT_ITEMS_MAX];
	size_t n_items;
	bool is_count;
	struct column columns[SELECT_ITEMS_MAX]; /* of the result */
	struct select_node nodes[SELECT_NODES_MAX];
	size_t n_nodes;
	int where; /* a node; -1: all rows */
	struct select_order order[SELECT_ORDER_MAX];
	size_t n_order;
	uint64_t limit, offset;
	char texts[SELECT_TEXT_MAX + 64]; /* of constants: each takes no more than it and what follows it took in the query */
	uint32_t texts_len;
};

struct select_session { /* what functions tell */
	const char *database, *user;
	uint32_t pid;
};

/*
 * Does it ask for system catalogs by their full names, as programs do: psql's \d and completion, drivers that look for types? Where
 * select_parse() refuses that, no rows are the better answer: they take it as "there is nothing", and an error as their end.
 */
bool select_is_of_catalogs(const char *text);
enum result select_parse(const char *text, struct select *out, struct select_error *error);
/* from: the view's rows, all columns, as text; ignored without a view. to: gets the result's, in the formats that it wants. */
void select_apply(
	const struct select *s, const struct rows *from, const struct select_session *who, struct rows *to);

#endif
