/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/suspects.h"
#include <string.h>

#define BREAKS_SUSPECT 2
#define STRIKES_GUILTY 3
#define ENDS_ALONE 3
#define QUIET_MIN_US (2 * USEC_PER_SEC)
#define QUIET_MAX_US (10 * USEC_PER_MINUTE)
#define UNPROVED_QUIET_US (5 * USEC_PER_SEC)
#define RETRY_US USEC_PER_HOUR
#define REFUSED_RETRY_US USEC_PER_MINUTE
#define YOUNG_US (10 * USEC_PER_SEC)
#define FLAPS_US (10 * USEC_PER_MINUTE)
#define NO_EXPLAINS_US USEC_PER_SEC
#define ITEMS_MAX ((size_t)4096)
#define SAMPLES_APART_MAX 16

/* A message that is no sample, and was under way when a connection ended. */
struct suspect_item {
	enum suspect_kind kind;
	uint32_t hash;
	char *topic;
	bool under_way;
	bool passed; /* since it was last suspect */
	bool given_up;
	unsigned breaks, strikes, refusals;
	uint64_t sent_us, retry_us;
	bool too_large; /* that was told */
};

struct kind_strikes {
	bool apart, given_up;
	unsigned strikes;    /* in a row, of any of its items: none passed in between */
	uint64_t slowest_us; /* how long the slowest connection lived after one was sent */
	uint64_t next_us, retry_us;
};

struct apart_sample {
	uint64_t id;
	uint32_t topic;
	unsigned strikes;
	unsigned ends; /* of connections on which nothing passed before it, and nothing else was under way */
	bool topic_passed;
	uint64_t slowest_us, next_us;
};

struct suspects {
	struct suspect_item *items;
	size_t n_items, n_under_way;
	struct kind_strikes kinds[SUSPECT_N_KINDS];

	struct apart_sample samples[SAMPLES_APART_MAX]; /* with one strike, or end, at least */
	size_t n_samples;
	bool refusal_logged, too_large_logged; /* of a topic for which there was no item */
	uint64_t common_last;		       /* the last id of those that were under way at all of the last ends */
	unsigned sample_breaks;

	/* The connection. */
	uint64_t connected_us; /* 0: there is none */
	uint64_t proved_us;    /* something passed on it; 0: not yet */
	uint64_t no_us;
	unsigned young_ends;
	/* How long those lived that ended of themselves, and when the last of them did. It is known to be one when
	   what was under way then has passed. */
	uint64_t flap_us, flap_at_us;
	uint64_t maybe_flap_us, maybe_flap_last; /* 0: none; the last sample that was under way then */

	struct {
		unsigned failed, without; /* connections not accepted with it; and accepted without, after that */
		bool leave_out, given_up;
		uint64_t retry_us;
	} will;
};

struct suspects *suspects_new(void)
{
	return calloc(1, sizeof(struct suspects));
}

struct suspects *suspects_free(struct suspects *suspects)
{
	if (!suspects)
		return NULL;
	for (size_t i = 0; i < suspects->n_items; i++)
		free(suspects->items[i].topic);
	free(suspects->items);
	free(suspects);
	return NULL;
}

/* FNV-1a. */
uint32_t suspects_hash(const char *text, size_t size)
{
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (uint8_t)text[i]) * 16777619u;
	return hash;
}

static struct suspect_item *item_find(const struct suspects *suspects, enum suspect_kind kind, const char *topic)
{
	uint32_t hash = suspects->n_items ? suspects_hash(topic, strlen(topic)) : 0;
	for (size_t i = 0; i < suspects->n_items; i++) {
		struct suspect_item *item = &suspects->items[i];
		if (item->hash == hash && item->kind == kind && strcmp(item->topic, topic) == 0)
			return item;
	}
	return NULL;
}

