/* SPDX-License-Identifier: Apache-2.0 */
/* Walking over groups by tables of options. */
#include "base/conf_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool conf_is_name(const char *text)
{
	size_t size = strlen(text);

	if (size == 0 || size > 64)
		return false;
	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
		      c == '.' || c == '-'))
			return false;
	}
	return true;
}

struct conf_group conf_group_of(const config_setting_t *setting)
{
	return (struct conf_group){.layers = {setting}, .n_layers = 1};
}

static config_setting_t *member_of(const config_setting_t *setting, const char *key)
{
	/* By hand: config_setting_get_member() takes a dot in the key for a path. */
	for (int i = 0; config_setting_is_group(setting) && i < config_setting_length(setting); i++) {
		config_setting_t *member = config_setting_get_elem(setting, (unsigned)i);

		if (strcmp(config_setting_name(member), key) == 0)
			return member;
	}
	return NULL;
}

config_setting_t *conf_group_get(const struct conf_group *group, const char *key)
{
	for (unsigned i = 0; i < group->n_layers; i++) {
		config_setting_t *member = member_of(group->layers[i], key);

		if (member)
			return member;
	}
	return NULL;
}

/* The groups of that key in all layers; *ret_bad: a layer has something else there. */
static struct conf_group group_below(const struct conf_group *group, const char *key, config_setting_t **ret_bad)
{
	struct conf_group below = {0};

	*ret_bad = NULL;
	for (unsigned i = 0; i < group->n_layers; i++) {
		config_setting_t *member = member_of(group->layers[i], key);

		if (member && config_setting_is_group(member))
			below.layers[below.n_layers++] = member;
		else if (member && !*ret_bad)
			*ret_bad = member;
	}
	return below;
}

static unsigned read_table(const struct conf_group *group, const char *what, const struct hay_option *table, void *into,
			   struct pool *pool, struct conf_messages *messages)
{
	unsigned n_errors = 0;

	option_defaults(table, into, pool);
	for (const struct hay_option *option = table; option && option->key; option++) {
		config_setting_t *setting = conf_group_get(group, option->key), *bad;

		if (option->type == HAY_OPT_GROUP) {
			struct conf_group below = group_below(group, option->key, &bad);
			struct conf_part part = {.table = option->group, .into = (char *)into + option->offset};

			if (bad)
				n_errors += conf_error_at(messages, bad, "`%s` must be a group: %s: { … };",
							  option->key, option->key);
			if (below.n_layers > 0)
				n_errors += conf_read_group(&below, what, &part, 1, NULL, pool, messages);
		} else if (setting) {
			n_errors += option_set(option, into, setting, pool, messages) ? 0 : 1;
		} else if (option->flags & HAY_OPT_REQUIRED) {
			n_errors += conf_error_at(messages, group->layers[0],
						  option->help ? "%s: `%s` is missing (%s)" : "%s: `%s` is missing%s",
						  what, option->key, option->help ? option->help : "");
		}
	}
	return n_errors;
}

static bool has_key(const struct conf_part *parts, size_t n_parts, const char *const *others, const char *key,
		    struct conf_nearest *nearest)
{
	for (size_t i = 0; i < n_parts; i++) {
		if (parts[i].elsewhere)
			continue;
		for (const struct hay_option *option = parts[i].table; option && option->key; option++) {
			if (strcmp(option->key, key) == 0)
				return true;
			conf_nearest_try(nearest, option->key);
		}
	}
	for (; others && *others; others++) {
		if (strcmp(*others, key) == 0)
			return true;
		conf_nearest_try(nearest, *others);
	}
	return false;
}

/* The key of the file that holds what somebody wanted to write here: `password_file` of `password`, `passwd`,
   `pass`. */
static const char *secret_of(const struct conf_part *parts, size_t n_parts, const char *word)
{
	static const char suffix[] = "_file";
	size_t size = strlen(word);

	if (strchr(word, '_'))
		return NULL; /* it means the file's key itself */
	for (size_t i = 0; i < n_parts; i++)
		for (const struct hay_option *option = parts[i].elsewhere ? NULL : parts[i].table;
		     option && option->key; option++) {
			size_t key_size = strlen(option->key);
			_cleanup_free_ char *stem = NULL;
			struct conf_nearest nearest = {.word = word};

			if (option->type != HAY_OPT_SECRET || key_size < sizeof(suffix) ||
			    strcmp(option->key + key_size - (sizeof(suffix) - 1), suffix) != 0)
				continue;
			stem = strndup(option->key, key_size - (sizeof(suffix) - 1));
			if (!stem)
				return NULL;
			conf_nearest_try(&nearest, stem);
			if (nearest.best || (size >= 3 && strncmp(stem, word, size) == 0))
				return option->key;
		}
	return NULL;
}

