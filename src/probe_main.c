/* SPDX-License-Identifier: Apache-2.0 */
#include "probe_main.h"
#include "base/util.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A signal handler can reach nothing but a variable of the file. */
static volatile sig_atomic_t was_cancelled;

struct probe_run {
	struct hay_probe hay;
	bool on_terminal;
	bool line_open; /* a line of progress stands on the terminal */
};

static void on_signal(int signal _unused_)
{
	was_cancelled = 1;
}

static void clear_line(struct probe_run *probe)
{
	if (probe->line_open)
		fputs("\r\033[K", stderr);
	probe->line_open = false;
}

static void print_line(const struct hay_probe *hay, const char *format, ...) _printf_(2, 3);
static void print_line(const struct hay_probe *hay, const char *format, ...)
{
	struct probe_run *probe = container_of(hay, struct probe_run, hay);
	_cleanup_free_ char *text = NULL;
	va_list args;

	clear_line(probe);
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (text)
		text_make_printable(text);
	puts(text ? text : "out of memory");
	fflush(stdout);
}

static void print_progress(const struct hay_probe *hay, unsigned done, unsigned total, const char *what)
{
	struct probe_run *probe = container_of(hay, struct probe_run, hay);

	if (!probe->on_terminal)
		return;
	clear_line(probe);
	if (total > 0)
		fprintf(stderr, "%u of %u: ", done, total);
	fputs(what ? what : "", stderr);
	probe->line_open = true;
}

static bool is_cancelled(const struct hay_probe *hay _unused_)
{
	return was_cancelled != 0;
}

int probe_main(struct plugin_set *plugins, const char *name, int argc, char *argv[])
{
	const char *error = NULL;
	const struct plugin *plugin = plugin_get(plugins, name, &error);
	struct probe_run probe = {.hay = {.size = sizeof(struct hay_probe),
					  .argc = argc,
					  .argv = argv,
					  .print = print_line,
					  .progress = print_progress,
					  .cancelled = is_cancelled},
				  .on_terminal = isatty(STDERR_FILENO)};
	struct sigaction action = {.sa_handler = on_signal};

	if (!plugin) {
		fprintf(stderr, "haywaind: %s\n", error);
		return -ENOENT;
	}
	if (!plugin->descriptor.probe) {
		fprintf(stderr, "haywaind: plugin `%s` has nothing to probe\n", name);
		return -EOPNOTSUPP;
	}
	/* Without SA_RESTART: what the plugin waits in ends at once. */
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	int r = plugin->descriptor.probe(&probe.hay);

	clear_line(&probe);
	return r;
}