/* NULL: there are too many, or no memory; then it goes as its kind. */
static struct suspect_item *item_get(struct suspects *suspects, enum suspect_kind kind, const char *topic)
{
	struct suspect_item *item = item_find(suspects, kind, topic);
	if (item || suspects->n_items == ITEMS_MAX)
		return item;
	struct suspect_item *items = reallocarray(suspects->items, suspects->n_items + 1, sizeof(*items));
	char *copy = items ? strdup(topic) : NULL;
	if (items)
		suspects->items = items;
	if (!copy)
		return NULL;
	item = &items[suspects->n_items++];
	*item = (struct suspect_item){.kind = kind, .topic = copy, .hash = suspects_hash(topic, strlen(topic))};
	return item;
}

/* ---- when to try again what is apart ---- */

/* A connection without it must have lived ten times as long as those with it. */
static uint64_t quiet_us(uint64_t slowest_us)
{
	return MIN(MAX(10 * MIN(slowest_us, QUIET_MAX_US), QUIET_MIN_US), QUIET_MAX_US);
}

static uint64_t test_us(const struct suspects *suspects, uint64_t slowest_us, uint64_t next_us)
{
	uint64_t quiet = quiet_us(slowest_us);
	if (!suspects->connected_us)
		return UINT64_MAX;
	/* And three times as long as those that ended of themselves, lately: else the next such end is taken for
	   ours. */
	if (suspects->connected_us - suspects->flap_at_us < FLAPS_US)
		quiet = MIN(MAX(quiet, 3 * suspects->flap_us), QUIET_MAX_US);
	uint64_t from = suspects->proved_us ? suspects->proved_us + quiet
					    : suspects->connected_us + MAX(quiet, UNPROVED_QUIET_US);
	return MAX(from, next_us);
}

static uint64_t later_us(uint64_t slowest_us, unsigned strikes, uint64_t now_us)
{
	return now_us + MIN(quiet_us(slowest_us) << MIN(strikes, 10u), QUIET_MAX_US);
}

uint64_t suspects_due_us(const struct suspects *suspects, uint64_t now_us)
{
	uint64_t due = UINT64_MAX;
	for (size_t i = 0; i < SUSPECT_N_KINDS; i++) {
		const struct kind_strikes *kind = &suspects->kinds[i];
		uint64_t at = kind->apart ? test_us(suspects, kind->slowest_us, kind->next_us) : UINT64_MAX;
		due = at > now_us ? MIN(due, at) : due;
	}
	for (size_t i = 0; i < suspects->n_samples; i++) {
		const struct apart_sample *sample = &suspects->samples[i];
		uint64_t at = test_us(suspects, sample->slowest_us, sample->next_us);
		due = at > now_us ? MIN(due, at) : due;
	}
	return due;
}

/* ---- what is no sample ---- */

static enum suspect_verdict will_verdict(const struct suspects *suspects, uint64_t now_us)
{
	if (suspects->will.given_up)
		return now_us < suspects->will.retry_us ? SUSPECT_GIVEN_UP : SUSPECT_FREE;
	return suspects->will.leave_out ? SUSPECT_APART : SUSPECT_FREE;
}

enum suspect_verdict suspects_verdict(struct suspects *suspects, enum suspect_kind number, const char *topic,
				      uint64_t now_us)
{
	if (number == SUSPECT_WILL)
		return will_verdict(suspects, now_us);
	const struct kind_strikes *kind = &suspects->kinds[number];
	const struct suspect_item *item = item_find(suspects, number, topic);
	bool given_up = item && item->given_up;
	if (item && item->passed && !given_up)
		return SUSPECT_FREE;
	if (!kind->apart && !given_up)
		return SUSPECT_FREE;
	if ((given_up && now_us < item->retry_us) || (kind->given_up && now_us < kind->retry_us))
		return SUSPECT_GIVEN_UP;
	return now_us >= test_us(suspects, kind->slowest_us, kind->next_us) ? SUSPECT_TEST : SUSPECT_APART;
}

unsigned suspects_strikes(const struct suspects *suspects, enum suspect_kind kind, const char *topic)
{
	const struct suspect_item *item = item_find(suspects, kind, topic);
	return item ? item->strikes : 0;
}