static bool table_has(const struct hay_option *table, const char *key)
{
	for (const struct hay_option *option = table; option && option->key; option++)
		if (strcmp(option->key, key) == 0)
			return true;
	return false;
}

/* "`queue`", "a link or a device": where a key is at home; NULL: nowhere. */
static const char *section_of(const char *key, const struct conf_part *parts, size_t n_parts,
			      const struct conf_hints *hints, struct pool *pool)
{
	const char *text = NULL;

	for (size_t i = 0; i < n_parts; i++)
		if (parts[i].elsewhere && table_has(parts[i].table, key))
			text = text ? pool_printf(pool, "%s or %s", text, parts[i].elsewhere) : parts[i].elsewhere;
	for (const struct conf_place *place = hints ? hints->places : NULL; place && place->table; place++)
		if (table_has(place->table, key) && (!text || !strstr(text, place->where)))
			text = text ? pool_printf(pool, "%s or %s", text, place->where) : place->where;
	return text;
}

const char *conf_unknown_text(struct conf_nearest *nearest, const struct conf_part *parts, size_t n_parts,
			      const struct conf_messages *messages, struct pool *pool)
{
	const struct conf_hints *hints = messages->hints;
	const char *section, *text = NULL;

	for (const struct conf_renamed *renamed = hints ? hints->renamed : NULL; renamed && renamed->old; renamed++)
		if (strcmp(renamed->old, nearest->word) == 0) {
			text = pool_printf(pool, ": it is called `%s` now, %s", renamed->now, renamed->meaning);
			return text ? text : "";
		}
	section = section_of(nearest->word, parts, n_parts, hints, pool);
	if (!section && (nearest->best || !hints))
		return conf_nearest_text(nearest, pool);
	if (!section) {
		for (size_t i = 0; i < n_parts && !text; i++)
			text = parts[i].plugin;
		text = text ? pool_printf(pool, "; `haywain help %s` lists the keys", text)
			    : "; haywain.conf(5) lists the keys";
		return text ? text : "";
	}
	text = pool_printf(pool, " here: it belongs in %s", section);
	return text ? text : "";
}

static unsigned check_unknown(const config_setting_t *layer, const struct conf_part *parts, size_t n_parts,
			      const char *const *others, struct pool *pool, struct conf_messages *messages)
{
	unsigned n_errors = 0;

	for (int i = 0; i < config_setting_length(layer); i++) {
		const config_setting_t *member = config_setting_get_elem(layer, (unsigned)i);
		struct conf_nearest nearest = {.word = config_setting_name(member)};

		if (has_key(parts, n_parts, others, nearest.word, &nearest))
			continue;

		const char *secret = secret_of(parts, n_parts, nearest.word);

		if (secret)
			n_errors += conf_error_at(
				messages, member,
				"unknown key `%s`: secrets are not written in the configuration; put the secret in a file of its own and name the file in `%s`",
				nearest.word, secret);
		else
			n_errors += conf_error_at(messages, member, "unknown key `%s`%s", nearest.word,
						  conf_unknown_text(&nearest, parts, n_parts, messages, pool));
	}
	return n_errors;
}

unsigned conf_read_keys(const struct conf_group *group, const char *what, const struct conf_part *parts, size_t n_parts,
			struct pool *pool, struct conf_messages *messages)
{
	unsigned n_errors = 0;

	for (unsigned i = 0; i < group->n_layers; i++)
		if (!config_setting_is_group(group->layers[i]))
			n_errors += conf_error_at(messages, group->layers[i], "%s must be a group: { … }", what);
	if (n_errors > 0)
		return n_errors;
	for (size_t i = 0; i < n_parts; i++)
		if (!parts[i].elsewhere)
			n_errors += read_table(group, what, parts[i].table, parts[i].into, pool, messages);
	return n_errors;
}

unsigned conf_read_group(const struct conf_group *group, const char *what, const struct conf_part *parts,
			 size_t n_parts, const char *const *others, struct pool *pool, struct conf_messages *messages)
{
	unsigned n_errors = conf_read_keys(group, what, parts, n_parts, pool, messages);

	for (unsigned i = 0; i < group->n_layers; i++)
		if (config_setting_is_group(group->layers[i]))
			n_errors += check_unknown(group->layers[i], parts, n_parts, others, pool, messages);
	return n_errors;
}

void conf_read_defaults(const struct hay_option *table, void *into, struct pool *pool)
{
	option_defaults(table, into, pool);
}

