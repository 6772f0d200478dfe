#include "wire/sqlscan.h"

#include <string.h>

/* What a byte begins. Bytes above 127 belong to words, as in PostgreSQL, whatever the encoding. */
enum class {
	C_OTHER,
	C_SPACE,
	C_QUOTE,
	C_DQUOTE,
	C_DASH,
	C_SLASH,
	C_SEMICOLON,
	C_WORD,
	C_DIGIT,
	C_DOLLAR, /* from here on: what may stand inside a word */
};

#define X4(c) c, c, c, c
#define X16(c) X4(c), X4(c), X4(c), X4(c)
static const uint8_t classes[256] = {
	[' '] = C_SPACE,
	['\t'] = C_SPACE,
	['\n'] = C_SPACE,
	['\r'] = C_SPACE,
	['\f'] = C_SPACE,
	['\v'] = C_SPACE,
	['\''] = C_QUOTE,
	['"'] = C_DQUOTE,
	['$'] = C_DOLLAR,
	['-'] = C_DASH,
	['/'] = C_SLASH,
	[';'] = C_SEMICOLON,
	['0'] = X4(C_DIGIT),
	X4(C_DIGIT),
	C_DIGIT,
	C_DIGIT,
	['A'] = X16(C_WORD),
	X4(C_WORD),
	X4(C_WORD),
	C_WORD,
	C_WORD,
	['_'] = C_WORD,
	['a'] = X16(C_WORD),
	X4(C_WORD),
	X4(C_WORD),
	C_WORD,
	C_WORD,
	[128] = X16(C_WORD),
	X16(C_WORD),
	X16(C_WORD),
	X16(C_WORD),
	X16(C_WORD),
	X16(C_WORD),
	X16(C_WORD),
	X16(C_WORD),
};

enum word {
	W_OTHER, /* everything that isn't below, and what isn't a word */
	W_AS,
	W_BEGIN,
	W_CALL,
	W_CREATE,
	W_DEALLOCATE,
	W_DECLARE,
	W_DISCARD,
	W_DO,
	W_EXECUTE,
	W_EXPLAIN,
	W_HOLD,
	W_INSERT,
	W_INTO,
	W_LISTEN,
	W_LOAD,
	W_LOCAL,
	W_MERGE,
	W_PREPARE,
	W_REPLACE,
	W_RESET,
	W_SET,
	W_START,
	W_TEMP,
	W_WITH,
};

/* The words we look at, by their first letter: by starts as the first of a statement, by called as the name of a function. */
struct known_word {
	const char *text;
	uint8_t len;
	bool ends; /* it uses or ends what others of its flag make */
	enum word word;
	unsigned starts, called;
};

#define KNOWN(text, ends, word, starts, called)                                                              \
	{                                                                                                    \
		text, sizeof(text) - 1, ends, word, starts, called                                           \
	}
#define KEYWORD(text, word, starts) KNOWN(text, false, word, starts, 0)
#define ENDING_KEYWORD(text, word, starts) KNOWN(text, true, word, starts, 0)
#define FUNCTION(text, flags) KNOWN(text, false, W_OTHER, 0, flags)
#define ENDING_FUNCTION(text, flags) KNOWN(text, true, W_OTHER, 0, flags)

