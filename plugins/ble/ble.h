/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this plugin share. A link is one adapter, heard over a bus connection of its own:
 *
 *     conf.c     the keys of the configuration, and what is wrong with them
 *     scan.c     the steps from no bus to a running discovery, and back to them whenever something breaks
 *     signals.c  what BlueZ says unasked, handed to the file that it concerns
 *     listen.c   an advertisement becomes a device's sample
 *     counter.c  what is sent again is refused, also after a restart
 *     gatt.c     connections; gatt_io.c what is read, notified and written over them
 *     monitor.c  passive scanning
 *     probe.c    haywaind --probe ble
 */
#ifndef BLE_BLE_H
#define BLE_BLE_H

#include "binary.h"
#include "conf.h"
#include "dbus.h"
#include "decode.h"
#include "match.h"
#include <haywain/helpers.h>
#include <haywain/plugin.h>

#define SECOND_US UINT64_C(1000000)
#define LOG_AGAIN_US (3600 * SECOND_US) /* a fault that goes on is logged again */

struct ble_device;

/* Where scanning is on its way. */
enum scan_state { SCAN_WAITING, SCAN_STARTING, SCAN_RUNNING, SCAN_MONITORING };
/* The adapter, as far as bluetoothd has said; BLOCKED: off, by rfkill. */
enum adapter_state { ADAPTER_NONE, ADAPTER_OFF, ADAPTER_BLOCKED, ADAPTER_ON };
/* What a person has to see to. */
enum adapter_trouble { TROUBLE_NONE, TROUBLE_GONE, TROUBLE_BLOCKED };

struct ble_link {
	struct hay_link *hay;
	const struct hay_host *host;
	const struct ble_link_conf *conf;
	char *path; /* of the adapter */

	sd_bus *bus;
	sd_bus_slot *call;	       /* the step under way */
	sd_bus_slot *vtable, *manager; /* of passive scanning */
	struct hay_timer *step, *watch;
	enum scan_state state;
	uint64_t pause_us;
	enum adapter_state adapter;
	bool was_off;		      /* while it ran */
	bool is_down;		      /* and that was reported */
	enum adapter_trouble trouble; /* that the log knows */
	bool is_granted;	      /* StartDiscovery was, and has not ended since */
	unsigned n_busy;	      /* how often it was not, for it went on already */
	bool gave_up_passive;	      /* of scan = "passive" */
	unsigned n_stalls;
	struct hay_rate_limit nonsense_limit;
	uint64_t heard_us; /* anything at all, since scanning began */

	struct ble_device *devices;
	struct ble_device *connecting; /* one at a time: an adapter makes one connection after the other */

	struct advert advert;	    /* being read */
	struct ble_decoded decoded; /* being emitted */
};

/* Which point a decoder's value goes to. */
struct target {
	enum ble_field field;
	uint8_t number;
	bool is_missing; /* the host would not have it */
	uint32_t point;
};

enum fault {
	FAULT_NONE,
	FAULT_MALFORMED,
	FAULT_NO_KEY,
	FAULT_WRONG_KEY,
	FAULT_PLAIN,
	FAULT_REPLAY,
	FAULT_NOTHING,
	FAULT_TWO
};

/* What came before the interval was over: the last of each point, until it is. */
struct held {
	struct hay_reading *readings; /* their strings are our own */
	size_t n_readings;	      /* 0: none is held */
	size_t room;
	uint64_t time_us;
	struct hay_timer *timer;
};

#define CONTENTS_MAX 16

/* The last that was emitted or held: its packet id or counter (0: it has none), and the hashes of what came under
   it. */
struct taken {
	enum {
		TAKEN_NOTHING,
		TAKEN_SOME,
		TAKEN_ALL, /* after a restart: what came under the counter is not known, and all of it counts as taken */
	} state;
	uint32_t packet;
	size_t n_contents;
	uint32_t contents[CONTENTS_MAX];
};

struct gatt;