int conf_set_text(const struct hay_option *table, void *into, const char *key, const char *text, struct pool *pool)
{
	const char *dot = strchr(key, '.');
	size_t size = dot ? (size_t)(dot - key) : strlen(key);

	for (const struct hay_option *option = table; option && option->key; option++) {
		if (strlen(option->key) != size || memcmp(option->key, key, size) != 0)
			continue;
		if (dot && option->type == HAY_OPT_GROUP)
			return conf_set_text(option->group, (char *)into + option->offset, dot + 1, text, pool);
		return dot ? -ENOENT : option_set_text(option, into, text, true, pool);
	}
	return -ENOENT;
}

/* ---- the report for check functions ---- */

/* At the key, or at the thing itself and then with its name in front. */
static void report_at(struct conf_report *report, bool warning, const char *key, const char *format, va_list args)
	_printf_(4, 0);
static void report_at(struct conf_report *report, bool warning, const char *key, const char *format, va_list args)
{
	const config_setting_t *setting = key ? conf_group_get(report->group, key) : NULL;
	const config_setting_t *at = setting ? setting : report->group->layers[0];
	_cleanup_free_ char *text = NULL;
	const char *what = setting ? "" : report->what, *colon = setting ? "" : ": ";

	/* A number in hexadecimal is meant: nobody copies 0x9C41 out of a table that counts from 1. */
	if (warning && setting && config_setting_get_format(setting) == CONFIG_FORMAT_HEX)
		return;
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	if (warning)
		conf_warning_at(report->messages, at, "%s%s%s", what, colon, text ? text : "out of memory");
	else
		conf_error_at(report->messages, at, "%s%s%s", what, colon, text ? text : "out of memory");
	report->n_errors += !warning;
}

static void report_error(const struct hay_report *base, const char *key, const char *format, ...) _printf_(3, 4);
static void report_error(const struct hay_report *base, const char *key, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_at(container_of((struct hay_report *)base, struct conf_report, report), false, key, format, args);
	va_end(args);
}

static void report_warning(const struct hay_report *base, const char *key, const char *format, ...) _printf_(3, 4);
static void report_warning(const struct hay_report *base, const char *key, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	report_at(container_of((struct hay_report *)base, struct conf_report, report), true, key, format, args);
	va_end(args);
}

void conf_report_init(struct conf_report *report, const struct conf_group *group, const char *what,
		      struct conf_messages *messages)
{
	*report = (struct conf_report){
		.report = {.error = report_error, .warning = report_warning},
		.group = group,
		.what = what,
		.messages = messages,
	};
}

/* ---- digest ---- */

static uint64_t mix_bits(uint64_t hash)
{
	hash ^= hash >> 30;
	hash *= UINT64_C(0xbf58476d1ce4e5b9);
	hash ^= hash >> 27;
	hash *= UINT64_C(0x94d049bb133111eb);
	return hash ^ hash >> 31;
}

uint64_t conf_digest_add(uint64_t digest, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		digest = (digest ^ bytes[i]) * UINT64_C(0x100000001b3);
	return mix_bits(digest ^ size);
}

static uint64_t digest_number(char kind, uint64_t number)
{
	return conf_digest_add((uint64_t)(unsigned char)kind, &number, sizeof(number));
}

static uint64_t digest_setting(const config_setting_t *setting)
{
	const char *text;
	double number;
	uint64_t bits, digest;

	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return digest_number('i', (uint64_t)config_setting_get_int64(setting));
	case CONFIG_TYPE_FLOAT:
		number = config_setting_get_float(setting);
		memcpy(&bits, &number, sizeof(bits));
		return digest_number('f', bits);
	case CONFIG_TYPE_BOOL:
		return digest_number('b', config_setting_get_bool(setting) ? 1 : 0);
	case CONFIG_TYPE_STRING:
		text = config_setting_get_string(setting);
		return conf_digest_add('s', text, strlen(text));
	case CONFIG_TYPE_GROUP: {
		struct conf_group group = conf_group_of(setting);

		return conf_group_digest(&group);
	}
	default:
		digest = 'l';
		for (int i = 0; i < config_setting_length(setting); i++)
			digest = mix_bits(digest + digest_setting(config_setting_get_elem(setting, (unsigned)i)));
		return digest;
	}
}

uint64_t conf_group_digest(const struct conf_group *group)
{
	uint64_t sum = 0;

	/* A sum does not mind the order of keys. */
	for (unsigned i = 0; i < group->n_layers; i++)
		for (int j = 0;
		     config_setting_is_group(group->layers[i]) && j < config_setting_length(group->layers[i]); j++) {
			const config_setting_t *member = config_setting_get_elem(group->layers[i], (unsigned)j);
			const char *key = config_setting_name(member);
			config_setting_t *bad;
			struct conf_group below;

			if (conf_group_get(group, key) != member)
				continue;
			below = group_below(group, key, &bad);
			sum += conf_digest_add(config_setting_is_group(member) ? conf_group_digest(&below)
									       : digest_setting(member),
					       key, strlen(key));
		}
	return mix_bits(sum + 'g');
}