static const struct known_word *const known_words[26] = {
/* each list ends with an empty one */
#define WORDS(letter, ...)                                                                                   \
	[letter - 'a'] = (const struct known_word[])                                                         \
	{                                                                                                    \
		__VA_ARGS__,                                                                                 \
		{                                                                                            \
			.text = NULL                                                                         \
		}                                                                                            \
	}
	WORDS('a', KEYWORD("as", W_AS, 0)),
	WORDS('b', KEYWORD("begin", W_BEGIN, SCAN_TRANSACTION)),
	WORDS('c', KEYWORD("call", W_CALL, SCAN_OPAQUE), KEYWORD("create", W_CREATE, 0),
		FUNCTION("currval", SCAN_SEQUENCE)),
	WORDS('d', ENDING_KEYWORD("deallocate", W_DEALLOCATE, SCAN_PREPARE), KEYWORD("declare", W_DECLARE, 0),
		KEYWORD("discard", W_DISCARD, SCAN_DISCARD), KEYWORD("do", W_DO, SCAN_OPAQUE)),
	WORDS('e', ENDING_KEYWORD("execute", W_EXECUTE, SCAN_PREPARE), KEYWORD("explain", W_EXPLAIN, 0)),
	WORDS('g', KEYWORD("global", W_LOCAL, 0)), /* before TEMP: noise, like LOCAL */
	WORDS('h', KEYWORD("hold", W_HOLD, 0)),
	WORDS('i', KEYWORD("insert", W_INSERT, 0), KEYWORD("into", W_INTO, 0)),
	WORDS('l', FUNCTION("lastval", SCAN_SEQUENCE), KEYWORD("listen", W_LISTEN, SCAN_LISTEN),
		KEYWORD("load", W_LOAD, SCAN_LOAD), KEYWORD("local", W_LOCAL, 0)),
	WORDS('m', KEYWORD("merge", W_MERGE, 0)),
	WORDS('o', KEYWORD("or", W_REPLACE, 0)), /* OR REPLACE */
	WORDS('p', FUNCTION("pg_advisory_lock", SCAN_ADVISORY), FUNCTION("pg_advisory_lock_shared", SCAN_ADVISORY),
		ENDING_FUNCTION("pg_advisory_unlock", SCAN_ADVISORY),
		ENDING_FUNCTION("pg_advisory_unlock_all", SCAN_ADVISORY),
		ENDING_FUNCTION("pg_advisory_unlock_shared", SCAN_ADVISORY),
		FUNCTION("pg_try_advisory_lock", SCAN_ADVISORY),
		FUNCTION("pg_try_advisory_lock_shared", SCAN_ADVISORY),
		KEYWORD("prepare", W_PREPARE, SCAN_PREPARE)),
	WORDS('r', KEYWORD("replace", W_REPLACE, 0), KEYWORD("reset", W_RESET, SCAN_SET)),
	WORDS('s', KEYWORD("set", W_SET, SCAN_SET), FUNCTION("set_config", SCAN_SET),
		KEYWORD("start", W_START, SCAN_TRANSACTION)),
	WORDS('t', KEYWORD("temp", W_TEMP, 0), KEYWORD("temporary", W_TEMP, 0)),
	WORDS('u', ENDING_KEYWORD("unlisten", W_LISTEN, SCAN_LISTEN)),
	WORDS('w', KEYWORD("with", W_WITH, 0)),
};

/* Per first letter the lengths that known_words has: most words of a query are dismissed by this alone. */
#define L(n) (UINT32_C(1) << (n))
static const uint32_t known_lengths[26] = {
	['a' - 'a'] = L(2),
	['b' - 'a'] = L(5),
	['c' - 'a'] = L(4) | L(6) | L(7),
	['d' - 'a'] = L(2) | L(7) | L(10),
	['e' - 'a'] = L(7),
	['g' - 'a'] = L(6),
	['h' - 'a'] = L(4),
	['i' - 'a'] = L(4) | L(6),
	['l' - 'a'] = L(4) | L(5) | L(6) | L(7),
	['m' - 'a'] = L(5),
	['o' - 'a'] = L(2),
	['p' - 'a'] = L(7) | L(16) | L(18) | L(20) | L(22) | L(23) | L(25) | L(27),
	['r' - 'a'] = L(5) | L(7),
	['s' - 'a'] = L(3) | L(5) | L(10),
	['t' - 'a'] = L(4) | L(9),
	['u' - 'a'] = L(8),
	['w' - 'a'] = L(4),
};

#define FLAGS_OF_FUNCTIONS (SCAN_SET | SCAN_TEMP | SCAN_ADVISORY | SCAN_SEQUENCE | SCAN_SUSPECT)

/* Bytes of set_config()'s arguments that a text may have read twice: what keeps nested calls linear. */
#define LOOKAHEAD_MAX (1u << 20)

