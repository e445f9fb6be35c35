/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that only look: status, devices, queue. */
#include "base/units.h"
#include "cli/cli.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static enum colour state_colour(const char *state)
{
	if (strcmp(state, "online") == 0 || strcmp(state, "connected") == 0 || strcmp(state, "up") == 0)
		return GREEN;
	if (strcmp(state, "offline") == 0 || strcmp(state, "down") == 0 || strcmp(state, "refused") == 0)
		return RED;
	return YELLOW;
}

static void print_title(const struct cli *cli, const json_t *root)
{
	char age[DURATION_TEXT_MAX];

	printf("%s%s%s: haywaind %s, running for %s%s\n", colour_on(cli, BOLD), json_text_of(root, "gateway"),
	       colour_off(cli), json_text_of(root, "version"),
	       format_duration((uint64_t)(json_number_of(root, "uptime_s") * 1e6), age),
	       json_is_true(json_object_get(root, "clock_trusted")) ? "" : "; the clock is not synchronised");
}

static void print_uplinks(const struct cli *cli, const json_t *uplinks)
{
	struct table table = {.n_columns = 6};
	char age[DURATION_TEXT_MAX];
	const json_t *uplink;
	size_t i;

	if (json_array_size(uplinks) == 0) {
		puts("No uplink is configured: readings go nowhere.");
		return;
	}
	table_add(&table, BOLD, "UPLINK");
	table_add(&table, BOLD, "STATE");
	table_add(&table, BOLD, "FOR");
	table_add(&table, BOLD, "DELIVERED");
	table_add(&table, BOLD, "WAITING");
	table_add(&table, BOLD, "REASON");
	json_array_foreach(uplinks, i, uplink)
	{
		const char *state = json_text_of(uplink, "state");

		table_add(&table, PLAIN, "%s", json_text_of(uplink, "name"));
		table_add(&table, state_colour(state), "%s", state);
		table_add(&table, PLAIN, "%s", since_text(uplink, "since", age));
		table_add(&table, PLAIN, "%" PRIi64, json_int_of(uplink, "delivered"));
		table_add(&table, PLAIN, "%" PRIi64, json_int_of(uplink, "backlog"));
		table_add(&table, DIM, "%s", json_text_of(uplink, "reason"));
	}
	table_print(&table, cli->colour);
}

int cli_status(const struct cli *cli, int argc, char *argv[] _unused_)
{
	bool printed;
	json_t *root = argc == 0 ? client_get(cli, "/v1/status", &printed) : NULL;

	if (!root)
		return argc == 0 ? EXIT_FAILURE : EXIT_USAGE;
	if (!printed) {
		const json_t *devices = json_object_get(root, "devices"), *links = json_object_get(root, "links");
		const json_t *samples = json_object_get(root, "samples"), *polls = json_object_get(root, "polls");
		int64_t total = json_int_of(devices, "total"), online = json_int_of(devices, "online");

		print_title(cli, root);
		if (total == 0)
			printf("Devices: none is configured yet");
		else
			printf("Devices: %s%" PRIi64 " of %" PRIi64 " online%s",
			       colour_on(cli, online == total ? GREEN : YELLOW), online, total, colour_off(cli));
		printf("; links: %" PRIi64 ", %" PRIi64 " down", json_int_of(links, "total"),
		       json_int_of(links, "down"));
		if (json_int_of(links, "unused") > 0)
			printf(", %" PRIi64 " not used yet", json_int_of(links, "unused"));
		putchar('\n');
		printf("Polls:   %" PRIi64 ", %" PRIi64 " failed, %" PRIi64 " left out because a link was busy\n",
		       json_int_of(polls, "rounds"), json_int_of(polls, "failed"), json_int_of(polls, "late"));
		printf("Samples: %" PRIi64 " taken, %" PRIi64 " queued, %" PRIi64 " dropped\n\n",
		       json_int_of(samples, "taken"), json_int_of(samples, "queued"), json_int_of(samples, "dropped"));
		print_uplinks(cli, json_object_get(root, "uplinks"));
	}
	json_decref(root);
	return EXIT_SUCCESS;
}

/* ---- links ---- */

