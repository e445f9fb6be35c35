/* SPDX-License-Identifier: Apache-2.0 */
/* What a reload changed, in words. */
#include "config_private.h"

#include <string.h>

/* "a", "a and b", "a, b and c": the names are joined as they come, and the last comma is made an "and" at the end. */
struct changed_names {
	struct buf text;
	size_t n, last_at;
};

static void add_name(struct changed_names *names, const char *first, const char *second)
{
	if (names->n++ > 0) {
		names->last_at = names->text.size;
		buf_add_text(&names->text, ", ");
	}
	buf_printf(&names->text, "%s%s", first, second);
}

/* "; WHAT a, b and c VERB", or nothing. */
static void add_names(struct buf *out, struct changed_names *names, const char *what, const char *verb)
{
	const char *text = buf_text(&names->text);

	if (buf_failed(&names->text))
		names->n = 0;
	if (names->n == 1)
		buf_printf(out, "; %s%s %s", what, text, verb);
	else if (names->n > 1)
		buf_printf(out, "; %s%.*s and %s %s", what, (int)names->last_at, text, text + names->last_at + 2, verb);
	buf_done(&names->text);
}

/* ---- uplinks ---- */

static const struct config_mark *find_mark(const struct config *config, const char *name)
{
	for (size_t i = 0; name && i < config->n_uplink_marks; i++)
		if (config->uplink_marks[i].name && strcmp(config->uplink_marks[i].name, name) == 0)
			return &config->uplink_marks[i];
	return NULL;
}

static void add_uplink_changes(const struct config *before, const struct config *now, struct buf *out)
{
	struct changed_names added = {0}, changed = {0}, removed = {0};

	for (size_t i = 0; i < now->n_uplink_marks; i++) {
		const struct config_mark *mark = &now->uplink_marks[i];
		const struct config_mark *was = find_mark(before, mark->name);

		if (!was && mark->name)
			add_name(&added, mark->name, "");
		else if (was && was->digest != mark->digest)
			add_name(&changed, mark->name, "");
	}
	for (size_t i = 0; i < before->n_uplink_marks; i++)
		if (before->uplink_marks[i].name && !find_mark(now, before->uplink_marks[i].name))
			add_name(&removed, before->uplink_marks[i].name, "");
	add_names(out, &added, added.n > 1 ? "uplinks " : "uplink ", "added");
	add_names(out, &changed, changed.n > 1 ? "uplinks " : "uplink ", "changed");
	add_names(out, &removed, removed.n > 1 ? "uplinks " : "uplink ", "removed");
}

/* ---- settings ---- */

/* No option of these tables is a group. */
static size_t size_of(enum hay_option_type type)
{
	switch (type) {
	case HAY_OPT_BOOL:
		return sizeof(bool);
	case HAY_OPT_CHOICE:
		return sizeof(int);
	default:
		return sizeof(uint64_t); /* int64_t, uint64_t, double */
	}
}

static void compare_options(const struct hay_option *table, const void *before, const void *now, const char *prefix,
			    struct changed_names *changed)
{
	for (const struct hay_option *option = table; option->key; option++) {
		const char *a = (const char *)before + option->offset, *b = (const char *)now + option->offset;
		bool same;

		if (option->type == HAY_OPT_STRING || option->type == HAY_OPT_NAME || option->type == HAY_OPT_SECRET)
			same = text_same(*(const char *const *)(const void *)a, *(const char *const *)(const void *)b);
		else
			same = memcmp(a, b, size_of(option->type)) == 0;
		if (!same)
			add_name(changed, prefix, option->key);
	}
}

void config_describe_changes(const struct config *before, const struct config *now, struct buf *out)
{
	struct changed_names settings = {0};

	add_uplink_changes(before, now, out);
	compare_options(gateway_options, &before->gateway, &now->gateway, "gateway.", &settings);
	compare_options(queue_options, &before->queue, &now->queue, "queue.", &settings);
	if (!text_same(before->api_socket, now->api_socket))
		add_name(&settings, "api.socket", "");
	if (!text_same(before->api_read_socket, now->api_read_socket))
		add_name(&settings, "api.read_socket", "");
	if (before->self_every_us != now->self_every_us)
		add_name(&settings, "self", "");
	add_names(out, &settings, "", "changed");
}
