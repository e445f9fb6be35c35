/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of the dialect "json": anyone who may publish writes them. A line of topic, then the payload. */
#include "upstream/dialects/dialect.h"
#include <stdlib.h>
#include <string.h>

static int drop_message(void *userdata, struct message *message)
{
	(void)userdata;
	message_clear(message);
	return 0;
}

/* It is answered: with what was asked for, or with what is wrong. */
static void take_command(void *userdata, struct command *command, const char *error)
{
	const struct write_answer answer = {
		.done = error ? WRITE_NOT_DONE : WRITE_DONE, .value = command->value, .text = error};
	if (command_keep_answer(command, &answer) < 0)
		abort();
	if (dialect_json.reply(userdata, command, drop_message, NULL) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dialect_context context = {
		.gateway = "g", .version = "1", .prefix = "p/{gateway}", .topic = "{prefix}/data/{device}", .qos = 1};
	static const struct dialect_actions actions = {.command = take_command};
	const uint8_t *newline = memchr(data, '\n', size);
	if (!newline)
		return 0;
	char *topic = strndup((const char *)data, (size_t)(newline - data));
	size_t payload_size = size - (size_t)(newline + 1 - data);
	/* A copy of its own size, so that a read past its end is seen. */
	char *payload = malloc(payload_size ? payload_size : 1);
	void *json;
	if (!topic || !payload || dialect_json.open(&context, NULL, &json) < 0)
		abort();
	memcpy(payload, newline + 1, payload_size);
	const struct dialect_incoming incoming = {.topic = topic, .payload = payload, .size = payload_size};
	if (dialect_json.receive(json, &incoming, &actions, json) < 0)
		abort();
	dialect_json.close(json);
	free(payload);
	free(topic);
	return 0;
}