/* A connection ended of itself after so long. One in ten minutes is no flapping. */
static void note_flap(struct suspects *suspects, uint64_t lived_us, uint64_t now_us)
{
	suspects->flap_us = lived_us < FLAPS_US ? MAX(lived_us, suspects->flap_us / 4 * 3) : 0;
	suspects->flap_at_us = now_us;
	suspects->maybe_flap_us = 0;
}

static void something_passed(struct suspects *suspects, uint64_t now_us)
{
	if (!suspects->proved_us)
		suspects->proved_us = now_us;
}

void suspects_passed(struct suspects *suspects, enum suspect_kind number, const char *topic, uint64_t now_us)
{
	struct kind_strikes *kind = &suspects->kinds[number];
	something_passed(suspects, now_us);
	if (!kind->apart && suspects->n_items == 0)
		return;
	struct suspect_item *item =
		kind->apart ? item_get(suspects, number, topic) : item_find(suspects, number, topic);
	if (!item)
		return;
	item->passed = true;
	item->given_up = false;
	item->breaks = item->strikes = item->refusals = 0;
	kind->strikes = 0;
	kind->next_us = 0;
	if (!kind->given_up)
		return;
	/* What was given up with it may be allowed now as well. */
	kind->given_up = false;
	for (size_t i = 0; i < suspects->n_items; i++)
		if (suspects->items[i].kind == number)
			suspects->items[i].given_up = false;
}

bool suspects_refused(struct suspects *suspects, enum suspect_kind kind, const char *topic, uint64_t now_us)
{
	struct suspect_item *item = item_get(suspects, kind, topic);
	suspects_answered_no(suspects, now_us);
	bool known = item ? item->given_up : suspects->refusal_logged;
	if (!item) {
		suspects->refusal_logged = true;
		return !known;
	}
	item->given_up = true;
	item->passed = false;
	/* It may have ended the connection as well: Debian 12's mosquitto does after a PUBACK of 0x87. */
	item->retry_us = now_us + MIN(REFUSED_RETRY_US << MIN(item->refusals, 6u), RETRY_US);
	item->refusals++;
	return !known;
}

bool suspects_too_large(struct suspects *suspects, enum suspect_kind kind, const char *topic)
{
	struct suspect_item *item = item_get(suspects, kind, topic);
	bool *said = item ? &item->too_large : &suspects->too_large_logged, known = *said;
	*said = true;
	return !known;
}

/* ---- samples ---- */

static struct apart_sample *sample_find(const struct suspects *suspects, uint64_t id)
{
	for (size_t i = 0; i < suspects->n_samples; i++)
		if (suspects->samples[i].id == id)
			return (struct apart_sample *)&suspects->samples[i];
	return NULL;
}

/* By ends alone, too: where it goes first each time, nothing would ever pass before it, nor behind it. */
static bool is_apart(const struct apart_sample *sample)
{
	return sample->strikes >= BREAKS_SUSPECT || sample->ends >= ENDS_ALONE;
}

bool suspects_sample_apart(const struct suspects *suspects, uint64_t id)
{
	const struct apart_sample *sample = sample_find(suspects, id);
	return sample && is_apart(sample);
}

enum suspect_verdict suspects_sample_due(const struct suspects *suspects, uint64_t now_us, uint64_t *ret_id)
{
	for (size_t i = 0; i < suspects->n_samples; i++) {
		const struct apart_sample *sample = &suspects->samples[i];
		if (!is_apart(sample))
			continue;
		*ret_id = sample->id;
		if (sample->strikes >= STRIKES_GUILTY && sample->topic_passed)
			return SUSPECT_DROP;
		if (now_us >= test_us(suspects, sample->slowest_us, sample->next_us))
			return SUSPECT_TEST;
	}
	return SUSPECT_FREE;
}

