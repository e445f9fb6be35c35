/* SPDX-License-Identifier: Apache-2.0 */
#include "double_dialect.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct double_conf {
	uint64_t login_life_us;
};

static const struct hay_option options[] = {
	{"login_life", HAY_OPT_DURATION, offsetof(struct double_conf, login_life_us), "2s", 1, INT64_MAX,
	 .help = "how long a login is good for"},
	{0},
};

struct double_state {
	const struct dialect_context *context;
	const struct double_conf *conf;
	bool acked;
	uint64_t seq;	/* the last one spent */
	uint64_t calls; /* of encode() */
	struct buf prefix;
	struct buf filter;
	struct message message;
};

static void double_close(void *state)
{
	struct double_state *own = state;
	buf_done(&own->prefix);
	buf_done(&own->filter);
	message_done(&own->message);
	free(own);
}

static int open_as(const struct dialect_context *context, const void *conf, bool acked, void **ret_state)
{
	struct double_state *own = calloc(1, sizeof(*own));
	if (!own)
		return -ENOMEM;
	own->context = context;
	own->conf = conf;
	own->acked = acked;
	int r = dialect_topic(&own->prefix, "{prefix}", context, NULL);
	if (r < 0) {
		double_close(own);
		return r;
	}
	*ret_state = own;
	return 0;
}

static int double_open(const struct dialect_context *context, const void *conf, void **ret_state)
{
	return open_as(context, conf, false, ret_state);
}

static int double_acked_open(const struct dialect_context *context, const void *conf, void **ret_state)
{
	return open_as(context, conf, true, ret_state);
}

/* A login for each connection: u1, u2, … */
static int double_credentials(void *state, int64_t now_ms, struct credentials *ret)
{
	struct double_state *own = state;
	int64_t life_ms = (int64_t)(own->conf->login_life_us / 1000);
	if (asprintf(&ret->username, "u%" PRIu64, own->context->connection) < 0) {
		ret->username = NULL;
		return -ENOMEM;
	}
	ret->expires_ms = now_ms + life_ms;
	return 0;
}

/* ---- messages ---- */

static struct message *begin(struct double_state *own, const char *below, const char *device)
{
	struct message *message = &own->message;
	message_clear(message);
	buf_add(&message->topic, own->prefix.data, own->prefix.size);
	buf_printf(&message->topic, "/%s%s%s", below, device ? "/" : "", device ? device : "");
	buf_printf(&message->payload, "conn=%d.%" PRIu64, (int)getpid(), own->context->connection);
	return message;
}

static int send_message(struct message *message, message_sink sink, void *userdata)
{
	if (buf_failed(&message->topic) || buf_failed(&message->payload))
		return -ENOMEM;
	return sink(userdata, message);
}

static void number(struct double_state *own, struct message *message)
{
	buf_printf(&message->payload, " seq=%" PRIu64, own->seq + 1);
}

/* The number is spent only if the sink takes it. */
static int send_numbered(struct double_state *own, message_sink sink, void *userdata)
{
	int r = send_message(&own->message, sink, userdata);
	own->seq += r >= 0;
	return r;
}

static int double_will(void *state, message_sink sink, void *userdata)
{
	return send_message(begin(state, "death", NULL), sink, userdata);
}

static int double_death(void *state, message_sink sink, void *userdata)
{
	number(state, begin(state, "death", NULL));
	return send_numbered(state, sink, userdata);
}

static int add_newest(struct double_state *own, const char *device)
{
	_cleanup_latest_snapshot_ struct latest_snapshot snapshot = {0};
	int r = own->context->latest ? latest_copy(own->context->latest, device, &snapshot) : 0;
	for (size_t i = 0; r >= 0 && i < snapshot.n_readings; i++)
		buf_printf(&own->message.payload, " n=%" PRId64, snapshot.readings[i].reading.value.i);
	return r;
}

static int device_birth(struct double_state *own, const struct dialect_device *device, message_sink sink,
			void *userdata)
{
	const char *name = device->info->device->name;
	begin(own, "birth", name)->barrier = BARRIER_SENT;
	number(own, &own->message);
	int r = add_newest(own, name);
	return r < 0 ? r : send_numbered(own, sink, userdata);
}

static int double_birth(void *state, const struct dialect_device *devices, size_t n_devices, message_sink sink,
			void *userdata)
{
	begin(state, "birth", NULL)->barrier = BARRIER_ACKED;
	number(state, &((struct double_state *)state)->message);
	int r = send_numbered(state, sink, userdata);
	for (size_t i = 0; i < n_devices && r >= 0; i++)
		r = device_birth(state, &devices[i], sink, userdata);
	return r;
}

static int device_message(struct double_state *own, const struct dialect_device *device, const char *how,
			  message_sink sink, void *userdata)
{
	begin(own, "device", device->info->device->name)->barrier = BARRIER_SENT;
	number(own, &own->message);
	buf_printf(&own->message.payload, " how=%s", how);
	return send_numbered(own, sink, userdata);
}

static int double_device(void *state, const struct dialect_device *device, message_sink sink, void *userdata)
{
	return device_message(state, device, device->info->online ? "online" : "offline", sink, userdata);
}

