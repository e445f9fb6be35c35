/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

static _Atomic(const struct clock_fake *) fake_clock;
static atomic_bool trusted, plausible;

static uint64_t read_clock(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_now(void)
{
	const struct clock_fake *fake = atomic_load_explicit(&fake_clock, memory_order_relaxed);

	return fake ? __atomic_load_n(&fake->now, __ATOMIC_RELAXED) : read_clock(CLOCK_BOOTTIME);
}

int64_t clock_wall(void)
{
	const struct clock_fake *fake = atomic_load_explicit(&fake_clock, memory_order_relaxed);

	return fake ? __atomic_load_n(&fake->wall, __ATOMIC_RELAXED) : (int64_t)read_clock(CLOCK_REALTIME);
}

int64_t clock_wall_offset(void)
{
	return clock_wall() - (int64_t)clock_now();
}

void clock_set_trusted(bool yes)
{
	atomic_store(&trusted, yes);
}

bool clock_trusted(void)
{
	return atomic_load_explicit(&trusted, memory_order_relaxed);
}

void clock_set_plausible(bool yes)
{
	atomic_store(&plausible, yes);
}

bool clock_usable(void)
{
	return clock_trusted() || atomic_load_explicit(&plausible, memory_order_relaxed);
}

static char boot_id[33];

static void read_boot_id(void)
{
	char text[64];
	size_t n = 0;
	_cleanup_close_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? 0 : read(fd, text, sizeof(text));

	for (ssize_t i = 0; i < size && n < 32; i++)
		if (text[i] != '-' && text[i] != '\n')
			boot_id[n++] = text[i];
	memset(boot_id + n, '0', 32 - n);
}

const char *clock_boot_id(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_boot_id);
	return boot_id;
}

void clock_set_fake(const struct clock_fake *fake)
{
	atomic_store(&fake_clock, fake);
}

struct timespec clock_deadline(uint64_t delay_us)
{
	struct timespec due;

	clock_gettime(CLOCK_MONOTONIC, &due);
	due.tv_sec += (time_t)(delay_us / USEC_PER_SEC);
	due.tv_nsec += (long)(delay_us % USEC_PER_SEC * 1000);
	if (due.tv_nsec >= 1000000000) {
		due.tv_sec++;
		due.tv_nsec -= 1000000000;
	}
	return due;
}
