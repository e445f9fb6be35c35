/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"
#include "base/buf.h"
#include "config.h"
#include "field/plugin_load.h"
#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#define SERVICE_USER "haywain"
#define SERVICE_CONFIG HAYWAIN_SYSCONF_DIR "/haywain.conf"

/* Root may read everything, the service may not: what is green for root would be refused to the service. */
static int become_user(const char *user, struct conf_service *ret)
{
	const struct passwd *account;
	const struct group *group;

	errno = 0;
	account = getpwnam(user);
	group = account ? getgrgid(account->pw_gid) : NULL;
	if (!account || !group)
		return errno > 0 ? -errno : -ESRCH;
	ret->user = strdup(user);
	ret->group = strdup(group->gr_name);
	if (!ret->user || !ret->group)
		return -ENOMEM;
	if (initgroups(user, account->pw_gid) < 0 || setgid(account->pw_gid) < 0 || setuid(account->pw_uid) < 0)
		return -errno;
	return 0;
}

/* 1: with those of *ret; 0: with ours; -errno: `user` was asked for, and it cannot be. */
static int take_rights(const char *path, const char *user, struct conf_service *ret)
{
	int r;

	if (!user && (geteuid() != 0 || !is_same_file(path, SERVICE_CONFIG)))
		return 0;
	r = become_user(user ? user : SERVICE_USER, ret);
	if (r == 0)
		return 1;
	fprintf(stderr, "haywaind: not checked what the service can read: user %s: %s\n", user ? user : SERVICE_USER,
		r == -ESRCH ? "there is no such user" : strerror(-r));
	return user ? r : 0;
}

int check_become_service(const char *path)
{
	struct conf_service service = {0};
	int r = take_rights(path, NULL, &service);

	free(service.user);
	free(service.group);
	return r;
}

/* systemd makes the default folder at each start; another one is the owner's business. */
static void check_queue_of_service(const struct config *config, const char *path, struct conf_messages *messages)
{
	const char *user = messages->service->user, *group = messages->service->group, *file = config->queue.path;
	_cleanup_free_ char *copy = file ? strdup(file) : NULL;
	const char *folder = copy ? dirname(copy) : NULL;

	if (!folder)
		return;
	if (access(folder, F_OK) < 0 && errno == ENOENT)
		conf_error(messages, path, 0, "queue.path: there is no folder %s: install -d -o %s -g %s -m 750 %s",
			   folder, user, group, folder);
	else if (access(folder, W_OK | X_OK) < 0)
		conf_error(messages, path, 0,
			   "queue.path: the service runs as %s and may not write to %s: chown %s:%s %s && chmod 750 %s",
			   user, folder, user, group, folder, folder);
	else if (access(file, R_OK | W_OK) < 0 && errno != ENOENT)
		conf_error(messages, path, 0,
			   "queue.path: the service runs as %s and may not write to %s: chown %s:%s %s*", user, file,
			   user, group, file);
}

/* For whom it is started nobody knows: only what nobody could do is said. */
static void check_queue(const struct config *config, const char *path, struct conf_messages *messages)
{
	_cleanup_free_ char *copy = config->queue.path ? strdup(config->queue.path) : NULL;
	const char *folder = copy ? dirname(copy) : NULL;

	if (folder && access(folder, F_OK) < 0 && errno == ENOENT)
		conf_warning(messages, path, 0, "queue.path: there is no folder %s yet", folder);
}

int check_config(const char *path, const char *user)
{
	struct conf_messages messages = {0};
	struct conf_service service = {0};
	struct config *config = NULL;
	struct plugin_set *plugins;
	bool good = false;
	int r;

	r = take_rights(path, user, &service);
	messages.service = r > 0 ? &service : NULL;
	plugins = r >= 0 ? plugin_set_new(NULL) : NULL;
	if (r < 0)
		goto end;
	r = plugins ? config_load(path, plugins, &messages, &config) : -ENOMEM;
	if (r >= 0 && messages.service)
		check_queue_of_service(config, path, &messages);
	else if (r >= 0)
		check_queue(config, path, &messages);
	good = r >= 0 && messages.n_errors == 0;
	conf_messages_print(&messages);
	if (good)
		printf("%s is good: %zu uplink%s, %zu link%s, %zu device%s\n", path, config->n_uplinks,
		       config->n_uplinks == 1 ? "" : "s", config->n_links, config->n_links == 1 ? "" : "s",
		       config->n_devices, config->n_devices == 1 ? "" : "s");
	else if (geteuid() != 0 && !messages.service && access(path, R_OK) < 0 && errno == EACCES)
		fputs("haywaind: run it with sudo to check with the permissions of the service\n", stderr);
end:
	conf_messages_done(&messages);
	free(service.user);
	free(service.group);
	config_free(config);
	plugin_set_free(plugins);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
