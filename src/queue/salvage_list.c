/* SPDX-License-Identifier: Apache-2.0 */
/* queue.db.salvage: which files that were quarantined are still to be moved over. */
#include "base/buf.h"
#include "queue/queue_files.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#define LIST_BYTES_MAX 4096

void salvage_list_done(struct salvage_list *pending)
{
	for (size_t i = 0; i < pending->n_paths; i++)
		free(pending->paths[i]);
	*pending = (struct salvage_list){0};
}

/* The part of a path that ends with its last slash. */
static int folder_length(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (int)(slash + 1 - path) : 0;
}

static uint32_t crc_of(const char *text)
{
	return (uint32_t)crc32(0, (const Bytef *)text, (uInt)strlen(text));
}

/* Four bits for each file, the first one's lowest. */
static uint32_t pack_generations(const struct salvage_list *pending)
{
	uint32_t packed = 0;

	for (size_t i = 0; i < pending->n_paths; i++)
		packed |= (uint32_t)(pending->generations[i] & 15) << (4 * i);
	return packed;
}

static void unpack_generations(struct salvage_list *pending, uint32_t packed)
{
	for (size_t i = 0; i < SALVAGE_FILES_MAX; i++)
		pending->generations[i] = packed >> (4 * i) & 15;
}

int salvage_list_write(const char *path, const struct salvage_list *pending)
{
	_cleanup_buf_ struct buf text = {0}, whole = {0};

	buf_printf(&text, "%u %" PRIu64 " %" PRIu64 " %d %d %" PRIu32 "\n", pending->starts, pending->end,
		   pending->last, pending->is_exact, pending->is_doubtful, pack_generations(pending));
	for (size_t i = 0; i < pending->n_paths; i++)
		buf_printf(&text, "%s\n", pending->paths[i] + folder_length(pending->paths[i]));
	buf_printf(&whole, "%08" PRIx32 " %s", crc_of(buf_text(&text)), buf_text(&text));
	if (buf_failed(&whole) || buf_failed(&text))
		return -ENOMEM;
	return queue_write_small(path, ".salvage", whole.data, whole.size);
}

static int add_path(struct salvage_list *pending, const char *path, const char *name, size_t length)
{
	char *full;

	if (pending->n_paths == SALVAGE_FILES_MAX || length == 0 || memchr(name, '/', length))
		return -EBADMSG;
	if (asprintf(&full, "%.*s%.*s", folder_length(path), path, (int)length, name) < 0)
		return -ENOMEM;
	pending->paths[pending->n_paths++] = full;
	return 0;
}

static int parse(const char *path, const char *text, struct salvage_list *ret)
{
	struct salvage_list pending = {0};
	uint32_t crc;
	int flags[2], at = 0, r = 0;
	uint32_t generations;
	const char *line;

	if (sscanf(text, "%8" SCNx32 " %n", &crc, &at) != 1 || at == 0 || crc != crc_of(text + at) ||
	    sscanf(text + at, "%u %" SCNu64 " %" SCNu64 " %d %d %" SCNu32, &pending.starts, &pending.end, &pending.last,
		   &flags[0], &flags[1], &generations) != 6)
		return -EBADMSG;
	pending.is_exact = flags[0] != 0;
	pending.is_doubtful = flags[1] != 0;
	unpack_generations(&pending, generations);
	line = strchr(text + at, '\n');
	while (r == 0 && line && line[1]) {
		const char *stop = strchr(line + 1, '\n');

		r = stop ? add_path(&pending, path, line + 1, (size_t)(stop - line - 1)) : -EBADMSG;
		line = stop;
	}
	if (r == 0 && pending.n_paths == 0)
		r = -EBADMSG;
	if (r < 0)
		salvage_list_done(&pending);
	else
		*ret = pending;
	return r;
}

int salvage_list_read(const char *path, struct salvage_list *ret)
{
	_cleanup_buf_ struct buf name = {0};
	_cleanup_close_ int fd = -1;
	char text[LIST_BYTES_MAX];
	ssize_t n;

	buf_printf(&name, "%s.salvage", path);
	if (buf_failed(&name))
		return -ENOMEM;
	fd = open(buf_text(&name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return parse(path, text, ret);
}

int salvage_list_remove(const char *path)
{
	_cleanup_buf_ struct buf name = {0};

	buf_printf(&name, "%s.salvage", path);
	if (buf_failed(&name))
		return -ENOMEM;
	return unlink(buf_text(&name)) < 0 && errno != ENOENT ? -errno : 0;
}
