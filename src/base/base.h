/*
 * base.h - the few words that every module uses: outcomes, assertions, memory, time units.
 *
 * Outcomes:  enum result is the only error code inside pgweir; each value has one meaning.
 * Assertion: ASSERT stays in release builds. It guards against our own mistakes, never against a peer's bytes.
 * Memory:    x*alloc abort when memory is out. A size that a peer chose is limited before it gets here.
 * Threads:   everything here may be called from any thread.
 */
#ifndef PGWEIR_BASE_H
#define PGWEIR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum result {
	RES_OK,
	RES_MORE,     /* not an error: wait for more bytes */
	RES_PROTOCOL, /* the peer broke the protocol */
	RES_LIMIT,    /* a limit of ours was reached */
	RES_REFUSED,  /* a credential, a permission or a policy says no */
	RES_SYSTEM, /* the operating system or a library said no; the cause was logged or is in the caller's buffer */
};

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

#define ASSERT(cond) (LIKELY(cond) ? (void)0 : assert_failed(#cond, __FILE__, __LINE__))
_Noreturn void assert_failed(const char *what, const char *file, int line);

/* Microseconds of the monotonic clock; 0 means never. */
typedef uint64_t usec_t;
#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)
usec_t clock_now(void);

void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *s);		   /* NULL gives NULL */
char *xstrndup(const char *s, size_t len); /* copies at most len bytes and ends them with NUL */
char *xasprintf(const char *fmt, ...) PRINTF_LIKE(1, 2);
void secure_free(char **secret);	      /* wipes a string, frees it, sets the pointer to NULL */
bool str_equal(const char *a, const char *b); /* NULL equals only NULL */

#endif