void suspects_sample_forget(struct suspects *suspects, uint64_t id)
{
	struct apart_sample *sample = sample_find(suspects, id);
	if (sample)
		*sample = suspects->samples[--suspects->n_samples];
}

static bool all_items_passed(const struct suspects *suspects)
{
	for (size_t i = 0; i < suspects->n_items; i++)
		if (suspects->items[i].breaks > 0 && !suspects->items[i].given_up)
			return false;
	return true;
}

void suspects_samples_gone(struct suspects *suspects, uint64_t through, uint64_t now_us)
{
	/* All that was under way when the last connection ended has passed since: it was none of it. */
	if (suspects->maybe_flap_us && through >= suspects->maybe_flap_last && all_items_passed(suspects))
		note_flap(suspects, suspects->maybe_flap_us, now_us);
	for (size_t i = suspects->n_samples; i-- > 0;)
		if (suspects->samples[i].id <= through)
			suspects->samples[i] = suspects->samples[--suspects->n_samples];
}

void suspects_samples_passed(struct suspects *suspects, uint64_t first, uint64_t last, uint32_t topic, uint64_t now_us)
{
	something_passed(suspects, now_us);
	for (size_t i = suspects->n_samples; i-- > 0;) {
		struct apart_sample *sample = &suspects->samples[i];
		/* One that is apart goes alone: the others pass it. */
		bool apart = is_apart(sample);
		bool passed = apart ? first == sample->id && last == sample->id
				    : first <= sample->id && last >= sample->id && sample->topic == topic;
		if (passed)
			*sample = suspects->samples[--suspects->n_samples];
		else
			sample->topic_passed |= sample->topic == topic;
	}
}

/* ---- a connection begins ---- */

enum suspect_verdict suspects_connected(struct suspects *suspects, bool with_will, uint64_t now_us)
{
	suspects->connected_us = now_us;
	suspects->proved_us = suspects->no_us = 0;
	if (with_will) {
		memset(&suspects->will, 0, sizeof(suspects->will));
		return SUSPECT_FREE;
	}
	if (suspects->will.failed < BREAKS_SUSPECT || suspects->will.given_up)
		return SUSPECT_FREE;
	suspects->will.leave_out = false;
	if (++suspects->will.without < BREAKS_SUSPECT)
		return SUSPECT_TEST;
	suspects->will.given_up = true;
	suspects->will.retry_us = now_us + RETRY_US;
	return SUSPECT_GIVEN_UP;
}

void suspects_not_accepted(struct suspects *suspects, bool with_will, uint64_t now_us)
{
	suspects->connected_us = 0;
	if (suspects->will.given_up) {
		if (with_will)
			suspects->will.retry_us = now_us + RETRY_US;
		return;
	}
	/* In turns, as long as neither is accepted. */
	suspects->will.failed += with_will;
	suspects->will.leave_out = with_will && suspects->will.failed >= BREAKS_SUSPECT;
}

void suspects_answered_no(struct suspects *suspects, uint64_t now_us)
{
	suspects->no_us = now_us;
}

/* ---- and ends ---- */

void suspects_end(struct suspects *suspects)
{
	for (size_t i = 0; i < suspects->n_items; i++)
		suspects->items[i].under_way = false;
	suspects->n_under_way = 0;
}

void suspects_under_way(struct suspects *suspects, enum suspect_kind kind, const char *topic, uint64_t sent_us)
{
	struct suspect_item *item = item_get(suspects, kind, topic);
	suspects->n_under_way++;
	if (!item)
		return;
	item->under_way = true;
	item->sent_us = sent_us;
}

/* Others passed on that connection, or it lived long without anything; and it ended so soon that it did not of
   itself. */
static bool is_strike(const struct suspects *suspects, uint64_t sent_us, uint64_t now_us)
{
	bool flaps = now_us - suspects->flap_at_us < FLAPS_US;
	if (flaps && suspects->flap_us && 10 * (now_us - sent_us) >= suspects->flap_us)
		return false;
	return suspects->proved_us || (suspects->connected_us && sent_us >= suspects->connected_us + UNPROVED_QUIET_US);
}

