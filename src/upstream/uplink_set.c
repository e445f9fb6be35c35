/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/uplink_set.h"
#include "base/log.h"
#include "model/device_info.h"
#include "upstream/commands.h"
#include <errno.h>
#include <string.h>

/* An uplink that runs, or that ends and may be followed by one of the same name. */
struct running_uplink {
	struct running_uplink *next;
	struct uplink_set *set;
	uint64_t number; /* of uplinks started: what a command came over */
	struct uplink *uplink;
	sd_event_source *ended, *commands;
	bool stopping;
};

struct uplink_set {
	sd_event *event;
	struct queue *queue;
	struct series_set *series;
	struct latest *latest;
	struct uplink_set_hooks hooks;
	char *gateway_id;
	struct running_uplink *first;
	uint64_t n_started;
	struct uplink_conf **pending; /* wait for one of the same name to end */
	size_t n_pending;
	char **wanted; /* the names in the file: also of one that could not be started */
	size_t n_wanted;
	bool stopping;
};

static const char *name_of(const struct running_uplink *running)
{
	return uplink_get_conf(running->uplink)->name;
}

static struct running_uplink *find_running(const struct uplink_set *set, const char *name)
{
	for (struct running_uplink *at = set->first; at; at = at->next)
		if (strcmp(name_of(at), name) == 0)
			return at;
	return NULL;
}

static int uplink_ended(sd_event_source *source, int fd, uint32_t events, void *userdata);

static struct running_uplink *running_free(struct running_uplink *running)
{
	sd_event_source_disable_unref(running->commands);
	sd_event_source_disable_unref(running->ended);
	uplink_free(running->uplink);
	free(running);
	return NULL;
}

/* ---- commands ---- */

void uplink_set_answer(struct uplink_set *set, struct command *command, const struct write_answer *answer)
{
	/* One of the same name that was started meanwhile did not send it. */
	for (struct running_uplink *at = set->first; at; at = at->next)
		if (at->number == command->sender)
			uplink_answer(at->uplink, command, answer);
}

static int take_commands(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_, void *userdata)
{
	struct running_uplink *running = userdata;
	struct uplink_set *set = running->set;
	struct command *command;

	while ((command = uplink_next_command(running->uplink))) {
		command->sender = running->number;
		if (command_set_origin(command, "uplink %s", name_of(running)) < 0)
			uplink_answer(running->uplink, command,
				      &(struct write_answer){.done = WRITE_NOT_DONE, .text = "out of memory"});
		else
			set->hooks.command(command, set->hooks.userdata);
		command_unref(command);
	}
	return 0;
}

/* ---- start and stop ---- */

static void start_uplink(struct uplink_set *set, struct uplink_conf *conf)
{
	struct running_uplink *running = calloc(1, sizeof(*running)), **end = &set->first;
	_cleanup_free_ char *name = strdup(conf->name);
	struct log_subject subject = {.uplink = name};
	int r = running && name ? 0 : -ENOMEM;

	if (running) {
		running->set = set;
		running->number = ++set->n_started;
	}
	if (r < 0)
		uplink_conf_free(conf);
	else
		r = uplink_new(conf, set->gateway_id, HAYWAIN_VERSION, set->queue, set->series, set->latest,
			       &running->uplink);
	if (r >= 0)
		r = sd_event_add_io(set->event, &running->ended, uplink_fd(running->uplink), EPOLLIN, uplink_ended,
				    running);
	if (r >= 0)
		r = sd_event_add_io(set->event, &running->commands, uplink_commands_fd(running->uplink), EPOLLIN,
				    take_commands, running);
	if (r >= 0)
		r = uplink_start(running->uplink);
	if (r < 0) {
		log_about(&subject, HAY_LOG_ERROR,
			  "cannot be started: %s; disabled until the next reload, its position in the queue is kept",
			  strerror(-r));
		if (running)
			running_free(running);
		return;
	}
	while (*end)
		end = &(*end)->next;
	*end = running;
}

static void start_pending(struct uplink_set *set)
{
	size_t left = 0;

	for (size_t i = 0; i < set->n_pending; i++) {
		if (find_running(set, set->pending[i]->name)) {
			set->pending[left++] = set->pending[i];
			continue;
		}
		start_uplink(set, set->pending[i]);
	}
	if (left < set->n_pending)
		set->hooks.started(set->hooks.userdata);
	set->n_pending = left;
}

/* An uplink that is no longer wanted gives up its place in the queue, once it has ended. */
static int keep_readers(struct uplink_set *set)
{
	size_t n = set->n_wanted, i = 0;

	for (struct running_uplink *at = set->first; at; at = at->next)
		n++;

	_cleanup_free_ const char **names = calloc(MAX(n, (size_t)1), sizeof(*names));

	if (!names)
		return -ENOMEM;
	for (struct running_uplink *at = set->first; at; at = at->next)
		names[i++] = name_of(at);
	for (size_t j = 0; j < set->n_wanted; j++)
		names[i++] = set->wanted[j];
	queue_keep_readers(set->queue, names, n);
	return 0;
}

