#include "core/file_watch.h"

#include <string.h>
#include <sys/stat.h>

struct file_stamp file_stamp_of(const char *path)
{
	struct file_stamp stamp = { 0 };
	struct stat st;

	if (stat(path, &st) != 0)
		return stamp;
	stamp.device = st.st_dev;
	stamp.inode = st.st_ino;
	stamp.size = (uint64_t)st.st_size;
	stamp.changed_sec = st.st_ctim.tv_sec;
	stamp.changed_nsec = st.st_ctim.tv_nsec;
	return stamp;
}

static bool is_same(const struct file_stamp *a, const struct file_stamp *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

void file_watch_read(struct file_watch *w, const struct file_stamp *now)
{
	w->read = w->seen = *now;
}

bool file_watch_look(struct file_watch *w, const struct file_stamp *now)
{
	static const struct file_stamp missing;
	bool has_settled = is_same(now, &w->seen);

	w->seen = *now;
	if (!has_settled || is_same(now, &w->read) || is_same(now, &missing))
		return false;
	w->read = *now;
	return true;
}
