/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/quarantine.h"
#include "base/clock.h"
#include "base/files.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define STAMP_LENGTH 16 /* YYYYMMDDTHHMMSSZ */

/* KIND-YYYYMMDDTHHMMSSZ or KIND-YYYYMMDDTHHMMSSZ.N: where the time begins; NULL: it is no name of ours. */
static const char *stamp_of(const char *name)
{
	static const char form[] = "00000000T000000Z";
	static const char *const kinds[] = {"damaged-", "newer-", "left-"};
	const char *stamp = NULL;
	size_t i = 0;

	for (size_t kind = 0; kind < ELEMENTS(kinds); kind++)
		if (strncmp(name, kinds[kind], strlen(kinds[kind])) == 0)
			stamp = name + strlen(kinds[kind]);
	for (; stamp && form[i]; i++)
		if (form[i] == '0' ? !isdigit((unsigned char)stamp[i]) : stamp[i] != form[i])
			return NULL;
	if (!stamp || (stamp[i] && (stamp[i] != '.' || strspn(stamp + i + 1, "0123456789") != strlen(stamp + i + 1))))
		return NULL;
	return stamp;
}

static uint64_t file_bytes(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

static int add_found(struct quarantined **found, size_t *n, int folder_length, const char *path, const char *name,
		     const char *kind)
{
	struct quarantined *more = reallocarray(*found, *n + 1, sizeof(*more));
	_cleanup_free_ char *log = NULL;
	char *full;

	if (!more)
		return -ENOMEM;
	*found = more;
	if (asprintf(&full, "%.*s%s", folder_length, path, name) < 0)
		return -ENOMEM;
	more[(*n)++] = (struct quarantined){
		.path = full,
		.bytes = file_bytes(full),
		.is_damaged = strncmp(kind, "damaged-", strlen("damaged-")) == 0,
	};
	log = file_beside(full, "-wal");
	if (!log)
		return -ENOMEM;
	more[*n - 1].bytes += file_bytes(log);
	return 0;
}

/* By time, and those of one second by what was added to tell them apart. */
static int compare_found(const void *a, const void *b)
{
	const char *x = strrchr(((const struct quarantined *)a)->path, '-');
	const char *y = strrchr(((const struct quarantined *)b)->path, '-');

	return strverscmp(x ? x : "", y ? y : "");
}

int quarantine_list(const char *path, struct quarantined **ret, size_t *ret_n)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	int folder_length = (int)(base - path), r = 0;
	_cleanup_free_ char *folder = slash ? strndup(path, (size_t)folder_length) : strdup(".");
	struct quarantined *found = NULL;
	size_t n = 0;
	DIR *dir;

	if (!folder)
		return -ENOMEM;
	dir = opendir(folder);
	if (!dir)
		return -errno;
	for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
		const char *name = entry->d_name;
		size_t length = strlen(base);

		if (strncmp(name, base, length) == 0 && name[length] == '.' && stamp_of(name + length + 1))
			r = add_found(&found, &n, folder_length, path, name, name + length + 1);
	}
	closedir(dir);
	if (r < 0) {
		quarantine_list_free(found, n);
		return r;
	}
	if (n > 1)
		qsort(found, n, sizeof(*found), compare_found);
	*ret = found;
	*ret_n = n;
	return 0;
}

void quarantine_list_free(struct quarantined *found, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(found[i].path);
	free(found);
}

/* The time and the count for the next one's name, so that it comes last. */
static int next_stamp(const char *path, char stamp[32], unsigned *ret_count)
{
	time_t now = (time_t)(clock_wall() / (int64_t)USEC_PER_SEC);
	struct quarantined *found;
	struct tm tm;
	size_t n;
	int r;

	if (!gmtime_r(&now, &tm) || strftime(stamp, 32, "%Y%m%dT%H%M%SZ", &tm) == 0)
		return -EOVERFLOW;
	*ret_count = 0;
	r = quarantine_list(path, &found, &n);
	if (r < 0)
		return r;
	if (n > 0) {
		const char *last = strrchr(found[n - 1].path, '-') + 1, *count = strchr(last, '.');

		if (strncmp(last, stamp, STAMP_LENGTH) >= 0) {
			snprintf(stamp, 32, "%.*s", STAMP_LENGTH, last);
			*ret_count = count ? (unsigned)strtoul(count + 1, NULL, 10) + 1 : 1;
		}
	}
	quarantine_list_free(found, n);
	return 0;
}

int quarantine_name(const char *path, const char *kind, char **ret)
{
	char stamp[32], more[16] = "";
	unsigned count;
	int r;

	r = next_stamp(path, stamp, &count);
	if (r < 0)
		return r;
	if (count > 0)
		snprintf(more, sizeof(more), ".%u", count);
	return asprintf(ret, "%s.%s-%s%s", path, kind, stamp, more) < 0 ? -ENOMEM : 0;
}

int quarantine_move(const char *path, const char *new_path)
{
	_cleanup_free_ char *log = file_beside(path, "-wal"), *new_log = file_beside(new_path, "-wal"),
			    *index = file_beside(path, "-shm");

	if (!log || !new_log || !index)
		return -ENOMEM;
	/* The log first: a file without its log is worth more than a log that a new file would take for its own. */
	if (rename(log, new_log) < 0 && errno != ENOENT)
		return -errno;
	unlink(index);
	if (rename(path, new_path) < 0) {
		int error = errno;

		if (rename(new_log, log) < 0)
			errno = 0;
		return -error;
	}
	return 0;
}

int quarantine_file(const char *path, const char *kind, char **ret)
{
	_cleanup_free_ char *new_path = NULL;
	int r = quarantine_name(path, kind, &new_path);

	if (r == 0)
		r = quarantine_move(path, new_path);
	if (r < 0)
		return r;
	*ret = new_path;
	new_path = NULL;
	return 0;
}

int storage_discard(const char *path)
{
	static const char *const ends[] = {"-wal", "-shm", ""};
	int r = 0;

	for (size_t i = 0; i < ELEMENTS(ends); i++) {
		_cleanup_free_ char *name = file_beside(path, ends[i]);

		if (!name)
			return -ENOMEM;
		if (unlink(name) < 0 && errno != ENOENT)
			r = -errno;
	}
	return r;
}
