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
	struct message message; /* its memory is used again and again */
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
	message_done(&json->message);
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

static struct message *begin_message(struct json_state *json, const char *below)
{
	struct message *message = &json->message;
	message_clear(message);
	buf_add(&message->topic, json->prefix.data, json->prefix.size);
	buf_add_text(&message->topic, below);
	return message;
}

static int send_message(struct message *message, message_sink sink, void *userdata)
{
	if (buf_failed(&message->topic) || buf_failed(&message->payload))
		return -ENOMEM;
	return sink(userdata, message);
}

static int json_death(void *state, message_sink sink, void *userdata)
{
	struct message *message = begin_message(state, "/status");
	message->retain = true;
	json_open(&message->payload, '{');
	json_key(&message->payload, "online");
	json_bool(&message->payload, false);
	json_close(&message->payload, '}');
	return send_message(message, sink, userdata);
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

static struct message *begin_device(struct json_state *json, const struct dialect_device *device)
{
	struct message *message = begin_message(json, "/device/");
	buf_add_text(&message->topic, device->info->device->name);
	message->retain = true;
	return message;
}

static int json_device(void *state, const struct dialect_device *device, message_sink sink, void *userdata)
{
	struct message *message = begin_device(state, device);
	add_info(&message->payload, device);
	return send_message(message, sink, userdata);
}

static int json_gone(void *state, const struct dialect_device *device, message_sink sink, void *userdata)
{
	return send_message(begin_device(state, device), sink, userdata);
}

static int json_birth(void *state, const struct dialect_device *devices, size_t n_devices, message_sink sink,
		      void *userdata)
{
	struct json_state *json = state;
	struct message *message = begin_message(json, "/status");
	message->retain = true;
	json_open(&message->payload, '{');
	json_key(&message->payload, "online");
	json_bool(&message->payload, true);
	json_key(&message->payload, "since");
	json_int(&message->payload, json->context->connected_ms);
	json_key(&message->payload, "version");
	json_text(&message->payload, json->context->version);
	json_close(&message->payload, '}');
	int r = send_message(message, sink, userdata);
	for (size_t i = 0; i < n_devices && r >= 0; i++)
		r = json_device(state, &devices[i], sink, userdata);
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

static int json_topic(void *state, const struct sample *sample, struct buf *ret)
{
	const struct device_topic *topic = topic_of(state, sample->device);
	if (!topic || !topic->text)
		return topic && !topic->known ? -ENOMEM : -EBADMSG;
	buf_add_text(ret, topic->text);
	return buf_failed(ret) ? -ENOMEM : 0;
}

static int json_encode(void *state, const struct stamped_sample *samples, size_t n_samples, message_sink sink,
		       void *userdata)
{
	struct json_state *json = state;
	struct message *message = &json->message;
	message_clear(message);
	int r = json_topic(state, samples[0].sample, &message->topic);
	if (r < 0)
		return r;
	message->qos = json->context->qos;
	if (json->context->batched)
		json_open(&message->payload, '[');
	for (size_t i = 0; i < n_samples; i++) {
		r = json_sample(&message->payload, &json->scratch, json->context->series, &samples[i]);
		if (r < 0)
			return r;
	}
	if (json->context->batched)
		json_close(&message->payload, ']');
	return send_message(message, sink, userdata);
}

static void add_field(struct buf *out, const struct event_field *field)
{
	json_key(out, field->name);
	if (field->value.type == HAY_BOOL)
		json_bool(out, field->value.b);
	else if (field->value.type == HAY_UINT64)
		json_uint(out, field->value.u);
	else
		json_text(out, field->value.s.data);
}

static int json_event(void *state, const struct dialect_event *event, message_sink sink, void *userdata)
{
	struct message *message = begin_message(state, "/event");
	json_open(&message->payload, '{');
	json_key(&message->payload, "ts");
	json_int(&message->payload, event->ts_ms);
	json_key(&message->payload, "event");
	json_text(&message->payload, event->name);
	for (const struct event_field *field = event->fields; field->name; field++)
		add_field(&message->payload, field);
	json_close(&message->payload, '}');
	return send_message(message, sink, userdata);
}

static int json_subscriptions(void *state, bool commands, filter_sink sink, void *userdata)
{
	struct json_state *json = state;
	if (!commands)
		return 0;
	buf_clear(&json->scratch);
	buf_add(&json->scratch, json->prefix.data, json->prefix.size);
	buf_add_text(&json->scratch, "/command/+/+");
	return buf_failed(&json->scratch) ? -ENOMEM : sink(userdata, buf_text(&json->scratch));
}

static int json_receive(void *state, const struct dialect_incoming *incoming, const struct dialect_actions *actions,
			void *userdata)
{
	const struct json_state *json = state;
	const char *below = incoming->topic, *error = "out of memory";
	/* A retained command is one from the past. */
	if (incoming->retain)
		return 0;
	_cleanup_(command_unrefp) struct command *command = command_new();
	if (!command)
		return -ENOMEM;
	if (strncmp(below, json->prefix.data, json->prefix.size) == 0)
		below += json->prefix.size;
	int r = json_command_topic(below, command, &error);
	if (r >= 0)
		r = json_command_payload(incoming->payload, incoming->size, command, &error);
	actions->command(userdata, command, r < 0 ? error : NULL);
	return 0;
}

static int json_reply(void *state, const struct command *command, message_sink sink, void *userdata)
{
	struct message *message = begin_message(state, "/reply/");
	buf_add_text(&message->topic, command->device);
	buf_add_char(&message->topic, '/');
	buf_add_text(&message->topic, command->point);
	json_write_answer(&message->payload, command->id, &command->answer);
	return send_message(message, sink, userdata);
}

const struct dialect dialect_json = {
	.name = "json",
	.open = json_start,
	.close = json_shut,
	.subscriptions = json_subscriptions,
	.receive = json_receive,
	.will = json_death,
	.birth = json_birth,
	.device = json_device,
	.gone = json_gone,
	.death = json_death,
	.group = json_group,
	.topic = json_topic,
	.encode = json_encode,
	.event = json_event,
	.reply = json_reply,
};
