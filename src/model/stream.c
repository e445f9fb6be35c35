/* SPDX-License-Identifier: Apache-2.0 */
#include "model/stream.h"

struct stream_subscription {
	struct stream_subscription *next;
	struct stream *stream;
	stream_subscriber fn;
	void *userdata;
	uint64_t since; /* the number of the first sample that is for it */
	bool ended;	/* it is freed when no sample is being delivered */
};

/* A sample on its way, with everything it needs, in one piece of memory. */
struct stream_publication {
	struct stream_publication *next;
	struct stream_sample sample;
	uint64_t number; /* of samples published */
	unsigned depth;
	struct sample_reading readings[]; /* then the series, then the strings */
};

struct stream {
	struct stream_subscription *first, **end;
	struct stream_publication *waiting, **waiting_end;
	unsigned n_waiting;
	unsigned depth; /* of the sample that is being delivered */
	bool delivering;
	uint64_t n_published;
	void (*lost)(uint32_t device, void *userdata);
	void *userdata;
};

struct stream *stream_new(void (*lost)(uint32_t device, void *userdata), void *userdata)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->end = &stream->first;
	stream->waiting_end = &stream->waiting;
	stream->lost = lost;
	stream->userdata = userdata;
	return stream;
}

struct stream *stream_free(struct stream *stream)
{
	while (stream && stream->first) {
		struct stream_subscription *first = stream->first;

		stream->first = first->next;
		free(first);
	}
	free(stream);
	return NULL;
}

/* ---- subscribers ---- */

struct stream_subscription *stream_subscribe(struct stream *stream, stream_subscriber fn, void *userdata)
{
	struct stream_subscription *subscription = calloc(1, sizeof(*subscription));

	if (!subscription)
		return NULL;
	subscription->stream = stream;
	subscription->fn = fn;
	subscription->userdata = userdata;
	subscription->since = stream->n_published + 1;
	*stream->end = subscription;
	stream->end = &subscription->next;
	return subscription;
}

static void free_ended(struct stream *stream)
{
	struct stream_subscription **at = &stream->first;

	while (*at) {
		struct stream_subscription *subscription = *at;

		if (subscription->ended) {
			*at = subscription->next;
			free(subscription);
		} else {
			at = &subscription->next;
		}
	}
	stream->end = at;
}

struct stream_subscription *stream_unsubscribe(struct stream_subscription *subscription)
{
	if (!subscription)
		return NULL;
	subscription->ended = true;
	if (!subscription->stream->delivering)
		free_ended(subscription->stream);
	return NULL;
}

/* ---- samples ---- */

static struct stream_publication *publication_free(struct stream_publication *publication)
{
	if (publication)
		sample_unref(publication->sample.sample);
	free(publication);
	return NULL;
}

/* As sample_next() will read it from the blob. */
static struct sample_reading as_decoded(const struct sample_reading *reading, const struct series *series)
{
	struct sample_reading decoded = *reading;

	decoded.series = series->number;
	decoded.value.type = series->type;
	if (decoded.quality == HAY_BAD)
		decoded.value = (struct hay_value){.type = series->type};
	if (decoded.quality == HAY_GOOD)
		decoded.reason = HAY_NO_REASON;
	if (decoded.reason != HAY_EXCEPTION)
		decoded.exception = NULL;
	decoded.exception_size = decoded.exception ? MIN(decoded.exception_size, (size_t)SAMPLE_EXCEPTION_MAX) : 0;
	return decoded;
}

static size_t text_size(const struct sample_reading *reading)
{
	return reading->quality != HAY_BAD && reading->value.type >= HAY_STRING ? reading->value.s.size : 0;
}

static const char *copy_text(char **at, const char *text, size_t size)
{
	char *copy = *at;

	if (size > 0)
		memcpy(copy, text, size);
	*at += size;
	return copy;
}

/* NULL: out of memory. */
static struct stream_publication *publication_new(const struct series_device *device, uint64_t time_us,
						  const struct series *const *series,
						  const struct sample_reading *readings, size_t n_readings)
{
	size_t size = sizeof(struct stream_publication) + n_readings * (sizeof(*readings) + sizeof(*series));

	for (size_t i = 0; i < n_readings; i++) {
		struct sample_reading reading = as_decoded(&readings[i], series[i]);

		if (__builtin_add_overflow(size, text_size(&reading), &size))
			return NULL;
		size += reading.exception_size;
	}

	struct stream_publication *publication = malloc(size);

	if (!publication)
		return NULL;

	const struct series **series_copy = (const struct series **)(void *)(publication->readings + n_readings);
	char *text = (char *)(series_copy + n_readings);

	for (size_t i = 0; i < n_readings; i++) {
		struct sample_reading *reading = &publication->readings[i];

		series_copy[i] = series[i];
		*reading = as_decoded(&readings[i], series[i]);
		if (reading->quality != HAY_BAD && reading->value.type >= HAY_STRING)
			reading->value.s.data = copy_text(&text, reading->value.s.data, reading->value.s.size);
		if (reading->exception)
			reading->exception = copy_text(&text, reading->exception, reading->exception_size);
	}
	publication->next = NULL;
	publication->sample =
		(struct stream_sample){.device = device,
				       .sample = sample_new(device->number, time_us, publication->readings, n_readings),
				       .n_readings = n_readings,
				       .readings = publication->readings,
				       .series = series_copy};
	return publication->sample.sample ? publication : publication_free(publication);
}

static void deliver_publication(struct stream *stream, const struct stream_publication *publication)
{
	stream->depth = publication->depth;
	for (struct stream_subscription *at = stream->first; at; at = at->next)
		if (!at->ended && at->since <= publication->number)
			at->fn(&publication->sample, at->userdata);
}

static void deliver_waiting(struct stream *stream)
{
	while (stream->waiting) {
		struct stream_publication *publication = stream->waiting;

		stream->waiting = publication->next;
		if (!stream->waiting)
			stream->waiting_end = &stream->waiting;
		stream->n_waiting--;
		deliver_publication(stream, publication);
		publication_free(publication);
	}
}

void stream_publish(struct stream *stream, const struct series_device *device, uint64_t time_us,
		    const struct series *const *series, const struct sample_reading *readings, size_t n_readings)
{
	unsigned depth = stream->delivering ? stream->depth + 1 : 0;
	struct stream_publication *publication = NULL;

	if (depth <= STREAM_DEPTH_MAX && stream->n_waiting < STREAM_WAITING_MAX)
		publication = publication_new(device, time_us, series, readings, n_readings);
	if (!publication) {
		if (stream->lost)
			stream->lost(device->number, stream->userdata);
		return;
	}
	publication->depth = depth;
	publication->number = ++stream->n_published;
	*stream->waiting_end = publication;
	stream->waiting_end = &publication->next;
	stream->n_waiting++;
	if (stream->delivering)
		return;
	stream->delivering = true;
	deliver_waiting(stream);
	stream->delivering = false;
	free_ended(stream);
}
