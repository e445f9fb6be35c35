/* SPDX-License-Identifier: Apache-2.0 */
/* The dialect "json", byte for byte as docs promise it, and topic templates. */
#include "model/device_info.h"
#include "upstream/dialects/dialect.h"
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
	struct series_set *set;
	const struct series_device *boiler;
	struct dialect_context context;
	void *json;
	struct message message;
	struct command *command; /* the last one that was parsed */
	struct buf sunk;	 /* "topic payload retain\n" of every message that went into the sink */
};

static void open_dialect(struct fixture *f, const char *topic, bool batched)
{
	f->context = (struct dialect_context){
		.gateway = "barn-1",
		.version = "1.2",
		.prefix = "haywain/{gateway}",
		.topic = topic,
		.qos = 1,
		.batched = batched,
		.connected_ms = 1732287800000,
		.connection = 1,
		.series = f->set,
	};
	assert_int_equal(dialect_json.open(&f->context, NULL, &f->json), 0);
}

static int set_up(void **state)
{
	static const struct tag tags[] = {{"room", "cellar"}, {"who", "Jo & Co"}};
	struct fixture *f = calloc(1, sizeof(*f));
	f->set = series_set_new();
	f->boiler = series_device_intern(f->set, "boiler", "rs485", tags, 2);
	open_dialect(f, "{prefix}/data/{device}", false);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	dialect_json.close(f->json);
	command_unref(f->command);
	message_done(&f->message);
	buf_done(&f->sunk);
	series_set_free(f->set);
	free(f);
	return 0;
}

static int sink(void *userdata, struct message *message)
{
	struct fixture *f = userdata;
	buf_printf(&f->sunk, "%s %s%s\n", buf_text(&message->topic), buf_text(&message->payload),
		   message->retain ? " retained" : "");
	return 0;
}

/* The message itself. */
static int keep(void *userdata, struct message *message)
{
	struct fixture *f = userdata;
	message_done(&f->message);
	f->message = *message;
	*message = (struct message){0};
	return 0;
}

static uint32_t series(struct fixture *f, const char *point, const char *unit, enum hay_type type)
{
	return series_intern(f->set, f->boiler, point, unit, type)->number;
}

static int encode(struct fixture *f, const struct sample_reading *readings, size_t n, bool certain)
{
	struct sample *sample = sample_new(f->boiler->number, 0, readings, n);
	const struct stamped_sample samples[] = {
		{.sample = sample, .seq = 1732280000001201, .ts_ms = 1732287845123, .certain = certain}};
	int r = dialect_json.encode(f->json, samples, 1, keep, f);
	sample_unref(sample);
	return r;
}

#define assert_payload(f, text) assert_string_equal(buf_text(&(f)->message.payload), text)
#define assert_topic(f, text) assert_string_equal(buf_text(&(f)->message.topic), text)

static void test_sample_as_documented(void **state)
{
	struct fixture *f = *state;
	const struct sample_reading readings[] = {
		{.series = series(f, "flow_temperature", "°C", HAY_FLOAT64), .value = {.type = HAY_FLOAT64, .d = 61.2}},
		{.series = series(f, "pump", NULL, HAY_BOOL), .value = {.type = HAY_BOOL, .b = true}},
	};
	assert_int_equal(encode(f, readings, 2, true), 0);
	assert_topic(f, "haywain/barn-1/data/boiler");
	assert_payload(f, "{\"device\":\"boiler\",\"ts\":1732287845123,\"seq\":1732280000001201,"
			  "\"values\":{\"flow_temperature\":61.2,\"pump\":true}}");
	assert_int_equal(f->message.qos, 1);
	assert_false(f->message.retain);
}

static void test_every_type(void **state)
{
	struct fixture *f = *state;
	const struct sample_reading readings[] = {
		{.series = series(f, "i", NULL, HAY_INT64), .value = {.type = HAY_INT64, .i = INT64_MIN}},
		{.series = series(f, "u", NULL, HAY_UINT64), .value = {.type = HAY_UINT64, .u = UINT64_MAX}},
		{.series = series(f, "f", NULL, HAY_FLOAT32), .value = {.type = HAY_FLOAT32, .f = 0.1F}},
		{.series = series(f, "s", NULL, HAY_STRING),
		 .value = {.type = HAY_STRING, .s = {.data = "a\"b\n\xff", .size = 5}}},
		{.series = series(f, "b", NULL, HAY_BYTES),
		 .value = {.type = HAY_BYTES, .s = {.data = "\0\1", .size = 2}}},
	};
	assert_int_equal(encode(f, readings, 5, true), 0);
	assert_payload(f, "{\"device\":\"boiler\",\"ts\":1732287845123,\"seq\":1732280000001201,\"values\":{"
			  "\"i\":-9223372036854775808,\"u\":18446744073709551615,\"f\":0.1,"
			  "\"s\":\"a\\\"b\\n\xef\xbf\xbd\",\"b\":\"AAE=\"}}");
}

