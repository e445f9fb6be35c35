/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/salvage_source.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { DATA, LOG };
#define LOG_HEADER_BYTES 32
#define FRAME_HEADER_BYTES 24
#define FRAME_BYTES (FRAME_HEADER_BYTES + CARVE_PAGE_BYTES)

static int open_part(struct salvage_source *source, int part, const char *path, const char *end)
{
	uint64_t header = part == LOG ? LOG_HEADER_BYTES : 0, unit = part == LOG ? FRAME_BYTES : CARVE_PAGE_BYTES;
	struct stat st;
	char *name;

	source->fds[part] = -1;
	source->pages[part] = 0;
	if (asprintf(&name, "%s%s", path, end) < 0)
		return -ENOMEM;
	source->fds[part] = open(name, O_RDONLY | O_CLOEXEC);
	free(name);
	if (source->fds[part] < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(source->fds[part], &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size > header)
		source->pages[part] = ((uint64_t)st.st_size - header + unit - 1) / unit;
	return 0;
}

int salvage_source_open(struct salvage_source *source, const char *path)
{
	int r, log;

	r = open_part(source, DATA, path, "");
	log = open_part(source, LOG, path, "-wal");
	source->at = 0;
	source->is_open = true;
	if (r == 0)
		r = log;
	if (r < 0)
		salvage_source_close(source);
	return r;
}

void salvage_source_close(struct salvage_source *source)
{
	for (int part = DATA; source->is_open && part <= LOG; part++)
		if (source->fds[part] >= 0)
			close(source->fds[part]);
	source->is_open = false;
}

static ssize_t read_page(const struct salvage_source *source, int part, uint64_t n, uint8_t page[CARVE_PAGE_BYTES])
{
	off_t at = part == LOG ? (off_t)(LOG_HEADER_BYTES + n * FRAME_BYTES + FRAME_HEADER_BYTES)
			       : (off_t)(n * CARVE_PAGE_BYTES);
	ssize_t size = pread(source->fds[part], page, CARVE_PAGE_BYTES, at);

	return size < 0 ? -errno : size;
}

/* The newest version of a page: in the log from its end, else in the file. */
static bool page_by_number(void *userdata, uint32_t number, uint8_t page[CARVE_PAGE_BYTES])
{
	const struct salvage_source *source = userdata;

	for (uint64_t n = source->pages[LOG]; n > 0; n--) {
		uint8_t header[4];

		if (pread(source->fds[LOG], header, sizeof(header),
			  (off_t)(LOG_HEADER_BYTES + (n - 1) * FRAME_BYTES)) != (ssize_t)sizeof(header))
			continue;
		if (((uint32_t)header[0] << 24 | (uint32_t)header[1] << 16 | (uint32_t)header[2] << 8 | header[3]) ==
		    number)
			return read_page(source, LOG, n - 1, page) == (ssize_t)CARVE_PAGE_BYTES;
	}
	return number > 0 && number <= source->pages[DATA] &&
	       read_page(source, DATA, number - 1, page) == (ssize_t)CARVE_PAGE_BYTES;
}

struct carve_in {
	const struct carve *carve;
	const struct salvage_source *source;
};

static int pass_sample(void *userdata, struct sample *sample)
{
	const struct carve_in *in = userdata;

	return in->carve->sample(in->carve->userdata, sample);
}

static int pass_state(void *userdata, uint64_t key, uint64_t stamp, const void *body, size_t size)
{
	const struct carve_in *in = userdata;

	return in->carve->state(in->carve->userdata, key, stamp, body, size);
}

static bool pass_page(void *userdata, uint32_t number, uint8_t page[CARVE_PAGE_BYTES])
{
	const struct carve_in *in = userdata;

	return page_by_number((void *)in->source, number, page);
}

int salvage_source_next(struct salvage_source *source, const struct carve *carve)
{
	struct carve_in in = {carve, source};
	const struct carve with_pages = {.sample = carve->sample ? pass_sample : NULL,
					 .state = carve->state ? pass_state : NULL,
					 .page = pass_page,
					 .userdata = &in};
	uint8_t page[CARVE_PAGE_BYTES];
	int part = source->at < source->pages[DATA] ? DATA : LOG, r;
	uint64_t n = source->at - (part == LOG ? source->pages[DATA] : 0);
	ssize_t size;

	if (n >= source->pages[part])
		return 0;
	size = read_page(source, part, n, page);
	if (size < 0)
		return (int)size;
	r = carve_page(&with_pages, page, (size_t)size);
	if (r < 0)
		return r;
	source->at++;
	return source->at < source->pages[DATA] + source->pages[LOG];
}

void salvage_source_skip(struct salvage_source *source)
{
	source->at++;
}

uint64_t salvage_source_place(const struct salvage_source *source)
{
	return source->at;
}

void salvage_source_seek(struct salvage_source *source, uint64_t place)
{
	source->at = place;
}

bool salvage_source_is_data(const struct salvage_source *source)
{
	return source->at < source->pages[DATA];
}

unsigned salvage_source_percent(const struct salvage_source *source)
{
	uint64_t all = source->pages[DATA] + source->pages[LOG];

	return all > 0 ? (unsigned)(source->at * 100 / all) : 100;
}
