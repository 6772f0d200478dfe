/*
 * file.h - a configuration file as a whole in memory.
 *
 * Only regular files: opening a FIFO or a device must not hang a reload. What the file grows by while it is read is not
 * followed.
 * Threads: any.
 */
#ifndef PGWEIR_FILE_H
#define PGWEIR_FILE_H

#include "base/base.h"

/* *len bytes and a NUL behind them, the caller's to wipe and free; or NULL, and *why with its cause (ENOENT: in errno). */
char *file_read(const char *path, size_t limit, size_t *len, const char **why);

#endif
