/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers, pools, JSON printing, files, the worker and the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/worker.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void varints_read_back(void **state _unused_)
{
	static const int64_t numbers[] = {0, 1, -1, 63, -64, 64, 127, 128, 300, INT32_MAX, INT64_MAX, INT64_MIN};
	_cleanup_buf_ struct buf buf = {0};

	for (size_t i = 0; i < ELEMENTS(numbers); i++) {
		buf_clear(&buf);
		buf_add_svarint(&buf, numbers[i]);
		buf_add_varint(&buf, (uint64_t)numbers[i]);

		const uint8_t *at = (const uint8_t *)buf.data, *end = at + buf.size;
		int64_t with_sign;
		uint64_t without;

		assert_int_equal(read_svarint(&at, end, &with_sign), 0);
		assert_int_equal(read_varint(&at, end, &without), 0);
		assert_ptr_equal(at, end);
		assert_true(with_sign == numbers[i]);
		assert_true(without == (uint64_t)numbers[i]);
	}
}

static void varints_refuse_what_is_cut_or_too_long(void **state _unused_)
{
	static const uint8_t cut[] = {0x80, 0x80},
			     long_one[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
	const uint8_t *at = cut;
	uint64_t value;

	assert_int_equal(read_varint(&at, cut + sizeof(cut), &value), -EBADMSG);
	at = long_one;
	assert_int_equal(read_varint(&at, long_one + sizeof(long_one), &value), -EBADMSG);
}

static void json_places_commas_and_escapes(void **state _unused_)
{
	_cleanup_buf_ struct buf out = {0};

	json_open(&out, '{');
	json_key(&out, "device");
	json_text(&out, "a\"b\\c\n\x01");
	json_key(&out, "values");
	json_open(&out, '{');
	json_key(&out, "t");
	json_double(&out, 61.2);
	json_key(&out, "n");
	json_int(&out, INT64_MIN);
	json_key(&out, "u");
	json_uint(&out, UINT64_MAX);
	json_key(&out, "f");
	json_float(&out, 0.1f);
	json_key(&out, "on");
	json_bool(&out, true);
	json_key(&out, "nan");
	json_double(&out, (double)NAN);
	json_close(&out, '}');
	json_key(&out, "list");
	json_open(&out, '[');
	json_bytes(&out, "\x00\xff\x10", 3);
	json_bytes(&out, "f", 1);
	json_bytes(&out, "", 0);
	json_close(&out, ']');
	json_close(&out, '}');
	assert_string_equal(
		buf_text(&out),
		"{\"device\":\"a\\\"b\\\\c\\n\\u0001\",\"values\":{\"t\":61.2,\"n\":-9223372036854775808,"
		"\"u\":18446744073709551615,\"f\":0.1,\"on\":true,\"nan\":null},\"list\":[\"AP8Q\",\"Zg==\",\"\"]}");
}

/* A parser refuses a document with any of them in it: all samples of a device would be lost to the other side. */
static void json_escapes_every_control_character(void **state _unused_)
{
	for (char c = 0; c < 0x20; c++) {
		_cleanup_buf_ struct buf out = {0};
		char expected[16];

		snprintf(expected, sizeof(expected), "\"\\u%04x\"", c);
		json_text_n(&out, &c, 1);
		assert_string_equal(buf_text(&out), c == '\n'	? "\"\\n\""
						    : c == '\r' ? "\"\\r\""
						    : c == '\t' ? "\"\\t\""
								: expected);
	}
}

static void json_whole_numbers_keep_their_sign(void **state _unused_)
{
	static const int64_t numbers[] = {0, -1, 1, -9, -10, 10, INT64_MAX, INT64_MIN + 1};

	for (size_t i = 0; i < ELEMENTS(numbers); i++) {
		_cleanup_buf_ struct buf out = {0};
		char expected[32];

		snprintf(expected, sizeof(expected), "%lld", (long long)numbers[i]);
		json_int(&out, numbers[i]);
		assert_string_equal(buf_text(&out), expected);
	}
}

static void json_mends_invalid_utf8(void **state _unused_)
{
	_cleanup_buf_ struct buf out = {0};

	json_text(&out, "ok \xc3\xb6 bad \xff\xc3 long \xe0\x80\x80 high \xed\xa0\x80");
	assert_string_equal(buf_text(&out),
			    "\"ok \xc3\xb6 bad \xef\xbf\xbd\xef\xbf\xbd long \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
			    " high \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void pool_gives_aligned_zeroed_memory(void **state _unused_)
{
	struct pool *pool = pool_new();
	char *texts[500];

	for (int i = 0; i < 500; i++) {
		uint64_t *numbers = pool_alloc(pool, (size_t)i * 8);

		assert_int_equal((uintptr_t)numbers % _Alignof(max_align_t), 0);
		for (int j = 0; j < i; j++)
			assert_int_equal(numbers[j], 0);
		texts[i] = pool_printf(pool, "text %d", i);
		if (i > 0)
			memset(numbers, 0xff, (size_t)i * 8);
	}
	for (int i = 0; i < 500; i++) {
		char expected[16];

		snprintf(expected, sizeof(expected), "text %d", i);
		assert_string_equal(texts[i], expected);
	}
	pool_free(pool);
}

/* ---- worker ---- */

struct job {
	struct hay_work work;
	char letter;
	struct diary *diary;
};

struct diary {
	sd_event *event;
	struct worker *worker;
	char run[8], done[8];
	size_t n_run, n_done, wanted;
	pthread_mutex_t gate; /* held: the first job waits inside run */
};

static void run_job(struct hay_work *work)
{
	struct job *job = container_of(work, struct job, work);

	if (job->letter == 'a') {
		pthread_mutex_lock(&job->diary->gate);
		pthread_mutex_unlock(&job->diary->gate);
	}
	job->diary->run[job->diary->n_run++] = job->letter;
}

static void job_done(struct hay_work *work, void *userdata)
{
	struct diary *diary = userdata;

	diary->done[diary->n_done++] = container_of(work, struct job, work)->letter;
	if (diary->n_done == diary->wanted)
		sd_event_exit(diary->event, 0);
}

static void worker_takes_commands_before_polls(void **state _unused_)
{
	struct diary diary = {.wanted = 4, .gate = PTHREAD_MUTEX_INITIALIZER};
	struct job jobs[4];

	assert_true(sd_event_new(&diary.event) >= 0);
	assert_int_equal(worker_new(diary.event, "test", job_done, &diary, &diary.worker), 0);
	pthread_mutex_lock(&diary.gate);
	for (int i = 0; i < 4; i++) {
		jobs[i] = (struct job){.work.run = run_job, .letter = (char)('a' + i), .diary = &diary};
		worker_submit(diary.worker, &jobs[i].work, i == 3 ? HAY_LANE_COMMAND : HAY_LANE_POLL);
	}
	assert_true(worker_busy(diary.worker));
	pthread_mutex_unlock(&diary.gate);
	sd_event_loop(diary.event);
	assert_false(worker_busy(diary.worker));
	worker_free(diary.worker);
	/* d may have been taken first of all, or after the one under way; never after another poll. */
	assert_true(strcmp(diary.run, "adbc") == 0 || strcmp(diary.run, "dabc") == 0);
	assert_string_equal(diary.run, diary.done);
	sd_event_unref(diary.event);
}

/* ---- log ---- */

static char logged[512];

static void take_line(enum hay_log_level level, const struct log_subject *subject _unused_, const char *text)
{
	snprintf(logged, sizeof(logged), "%d %s", (int)level, text);
}

static void log_makes_one_line_of_anything(void **state _unused_)
{
	struct log_subject subject = {.device = "boiler", .link = "rs485"};

	log_set_sink(take_line);
	log_about(&subject, HAY_LOG_WARNING, "said %s", "one\ntwo\x1b[31m");
	assert_string_equal(logged, "1 device boiler: said one two [31m");
	logged[0] = 0;
	log_debug("not at this level");
	assert_string_equal(logged, "");
	/* What cannot be printed in whole, here for a letter the C locale has not, elsewhere for want of memory, is cut. */
	log_about(&subject, HAY_LOG_WARNING, "out of \n%ls", L"\x394");
	assert_string_equal(logged, "1 device boiler: out of  ");
	log_set_sink(NULL);
}

static void expect_file(const char *path, const char *text)
{
	char found[64] = "";
	FILE *file = fopen(path, "re");

	assert_non_null(file);
	assert_non_null(fgets(found, sizeof(found), file));
	fclose(file);
	assert_string_equal(found, text);
}

/* What a power cut leaves is the old file or the new one; a try that fails leaves the old one, and nothing beside it. */
static void a_file_is_replaced_whole_or_not_at_all(void **state _unused_)
{
	char folder[] = "/tmp/haywain-file-XXXXXX", path[64], fresh[64];

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/state", folder);
	snprintf(fresh, sizeof(fresh), "%s/state.new", folder);
	assert_int_equal(file_replace(path, "one", 3, 0640, (gid_t)-1), 0);
	assert_int_equal(file_replace(path, "two", 3, 0640, (gid_t)-1), 0);
	expect_file(path, "two");
	assert_int_equal(access(fresh, F_OK), -1);

	assert_int_equal(symlink(path, fresh), 0); /* a link that lies there is not followed */
	assert_int_equal(file_replace(path, "three", 5, 0640, (gid_t)-1), 0);
	expect_file(path, "three");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(file_replace(path, "four", 4, 0640, (gid_t)-1), -EISDIR);
	assert_int_equal(access(fresh, F_OK), -1);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(file_replace(path, "five", 4, 0640, (gid_t)-1), -ENOENT);
}

static void deadlines_carry_seconds(void **state _unused_)
{
	struct timespec now, due;

	for (uint64_t us = 0; us < 2 * USEC_PER_SEC; us += 99991) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		due = clock_deadline(us);
		assert_in_range(due.tv_nsec, 0, 999999999);
		assert_true((due.tv_sec - now.tv_sec) * INT64_C(1000000000) + due.tv_nsec - now.tv_nsec >=
			    (int64_t)us * 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(varints_read_back),
		cmocka_unit_test(varints_refuse_what_is_cut_or_too_long),
		cmocka_unit_test(json_places_commas_and_escapes),
		cmocka_unit_test(json_escapes_every_control_character),
		cmocka_unit_test(json_whole_numbers_keep_their_sign),
		cmocka_unit_test(json_mends_invalid_utf8),
		cmocka_unit_test(pool_gives_aligned_zeroed_memory),
		cmocka_unit_test(worker_takes_commands_before_polls),
		cmocka_unit_test(log_makes_one_line_of_anything),
		cmocka_unit_test(a_file_is_replaced_whole_or_not_at_all),
		cmocka_unit_test(deadlines_carry_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
