/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"
#include "torture.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define RANGES_MAX 30

struct ledger *ledger_new(void)
{
	struct ledger *ledger =
		mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (ledger == MAP_FAILED)
		torture_die("out of memory");
	ledger->next = ledger->safe = 1;
	return ledger;
}

void ledger_wrong(struct ledger *ledger, const char *format, ...)
{
	size_t used;
	va_list args;
	char *text;

	if (ledger->n_wrong++ >= LEDGER_FAULTS)
		return;
	text = ledger->wrong[ledger->n_wrong - 1];
	used = (size_t)snprintf(text, sizeof(ledger->wrong[0]), "life %u: ", ledger->life);
	va_start(args, format);
	vsnprintf(text + used, sizeof(ledger->wrong[0]) - used, format, args);
	va_end(args);
}

void ledger_seq(struct ledger *ledger, uint64_t sample, uint64_t seq)
{
	struct ledger_sample *row = &ledger->samples[sample];
	size_t at = (size_t)((seq * 0x9e3779b97f4a7c15U) >> 32) % LEDGER_SEQS;

	if (row->seq == seq)
		return;
	if (row->seq)
		ledger_wrong(ledger, "sample %" PRIu64 " had number %" PRIu64 " and comes under %" PRIu64, sample,
			     row->seq, seq);
	while (ledger->seqs[at].seq && ledger->seqs[at].seq != seq)
		at = (at + 1) % LEDGER_SEQS;
	if (ledger->seqs[at].seq == seq && ledger->seqs[at].sample != sample)
		ledger_wrong(ledger, "number %" PRIu64 " was sample %" PRIu64 " and is sample %" PRIu64 " now", seq,
			     ledger->seqs[at].sample, sample);
	ledger->seqs[at].seq = seq;
	ledger->seqs[at].sample = sample;
	row->seq = seq;
}

size_t ledger_device(const char *name)
{
	const char *number = name ? strchr(name, '-') : NULL;
	unsigned long device = number ? strtoul(number + 1, NULL, 10) : LEDGER_DEVICES;

	return MIN(device, (unsigned long)LEDGER_DEVICES);
}

void ledger_told(struct ledger_reader *reader, const struct queue_drop *drops, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* What was refused was taken and acknowledged like all others. */
		if (drops[i].cause == DROP_REFUSED)
			continue;
		reader->told += drops[i].samples;
		reader->told_by_device[ledger_device(drops[i].device)] += drops[i].samples;
	}
}

void ledger_reader_came(struct ledger *ledger, struct ledger_reader *reader)
{
	if (reader->since)
		return;
	reader->since = ledger->next;
	reader->came_us = torture_now();
}

/* That a new reader is there is lost like a sample that was taken when it came. */
static void excuse_readers(struct ledger *ledger, uint64_t window_us)
{
	for (size_t i = 0; i < LEDGER_READERS; i++) {
		struct ledger_reader *reader = &ledger->readers[i];

		bool was_killed = ledger->killed_us > 0 && reader->came_us + window_us >= ledger->killed_us;

		if (!reader->since || reader->is_known || (!was_killed && !ledger->disk_was_bad))
			continue;
		reader->since = reader->told = 0;
		memset(reader->told_by_device, 0, sizeof(reader->told_by_device));
	}
}

void ledger_life_ended(struct ledger *ledger, uint64_t window_us)
{
	uint64_t window = window_us + 2 * ledger->hiccup_us;

	ledger->kills += ledger->killed_us > 0;
	excuse_readers(ledger, window);
	for (uint64_t n = ledger->next; n-- > 1;) {
		struct ledger_sample *sample = &ledger->samples[n];

		if (sample->life != ledger->life)
			break;
		if ((ledger->killed_us > 0 && sample->taken_us + window >= ledger->killed_us) ||
		    (n >= ledger->safe && ledger->disk_was_bad))
			sample->excused = true;
	}
	ledger->safe = ledger->next;
	ledger->disk_was_bad = false;
	ledger->killed_us = ledger->hiccup_us = 0;
}

static bool is_missing(const struct ledger *ledger, const struct ledger_reader *reader, uint64_t n)
{
	return !reader->acked[n] && !ledger->samples[n].excused;
}

struct ledger_sum ledger_sum(const struct ledger *ledger, const struct ledger_reader *reader)
{
	uint64_t missing[LEDGER_DEVICES] = {0}, open = 0, deficit = 0;
	struct ledger_sum sum = {.told = reader->told};

	if (!reader->since)
		return sum;
	for (uint64_t n = reader->since; n < ledger->next; n++) {
		sum.due++;
		sum.acked += reader->acked[n];
		if (!reader->acked[n] && ledger->samples[n].excused)
			sum.excused++;
		if (!is_missing(ledger, reader, n))
			continue;
		sum.missing++;
		missing[n % LEDGER_DEVICES]++;
		if (!sum.first_missing)
			sum.first_missing = n;
	}
	/* Each device's are counted under its name, or under none. */
	for (size_t i = 0; i < LEDGER_DEVICES; i++) {
		if (missing[i] > reader->told_by_device[i])
			deficit += missing[i] - reader->told_by_device[i];
		else
			open += reader->told_by_device[i] - missing[i];
	}
	if (deficit > reader->told_by_device[LEDGER_DEVICES])
		sum.silent = deficit - reader->told_by_device[LEDGER_DEVICES];
	else
		open += reader->told_by_device[LEDGER_DEVICES] - deficit;
	sum.over = open > sum.excused ? open - sum.excused : 0;
	return sum;
}

void ledger_print_missing(const struct ledger *ledger, const struct ledger_reader *reader)
{
	unsigned ranges = 0;

	for (uint64_t n = MAX(reader->since, (uint64_t)1); n < ledger->next && ranges < RANGES_MAX; n++) {
		uint64_t first = n;

		if (!is_missing(ledger, reader, n))
			continue;
		while (n + 1 < ledger->next && is_missing(ledger, reader, n + 1) &&
		       ledger->samples[n + 1].life == ledger->samples[first].life)
			n++;
		printf("    never came: %" PRIu64 " to %" PRIu64 ", taken in life %u\n", first, n,
		       ledger->samples[first].life);
		ranges++;
	}
}
