/*
 * params.h - startup parameters as settings: what a client asks its session to be.
 *
 * Order:  the database's own defaults, then what `options` holds, then the other parameters, each later one
 *         over the earlier ones. Names in ignore_startup_parameters are dropped; `options` may be one of
 *         them. Protocol options (_pq_.) are no settings.
 * Errors: RES_REFUSED (a name that can't be a setting's: 42704; options that PostgreSQL wouldn't take) and
 *         RES_LIMIT (54000), with error filled in.
 * Source: PostgreSQL's manual, "StartupMessage"; src/backend/utils/misc/guc.c for names and for how
 *         application_name is cleaned.
 */
#ifndef PGWEIR_PARAMS_H
#define PGWEIR_PARAMS_H

#include "config/config.h"
#include "state/settings.h"
#include "wire/startup.h"

/* db may be NULL (console). addr is for application_name_add_host. *out is a new reference, NULL on errors. */
enum result params_to_settings(const struct startup *st, const struct config *config,
	const struct config_database *db, const char *addr, struct settings **out, struct startup_error *error);

/* The parameter of that name, NULL if there's none. RES_REFUSED: PostgreSQL wouldn't take it, error has its words. */
enum result params_replication(const char *value, enum replication *out, struct startup_error *error);

bool params_is_protocol_option(const char *name); /* _pq_.something */

#endif
