/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of dialects, and topic templates, which all of them share. */
#include "upstream/dialects/dialect.h"
#include "base/conf.h"
#include <errno.h>
#include <string.h>

static const struct dialect *dialects[4] = {&dialect_json};

const struct dialect *dialect_by_name(const char *name)
{
	for (size_t i = 0; i < ELEMENTS(dialects) && dialects[i]; i++) {
		if (strcmp(dialects[i]->name, name) == 0)
			return dialects[i];
	}
	return NULL;
}

void dialect_register(const struct dialect *dialect)
{
	for (size_t i = 0; i < ELEMENTS(dialects); i++) {
		if (dialects[i])
			continue;
		dialects[i] = dialect;
		return;
	}
}

void message_done(struct message *message)
{
	buf_done(&message->topic);
	buf_done(&message->payload);
}

void message_clear(struct message *message)
{
	buf_clear(&message->topic);
	buf_clear(&message->payload);
	message->qos = 1;
	message->retain = false;
	message->barrier = BARRIER_NONE;
}

/* MQTT 5, section 3.3: the topic's length, the packet's number, no properties; before it all, type and length. */
size_t message_size(const struct message *message)
{
	size_t size = 2 + message->topic.size + (message->qos > 0 ? 2 : 0) + 1 + message->payload.size;
	return 1 + (size < 128 ? 1 : size < 16384 ? 2 : size < 2097152 ? 3 : 4) + size;
}

void credentials_done(struct credentials *credentials)
{
	free(credentials->client_id);
	free(credentials->username);
	if (credentials->password)
		explicit_bzero(credentials->password, strlen(credentials->password));
	free(credentials->password);
	*credentials = (struct credentials){0};
}

static bool name_is(const char *word, size_t size, const char *text)
{
	return strlen(text) == size && memcmp(word, text, size) == 0;
}

static int add_value(struct buf *out, const char *word, size_t size, const struct dialect_context *context,
		     const struct series_device *device)
{
	if (name_is(word, size, "gateway")) {
		buf_add_text(out, context->gateway);
		return 0;
	}
	if (!device)
		return -ENOENT;
	if (name_is(word, size, "device")) {
		buf_add_text(out, device->name);
		return 0;
	}
	if (name_is(word, size, "link")) {
		buf_add_text(out, device->link);
		return 0;
	}
	for (size_t i = 0; i < device->n_tags; i++) {
		if (!name_is(word, size, device->tags[i].name))
			continue;
		if (!conf_is_name(device->tags[i].value))
			return -ENOENT;
		buf_add_text(out, device->tags[i].value);
		return 0;
	}
	return -ENOENT;
}

/* {prefix} is a template too; it is filled one level deep, so that it cannot name itself. */
static int fill_template(struct buf *out, const char *topic, const struct dialect_context *context,
			 const struct series_device *device, bool prefix_known)
{
	for (const char *at = topic;;) {
		const char *open = strchr(at, '{');
		if (!open) {
			buf_add_text(out, at);
			break;
		}
		const char *close = strchr(open, '}');
		if (!close)
			return -ENOENT;
		buf_add(out, at, (size_t)(open - at));
		size_t size = (size_t)(close - open - 1);
		int r;
		if (prefix_known && name_is(open + 1, size, "prefix"))
			r = fill_template(out, context->prefix, context, device, false);
		else
			r = add_value(out, open + 1, size, context, device);
		if (r < 0)
			return r;
		at = close + 1;
	}
	return buf_failed(out) ? -ENOMEM : 0;
}

int dialect_topic(struct buf *out, const char *topic, const struct dialect_context *context,
		  const struct series_device *device)
{
	return fill_template(out, topic, context, device, true);
}

const char *dialect_check_topic(struct pool *pool, const char *topic)
{
	if (!topic[0])
		return pool_strdup(pool, "a topic cannot be empty");
	/* The broker's own, such as $aws/rules/ of AWS IoT: MQTT 5, section 4.7.2. */
	if (strncmp(topic, "$SYS/", 5) == 0 || strncmp(topic, "$share/", 7) == 0)
		return pool_strdup(pool, "messages cannot be sent to topics that begin with $SYS/ or $share/");
	/* One at the end is what Azure IoT Hub wants. */
	if (strstr(topic, "//"))
		return pool_printf(pool, "\"%s\" has an empty level: no / twice in a row", topic);
	for (const char *at = topic; *at; at++) {
		if (*at == '+' || *at == '#')
			return pool_printf(pool, "%c is a wildcard and is not allowed in the topic of a message", *at);
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return pool_strdup(pool, "a topic cannot hold control characters");
		if (*at == '}')
			return pool_printf(pool, "\"%s\" has a } without its {", topic);
		if (*at != '{')
			continue;
		size_t size = strcspn(at + 1, "{}");
		if (at[1 + size] != '}')
			return pool_printf(pool, "\"%s\" has a { without its }", topic);
		char word[65] = "";
		if (size < sizeof(word))
			memcpy(word, at + 1, size);
		if (!conf_is_name(word))
			return pool_printf(pool,
					   "{%.*s} names nothing: use {gateway}, {prefix}, {device}, {link} or a tag",
					   (int)MIN(size, sizeof(word)), at + 1);
		at += size + 1;
	}
	if (strlen(topic) > 1024)
		return pool_strdup(pool, "a topic can have at most 1024 bytes");
	return NULL;
}
