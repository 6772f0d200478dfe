#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *fail(const char **why, int e, const char *text)
{
	*why = text ? text : strerrordesc_np(e);
	errno = e;
	return NULL;
}

static char *read_open(int fd, size_t limit, size_t *len, const char **why)
{
	struct stat st;
	ssize_t n = 1;
	char *text;

	if (fstat(fd, &st) < 0)
		return fail(why, errno, NULL);
	if (!S_ISREG(st.st_mode) || st.st_size < 0)
		return fail(why, EINVAL, "not a regular file");
	if ((uint64_t)st.st_size > limit)
		return fail(why, EFBIG, "the configuration is too large");
	text = xmalloc((size_t)st.st_size + 1);
	for (*len = 0; *len < (size_t)st.st_size && n > 0; *len += (size_t)n) { /* it may shrink under us */
		n = read(fd, text + *len, (size_t)st.st_size - *len);
		if (n < 0) {
			int e = errno;

			explicit_bzero(text, *len);
			free(text);
			return fail(why, e, NULL);
		}
	}
	text[*len] = '\0';
	return text;
}

char *file_read(const char *path, size_t limit, size_t *len, const char **why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text;
	int e;

	*len = 0;
	if (fd < 0)
		return fail(why, errno, NULL);
	text = read_open(fd, limit, len, why);
	e = errno;
	close(fd);
	errno = e;
	return text;
}
