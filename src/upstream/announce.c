/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/announce.h"
#include "base/clock.h"
#include "base/json.h"
#include "model/device_info.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define EVENTS_KEPT 32
/* So many messages made ahead are enough; the rest stays where it can still be replaced by newer word. */
#define NOTES_AHEAD 32
#define DROPS_PERIOD_US USEC_PER_MINUTE

struct device_entry {
	char *name;
	struct device_info *info; /* kept after removal: the dialect may need it to say so */
	bool removed, dirty;
	uint64_t version; /* grows with every word on it */
};

struct event_entry {
	uint64_t number;
	uint64_t time_us;
	char *name, *fields;
};

enum note_kind { NOTE_BIRTH, NOTE_DEVICE, NOTE_REMOVED, NOTE_EVENT, NOTE_STARTED, NOTE_DROPS };

/* A message made and not yet acknowledged. */
struct note {
	struct note *next;
	struct message message;
	enum note_kind kind;
	int mid;			/* 0: not sent */
	uint64_t sent_us, end, left_us; /* see struct window_message */
	uint64_t number;		/* EVENT: which; REMOVED: the entry's version */
	char *device;			/* REMOVED */
	struct queue_drop *drops;
	size_t n_drops;
};

struct announce {
	atomic_bool news;     /* there may be devices or events to make messages of */
	pthread_mutex_t lock; /* for the devices and events */
	struct device_entry *devices;
	size_t n_devices;
	struct event_entry events[EVENTS_KEPT]; /* [0, n_events), oldest first */
	size_t n_events;
	uint64_t next_event;

	/* The uplink's thread only. */
	uint64_t created_us;
	bool started_told, started_made;
	uint64_t last_event_made; /* events up to this number have a note */
	uint64_t next_drops_us;
	bool drops_made;
	struct note *notes, **notes_end;
	size_t n_notes, n_inflight;
	bool refusal_told;
	struct buf refused_topic;
	/* What the sink puts into the note it makes. */
	enum note_kind making;
	const struct device_entry *making_device;
};

struct announce *announce_new(void)
{
	struct announce *announce = calloc(1, sizeof(*announce));
	if (!announce)
		return NULL;
	pthread_mutex_init(&announce->lock, NULL);
	announce->created_us = clock_now();
	announce->notes_end = &announce->notes;
	announce->next_event = 1;
	return announce;
}

static void note_free(struct note *note)
{
	message_done(&note->message);
	free(note->device);
	free(note->drops);
	free(note);
}

static void event_done(struct event_entry *event)
{
	free(event->name);
	free(event->fields);
}

static void forget_notes(struct announce *announce)
{
	while (announce->notes) {
		struct note *note = announce->notes;
		announce->notes = note->next;
		note_free(note);
	}
	announce->notes_end = &announce->notes;
	announce->n_notes = announce->n_inflight = 0;
}

struct announce *announce_free(struct announce *announce)
{
	if (!announce)
		return NULL;
	forget_notes(announce);
	for (size_t i = 0; i < announce->n_devices; i++) {
		free(announce->devices[i].name);
		device_info_unref(announce->devices[i].info);
	}
	free(announce->devices);
	for (size_t i = 0; i < announce->n_events; i++)
		event_done(&announce->events[i]);
	buf_done(&announce->refused_topic);
	pthread_mutex_destroy(&announce->lock);
	free(announce);
	return NULL;
}

/* ---- any thread ---- */

static struct device_entry *entry_find(struct announce *announce, const char *name)
{
	for (size_t i = 0; i < announce->n_devices; i++) {
		if (strcmp(announce->devices[i].name, name) == 0)
			return &announce->devices[i];
	}
	return NULL;
}

static struct device_entry *entry_add(struct announce *announce, const char *name)
{
	struct device_entry *devices =
		reallocarray(announce->devices, announce->n_devices + 1, sizeof(*announce->devices));
	if (!devices)
		return NULL;
	announce->devices = devices;
	char *copy = strdup(name);
	if (!copy)
		return NULL;
	struct device_entry *entry = &devices[announce->n_devices++];
	*entry = (struct device_entry){.name = copy};
	return entry;
}