struct lexer {
	const uint8_t *end;
	const struct scan_options *o;
	struct scan_result *out;
	bool at_start;		    /* of a statement */
	bool before_temp;	    /* between CREATE and what it creates */
	enum word first;	    /* the statement's first word */
	enum word prev, before;	    /* the last token and the one before it */
	const uint8_t *after_first; /* the text behind the first word */
	size_t lookahead;	    /* what is left of LOOKAHEAD_MAX */
};

static inline uint8_t fold(uint8_t c) /* as PostgreSQL folds keywords: ASCII only */
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool equal_fold(const uint8_t *s, size_t len, const char *lower)
{
	for (size_t i = 0; i < len; i++)
		if (lower[i] == '\0' || fold(s[i]) != (uint8_t)lower[i]) /* s may hold a NUL, too */
			return false;
	return lower[len] == '\0';
}

/* Of the bytes that words begin with only letters come to stand below 26. */
static inline unsigned letter_of(uint8_t c)
{
	return (c | 0x20u) - (unsigned)'a';
}

static inline bool may_be_known(const uint8_t *s, size_t len)
{
	unsigned letter = letter_of(s[0]);

	return letter < 26 && len <= 31 && (known_lengths[letter] & L(len));
}

static const struct known_word *find_word(const uint8_t *s, size_t len)
{
	if (!may_be_known(s, len))
		return NULL;
	for (const struct known_word *k = known_words[letter_of(s[0])]; k->text; k++)
		if (k->len == len && equal_fold(s, len, k->text))
			return k;
	return NULL;
}

/* The skippers: p is at the first byte of the thing, the result behind it, or end when it isn't closed. */

static inline const uint8_t *skip_word(const uint8_t *p, const uint8_t *end)
{
	while (end - p >= 4) { /* most of the lexer's time is spent here */
		if (classes[p[0]] < C_WORD)
			return p;
		if (classes[p[1]] < C_WORD)
			return p + 1;
		if (classes[p[2]] < C_WORD)
			return p + 2;
		if (classes[p[3]] < C_WORD)
			return p + 3;
		p += 4;
	}
	while (p < end && classes[*p] >= C_WORD)
		p++;
	return p;
}

static inline const uint8_t *skip_digits(const uint8_t *p, const uint8_t *end)
{
	while (p < end && classes[*p] == C_DIGIT)
		p++;
	return p;
}

static const uint8_t *skip_line_comment(const uint8_t *p, const uint8_t *end)
{
	while (p < end && *p != '\n' && *p != '\r')
		p++;
	return p;
}

static const uint8_t *skip_block_comment(const uint8_t *p, const uint8_t *end)
{
	size_t depth = 1;

	for (p += 2; end - p >= 2; p++) {
		if (p[0] == '/' && p[1] == '*') {
			depth++, p++;
		} else if (p[0] == '*' && p[1] == '/') {
			p++;
			if (--depth == 0)
				return p + 1;
		}
	}
	return end;
}

static inline bool is_line_comment(const uint8_t *p, const uint8_t *end)
{
	return end - p >= 2 && p[0] == '-' && p[1] == '-';
}

static inline bool is_block_comment(const uint8_t *p, const uint8_t *end)
{
	return end - p >= 2 && p[0] == '/' && p[1] == '*';
}

static const uint8_t *skip_blanks(const uint8_t *p, const uint8_t *end)
{
	while (p < end) {
		if (classes[*p] == C_SPACE)
			p++;
		else if (is_line_comment(p, end))
			p = skip_line_comment(p, end);
		else if (is_block_comment(p, end))
			p = skip_block_comment(p, end);
		else
			break;
	}
	return p;
}

static const uint8_t *skip_quoted_name(const uint8_t *p, const uint8_t *end)
{
	for (p++; (p = memchr(p, '"', (size_t)(end - p))) != NULL; p += 2)
		if (p + 1 == end || p[1] != '"')
			return p + 1;
	return end;
}

