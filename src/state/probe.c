#include "state/probe.h"

#include "wire/msg.h"
#include "wire/sqlscan.h"

#include <ctype.h>
#include <string.h>

#define NAME_MAX_LEN 128

#define EQUALS " OPERATOR(pg_catalog.=) "
#define DIFFERS " OPERATOR(pg_catalog.<>) "
#define PIN_WHERE(name, from) " UNION ALL SELECT '', '" name "' WHERE EXISTS (SELECT 1 FROM " from ")"

static const char hurried_sql[] = "SELECT 'statement_timeout', pg_catalog.current_setting('statement_timeout');"
				  "SET LOCAL statement_timeout=0;";
static const char settings_sql[] =
	"SELECT name, setting FROM pg_catalog.pg_settings WHERE source" EQUALS "'session'"
	" AND name" DIFFERS "ALL ('{transaction_isolation,transaction_read_only,transaction_deferrable,seed}')";
static const char hurried_condition[] = " AND name" DIFFERS "'statement_timeout'";
static const char rest_sql[] =
	" UNION ALL SELECT 'role', pg_catalog.current_setting('role') WHERE pg_catalog.current_setting('role')" DIFFERS
	"'none'" PIN_WHERE("temp", "pg_catalog.pg_class WHERE relnamespace" EQUALS "pg_catalog.pg_my_temp_schema()")
		PIN_WHERE("advisory",
			"pg_catalog.pg_locks WHERE locktype" EQUALS "'advisory' AND pid" EQUALS
			"pg_catalog.pg_backend_pid() AND granted")
			PIN_WHERE("cursor", "pg_catalog.pg_cursors WHERE is_holdable")
				PIN_WHERE("prepare", "pg_catalog.pg_prepared_statements WHERE from_sql")
					PIN_WHERE("listen", "pg_catalog.pg_listening_channels()");

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '.' || c == '"' ||
		(unsigned char)c >= 0x80;
}

static enum result put_name(struct settings **names, const char *word, size_t len)
{
	char name[NAME_MAX_LEN];
	size_t n = 0;
	bool has_dot = false;

	for (size_t i = 0; i < len && n + 1 < sizeof(name); i++) {
		if (word[i] == '"')
			continue;
		has_dot = has_dot || (word[i] == '.' && n > 0 && i + 1 < len);
		name[n++] = word[i];
	}
	name[n] = '\0';
	if (!has_dot || isdigit((unsigned char)name[0]) || len >= sizeof(name))
		return RES_OK;
	return settings_put(names, name, "");
}

enum result probe_collect_names(struct settings **names, const char *text, size_t len)
{
	size_t i = 0;

	while (i < len) {
		size_t start = i;

		while (i < len && is_name_char(text[i]))
			i++;
		if (i > start && put_name(names, text + start, i - start) != RES_OK)
			return RES_LIMIT;
		if (i == start)
			i++;
	}
	return RES_OK;
}

static void write_text(struct writer *w, const char *s)
{
	write_bytes(w, s, strlen(s));
}

static void ask_for(struct writer *w, const char *name)
{
	write_text(w, " UNION ALL SELECT ");
	settings_write_literal(w, name);
	write_text(w, ", pg_catalog.current_setting(");
	settings_write_literal(w, name);
	write_text(w, ",true) WHERE pg_catalog.length(pg_catalog.current_setting(");
	settings_write_literal(w, name);
	write_text(w, ",true)) OPERATOR(pg_catalog.>) 0");
}

void probe_write_query(struct writer *w, const struct settings *names, const struct settings *had, bool is_hurried)
{
	msg_begin(w, MSG_QUERY);
	if (is_hurried)
		write_text(w, hurried_sql);
	write_text(w, settings_sql);
	if (is_hurried)
		write_text(w, hurried_condition);
	write_text(w, rest_sql);
	for (size_t i = 0; names && i < names->n; i++)
		ask_for(w, names->items[i].name);
	for (size_t i = 0; had && i < had->n; i++)
		if (strchr(had->items[i].name, '.') && !settings_get(names, had->items[i].name))
			ask_for(w, had->items[i].name);
	write_u8(w, 0);
	msg_end(w);
}

