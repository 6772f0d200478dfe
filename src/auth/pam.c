#include "auth/external_private.h"

#include <netdb.h>
#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES_MAX 32 /* of one round: PAM_MAX_NUM_MSG */

static void free_replies(struct pam_response *replies, int n)
{
	for (int i = 0; i < n; i++)
		secure_free(&replies[i].resp);
	free(replies);
}

/* Whoever asks without an echo gets the password; texts for a terminal are nobody's. */
static int converse(int n, const struct pam_message **messages, struct pam_response **out, void *password)
{
	struct pam_response *replies;

	if (n <= 0 || n > MESSAGES_MAX)
		return PAM_CONV_ERR;
	replies = xcalloc((size_t)n, sizeof(*replies));
	for (int i = 0; i < n; i++) {
		switch (messages[i]->msg_style) {
		case PAM_PROMPT_ECHO_OFF: replies[i].resp = xstrdup(password); break;
		case PAM_ERROR_MSG:
		case PAM_TEXT_INFO: break;
		default: free_replies(replies, n); return PAM_CONV_ERR;
		}
	}
	*out = replies; /* the module's to free */
	return PAM_SUCCESS;
}

/* The client's name in the network, or its address. A look-up may take its time here. */
static void find_host(const struct lookup *q, char out[NI_MAXHOST])
{
	bool is_named = q->rule->pam_use_hostname && q->peer.len &&
		getnameinfo(&q->peer.sa, q->peer.len, out, NI_MAXHOST, NULL, 0, NI_NAMEREQD) == 0;

	if (!is_named && address_is_unix(&q->peer))
		snprintf(out, NI_MAXHOST, "[local]");
	else if (!is_named)
		address_host(&q->peer, out);
}

static const char *service_of(const struct lookup *q)
{
	if (q->rule->pamservice)
		return q->rule->pamservice;
	return q->snapshot->config->is_pgbouncer ? "pgbouncer" : "pgweir";
}

static int ask(pam_handle_t *pam, const struct lookup *q, const char **step)
{
	char host[NI_MAXHOST] = "";
	int r;

	find_host(q, host);
	*step = "pam_set_item";
	r = pam_set_item(pam, PAM_RHOST, host);
	if (r != PAM_SUCCESS)
		return r;
	*step = "pam_authenticate";
	r = pam_authenticate(pam, PAM_SILENT);
	if (r != PAM_SUCCESS)
		return r;
	*step = "pam_acct_mgmt";
	return pam_acct_mgmt(pam, PAM_SILENT);
}

void ask_pam(const struct lookup *q, struct verdict *v)
{
	const struct pam_conv conversation = { converse, q->password };
	const char *step = "pam_start";
	pam_handle_t *pam = NULL;
	int r = pam_start(service_of(q), q->user, &conversation, &pam);

	if (r == PAM_SUCCESS)
		r = ask(pam, q, &step);
	v->is_accepted = r == PAM_SUCCESS;
	if (!v->is_accepted)
		verdict_refuse(v, "%s: %s", step, pam_strerror(pam, r));
	if (pam)
		pam_end(pam, r);
}
