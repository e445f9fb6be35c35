/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/trim.h"
#include "base/util.h"
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct mapping {
	unsigned long from, to;
	bool read_only_file; /* r--p or r-xp, from a file */
};

/* "7f00-7f10 r-xp 00001000 fe:00 1234   /usr/lib/…": a mapping's first line in smaps; false: another line. */
static bool read_header(const char *line, struct mapping *ret)
{
	char mode[5];
	unsigned long from, to, inode;

	if (sscanf(line, "%lx-%lx %4s %*x %*s %lu", &from, &to, mode, &inode) != 4)
		return false;
	*ret = (struct mapping){
		.from = from,
		.to = to,
		.read_only_file = inode > 0 && mode[0] == 'r' && mode[1] == '-' && mode[3] == 'p',
	};
	return true;
}

/*
 * Only pages that are as they are in the file may go: code, and constants without relocations. A mapping with
 * anonymous pages was written to before it became read-only (RELRO) and stays.
 */
void trim_memory(void)
{
	struct mapping mapping = {0};
	unsigned long anonymous_kb;
	char line[512];
	FILE *file = fopen("/proc/self/smaps", "re");

	malloc_trim(0);
	while (file && fgets(line, sizeof(line), file)) {
		if (read_header(line, &mapping))
			continue;
		if (sscanf(line, "Anonymous: %lu kB", &anonymous_kb) == 1 && mapping.read_only_file &&
		    anonymous_kb == 0)
			madvise((void *)mapping.from, mapping.to - mapping.from, MADV_DONTNEED);
	}
	if (file)
		fclose(file);
}
