/* SPDX-License-Identifier: Apache-2.0 */
#include "secret.h"
#include "base/conf.h"
#include "base/files.h"
#include "config.h"
#include "field/plugin_load.h"
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>

#define SERVICE_GROUP "haywain"
#define CREDENTIALS "/etc/credstore" /* and credstore.encrypted: systemd.exec(5) */
#define SECRET_MAX ((size_t)64 * 1024)

/* In memory that does not grow: growing would leave copies behind. */
struct typed_secret {
	char text[SECRET_MAX + 2];
	size_t size;
};

/* A signal handler can reach nothing but a variable of the file. */
static volatile sig_atomic_t was_interrupted;

static void on_signal(int signal _unused_)
{
	was_interrupted = 1;
}

static int print_failure(const char *format, ...) _printf_(1, 2);
static int print_failure(const char *format, ...)
{
	va_list args;

	fputs("haywaind: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return EXIT_FAILURE;
}

/* ---- reading ---- */

/* Up to a line's end, while those signals are let through only in the waiting; or, without them, all of a pipe.
   Without the last line break. -errno; -ECANCELED: a signal came. */
static int read_typed(struct typed_secret *typed, const sigset_t *open_to)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	bool one_line = open_to;

	typed->size = 0;
	for (;;) {
		size_t room = SECRET_MAX + 1 - typed->size;

		if (open_to && ppoll(&input, 1, NULL, open_to) < 0 && was_interrupted)
			return -ECANCELED;

		ssize_t n = read(STDIN_FILENO, typed->text + typed->size, one_line ? 1 : room);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		typed->size += (size_t)n;
		if (typed->size > SECRET_MAX)
			return -EFBIG;
		if (n == 0 || (one_line && typed->text[typed->size - 1] == '\n'))
			break;
	}
	if (typed->size > 0 && typed->text[typed->size - 1] == '\n')
		typed->size--;
	typed->text[typed->size] = '\0';
	return 0;
}

/* A terminal must not be left without its echo, whatever ends this. */
static int prompt_password(const char *prompt, struct typed_secret *typed)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP};
	struct sigaction interrupt = {.sa_handler = on_signal}, old[ELEMENTS(signals)];
	struct termios before, silent;
	sigset_t held, open_to;
	int r;

	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return -errno;
	silent = before;
	silent.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
	sigemptyset(&held);
	for (size_t i = 0; i < ELEMENTS(signals); i++) {
		sigaction(signals[i], &interrupt, &old[i]);
		sigaddset(&held, signals[i]);
	}
	sigprocmask(SIG_BLOCK, &held, &open_to);
	/* Before the question: what is typed on its sight must not be shown. */
	r = tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) < 0 ? -errno : 0;
	fputs(prompt, stderr);
	if (r == 0)
		r = read_typed(typed, &open_to);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	for (size_t i = 0; i < ELEMENTS(signals); i++)
		sigaction(signals[i], &old[i], NULL);
	sigprocmask(SIG_SETMASK, &open_to, NULL);
	fputc('\n', stderr);
	return r;
}

static int get_secret(const char *name, struct typed_secret *typed, struct typed_secret *again)
{
	_cleanup_free_ char *prompt = NULL;
	int r;

	if (!isatty(STDIN_FILENO))
		return read_typed(typed, NULL);
	if (asprintf(&prompt, "%s: ", name) < 0) {
		prompt = NULL;
		return -ENOMEM;
	}
	r = prompt_password(prompt, typed);
	if (r == 0)
		r = prompt_password("once more: ", again);
	if (r == 0 && (typed->size != again->size || memcmp(typed->text, again->text, typed->size) != 0))
		r = -EKEYREJECTED;
	return r;
}

/* ---- who uses it ---- */

static bool uplink_uses(const struct uplink_conf *uplink, const char *path, const char **ret_key)
{
	const char *const files[] = {uplink->password_file, uplink->tls.key_file, uplink->tls.cert_file,
				     uplink->tls.ca_file};
	static const char *const keys[] = {"password_file", "tls.key_file", "tls.cert_file", "tls.ca_file"};

	for (size_t i = 0; i < ELEMENTS(files); i++)
		if (files[i] && (strcmp(files[i], path) == 0 || is_same_file(files[i], path))) {
			*ret_key = keys[i];
			return true;
		}
	return false;
}

