/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bus, adapter, power, filter, discovery: one step after the other, each an asynchronous call. Whatever goes wrong
 * ends in one line, a pause that grows, and the first step again: nothing is believed to be as it was.
 */
#include "ble.h"
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAUSE_MIN_US (5 * SECOND_US)
#define PAUSE_MAX_US (300 * SECOND_US)
#define CALL_TIMEOUT_US (30 * SECOND_US)
#define PASSIVE_SILENCE_US (60 * SECOND_US) /* a monitor that hears nothing for this long never will */
#define BUSY_US (2 * SECOND_US) /* the kernel goes on scanning for a bluetoothd that was killed, 10 s at most */
#define BUSY_TRIES 10
#define WATCH_MAX_US (5 * SECOND_US)
#define WATCH_MIN_US (SECOND_US / 20)

bool scan_is_running(const struct ble_link *link)
{
	return link->state == SCAN_RUNNING || link->state == SCAN_MONITORING;
}

void scan_again(struct ble_link *link, uint64_t delay_us)
{
	link->call = sd_bus_slot_unref(link->call);
	link->host->set_timer(link->step, delay_us);
}

static void report_devices(struct ble_link *link, bool is_running)
{
	for (struct ble_device *device = link->devices; device; device = device->next)
		if (device->gatt)
			gatt_scan_state(device, is_running);
}

/* The host logs the reason. */
static void go_down(struct ble_link *link, const char *reason)
{
	bool was_running = scan_is_running(link);

	link->state = SCAN_WAITING;
	link->is_granted = link->was_off = false;
	link->n_busy = 0;
	if (was_running)
		link->pause_us = 0;
	link->is_down = true;
	link->host->link_down(link->hay, HAY_OFFLINE, reason);
	if (was_running)
		report_devices(link, false);
}

void scan_failed(struct ble_link *link, const char *format, ...)
{
	char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	go_down(link, text ? text : "out of memory");
	free(text);
	link->pause_us = hay_backoff_next(link->pause_us, PAUSE_MIN_US, PAUSE_MAX_US);
	scan_again(link, link->pause_us);
}

/* Where it is down already the host does not log another reason; yet these two are what the user has to know. */
void scan_failed_for(struct ble_link *link, enum adapter_trouble trouble)
{
	static const char *const words[] = {
		[TROUBLE_NONE] = "",
		[TROUBLE_GONE] = "is gone",
		[TROUBLE_BLOCKED] = "is blocked by rfkill (rfkill unblock bluetooth)",
	};
	const char *adapter = link->conf->adapter;

	if (link->is_down && link->trouble != trouble)
		LINK_LOG(link, HAY_LOG_WARNING, "adapter %s %s", adapter, words[trouble]);
	link->trouble = trouble;
	scan_failed(link, "adapter %s %s", adapter, words[trouble]);
}

const char *bluez_error(sd_bus_message *reply)
{
	const sd_bus_error *error = sd_bus_message_get_error(reply);

	if (!error)
		return NULL;
	if (sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
	    sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
		return "bluetoothd does not run";
	if (sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY) || sd_bus_error_has_name(error, SD_BUS_ERROR_TIMEOUT))
		return "no answer from bluetoothd";
	return error->message && *error->message ? error->message : error->name;
}

static bool failed_as(sd_bus_message *reply, const char *name)
{
	return sd_bus_message_is_method_error(reply, name) > 0;
}

/* ---- the steps, the last one first ---- */

static void now_running(struct ble_link *link, enum scan_state state)
{
	link->state = state;
	link->pause_us = 0;
	link->heard_us = link->host->now();
	link->is_down = link->was_off = false;
	link->trouble = TROUBLE_NONE;
	link->host->link_up(link->hay);
	report_devices(link, true);
}

