/* SPDX-License-Identifier: Apache-2.0 */
/* Every advertisement of tests/recordings/ble is decoded to what its line says. */
#include "../../../plugins/ble/decode.h"
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FOLDER "tests/recordings/ble"

struct recording {
	struct advert advert;
	struct decode_key key;
	uint8_t bytes[8][256];
	unsigned n_bytes;
};

static size_t read_hex(const char *text, uint8_t *bytes)
{
	size_t n = strlen(text) / 2;

	assert_int_equal(hex_parse(text, bytes, n), 0);
	return n;
}

static void read_data(struct recording *recording, char *word)
{
	uint8_t *bytes = recording->bytes[recording->n_bytes++];
	unsigned id = (unsigned)strtoul(word + 2, NULL, 16);
	size_t size = read_hex(strchr(word + 2, ':') + 1, bytes);
	struct uuid uuid = uuid_from_short((uint16_t)id);

	if (word[0] == 'm')
		assert_int_equal(advert_add_manufacturer(&recording->advert, (uint16_t)id, bytes, size), 0);
	else
		assert_int_equal(advert_add_service(&recording->advert, &uuid, bytes, size), 0);
}

static void print_value(char *text, size_t size, const struct hay_value *value)
{
	size_t n = 0;

	switch (value->type) {
	case HAY_BOOL:
		snprintf(text, size, "%s", value->b ? "true" : "false");
		break;
	case HAY_FLOAT64:
		snprintf(text, size, "%.15g", value->d);
		break;
	case HAY_STRING:
		snprintf(text, size, "%.*s", (int)value->s.size, value->s.data);
		break;
	case HAY_BYTES:
		for (size_t i = 0; i < value->s.size; i++)
			n += (size_t)snprintf(text + n, size - n, "%02x", (uint8_t)value->s.data[i]);
		break;
	default:
		snprintf(text, size, "%lld", (long long)value->i);
	}
}

static void describe(char *text, size_t size, int r, const struct ble_decoded *decoded)
{
	static const struct {
		int r;
		const char *word;
	} errors[] = {{-EBADMSG, "MALFORMED"},
		      {-ENOKEY, "NOKEY"},
		      {-EKEYREJECTED, "WRONGKEY"},
		      {-EPERM, "PLAIN"},
		      {-ENOMSG, "NONE"}};
	size_t n;

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (errors[i].r == r) {
			snprintf(text, size, "!%s", errors[i].word);
			return;
		}
	assert_int_equal(r, 0);
	n = (size_t)snprintf(text, size, "%s", decoded->decoder);
	if (decoded->has_packet)
		n += (size_t)snprintf(text + n, size - n, " packet=%u", decoded->packet);
	if (decoded->has_counter)
		n += (size_t)snprintf(text + n, size - n, " counter=%u", decoded->counter);
	for (size_t i = 0; i < decoded->n_values; i++) {
		const struct decoded_value *value = &decoded->values[i];
		char number[8] = "", printed[600];

		if (value->number > 1)
			snprintf(number, sizeof(number), "_%u", value->number);
		print_value(printed, sizeof(printed), &value->value);
		n += (size_t)snprintf(text + n, size - n, " %s%s=%s", field_infos[value->field].name, number, printed);
	}
}

static enum ble_decoder decoder_of(const char *expected)
{
	for (unsigned i = 0; i < N_DECODERS; i++)
		if (!strncmp(expected, decoder_names[i], strlen(decoder_names[i])))
			return (enum ble_decoder)i;
	return DECODER_AUTO;
}

static unsigned replay_line(char *line, const char *file, unsigned number)
{
	static struct ble_decoded decoded;
	struct recording recording = {0};
	char *expected = strstr(line, " => "), *word, *rest = line, text[4096];

	if (line[0] == '#' || !expected)
		return 0;
	*expected = '\0';
	expected += 4;
	advert_clear(&recording.advert);
	assert_int_equal(address_parse(strsep(&rest, " "), &recording.advert.address), 0);
	word = strsep(&rest, " ");
	recording.advert.name = strcmp(word, "-") != 0 ? word : NULL;
	word = strsep(&rest, " ");
	recording.key.size = strcmp(word, "-") != 0 ? strlen(word) / 2 : 0;
	if (recording.key.size > 0)
		assert_int_equal(hex_parse(word, recording.key.bytes, recording.key.size), 0);
	while ((word = strsep(&rest, " ")))
		read_data(&recording, word);

	describe(text, sizeof(text), decode_advert(DECODER_AUTO, &recording.advert, &recording.key, &decoded),
		 &decoded);
	if (strcmp(text, expected) != 0)
		fail_msg("%s:%u: %s\ngives    %s\nexpected %s", file, number, line, text, expected);
	/* The decoder that was chosen gives the same when it is named. */
	if (expected[0] != '!') {
		describe(text, sizeof(text),
			 decode_advert(decoder_of(expected), &recording.advert, &recording.key, &decoded), &decoded);
		assert_string_equal(text, expected);
	}
	advert_done(&recording.advert);
	return 1;
}

static unsigned replay_file(const char *path)
{
	FILE *file = fopen(path, "r");
	unsigned n = 0, number = 0;
	char *line = NULL;
	size_t room = 0;

	assert_non_null(file);
	while (getline(&line, &room, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		n += replay_line(line, path, ++number);
	}
	free(line);
	fclose(file);
	return n;
}

static void recordings(void **state)
{
	DIR *folder = opendir(FOLDER);
	unsigned n = 0;

	(void)state;
	assert_non_null(folder);
	for (struct dirent *entry; (entry = readdir(folder));) {
		char path[512];

		if (!strstr(entry->d_name, ".txt"))
			continue;
		snprintf(path, sizeof(path), FOLDER "/%s", entry->d_name);
		n += replay_file(path);
	}
	closedir(folder);
	assert_true(n > 150);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recordings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