static void print_users(const char *config_path, const char *name, const char *path)
{
	struct plugin_set *plugins = plugin_set_new(NULL);
	struct conf_messages messages = {0};
	struct config *config = NULL;
	size_t n = 0;
	int r = plugins ? config_load(config_path, plugins, &messages, &config) : -ENOMEM;

	for (size_t i = 0; r >= 0 && i < config->n_uplinks; i++) {
		const char *key;

		if (!uplink_uses(config->uplinks[i], path, &key))
			continue;
		n++;
		printf("uplink %s uses it (%s); it is read at the next connect, without a reload\n",
		       config->uplinks[i]->name, key);
	}
	if (r < 0)
		printf("cannot find out which uplink uses it: %s has errors (haywaind --check)\n", config_path);
	else if (n == 0)
		printf("no uplink of %s uses it yet: password_file = \"%s\";\n", config_path, name);
	conf_messages_done(&messages);
	config_free(config);
	plugin_set_free(plugins);
}

/* ---- writing ---- */

static char *path_of(const char *config_path, const char *name)
{
	const char *slash = strrchr(config_path, '/');
	char *path;

	if (name[0] == '/' || !slash)
		return strdup(name);
	return asprintf(&path, "%.*s/%s", (int)(slash - config_path), config_path, name) < 0 ? NULL : path;
}

static int write_secret(const char *path, const struct typed_secret *typed)
{
	const struct group *group = geteuid() == 0 ? getgrnam(SERVICE_GROUP) : NULL;
	bool is_credential = strncmp(path, CREDENTIALS, strlen(CREDENTIALS)) == 0;
	bool is_shared = group && !is_credential;
	int r = file_replace(path, typed->text, typed->size, is_shared ? 0640 : 0600,
			     is_shared ? group->gr_gid : (gid_t)-1);

	if (r == -EACCES || r == -EPERM)
		return print_failure("%s cannot be written: %s; run it with sudo", path, strerror(-r));
	if (r < 0)
		return print_failure("%s cannot be written: %s", path, strerror(-r));
	printf("%s was written, readable by %s%s\n", path, geteuid() == 0 ? "root" : "you",
	       is_shared ? " and the service (group " SERVICE_GROUP ")" : " alone");
	return EXIT_SUCCESS;
}

static int take_secret(const char *config_path, const char *name, const char *path, struct typed_secret *typed,
		       struct typed_secret *again)
{
	const char *fault;
	bool blank;
	int r = get_secret(name, typed, again);

	if (r == -EKEYREJECTED)
		return print_failure("the two entries differ: nothing was written");
	if (r == -EFBIG)
		return print_failure("it is longer than 64 KB: nothing was written");
	if (r == -ECANCELED)
		return print_failure("nothing was written");
	if (r < 0)
		return print_failure("it cannot be read: %s; nothing was written", strerror(-r));
	fault = conf_secret_fault(typed->text, typed->size, &blank);
	if (fault)
		return print_failure("it %s: nothing was written", fault);
	if (blank)
		fputs("haywaind: warning: it begins or ends with a blank\n", stderr);
	r = write_secret(path, typed);
	if (r == EXIT_SUCCESS)
		print_users(config_path, name, path);
	return r;
}

int set_secret(const char *config_path, const char *name)
{
	_cleanup_free_ char *path = path_of(config_path, name);
	struct typed_secret *typed = calloc(1, sizeof(*typed)), *again = calloc(1, sizeof(*again));
	int status = EXIT_FAILURE;

	if (!path || !typed || !again)
		print_failure("out of memory");
	else if (!name[0] || name[strlen(name) - 1] == '/')
		print_failure("a secret needs the name of a file, like cloud.password");
	else
		status = take_secret(config_path, name, path, typed, again);
	if (typed)
		explicit_bzero(typed, sizeof(*typed));
	if (again)
		explicit_bzero(again, sizeof(*again));
	free(typed);
	free(again);
	return status;
}
