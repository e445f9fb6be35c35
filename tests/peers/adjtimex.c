/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: what the kernel says of its clock as a test wants it, whatever the machine's own is like. ADJTIMEX names a file with
 * the maximum error in microseconds for adjtimex(); 16000000 and more: not synchronised. RTC names the file that is read for
 * /sys/class/rtc/rtc0/since_epoch; without it there is no clock with a battery.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>

int adjtimex(struct timex *timex)
{
	const char *path = getenv("ADJTIMEX");
	FILE *file = path ? fopen(path, "re") : NULL;

	if (!file || fscanf(file, "%ld", &timex->maxerror) != 1)
		timex->maxerror = 16000000;
	if (file)
		fclose(file);
	return timex->maxerror < 16000000 ? TIME_OK : TIME_ERROR;
}

static int open_as(const char *function, const char *path, int flags, mode_t mode)
{
	int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, function);

	if (strncmp(path, "/sys/class/rtc/", 15) == 0) {
		path = strstr(path, "/rtc0/") ? getenv("RTC") : NULL;
		if (!path) {
			errno = ENOENT;
			return -1;
		}
	}
	return real(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return open_as("open", path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	return open_as("open64", path, flags, mode);
}
