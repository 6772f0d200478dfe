/*
 * ident.h - which names that a system vouches for may log in as which users: auth_ident_file, as PostgreSQL 16 reads its
 * pg_ident.conf.
 *
 * Lines:     map, system's name, user. The system's name may be /regex, and \1 in the user is then what its first group
 *            matched. The user may be all or /regex. What comes out of \1 is a name, whatever it says.
 * Not here:  +role.
 * Ownership: immutable; part of a snapshot, which frees it.
 * Threads:   load on the main thread, ask from any.
 * Errors:    NULL and `file:line: what is wrong`. Limits: authfile.h's; IDENT_LINES_MAX.
 * Source:    PostgreSQL's manual, "User Name Maps".
 */
#ifndef PGWEIR_IDENT_H
#define PGWEIR_IDENT_H

#include "auth/authfile.h"

#define IDENT_LINES_MAX 10000

struct ident;

struct ident *ident_load(const char *path, char *error, size_t error_size);
struct ident *ident_parse(const char *name, const char *text, size_t len, char *error, size_t error_size);
void ident_free(struct ident **i); /* NULL inside is fine */
/* map NULL or "": the names must be equal. i may be NULL: no maps. */
bool ident_allows(const struct ident *i, const char *map, const char *system_name, const char *user);

#endif
