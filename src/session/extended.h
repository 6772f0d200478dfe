/* extended.h - the extended protocol's messages from a client, for the table in request.c. */
#ifndef PGWEIR_EXTENDED_H
#define PGWEIR_EXTENDED_H

#include "session/request.h"

enum step extended_parse(struct client *c, struct message_in *m);
enum step extended_bind(struct client *c, struct message_in *m);
enum step extended_describe(struct client *c, struct message_in *m);
enum step extended_close(struct client *c, struct message_in *m);
enum step extended_execute(struct client *c, struct message_in *m);
/* What it may do to its session is known from here on: a statement that didn't come by extended_parse() needs this, too. */
void extended_scan(const struct client *c, struct statement *st);

#endif
