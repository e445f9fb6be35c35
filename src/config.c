/* SPDX-License-Identifier: Apache-2.0 */
/* The whole configuration: which files, which sections, and what the gateway itself is told. */
#include "config.h"
#include "base/pool.h"
#include "base/units.h"
#include "config_private.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define API_FOLDER "/run/haywain"
#define API_SOCKET "api.sock"
#define API_READ_SOCKET "read.sock"
#define SELF_EVERY_US (60 * USEC_PER_SEC)

static const char *const log_levels[] = {"error", "warning", "notice", "info", "debug", NULL};
static const char *const clocks[] = {"ntp", "trust", NULL};

const struct hay_option gateway_options[] = {
	{.key = "id",
	 .type = HAY_OPT_NAME,
	 .offset = offsetof(struct gateway_conf, id),
	 .help = "what the gateway is called; default: the host name"},
	{.key = "log_level",
	 .type = HAY_OPT_CHOICE,
	 .offset = offsetof(struct gateway_conf, log_level),
	 .fallback = "info",
	 .choices = log_levels,
	 .help = "lines above it are not logged"},
	{.key = "clock",
	 .type = HAY_OPT_CHOICE,
	 .offset = offsetof(struct gateway_conf, clock),
	 .fallback = "ntp",
	 .choices = clocks,
	 .help = "ntp: trusted once synchronised; trust: always"},
	{.key = NULL},
};

struct api_keys {
	const char *socket, *read_socket;
};

static const struct hay_option api_options[] = {
	{.key = "socket",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct api_keys, socket),
	 .help = "the local API; \"\" switches it off"},
	{.key = "read_socket",
	 .type = HAY_OPT_STRING,
	 .offset = offsetof(struct api_keys, read_socket),
	 .help = "the same for reading only; default: read.sock beside it; \"\" switches it off"},
	{.key = NULL},
};

int list_add(struct name_list *list, void *item)
{
	if (list->n == list->n_allocated) {
		size_t n = list->n_allocated ? list->n_allocated * 2 : 16;
		void **items = reallocarray(list->items, n, sizeof(*items));

		if (!items)
			return -ENOMEM;
		list->items = items;
		list->n_allocated = n;
	}
	list->items[list->n++] = item;
	return 0;
}

const char *config_name(const config_setting_t *setting)
{
	struct conf_group group = conf_group_of(setting);
	const config_setting_t *name = conf_group_get(&group, "name");

	return name && config_setting_type(name) == CONFIG_TYPE_STRING ? config_setting_get_string(name) : NULL;
}

const config_setting_t *config_find_earlier(const struct name_list *settings, size_t at)
{
	const char *name = config_name(settings->items[at]);

	for (size_t i = 0; name && i < at; i++) {
		const char *other = config_name(settings->items[i]);

		if (other && strcmp(other, name) == 0)
			return settings->items[i];
	}
	return NULL;
}

int config_add_bad(struct config_loader *loader, int kind, const char *name)
{
	struct config_bad *bad = pool_alloc(loader->config->pool, sizeof(*bad));

	if (!bad)
		return -ENOMEM;
	bad->kind = kind;
	bad->name = pool_strdup(loader->config->pool, name);
	if (!bad->name)
		return -ENOMEM;
	return list_add(&loader->bad, bad);
}

/* ---- files ---- */

/* Add a file's list of groups. The number of mistakes. */
static int add_groups(struct config_loader *loader, config_setting_t *setting, struct name_list *list,
		      unsigned *n_errors)
{
	const char *key = config_setting_name(setting);

	if (!config_setting_is_list(setting) &&
	    !(config_setting_is_array(setting) && config_setting_length(setting) == 0)) {
		conf_error_at(loader->messages, setting, "`%s` must be a list of groups: %s: ( { … }, { … } );", key,
			      key);
		(*n_errors)++;
		return 0;
	}
	for (int i = 0; i < config_setting_length(setting); i++) {
		config_setting_t *group = config_setting_get_elem(setting, (unsigned)i);
		int r;

		if (!config_setting_is_group(group)) {
			conf_error_at(loader->messages, group, "`%s` must hold groups: { name = \"…\"; … }", key);
			(*n_errors)++;
			continue;
		}
		r = list_add(list, group);
		if (r < 0)
			return r;
	}
	return 0;
}

static const char *const section_names[N_SECTIONS] = {
	[SECTION_GATEWAY] = "gateway", [SECTION_QUEUE] = "queue", [SECTION_API] = "api", [SECTION_SELF] = "self"};

