/* SPDX-License-Identifier: Apache-2.0 */
/* Bluetooth Low Energy: the life of links and devices. */
#include "ble.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- links ---- */

static void close_link(struct hay_link *hay)
{
	struct ble_link *link = hay->state;

	scan_end(link);
	link->host->del_timer(link->step);
	link->host->del_timer(link->watch);
	advert_done(&link->advert);
	free(link->path);
	free(link);
}

static int open_link(struct hay_link *hay)
{
	struct ble_link *link = calloc(1, sizeof(*link));
	int r;

	if (!link)
		return -ENOMEM;
	link->hay = hay;
	link->host = hay->host;
	link->conf = hay->conf;
	hay->state = link;
	r = asprintf(&link->path, "/org/bluez/%s", link->conf->adapter) < 0 ? -ENOMEM : 0;
	if (r == 0)
		r = link->host->add_timer(hay, UINT64_MAX, scan_step, link, &link->step);
	if (r == 0)
		r = link->host->add_timer(hay, UINT64_MAX, scan_watch, link, &link->watch);
	if (r < 0) {
		close_link(hay);
		return r;
	}
	scan_begin(link);
	return 0;
}

/* ---- devices ---- */

/* A secret file of 32 hexadecimal digits; of 24 as well where ret_size takes how many bytes they are. */
static int read_key(struct ble_device *device, const char *path, uint8_t key[KEY_SIZE], size_t *ret_size)
{
	char text[128] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC), r = fd < 0 ? -errno : 0;
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	size_t size = KEY_SIZE;

	if (fd >= 0 && n < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	if (r < 0) {
		LOG(device, HAY_LOG_ERROR, "%s: %s; the device is left out", path, strerror(-r));
		return r;
	}
	r = hex_parse(text, key, size);
	if (r < 0 && ret_size) {
		size = KEY_SIZE_SHORT;
		r = hex_parse(text, key, size);
	}
	explicit_bzero(text, sizeof(text));
	if (r < 0)
		LOG(device, HAY_LOG_ERROR, "%s: a key is 32 hexadecimal digits%s; the device is left out", path,
		    ret_size ? " (24 before version 4 of xiaomi)" : "");
	else if (ret_size)
		*ret_size = size;
	return r;
}

static int read_conf(struct ble_device *device)
{
	const struct ble_device_conf *conf = device->conf;
	struct match *match = &device->match;
	int r = 0;

	match->by_address = conf->address && address_parse(conf->address, &match->address) == 0;
	match->by_name = conf->match_name != NULL;
	match->name = conf->match_name;
	match->by_service = conf->match_service && uuid_parse(conf->match_service, &match->service) == 0;
	match->by_manufacturer = conf->match_manufacturer >= 0;
	match->manufacturer = (uint16_t)conf->match_manufacturer;
	match->by_irk = conf->irk_file != NULL;
	device->is_bound = match->by_address;
	device->address = match->address;
	if (conf->irk_file)
		r = read_key(device, conf->irk_file, match->irk, NULL);
	if (r == 0 && conf->bindkey_file)
		r = read_key(device, conf->bindkey_file, device->key.bytes, &device->key.size);
	return r;
}

static void device_free(struct ble_device *device)
{
	gatt_stop(device);
	listen_stop(device);
	explicit_bzero(device->key.bytes, sizeof(device->key.bytes));
	explicit_bzero(device->match.irk, sizeof(device->match.irk));
	free(device);
}

static int start_device(struct hay_device *hay)
{
	struct ble_device *device = calloc(1, sizeof(*device));
	int r;

	if (!device)
		return -ENOMEM;
	device->hay = hay;
	device->link = hay->link->state;
	device->conf = hay->conf;
	hay->flags |= HAY_DEVICE_UNPOLLED;
	r = read_conf(device);
	if (r == 0 && device->conf->decode == DECODER_GATT)
		r = gatt_start(device);
	if (r == 0)
		r = listen_start(device);
	if (r < 0) {
		device_free(device);
		return r;
	}
	hay->state = device;
	device->next = device->link->devices;
	device->link->devices = device;
	/* bluetoothd may know it already, by name: look at its objects once more */
	if (!device->match.by_address && scan_is_running(device->link))
		scan_again(device->link, SECOND_US);
	return 0;
}

static void stop_device(struct hay_device *hay)
{
	struct ble_device *device = hay->state;

	for (struct ble_device **at = &device->link->devices; *at; at = &(*at)->next)
		if (*at == device) {
			*at = device->next;
			break;
		}
	counter_keep(device);
	device_free(device);
}

static int poll_device(struct hay_device *hay, const uint32_t *due, size_t n_due)
{
	return gatt_poll(hay->state, due, n_due);
}

static int write_point(struct hay_command *command)
{
	struct ble_device *device = command->device->state;

	return device->gatt ? gatt_write(device, command) : -EOPNOTSUPP;
}

HAY_PLUGIN("ble", .version = "1.0", .summary = "Bluetooth Low Energy: advertisements and GATT", .types = binary_types,
	   .link_options = {conf_link_table, sizeof(struct ble_link_conf)},
	   .device_options = {conf_device_table, sizeof(struct ble_device_conf)},
	   .point_options = {conf_point_table, sizeof(struct ble_point_conf)}, .check_device = conf_check_device,
	   .check_point = conf_check_point, .open = open_link, .close = close_link, .start = start_device,
	   .stop = stop_device, .poll = poll_device, .write = write_point, .probe = probe_ble,
	   .probe_link = HAY_PROBE_BESIDE_LINK);
