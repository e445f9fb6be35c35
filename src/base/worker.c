/* SPDX-License-Identifier: Apache-2.0 */
#include "base/worker.h"
#include "base/mutex.h"
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

struct work_list {
	struct hay_work *first, *last;
};

struct worker {
	pthread_t thread;
	struct mutex mutex;
	sem_t wake; /* one for each work submitted, and one to stop; a condition costs one more call of the kernel */
	struct work_list lanes[2], finished; /* under mutex */
	bool handing_back;		     /* under mutex: the eventfd was written and not yet read */
	int fd;
	sd_event_source *source;
	void (*done)(struct hay_work *work, void *userdata);
	void *userdata;
	unsigned outstanding; /* loop's thread only */
};

static void list_push(struct work_list *list, struct hay_work *work)
{
	work->next = NULL;
	if (list->last)
		list->last->next = work;
	else
		list->first = work;
	list->last = work;
}

static struct hay_work *list_pop(struct work_list *list)
{
	struct hay_work *work = list->first;

	if (work) {
		list->first = work->next;
		if (!list->first)
			list->last = NULL;
	}
	return work;
}

int thread_start(pthread_t *ret, const char *name, void *(*fn)(void *), void *userdata)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	char short_name[16];

	pthread_attr_init(&attributes);
	/* Sanitizers need room of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES * 8);
#else
	pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
#endif
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = pthread_create(ret, &attributes, fn, userdata);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (r != 0)
		return -r;
	snprintf(short_name, sizeof(short_name), "%s", name);
	pthread_setname_np(*ret, short_name);
	return 0;
}

static void *work_on(void *userdata)
{
	struct worker *worker = userdata;

	for (;;) {
		while (sem_wait(&worker->wake) < 0)
			continue;
		mutex_lock(&worker->mutex);
		struct hay_work *work = list_pop(&worker->lanes[HAY_LANE_COMMAND]);

		if (!work)
			work = list_pop(&worker->lanes[HAY_LANE_POLL]);
		mutex_unlock(&worker->mutex);
		if (!work)
			return NULL;
		work->run(work);
		mutex_lock(&worker->mutex);
		list_push(&worker->finished, work);
		bool wake = !worker->handing_back;

		worker->handing_back = true;
		mutex_unlock(&worker->mutex);
		/* Not under the lock: the loop would wake up only to wait for it. */
		if (wake)
			eventfd_write(worker->fd, 1);
	}
}

static int hand_back(sd_event_source *source _unused_, int fd, uint32_t events _unused_, void *userdata)
{
	struct worker *worker = userdata;
	eventfd_t count;
	struct hay_work *next;

	eventfd_read(fd, &count);
	mutex_lock(&worker->mutex);
	worker->handing_back = false;
	struct work_list finished = worker->finished;
	worker->finished = (struct work_list){0};
	mutex_unlock(&worker->mutex);

	for (struct hay_work *work = finished.first; work; work = next) {
		next = work->next; /* done() may submit it again */
		worker->outstanding--;
		worker->done(work, worker->userdata);
	}
	return 0;
}

int worker_new(sd_event *event, const char *name, void (*done)(struct hay_work *work, void *userdata), void *userdata,
	       struct worker **ret)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return -ENOMEM;
	mutex_init(&worker->mutex);
	sem_init(&worker->wake, 0, 0);
	worker->done = done;
	worker->userdata = userdata;
	worker->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int r = worker->fd < 0 ? -errno : 0;

	if (r == 0)
		r = sd_event_add_io(event, &worker->source, worker->fd, EPOLLIN, hand_back, worker);
	if (r >= 0)
		r = thread_start(&worker->thread, name, work_on, worker);
	if (r < 0) {
		sd_event_source_disable_unref(worker->source);
		if (worker->fd >= 0)
			close(worker->fd);
		free(worker);
		return r;
	}
	*ret = worker;
	return 0;
}

struct worker *worker_free(struct worker *worker)
{
	if (!worker)
		return NULL;
	sem_post(&worker->wake); /* with no work: the end */
	pthread_join(worker->thread, NULL);
	sd_event_source_disable_unref(worker->source);
	close(worker->fd);
	sem_destroy(&worker->wake);
	mutex_destroy(&worker->mutex);
	free(worker);
	return NULL;
}

void worker_submit(struct worker *worker, struct hay_work *work, enum hay_lane lane)
{
	worker->outstanding++;
	mutex_lock(&worker->mutex);
	list_push(&worker->lanes[lane], work);
	mutex_unlock(&worker->mutex);
	sem_post(&worker->wake);
}

bool worker_busy(const struct worker *worker)
{
	return worker->outstanding > 0;
}
