/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model run: random lives of a queue. The disk fills up, fails, is slow; the process is killed, also in the middle of
 * a write; clocks are set and boots pass; bounds are small; readers come, go, stay away, acknowledge a part and start
 * over. An account (ledger.h) holds every sample against what each reader got.
 *
 *     model [-v] [-n SEEDS] [-s FIRST] [-l LIVES]
 *
 * Each seed is a gateway of LIVES lives and a last one, in which nothing fails and everything goes out. What the threads
 * do when is not the seed's: a failure comes again with its seed as a rule, not always. Exit status 1 where one failed.
 */
#include "base/clock.h"
#include "faults.h"
#include "ledger.h"
#include "torture.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define SEEDS 100
#define LIVES 8
#define WATCHDOG_SECONDS 120
#define TAKE_MAX 64
#define PENDING_MAX 4096
#define TEXT_MAX 900
/* What a busy machine may add to the loss window of `commit` and two fsyncs. */
#define SLACK_US (300 * USEC_PER_MSEC)
#define DRAIN_US (60 * USEC_PER_SEC)
#define CLOCK_OFF_US ((int64_t)USEC_PER_MINUTE) /* wrong clocks are off by hours, jumps take half a minute */

static const char *const names[LEDGER_READERS] = {"cloud", "local", "late"};

/* What one seed is about. */
struct plan {
	uint64_t seed;
	struct queue_conf conf;
	bool kills, faults, full; /* full: of the faults only this one */
	bool peaceful;		  /* nothing happens before the first readers are known on the disk */
	unsigned sync_us;
	size_t text_max;
};

/* The clocks, over all lives. */
struct clocks {
	uint64_t real_us; /* when the others were this: */
	uint64_t boot_us; /* monotonic */
	int64_t truth_us; /* since 1970 */
	int64_t off_us;	  /* what the wall clock shows besides */
	uint64_t boots;
	bool was_trusted; /* in this boot */
};

struct reader {
	struct queue_reader *queue; /* NULL: it is away */
	bool idle;		    /* it is there and takes nothing: its broker is away */
	uint64_t ids[PENDING_MAX], samples[PENDING_MAX];
	size_t n;		       /* taken and not acknowledged */
	uint64_t last, last_of_before; /* that came; of_before: taken in an earlier life */
};

static struct {
	struct plan plan;
	struct ledger *ledger;
	struct clocks *clocks; /* shared, too */
	struct dice dice;
	const char *folder;
	char path[300];
	bool verbose;

	struct queue *queue;
	struct series_set *set;
	const struct series_device *devices[LEDGER_DEVICES];
	const struct series *counts[LEDGER_DEVICES], *texts[LEDGER_DEVICES];
	struct reader readers[LEDGER_READERS];
	bool opened_in_fault;	     /* in this life the queue was opened while the disk failed */
	struct clock_fake fakes[64]; /* a thread may still look at the last one */
	size_t fake_at;
	uint64_t ran_us;
} model;

static uint64_t below(uint64_t n)
{
	return dice_below(&model.dice, n);
}