/* With the lock held. */
static void put_device(struct announce *announce, struct device_info *info)
{
	struct device_entry *entry = entry_find(announce, info->device->name);
	if (!entry)
		entry = entry_add(announce, info->device->name);
	if (!entry)
		return;
	device_info_unref(entry->info);
	entry->info = device_info_ref(info);
	entry->removed = false;
	entry->dirty = true;
	entry->version++;
	announce->news = true;
}

static void remove_device(struct announce *announce, const char *device)
{
	struct device_entry *entry = entry_find(announce, device);
	if (!entry || entry->removed)
		return;
	entry->removed = true;
	entry->dirty = true;
	entry->version++;
	announce->news = true;
}

void announce_device(struct announce *announce, struct device_info *info)
{
	pthread_mutex_lock(&announce->lock);
	put_device(announce, info);
	pthread_mutex_unlock(&announce->lock);
}

void announce_device_removed(struct announce *announce, const char *device)
{
	pthread_mutex_lock(&announce->lock);
	remove_device(announce, device);
	pthread_mutex_unlock(&announce->lock);
}

void announce_device_gone(struct announce *announce, struct device_info *info)
{
	pthread_mutex_lock(&announce->lock);
	if (!entry_find(announce, info->device->name))
		put_device(announce, info);
	remove_device(announce, info->device->name);
	pthread_mutex_unlock(&announce->lock);
}

static void drop_event(struct announce *announce, size_t index)
{
	event_done(&announce->events[index]);
	memmove(&announce->events[index], &announce->events[index + 1],
		(announce->n_events - index - 1) * sizeof(announce->events[0]));
	announce->n_events--;
}

void announce_event(struct announce *announce, const char *name, const char *fields)
{
	struct event_entry event = {
		.time_us = clock_now(),
		.name = strdup(name),
		.fields = fields ? strdup(fields) : NULL,
	};
	if (!event.name || (fields && !event.fields)) {
		event_done(&event);
		return;
	}
	pthread_mutex_lock(&announce->lock);
	event.number = announce->next_event++;
	if (announce->n_events == EVENTS_KEPT)
		drop_event(announce, 0);
	announce->events[announce->n_events++] = event;
	announce->news = true;
	pthread_mutex_unlock(&announce->lock);
}

/* ---- making messages ---- */

/* message_sink */
static int keep(void *userdata, struct message *message)
{
	struct announce *announce = userdata;
	struct note *note = calloc(1, sizeof(*note));
	if (!note)
		return -ENOMEM;
	note->kind = announce->making;
	if (note->kind == NOTE_REMOVED) {
		note->number = announce->making_device->version;
		note->device = strdup(announce->making_device->name);
	}
	note->message = *message;
	*message = (struct message){0};
	*announce->notes_end = note;
	announce->notes_end = &note->next;
	announce->n_notes++;
	return 0;
}

static int64_t wall_ms(uint64_t monotonic_us)
{
	return ((int64_t)monotonic_us + clock_wall_offset()) / (int64_t)USEC_PER_MSEC;
}

static int make_birth(struct announce *announce, const struct announce_voice *voice)
{
	_cleanup_free_ struct dialect_device *devices = calloc(announce->n_devices + 1, sizeof(*devices));
	if (!devices)
		return -ENOMEM;
	size_t n = 0;
	for (size_t i = 0; i < announce->n_devices; i++) {
		struct device_entry *entry = &announce->devices[i];
		if (entry->removed) {
			entry->dirty = true;
			continue;
		}
		entry->dirty = false;
		devices[n++] = (struct dialect_device){.info = entry->info, .since_ms = wall_ms(entry->info->since_us)};
	}
	announce->making = NOTE_BIRTH;
	return voice->dialect->birth(voice->state, devices, n, keep, announce);
}

int announce_begin(struct announce *announce, const struct announce_voice *voice)
{
	forget_notes(announce);
	announce->started_made = announce->drops_made = false;
	announce->last_event_made = 0;
	announce->next_drops_us = 0;
	announce->refusal_told = false;
	announce->news = true;
	pthread_mutex_lock(&announce->lock);
	int r = make_birth(announce, voice);
	pthread_mutex_unlock(&announce->lock);
	return r;
}

