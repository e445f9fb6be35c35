/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/util.h"
#include "check.h"
#include "connect_main.h"
#include "describe.h"
#include "field/plugin_load.h"
#include "gateway.h"
#include "once.h"
#include "probe_main.h"
#include "secret.h"
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define EXIT_BAD_CONFIG 78 /* EX_CONFIG of sysexits.h: systemd does not restart for it */
#define EXIT_USAGE 64	   /* EX_USAGE */

/* What it is started for. */
enum main_mode {
	MODE_RUN,
	MODE_CHECK,
	MODE_ONCE,
	MODE_TEST_UPLINK,
	MODE_SET_SECRET,
	MODE_PLUGINS,
	MODE_MODELS,
	MODE_DESCRIBE,
};

struct main_arguments {
	enum main_mode mode;
	const char *config, *user;
	const char *name; /* what the mode is about; NULL: none, or all */
	bool json;
	enum log_target log;
};

static void print_help(void)
{
	printf("Usage: haywaind [OPTION]...\n"
	       "       haywaind --probe PLUGIN [ARGUMENT]...\n"
	       "Read field devices, store their readings, and relay them over MQTT.\n\n"
	       "  -c, --config=FILE  the configuration (" HAYWAIN_SYSCONF_DIR "/haywain.conf)\n"
	       "      --check        report its errors; exit with 0 or 1\n"
	       "      --user=NAME    with --check, as root: check as this user\n"
	       "      --once         read every device once, print the readings, and exit\n"
	       "      --json         with --once: print it as JSON\n"
	       "      --test-uplink[=UPLINK]\n"
	       "                     try the connection step by step; the running one stays\n"
	       "      --set-secret=FILE\n"
	       "                     ask for a password, and store it for the service\n"
	       "      --plugins      list the plugins\n"
	       "      --models       list the models of devices\n"
	       "      --describe=PLUGIN\n"
	       "                     the keys of its links, devices and points\n"
	       "      --probe=PLUGIN look for devices; the plugin takes the other arguments\n"
	       "                     (haywain-PLUGIN(7))\n"
	       "      --syslog       log to syslog instead of standard error\n"
	       "      --version      print the version\n"
	       "  -h, --help         print this\n\n"
	       "Signals: SIGHUP reads the configuration again, SIGTERM ends.\n"
	       "See haywaind(8) and haywain.conf(5).\n");
}

static int run_probe(const char *name, int argc, char *argv[])
{
	struct plugin_set *plugins = plugin_set_new(NULL);
	int r = plugins ? probe_main(plugins, name, argc, argv) : -ENOMEM;

	plugin_set_free(plugins);
	return r == 0 ? EXIT_SUCCESS : r == -EINVAL ? EXIT_USAGE : EXIT_FAILURE;
}

static int on_signal(sd_event_source *source _unused_, const struct signalfd_siginfo *info, void *userdata)
{
	struct gateway *gateway = userdata;

	if (info->ssi_signo == SIGHUP)
		gateway_reload(gateway);
	else
		gateway_stop(gateway);
	return 0;
}

static int run_daemon(const char *path)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	sd_event *event = NULL;
	struct gateway *gateway = NULL;
	int status = EXIT_SUCCESS;
	bool is_freed;
	sigset_t blocked;

	/* Before any library starts a thread: signals belong to the loop. */
	sigemptyset(&blocked);
	for (size_t i = 0; i < ELEMENTS(signals); i++)
		sigaddset(&blocked, signals[i]);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	signal(SIGPIPE, SIG_IGN);
	mallopt(M_ARENA_MAX, 2);
	/* The queue holds what was measured: a start by hand must not make it readable for every user. */
	umask(umask(077) | 027);

	int r = sd_event_default(&event);

	if (r >= 0)
		r = gateway_new(event, path, &gateway);
	for (size_t i = 0; i < ELEMENTS(signals) && r >= 0; i++)
		r = sd_event_add_signal(event, NULL, signals[i], on_signal, gateway);
	if (r >= 0)
		r = sd_event_loop(event);
	is_freed = gateway_free(gateway);
	sd_event_unref(event);
	if (r == -EBADMSG) {
		log_error("%s has to be fixed first (haywaind --check shows the errors)", path);
		status = EXIT_BAD_CONFIG;
	} else if (r < 0) {
		if (r != -EWOULDBLOCK) /* which has been explained */
			log_error("cannot run: %s", strerror(-r));
		status = EXIT_FAILURE;
	}
	/* A thread that hangs cannot be joined, and exit() would pull the libraries away under it. */
	if (!is_freed)
		_exit(status);
	return status;
}

