#include "base/slab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED true
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED false
#endif

#define ALIGNMENT 16

struct free_object {
	struct free_object *next;
};

struct block { /* at the start of its SLAB_BLOCK bytes, which are aligned to their size */
	struct list_node node;
	struct free_object *freed;
	size_t used, fresh; /* fresh: objects that were never handed out, behind all others; their pages aren't touched yet */
};

#define HEADER ((sizeof(struct block) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

void slab_init(struct slab *s, size_t object_size)
{
	memset(s, 0, sizeof(*s));
	ASSERT(object_size >= sizeof(struct free_object) && object_size <= SLAB_BLOCK / 8);
	s->size = (object_size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	s->per_block = (SLAB_BLOCK - HEADER) / s->size;
	list_init(&s->open);
}

/* Twice as much is mapped, and what lies around the aligned part unmapped. */
static struct block *map_block(struct slab *s)
{
	uint8_t *mapped = mmap(NULL, 2 * SLAB_BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before = -(uintptr_t)mapped % SLAB_BLOCK;
	struct block *b;

	ASSERT(mapped != MAP_FAILED);
	if (before)
		munmap(mapped, before);
	munmap(mapped + before + SLAB_BLOCK, SLAB_BLOCK - before);
	b = (struct block *)(void *)(mapped + before);
	b->fresh = s->per_block;
	s->blocks++;
	s->empty++;
	list_push_back(&s->open, &b->node);
	return b;
}

static void unmap_block(struct slab *s, struct block *b)
{
	list_remove(&s->open, &b->node);
	s->blocks--;
	s->empty--;
	munmap(b, SLAB_BLOCK);
}

static void *take(struct slab *s, struct block *b)
{
	struct free_object *o = b->freed;

	s->empty -= b->used == 0;
	b->used++;
	if (b->used == s->per_block)
		list_remove(&s->open, &b->node);
	if (!o)
		return (uint8_t *)b + HEADER + (s->per_block - b->fresh--) * s->size;
	b->freed = o->next;
	return memset(o, 0, s->size);
}

void *slab_alloc(struct slab *s)
{
	struct list_node *n = list_first(&s->open);

	s->used++;
	if (IS_SANITIZED)
		return xcalloc(1, s->size);
	return take(s, n ? CONTAINER_OF(n, struct block, node) : map_block(s));
}

void slab_free(struct slab *s, void *object)
{
	struct block *b = (struct block *)((uintptr_t)object & ~(uintptr_t)(SLAB_BLOCK - 1));
	struct free_object *o = object;

	s->used--;
	if (IS_SANITIZED) {
		free(object);
		return;
	}
	if (b->used == s->per_block)
		list_push_front(&s->open, &b->node);
	o->next = b->freed;
	b->freed = o;
	b->used--;
	s->empty += b->used == 0;
	if (b->used == 0 && s->empty > 1)
		unmap_block(s, b);
}

void slab_destroy(struct slab *s)
{
	struct list_node *n;

	ASSERT(s->used == 0);
	while ((n = list_first(&s->open)))
		unmap_block(s, CONTAINER_OF(n, struct block, node));
}
