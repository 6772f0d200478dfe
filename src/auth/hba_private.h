/* hba_private.h - between hba.c, which reads rules and matches them, and hba_options.c, which reads what stands behind the method. */
#ifndef PGWEIR_HBA_PRIVATE_H
#define PGWEIR_HBA_PRIVATE_H

#include "auth/hba.h"

enum hba_type { HBA_LOCAL, HBA_HOST, HBA_HOSTSSL, HBA_HOSTNOSSL, HBA_HOSTGSSENC };

/* How far the line's options have been read. */
struct hba_options {
	struct hba_rule *rule;
	enum hba_type type;
	bool has_url;
};

/* One name=value. False: why. */
bool hba_option(struct hba_options *o, const char *text, char *why, size_t why_size);
/* What only the whole line tells. */
bool hba_options_check(struct hba_options *o, char *why, size_t why_size);
void hba_rule_free_options(struct hba_rule *r);

#endif
