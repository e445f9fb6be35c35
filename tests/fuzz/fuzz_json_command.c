/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of the dialect "json": anyone who may publish writes them. A line of topic, then the payload. */
#include "upstream/dialects/dialect.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dialect_context context = {
		.gateway = "g", .version = "1", .prefix = "p/{gateway}", .topic = "{prefix}/data/{device}", .qos = 1};
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

	struct dialect_command command;
	const char *error = NULL;
	int r = dialect_json.parse_command(json, topic, payload, payload_size, &command, &error);
	if (r < 0 && !error)
		abort();
	struct message reply = {0};
	if (dialect_json.reply(json, &command,
			       &(struct write_answer){.done = r < 0 ? WRITE_NOT_DONE : WRITE_DONE,
						      .value = command.value,
						      .text = r < 0 ? error : NULL},
			       &reply) < 0)
		abort();
	message_done(&reply);
	if (command.value.type == HAY_STRING)
		free((char *)(uintptr_t)command.value.s.data);
	dialect_json.close(json);
	free(payload);
	free(topic);
	return 0;
}