static void print_links(const struct cli *cli, const json_t *root)
{
	struct table table = {.n_columns = 6};
	char age[DURATION_TEXT_MAX];
	const json_t *link;
	size_t i;

	table_add(&table, BOLD, "LINK");
	table_add(&table, BOLD, "PLUGIN");
	table_add(&table, BOLD, "STATE");
	table_add(&table, BOLD, "FOR");
	table_add(&table, BOLD, "ONLINE");
	table_add(&table, BOLD, "WHERE, AND WHY");
	json_array_foreach(json_object_get(root, "links"), i, link)
	{
		const char *state = json_text_of(link, "state"), *target = json_text_of(link, "target");
		const char *reason = json_text_of(link, "reason");

		table_add(&table, PLAIN, "%s", json_text_of(link, "name"));
		table_add(&table, PLAIN, "%s", json_text_of(link, "plugin"));
		table_add(&table, state_colour(state), "%s", state);
		table_add(&table, PLAIN, "%s", since_text(link, "since", age));
		table_add(&table, PLAIN, "%" PRIi64 " of %" PRIi64, json_int_of(link, "devices_online"),
			  json_int_of(link, "devices"));
		/* Some plugins name the port in their reason. */
		table_add(&table, DIM, "%s%s%s", strstr(reason, target) ? "" : target,
			  *reason && *target && !strstr(reason, target) ? ": " : "", reason);
	}
	table_print(&table, cli->colour);
}

int cli_links(const struct cli *cli, int argc, char *argv[] _unused_)
{
	bool printed;
	json_t *root = argc == 0 ? client_get(cli, "/v1/links", &printed) : NULL;

	if (!root)
		return argc == 0 ? EXIT_FAILURE : EXIT_USAGE;
	if (!printed)
		print_links(cli, root);
	json_decref(root);
	return EXIT_SUCCESS;
}

/* ---- devices ---- */

static void print_devices(const struct cli *cli, const json_t *root)
{
	struct table table = {.n_columns = 7};
	char age[DURATION_TEXT_MAX];
	const json_t *device;
	size_t i;

	table_add(&table, BOLD, "DEVICE");
	table_add(&table, BOLD, "LINK");
	table_add(&table, BOLD, "STATE");
	table_add(&table, BOLD, "FOR");
	table_add(&table, BOLD, "POLLS");
	table_add(&table, BOLD, "FAILED");
	table_add(&table, BOLD, "REASON");
	json_array_foreach(json_object_get(root, "devices"), i, device)
	{
		const char *state = json_text_of(device, "state"), *link = json_text_of(device, "link");

		table_add(&table, PLAIN, "%s", json_text_of(device, "name"));
		table_add(&table, PLAIN, "%s", *link ? link : "-");
		table_add(&table, state_colour(state), "%s", state);
		table_add(&table, PLAIN, "%s", since_text(device, "since", age));
		table_add(&table, PLAIN, "%" PRIi64, json_int_of(device, "rounds"));
		table_add(&table, PLAIN, "%" PRIi64, json_int_of(device, "failed"));
		if (json_object_get(device, "first_poll_s"))
			table_add(&table, DIM, "first poll in %s",
				  format_duration((uint64_t)(json_number_of(device, "first_poll_s") * 1e6), age));
		else
			table_add(&table, DIM, "%s", json_text_of(device, "reason"));
	}
	table_print(&table, cli->colour);
}

static void print_points(const struct cli *cli, const json_t *root)
{
	struct table table = {.n_columns = 5};
	char age[DURATION_TEXT_MAX];
	const char *state = json_text_of(root, "state"), *reason = json_text_of(root, "reason");
	const json_t *point;
	size_t i;

	printf("%s%s%s: %s%s%s for %s%s%s\n", colour_on(cli, BOLD), json_text_of(root, "name"), colour_off(cli),
	       colour_on(cli, state_colour(state)), state, colour_off(cli), since_text(root, "since", age),
	       *reason ? ", " : "", reason);
	table_add(&table, BOLD, "POINT");
	table_add(&table, BOLD, "VALUE");
	table_add(&table, BOLD, "AGE");
	table_add(&table, BOLD, "ACCESS");
	table_add(&table, BOLD, "QUALITY");
	json_array_foreach(json_object_get(root, "points"), i, point)
	{
		const char *unit = json_text_of(point, "unit"), *quality = json_text_of(point, "quality");
		char *value = json_show(json_object_get(point, "value"));

		table_add(&table, PLAIN, "%s", json_text_of(point, "name"));
		table_add(&table, PLAIN, "%s%s%s", value ? value : "?", *unit ? " " : "", unit);
		table_add(&table, PLAIN, "%s", json_object_get(point, "ts") ? since_text(point, "ts", age) : "-");
		table_add(&table, PLAIN, "%s", json_text_of(point, "access"));
		table_add(&table, strncmp(quality, "bad", 3) == 0 ? RED : YELLOW, "%s", quality);
		free(value);
	}
	table_print(&table, cli->colour);
}

