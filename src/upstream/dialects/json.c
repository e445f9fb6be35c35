/* SPDX-License-Identifier: Apache-2.0 */
/* The dialect "json": one object for a sample, retained topics for status and devices. */
#include "base/json.h"
#include "model/device_info.h"
#include "model/sample_json.h"
#include "upstream/dialects/dialect.h"
#include "upstream/dialects/json_command.h"
#include <errno.h>
#include <string.h>

/* The topic of a device number, made when the first sample of it comes by. */
struct device_topic {
	char *text; /* NULL: it cannot be made, or was not yet asked for */
	uint32_t group;
	bool known;
};

struct json_state {
	const struct dialect_context *context;
	struct buf prefix;
	struct device_topic *topics; /* by device number */
	size_t n_topics;
	uint32_t n_groups;
	struct buf scratch;
};

static void json_shut(void *state)
{
	struct json_state *json = state;
	if (!json)
		return;
	for (size_t i = 0; i < json->n_topics; i++)
		free(json->topics[i].text);
	free(json->topics);
	buf_done(&json->prefix);
	buf_done(&json->scratch);
	free(json);
}
DEFINE_CLEANUP(void *, json_shut)

static int json_start(const struct dialect_context *context, const void *conf, void **ret_state)
{
	(void)conf;
	_cleanup_(json_shutp) void *made = calloc(1, sizeof(struct json_state));
	struct json_state *json = made;
	if (!json)
		return -ENOMEM;
	json->context = context;
	int r = dialect_topic(&json->prefix, "{prefix}", context, NULL);
	if (r < 0)
		return r;
	made = NULL;
	*ret_state = json;
	return 0;
}

static void begin_message(const struct json_state *json, struct message *ret, const char *below)
{
	buf_clear(&ret->topic);
	buf_clear(&ret->payload);
	buf_add(&ret->topic, json->prefix.data, json->prefix.size);
	buf_add_text(&ret->topic, below);
	ret->qos = 1;
	ret->retain = false;
}

static int end_message(const struct message *message)
{
	return buf_failed(&message->topic) || buf_failed(&message->payload) ? -ENOMEM : 0;
}

static int send_message(struct message *message, message_sink sink, void *userdata)
{
	int r = end_message(message);
	return r < 0 ? r : sink(userdata, message);
}

static int json_last_words(void *state, struct message *ret)
{
	begin_message(state, ret, "/status");
	ret->retain = true;
	json_open(&ret->payload, '{');
	json_key(&ret->payload, "online");
	json_bool(&ret->payload, false);
	json_close(&ret->payload, '}');
	return end_message(ret);
}

static void add_info(struct buf *out, const struct dialect_device *device)
{
	const struct device_info *info = device->info;
	json_open(out, '{');
	json_key(out, "online");
	json_bool(out, info->online);
	json_key(out, "since");
	json_int(out, device->since_ms);
	if (!info->online && info->reason) {
		json_key(out, "reason");
		json_text(out, info->reason);
	}
	json_key(out, "tags");
	json_open(out, '{');
	for (size_t i = 0; i < info->device->n_tags; i++) {
		json_key(out, info->device->tags[i].name);
		json_text(out, info->device->tags[i].value);
	}
	json_close(out, '}');
	json_key(out, "points");
	json_open(out, '{');
	for (size_t i = 0; i < info->n_points; i++) {
		const struct series *series = info->points[i].series;
		json_key(out, series->point);
		json_open(out, '{');
		json_key(out, "type");
		json_text(out, type_to_string(series->type));
		if (series->unit) {
			json_key(out, "unit");
			json_text(out, series->unit);
		}
		json_key(out, "access");
		json_text(out, info->points[i].writable ? "write" : "read");
		json_close(out, '}');
	}
	json_close(out, '}');
	json_close(out, '}');
}

static int json_device_state(void *state, const struct dialect_device *device, bool removed, message_sink sink,
			     void *userdata)
{
	_cleanup_(message_done) struct message message = {0};
	begin_message(state, &message, "/device/");
	buf_add_text(&message.topic, device->info->device->name);
	message.retain = true;
	if (!removed)
		add_info(&message.payload, device);
	return send_message(&message, sink, userdata);
}

static int json_birth(void *state, const struct dialect_device *devices, size_t n_devices, message_sink sink,
		      void *userdata)
{
	const struct json_state *json = state;
	_cleanup_(message_done) struct message message = {0};
	begin_message(json, &message, "/status");
	message.retain = true;
	json_open(&message.payload, '{');
	json_key(&message.payload, "online");
	json_bool(&message.payload, true);
	json_key(&message.payload, "since");
	json_int(&message.payload, json->context->connected_ms);
	json_key(&message.payload, "version");
	json_text(&message.payload, json->context->version);
	json_close(&message.payload, '}');
	int r = send_message(&message, sink, userdata);
	for (size_t i = 0; i < n_devices && r >= 0; i++)
		r = json_device_state(state, &devices[i], false, sink, userdata);
	return r;
}