static void say(const char *format, ...) _printf_(1, 2);
static void say(const char *format, ...)
{
	va_list args;

	if (!model.verbose)
		return;
	printf("    ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

/* ---- clocks ---- */

static int64_t truth_now(void)
{
	return model.clocks->truth_us + (int64_t)(torture_now() - model.clocks->real_us);
}

/* The queue's clocks are moved on. */
static void tick(void)
{
	struct clock_fake *fake = &model.fakes[model.fake_at++ % ELEMENTS(model.fakes)];
	uint64_t now = torture_now(), gone = now - model.clocks->real_us;

	if (model.ran_us > 0)
		model.ledger->hiccup_us = MAX(model.ledger->hiccup_us, now - model.ran_us);
	model.ran_us = now;
	fake->now = model.clocks->boot_us + gone;
	fake->wall = model.clocks->truth_us + (int64_t)gone + model.clocks->off_us;
	clock_set_fake(fake);
}

/* Time passes at once, for all clocks. */
static void jump(uint64_t us)
{
	model.clocks->boot_us += us;
	model.clocks->truth_us += (int64_t)us;
	tick();
	queue_clock_changed(model.queue);
}

static void trust_clock(void)
{
	model.clocks->off_us = 0;
	model.clocks->was_trusted = true;
	tick();
	clock_set_trusted(true);
}

static void set_clock(void)
{
	if (clock_trusted()) {
		/* Its source is lost; it runs on. */
		if (below(8) == 0)
			clock_set_trusted(false);
	} else if (below(3) == 0) {
		trust_clock();
		say("the clock is trusted");
	} else if (!model.clocks->was_trusted) {
		model.clocks->off_us = ((int64_t)below(2000) - 1000) * (int64_t)USEC_PER_HOUR;
		tick();
		say("the clock is set, to something wrong");
	}
	queue_clock_changed(model.queue);
}

static const char *boot_name(void)
{
	static char name[33];

	snprintf(name, sizeof(name), "%032" PRIx64, model.clocks->boots + 1);
	return name;
}

static void next_boot(void)
{
	uint64_t away = (1 + below(3600)) * USEC_PER_SEC;

	model.clocks->truth_us = truth_now() + (int64_t)away;
	model.clocks->real_us = torture_now();
	model.clocks->boot_us = 5 * USEC_PER_SEC;
	model.clocks->boots++;
	model.clocks->was_trusted = false;
	/* Without a battery clock it starts where it likes. */
	model.clocks->off_us = ((int64_t)below(2000) - 1500) * (int64_t)USEC_PER_HOUR;
}

/* ---- samples ---- */

/* Of the number alone, so that it can be compared. */
static size_t text_of(uint64_t n, char text[TEXT_MAX])
{
	struct dice dice;
	size_t length;

	dice_init(&dice, n, model.plan.seed);
	length = (size_t)dice_below(&dice, model.plan.text_max) + 1;
	for (size_t i = 0; i < length; i++)
		text[i] = (char)('a' + dice_below(&dice, 26));
	return length;
}

static void append_one(void)
{
	struct ledger_sample *row = &model.ledger->samples[model.ledger->next];
	uint64_t n = model.ledger->next;
	size_t device = n % LEDGER_DEVICES;
	struct sample_reading readings[2] = {{0}};
	struct sample *sample;
	char text[TEXT_MAX];

	if (n + 1 >= LEDGER_SAMPLES)
		return;
	readings[0].series = model.counts[device]->number;
	readings[0].value = (struct hay_value){.type = HAY_UINT64, .u = n};
	readings[1].series = model.texts[device]->number;
	readings[1].value = (struct hay_value){.type = HAY_STRING, .s = {.data = text, .size = text_of(n, text)}};
	*row = (struct ledger_sample){
		.taken_us = torture_now(),
		.time_us = clock_now(),
		.truth_us = truth_now(),
		.life = model.ledger->life,
	};
	sample = sample_new(model.devices[device]->number, row->time_us, readings, 2);
	if (!sample)
		torture_die("out of memory");
	/* Killed from here on, by the other thread, it may be there. */
	model.ledger->next = n + 1;
	queue_append(model.queue, sample);
}

static void append_some(uint64_t n)
{
	for (; n > 0; n--)
		append_one();
}

/* Samples that never reach the queue. */
static void lose_some(uint64_t n)
{
	for (; n > 0 && model.ledger->next + 1 < LEDGER_SAMPLES; n--) {
		model.ledger->samples[model.ledger->next] = (struct ledger_sample){
			.taken_us = torture_now(),
			.life = model.ledger->life,
			.was_lost = true,
		};
		queue_lost(model.queue, model.devices[model.ledger->next % LEDGER_DEVICES]->number);
		model.ledger->next++;
	}
}

static void check_content(const struct sample *sample, uint64_t n)
{
	const struct series_device *device = series_device_by_number(model.set, sample->device);
	struct ledger_sample *row = &model.ledger->samples[n];
	struct sample_reading reading;
	struct sample_cursor cursor;
	char text[TEXT_MAX];
	size_t length = text_of(n, text);
	int64_t off;
	bool certain;

	off = queue_wall(model.queue, sample, &certain) - row->truth_us;
	if (row->was_lost)
		ledger_wrong(model.ledger, "sample %" PRIu64 " was never appended", n);
	if (!device || ledger_device(device->name) != n % LEDGER_DEVICES)
		ledger_wrong(model.ledger, "sample %" PRIu64 " comes under another device", n);
	if (sample_begin(sample, &cursor) < 0 || sample_next(&cursor, &reading) != 1 ||
	    sample_next(&cursor, &reading) != 1 || reading.value.type != HAY_STRING || reading.value.s.size != length ||
	    memcmp(reading.value.s.data, text, length) != 0)
		ledger_wrong(model.ledger, "sample %" PRIu64 " is not what it was", n);
	if (sample->time_us != row->time_us)
		ledger_wrong(model.ledger, "sample %" PRIu64 " has another time", n);
	if (certain && llabs(off) > CLOCK_OFF_US)
		ledger_wrong(model.ledger, "sample %" PRIu64 ": its time is %" PRId64 " s off", n,
			     off / (int64_t)USEC_PER_SEC);
}

/* The number of a sample; 0: it has none. */
static uint64_t number_of(const struct sample *sample)
{
	struct sample_cursor cursor;
	struct sample_reading reading;

	if (sample_begin(sample, &cursor) < 0 || sample_next(&cursor, &reading) != 1 || reading.value.u < 1 ||
	    reading.value.u >= model.ledger->next)
		return 0;
	return reading.value.u;
}

/* ---- readers ---- */

/* Oldest first. A file that could not be read at the start may turn up when newer samples went out of the memory: what is
   in it comes late then, in its own order. */
static void check_order(struct reader *reader, const char *name, uint64_t number)
{
	bool is_of_before = model.ledger->samples[number].life < model.ledger->life;
	uint64_t *last = is_of_before && model.opened_in_fault ? &reader->last_of_before : &reader->last;

	if (number <= *last)
		ledger_wrong(model.ledger, "%s gets sample %" PRIu64 " after %" PRIu64, name, number, *last);
	*last = number;
}

static void take(struct reader *reader, const char *name, size_t max)
{
	struct sample *samples[TAKE_MAX];
	size_t n;

	n = queue_reader_next(reader->queue, samples, MIN(MIN(max, (size_t)TAKE_MAX), PENDING_MAX - reader->n));
	for (size_t i = 0; i < n; i++) {
		uint64_t number = number_of(samples[i]);

		if (number == 0) {
			ledger_wrong(model.ledger, "%s gets what nobody took", name);
			continue;
		}
		check_order(reader, name, number);
		check_content(samples[i], number);
		ledger_seq(model.ledger, number, queue_seq(model.queue, samples[i]));
		if (below(200) == 0)
			queue_reader_refused(reader->queue, samples[i]);
		reader->ids[reader->n] = samples[i]->id;
		reader->samples[reader->n++] = number;
		sample_unref(samples[i]);
	}
}

static void acknowledge(struct reader *reader, size_t index, size_t n)
{
	if (n == 0)
		return;
	/* First in the account: killed in between, it is the queue that knows less. */
	for (size_t i = 0; i < n; i++)
		model.ledger->readers[index].acked[reader->samples[i]] = 1;
	queue_reader_ack(reader->queue, reader->ids[n - 1]);
	memmove(reader->ids, reader->ids + n, (reader->n - n) * sizeof(reader->ids[0]));
	memmove(reader->samples, reader->samples + n, (reader->n - n) * sizeof(reader->samples[0]));
	reader->n -= n;
}

static void start_over(struct reader *reader)
{
	queue_reader_rewind(reader->queue);
	reader->n = 0;
	reader->last = reader->last_of_before = 0;
}

static uint64_t pending_drops(size_t i)
{
	struct queue_drop *drops;
	size_t n = queue_drops_pending(model.readers[i].queue, &drops);
	uint64_t sum = 0;

	for (size_t j = 0; j < n; j++)
		sum += drops[j].samples;
	free(drops);
	return sum;
}

static void come(size_t i)
{
	struct reader *reader = &model.readers[i];

	if (reader->queue)
		return;
	ledger_reader_came(model.ledger, &model.ledger->readers[i]);
	if (queue_reader_open(model.queue, names[i], &reader->queue) < 0)
		torture_die("no reader");
	reader->n = 0;
	reader->last = reader->last_of_before = 0;
	reader->idle = below(4) == 0;
	say("%s comes, %" PRIu64 " drops to tell, %" PRIu64 " samples waiting", names[i], pending_drops(i),
	    queue_reader_depth(reader->queue));
}

static void go(size_t i)
{
	say("%s goes, %" PRIu64 " drops to tell, %" PRIu64 " samples waiting", names[i], pending_drops(i),
	    queue_reader_depth(model.readers[i].queue));
	model.readers[i].queue = queue_reader_close(model.readers[i].queue);
}

static void tell_drops(size_t i)
{
	struct queue_drop *drops;
	size_t n = queue_drops_pending(model.readers[i].queue, &drops);

	ledger_told(&model.ledger->readers[i], drops, n);
	say("%s tells %" PRIu64 " drops", names[i], pending_drops(i));
	queue_drops_reported(model.readers[i].queue, drops, n);
	free(drops);
}

static void hear(void)
{
	struct queue_notice notice;

	while (queue_next_notice(model.queue, &notice)) {
		model.ledger->said_unknown |= strstr(notice.text, "unknown number") != NULL;
		/* What the disk could not read for a minute counts as damaged. */
		model.ledger->said_damaged |=
			strstr(notice.text, "file is damaged") && !strstr(notice.text, "Input/output");
		say("[%d] %s", notice.level, notice.text);
	}
}

/* ---- the disk ---- */

static void fail(enum fault fault)
{
	unsigned every = below(3) == 0 ? 1 + (unsigned)below(8) : 1;
	int64_t unused = (int64_t)below(3) * (int64_t)below(40000);

	if (fault != FAULT_NONE) {
		model.ledger->disk_was_bad = true;
		model.ledger->faults++;
	}
	faults_set(fault, every, unused);
	say("disk: %s", fault_words[fault]);
}

static enum fault any_fault(void)
{
	return model.plan.full ? FAULT_FULL : FAULT_FULL + (enum fault)below(FAULT_N - FAULT_FULL);
}

static void write_all(uint64_t timeout_us)
{
	uint64_t next = model.ledger->next;

	if (queue_flush(model.queue, timeout_us) == 0) {
		model.ledger->safe = next;
		model.ledger->disk_was_bad = faults_now() != FAULT_NONE;
		for (size_t i = 0; i < LEDGER_READERS; i++)
			model.ledger->readers[i].is_known |= model.ledger->readers[i].since > 0;
	}
}

static void note_kill(bool torn)
{
	model.ledger->was_torn |= torn;
	model.ledger->killed_us = torture_now();
}

static void die(void)
{
	fflush(stdout);
	note_kill(faults_stop());
	kill(getpid(), SIGKILL);
}

/* ---- a life ---- */

static void life_open(void)
{
	pid_t pid;
	int r;

	tick();
	model.opened_in_fault = faults_now() != FAULT_NONE;
	torture_set_boot(boot_name());
	model.set = series_set_new();
	r = model.set ? queue_open(&model.plan.conf, model.set, &model.queue, &pid) : -ENOMEM;
	if (r < 0) {
		ledger_wrong(model.ledger, "the queue cannot be opened: %s", strerror(-r));
		_exit(3);
	}
	for (size_t i = 0; i < LEDGER_DEVICES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "device-%zu", i);
		model.devices[i] = series_device_intern(model.set, name, "bus", NULL, 0);
		model.counts[i] = series_intern(model.set, model.devices[i], "count", NULL, HAY_UINT64);
		model.texts[i] = series_intern(model.set, model.devices[i], "text", NULL, HAY_STRING);
	}
	for (size_t i = 0; i < LEDGER_READERS; i++)
		/* Who was configured is there from the start; the last one comes later. */
		if (i == 0 || (model.ledger->readers[i].since ? below(4) != 0 : i == 1))
			come(i);
	hear();
}

static void life_close(void)
{
	for (size_t i = 0; i < LEDGER_READERS; i++)
		if (model.readers[i].queue)
			go(i);
	model.queue = queue_close(model.queue, DRAIN_US);
	if (model.queue) {
		ledger_wrong(model.ledger, "the queue does not end");
		_exit(3);
	}
	series_set_free(model.set);
}

static void pause_ms(int ms)
{
	struct pollfd wait = {.fd = queue_notice_fd(model.queue), .events = POLLIN};

	for (int i = 0; i < ms; i++) {
		poll(&wait, 1, 1);
		model.ran_us = 0; /* it had nothing to do: that is no hiccup */
		tick();
		hear();
	}
}

static void configure(void)
{
	struct queue_conf conf = model.plan.conf;

	if (below(2))
		conf.max_size = MIN(conf.max_size, ((uint64_t)1 + below(3)) << 20);
	if (below(4) == 0)
		conf.when_full = !conf.when_full;
	queue_configure(model.queue, &conf);
}

/* One thing that happens to a gateway. */
static void happen(void)
{
	size_t index = (size_t)below(LEDGER_READERS);
	struct reader *reader = &model.readers[index];
	bool active = reader->queue && !reader->idle;

	switch (below(24)) {
	case 0 ... 3:
		append_some(below(40));
		break;
	case 4:
		append_some(below(400));
		break;
	case 5 ... 8:
		if (active)
			take(reader, names[index], 1 + (size_t)below(TAKE_MAX));
		break;
	case 9 ... 11:
		if (active)
			acknowledge(reader, index, (size_t)below(reader->n + 1));
		break;
	case 12:
		if (active && below(4) == 0)
			start_over(reader);
		break;
	case 13 ... 15:
		/* Now and then long enough that all before it is older than the loss window. */
		pause_ms(1 + (int)below(below(20) == 0 ? 500 : 12));
		break;
	case 16:
		if (below(4) == 0)
			jump(below(35 * USEC_PER_SEC));
		break;
	case 17:
		if (below(3) == 0)
			set_clock();
		break;
	case 18:
		if (model.plan.faults && below(4) == 0)
			fail(faults_now() == FAULT_NONE ? any_fault() : FAULT_NONE);
		break;
	case 19:
		if (below(2) == 0)
			write_all(below(4) ? USEC_PER_SEC : below(1000));
		break;
	case 20:
		if (reader->queue)
			reader->idle = !reader->idle;
		if (index > 0 && below(8) == 0) {
			if (reader->queue)
				go(index);
			else
				come(index);
		}
		break;
	case 21:
		if (reader->queue && below(4) == 0)
			tell_drops(index);
		break;
	case 22:
		if (below(4) == 0)
			lose_some(1 + below(3));
		break;
	case 23:
		if (below(8) == 0)
			configure();
		else if (below(40) == 0)
			say("purged: %" PRIu64, queue_purge(model.queue));
		break;
	}
}

/* The last life: nothing fails any more, everything goes out. */
static void drain(void)
{
	uint64_t until = torture_now() + DRAIN_US, waiting;

	do {
		uint64_t got = 0;

		waiting = 0;
		for (size_t i = 0; i < LEDGER_READERS; i++) {
			if (!model.readers[i].queue)
				continue;
			take(&model.readers[i], names[i], TAKE_MAX);
			got += model.readers[i].n;
			acknowledge(&model.readers[i], i, model.readers[i].n);
			waiting += queue_reader_depth(model.readers[i].queue);
		}
		tick();
		hear();
		if (got == 0 && waiting > 0) {
			/* A pause after a failure is not waited for. */
			pause_ms(2);
			jump(USEC_PER_SEC);
		}
	} while (waiting > 0 && torture_now() < until);
	if (waiting > 0)
		ledger_wrong(model.ledger, "%" PRIu64 " samples are said to wait, and do not come", waiting);
}

/* What may cut this life short, or make it hard, from its start. */
static void begin_trouble(bool is_last)
{
	if (is_last)
		return;
	if (model.plan.kills)
		faults_kill_at(1 + below(below(4) == 0 ? 20 : 1500), below(5000), note_kill);
	if (model.plan.faults && below(6) == 0)
		fail(any_fault());
}

static _Noreturn void live(bool is_last)
{
	uint64_t things = 50 + below(400);
	struct queue_status status;

	alarm(WATCHDOG_SECONDS);
	model.ran_us = 0;
	faults_set(FAULT_NONE, 1, 0);
	faults_slow_sync(model.plan.sync_us);
	/* Most gateways are set up in peace: their readers are known before anything happens. */
	if (model.ledger->life > 1 || !model.plan.peaceful)
		begin_trouble(is_last);
	if (is_last || below(4) != 0)
		trust_clock();
	life_open();
	if (model.ledger->life == 1 && model.plan.peaceful) {
		write_all(WATCHDOG_SECONDS * USEC_PER_SEC);
		begin_trouble(is_last);
	}
	if (is_last) {
		for (size_t i = 0; i < LEDGER_READERS; i++)
			if (model.ledger->readers[i].since)
				come(i);
		append_some(10);
		drain();
		append_some(10);
		drain();
		/* Counts that were not told yet outlive an end in order as well: the next process tells them. */
		life_close();
		life_open();
		for (size_t i = 0; i < LEDGER_READERS; i++)
			if (model.ledger->readers[i].since) {
				come(i);
				tell_drops(i);
			}
		life_close();
		_exit(0);
	}
	for (uint64_t i = 0; i < things; i++) {
		tick();
		happen();
		hear();
	}
	queue_get_status(model.queue, &status);
	say("after sample %" PRIu64 ", dropped in this life: queue full %" PRIu64 ", memory full %" PRIu64
	    ", too old %" PRIu64 ", damaged %" PRIu64 ", purged %" PRIu64 ", out of memory %" PRIu64,
	    model.ledger->next - 1, status.dropped[DROP_QUEUE_FULL], status.dropped[DROP_MEMORY_FULL],
	    status.dropped[DROP_TOO_OLD], status.dropped[DROP_DAMAGED], status.dropped[DROP_PURGED],
	    status.dropped[DROP_NO_MEMORY]);
	if (model.plan.kills && below(4) != 0) {
		say("killed");
		die();
	}
	faults_kill_at(0, 0, note_kill);
	if (below(2))
		fail(FAULT_NONE);
	say("ends in order");
	life_close();
	if (faults_now() == FAULT_NONE) {
		/* An end in order on a disk that takes everything: it took it. */
		model.ledger->safe = model.ledger->next;
		model.ledger->disk_was_bad = false;
	}
	fflush(stdout);
	_exit(0);
}

/* ---- a seed ---- */

static struct plan make_plan(uint64_t seed)
{
	static const uint64_t memories[] = {64 << 10, 256 << 10, 2 << 20},
			      sizes[] = {1 << 20, 1 << 20, 4 << 20, 64 << 20};
	static const size_t texts[] = {20, 200, TEXT_MAX};
	struct plan plan = {.seed = seed};
	uint64_t faults;

	dice_init(&model.dice, seed, 0);
	faults = below(4);
	plan.kills = below(3) != 0;
	plan.faults = faults > 0;
	plan.full = faults == 1;
	plan.peaceful = below(8) != 0;
	plan.sync_us = below(3) == 0 ? (unsigned)below(15000) : 0;
	plan.text_max = texts[below(ELEMENTS(texts))];
	plan.conf = (struct queue_conf){
		.path = model.path,
		.commit_us = (1 + below(5)) * 10 * USEC_PER_MSEC,
		.write = below(4) == 0 ? QUEUE_WRITE_THROUGH : QUEUE_WRITE_BEHIND,
		.memory = memories[below(ELEMENTS(memories))],
		.max_size = sizes[below(ELEMENTS(sizes))],
		.max_age_us = below(6) == 0 ? USEC_PER_MINUTE : 30 * USEC_PER_DAY,
		.when_full = below(2) == 0 ? QUEUE_DROP_OLDEST : QUEUE_DROP_NEWEST,
	};
	return plan;
}

static bool print_seed(unsigned lives)
{
	const struct plan *plan = &model.plan;
	struct ledger *ledger = model.ledger;
	struct ledger_sum sums[LEDGER_READERS];
	bool bad = ledger->n_wrong > 0;

	for (size_t i = 0; i < LEDGER_READERS; i++) {
		sums[i] = ledger_sum(ledger, &ledger->readers[i]);
		bad |= sums[i].silent > 0;
		/* One that is under way to a reader may be counted and come. */
		bad |= !plan->kills && !plan->faults && sums[i].over > PENDING_MAX;
	}
	/* Only what a write left undone may look like damage. */
	bad |= ledger->said_unknown && !plan->faults && !ledger->was_torn;
	/* No disk of this program changes a byte. */
	bad |= ledger->said_damaged && !ledger->was_torn;
	printf("%s model -s %" PRIu64 " -l %u   commit %" PRIu64 " ms, memory %" PRIu64 " KB, max_size %" PRIu64
	       " MB, %s, %s, %s, fsync %u us; %" PRIu64 " samples, %" PRIu64 " kills, %" PRIu64 " faults%s%s\n",
	       bad ? "FAILED" : "ok    ", plan->seed, lives, plan->conf.commit_us / 1000, plan->conf.memory >> 10,
	       plan->conf.max_size >> 20, plan->conf.when_full == QUEUE_DROP_NEWEST ? "drop-newest" : "drop-oldest",
	       plan->conf.write == QUEUE_WRITE_THROUGH ? "through" : "behind",
	       !plan->faults ? "no faults"
	       : plan->full  ? "a full disk"
			     : "any fault",
	       plan->sync_us, ledger->next - 1, ledger->kills, ledger->faults,
	       ledger->said_damaged ? "; it said that the file is damaged" : "",
	       ledger->said_unknown ? "; it said that an unknown number is missing" : "");
	for (size_t i = 0; i < LEDGER_READERS && (bad || model.verbose); i++) {
		if (!ledger->readers[i].since)
			continue;
		printf("    %s: %" PRIu64 " due, %" PRIu64 " acknowledged, %" PRIu64 " excused, %" PRIu64
		       " missing, %" PRIu64 " counted; %" PRIu64 " LOST IN SILENCE, %" PRIu64 " counted and there\n",
		       names[i], sums[i].due, sums[i].acked, sums[i].excused, sums[i].missing, sums[i].told,
		       sums[i].silent, sums[i].over);
		if (sums[i].silent > 0)
			ledger_print_missing(ledger, &ledger->readers[i]);
	}
	for (size_t i = 0; i < MIN(ledger->n_wrong, (uint64_t)LEDGER_FAULTS); i++)
		printf("    %s\n", ledger->wrong[i]);
	return bad;
}

/* In a process of its own. */
static _Noreturn void run_seed(uint64_t seed, unsigned lives)
{
	char folder[290];

	snprintf(folder, sizeof(folder), "%s/%" PRIu64, model.folder, seed);
	snprintf(model.path, sizeof(model.path), "%s/queue.db", folder);
	if (mkdir(folder, 0700) < 0)
		torture_die("cannot make %s: %s", folder, strerror(errno));
	model.plan = make_plan(seed);
	model.ledger = ledger_new();
	model.clocks = mmap(NULL, sizeof(*model.clocks), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (model.clocks == MAP_FAILED)
		torture_die("out of memory");
	*model.clocks = (struct clocks){
		.real_us = torture_now(),
		.boot_us = USEC_PER_MINUTE,
		.truth_us = 1750000000 * (int64_t)USEC_PER_SEC,
	};
	faults_watch(folder);
	for (unsigned life = 1; life <= lives + 1; life++) {
		pid_t pid;
		int status;

		model.ledger->life = life;
		dice_init(&model.dice, seed, life);
		if (below(3) == 0)
			next_boot();
		say("-- life %u", life);
		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			live(life > lives);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			torture_die("lost a process: %s", strerror(errno));
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
			ledger_wrong(model.ledger, "nothing came of it in %d s", WATCHDOG_SECONDS);
		else if (WIFSIGNALED(status) ? !model.ledger->killed_us
					     : WEXITSTATUS(status) && WEXITSTATUS(status) != 3)
			ledger_wrong(model.ledger, "it ended by %s %d", WIFSIGNALED(status) ? "signal" : "exit status",
				     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		ledger_life_ended(model.ledger, model.plan.conf.commit_us + 2 * model.plan.sync_us + SLACK_US);
	}
	bool bad = print_seed(lives);

	torture_remove(folder);
	fflush(stdout);
	_exit(bad ? 1 : 0);
}

int main(int argc, char **argv)
{
	uint64_t seeds = SEEDS, first = 1, lives = LIVES,
		 at_once = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN) * 8; /* they mostly wait */
	uint64_t failed = 0, running = 0;

	for (int i = 1; i < argc; i++) {
		const char *value;

		if (strcmp(argv[i], "-v") == 0)
			model.verbose = true;
		else if ((value = torture_option(argc, argv, &i, "-n")))
			seeds = torture_number("-n", value);
		else if ((value = torture_option(argc, argv, &i, "-s")))
			first = torture_number("-s", value);
		else if ((value = torture_option(argc, argv, &i, "-l")))
			lives = torture_number("-l", value);
		else
			torture_die("usage: model [-v] [-n SEEDS] [-s FIRST] [-l LIVES]");
	}
	model.folder = torture_folder();
	/* The lines of one seed stay together; what one says that is killed is not lost. */
	setvbuf(stdout, NULL, model.verbose ? _IOLBF : _IOFBF, 1 << 16);
	for (uint64_t seed = first; seed < first + seeds || running > 0;) {
		int status;

		if (seed < first + seeds && running < at_once) {
			pid_t pid = fork();

			if (pid == 0) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				run_seed(seed, (unsigned)lives);
			}
			if (pid < 0)
				torture_die("cannot fork: %s", strerror(errno));
			running++;
			seed++;
			continue;
		}
		if (wait(&status) < 0)
			torture_die("lost a process: %s", strerror(errno));
		running--;
		failed += status != 0;
	}
	torture_remove(model.folder);
	printf("model: seeds %" PRIu64 " to %" PRIu64 ", %" PRIu64 " lives each: %" PRIu64 " failed\n", first,
	       first + seeds - 1, lives + 1, failed);
	return failed > 0 ? 1 : 0;
}