struct ble_device {
	struct hay_device *hay;
	struct ble_link *link;
	const struct ble_device_conf *conf;
	struct ble_device *next;

	struct match match;
	struct decode_key key;
	bool is_bound; /* it has an address: its own, or the last that matched */
	struct ble_address address;
	char *name; /* as heard: some decoders go by it */

	struct target *targets;
	size_t n_targets;
	bool selects; /* only the points listed */
	struct hay_reading *readings;
	size_t room_readings;

	uint64_t heard_us, emitted_us; /* 0: never */
	struct hay_rate_limit fault_limit;
	bool is_lost;
	enum fault fault;
	struct taken taken;
	struct held held;
	int rssi;

	enum { COUNTER_UNKNOWN, COUNTER_HEARD, COUNTER_KEPT } counter_state; /* kept: kept_counter is */
	uint32_t counter;						     /* the highest accepted */
	enum { ANEW_NONE, ANEW_HEARD, ANEW_TOLD } anew;			     /* lower ones came, and none but them, */
	uint32_t anew_first, anew_last;					     /* growing from one to the other */
	uint32_t kept_counter;
	uint64_t kept_us;

	struct gatt *gatt;
};

/* ---- scan.c ---- */

void scan_begin(struct ble_link *link); /* from whatever there is */
void scan_end(struct ble_link *link);
void scan_again(struct ble_link *link, uint64_t delay_us); /* look what there is, after a while */
/* It does not run any more: say why, once, and try again, each time later. */
void scan_failed(struct ble_link *link, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* For a trouble of the adapter's, which is logged also where the link is down already. */
void scan_failed_for(struct ble_link *link, enum adapter_trouble trouble);
bool scan_is_running(const struct ble_link *link);
/* Something about our adapter. */
void scan_adapter_changed(struct ble_link *link, const struct properties *properties);
void scan_step(void *userdata);	 /* the timer of link->step: the first of the steps */
void scan_watch(void *userdata); /* the timer of link->watch */
/* Why a call failed, in words; for messages of sd-bus callbacks. */
const char *bluez_error(sd_bus_message *reply);

/* ---- signals.c ---- */

int signals_subscribe(struct ble_link *link);

/* ---- monitor.c ---- */

int monitor_register(struct ble_link *link);
void monitor_unregister(struct ble_link *link);

/* ---- listen.c ---- */

int listen_start(struct ble_device *device);
void listen_stop(struct ble_device *device);
/* link->advert is from the air; is_fresh: now, and not long ago. */
void listen_advert(struct ble_link *link, bool is_fresh);
void listen_tick(struct ble_link *link, uint64_t now); /* who was not heard for long */

/* ---- counter.c ---- */

void counter_recall(struct ble_device *device);
bool counter_is_due(const struct ble_device *device, uint64_t now); /* it is time to keep it */
void counter_keep(struct ble_device *device);
bool counter_accept(struct ble_device *device, uint32_t counter); /* false: it was sent again */

/* ---- gatt.c, gatt_io.c ---- */

int gatt_start(struct ble_device *device);
void gatt_stop(struct ble_device *device);
void gatt_heard(struct ble_device *device);
void gatt_scan_state(struct ble_device *device, bool is_running);
void gatt_device_changed(struct ble_link *link, const char *path, const struct properties *properties);
void gatt_value_changed(struct ble_link *link, const char *path, const struct properties *properties);
void gatt_removed(struct ble_link *link, const char *path);
int gatt_poll(struct ble_device *device, const uint32_t *due, size_t n_due);
int gatt_write(struct ble_device *device, struct hay_command *command);

/* ---- probe.c ---- */

int probe_ble(const struct hay_probe *probe);

#define LOG(device_, level_, ...)                                                                                      \
	(device_)->link->host->log((device_)->link->hay, (device_)->hay, (level_), __VA_ARGS__)
#define LINK_LOG(link_, level_, ...) (link_)->host->log((link_)->hay, NULL, (level_), __VA_ARGS__)

#endif
