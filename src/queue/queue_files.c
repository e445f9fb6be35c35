/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/queue_files.h"
#include "base/clock.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <zlib.h>

#define MARK_BYTES_MAX (1024 * 1024)
#define STAMP_LENGTH 16 /* YYYYMMDDTHHMMSSZ */

static char *join(const char *path, const char *end)
{
	char *joined;

	return asprintf(&joined, "%s%s", path, end) < 0 ? NULL : joined;
}

/* ---- lock ---- */

static pid_t read_pid(int fd)
{
	char text[24] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	return n > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

int queue_lock(const char *path, int *ret_fd, pid_t *ret_pid)
{
	_cleanup_free_ char *name = join(path, ".lock");
	_cleanup_close_ int fd = -1;
	bool writable = true;
	char text[24];
	int n;

	if (!name)
		return -ENOMEM;
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0 && (errno == EROFS || errno == EACCES || errno == EPERM)) {
		fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		writable = false;
	}
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int error = errno;

		if (error == EWOULDBLOCK && ret_pid)
			*ret_pid = read_pid(fd);
		return -error;
	}
	if (writable) {
		/* Who has it is only a help for people: a full disk does not matter. */
		n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
		if (ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)n, 0) < 0)
			errno = 0;
	}
	*ret_fd = fd;
	fd = -1;
	return 0;
}

/* ---- mark ---- */

static uint32_t mark_crc(uint64_t mark)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRIu64, mark);

	return (uint32_t)crc32(0, (const Bytef *)text, (unsigned)n);
}

int queue_mark_read(const char *path, uint64_t *ret)
{
	_cleanup_free_ char *name = join(path, ".seq");
	_cleanup_close_ int fd = -1;
	char text[64] = "";
	uint64_t mark;
	uint32_t crc;
	ssize_t n;

	if (!name)
		return -ENOMEM;
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	if (sscanf(text, "%" SCNu64 " %" SCNx32, &mark, &crc) != 2 || crc != mark_crc(mark))
		return -EBADMSG;
	*ret = mark;
	return 0;
}

static int sync_directory(const char *path)
{
	_cleanup_free_ char *folder = strdup(path);
	_cleanup_close_ int fd = -1;
	char *slash;

	if (!folder)
		return -ENOMEM;
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = '\0';
	fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

int queue_write_small(const char *path, const char *end, const char *text, size_t size)
{
	_cleanup_free_ char *name = join(path, end), *fresh = join(path, ".new");
	_cleanup_close_ int fd = -1;

	if (!name || !fresh)
		return -ENOMEM;
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return -errno;
	errno = 0;
	if (write(fd, text, size) != (ssize_t)size || fsync(fd) < 0 || rename(fresh, name) < 0) {
		int error = errno ? errno : EIO;

		unlink(fresh);
		return -error;
	}
	return sync_directory(path);
}

int queue_mark_write(const char *path, uint64_t mark, const struct buf *more, uint64_t *bytes)
{
	_cleanup_buf_ struct buf text = {0};
	int r;

	buf_printf(&text, "%" PRIu64 " %08" PRIx32 "\n", mark, mark_crc(mark));
	if (more->size > 0)
		buf_printf(&text, "%08" PRIx32 " ", (uint32_t)crc32(0, (const Bytef *)more->data, (uInt)more->size));
	for (size_t i = 0; i < more->size; i++)
		buf_printf(&text, "%02x", (uint8_t)more->data[i]);
	if (more->size > 0)
		buf_add_char(&text, '\n');
	if (buf_failed(&text) || buf_failed(more))
		return -ENOMEM;
	r = queue_write_small(path, ".seq", text.data, text.size);
	if (r == 0)
		*bytes += text.size;
	return r;
}

/* The second line: a checksum and pairs of hexadecimal digits. */
static int parse_more(const char *text, const char *end, struct buf *ret)
{
	uint32_t crc;
	int at = 0;

	if (sscanf(text, "%8" SCNx32 " %n", &crc, &at) != 1 || at == 0)
		return -EBADMSG;
	for (text += at; text + 2 <= end && *text != '\n'; text += 2) {
		unsigned byte;

		if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
		    sscanf(text, "%2x", &byte) != 1)
			return -EBADMSG;
		buf_add_char(ret, (char)byte);
	}
	if (buf_failed(ret))
		return -ENOMEM;
	return (uint32_t)crc32(0, (const Bytef *)ret->data, (uInt)ret->size) == crc ? 0 : -EBADMSG;
}

int queue_mark_read_more(const char *path, struct buf *ret)
{
	_cleanup_free_ char *name = join(path, ".seq"), *text = NULL;
	_cleanup_close_ int fd = -1;
	struct stat st;
	const char *line;
	ssize_t n;

	if (!name)
		return -ENOMEM;
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size > MARK_BYTES_MAX)
		return -EBADMSG;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	n = read(fd, text, (size_t)st.st_size);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	line = strchr(text, '\n');
	return line && line[1] ? parse_more(line + 1, text + n, ret) : 0;
}

/* ---- reserve ---- */