void announce_withdraw(struct announce *announce)
{
	forget_notes(announce);
	pthread_mutex_lock(&announce->lock);
	for (size_t i = 0; i < announce->n_devices; i++) {
		announce->devices[i].removed = announce->devices[i].dirty = true;
		announce->devices[i].version++;
	}
	announce->news = true;
	pthread_mutex_unlock(&announce->lock);
}

static int make_devices(struct announce *announce, const struct announce_voice *voice)
{
	for (size_t i = 0; i < announce->n_devices && announce->n_notes < NOTES_AHEAD; i++) {
		struct device_entry *entry = &announce->devices[i];
		if (!entry->dirty)
			continue;
		struct dialect_device device = {.info = entry->info, .since_ms = wall_ms(entry->info->since_us)};
		announce->making = entry->removed ? NOTE_REMOVED : NOTE_DEVICE;
		announce->making_device = entry;
		int r = voice->dialect->device_state(voice->state, &device, entry->removed, keep, announce);
		if (r < 0)
			return r;
		entry->dirty = false;
	}
	return 0;
}

static int make_event(struct announce *announce, const struct announce_voice *voice, enum note_kind kind,
		      const struct dialect_event *event)
{
	struct message message = {0};
	int r = voice->dialect->event(voice->state, event, &message);
	if (r == 0) {
		announce->making = kind;
		r = keep(announce, &message);
	}
	message_done(&message);
	return r;
}

/* The note made last. */
static struct note *last_note(const struct announce *announce)
{
	return container_of(announce->notes_end, struct note, next);
}

static int make_events(struct announce *announce, const struct announce_voice *voice)
{
	for (size_t i = 0; i < announce->n_events && announce->n_notes < NOTES_AHEAD; i++) {
		const struct event_entry *entry = &announce->events[i];
		if (entry->number <= announce->last_event_made)
			continue;
		const struct dialect_event event = {
			.ts_ms = wall_ms(entry->time_us), .name = entry->name, .fields = entry->fields};
		int r = make_event(announce, voice, NOTE_EVENT, &event);
		if (r < 0)
			return r;
		announce->last_event_made = entry->number;
		if (r == 0)
			last_note(announce)->number = entry->number;
	}
	return 0;
}

static int make_started(struct announce *announce, const struct announce_voice *voice)
{
	uint64_t first = announce->started_told || announce->started_made ? 0 : queue_first_seq(voice->queue);
	if (first == 0)
		return 0;
	_cleanup_buf_ struct buf fields = {0};
	buf_printf(&fields, "\"first_seq\":%llu", (unsigned long long)first);
	const struct dialect_event event = {
		.ts_ms = wall_ms(announce->created_us), .name = "started", .fields = buf_text(&fields)};
	int r = make_event(announce, voice, NOTE_STARTED, &event);
	announce->started_made = r >= 0;
	announce->started_told = r == 1;
	return r;
}

