/* SPDX-License-Identifier: Apache-2.0 */
/* One option: its value from a setting or from text, its default, and the words where it is wrong. */
#include "base/conf_internal.h"
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void *field_of(const struct hay_option *option, void *into)
{
	return (char *)into + option->offset;
}

static bool is_limited(const struct hay_option *option)
{
	return option->min != 0 || option->max != 0;
}

static bool is_text(enum hay_option_type type)
{
	return type == HAY_OPT_STRING || type == HAY_OPT_NAME || type == HAY_OPT_SECRET;
}

/* ---- from text ---- */

static int set_whole(const struct hay_option *option, void *into, const char *text, bool limits)
{
	const char *digits = text + (*text == '-' || *text == '+');
	bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
	char *end;
	long long value;

	if (*text == '\0' || strchr(" \t\n\r\v\f", *text))
		return -EINVAL;
	errno = 0;
	value = strtoll(text, &end, hex ? 16 : 10);
	if (end == text || *end != '\0')
		return -EINVAL;
	if (errno == ERANGE || (limits && is_limited(option) && (value < option->min || value > option->max)))
		return -ERANGE;
	*(int64_t *)field_of(option, into) = value;
	return 0;
}

static int set_float(const struct hay_option *option, void *into, const char *text, bool limits)
{
	char *end;
	double value;

	if (*text == '\0' || strchr(" \t\n\r\v\f", *text))
		return -EINVAL;
	value = strtod(text, &end);
	if (end == text || *end != '\0')
		return -EINVAL;
	/* NaN is for defaults: it tells that nothing was written. */
	if (limits &&
	    (!isfinite(value) || (is_limited(option) && (value < (double)option->min || value > (double)option->max))))
		return -ERANGE;
	*(double *)field_of(option, into) = value;
	return 0;
}

static int set_unsigned(const struct hay_option *option, void *into, uint64_t value, bool limits)
{
	if (limits && is_limited(option) && ((int64_t)value < option->min || (int64_t)value > option->max))
		return -ERANGE;
	*(uint64_t *)field_of(option, into) = value;
	return 0;
}

int option_set_text(const struct hay_option *option, void *into, const char *text, bool limits, struct pool *pool)
{
	uint64_t value;
	double rate;
	int r;

	switch (option->type) {
	case HAY_OPT_BOOL:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return -EINVAL;
		*(bool *)field_of(option, into) = text[0] == 't';
		return 0;
	case HAY_OPT_INT:
		return set_whole(option, into, text, limits);
	case HAY_OPT_FLOAT:
		return set_float(option, into, text, limits);
	case HAY_OPT_NAME:
		if (limits && !conf_is_name(text))
			return -EINVAL;
		/* fall through */
	case HAY_OPT_STRING:
	case HAY_OPT_SECRET: {
		const char *copy = pool_strdup(pool, text);

		if (!copy)
			return -ENOMEM;
		*(const char **)field_of(option, into) = copy;
		return 0;
	}
	case HAY_OPT_CHOICE:
		for (int i = 0; option->choices[i]; i++)
			if (strcmp(option->choices[i], text) == 0) {
				*(int *)field_of(option, into) = i;
				return 0;
			}
		return -EINVAL;
	case HAY_OPT_DURATION:
		r = parse_duration(text, &value);
		return r < 0 ? r : set_unsigned(option, into, value, limits);
	case HAY_OPT_SIZE:
		r = parse_size(text, &value);
		return r < 0 ? r : set_unsigned(option, into, value, limits);
	case HAY_OPT_RATE:
		r = parse_rate(text, &rate);
		if (r < 0)
			return r;
		if (limits && is_limited(option) && (rate < (double)option->min || rate > (double)option->max))
			return -ERANGE;
		*(double *)field_of(option, into) = rate;
		return 0;
	case HAY_OPT_GROUP:
		return -EINVAL;
	}
	return -EINVAL;
}

void option_defaults(const struct hay_option *table, void *into, struct pool *pool)
{
	for (const struct hay_option *option = table; option && option->key; option++) {
		if (option->type == HAY_OPT_GROUP)
			option_defaults(option->group, field_of(option, into), pool);
		else if (option->fallback && option_set_text(option, into, option->fallback, false, pool) == -EINVAL) {
			fprintf(stderr, "the default \"%s\" of option `%s` is wrong\n", option->fallback, option->key);
			abort();
		}
	}
}

/* ---- the words ---- */