/* Devices that share a topic share a group, so that no message overtakes another of its topic. */
static void learn_topic(struct json_state *json, uint32_t number, struct device_topic *topic)
{
	topic->known = true;
	topic->group = json->n_groups++;
	const struct series_device *device = series_device_by_number(json->context->series, number);
	buf_clear(&json->scratch);
	if (!device || dialect_topic(&json->scratch, json->context->topic, json->context, device) < 0)
		return;
	topic->text = strdup(buf_text(&json->scratch));
	if (!topic->text) {
		topic->known = false;
		return;
	}
	for (size_t i = 0; i < json->n_topics; i++) {
		if (&json->topics[i] != topic && json->topics[i].text &&
		    strcmp(json->topics[i].text, topic->text) == 0) {
			topic->group = json->topics[i].group;
			break;
		}
	}
}

static const struct device_topic *topic_of(struct json_state *json, uint32_t number)
{
	if (number >= json->n_topics) {
		/* A number nobody gave out comes from a damaged row: it must not size the table. */
		if (!series_device_by_number(json->context->series, number))
			return NULL;
		size_t n_topics = MAX((size_t)number + 1, 2 * json->n_topics);
		struct device_topic *topics = reallocarray(json->topics, n_topics, sizeof(*topics));
		if (!topics)
			return NULL;
		memset(topics + json->n_topics, 0, (n_topics - json->n_topics) * sizeof(*topics));
		json->topics = topics;
		json->n_topics = n_topics;
	}
	struct device_topic *topic = &json->topics[number];
	if (!topic->known)
		learn_topic(json, number, topic);
	return topic;
}

static uint32_t json_group(void *state, const struct sample *sample)
{
	const struct device_topic *topic = topic_of(state, sample->device);
	return topic ? topic->group : UINT32_MAX;
}

static int json_encode(void *state, const struct stamped_sample *samples, size_t n_samples, struct message *ret)
{
	struct json_state *json = state;
	const struct device_topic *topic = topic_of(json, samples[0].sample->device);
	if (!topic || !topic->text)
		return topic && !topic->known ? -ENOMEM : -EBADMSG;
	buf_clear(&ret->topic);
	buf_clear(&ret->payload);
	buf_add_text(&ret->topic, topic->text);
	ret->qos = json->context->qos;
	ret->retain = false;
	if (json->context->batched)
		json_open(&ret->payload, '[');
	for (size_t i = 0; i < n_samples; i++) {
		int r = json_sample(&ret->payload, &json->scratch, json->context->series, &samples[i]);
		if (r < 0)
			return r;
	}
	if (json->context->batched)
		json_close(&ret->payload, ']');
	return end_message(ret);
}

static int json_event(void *state, const struct dialect_event *event, struct message *ret)
{
	begin_message(state, ret, "/event");
	json_open(&ret->payload, '{');
	json_key(&ret->payload, "ts");
	json_int(&ret->payload, event->ts_ms);
	json_key(&ret->payload, "event");
	json_text(&ret->payload, event->name);
	if (event->fields && event->fields[0]) {
		buf_add_char(&ret->payload, ',');
		buf_add_text(&ret->payload, event->fields);
	}
	json_close(&ret->payload, '}');
	return end_message(ret);
}

static int json_command_filter(void *state, struct buf *ret)
{
	const struct json_state *json = state;
	buf_add(ret, json->prefix.data, json->prefix.size);
	buf_add_text(ret, "/command/+/+");
	return buf_failed(ret) ? -ENOMEM : 0;
}

static int json_parse_command(void *state, const char *topic, const void *payload, size_t size,
			      struct dialect_command *ret, const char **ret_error)
{
	const struct json_state *json = state;
	memset(ret, 0, sizeof(*ret));
	ret->ttl_us = UINT64_MAX;
	const char *below = topic;
	if (strncmp(topic, json->prefix.data, json->prefix.size) == 0)
		below = topic + json->prefix.size;
	int r = json_command_topic(below, ret, ret_error);
	return r < 0 ? r : json_command_payload(payload, size, ret, ret_error);
}

static int json_reply(void *state, const struct dialect_command *command, const struct write_answer *answer,
		      struct message *ret)
{
	begin_message(state, ret, "/reply/");
	buf_add_text(&ret->topic, command->device);
	buf_add_char(&ret->topic, '/');
	buf_add_text(&ret->topic, command->point);
	json_write_answer(&ret->payload, command->id, answer);
	return end_message(ret);
}

const struct dialect dialect_json = {
	.name = "json",
	.open = json_start,
	.close = json_shut,
	.will = json_last_words,
	.birth = json_birth,
	.death = json_last_words,
	.device_state = json_device_state,
	.group = json_group,
	.encode = json_encode,
	.event = json_event,
	.command_filter = json_command_filter,
	.parse_command = json_parse_command,
	.reply = json_reply,
};
