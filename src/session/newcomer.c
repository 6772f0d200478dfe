#include "session/newcomer.h"

#include "auth/digest.h"
#include "session/move.h"

#include <openssl/crypto.h>
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
	moved_free(&n->moved);
	free(n);
}

void cancel_key_make(struct cancel_key *k, uint32_t pid, uint32_t protocol)
{
	k->pid = pid;
	k->len = protocol >= PROTOCOL_3_2 ? CANCEL_SECRET_LONG : CANCEL_SECRET_SHORT;
	random_bytes(k->secret, k->len);
}

void cancel_key_mark(struct cancel_key *k, int peer_id)
{
	k->pid = (k->pid & 0xff0000ff) | ((uint32_t)peer_id & 0xff) << 16 | ((uint32_t)peer_id >> 8) << 8;
	k->secret[3] |= CANCEL_HOPS_MASK;
}

bool cancel_key_same(const struct cancel_key *a, const struct cancel_key *b)
{
	return a->pid == b->pid && a->len == b->len && CRYPTO_memcmp(a->secret, b->secret, a->len) == 0;
}

bool cancel_key_same_but_hops(const struct cancel_key *a, const struct cancel_key *b)
{
	struct cancel_key x = *a, y = *b;

	x.secret[3] |= CANCEL_HOPS_MASK;
	y.secret[3] |= CANCEL_HOPS_MASK;
	return cancel_key_same(&x, &y);
}

void write_cancel_key(struct writer *w, const struct cancel_key *k)
{
	msg_begin(w, MSG_BACKEND_KEY_DATA);
	write_u32(w, k->pid);
	write_bytes(w, k->secret, k->len);
	msg_end(w);
}