/* Lists add up over the files; of the others there is one. */
static int add_sections(struct config_loader *loader, struct conf_file *file, bool is_main)
{
	static const char *const lists[] = {"uplinks", "links", "devices"};
	config_setting_t *root = conf_file_root(file);

	for (int i = 0; i < config_setting_length(root); i++) {
		config_setting_t *setting = config_setting_get_elem(root, (unsigned)i);
		struct conf_nearest nearest = {.word = config_setting_name(setting)};
		struct name_list *const into[] = {&loader->uplinks, &loader->links, &loader->devices};
		bool known = false;

		for (size_t j = 0; j < ELEMENTS(lists) && !known; j++) {
			unsigned n_here = 0;
			int r;

			conf_nearest_try(&nearest, lists[j]);
			if (strcmp(lists[j], nearest.word) != 0)
				continue;
			known = true;
			r = add_groups(loader, setting, into[j], &n_here);
			if (r < 0)
				return r;
			/* Which uplink a broken list meant nobody can say; a link or device is one of many. */
			if (into[j] == &loader->uplinks)
				loader->n_fatal += n_here;
		}
		for (size_t j = 0; j < N_SECTIONS && !known; j++) {
			const config_setting_t *first = loader->sections[j];

			conf_nearest_try(&nearest, section_names[j]);
			if (strcmp(section_names[j], nearest.word) != 0)
				continue;
			known = true;
			if (!first) {
				loader->sections[j] = setting;
				continue;
			}
			conf_error_at(loader->messages, setting,
				      "`%s` is defined twice; first defined at %s:%u: make one of the two",
				      nearest.word, conf_setting_file(first), conf_setting_line(first));
			loader->n_fatal++;
		}
		if (!known) {
			conf_error_at(loader->messages, setting, "unknown key `%s`%s", nearest.word,
				      conf_unknown_text(&nearest, NULL, 0, loader->messages, loader->config->pool));
			/* It may have been meant as any of them. */
			loader->n_fatal += is_main ? 1 : 0;
		}
	}
	return 0;
}

/* What an owner may have meant to be read: not hidden, no copy that an editor or dpkg left. */
static bool has_conf_name(const char *name)
{
	size_t size = strlen(name);

	return name[0] != '.' && name[size - 1] != '~' && !strstr(name, ".dpkg-") &&
	       (strcasestr(name, ".conf") || strcasestr(name, ".cfg"));
}

static bool is_conf(const char *name)
{
	size_t size = strlen(name);

	return name[0] != '.' && size > 5 && strcmp(name + size - 5, ".conf") == 0;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name); /* not alphasort: the order must not hang on the locale */
}

/* A line that begins one of the sections that nothing runs without: a guess at a file that does not parse. */
static bool begins_vital(const char *line)
{
	static const char *const vital[] = {"uplinks", "gateway", "queue", "api", "self"};

	line += strspn(line, " \t");
	for (size_t i = 0; i < ELEMENTS(vital); i++) {
		size_t size = strlen(vital[i]);

		if (strncmp(line, vital[i], size) != 0)
			continue;
		size += strspn(line + size, " \t");
		if (line[size] == ':' || line[size] == '=')
			return true;
	}
	return false;
}

static void report_vital(struct config_loader *loader, const char *path)
{
	conf_error(
		loader->messages, path, 0,
		"this file may hold the gateway's name, its queue or its uplinks: without it nothing can be started or changed");
	loader->n_fatal++;
}

/* Without the gateway's name every reading would go up under another one, and without its uplink the queue would forget
   what the broker still has to get: a file that may hold them is not left out. */
static void report_if_vital(struct config_loader *loader, const char *path)
{
	FILE *file = fopen(path, "re");
	bool is_vital = false;
	size_t room = 0;
	char *line = NULL;

	while (file && !is_vital && getline(&line, &room, file) >= 0)
		is_vital = begins_vital(line);
	free(line);
	if (file)
		fclose(file);
	else
		loader->unread = path;
	if (is_vital)
		report_vital(loader, path);
}

static int read_extra(struct config_loader *loader, const char *path)
{
	_cleanup_(conf_file_freep) struct conf_file *file = NULL;
	struct conf_file *added;
	int r;

	r = conf_file_read(path, loader->messages, &file);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		report_if_vital(loader, path);
		return config_add_bad(loader, CONFIG_BAD_FILE, path);
	}
	r = list_add(&loader->files, file);
	if (r < 0)
		return r;
	added = file;
	file = NULL;
	return add_sections(loader, added, false);
}