static int discovery_started(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct ble_link *link = userdata;
	bool is_busy = failed_as(reply, "org.bluez.Error.InProgress"); /* also where it scans for us already */

	(void)error;
	link->call = sd_bus_slot_unref(link->call);
	if (is_busy && !link->is_granted && link->n_busy < BUSY_TRIES) {
		/* it scans for somebody who is gone, and will end */
		LINK_LOG(link, HAY_LOG_DEBUG, "%s is still busy", link->conf->adapter);
		link->n_busy++;
		scan_again(link, BUSY_US);
		return 0;
	}
	link->n_busy = 0;
	link->is_granted = !bluez_error(reply) || is_busy;
	if (!link->is_granted)
		scan_failed(link, "%s does not start scanning: %s", link->conf->adapter, bluez_error(reply));
	else
		now_running(link, SCAN_RUNNING);
	return 0;
}

/* A call to the adapter that is the next step. */
static void call_adapter(struct ble_link *link, const char *method, sd_bus_message_handler_t then)
{
	int r;

	link->call = sd_bus_slot_unref(link->call);
	r = sd_bus_call_method_async(link->bus, &link->call, BLUEZ, link->path, IFACE_ADAPTER, method, then, link,
				     NULL);
	if (r < 0)
		scan_failed(link, "%s: %s", method, strerror(-r));
}

static int filter_set(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct ble_link *link = userdata;

	(void)error;
	if (bluez_error(reply))
		scan_failed(link, "%s takes no discovery filter: %s", link->conf->adapter, bluez_error(reply));
	else
		call_adapter(link, "StartDiscovery", discovery_started);
	return 0;
}

static void set_filter(struct ble_link *link)
{
	int r;

	link->call = sd_bus_slot_unref(link->call);
	r = sd_bus_call_method_async(link->bus, &link->call, BLUEZ, link->path, IFACE_ADAPTER, "SetDiscoveryFilter",
				     filter_set, link, "a{sv}", 2, "Transport", "s", "le", "DuplicateData", "b", 1);
	if (r < 0)
		scan_failed(link, "SetDiscoveryFilter: %s", strerror(-r));
}

static int monitor_registered(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct ble_link *link = userdata;

	(void)error;
	link->call = sd_bus_slot_unref(link->call);
	if (bluez_error(reply)) {
		LINK_LOG(link, HAY_LOG_WARNING, "bluetoothd does not scan passively (%s): scanning actively",
			 bluez_error(reply));
		link->gave_up_passive = true;
		monitor_unregister(link);
		set_filter(link);
	} else {
		now_running(link, SCAN_MONITORING);
	}
	return 0;
}

static void start_listening(struct ble_link *link)
{
	int r;

	if (link->conf->scan != SCAN_PASSIVE || link->gave_up_passive) {
		set_filter(link);
		return;
	}
	r = monitor_register(link);
	if (r >= 0) {
		link->call = sd_bus_slot_unref(link->call);
		r = sd_bus_call_method_async(link->bus, &link->call, BLUEZ, link->path, IFACE_MONITORS,
					     "RegisterMonitor", monitor_registered, link, "o", "/haywain");
	}
	if (r < 0)
		scan_failed(link, "RegisterMonitor: %s", strerror(-r));
}

/* bluetoothd only says that it failed, before PowerState; the kernel knows why. */
static bool is_rfkilled(const struct ble_link *link)
{
	char *pattern = NULL;
	glob_t found = {0};
	bool is_blocked = false;

	if (asprintf(&pattern, "/sys/class/bluetooth/%s/rfkill*/[sh][oa][fr][td]", link->conf->adapter) < 0)
		return false;
	if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++) { /* "soft" and "hard" */
			int fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);
			char c = '0';

			is_blocked |= fd >= 0 && read(fd, &c, 1) == 1 && c == '1';
			if (fd >= 0)
				close(fd);
		}
	globfree(&found);
	free(pattern);
	return is_blocked;
}

static int adapter_powered(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct ble_link *link = userdata;
	const char *why = bluez_error(reply);

	(void)error;
	if (!why) {
		if (link->was_off)
			LINK_LOG(link, HAY_LOG_NOTICE, "%s was powered off: on again", link->conf->adapter);
		link->adapter = ADAPTER_ON;
		start_listening(link);
	} else if (failed_as(reply, "org.bluez.Error.Blocked") || is_rfkilled(link)) {
		scan_failed_for(link, TROUBLE_BLOCKED);
	} else {
		scan_failed(link, "%s is off and does not power on: %s", link->conf->adapter, why);
	}
	return 0;
}

