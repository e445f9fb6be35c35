/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include <curl/curl.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_MAX ((size_t)16 * 1024 * 1024)
#define TIMEOUT_S 60L

struct lines {
	struct buf text;
	struct buf error; /* of an answer that says no */
	CURL *curl;
	bool (*line)(const char *text, void *userdata);
	void *userdata;
	bool ended;
};

static size_t take(char *data, size_t size, size_t n, void *userdata)
{
	struct buf *answer = userdata;

	if (answer->size + size * n > ANSWER_MAX)
		return 0;
	buf_add(answer, data, size * n);
	return size * n;
}

static void explain_permission(const struct cli *cli, bool changes)
{
	const struct passwd *account = getpwuid(getuid());
	const char *user = account ? account->pw_name : "USER";
	const char *group = changes ? "haywain-admin" : "haywain-read";

	cli_fail("permission denied: %s: %s takes the group %s (sudo adduser %s %s, then log in again), or sudo",
		 cli->socket, changes ? "to change something" : "to look", group, user, group);
}

/* error: of errno, where it did not connect. */
static void explain_curl(const struct cli *cli, CURLcode code, long error, bool changes)
{
	if (cli->quiet)
		return;
	if (code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING)
		cli_fail("the daemon ended in the middle of its answer: it was stopped or started again");
	else if (code != CURLE_COULDNT_CONNECT)
		cli_fail("the answer of the daemon broke off: %s", curl_easy_strerror(code));
	else if (error == EACCES)
		explain_permission(cli, changes);
	else
		cli_fail(
			"no daemon listens at %s: is haywain running (systemctl status haywain), and is api.socket this path? --socket names another",
			cli->socket);
}

static CURL *client_new(const char *path)
{
	CURL *curl = curl_easy_init();
	char *url = NULL;

	if (!curl || asprintf(&url, "http://localhost%s", path) < 0) {
		curl_easy_cleanup(curl);
		cli_fail("out of memory");
		return NULL;
	}
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	free(url);
	return curl;
}

/* The socket for reading lies beside the other one. */
static char *read_socket(const struct cli *cli)
{
	const char *slash = strrchr(cli->socket, '/');
	char *path = NULL;

	return asprintf(&path, "%.*sread.sock", slash ? (int)(slash - cli->socket) + 1 : 0, cli->socket) < 0 ? NULL
													     : path;
}

/* *ret_error: of errno, where it did not connect. */
static CURLcode perform(const struct cli *cli, CURL *curl, bool changes, long *ret_error)
{
	CURLcode code;

	*ret_error = 0;
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, cli->socket);
	code = curl_easy_perform(curl);
	if (code == CURLE_COULDNT_CONNECT)
		curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, ret_error);
	if (*ret_error == EACCES && !changes) {
		_cleanup_free_ char *path = read_socket(cli);

		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, path ? path : cli->socket);
		code = curl_easy_perform(curl);
	}
	return code;
}

int client_ask(const struct cli *cli, const char *path, const char *body, struct buf *ret)
{
	CURL *curl = client_new(path);
	long status = 0, error;

	if (!curl)
		return -1;
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, ret);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
	if (body) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
	}

	CURLcode code = perform(cli, curl, body, &error);

	if (code == CURLE_OK)
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	else
		explain_curl(cli, code, error, body);
	curl_easy_cleanup(curl);
	if (code == CURLE_OK && buf_failed(ret))
		cli_fail("out of memory");
	if (code == CURLE_COULDNT_CONNECT)
		return -1;
	return code == CURLE_OK && !buf_failed(ret) ? (int)status : -2;
}

void client_explain(const struct buf *answer, int status)
{
	json_t *root = json_read(answer->data, answer->size);
	const char *error = json_text_of(root, "error");

	if (*error)
		cli_fail("%s", error);
	else
		cli_fail("the daemon answers with status %d", status);
	json_decref(root);
}

json_t *client_get(const struct cli *cli, const char *path, bool *ret_printed)
{
	_cleanup_buf_ struct buf answer = {0};
	int status = client_ask(cli, path, NULL, &answer);
	json_t *root;

	*ret_printed = false;
	if (status < 0)
		return NULL;
	if (status != 200) {
		if (!cli->quiet)
			client_explain(&answer, status);
		return NULL;
	}
	root = json_read(answer.data, answer.size);
	if (!root && !cli->quiet) {
		cli_fail("what listens at %s is no haywaind", cli->socket);
	} else if (root && cli->json) {
		fwrite(answer.data, 1, answer.size, stdout);
		*ret_printed = true;
	}
	return root;
}

/* ---- without an end ---- */

static size_t take_lines(char *data, size_t size, size_t n, void *userdata)
{
	struct lines *lines = userdata;
	long status = 0;
	char *newline;

	curl_easy_getinfo(lines->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200)
		return take(data, size, n, &lines->error);
	buf_add(&lines->text, data, size * n);
	while (lines->text.size > 0 && (newline = memchr(lines->text.data, '\n', lines->text.size))) {
		size_t length = (size_t)(newline - lines->text.data) + 1;

		*newline = 0;
		if (!lines->line(lines->text.data, lines->userdata)) {
			lines->ended = true;
			return 0;
		}
		lines->text.size -= length;
		memmove(lines->text.data, lines->text.data + length, lines->text.size);
	}
	return buf_failed(&lines->text) || lines->text.size > ANSWER_MAX ? 0 : size * n;
}

int client_lines(const struct cli *cli, const char *path, const char *body,
		 bool (*line)(const char *text, void *userdata), void *userdata)
{
	struct lines lines = {.curl = client_new(path), .line = line, .userdata = userdata};
	long status = 0, error;

	if (!lines.curl)
		return EXIT_FAILURE;
	curl_easy_setopt(lines.curl, CURLOPT_WRITEFUNCTION, take_lines);
	curl_easy_setopt(lines.curl, CURLOPT_WRITEDATA, &lines);
	if (body) {
		curl_easy_setopt(lines.curl, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(lines.curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
	}

	CURLcode code = perform(cli, lines.curl, body, &error);
	bool good = code == CURLE_OK || lines.ended;

	if (!good)
		explain_curl(cli, code, error, body);
	else
		curl_easy_getinfo(lines.curl, CURLINFO_RESPONSE_CODE, &status);
	if (good && status != 200) {
		client_explain(&lines.error, (int)status);
		good = false;
	}
	curl_easy_cleanup(lines.curl);
	buf_done(&lines.text);
	buf_done(&lines.error);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
