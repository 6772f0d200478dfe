/* stream_private.h - what the loop calls in a stream, and nobody else. */
#ifndef PGWEIR_STREAM_PRIVATE_H
#define PGWEIR_STREAM_PRIVATE_H

struct stream;
void stream_serve_(struct stream *s);

#endif
