/* stream_private.h - what the loop calls in a stream, and nobody else. */
#ifndef PGWEIR_STREAM_PRIVATE_H
#define PGWEIR_STREAM_PRIVATE_H

struct stream;
struct loop;
void stream_serve_(struct stream *s);
void stream_free_sealing_(struct loop *l);

#endif
