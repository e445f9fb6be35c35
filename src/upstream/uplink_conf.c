/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one group of `uplinks`. */
#include "upstream/uplink_conf.h"
#include "base/conf.h"
#include "upstream/dialects/dialect.h"
#include <arpa/inet.h>
#include <limits.h>
#include <string.h>

#define TLS(field) offsetof(struct uplink_tls_conf, field)
const struct hay_option tls_options[] = {
	{"ca_file", HAY_OPT_SECRET, TLS(ca_file),
	 .help = "certificate authorities that the broker is verified with (default: the system's)"},
	{"cert_file", HAY_OPT_SECRET, TLS(cert_file), .help = "the client certificate"},
	{"key_file", HAY_OPT_SECRET, TLS(key_file), .help = "the private key of the client certificate"},
	{"alpn", HAY_OPT_STRING, TLS(alpn), .help = "the protocol to ask for in the handshake"},
	{0},
};

#define AT(field) offsetof(struct uplink_conf, field)
#define SECONDS(n) ((int64_t)(n)*1000000)
const struct hay_option uplink_options[] = {
	{"name", HAY_OPT_NAME, AT(name), .flags = HAY_OPT_REQUIRED,
	 .help = "name of the uplink; its position in the queue is stored under it"},
	{"url", HAY_OPT_STRING, AT(url), .flags = HAY_OPT_REQUIRED,
	 .help = "mqtt://HOST[:1883] or mqtts://HOST[:8883]"},
	{"version", HAY_OPT_INT, AT(version), "5", .help = "of MQTT: 5 or 311"},
	{"client_id", HAY_OPT_STRING, AT(client_id), "{gateway}",
	 .help = "the MQTT client identifier (default: the gateway's id)"},
	{"username", HAY_OPT_STRING, AT(username), .help = "the login"},
	{"password_file", HAY_OPT_SECRET, AT(password_file), .help = "the file that holds the password"},
	{"tls", HAY_OPT_GROUP, AT(tls), .group = tls_options, .help = "certificates"},
	{"keepalive", HAY_OPT_DURATION, AT(keepalive_us), "30s", SECONDS(5), SECONDS(65535),
	 .help = "a silent broker is disconnected after this"},
	{"connect_timeout", HAY_OPT_DURATION, AT(connect_timeout_us), "10s", SECONDS(1), SECONDS(600),
	 .help = "from the look-up of the name to the broker's CONNACK"},
	{"clock_wait", HAY_OPT_DURATION, AT(clock_wait_us), "2m", 0, SECONDS(86400),
	 .help = "how long to wait for a trusted clock"},
	{"qos", HAY_OPT_INT, AT(qos), "1", 0, 1, .help = "1: until acknowledged; 0: once, and it may be lost"},
	{"inflight", HAY_OPT_INT, AT(inflight), "100", 1, 10000, .help = "messages sent and not yet acknowledged"},
	{"format", HAY_OPT_STRING, AT(format), "json", .help = "the payload dialect"},
	{"prefix", HAY_OPT_STRING, AT(prefix), "haywain/{gateway}", .help = "every topic begins with it"},
	{"topic", HAY_OPT_STRING, AT(topic), "{prefix}/data/{device}", .help = "of samples"},
	{"batch", HAY_OPT_INT, AT(batch), "1", 1, 1000, .help = "samples of one topic in a message at most"},
	{"batch_wait", HAY_OPT_DURATION, AT(batch_wait_us), "0s", 0, SECONDS(3600),
	 .help = "how long to wait for a fuller message"},
	{"subscriber", HAY_OPT_STRING, AT(subscriber), "optional",
	 .help = "\"required\": what the broker acknowledges without a subscriber is not delivered; or \"optional\""},
	{"commands", HAY_OPT_BOOL, AT(commands), "false", .help = "true: this uplink may write to points"},
	{"replay_rate", HAY_OPT_RATE, AT(replay_rate), .help = "samples a second of backlog (default: no limit)"},
	{0},
};

