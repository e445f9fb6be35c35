/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets: never in the configuration, always in a file of their own. */
#include "base/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define SECRET_SIZE_MAX ((size_t)64 * 1024)

/* Hidden before the text, so that the whole of it can be wiped even where it holds a zero byte. */
struct secret {
	size_t size;
	char text[];
};

char *conf_secret_path(struct pool *pool, const char *file, const char *path)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY"), *slash;

	if (path[0] == '/')
		return pool_strdup(pool, path);
	if (directory && *directory) {
		char *credential = pool_printf(pool, "%s/%s", directory, path);

		if (!credential || access(credential, F_OK) == 0)
			return credential;
	}
	slash = strrchr(file, '/');
	if (!slash)
		return pool_strdup(pool, path);
	return pool_printf(pool, "%.*s/%s", (int)(slash - file), file, path);
}

int conf_secret_read(const char *path, char **ret, size_t *ret_size)
{
	_cleanup_close_ int fd = -1;
	struct secret *secret;
	size_t size = 0;
	int r = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	/* At its full size from the start: growing it would leave copies behind. */
	secret = malloc(sizeof(*secret) + SECRET_SIZE_MAX + 2);
	if (!secret)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, secret->text + size, SECRET_SIZE_MAX + 1 - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = -errno;
		if (n <= 0)
			break;
		size += (size_t)n;
		if (size > SECRET_SIZE_MAX) {
			r = -EFBIG;
			break;
		}
	}
	secret->size = size;
	if (r < 0) {
		conf_secret_free(secret->text);
		return r;
	}
	if (size > 0 && secret->text[size - 1] == '\n') {
		size--;
		if (size > 0 && secret->text[size - 1] == '\r')
			size--;
	}
	secret->text[size] = '\0';
	*ret = secret->text;
	*ret_size = size;
	return 0;
}

void conf_secret_free(char *text)
{
	struct secret *secret;

	if (!text)
		return;
	secret = container_of(text, struct secret, text);
	explicit_bzero(secret->text, secret->size);
	free(secret);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

const char *conf_secret_fault(const char *secret, size_t size, bool *ret_blank)
{
	*ret_blank = size > 0 && (is_blank(secret[0]) || is_blank(secret[size - 1]));
	if (size == 0)
		return "is empty";
	if (size >= 2 && (memcmp(secret, "\xff\xfe", 2) == 0 || memcmp(secret, "\xfe\xff", 2) == 0))
		return "is UTF-16 text; save it as UTF-8 without a byte order mark";
	if (size >= 3 && memcmp(secret, "\xef\xbb\xbf", 3) == 0)
		return "begins with a byte order mark; save it as UTF-8 without one";
	if (memchr(secret, '\0', size))
		return "contains a zero byte, where a password would end";
	if (memchr(secret, '\n', size) || memchr(secret, '\r', size))
		return "has more than one line; it must contain only the password";
	return NULL;
}