/* 'a' <newline> 'b' is one string, and the second part is read as the first (scan.l, quotecontinue). NULL: none */
static const uint8_t *next_part_of_string(const uint8_t *p, const uint8_t *end)
{
	bool newline = false;

	for (; p < end; p++) {
		if (is_line_comment(p, end))
			p = skip_line_comment(p, end);
		if (p == end)
			break;
		if (*p == '\n' || *p == '\r')
			newline = true;
		else if (classes[*p] != C_SPACE)
			return *p == '\'' && newline ? p : NULL;
	}
	return NULL;
}

static const uint8_t *skip_string(struct lexer *l, const uint8_t *p, bool backslash)
{
	const uint8_t *next;

	for (p++; p < l->end; p++) {
		if (!backslash && *p != '\'') {
			p = memchr(p, '\'', (size_t)(l->end - p));
			if (!p)
				return l->end;
		}
		if (*p == '\\' && backslash) {
			if (p[-1] >= 0x80)
				l->out->flags |= SCAN_OPAQUE; /* see the header */
			p += l->end - p > 1;
		} else if (*p == '\'') {
			if (p + 1 < l->end && p[1] == '\'') {
				p++;
				continue;
			}
			next = next_part_of_string(p + 1, l->end);
			if (!next)
				return p + 1;
			p = next;
		}
	}
	return l->end;
}

static const uint8_t *skip_dollar(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *tag_end = p + 1, *close;
	size_t len;

	if (tag_end < end && classes[*tag_end] == C_DIGIT) { /* a parameter: $1 */
		return skip_digits(tag_end, end);
	}
	while (tag_end < end && (classes[*tag_end] == C_WORD || classes[*tag_end] == C_DIGIT))
		tag_end++;
	if (tag_end == end || *tag_end != '$')
		return p + 1;
	len = (size_t)(tag_end + 1 - p);
	close = memmem(tag_end + 1, (size_t)(end - tag_end - 1), p, len);
	return close ? close + len : end;
}

/* A string with a letter in front. NULL: the word is just a word. N'..' is a plain string to PostgreSQL, too. */
static const uint8_t *skip_prefixed(struct lexer *l, const uint8_t *word, size_t len)
{
	const uint8_t *p = word + 1;
	bool plain_backslash = !l->o->standard_conforming_strings;

	if (len != 1 || p == l->end)
		return NULL;
	switch (fold(*word)) {
	case 'e': return *p == '\'' ? skip_string(l, p, true) : NULL;
	case 'b':
	case 'x': return *p == '\'' ? skip_string(l, p, false) : NULL;
	case 'n': return *p == '\'' ? skip_string(l, p, plain_backslash) : NULL;
	case 'u': break;
	default: return NULL;
	}
	if (*p != '&' || l->end - p < 2)
		return NULL;
	if (p[1] == '\'')
		return skip_string(l, p + 1, false);
	if (p[1] != '"')
		return NULL;
	l->out->flags |= FLAGS_OF_FUNCTIONS;
	return skip_quoted_name(p + 1, l->end);
}

/* Any token that isn't a word and has no meaning to us, from p on. */
static const uint8_t *skip_token(struct lexer *l, const uint8_t *p)
{
	const uint8_t *word_end, *prefixed;

	switch (classes[*p]) {
	case C_WORD:
		word_end = skip_word(p, l->end);
		prefixed = skip_prefixed(l, p, (size_t)(word_end - p));
		return prefixed ? prefixed : word_end;
	case C_QUOTE: return skip_string(l, p, !l->o->standard_conforming_strings);
	case C_DQUOTE: return skip_quoted_name(p, l->end);
	case C_DOLLAR: return skip_dollar(p, l->end);
	default: return p + 1;
	}
}

static bool is_true(const uint8_t *s, size_t len)
{
	static const char *const words[] = { "true", "'true'", "'t'", "'on'", "'yes'", "'y'", "'1'" };

	for (size_t i = 0; i < N_ELEMENTS(words); i++)
		if (len == strlen(words[i]) && equal_fold(s, len, words[i]))
			return true;
	return false;
}