static const struct {
	enum pin pin;
	const char *name, *text, *hint;
	unsigned made_by; /* enum scan_flag */
} pins[PINS_N] = {
	{ PIN_TEMP, "temp", "temporary tables, views or sequences",
		"Drop them when they aren't needed any more, or create them inside a transaction with ON COMMIT DROP.",
		SCAN_TEMP },
	{ PIN_ADVISORY, "advisory", "session-level advisory locks",
		"Use pg_advisory_xact_lock(), which the end of the transaction unlocks.", SCAN_ADVISORY },
	{ PIN_CURSOR, "cursor", "cursors WITH HOLD", "Close them, or use cursors inside a transaction.", SCAN_HOLD },
	{ PIN_PREPARE, "prepare", "statements made by PREPARE",
		"Use the prepared statements of the protocol, as drivers do, or DEALLOCATE them.", SCAN_PREPARE },
	{ PIN_LISTEN, "listen", "channels that it listens on",
		"Listen on a connection of its own, to a database with pool_mode = session or to PostgreSQL itself.",
		SCAN_LISTEN },
	{ PIN_LOAD, "load", "a library that it has loaded", "Name the library in session_preload_libraries.",
		SCAN_LOAD },
	{ PIN_SEQUENCE, "sequence", "the values of sequences that it asks for by currval() or lastval()",
		"Use INSERT .. RETURNING, or ask in the transaction of the INSERT.", 0 },
};

static size_t index_of(enum pin pin)
{
	for (size_t i = 0; i < PINS_N; i++)
		if (pins[i].pin == pin)
			return i;
	ASSERT(!"a pin");
	return 0;
}

const char *pin_name(enum pin pin)
{
	return pins[index_of(pin)].name;
}

const char *pin_text(enum pin pin)
{
	return pins[index_of(pin)].text;
}

const char *pin_hint(enum pin pin)
{
	return pins[index_of(pin)].hint;
}

unsigned pins_of_scan(unsigned flags)
{
	unsigned found = 0;

	for (size_t i = 0; i < PINS_N; i++)
		if (flags & pins[i].made_by)
			found |= pins[i].pin;
	return found;
}

void probe_write_single(struct writer *w, const char *name)
{
	msg_begin(w, MSG_QUERY);
	write_text(w, "SELECT ");
	settings_write_literal(w, name);
	write_text(w, ",pg_catalog.current_setting(");
	settings_write_literal(w, name);
	write_text(w, ")");
	write_u8(w, 0);
	msg_end(w);
}

/* A text column; NULL for SQL's NULL. The caller's buffer, since rows have no NULs at the end. */
static const char *read_column(struct reader *r, char *buf, size_t size)
{
	uint32_t len = read_u32(r);
	const uint8_t *p;

	if (len == UINT32_MAX)
		return NULL;
	p = len < size ? read_bytes(r, len) : NULL;
	if (!p) {
		r->bad = true;
		return NULL;
	}
	memcpy(buf, p, len);
	buf[len] = '\0';
	return buf;
}

void probe_row(struct probe *p, struct reader body)
{
	char name_buf[256], value_buf[16384];
	uint16_t columns = read_u16(&body);
	const char *name = read_column(&body, name_buf, sizeof(name_buf));
	const char *value = read_column(&body, value_buf, sizeof(value_buf));

	if (columns != 2 || body.bad || !name || !value) {
		p->is_bad = true;
	} else if (*name) {
		if (settings_put(&p->settings, name, value) != RES_OK)
			p->is_bad = true;
	} else {
		for (size_t i = 0; i < N_ELEMENTS(pins); i++)
			if (strcmp(pins[i].name, value) == 0)
				p->pins |= pins[i].pin;
	}
}

void probe_clear(struct probe *p)
{
	settings_unref(&p->settings);
	p->pins = 0;
	p->is_bad = false;
}
