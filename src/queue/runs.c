/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/runs.h"
#include <errno.h>
#include <string.h>

void runs_done(struct runs *runs)
{
	free(runs->at);
	*runs = (struct runs){0};
}

static int reserve(struct runs *runs)
{
	size_t capacity = MAX(runs->capacity * 2, (size_t)8);
	struct run *at;

	if (runs->n < runs->capacity)
		return 0;
	at = realloc(runs->at, capacity * sizeof(*at));
	if (!at)
		return -ENOMEM;
	runs->at = at;
	runs->capacity = capacity;
	return 0;
}

int runs_add(struct runs *runs, const struct run *run)
{
	if (runs->n > 0 && run->first_id <= runs->at[runs->n - 1].first_id)
		return -EINVAL;
	if (reserve(runs) < 0)
		return -ENOMEM;
	runs->at[runs->n++] = *run;
	return 0;
}

/* The index of the last run that begins at or before id; 0 for ids before the first. */
static size_t find(const struct runs *runs, uint64_t id)
{
	size_t low = 0, high = runs->n;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (runs->at[middle].first_id <= id)
			low = middle;
		else
			high = middle;
	}
	return low;
}

struct run *runs_of(const struct runs *runs, uint64_t id)
{
	return runs->n > 0 ? &runs->at[find(runs, id)] : NULL;
}

uint64_t runs_count_to(const struct runs *runs, uint64_t id)
{
	uint64_t count;
	size_t i;

	if (runs->n == 0)
		return id;
	i = find(runs, id);
	/* Before the first run nothing was skipped, as far as anybody remembers. */
	if (id < runs->at[i].first_id)
		return MIN(id, runs->at[i].first_id - 1 - runs->at[i].skipped);
	count = id - runs->at[i].skipped;
	/* An id in the skip that ends a run counts as the run's last one. */
	if (i + 1 < runs->n)
		count = MIN(count, runs->at[i + 1].first_id - runs->at[i + 1].skipped - 1);
	return count;
}

uint64_t runs_between(const struct runs *runs, uint64_t after, uint64_t to)
{
	uint64_t before = runs_count_to(runs, after), count = runs_count_to(runs, to);

	/* Ranges read from a damaged file can say anything. */
	return to > after && count > before ? count - before : 0;
}

static void forget_one(struct runs *runs, size_t i)
{
	runs->n--;
	memmove(&runs->at[i], &runs->at[i + 1], (runs->n - i) * sizeof(*runs->at));
}

int runs_skip(struct runs *runs, uint64_t id)
{
	size_t i = find(runs, id);

	if (runs->n == 0 || id < runs->at[i].first_id)
		return 0;
	if (i + 1 < runs->n && runs->at[i + 1].first_id == id + 1) {
		/* The last one of its run: the next begins where it does. A run of which nothing is left gives way. */
		if (runs->at[i].first_id == id)
			forget_one(runs, i);
		else
			i++;
	} else if (runs->at[i].first_id == id) {
		/* One more at the place where the last skip was: its run begins later. */
		runs->at[i].first_id++;
	} else {
		if (reserve(runs) < 0)
			return -ENOMEM;
		memmove(&runs->at[i + 2], &runs->at[i + 1], (runs->n - i - 1) * sizeof(*runs->at));
		runs->at[i + 1] = runs->at[i];
		runs->at[++i].first_id = id + 1;
		runs->n++;
	}
	for (; i < runs->n; i++)
		runs->at[i].skipped++;
	return 0;
}

int runs_skip_range(struct runs *runs, uint64_t from, uint64_t to)
{
	uint64_t n = runs_between(runs, from - 1, to), skipped = to - runs_count_to(runs, to);
	size_t i = find(runs, to), first;

	if (runs->n == 0 || n == 0)
		return 0;
	/* What is behind it begins a run of its own; the runs inside it are gone. */
	if (runs->at[i].first_id <= to && (i + 1 == runs->n || runs->at[i + 1].first_id != to + 1)) {
		if (reserve(runs) < 0)
			return -ENOMEM;
		memmove(&runs->at[i + 2], &runs->at[i + 1], (runs->n - i - 1) * sizeof(*runs->at));
		runs->at[i + 1] = runs->at[i];
		runs->at[i + 1].first_id = to + 1;
		runs->at[i + 1].skipped = skipped; /* `to` may lie in a skip that ends the run */
		runs->n++;
	}
	i += runs->at[i].first_id <= to;
	for (first = i; first > 0 && runs->at[first - 1].first_id >= from; first--)
		continue;
	memmove(&runs->at[first], &runs->at[i], (runs->n - i) * sizeof(*runs->at));
	runs->n -= i - first;
	for (; first < runs->n; first++)
		runs->at[first].skipped += n;
	return 0;
}

void runs_know(struct runs *runs, uint64_t seq)
{
	int64_t base = 0;
	bool found = false;

	for (size_t i = 0; i < runs->n; i++) {
		struct run *run = &runs->at[i];

		if (run->known)
			continue;
		/* Runs that were split by drops have one base: that of the first. */
		if (!found)
			base = (int64_t)seq - (int64_t)run->first_id;
		found = true;
		run->base = base;
		run->known = true;
	}
}

int runs_forget_base(struct runs *runs, uint64_t id)
{
	size_t i;

	if (runs->n == 0)
		return 0;
	i = find(runs, id);
	if (runs->at[i].first_id < id) {
		uint64_t skipped = id - 1 - runs_count_to(runs, id - 1);

		if (reserve(runs) < 0)
			return -ENOMEM;
		memmove(&runs->at[i + 2], &runs->at[i + 1], (runs->n - i - 1) * sizeof(*runs->at));
		runs->at[++i] = (struct run){.first_id = id, .skipped = skipped};
		runs->n++;
	}
	for (; i < runs->n; i++) {
		runs->at[i].base = 0;
		runs->at[i].known = false;
	}
	return 0;
}

uint64_t runs_first_unknown(const struct runs *runs)
{
	for (size_t i = 0; i < runs->n; i++)
		if (!runs->at[i].known)
			return runs->at[i].first_id;
	return 0;
}

int runs_join(struct runs *runs, uint64_t last, const struct runs *more, uint64_t after)
{
	uint64_t count, shift;
	size_t i = 0;
	int r = 0;

	if (more->n == 0)
		return 0;
	after = MAX(after, more->at[0].first_id - 1);
	count = runs_count_to(more, after);
	/* Not only what begins before it: `after` may lie in the skip that ends a run, of which nothing is left then. */
	while (i + 1 < more->n && runs_count_to(more, more->at[i + 1].first_id - 1) <= count)
		i++;
	shift = count - runs_count_to(runs, last);
	for (; r == 0 && i < more->n; i++) {
		struct run run = more->at[i];

		run.first_id = MAX(run.first_id, after + 1);
		run.skipped += shift;
		r = runs_add(runs, &run);
	}
	return r;
}

bool runs_prune(struct runs *runs, uint64_t id)
{
	size_t n = 0;

	while (n + 1 < runs->n && runs->at[n + 1].first_id <= id)
		n++;
	if (n == 0)
		return false;
	runs->n -= n;
	memmove(runs->at, runs->at + n, runs->n * sizeof(*runs->at));
	return true;
}
