/* SPDX-License-Identifier: Apache-2.0 */
/* Readings as they are taken. */
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

struct watch {
	const struct cli *cli;
	bool missed; /* the event that comes tells of samples left out */
};

static void print_time(const struct cli *cli, int64_t ts_ms)
{
	time_t seconds = (time_t)(ts_ms / 1000);
	char clock[16] = "";
	struct tm local;

	if (localtime_r(&seconds, &local))
		strftime(clock, sizeof(clock), "%H:%M:%S", &local);
	printf("%s%s.%03d%s  ", colour_on(cli, DIM), clock, (int)(ts_ms % 1000), colour_off(cli));
}

static void print_sample(const struct cli *cli, json_t *sample)
{
	const char *point;
	json_t *value;

	print_time(cli, json_int_of(sample, "ts"));
	printf("%s%s%s", colour_on(cli, BOLD), json_text_of(sample, "device"), colour_off(cli));
	json_object_foreach(json_object_get(sample, "values"), point, value)
	{
		char *text = json_show(value);

		printf("  %s=%s", point, text ? text : "?");
		free(text);
	}
	json_object_foreach(json_object_get(sample, "quality"), point, value)
	{
		const char *text = json_string_value(value);

		printf("  %s%s: %s%s", colour_on(cli, text && strncmp(text, "bad", 3) == 0 ? RED : YELLOW), point,
		       text ? text : "?", colour_off(cli));
	}
	putchar('\n');
}

static bool take_line(const char *text, void *userdata)
{
	static const char data[] = "data: ", event[] = "event: ";
	struct watch *watch = userdata;
	json_t *root;

	if (strncmp(text, event, strlen(event)) == 0)
		watch->missed = strcmp(text + strlen(event), "missed") == 0;
	if (strncmp(text, data, strlen(data)) != 0)
		return true;
	text += strlen(data);
	root = json_read(text, strlen(text));
	if (watch->cli->json)
		puts(text);
	else if (watch->missed)
		printf("%s(%lld samples left out: this terminal is too slow)%s\n", colour_on(watch->cli, YELLOW),
		       (long long)json_int_of(root, "samples"), colour_off(watch->cli));
	else if (root)
		print_sample(watch->cli, root);
	watch->missed = false;
	json_decref(root);
	return fflush(stdout) == 0;
}

int cli_watch(const struct cli *cli, int argc, char *argv[])
{
	_cleanup_buf_ struct buf path = {0};
	struct watch watch = {.cli = cli};

	if (argc > 1)
		return EXIT_USAGE;
	buf_add_text(&path, "/v1/readings/stream");
	if (argc == 1)
		buf_printf(&path, "?device=%s", argv[0]);
	return client_lines(cli, buf_text(&path), NULL, take_line, &watch);
}
