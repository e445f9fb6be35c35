/* SPDX-License-Identifier: Apache-2.0 */
#include "base/conf.h"
#include "cli/cli.h"
#include <curl/curl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int cli_help(const struct cli *cli, int argc, char *argv[]);
static int cli_version(const struct cli *cli, int argc, char *argv[]);

static const struct {
	const char *name;
	int (*run)(const struct cli *cli, int argc, char *argv[]);
	const char *usage, *help;
} commands[] = {
	{"status", cli_status, "", "how the gateway is"},
	{"devices", cli_devices, "[DEVICE]", "devices, or one with its points and readings"},
	{"links", cli_links, "", "links, and why one is down"},
	{"watch", cli_watch, "[DEVICE]", "readings as they are taken"},
	{"queue", cli_queue, "[export | purge --yes]", "what waits for the brokers"},
	{"write", cli_write, "DEVICE POINT VALUE", "write a value to a device"},
	{"reload", cli_reload, "", "read the configuration again"},
	{"check", cli_check, "[FILE]", "say what is wrong with a configuration"},
	{"once", cli_once, "[FILE]", "read every device once, without the daemon"},
	{"connect", cli_connect, "--test [UPLINK]", "try the way to a broker, step by step"},
	{"secret", cli_secret, "FILE", "ask for a password, and store it"},
	{"scan", cli_scan, "PLUGIN [ARGUMENT]...", "look for devices: modbus, serial or ble"},
	{"plugins", cli_plugins, "", "list the plugins"},
	{"models", cli_models, "", "list the models of devices"},
	{"example", cli_example, "", "print a commented configuration"},
	{"diag", cli_diag, "[FILE.tar.gz]", "a bundle without secrets for a bug report"},
	{"help", cli_help, "[COMMAND | PLUGIN]", "this, a command, or a plugin's keys"},
	{"version", cli_version, "", "print the version"},
};

int cli_fail(const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (text)
		text_make_printable(text);
	fprintf(stderr, "haywain: %s\n", text ? text : "out of memory");
	return EXIT_FAILURE;
}

static void print_help(void)
{
	printf("Usage: haywain [OPTION]... COMMAND [ARGUMENT]...\n"
	       "Look at the gateway haywaind that runs on this machine, and work with it.\n\n");
	for (size_t i = 0; i < ELEMENTS(commands); i++)
		printf("  %-7s %-22s  %s\n", commands[i].name, commands[i].usage, commands[i].help);
	printf("\n  -s, --socket=PATH  where the daemon listens (" HAYWAIN_API_SOCKET ")\n"
	       "      --json         print what the daemon says, as JSON\n"
	       "      --yes          do not ask\n"
	       "      --link=LINK    scan: on this link of the running daemon\n"
	       "      --version      print the version\n"
	       "  -h, --help         print this\n\n"
	       "See haywain(1).\n");
}

static void print_usage(FILE *file, size_t command)
{
	fprintf(file, "Usage: haywain %s%s%s\n", commands[command].name, *commands[command].usage ? " " : "",
		commands[command].usage);
}

/* ELEMENTS(commands): there is none of that name. */
static size_t find_command(const char *name)
{
	size_t i = 0;

	while (i < ELEMENTS(commands) && strcmp(commands[i].name, name) != 0)
		i++;
	return i;
}

static int usage(const char *name)
{
	size_t command = name ? find_command(name) : ELEMENTS(commands);

	if (command < ELEMENTS(commands))
		print_usage(stderr, command);
	fputs("haywain --help lists the commands\n", stderr);
	return EXIT_USAGE;
}

static int unknown_command(const char *name)
{
	struct conf_nearest nearest = {.word = name};

	for (size_t i = 0; i < ELEMENTS(commands); i++)
		conf_nearest_try(&nearest, commands[i].name);
	if (nearest.best)
		cli_fail("`%s` is no command, did you mean `%s`?", name, nearest.best);
	else
		cli_fail("`%s` is no command", name);
	return usage(NULL);
}

static int cli_version(const struct cli *cli _unused_, int argc, char *argv[] _unused_)
{
	if (argc > 0)
		return EXIT_USAGE;
	puts("haywain " HAYWAIN_VERSION);
	return EXIT_SUCCESS;
}

/* What is no command is a plugin. */
static int cli_help(const struct cli *cli _unused_, int argc, char *argv[])
{
	size_t command = argc == 1 ? find_command(argv[0]) : ELEMENTS(commands);
	const char *const describe[] = {"--describe", argc == 1 ? argv[0] : NULL, NULL};

	if (argc > 1)
		return EXIT_USAGE;
	if (argc == 1 && command == ELEMENTS(commands))
		return run_daemon(describe);
	if (argc == 0) {
		print_help();
	} else {
		print_usage(stdout, command);
		printf("  %s; see haywain(1)\n", commands[command].help);
	}
	return EXIT_SUCCESS;
}

static int run(const struct cli *cli, int argc, char *argv[])
{
	size_t command = find_command(argv[0]);
	int status;

	if (command == ELEMENTS(commands))
		return unknown_command(argv[0]);
	status = commands[command].run(cli, argc - 1, argv + 1);
	return status == EXIT_USAGE ? usage(argv[0]) : status;
}

int main(int argc, char *argv[])
{
	enum { JSON = 256, YES, VERSION };
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'}, {"json", no_argument, NULL, JSON},
		{"yes", no_argument, NULL, YES},	  {"version", no_argument, NULL, VERSION},
		{"help", no_argument, NULL, 'h'},	  {0},
	};
	const char *socket = getenv("HAYWAIN_SOCKET");
	struct cli cli = {.socket = socket ? socket : HAYWAIN_API_SOCKET,
			  .colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR")};
	/* What follows `scan PLUGIN` is the plugin's; a negative value to write is no option. */
	const char *order = "+s:h";

	for (int c; (c = getopt_long(argc, argv, order, options, NULL)) != -1;) {
		switch (c) {
		case 's':
			cli.socket = optarg;
			break;
		case JSON:
			cli.json = true;
			break;
		case YES:
			cli.yes = true;
			break;
		case VERSION:
			return cli_version(&cli, 0, NULL);
		case 'h':
			print_help();
			return EXIT_SUCCESS;
		default:
			return usage(NULL);
		}
	}
	/* A person who types only the name wants to see what there is. */
	if (optind == argc) {
		print_help();
		return EXIT_USAGE;
	}

	/* Options may also follow the command; but what a plugin's probe takes for help is its own. */
	bool is_scan = strcmp(argv[optind], "scan") == 0;
	int n = 0;

	for (int i = optind; i < argc; i++) {
		if (i > optind && strcmp(argv[i], "--json") == 0)
			cli.json = true;
		else if (i > optind && !is_scan && strcmp(argv[i], "--yes") == 0)
			cli.yes = true;
		else if (i > optind && (!is_scan || i == optind + 1) && strcmp(argv[i], "--help") == 0)
			return usage(argv[optind]) == EXIT_USAGE ? EXIT_SUCCESS : EXIT_FAILURE;
		else
			argv[optind + n++] = argv[i];
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);

	int status = run(&cli, n, argv + optind);

	curl_global_cleanup();
	if (fflush(stdout) != 0)
		return cli_fail("standard output cannot be written");
	return status;
}