static int uplink_ended(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_, void *userdata)
{
	struct running_uplink *running = userdata;
	struct uplink_set *set = running->set;

	if (!uplink_stopped(running->uplink))
		return 0;
	for (struct running_uplink **at = &set->first; *at; at = &(*at)->next)
		if (*at == running) {
			*at = running->next;
			break;
		}
	running_free(running);
	if (set->stopping) {
		if (!set->first)
			set->hooks.stopped(set->hooks.userdata);
		return 0;
	}
	if (keep_readers(set) < 0)
		log_error("out of memory: the position of a removed uplink in the queue is kept");
	start_pending(set);
	return 0;
}

static void drop_pending(struct uplink_set *set)
{
	for (size_t i = 0; i < set->n_pending; i++)
		uplink_conf_free(set->pending[i]);
	set->n_pending = 0;
}

static void drop_names(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

static char **copy_names(struct uplink_conf *const *confs, size_t n)
{
	char **names = calloc(MAX(n, (size_t)1), sizeof(*names));

	for (size_t i = 0; names && i < n; i++) {
		names[i] = strdup(confs[i]->name);
		if (!names[i]) {
			drop_names(names, i);
			return NULL;
		}
	}
	return names;
}

static void stop_uplink(struct running_uplink *running, bool withdraw)
{
	if (running->stopping)
		return;
	running->stopping = true;
	if (withdraw)
		uplink_withdraw(running->uplink);
	else
		uplink_stop(running->uplink);
}

int uplink_set_apply(struct uplink_set *set, struct uplink_conf **confs, size_t n_confs, const char *gateway_id)
{
	bool id_changed = !set->gateway_id || strcmp(set->gateway_id, gateway_id) != 0;
	char **names = copy_names(confs, n_confs);
	struct uplink_conf **pending = reallocarray(set->pending, MAX(n_confs, (size_t)1), sizeof(*pending));
	char *id = strdup(gateway_id);

	if (pending)
		set->pending = pending;
	if (!names || !pending || !id) {
		if (names)
			drop_names(names, n_confs);
		free(id);
		return -ENOMEM;
	}
	free(set->gateway_id);
	set->gateway_id = id;
	drop_pending(set);
	drop_names(set->wanted, set->n_wanted);
	set->wanted = names;
	set->n_wanted = n_confs;

	for (struct running_uplink *at = set->first; at; at = at->next) {
		const struct uplink_conf *was = uplink_get_conf(at->uplink);
		bool stays = false, moves = false;

		for (size_t i = 0; i < n_confs; i++) {
			if (strcmp(names[i], was->name) != 0)
				continue;
			stays = !id_changed && confs[i]->digest == was->digest;
			moves = strcmp(confs[i]->prefix, was->prefix) != 0 ||
				(id_changed && strstr(was->prefix, "{gateway}"));
		}
		if (!stays)
			stop_uplink(at, moves);
	}
	for (size_t i = 0; i < n_confs; i++) {
		struct running_uplink *there = find_running(set, names[i]);

		if (there && !there->stopping)
			continue;
		pending[set->n_pending++] = confs[i];
		confs[i] = NULL;
	}
	if (keep_readers(set) < 0)
		return -ENOMEM;
	start_pending(set);
	return 0;
}

void uplink_set_stop(struct uplink_set *set)
{
	set->stopping = true;
	drop_pending(set);
	for (struct running_uplink *at = set->first; at; at = at->next)
		stop_uplink(at, false);
}

bool uplink_set_empty(const struct uplink_set *set)
{
	return !set->first;
}

void uplink_set_network_changed(struct uplink_set *set)
{
	struct uplink *uplink;

	for (size_t i = 0; (uplink = uplink_set_get(set, i)); i++)
		uplink_try_now(uplink);
}

struct uplink *uplink_set_get(const struct uplink_set *set, size_t i)
{
	struct running_uplink *at = set->first;

	while (at && i-- > 0)
		at = at->next;
	return at ? at->uplink : NULL;
}

void uplink_set_device(struct uplink_set *set, struct device_info *info)
{
	for (struct running_uplink *at = set->first; at; at = at->next)
		if (!at->stopping)
			uplink_device(at->uplink, info);
}

void uplink_set_device_removed(struct uplink_set *set, const char *device)
{
	for (struct running_uplink *at = set->first; at; at = at->next)
		if (!at->stopping)
			uplink_device_removed(at->uplink, device);
}

void uplink_set_device_gone(struct uplink_set *set, struct device_info *info)
{
	for (struct running_uplink *at = set->first; at; at = at->next)
		if (!at->stopping)
			uplink_device_gone(at->uplink, info);
}

int uplink_set_new(sd_event *event, struct queue *queue, struct series_set *series, struct latest *latest,
		   const struct uplink_set_hooks *hooks, struct uplink_set **ret)
{
	struct uplink_set *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	set->event = sd_event_ref(event);
	set->queue = queue;
	set->series = series;
	set->latest = latest;
	set->hooks = *hooks;
	*ret = set;
	return 0;
}

struct uplink_set *uplink_set_free(struct uplink_set *set)
{
	if (!set)
		return NULL;
	drop_pending(set);
	drop_names(set->wanted, set->n_wanted);
	free(set->pending);
	free(set->gateway_id);
	sd_event_unref(set->event);
	free(set);
	return NULL;
}
