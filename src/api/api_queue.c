/* SPDX-License-Identifier: Apache-2.0 */
/* The queue by device, and its export: asked of the store thread, a page at a time. */
#include "api/api_answers.h"
#include "api/api_private.h"
#include "model/sample_json.h"
#include <errno.h>
#include <string.h>

struct queue_task {
	struct api_task task;
	struct api *api;
	bool asked; /* the store has it: it ends with the answer */
	bool begun, end;
	uint64_t after;
};

/* The answer finds nobody: queue_task_answer() ends it. */
static void queue_peer_left(struct api_task *task)
{
	struct queue_task *queue = container_of(task, struct queue_task, task);

	if (!queue->asked)
		free(queue);
}

static struct queue_task *task_new(struct api *api, struct http_exchange *exchange)
{
	struct queue_task *task = calloc(1, sizeof(*task));

	if (!task)
		return NULL;
	task->task = (struct api_task){.exchange = exchange, .gone = queue_peer_left};
	task->api = api;
	exchange->userdata = &task->task;
	return task;
}

static void answer_unavailable(struct http_exchange *exchange, int r)
{
	if (r == -EBUSY)
		http_answer_error(exchange, 429, NULL, "too many requests for the queue at once");
	else
		http_answer_error(exchange, 503, NULL, "cannot read the queue: %s", strerror(-r));
}

static void begin_queue_task(struct api *api, struct http_exchange *exchange, bool count,
			     void (*drained)(struct api_task *))
{
	struct queue_task *task = task_new(api, exchange);
	int r = !task	? -ENOMEM
		: count ? queue_ask_count(api->stages->queue, task)
			: queue_ask_page(api->stages->queue, 0, task);

	if (r < 0) {
		answer_unavailable(exchange, r);
		return;
	}
	task->asked = true;
	task->task.drained = drained;
}

void api_queue(struct api *api, struct http_exchange *exchange)
{
	begin_queue_task(api, exchange, true, NULL);
}

/* What was sent has been read: now the next page. */
static void read_on(struct api_task *task)
{
	struct queue_task *queue = container_of(task, struct queue_task, task);
	int r;

	if (queue->asked)
		return;
	if (queue->end) {
		http_end_stream(task->exchange);
		return;
	}
	r = queue_ask_page(queue->api->stages->queue, queue->after, queue);
	if (r < 0)
		http_abort_stream(task->exchange);
	else
		queue->asked = true;
}

void api_export(struct api *api, struct http_exchange *exchange)
{
	begin_queue_task(api, exchange, false, read_on);
}

static void send_page(struct queue_task *task, const struct queue_ask *ask)
{
	const struct stages *stages = task->api->stages;
	struct http_exchange *exchange = task->task.exchange;
	struct buf out = {0}, line = {0}, scratch = {0};

	for (size_t i = 0; i < ask->n_samples; i++) {
		struct sample *sample = ask->samples[i];
		struct stamped_sample stamped = {.sample = sample, .seq = queue_seq(stages->queue, sample)};

		stamped.ts_ms = queue_wall(stages->queue, sample, &stamped.certain) / (int64_t)USEC_PER_MSEC;
		buf_clear(&line);
		/* One that cannot be read is counted when its turn comes to go out. */
		if (json_sample(&line, &scratch, stages->series, &stamped) < 0)
			continue;
		buf_add_char(&line, '\n');
		buf_add(&out, line.data, line.size);
	}
	task->after = ask->after;
	task->end = ask->end;
	if (!task->begun)
		http_begin_stream(exchange, API_LINES);
	task->begun = true;
	if (buf_failed(&out) || buf_failed(&line))
		http_abort_stream(exchange);
	else if (out.size > 0)
		http_write_stream(exchange, out.data, out.size);
	else
		read_on(&task->task);
	buf_done(&out);
	buf_done(&line);
	buf_done(&scratch);
}

void api_take_answer(struct queue_ask *ask)
{
	struct queue_task *task = ask->userdata;
	struct http_exchange *exchange = task->task.exchange;
	struct buf body = {0};

	task->asked = false;
	if (!exchange) {
		free(task);
	} else if (ask->result < 0 && task->begun) {
		http_abort_stream(exchange);
	} else if (ask->result < 0) {
		answer_unavailable(exchange, ask->result);
	} else if (ask->count) {
		api_write_queue(task->api->stages, ask->by_device, ask->n_devices, &body);
		api_answer_json(exchange, &body);
	} else {
		send_page(task, ask);
	}
	queue_ask_free(ask);
}
