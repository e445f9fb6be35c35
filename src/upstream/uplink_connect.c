/* SPDX-License-Identifier: Apache-2.0 */
/* One try of an uplink to connect: look the host up, then one address after the other, and talk where one welcomes us. */
#include "base/clock.h"
#include "upstream/uplink_internal.h"
#include <errno.h>
#include <string.h>

/* What is the same for every address. */
struct attempt {
	struct uplink *uplink;
	void *state; /* the dialect's */
	char *password;
	bool quiet;
	enum mqtt_reach reach; /* the farthest so far, which the reason is about */
};

static int read_password(const struct uplink_conf *conf, char **ret, struct reason *reason)
{
	size_t size;
	*ret = NULL;
	if (!conf->password_file)
		return 0;
	int r = conf_secret_read(conf->password_file, ret, &size);
	if (r < 0) {
		reason_set(reason, "password_file %s cannot be read: %s", conf->password_file, strerror(-r));
		return r;
	}
	bool blank;
	const char *fault = conf_secret_fault(*ret, size, &blank);
	if (fault)
		reason_set(reason, "password_file %s %s", conf->password_file, fault);
	return fault ? -EINVAL : 0;
}

static int make_client(const struct attempt *attempt, struct session *session, struct mqtt **ret, struct reason *reason)
{
	struct uplink *uplink = attempt->uplink;
	const struct uplink_conf *conf = uplink->conf;
	_cleanup_(message_done) struct message will = {0};
	int has_will = suspects_verdict(uplink->suspects, SUSPECT_WILL, "", clock_now()) == SUSPECT_FREE
			       ? uplink->dialect->will(attempt->state, &will)
			       : 1;
	session_set_will(session, has_will == 0);
	if (has_will < 0) {
		reason_set(reason, "out of memory");
		return has_will;
	}
	/* A broker that offers only QoS 0 turns away a will of more. */
	will.qos = MIN(will.qos, (int)conf->qos);
	const struct mqtt_settings settings = {
		.client_id = conf->client_id,
		.username = conf->username,
		.password = attempt->password,
		.v5 = conf->version == 5,
		.keepalive_s = (unsigned)(conf->keepalive_us / USEC_PER_SEC),
		.tls = conf->tls_on ? uplink->tls : NULL,
		.will = has_will == 0 ? &will : NULL,
		.no_retain = uplink->no_retain,
	};
	int r = mqtt_new(&settings, &session_events, session, ret);
	if (r == -ENOMEM)
		reason_set(reason, "out of memory");
	else if (r < 0)
		reason_set(reason, "MQTT cannot carry this client_id, username or prefix");
	return r;
}

/* What may help; MQTT_TRY_LATER also where the broker welcomed us. */
static enum mqtt_advice try_address(struct attempt *attempt, const struct address *address, uint64_t deadline_us,
				    struct session_result *ret)
{
	struct uplink *uplink = attempt->uplink;
	struct session_result result = {0};
	struct session *session = NULL;
	struct mqtt *mqtt = NULL;
	enum mqtt_reach reach = MQTT_REACHED_NOBODY;
	enum mqtt_advice advice = MQTT_TRY_LATER;
	int r = session_new(uplink, attempt->state, &session);
	if (r < 0)
		reason_set(&result.reason, "out of memory");
	if (r >= 0)
		r = make_client(attempt, session, &mqtt, &result.reason);
	if (r >= 0) {
		r = mqtt_connect(mqtt, address, deadline_us, &result.reason);
		if (r >= 0)
			session_run(session, mqtt, attempt->quiet, &result);
		if (!result.was_ready) {
			advice = mqtt_advice(mqtt);
			reach = mqtt_reach(mqtt);
		}
	}
	/* Of several addresses, the one that let us come closest says most. */
	if (result.was_ready || !ret->reason.text[0] || reach > attempt->reach) {
		*ret = result;
		attempt->reach = reach;
	}
	mqtt_free(mqtt);
	session_free(session);
	return advice;
}

static void try_addresses(struct attempt *attempt, const struct addresses *addresses, uint64_t deadline_us,
			  struct session_result *ret)
{
	struct uplink *uplink = attempt->uplink;
	for (size_t i = 0; i < addresses->n && !uplink_stop_asked(uplink); i++) {
		/* A name may have addresses that lead nowhere: none gets more than its share of the time. */
		uint64_t now = clock_now(), left = now < deadline_us ? deadline_us - now : 0;
		uint64_t until = now + left / (addresses->n - i);
		enum mqtt_advice advice = try_address(attempt, &addresses->list[i], until, ret);
		if (advice == MQTT_TRY_WITHOUT_RETAIN && !uplink_stop_asked(uplink)) {
			uplink->no_retain = true;
			advice = try_address(attempt, &addresses->list[i], until, ret);
			uplink->no_retain = ret->was_ready;
		}
		if (ret->was_ready)
			resolver_prefer(uplink->resolver, &addresses->list[i]);
		if (ret->was_ready || advice == MQTT_TRY_LATER)
			return;
	}
}

void uplink_watch_certificate(struct uplink *uplink, uint64_t now_us)
{
	struct reason reason;
	if (!uplink->tls || now_us < uplink->certificate_due_us || uplink->state != UPLINK_CONNECTED)
		return;
	uplink->certificate_due_us = now_us + USEC_PER_DAY;
	/* The file may have been replaced since we connected: it is what counts with the next connection. */
	if (tls_prepare(uplink->tls, &reason) < 0 || !tls_own_ends_soon(uplink->tls, &reason))
		return;
	if (!uplink->certificate_logged_us || now_us - uplink->certificate_logged_us >= USEC_PER_DAY) {
		uplink->certificate_logged_us = now_us;
		uplink_log(uplink, HAY_LOG_WARNING, "%s; the broker will not take it then", reason.text);
	}
	uplink_set_state(uplink, UPLINK_CONNECTED, reason.text);
}

void uplink_connect(struct uplink *uplink, void *dialect_state, bool quiet, struct session_result *ret)
{
	const struct uplink_conf *conf = uplink->conf;
	struct attempt attempt = {.uplink = uplink, .state = dialect_state, .quiet = quiet};
	struct addresses addresses;
	uint64_t deadline = clock_now() + conf->connect_timeout_us;
	uplink->certificate_due_us = 0;
	int r = conf->tls_on ? tls_prepare(uplink->tls, &ret->reason) : 0;
	if (r >= 0)
		r = read_password(conf, &attempt.password, &ret->reason);
	if (r >= 0)
		r = resolver_ask(uplink->resolver, deadline, uplink->stop_fd, &addresses, &ret->reason);
	if (r >= 0)
		try_addresses(&attempt, &addresses, deadline, ret);
	conf_secret_free(attempt.password);
}
