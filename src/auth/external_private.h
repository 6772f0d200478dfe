/* external_private.h - who answers what: called on a thread that may block. */
#ifndef PGWEIR_EXTERNAL_PRIVATE_H
#define PGWEIR_EXTERNAL_PRIVATE_H

#include "auth/external.h"

struct verdict {
	bool is_accepted;
	char why[LOOKUP_TEXT_MAX]; /* not, for the log */
};

void verdict_refuse(struct verdict *v, const char *format, ...) PRINTF_LIKE(2, 3);
void ask_pam(const struct lookup *q, struct verdict *v);
void ask_ldap(const struct lookup *q, struct verdict *v);

#endif