/* p: behind the ( of set_config. Is the third argument a constant true, and nothing else? */
static bool is_local_set_config(struct lexer *l, const uint8_t *p)
{
	const uint8_t *limit = p + MIN(l->lookahead, (size_t)(l->end - p)), *begin = p, *next;
	size_t depth = 1, commas = 0;
	bool yes = false;

	while ((p = skip_blanks(p, l->end)) < limit && depth > 0) {
		next = skip_token(l, p);
		if (commas == 2) {
			yes = is_true(p, (size_t)(next - p));
			p = skip_blanks(next, l->end);
			yes = yes && p < l->end && *p == ')';
			break;
		}
		if (*p == '(' || *p == '[')
			depth++;
		else if (*p == ')' || *p == ']')
			depth--;
		else if (*p == ';')
			break;
		else if (*p == ',' && depth == 1)
			commas++;
		p = next;
	}
	l->lookahead -= MIN(l->lookahead, (size_t)(p - begin));
	return yes;
}

/* SET LOCAL x, SET TRANSACTION .., SET CONSTRAINTS ..; but in SET local.x = 1 the word begins a setting's name. */
static bool is_local_set(const struct lexer *l, const uint8_t *p)
{
	const uint8_t *word = skip_blanks(p, l->end), *word_end = skip_word(word, l->end);
	size_t len = (size_t)(word_end - word);

	if (!equal_fold(word, len, "local") && !equal_fold(word, len, "transaction") &&
		!equal_fold(word, len, "constraints"))
		return false;
	p = skip_blanks(word_end, l->end);
	return p < l->end && (classes[*p] == C_WORD || classes[*p] == C_DQUOTE);
}

static bool is_prepare_transaction(const struct lexer *l, const uint8_t *p) /* not a statement of that name */
{
	const uint8_t *word = skip_blanks(p, l->end), *word_end = skip_word(word, l->end);

	if (!equal_fold(word, (size_t)(word_end - word), "transaction"))
		return false;
	p = skip_blanks(word_end, l->end);
	return p < l->end && *p == '\'';
}

static void on_first_word(struct lexer *l, const struct known_word *k, const uint8_t *after)
{
	l->first = k->word;
	l->after_first = after;
	l->before_temp = k->word == W_CREATE;
	if (k->word == W_SET && is_local_set(l, after))
		return;
	if (k->word == W_PREPARE && is_prepare_transaction(l, after))
		return;
	l->out->flags |= k->starts;
	if (!k->ends)
		l->out->makes |= k->starts;
}

static void on_later_word(struct lexer *l, enum word w)
{
	unsigned *flags = &l->out->flags;
	bool is_into = l->prev == W_INTO || (l->prev == W_LOCAL && l->before == W_INTO);

	if (w == W_TEMP && (l->before_temp || is_into || l->first == W_EXPLAIN)) {
		*flags |= SCAN_TEMP;
		l->out->makes |= SCAN_TEMP;
	}
	if (w == W_EXECUTE && (l->first == W_EXPLAIN || (l->first == W_CREATE && l->prev == W_AS)))
		*flags |= SCAN_PREPARE;
	if (w == W_HOLD && l->prev == W_WITH && l->first == W_DECLARE) {
		*flags |= SCAN_HOLD;
		l->out->makes |= SCAN_HOLD;
	}
	if (w != W_REPLACE && w != W_LOCAL)
		l->before_temp = false;
}

static void next_token(struct lexer *l, enum word w)
{
	if (w == W_INTO && (l->prev == W_INSERT || l->prev == W_MERGE))
		w = W_OTHER; /* its TEMP is a table's name */
	l->before = l->prev;
	l->prev = w;
	l->at_start = false;
}

static void on_call(struct lexer *l, const uint8_t *s, size_t len, const struct known_word *k, const uint8_t *paren)
{
	unsigned flags = k ? k->called : 0;

	if (flags == SCAN_SET && !(l->out->flags & SCAN_SET) && is_local_set_config(l, paren + 1))
		flags = 0;
	l->out->flags |= flags;
	if (k && !k->ends)
		l->out->makes |= flags;
	for (const char *const *name = l->o->suspects; name && *name; name++)
		if (equal_fold(s, len, *name))
			l->out->flags |= SCAN_SUSPECT;
}

