/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock, and annotations by which clang (-Wthread-safety) proves at compile time who holds which: a function that
 * needs a lock says REQUIRES(queue->lock), and a call of it without that lock is an error. One that gives it up
 * meanwhile says so the same way, by taking it again before it returns. Other compilers see plain functions.
 */
#ifndef HAYWAIN_BASE_MUTEX_H
#define HAYWAIN_BASE_MUTEX_H

#include <pthread.h>

#ifdef __clang__
#define CAPABILITY(name) __attribute__((capability(name)))
#define REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
#define EXCLUDES(...) __attribute__((locks_excluded(__VA_ARGS__)))
#define ACQUIRES(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define RELEASES(...) __attribute__((release_capability(__VA_ARGS__)))
#define UNCHECKED __attribute__((no_thread_safety_analysis))
#else
#define CAPABILITY(name)
#define REQUIRES(...)
#define EXCLUDES(...)
#define ACQUIRES(...)
#define RELEASES(...)
#define UNCHECKED
#endif

struct CAPABILITY("mutex") mutex {
	pthread_mutex_t mutex; /* for pthread_cond_wait(), in a function that REQUIRES it */
};
#define MUTEX_INITIALIZER                                                                                              \
	{                                                                                                              \
		PTHREAD_MUTEX_INITIALIZER                                                                              \
	}

static inline void mutex_init(struct mutex *mutex)
{
	pthread_mutex_init(&mutex->mutex, NULL);
}

static inline void mutex_destroy(struct mutex *mutex)
{
	pthread_mutex_destroy(&mutex->mutex);
}

static inline void mutex_lock(struct mutex *mutex) ACQUIRES(mutex) UNCHECKED
{
	pthread_mutex_lock(&mutex->mutex);
}

static inline void mutex_unlock(struct mutex *mutex) RELEASES(mutex) UNCHECKED
{
	pthread_mutex_unlock(&mutex->mutex);
}

#endif
