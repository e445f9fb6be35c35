/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs of the bench agree on. A simulated device has 24 holding registers, read as 20 points:
 *   0-1  poll counter (uint32, high word first), 2-5  time of the answer (uint64, CLOCK_MONOTONIC ns), 6-23 noise.
 * The points: polls (uint32), answered (uint64), p6 ... p23 (uint16).
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
	BENCH_REGISTERS = 24,
	BENCH_POINTS = 20,
	BENCH_COUNTER_AT = 0,
	BENCH_TIME_AT = 2,
	BENCH_VALUES_AT = 6,
	BENCH_MAX_DEVICES = 4096
};

static inline uint64_t bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

__attribute__((noreturn)) static inline void bench_die(const char *what)
{
	perror(what);
	exit(1);
}

#endif
