/*
 * probe.h - asking PostgreSQL what a session has become: which settings it has, and what ties it to its client.
 *
 * The probe runs after a transaction in which a statement was maybe stateful (sqlscan.h), while the client has its answer already. So
 * rollbacks, savepoints, functions and typos come out right without our understanding them.
 *
 * Rows:    two text columns: a setting's name and value, or "" and the name of a pin.
 * Source:  PostgreSQL's manual: pg_settings, pg_locks, pg_cursors, pg_prepared_statements, pg_listening_channels(); role and
 *          session_authorization aren't in pg_settings. Everything is schema-qualified: the session's search_path is a stranger's.
 */
#ifndef PGWEIR_PROBE_H
#define PGWEIR_PROBE_H

#include "state/settings.h"

enum pin {		  /* bits */
	PIN_TEMP = 1,	  /* temporary relations */
	PIN_ADVISORY = 2, /* session-level advisory locks */
	PIN_CURSOR = 4,	  /* WITH HOLD */
	PIN_PREPARE = 8,  /* statements made by PREPARE */
	PIN_LISTEN = 16,
	PIN_LOAD = 32,	   /* a library, which can't be unloaded; not asked for: the tag tells */
	PIN_SEQUENCE = 64, /* it was told that currval or lastval has no value, and will expect one after its next nextval; not asked for */
};
#define PINS_N 7
#define PINS_FOUND                                                                                           \
	(PIN_TEMP | PIN_ADVISORY | PIN_CURSOR | PIN_PREPARE | PIN_LISTEN) /* what the probe can see */

struct probe {
	struct settings *settings; /* what the session has set itself */
	unsigned pins;
	bool is_bad; /* an answer that we can't use */
};

/*
 * Custom settings (app.user_id) aren't in pg_settings either, so they must be asked for by name: every word with a dot in it, in a text that
 * may set something, is put into *names (with an empty value); most are tables, of which PostgreSQL knows no setting. RES_LIMIT: too many.
 */
enum result probe_collect_names(struct settings **names, const char *text, size_t len);
/*
 * The probe as one Query message; names may be NULL, and so may had, the settings that the session had before. is_hurried: the session's
 * statement_timeout ends it before its time. Then that is read and switched off first, in the same transaction.
 */
void probe_write_query(struct writer *w, const struct settings *names, const struct settings *had, bool is_hurried);
void probe_write_single(struct writer *w, const char *name); /* this setting alone */
void probe_row(struct probe *p, struct reader body);	     /* a DataRow's body */
void probe_clear(struct probe *p);
const char *pin_name(enum pin pin);    /* as SHOW PINS has it */
const char *pin_text(enum pin pin);    /* .. and a NOTICE */
const char *pin_hint(enum pin pin);    /* how not to be pinned */
unsigned pins_of_scan(unsigned flags); /* what statements with these flags (enum scan_flag) may make */

#endif
