/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as configuration: the scan, the grammar, libconfig behind them, the walker and the digest. Touches no file. */
#include "base/conf.h"
#include "base/pool.h"

#include <stdlib.h>
#include <string.h>

struct values {
	bool on;
	int64_t whole;
	double number, rate;
	const char *text, *name;
	int choice;
	uint64_t duration, size;
	struct {
		const char *text;
	} group;
};

static const char *const choices[] = {"none", "some", NULL};
static const struct hay_option inner[] = {{.key = "text", .type = HAY_OPT_STRING}, {.key = NULL}};
#define AT(member) .offset = offsetof(struct values, member)
static const struct hay_option table[] = {
	{.key = "on", .type = HAY_OPT_BOOL, AT(on)},
	{.key = "whole", .type = HAY_OPT_INT, AT(whole), .fallback = "7", .min = -5, .max = 100},
	{.key = "number", .type = HAY_OPT_FLOAT, AT(number), .fallback = "0.1"},
	{.key = "rate", .type = HAY_OPT_RATE, AT(rate)},
	{.key = "text", .type = HAY_OPT_STRING, AT(text), .flags = HAY_OPT_NUMBER_OK},
	{.key = "name", .type = HAY_OPT_NAME, AT(name), .flags = HAY_OPT_REQUIRED},
	{.key = "choice", .type = HAY_OPT_CHOICE, AT(choice), .choices = choices},
	{.key = "duration", .type = HAY_OPT_DURATION, AT(duration), .min = 1, .max = 1000000},
	{.key = "size", .type = HAY_OPT_SIZE, AT(size)},
	{.key = "group", .type = HAY_OPT_GROUP, AT(group), .group = inner},
	{.key = NULL},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_messages messages = {0};
	struct conf_file *file = NULL;
	char *text = strndup((const char *)data, size);
	int r;

	if (!text)
		abort();
	r = conf_file_parse_text("fuzz.conf", NULL, text, strlen(text), &messages, &file);
	if (r == 0) {
		struct pool *pool = pool_new();
		struct values values = {0};
		struct conf_part part = {.table = table, .into = &values};
		struct conf_group group = conf_group_of(conf_file_root(file));

		if (messages.n_errors > 0)
			abort(); /* told as wrong, and yet taken */
		if (conf_read_group(&group, "thing", &part, 1, NULL, pool, &messages) > 0 && messages.n_errors == 0)
			abort(); /* wrong, and nobody says so */
		conf_group_digest(&group);
		pool_free(pool);
	} else if (messages.n_errors == 0) {
		abort();
	}
	conf_file_free(file);
	conf_messages_done(&messages);
	free(text);
	return 0;
}