static int set_power(struct ble_link *link, bool on, sd_bus_message_handler_t then)
{
	link->call = sd_bus_slot_unref(link->call);
	return sd_bus_call_method_async(link->bus, &link->call, BLUEZ, link->path, IFACE_PROPERTIES, "Set", then, link,
					"ssv", IFACE_ADAPTER, "Powered", "b", (int)on);
}

static bool says_blocked(const struct properties *properties)
{
	return properties->power_state && !strcmp(properties->power_state, "off-blocked");
}

static void found_object(const char *path, const char *interface, const struct properties *properties, void *userdata)
{
	struct ble_link *link = userdata;

	if (!strcmp(path, link->path) && !strcmp(interface, IFACE_ADAPTER)) {
		link->adapter = properties->powered == FLAG_TRUE ? ADAPTER_ON
				: says_blocked(properties)	 ? ADAPTER_BLOCKED
								 : ADAPTER_OFF;
	} else if (!strcmp(interface, IFACE_DEVICE) && address_of_path(path, &link->advert.address) == 0 &&
		   !strncmp(path, link->path, strlen(link->path)) && path[strlen(link->path)] == '/') {
		listen_advert(link, false);
	}
}

static int got_objects(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct ble_link *link = userdata;
	int r;

	(void)error;
	link->call = sd_bus_slot_unref(link->call);
	if (bluez_error(reply)) {
		scan_failed(link, "%s", bluez_error(reply));
		return 0;
	}
	link->adapter = ADAPTER_NONE;
	r = dbus_objects(reply, &link->advert, found_object, link);
	if (r < 0)
		scan_failed(link, "bluetoothd's answer makes no sense: %s", strerror(-r));
	else if (link->adapter == ADAPTER_NONE)
		scan_failed(link, "there is no adapter %s", link->conf->adapter);
	else if (link->adapter == ADAPTER_ON)
		start_listening(link);
	else if (link->adapter == ADAPTER_BLOCKED)
		scan_failed_for(link, TROUBLE_BLOCKED);
	else if ((r = set_power(link, true, adapter_powered)) < 0)
		scan_failed(link, "%s: %s", link->conf->adapter, strerror(-r));
	return 0;
}

static int open_bus(struct ble_link *link)
{
	int r = sd_bus_open_system(&link->bus);

	if (r < 0)
		return r;
	sd_bus_set_method_call_timeout(link->bus, CALL_TIMEOUT_US);
	r = sd_bus_attach_event(link->bus, link->host->event(link->hay), 0);
	return r < 0 ? r : signals_subscribe(link);
}

static void close_bus(struct ble_link *link)
{
	link->call = sd_bus_slot_unref(link->call);
	monitor_unregister(link);
	link->bus = sd_bus_flush_close_unref(link->bus);
}

/* The timer of link->step. */
void scan_step(void *userdata)
{
	struct ble_link *link = userdata;
	int r = 0;

	link->state = SCAN_STARTING;
	link->call = sd_bus_slot_unref(link->call);
	if (link->bus && sd_bus_is_open(link->bus) <= 0) {
		report_devices(link, false);
		close_bus(link);
	}
	if (!link->bus)
		r = open_bus(link);
	if (r >= 0)
		r = sd_bus_call_method_async(link->bus, &link->call, BLUEZ, "/", IFACE_OBJECTS, "GetManagedObjects",
					     got_objects, link, NULL);
	if (r < 0) {
		close_bus(link);
		scan_failed(link, "no system bus: %s", strerror(-r));
	}
}

/* ---- what may happen while it runs ---- */

static void note_power(struct ble_link *link, const struct properties *properties)
{
	if (says_blocked(properties))
		link->adapter = ADAPTER_BLOCKED;
	else if (properties->powered == FLAG_TRUE)
		link->adapter = ADAPTER_ON;
	else if (link->adapter == ADAPTER_BLOCKED ? properties->power_state != NULL : properties->powered == FLAG_FALSE)
		link->adapter = ADAPTER_OFF;
}