/* Where a mistake is told: at its key, or at the group. */
struct uplink_conf_place {
	const config_setting_t *group;
	struct conf_messages *messages;
	unsigned n_errors;
};

static const config_setting_t *setting_of(const struct uplink_conf_place *place, const char *key)
{
	const config_setting_t *setting = config_setting_get_member((config_setting_t *)(uintptr_t)place->group, key);
	return setting ? setting : place->group;
}

#define report_error(place, key, ...)                                                                                  \
	((place)->n_errors += conf_error_at((place)->messages, setting_of((place), (key)), __VA_ARGS__))
#define report_warning(place, key, ...) conf_warning_at((place)->messages, setting_of((place), (key)), __VA_ARGS__)

/* ---- url ---- */

static bool parse_port(const char *text, uint16_t *ret)
{
	unsigned long port = 0;
	if (!text[0] || strlen(text) > 5)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		port = 10 * port + (unsigned long)(*text - '0');
	}
	if (port == 0 || port > UINT16_MAX)
		return false;
	*ret = (uint16_t)port;
	return true;
}

/* With the zone that a link-local address needs, as in fe80::1%eth0: RFC 4007, section 11. */
static bool is_ipv6(const char *text)
{
	struct in6_addr address;
	char figures[INET6_ADDRSTRLEN];
	size_t size = strcspn(text, "%");
	if (size >= sizeof(figures) || (text[size] && !text[size + 1]))
		return false;
	memcpy(figures, text, size);
	figures[size] = '\0';
	return inet_pton(AF_INET6, figures, &address) == 1;
}

/* What is wrong with it, or NULL. */
static const char *parse_url(struct uplink_conf *conf)
{
	const char *at;
	if (strncmp(conf->url, "mqtt://", 7) == 0) {
		at = conf->url + 7;
		conf->port = 1883;
	} else if (strncmp(conf->url, "mqtts://", 8) == 0) {
		at = conf->url + 8;
		conf->port = 8883;
		conf->tls_on = true;
	} else {
		return "must begin with mqtt:// or mqtts://";
	}
	if (strchr(at, '@'))
		return "holds a login: write it as username and password_file";
	if (strpbrk(at, "/?#"))
		return "must end after the port, without a path";

	const char *rest;
	if (at[0] == '[') {
		const char *close = strchr(at, ']');
		if (!close)
			return "has a [ without its ]";
		conf->host = pool_strndup(conf->pool, at + 1, (size_t)(close - at - 1));
		rest = close + 1;
		if (conf->host && !is_ipv6(conf->host))
			return "has something in brackets that is not an IPv6 address";
	} else {
		size_t size = strcspn(at, ":");
		conf->host = pool_strndup(conf->pool, at, size);
		rest = at + size;
		if (strchr(rest + (rest[0] != '\0'), ':'))
			return "has an IPv6 address without brackets: mqtt://[2001:db8::1]:1883";
	}
	if (!conf->host)
		return "does not fit into memory";
	if (!conf->host[0])
		return "names no host";
	for (const char *c = conf->host; *c; c++) {
		if ((unsigned char)*c <= ' ' || *c == 0x7f || strchr("\"\\{}", *c))
			return "has a host with a character that is not allowed in a host name";
	}
	if (rest[0] == '\0')
		return NULL;
	if (rest[0] != ':' || !parse_port(rest + 1, &conf->port))
		return "has a port that is not a number from 1 to 65535";
	return NULL;
}

/* ---- what the table cannot say ---- */

/* {gateway} filled in. */
static const char *with_gateway(struct pool *pool, const char *text, const char *gateway_id)
{
	static const char word[] = "{gateway}";
	for (const char *at; text && (at = strstr(text, word));)
		text = pool_printf(pool, "%.*s%s%s", (int)(at - text), text, gateway_id, at + strlen(word));
	return text;
}