static void test_quality_and_uncertain_time(void **state)
{
	struct fixture *f = *state;
	const struct sample_reading readings[] = {
		{.series = series(f, "pressure", NULL, HAY_FLOAT64),
		 .quality = HAY_BAD,
		 .reason = HAY_TIMEOUT,
		 .value = {.type = HAY_FLOAT64}},
		{.series = series(f, "level", NULL, HAY_INT16),
		 .quality = HAY_UNCERTAIN,
		 .reason = HAY_OUT_OF_RANGE,
		 .value = {.type = HAY_INT16, .i = -3}},
		{.series = series(f, "flow", NULL, HAY_INT16),
		 .quality = HAY_BAD,
		 .reason = HAY_EXCEPTION,
		 .exception = "illegal data address",
		 .exception_size = 20,
		 .value = {.type = HAY_INT16}},
		{.series = series(f, "ok", NULL, HAY_BOOL), .value = {.type = HAY_BOOL}},
	};
	assert_int_equal(encode(f, readings, 4, false), 0);
	assert_payload(f, "{\"device\":\"boiler\",\"ts\":1732287845123,\"seq\":1732280000001201,\"time\":\"uncertain\","
			  "\"values\":{\"level\":-3,\"ok\":false},\"quality\":{\"pressure\":\"bad: timeout\","
			  "\"level\":\"uncertain: out of range\",\"flow\":\"bad: illegal data address\"}}");
}

static void test_not_a_number_is_never_sent(void **state)
{
	struct fixture *f = *state;
	const struct sample_reading readings[] = {
		{.series = series(f, "x", NULL, HAY_FLOAT64), .value = {.type = HAY_FLOAT64, .d = (double)NAN}},
		{.series = series(f, "y", NULL, HAY_FLOAT32),
		 .quality = HAY_UNCERTAIN,
		 .reason = HAY_OUT_OF_RANGE,
		 .value = {.type = HAY_FLOAT32, .f = INFINITY}},
	};
	assert_int_equal(encode(f, readings, 2, true), 0);
	assert_payload(f, "{\"device\":\"boiler\",\"ts\":1732287845123,\"seq\":1732280000001201,\"values\":{},"
			  "\"quality\":{\"x\":\"bad: not a number\",\"y\":\"bad: not a number\"}}");
}

static void test_batch_is_an_array(void **state)
{
	struct fixture *f = *state;
	dialect_json.close(f->json);
	open_dialect(f, "{prefix}/data/{device}", true);
	const struct sample_reading reading = {.series = series(f, "a", NULL, HAY_INT16),
					       .value = {.type = HAY_INT16, .i = 1}};
	struct sample *sample = sample_new(f->boiler->number, 0, &reading, 1);
	const struct stamped_sample samples[] = {{.sample = sample, .seq = 1, .ts_ms = 10, .certain = true},
						 {.sample = sample, .seq = 2, .ts_ms = 20, .certain = true}};
	assert_int_equal(dialect_json.encode(f->json, samples, 2, keep, f), 0);
	assert_payload(f, "[{\"device\":\"boiler\",\"ts\":10,\"seq\":1,\"values\":{\"a\":1}},"
			  "{\"device\":\"boiler\",\"ts\":20,\"seq\":2,\"values\":{\"a\":1}}]");
	assert_int_equal(dialect_json.encode(f->json, samples, 1, keep, f), 0);
	assert_payload(f, "[{\"device\":\"boiler\",\"ts\":10,\"seq\":1,\"values\":{\"a\":1}}]");
	sample_unref(sample);
}

