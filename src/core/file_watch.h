/*
 * file_watch.h - notices that a file has changed since it was read, by looking at it now and then.
 *
 * Looking costs one stat() a tick, and works where inotify doesn't: on network file systems, and behind the symbolic links that are
 * swapped when Kubernetes updates a secret. A change counts once two looks have found the same, so a file that is just being
 * written isn't read half; a file that is missing is waited for.
 *
 * Threads: its owner's.
 */
#ifndef PGWEIR_FILE_WATCH_H
#define PGWEIR_FILE_WATCH_H

#include "base/base.h"

struct file_stamp { /* all zero: there is no such file */
	uint64_t device, inode, size;
	int64_t changed_sec, changed_nsec; /* its content or its inode, whichever was later */
};

struct file_watch {
	struct file_stamp read, seen; /* when it was last read, and at the last look */
};

struct file_stamp file_stamp_of(const char *path);
/* Call it before reading, so that a change meanwhile is noticed. */
void file_watch_read(struct file_watch *w, const struct file_stamp *now);
bool file_watch_look(struct file_watch *w, const struct file_stamp *now); /* true, once: read it again */

#endif