static int read_extras(struct config_loader *loader, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *dir = pool_printf(loader->config->pool, "%.*sconf.d", slash ? (int)(slash - path) + 1 : 0, path);
	struct dirent **entries = NULL;
	int n, r = 0;

	if (!dir)
		return -ENOMEM;
	n = scandir(dir, &entries, NULL, compare_names);
	if (n < 0) {
		if (errno == ENOMEM)
			return -ENOMEM;
		if (errno != ENOENT) {
			_cleanup_buf_ struct buf advice = {0};
			const char *why = strerror(errno);

			conf_add_advice(&advice, loader->messages, dir, errno);
			conf_error(loader->messages, dir, 0, "this directory cannot be read: %s%s", why,
				   buf_text(&advice));
			return config_add_bad(loader, CONFIG_BAD_FILE, dir);
		}
		return 0;
	}
	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;
		bool wanted = is_conf(name), meant = !wanted && has_conf_name(name);
		const char *extra =
			r == 0 && (wanted || meant) ? pool_printf(loader->config->pool, "%s/%s", dir, name) : NULL;

		if (extra && wanted)
			r = read_extra(loader, extra);
		else if (extra)
			conf_warning(loader->messages, extra, 0, "this file is not read: its name must end in .conf");
		else if (r == 0 && (wanted || meant))
			r = -ENOMEM;
		free(entries[i]);
	}
	free(entries);
	return r;
}

/* ---- what there is one of ---- */

static unsigned read_section(struct config_loader *loader, enum config_section section, const struct hay_option *table,
			     void *into)
{
	config_setting_t *setting = loader->sections[section];
	struct conf_part part = {.table = table, .into = into};
	struct conf_group group;
	char what[32];

	conf_read_defaults(table, into, loader->config->pool);
	if (!setting)
		return 0;
	group = conf_group_of(setting);
	snprintf(what, sizeof(what), "`%s`", section_names[section]);
	return conf_read_group(&group, what, &part, 1, NULL, loader->config->pool, loader->messages);
}

static int read_gateway(struct config_loader *loader, config_setting_t *root)
{
	static const char *const common[] = {"raspberrypi", "debian", "localhost"};
	struct gateway_conf *gateway = &loader->config->gateway;
	config_setting_t *setting = loader->sections[SECTION_GATEWAY];
	const char *file = conf_setting_file(setting ? setting : root);
	unsigned line = setting ? conf_setting_line(setting) : 0;
	char host[HOST_NAME_MAX + 1] = "";
	unsigned n_errors;

	n_errors = read_section(loader, SECTION_GATEWAY, gateway_options, gateway);
	loader->n_fatal += n_errors;
	if (gateway->id)
		return 0;
	gethostname(host, sizeof(host) - 1);
	gateway->id = pool_strdup(loader->config->pool, host);
	if (!gateway->id)
		return -ENOMEM;
	if (n_errors > 0)
		return 0; /* perhaps of the id */
	if (!conf_is_name(host)) {
		conf_error(loader->messages, file, line,
			   "the host name \"%s\" is not a valid gateway name: set gateway.id", host);
		loader->n_fatal++;
	}
	for (size_t i = 0; i < ELEMENTS(common); i++)
		if (strcmp(common[i], host) == 0)
			conf_warning(
				loader->messages, file, line,
				"the gateway is named `%s` after its host: two gateways of the same name would disconnect each other at the broker; set gateway.id",
				host);
	return 0;
}

/* What waits in memory comes to the disk at once when that heals: it should not fill the file. */
static void check_queue(struct config_loader *loader, config_setting_t *root)
{
	const struct queue_conf *queue = &loader->config->queue;
	config_setting_t *setting = loader->sections[SECTION_QUEUE];
	char size[SIZE_TEXT_MAX], memory[SIZE_TEXT_MAX];

	if (queue->max_size / 4 >= queue->memory)
		return;
	conf_warning(
		loader->messages, conf_setting_file(setting ? setting : root), setting ? conf_setting_line(setting) : 0,
		"queue.max_size (%s) is not well above queue.memory (%s): after a disk failure the samples from memory would push older ones out of the file; set at least four times as much",
		format_size(queue->max_size, size), format_size(queue->memory, memory));
}

static void read_self(struct config_loader *loader)
{
	config_setting_t *setting = loader->sections[SECTION_SELF];
	uint64_t every_us = SELF_EVERY_US;
	int r = 0;

	if (setting && config_setting_type(setting) == CONFIG_TYPE_BOOL)
		every_us = config_setting_get_bool(setting) ? SELF_EVERY_US : 0;
	else if (setting && config_setting_type(setting) == CONFIG_TYPE_STRING)
		r = parse_duration(config_setting_get_string(setting), &every_us);
	else if (setting)
		r = -EINVAL;
	loader->config->self_every_us = every_us;
	if (r < 0) {
		conf_error_at(loader->messages, setting, "`self` must be true, false or a period like \"10s\"");
		loader->n_fatal++;
	} else if (setting && config_setting_type(setting) == CONFIG_TYPE_STRING &&
		   (every_us < USEC_PER_SEC || every_us > 366 * USEC_PER_DAY)) {
		conf_error_at(loader->messages, setting, "`self` must be from \"1s\" to \"366d\", not \"%s\"",
			      config_setting_get_string(setting));
		loader->n_fatal++;
	}
}

