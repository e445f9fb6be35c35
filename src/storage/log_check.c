/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite takes of its log what lies before the first frame that is not right, and says nothing of the rest. How a log
 * ends tells whether there was more: https://www.sqlite.org/fileformat2.html, section 4.
 */
#include "storage/log_check.h"
#include "storage/db.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define HEADER_BYTES 32
#define FRAME_HEADER_BYTES 24
#define FRAME_BYTES (FRAME_HEADER_BYTES + DB_PAGE_BYTES)
#define GENERATIONS_MAX ((uint32_t)1 << 24) /* of the log: each adds 1 to its first salt */

struct log_reader {
	int fd;
	uint64_t size;
	bool big_endian;
	uint32_t salt[2], sum[2];
	uint64_t *sums; /* of the frames that are right */
	size_t n_sums, capacity;
	int error; /* of the disk: what it does not read is not damaged for it */
};

static uint32_t get_big(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t get_little(const uint8_t *at)
{
	return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

/* False: it is not there, or cannot be read. */
static bool read_bytes(struct log_reader *reader, uint8_t *bytes, size_t size, uint64_t at)
{
	ssize_t n = pread(reader->fd, bytes, size, (off_t)at);

	if (n < 0)
		reader->error = -errno;
	return n == (ssize_t)size;
}

static void add_up(const struct log_reader *reader, const uint8_t *data, size_t size, uint32_t sum[2])
{
	for (size_t i = 0; i + 8 <= size; i += 8) {
		sum[0] += (reader->big_endian ? get_big(data + i) : get_little(data + i)) + sum[1];
		sum[1] += (reader->big_endian ? get_big(data + i + 4) : get_little(data + i + 4)) + sum[0];
	}
}

static bool read_header(struct log_reader *reader)
{
	uint8_t header[HEADER_BYTES];
	uint32_t magic;

	if (!read_bytes(reader, header, sizeof(header), 0))
		return false;
	magic = get_big(header);
	if ((magic & ~(uint32_t)1) != 0x377f0682 || get_big(header + 8) != DB_PAGE_BYTES)
		return false;
	reader->big_endian = magic & 1;
	add_up(reader, header, 24, reader->sum);
	reader->salt[0] = get_big(header + 16);
	reader->salt[1] = get_big(header + 20);
	return get_big(header + 24) == reader->sum[0] && get_big(header + 28) == reader->sum[1];
}

static bool has_our_salt(const struct log_reader *reader, const uint8_t *frame)
{
	return get_big(frame + 8) == reader->salt[0] && get_big(frame + 12) == reader->salt[1];
}

/* Of an earlier generation of the log, which this one did not reach. */
static bool is_stale(const struct log_reader *reader, const uint8_t *frame)
{
	uint32_t age = reader->salt[0] - get_big(frame + 8);

	return age >= 1 && age < GENERATIONS_MAX && get_big(frame + 12) != reader->salt[1];
}

static bool is_unwritten(const uint8_t frame[FRAME_BYTES])
{
	static const uint8_t zeros[FRAME_BYTES];

	return memcmp(frame, zeros, FRAME_BYTES) == 0;
}

/* The sum goes on from frame to frame: no two have the same. False: out of memory. */
static bool remember(struct log_reader *reader)
{
	if (reader->n_sums == reader->capacity) {
		size_t capacity = MAX(reader->capacity * 2, (size_t)64);
		uint64_t *sums = reallocarray(reader->sums, capacity, sizeof(*sums));

		if (!sums) {
			reader->error = -ENOMEM;
			return false;
		}
		reader->sums = sums;
		reader->capacity = capacity;
	}
	reader->sums[reader->n_sums++] = (uint64_t)reader->sum[0] << 32 | reader->sum[1];
	return true;
}

static bool is_right(struct log_reader *reader, const uint8_t *frame)
{
	uint32_t sum[2] = {reader->sum[0], reader->sum[1]};

	if (!has_our_salt(reader, frame) || get_big(frame) == 0)
		return false;
	add_up(reader, frame, 8, sum);
	add_up(reader, frame + FRAME_HEADER_BYTES, DB_PAGE_BYTES, sum);
	if (get_big(frame + 16) != sum[0] || get_big(frame + 20) != sum[1])
		return false;
	memcpy(reader->sum, sum, sizeof(sum));
	return remember(reader);
}

/* A page that was written to the place of another: at its own place it has the same sum. */
static bool is_copy(const struct log_reader *reader, const uint8_t *frame)
{
	uint64_t sum = (uint64_t)get_big(frame + 16) << 32 | get_big(frame + 20);

	for (size_t i = 0; i < reader->n_sums; i++)
		if (reader->sums[i] == sum)
			return true;
	return false;
}

/* Behind the last right frame, at `at`. */
static enum log_state look_behind(struct log_reader *reader, uint64_t at)
{
	uint8_t frame[FRAME_BYTES];
	unsigned commits = 0;
	bool odd = false, has_room = false;

	for (; at + FRAME_BYTES <= reader->size; at += FRAME_BYTES) {
		if (!read_bytes(reader, frame, sizeof(frame), at))
			return LOG_STATE_DAMAGED;
		/* Those without a commit are of a transaction that a kill ended, and that a shorter one was written
		   over. */
		has_room = is_stale(reader, frame) || is_unwritten(frame);
		if (has_our_salt(reader, frame) && !is_copy(reader, frame))
			commits += get_big(frame + 4) != 0;
		else if (!has_room)
			odd = true; /* what lies here was never written by SQLite, or not here */
	}
	/* One transaction can have been under way; where two were complete, the first of them was on the disk. */
	if (commits > 1)
		return LOG_STATE_DAMAGED;
	if (odd || commits == 1)
		return LOG_STATE_CUT;
	/* The room is there before the first byte is written, and behind all that ever was. */
	return has_room ? LOG_STATE_WHOLE : LOG_STATE_SHORT;
}

/* Room for a log that was not begun yet. */
static bool is_blank(struct log_reader *reader)
{
	uint8_t frame[FRAME_BYTES];

	return read_bytes(reader, frame, sizeof(frame), 0) && is_unwritten(frame);
}

/* *ret_end: behind the last right frame. */
static enum log_state read_log(struct log_reader *reader, uint64_t *ret_end)
{
	uint8_t frame[FRAME_BYTES];
	uint64_t at = HEADER_BYTES;

	if (reader->size == 0)
		return LOG_STATE_WHOLE;
	if (!read_header(reader))
		return reader->size >= HEADER_BYTES + FRAME_BYTES && !is_blank(reader) ? LOG_STATE_DAMAGED
										       : LOG_STATE_WHOLE;
	while (at + FRAME_BYTES <= reader->size && read_bytes(reader, frame, sizeof(frame), at) &&
	       is_right(reader, frame))
		at += FRAME_BYTES;
	*ret_end = at;
	return look_behind(reader, at);
}

int log_check(const char *path, enum log_state *ret, uint64_t *ret_bytes)
{
	_cleanup_free_ char *name = NULL;
	_cleanup_close_ int fd = -1;
	struct log_reader reader = {0};
	struct stat st;

	*ret = LOG_STATE_WHOLE;
	*ret_bytes = 0;
	if (asprintf(&name, "%s-wal", path) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	reader.fd = fd;
	reader.size = (uint64_t)st.st_size;
	*ret = read_log(&reader, ret_bytes);
	free(reader.sums);
	return reader.error;
}