static int usage_error(const char *format, ...) _printf_(1, 2);
static int usage_error(const char *format, ...)
{
	va_list args;

	fputs("haywaind: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("; haywaind --help lists the options\n", stderr);
	return EXIT_USAGE;
}

static int run_mode(const struct main_arguments *arguments)
{
	if (arguments->user && arguments->mode != MODE_CHECK)
		return usage_error("--user goes with --check");
	if (arguments->json && arguments->mode != MODE_ONCE)
		return usage_error("--json goes with --once");
	switch (arguments->mode) {
	case MODE_CHECK:
		return check_config(arguments->config, arguments->user);
	case MODE_ONCE:
		return read_once(arguments->config, arguments->json);
	case MODE_TEST_UPLINK:
		return test_uplinks(arguments->config, arguments->name);
	case MODE_SET_SECRET:
		return set_secret(arguments->config, arguments->name);
	case MODE_PLUGINS:
		return list_plugins();
	case MODE_MODELS:
		return list_models();
	case MODE_DESCRIBE:
		return describe_plugin(arguments->name);
	case MODE_RUN:
		break;
	}
	log_open(arguments->log, "haywaind");
	return run_daemon(arguments->config);
}

int main(int argc, char *argv[])
{
	enum { JSON = 256, PROBE, SYSLOG, USER, VERSION, MODES };
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, MODES + MODE_CHECK},
		{"once", no_argument, NULL, MODES + MODE_ONCE},
		{"test-uplink", optional_argument, NULL, MODES + MODE_TEST_UPLINK},
		{"set-secret", required_argument, NULL, MODES + MODE_SET_SECRET},
		{"plugins", no_argument, NULL, MODES + MODE_PLUGINS},
		{"models", no_argument, NULL, MODES + MODE_MODELS},
		{"describe", required_argument, NULL, MODES + MODE_DESCRIBE},
		{"json", no_argument, NULL, JSON},
		{"probe", required_argument, NULL, PROBE},
		{"syslog", no_argument, NULL, SYSLOG},
		{"user", required_argument, NULL, USER},
		{"version", no_argument, NULL, VERSION},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct main_arguments arguments = {.config = HAYWAIN_SYSCONF_DIR "/haywain.conf", .log = LOG_TARGET_AUTO};

	for (int c; (c = getopt_long(argc, argv, "+c:h", options, NULL)) != -1;) {
		switch (c) {
		case 'c':
			arguments.config = optarg;
			break;
		case JSON:
			arguments.json = true;
			break;
		case PROBE: /* the rest of the line is the plugin's */
			return run_probe(optarg, argc - optind, argv + optind);
		case SYSLOG:
			arguments.log = LOG_TARGET_SYSLOG;
			break;
		case USER:
			arguments.user = optarg;
			break;
		case VERSION:
			puts("haywaind " HAYWAIN_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			print_help();
			return EXIT_SUCCESS;
		default:
			if (c < MODES) {
				fputs("haywaind --help lists the options\n", stderr);
				return EXIT_USAGE;
			}
			arguments.mode = (enum main_mode)(c - MODES);
			arguments.name = optarg;
		}
	}
	if (optind < argc)
		return usage_error("`%s` is not an option", argv[optind]);
	return run_mode(&arguments);
}
