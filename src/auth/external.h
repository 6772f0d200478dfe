/*
 * external.h - questions that block for as long as others please: PAM, LDAP, and whose user id that is.
 *
 * Threads of their own answer them (auth_threads at most; the first question starts the first), so neither workers nor login
 * threads ever wait. One whose deadline has passed while it stood in line is answered without asking anybody.
 * PAM:     service pamservice, else "pgbouncer" or "pgweir" as the section is called; authentication and account management.
 * LDAP:    simple bind, or search and bind, over ldap, StartTLS or ldaps, as PostgreSQL's options say. The library's own
 *          configuration (ldap.conf) says which certificates are trusted. Its calls end at the login's deadline, at most
 *          a minute.
 * Secrets: passwords are wiped with the question; what the libraries copied they free themselves.
 * Limits:  the line is as long as there are logins: those whose time is up leave it when the next one comes.
 * Owner:   a question is external's until it has been answered.
 * Threads: external_ask() from any, the rest from the main thread. A thread that is stuck in a module when the program ends
 *          is left behind, and answers nobody any more.
 */
#ifndef PGWEIR_EXTERNAL_H
#define PGWEIR_EXTERNAL_H

#include "auth/lookup.h"

struct external;

struct external *external_start(int max_threads);
void external_ask(struct external *e, struct lookup *q); /* LOOKUP_PASSWORD and LOOKUP_PEER */
void external_stop(struct external *e);	 /* nobody is answered from now on; before the asking threads end */
void external_free(struct external **e); /* after they have ended */

#endif
