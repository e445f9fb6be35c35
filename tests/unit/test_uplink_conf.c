/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one group of `uplinks`. */
#include "upstream/uplink.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Reads { TEXT } as a file of its own. */
static struct uplink_conf *read_text(const char *text, struct conf_messages *messages)
{
	char path[] = "/tmp/uplink_conf_XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_true(dprintf(fd, "uplinks = (\n{ %s }\n);\n", text) > 0);
	close(fd);
	struct conf_file *file = NULL;
	*messages = (struct conf_messages){0};
	int r = conf_file_read(path, messages, &file);
	unlink(path);
	assert_int_equal(r, 0);
	const config_setting_t *list = config_setting_get_member(conf_file_root(file), "uplinks");
	struct uplink_conf *conf = uplink_conf_read(config_setting_get_elem(list, 0), "barn-1", messages);
	conf_file_free(file);
	return conf;
}

static struct uplink_conf *read_good(const char *text)
{
	struct conf_messages messages;
	struct uplink_conf *conf = read_text(text, &messages);
	if (!conf && messages.first)
		fail_msg("%s", messages.first->text);
	assert_int_equal(messages.n_errors, 0);
	conf_messages_done(&messages);
	return conf;
}

/* Reading it must fail with one message that holds every one of the words. */
static void assert_wrong(const char *text, const char *words)
{
	struct conf_messages messages;
	assert_null(read_text(text, &messages));
	assert_int_equal(messages.n_errors, 1);
	assert_int_equal(messages.first->line, 2);
	if (!strstr(messages.first->text, words))
		fail_msg("\"%s\" does not say \"%s\"", messages.first->text, words);
	conf_messages_done(&messages);
}

static void test_defaults(void **state)
{
	(void)state;
	struct uplink_conf *conf = read_good("name = \"cloud\"; url = \"mqtt://broker.example.com\";");
	assert_string_equal(conf->host, "broker.example.com");
	assert_int_equal(conf->port, 1883);
	assert_false(conf->tls_on);
	assert_int_equal(conf->version, 5);
	assert_string_equal(conf->client_id, "barn-1");
	assert_int_equal(conf->keepalive_us, 30 * USEC_PER_SEC);
	assert_int_equal(conf->connect_timeout_us, 10 * USEC_PER_SEC);
	assert_int_equal(conf->clock_wait_us, 120 * USEC_PER_SEC);
	assert_int_equal(conf->qos, 1);
	assert_int_equal(conf->inflight, 100);
	assert_int_equal(conf->batch, 1);
	assert_int_equal(conf->batch_wait_us, 0);
	assert_true(conf->replay_rate <= 0);
	assert_string_equal(conf->format, "json");
	assert_string_equal(conf->prefix, "haywain/{gateway}");
	assert_string_equal(conf->topic, "{prefix}/data/{device}");
	uplink_conf_free(conf);
}

static void test_everything(void **state)
{
	(void)state;
	struct uplink_conf *conf = read_good(
		"name = \"cloud\"; url = \"mqtts://[2001:db8::1]:443\"; version = 311; client_id = \"x-{gateway}\";"
		"username = \"u\"; password_file = \"/etc/pw\"; tls: { ca_file = \"/ca\"; cert_file = \"/c\";"
		"key_file = \"/k\"; alpn = \"x-amzn-mqtt-ca\"; }; keepalive = \"1m\"; connect_timeout = \"3s\";"
		"clock_wait = \"0s\"; qos = 0; inflight = 7; format = \"json\"; prefix = \"plant/{gateway}\";"
		"topic = \"{prefix}/{room}/{device}\"; batch = 50; batch_wait = \"2s\"; replay_rate = \"2000/s\";");
	assert_string_equal(conf->host, "2001:db8::1");
	assert_int_equal(conf->port, 443);
	assert_true(conf->tls_on);
	assert_int_equal(conf->version, 311);
	assert_string_equal(conf->client_id, "x-barn-1");
	assert_string_equal(conf->password_file, "/etc/pw");
	assert_string_equal(conf->tls.ca_file, "/ca");
	assert_string_equal(conf->tls.alpn, "x-amzn-mqtt-ca");
	assert_int_equal(conf->clock_wait_us, 0);
	assert_int_equal(conf->qos, 0);
	assert_int_equal(conf->batch_wait_us, 2 * USEC_PER_SEC);
	assert_true(conf->replay_rate > 1999 && conf->replay_rate < 2001);
	uplink_conf_free(conf);
}

