/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data lines of meters (IEC 62056-21, 6.3; DSMR P1): 1-0:1.8.0*255(00052185.78*kWh), one or a whole telegram of them.
 * The last parentheses hold the value; those before them say when it was measured. A line of parentheses alone goes on
 * with the one before it.
 */
#include "decode.h"
#include <string.h>

static const char *known_unit(struct text unit)
{
	static const char *const units[] = {"kWh", "Wh",  "kW", "W", "kvarh", "varh", "kvar", "var",
					    "kVA", "VA",  "V",	"A", "mA",    "Hz",   "GJ",   "MJ",
					    "s",   "min", "h",	"C", "bar",   "l",    "%"};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (text_equal(unit, text_of(units[i])))
			return units[i];
	return text_equal(unit, text_of("m3")) ? "m³" : NULL;
}

/* Which meter it is: 0.0.x, 42.0.x (VDE) and 96.1.x (DSMR P1 5.0.2, 6.12) of any medium and channel. */
static bool names_meter(struct text name)
{
	static const char *const groups[] = {"0.0.", "42.0.", "96.1."};
	const char *colon = memchr(name.data, ':', name.size);
	size_t medium = colon ? (size_t)(colon + 1 - name.data) : 0;

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (name.size - medium >= strlen(groups[i]) &&
		    memcmp(name.data + medium, groups[i], strlen(groups[i])) == 0)
			return true;
	return false;
}

/* Of all parentheses the last: its value and unit. False: there are none, or not to the end of the line. */
static bool take_value(struct text line, struct item *item)
{
	const char *open, *star;
	struct text inside;

	if (line.size < 2 || line.data[line.size - 1] != ')')
		return false;
	open = memrchr(line.data, '(', line.size);
	if (!open)
		return false;
	inside = (struct text){open + 1, (size_t)(line.data + line.size - open) - 2};
	star = inside.size > 0 ? memchr(inside.data, '*', inside.size) : NULL;
	item->is_text = true;
	item->text = inside;
	if (star) {
		item->text.size = (size_t)(star - inside.data);
		item->unit = known_unit((struct text){star + 1, inside.size - item->text.size - 1});
	}
	return true;
}

static struct text next_line(struct text *rest)
{
	const char *end = memchr(rest->data, '\n', rest->size);
	size_t size = end ? (size_t)(end - rest->data) : rest->size;
	struct text line = {rest->data, size};

	size += end != NULL;
	rest->data += size;
	rest->size -= size;
	return text_trim(line);
}

enum decoded decode_obis(struct text frame, struct record *record, const char **ret_error)
{
	struct text rest = frame, line;

	while (rest.size > 0) {
		struct item item = {0};
		const char *open;

		line = next_line(&rest);
		if (!take_value(line, &item))
			continue; /* who it is; the end */
		open = memchr(line.data, '(', line.size);
		item.name = (struct text){line.data, (size_t)(open - line.data)};
		if (item.name.size == 0 && record->n > 0) {
			item.name = record->items[record->n - 1].name;
			if (!item.unit)
				item.unit = record->items[record->n - 1].unit;
			record->items[record->n - 1] = item;
			continue;
		}
		if (item.name.size > 4 && memcmp(open - 4, "*255", 4) == 0)
			item.name.size -= 4; /* the usual last part is left out, as meters do that print five of six */
		item.is_name = names_meter(item.name);
		if (item.name.size > 0 && record_add(record, &item) < 0) {
			*ret_error = "it has too many lines";
			return DECODED_WRONG;
		}
	}
	if (record->n > 0)
		return DECODED;
	*ret_error = "it has no line of a meter";
	/* A telegram's first and last line, where each line is a frame. */
	frame = text_trim(frame);
	return frame.size > 0 && !memchr("/!", frame.data[0], 2) ? DECODED_WRONG : DECODED_OTHER;
}