/* One event for a cause; its note carries the rows, to be called reported when it is acknowledged. */
static int make_dropped(struct announce *announce, const struct announce_voice *voice, const struct queue_drop *drops,
			size_t n_drops, enum drop_cause cause)
{
	uint64_t samples = 0, unknown = 0;
	_cleanup_free_ struct queue_drop *rows = calloc(n_drops, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	size_t n_rows = 0;
	for (size_t i = 0; i < n_drops; i++) {
		if (drops[i].cause != cause)
			continue;
		rows[n_rows++] = drops[i];
		samples += drops[i].samples;
		unknown += drops[i].unknown;
	}
	if (n_rows == 0)
		return 0;
	_cleanup_buf_ struct buf fields = {0};
	buf_printf(&fields, "\"samples\":%llu,\"reason\":\"%s\"%s", (unsigned long long)samples,
		   drop_cause_to_string(cause), unknown > 0 ? ",\"unknown\":true" : "");
	const struct dialect_event event = {
		.ts_ms = wall_ms(clock_now()), .name = "dropped", .fields = buf_text(&fields)};
	int r = make_event(announce, voice, NOTE_DROPS, &event);
	if (r != 0)
		return r;
	last_note(announce)->drops = rows;
	last_note(announce)->n_drops = n_rows;
	rows = NULL;
	announce->drops_made = true;
	return 0;
}

static int make_drops(struct announce *announce, const struct announce_voice *voice, uint64_t now_us)
{
	if (announce->drops_made || now_us < announce->next_drops_us)
		return 0;
	announce->next_drops_us = now_us + DROPS_PERIOD_US;
	_cleanup_free_ struct queue_drop *drops = NULL;
	size_t n_drops = queue_drops_pending(voice->reader, &drops);
	int r = 0;
	for (int cause = 0; cause < DROP_N_CAUSES && n_drops > 0 && r >= 0; cause++)
		r = make_dropped(announce, voice, drops, n_drops, (enum drop_cause)cause);
	return r;
}

static int make_all(struct announce *announce, const struct announce_voice *voice, uint64_t now_us)
{
	if (announce->n_notes >= NOTES_AHEAD)
		return 0;
	int r = 0;
	if (atomic_exchange(&announce->news, false)) {
		pthread_mutex_lock(&announce->lock);
		r = make_devices(announce, voice);
		if (r >= 0)
			r = make_events(announce, voice);
		pthread_mutex_unlock(&announce->lock);
		/* Not all may have been made. */
		if (r < 0 || announce->n_notes >= NOTES_AHEAD)
			announce->news = true;
	}
	if (r >= 0)
		r = make_started(announce, voice);
	if (r >= 0)
		r = make_drops(announce, voice, now_us);
	return r;
}

/* ---- sending ---- */

static void take_out(struct announce *announce, struct note *note)
{
	struct note **at = &announce->notes;
	while (*at != note)
		at = &(*at)->next;
	*at = note->next;
	if (!*at)
		announce->notes_end = at;
	announce->n_notes--;
	announce->n_inflight -= note->mid != 0;
	note_free(note);
}

static void forget_removed(struct announce *announce, const struct note *note)
{
	pthread_mutex_lock(&announce->lock);
	struct device_entry *entry = note->device ? entry_find(announce, note->device) : NULL;
	if (entry && entry->removed && entry->version == note->number) {
		free(entry->name);
		device_info_unref(entry->info);
		*entry = announce->devices[--announce->n_devices];
	}
	pthread_mutex_unlock(&announce->lock);
}

static void forget_event(struct announce *announce, uint64_t number)
{
	pthread_mutex_lock(&announce->lock);
	for (size_t i = 0; i < announce->n_events; i++) {
		if (announce->events[i].number == number) {
			drop_event(announce, i);
			break;
		}
	}
	pthread_mutex_unlock(&announce->lock);
}

/* The broker has it, or never will. */
static void settle(struct announce *announce, const struct announce_voice *voice, struct note *note)
{
	switch (note->kind) {
	case NOTE_BIRTH:
	case NOTE_DEVICE:
		break;
	case NOTE_REMOVED:
		forget_removed(announce, note);
		break;
	case NOTE_EVENT:
		forget_event(announce, note->number);
		break;
	case NOTE_STARTED:
		announce->started_told = true;
		break;
	case NOTE_DROPS:
		queue_drops_reported(voice->reader, note->drops, note->n_drops);
		announce->drops_made = false;
		break;
	}
	take_out(announce, note);
}

static enum suspect_verdict note_verdict(const struct announce_voice *voice, struct note *note, uint64_t now_us)
{
	return suspects_verdict(voice->suspects, SUSPECT_ANNOUNCEMENT, buf_text(&note->message.topic), now_us);
}

/* -errno: the connection or memory. */
static int send_note(struct announce *announce, const struct announce_voice *voice, struct note *note,
		     struct mqtt *mqtt, uint64_t now_us)
{
	int mid = 0;
	int r = mqtt_publish(mqtt, &note->message, &mid);
	if (r == -EMSGSIZE || r == -EINVAL) {
		if (r == -EMSGSIZE)
			voice->too_large(voice->userdata, &note->message);
		settle(announce, voice, note);
		return 0;
	}
	if (r < 0)
		return r;
	line_rate_queued(voice->line, message_size(&note->message), now_us);
	note->mid = mid;
	note->sent_us = now_us;
	note->end = voice->line->queued;
	announce->n_inflight++;
	return 0;
}

int announce_send(struct announce *announce, const struct announce_voice *voice, struct mqtt *mqtt, size_t limit,
		  uint64_t now_us)
{
	int r = make_all(announce, voice, now_us);
	for (struct note *note = announce->notes, *next; note && r >= 0 && announce->n_inflight < limit; note = next) {
		next = note->next;
		if (note->mid)
			continue;
		enum suspect_verdict verdict = note_verdict(voice, note, now_us);
		/* An event and what was dropped stay to be told, the rest is told anew with the next connection. */
		if (verdict == SUSPECT_GIVEN_UP)
			take_out(announce, note);
		else if (verdict == SUSPECT_FREE)
			r = send_note(announce, voice, note, mqtt, now_us);
	}
	return MIN(r, 0);
}

/* Of those that may be tried alone now, the one that ended the fewest connections; NULL: none. */
static struct note *least_suspect(const struct announce *announce, const struct announce_voice *voice, uint64_t now_us)
{
	struct note *least = NULL;
	unsigned fewest = UINT_MAX;
	for (struct note *note = announce->notes; note; note = note->next) {
		if (note->mid || note_verdict(voice, note, now_us) != SUSPECT_TEST)
			continue;
		unsigned strikes =
			suspects_strikes(voice->suspects, SUSPECT_ANNOUNCEMENT, buf_text(&note->message.topic));
		if (strikes < fewest) {
			fewest = strikes;
			least = note;
		}
	}
	return least;
}

bool announce_wants_test(const struct announce *announce, const struct announce_voice *voice, uint64_t now_us)
{
	return least_suspect(announce, voice, now_us);
}

int announce_send_test(struct announce *announce, const struct announce_voice *voice, struct mqtt *mqtt,
		       uint64_t now_us)
{
	struct note *note = least_suspect(announce, voice, now_us);
	return note ? send_note(announce, voice, note, mqtt, now_us) : 0;
}

bool announce_published(struct announce *announce, const struct announce_voice *voice, int mid, unsigned reason,
			uint64_t now_us, const char **ret_refused)
{
	*ret_refused = NULL;
	if (announce->n_inflight == 0)
		return false;
	struct note *note = announce->notes;
	while (note && note->mid != mid)
		note = note->next;
	if (!note)
		return false;
	const char *topic = buf_text(&note->message.topic);
	if (reason < 128) {
		suspects_passed(voice->suspects, SUSPECT_ANNOUNCEMENT, topic, now_us);
		settle(announce, voice, note);
		return true;
	}
	bool say = suspects_refused(voice->suspects, SUSPECT_ANNOUNCEMENT, topic, now_us);
	if (say && !announce->refusal_told) {
		announce->refusal_told = true;
		buf_clear(&announce->refused_topic);
		buf_add(&announce->refused_topic, note->message.topic.data, note->message.topic.size);
		*ret_refused = buf_text(&announce->refused_topic);
	}
	/* What it said is not lost: it is told anew with a later connection. */
	take_out(announce, note);
	return true;
}

void announce_under_way(const struct announce *announce, struct suspects *suspects)
{
	for (struct note *note = announce->notes; note; note = note->next)
		if (note->mid)
			suspects_under_way(suspects, SUSPECT_ANNOUNCEMENT, buf_text(&note->message.topic),
					   note->sent_us);
}

size_t announce_inflight(const struct announce *announce)
{
	return announce->n_inflight;
}

bool announce_idle(const struct announce *announce)
{
	return announce->n_notes == 0;
}

void announce_left(struct announce *announce, uint64_t bytes, uint64_t now_us)
{
	for (struct note *note = announce->notes; note && announce->n_inflight > 0; note = note->next)
		if (note->mid && !note->left_us && note->end <= bytes)
			note->left_us = now_us;
}

uint64_t announce_oldest_left_us(const struct announce *announce)
{
	uint64_t oldest = UINT64_MAX;
	for (const struct note *note = announce->notes; note && announce->n_inflight > 0; note = note->next)
		if (note->left_us)
			oldest = MIN(oldest, note->left_us);
	return oldest;
}

bool announce_waits_for_seq(const struct announce *announce)
{
	return !announce->started_told && !announce->started_made;
}
