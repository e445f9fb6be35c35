/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that change something: write, reload. */
#include "base/json.h"
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>

/* What a person types, as JSON: a number and true and false as they are, anything else as a text. */
static void add_value(struct buf *out, const char *text)
{
	json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);

	if (json_is_number(value) || json_is_boolean(value))
		json_raw(out, text);
	else
		json_text(out, text);
	json_decref(value);
}

static bool is_name(const char *text)
{
	return *text &&
	       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == strlen(text);
}

int cli_write(const struct cli *cli, int argc, char *argv[])
{
	_cleanup_buf_ struct buf path = {0}, body = {0}, answer = {0};
	int status;

	if (argc != 3)
		return EXIT_USAGE;
	if (!is_name(argv[0]) || !is_name(argv[1]))
		return cli_fail("`%s` is no name of a device or point", is_name(argv[0]) ? argv[1] : argv[0]);
	buf_printf(&path, "/v1/devices/%s/points/%s", argv[0], argv[1]);
	json_open(&body, '{');
	json_key(&body, "value");
	add_value(&body, argv[2]);
	json_close(&body, '}');
	status = client_ask(cli, buf_text(&path), buf_text(&body), &answer);
	if (status < 0)
		return EXIT_FAILURE;
	if (cli->json)
		fputs(buf_text(&answer), stdout);
	else if (status == 200)
		printf("%s %s is now %s\n", argv[0], argv[1], argv[2]);
	if (status == 200)
		return EXIT_SUCCESS;
	if (!cli->json)
		client_explain(&answer, status);
	return EXIT_FAILURE;
}

static void print_messages(const struct cli *cli, const json_t *messages)
{
	const json_t *message;
	size_t i;

	json_array_foreach(messages, i, message)
	{
		bool warning = json_is_true(json_object_get(message, "warning"));
		int64_t line = json_int_of(message, "line");

		fputs(json_text_of(message, "file"), stderr);
		if (line > 0)
			fprintf(stderr, ":%lld", (long long)line);
		fprintf(stderr, ": %s%s%s%s\n", colour_on(cli, warning ? YELLOW : RED), warning ? "warning: " : "",
			json_text_of(message, "text"), colour_off(cli));
	}
}

int cli_reload(const struct cli *cli, int argc, char *argv[] _unused_)
{
	_cleanup_buf_ struct buf answer = {0};
	int status;
	json_t *root;

	if (argc > 0)
		return EXIT_USAGE;
	status = client_ask(cli, "/v1/reload", "", &answer);
	if (status < 0)
		return EXIT_FAILURE;
	root = json_read(answer.data, answer.size);
	if (cli->json) {
		fputs(buf_text(&answer), stdout);
	} else {
		print_messages(cli, json_object_get(root, "messages"));
		if (status == 200)
			printf("reloaded: %s\n", json_text_of(root, "summary"));
		else
			client_explain(&answer, status);
	}
	json_decref(root);
	return status == 200 ? EXIT_SUCCESS : EXIT_FAILURE;
}
