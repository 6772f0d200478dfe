/*
 * settings.h - the tables of settings: what each key is called, what it holds, what it defaults to and what it accepts.
 *
 * Parsing, SHOW CONFIG, SET, the defaults and the check of the manual page all derive from these tables: a setting is added
 * by a row here, a field in config.h and an entry in man/pgweir.ini.5.
 * Every key of PgBouncer 1.25.2 has a row. What this version can't do is a row that accepts only PgBouncer's default, so
 * that nothing is ignored silently.
 * Threads: constant tables, no state.
 */
#ifndef PGWEIR_SETTINGS_H
#define PGWEIR_SETTINGS_H

#include "base/base.h"

enum setting_type {
	SETTING_BOOL,	  /* bool */
	SETTING_INT,	  /* int */
	SETTING_UINT32,	  /* uint32_t */
	SETTING_AUTO_INT, /* int; "auto" is 0 */
	SETTING_OCTAL,	  /* int */
	SETTING_TIME,	  /* usec_t, or an int64_t that may be -1 for "not set" */
	SETTING_TEXT,	  /* char *, owned */
	SETTING_SECRET,	  /* char *, owned, wiped, and never part of an error */
	SETTING_WORD,	  /* char *, owned; one of choices */
	SETTING_CHOICE,	  /* an enum whose values are the positions in choices */
	SETTING_FIXED,	  /* stored nowhere: only the default is accepted */
};

struct setting {
	const char *key;
	enum setting_type type;
	bool changeable; /* at run time, by SET and RELOAD */
	size_t offset;	 /* in struct config, config_database or config_user */
	const char *bouncer; /* the default in [pgbouncer]; NULL: empty, and SHOW CONFIG says NULL as PgBouncer does */
	const char *weir;		/* the default in [pgweir] where it differs, else NULL */
	int64_t min, max;		/* of numbers, in the field's unit; of a text's length */
	const char *const *choices;	/* ended by NULL */
	const char *const *unsupported; /* values that PgBouncer knows and this version doesn't; may be NULL */
};

struct settings {
	const struct setting *rows; /* sorted by key */
	size_t count;
};

extern const struct settings global_settings;	/* of [pgbouncer] and [pgweir]; base is a struct config */
extern const struct settings database_settings; /* of a line in [databases]; base is a struct config_database */
extern const struct settings peer_settings;	/* of a line in [peers]; base is a struct config_peer */
extern const struct settings user_settings;	/* of a line in [users]; base is a struct config_user */

const struct setting *setting_find(const struct settings *t, const char *key);
/* The key that was probably meant, or NULL when none is near. */
const char *setting_guess(const struct settings *t, const char *key);
/* Could b be a slip of the finger for a? */
bool word_is_near(const char *a, const char *b);

/* Reads value into base. False: *why says what is wrong, and base is as it was. */
bool setting_parse(const struct setting *s, void *base, const char *value, char *why, size_t why_size);
/* The value as a file would have it; NULL where PgBouncer has NULL. buf is used for numbers. */
const char *setting_text(const struct setting *s, const void *base, char *buf, size_t buf_size);
const char *setting_default(const struct setting *s, bool is_pgbouncer);

bool setting_owns_text(const struct setting *s);
char **setting_text_field(const struct setting *s, void *base);		/* only where setting_owns_text() */
void setting_copy(const struct setting *s, void *to, const void *from); /* frees what a text field of to had */

#endif
