/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle for a bug report: what the daemon says, its configuration without secrets, its log, the machine. */
#include "base/clock.h"
#include "cli/cli.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define COMMAND_S 20 /* a command that hangs is cut off */
#define READ_BYTES ((size_t)4096)

static int put(const char *folder, const char *name, const void *data, size_t size)
{
	_cleanup_free_ char *path = NULL;
	FILE *file = asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : fopen(path, "we");
	bool good = file && fwrite(data, 1, size, file) == size;

	if (file && fclose(file) != 0)
		good = false;
	return good ? 0 : cli_fail("%s cannot be written: %s", path ? path : name, strerror(errno));
}

/* What the daemon answers; its absence is worth knowing too. */
static bool put_answer(const struct cli *cli, const char *folder, const char *path, const char *name)
{
	_cleanup_buf_ struct buf answer = {0};

	return client_ask(cli, path, NULL, &answer) > 0 &&
	       put(folder, name, answer.data ? answer.data : "", answer.size) == 0;
}

static pid_t start(const char *const *argv, const char *out_path)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;

	int fd = open(out_path ? out_path : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(127);
	alarm(COMMAND_S);
	execvp(argv[0], (char *const *)argv);
	_exit(127);
}

static int run(const char *const *argv, const char *out_path)
{
	pid_t pid = start(argv, out_path);
	int status = -1;

	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void put_command(const char *folder, const char *name, const char *const *argv)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s", folder, name) >= 0)
		run(argv, path);
}

/* Secrets stand in files of their own; but who knows what a person has written, be it in a comment. A broker's user
   name may be a token. */
static bool names_secret(const char *word, size_t size)
{
	static const char *const words[] = {"password", "passwd",   "secret", "token",
					    "bindkey",	"username", "irk",    "psk"};
	static const char file[] = "_file";
	_cleanup_free_ char *name = strndup(word, size);

	if (!name || (size >= strlen(file) && strcmp(name + size - strlen(file), file) == 0))
		return false;
	for (size_t i = 0; i < ELEMENTS(words); i++)
		if (strcasestr(name, words[i]))
			return true;
	return false;
}

/* How much of a text is the value that an assignment begins; 0: it is none. *ret_before: up to where the value
   begins. */
static size_t assigned(const char *at, size_t *ret_before)
{
	size_t before = strspn(at, " \t\r\n"), size;

	if ((at[before] != '=' && at[before] != ':') || strncmp(at + before, "://", 3) == 0)
		return 0;
	before++;
	before += strspn(at + before, " \t\r\n");
	*ret_before = before;
	at += before;
	if (*at != '"')
		return strcspn(at, " \t\r\n;,}");
	for (size = 1; at[size] && at[size] != '"'; size++)
		if (at[size] == '\\' && at[size + 1])
			size++;
	return size + (at[size] == '"');
}