static int double_gone(void *state, const struct dialect_device *device, message_sink sink, void *userdata)
{
	return device_message(state, device, "gone", sink, userdata);
}

static int double_event(void *state, const struct dialect_event *event, message_sink sink, void *userdata)
{
	struct message *message = begin(state, "event", NULL);
	buf_printf(&message->payload, " event=%s", event->name);
	for (const struct event_field *field = event->fields; field->name; field++)
		if (field->value.type == HAY_UINT64)
			buf_printf(&message->payload, " %s=%" PRIu64, field->name, field->value.u);
	return send_message(message, sink, userdata);
}

/* ---- samples ---- */

static const char *name_of(const struct double_state *own, const struct sample *sample)
{
	const struct series_device *device = series_device_by_number(own->context->series, sample->device);
	return device ? device->name : NULL;
}

static uint32_t double_group(void *state, const struct sample *sample)
{
	(void)state;
	return sample->device;
}

static int double_topic(void *state, const struct sample *sample, struct buf *ret)
{
	const struct double_state *own = state;
	const char *device = name_of(own, sample);
	if (!device)
		return -EBADMSG;
	buf_add(ret, own->prefix.data, own->prefix.size);
	buf_printf(ret, "/data/%s", device);
	return buf_failed(ret) ? -ENOMEM : 0;
}

static int value_of(const struct sample *sample, int64_t *ret)
{
	struct sample_cursor cursor;
	struct sample_reading reading;
	if (sample_begin(sample, &cursor) < 0 || sample_next(&cursor, &reading) != 1 || reading.value.type != HAY_INT64)
		return -EBADMSG;
	*ret = reading.value.i;
	return 0;
}

static int encode_sample(struct double_state *own, const struct sample *sample, message_sink sink, void *userdata)
{
	const char *device = name_of(own, sample);
	int64_t value;
	int r = device ? value_of(sample, &value) : -EBADMSG;
	for (unsigned part = 1; part <= DOUBLE_PARTS && r >= 0; part++) {
		struct message *message = begin(own, "data", device);
		buf_printf(&message->topic, "/%u", part);
		message->qos = own->acked;
		number(own, message);
		buf_printf(&message->payload, " call=%" PRIu64 " n=%" PRId64 " part=%u", own->calls, value, part);
		r = send_numbered(own, sink, userdata);
	}
	return r;
}

static int double_encode(void *state, const struct stamped_sample *samples, size_t n_samples, message_sink sink,
			 void *userdata)
{
	struct double_state *own = state;
	uint64_t before = own->seq;
	int r = 0;
	own->calls++;
	for (size_t i = 0; i < n_samples && r >= 0; i++)
		r = encode_sample(own, samples[i].sample, sink, userdata);
	/* Nothing of it leaves then, the first packets neither. */
	if (r < 0)
		own->seq = before;
	return r;
}

/* ---- what is asked of it ---- */

static int add_filter(struct double_state *own, const char *below, filter_sink sink, void *userdata)
{
	buf_clear(&own->filter);
	buf_add(&own->filter, own->prefix.data, own->prefix.size);
	buf_add_text(&own->filter, below);
	return buf_failed(&own->filter) ? -ENOMEM : sink(userdata, buf_text(&own->filter));
}

static int double_subscriptions(void *state, bool commands, filter_sink sink, void *userdata)
{
	(void)commands;
	int r = add_filter(state, "/ask/#", sink, userdata);
	return r < 0 ? r : add_filter(state, "/state", sink, userdata);
}

static bool holds(const struct dialect_incoming *incoming, const char *text)
{
	return incoming->size == strlen(text) && memcmp(incoming->payload, text, incoming->size) == 0;
}

static int double_receive(void *state, const struct dialect_incoming *incoming, const struct dialect_actions *actions,
			  void *userdata)
{
	const struct double_state *own = state;
	const char *below = incoming->topic;
	if (strncmp(below, own->prefix.data, own->prefix.size) != 0)
		return 0;
	below += own->prefix.size;
	if (strcmp(below, "/ask/birth") == 0)
		actions->birth_again(userdata);
	else if (strcmp(below, "/ask/renewal") == 0)
		actions->reconnect(userdata, "asked to");
	else if (strcmp(below, "/state") == 0 && holds(incoming, "hold"))
		actions->hold(userdata);
	else if (strcmp(below, "/state") == 0 && holds(incoming, "go"))
		actions->go_on(userdata);
	return 0;
}

#define DOUBLE_FUNCTIONS                                                                                               \
	.options = {.table = options, .size = sizeof(struct double_conf)}, .close = double_close,                      \
	.credentials = double_credentials, .subscriptions = double_subscriptions, .receive = double_receive,           \
	.will = double_will, .birth = double_birth, .device = double_device, .gone = double_gone,                      \
	.death = double_death, .group = double_group, .topic = double_topic, .encode = double_encode,                  \
	.event = double_event

const struct dialect dialect_double = {
	.name = "double",
	.flags = DIALECT_PROVES,
	.open = double_open,
	DOUBLE_FUNCTIONS,
};

const struct dialect dialect_double_acked = {
	.name = "double-acked",
	.open = double_acked_open,
	DOUBLE_FUNCTIONS,
};