/* s: a word or what stands between quotes. A quoted name is compared without case, too: a flag too many at worst. */
static void on_name(struct lexer *l, const uint8_t *s, size_t len, const struct known_word *k, const uint8_t *after)
{
	const uint8_t *next;

	if (len >= 7 && fold(s[0]) == 'p' && equal_fold(s, 7, "pg_temp"))
		l->out->flags |= SCAN_TEMP; /* also pg_temp_3: it may be ours */
	if (!l->o->suspects && !(k && k->called))
		return;
	next = skip_blanks(after, l->end);
	if (next < l->end && *next == '(')
		on_call(l, s, len, k, next);
}

static void on_word(struct lexer *l, const uint8_t *s, const uint8_t *after)
{
	static const struct known_word unknown;
	size_t len = (size_t)(after - s);
	const struct known_word *k = find_word(s, len);

	on_name(l, s, len, k, after);
	if (l->at_start)
		on_first_word(l, k ? k : &unknown, after);
	else
		on_later_word(l, k ? k->word : W_OTHER);
	next_token(l, k ? k->word : W_OTHER);
}

static void on_quoted_name(struct lexer *l, const uint8_t *s, const uint8_t *after)
{
	size_t len = (size_t)(after - s);

	if (len > 2)
		on_name(l, s + 1, len - 2, find_word(s + 1, len - 2), after);
}

static void start_statement(struct lexer *l)
{
	l->at_start = true;
	l->before_temp = false;
	l->prev = l->before = W_OTHER;
}

/* A token without meaning to us. What came before it doesn't matter any more. */
static inline void on_other(struct lexer *l)
{
	if (l->at_start)
		l->first = W_OTHER;
	l->at_start = false;
	l->prev = W_OTHER;
}

/* Most words by far: what on_word() would find out of them, in a few steps. */
static inline bool is_plain_word(const struct lexer *l, const uint8_t *s, const uint8_t *after)
{
	size_t len = (size_t)(after - s);

	if (l->o->suspects)
		return false;
	if (len == 1 && after < l->end && (*after == '\'' || *after == '&')) /* see skip_prefixed() */
		return false;
	if (letter_of(s[0]) == 'p' - 'a') /* pg_.. and PREPARE are all that we look at */
		return len < 7 || (s[2] != '_' && letter_of(s[1]) != 'r' - 'a');
	return !may_be_known(s, len);
}

static inline void on_plain_word(struct lexer *l)
{
	l->before_temp = false;
	on_other(l);
}

static void end_statement(struct lexer *l)
{
	if (!l->at_start)
		l->out->statements++;
	start_statement(l);
}

static void scan(struct lexer *l, const uint8_t *p)
{
	const uint8_t *const end = l->end, *start, *after;

	while (p < end) {
		start = p;
		switch (classes[*p]) {
		case C_SPACE: p++; continue;
		case C_SEMICOLON:
			p++;
			end_statement(l);
			continue;
		case C_WORD:
			after = skip_word(p + 1, end);
			if (is_plain_word(l, start, after)) {
				p = after;
				on_plain_word(l);
				continue;
			}
			p = skip_prefixed(l, start, (size_t)(after - start));
			if (!p) {
				p = after;
				on_word(l, start, after);
				continue;
			}
			break;
		case C_DASH:
		case C_SLASH:
			p = skip_blanks(start, end);
			if (p != start)
				continue;
			p++;
			break;
		case C_DQUOTE:
			p = skip_quoted_name(start, end);
			on_quoted_name(l, start, p);
			break;
		case C_DIGIT: p = skip_digits(start, end); break;
		case C_OTHER: p++; break;
		default: p = skip_token(l, start); break;
		}
		on_other(l);
	}
	end_statement(l);
}