static void check_client_id(struct uplink_conf *conf, const char *gateway_id, struct uplink_conf_place *place)
{
	conf->client_id = with_gateway(conf->pool, conf->client_id, gateway_id);
	if (!conf->client_id)
		return;
	if (!conf->client_id[0] || strlen(conf->client_id) > 256)
		report_error(place, "client_id", "uplink `%s`: client_id needs 1 to 256 characters", conf->name);
	else if (strpbrk(conf->client_id, "{}"))
		report_error(place, "client_id", "uplink `%s`: client_id may contain {gateway} and no other {…}",
			     conf->name);
}

/* A prefix stands above all devices: it knows the gateway only. */
static void check_prefix(struct uplink_conf *conf, const char *gateway_id, struct uplink_conf_place *place)
{
	const char *why = dialect_check_topic(conf->pool, conf->prefix);
	const char *filled = with_gateway(conf->pool, conf->prefix, gateway_id);
	if (!why && conf->prefix[strlen(conf->prefix) - 1] == '/')
		why = "a prefix must not end in /: it is added";
	if (!why && filled && strpbrk(filled, "{}"))
		why = "a prefix may contain {gateway} and no other {…}";
	if (why)
		report_error(place, "prefix", "uplink `%s`: prefix: %s", conf->name, why);
}

static void check_tls(const struct uplink_conf *conf, struct uplink_conf_place *place)
{
	const struct uplink_tls_conf *tls = &conf->tls;
	if (!conf->tls_on && config_setting_get_member((config_setting_t *)(uintptr_t)place->group, "tls"))
		report_error(place, "tls", "uplink `%s`: tls needs mqtts://, but the url says mqtt://", conf->name);
	if (!tls->cert_file != !tls->key_file)
		report_error(place, "tls", "uplink `%s`: cert_file and key_file go together: %s is missing", conf->name,
			     tls->cert_file ? "key_file" : "cert_file");
	if (tls->alpn && (!tls->alpn[0] || strlen(tls->alpn) > 255))
		report_error(place, "tls", "uplink `%s`: alpn needs 1 to 255 characters", conf->name);
}

/* An error of --check, but not one that keeps the daemon from starting: a file that a power cut left empty must not
   stop the field. The uplink stays down then, and says why. */
static void check_password(const struct uplink_conf *conf, struct uplink_conf_place *place)
{
	const config_setting_t *at = setting_of(place, "password_file");
	size_t size;
	char *password;
	bool blank;
	if (conf_secret_read(conf->password_file, &password, &size) < 0)
		return; /* a warning already */
	const char *fault = conf_secret_fault(password, size, &blank);
	if (fault)
		conf_error(place->messages, conf_setting_file(at), conf_setting_line(at),
			   "uplink `%s`: password_file %s %s", conf->name, conf->password_file, fault);
	else if (blank)
		report_warning(place, "password_file",
			       "uplink `%s`: password_file %s: the password begins or ends with a blank", conf->name,
			       conf->password_file);
	conf_secret_free(password);
}

