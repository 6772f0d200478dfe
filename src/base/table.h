/*
 * table.h - uthash with our keyed hash, so that strangers can't choose keys that collide. Include this, never uthash.h.
 */
#ifndef PGWEIR_TABLE_H
#define PGWEIR_TABLE_H

#include "base/hash.h"

#define HASH_FUNCTION(keyptr, keylen, hashv) ((hashv) = (unsigned)hash64((keyptr), (keylen)))
#define uthash_fatal(msg) assert_failed((msg), __FILE__, __LINE__)
#include <uthash.h>

#ifdef __clang_analyzer__ /* it can't follow uthash's links: every deletion with a free looks like a use after free to it */
void table_analyzer_del_(void *head, void *element);
#undef HASH_DEL
#define HASH_DEL(head, element) table_analyzer_del_(&(head), (element))
#endif

#endif
