/* SPDX-License-Identifier: Apache-2.0 */
/* One try of an uplink to connect: look the host up, then one address after the other, and talk where one welcomes
   us. */
#include "base/clock.h"
#include "upstream/uplink_internal.h"
#include <errno.h>
#include <string.h>

#define RENEWAL_MIN_US USEC_PER_SEC

/* What is the same for every address. */
struct connect_attempt {
	struct uplink *uplink;
	void *state; /* the dialect's */
	char *password;
	struct credentials credentials; /* the dialect's, where it makes some */
	bool quiet;
	enum mqtt_reach reach; /* the farthest so far, which the reason is about */
};

int uplink_read_password(const struct uplink_conf *conf, char **ret, struct reason *reason)
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

/* message_sink: the first one is it. */
static int put_will(void *userdata, struct message *message)
{
	struct message *will = userdata;
	if (will->topic.size > 0)
		return -EINVAL;
	*will = *message;
	*message = (struct message){0};
	return 0;
}

static int make_client(const struct connect_attempt *attempt, struct session *session, struct mqtt **ret,
		       struct reason *reason)
{
	struct uplink *uplink = attempt->uplink;
	const struct uplink_conf *conf = uplink->conf;
	const struct credentials *own = &attempt->credentials;
	_cleanup_(message_done) struct message will = {0};
	bool may = suspects_verdict(uplink->suspects, SUSPECT_WILL, "", clock_now()) == SUSPECT_FREE;
	if (may && uplink->dialect->will && uplink->dialect->will(attempt->state, put_will, &will) < 0) {
		reason_set(reason, "out of memory");
		return -ENOMEM;
	}
	bool has_will = will.topic.size > 0;
	session_set_will(session, has_will);
	/* A broker that offers only QoS 0 turns away a will of more. */
	will.qos = MIN(will.qos, (int)conf->qos);
	const struct mqtt_settings settings = {
		.client_id = own->client_id ? own->client_id : conf->client_id,
		.username = own->username ? own->username : conf->username,
		.password = own->password ? own->password : attempt->password,
		.v5 = conf->version == 5,
		.keepalive_s = (unsigned)(conf->keepalive_us / USEC_PER_SEC),
		.tls = conf->tls_on ? uplink->tls : NULL,
		.will = has_will ? &will : NULL,
		.no_retain = uplink->no_retain,
	};
	int r = mqtt_new(&settings, &session_events, session, ret);
	if (r == -ENOMEM)
		reason_set(reason, "out of memory");
	else if (r < 0)
		reason_set(reason, "MQTT cannot carry this client_id, username or prefix");
	return r;
}

/* At 80 % of the login's life, and not before a moment has passed. */
static uint64_t renewal_us(const struct credentials *credentials)
{
	if (!credentials->expires_ms || credentials->expires_ms == INT64_MAX)
		return UINT64_MAX;
	int64_t life_us = credentials->expires_ms * (int64_t)USEC_PER_MSEC - clock_wall();
	return clock_now() + (uint64_t)MAX(life_us / 5 * 4, (int64_t)RENEWAL_MIN_US);
}

static int make_credentials(struct connect_attempt *attempt, struct reason *reason)
{
	struct uplink *uplink = attempt->uplink;
	if (!uplink->dialect->credentials)
		return 0;
	int r = uplink->dialect->credentials(attempt->state, clock_wall() / (int64_t)USEC_PER_MSEC,
					     &attempt->credentials);
	if (r < 0)
		reason_set(reason, "the login cannot be made: %s", strerror(-r));
	return r;
}

/* What may help; MQTT_TRY_LATER also where the broker welcomed us. */
static enum mqtt_advice try_address(struct connect_attempt *attempt, const struct resolved_address *address,
				    uint64_t deadline_us, struct session_result *ret)
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
	else
		session_set_renewal(session, renewal_us(&attempt->credentials));
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

static void try_addresses(struct connect_attempt *attempt, const struct resolved_addresses *addresses,
			  uint64_t deadline_us, struct session_result *ret)
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
		uplink_log(uplink, HAY_LOG_WARNING, "%s; the broker will not accept it then", reason.text);
	}
	uplink_set_state(uplink, UPLINK_CONNECTED, reason.text);
}

void uplink_connect(struct uplink *uplink, void *dialect_state, bool quiet, struct session_result *ret)
{
	const struct uplink_conf *conf = uplink->conf;
	struct connect_attempt attempt = {.uplink = uplink, .state = dialect_state, .quiet = quiet};
	struct resolved_addresses addresses;
	uint64_t deadline = clock_now() + conf->connect_timeout_us;
	uplink->certificate_due_us = 0;
	int r = conf->tls_on ? tls_prepare(uplink->tls, &ret->reason) : 0;
	if (r >= 0)
		r = uplink_read_password(conf, &attempt.password, &ret->reason);
	if (r >= 0)
		r = make_credentials(&attempt, &ret->reason);
	if (r >= 0)
		r = resolver_ask(uplink->resolver, deadline, uplink->stop_fd, &addresses, &ret->reason);
	if (r >= 0)
		try_addresses(&attempt, &addresses, deadline, ret);
	credentials_done(&attempt.credentials);
	conf_secret_free(attempt.password);
}