static bool is_loopback(const char *host)
{
	return strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

static void check_subscriber(struct uplink_conf *conf, struct uplink_conf_place *place)
{
	conf->subscriber_required = strcmp(conf->subscriber, "required") == 0;
	if (!conf->subscriber_required && strcmp(conf->subscriber, "optional") != 0)
		report_error(place, "subscriber", "uplink `%s`: subscriber is \"optional\" or \"required\", not \"%s\"",
			     conf->name, conf->subscriber);
	else if (conf->subscriber_required && conf->version != 5)
		report_error(
			place, "subscriber",
			"uplink `%s`: subscriber = \"required\" needs version = 5: with MQTT 3.1.1 a broker does not report whether a client is subscribed",
			conf->name);
	else if (conf->subscriber_required && conf->qos == 0)
		report_error(
			place, "subscriber",
			"uplink `%s`: subscriber = \"required\" needs qos = 1: a message of QoS 0 is not acknowledged",
			conf->name);
}

static void check_all(struct uplink_conf *conf, const char *gateway_id, struct uplink_conf_place *place)
{
	const char *why = parse_url(conf);
	if (why)
		report_error(place, "url", "uplink `%s`: the url \"%s\" %s", conf->name, conf->url, why);
	if (conf->version != 5 && conf->version != 311)
		report_error(place, "version", "uplink `%s`: version is 5 or 311, not %lld", conf->name,
			     (long long)conf->version);
	check_client_id(conf, gateway_id, place);
	check_prefix(conf, gateway_id, place);
	why = dialect_check_topic(conf->pool, conf->topic);
	if (why)
		report_error(place, "topic", "uplink `%s`: topic: %s", conf->name, why);
	if (!why && strcmp(conf->topic, "{prefix}") == 0)
		report_error(place, "topic", "uplink `%s`: topic must go below the prefix", conf->name);
	check_tls(conf, place);
	if (conf->password_file && !conf->username)
		report_error(place, "password_file", "uplink `%s`: password_file needs a username", conf->name);
	else if (conf->password_file && !conf->tls_on && conf->host && !is_loopback(conf->host))
		report_warning(place, "password_file",
			       "uplink `%s`: the password is sent unencrypted; mqtts:// encrypts it", conf->name);
	if (conf->password_file && conf->username)
		check_password(conf, place);
	check_subscriber(conf, place);
	if (conf->batch_wait_us > 0 && conf->batch == 1)
		report_error(place, "batch_wait", "uplink `%s`: batch_wait has no effect while batch is 1", conf->name);
}

/* The dialect comes first: it brings keys of its own. */
static const struct dialect *find_dialect(const config_setting_t *setting, struct conf_messages *messages)
{
	const char *format = NULL;
	if (!config_setting_lookup_string((config_setting_t *)(uintptr_t)setting, "format", &format))
		return &dialect_json;
	const struct dialect *dialect = dialect_by_name(format);
	if (dialect)
		return dialect;
	const config_setting_t *at = config_setting_get_member((config_setting_t *)(uintptr_t)setting, "format");
	conf_error(messages, conf_setting_file(at), conf_setting_line(at), "unknown format \"%s\"; use \"json\"",
		   format);
	return NULL;
}

struct uplink_conf *uplink_conf_free(struct uplink_conf *conf)
{
	if (conf)
		pool_free(conf->pool);
	return NULL;
}

static struct uplink_conf *new_conf(void)
{
	struct pool *pool = pool_new();
	struct uplink_conf *conf = pool ? pool_alloc(pool, sizeof(*conf)) : NULL;
	if (!conf) {
		pool_free(pool);
		return NULL;
	}
	conf->pool = pool;
	return conf;
}

struct uplink_conf *uplink_conf_read(const config_setting_t *setting, const char *gateway_id,
				     struct conf_messages *messages)
{
	struct uplink_conf_place place = {.group = setting, .messages = messages};
	struct uplink_conf *conf = new_conf();
	if (!conf) {
		report_error(&place, "name", "out of memory");
		return NULL;
	}
	const struct dialect *dialect = find_dialect(setting, messages);
	struct conf_part parts[2] = {{.table = uplink_options, .into = conf}};
	size_t n_parts = 1;
	if (dialect && dialect->options.table) {
		conf->dialect_conf = pool_alloc(conf->pool, dialect->options.size);
		parts[n_parts++] = (struct conf_part){.table = dialect->options.table, .into = conf->dialect_conf};
	}
	const char *name = NULL;
	config_setting_lookup_string((config_setting_t *)(uintptr_t)setting, "name", &name);
	const char *what = name ? pool_printf(conf->pool, "uplink `%s`", name) : "uplink";
	struct conf_group group = conf_group_of(setting);
	place.n_errors = conf_read_group(&group, what, parts, n_parts, NULL, conf->pool, messages) + !dialect;
	if (place.n_errors == 0)
		check_all(conf, gateway_id, &place);
	if (place.n_errors == 0 && dialect->check) {
		const char *why = dialect->check(conf->dialect_conf, conf->pool);
		if (why)
			report_error(&place, "format", "uplink `%s`: %s", conf->name, why);
	}
	conf->digest = conf_group_digest(&group);
	return place.n_errors ? uplink_conf_free(conf) : conf;
}
