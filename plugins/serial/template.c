/* SPDX-License-Identifier: Apache-2.0 */
#include "template.h"
#include "record.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The shortest text that reads back as the same number: what was sent is what is reported as written. */
static int print_float32(float value, char buffer[32])
{
	int n = 0;

	for (int digits = 6; digits <= 9; digits++) {
		n = snprintf(buffer, 32, "%.*g", digits, (double)value);
		if (strtof(buffer, NULL) == value)
			break;
	}
	return n;
}

static int print_float64(double value, char buffer[32])
{
	int n = 0;

	for (int digits = 15; digits <= 17; digits++) {
		n = snprintf(buffer, 32, "%.*g", digits, value);
		if (strtod(buffer, NULL) == value)
			break;
	}
	return n;
}

static int value_text(const struct hay_value *value, char buffer[32], struct text *ret)
{
	int n = 0;

	switch (value->type) {
	case HAY_STRING:
	case HAY_BYTES:
		/* A line end within would make a second message of the rest. */
		for (size_t i = 0; i < value->s.size; i++)
			if ((uint8_t)value->s.data[i] < 0x20 || value->s.data[i] == 0x7f)
				return -EINVAL;
		*ret = (struct text){value->s.data, value->s.size};
		return 0;
	case HAY_BOOL:
		n = snprintf(buffer, 32, "%d", value->b);
		break;
	case HAY_INT16:
	case HAY_INT32:
	case HAY_INT64:
		n = snprintf(buffer, 32, "%" PRId64, value->i);
		break;
	case HAY_UINT16:
	case HAY_UINT32:
	case HAY_UINT64:
		n = snprintf(buffer, 32, "%" PRIu64, value->u);
		break;
	case HAY_FLOAT32:
		n = print_float32(value->f, buffer);
		break;
	default:
		n = print_float64(value->d, buffer);
	}
	*ret = (struct text){buffer, (size_t)n};
	return 0;
}

static bool stands_at(const struct bytes *plain, size_t at, const char *mark)
{
	size_t size = strlen(mark);

	return plain->size - at >= size && memcmp(plain->data + at, mark, size) == 0;
}

static bool ends_with(const uint8_t *data, size_t size, const struct mark *mark)
{
	return mark->size > 0 && size >= mark->size && memcmp(data + size - mark->size, mark->bytes, mark->size) == 0;
}

/* The checksum of what is to be sent before it: of the bytes that would count in a frame from the other side. */
static size_t put_checksum(const struct frame_rules *rules, const uint8_t *data, size_t size, uint8_t *into)
{
	const struct mark *start = &rules->start, *end = rules->kind == FRAME_LINE ? &rules->delimiter : &rules->end;
	uint16_t value = checksum_start(rules->checksum);
	size_t from = 0;

	if (rules->kind == FRAME_STX_ETX && rules->checked != CHECKED_MARKS && start->size <= size &&
	    memcmp(data, start->bytes, start->size) == 0)
		from = start->size;
	if (rules->checksum_after && rules->checked == CHECKED_CONTENT && ends_with(data + from, size - from, end))
		size -= end->size;
	else if (rules->checksum_hex && !rules->checksum_after && size > from && data[size - 1] == '*')
		size--;
	value = checksum_end(rules->checksum, checksum_add(rules->checksum, value, data + from, size - from));
	checksum_print(rules->checksum, rules->checksum_hex, value, into);
	return checksum_wire_size(rules->checksum, rules->checksum_hex);
}

int template_fill(const char *template, const struct hay_value *value, const struct frame_rules *rules,
		  struct bytes *ret)
{
	static const char value_mark[] = "{value}";
	uint8_t room[TEMPLATE_MAX];
	struct bytes plain = {.data = room}, out = {0};
	struct text text = {0};
	char buffer[32];
	int r = text_unescape(template, room, sizeof(room));

	if (r < 0)
		return r;
	plain.size = (size_t)r;
	r = value ? value_text(value, buffer, &text) : 0;
	if (r < 0)
		return r;
	/* No mark is shorter than a checksum; each {value} is seven bytes long, so there cannot be more than that. */
	out.data = malloc(plain.size + (plain.size / (sizeof(value_mark) - 1) + 1) * text.size + 1);
	if (!out.data)
		return -ENOMEM;
	for (size_t i = 0; i < plain.size;) {
		if (value && stands_at(&plain, i, value_mark)) {
			if (text.size > 0)
				memcpy(out.data + out.size, text.data, text.size);
			out.size += text.size;
			i += sizeof(value_mark) - 1;
		} else if (rules->checksum != CHECKSUM_NONE && stands_at(&plain, i, TEMPLATE_CHECKSUM)) {
			out.size += put_checksum(rules, out.data, out.size, out.data + out.size);
			i += sizeof(TEMPLATE_CHECKSUM) - 1;
		} else {
			out.data[out.size++] = plain.data[i++];
		}
	}
	*ret = out;
	return 0;
}
