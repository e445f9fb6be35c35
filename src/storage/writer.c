/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/writer.h"
#include "base/clock.h"
#include "base/worker.h"
#include <errno.h>
#include <time.h>

#define SLEEP_MAX_US USEC_PER_HOUR

int writer_init(struct writer *writer, struct mutex *lock, const struct writer_hooks *hooks, void *userdata)
{
	pthread_condattr_t attr;
	int r = pthread_condattr_init(&attr);

	*writer = (struct writer){.hooks = hooks, .userdata = userdata, .lock = lock};
	if (r == 0)
		r = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (r == 0)
		r = pthread_cond_init(&writer->wake, &attr);
	if (r == 0)
		r = pthread_cond_init(&writer->done, &attr);
	pthread_condattr_destroy(&attr);
	return -r;
}

void writer_done(struct writer *writer)
{
	pthread_cond_destroy(&writer->wake);
	pthread_cond_destroy(&writer->done);
}

void writer_wake(struct writer *writer, uint64_t at)
{
	if (writer->sleeps_until <= at)
		return;
	writer->sleeps_until = 0;
	pthread_cond_signal(&writer->wake);
}

void writer_announce(struct writer *writer)
{
	pthread_cond_broadcast(&writer->done);
}

int writer_await(struct writer *writer, const struct timespec *until)
{
	return -pthread_cond_timedwait(&writer->done, &writer->lock->mutex, until);
}

void writer_gets_on(struct writer *writer)
{
	atomic_store(&writer->busy_since, MAX(clock_now(), (uint64_t)1));
}

uint64_t writer_stuck_us(const struct writer *writer)
{
	uint64_t since = atomic_load(&writer->busy_since), now = clock_now();

	return since && now > since ? now - since : 0;
}

static void sleep_until(struct writer *writer, uint64_t at)
{
	uint64_t now = clock_now();
	struct timespec until = clock_deadline(at > now ? MIN(at - now, SLEEP_MAX_US) : 0);

	writer->sleeps_until = at;
	atomic_store(&writer->busy_since, 0);
	while (writer->sleeps_until != 0)
		if (pthread_cond_timedwait(&writer->wake, &writer->lock->mutex, &until) != 0)
			break;
	writer->sleeps_until = 0;
}

static void *writer_thread(void *userdata)
{
	struct writer *writer = userdata;

	mutex_lock(writer->lock);
	while (!writer->stop) {
		writer_gets_on(writer);
		if (!writer->hooks->work(writer->userdata))
			sleep_until(writer, writer->hooks->due_at(writer->userdata));
	}
	writer_gets_on(writer);
	writer->hooks->finish(writer->userdata);
	atomic_store(&writer->busy_since, 0);
	writer->ended = true;
	writer_announce(writer);
	mutex_unlock(writer->lock);
	return NULL;
}

int writer_start(struct writer *writer, const char *name)
{
	return thread_start(&writer->thread, name, writer_thread, writer);
}

bool writer_stop(struct writer *writer, uint64_t timeout_us)
{
	struct timespec until = clock_deadline(timeout_us);
	bool ended;
	int r = 0;

	mutex_lock(writer->lock);
	writer->stop = true;
	writer_wake(writer, 0);
	while (!writer->ended && r == 0)
		r = writer_await(writer, &until);
	ended = writer->ended;
	mutex_unlock(writer->lock);
	if (ended)
		pthread_join(writer->thread, NULL);
	return ended;
}
