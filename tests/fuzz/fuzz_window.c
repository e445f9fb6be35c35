/* SPDX-License-Identifier: Apache-2.0 */
/* The window of an uplink and what it knows of suspects, in any order of events: no sample goes twice at a time, none is lost, and
   the cursor is where all before it is done. Two bytes an event. */
#include "upstream/suspects.h"
#include "upstream/window.h"
#include <stdlib.h>

#define IDS 4096

enum fate { AHEAD, TAKEN, UNDER_WAY, DONE };

struct play {
	struct window *window;
	struct suspects *suspects;
	enum fate fates[IDS + 1];
	uint64_t next_id; /* the next one that the queue gives */
	uint64_t through; /* all up to it are done */
	uint64_t now;
};

#define check(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			abort();                                                                                       \
	} while (0)

static void push(struct play *play, size_t n)
{
	for (size_t i = 0; i < n && play->next_id <= IDS && window_space(play->window) > 0; i++) {
		uint64_t id = play->next_id++;
		struct sample *sample = sample_new(1, 0, NULL, 0);
		check(sample);
		sample->id = id;
		bool done = play->fates[id] == DONE;
		int r = window_push(play->window, sample, (uint32_t)(id % 5), suspects_sample_apart(play->suspects, id),
				    play->now);
		/* What was acknowledged before is not sent again, and nothing else is taken for it. */
		check(r == done);
		play->fates[id] = done ? DONE : TAKEN;
	}
}

static void send(struct play *play, struct sample *const *samples, size_t n)
{
	if (n == 0)
		return;
	for (size_t i = 0; i < n; i++) {
		check(play->fates[samples[i]->id] == TAKEN);
		check(i == 0 || samples[i]->id > samples[i - 1]->id);
		check(samples[i]->id % 5 == samples[0]->id % 5);
		play->fates[samples[i]->id] = UNDER_WAY;
	}
	const struct window_message message = {
		.topic = (uint32_t)(samples[0]->id % 5), .sent_us = play->now, .n_packets = 1};
	window_sent(play->window, &message);
}

static void answer(struct play *play, uint8_t which, enum fate fate)
{
	struct sample *const *samples;
	uint64_t number = window_next(play->window) - 1 - MIN(which % 16, window_next(play->window) - 1);
	size_t n = window_samples(play->window, number, &samples);
	for (size_t i = 0; i < n; i++) {
		check(play->fates[samples[i]->id] == UNDER_WAY);
		play->fates[samples[i]->id] = fate;
	}
	if (n == 0)
		return;
	uint64_t first = samples[0]->id, last = samples[n - 1]->id;
	if (fate == DONE) {
		uint32_t topic = window_message(play->window, number)->topic;
		check(window_packet_acked(play->window, number));
		check(window_acked(play->window, number) == n);
		suspects_samples_passed(play->suspects, first, last, topic, play->now);
	} else if (which % 2) {
		window_returned(play->window, number);
	} else {
		window_halved(play->window, number);
	}
}

static void drop(struct play *play, struct sample *const *samples, size_t n)
{
	for (size_t i = 0; i < n; i++)
		play->fates[samples[i]->id] = DONE;
	if (n)
		window_drop_picked(play->window);
}

static void end(struct play *play)
{
	uint64_t oldest;
	struct suspects_flight flight = {0};
	struct suspects_finding finding;
	flight.n = window_under_way(play->window, &flight.first, &flight.last, &oldest);
	check((flight.n == 0) == (oldest == 0));
	if (oldest) {
		flight.topic = window_message(play->window, oldest)->topic;
		flight.sent_us = window_message(play->window, oldest)->sent_us;
	}
	suspects_end(play->suspects);
	suspects_ended(play->suspects, &flight, play->now, &finding);
	check(!finding.narrow_until || (finding.narrow > 0 && finding.narrow_until >= flight.first));
	if (finding.narrow_until)
		window_narrow(play->window, finding.narrow_until, finding.narrow);
	window_break(play->window);
	for (uint64_t id = play->through + 1; id < play->next_id; id++)
		play->fates[id] = play->fates[id] == DONE ? DONE : AHEAD;
	play->next_id = play->through + 1;
	suspects_connected(play->suspects, true, play->now);
}

