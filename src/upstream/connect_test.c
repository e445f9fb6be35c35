/* SPDX-License-Identifier: Apache-2.0 */
#include "upstream/connect_test.h"
#include "base/clock.h"
#include "upstream/dialects/dialect.h"
#include "upstream/mqtt.h"
#include "upstream/resolve.h"
#include "upstream/tls.h"
#include "upstream/uplink_internal.h"
#include "upstream/wire.h"
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#define ANSWER_US (10 * USEC_PER_SEC)

struct connect_test_attempt {
	const struct connect_test *test;
	const struct dialect *dialect;
	struct dialect_context context;
	void *state;			/* the dialect's */
	struct credentials credentials; /* the dialect's, where it makes some */
	struct tls *tls;
	char *password, *client_id;
	struct mqtt *mqtt;
	struct {
		int mid; /* 0: nothing is asked */
		bool has_come;
		unsigned code;
	} answer;
	struct reason reason; /* of an end before the login */
	char address[NI_MAXHOST + 16];
	bool subscribed; /* to everything that the dialect wants */
};

static bool report_step(const struct connect_test_attempt *attempt, enum connect_step step, bool good,
			const char *format, ...) _printf_(4, 5);
static bool report_step(const struct connect_test_attempt *attempt, enum connect_step step, bool good,
			const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list args;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	attempt->test->step(step, good, text ? text : "out of memory", attempt->test->userdata);
	return good;
}

static void on_published(void *userdata, int mid, unsigned code)
{
	struct connect_test_attempt *attempt = userdata;
	attempt->answer.has_come |= mid == attempt->answer.mid;
	if (mid == attempt->answer.mid)
		attempt->answer.code = code;
}

/* Commands that come are the running gateway's. */
static void on_received(void *userdata, const struct dialect_incoming *incoming)
{
	(void)userdata, (void)incoming;
}

static void on_oversized(void *userdata, const char *topic, size_t topic_size, size_t size)
{
	(void)userdata, (void)topic, (void)topic_size, (void)size;
}

static const struct mqtt_events events = {
	.published = on_published,
	.received = on_received,
	.oversized = on_oversized,
};

/* Until *until is true, the phase is another one, or time is up. */
static void turn_until(struct mqtt *mqtt, const bool *until, uint64_t deadline_us)
{
	enum mqtt_phase phase = mqtt_phase(mqtt);
	for (uint64_t now; !*until && mqtt_phase(mqtt) == phase && (now = clock_now()) < deadline_us;) {
		struct pollfd fd;
		uint64_t due = MIN(mqtt_due_us(mqtt), deadline_us);
		mqtt_poll(mqtt, &fd);
		if (poll(&fd, 1, due > now ? (int)((due - now + 999) / USEC_PER_MSEC) : 0) < 0)
			fd.revents = 0;
		mqtt_wait(mqtt, fd.revents);
	}
}

/* ---- up to the login ---- */

static bool read_files(struct connect_test_attempt *attempt)
{
	const struct uplink_conf *conf = attempt->test->conf;
	struct reason reason;
	if (!conf->tls_on && !conf->password_file)
		return true;
	if (conf->tls_on && tls_prepare(attempt->tls, &reason) < 0)
		return report_step(attempt, CONNECT_STEP_FILES, false, "%s", reason.text);
	if (uplink_read_password(conf, &attempt->password, &reason) < 0)
		return report_step(attempt, CONNECT_STEP_FILES, false, "%s", reason.text);
	if (conf->tls_on && tls_own_ends_soon(attempt->tls, &reason))
		return report_step(attempt, CONNECT_STEP_FILES, true, "%s", reason.text);
	return report_step(attempt, CONNECT_STEP_FILES, true, "the files of the uplink can be read");
}

static void format_address(const struct resolved_address *address, char *ret, size_t size)
{
	if (getnameinfo((const struct sockaddr *)&address->storage, address->size, ret, (socklen_t)size, NULL, 0,
			NI_NUMERICHOST) != 0)
		snprintf(ret, size, "?");
}

static bool find_addresses(struct connect_test_attempt *attempt, uint64_t deadline_us, struct resolved_addresses *ret)
{
	const struct uplink_conf *conf = attempt->test->conf;
	struct resolver *resolver = resolver_new(conf->host, conf->port);
	struct buf list = {0};
	struct reason reason = {"out of memory"};
	int r = resolver ? resolver_ask(resolver, deadline_us, -1, ret, &reason) : -ENOMEM;
	for (size_t i = 0; r >= 0 && i < ret->n; i++) {
		char text[NI_MAXHOST];
		format_address(&ret->list[i], text, sizeof(text));
		buf_printf(&list, "%s%s", i > 0 ? ", " : "", text);
	}
	resolver_free(resolver);
	if (r < 0)
		report_step(attempt, CONNECT_STEP_NAME, false, "%s", reason.text);
	else if (ret->n > 1 || strcmp(conf->host, buf_text(&list)) != 0)
		report_step(attempt, CONNECT_STEP_NAME, true, "%s is %s", conf->host, buf_text(&list));
	buf_done(&list);
	return r >= 0;
}

