/* SPDX-License-Identifier: Apache-2.0 */
/* Rows found in the bytes of a queue's file: every one that is whole, and none whose bytes have changed. */
#include "queue_fixture.h"

#include "queue/carve.h"
#include <fcntl.h>

/* Lengths of the texts in the samples: within a page, at its end, and over several. */
static const size_t lengths[] = {1, 100, 3900, 4000, 4030, 4096, 5000, 8192, 20000, 100000};

struct file {
	uint8_t *bytes;
	size_t size;
	/* What was found in it: for each length, how many rows hold a text of that length that is as it was. */
	unsigned whole[ELEMENTS(lengths)], others;
};

static char letter_of(size_t i)
{
	return (char)('a' + i);
}

static int count_row(void *userdata, struct sample *sample)
{
	struct file *file = userdata;
	struct sample_cursor cursor;
	struct sample_reading reading;
	bool is_whole = false;

	if (sample_begin(sample, &cursor) == 0 && sample_next(&cursor, &reading) == 1)
		for (size_t i = 0; i < ELEMENTS(lengths) && !is_whole; i++) {
			is_whole = reading.value.s.size == lengths[i];
			for (size_t at = 0; at < reading.value.s.size && is_whole; at++)
				is_whole = reading.value.s.data[at] == letter_of(i);
			file->whole[i] += is_whole;
		}
	file->others += !is_whole;
	sample_unref(sample);
	return 0;
}

static bool read_page(void *userdata, uint32_t number, uint8_t page[CARVE_PAGE_BYTES])
{
	const struct file *file = userdata;

	if (number == 0 || number * CARVE_PAGE_BYTES > file->size)
		return false;
	memcpy(page, file->bytes + (number - 1) * CARVE_PAGE_BYTES, CARVE_PAGE_BYTES);
	return true;
}

static void find_rows(struct file *file)
{
	const struct carve carve = {.sample = count_row, .page = read_page, .userdata = file};

	memset(file->whole, 0, sizeof(file->whole));
	file->others = 0;
	for (size_t at = 0; at + CARVE_PAGE_BYTES <= file->size; at += CARVE_PAGE_BYTES)
		assert_int_equal(carve_page(&carve, file->bytes + at, CARVE_PAGE_BYTES), 0);
}

static int setup(void **state)
{
	static struct file file;
	struct fixture f;
	struct queue_reader *reader;
	struct stat st;
	int fd;

	fixture_init(&f);
	clock_set_trusted(true);
	fixture_open(&f);
	reader = open_reader(&f, "cloud");
	for (size_t i = 0; i < ELEMENTS(lengths); i++) {
		_cleanup_free_ char *text = malloc(lengths[i]);
		struct sample_reading reading = {.series = f.point->number,
						 .value = {.type = HAY_STRING, .s = {text, lengths[i]}}};

		assert_non_null(text);
		memset(text, letter_of(i), lengths[i]);
		queue_append(f.queue, sample_new(f.device->number, clock_now(), &reading, 1));
	}
	queue_reader_close(reader);
	fixture_close(&f);
	fd = open(f.path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	file = (struct file){.bytes = malloc((size_t)st.st_size), .size = (size_t)st.st_size};
	assert_non_null(file.bytes);
	assert_int_equal(read(fd, file.bytes, file.size), file.size);
	close(fd);
	fixture_done(&f);
	*state = &file;
	return 0;
}

static int teardown(void **state)
{
	free(((struct file *)*state)->bytes);
	return 0;
}

static void rows_of_any_length_are_found(void **state)
{
	struct file *file = *state;

	find_rows(file);
	for (size_t i = 0; i < ELEMENTS(lengths); i++)
		assert_true(file->whole[i] > 0);
	assert_int_equal(file->others, 0);
}

/* In every place where that many of a row's letters begin: pages that were split hold old copies. */
static void change_rows(struct file *file, char letter)
{
	for (size_t at = 1; at + 10 < file->size; at++)
		if (file->bytes[at - 1] != letter && file->bytes[at] == letter &&
		    memcmp(file->bytes + at, file->bytes + at + 1, 10) == 0)
			file->bytes[at + 5] ^= 1;
}

/* One byte of a row's text is another: the row is not given, and those around it are. */
static void a_row_with_a_changed_byte_is_not_given(void **state)
{
	struct file *file = *state;
	uint8_t *before = malloc(file->size);

	assert_non_null(before);
	memcpy(before, file->bytes, file->size);
	for (size_t i = 1; i < ELEMENTS(lengths); i++) {
		change_rows(file, letter_of(i));
		find_rows(file);
		memcpy(file->bytes, before, file->size);
		assert_int_equal(file->others, 0);
		for (size_t at = 0; at < ELEMENTS(lengths); at++)
			assert_int_equal(file->whole[at] > 0, at != i);
	}
	free(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_of_any_length_are_found, setup, teardown),
		cmocka_unit_test_setup_teardown(a_row_with_a_changed_byte_is_not_given, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
