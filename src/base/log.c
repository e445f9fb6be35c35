/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/buf.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>
#include <time.h>

static atomic_int threshold = HAY_LOG_INFO;

/* Chosen once by log_open(), before there are threads. */
static enum { TO_TEXT, TO_TERMINAL, TO_JOURNAL, TO_PREFIXED, TO_SYSLOG } where = TO_TEXT;
static void (*sink)(enum hay_log_level level, const struct log_subject *subject, const char *text);

static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG};

/* Whether stderr is the stream systemd made for us: JOURNAL_STREAM is "device:inode" of it. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == device && st.st_ino == inode;
}

void log_open(enum log_target target, const char *program)
{
	if (target == LOG_TARGET_SYSLOG) {
		openlog(program, LOG_PID | LOG_NDELAY, LOG_DAEMON);
		where = TO_SYSLOG;
	} else if (stderr_is_journal()) {
		where = access("/run/systemd/journal/socket", W_OK) == 0 ? TO_JOURNAL : TO_PREFIXED;
	} else {
		where = isatty(STDERR_FILENO) ? TO_TERMINAL : TO_TEXT;
	}
}

void log_set_level(enum hay_log_level level)
{
	atomic_store(&threshold, (int)level);
}

enum hay_log_level log_level(void)
{
	return (enum hay_log_level)atomic_load_explicit(&threshold, memory_order_relaxed);
}

void log_set_sink(void (*fn)(enum hay_log_level level, const struct log_subject *subject, const char *text))
{
	sink = fn;
}

static void add_field(struct iovec *fields, int *n, struct buf *buf, const char *key, const char *value)
{
	if (!value)
		return;
	buf_add_text(buf, key);
	buf_add_text(buf, value);
	buf_text(buf);
	fields[(*n)++] = (struct iovec){.iov_base = buf->data, .iov_len = buf->size};
}

static void to_journal(const struct log_subject *subject, int priority, const char *text)
{
	struct buf buffers[5] = {0};
	struct iovec fields[5];
	char number[2] = {(char)('0' + priority), 0};
	int n = 0;

	add_field(fields, &n, &buffers[0], "MESSAGE=", text);
	add_field(fields, &n, &buffers[1], "PRIORITY=", number);
	if (subject) {
		add_field(fields, &n, &buffers[2], "HAYWAIN_DEVICE=", subject->device);
		add_field(fields, &n, &buffers[3], "HAYWAIN_LINK=", subject->link);
		add_field(fields, &n, &buffers[4], "HAYWAIN_UPLINK=", subject->uplink);
	}
	if (sd_journal_sendv(fields, n) < 0)
		fprintf(stderr, "<%d>%s\n", priority, text);
	for (size_t i = 0; i < ELEMENTS(buffers); i++)
		buf_done(&buffers[i]);
}

static void to_stderr(enum hay_log_level level, const char *text)
{
	static const char *const level_names[] = {"error", "warning", "notice", "info", "debug"};
	static const char *const colours[] = {"\x1b[1;31m", "\x1b[33m", "\x1b[1m", "", "\x1b[2m"};
	struct timespec now;
	struct tm local;
	char clock[16];

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &local);
	strftime(clock, sizeof(clock), "%H:%M:%S", &local);
	if (where == TO_TERMINAL)
		fprintf(stderr, "\x1b[2m%s.%03ld\x1b[0m %s%-7s %s\x1b[0m\n", clock, now.tv_nsec / 1000000,
			colours[level], level_names[level], text);
	else
		fprintf(stderr, "%s.%03ld %-7s %s\n", clock, now.tv_nsec / 1000000, level_names[level], text);
}

/* "device boiler: ", or "". */
static const char *subject_prefix(const struct log_subject *subject, const char **ret_name)
{
	*ret_name = "";
	if (!subject || !(subject->device || subject->link || subject->uplink))
		return "";
	*ret_name = subject->device ? subject->device : subject->link ? subject->link : subject->uplink;
	return subject->device ? "device " : subject->link ? "link " : "uplink ";
}

static int add_line(struct buf *line, const struct log_subject *subject, const char *format, va_list args)
	_printf_(3, 0);
static int add_line(struct buf *line, const struct log_subject *subject, const char *format, va_list args)
{
	_cleanup_free_ char *message = NULL;
	const char *name, *prefix = subject_prefix(subject, &name);

	if (vasprintf(&message, format, args) < 0) {
		message = NULL;
		return -ENOMEM;
	}
	buf_printf(line, "%s%s%s%s", prefix, name, prefix[0] ? ": " : "", message);
	buf_text(line);
	return buf_failed(line) ? -ENOMEM : 0;
}

/* Without memory a line is cut, but it is said. */
static void spare_line(char *line, size_t size, const struct log_subject *subject, const char *format, va_list args)
	_printf_(4, 0);
static void spare_line(char *line, size_t size, const struct log_subject *subject, const char *format, va_list args)
{
	const char *name, *prefix = subject_prefix(subject, &name);
	int n = snprintf(line, size, "%s%s%s", prefix, name, prefix[0] ? ": " : "");

	if (n >= 0 && (size_t)n < size)
		vsnprintf(line + n, size - (size_t)n, format, args);
}

void log_about_v(const struct log_subject *subject, enum hay_log_level level, const char *format, va_list args)
{
	int saved_errno = errno;

	if ((int)level > atomic_load_explicit(&threshold, memory_order_relaxed))
		return;

	struct buf line = {0};
	char spare[256] = "", *text = spare;
	va_list again;

	va_copy(again, args);
	if (add_line(&line, subject, format, args) == 0)
		text = line.data;
	else
		spare_line(spare, sizeof(spare), subject, format, again);
	va_end(again);
	/* A line is one line: what devices and brokers say may hold anything. */
	text_make_printable(text);
	if (sink)
		sink(level, subject, text);
	else if (where == TO_JOURNAL)
		to_journal(subject, priorities[level], text);
	else if (where == TO_PREFIXED)
		fprintf(stderr, "<%d>%s\n", priorities[level], text);
	else if (where == TO_SYSLOG)
		syslog(priorities[level], "%s", text);
	else
		to_stderr(level, text);
	buf_done(&line);
	errno = saved_errno;
}

void log_about(const struct log_subject *subject, enum hay_log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_about_v(subject, level, format, args);
	va_end(args);
}
