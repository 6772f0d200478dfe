#include "session/newcomer.h"

#include <stdlib.h>
#include <unistd.h>

void newcomer_free(struct newcomer **np)
{
	struct newcomer *n = *np;

	*np = NULL;
	if (!n)
		return;
	if (n->fd >= 0)
		close(n->fd);
	tls_free(&n->tls);
	free(n->database);
	free(n->user);
	free(n->server_user);
	settings_unref(&n->settings);
	credential_unref(&n->credential);
	writer_free(&n->greeting);
	free(n->early);
	free(n);
}
