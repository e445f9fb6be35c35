/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data lines of meters (IEC 62056-21, 6.4; DSMR P1): 1-0:1.8.0*255(00052185.78*kWh), one or a whole telegram of them.
 * A line is one data set or several: 6.8(0062159*kWh)6.26(00951.71*m3). Parentheses directly behind each other are one
 * set: the last hold the value, those before them say when it was measured. A line of parentheses alone goes on with
 * the set before it.
 */
#include "decode.h"
#include <string.h>

static const char *known_unit(struct text unit)
{
	static const char *const units[] = {"kWh", "Wh", "kW", "W",  "kvarh", "varh", "kvar", "var", "kVA", "VA", "V",
					    "A",   "mA", "Hz", "GJ", "MJ",    "s",    "min",  "h",   "bar", "l",  "%"};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (text_equal(unit, text_of(units[i])))
			return units[i];
	return text_equal(unit, text_of("m3"))	   ? "m³"
	       : text_equal(unit, text_of("m3ph")) ? "m³/h"
	       : text_equal(unit, text_of("C"))	   ? "°C"
						   : NULL;
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

/* The next data set of a line: what names it, and its last parentheses. False: there is none; what is left is
   damaged. */
static bool take_set(struct text *line, struct text *ret_name, struct text *ret_inside)
{
	const char *open = memchr(line->data, '(', line->size), *end = line->data + line->size, *close;

	if (!open || memchr(line->data, ')', (size_t)(open - line->data)))
		return false;
	*ret_name = text_trim((struct text){line->data, (size_t)(open - line->data)});
	do {
		close = memchr(open, ')', (size_t)(end - open));
		if (!close || memchr(open + 1, '(', (size_t)(close - open - 1)))
			return false;
		*ret_inside = (struct text){open + 1, (size_t)(close - open - 1)};
		open = close + 1;
	} while (open < end && *open == '(');
	*line = (struct text){open, (size_t)(end - open)};
	return true;
}

/* Two values joined by "&" (the greatest temperatures of a heat meter) are no number: they stay a text. */
static void read_inside(struct text inside, struct serial_item *item)
{
	const char *star = inside.size > 0 ? memchr(inside.data, '*', inside.size) : NULL;

	item->is_text = true;
	item->text = inside;
	if (!star || memchr(inside.data, '&', inside.size))
		return;
	item->text.size = (size_t)(star - inside.data);
	item->unit = known_unit((struct text){star + 1, inside.size - item->text.size - 1});
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

/* A line of parentheses alone gives the value to a set that has none yet: (m3), a unit, where DSMR 2.2 puts it. */
static bool goes_on(const struct serial_item *before, struct serial_item *item)
{
	double number;

	if (!before || item_number(before, &number))
		return false;
	item->name = before->name;
	item->is_name = before->is_name;
	if (!item->unit)
		item->unit = before->unit ? before->unit : known_unit(before->text);
	return true;
}

/* before: the set of the line before, NULL where that was none. -E2BIG, -ENOMEM, or 0. */
static int add_set(struct serial_record *record, struct serial_item *before, struct text name, struct text inside)
{
	struct serial_item item = {.name = name};

	read_inside(inside, &item);
	if (name.size == 0) {
		if (goes_on(before, &item))
			*before = item;
		return 0;
	}
	if (name.size > 4 && memcmp(name.data + name.size - 4, "*255", 4) == 0)
		item.name.size -= 4; /* the usual last part is left out, as meters do that print five of six */
	item.is_name = names_meter(item.name);
	return record_add(record, &item);
}

/* A line that does not come out even is left out whole: which number is whose cannot be known. */
static bool is_whole(struct text line)
{
	struct text name, inside;

	while (line.size > 0)
		if (!take_set(&line, &name, &inside))
			return false;
	return true;
}

enum serial_decoded decode_obis(struct text frame, struct serial_record *record, const char **ret_error)
{
	struct text rest = frame, name, inside;
	bool after_set = false;

	while (rest.size > 0) {
		struct text line = next_line(&rest);

		if (!is_whole(line)) {
			if (memchr(line.data, '(', line.size))
				record->note = "a damaged line of it";
			after_set = false;
			continue; /* who it is; the end */
		}
		while (take_set(&line, &name, &inside)) {
			struct serial_item *before = after_set && record->n > 0 ? &record->items[record->n - 1] : NULL;

			if (add_set(record, before, name, inside) < 0) {
				*ret_error = "it has too many lines";
				return DECODED_WRONG;
			}
			after_set = true;
		}
	}
	if (record->n > 0)
		return DECODED;
	*ret_error = "it has no line of a meter";
	/* A telegram's first and last line, where each line is a frame. */
	frame = text_trim(frame);
	return frame.size > 0 && !memchr("/!", frame.data[0], 2) ? DECODED_WRONG : DECODED_OTHER;
}
