#include "auth/lookup.h"

#include <stdio.h>
#include <stdlib.h>

struct lookup *lookup_of(struct message *m)
{
	return CONTAINER_OF(m, struct lookup, message);
}

void lookup_discard(struct message *m)
{
	struct lookup *q = lookup_of(m);

	lookup_free(&q);
}

struct lookup *lookup_new(enum lookup_kind kind, uint64_t login, struct snapshot *snapshot,
	const char *database, const char *user, const char *password, const char *addr)
{
	struct lookup *q = xcalloc(1, sizeof(*q));

	q->kind = kind;
	q->login = login;
	q->snapshot = snapshot_ref(snapshot);
	q->database = xstrdup(database);
	q->user = xstrdup(user);
	q->password = xstrdup(password);
	q->addr = xstrdup(addr);
	q->message.discard = lookup_discard;
	return q;
}

void lookup_free(struct lookup **qp)
{
	struct lookup *q = *qp;

	*qp = NULL;
	if (!q)
		return;
	secure_free(&q->password);
	credential_unref(&q->credential);
	snapshot_unref(&q->snapshot);
	free(q->database);
	free(q->user);
	free(q->addr);
	free(q->asked_in);
	free(q);
}

static void reply(struct lookup **qp, enum lookup_answer answer, const char *sqlstate, const char *text)
{
	struct lookup *q = *qp;

	*qp = NULL;
	q->answer = answer;
	snprintf(q->sqlstate, sizeof(q->sqlstate), "%s", sqlstate);
	snprintf(q->text, sizeof(q->text), "%s", text);
	secure_free(&q->password); /* nobody needs it any more */
	q->message.deliver = q->deliver;
	q->message.discard = lookup_discard;
	mailbox_post(q->reply_to, &q->message);
}

void lookup_found(struct lookup **q, struct credential *c)
{
	(*q)->credential = credential_ref(c);
	reply(q, LOOKUP_FOUND, "", "");
}

void lookup_accept(struct lookup **q)
{
	reply(q, LOOKUP_ACCEPTED, "", "");
}

void lookup_refuse(struct lookup **q, const char *cause)
{
	reply(q, LOOKUP_REFUSED, "", cause);
}

void lookup_fail(struct lookup **q, const char *sqlstate, const char *text)
{
	reply(q, LOOKUP_FAILED, sqlstate, text);
}
