/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of links, devices and points, and what tables cannot say of them. */
#include "conf.h"
#include "binary.h"
#include "decode.h"
#include "match.h"
#include "standard.h"
#include <errno.h>
#include <string.h>

static const char *const scan_modes[] = {"active", "passive", NULL};
static const char *const point_modes[] = {"read", "notify", NULL};

const struct hay_option conf_link_table[] = {
	{.key = "adapter",
	 .type = HAY_OPT_NAME,
	 .offset = offsetof(struct ble_link_conf, adapter),
	 .fallback = "hci0",
	 .help = "the Bluetooth adapter"},
	{.key = "scan",
	 .type = HAY_OPT_CHOICE,
	 .offset = offsetof(struct ble_link_conf, scan),
	 .fallback = "active",
	 .choices = scan_modes,
	 .help = "whether devices are asked for more than they say by themselves"},
	{.key = "stall",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct ble_link_conf, stall_us),
	 .fallback = "10m",
	 .min = 1000000,
	 .max = INT64_C(86400000000),
	 .help = "start the scan again where nothing at all is heard for this long"},
	{.key = NULL},
};

const struct hay_option conf_device_table[] = {
	{.key = "address",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct ble_device_conf, address),
	 .help = "its address: \"A4:C1:38:00:00:01\""},
	{.key = "match_name",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct ble_device_conf, match_name),
	 .help = "the name it advertises"},
	{.key = "match_service",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct ble_device_conf, match_service),
	 .help = "the UUID of a service it advertises"},
	{.key = "match_manufacturer",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct ble_device_conf, match_manufacturer),
	 .fallback = "-1",
	 .min = 0,
	 .max = UINT16_MAX,
	 .help = "the company id of its manufacturer data"},
	{.key = "irk_file",
	 .type = HAY_OPT_SECRET,
	 .offset = offsetof(struct ble_device_conf, irk_file),
	 .help = "its identity resolving key, 32 hexadecimal digits"},
	{.key = "decode",
	 .type = HAY_OPT_CHOICE,
	 .offset = offsetof(struct ble_device_conf, decode),
	 .fallback = "auto",
	 .choices = decoder_names,
	 .help = "the format of what it advertises, or gatt to connect to it"},
	{.key = "bindkey_file",
	 .type = HAY_OPT_SECRET,
	 .offset = offsetof(struct ble_device_conf, bindkey_file),
	 .help = "the key it encrypts with, 32 hexadecimal digits (24 before version 4 of xiaomi)"},
	{.key = "interval",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct ble_device_conf, interval_us),
	 .fallback = "1s",
	 .help = "least time between two samples"},
	{.key = "lost_after",
	 .type = HAY_OPT_DURATION,
	 .offset = offsetof(struct ble_device_conf, lost_after_us),
	 .fallback = "10m",
	 .min = 1000000,
	 .max = INT64_C(30) * 86400 * 1000000,
	 .help = "offline when not heard for this long"},
	{.key = NULL},
};

const struct hay_option conf_point_table[] = {
	{.key = "field",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct ble_point_conf, field),
	 .help = "the decoder's name of the value; default: the point's name"},
	{.key = "service",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct ble_point_conf, service),
	 .help = "UUID of the service, where several have such a characteristic"},
	{.key = "characteristic",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct ble_point_conf, characteristic),
	 .help = "UUID of the characteristic"},
	{.key = "mode",
	 .type = HAY_OPT_CHOICE,
	 .offset = offsetof(struct ble_point_conf, mode),
	 .fallback = "read",
	 .choices = point_modes,
	 .help = "read it every `every`, or let the device notify"},
	{.key = "at",
	 .type = HAY_OPT_INT,
	 .offset = offsetof(struct ble_point_conf, at),
	 .fallback = "-1",
	 .min = 0,
	 .max = 511,
	 .help = "where in the bytes the value begins, from 0"},
	{.key = "order",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct ble_point_conf, order),
	 .help = "the order of its bytes, A the most significant: \"ABCD\"; default: the least significant first"},
	{.key = NULL},
};

/* ---- what is wrong with it ---- */