int queue_reserve_make(const char *path, size_t size, size_t spare)
{
	_cleanup_free_ char *name = join(path, ".reserve");
	_cleanup_close_ int fd = -1;
	struct stat st;
	off_t was;
	int r;

	if (!name)
		return -ENOMEM;
	fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return -errno;
	was = fstat(fd, &st) < 0 ? 0 : st.st_size;
	r = posix_fallocate(fd, 0, (off_t)(size + spare));
	if (r != 0 && was < (off_t)size)
		unlink(name);
	else if (ftruncate(fd, (off_t)size) < 0 && r == 0)
		r = errno;
	return -r;
}

int queue_reserve_remove(const char *path)
{
	_cleanup_free_ char *name = join(path, ".reserve");

	if (!name)
		return -ENOMEM;
	return unlink(name) < 0 ? -errno : 0;
}

/* ---- set aside ---- */

/* KIND-YYYYMMDDTHHMMSSZ or KIND-YYYYMMDDTHHMMSSZ.N: where the time begins; NULL: it is no name of ours. */
static const char *aside_stamp(const char *name)
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

static int add_aside(struct queue_aside **asides, size_t *n, int folder_length, const char *path, const char *name,
		     const char *kind)
{
	struct queue_aside *more = reallocarray(*asides, *n + 1, sizeof(*more));
	_cleanup_free_ char *log = NULL;
	char *full;

	if (!more)
		return -ENOMEM;
	*asides = more;
	if (asprintf(&full, "%.*s%s", folder_length, path, name) < 0)
		return -ENOMEM;
	more[(*n)++] = (struct queue_aside){
		.path = full,
		.bytes = file_bytes(full),
		.is_damaged = strncmp(kind, "damaged-", strlen("damaged-")) == 0,
	};
	log = join(full, "-wal");
	if (!log)
		return -ENOMEM;
	more[*n - 1].bytes += file_bytes(log);
	return 0;
}

/* By time, and those of one second by what was added to tell them apart. */
static int compare_asides(const void *a, const void *b)
{
	const char *x = strrchr(((const struct queue_aside *)a)->path, '-');
	const char *y = strrchr(((const struct queue_aside *)b)->path, '-');

	return strverscmp(x ? x : "", y ? y : "");
}

int queue_asides(const char *path, struct queue_aside **ret, size_t *ret_n)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	int folder_length = (int)(base - path), r = 0;
	_cleanup_free_ char *folder = slash ? strndup(path, (size_t)folder_length) : strdup(".");
	struct queue_aside *asides = NULL;
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

		if (strncmp(name, base, length) == 0 && name[length] == '.' && aside_stamp(name + length + 1))
			r = add_aside(&asides, &n, folder_length, path, name, name + length + 1);
	}
	closedir(dir);
	if (r < 0) {
		queue_asides_free(asides, n);
		return r;
	}
	if (n > 1)
		qsort(asides, n, sizeof(*asides), compare_asides);
	*ret = asides;
	*ret_n = n;
	return 0;
}

void queue_asides_free(struct queue_aside *asides, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(asides[i].path);
	free(asides);
}

/* The time and the count for the next one's name, so that it comes last. */
static int next_stamp(const char *path, char stamp[32], unsigned *ret_count)
{
	time_t now = (time_t)(clock_wall() / (int64_t)USEC_PER_SEC);
	struct queue_aside *asides;
	struct tm tm;
	size_t n;
	int r;

	if (!gmtime_r(&now, &tm) || strftime(stamp, 32, "%Y%m%dT%H%M%SZ", &tm) == 0)
		return -EOVERFLOW;
	*ret_count = 0;
	r = queue_asides(path, &asides, &n);
	if (r < 0)
		return r;
	if (n > 0) {
		const char *last = strrchr(asides[n - 1].path, '-') + 1, *count = strchr(last, '.');

		if (strncmp(last, stamp, STAMP_LENGTH) >= 0) {
			snprintf(stamp, 32, "%.*s", STAMP_LENGTH, last);
			*ret_count = count ? (unsigned)strtoul(count + 1, NULL, 10) + 1 : 1;
		}
	}
	queue_asides_free(asides, n);
	return 0;
}

int queue_aside_name(const char *path, const char *kind, char **ret)
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

int queue_move_aside(const char *path, const char *aside)
{
	_cleanup_free_ char *log = join(path, "-wal"), *aside_log = join(aside, "-wal"), *index = join(path, "-shm");

	if (!log || !aside_log || !index)
		return -ENOMEM;
	/* The log first: a file without its log is worth more than a log that a new file would take for its own. */
	if (rename(log, aside_log) < 0 && errno != ENOENT)
		return -errno;
	unlink(index);
	if (rename(path, aside) < 0) {
		int error = errno;

		if (rename(aside_log, log) < 0)
			errno = 0;
		return -error;
	}
	return 0;
}

int queue_set_aside(const char *path, const char *kind, char **ret)
{
	_cleanup_free_ char *aside = NULL;
	int r = queue_aside_name(path, kind, &aside);

	if (r == 0)
		r = queue_move_aside(path, aside);
	if (r < 0)
		return r;
	*ret = aside;
	aside = NULL;
	return 0;
}

int queue_discard(const char *path)
{
	static const char *const ends[] = {"-wal", "-shm", ""};
	int r = 0;

	for (size_t i = 0; i < ELEMENTS(ends); i++) {
		_cleanup_free_ char *name = join(path, ends[i]);

		if (!name)
			return -ENOMEM;
		if (unlink(name) < 0 && errno != ENOENT)
			r = -errno;
	}
	return r;
}
