/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/announce.h"
#include "base/clock.h"
#include "base/mutex.h"
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* So many messages made ahead are enough; the rest stays where it can still be replaced by newer word. */
#define MADE_AHEAD 32
#define DROPS_PERIOD_US USEC_PER_MINUTE

struct device_entry {
	char *name;
	struct device_info *info; /* kept after removal: the dialect may need it to say so */
	bool removed, dirty;
	uint64_t version; /* grows with every word on it */
};

enum note_kind { NOTE_REMOVED, NOTE_STARTED, NOTE_DROPS };

/* What is to be done once the messages made of it have been answered. */
struct announce_note {
	struct announce_note *next;
	uint64_t number; /* the owner of its messages */
	unsigned n_open; /* messages not yet answered */
	bool not_taken;	 /* one of them: it is told anew later */
	enum note_kind kind;
	char *device;	  /* REMOVED */
	uint64_t version; /* REMOVED: the entry's */
	struct queue_drop *drops;
	size_t n_drops;
};

struct announce {
	atomic_bool news;  /* there may be devices to make messages of */
	struct mutex lock; /* for the devices */
	struct device_entry *devices;
	size_t n_devices;

	/* The uplink's thread only. */
	uint64_t created_us;
	bool started_told, started_made;
	uint64_t next_drops_us;
	bool drops_made;
	struct announce_note *notes;
	uint64_t last_note;
};

/* What the sink needs. */
struct note_making {
	const struct announce_maker *maker;
	enum outgoing_kind kind;
	struct announce_note *note; /* NULL: nothing is to be done when it is answered */
};

struct announce *announce_new(void)
{
	struct announce *announce = calloc(1, sizeof(*announce));
	if (!announce)
		return NULL;
	mutex_init(&announce->lock);
	announce->created_us = clock_now();
	return announce;
}

static struct announce_note *note_free(struct announce_note *note)
{
	if (!note)
		return NULL;
	free(note->device);
	free(note->drops);
	free(note);
	return NULL;
}
DEFINE_CLEANUP(struct announce_note *, note_free)

static void forget_notes(struct announce *announce)
{
	while (announce->notes) {
		struct announce_note *note = announce->notes;
		announce->notes = note->next;
		note_free(note);
	}
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
	mutex_destroy(&announce->lock);
	free(announce);
	return NULL;
}

/* ---- any thread ---- */

static struct device_entry *entry_find(struct announce *announce, const char *name) REQUIRES(announce->lock)
{
	for (size_t i = 0; i < announce->n_devices; i++) {
		if (strcmp(announce->devices[i].name, name) == 0)
			return &announce->devices[i];
	}
	return NULL;
}

static struct device_entry *entry_add(struct announce *announce, const char *name) REQUIRES(announce->lock)
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

static void put_device(struct announce *announce, struct device_info *info) REQUIRES(announce->lock)
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

static void remove_device(struct announce *announce, const char *device) REQUIRES(announce->lock)
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
	mutex_lock(&announce->lock);
	put_device(announce, info);
	mutex_unlock(&announce->lock);
}

void announce_device_removed(struct announce *announce, const char *device)
{
	mutex_lock(&announce->lock);
	remove_device(announce, device);
	mutex_unlock(&announce->lock);
}

void announce_device_gone(struct announce *announce, struct device_info *info)
{
	mutex_lock(&announce->lock);
	if (!entry_find(announce, info->device->name))
		put_device(announce, info);
	remove_device(announce, info->device->name);
	mutex_unlock(&announce->lock);
}

/* ---- making messages ---- */

/* message_sink */
static int put_message(void *userdata, struct message *message)
{
	const struct note_making *making = userdata;
	if (!outbox_add(making->maker->outbox, making->kind, making->note ? making->note->number : 0, message))
		return -ENOMEM;
	if (making->note)
		making->note->n_open++;
	return 0;
}

static struct announce_note *note_new(struct announce *announce, enum note_kind kind)
{
	struct announce_note *note = calloc(1, sizeof(*note));
	if (!note)
		return NULL;
	note->kind = kind;
	note->number = ++announce->last_note;
	return note;
}

static int64_t wall_ms(uint64_t monotonic_us)
{
	return ((int64_t)monotonic_us + clock_wall_offset()) / (int64_t)USEC_PER_MSEC;
}

static int make_birth(struct announce *announce, const struct announce_maker *maker) REQUIRES(announce->lock)
{
	_cleanup_free_ struct dialect_device *devices = calloc(announce->n_devices + 1, sizeof(*devices));
	struct note_making making = {.maker = maker, .kind = OUTGOING_BIRTH};
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
	return maker->dialect->birth(maker->state, devices, n, put_message, &making);
}