int cli_devices(const struct cli *cli, int argc, char *argv[])
{
	_cleanup_buf_ struct buf path = {0};
	bool printed;
	json_t *root;

	if (argc > 1)
		return EXIT_USAGE;
	buf_add_text(&path, "/v1/devices");
	if (argc == 1)
		buf_printf(&path, "/%s", argv[0]);
	root = client_get(cli, buf_text(&path), &printed);
	if (!root)
		return EXIT_FAILURE;
	if (!printed && argc == 1)
		print_points(cli, root);
	else if (!printed)
		print_devices(cli, root);
	json_decref(root);
	return EXIT_SUCCESS;
}

/* ---- queue ---- */

static void print_queue(const struct cli *cli, const json_t *root)
{
	struct table table = {.n_columns = 2};
	char age[DURATION_TEXT_MAX], size[SIZE_TEXT_MAX];
	const char *disk = json_text_of(root, "disk"), *cause;
	const json_t *entry;
	json_t *count;
	size_t i;

	printf("%" PRIi64 " samples wait", json_int_of(root, "samples"));
	if (json_int_of(root, "samples") > 0)
		printf(": %" PRIi64 " in memory, %" PRIi64 " on disk; the oldest for %s",
		       json_int_of(root, "in_memory"), json_int_of(root, "on_disk"),
		       format_duration((uint64_t)(json_number_of(root, "oldest_s") * 1e6), age));
	putchar('\n');
	printf("The disk is %s%s%s; the file has %s", colour_on(cli, strcmp(disk, "ok") == 0 ? GREEN : RED), disk,
	       colour_off(cli), format_size((uint64_t)json_int_of(root, "disk_bytes"), size));
	printf(", %s were written since the start\n", format_size((uint64_t)json_int_of(root, "bytes_written"), size));
	json_object_foreach(json_object_get(root, "dropped"), cause, count)
	{
		if (json_integer_value(count) > 0)
			printf("%s%" JSON_INTEGER_FORMAT " samples were dropped: %s%s\n", colour_on(cli, YELLOW),
			       json_integer_value(count), cause, colour_off(cli));
	}
	if (json_int_of(root, "unknown_losses") > 0)
		printf("%sAn unknown number of samples may be lost besides: the log says why%s\n",
		       colour_on(cli, YELLOW), colour_off(cli));
	json_array_foreach(json_object_get(root, "uplinks"), i, entry) printf(
		"Uplink %s: %" PRIi64 " to deliver\n", json_text_of(entry, "name"), json_int_of(entry, "backlog"));
	if (json_array_size(json_object_get(root, "devices")) == 0)
		return;
	table_add(&table, BOLD, "DEVICE");
	table_add(&table, BOLD, "SAMPLES");
	json_array_foreach(json_object_get(root, "devices"), i, entry)
	{
		table_add(&table, PLAIN, "%s", json_text_of(entry, "device"));
		table_add(&table, PLAIN, "%" PRIi64, json_int_of(entry, "samples"));
	}
	table_print(&table, cli->colour);
}

static bool print_line(const char *text, void *userdata _unused_)
{
	return puts(text) >= 0 && !ferror(stdout);
}

static int purge(const struct cli *cli)
{
	_cleanup_buf_ struct buf answer = {0};
	int status;

	if (!cli->yes)
		return cli_fail("this drops every sample that no broker has got yet; say --yes if you mean it");
	status = client_ask(cli, "/v1/queue/purge", "", &answer);
	if (status < 0)
		return EXIT_FAILURE;
	if (status != 200) {
		client_explain(&answer, status);
		return EXIT_FAILURE;
	}
	if (cli->json) {
		fputs(buf_text(&answer), stdout);
		return EXIT_SUCCESS;
	}
	json_t *root = json_read(answer.data, answer.size);

	printf("%" PRIi64 " samples dropped\n", json_int_of(root, "purged"));
	json_decref(root);
	return EXIT_SUCCESS;
}

int cli_queue(const struct cli *cli, int argc, char *argv[])
{
	bool printed;
	json_t *root;

	if (argc == 1 && strcmp(argv[0], "export") == 0)
		return client_lines(cli, "/v1/queue/export", NULL, print_line, NULL);
	if (argc == 1 && strcmp(argv[0], "purge") == 0)
		return purge(cli);
	if (argc > 0)
		return EXIT_USAGE;
	root = client_get(cli, "/v1/queue", &printed);
	if (!root)
		return EXIT_FAILURE;
	if (!printed)
		print_queue(cli, root);
	json_decref(root);
	return EXIT_SUCCESS;
}
