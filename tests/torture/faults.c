/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"
#include "torture.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define FDS_MAX 1024
#define FRAME_HEADER_BYTES 24

const char *const fault_words[FAULT_N] = {
	"none", "disk full", "EIO on write", "EIO on fsync", "EIO on read", "EIO on open", "read-only",
};

static struct {
	const char *folder;
	size_t folder_length;
	atomic_bool fds[FDS_MAX]; /* files of the folder */
	atomic_int fault;
	atomic_uint every, calls;
	atomic_llong unused; /* bytes, where the disk is full */
	atomic_uint sync_us;
	atomic_ullong kill_in, kill_part;
	atomic_uint writing;  /* calls under way */
	atomic_bool stops;    /* no more of them */
	atomic_bool in_frame; /* of SQLite's log: the header is written, the page is not */
	void (*note)(bool torn);
} disk;

void faults_watch(const char *folder)
{
	disk.folder_length = strlen(folder);
	disk.folder = folder;
}

void faults_set(enum fault fault, unsigned every, int64_t free)
{
	atomic_store(&disk.unused, free);
	atomic_store(&disk.every, every);
	atomic_store(&disk.fault, (int)fault);
}

enum fault faults_now(void)
{
	return (enum fault)atomic_load(&disk.fault);
}

void faults_slow_sync(unsigned us)
{
	atomic_store(&disk.sync_us, us);
}

void faults_kill_at(uint64_t n, uint64_t part, void (*note)(bool torn))
{
	disk.note = note;
	atomic_store(&disk.kill_part, part);
	atomic_store(&disk.kill_in, n);
}

bool faults_stop(void)
{
	atomic_store(&disk.stops, true);
	while (atomic_load(&disk.writing) > 0)
		sched_yield();
	return atomic_load(&disk.in_frame);
}

/* ---- what fails ---- */

static bool is_ours(const char *path)
{
	return disk.folder && path && strncmp(path, disk.folder, disk.folder_length) == 0;
}

static bool is_our_fd(int fd)
{
	return fd >= 0 && fd < FDS_MAX && atomic_load(&disk.fds[fd]);
}

static bool fails(enum fault fault)
{
	unsigned every = atomic_load(&disk.every);

	return atomic_load(&disk.fault) == (int)fault && every > 0 && atomic_fetch_add(&disk.calls, 1) % every == 0;
}

/* What changes a file that the disk takes no changes of. 0, or the errno. */
static int refusal(enum fault fault)
{
	if (fails(FAULT_READ_ONLY))
		return EROFS;
	return fails(fault) ? EIO : 0;
}

static _Noreturn void die(bool torn)
{
	disk.note(torn || atomic_load(&disk.in_frame));
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* Whether the process dies in this call. */
static bool dies_here(void)
{
	uint64_t left = atomic_load(&disk.kill_in);

	return left > 0 && atomic_fetch_sub(&disk.kill_in, 1) == 1;
}

static void die_if_due(void)
{
	if (dies_here())
		die(false);
}

static int64_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : (int64_t)st.st_size;
}

/* Room for a file that ends at `end` then. On a disk that is not full there is always room. */
static bool has_room(int fd, int64_t end)
{
	int64_t more = end - size_of(fd);

	if (atomic_load(&disk.fault) != FAULT_FULL || more <= 0)
		return true;
	if (atomic_fetch_sub(&disk.unused, more) >= more)
		return true;
	atomic_fetch_add(&disk.unused, more);
	return false;
}

static void give_room(int64_t bytes)
{
	if (bytes > 0)
		atomic_fetch_add(&disk.unused, bytes);
}

/* ---- the calls ---- */

#define EXPORTED __attribute__((visibility("default")))
/* The next one in the order of libraries: the C library's, or a sanitizer's before it. */
#define NEXT(name)                                                                                                     \
	static __typeof__(&name) next;                                                                                 \
	if (!next)                                                                                                     \
	next = (__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name)

static int open_file(int (*next)(const char *, int, ...), const char *path, int flags, mode_t mode)
{
	bool changes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
	int fd, error = 0;

	if (!is_ours(path))
		return next(path, flags, mode);
	if (changes)
		die_if_due();
	if (changes && fails(FAULT_READ_ONLY))
		error = EROFS;
	else if (fails(FAULT_OPEN))
		error = EIO;
	if (error) {
		errno = error;
		return -1;
	}
	if (flags & O_TRUNC) {
		struct stat st;

		if (stat(path, &st) == 0)
			give_room((int64_t)st.st_size);
	}
	fd = next(path, flags, mode);
	if (fd >= 0 && fd < FDS_MAX)
		atomic_store(&disk.fds[fd], true);
	return fd;
}

/* With 64 bits for offsets everywhere this is the name of open(), and so on. */
EXPORTED int open64(const char *path, int flags, ...)
{
	NEXT(open64);
	va_list args;
	mode_t mode = 0;

	va_start(args, flags);
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(args, mode_t);
	va_end(args);
	return open_file(next, path, flags, mode);
}