void scan_adapter_changed(struct ble_link *link, const struct properties *properties)
{
	const char *adapter = link->conf->adapter;
	bool was_blocked = link->adapter == ADAPTER_BLOCKED, is_blocked;

	note_power(link, properties);
	is_blocked = link->adapter == ADAPTER_BLOCKED;
	if (properties->powered == FLAG_FALSE && scan_is_running(link) && is_blocked) {
		scan_failed_for(link, TROUBLE_BLOCKED);
	} else if (properties->powered == FLAG_FALSE && scan_is_running(link)) {
		/* why it is off comes only now: it is unplugged, or blocked, or somebody switched it off */
		link->state = SCAN_STARTING;
		link->is_granted = false;
		link->was_off = true;
		report_devices(link, false);
		scan_again(link, SECOND_US);
	} else if (is_blocked && !was_blocked && link->state == SCAN_WAITING) {
		scan_failed_for(link, TROUBLE_BLOCKED);
	} else if (was_blocked && !is_blocked && link->state == SCAN_WAITING) {
		scan_again(link, 0);
	} else if (properties->powered == FLAG_TRUE && link->state == SCAN_WAITING) {
		scan_again(link, 0);
	} else if (properties->discovering == FLAG_FALSE && link->state == SCAN_RUNNING) {
		/* somebody else's end of scanning ends ours at times; so does a controller that was reset */
		LINK_LOG(link, HAY_LOG_INFO, "%s stopped scanning: starting again", adapter);
		link->state = SCAN_STARTING;
		scan_again(link, SECOND_US);
	}
}

static int power_cycled(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	struct ble_link *link = userdata;

	(void)reply;
	(void)error;
	scan_again(link, SECOND_US); /* finds it off, and powers it on */
	return 0;
}

static int discovery_stopped(sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	(void)reply;
	(void)error;
	set_filter(userdata);
	return 0;
}

static bool expects_some(const struct ble_link *link)
{
	return link->devices != NULL;
}

/* In the field a scan dies silently: first start it anew, then power the adapter off and on. */
static void heard_nothing(struct ble_link *link)
{
	bool cycles = link->n_stalls++ % 2 == 1;

	link->state = SCAN_STARTING;
	link->is_granted = false;
	LINK_LOG(link, HAY_LOG_WARNING, "no advertisement for %llu s: %s",
		 (unsigned long long)(link->conf->stall_us / SECOND_US),
		 cycles ? "powering the adapter off and on" : "starting the scan again");
	if (!cycles)
		call_adapter(link, "StopDiscovery", discovery_stopped);
	else if (set_power(link, false, power_cycled) < 0)
		scan_again(link, SECOND_US);
}

void scan_watch(void *userdata)
{
	struct ble_link *link = userdata;
	uint64_t now = link->host->now(), period = link->conf->stall_us / 4;

	if (link->state == SCAN_RUNNING && expects_some(link) && now - link->heard_us >= link->conf->stall_us) {
		heard_nothing(link);
	} else if (link->state == SCAN_MONITORING && expects_some(link) &&
		   now - link->heard_us >=
			   (link->conf->stall_us < PASSIVE_SILENCE_US ? link->conf->stall_us : PASSIVE_SILENCE_US)) {
		LINK_LOG(link, HAY_LOG_WARNING, "passive scanning hears nothing: scanning actively");
		link->gave_up_passive = true;
		monitor_unregister(link);
		link->state = SCAN_STARTING;
		set_filter(link);
	}
	listen_tick(link, now);
	for (const struct ble_device *device = link->devices; device; device = device->next)
		if (device->conf->lost_after_us / 4 < period)
			period = device->conf->lost_after_us / 4;
	link->host->set_timer(link->watch, period > WATCH_MAX_US   ? WATCH_MAX_US
					   : period < WATCH_MIN_US ? WATCH_MIN_US
								   : period);
}

void scan_begin(struct ble_link *link)
{
	scan_again(link, 0);
	link->host->set_timer(link->watch, WATCH_MIN_US);
}

void scan_end(struct ble_link *link)
{
	close_bus(link);
}
