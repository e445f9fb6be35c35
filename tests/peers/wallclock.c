/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into the daemon under test: its wall clock is off by as many seconds as the file $WALLCLOCK says. The
   monotonic clocks and everything that waits stay true, as when somebody sets a real clock. With $BOOT_ID, a file, it
   believes in another boot, and CLOCK_BOOTTIME is off by $BOOTTIME seconds. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

static long offset(void)
{
	static __thread int inside;
	const char *path = getenv("WALLCLOCK");
	long seconds = 0;
	FILE *file;

	if (inside || !path)
		return 0;
	inside = 1;
	file = fopen(path, "re");
	if (file) {
		if (fscanf(file, "%ld", &seconds) != 1)
			seconds = 0;
		fclose(file);
	}
	inside = 0;
	return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	static int (*real)(clockid_t, struct timespec *);

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int r = real(clock, ts);

	if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		ts->tv_sec += offset();
	if (r == 0 && clock == CLOCK_BOOTTIME && getenv("BOOTTIME"))
		ts->tv_sec += atol(getenv("BOOTTIME"));
	return r;
}

static const char *path_of(const char *path)
{
	const char *boot = getenv("BOOT_ID");

	return boot && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0 ? boot : path;
}

/* The mode is passed on whether there is one or not. */
#define OPEN(name)                                                                                                     \
	int name(const char *path, int flags, ...)                                                                     \
	{                                                                                                              \
		static int (*real)(const char *, int, ...);                                                            \
		va_list args;                                                                                          \
		mode_t mode;                                                                                           \
                                                                                                                       \
		if (!real)                                                                                             \
			real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name);                               \
		va_start(args, flags);                                                                                 \
		mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;                                     \
		va_end(args);                                                                                          \
		return real(path_of(path), flags, mode);                                                               \
	}
OPEN(open)
OPEN(open64)

time_t time(time_t *ret)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (ret)
		*ret = ts.tv_sec;
	return ts.tv_sec;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}
