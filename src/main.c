/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/util.h"
#include "check.h"
#include "field/plugin_load.h"
#include "gateway.h"
#include "probe_main.h"
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define EXIT_BAD_CONFIG 78 /* EX_CONFIG of sysexits.h: systemd does not restart for it */
#define EXIT_USAGE 64	   /* EX_USAGE */

static void print_help(void)
{
	printf("Usage: haywaind [OPTION]...\n"
	       "       haywaind --probe PLUGIN [ARGUMENT]...\n"
	       "Read field devices, keep what they say, and relay it over MQTT.\n\n"
	       "  -c, --config=FILE  configuration file (" HAYWAIN_SYSCONF_DIR "/haywain.conf)\n"
	       "      --check        check the configuration, say what is wrong, exit with 0 or 1\n"
	       "      --user=NAME    with --check, as root: whose rights decide what can be read\n"
	       "      --probe=PLUGIN look for devices by hand; what follows goes to the plugin (haywain-PLUGIN(7))\n"
	       "      --syslog       log to syslog instead of standard error\n"
	       "      --version      print the version\n"
	       "  -h, --help         print this\n\n"
	       "Signals: SIGHUP reads the configuration again, SIGTERM ends.\n"
	       "See haywaind(8) and haywain.conf(5).\n");
}

static int probe(const char *name, int argc, char *argv[])
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

static int run(const char *path)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	sd_event *event = NULL;
	struct gateway *gateway = NULL;
	sigset_t blocked;

	/* Before any library starts a thread: signals belong to the loop. */
	sigemptyset(&blocked);
	for (size_t i = 0; i < ELEMENTS(signals); i++)
		sigaddset(&blocked, signals[i]);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	signal(SIGPIPE, SIG_IGN);
	mallopt(M_ARENA_MAX, 2);
	/* The queue holds what was measured: whoever starts us by hand shall not give it to everyone. */
	umask(umask(077) | 027);

	int r = sd_event_default(&event);

	if (r >= 0)
		r = gateway_new(event, path, &gateway);
	for (size_t i = 0; i < ELEMENTS(signals) && r >= 0; i++)
		r = sd_event_add_signal(event, NULL, signals[i], on_signal, gateway);
	if (r >= 0)
		r = sd_event_loop(event);
	gateway_free(gateway);
	sd_event_unref(event);
	if (r == -EBADMSG) {
		log_error("%s has to be mended first (haywaind --check shows what is wrong)", path);
		return EXIT_BAD_CONFIG;
	}
	if (r < 0 && r != -EWOULDBLOCK) /* which has been explained */
		log_error("cannot run: %s", strerror(-r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
	enum { CHECK = 256, PROBE, SYSLOG, USER, VERSION };
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},  {"check", no_argument, NULL, CHECK},
		{"probe", required_argument, NULL, PROBE}, {"syslog", no_argument, NULL, SYSLOG},
		{"user", required_argument, NULL, USER},   {"version", no_argument, NULL, VERSION},
		{"help", no_argument, NULL, 'h'},	   {0},
	};
	const char *path = HAYWAIN_SYSCONF_DIR "/haywain.conf";
	enum log_target target = LOG_TARGET_AUTO;
	const char *user = NULL;
	bool only_check = false;

	for (int c; (c = getopt_long(argc, argv, "+c:h", options, NULL)) != -1;) {
		switch (c) {
		case 'c':
			path = optarg;
			break;
		case CHECK:
			only_check = true;
			break;
		case PROBE: /* the rest of the line is the plugin's */
			return probe(optarg, argc - optind, argv + optind);
		case SYSLOG:
			target = LOG_TARGET_SYSLOG;
			break;
		case USER:
			user = optarg;
			break;
		case VERSION:
			puts("haywaind " HAYWAIN_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			print_help();
			return EXIT_SUCCESS;
		default:
			fputs("haywaind --help lists the options\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "haywaind: `%s` is not an option; haywaind --help lists them\n", argv[optind]);
		return EXIT_USAGE;
	}
	if (user && !only_check) {
		fputs("haywaind: --user goes with --check\n", stderr);
		return EXIT_USAGE;
	}
	if (only_check)
		return check_config(path, user);
	log_open(target, "haywaind");
	return run(path);
}
