/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/queue_files.h"
#include "base/files.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#define MARK_BYTES_MAX (1024 * 1024)

static uint32_t mark_crc(uint64_t mark)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRIu64, mark);

	return (uint32_t)crc32(0, (const Bytef *)text, (unsigned)n);
}

int queue_mark_read(const char *path, uint64_t *ret)
{
	_cleanup_free_ char *name = file_beside(path, ".seq");
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

int queue_write_small(const char *path, const char *end, const char *text, size_t size)
{
	_cleanup_free_ char *name = file_beside(path, end);

	return name ? file_replace(name, text, size, 0640, (gid_t)-1) : -ENOMEM;
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
	_cleanup_free_ char *name = file_beside(path, ".seq"), *text = NULL;
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
