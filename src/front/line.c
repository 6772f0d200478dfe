#include "front/line.h"

#include <unistd.h>

void line_init(struct line *l)
{
	list_init(&l->waiting);
	slab_init(&l->slab, sizeof(struct arrival));
}

void line_add(struct line *l, int fd, bool is_unix, const struct address *peer, usec_t now)
{
	struct arrival *a = slab_alloc(&l->slab);

	a->fd = fd;
	a->is_unix = is_unix;
	a->since = now;
	address_shorten(peer, &a->peer);
	list_push_back(&l->waiting, &a->node);
}

bool line_take(struct line *l, struct arrival *out)
{
	struct list_node *node = list_pop_front(&l->waiting);
	struct arrival *a;

	if (!node)
		return false;
	a = CONTAINER_OF(node, struct arrival, node);
	*out = *a;
	slab_free(&l->slab, a);
	return true;
}

usec_t line_expire(struct line *l, usec_t before)
{
	struct list_node *node;
	struct arrival a;

	while ((node = list_first(&l->waiting))) {
		usec_t since = CONTAINER_OF(node, struct arrival, node)->since;

		if (since >= before)
			return since;
		line_take(l, &a);
		close(a.fd);
	}
	return 0;
}

void line_free(struct line *l)
{
	struct arrival a;

	while (line_take(l, &a))
		close(a.fd);
	slab_destroy(&l->slab);
}
