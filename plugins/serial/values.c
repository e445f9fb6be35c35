/* SPDX-License-Identifier: Apache-2.0 */
/* Records and bytes become readings of a device's points. */
#include "serial.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAME_MAX_BYTES 64
#define WORD_MAX 64 /* said instead of a number */
#define OLDEST_US (86400 * USEC_PER_SEC)
#define HALF_MS_US                                                                                                     \
	500 /* what goes up is cut to milliseconds: two clocks read in turn would make 12:00:00 of it 11:59:59.999 */
#define AHEAD_OK_US (1 * USEC_PER_SEC) /* two clocks are never the same */

int values_reserve(struct serial_device *device, size_t n)
{
	struct hay_reading *readings;

	if (n <= device->readings_capacity && device->readings)
		return 0;
	n = n < 8 ? 8 : n + n / 2;
	readings = reallocarray(device->readings, n, sizeof(*readings));
	if (!readings)
		return -ENOMEM;
	device->readings = readings;
	device->readings_capacity = n;
	return 0;
}

/* r: how the value came out of item, where it came out of one. */
static void add_reading(struct serial_device *device, uint32_t point, const struct serial_item *item,
			const struct hay_value *value, int r)
{
	struct hay_reading reading = {.point = point};

	if (r < 0 || !value) {
		reading.quality = HAY_BAD;
		reading.reason = r == -ERANGE ? HAY_OUT_OF_RANGE : r == -EDOM ? HAY_NOT_A_NUMBER : HAY_DECODE;
	} else {
		reading.value = *value;
		if (item && (value->type == HAY_FLOAT32 || value->type == HAY_FLOAT64) &&
		    item_is_beyond_64_bits(item)) {
			reading.quality = HAY_UNCERTAIN;
			reading.reason = HAY_OUT_OF_RANGE;
		} else if (device->line->time_doubt != HAY_NO_REASON) {
			reading.quality = HAY_UNCERTAIN;
			reading.reason = device->line->time_doubt;
		}
	}
	if (values_reserve(device, device->n_readings + 1) == 0)
		device->readings[device->n_readings++] = reading;
}

static void collect_own(struct serial_device *device, const uint8_t *frame, size_t size, const bool *due, bool missing)
{
	struct serial_link *line = device->line;

	for (uint32_t i = 0; i < device->n_own; i++) {
		struct serial_point *point = &device->points[i];
		enum hay_type type = device->device->points[i]->type;
		const struct serial_item *item;
		struct hay_value value;

		if (due && !due[i])
			continue;
		if (line->conf->decode == DECODE_BINARY) {
			add_reading(device, i, NULL, &value, binary_value(&point->form, frame, size, &value));
			continue;
		}
		item = record_get(&line->record, point->field, &point->hint);
		if (item)
			add_reading(device, i, item, &value, item_value(item, type, &value));
		else if (missing)
			add_reading(device, i, NULL, NULL, -EINVAL);
	}
}

/* ---- points that are not configured ---- */

/* A field's name as a point may be called: "list[0].t" is list.0.t. */
static void point_name(struct text field, char name[NAME_MAX_BYTES + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < field.size && n < NAME_MAX_BYTES; i++) {
		char c = field.data[i];

		if (c == ']')
			continue;
		if (c == '[')
			c = '.';
		else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
			   c == '.' || c == '-'))
			c = '_';
		if (c != '.' || n > 0)
			name[n++] = c;
	}
	name[n] = 0;
}

/* list[0].t and list.0.t are called the same. */
static bool point_is_taken(const struct serial_device *device, const struct serial_found *by, uint32_t point)
{
	for (size_t i = 0; i < device->n_found; i++)
		if (&device->found[i] != by && device->found[i].point == point)
			return true;
	return false;
}

/* Numbers win: where the point is one already, what comes otherwise is bad and leaves it as it is. */
static int add_point(struct serial_device *device, struct serial_found *found, const struct serial_item *item,
		     enum hay_type type)
{
	const struct hay_host *host = device->line->host;
	char name[NAME_MAX_BYTES + 1];
	uint32_t point;
	int r;