void conf_check_device(const void *conf, const void *link_conf, const struct hay_report *report)
{
	const struct ble_device_conf *c = conf;
	struct ble_address address;
	struct uuid uuid;

	(void)link_conf;
	if (!c->address && !c->match_name && !c->match_service && c->match_manufacturer < 0 && !c->irk_file)
		report->error(
			report, "address",
			"a device needs `address`, `match_name`, `match_service`, `match_manufacturer` or `irk_file`");
	if (c->address && address_parse(c->address, &address) < 0)
		report->error(report, "address", "address \"%s\" is none; right would be \"A4:C1:38:00:00:01\"",
			      c->address);
	if (c->match_service && uuid_parse(c->match_service, &uuid) < 0)
		report->error(report, "match_service", "\"%s\" is no UUID; right would be \"181a\" or the long form",
			      c->match_service);
}

static void check_gatt_point(struct hay_point *point, const struct ble_point_conf *c, const struct hay_report *report)
{
	struct uuid uuid;
	enum ble_field field;

	if (!c->characteristic) {
		report->error(report, NULL, "a point of a device with decode = \"gatt\" needs `characteristic`");
		return;
	}
	if (uuid_parse(c->characteristic, &uuid) < 0) {
		report->error(report, "characteristic", "\"%s\" is no UUID; right would be \"2a6e\" or the long form",
			      c->characteristic);
		return;
	}
	if (c->service && uuid_parse(c->service, &uuid) < 0)
		report->error(report, "service", "\"%s\" is no UUID; right would be \"181a\" or the long form",
			      c->service);
	uuid_parse(c->characteristic, &uuid);
	if (!point->type_name && c->at < 0 && uuid_short(&uuid) && standard_field(uuid_short(&uuid), &field) == 0) {
		point->type = field_infos[field].type;
		if (!point->unit)
			point->unit = field_infos[field].unit;
	} else if (!point->type_name) {
		point->type = HAY_BYTES;
	}
	if (point->flags & HAY_POINT_WRITABLE && !point->type_name)
		report->error(report, "access", "a point that is written needs `type`");
}

static void check_form(struct hay_point *point, const struct ble_point_conf *c, const struct hay_report *report)
{
	struct ble_binary_form form;
	int r;

	if (!point->type_name && !c->order)
		return;
	r = binary_form(point->type_name, c->order, &form);
	if (r == -EDOM)
		report->error(report, "order",
			      "order \"%s\" does not fit the type: one letter for each byte, A the most significant",
			      c->order);
	else if (r == 0 && point->type == HAY_TYPE_NONE)
		point->type = form.type;
}

void conf_check_point(struct hay_point *point, const void *device_conf, const void *link_conf,
		      const struct hay_report *report)
{
	const struct ble_point_conf *c = point->conf;
	const struct ble_device_conf *device = device_conf;
	const char *name = c->field ? c->field : point->name;
	unsigned number;
	enum ble_field field;

	(void)link_conf;
	check_form(point, c, report);
	if (device->decode == DECODER_GATT) {
		check_gatt_point(point, c, report);
		return;
	}
	if (c->characteristic || c->service)
		report->error(report, c->characteristic ? "characteristic" : "service",
			      "only a device with decode = \"gatt\" is connected to");
	if (point->flags & HAY_POINT_WRITABLE)
		report->error(report, "access", "what a device advertises cannot be written");
	if (field_find(name, &field, &number) < 0) {
		report->error(report, c->field ? "field" : "name",
			      "no decoder has a value \"%s\"; `field` names it as haywaind --probe ble shows it", name);
		return;
	}
	if (!point->unit && point->scale == 1 && point->offset == 0)
		point->unit = field_infos[field].unit;
	if (!point->type_name)
		point->type = field_infos[field].type;
	else if (field_infos[field].type != HAY_BYTES &&
		 (point->type == HAY_STRING || point->type == HAY_BYTES) != (field_infos[field].type == HAY_STRING))
		report->error(report, "type", "%s is %s", name,
			      field_infos[field].type == HAY_STRING ? "a string" : "a number, or true and false");
}