/* A value with the largest unit that divides it: as one writes it. */
static const char *unit_text(const struct hay_option *option, int64_t value, struct pool *pool)
{
	static const struct {
		int64_t factor;
		const char *name;
	} durations[] = {{USEC_PER_DAY, "d"}, {USEC_PER_HOUR, "h"},  {USEC_PER_MINUTE, "m"},
			 {USEC_PER_SEC, "s"}, {USEC_PER_MSEC, "ms"}, {1, "us"}},
	  sizes[] = {{INT64_C(1) << 30, "GB"}, {INT64_C(1) << 20, "MB"}, {INT64_C(1) << 10, "KB"}, {1, "B"}};
	const char *text = NULL;

	if (option->type == HAY_OPT_DURATION || option->type == HAY_OPT_SIZE) {
		bool duration = option->type == HAY_OPT_DURATION;

		if (value == 0)
			return duration ? "\"0s\"" : "\"0B\"";
		for (size_t i = 0; !text && i < (duration ? ELEMENTS(durations) : ELEMENTS(sizes)); i++)
			if (value % (duration ? durations[i].factor : sizes[i].factor) == 0)
				text = pool_printf(pool, "\"%" PRId64 "%s\"",
						   value / (duration ? durations[i].factor : sizes[i].factor),
						   duration ? durations[i].name : sizes[i].name);
	} else {
		text = pool_printf(pool, option->type == HAY_OPT_RATE ? "\"%" PRId64 "/s\"" : "%" PRId64, value);
	}
	return text ? text : "?";
}

/* A default may stand outside the limits, to tell that nothing was written: then it is no example. */
static bool is_good_example(const struct hay_option *option)
{
	double value;

	if (!option->fallback || option->fallback[0] == '\0' || strcmp(option->fallback, "nan") == 0)
		return false;
	if (option->type != HAY_OPT_INT && option->type != HAY_OPT_FLOAT)
		return true;
	value = strtod(option->fallback, NULL);
	return !is_limited(option) || (value >= (double)option->min && value <= (double)option->max);
}

/* A good value, for "like …". */
static const char *example_of(const struct hay_option *option)
{
	if (is_good_example(option))
		return option->fallback;
	switch (option->type) {
	case HAY_OPT_INT:
		return "1";
	case HAY_OPT_FLOAT:
		return "0.5";
	case HAY_OPT_DURATION:
		return "5s";
	case HAY_OPT_SIZE:
		return "4KB";
	case HAY_OPT_RATE:
		return "100/s";
	default:
		return NULL;
	}
}

/* "none", "rtscts" or "xonxoff" */
static const char *choices_text(const struct hay_option *option, struct pool *pool)
{
	const char *text = "";

	for (int i = 0; option->choices[i] && text; i++)
		text = pool_printf(pool, "%s%s\"%s\"", text,
				   i == 0		    ? ""
				   : option->choices[i + 1] ? ", "
							    : " or ",
				   option->choices[i]);
	return text ? text : "?";
}

struct option_place {
	const config_setting_t *setting;
	struct conf_messages *messages;
};

#define place_error(place, ...) conf_error_at((place)->messages, (place)->setting, __VA_ARGS__)

/* "9600", "0,1": a number, but as a text. NULL: no number. */
static const char *number_in_text(const config_setting_t *setting, struct pool *pool)
{
	const char *text = config_setting_get_string(setting);
	char *copy = text ? pool_strdup(pool, text) : NULL, *comma = copy ? strchr(copy, ',') : NULL, *end;

	if (!copy || !*copy)
		return NULL;
	if (comma)
		*comma = '.';
	return isfinite(strtod(copy, &end)) && *end == '\0' ? copy : NULL;
}

/* The text with what people add taken out, "1 s", "0,5s": a good one? NULL: neither. */
static const char *unit_meant(const struct hay_option *option, const char *text, struct pool *pool)
{
	char *copy = pool_strdup(pool, text), *to = copy;
	uint64_t value;
	double rate;

	for (const char *from = copy; from && *from; from++)
		if (*from != ' ')
			*to++ = *from == ',' ? '.' : *from;
	if (!copy)
		return NULL;
	*to = '\0';
	return option->type == HAY_OPT_RATE	  ? parse_rate(copy, &rate) < 0 ? NULL : copy
	       : option->type == HAY_OPT_SIZE	  ? parse_size(copy, &value) < 0 ? NULL : copy
	       : parse_duration(copy, &value) < 0 ? NULL
						  : copy;
}

