/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over files and folders of files without libFuzzer: each input that once was interesting, at every check. */
#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path, unsigned *count)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t size = 0, capacity = 0;

	if (!file)
		return -errno;
	for (;;) {
		if (size == capacity) {
			uint8_t *more;

			capacity = capacity ? capacity * 2 : 4096;
			more = realloc(data, capacity);
			if (!more)
				abort();
			data = more;
		}
		size_t n = fread(data + size, 1, capacity - size, file);

		if (n == 0)
			break;
		size += n;
	}
	fclose(file);
	/* A copy of exact size, so that a read one byte past the end is seen. */
	uint8_t *exact = malloc(size ? size : 1);

	if (!exact)
		abort();
	if (size > 0)
		memcpy(exact, data, size);
	free(data);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	++*count;
	return 0;
}

static int replay(const char *path, unsigned *count)
{
	struct dirent *entry;
	struct stat st;
	DIR *dir;
	int r = 0;

	if (stat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return replay_file(path, count);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (r == 0 && (entry = readdir(dir))) {
		char *inner;

		if (entry->d_name[0] == '.')
			continue;
		if (asprintf(&inner, "%s/%s", path, entry->d_name) < 0)
			abort();
		r = replay(inner, count);
		free(inner);
	}
	closedir(dir);
	return r;
}

int main(int argc, char **argv)
{
	unsigned count = 0;

	for (int i = 1; i < argc; i++) {
		int r = replay(argv[i], &count);

		if (r < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
			return 1;
		}
	}
	printf("%u inputs replayed\n", count);
	return 0;
}