static void test_damaged_samples_are_told(void **state)
{
	struct fixture *f = *state;
	struct sample *sample = sample_from_blob(f->boiler->number, 0, "\1\5\2", 3);
	struct stamped_sample samples[] = {{.sample = sample}};
	assert_int_equal(dialect_json.encode(f->json, samples, 1, keep, f), -EBADMSG);
	sample->device = 4000000000;
	(void)dialect_json.group(f->json, sample);
	assert_int_equal(dialect_json.encode(f->json, samples, 1, keep, f), -EBADMSG);
	sample_unref(sample);
	/* A series nobody knows. */
	const struct sample_reading reading = {.series = 77, .value = {.type = HAY_INT16, .i = 1}};
	assert_int_equal(encode(f, &reading, 1, true), -EBADMSG);
}

static void test_groups_follow_topics(void **state)
{
	struct fixture *f = *state;
	const struct series_device *moved = series_device_intern(f->set, "boiler", "panel", NULL, 0);
	const struct series_device *other = series_device_intern(f->set, "meter", "panel", NULL, 0);
	struct sample *a = sample_new(f->boiler->number, 0, NULL, 0), *b = sample_new(moved->number, 0, NULL, 0),
		      *c = sample_new(other->number, 0, NULL, 0);
	assert_int_equal(dialect_json.group(f->json, a), dialect_json.group(f->json, b));
	assert_int_not_equal(dialect_json.group(f->json, a), dialect_json.group(f->json, c));
	sample_unref(a);
	sample_unref(b);
	sample_unref(c);
}

static void test_topic_from_tags(void **state)
{
	struct fixture *f = *state;
	const struct sample_reading reading = {.series = series(f, "a", NULL, HAY_INT16), .value = {.type = HAY_INT16}};
	dialect_json.close(f->json);
	open_dialect(f, "site/{room}/{link}/{device}/{gateway}", false);
	assert_int_equal(encode(f, &reading, 1, true), 0);
	assert_topic(f, "site/cellar/rs485/boiler/barn-1");
	/* A tag that is no name could open a level of its own; one that is missing leaves none. */
	dialect_json.close(f->json);
	open_dialect(f, "{prefix}/{who}", false);
	assert_int_equal(encode(f, &reading, 1, true), -EBADMSG);
	dialect_json.close(f->json);
	open_dialect(f, "{prefix}/{floor}", false);
	assert_int_equal(encode(f, &reading, 1, true), -EBADMSG);
}

static void test_birth_death_and_cards(void **state)
{
	struct fixture *f = *state;
	const struct device_info_point points[] = {
		{.series = series_intern(f->set, f->boiler, "flow_temperature", "°C", HAY_FLOAT64)},
		{.series = series_intern(f->set, f->boiler, "setpoint", NULL, HAY_UINT16), .writable = true},
	};
	struct device_info *on = device_info_new(f->boiler, true, 0, NULL, points, 2);
	struct device_info *off = device_info_new(f->boiler, false, 0, "timeout", points, 1);
	const struct dialect_device devices[] = {{.info = on, .since_ms = 5}, {.info = off, .since_ms = 6}};
	assert_int_equal(dialect_json.birth(f->json, devices, 2, sink, f), 0);
	assert_string_equal(
		buf_text(&f->sunk),
		"haywain/barn-1/status {\"online\":true,\"since\":1732287800000,\"version\":\"1.2\"} retained\n"
		"haywain/barn-1/device/boiler {\"online\":true,\"since\":5,\"tags\":{\"room\":\"cellar\",\"who\":\"Jo "
		"& "
		"Co\"},\"points\":{\"flow_temperature\":{\"type\":\"float64\",\"unit\":\"°C\",\"access\":\"read\"},"
		"\"setpoint\":{\"type\":\"uint16\",\"access\":\"write\"}}} retained\n"
		"haywain/barn-1/device/boiler {\"online\":false,\"since\":6,\"reason\":\"timeout\",\"tags\":{\"room\":"
		"\"cellar\",\"who\":\"Jo & "
		"Co\"},\"points\":{\"flow_temperature\":{\"type\":\"float64\",\"unit\":\"°C\","
		"\"access\":\"read\"}}} retained\n");
	buf_clear(&f->sunk);
	assert_int_equal(dialect_json.gone(f->json, &devices[1], sink, f), 0);
	assert_string_equal(buf_text(&f->sunk), "haywain/barn-1/device/boiler  retained\n");
	device_info_unref(on);
	device_info_unref(off);

	assert_int_equal(dialect_json.will(f->json, keep, f), 0);
	assert_topic(f, "haywain/barn-1/status");
	assert_payload(f, "{\"online\":false}");
	assert_true(f->message.retain);
	assert_int_equal(dialect_json.death(f->json, keep, f), 0);
	assert_payload(f, "{\"online\":false}");
}