	point_name(text_of(found->name), name);
	if (name[0] == 0)
		return -EINVAL;
	r = host->add_point(device->device, name, type, item->unit, &point);
	if (r == -EEXIST && type != HAY_FLOAT64)
		r = host->add_point(device->device, name, HAY_FLOAT64, item->unit, &point);
	if (r == 0 && point_is_taken(device, found, point))
		r = -EEXIST;
	if (r == 0)
		found->point = point;
	return r;
}

static void remember_text(struct serial_found *found, const struct serial_item *item)
{
	char buffer[32];
	struct text text = item_text(item, buffer);

	if (text.size > WORD_MAX || (found->said && !text_equal(text_of(found->said), text)))
		found->says_several = true;
	if (!found->said && !found->says_several)
		found->said = strndup(text.data, text.size);
}

static struct serial_found *make_found(struct serial_device *device, const struct serial_item *item)
{
	struct serial_link *line = device->line;
	enum hay_type type = item_natural_type(item);
	struct serial_found *found;
	int r;

	if (device->n_found == RECORD_ITEMS_MAX) /* the fields' names change from frame to frame */
		return NULL;
	if (device->n_found == device->found_capacity) {
		size_t capacity = device->found_capacity ? device->found_capacity * 2 : 8;

		found = reallocarray(device->found, capacity, sizeof(*found));
		if (!found)
			return NULL;
		device->found = found;
		device->found_capacity = capacity;
	}
	found = &device->found[device->n_found];
	*found = (struct serial_found){.name = strndup(item->name.data, item->name.size), .point = UINT32_MAX};
	if (!found->name)
		return NULL;
	device->n_found++;
	r = add_point(device, found, item, type);
	if (r < 0)
		line_log_limited(line, &line->limit_points, 1, HAY_LOG_WARNING,
				 "field `%s` cannot become a point of %s: %s", found->name, device->device->name,
				 r == -EEXIST	? "another is called so"
				 : r == -EINVAL ? "it has no name"
						: strerror(-r));
	if (type == HAY_STRING)
		remember_text(found, item);
	return found;
}

/* A word that a board says instead of a number, such as "init", must not make a text of the point for good. Where
   the frame itself distinguishes numbers from texts (JSON), the first number makes it one. Where it does not, a name
   may well be all digits now and then: there only a point that has said one and the same word until now. */
static void follow_type(struct serial_device *device, struct serial_found *found, const struct serial_item *item)
{
	enum hay_type before = device->device->points[found->point]->type, type = item_natural_type(item);

	if (before == HAY_STRING && type == HAY_STRING)
		remember_text(found, item);
	if (type == HAY_FLOAT64 &&
	    (item->is_text && !item->is_number ? before == HAY_STRING && !found->says_several : before != HAY_FLOAT64))
		add_point(device, found, item, type);
}

static struct serial_found *find_found(struct serial_device *device, const struct serial_item *item, size_t hint)
{
	if (hint < device->n_found && text_equal(text_of(device->found[hint].name), item->name))
		return &device->found[hint];
	for (size_t i = 0; i < device->n_found; i++)
		if (text_equal(text_of(device->found[i].name), item->name))
			return &device->found[i];
	return NULL;
}

static bool is_about_frame(const struct serial_link_conf *conf, struct text name)
{
	return (conf->match_field && text_equal(name, text_of(conf->match_field))) ||
	       (conf->time_field && text_equal(name, text_of(conf->time_field)));
}

static void collect_found(struct serial_device *device)
{
	struct serial_link *line = device->line;

	for (size_t i = 0, at = 0; i < line->record.n; i++) {
		const struct serial_item *item = &line->record.items[i];
		struct serial_found *found;
		struct hay_value value;

		if (item->hidden || is_about_frame(line->conf, item->name))
			continue;
		found = find_found(device, item, at);
		if (!found && item_natural_type(item) != HAY_TYPE_NONE)
			found = make_found(device, item);
		if (!found)
			continue;
		at = (size_t)(found - device->found) + 1;
		if (found->point == UINT32_MAX || found->frame == line->n_frames)
			continue;
		found->frame = line->n_frames;
		follow_type(device, found, item);
		add_reading(device, found->point, item, &value,
			    item_value(item, device->device->points[found->point]->type, &value));
	}
}