static void one_event(struct play *play, uint8_t event, uint8_t argument)
{
	struct sample *const *samples = NULL;
	enum suspect_verdict due;
	uint64_t id;
	size_t n;
	play->now += (uint64_t)argument * argument * USEC_PER_MSEC;
	switch (event % 12) {
	case 0:
	case 1:
		push(play, argument);
		break;
	case 2:
	case 3:
		for (unsigned i = 0; i <= argument % 8; i++) {
			n = window_pick(play->window, play->now, &samples);
			send(play, samples, n);
		}
		break;
	case 4:
	case 5:
		for (uint8_t i = 0; i <= argument % 16; i++)
			answer(play, (uint8_t)(argument / 16 + i), DONE);
		break;
	case 6:
		answer(play, argument, TAKEN);
		break;
	case 7:
		if (argument % 2)
			window_hold_group(play->window, argument / 2 % 5);
		else
			window_release_group(play->window, argument / 2 % 5);
		break;
	case 8:
		n = window_pick_group(play->window, argument % 5, &samples);
		send(play, samples, n);
		break;
	case 9:
		due = suspects_sample_due(play->suspects, play->now, &id);
		n = due == SUSPECT_FREE ? 0 : window_pick_held(play->window, id, &samples);
		if (due == SUSPECT_DROP)
			drop(play, samples, n);
		else
			send(play, samples, n);
		break;
	case 10:
		window_set_batch(play->window, argument % 9);
		if (argument % 3 == 0 && window_pick(play->window, play->now, &samples) > 1) {
			n = window_pick_half(play->window, &samples);
			drop(play, samples, n);
		}
		break;
	default:
		end(play);
		break;
	}
}

static void check_cursor(struct play *play)
{
	uint64_t id;
	while (play->through + 1 < play->next_id && play->fates[play->through + 1] == DONE)
		play->through++;
	if (window_cursor(play->window, &id))
		check(id == play->through);
	check(window_done_through(play->window) == play->through);
	suspects_samples_gone(play->suspects, play->through, play->now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct play play;
	const struct window_limits limits = {
		.messages = 6, .batch = size % 2 ? 4 : 1, .batch_wait_us = size % 3 ? 0 : USEC_PER_SEC};
	play = (struct play){.next_id = 1, .now = USEC_PER_HOUR, .suspects = suspects_new()};
	check(play.suspects && window_new(&limits, &play.window) == 0);
	suspects_connected(play.suspects, true, play.now);
	for (size_t i = 0; i + 1 < size; i += 2) {
		one_event(&play, data[i], data[i + 1]);
		check_cursor(&play);
	}
	/* Whatever happened, all of it can still be brought to its end. */
	end(&play);
	check_cursor(&play);
	for (int turns = 0; play.through < MIN((uint64_t)IDS, (uint64_t)200) && turns < 100000; turns++) {
		struct sample *const *samples = NULL;
		uint64_t id;
		push(&play, 16);
		for (uint32_t group = 0; group < 5; group++)
			window_release_group(play.window, group);
		size_t n = window_pick(play.window, play.now, &samples);
		send(&play, samples, n);
		play.now += USEC_PER_MINUTE;
		n = suspects_sample_due(play.suspects, play.now, &id) == SUSPECT_FREE
			    ? 0
			    : window_pick_held(play.window, id, &samples);
		send(&play, samples, n);
		for (uint8_t i = 0; i < 16; i++)
			answer(&play, i, DONE);
		check_cursor(&play);
	}
	check(play.through >= 200);
	window_free(play.window);
	suspects_free(play.suspects);
	return 0;
}