static void test_events(void **state)
{
	struct fixture *f = *state;
	const struct dialect_event dropped = {
		.ts_ms = 9,
		.name = "dropped",
		.fields = {{"samples", {.type = HAY_UINT64, .u = 1204}},
			   {"reason", {.type = HAY_STRING, .s = {.data = "queue full", .size = 10}}},
			   {"unknown", {.type = HAY_BOOL, .b = true}}},
	};
	assert_int_equal(dialect_json.event(f->json, &dropped, keep, f), 0);
	assert_topic(f, "haywain/barn-1/event");
	assert_payload(f,
		       "{\"ts\":9,\"event\":\"dropped\",\"samples\":1204,\"reason\":\"queue full\",\"unknown\":true}");
	const struct dialect_event bare = {.ts_ms = 9, .name = "reloaded"};
	assert_int_equal(dialect_json.event(f->json, &bare, keep, f), 0);
	assert_payload(f, "{\"ts\":9,\"event\":\"reloaded\"}");
}

struct parsed {
	struct command *command;
	const char *error;
	unsigned n;
};

static void parsed_one(void *userdata, struct command *command, const char *error)
{
	struct parsed *parsed = userdata;
	parsed->command = command_ref(command);
	parsed->error = error;
	parsed->n++;
}

/* What it is answered with; NULL: nothing is wrong. *ret: the fixture's, until the next one. */
static const char *parse(struct fixture *f, const char *topic, const char *payload, struct command **ret)
{
	const struct dialect_actions actions = {.command = parsed_one};
	const struct dialect_incoming incoming = {.topic = topic, .payload = payload, .size = strlen(payload)};
	struct parsed parsed = {0};
	assert_int_equal(dialect_json.receive(f->json, &incoming, &actions, &parsed), 0);
	assert_int_equal(parsed.n, 1);
	command_unref(f->command);
	*ret = f->command = parsed.command;
	return parsed.error;
}

#define COMMAND "haywain/barn-1/command/boiler/setpoint"

static void test_commands(void **state)
{
	struct fixture *f = *state;
	struct command *command;
	assert_null(parse(f, COMMAND, "{\"value\":55,\"id\":\"c-17\",\"ttl_ms\":5000}", &command));
	assert_string_equal(command->device, "boiler");
	assert_string_equal(command->point, "setpoint");
	assert_string_equal(command->id, "c-17");
	assert_int_equal(command->ttl_us, 5000000);
	assert_int_equal(command->value.type, HAY_INT64);
	assert_int_equal(command->value.i, 55);

	assert_null(parse(f, COMMAND, " 1.5 ", &command));
	assert_int_equal(command->value.type, HAY_FLOAT64);
	assert_true(command->ttl_us == UINT64_MAX);
	assert_string_equal(command->id, "");
	assert_null(parse(f, COMMAND, "false", &command));
	assert_int_equal(command->value.type, HAY_BOOL);
	assert_null(parse(f, COMMAND, "\"eco\"", &command));
	assert_int_equal(command->value.type, HAY_STRING);
	assert_int_equal(command->value.s.size, 3);
	assert_memory_equal(command->value.s.data, "eco", 4);
}