/* True: the broker has welcomed us. */
static bool try_address(struct connect_test_attempt *attempt, const struct resolved_address *address,
			uint64_t deadline_us, enum mqtt_reach *ret_reach)
{
	const struct uplink_conf *conf = attempt->test->conf;
	const bool never = false;
	const struct mqtt_settings settings = {
		.client_id = attempt->client_id,
		.username = attempt->credentials.username ? attempt->credentials.username : conf->username,
		.password = attempt->credentials.password ? attempt->credentials.password : attempt->password,
		.v5 = conf->version == 5,
		.keepalive_s = (unsigned)(conf->keepalive_us / USEC_PER_SEC),
		.tls = conf->tls_on ? attempt->tls : NULL,
	};
	char host[NI_MAXHOST];
	format_address(address, host, sizeof(host));
	snprintf(attempt->address, sizeof(attempt->address), strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, conf->port);
	attempt->mqtt = mqtt_free(attempt->mqtt);
	int r = mqtt_new(&settings, &events, attempt, &attempt->mqtt);
	if (r < 0) {
		reason_set(&attempt->reason,
			   r == -ENOMEM ? "out of memory" : "MQTT cannot carry this client_id or username");
		return false;
	}
	if (mqtt_connect(attempt->mqtt, address, deadline_us, &attempt->reason) < 0)
		return false;
	turn_until(attempt->mqtt, &never, deadline_us + USEC_PER_SEC);
	*ret_reach = mqtt_reach(attempt->mqtt);
	if (mqtt_phase(attempt->mqtt) == MQTT_READY)
		return true;
	mqtt_end(attempt->mqtt, &attempt->reason);
	return false;
}

static bool log_in(struct connect_test_attempt *attempt, const struct resolved_addresses *addresses,
		   uint64_t deadline_us)
{
	const struct uplink_conf *conf = attempt->test->conf;
	enum mqtt_reach reach = MQTT_REACHED_NOBODY;
	bool ready = false;
	for (size_t i = 0; i < addresses->n && !ready; i++) {
		uint64_t now = clock_now(), left = now < deadline_us ? deadline_us - now : 0;
		ready = try_address(attempt, &addresses->list[i], now + left / (addresses->n - i), &reach);
		/* Another address of the name would refuse the login as well. */
		if (!ready && reach == MQTT_REACHED_BROKER)
			break;
	}
	if (!ready && reach == MQTT_REACHED_NOBODY)
		return report_step(attempt, CONNECT_STEP_TCP, false, "%s", attempt->reason.text);
	report_step(attempt, CONNECT_STEP_TCP, true, "connected to %s", attempt->address);
	if (!ready && reach == MQTT_REACHED_HOST && conf->tls_on)
		return report_step(attempt, CONNECT_STEP_TLS, false, "%s", attempt->reason.text);
	if (conf->tls_on)
		report_step(attempt, CONNECT_STEP_TLS, true, "%s; the broker's certificate is good",
			    ready ? mqtt_tls_version(attempt->mqtt) : "agreed");
	if (!ready)
		return report_step(attempt, CONNECT_STEP_LOGIN, false, "%s", attempt->reason.text);
	if (conf->qos > mqtt_max_qos(attempt->mqtt))
		return report_step(attempt, CONNECT_STEP_LOGIN, false, MQTT_ONLY_QOS_0);
	return report_step(attempt, CONNECT_STEP_LOGIN, true, "MQTT %s%s%s%s", conf->version == 5 ? "5" : "3.1.1",
			   conf->username ? ", as " : ", without a username", conf->username ? conf->username : "",
			   mqtt_retains(attempt->mqtt) ? "" : "; this broker keeps no retained messages");
}

/* ---- what the broker lets us do ---- */

/* What came of what was sent last. */
static bool await_answer(struct connect_test_attempt *attempt, enum connect_step step, const char *topic,
			 const char *good)
{
	struct reason word;
	mqtt_flush(attempt->mqtt);
	turn_until(attempt->mqtt, &attempt->answer.has_come, clock_now() + ANSWER_US);
	if (mqtt_phase(attempt->mqtt) != MQTT_READY) {
		mqtt_end(attempt->mqtt, &word);
		return report_step(attempt, step, false, "%s: %s", topic, word.text);
	}
	if (!attempt->answer.has_come)
		return report_step(attempt, step, false, "%s: the broker does not answer", topic);
	if (attempt->answer.code < 128)
		return report_step(attempt, step, true, "%s: %s", topic, good);
	mqtt_reason_to_string(attempt->answer.code, &word);
	return report_step(attempt, step, false, "%s: %s", topic, word.text);
}

