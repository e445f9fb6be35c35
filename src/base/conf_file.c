/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading one file. It is read twice: by our own scan, which finds every mistake and tells it in words, and by
 * libconfig, which builds the tree. libconfig alone would say "syntax error" once, and wrap large numbers.
 */
#include "base/conf_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_SIZE_MAX ((size_t)16 * 1024 * 1024)

struct conf_file {
	config_t config;
	char *path;
	char *include_dir;
	struct included_file *included;
};

struct included_file {
	struct included_file *next;
	const char *name; /* libconfig's */
	char *path;
};

int source_read(const char *path, char **ret, size_t *ret_size)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *text = NULL;
	size_t size = 0, capacity = 0;
	struct stat st;

	/* Without O_NONBLOCK a fifo by that name would hold up the start for ever. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;

	for (;;) {
		ssize_t n;

		if (size + 1 >= capacity) {
			char *grown;

			if (capacity > FILE_SIZE_MAX)
				return -EFBIG;
			capacity = capacity ? capacity * 2 : MIN((size_t)st.st_size, FILE_SIZE_MAX) + 4096;
			grown = realloc(text, capacity);
			if (!grown)
				return -ENOMEM;
			text = grown;
		}
		n = read(fd, text + size, capacity - size - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
	}
	text[size] = '\0';
	*ret = text;
	*ret_size = size;
	text = NULL;
	return 0;
}

static char *directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* The path of an included file, which libconfig names as it was written. */
static const char *included_path(struct conf_file *file, const char *name)
{
	struct included_file *included;
	size_t directory_size = strlen(file->include_dir);
	bool whole = strncmp(name, file->include_dir, directory_size) == 0 && name[directory_size] == '/';

	for (included = file->included; included; included = included->next)
		if (included->name == name)
			return included->path;
	included = calloc(1, sizeof(*included));
	if (!included)
		return name;
	if (whole)
		included->path = strdup(name);
	else if (asprintf(&included->path, "%s/%s", file->include_dir, name) < 0)
		included->path = NULL;
	if (!included->path) {
		free(included);
		return name;
	}
	included->name = name;
	included->next = file->included;
	file->included = included;
	return included->path;
}

/* libconfig leaves the file's name out of settings read from text. */
static void name_settings(struct conf_file *file, config_setting_t *setting)
{
	setting->file = setting->file ? included_path(file, setting->file) : file->path;
	if (config_setting_is_aggregate(setting))
		for (int i = 0; i < config_setting_length(setting); i++)
			name_settings(file, config_setting_get_elem(setting, (unsigned)i));
}

/* The scan and the grammar found them in two passes; a person reads from the top. */
static void move_sorted(struct conf_messages *found, struct conf_messages *messages)
{
	while (found->first) {
		struct conf_message **earliest = &found->first, *message;

		for (struct conf_message **at = &found->first; *at; at = &(*at)->next)
			if (strcmp((*at)->file, (*earliest)->file) == 0 && (*at)->line < (*earliest)->line)
				earliest = at;
		message = *earliest;
		*earliest = message->next;
		conf_error(messages, message->file, message->line, "%s", message->text);
		if (message != &found->spare)
			free(message);
	}
	*found = (struct conf_messages){0};
}

int conf_file_parse_text(const char *path, const char *include_dir, const char *text, size_t size,
			 struct conf_messages *messages, struct conf_file **ret)
{
	_cleanup_(conf_file_freep) struct conf_file *file = NULL;
	struct conf_messages found = {.service = messages->service};
	struct conf_scan scan = {.messages = &found, .include_dir = include_dir};
	unsigned n_errors;
	int r;

	/* Some editors put a byte order mark in front, and few can take it away: it says nothing. */
	if (text && size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		size -= 3;
	}
	r = scan_text(&scan, path, text, size);
	if (r == 0)
		r = syntax_check(&scan);
	n_errors = scan.n_errors;
	scan_done(&scan);
	move_sorted(&found, messages);
	if (r == -ENOMEM)
		return r;
	if (n_errors > 0)
		return -EBADMSG;

	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	config_init(&file->config);
	file->path = strdup(path);
	file->include_dir = strdup(include_dir ? include_dir : ".");
	if (!file->path || !file->include_dir)
		return -ENOMEM;
	config_set_include_dir(&file->config, file->include_dir);
	if (!config_read_string(&file->config, text)) {
		/* The scan found nothing, so libconfig's own words are the best there are. */
		conf_error(messages, path, (unsigned)MAX(config_error_line(&file->config), 0), "%s",
			   config_error_text(&file->config) ? config_error_text(&file->config) : "syntax error");
		return -EBADMSG;
	}
	name_settings(file, config_root_setting(&file->config));

	*ret = file;
	file = NULL;
	return 0;
}

int conf_file_read(const char *path, struct conf_messages *messages, struct conf_file **ret)
{
	_cleanup_free_ char *text = NULL, *directory = NULL;
	_cleanup_buf_ struct buf advice = {0};
	size_t size;
	int r;

	directory = directory_of(path);
	if (!directory)
		return -ENOMEM;
	r = source_read(path, &text, &size);
	if (r < 0) {
		conf_add_advice(&advice, messages, path, -r);
		conf_error(messages, path, 0, "this file cannot be read: %s%s", strerror(-r), buf_text(&advice));
		return r;
	}
	return conf_file_parse_text(path, directory, text, size, messages, ret);
}

struct conf_file *conf_file_free(struct conf_file *file)
{
	if (!file)
		return NULL;
	config_destroy(&file->config);
	while (file->included) {
		struct included_file *next = file->included->next;

		free(file->included->path);
		free(file->included);
		file->included = next;
	}
	free(file->include_dir);
	free(file->path);
	free(file);
	return NULL;
}

config_setting_t *conf_file_root(struct conf_file *file)
{
	return config_root_setting(&file->config);
}

const char *conf_file_path(const struct conf_file *file)
{
	return file->path;
}

const char *conf_setting_file(const config_setting_t *setting)
{
	const char *file = config_setting_source_file(setting);

	return file ? file : "(text)";
}

unsigned conf_setting_line(const config_setting_t *setting)
{
	return config_setting_source_line(setting);
}

unsigned conf_error_at(struct conf_messages *messages, const config_setting_t *setting, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	conf_error_v(messages, conf_setting_file(setting), conf_setting_line(setting), format, args);
	va_end(args);
	return 1;
}

void conf_warning_at(struct conf_messages *messages, const config_setting_t *setting, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	conf_warning_v(messages, conf_setting_file(setting), conf_setting_line(setting), format, args);
	va_end(args);
}
