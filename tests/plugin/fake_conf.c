/* SPDX-License-Identifier: Apache-2.0 */
/* Links, devices and points from text, as the daemon reads them from a file. */
#include "fake_private.h"

struct fake_report {
	struct hay_report report;
	struct fake_host *fake;
	unsigned n_errors;
};

struct hay_point *fake_append_point(struct fake_device *device, const char *name)
{
	struct pool *pool = host_of(device->device.link)->pool;
	struct hay_point *point = pool_alloc(pool, sizeof(*point));

	device->points = reallocarray(device->points, device->device.n_points + 1, sizeof(*device->points));
	device->device.points = (const struct hay_point *const *)device->points;
	point->name = pool_strdup(pool, name);
	point->every_us = device->device.every_us;
	point->scale = 1;
	device->points[device->device.n_points++] = point;
	return point;
}

static void set_error(struct fake_host *fake, const char *format, ...) _printf_(2, 3);
static void set_error(struct fake_host *fake, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) >= 0)
		fake->error = pool_strdup(fake->pool, text);
	va_end(args);
}

static void report_error(const struct hay_report *report, const char *key, const char *format, ...) _printf_(3, 4);
static void report_error(const struct hay_report *report, const char *key, const char *format, ...)
{
	struct fake_report *fr = container_of(report, struct fake_report, report);
	_cleanup_free_ char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) >= 0)
		set_error(fr->fake, "%s%s%s", key ? key : "", key ? ": " : "", text);
	va_end(args);
	fr->n_errors++;
}

/* Kept like an error, but the thing is good all the same. */
static void report_warning(const struct hay_report *report, const char *key, const char *format, ...) _printf_(3, 4);
static void report_warning(const struct hay_report *report, const char *key, const char *format, ...)
{
	struct fake_report *fr = container_of(report, struct fake_report, report);
	_cleanup_free_ char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) >= 0)
		set_error(fr->fake, "warning: %s%s%s", key ? key : "", key ? ": " : "", text);
	va_end(args);
}

/* The struct of those options, or NULL after set_error(). */
static void *read_options(struct fake_host *fake, const struct hay_options *options, va_list args)
{
	char *into = pool_alloc(fake->pool, options->size + 1);
	const char *given[64], *key;
	size_t n_given = 0;

	if (options->table)
		conf_read_defaults(options->table, into, fake->pool);
	while ((key = va_arg(args, const char *))) {
		const char *text = va_arg(args, const char *);
		int r = options->table ? conf_set_text(options->table, into, key, text, fake->pool) : -ENOENT;

		if (r < 0) {
			set_error(fake, "%s: %s", key, r == -ENOENT ? "unknown key" : strerror(-r));
			return NULL;
		}
		if (n_given == ELEMENTS(given))
			fake_broken("more than %zu keys", n_given);
		given[n_given++] = key;
	}
	for (const struct hay_option *option = options->table; option && option->key; option++) {
		bool found = !(option->flags & HAY_OPT_REQUIRED);

		for (size_t i = 0; i < n_given && !found; i++)
			found = !strcmp(given[i], option->key);
		if (!found) {
			set_error(fake, "%s: missing", option->key);
			return NULL;
		}
	}
	return into;
}

struct hay_link *fake_link(struct fake_host *fake, const char *name, ...)
{
	struct fake_report report = {.report = {.error = report_error, .warning = report_warning}, .fake = fake};
	struct fake_link *fl = pool_alloc(fake->pool, sizeof(*fl));
	va_list args;

	fl->fake = fake;
	fl->link = (struct hay_link){.host = &fake->host, .name = pool_strdup(fake->pool, name)};
	va_start(args, name);
	fl->link.conf = read_options(fake, &fake->plugin->link_options, args);
	va_end(args);
	if (!fl->link.conf)
		return NULL;
	if (fake->plugin->check_link)
		fake->plugin->check_link(fl->link.conf, &report.report);
	if (report.n_errors)
		return NULL;
	fl->next = fake->links;
	fake->links = fl;
	return &fl->link;
}

struct hay_device *fake_device(struct hay_link *link, const char *name, ...)
{
	struct fake_host *fake = host_of(link);
	struct fake_report report = {.report = {.error = report_error, .warning = report_warning}, .fake = fake};
	struct fake_device *fd = pool_alloc(fake->pool, sizeof(*fd));
	va_list args;

	fd->device =
		(struct hay_device){.link = link, .name = pool_strdup(fake->pool, name), .every_us = 10 * USEC_PER_SEC};
	va_start(args, name);
	fd->device.conf = read_options(fake, &fake->plugin->device_options, args);
	va_end(args);
	if (!fd->device.conf)
		return NULL;
	if (fake->plugin->check_device)
		fake->plugin->check_device(fd->device.conf, link->conf, &report.report);
	if (report.n_errors)
		return NULL;
	fd->next = link_of(link)->devices;
	link_of(link)->devices = fd;
	return &fd->device;
}

static bool type_of(const struct hay_plugin *plugin, const char *name, enum hay_type *ret)
{
	static const char *const names[HAY_N_TYPES] = {
		[HAY_BOOL] = "bool",	   [HAY_INT16] = "int16",   [HAY_INT32] = "int32",   [HAY_INT64] = "int64",
		[HAY_UINT16] = "uint16",   [HAY_UINT32] = "uint32", [HAY_UINT64] = "uint64", [HAY_FLOAT32] = "float32",
		[HAY_FLOAT64] = "float64", [HAY_STRING] = "string", [HAY_BYTES] = "bytes",
	};

	*ret = HAY_TYPE_NONE;
	for (unsigned i = 0; i < HAY_N_TYPES; i++)
		if (names[i] && !strcmp(names[i], name)) {
			*ret = i;
			return true;
		}
	for (const char *const *own = plugin->types; own && *own; own++)
		if (!strcmp(*own, name))
			return true;
	return false;
}

struct hay_point *fake_point(struct hay_device *device, const char *name, const char *type, unsigned flags, ...)
{
	struct fake_host *fake = host_of(device->link);
	struct fake_report report = {.report = {.error = report_error, .warning = report_warning}, .fake = fake};
	struct hay_point point = {.name = name, .type_name = type, .flags = flags, .scale = 1}, *added;
	va_list args;

	if (device_of(device)->started)
		fake_broken("fake_point() after fake_start()");
	if (type && !type_of(fake->plugin, type, &point.type)) {
		set_error(fake, "type: unknown");
		return NULL;
	}
	va_start(args, flags);
	point.conf = read_options(fake, &fake->plugin->point_options, args);
	va_end(args);
	if (!point.conf)
		return NULL;
	if (fake->plugin->check_point)
		fake->plugin->check_point(&point, device->conf, device->link->conf, &report.report);
	if (report.n_errors)
		return NULL;
	if (point.type == HAY_TYPE_NONE)
		fake_broken("check_point() left the type of %s open", name);
	added = fake_append_point(device_of(device), name);
	point.name = added->name;
	point.every_us = added->every_us;
	point.type_name = type ? pool_strdup(fake->pool, type) : NULL;
	*added = point;
	return added;
}

const char *fake_error(const struct fake_host *fake)
{
	return fake->error ? fake->error : "";
}
