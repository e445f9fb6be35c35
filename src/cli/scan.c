/* SPDX-License-Identifier: Apache-2.0 */
/* Looking for devices: through the daemon where it has the port open, else by haywaind --probe. */
#include "base/json.h"
#include "cli/cli.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

struct scan {
	const struct cli *cli;
	bool on_terminal; /* progress is shown */
	bool line_open;	  /* a line of it stands there */
	int status;
};

/* ---- through the daemon ---- */

static void print_text(FILE *file, const json_t *text)
{
	_cleanup_free_ char *shown = text ? json_show(text) : NULL;

	fputs(shown ? shown : "", file);
}

static void show_progress(struct scan *scan, const json_t *progress)
{
	if (!scan->on_terminal)
		return;
	fputs("\r\033[K", stderr);
	if (json_int_of(progress, "total") > 0)
		fprintf(stderr, "%lld of %lld: ", (long long)json_int_of(progress, "done"),
			(long long)json_int_of(progress, "total"));
	print_text(stderr, json_object_get(progress, "what"));
	scan->line_open = true;
}

static void clear_line(struct scan *scan)
{
	if (scan->line_open)
		fputs("\r\033[K", stderr);
	scan->line_open = false;
}

static bool take_line(const char *text, void *userdata)
{
	struct scan *scan = userdata;
	json_t *root = json_read(text, strlen(text));
	const json_t *progress = json_object_get(root, "progress"), *ok = json_object_get(root, "ok");

	if (scan->cli->json)
		puts(text);
	else if (progress)
		show_progress(scan, progress);
	else
		clear_line(scan);
	if (!scan->cli->json && json_object_get(root, "line")) {
		print_text(stdout, json_object_get(root, "line"));
		putchar('\n');
	}
	if (ok)
		scan->status = json_is_true(ok) ? EXIT_SUCCESS : EXIT_FAILURE;
	if (json_is_false(ok) && !scan->cli->json)
		cli_fail("%s", json_text_of(root, "error"));
	json_decref(root);
	return fflush(stdout) == 0;
}

static int scan_by_daemon(const struct cli *cli, const char *link, int argc, char *argv[])
{
	struct scan scan = {.cli = cli, .on_terminal = isatty(STDERR_FILENO) && !cli->json, .status = -1};
	_cleanup_buf_ struct buf body = {0};
	int status;

	json_open(&body, '{');
	json_key(&body, "plugin");
	json_text(&body, argv[0]);
	json_key(&body, "link");
	json_text(&body, link);
	json_key(&body, "arguments");
	json_open(&body, '[');
	for (int i = 1; i < argc; i++)
		json_text(&body, argv[i]);
	json_close(&body, ']');
	json_close(&body, '}');
	status = client_lines(cli, "/v1/scan", buf_text(&body), take_line, &scan);
	clear_line(&scan);
	if (status != EXIT_SUCCESS)
		return status;
	return scan.status < 0 ? cli_fail("the daemon broke the scan off") : scan.status;
}

/* ---- whose port it is ---- */

/* The daemon's link that an argument is the port of; the argument is taken out. Allocated; NULL: none, or no daemon. */
static char *find_link(const struct cli *cli, int *argc, char *argv[])
{
	struct cli quiet = {.socket = cli->socket, .quiet = true};
	bool printed;
	json_t *root = client_get(&quiet, "/v1/links", &printed);
	const json_t *link;
	char *found = NULL;
	size_t i;

	json_array_foreach(json_object_get(root, "links"), i, link)
	{
		const char *target = json_text_of(link, "target");

		if (found || !*target || strcmp(json_text_of(link, "plugin"), argv[0]) != 0)
			continue;
		/* Without an argument this plugin takes the first adapter. */
		if (*argc == 1 && strcmp(argv[0], "ble") == 0 && strcmp(target, "hci0") == 0)
			found = strdup(json_text_of(link, "name"));
		for (int k = 1; k < *argc && !found; k++) {
			if (!text_same(argv[k], target) && !is_same_file(argv[k], target))
				continue;
			found = strdup(json_text_of(link, "name"));
			memmove(&argv[k], &argv[k + 1], (size_t)(*argc - k - 1) * sizeof(*argv));
			(*argc)--;
		}
	}
	json_decref(root);
	return found;
}

/* ---- without it ---- */

/* What haywaind --probe prints, as the daemon would say it. */
static int print_as_json(const char *const *arguments)
{
	int ends[2], status = -1;
	char *line = NULL;
	size_t room = 0;
	pid_t pid;
	FILE *out;

	fflush(stdout);
	if (pipe(ends) < 0 || (pid = fork()) < 0)
		return cli_fail("%s", strerror(errno));
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		_exit(run_daemon(arguments));
	}
	close(ends[1]);
	out = fdopen(ends[0], "r");
	while (out && getline(&line, &room, out) >= 0) {
		_cleanup_buf_ struct buf object = {0};

		line[strcspn(line, "\n")] = 0;
		json_open(&object, '{');
		json_key(&object, "line");
		json_text(&object, line);
		json_close(&object, '}');
		puts(buf_text(&object));
		fflush(stdout);
	}
	if (out)
		fclose(out);
	free(line);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	puts(status == 0 ? "{\"ok\":true}"
			 : "{\"ok\":false,\"error\":\"it did not succeed; the lines before say why\"}");
	return status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int scan_by_hand(const struct cli *cli, int argc, char *argv[])
{
	_cleanup_free_ const char **arguments = calloc((size_t)argc + 2, sizeof(*arguments));

	if (!arguments)
		return cli_fail("out of memory");
	arguments[0] = "--probe";
	for (int i = 0; i < argc; i++)
		arguments[i + 1] = argv[i];
	return cli->json ? print_as_json(arguments) : run_daemon(arguments);
}

int cli_scan(const struct cli *cli, int argc, char *argv[])
{
	_cleanup_free_ char *found = NULL;
	const char *link = NULL;
	int n = 0;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--link") != 0)
			argv[n++] = argv[i];
		else if (i + 1 < argc)
			link = argv[++i];
		else
			return EXIT_USAGE;
	}
	if (n < 1 || argv[0][0] == '-')
		return EXIT_USAGE;
	if (!link)
		link = found = find_link(cli, &n, argv);
	return link ? scan_by_daemon(cli, link, n, argv) : scan_by_hand(cli, n, argv);
}
