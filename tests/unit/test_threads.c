/* SPDX-License-Identifier: Apache-2.0 */
/* What several threads do at once: commands between an uplink and the main loop, and questions to the store while it
   writes. The thread sanitizer reads along. */
#include "queue_fixture.h"
#include "upstream/commands.h"
#include <pthread.h>
#include <stdatomic.h>

/* ---- commands: an uplink's thread puts them and takes the answers, the main thread does them ---- */

#define COMMANDS 2000

struct broker {
	struct commands *commands;
	atomic_uint answered, wrong;
};

static void take_answers(struct broker *broker)
{
	struct command *answer;

	while ((answer = commands_next_answer(broker->commands))) {
		bool refused = strcmp(answer->point, "refused") == 0, odd = answer->value.i % 2 == 1;
		const char *expected = refused ? "not now" : odd ? "odd" : NULL;

		if ((expected == NULL) != (answer->answer.text == NULL) ||
		    (expected && strcmp(expected, answer->answer.text) != 0))
			atomic_fetch_add(&broker->wrong, 1);
		atomic_fetch_add(&broker->answered, !refused);
		command_unref(answer);
	}
}

static struct command *new_command(const char *point, int64_t value)
{
	struct command *command = command_new();

	snprintf(command->device, sizeof(command->device), "d");
	snprintf(command->point, sizeof(command->point), "%s", point);
	command->value = (struct hay_value){.type = HAY_INT64, .i = value};
	return command;
}

static void *be_an_uplink(void *userdata)
{
	struct broker *broker = userdata;
	uint64_t deadline = clock_now() + 60 * USEC_PER_SEC;

	for (int i = 0; i < COMMANDS; i++) {
		struct command *command = new_command("p", i);

		while (commands_put(broker->commands, command) == -EBUSY && clock_now() < deadline)
			take_answers(broker);
		command_unref(command);
		if (i % 100 == 0) {
			/* One that the uplink answers itself; there may be no room for its answer. */
			command = new_command("refused", i);
			commands_refuse(broker->commands, command, "not now");
			command_unref(command);
			take_answers(broker);
		}
	}
	while (atomic_load(&broker->answered) < COMMANDS && clock_now() < deadline)
		take_answers(broker);
	return NULL;
}

static void commands_come_and_their_answers_go(void **state _unused_)
{
	struct broker broker = {.commands = commands_new()};
	struct command *command;
	unsigned done = 0;
	pthread_t thread;
	int64_t last = -1;

	assert_non_null(broker.commands);
	assert_int_equal(pthread_create(&thread, NULL, be_an_uplink, &broker), 0);
	while (done < COMMANDS) {
		wait_readable(commands_fd(broker.commands));
		while ((command = commands_next(broker.commands))) {
			assert_true(command->value.i == last + 1); /* in order, none twice */
			last = command->value.i;
			commands_answer(broker.commands, command,
					&(struct write_answer){.done = last % 2 == 1 ? WRITE_NOT_DONE : WRITE_DONE,
							       .text = last % 2 == 1 ? "odd" : NULL});
			command_unref(command);
			done++;
		}
	}
	pthread_join(thread, NULL);
	assert_int_equal(atomic_load(&broker.answered), COMMANDS);
	assert_int_equal(atomic_load(&broker.wrong), 0);
	commands_free(broker.commands);
}

/* ---- the queue: several ask while the store writes, an uplink reads and samples come ---- */

#define ASKERS 3
#define ASKS 60
#define SAMPLES 4000

struct asker {
	struct queue *queue;
	bool counts;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	unsigned asked, answered; /* under the lock */
	bool failed;		  /* under the lock */
};

static void *keep_asking(void *userdata)
{
	struct asker *asker = userdata;

	for (unsigned i = 0; i < ASKS; i++) {
		int r = asker->counts ? queue_ask_count(asker->queue, asker) : queue_ask_page(asker->queue, 0, asker);

		pthread_mutex_lock(&asker->lock);
		asker->failed |= r < 0;
		asker->asked++;
		/* Two may be under way: with three askers that is within what the store takes. */
		while (asker->asked > asker->answered + 1 && !asker->failed)
			pthread_cond_wait(&asker->wake, &asker->lock);
		pthread_mutex_unlock(&asker->lock);
	}
	return NULL;
}

static void *keep_reading(void *userdata)
{
	struct queue_reader *reader = userdata;
	struct pollfd fd = {.fd = queue_reader_fd(reader), .events = POLLIN};
	unsigned n = 0;

	while (n < SAMPLES && poll(&fd, 1, WAIT_MS) == 1) {
		struct sample *samples[64];
		size_t got = queue_reader_next(reader, samples, ELEMENTS(samples));

		for (size_t i = 0; i < got; i++, n++) {
			queue_reader_ack(reader, samples[i]->id);
			sample_unref(samples[i]);
		}
	}
	return NULL;
}

static void take_answer(struct queue_ask *ask, unsigned *n)
{
	struct asker *asker = ask->userdata;
	bool good = ask->result == 0 && ask->count == asker->counts;

	for (size_t i = 1; i < ask->n_samples; i++)
		good = good && ask->samples[i]->id > ask->samples[i - 1]->id;
	pthread_mutex_lock(&asker->lock);
	asker->answered++;
	asker->failed |= !good;
	pthread_cond_signal(&asker->wake);
	pthread_mutex_unlock(&asker->lock);
	queue_ask_free(ask);
	(*n)++;
}

static void several_ask_while_the_store_writes(void **state _unused_)
{
	struct fixture f;
	struct asker askers[ASKERS];
	pthread_t threads[ASKERS], reading;
	unsigned n = 0;

	fixture_init(&f);
	f.conf.commit_us = USEC_PER_MSEC;
	fixture_open(&f);
	clock_set_trusted(true);
	queue_clock_changed(f.queue);

	struct queue_reader *slow = open_reader(&f, "slow"), *fast = open_reader(&f, "fast");

	assert_int_equal(pthread_create(&reading, NULL, keep_reading, fast), 0);
	for (unsigned i = 0; i < ASKERS; i++) {
		askers[i] = (struct asker){.queue = f.queue,
					   .counts = i % 2 == 0,
					   .lock = PTHREAD_MUTEX_INITIALIZER,
					   .wake = PTHREAD_COND_INITIALIZER};
		assert_int_equal(pthread_create(&threads[i], NULL, keep_asking, &askers[i]), 0);
	}
	for (unsigned i = 0; i < SAMPLES || n < ASKERS * ASKS;) {
		struct queue_ask *ask;

		if (i < SAMPLES)
			queue_append(f.queue, numbered(&f, ++i));
		else
			wait_readable(queue_answers_fd(f.queue));
		while ((ask = queue_next_answer(f.queue)))
			take_answer(ask, &n);
	}
	for (unsigned i = 0; i < ASKERS; i++) {
		pthread_join(threads[i], NULL);
		assert_false(askers[i].failed);
	}
	pthread_join(reading, NULL);
	assert_int_equal(status_of(&f).tail_samples + status_of(&f).disk_samples, SAMPLES); /* the slow one has none */
	queue_reader_close(slow);
	queue_reader_close(fast);
	fixture_done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_come_and_their_answers_go),
		cmocka_unit_test(several_ask_while_the_store_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
