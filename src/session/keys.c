#include "session/keys.h"

#include "auth/digest.h"
#include "pool/cancel.h"
#include "session/client.h"

#include <stdlib.h>

#define SLOT_BITS 24

struct worker_key {
	UT_hash_handle hh;
	uint64_t id;
	struct client *client;
};

/* What doesn't change on the way; the whole secret is compared later, in constant time. */
static uint64_t id_of(const struct cancel_key *k)
{
	return (uint64_t)k->pid << 32 | load_be32(k->secret) | CANCEL_HOPS_MASK;
}

static struct worker_key *find_key(const struct worker *w, const struct cancel_key *k)
{
	uint64_t id = id_of(k);
	struct worker_key *found;

	HASH_FIND(hh, w->keys, &id, sizeof(id), found);
	return found;
}

static void add_key(struct client *c)
{
	struct worker_key *k = xcalloc(1, sizeof(*k));

	k->id = id_of(&c->key);
	k->client = c;
	HASH_ADD(hh, c->worker->keys, id, sizeof(k->id), k);
	c->keyed = k;
}

static void remove_key(struct client *c)
{
	if (!c->keyed)
		return;
	HASH_DEL(c->worker->keys, c->keyed);
	free(c->keyed);
	c->keyed = NULL;
}

static void take_peer_key(struct client *c, uint32_t protocol, int peer)
{
	do {
		uint8_t any;

		random_bytes(&any, sizeof(any));
		cancel_key_make(&c->key, (uint32_t)c->worker->index << SLOT_BITS | any, protocol);
		cancel_key_mark(&c->key, peer);
	} while (find_key(c->worker, &c->key));
	add_key(c);
}

void session_key_take(struct client *c, uint32_t protocol)
{
	struct worker *w = c->worker;

	if (!w->free_slot) {
		uint32_t n = w->n_slots ? w->n_slots * 2 : 64;

		ASSERT(n < WORKER_SLOTS_MAX);
		w->slots = xrealloc(w->slots, n * sizeof(*w->slots));
		for (uint32_t i = n; i-- > w->n_slots;) {
			w->slots[i] = (struct worker_slot){ .next_free = w->free_slot };
			w->free_slot = i + 1;
		}
		w->n_slots = n;
	}
	c->slot = w->free_slot - 1;
	w->free_slot = w->slots[c->slot].next_free;
	w->slots[c->slot].client = c;
	if (w->config->peer_id)
		take_peer_key(c, protocol, w->config->peer_id);
	else
		cancel_key_make(&c->key, (uint32_t)w->index << SLOT_BITS | (c->slot + 1), protocol);
}

void session_key_keep(struct client *c, const struct cancel_key *k)
{
	remove_key(c);
	c->key = *k;
	add_key(c);
}

void session_key_return(struct client *c)
{
	struct worker_slot *slot = &c->worker->slots[c->slot];

	slot->client = NULL;
	slot->next_free = c->worker->free_slot;
	c->worker->free_slot = c->slot + 1;
	remove_key(c);
}

int session_cancel_worker(const struct cancel_key *k)
{
	return (int)(k->pid >> SLOT_BITS);
}

int session_cancel_peer(const struct cancel_key *k)
{
	return (int)((k->pid >> 16 & 0xff) | (k->pid & 0xff00));
}

bool session_cancel_hop(struct cancel_key *k)
{
	if (!(k->secret[3] & CANCEL_HOPS_MASK))
		return false;
	k->secret[3]--;
	return true;
}

static struct client *find_client(const struct worker *w, const struct cancel_key *k)
{
	uint32_t slot = (k->pid & (WORKER_SLOTS_MAX - 1)) - 1;
	struct client *c = slot < w->n_slots ? w->slots[slot].client : NULL;
	struct worker_key *found;

	if (c && !c->keyed && cancel_key_same(&c->key, k))
		return c;
	found = find_key(w, k);
	return found && cancel_key_same_but_hops(&found->client->key, k) ? found->client : NULL;
}

static void cancel_waiting(struct client *c)
{
	struct error_info e = {
		.severity = "ERROR", .sqlstate = "57014", .message = "canceling statement due to user request"
	};

	pool_withdraw(c->pool, &c->waiter);
	client_refuse(c, &e);
}

void session_cancel(struct message *m, void *owner)
{
	struct cancel_request *r = CONTAINER_OF(m, struct cancel_request, message);
	struct worker *w = owner;
	struct client *c = find_client(w, &r->key);
	int fd = r->fd;

	if (c && c->state == CLIENT_WAITING) {
		cancel_waiting(c);
	} else if (c && c->state == CLIENT_ACTIVE && c->server->state == SERVER_ACTIVE && c->server->pending.count) {
		cancel_start(c->server, fd, &r->tls);
		fd = -1;
	}
	if (fd >= 0)
		stream_hang_up(fd, &r->tls);
	free(r);
}

void session_cancel_discard(struct message *m)
{
	struct cancel_request *r = CONTAINER_OF(m, struct cancel_request, message);

	if (r->fd >= 0)
		stream_hang_up(r->fd, &r->tls);
	free(r);
}
