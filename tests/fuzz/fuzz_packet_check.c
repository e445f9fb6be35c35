/* SPDX-License-Identifier: Apache-2.0 */
/* What a broker sends, from its first byte: checked, and what passes the check is given to libmosquitto, which must live. */
#include "upstream/mqtt_local.h"
#include "upstream/packet_check.h"
#include <errno.h>
#include <mqtt_protocol.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { V5 = 1, WELCOMED = 2 };

struct library {
	struct mosquitto *client;
	int fd;
};

static void library_start(struct library *library, bool v5)
{
	struct reason reason;
	library->client = mosquitto_new("fuzz", true, NULL);
	if (!library->client)
		abort();
	mosquitto_int_option(library->client, MOSQ_OPT_PROTOCOL_VERSION, v5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311);
	mosquitto_threaded_set(library->client, true);
	if (mqtt_local_connect(library->client, 60, NULL, &library->fd, &reason) < 0)
		abort();
}

static void library_stop(struct library *library)
{
	mosquitto_destroy(library->client);
	close(library->fd);
}

static void library_read(const struct library *library, const uint8_t *data, size_t size)
{
	int rc = MOSQ_ERR_SUCCESS, error = 0;
	if (size == 0 || send(library->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
	while (rc == MOSQ_ERR_SUCCESS && error != EAGAIN && mosquitto_socket(library->client) >= 0) {
		errno = 0;
		rc = mosquitto_loop_read(library->client, 1);
		error = errno;
	}
}

static void check_packet(const struct packet *packet, const uint8_t *data, size_t size, bool v5, bool greeted)
{
	struct packet other;
	struct reason reason;
	if (packet->size == 0 || (packet->size > size && !packet->too_large))
		abort();
	if (packet->type == PACKET_PUBLISH && (packet->topic_size == 0 || packet->topic < (const char *)data ||
					       packet->topic + packet->topic_size > (const char *)data + size))
		abort();
	/* What follows does not matter, and less of it is less. */
	if (packet->too_large)
		return;
	if (packet_check(data, packet->size, v5, greeted, &other, &reason) != 1 ||
	    packet_check(data, packet->size - 1, v5, greeted, &other, &reason) != 0)
		abort();
}

static void read_stream(const struct library *library, const uint8_t *data, size_t size, bool v5, bool greeted)
{
	while (size > 0) {
		struct packet packet;
		struct reason reason = {0};
		/* A copy of its own size, so that a read past its end is seen. */
		uint8_t *copy = malloc(size);
		if (!copy)
			abort();
		memcpy(copy, data, size);
		int r = packet_check(copy, size, v5, greeted, &packet, &reason);
		if (r < 0 && !reason.text[0])
			abort();
		if (r == 0 && size >= PACKET_SIZE_MAX)
			abort();
		if (r == 1) {
			check_packet(&packet, copy, size, v5, greeted);
			greeted |= packet.type == PACKET_CONNACK;
			uint8_t ack[PACKET_ACK_SIZE];
			if (packet_without_properties(&packet, copy, ack))
				library_read(library, ack, sizeof(ack));
			else if (!packet.too_large)
				library_read(library, copy, packet.size);
		}
		free(copy);
		if (r != 1)
			return;
		size_t taken = packet.size < size ? packet.size : size;
		data += taken;
		size -= taken;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t welcome[] = {0x20, 3, 0, 0, 0}, welcome_311[] = {0x20, 2, 0, 0};
	struct reason reason;
	if (size == 0)
		return 0;
	bool v5 = data[0] & V5, welcomed = data[0] & WELCOMED;
	struct library library;
	library_start(&library, v5);
	if (welcomed)
		library_read(&library, v5 ? welcome : welcome_311, v5 ? sizeof(welcome) : sizeof(welcome_311));
	read_stream(&library, data + 1, size - 1, v5, welcomed);
	packet_is_foreign(data + 1, size - 1, welcomed, &reason);
	library_stop(&library);
	return 0;
}