static void item_strike(struct suspects *suspects, struct suspect_item *item, uint64_t now_us,
			struct suspects_finding *ret)
{
	struct kind_strikes *kind = &suspects->kinds[item->kind];
	item->strikes++;
	kind->strikes++;
	kind->slowest_us = MAX(kind->slowest_us, now_us - item->sent_us);
	kind->next_us = later_us(kind->slowest_us, kind->strikes - 1, now_us);
	bool whole = kind->strikes >= STRIKES_GUILTY;
	if (!whole && item->strikes < STRIKES_GUILTY)
		return;
	ret->given_up = !kind->given_up && !item->given_up;
	ret->whole_kind = whole;
	ret->kind = item->kind;
	ret->topic = item->topic;
	item->given_up = true;
	item->retry_us = now_us + RETRY_US;
	if (whole) {
		kind->given_up = true;
		kind->retry_us = now_us + RETRY_US;
	}
}

static void may_have_flapped(struct suspects *suspects, uint64_t last, uint64_t now_us)
{
	suspects->maybe_flap_us = suspects->connected_us ? now_us - suspects->connected_us : 0;
	suspects->maybe_flap_last = last;
}

/* True: one was under way before as well, or was tried alone. */
static bool items_broke(struct suspects *suspects, bool single, uint64_t now_us, struct suspects_finding *ret)
{
	bool explained = false;
	for (size_t i = 0; i < suspects->n_items; i++) {
		struct suspect_item *item = &suspects->items[i];
		if (!item->under_way)
			continue;
		ret->learnt |= ++item->breaks == BREAKS_SUSPECT;
		if (item->breaks >= BREAKS_SUSPECT) {
			item->passed = false;
			suspects->kinds[item->kind].apart = explained = true;
		}
		if (single && is_strike(suspects, item->sent_us, now_us)) {
			explained |= suspects->kinds[item->kind].apart;
			item_strike(suspects, item, now_us, ret);
		}
	}
	return explained;
}

static void hold_topic(struct suspects *suspects, uint32_t topic, struct suspects_finding *ret)
{
	ret->hold_topic = true;
	for (size_t i = suspects->n_samples; i-- > 0;)
		if (suspects->samples[i].topic == topic)
			suspects->samples[i] = suspects->samples[--suspects->n_samples];
}

/* strike: see is_strike(); if not, nothing passed before it. */
static void sample_broke(struct suspects *suspects, const struct suspects_flight *flight, bool strike, uint64_t now_us,
			 struct suspects_finding *ret)
{
	struct apart_sample *sample = sample_find(suspects, flight->first);
	if (!sample && suspects->n_samples == SAMPLES_APART_MAX) {
		hold_topic(suspects, flight->topic, ret);
		return;
	}
	if (!sample) {
		sample = &suspects->samples[suspects->n_samples++];
		*sample = (struct apart_sample){.id = flight->first, .topic = flight->topic};
	}
	sample->strikes += strike;
	sample->ends += !strike;
	sample->slowest_us = MAX(sample->slowest_us, now_us - flight->sent_us);
	sample->next_us = later_us(sample->slowest_us, MAX(sample->strikes, 1u) - 1, now_us);
	for (size_t i = 0; i < suspects->n_samples && is_apart(sample); i++) {
		const struct apart_sample *other = &suspects->samples[i];
		if (other->id == sample->id || other->topic != sample->topic || !is_apart(other) || other->topic_passed)
			continue;
		hold_topic(suspects, flight->topic, ret);
		return;
	}
}

static bool any_apart(const struct suspects *suspects)
{
	for (size_t i = 0; i < suspects->n_samples; i++)
		if (is_apart(&suspects->samples[i]))
			return true;
	return false;
}