/* ---- uplinks ---- */

static bool same_broker(const struct uplink_conf *a, const struct uplink_conf *b)
{
	return a->host && b->host && strcasecmp(a->host, b->host) == 0 && a->port == b->port;
}

/* A prefix may name the gateway or spell it out. */
static bool same_prefix(const struct config *config, const char *a, const char *b)
{
	static const char word[] = "{gateway}";
	const char *texts[2] = {a, b};

	for (size_t i = 0; i < ELEMENTS(texts); i++)
		for (const char *at; texts[i] && (at = strstr(texts[i], word));)
			texts[i] = pool_printf(config->pool, "%.*s%s%s", (int)(at - texts[i]), texts[i],
					       config->gateway.id, at + strlen(word));
	return texts[0] && text_same(texts[0], texts[1]);
}

static int read_uplinks(struct config_loader *loader)
{
	struct config *config = loader->config;

	config->uplinks = pool_alloc(config->pool, (loader->uplinks.n + 1) * sizeof(*config->uplinks));
	config->uplink_marks = pool_alloc(config->pool, (loader->uplinks.n + 1) * sizeof(*config->uplink_marks));
	if (!config->uplinks || !config->uplink_marks)
		return -ENOMEM;
	for (size_t i = 0; i < loader->uplinks.n; i++) {
		const config_setting_t *setting = loader->uplinks.items[i],
				       *first = config_find_earlier(&loader->uplinks, i);
		struct uplink_conf *uplink;

		if (first) {
			conf_error_at(loader->messages, setting, "uplink `%s` is defined twice; first defined at %s:%u",
				      config_name(setting), conf_setting_file(first), conf_setting_line(first));
			loader->n_fatal++;
		}
		uplink = uplink_conf_read(setting, config->gateway.id, loader->messages);
		if (!uplink) {
			loader->n_fatal++;
			continue;
		}
		for (size_t j = 0; !first && j < config->n_uplinks; j++) {
			const struct uplink_conf *other = config->uplinks[j];

			if (!same_broker(uplink, other))
				continue;
			if (text_same(uplink->client_id, other->client_id)) {
				conf_error_at(
					loader->messages, setting,
					"uplinks `%s` and `%s` have the same broker and the same client_id \"%s\": the broker would disconnect each when the other connects",
					other->name, uplink->name, uplink->client_id);
				loader->n_fatal++;
			}
			if (same_prefix(config, uplink->prefix, other->prefix)) {
				conf_error_at(
					loader->messages, setting,
					"uplinks `%s` and `%s` have the same broker and the same prefix \"%s\": every reading would come twice",
					other->name, uplink->name, uplink->prefix);
				loader->n_fatal++;
			}
		}
		config->uplink_marks[config->n_uplink_marks++] =
			(struct config_mark){.name = pool_strdup(config->pool, uplink->name), .digest = uplink->digest};
		config->uplinks[config->n_uplinks++] = uplink;
	}
	return 0;
}

/* In systemd's folder for us, whatever it is called; else where it would be. The one for reading lies beside the
   other. */
static int find_sockets(struct config *config, const struct api_keys *api)
{
	const char *folder = getenv("RUNTIME_DIRECTORY"), *slash;

	if (!folder || !*folder)
		folder = API_FOLDER;
	/* systemd separates several by colons: the first is ours. */
	config->api_socket = api->socket
				     ? api->socket
				     : pool_printf(config->pool, "%.*s/" API_SOCKET, (int)strcspn(folder, ":"), folder);
	if (!config->api_socket)
		return -ENOMEM;
	slash = strrchr(config->api_socket, '/');
	if (api->read_socket)
		config->api_read_socket = api->read_socket;
	else if (!config->api_socket[0])
		config->api_read_socket = "";
	else
		config->api_read_socket =
			pool_printf(config->pool, "%.*s" API_READ_SOCKET,
				    slash ? (int)(slash - config->api_socket) + 1 : 0, config->api_socket);
	return config->api_read_socket ? 0 : -ENOMEM;
}

