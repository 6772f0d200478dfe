#include "wire/sqlshape.h"

#include <string.h>

#define ELLIPSIS "..."

enum token { T_NONE, T_WORD, T_LITERAL, T_PUNCTUATION };

struct shape {
	const uint8_t *pos, *end;
	char *out;
	size_t len, size;
	bool is_cut;	   /* out is full: only the hash goes on */
	bool is_unclear;   /* the rest can't be read for sure */
	uint64_t hash;	   /* FNV-1a */
	enum token last;   /* what was put last */
	uint8_t last_byte; /* .. its last byte */
	bool had_blank;	   /* between that and what comes now */
	bool held_comma;   /* behind a literal: it goes if another follows */
	bool held_end;	   /* a semicolon, of which the last don't count */
	unsigned words;	   /* of the statement in hand */
	bool is_set, is_value;
};

static void put_byte(struct shape *s, uint8_t c)
{
	s->hash = (s->hash ^ c) * UINT64_C(1099511628211);
	if (s->len + sizeof(ELLIPSIS) < s->size)
		s->out[s->len++] = (char)c;
	else
		s->is_cut = true;
}

static bool wants_no_blank_before(uint8_t c)
{
	return c == ',' || c == ')' || c == ';';
}

static void put_token(struct shape *s, enum token kind, const uint8_t *text, size_t len, bool lower)
{
	if (s->last != T_NONE && !wants_no_blank_before(text[0]) && s->last_byte != '(' &&
		(s->had_blank || s->last_byte == ',' || s->last_byte == ';'))
		put_byte(s, ' ');
	for (size_t i = 0; i < len; i++)
		put_byte(s, lower && text[i] >= 'A' && text[i] <= 'Z' ? (uint8_t)(text[i] + 32) : text[i]);
	s->last = kind;
	s->last_byte = text[len - 1];
	s->had_blank = false;
}

/* What was held back in the hope that it needn't be put. */
static void flush_held(struct shape *s)
{
	bool had_blank = s->had_blank;

	s->had_blank = false;
	if (s->held_end)
		put_token(s, T_PUNCTUATION, (const uint8_t *)";", 1, false);
	if (s->held_comma)
		put_token(s, T_PUNCTUATION, (const uint8_t *)",", 1, false);
	s->held_end = s->held_comma = false;
	s->had_blank = had_blank;
}

static void put_literal(struct shape *s)
{
	if (s->held_comma && s->last == T_LITERAL) {
		s->held_comma = false;
		s->had_blank = false;
		return;
	}
	flush_held(s);
	put_token(s, T_LITERAL, (const uint8_t *)"?", 1, false);
}

/* ---- reading ---- */

