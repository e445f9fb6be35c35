/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The field: links, the devices on them, and the plugins that speak to them. Main thread.
 */
#ifndef HAYWAIN_FIELD_FIELD_H
#define HAYWAIN_FIELD_FIELD_H

#include "field/field_conf.h"
#include "model/device_info.h"
#include "normalize/normalize.h"
#include <systemd/sd-event.h>

struct field;

struct field_hooks {
	/* A device's information has changed. The callee may keep it by a reference of its own. */
	void (*info)(struct device_info *info, void *userdata);
	void (*removed)(const char *device, void *userdata);
	void *userdata;
};

/* state_dir: where what plugins learnt is kept (learnt.json); NULL: it lasts as long as the process. */
int field_new(sd_event *event, struct series_set *series, struct normalize *normalize, const char *state_dir,
	      const struct field_hooks *hooks, struct field **ret);

/* A new configuration. field_apply() takes the links and devices that it starts (leaves NULL). Unchanged links and
   devices keep running; changed or removed ones are stopped first. Names in keep_links and keep_devices, and
   whatever came from keep_files, stay as they are if they are there: their new form was bad. Where nothing was bad,
   what was learnt about devices that are not wanted is forgotten. */
struct field_wanted {
	struct link_conf **links;
	size_t n_links;
	struct device_conf **devices;
	size_t n_devices;
	const char *const *keep_links, *const *keep_devices, *const *keep_files; /* NULL-terminated, or NULL */
};
struct field_changes {
	unsigned started, stopped, kept; /* devices */
};
void field_apply(struct field *field, struct field_wanted *wanted, struct field_changes *ret);

/* Every device is polled as soon as its link has time for it, instead of spread over its period. */
void field_poll_now(struct field *field);

/* Whether a link or a device of that name, or anything from that file, runs. */
bool field_runs_link(const struct field *field, const char *name);
bool field_runs_device(const struct field *field, const char *name);
bool field_runs_file(const struct field *field, const char *path);

/* Stop everything; field_idle() turns true when no plugin has work under way any more. */
void field_stop(struct field *field);
bool field_idle(const struct field *field);
/* What plugins learnt is on disk. -ETIMEDOUT: the disk takes longer. */
int field_flush(struct field *field, uint64_t timeout_us);
struct field *field_free(struct field *field); /* only when idle; NULL is fine */

/* Publish every device's information again: a new uplink needs all of it. */
void field_publish_infos(struct field *field);

/* Say once more in the log which links and devices have been away for long. */
void field_remind(const struct field *field);

struct field_status {
	unsigned links, links_down, links_unused; /* unused: nothing was tried on them yet */
	unsigned devices, devices_online;
	uint64_t rounds, failures,
		late; /* since the start: rounds, failed ones, cycles skipped because the link was busy */
};
void field_get_status(const struct field *field, struct field_status *ret);

#endif