/* A uint64 above 2^63 - 1 was "no valid JSON"; and no whole number that 64 bits hold may lose a digit. */
static void test_whole_numbers_keep_their_digits(void **state)
{
	struct fixture *f = *state;
	static const char *const unsigned_64[] = {
		"18446744073709551615",
		" \n18446744073709551615 ",
		"{\"value\":18446744073709551615}",
		"{\"value\" : 18446744073709551615 , \"id\":\"a\"}",
		"{\"id\":\"\\\"value\\\":1,}\",\"v\":{\"value\":[2,\"},{\"]},\"\\u0076alue\":18446744073709551615}",
		"{\"ttl_ms\":5,\"value\":18446744073709551615}",
	};
	struct command *command;
	for (size_t i = 0; i < ELEMENTS(unsigned_64); i++) {
		assert_null(parse(f, COMMAND, unsigned_64[i], &command));
		assert_int_equal(command->value.type, HAY_UINT64);
		assert_true(command->value.u == UINT64_MAX);
	}
	assert_null(parse(f, COMMAND, "9223372036854775807", &command));
	assert_int_equal(command->value.type, HAY_INT64);
	assert_true(command->value.i == INT64_MAX);
	assert_null(parse(f, COMMAND, "9223372036854775808", &command));
	assert_int_equal(command->value.type, HAY_UINT64);
	assert_true(command->value.u == (uint64_t)INT64_MAX + 1);
	assert_null(parse(f, COMMAND, "{\"value\":-9223372036854775808}", &command));
	assert_int_equal(command->value.type, HAY_INT64);
	assert_true(command->value.i == INT64_MIN);
	assert_null(parse(f, COMMAND, "9007199254740993", &command)); /* which a double does not hold */
	assert_true(command->value.i == 9007199254740993);
	/* Beyond 64 bits a number is one for points that hold it, and too large for the others. */
	static const char *const doubles[] = {"18446744073709551616", "-9223372036854777857", "1e3", "2.0",
					      "100000000000000000000000000000000"};
	for (size_t i = 0; i < ELEMENTS(doubles); i++) {
		assert_null(parse(f, COMMAND, doubles[i], &command));
		assert_int_equal(command->value.type, HAY_FLOAT64);
		assert_true(command->value.d == strtod(doubles[i], NULL));
	}
	static const char *const too_large[] = {"1e999", "-9223372036854775809"};
	for (size_t i = 0; i < ELEMENTS(too_large); i++)
		assert_string_equal(parse(f, COMMAND, too_large[i], &command),
				    "the message has a number that is too large for any point");
}

static void test_wrong_commands(void **state)
{
	static const char *const wrong[] = {
		"",
		"{}",
		"nonsense",
		"NaN",
		"[1]",
		"null",
		"{\"value\":null}",
		"{\"value\":[1]}",
		"{\"value\":1,\"value\":2}",
		"{\"value\":1,\"ttl_ms\":0}",
		"{\"value\":1,\"ttl_ms\":-5}",
		"{\"value\":1,\"ttl_ms\":\"5s\"}",
		"{\"value\":1,\"id\":5}",
		"55 66",
		"\"\\u0000\"",
	};
	struct fixture *f = *state;
	struct command *command;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_non_null(parse(f, COMMAND, wrong[i], &command));
		assert_string_equal(command->point, "setpoint");
	}
	/* Nested so deep that a parser that recurses would leave its stack. */
	char *deep = malloc(60001);
	memset(deep, '[', 60000);
	deep[60000] = '\0';
	assert_string_equal(parse(f, COMMAND, deep, &command),
			    "the message is not a JSON value that a command can have");
	deep[9] = '\0';
	assert_string_equal(parse(f, COMMAND, deep, &command),
			    "the message is not a JSON value that a command can have");
	deep[8] = '\0';
	assert_string_equal(parse(f, COMMAND, deep, &command), "the message is not valid JSON");
	free(deep);
	/* The answer to a wrong one can carry its id. */
	assert_non_null(parse(f, COMMAND, "{\"id\":\"c-18\"}", &command));
	assert_string_equal(command->id, "c-18");

	assert_non_null(parse(f, "haywain/barn-2/command/boiler/setpoint", "1", &command));
	assert_non_null(parse(f, "haywain/barn-1/command/boiler", "1", &command));
	assert_non_null(parse(f, "haywain/barn-1/command/boiler/a/b", "1", &command));
	assert_non_null(parse(f, "haywain/barn-1/command//a", "1", &command));
	assert_non_null(parse(f, "haywain/barn-1/command/boi ler/a", "1", &command));
}

/* A command that the broker kept is one from the past. */
static void test_a_retained_command_is_none(void **state)
{
	struct fixture *f = *state;
	const struct dialect_actions actions = {.command = parsed_one};
	const struct dialect_incoming incoming = {.topic = COMMAND, .payload = "1", .size = 1, .retain = true};
	struct parsed parsed = {0};
	assert_int_equal(dialect_json.receive(f->json, &incoming, &actions, &parsed), 0);
	assert_int_equal(parsed.n, 0);
}

static int add_filter(void *userdata, const char *filter)
{
	struct fixture *f = userdata;
	buf_add_text(&f->sunk, filter);
	return 0;
}

