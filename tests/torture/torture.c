/* SPDX-License-Identifier: Apache-2.0 */
#include "torture.h"
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

void dice_init(struct dice *dice, uint64_t seed, uint64_t stream)
{
	uint64_t mixed = seed + stream * 0x9e3779b97f4a7c15U + 0x9e3779b97f4a7c15U;

	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9U;
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebU;
	dice->state = (mixed ^ (mixed >> 31)) | 1;
}

uint64_t dice_next(struct dice *dice)
{
	dice->state ^= dice->state >> 12;
	dice->state ^= dice->state << 25;
	dice->state ^= dice->state >> 27;
	return dice->state * 0x2545f4914f6cdd1dU;
}

uint64_t dice_below(struct dice *dice, uint64_t n)
{
	return (dice_next(dice) >> 11) % n;
}

void torture_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

const char *torture_folder(void)
{
	static char folder[256];
	const char *temporary = getenv("TMPDIR");

	if (access("/dev/shm", W_OK) == 0)
		temporary = "/dev/shm";
	snprintf(folder, sizeof(folder), "%s/haywain-torture-XXXXXX", temporary ? temporary : "/tmp");
	if (!mkdtemp(folder))
		torture_die("cannot make %s: %s", folder, strerror(errno));
	return folder;
}

static int remove_entry(const char *path, const struct stat *st _unused_, int type _unused_, struct FTW *ftw _unused_)
{
	return remove(path);
}

void torture_remove(const char *folder)
{
	nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *boot_id = "0123456789abcdef0123456789abcdef";

void torture_set_boot(const char *id)
{
	boot_id = id;
}

/* Linked in the place of clock_boot_id() (-Wl,--wrap): a program lives through many boots. */
const char *__wrap_clock_boot_id(void);
const char *__wrap_clock_boot_id(void)
{
	return boot_id;
}

uint64_t torture_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

const char *torture_option(int argc, char **argv, int *at, const char *name)
{
	size_t length = strlen(name);

	if (strncmp(argv[*at], name, length) != 0)
		return NULL;
	if (argv[*at][length] == '=')
		return argv[*at] + length + 1;
	if (argv[*at][length] != '\0')
		return NULL;
	if (*at + 1 >= argc)
		torture_die("%s needs a value", name);
	return argv[++*at];
}

uint64_t torture_number(const char *what, const char *text)
{
	char *end;
	uint64_t number;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-')
		torture_die("%s is no number: %s", what, text);
	return number;
}