EXPORTED int close(int fd)
{
	NEXT(close);

	if (fd >= 0 && fd < FDS_MAX)
		atomic_store(&disk.fds[fd], false);
	return next(fd);
}

EXPORTED ssize_t read(int fd, void *bytes, size_t size)
{
	NEXT(read);

	if (is_our_fd(fd) && fails(FAULT_READ)) {
		errno = EIO;
		return -1;
	}
	return next(fd, bytes, size);
}

EXPORTED ssize_t pread64(int fd, void *bytes, size_t size, off64_t at)
{
	NEXT(pread64);

	if (is_our_fd(fd) && fails(FAULT_READ)) {
		errno = EIO;
		return -1;
	}
	return next(fd, bytes, size, at);
}

/* How much of a write is done, or -1 with errno. *ret_dies: and that was all this process did. */
static ssize_t allowed(int fd, size_t size, int64_t at, bool *ret_dies)
{
	int error;

	*ret_dies = dies_here();
	if (*ret_dies)
		return (ssize_t)(atomic_load(&disk.kill_part) % (size + 1));
	error = refusal(FAULT_WRITE);
	if (!error && !has_room(fd, at + (int64_t)size))
		error = ENOSPC;
	if (!error)
		return (ssize_t)size;
	errno = error;
	return -1;
}

EXPORTED ssize_t write(int fd, const void *bytes, size_t size)
{
	NEXT(write);
	ssize_t n;
	bool dies;

	if (!is_our_fd(fd))
		return next(fd, bytes, size);
	n = allowed(fd, size, lseek(fd, 0, SEEK_CUR), &dies);
	if (n >= 0)
		n = next(fd, bytes, (size_t)n);
	if (dies)
		die(n != (ssize_t)size);
	return n;
}

EXPORTED ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
	NEXT(pwrite64);
	ssize_t n;
	bool dies;

	if (!is_our_fd(fd))
		return next(fd, bytes, size, at);
	atomic_fetch_add(&disk.writing, 1);
	if (atomic_load(&disk.stops)) {
		atomic_fetch_sub(&disk.writing, 1);
		for (;;)
			pause();
	}
	n = allowed(fd, size, at, &dies);
	if (n >= 0)
		n = next(fd, bytes, (size_t)n, at);
	/* SQLite writes a frame in two calls: killed between them it is as one that is torn. */
	if (n == (ssize_t)size)
		atomic_store(&disk.in_frame, size == FRAME_HEADER_BYTES);
	atomic_fetch_sub(&disk.writing, 1);
	if (dies)
		die(n != (ssize_t)size);
	return n;
}

static int sync_file(int (*next)(int), int fd)
{
	struct timespec pause = {.tv_nsec = (long)atomic_load(&disk.sync_us) * 1000};

	if (!is_our_fd(fd))
		return next(fd);
	die_if_due();
	if (pause.tv_nsec > 0)
		nanosleep(&pause, NULL);
	if (fails(FAULT_SYNC)) {
		errno = EIO;
		return -1;
	}
	return next(fd);
}

EXPORTED int fsync(int fd)
{
	NEXT(fsync);

	return sync_file(next, fd);
}

EXPORTED int fdatasync(int fd)
{
	NEXT(fdatasync);

	return sync_file(next, fd);
}

EXPORTED int ftruncate64(int fd, off64_t size)
{
	NEXT(ftruncate64);
	int error;

	if (is_our_fd(fd)) {
		die_if_due();
		error = refusal(FAULT_WRITE);
		if (error) {
			errno = error;
			return -1;
		}
		give_room(size_of(fd) - (int64_t)size);
	}
	return next(fd, size);
}

EXPORTED int posix_fallocate64(int fd, off64_t at, off64_t size)
{
	NEXT(posix_fallocate64);
	int error;

	if (is_our_fd(fd)) {
		die_if_due();
		error = refusal(FAULT_WRITE);
		if (!error && !has_room(fd, at + size))
			error = ENOSPC;
		if (error)
			return error;
	}
	return next(fd, at, size);
}

static int change_name(const char *path)
{
	int error;

	if (!is_ours(path))
		return 0;
	die_if_due();
	error = refusal(FAULT_WRITE);
	if (!error)
		return 0;
	errno = error;
	return -1;
}

EXPORTED int rename(const char *from, const char *to)
{
	NEXT(rename);

	return change_name(to) < 0 ? -1 : next(from, to);
}

EXPORTED int unlink(const char *path)
{
	NEXT(unlink);
	struct stat st = {0};
	int r;

	if (change_name(path) < 0)
		return -1;
	if (is_ours(path) && stat(path, &st) < 0)
		st.st_size = 0;
	r = next(path);
	if (r == 0 && is_ours(path))
		give_room((int64_t)st.st_size);
	return r;
}
