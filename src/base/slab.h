/*
 * slab.h - objects of one size, many of them for a moment: what a storm took goes back to the system when it is over.
 *
 * They lie in blocks of pages of their own, apart from the heap, where one small allocation that stays keeps all that was freed
 * around it. A block without objects is unmapped, except for one, so that a single object that comes and goes costs no system call. New objects
 * go into the blocks that are in use longest, so that the others empty.
 *
 * Limits:    an object has up to SLAB_BLOCK / 8 bytes.
 * Ownership: the slab's user frees each object before slab_destroy().
 * Threads:   one. Under AddressSanitizer each object is an allocation of its own, so that it sees what is used after the end.
 */
#ifndef PGWEIR_SLAB_H
#define PGWEIR_SLAB_H

#include "base/list.h"

#define SLAB_BLOCK 65536

struct slab {
	size_t size, per_block;
	struct list open; /* of blocks with room, oldest first */
	size_t used, blocks;
	size_t empty; /* of the blocks */
};

void slab_init(struct slab *s, size_t object_size);
void *slab_alloc(struct slab *s); /* zeroed */
void slab_free(struct slab *s, void *object);
void slab_destroy(struct slab *s);

#endif