/* Which were under way at all of the last ends. */
static void remember_samples(struct suspects *suspects, const struct suspects_flight *flight)
{
	bool common = flight->n > 0 && suspects->sample_breaks > 0 && flight->first <= suspects->common_last;
	suspects->common_last = common ? MIN(flight->last, suspects->common_last) : flight->last;
	suspects->sample_breaks = flight->n == 0 ? 0 : common ? suspects->sample_breaks + 1 : 1;
}

/* True: some of them were under way before as well, or another is apart and this may be one more. */
static bool samples_broke(struct suspects *suspects, const struct suspects_flight *flight, uint64_t now_us,
			  struct suspects_finding *ret)
{
	remember_samples(suspects, flight);
	if (suspects->sample_breaks >= BREAKS_SUSPECT) {
		ret->narrow_until = suspects->common_last;
		size_t n = (size_t)MIN((uint64_t)flight->n, suspects->common_last - flight->first + 1);
		ret->narrow = MAX(n / 2, (size_t)1);
	} else if (any_apart(suspects)) {
		/* The next bad one, or the line: one sample tells. */
		ret->narrow_until = suspects->common_last;
		ret->narrow = 1;
	}
	ret->learnt = ret->narrow_until && ret->narrow < flight->n;
	bool strike = is_strike(suspects, flight->sent_us, now_us);
	if (flight->n == 1 && (strike || !suspects->proved_us))
		sample_broke(suspects, flight, strike, now_us, ret);
	return suspects->sample_breaks >= BREAKS_SUSPECT || ret->hold_topic || ret->narrow_until;
}

/* The connection ended without them: so do others, and theirs proved nothing. */
static void clear_absent_items(struct suspects *suspects, const struct suspects_flight *flight)
{
	bool absent[SUSPECT_N_KINDS];
	memset(absent, true, sizeof(absent));
	for (size_t i = 0; i < suspects->n_items; i++) {
		struct suspect_item *item = &suspects->items[i];
		if (item->under_way)
			absent[item->kind] = false;
		else
			item->breaks = item->strikes = 0;
	}
	for (size_t i = 0; i < SUSPECT_N_KINDS; i++)
		if (absent[i] && !suspects->kinds[i].given_up)
			suspects->kinds[i] = (struct kind_strikes){0};
	for (size_t i = suspects->n_samples; i-- > 0;) {
		uint64_t id = suspects->samples[i].id;
		if (flight->n == 0 || id < flight->first || id > flight->last)
			suspects->samples[i] = suspects->samples[--suspects->n_samples];
	}
}

void suspects_ended(struct suspects *suspects, const struct suspects_flight *flight, uint64_t now_us,
		    struct suspects_finding *ret)
{
	*ret = (struct suspects_finding){0};
	uint64_t lived_us = suspects->connected_us ? now_us - suspects->connected_us : 0;
	bool no = suspects->no_us && now_us - suspects->no_us < NO_EXPLAINS_US;
	bool explained = no, common = false;
	if (!no && suspects->n_under_way > 0) {
		explained = common = items_broke(suspects, suspects->n_under_way == 1 && flight->n == 0, now_us, ret);
		/* As long as it may have been something else, it was no sample: but it may have been one of these. */
		remember_samples(suspects, flight);
		suspects->sample_breaks = MIN(suspects->sample_breaks, 1u);
	} else if (!no && flight->n > 0) {
		explained = samples_broke(suspects, flight, now_us, ret);
		common = suspects->sample_breaks >= BREAKS_SUSPECT;
	} else if (!no) {
		suspects->sample_breaks = 0;
	}
	if (!explained)
		clear_absent_items(suspects, flight);
	if (!no && suspects->n_under_way == 0 && flight->n == 0)
		note_flap(suspects, lived_us, now_us);
	else if (!no && !common)
		may_have_flapped(suspects, flight->n ? flight->last : 0, now_us);
	else
		suspects->maybe_flap_us = 0;
	suspects->young_ends = explained || lived_us >= YOUNG_US ? 0 : suspects->young_ends + 1;
	ret->twin = suspects->young_ends >= 2;
	suspects->connected_us = 0;
}
