/* SPDX-License-Identifier: Apache-2.0 */
/* The uplink against the real broker: Debian's mosquitto on a free port, plain and with certificates made here. */
#include "model/device_info.h"
#include "uplink_fixture.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct broker {
	struct rig *rig;
	int port;
	pid_t pid, watcher;
	char dir[64];
};

static void write_file(const struct broker *broker, const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", broker->dir, name);
	FILE *out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static const char *in_dir(const struct broker *broker, const char *name)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/%s", broker->dir, name);
	return path;
}

/* Runs a program with its output in a file of the broker's directory. */
static pid_t spawn(const struct broker *broker, const char *output, char *const argv[])
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	int fd = open(in_dir(broker, output), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
	dup2(fd, 1);
	dup2(fd, 2);
	execvp(argv[0], argv);
	_exit(127);
}

static void shell(const struct broker *broker, const char *script)
{
	char *argv[] = {(char[]){"sh"}, (char[]){"-ec"}, NULL, NULL};
	char text[2048];
	snprintf(text, sizeof(text), "cd %s\n%s", broker->dir, script);
	argv[2] = text;
	pid_t pid = spawn(broker, "shell.log", argv);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static bool answers(int port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	bool ok = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return ok;
}

static void start(struct broker *broker)
{
	char config[128];
	snprintf(config, sizeof(config), "%s", in_dir(broker, "mosquitto.conf"));
	char *argv[] = {(char[]){"mosquitto"}, (char[]){"-c"}, config, NULL};
	broker->pid = spawn(broker, "broker.log", argv);
	await(answers(broker->port));
}

/* Asked again and again: a broker that listens, but is not in its loop yet, forgets the first time. */
static bool ended(pid_t pid)
{
	kill(pid, SIGTERM);
	return waitpid(pid, NULL, WNOHANG) == pid;
}

static void end(pid_t *pid)
{
	if (*pid <= 0)
		return;
	await(ended(*pid));
	*pid = 0;
}

/* more: further lines of mosquitto.conf */
static void set_up_broker(struct broker *broker, struct rig *rig, const char *more)
{
	broker->rig = rig;
	broker->port = reserve_port();
	snprintf(broker->dir, sizeof(broker->dir), "%s/broker", rig->directory);
	mkdir(broker->dir, 0755);
	char text[1024];
	snprintf(text, sizeof(text), "user root\nlistener %d 127.0.0.1\n%s\n", broker->port, more);
	write_file(broker, "mosquitto.conf", text);
}

static const char *file_text(const struct broker *broker, const char *name)
{
	static char text[262144];
	int fd = open(in_dir(broker, name), O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	text[MAX(n, 0)] = '\0';
	if (fd >= 0)
		close(fd);
	return text;
}

static bool seen(const struct broker *broker, const char *words)
{
	return strstr(file_text(broker, "seen"), words);
}

static void watch(struct broker *broker)
{
	char port[8];
	snprintf(port, sizeof(port), "%d", broker->port);
	char *argv[] = {(char[]){"mosquitto_sub"},
			(char[]){"-p"},
			port,
			(char[]){"-q"},
			(char[]){"1"},
			(char[]){"-i"},
			(char[]){"watcher"},
			(char[]){"-c"},
			(char[]){"-v"},
			(char[]){"-t"},
			(char[]){"#"},
			NULL};
	broker->watcher = spawn(broker, "seen", argv);
	/* Retained, so it comes as soon as the subscription stands. */
	await(seen(broker, "/status"));
}

static void go(struct rig *rig, const struct broker *broker, const char *host, const char *more)
{
	char url[96];
	snprintf(url, sizeof(url), "%s:%d", host, broker->port);
	rig->uplink = start_uplink(rig, "cloud", url, more);
}

static void leave(struct rig *rig)
{
	stop_uplink(rig->uplink);
	rig->uplink = NULL;
}

static void done(struct broker *broker)
{
	/* mosquitto_sub disconnects in its signal handler, where the library's mutex may be its own already: it hangs then. */
	if (broker->watcher > 0) {
		kill(broker->watcher, SIGKILL);
		waitpid(broker->watcher, NULL, 0);
		broker->watcher = 0;
	}
	end(&broker->pid);
}

/* How many different values 0..n-1 the watcher has seen, and whether each device's grew. */
static int values_seen(const struct broker *broker)
{
	static bool had[20000];
	memset(had, 0, sizeof(had));
	int n = 0;
	for (const char *at = file_text(broker, "seen"); (at = strstr(at, "{\"v\":")); at++) {
		int value = atoi(at + 5);
		n += value >= 0 && value < 20000 && !had[value];
		had[value] = true;
	}
	return n;
}

static void show_device(struct rig *rig, bool online)
{
	const struct device_info_point point = {.series = rig->series[0]};
	struct device_info *info =
		device_info_new(rig->devices[0], online, clock_now(), online ? NULL : "timeout", &point, 1);
	uplink_device(rig->uplink, info);
	device_info_unref(info);
}

static void test_everything_goes_up(void **state)
{
	struct rig *rig = *state;
	struct broker broker = {0};
	set_up_broker(&broker, rig, "allow_anonymous true");
	start(&broker);
	go(rig, &broker, "mqtt://localhost", "");
	watch(&broker);
	show_device(rig, true);
	take(rig, 0, 3);
	await(seen(&broker, "\"values\":{\"v\":2}}"));
	await(seen(&broker, "haywain/barn-1/status {\"online\":true,\"since\":"));
	await(seen(&broker, "haywain/barn-1/device/boiler {\"online\":true,\"since\":"));
	show_device(rig, false);
	await(seen(&broker,
		   "\"reason\":\"timeout\",\"tags\":{},\"points\":{\"v\":{\"type\":\"int64\",\"access\":\"read\"}}}"));
	uplink_device_removed(rig->uplink, "boiler");
	await(seen(&broker, "haywain/barn-1/device/boiler (null)"));
	assert_true(logged("MQTT 5, no TLS, 0 samples waiting"));
	await(uplink_stuck_us(rig->uplink) == 0);
	leave(rig);
	await(seen(&broker, "haywain/barn-1/status {\"online\":false}"));
	done(&broker);
}

static void test_started_is_told_once(void **state)
{
	struct rig *rig = *state;
	struct broker broker = {0};
	/* Its session waits for the watcher over the restart. */
	set_up_broker(&broker, rig, "allow_anonymous true\npersistence true\npersistence_location ./");
	shell(&broker, "sed -i \"s#persistence_location .*#persistence_location $PWD/#\" mosquitto.conf");
	start(&broker);
	go(rig, &broker, "mqtt://127.0.0.1", "version = 311;");
	watch(&broker);
	take(rig, 0, 1);
	await(status_of(rig->uplink).delivered == 1);
	end(&broker.pid);
	take(rig, 0, 1);
	await(logged("connection lost: "));
	start(&broker);
	await(status_of(rig->uplink).delivered == 2);
	assert_true(logged("MQTT 3.1.1, no TLS"));
	leave(rig);
	done(&broker);
	const char *first = strstr(file_text(&broker, "seen"), "\"event\":\"started\"");
	assert_true(!first || !strstr(first + 1, "\"event\":\"started\""));
}

/* Killed and restarted under load: every value arrives, and soon again. */
static void test_broker_restarts(void **state)
{
	struct rig *rig = *state;
	struct broker broker = {0};
	set_up_broker(&broker, rig, "allow_anonymous true");
	start(&broker);
	go(rig, &broker, "mqtt://127.0.0.1", "");
	watch(&broker);
	take(rig, 0, 500);
	await(status_of(rig->uplink).delivered >= 100);
	take(rig, 1, 500);
	kill(broker.pid, SIGKILL);
	waitpid(broker.pid, NULL, 0);
	take(rig, 0, 500);
	await(status_of(rig->uplink).state == UPLINK_DOWN);
	start(&broker);
	await(status_of(rig->uplink).backlog == 0);
	assert_true(status_of(rig->uplink).delivered >= 1500);
	assert_true(logged("connection lost: "));
	leave(rig);
	done(&broker);
}

static void test_an_absent_broker_is_told_once(void **state)
{
	struct rig *rig = *state;
	struct broker broker = {0};
	set_up_broker(&broker, rig, "allow_anonymous true");
	go(rig, &broker, "mqtt://127.0.0.1", "");
	await(logged("(connection refused); trying again in"));
	take(rig, 0, 10);
	start(&broker);
	await(status_of(rig->uplink).delivered == 10);
	const char *first = strstr(logged_text(), "connection refused");
	assert_null(strstr(first + 1, "connection refused"));
	assert_true(logged("10 samples waiting"));
	leave(rig);
	done(&broker);
}

static void test_a_name_that_does_not_resolve(void **state)
{
	struct rig *rig = *state;
	rig->uplink = start_uplink(rig, "cloud", "mqtt://no-such-host.invalid", "");
	await(logged("no connection: the name no-such-host.invalid cannot be resolved: "));
	await(status_of(rig->uplink).state == UPLINK_DOWN);
}

static void test_batches(void **state)
{
	struct rig *rig = *state;
	struct broker broker = {0};
	set_up_broker(&broker, rig, "allow_anonymous true");
	go(rig, &broker, "mqtt://127.0.0.1", "batch = 50;");
	take(rig, 0, 1000);
	start(&broker);
	await(status_of(rig->uplink).delivered == 1000);
	assert_in_range(status_of(rig->uplink).messages, 20, 30);
	leave(rig);
	done(&broker);
}

static void test_qos_0(void **state)
{
	struct rig *rig = *state;
	struct broker broker = {0};
	set_up_broker(&broker, rig, "allow_anonymous true");
	start(&broker);
	go(rig, &broker, "mqtt://127.0.0.1", "qos = 0;");
	watch(&broker);
	take(rig, 0, 1000);
	await(status_of(rig->uplink).delivered == 1000);
	await(status_of(rig->uplink).backlog == 0);
	await(values_seen(&broker) == 1000);
	leave(rig);
	done(&broker);
}

static void test_two_uplinks(void **state)
{
	struct rig *rig = *state;
	struct broker one = {0}, two = {0};
	set_up_broker(&one, rig, "allow_anonymous true");
	set_up_broker(&two, rig, "allow_anonymous true");
	snprintf(two.dir, sizeof(two.dir), "%s/broker2", rig->directory);
	mkdir(two.dir, 0755);
	char text[128];
	snprintf(text, sizeof(text), "user root\nlistener %d 127.0.0.1\nallow_anonymous true\n", two.port);
	write_file(&two, "mosquitto.conf", text);
	snprintf(text, sizeof(text), "user root\nlistener %d 127.0.0.1\nallow_anonymous true\n", one.port);
	write_file(&one, "mosquitto.conf", text);
	start(&one);
	char url[64];
	snprintf(url, sizeof(url), "mqtt://127.0.0.1:%d", two.port);
	go(rig, &one, "mqtt://127.0.0.1", "");
	struct uplink *second = start_uplink(rig, "plant", url, "");
	take(rig, 0, 100);
	/* The one that is down holds up nothing. */
	await(status_of(rig->uplink).delivered == 100);
	assert_int_equal(status_of(second).backlog, 100);
	start(&two);
	await(status_of(second).delivered == 100);
	leave(rig);
	stop_uplink(second);
	done(&one);
	done(&two);
}

static void test_login(void **state)
{
	struct rig *rig = *state;
	struct broker broker = {0};
	set_up_broker(&broker, rig, "allow_anonymous false\npassword_file passwords");
	shell(&broker,
	      "mosquitto_passwd -b -c passwords barn right; sed -i \"s#password_file #&$PWD/#\" mosquitto.conf;"
	      "printf 'wrong\\n' >secret");
	start(&broker);
	char more[256];
	snprintf(more, sizeof(more), "username = \"barn\"; password_file = \"%s\";", in_dir(&broker, "secret"));
	go(rig, &broker, "mqtt://127.0.0.1", more);
	await(logged("no connection: the broker refuses the login: not authorized"));
	/* Secrets are read at every connect. */
	shell(&broker, "rm secret");
	await(logged("secret cannot be read: No such file or directory; trying again"));
	shell(&broker, "printf 'right\\n' >secret");
	await(status_of(rig->uplink).state == UPLINK_CONNECTED);
	leave(rig);
	done(&broker);
}

static void test_acl_denied_then_mended(void **state)
{
	struct rig *rig = *state;
	struct broker broker = {0};
	set_up_broker(&broker, rig, "allow_anonymous true\nacl_file acl");
	shell(&broker, "sed -i \"s#acl_file #&$PWD/#\" mosquitto.conf; echo 'topic write haywain/barn-1/status' >acl");
	start(&broker);
	go(rig, &broker, "mqtt://127.0.0.1", "");
	take(rig, 0, 20);
	await(status_of(rig->uplink).state == UPLINK_REFUSED);
	await(logged("the broker refuses messages to haywain/barn-1/data/boiler: not authorized (0x87); nothing is "
		     "lost"));
	assert_int_equal(status_of(rig->uplink).delivered, 0);
	shell(&broker, "echo 'topic readwrite #' >acl");
	kill(broker.pid, SIGHUP);
	await(status_of(rig->uplink).delivered == 20);
	assert_int_equal(status_of(rig->uplink).state, UPLINK_CONNECTED);
	leave(rig);
	done(&broker);
}

/* ---- TLS ---- */

/* A CA, and certificates for localhost, for another name, and one long expired. */
static void make_certificates(const struct broker *broker)
{
	shell(broker,
	      "key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }\n"
	      "key ca; openssl req -x509 -new -key ca.key -days 3650 -subj '/CN=Test CA' -out ca.crt\n"
	      "key other; openssl req -x509 -new -key other.key -days 3650 -subj '/CN=Other CA' -out other.crt\n"
	      "mkdir -p db; : >db/index; echo 01 >db/serial\n"
	      "printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=db/index\\nserial=db/serial\\nnew_certs_dir=db\\n"
	      "default_md=sha256\\npolicy=p\\ncopy_extensions=copy\\nunique_subject=no\\n[p]\\ncommonName=supplied\\n' "
	      ">ca.cnf\n"
	      "leaf() { key $1; openssl req -new -key $1.key -subj \"/CN=$2\" -addext \"subjectAltName=$3\" -out "
	      "$1.csr;\n"
	      " openssl ca -batch -config ca.cnf -cert ca.crt -keyfile ca.key -in $1.csr -out $1.crt -notext "
	      "-startdate $4 -enddate $5; }\n"
	      "leaf good localhost DNS:localhost,IP:127.0.0.1 20200101000000Z 20480101000000Z\n"
	      "leaf name broker.example.com DNS:broker.example.com 20200101000000Z 20480101000000Z\n"
	      "leaf old localhost DNS:localhost 20200101000000Z 20200201000000Z\n"
	      "leaf new localhost DNS:localhost 20470101000000Z 20480101000000Z\n"
	      "leaf figures localhost DNS:127.0.0.1 20200101000000Z 20480101000000Z\n"
	      "key common; openssl req -new -key common.key -subj /CN=localhost -out common.csr;\n"
	      " openssl ca -batch -config ca.cnf -cert ca.crt -keyfile ca.key -in common.csr -out common.crt -notext "
	      "-startdate 20200101000000Z -enddate 20480101000000Z\n"
	      "leaf soon barn-1 DNS:barn-1 20200101000000Z $(date -u -d '10 days' +%Y%m%d%H%M%SZ)\n"
	      "leaf client barn-1 DNS:barn-1 20200101000000Z 20480101000000Z\n");
}

static void use_certificate(struct broker *broker, const char *name, const char *more)
{
	char text[1024];
	snprintf(text, sizeof(text),
		 "user root\nlistener %d 127.0.0.1\nallow_anonymous true\ncafile %s/ca.crt\ncertfile %s/%s.crt\n"
		 "keyfile %s/%s.key\n%s\n",
		 broker->port, broker->dir, broker->dir, name, broker->dir, name, more);
	write_file(broker, "mosquitto.conf", text);
}

static void tls_case(struct rig *rig, struct broker *broker, const char *certificate, const char *more_broker,
		     const char *host, const char *tls, const char *words)
{
	use_certificate(broker, certificate, more_broker);
	forget_log();
	start(broker);
	go(rig, broker, host, tls);
	await(logged(words));
	leave(rig);
	end(&broker->pid);
}

/* No connection comes about, and those words say why. */
static void tls_refused(struct rig *rig, struct broker *broker, const char *certificate, const char *more_broker,
			const char *host, const char *tls, const char *words)
{
	use_certificate(broker, certificate, more_broker);
	forget_log();
	start(broker);
	go(rig, broker, host, tls);
	await(logged(words) || logged("connected to "));
	assert_false(logged("connected to "));
	leave(rig);
	end(&broker->pid);
}

/* Relative paths are looked up beside the configuration. */
#define CA "tls: { ca_file = \"broker/ca.crt\"; };"

static void test_tls(void **state)
{
	struct rig *rig = *state;
	struct broker broker = {0};
	set_up_broker(&broker, rig, "");
	make_certificates(&broker);
	use_certificate(&broker, "good", "");
	start(&broker);
	go(rig, &broker, "mqtts://localhost", CA);
	take(rig, 0, 1000);
	await(status_of(rig->uplink).delivered == 1000);
	assert_true(logged("MQTT 5, TLS 1.3, "));
	end(&broker.pid);
	take(rig, 0, 10);
	start(&broker);
	await(status_of(rig->uplink).delivered == 1010);
	leave(rig);
	end(&broker.pid);
	tls_case(rig, &broker, "good", "", "mqtts://127.0.0.1", CA, "connected to 127.0.0.1");
	tls_case(rig, &broker, "good", "require_certificate true", "mqtts://localhost",
		 "tls: { ca_file = \"broker/ca.crt\"; cert_file = \"broker/client.crt\"; key_file = "
		 "\"broker/client.key\"; };",
		 "connected to localhost");
	assert_false(logged("the client certificate"));
	/* One that ends in a few days: nobody is to find out on the day. */
	tls_case(rig, &broker, "good", "require_certificate true", "mqtts://localhost",
		 "tls: { ca_file = \"broker/ca.crt\"; cert_file = \"broker/soon.crt\"; key_file = "
		 "\"broker/soon.key\"; };",
		 "soon.crt ends on ");
}

static void test_tls_reasons(void **state)
{
	struct rig *rig = *state;
	struct broker broker = {0};
	set_up_broker(&broker, rig, "");
	make_certificates(&broker);
	tls_refused(
		rig, &broker, "name", "", "mqtts://localhost", CA,
		"no connection: the broker's certificate is for broker.example.com, not for localhost; trying again");
	tls_refused(rig, &broker, "name", "", "mqtts://127.0.0.1", CA,
		    "is for the host name broker.example.com, not for the address 127.0.0.1");
	/* An address written as a name is no address: it must not read "is for 127.0.0.1, not for 127.0.0.1". */
	tls_refused(rig, &broker, "figures", "", "mqtts://127.0.0.1", CA,
		    "is for the host name 127.0.0.1, not for the address 127.0.0.1");
	/* RFC 9525: a common name names no host. */
	tls_refused(rig, &broker, "common", "", "mqtts://localhost", CA,
		    "the broker's certificate names no host: it has the common name \"localhost\" only, and needs "
		    "localhost as subjectAltName");
	tls_refused(rig, &broker, "old", "", "mqtts://localhost", CA,
		    "the broker's certificate expired on 2020-02-01 00:00 UTC (this machine's clock says ");
	tls_refused(rig, &broker, "new", "", "mqtts://localhost", CA,
		    "the broker's certificate is valid from 2047-01-01 00:00 UTC on, and this machine's clock says ");
	tls_refused(rig, &broker, "good", "", "mqtts://localhost", "tls: { ca_file = \"broker/other.crt\"; };",
		    "the broker's certificate was issued by \"Test CA\", which is not in ");
	tls_refused(
		rig, &broker, "good", "", "mqtts://localhost", "",
		"the broker's certificate was issued by \"Test CA\", which is not in the system's list of authorities "
		"(set tls.ca_file for others)");
	tls_refused(rig, &broker, "good", "require_certificate true", "mqtts://localhost", CA,
		    "this broker requires a client certificate: set tls.cert_file and tls.key_file");
	tls_refused(rig, &broker, "good", "", "mqtts://localhost",
		    "tls: { ca_file = \"broker/ca.crt\"; cert_file = \"broker/client.crt\"; key_file = "
		    "\"broker/good.key\"; };",
		    "does not belong to the certificate in");
	tls_refused(
		rig, &broker, "good", "", "mqtt://localhost", "",
		"the broker closed the connection before it answered (does this port want mqtts://? or does it speak "
		"MQTT 3.1.1 only: version = 311?)");
	/* A broker that speaks plain MQTT, and an uplink that wants TLS. */
	char text[128];
	snprintf(text, sizeof(text), "user root\nlistener %d 127.0.0.1\nallow_anonymous true\n", broker.port);
	write_file(&broker, "mosquitto.conf", text);
	forget_log();
	start(&broker);
	go(rig, &broker, "mqtts://localhost", "");
	await(logged("no connection: "));
	await(status_of(rig->uplink).state == UPLINK_DOWN);
	leave(rig);
	end(&broker.pid);
}

int main(void)
{
#define test(name) cmocka_unit_test_setup_teardown(name, rig_up, rig_down)
	const struct CMUnitTest tests[] = {
		test(test_everything_goes_up),
		test(test_started_is_told_once),
		test(test_broker_restarts),
		test(test_an_absent_broker_is_told_once),
		test(test_a_name_that_does_not_resolve),
		test(test_batches),
		test(test_qos_0),
		test(test_two_uplinks),
		test(test_login),
		test(test_acl_denied_then_mended),
		test(test_tls),
		test(test_tls_reasons),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
