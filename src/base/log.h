/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line a message, on a terminal, into the journal, or to syslog. Any thread.
 *
 * base, normalize and queue log nothing above debug: the caller that decides what happens next logs it, once.
 */
#ifndef HAYWAIN_BASE_LOG_H
#define HAYWAIN_BASE_LOG_H

#include "base/util.h"
#include <haywain/plugin.h>
#include <stdarg.h>
#include <stdbool.h>

/* Whom a line is about. All may be NULL. The journal gets them as fields HAYWAIN_DEVICE=, HAYWAIN_LINK= and
   HAYWAIN_UPLINK=, text gets "device boiler: ". */
struct log_subject {
	const char *device, *link, *uplink;
};

enum log_target {
	LOG_TARGET_AUTO,   /* stderr: the journal where stderr is its stream, else text (coloured on a terminal) */
	LOG_TARGET_SYSLOG, /* syslog(3), facility daemon */
};

/* Before any thread is started. program: the name syslog and journal show. */
void log_open(enum log_target target, const char *program);
void log_set_level(enum hay_log_level level); /* lines above it are dropped; default info */
enum hay_log_level log_level(void);

/* Tests look at what is said: NULL restores. */
void log_set_sink(void (*sink)(enum hay_log_level level, const struct log_subject *subject, const char *text));

void log_about(const struct log_subject *subject, enum hay_log_level level, const char *format, ...) _printf_(3, 4);
void log_about_v(const struct log_subject *subject, enum hay_log_level level, const char *format, va_list args)
	_printf_(3, 0);

#define log_error(...) log_about(NULL, HAY_LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_about(NULL, HAY_LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_about(NULL, HAY_LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_about(NULL, HAY_LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_about(NULL, HAY_LOG_DEBUG, __VA_ARGS__)

#endif
