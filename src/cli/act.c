/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that change something: write, reload. */
#include "base/json.h"
#include "cli/cli.h"
#include <errno.h>
#include <signal.h>
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

/* "boiler setpoint is now 56 (asked for 55.5)" */
static void print_written(const json_t *answer, const char *device, const char *point)
{
	const json_t *value = json_object_get(answer, "value"), *asked = json_object_get(answer, "asked"),
		     *note = json_object_get(answer, "note");
	bool is_held = json_is_true(json_object_get(answer, "read_back"));
	_cleanup_free_ char *value_text = value ? json_show(value) : NULL,
			    *asked_text = asked ? json_show(asked) : NULL, *note_text = note ? json_show(note) : NULL;

	printf("%s %s", device, point);
	if (value_text)
		printf(is_held ? " is now %s" : " was written: %s", value_text);
	else
		printf(" was written");
	if (asked_text)
		printf(" (asked for %s)", asked_text);
	if (note_text)
		printf("; %s", note_text);
	else if (!is_held)
		printf("; it was not read back");
	putchar('\n');
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
	if (status < 0) {
		if (status == -2)
			cli_fail("it is not known whether %s %s was written", argv[0], argv[1]);
		return status == -2 ? EXIT_UNKNOWN : EXIT_FAILURE;
	}

	json_t *root = json_read(answer.data, answer.size);
	bool is_unknown = strcmp(json_text_of(root, "done"), "unknown") == 0;

	if (cli->json)
		fputs(buf_text(&answer), stdout);
	else if (status == 200)
		print_written(root, argv[0], argv[1]);
	else
		client_explain(&answer, status);
	json_decref(root);
	return status == 200 ? EXIT_SUCCESS : is_unknown ? EXIT_UNKNOWN : EXIT_FAILURE;
}

/* How many of them are mistakes. */
static unsigned print_messages(const struct cli *cli, const json_t *messages)
{
	const json_t *message;
	unsigned n_mistakes = 0;
	size_t i;

	json_array_foreach(messages, i, message)
	{
		bool warning = json_is_true(json_object_get(message, "warning"));
		int64_t line = json_int_of(message, "line");

		n_mistakes += !warning;
		if (cli->json)
			continue;
		char *text = json_show(json_object_get(message, "text"));

		fputs(json_text_of(message, "file"), stderr);
		if (line > 0)
			fprintf(stderr, ":%lld", (long long)line);
		fprintf(stderr, ": %s%s%s%s\n", colour_on(cli, warning ? YELLOW : RED), warning ? "warning: " : "",
			text ? text : "?", colour_off(cli));
		free(text);
	}
	return n_mistakes;
}

/* Where the API is switched off, or somewhere that only the daemon knows: systemd says which process it is. */
static int reload_by_signal(const struct cli *cli, const char *main_pid)
{
	long pid = strtol(main_pid, NULL, 10);

	if (pid <= 1 || kill((pid_t)pid, SIGHUP) < 0)
		return cli_fail("cannot signal process %s to reload: %s", main_pid,
				strerror(pid <= 1 ? EINVAL : errno));
	printf("no API at %s (HAYWAIN_SOCKET may name it): a signal was sent, and the log says what came of it\n",
	       cli->socket);
	return EXIT_SUCCESS;
}

int cli_reload(const struct cli *cli, int argc, char *argv[] _unused_)
{
	const char *main_pid = getenv("MAINPID");
	_cleanup_buf_ struct buf answer = {0};
	struct cli quiet = *cli;
	unsigned n_mistakes;
	int status;
	json_t *root;

	if (argc > 0)
		return EXIT_USAGE;
	quiet.quiet = main_pid;
	status = client_ask(&quiet, "/v1/reload", "", &answer);
	if (status == -1 && main_pid)
		return reload_by_signal(cli, main_pid);
	if (status < 0)
		return main_pid ? cli_fail("the daemon's answer to the reload broke off") : EXIT_FAILURE;
	root = json_read(answer.data, answer.size);
	n_mistakes = print_messages(cli, json_object_get(root, "messages"));
	if (cli->json)
		fputs(buf_text(&answer), stdout);
	else if (status == 200)
		printf("reloaded: %s\n", json_text_of(root, "summary"));
	else
		client_explain(&answer, status);
	json_decref(root);
	return status == 200 && n_mistakes == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