static bool is_blank(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool begins_word(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static bool is_in_word(uint8_t c)
{
	return begins_word(c) || is_digit(c) || c == '$';
}

static bool looks_at(const struct shape *s, const char *text)
{
	size_t len = strlen(text);

	return (size_t)(s->end - s->pos) >= len && memcmp(s->pos, text, len) == 0;
}

static void skip_block_comment(struct shape *s)
{
	int depth = 0;

	do {
		if (looks_at(s, "/*"))
			depth++, s->pos += 2;
		else if (looks_at(s, "*/"))
			depth--, s->pos += 2;
		else
			s->pos++;
	} while (depth && s->pos < s->end);
}

static bool skip_blank(struct shape *s)
{
	if (is_blank(*s->pos)) {
		s->pos++;
	} else if (looks_at(s, "--")) {
		while (s->pos < s->end && *s->pos != '\n' && *s->pos != '\r')
			s->pos++;
	} else if (looks_at(s, "/*")) {
		skip_block_comment(s);
	} else {
		return false;
	}
	s->had_blank = true;
	return true;
}

/* At the opening quote. A backslash that may or may not hide a quote makes the rest unclear. */
static void skip_string(struct shape *s, bool is_escaped)
{
	for (s->pos++; s->pos < s->end; s->pos++) {
		if (*s->pos == '\\') {
			bool hides_quote = s->end - s->pos > 1 && s->pos[1] == '\'';

			if (is_escaped ? s->pos[-1] >= 0x80 : hides_quote) {
				s->is_unclear = true;
				return;
			}
			s->pos += is_escaped && s->end - s->pos > 1;
		} else if (*s->pos == '\'') {
			s->pos++;
			if (s->pos == s->end || *s->pos != '\'')
				return;
		}
	}
}

/* At a dollar. 0: no quote begins here, else the length of $tag$. */
static size_t dollar_quote(const struct shape *s)
{
	const uint8_t *p = s->pos + 1;

	if (p < s->end && is_digit(*p))
		return 0;
	while (p < s->end && is_in_word(*p) && *p != '$')
		p++;
	return p < s->end && *p == '$' ? (size_t)(p - s->pos) + 1 : 0;
}

static void skip_dollar_quoted(struct shape *s, size_t tag_len)
{
	const uint8_t *tag = s->pos, *found;

	s->pos += tag_len;
	found = memmem(s->pos, (size_t)(s->end - s->pos), tag, tag_len);
	s->pos = found ? found + tag_len : s->end;
}

/* Digits and whatever hangs on them: also what PostgreSQL would call junk. */
static void skip_number(struct shape *s)
{
	while (s->pos < s->end &&
		(is_in_word(*s->pos) || *s->pos == '.' ||
			((*s->pos == '+' || *s->pos == '-') && (s->pos[-1] | 32) == 'e')))
		s->pos++;
}

static size_t quoted_name(const struct shape *s)
{
	const uint8_t *p = s->pos + 1;

	while (p < s->end && *p != '"')
		p++;
	return (size_t)(p - s->pos) + (p < s->end);
}

static bool is_word(const uint8_t *text, size_t len, const char *lower)
{
	if (strlen(lower) != len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if ((text[i] | 32) != (uint8_t)lower[i])
			return false;
	}
	return true;
}

static void note_word(struct shape *s, const uint8_t *text, size_t len)
{
	if (s->words++ == 0)
		s->is_set = is_word(text, len, "set");
	else if (s->is_set && is_word(text, len, "to"))
		s->is_value = true;
}

static void take_word(struct shape *s)
{
	const uint8_t *text = s->pos;
	size_t len;

	while (s->pos < s->end && is_in_word(*s->pos))
		s->pos++;
	len = (size_t)(s->pos - text);
	if (s->pos < s->end && *s->pos == '\'' && len == 1 && strchr("eEbBxXnN", *text)) {
		skip_string(s, (*text | 32) == 'e');
		put_literal(s);
		return;
	}
	flush_held(s);
	put_token(s, T_WORD, text, len, true);
	note_word(s, text, len);
}

static void take_name(struct shape *s)
{
	size_t len = quoted_name(s);

	flush_held(s);
	put_token(s, T_WORD, s->pos, len, false);
	s->pos += len;
	s->words++;
}

static void begin_statement(struct shape *s)
{
	s->held_end = s->last != T_NONE; /* there is something that it ends */
	s->held_comma = false;
	s->words = 0;
	s->is_set = s->is_value = false;
}

static void take_punctuation(struct shape *s)
{
	uint8_t c = *s->pos++;

	if (c == ';') {
		if (s->held_comma)
			flush_held(s);
		begin_statement(s);
	} else if (c == ',' && s->last == T_LITERAL && !s->held_end && !s->held_comma) {
		s->held_comma = true;
	} else {
		flush_held(s);
		put_token(s, T_PUNCTUATION, &c, 1, false);
		s->is_value = s->is_value || (s->is_set && c == '=');
	}
}

/* SET's value may be a word, too: nothing of it is shown. */
static void take_value(struct shape *s)
{
	put_literal(s);
	while (s->pos < s->end && *s->pos != ';' && !s->is_unclear) {
		size_t tag = *s->pos == '$' ? dollar_quote(s) : 0;

		if (tag)
			skip_dollar_quoted(s, tag);
		else if (*s->pos == '\'')
			skip_string(s, (s->pos[-1] | 32) == 'e');
		else if (*s->pos == '"')
			s->pos += quoted_name(s);
		else if (!skip_blank(s))
			s->pos++;
	}
	s->is_value = false;
	s->had_blank = false;
}

static void take_token(struct shape *s)
{
	uint8_t c = *s->pos;
	size_t tag = c == '$' ? dollar_quote(s) : 0;

	if (s->is_value && c != ';') {
		take_value(s);
	} else if (begins_word(c)) {
		take_word(s);
	} else if (c == '\'') {
		skip_string(s, false);
		put_literal(s);
	} else if (tag) {
		skip_dollar_quoted(s, tag);
		put_literal(s);
	} else if (is_digit(c) || (c == '.' && s->end - s->pos > 1 && is_digit(s->pos[1]) && s->last != T_WORD)) {
		skip_number(s);
		put_literal(s);
	} else if (c == '"') {
		take_name(s);
	} else if (c == '$') { /* $1 */
		const uint8_t *text = s->pos++;

		while (s->pos < s->end && is_in_word(*s->pos))
			s->pos++;
		flush_held(s);
		put_token(s, T_WORD, text, (size_t)(s->pos - text), false);
	} else {
		take_punctuation(s);
	}
}

/* No half of a character in front of the ellipsis. */
static void finish(struct shape *s)
{
	if (s->is_cut) {
		while (s->len && ((uint8_t)s->out[s->len - 1] & 0xc0) == 0x80)
			s->len--;
		if (s->len && (uint8_t)s->out[s->len - 1] >= 0xc0)
			s->len--;
	}
	if (s->is_cut || s->is_unclear) {
		memcpy(s->out + s->len, ELLIPSIS, strlen(ELLIPSIS));
		s->len += strlen(ELLIPSIS);
	}
	s->out[s->len] = '\0';
}

uint64_t sql_shape(const char *sql, size_t len, char *out, size_t size)
{
	struct shape s = {
		.pos = (const uint8_t *)sql, .out = out, .size = size, .hash = UINT64_C(14695981039346656037)
	};

	ASSERT(size > sizeof(ELLIPSIS) - 1);
	s.end = s.pos + MIN(len, SQL_SHAPE_INPUT_MAX);
	while (s.pos < s.end && !s.is_unclear) {
		if (!skip_blank(&s))
			take_token(&s);
	}
	if (s.held_comma)
		flush_held(&s);
	s.is_unclear = s.is_unclear || len > SQL_SHAPE_INPUT_MAX;
	finish(&s);
	return s.hash;
}
