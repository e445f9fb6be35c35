/* SPDX-License-Identifier: Apache-2.0 */
/* Durations, sizes, rates and numbers as people write them. Pure. */
#ifndef HAYWAIN_BASE_UNITS_H
#define HAYWAIN_BASE_UNITS_H

#include "base/util.h"

/* "250ms", "5s", "10m", "2h", "30d", "0s"; also "us". Whole numbers and decimals ("1.5s"). Result in µs.
   -EINVAL: not a duration (a bare number neither); -ERANGE: too long. */
int parse_duration(const char *text, uint64_t *ret_us);

/* "64MB", "2GB", "512KB", "100B": multiples of 1024, as users of files expect. In bytes. -EINVAL, -ERANGE. */
int parse_size(const char *text, uint64_t *ret_bytes);

/* "2000/s", "120/m", "5000/h". Per second. -EINVAL, -ERANGE. */
int parse_rate(const char *text, double *ret_per_s);

/* "1.5 s", "3 min", "2 h 10 min", "4 d 3 h": for people. Returns buffer. */
#define DURATION_TEXT_MAX 32
const char *format_duration(uint64_t us, char buffer[DURATION_TEXT_MAX]);

/* "812 B", "4.2 KB", "1.3 GB": for people. Returns buffer. */
#define SIZE_TEXT_MAX 16
const char *format_size(uint64_t bytes, char buffer[SIZE_TEXT_MAX]);

/* The shortest decimal text that reads back as the same number: %.15g, then %.17g (float32: %.6g … %.9g).
   NaN and infinity are the caller's to keep out. Returns the length. */
#define NUMBER_TEXT_MAX 32
size_t format_double(double value, char buffer[NUMBER_TEXT_MAX]);
size_t format_float(float value, char buffer[NUMBER_TEXT_MAX]);

/* How many decimals a number has as written in shortest form: 0.1 -> 1, 0.025 -> 3, 2 -> 0; at most 17. */
int decimals_of(double value);

/* Round to so many decimals (0 to 17), half away from zero, to the double nearest to the decimal result. */
double round_decimals(double value, int decimals);

#endif
