/* SPDX-License-Identifier: Apache-2.0 */
/* What needs no running daemon: the daemon's program does it. */
#include "cli/cli.h"
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* etc/haywain.conf, as it was when this was built. */
__asm__(".pushsection .rodata\n"
	".global haywain_example, haywain_example_end\n"
	"haywain_example:\n"
	".incbin \"" HAYWAIN_EXAMPLE "\"\n"
	"haywain_example_end:\n"
	".byte 0\n"
	".popsection\n");
extern const char haywain_example[], haywain_example_end[];

int cli_example(const struct cli *cli _unused_, int argc, char *argv[] _unused_)
{
	if (argc > 0)
		return EXIT_USAGE;
	fwrite(haywain_example, 1, (size_t)(haywain_example_end - haywain_example), stdout);
	return EXIT_SUCCESS;
}

/* Beside this program in a build tree; else where it is installed. */
static char *daemon_path(void)
{
	char self[PATH_MAX];
	ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *path = NULL;

	if (size > 0) {
		self[size] = 0;
		if (asprintf(&path, "%s/haywaind", dirname(self)) < 0)
			return NULL;
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return strdup(HAYWAIN_SBIN_DIR "/haywaind");
}

int run_daemon(const char *const *arguments)
{
	_cleanup_free_ char *path = daemon_path();
	_cleanup_free_ const char **argv = NULL;
	size_t n = 0;

	while (arguments[n])
		n++;
	argv = calloc(n + 2, sizeof(*argv));
	if (!path || !argv)
		return cli_fail("out of memory");
	argv[0] = path;
	memcpy(argv + 1, arguments, n * sizeof(*argv));
	fflush(stdout);
	execv(path, (char *const *)argv);
	return cli_fail("%s cannot be run: %s", path, strerror(errno));
}

int cli_once(const struct cli *cli, int argc, char *argv[])
{
	const char *const arguments[] = {"--once",
					 argc > 0    ? "-c"
					 : cli->json ? "--json"
						     : NULL,
					 argc > 0 ? argv[0] : NULL, cli->json ? "--json" : NULL, NULL};

	return argc > 1 ? EXIT_USAGE : run_daemon(arguments);
}

int cli_connect(const struct cli *cli _unused_, int argc, char *argv[])
{
	_cleanup_free_ char *option = NULL;
	const char *arguments[] = {"--test-uplink", NULL};

	if (argc < 1 || argc > 2 || strcmp(argv[0], "--test") != 0)
		return EXIT_USAGE;
	if (argc == 2 && asprintf(&option, "--test-uplink=%s", argv[1]) < 0)
		return cli_fail("out of memory");
	if (argc == 2)
		arguments[0] = option;
	return run_daemon(arguments);
}

int cli_secret(const struct cli *cli _unused_, int argc, char *argv[])
{
	const char *const arguments[] = {"--set-secret", argv[0], NULL};

	return argc == 1 ? run_daemon(arguments) : EXIT_USAGE;
}

int cli_plugins(const struct cli *cli _unused_, int argc, char *argv[] _unused_)
{
	static const char *const arguments[] = {"--plugins", NULL};

	return argc == 0 ? run_daemon(arguments) : EXIT_USAGE;
}

int cli_models(const struct cli *cli _unused_, int argc, char *argv[] _unused_)
{
	static const char *const arguments[] = {"--models", NULL};

	return argc == 0 ? run_daemon(arguments) : EXIT_USAGE;
}

int cli_check(const struct cli *cli _unused_, int argc, char *argv[])
{
	const char *const arguments[] = {"--check", argc > 0 ? "-c" : NULL, argc > 0 ? argv[0] : NULL, NULL};

	return argc > 1 ? EXIT_USAGE : run_daemon(arguments);
}