/* "0.1" of "0.1 °C": a number with something behind it. NULL: none. */
static const char *number_before_unit(const config_setting_t *setting, struct pool *pool)
{
	const char *text = config_setting_get_string(setting);
	size_t size = strspn(text, "+-.0123456789");
	char *copy = size > 0 && text[size] ? pool_strndup(pool, text, size) : NULL;
	char *end;

	return copy && isfinite(strtod(copy, &end)) && *end == '\0' ? copy : NULL;
}

static void report_wrong_type(const struct option_place *place, const struct hay_option *option, struct pool *pool)
{
	const char *key = option->key, *example = example_of(option);
	int type = config_setting_type(place->setting);
	bool number = type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
	const char *quoted = type == CONFIG_TYPE_STRING ? number_in_text(place->setting, pool) : NULL;

	if (quoted && (option->type == HAY_OPT_FLOAT || (option->type == HAY_OPT_INT && !strchr(quoted, '.')))) {
		place_error(place, "`%s` must be a number without quotes: write %s", key, quoted);
		return;
	}
	quoted = type == CONFIG_TYPE_STRING ? number_before_unit(place->setting, pool) : NULL;
	if (quoted && (option->type == HAY_OPT_FLOAT || (option->type == HAY_OPT_INT && !strchr(quoted, '.')))) {
		place_error(place, "`%s` must be a number without quotes and unit: write %s", key, quoted);
		return;
	}
	switch (option->type) {
	case HAY_OPT_BOOL:
		place_error(place, "`%s` must be true or false, without quotes", key);
		break;
	case HAY_OPT_INT:
		place_error(place, "`%s` must be a whole number, like %s", key, example);
		break;
	case HAY_OPT_FLOAT:
		place_error(place, "`%s` must be a number, like %s", key, example);
		break;
	case HAY_OPT_STRING:
	case HAY_OPT_SECRET:
	case HAY_OPT_NAME:
		if (example)
			place_error(place, "`%s` must be a text in quotes, like \"%s\"", key, example);
		else
			place_error(place, "`%s` must be a text in quotes", key);
		break;
	case HAY_OPT_CHOICE:
		place_error(place, "`%s` must be %s", key, choices_text(option, pool));
		break;
	case HAY_OPT_DURATION:
	case HAY_OPT_SIZE: {
		const char *unit = option->type == HAY_OPT_SIZE ? "KB" : "s",
			   *other = option->type == HAY_OPT_SIZE ? "MB" : "ms";
		long long value = number ? config_setting_get_int64(place->setting) : 0;

		if (number)
			place_error(place, "`%s` needs a unit: write \"%lld%s\" or \"%lld%s\", not %lld", key, value,
				    unit, value, other, value);
		else
			place_error(place, "`%s` must be a %s with a unit in quotes, like \"%s\"", key,
				    option->type == HAY_OPT_SIZE ? "size" : "time", example);
		break;
	}
	case HAY_OPT_RATE:
		if (number)
			place_error(place, "`%s` needs a unit: write \"%lld/s\", not %lld", key,
				    config_setting_get_int64(place->setting), config_setting_get_int64(place->setting));
		else
			place_error(place, "`%s` must be a rate in quotes, like \"%s\"", key, example);
		break;
	case HAY_OPT_GROUP:
		place_error(place, "`%s` must be a group: %s: { … };", key, key);
		break;
	}
}

static void report_limits(const struct option_place *place, const struct hay_option *option, const char *text,
			  struct pool *pool)
{
	const char *quote = option->type == HAY_OPT_INT || option->type == HAY_OPT_FLOAT ? "" : "\"";

	if (!is_limited(option))
		place_error(place, "`%s` is too large: %s%s%s", option->key, quote, text, quote);
	else if (option->max == INT64_MAX)
		place_error(place, "`%s` must be at least %s, not %s%s%s", option->key,
			    unit_text(option, option->min, pool), quote, text, quote);
	else
		place_error(place, "`%s` must be from %s to %s, not %s%s%s", option->key,
			    unit_text(option, option->min, pool), unit_text(option, option->max, pool), quote, text,
			    quote);
}

static void report_wrong_text(const struct option_place *place, const struct hay_option *option, const char *text,
			      struct pool *pool)
{
	bool with_unit =
		option->type == HAY_OPT_DURATION || option->type == HAY_OPT_SIZE || option->type == HAY_OPT_RATE;
	const char *meant = with_unit ? unit_meant(option, text, pool) : NULL;