static void test_urls(void **state)
{
	(void)state;
	static const struct {
		const char *url, *words;
	} wrong[] = {
		{"broker.example.com", "must begin with mqtt:// or mqtts://"},
		{"tcp://broker", "must begin with"},
		{"mqtt://", "names no host"},
		{"mqtt://:1883", "names no host"},
		{"mqtt://me:secret@broker", "username and password_file"},
		{"mqtt://broker/path", "without a path"},
		{"mqtt://broker:0", "from 1 to 65535"},
		{"mqtt://broker:65536", "from 1 to 65535"},
		{"mqtt://broker:1883x", "from 1 to 65535"},
		{"mqtt://broker:", "from 1 to 65535"},
		{"mqtt://2001:db8::1", "brackets"},
		{"mqtt://[2001:db8::1", "without its ]"},
		{"mqtt://[broker]", "not an IPv6 address"},
		{"mqtt://bro ker", "character"},
	};
	for (size_t i = 0; i < ELEMENTS(wrong); i++) {
		char text[256];
		snprintf(text, sizeof(text), "name = \"cloud\"; url = \"%s\";", wrong[i].url);
		assert_wrong(text, wrong[i].words);
	}
	struct uplink_conf *conf = read_good("name = \"cloud\"; url = \"mqtts://192.0.2.7\";");
	assert_string_equal(conf->host, "192.0.2.7");
	assert_int_equal(conf->port, 8883);
	uplink_conf_free(conf);
}

#define URL "name = \"cloud\"; url = \"mqtt://broker\"; "
#define URLS "name = \"cloud\"; url = \"mqtts://broker\"; "

static void test_mistakes(void **state)
{
	(void)state;
	assert_wrong("url = \"mqtt://broker\";", "name");
	assert_wrong("name = \"cloud\";", "url");
	assert_wrong(URL "version = 4;", "version is 5 or 311");
	assert_wrong(URL "qos = 2;", "qos");
	assert_wrong(URL "keepalive = \"2s\";", "keepalive");
	assert_wrong(URL "keepalive = 30;", "keepalive");
	assert_wrong(URL "batch_wiat = \"1s\";", "batch_wait");
	assert_wrong(URL "format = \"xml\";", "\"json\"");
	assert_wrong(URL "topic = \"a/#\";", "wildcard");
	assert_wrong(URL "topic = \"a//b\";", "empty level");
	assert_wrong(URL "prefix = \"a/{device}\";", "{gateway}");
	assert_wrong(URL "prefix = \"a/\";", "must not end in /");
	assert_wrong(URL "client_id = \"{device}\";", "{gateway}");
	assert_wrong(URL "password_file = \"/dev/null\";", "username");
	assert_wrong(URL "batch_wait = \"1s\";", "batch is 1");
	assert_wrong(URL "tls: { ca_file = \"/dev/null\"; };", "mqtts://");
	assert_wrong(URLS "tls: { cert_file = \"/dev/null\"; };", "key_file is missing");
	assert_wrong(URLS "tls: { insecure = true; };", "insecure");
}

/* Written to a file that conf_secret_read() finds; the words of the message, of which there is one. */
static void assert_password(const char *text, const char *words, unsigned n_errors)
{
	char path[] = "/tmp/haywain-password-XXXXXX", more[256];
	struct conf_messages messages;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	snprintf(more, sizeof(more), "name = \"cloud\"; url = \"mqtt://%s\"; username = \"u\"; password_file = \"%s\";",
		 n_errors ? "127.0.0.1" : "broker", path);
	struct uplink_conf *conf = read_text(more, &messages);
	/* Not left out even then: a file that a power cut emptied does not stop the field. */
	assert_non_null(conf);
	assert_int_equal(messages.n_errors, n_errors);
	assert_int_equal(messages.n_errors + messages.n_warnings, 1);
	assert_non_null(strstr(messages.first->text, words));
	assert_true(messages.first->line > 0);
	uplink_conf_free(conf);
	conf_messages_done(&messages);
	unlink(path);
}

static void test_a_password_in_the_clear_is_a_warning(void **state)
{
	(void)state;
	assert_password("secret\n", "unencrypted", 0);
}

static void test_a_password_file_with_a_fault(void **state)
{
	(void)state;
	assert_password("", "is empty", 1);
	assert_password("\xef\xbb\xbfsecret\n", "byte order mark", 1);
	assert_password("secret\nother\n", "more than one line", 1);
}

static void test_a_link_local_address(void **state)
{
	(void)state;
	struct uplink_conf *conf = read_good("name = \"cloud\"; url = \"mqtt://[fe80::1%eth0]:1884\";");
	assert_string_equal(conf->host, "fe80::1%eth0");
	assert_int_equal(conf->port, 1884);
	uplink_conf_free(conf);
	assert_wrong("name = \"cloud\"; url = \"mqtt://[fe80::1%]\";", "not an IPv6 address");
}

static void test_digest_follows_what_is_said(void **state)
{
	(void)state;
	struct uplink_conf *a = read_good("name = \"cloud\"; url = \"mqtt://broker\"; qos = 1;");
	struct uplink_conf *b = read_good("qos = 1;   url = \"mqtt://broker\";  name = \"cloud\";");
	struct uplink_conf *c = read_good("name = \"cloud\"; url = \"mqtt://broker\"; qos = 0;");
	assert_true(a->digest == b->digest);
	assert_true(a->digest != c->digest);
	uplink_conf_free(a);
	uplink_conf_free(b);
	uplink_conf_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_a_password_in_the_clear_is_a_warning),
		cmocka_unit_test(test_a_password_file_with_a_fault),
		cmocka_unit_test(test_a_link_local_address),
		cmocka_unit_test(test_digest_follows_what_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