static void assert_reply(struct fixture *f, struct command *command, const struct write_answer *answer)
{
	assert_int_equal(command_keep_answer(command, answer), 0);
	assert_int_equal(dialect_json.reply(f->json, command, keep, f), 0);
}

static void test_command_filter_and_reply(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(dialect_json.subscriptions(f->json, false, add_filter, f), 0);
	assert_string_equal(buf_text(&f->sunk), "");
	assert_int_equal(dialect_json.subscriptions(f->json, true, add_filter, f), 0);
	assert_string_equal(buf_text(&f->sunk), "haywain/barn-1/command/+/+");
	struct command *command;
	parse(f, COMMAND, "{\"value\":55,\"id\":\"c-17\"}", &command);
	struct write_answer answer = {.done = WRITE_DONE, .value = command->value, .read_back = true};
	assert_reply(f, command, &answer);
	assert_topic(f, "haywain/barn-1/reply/boiler/setpoint");
	assert_payload(f, "{\"id\":\"c-17\",\"ok\":true,\"done\":\"yes\",\"value\":55,\"read_back\":true}");
	answer = (struct write_answer){.done = WRITE_NOT_DONE, .text = "no such point"};
	assert_reply(f, command, &answer);
	assert_payload(f, "{\"id\":\"c-17\",\"ok\":false,\"done\":\"no\",\"error\":\"no such point\"}");
}

/* A reply said what was asked for, also where the device held another value, and nothing told "failed" from "perhaps". */
static void test_reply_tells_what_is_held(void **state)
{
	struct fixture *f = *state;
	_cleanup_(command_unrefp) struct command *command = command_new();
	strcpy(command->device, "boiler");
	strcpy(command->point, "setpoint");
	struct write_answer answer = {.done = WRITE_DONE,
				      .value = {.type = HAY_UINT16, .u = 56},
				      .asked = {.type = HAY_FLOAT64, .d = 55.5},
				      .text = "cannot be read back: illegal data address"};
	assert_reply(f, command, &answer);
	assert_payload(f, "{\"ok\":true,\"done\":\"yes\",\"value\":56,\"asked\":55.5,\"read_back\":false,"
			  "\"note\":\"cannot be read back: illegal data address\"}");
	answer = (struct write_answer){.text = "not known whether it was done: no answer"};
	assert_reply(f, command, &answer);
	assert_payload(f, "{\"ok\":false,\"done\":\"unknown\",\"error\":\"not known whether it was done: no answer\"}");
	/* Accepted, and not done yet. */
	answer.value = (struct hay_value){.type = HAY_UINT16, .u = 10};
	answer.asked = (struct hay_value){.type = HAY_INT64, .i = 20};
	assert_reply(f, command, &answer);
	assert_payload(f, "{\"ok\":false,\"done\":\"unknown\",\"value\":10,\"asked\":20,"
			  "\"error\":\"not known whether it was done: no answer\"}");
}

static void test_topic_check(void **state)
{
	(void)state;
	/* Those with $aws and with a slash at the end are what AWS IoT and Azure IoT Hub ask for. */
	static const char *const good[] = {"{prefix}/data/{device}",
					   "a",
					   "a/{room}/b",
					   "{gateway}-{device}",
					   "$aws/rules/readings/{device}",
					   "devices/{device}/messages/events/",
					   "/a"};
	static const char *const bad[] = {"",	 "a//b",   "a/+",   "a/#",  "$SYS/a",  "$share/g/a",
					  "a/{", "a/{dev", "a/}/b", "a/{}", "a/{x y}", "a\n"};
	struct pool *pool = pool_new();
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_null(dialect_check_topic(pool, good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(dialect_check_topic(pool, bad[i]));
	pool_free(pool);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		test(test_sample_as_documented),
		test(test_every_type),
		test(test_quality_and_uncertain_time),
		test(test_not_a_number_is_never_sent),
		test(test_batch_is_an_array),
		test(test_damaged_samples_are_told),
		test(test_groups_follow_topics),
		test(test_topic_from_tags),
		test(test_birth_death_and_cards),
		test(test_events),
		test(test_commands),
		test(test_whole_numbers_keep_their_digits),
		test(test_wrong_commands),
		test(test_a_retained_command_is_none),
		test(test_command_filter_and_reply),
		test(test_reply_tells_what_is_held),
		test(test_topic_check),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