	if (meant) {
		place_error(place, "`%s`: write \"%s\", not \"%s\"", option->key, meant, text);
		return;
	}
	switch (option->type) {
	case HAY_OPT_NAME:
		place_error(place, "`%s` must be 1 to 64 letters, digits, `_`, `.` or `-`, not \"%s\"", option->key,
			    text);
		break;
	case HAY_OPT_CHOICE:
		place_error(place, "`%s` must be %s, not \"%s\"", option->key, choices_text(option, pool), text);
		break;
	case HAY_OPT_DURATION:
		place_error(place, "`%s` must be a time with a unit (us, ms, s, m, h, d), like \"%s\", not \"%s\"",
			    option->key, example_of(option), text);
		break;
	case HAY_OPT_SIZE:
		place_error(place, "`%s` must be a size with a unit (B, KB, MB, GB, TB), like \"%s\", not \"%s\"",
			    option->key, example_of(option), text);
		break;
	case HAY_OPT_RATE:
		place_error(place, "`%s` must be a rate (/s, /m, /h, /d), like \"%s\", not \"%s\"", option->key,
			    example_of(option), text);
		break;
	default:
		report_wrong_type(place, option, pool);
		break;
	}
}

/* ---- from a setting ---- */

/* The text of a scalar as option_set_text() wants it; NULL: this type of value does not go with the option. */
static const char *text_of(const struct hay_option *option, const config_setting_t *setting, struct pool *pool)
{
	bool number_ok =
		option->type == HAY_OPT_INT || option->type == HAY_OPT_FLOAT ||
		(option->flags & HAY_OPT_NUMBER_OK && (is_text(option->type) || option->type == HAY_OPT_CHOICE));
	char buffer[NUMBER_TEXT_MAX];

	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		if (!number_ok)
			return NULL;
		if (config_setting_get_format(setting) == CONFIG_FORMAT_HEX && is_text(option->type))
			return pool_printf(pool, "0x%llX", config_setting_get_int64(setting));
		return pool_printf(pool, "%lld", config_setting_get_int64(setting));
	case CONFIG_TYPE_FLOAT:
		if (!number_ok || option->type == HAY_OPT_INT)
			return NULL;
		format_double(config_setting_get_float(setting), buffer);
		return pool_strdup(pool, buffer);
	case CONFIG_TYPE_BOOL:
		return option->type != HAY_OPT_BOOL ? NULL : config_setting_get_bool(setting) ? "true" : "false";
	case CONFIG_TYPE_STRING:
		if (option->type == HAY_OPT_BOOL || option->type == HAY_OPT_INT || option->type == HAY_OPT_FLOAT)
			return NULL;
		return config_setting_get_string(setting);
	default:
		return NULL;
	}
}

bool option_set(const struct hay_option *option, void *into, const config_setting_t *setting, struct pool *pool,
		struct conf_messages *messages)
{
	struct option_place place = {.setting = setting, .messages = messages};
	const char *text = text_of(option, setting, pool);
	int r;

	if (!text) {
		report_wrong_type(&place, option, pool);
		return false;
	}
	if (option->type == HAY_OPT_SECRET) {
		const char *path;

		if (*text == '\0') {
			place_error(&place, "`%s` must be the path of a file", option->key);
			return false;
		}
		path = conf_secret_path(pool, conf_setting_file(setting), text);
		/* No error: a secret is read when it is needed, and may come later than we do. But one that is
		   there, and closed to the service, stays so. */
		if (path && access(path, R_OK) < 0) {
			_cleanup_buf_ struct buf advice = {0};
			bool closed = messages->service && errno == EACCES;
			const char *why = strerror(errno);

			conf_add_advice(&advice, messages, path, errno);
			if (closed)
				conf_error_at(messages, setting, "`%s`: %s cannot be read: %s%s", option->key, path,
					      why, buf_text(&advice));
			else
				conf_warning_at(messages, setting, "`%s`: %s cannot be read: %s%s", option->key, path,
						why, buf_text(&advice));
		}
		*(const char **)field_of(option, into) = path;
		return path != NULL;
	}

	r = option_set_text(option, into, text, true, pool);
	if (r == -ERANGE)
		report_limits(&place, option, text, pool);
	else if (r == -ENOMEM)
		place_error(&place, "out of memory");
	else if (r < 0)
		report_wrong_text(&place, option, text, pool);
	return r == 0;
}
