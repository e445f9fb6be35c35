/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scan: a plugin's probe() inside the daemon, on a thread of its own, one at a time. It may be about a link that the
 * daemon has open; the plugin says how: between the rounds of its devices, beside it, or while it is closed.
 *
 *     scan_start() -> hooks… -> ended()
 *
 * The thread and the main loop share one struct under a lock. Main thread, all of it.
 */
#ifndef HAYWAIN_FIELD_SCAN_H
#define HAYWAIN_FIELD_SCAN_H

#include "field/field.h"

struct plugin_set;
struct scan;
struct hay_work;

struct scan_request {
	const char *plugin;
	const char *link;	      /* one of the daemon's; NULL: none */
	const char *const *arguments; /* as `haywaind --probe PLUGIN` takes them; with a link: without its port */
	size_t n_arguments;
};

struct scan_hooks {
	/* Whether there is room for more; when there is again, scan_go_on() is to be called. */
	bool (*ready)(void *userdata);
	void (*line)(const char *text, size_t size, void *userdata);
	void (*progress)(unsigned done, unsigned total, const char *what, void *userdata);
	/* The last call: error says why it did not do what it was asked for, NULL: it did. The scan is freed behind
	   it. */
	void (*ended)(const char *error, void *userdata);
	void *userdata;
};

/* Copies what it is given. -ENOENT: no such plugin or link; -EINVAL: the link is another plugin's, or the plugin has
   nothing to probe; -EBUSY: another scan is under way; -ENOMEM, -ESHUTDOWN. *ret_error says so in words, until the next
   call. No hook is called before it returns. */
int scan_start(struct field *field, struct plugin_set *plugins, const struct scan_request *request,
	       const struct scan_hooks *hooks, struct scan **ret, const char **ret_error);
void scan_go_on(struct scan *scan);
/* The result is not wanted any more: no hook is called from now on. It ends by itself, as soon as the probe sees it. */
void scan_cancel(struct scan *scan);

/* ---- for the field ---- */

/* The link is being stopped, or everything is: the scan has to end, and says why. NULL is fine. */
void scan_abort(struct scan *scan, const char *why);
/* The scan waits for its link to be closed: see whether that can be done now. NULL is fine. */
void scan_advance(struct scan *scan);

#endif
