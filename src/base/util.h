/* SPDX-License-Identifier: Apache-2.0 */
/* Small things everyone uses. */
#ifndef HAYWAIN_BASE_UTIL_H
#define HAYWAIN_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USEC_PER_MSEC ((uint64_t)1000)
#define USEC_PER_SEC ((uint64_t)1000000)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR (60 * USEC_PER_MINUTE)
#define USEC_PER_DAY (24 * USEC_PER_HOUR)
#define USEC_NEVER UINT64_MAX

#define ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))
#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* _cleanup_(x_freep) struct x *x = NULL; with DEFINE_CLEANUP(struct x *, x_free) */
#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _unused_ __attribute__((unused))
#define _printf_(format_at, first) __attribute__((format(printf, format_at, first)))
#define DEFINE_CLEANUP(type, fn)                                                                                       \
	static inline void fn##p(type *object)                                                                         \
	{                                                                                                              \
		if (*object)                                                                                           \
			fn(*object);                                                                                   \
	}

/*
 * const char *x_to_string(enum x value), with a text for each of the n values:
 *
 *     DEFINE_TO_STRING(link_state_to_string, enum link_state, LINK_N_STATES,
 *                      [LINK_UNUSED] = "unused", [LINK_UP] = "up", [LINK_DOWN] = "down")
 *
 * A text that is missing does not compile: there are as many as values, and -Wextra refuses two for one. Up to 16.
 */
#define COUNT_OF(...) COUNT_OF_(__VA_ARGS__, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define COUNT_OF_(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, count, ...) count
#define DEFINE_TO_STRING(function, type, n_values, ...)                                                                \
	const char *function(type value)                                                                               \
	{                                                                                                              \
		static const char *const texts[] = {__VA_ARGS__};                                                      \
                                                                                                                       \
		_Static_assert(ELEMENTS(texts) == (n_values) && COUNT_OF(__VA_ARGS__) == (n_values),                   \
			       "a text for each value");                                                               \
		return (size_t)value < ELEMENTS(texts) ? texts[value] : "unknown";                                     \
	}

/* NULL is the same as NULL, and as nothing else. */
static inline bool text_same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* Two names of one file. */
static inline bool is_same_file(const char *a, const char *b)
{
	char *real_a = realpath(a, NULL), *real_b = realpath(b, NULL);
	bool same = real_a && real_b && strcmp(real_a, real_b) == 0;

	free(real_a);
	free(real_b);
	return same;
}

/* What devices and brokers say may hold anything, and a terminal obeys it: blanks for control characters, U+0080 to
   U+009F too. */
static inline void text_make_printable(char *text)
{
	for (unsigned char *at = (unsigned char *)text; *at; at++) {
		if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
			*at++ = ' ', *at = ' ';
		else if (*at < 0x20 || *at == 0x7f)
			*at = ' ';
	}
}

static inline void cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}
#define _cleanup_free_ _cleanup_(cleanup_free)

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define _cleanup_close_ _cleanup_(cleanup_close)

#endif
