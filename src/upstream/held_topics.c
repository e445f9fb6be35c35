/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/held_topics.h"
#include "base/backoff.h"
#include <stdio.h>

#define PAUSE_MIN_US USEC_PER_SEC
#define SAY_AGAIN_US USEC_PER_HOUR

void held_topics_done(struct held_topics *topics)
{
	while (topics->first)
		held_topics_remove(topics, topics->first);
}

struct held_topic *held_topics_find(const struct held_topics *topics, const char *name)
{
	for (struct held_topic *topic = topics->first; topic; topic = topic->next)
		if (strcmp(topic->name, name) == 0)
			return topic;
	return NULL;
}

static struct held_topic *add_topic(struct held_topics *topics, const char *name)
{
	struct held_topic *topic = calloc(1, sizeof(*topic));
	if (!topic)
		return NULL;
	topic->name = strdup(name);
	if (!topic->name) {
		free(topic);
		return NULL;
	}
	topic->next = topics->first;
	topics->first = topic;
	topics->n++;
	return topic;
}

struct held_topic *held_topics_refuse(struct held_topics *topics, const char *name, const char *why, bool hung_up,
				      uint64_t now_us, bool *ret_say)
{
	struct held_topic *topic = held_topics_find(topics, name);
	*ret_say = false;
	if (!topic)
		topic = add_topic(topics, name);
	if (!topic)
		return NULL;
	topic->hung_up |= hung_up;
	topic->pause_us = hay_backoff_next(topic->pause_us, PAUSE_MIN_US,
					   topic->hung_up ? HELD_TOPIC_HUNG_UP_MAX_US : HELD_TOPIC_PAUSE_MAX_US);
	topic->next_us = now_us + topic->pause_us;
	snprintf(topic->why, sizeof(topic->why), "%s", why);
	*ret_say = !topic->said_us || now_us - topic->said_us >= SAY_AGAIN_US;
	if (*ret_say)
		topic->said_us = now_us;
	return topic;
}

void held_topics_remove(struct held_topics *topics, struct held_topic *topic)
{
	struct held_topic **at = &topics->first;
	while (*at != topic)
		at = &(*at)->next;
	*at = topic->next;
	topics->n--;
	free(topic->name);
	free(topic);
}

struct held_topic *held_topics_due(const struct held_topics *topics, uint64_t connection, uint64_t now_us)
{
	for (struct held_topic *topic = topics->first; topic; topic = topic->next)
		if (topic->connection == connection && topic->next_us <= now_us)
			return topic;
	return NULL;
}

uint64_t held_topics_due_us(const struct held_topics *topics, uint64_t connection)
{
	uint64_t due = UINT64_MAX;
	for (struct held_topic *topic = topics->first; topic; topic = topic->next)
		if (topic->connection == connection)
			due = MIN(due, topic->next_us);
	return due;
}
