/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that load the configuration share. */
#ifndef HAYWAIN_CONFIG_PRIVATE_H
#define HAYWAIN_CONFIG_PRIVATE_H

#include "config.h"

extern const struct hay_option gateway_options[];

/* A growing array of pointers; free(items). */
struct name_list {
	void **items;
	size_t n, n_allocated;
};
int list_add(struct name_list *list, void *item);

/* Sections of which there is one, in whichever file. */
enum config_section { SECTION_GATEWAY, SECTION_QUEUE, SECTION_API, SECTION_SELF, N_SECTIONS };

struct config_loader {
	struct config *config;
	struct conf_messages *messages;
	struct plugin_set *plugins;
	struct name_list files;			  /* struct conf_file *: the main one, then those of conf.d */
	struct name_list uplinks, links, devices; /* const config_setting_t *: in the order of the files */
	config_setting_t *sections[N_SECTIONS];	  /* NULL: no file has it */
	const char *unread;			  /* a file of conf.d that cannot be opened; NULL: none */
	struct name_list bad_links, bad;	  /* struct link_conf *, struct config_bad * */
	unsigned n_fatal;			  /* mistakes that leave nothing to run */
};

/* Text of a setting's key; NULL. */
const char *config_name(const config_setting_t *setting);

/* The earlier one of the same name; NULL. */
const config_setting_t *config_find_earlier(const struct name_list *settings, size_t at);

int config_add_bad(struct config_loader *loader, int kind, const char *name);

/* Links, then devices, then the topics that name their tags. 0 or -ENOMEM. */
int config_read_field(struct config_loader *loader);

#endif