/* filter_sink */
static int try_subscribe(void *userdata, const char *filter)
{
	struct connect_test_attempt *attempt = userdata;
	attempt->answer.has_come = false;
	int r = mqtt_subscribe(attempt->mqtt, filter, &attempt->answer.mid);
	if (r < 0 && r != -ENOTCONN)
		attempt->subscribed =
			report_step(attempt, CONNECT_STEP_SUBSCRIBE, false, "%s: %s", filter, strerror(-r));
	else
		attempt->subscribed &=
			await_answer(attempt, CONNECT_STEP_SUBSCRIBE, filter, "its messages can be received");
	return mqtt_phase(attempt->mqtt) == MQTT_READY ? 0 : -ENOTCONN;
}

static bool try_publish(struct connect_test_attempt *attempt)
{
	const struct uplink_conf *conf = attempt->test->conf;
	_cleanup_(message_done) struct message message = {.qos = (int)conf->qos};
	int r = dialect_topic(&message.topic, "{prefix}/test", &attempt->context, NULL);
	buf_add_text(&message.payload, "{\"test\":true}");
	attempt->answer.has_come = false;
	if (r == 0)
		r = mqtt_publish(attempt->mqtt, &message, &attempt->answer.mid);
	if (r < 0 && r != -ENOTCONN)
		return report_step(attempt, CONNECT_STEP_PUBLISH, false, "%s", strerror(-r));
	return await_answer(attempt, CONNECT_STEP_PUBLISH, buf_text(&message.topic),
			    conf->version == 5 && conf->qos > 0
				    ? "may be published"
				    : "sent; whether it is allowed, only MQTT 5 with qos = 1 tells");
}

static bool try_rights(struct connect_test_attempt *attempt)
{
	attempt->subscribed = true;
	if (attempt->dialect->subscriptions)
		attempt->dialect->subscriptions(attempt->state, attempt->test->conf->commands, try_subscribe, attempt);
	/* Where the broker ended it over the first, there is nobody to ask for the second. */
	if (mqtt_phase(attempt->mqtt) != MQTT_READY)
		return false;
	return try_publish(attempt) && attempt->subscribed;
}

/* ---- the whole ---- */

static int open_dialect(struct connect_test_attempt *attempt)
{
	const struct uplink_conf *conf = attempt->test->conf;
	int r;
	attempt->dialect = dialect_by_name(conf->format);
	attempt->context = (struct dialect_context){.gateway = attempt->test->gateway_id,
						    .version = HAYWAIN_VERSION,
						    .client_id = conf->client_id,
						    .prefix = conf->prefix,
						    .topic = conf->topic,
						    .qos = (int)conf->qos,
						    .connected_ms = clock_wall() / (int64_t)USEC_PER_MSEC,
						    .connection = 1,
						    .series = series_set_new()};
	if (!attempt->context.series)
		return -ENOMEM;
	r = attempt->dialect->open(&attempt->context, conf->dialect_conf, &attempt->state);
	if (r >= 0 && attempt->dialect->credentials)
		r = attempt->dialect->credentials(attempt->state, attempt->context.connected_ms, &attempt->credentials);
	if (r >= 0 && asprintf(&attempt->client_id, "%s" CONNECT_TEST_SUFFIX,
			       attempt->credentials.client_id ? attempt->credentials.client_id : conf->client_id) < 0) {
		attempt->client_id = NULL;
		r = -ENOMEM;
	}
	return r;
}

static void attempt_done(struct connect_test_attempt *attempt)
{
	if (attempt->mqtt)
		mqtt_disconnect(attempt->mqtt);
	mqtt_free(attempt->mqtt);
	if (attempt->state)
		attempt->dialect->close(attempt->state);
	credentials_done(&attempt->credentials);
	series_set_free(attempt->context.series);
	tls_free(attempt->tls);
	conf_secret_free(attempt->password);
	free(attempt->client_id);
}

bool connect_test(const struct connect_test *test)
{
	const struct uplink_conf *conf = test->conf;
	struct connect_test_attempt attempt = {.test = test,
					       .tls = conf->tls_on ? tls_new(&conf->tls, conf->host) : NULL};
	struct resolved_addresses addresses = {0};
	bool good = false;
	int r = attempt.tls || !conf->tls_on ? open_dialect(&attempt) : -ENOMEM;
	if (r < 0) {
		report_step(&attempt, CONNECT_STEP_FILES, false, "%s", strerror(-r));
	} else if (read_files(&attempt)) {
		uint64_t deadline = clock_now() + conf->connect_timeout_us;
		good = find_addresses(&attempt, deadline, &addresses) && log_in(&attempt, &addresses, deadline) &&
		       try_rights(&attempt);
	}
	attempt_done(&attempt);
	return good;
}