/* A name as PostgreSQL stores it: folded or unquoted, cut to 63 bytes between characters (of UTF-8). NULL: none here */
static const uint8_t *read_name(const uint8_t *p, const uint8_t *end, char name[64])
{
	const uint8_t *after;
	size_t n = 0;
	bool quoted = p < end && *p == '"';

	if (p == end || (!quoted && classes[*p] != C_WORD))
		return NULL;
	after = quoted ? skip_quoted_name(p, end) : skip_word(p, end);
	if (quoted && (after - p < 3 || after[-1] != '"'))
		return NULL;
	for (const uint8_t *s = p + quoted; s < after - quoted; s++) {
		if (quoted && *s == '"' && ++s == after - 1) /* not half of a pair: the name isn't closed */
			return NULL;
		if (n == 64)
			continue;
		name[n++] = (char)(quoted ? *s : fold(*s));
	}
	if (n == 64)
		for (n--; n > 0 && ((uint8_t)name[n] & 0xc0) == 0x80; n--)
			;
	name[n] = '\0';
	return after;
}

static void check_deallocate(const struct lexer *l, struct scan_result *out)
{
	const uint8_t *p = skip_blanks(l->after_first, l->end), *word = p,
		      *after = read_name(p, l->end, out->name), *again;

	if (!after)
		return;
	if (*word != '"' && !strcmp(out->name, "prepare")) { /* which may be the statement's name */
		word = skip_blanks(after, l->end);
		again = read_name(word, l->end, out->name);
		if (again)
			after = again;
		else
			word = p;
	}
	for (p = after; (p = skip_blanks(p, l->end)) < l->end; p++)
		if (*p != ';')
			return;
	out->is_deallocate = true;
	out->is_deallocate_all = *word != '"' && !strcmp(out->name, "all");
}

/* A plain name, or several with dots in between, as one. NULL: none, or it is too long. */
static const uint8_t *read_setting(const uint8_t *p, const uint8_t *end, char name[64])
{
	size_t n = 0;

	while (p < end && (classes[*p] >= C_WORD || *p == '.')) {
		if (n == 63 || *p >= 0x80)
			return NULL;
		name[n++] = (char)fold(*p++);
	}
	name[n] = '\0';
	return n ? p : NULL;
}

static bool is_word(const uint8_t *p, const uint8_t *end, const char *lower)
{
	const uint8_t *after = skip_word(p, end);

	return equal_fold(p, (size_t)(after - p), lower);
}

/* What isn't a setting of its own, or sets others as well. */
static bool is_special_setting(const char *name)
{
	static const char *const names[] = { "role", "session_authorization", "local", "session", "time",
		"names", "schema", "catalog", "xml", "transaction", "constraints", "seed", "all" };

	for (size_t i = 0; i < N_ELEMENTS(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return strncmp(name, "transaction_", 12) == 0;
}

static void check_set(const struct lexer *l, struct scan_result *out)
{
	const uint8_t *p = skip_blanks(l->after_first, l->end), *after;

	if (is_word(p, l->end, "session"))
		p = skip_blanks(p + strlen("session"), l->end);
	after = read_setting(p, l->end, out->setting);
	if (!after || is_special_setting(out->setting))
		goto none;
	p = skip_blanks(after, l->end);
	if (p < l->end && *p == '=')
		p++;
	else if (is_word(p, l->end, "to"))
		p += strlen("to");
	else
		goto none;
	if (!is_word(skip_blanks(p, l->end), l->end, "default"))
		return;
none:
	out->setting[0] = '\0';
}

void sqlscan(const char *sql, size_t len, const struct scan_options *o, struct scan_result *out)
{
	const uint8_t *text = (const uint8_t *)sql;
	struct lexer l = { .end = text + len, .o = o, .out = out, .lookahead = LOOKAHEAD_MAX };

	memset(out, 0, sizeof(*out));
	if (o->is_truncated)
		out->flags |= SCAN_TRUNCATED;
	start_statement(&l);
	scan(&l, text);
	if (out->statements == 1 && l.first == W_DEALLOCATE && !o->is_truncated)
		check_deallocate(&l, out);
	if (out->statements == 1 && l.first == W_SET && out->flags == SCAN_SET)
		check_set(&l, out);
	if (!out->is_deallocate || out->is_deallocate_all)
		out->name[0] = '\0';
}
