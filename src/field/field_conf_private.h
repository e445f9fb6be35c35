/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that read links, devices, models and points share. */
#ifndef HAYWAIN_FIELD_CONF_PRIVATE_H
#define HAYWAIN_FIELD_CONF_PRIVATE_H

#include "field/field_conf.h"

#define EVERY_MIN_US ((int64_t)USEC_PER_MSEC)
#define EVERY_MAX_US ((int64_t)(366 * USEC_PER_DAY))

/* `report` of a device or a point. The number of errors. */
unsigned report_conf_read(const struct conf_group *group, struct pool *pool, struct conf_messages *messages,
			  struct report_conf *ret);

/* `invalid` of a point whose type is known by now: one raw value, a list of them, or "nan". The number of errors. */
unsigned invalid_conf_read(const struct conf_group *group, struct pool *pool, struct conf_messages *messages,
			   struct point_conf *point);

/* All points of a device: the model's, each under the device's of the same name, then the device's own. Adds to
   device->digest. own and model may be NULL. check false: the device is wrong, so the plugin is not asked. */
unsigned points_conf_read(struct device_conf *device, const struct link_conf *link, const config_setting_t *own,
			  const config_setting_t *model, bool check, struct conf_messages *messages);

/* The group `model` of the model a device names; NULL: mistakes, reported at `setting` and in the model's file. */
const config_setting_t *model_read(const char *name, const config_setting_t *setting, const struct link_conf *link,
				   struct conf_messages *messages, struct conf_file **ret_file);

/* The text of a setting's member, NULL where there is none or it is no text. */
const char *member_text(const config_setting_t *setting, const char *key);

#endif
