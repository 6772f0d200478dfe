/*
 * startup.h - what comes before login: startup packets, and the options parameter inside them.
 *
 * The parser owns nothing: strings point into the packet, which the caller keeps until it is done with them.
 * Limits:  a packet is at most STARTUP_MAX long: PostgreSQL's MAX_STARTUP_PACKET_LENGTH is 10000, without the length field.
 *          Names are passed on as long as they are; PostgreSQL cuts user and database to 63 bytes.
 * Source:  PostgreSQL's manual, "Message Formats" (StartupMessage, CancelRequest, SSLRequest, GSSENCRequest);
 *          src/backend/tcop/postgres.c process_postgres_switches() and pg_split_opts() describe what options may hold.
 */
#ifndef PGWEIR_STARTUP_H
#define PGWEIR_STARTUP_H

#include "wire/bytes.h"
#include "wire/msg.h"

#define STARTUP_MAX 10004
#define STARTUP_PARAMS_MAX 256

enum startup_kind { STARTUP_MESSAGE, STARTUP_CANCEL, STARTUP_SSL, STARTUP_GSSENC };

struct cancel_key { /* of a session of ours: short or long */
	uint32_t pid;
	uint16_t len;
	uint8_t secret[CANCEL_SECRET_LONG];
};

enum replication { /* what a connection is for */
	REPLICATION_NONE,
	REPLICATION_PHYSICAL,
	REPLICATION_LOGICAL, /* replication=database: it may run queries, too */
};

struct startup_param {
	const char *name, *value;
};

struct startup {
	enum startup_kind kind;
	uint32_t version;	     /* STARTUP_MESSAGE: major << 16 | minor, as sent */
	struct cancel_key cancel;    /* STARTUP_CANCEL */
	const char *user, *database; /* database is never NULL or empty: PostgreSQL takes the user's name then */
	const char *replication, *options, *application_name; /* NULL when absent */
	/*
	 * All others, in order, "_pq_." ones too. A later duplicate of a name wins: it replaces the first. Names of settings are
	 * compared without case, as PostgreSQL compares them.
	 */
	struct startup_param params[STARTUP_PARAMS_MAX];
	size_t n_params;
};

struct startup_error {
	const char *sqlstate; /* NULL: close without a word (that peer doesn't speak our protocol) */
	const char *hint;     /* NULL: none */
	char message[128];    /* what PostgreSQL would say, cut to fit; without sqlstate: for the debug log */
};

/*
 * Looks at the first bytes of a connection. RES_MORE: incomplete (*used is what the whole packet takes, once known, else 4);
 * RES_OK: *used bytes were the packet; RES_PROTOCOL, RES_LIMIT (too many parameters): see error. Versions other than 3.x
 * are refused here: "unsupported frontend protocol 2.0: server supports 3.0 to 3.2" with 0A000, as PostgreSQL words it.
 * A CancelRequest whose key has another length than ours have can't name one of our sessions: RES_PROTOCOL without a word.
 */
enum result startup_parse(
	const uint8_t *data, size_t len, struct startup *out, size_t *used, struct startup_error *error);

/*
 * Splits the options parameter as a PostgreSQL backend does: blanks separate, backslash escapes; -c name=value,
 * -cname=value, --name=value (dashes in the name become underscores), and the single-letter switches, which are settings
 * by another name (as process_postgres_switches() has them) or, from a client, nothing; others are refused.
 * Calls add(ctx, name, value) for each in order, a name may come twice and may be empty: whether it is a setting is not
 * asked here. The strings live in *buf or for ever; the caller frees *buf in any case.
 * RES_PROTOCOL: message and hint say what PostgreSQL would (42601); add() may have been called for what came before.
 */
typedef void options_add(void *ctx, const char *name, const char *value);
enum result options_parse(const char *options, char **buf, options_add *add, void *ctx, struct startup_error *error);

#endif
