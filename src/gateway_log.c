/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway_log.h"
#include "base/json.h"
#include "base/log.h"
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* ---- configuration ---- */

void log_messages(const struct conf_messages *messages)
{
	for (const struct conf_message *at = messages->first; at; at = at->next) {
		enum hay_log_level level = at->warning ? HAY_LOG_WARNING : HAY_LOG_ERROR;

		if (at->line > 0)
			log_about(NULL, level, "%s:%u: %s", at->file, at->line, at->text);
		else
			log_about(NULL, level, "%s: %s", at->file, at->text);
	}
}

/* Whether what is bad in the new file runs in an older form. */
static bool still_runs(const struct field *field, const struct config_bad *bad)
{
	switch (bad->kind) {
	case CONFIG_BAD_LINK:
		return field_runs_link(field, bad->name);
	case CONFIG_BAD_DEVICE:
		return field_runs_device(field, bad->name);
	case CONFIG_BAD_FILE:
		return field_runs_file(field, bad->name);
	}
	return false;
}

/* What becomes of a bad part of the new file; it follows the name of the file, link or device. */
static const char *bad_consequence(const struct field *field, const struct config_bad *bad)
{
	bool keeps = field && still_runs(field, bad);

	if (bad->kind == CONFIG_BAD_FILE)
		return keeps ? ": has errors; everything from it stays as it was"
			     : ": has errors and is ignored until they are fixed";
	return keeps ? "has errors and stays as it was" : "has errors and is disabled until they are fixed";
}

void log_bad_config(const struct config *config, const struct field *field)
{
	for (size_t i = 0; i < config->n_bad; i++) {
		const struct config_bad *bad = &config->bad[i];
		struct log_subject subject = {.link = bad->kind == CONFIG_BAD_LINK ? bad->name : NULL,
					      .device = bad->kind == CONFIG_BAD_DEVICE ? bad->name : NULL};

		log_about(&subject, HAY_LOG_WARNING, "%s%s; the rest keeps running",
			  bad->kind == CONFIG_BAD_FILE ? bad->name : "", bad_consequence(field, bad));
	}
}

static void log_socket_needs_restart(const char *key, const char *what, const char *now, const char *asked)
{
	if (text_same(now, asked))
		return;
	if (asked[0])
		log_warning("%s changed; restart to apply it (still using %s)", key, asked);
	else
		log_warning("%s changed; restart to apply it (the %s is still off)", key, what);
}

void log_restart_needed(const struct config *config, const char *queue_path_asked, const char *const sockets_asked[2],
			const struct queue *queue)
{
	if (!text_same(config->queue.path, queue_path_asked))
		log_warning("queue.path changed; restart to apply it (still using %s)", queue_path(queue));
	log_socket_needs_restart("api.socket", "local API", config->api_socket, sockets_asked[0]);
	log_socket_needs_restart("api.read_socket", "read-only local API", config->api_read_socket, sockets_asked[1]);
}

void reload_json(struct buf *out, const struct conf_messages *messages, const struct field_changes *changes,
		 const char *summary)
{
	json_open(out, '{');
	json_key(out, changes ? "ok" : "error");
	if (changes)
		json_bool(out, true);
	else
		json_text(out, "the configuration is not applied: the running one stays in use");
	if (changes) {
		json_key(out, "started");
		json_uint(out, changes->started);
		json_key(out, "stopped");
		json_uint(out, changes->stopped);
		json_key(out, "kept");
		json_uint(out, changes->kept);
		json_key(out, "summary");
		json_text(out, summary);
	}
	json_key(out, "messages");
	json_open(out, '[');
	for (const struct conf_message *at = messages->first; at; at = at->next) {
		json_open(out, '{');
		json_key(out, "file");
		json_text(out, at->file);
		if (at->line > 0) {
			json_key(out, "line");
			json_uint(out, at->line);
		}
		json_key(out, "warning");
		json_bool(out, at->warning);
		json_key(out, "text");
		json_text(out, at->text);
		json_close(out, '}');
	}
	json_close(out, ']');
	json_close(out, '}');
}

/* ---- the queue ---- */

void log_queue_mode(const struct queue *queue)
{
	struct stat st;

	if (stat(queue_path(queue), &st) == 0 && st.st_mode & 07)
		log_warning("every user of this machine may %s the queue %s (mode %04o); chmod 0640 fixes it",
			    st.st_mode & 02 ? "write" : "read", queue_path(queue), st.st_mode & 07777);
}

static uint64_t count_waiting(struct queue *queue)
{
	struct queue_status status;

	queue_get_status(queue, &status);
	return status.tail_samples + status.disk_samples;
}

void log_leaving(struct queue *queue)
{
	uint64_t waiting = count_waiting(queue);

	if (waiting > 0)
		log_info("stopping: %" PRIu64
			 " sample%s in the queue; those that the uplinks do not get now are written to disk",
			 waiting, waiting == 1 ? "" : "s");
	else
		log_info("stopping: the queue is empty");
}

void log_left(struct queue *queue, bool flushed, uint64_t lost)
{
	struct queue_status status;

	queue_get_status(queue, &status);

	uint64_t waiting = status.tail_samples + status.disk_samples;

	/* Either the disk refused them, or it took too long. */
	if (!flushed)
		lost = MAX(lost, status.tail_samples);
	if (lost > 0)
		log_error("stopped: %" PRIu64 " samples could not be written to %s in time and are lost", lost,
			  queue_path(queue));
	else if (waiting > 0)
		log_info("stopped: %" PRIu64 " sample%s in %s, safe on disk, sent after the next start", waiting,
			 waiting == 1 ? "" : "s", queue_path(queue));
	else
		log_info("stopped: the queue is empty");
}
