/* SPDX-License-Identifier: Apache-2.0 */
#include "fields.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct field_info field_infos[N_FIELDS] = {
#define X(id, name, unit, type) [FIELD_##id] = {name, unit, type},
	FIELDS(X)
#undef X
};

static int find_exactly(const char *name, size_t length, enum ble_field *ret_field)
{
	for (unsigned i = 0; i < N_FIELDS; i++)
		if (strlen(field_infos[i].name) == length && !memcmp(field_infos[i].name, name, length)) {
			*ret_field = (enum ble_field)i;
			return 0;
		}
	return -ENOENT;
}

int field_find(const char *name, enum ble_field *ret_field, unsigned *ret_number)
{
	const char *tail = strrchr(name, '_');
	unsigned long number;
	char *end;

	if (find_exactly(name, strlen(name), ret_field) == 0) {
		*ret_number = 1;
		return 0;
	}
	if (!tail || tail[1] < '1' || tail[1] > '9')
		return -ENOENT;
	number = strtoul(tail + 1, &end, 10);
	if (*end || number < 2 || number > 255 || find_exactly(name, (size_t)(tail - name), ret_field) < 0)
		return -ENOENT;
	*ret_number = (unsigned)number;
	return 0;
}
