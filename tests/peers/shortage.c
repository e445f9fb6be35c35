/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into the daemon under test: the allocation $SHORTAGE, counted from 1, fails, and as many after it as
   $SHORTAGE_LASTS says. Only those that the daemon's own code asks for: libraries may abort by right. */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static atomic_long count;
static long first, lasts;

__attribute__((constructor)) static void begin(void)
{
	const char *text = getenv("SHORTAGE"), *last = getenv("SHORTAGE_LASTS");

	first = text ? atol(text) : 0;
	lasts = last ? atol(last) : 1;
}

static bool fails(void *caller)
{
	Dl_info info;

	if (!first || !dladdr(caller, &info) || !info.dli_fname)
		return false;
	const char *name = strrchr(info.dli_fname, '/');

	if (strcmp(name ? name + 1 : info.dli_fname, "haywaind") != 0)
		return false;
	long n = ++count;

	if (n < first || n >= first + lasts)
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}

char *strndup(const char *text, size_t n)
{
	size_t size = strnlen(text, n);
	char *copy = fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size + 1);

	if (copy) {
		memcpy(copy, text, size);
		copy[size] = '\0';
	}
	return copy;
}

char *strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);

	return copy ? memcpy(copy, text, size) : NULL;
}