int announce_birth(struct announce *announce, const struct announce_maker *maker)
{
	mutex_lock(&announce->lock);
	int r = make_birth(announce, maker);
	mutex_unlock(&announce->lock);
	return r;
}

int announce_begin(struct announce *announce, const struct announce_maker *maker)
{
	forget_notes(announce);
	announce->started_made = announce->drops_made = false;
	announce->next_drops_us = 0;
	announce->news = true;
	return announce_birth(announce, maker);
}

void announce_withdraw(struct announce *announce)
{
	forget_notes(announce);
	mutex_lock(&announce->lock);
	for (size_t i = 0; i < announce->n_devices; i++) {
		announce->devices[i].removed = announce->devices[i].dirty = true;
		announce->devices[i].version++;
	}
	announce->news = true;
	mutex_unlock(&announce->lock);
}

static void forget_removed(struct announce *announce, const struct announce_note *note) REQUIRES(announce->lock)
{
	struct device_entry *entry = entry_find(announce, note->device);
	if (!entry || !entry->removed || entry->version != note->version)
		return;
	free(entry->name);
	device_info_unref(entry->info);
	*entry = announce->devices[--announce->n_devices];
}

static int make_gone(struct announce *announce, const struct announce_maker *maker, struct device_entry *entry,
		     const struct dialect_device *device)
{
	_cleanup_(note_freep) struct announce_note *note = note_new(announce, NOTE_REMOVED);
	if (note)
		note->device = strdup(entry->name);
	if (!note || !note->device)
		return -ENOMEM;
	note->version = entry->version;
	struct note_making making = {.maker = maker, .kind = OUTGOING_DEVICE, .note = note};
	int r = maker->dialect->gone(maker->state, device, put_message, &making);
	if (r < 0)
		return r;
	if (note->n_open == 0)
		return 0; /* nobody is to be told; the entry is needed no longer, and goes with the uplink */
	note->next = announce->notes;
	announce->notes = note;
	note = NULL;
	return 0;
}

static int make_device(struct announce *announce, const struct announce_maker *maker, struct device_entry *entry)
{
	const struct dialect_device device = {.info = entry->info, .since_ms = wall_ms(entry->info->since_us)};
	if (entry->removed)
		return make_gone(announce, maker, entry, &device);
	struct note_making making = {.maker = maker, .kind = OUTGOING_DEVICE};
	return maker->dialect->device(maker->state, &device, put_message, &making);
}

static int make_devices(struct announce *announce, const struct announce_maker *maker) REQUIRES(announce->lock)
{
	for (size_t i = 0; i < announce->n_devices && outbox_waiting(maker->outbox) < MADE_AHEAD; i++) {
		struct device_entry *entry = &announce->devices[i];
		if (!entry->dirty)
			continue;
		int r = make_device(announce, maker, entry);
		if (r < 0)
			return r;
		entry->dirty = false;
	}
	return 0;
}

/* The note's messages; without any it is done already. */
static int make_event(struct announce *announce, const struct announce_maker *maker, struct announce_note *note,
		      const struct dialect_event *event)
{
	struct note_making making = {.maker = maker, .kind = OUTGOING_EVENT, .note = note};
	int r = maker->dialect->event ? maker->dialect->event(maker->state, event, put_message, &making) : 0;
	if (r < 0) {
		note_free(note);
		return r;
	}
	note->next = announce->notes;
	announce->notes = note;
	return 0;
}

static struct hay_value number_value(uint64_t number)
{
	return (struct hay_value){.type = HAY_UINT64, .u = number};
}

static struct announce_note *note_find(const struct announce *announce, uint64_t number)
{
	struct announce_note *note = announce->notes;
	while (note && note->number != number)
		note = note->next;
	return note;
}

static void take_out(struct announce *announce, struct announce_note *note)
{
	struct announce_note **at = &announce->notes;
	while (*at != note)
		at = &(*at)->next;
	*at = note->next;
	note_free(note);
}

/* All its messages are answered. */
static void finish_note(struct announce *announce, const struct announce_maker *maker, struct announce_note *note)
{
	switch (note->kind) {
	case NOTE_REMOVED:
		mutex_lock(&announce->lock);
		forget_removed(announce, note);
		mutex_unlock(&announce->lock);
		break;
	case NOTE_STARTED:
		announce->started_told = true;
		break;
	case NOTE_DROPS:
		queue_drops_reported(maker->reader, note->drops, note->n_drops);
		announce->drops_made = false;
		break;
	}
	take_out(announce, note);
}