void values_collect(struct serial_device *device, const uint8_t *frame, size_t size, const bool *due, bool missing)
{
	device->n_readings = 0;
	if (device->n_own > 0)
		collect_own(device, frame, size, due, missing);
	else if (device->line->conf->decode != DECODE_BINARY)
		collect_found(device);
}

size_t values_good(const struct serial_device *device)
{
	size_t n = 0;

	for (size_t i = 0; i < device->n_readings; i++)
		n += device->readings[i].quality != HAY_BAD;
	return n;
}

/* ---- when ---- */

/* 2024-11-22T10:11:12.5+01:00, a blank for the T, Z or nothing for UTC; in microseconds since 1970. */
static bool parse_iso(struct text text, double *ret_us)
{
	char copy[40], sign = 'Z';
	int used = 0, zone_h = 0, zone_m = 0;
	struct tm tm = {0};
	double seconds;

	if (text.size == 0 || text.size >= sizeof(copy))
		return false;
	memcpy(copy, text.data, text.size);
	copy[text.size] = 0;
	if (sscanf(copy, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
		   &used) != 5 ||
	    used == 0 || copy[used] < '0' || copy[used] > '9')
		return false;

	char *end;

	seconds = strtod(copy + used, &end);
	if (*end && strcmp(end, "Z") != 0 && strcmp(end, "z") != 0) {
		if (sscanf(end, "%c%2d:%2d", &sign, &zone_h, &zone_m) < 2 || (sign != '+' && sign != '-'))
			return false;
	}
	tm.tm_year -= 1900;
	tm.tm_mon--;

	double zone = (zone_h * 60 + zone_m) * 60 * (sign == '-' ? -1.0 : 1.0);

	*ret_us = ((double)timegm(&tm) + seconds - zone) * 1e6;
	return isfinite(*ret_us);
}

static bool stamp_us(const struct serial_link *line, const struct serial_item *item, double *ret_us)
{
	static const double factors[] = {[TIME_S] = 1e6, [TIME_MS] = 1e3, [TIME_US] = 1};
	char buffer[32];

	if (line->conf->time_unit == TIME_ISO)
		return parse_iso(item_text(item, buffer), ret_us);
	if (!item_number(item, ret_us))
		return false;
	*ret_us *= factors[line->conf->time_unit];
	return true;
}

/* The time of arrival, and a word for the log and a reason for doubt that it is the time of the measurement. */
static uint64_t arrival_time(struct serial_link *line, enum hay_reason doubt, const char *what)
{
	line->time_doubt = doubt;
	line_log_limited(line, &line->limit_time, 1, HAY_LOG_WARNING,
			 "`%s` %s; the time of arrival is taken, and the values are uncertain", line->conf->time_field,
			 what);
	return line->host->now();
}

uint64_t values_time(struct serial_link *line)
{
	uint64_t now = line->host->now();
	const struct serial_item *item;
	struct timespec wall;
	double stamp, age;

	line->time_doubt = HAY_NO_REASON;
	if (!line->conf->time_field)
		return now;
	item = record_get(&line->record, text_of(line->conf->time_field), &line->time_hint);
	if (!item)
		return now;
	clock_gettime(CLOCK_REALTIME, &wall);
	if (!stamp_us(line, item, &stamp))
		return arrival_time(line, HAY_DECODE, "holds no time that can be read");
	age = (double)wall.tv_sec * 1e6 + (double)wall.tv_nsec / 1e3 - stamp;
	if (age < -(double)AHEAD_OK_US)
		return arrival_time(line, HAY_OUT_OF_RANGE, "is in the future");
	if (age > (double)OLDEST_US)
		return arrival_time(line, HAY_OUT_OF_RANGE, "is too old");
	age -= HALF_MS_US;
	return age < 0 ? now : now - (uint64_t)age; /* also before the machine's start: a logger's replay */
}