static void check_sockets(struct config_loader *loader)
{
	const struct config *config = loader->config;
	const config_setting_t *api = loader->sections[SECTION_API];

	if (!api || !config->api_socket[0] || !text_same(config->api_socket, config->api_read_socket))
		return;
	conf_error_at(loader->messages, api, "api.socket and api.read_socket are both %s: each needs a path of its own",
		      config->api_socket);
	loader->n_fatal++;
}

/* ---- the whole ---- */

static int load_files(struct config_loader *loader, const char *path)
{
	struct config *config = loader->config;
	struct conf_file *file;
	config_setting_t *root;
	struct api_keys api = {0};
	int r;

	r = conf_file_read(path, loader->messages, &file);
	if (r < 0)
		return r == -ENOMEM ? r : -EBADMSG;
	r = list_add(&loader->files, file);
	if (r < 0) {
		conf_file_free(file);
		return r;
	}
	root = conf_file_root(file);
	r = add_sections(loader, file, true);
	if (r == 0)
		r = read_extras(loader, path);
	if (r == 0 && loader->unread && !loader->sections[SECTION_GATEWAY])
		report_vital(loader, loader->unread);
	if (r == 0)
		r = read_gateway(loader, root);
	if (r < 0)
		return r;
	loader->n_fatal += read_section(loader, SECTION_QUEUE, queue_options, &config->queue);
	check_queue(loader, root);
	loader->n_fatal += read_section(loader, SECTION_API, api_options, &api);
	if (find_sockets(config, &api) < 0)
		return -ENOMEM;
	check_sockets(loader);
	read_self(loader);
	r = read_uplinks(loader);
	if (r == 0)
		r = config_read_field(loader);
	if (r < 0)
		return r;

	config->bad = pool_alloc(config->pool, (loader->bad.n + 1) * sizeof(*config->bad));
	if (!config->bad)
		return -ENOMEM;
	for (size_t i = 0; i < loader->bad.n; i++)
		config->bad[config->n_bad++] = *(struct config_bad *)loader->bad.items[i];
	return loader->n_fatal > 0 ? -EBADMSG : 0;
}

/* Where each key stands, and what keys were called before 0.2.0. */
static const struct hay_option device_groups[] = {{.key = "points"}, {.key = "tags"}, {.key = NULL}};
static const struct conf_place places[] = {
	{"`gateway`", gateway_options},
	{"`queue`", queue_options},
	{"`api`", api_options},
	{"an uplink", uplink_options},
	{"`tls` of an uplink", tls_options},
	{"a link", field_link_options},
	{"a device", field_device_options},
	{"a device", device_groups},
	{"a point", field_point_options},
	{"`report` of a device or point", field_report_options},
	{.table = NULL},
};
static const struct conf_renamed renamed[] = {
	{"at_most", "min_interval", "the shortest time between two reports"},
	{"at_least", "max_interval", "the longest time between two reports"},
	{.old = NULL},
};
static const struct conf_hints hints = {.places = places, .renamed = renamed};

int config_load(const char *path, struct plugin_set *plugins, struct conf_messages *messages, struct config **ret)
{
	struct config_loader loader = {.messages = messages, .plugins = plugins};
	struct name_list *const lists[] = {&loader.files,   &loader.uplinks,   &loader.links,
					   &loader.devices, &loader.bad_links, &loader.bad};
	struct config *config = calloc(1, sizeof(*config));
	int r;

	if (config)
		config->pool = pool_new();
	if (!config || !config->pool) {
		config_free(config);
		return -ENOMEM;
	}
	loader.config = config;
	messages->hints = &hints;
	r = load_files(&loader, path);
	messages->hints = NULL;
	if (r == -ENOMEM)
		conf_error(messages, path, 0, "out of memory");

	for (size_t i = 0; i < loader.files.n; i++)
		conf_file_free(loader.files.items[i]);
	for (size_t i = 0; i < loader.bad_links.n; i++)
		link_conf_free(loader.bad_links.items[i]);
	for (size_t i = 0; i < ELEMENTS(lists); i++)
		free(lists[i]->items);
	if (r < 0) {
		config_free(config);
		return r;
	}
	*ret = config;
	return 0;
}

struct config *config_free(struct config *config)
{
	if (!config)
		return NULL;
	for (size_t i = 0; i < config->n_uplinks; i++)
		if (config->uplinks[i])
			uplink_conf_free(config->uplinks[i]);
	for (size_t i = 0; i < config->n_links; i++)
		link_conf_free(config->links[i]);
	for (size_t i = 0; i < config->n_devices; i++)
		device_conf_free(config->devices[i]);
	pool_free(config->pool);
	free(config);
	return NULL;
}