static int make_started(struct announce *announce, const struct announce_maker *maker)
{
	uint64_t first = announce->started_told || announce->started_made ? 0 : queue_first_seq(maker->queue);
	if (first == 0)
		return 0;
	struct announce_note *note = note_new(announce, NOTE_STARTED);
	if (!note)
		return -ENOMEM;
	const struct dialect_event event = {
		.ts_ms = wall_ms(announce->created_us),
		.name = "started",
		.fields = {{"first_seq", number_value(first)}},
	};
	announce->started_made = true;
	int r = make_event(announce, maker, note, &event);
	if (r >= 0 && note->n_open == 0)
		finish_note(announce, maker, note);
	return r;
}

/* One event for a cause; its note has the rows, to be called reported when it is acknowledged. */
static int make_dropped(struct announce *announce, const struct announce_maker *maker, const struct queue_drop *drops,
			size_t n_drops, enum drop_cause cause)
{
	const char *why = drop_cause_to_string(cause);
	uint64_t samples = 0, unknown = 0;
	_cleanup_(note_freep) struct announce_note *note = note_new(announce, NOTE_DROPS);
	if (note)
		note->drops = calloc(n_drops, sizeof(*note->drops));
	if (!note || !note->drops)
		return -ENOMEM;
	for (size_t i = 0; i < n_drops; i++) {
		if (drops[i].cause != cause)
			continue;
		note->drops[note->n_drops++] = drops[i];
		samples += drops[i].samples;
		unknown += drops[i].unknown;
	}
	if (note->n_drops == 0)
		return 0;
	struct dialect_event event = {
		.ts_ms = wall_ms(clock_now()),
		.name = "dropped",
		.fields = {{"samples", number_value(samples)},
			   {"reason", {.type = HAY_STRING, .s = {.data = why, .size = strlen(why)}}}},
	};
	if (unknown > 0)
		event.fields[2] = (struct event_field){"unknown", {.type = HAY_BOOL, .b = true}};
	announce->drops_made = true;
	struct announce_note *made = note;
	note = NULL;
	int r = make_event(announce, maker, made, &event);
	if (r >= 0 && made->n_open == 0)
		finish_note(announce, maker, made);
	return r;
}

static int make_drops(struct announce *announce, const struct announce_maker *maker, uint64_t now_us)
{
	if (announce->drops_made || now_us < announce->next_drops_us)
		return 0;
	announce->next_drops_us = now_us + DROPS_PERIOD_US;
	_cleanup_free_ struct queue_drop *drops = NULL;
	size_t n_drops = queue_drops_pending(maker->reader, &drops);
	int r = 0;
	for (int cause = 0; cause < DROP_N_CAUSES && n_drops > 0 && r >= 0; cause++)
		r = make_dropped(announce, maker, drops, n_drops, (enum drop_cause)cause);
	return r;
}

int announce_make(struct announce *announce, const struct announce_maker *maker, uint64_t now_us)
{
	if (outbox_waiting(maker->outbox) >= MADE_AHEAD)
		return 0;
	int r = 0;
	if (atomic_exchange(&announce->news, false)) {
		mutex_lock(&announce->lock);
		r = make_devices(announce, maker);
		mutex_unlock(&announce->lock);
		/* Not all may have been made. */
		if (r < 0 || outbox_waiting(maker->outbox) >= MADE_AHEAD)
			announce->news = true;
	}
	if (r >= 0)
		r = make_started(announce, maker);
	if (r >= 0)
		r = make_drops(announce, maker, now_us);
	return r;
}

bool announce_has_news(const struct announce *announce)
{
	return announce->news;
}

static void note_answered(struct announce *announce, const struct announce_maker *maker,
			  const struct outgoing *outgoing, bool taken)
{
	struct announce_note *note = outgoing->owner ? note_find(announce, outgoing->owner) : NULL;
	if (!note)
		return;
	note->not_taken |= !taken;
	if (--note->n_open > 0)
		return;
	if (note->not_taken)
		take_out(announce, note);
	else
		finish_note(announce, maker, note);
}

void announce_done(struct announce *announce, const struct announce_maker *maker, const struct outgoing *outgoing)
{
	note_answered(announce, maker, outgoing, true);
}

void announce_not_taken(struct announce *announce, const struct outgoing *outgoing)
{
	note_answered(announce, NULL, outgoing, false);
}

bool announce_waits_for_seq(const struct announce *announce)
{
	return !announce->started_told && !announce->started_made;
}
