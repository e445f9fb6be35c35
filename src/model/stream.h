/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of samples: what is published goes once, decoded and encoded, to every subscriber, in the order of
 * subscription. Main thread; nothing in it waits; logs nothing.
 *
 * A subscriber may publish from within its callback, for any device: such a sample is delivered after the round in
 * progress, that is when every subscriber has seen the sample that is being delivered, and those published before it.
 * So all subscribers see the same samples in the same order.
 */
#ifndef HAYWAIN_MODEL_STREAM_H
#define HAYWAIN_MODEL_STREAM_H

#include "model/sample.h"
#include "model/series.h"

/* Samples that wait for the end of a round: a subscriber that answers each with many loses the rest. */
#define STREAM_WAITING_MAX 256
/* A sample published in answer to one published in answer to ... one from outside: two subscribers that answer each
   other come to an end. */
#define STREAM_DEPTH_MAX 8

/* Valid until the callback returns, except for the sample, of which a subscriber takes a reference if it keeps it. */
struct stream_sample {
	const struct series_device *device;
	struct sample *sample; /* encoded */
	size_t n_readings;
	const struct sample_reading *readings; /* decoded, the same ones in the same order */
	const struct series *const *series;    /* series[i] is that of readings[i] */
};

struct stream;
struct stream_subscription;

/* lost: a sample of the device with that number could not be delivered (no memory, or one of the bounds above); it may
   count it, and publishes nothing. NULL: out of memory. */
struct stream *stream_new(void (*lost)(uint32_t device, void *userdata), void *userdata);
/* Not within a callback. Subscriptions that are left end with it. */
struct stream *stream_free(struct stream *stream); /* NULL is fine */

typedef void (*stream_subscriber)(const struct stream_sample *sample, void *userdata);

/* From the next sample published on; within a callback, too. NULL: out of memory. */
struct stream_subscription *stream_subscribe(struct stream *stream, stream_subscriber fn, void *userdata);
/* At once: fn is not called again, neither for the sample that is being delivered. NULL is fine; returns NULL. */
struct stream_subscription *stream_unsubscribe(struct stream_subscription *subscription);

/*
 * Publish a sample of a device. All is copied. readings[i] is of series[i], a series of that device: its number and
 * the type of its value are filled in from there. What is lost is told to the stream's lost().
 */
void stream_publish(struct stream *stream, const struct series_device *device, uint64_t time_us,
		    const struct series *const *series, const struct sample_reading *readings, size_t n_readings);

#endif