static void add_without_secrets(struct buf *out, const char *at)
{
	static const char word[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

	while (*at) {
		size_t size = strspn(at, word), before = 0, value;

		if (size > 0) {
			value = names_secret(at, size) ? assigned(at + size, &before) : 0;
			buf_add(out, at, size + (value > 0 ? before : 0));
			at += size + (value > 0 ? before + value : 0);
			if (value > 0)
				buf_add_text(out, "\"(left out)\"");
		} else if (strncmp(at, "://", 3) == 0) {
			/* scheme://user:password@host */
			size_t authority = strcspn(at + 3, "/\" \t\r\n");
			const char *host = memrchr(at + 3, '@', authority);

			buf_add_text(out, host ? "://(left out)" : "://");
			at = host ? host : at + 3;
		} else {
			buf_add_char(out, *at++);
		}
	}
}

static void put_config(const char *folder, const char *path, const char *name)
{
	_cleanup_buf_ struct buf text = {0}, clean = {0};
	FILE *file = fopen(path, "re");
	size_t n;

	if (!file) {
		buf_printf(&clean, "%s: %s\n", path, strerror(errno));
	} else {
		do {
			char *room = buf_reserve(&text, READ_BYTES);

			n = room ? fread(room, 1, READ_BYTES, file) : 0;
			text.size += n;
		} while (n > 0);
		fclose(file);
		add_without_secrets(&clean, buf_text(&text));
	}
	put(folder, name, buf_text(&clean), clean.size);
}

static void put_configs(const char *folder)
{
	static const char conf_d[] = HAYWAIN_SYSCONF_DIR "/conf.d";
	DIR *dir = opendir(conf_d);
	const struct dirent *entry;

	put_config(folder, HAYWAIN_SYSCONF_DIR "/haywain.conf", "haywain.conf");
	while (dir && (entry = readdir(dir))) {
		const char *dot = strrchr(entry->d_name, '.');
		_cleanup_free_ char *path = NULL, *name = NULL;

		if (!dot || dot == entry->d_name || strcmp(dot, ".conf") != 0)
			continue;
		if (asprintf(&path, "%s/%s", conf_d, entry->d_name) < 0 ||
		    asprintf(&name, "conf.d-%s", entry->d_name) < 0)
			break;
		put_config(folder, path, name);
	}
	if (dir)
		closedir(dir);
}

static void gather(const struct cli *cli, const char *folder)
{
	static const char *const log[] = {"journalctl", "-u", "haywain",   "-n", "2000",
					  "--no-pager", "-o", "short-iso", NULL};
	static const char *const unit[] = {"systemctl", "status", "haywain", "--no-pager", "-l", NULL};
	static const char *const machine[] = {"uname", "-a", NULL};
	static const char *const release[] = {"cat", "/etc/os-release", NULL};
	static const char *const disks[] = {"df", "-h", NULL};
	static const char *const memory[] = {"cat", "/proc/meminfo", "/proc/loadavg", NULL};
	static const char *const ports[] = {"ls", "-l", "/dev/serial/by-id", NULL};

	/* The first says why there is no answer; the others would say the same. */
	if (put_answer(cli, folder, "/v1/status", "status.json")) {
		put_answer(cli, folder, "/v1/links", "links.json");
		put_answer(cli, folder, "/v1/devices", "devices.json");
		put_answer(cli, folder, "/v1/queue", "queue.json");
		put_answer(cli, folder, "/v1/readings", "readings.json");
		put_answer(cli, folder, "/metrics", "metrics.txt");
	}
	put(folder, "version.txt", HAYWAIN_VERSION "\n", strlen(HAYWAIN_VERSION "\n"));
	put_configs(folder);
	put_command(folder, "log.txt", log);
	put_command(folder, "unit.txt", unit);
	put_command(folder, "uname.txt", machine);
	put_command(folder, "os-release.txt", release);
	put_command(folder, "disks.txt", disks);
	put_command(folder, "memory.txt", memory);
	put_command(folder, "serial-ports.txt", ports);
}

int cli_diag(const struct cli *cli, int argc, char *argv[])
{
	char folder[] = "/tmp/haywain-diag-XXXXXX", stamp[32];
	_cleanup_free_ char *made = NULL;
	time_t now = time(NULL);
	struct tm local;
	int status;

	if (argc > 1)
		return EXIT_USAGE;
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", localtime_r(&now, &local));
	if (asprintf(&made, "haywain-diag-%s.tar.gz", stamp) < 0)
		return cli_fail("out of memory");

	const char *path = argc == 1 ? argv[0] : made;

	umask(077);
	if (!mkdtemp(folder))
		return cli_fail("/tmp cannot be written: %s", strerror(errno));
	gather(cli, folder);

	const char *const pack[] = {"tar", "-czf", path, "-C", folder, ".", NULL};
	const char *const clean[] = {"rm", "-rf", folder, NULL};

	status = run(pack, NULL);
	run(clean, NULL);
	if (status != 0)
		return cli_fail("%s cannot be written", path);
	printf("%s: what the daemon says, its configuration and log, and this machine. Look into it before you send it: it holds names and readings of your plant.\n",
	       path);
	return EXIT_SUCCESS;
}
